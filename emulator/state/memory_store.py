"""A store in this process: the parent of several workers keeps it for them, and servers use it as a fallback."""

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import field
from math import floor
from typing import Generic, TypeVar

from emulator.records import struct
from emulator.state.store import (
    LEASE_SECONDS,
    MAX_RECENT,
    MAX_STORED_BYTES,
    MAX_TALLIES,
    OTHER_STATE,
    AccountPlan,
    Amount,
    Change,
    Counted,
    Counting,
    Decision,
    FaultPlan,
    Plan,
    PrefixPlan,
    QuotaPlan,
    RatePlan,
    Refusal,
    RulePlan,
    Settlement,
    Snapshot,
    limbs,
    read,
    undecided,
    units_of,
    written,
)
from emulator.stored import MAX_STORED

MAX_SPACES = 11_000
"""The most namespaces; the least recently used is dropped first."""
MINUTE = 60.0
Value = TypeVar("Value")


class Generations(Generic[Value]):
    """Recently used values by key, in two generations: a full one replaces the older one. Values that are put again
    stay.
    """

    __slots__ = ("_limit", "_new", "_old")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._new: dict[str, Value] = {}
        self._old: dict[str, Value] = {}

    def get(self, key: str) -> Value | None:
        found = self._new.get(key)
        return self._old.get(key) if found is None else found

    def put(self, key: str, value: Value) -> None:
        self._new[key] = value
        if len(self._new) > self._limit:
            self._old, self._new = self._new, {}

    def drop(self, beginning: str) -> None:
        """Drops all values whose keys begin with this prefix."""
        for values in (self._new, self._old):
            for key in [key for key in values if key.startswith(beginning)]:
                del values[key]


@struct
class _Space:
    """The counters of one namespace."""

    values: dict[str, str] = field(default_factory=dict)
    attempts: Generations[int] = field(default_factory=lambda: Generations(MAX_RECENT))
    prefixes: Generations[float] = field(default_factory=lambda: Generations(MAX_RECENT))
    tallies: Generations[list[float]] = field(default_factory=lambda: Generations(MAX_TALLIES))
    leases: dict[str, dict[str, float]] = field(default_factory=dict)
    """When each lease ends, by quota."""
    order: int = 0
    responses: OrderedDict[str, str] = field(default_factory=OrderedDict)
    """Stored responses by id, oldest first."""
    holders: dict[str, str] = field(default_factory=dict)
    """The response of each item."""
    response_bytes: int = 0


