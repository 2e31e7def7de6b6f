"""What requests decide together: the plan of one request, and what a store makes of it.

A request is first matched on its own: whatever depends only on it and on the scenario is found out where it arrived.
What is left is its `Plan`: plain data that says which counters it looks at and what follows from each of their values.
A store takes it in one step and gives the `Decision`. So every store decides alike, wherever it is: `MemoryStore` in
the parent of several workers, and a script in Redis, which does the same line for line (`store.lua`).

A server alone needs no plan: its namespaces count in their own memory.
"""

from collections.abc import Mapping, Sequence
from decimal import ROUND_HALF_EVEN, Context, Decimal
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, NotRequired, Protocol, TypedDict

if TYPE_CHECKING:
    from asyncio import Future

    from emulator.state.memory_store import MemoryStore

Amount = list[int]
"""Money in units of 1e-18 USD, as two whole numbers: `high * BASE + low`. Lua's floats hold both exactly."""
BASE = 10**15
PLACES = 18
_EXACT = Context(prec=80, rounding=ROUND_HALF_EVEN)
MAX_RECENT = 20_000
"""The most attempts and prefixes of one namespace that are kept in a generation; the one before it is kept too."""
MAX_TALLIES = 10_000
"""The same for quotas, limits per minute and faults that requests ask for."""
FOREVER = 1e300
"""The end of a window that has none."""
LEASE_SECONDS = 15.0
"""Seconds after which a lease that nobody renews is over: its owner was killed."""
LASTING_COUNTS = ("u:added-", "f:live-", "f:queue-", "f:server ")
"""The beginnings of the counters that outlive a scenario."""
OTHER_STATE = "*"
"""In `RulePlan.when`: any state that isn't listed."""
Refusal = Literal["", "balance", "concurrency", "requests", "tokens", "rate"]


class FaultPlan(TypedDict):
    """A fault that may strike, and is counted."""

    key: str
    is_loose: bool
    """Whether its counts may be dropped: a request asks for it, so there is no end of them."""
    skip: int
    times: int
    """-1: any number."""
    hits: str
    """For each attempt of the plan `1` or `0`: whether its probability lets it strike; empty: always."""
    refuses: bool
    """Whether it gives an error instead of an answer, so that the prompt isn't cached."""


class RulePlan(TypedDict):
    """A rule that may answer."""

    key: str
    when: dict[str, str]
    """By `=STATE` or OTHER_STATE, for each attempt `1` or `0`: whether it matches; empty: always."""
    drawn: list[int]
    """The reply for each attempt, if replies are drawn."""
    replies: int
    then: str
    times: int
    """-1: any number."""
    sets: list[str | None]
    """The state that each reply sets; empty if none does."""
    errors: list[int]
    """The replies that are errors, so that the prompt isn't cached."""
    faults: list[FaultPlan]


class AccountPlan(TypedDict):
    """Whose balance counts."""

    given: str
    """The counter of a balance that was set at run time, which goes before the scenario's."""
    spent: str
    """The counter of what the scenario's account has spent; empty: nobody asks, as it has no balance."""
    balance: Amount | None
    """What the scenario's account has at first; None: it is unlimited."""
    guards: bool
    """Whether a balance that is used up refuses the request."""


class QuotaPlan(TypedDict):
    """A quota that counts the request. -1: it has no such limit."""

    key: str
    end: float
    """The end of a window that begins now."""
    requests: int
    tokens: int
    concurrency: int


class RatePlan(TypedDict):
    """Limits per minute."""

    key: str
    requests: int
    tokens: int
    output: int
    """-1: answers are not counted apart."""
    is_enforced: bool


class PrefixPlan(TypedDict):
    """The beginnings of the prompt that may be cached, shortest first."""

    look: list[str]
    keep: list[tuple[str, float]]
    """Those to remember if the request is answered, and until when."""


class Plan(TypedDict):
    """All that one request needs of the store."""

    now: float
    identity: str
    """What makes the request the same as another, in hexadecimal digits; empty: attempts are not counted."""
    first: int
    last: int
    """The attempts for which it was made; 0: it is the same for all."""
    rules: list[RulePlan]
    account: AccountPlan | None
    quotas: list[QuotaPlan]
    lease: str
    """The name of the request's lease: its owner, a colon and a number."""
    rate: RatePlan | None
    faults: list[FaultPlan]
    prefixes: PrefixPlan | None


class Decision(TypedDict):
    """What the store has decided."""

    again: bool
    """The attempt is another than the plan was made for. Nothing was counted: plan again, for `attempt`."""
    attempt: int
    state: str
    """As the request found it."""
    rule: int
    """Its place in the plan; -1: none."""
    reply: int
    refused: Refusal
    quota: int
    """The place of the quota that refuses."""
    open: int
    """How many answers of it are open."""
    end: float
    """The end of its window."""
    balance: Amount | None
    """None: unlimited, or no such account."""
    tokens: list[int]
    """What each quota had used before."""
    used: list[float]
    """Requests, tokens and output that count against the limits per minute; empty without limits."""
    faults: list[list[int]]
    """For each fault of the plan, then of the rule: how many requests it has seen, how many it struck, and 1 if it
    strikes this one."""
    salt: NotRequired[int]
    """What tells ids of this process from others', as it has decided alone."""
    prefix: int
    """How many of the beginnings are cached: the place of the longest, from 1."""