class MemoryStore:
    """The counters of all namespaces. Every method is one atomic step. `lost` ends the leases of a process that is
    gone.
    """

    def __init__(self) -> None:
        self._spaces: OrderedDict[str, _Space] = OrderedDict()

    def count(self, namespace: str, counting: Sequence[str]) -> Counted:
        """Counts a request that needs only the number of its attempt."""
        space, (identity, rule, given) = self._space(namespace), Counting(*counting)
        state = space.values.get("state", "start")
        if given and given in space.values:
            return Counted(0, state)
        attempt = (space.attempts.get(identity) or 0) + 1
        space.attempts.put(identity, attempt)
        if rule:
            space.values[rule] = str(int(space.values.get(rule, "0")) + 1)
        return Counted(attempt, state)

    def decide(self, namespace: str, plan: Plan, now: float = 0.0) -> Decision:
        """Counts a request. `now` is the real time, for leases that are not renewed."""
        space = self._space(namespace)
        attempt = (space.attempts.get(plan["identity"]) or 0) + 1
        state = space.values.get("state", "start")
        decision = undecided(attempt, state)
        if plan["first"] and not plan["first"] <= attempt <= plan["last"]:
            decision["again"] = True
            return decision
        place = attempt - plan["first"] if plan["first"] else 0
        rule = _find(space, plan["rules"], state, place, decision)
        decision["balance"] = balance = balance_in(space.values, plan["account"])
        if plan["account"] is not None and plan["account"]["guards"] and balance is not None and units_of(balance) <= 0:
            decision["refused"] = "balance"
        if not decision["refused"]:
            _admit(space, plan, decision, now)
        if plan["rate"] is not None and not decision["refused"]:
            _rate(space, plan["rate"], plan["now"], decision)
        faults = [*plan["faults"], *(rule["faults"] if rule is not None else ())]
        decision["faults"] = [_count_fault(space, fault, place) for fault in faults]
        if plan["prefixes"] is not None:
            breaks = any(row[2] and fault["refuses"] for row, fault in zip(decision["faults"], faults, strict=True))
            is_error = rule is not None and decision["reply"] in rule["errors"]
            keeps = not (decision["refused"] or is_error or breaks)
            decision["prefix"] = _look_up(space, plan["prefixes"], plan["now"], keeps=keeps)
        if plan["identity"]:
            space.attempts.put(plan["identity"], attempt)
        return decision

    def settle(self, namespace: str, settlement: Settlement) -> None:
        """Records what a request has used."""
        space, owner = self._space(namespace), f"x:{settlement['owner']}"
        last = space.tallies.get(owner)
        if last is not None and settlement["number"] <= last[0]:
            return
        space.tallies.put(owner, [settlement["number"]])
        if settlement["account"] is not None:
            _charge(space, settlement["account"], units_of(settlement["cost"]))
        if settlement["tokens"]:
            for quota in settlement["quotas"]:
                if _is_windowed(quota):
                    end, requests, tokens = _tally(space, quota, settlement["now"])
                    space.tallies.put(f"q:{quota['key']}", [end, requests, tokens + settlement["tokens"]])
        if settlement["rate"] is not None:
            _take(space, settlement["rate"], settlement["now"], 0.0, *settlement["used"])
        for key in settlement["closes"]:
            space.leases.get(key, {}).pop(settlement["lease"], None)

    def change(self, namespace: str, change: Change) -> Amount | None:
        """Makes a change for the control API, unless it was already made. Returns the new balance, if it is
        about one."""
        space, account, order = self._space(namespace), change["account"], change["order"]
        if not order or order > space.order:
            space.order = max(order, space.order)
            self._do(namespace, space, change)
            space = self._space(namespace)
        return None if account is None else balance_in(space.values, account)

    def _do(self, namespace: str, space: _Space, change: Change) -> None:
        account, amount, values = change["account"], change["amount"], space.values
        match change["kind"]:
            case "reset":
                self._spaces[namespace] = _Space(order=space.order)
            case "restart":
                _restart(space, change)
            case "give":
                assert account is not None
                values[account["given"]] = "-" if amount is None else written(amount)
            case "top_up":
                assert account is not None
                assert amount is not None
                balance = balance_in(space.values, account)
                if balance is not None:
                    values[account["given"]] = _text(units_of(balance) + units_of(amount))
            case "forget":  # pragma: no branch - there is no other kind
                for key in change["keys"]:
                    values.pop(key, None)

    def snapshot(self, namespace: str) -> Snapshot:
        """Returns what the control API shows."""
        return Snapshot(values=dict(self._space(namespace).values))

    def save(self, namespace: str, documents: Sequence[Sequence[str]]) -> None:
        """Keeps stored responses; an empty one is deleted."""
        space = self._space(namespace)
        for id, document in documents:
            _drop_response(space, id)
            if document:
                space.responses[id] = document
                space.response_bytes += len(document.encode())
                space.holders.update(dict.fromkeys(_items_of(document), id))
        while len(space.responses) > MAX_STORED or space.response_bytes > MAX_STORED_BYTES:
            _drop_response(space, next(iter(space.responses)))

    def load(self, namespace: str, ids: Sequence[str]) -> list[str]:
        """The stored responses with these ids, or with items that have them; empty if there are none."""
        space = self._space(namespace)
        return [space.responses.get(id) or space.responses.get(space.holders.get(id, ""), "") for id in ids]

    def lost(self, owner: str) -> None:
        """Releases everything that a process held, since it is gone."""
        for space in self._spaces.values():
            for held in space.leases.values():
                for lease in [lease for lease in held if lease.startswith(f"{owner}:")]:
                    del held[lease]

    def _space(self, namespace: str) -> _Space:
        space = self._spaces.get(namespace)
        if space is None:
            space = self._spaces[namespace] = _Space()
            if len(self._spaces) > MAX_SPACES:
                self._spaces.popitem(last=False)
        else:
            self._spaces.move_to_end(namespace)
        return space


def _items_of(document: str) -> list[str]:
    return document.partition("\n")[0].split()


def _drop_response(space: _Space, id: str) -> None:
    document = space.responses.pop(id, None)
    if document is not None:
        space.response_bytes -= len(document.encode())
        for item in _items_of(document):
            if space.holders.get(item) == id:
                del space.holders[item]


def _find(space: _Space, rules: list[RulePlan], state: str, place: int, decision: Decision) -> RulePlan | None:
    """Returns the first rule that matches and is not used up, and counts its use."""
    values = space.values
    for number, rule in enumerate(rules):
        when = rule["when"]
        if when:
            mask = when.get(f"={state}", when.get(OTHER_STATE, ""))
            if mask[place : place + 1] != "1":
                continue
        key = f"u:{rule['key']}"
        used = int(values.get(key, "0"))
        reply = _reply(rule, used, place)
        if reply < 0:
            continue
        values[key] = str(used + 1)
        decision["rule"], decision["reply"] = number, reply
        new = rule["sets"][reply] if rule["sets"] else None
        if new is not None:
            values["state"] = new
        return rule
    return None


def _reply(rule: RulePlan, used: int, place: int) -> int:
    """Returns the index of the reply for use number `used`; -1: the rule is used up."""
    if 0 <= rule["times"] <= used:
        return -1
    if rule["drawn"]:
        return rule["drawn"][place]
    if used < rule["replies"]:
        return used
    if rule["then"] == "cycle":
        return used % rule["replies"]
    return rule["replies"] - 1 if rule["then"] == "repeat_last" else -1


def balance_in(values: Mapping[str, str], account: AccountPlan | None) -> Amount | None:
    """Returns the balance of an account; None: unlimited, or no such account."""
    if account is None:
        return None
    given = values.get(account["given"])
    if given is not None:
        return None if given == "-" else read(given)
    if account["balance"] is None:
        return None
    spent = values.get(account["spent"], "0 0")
    return limbs(units_of(account["balance"]) - units_of(read(spent)))


def _charge(space: _Space, account: AccountPlan, cost: int) -> None:
    values, given = space.values, space.values.get(account["given"])
    if given is not None and given != "-":
        values[account["given"]] = _text(units_of(read(given)) - cost)
    elif account["spent"]:
        values[account["spent"]] = _text(units_of(read(values.get(account["spent"], "0 0"))) + cost)


def _text(units: int) -> str:
    return written(limbs(units))


def _is_windowed(quota: QuotaPlan) -> bool:
    return quota["requests"] >= 0 or quota["tokens"] >= 0


def _tally(space: _Space, quota: QuotaPlan, now: float) -> tuple[float, float, float]:
    """Returns the end of the window, and what was used in it."""
    found = space.tallies.get(f"q:{quota['key']}")
    if found is None or now >= found[0]:
        return quota["end"], 0, 0
    return found[0], found[1], found[2]