class Counting(NamedTuple):
    """What is counted of a request that needs only the number of its attempt."""

    identity: str
    rule: str
    """The counter of the rule that answers; may be empty."""
    given: str
    """The counter of a balance that its account must not have; may be empty."""


class Counted(NamedTuple):
    """What the store has counted."""

    attempt: int
    """0: nothing was counted, as the account has a balance: the request needs a plan."""
    state: str


class Settlement(TypedDict):
    """What a request has used, once that is known."""

    owner: str
    number: int
    """The owner's settlements are numbered from 1, so that each counts once, however often it is sent."""
    now: float
    account: AccountPlan | None
    cost: Amount
    quotas: list[QuotaPlan]
    tokens: int
    rate: RatePlan | None
    used: list[float]
    """Tokens and output, for the limits per minute."""
    lease: str
    closes: list[str]
    """The quotas whose lease is over."""


ChangeKind = Literal["reset", "restart", "give", "top_up", "forget"]


class Change(TypedDict):
    """What the control API changes."""

    kind: ChangeKind
    order: int
    """Its place among all changes: one that came already is skipped, as every server sends it. 0: it is always done."""
    token: str
    """For `restart`: which scenario begins; skipped if it has begun already. Empty: it is always done."""
    keys: list[str]
    """For `forget`: the counters to drop. For `restart`: the beginnings of those that stay."""
    account: AccountPlan | None
    amount: Amount | None
    """For `give` and `top_up`; None: unlimited."""
    renews_quotas: bool
    """For `restart`: whether quotas and given balances begin anew."""


class Snapshot(TypedDict):
    """What the control API shows."""

    values: dict[str, str]
    """`state`; `u:RULE` uses; `f:FAULT` seen and struck; `g:ACCOUNT` given; `s:KEY` spent."""


class Store(Protocol):
    """Where a server's requests decide together."""

    @property
    def name(self) -> str:
        """For messages."""
        ...

    @property
    def owner(self) -> str:
        """The name of this process among all that use the store."""
        ...

    @property
    def fallback(self) -> "MemoryStore":
        """What decides about requests that need no shared state while the store is gone."""
        ...

    @property
    def decides_all(self) -> bool:
        """Whether every request asks it, also one that shares nothing but the number of its attempt."""
        ...

    def count(self, namespace: str, counting: Counting) -> "Future[Counted]":
        """Counts a request that can do without the store. The future raises StoreGone."""
        ...

    async def decide(self, namespace: str, plan: Plan, *, is_needed: bool = True) -> Decision:
        """Raises StoreGone: sooner for a request that can do without."""
        ...

    def settle(self, namespace: str, settlement: Settlement) -> "Future[None]":
        """Without waiting. It is kept until the store has it, which the future says; it never fails."""
        ...

    async def change(self, namespace: str, change: Change) -> Amount | None:
        """The balance after it, if it is about an account. Raises StoreGone."""
        ...

    async def snapshot(self, namespace: str) -> Snapshot:
        """Raises StoreGone."""
        ...


def change_of(kind: ChangeKind, order: int, **more: Any) -> Change:
    """A change, and what it says beyond its kind."""
    change = Change(kind=kind, order=order, token="", keys=[], account=None, amount=None, renews_quotas=False)
    change.update(more)  # type: ignore[typeddict-item]
    return change


def amount_of(value: Decimal) -> Amount:
    """An amount in USD, exactly; what is beyond 1e-18 is rounded."""
    return limbs(int(value.scaleb(PLACES, _EXACT).to_integral_value(context=_EXACT)))


def limbs(units: int) -> Amount:
    return list(divmod(units, BASE))


def units_of(amount: Sequence[int]) -> int:
    return amount[0] * BASE + amount[1]


def decimal_of(amount: Sequence[int]) -> Decimal:
    """An amount in USD."""
    return Decimal(units_of(amount)).scaleb(-PLACES, _EXACT).normalize(_EXACT)


def written(amount: Sequence[int]) -> str:
    """As it stands in a counter."""
    return f"{amount[0]} {amount[1]}"


def read(text: str) -> Amount:
    high, low = text.split(" ")
    return [int(high), int(low)]


def undecided(attempt: int, state: str) -> Decision:
    """A decision for what needs none but the number of its attempt."""
    return Decision(
        again=False, attempt=attempt, state=state, rule=-1, reply=0, refused="", quota=-1, open=0, end=0.0,
        balance=None, tokens=[], used=[], faults=[], prefix=0,
    )  # fmt: skip


def decision_of(raw: Mapping[str, Any]) -> Decision:
    """A decision as a script writes it: floats and money are texts there, and empty lists may be empty objects."""
    balance = raw["balance"]
    return Decision(
        again=raw["again"],
        attempt=raw["attempt"],
        state=raw["state"],
        rule=raw["rule"],
        reply=raw["reply"],
        refused=raw["refused"],
        quota=raw["quota"],
        open=raw["open"],
        end=float(raw["end"]),
        balance=read(balance) if balance else None,
        tokens=list(raw["tokens"]),
        used=[float(each) for each in raw["used"]],
        faults=[list(each) for each in raw["faults"]],
        prefix=raw["prefix"],
    )