def _admit(space: _Space, plan: Plan, decision: Decision, now: float) -> None:
    """Uses what the request needs of its quotas, or returns the quota that refuses."""
    quotas, tallies = plan["quotas"], []
    for number, quota in enumerate(quotas):
        tally = _tally(space, quota, plan["now"])
        tallies.append(tally)
        refused: Refusal = ""
        if quota["concurrency"] >= 0:
            held = space.leases.setdefault(quota["key"], {})
            for lease in [lease for lease, until in held.items() if until <= now]:
                del held[lease]
            decision["open"] = len(held)
            if decision["open"] >= quota["concurrency"]:
                refused = "concurrency"
        if not refused and 0 <= quota["requests"] <= tally[1]:
            refused = "requests"
        if not refused and 0 <= quota["tokens"] <= tally[2]:
            refused = "tokens"
        if refused:
            decision["refused"], decision["quota"], decision["end"] = refused, number, tally[0]
            return
    decision["tokens"] = [int(tally[2]) for tally in tallies]
    for quota, (end, requests, tokens) in zip(quotas, tallies, strict=True):
        if _is_windowed(quota):
            space.tallies.put(f"q:{quota['key']}", [end, requests + 1, tokens])
        if quota["concurrency"] >= 0:
            space.leases[quota["key"]][plan["lease"]] = now + LEASE_SECONDS


def _drained(space: _Space, rate: RatePlan, now: float) -> tuple[float, float, float]:
    found = space.tallies.get(f"r:{rate['key']}")
    if found is None:
        return 0.0, 0.0, 0.0
    share = max(0.0, now - found[2]) / MINUTE
    return (
        max(0.0, found[0] - share * rate["requests"]),
        max(0.0, found[1] - share * rate["tokens"]),
        max(0.0, found[3] - share * max(0, rate["output"])),
    )


def _take(space: _Space, rate: RatePlan, now: float, requests: float, tokens: float, output: float) -> list[float]:
    used = _drained(space, rate, now)
    requests = min(used[0] + requests, rate["requests"])
    tokens = min(used[1] + tokens, rate["tokens"])
    output = min(used[2] + output, max(0, rate["output"]))
    space.tallies.put(f"r:{rate['key']}", [requests, tokens, now, output])
    return [requests, tokens, output]


def _rate(space: _Space, rate: RatePlan, now: float, decision: Decision) -> None:
    used = _drained(space, rate, now)
    limits = (rate["requests"], rate["tokens"], rate["output"])
    is_used_up = any(
        limit >= 0 and floor(limit - amount + 1e-6) < 1 for limit, amount in zip(limits, used, strict=True)
    )
    if rate["is_enforced"] and is_used_up:
        decision["refused"], decision["used"] = "rate", list(used)
    else:
        decision["used"] = _take(space, rate, now, 1.0, 0.0, 0.0)


def _count_fault(space: _Space, fault: FaultPlan, place: int) -> list[int]:
    key = f"f:{fault['key']}"
    if fault["is_loose"]:
        loose = space.tallies.get(key)
        seen, struck = (int(loose[0]), int(loose[1])) if loose is not None else (0, 0)
    else:
        seen, struck = map(int, space.values.get(key, "0 0").split(" "))
    strikes = (
        seen >= fault["skip"]
        and not 0 <= fault["times"] <= struck
        and (not fault["hits"] or fault["hits"][place : place + 1] == "1")
    )
    seen, struck = seen + 1, struck + strikes
    if fault["is_loose"]:
        space.tallies.put(key, [seen, struck])
    else:
        space.values[key] = f"{seen} {struck}"
    return [seen, struck, int(strikes)]


def _look_up(space: _Space, prefixes: PrefixPlan, now: float, *, keeps: bool) -> int:
    found = 0
    for number, mark in enumerate(prefixes["look"], 1):
        until = space.prefixes.get(mark)
        if until is not None and until > now:
            found = number
    if keeps:
        for mark, until in prefixes["keep"]:
            space.prefixes.put(mark, max(until, space.prefixes.get(mark) or 0.0))
    return found


def _restart(space: _Space, change: Change) -> None:
    """Resets the counters of a scenario's rules and faults."""
    values, token = space.values, change["token"]
    if token and values.get("scenario") == token:
        return
    stays = tuple(change["keys"])
    for key in [key for key in values if key[:2] in ("u:", "f:") and not key.startswith(stays)]:
        del values[key]
    values["scenario"] = token
    if change["renews_quotas"]:
        space.tallies.drop("q:")
        for key in [key for key in values if key.startswith("g:")]:
            del values[key]
