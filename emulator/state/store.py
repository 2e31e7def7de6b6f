"""Decisions that depend on other requests: the plan of a request, and a store's decision on it.

A request is first matched on its own: the process that receives it determines whatever depends only on the request and
the scenario. The rest is its `Plan`: plain data that says which counters matter and what follows from each of their
values. A store executes it in one step and returns the `Decision`. So every store decides in the same way:
`MemoryStore` in the parent of several workers, and a script in Redis, which does the same line for line (`store.lua`).

A single server needs no plan: its namespaces count in their own memory.
"""

from collections.abc import Mapping, Sequence
from decimal import ROUND_HALF_EVEN, Context, Decimal
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, NotRequired, Protocol, TypedDict

if TYPE_CHECKING:
    from asyncio import Future

    from emulator.state.memory_store import MemoryStore
    from emulator.state.store_reply import StoreReply

Amount = list[int]
"""Money in units of 1e-18 USD, as two integers: `high * BASE + low`. Lua's floats represent both exactly."""
BASE = 10**15
PLACES = 18
_EXACT = Context(prec=80, rounding=ROUND_HALF_EVEN)
MAX_RECENT = 20_000
"""The most attempts and prefixes of a namespace in one generation; the previous generation is also kept."""
MAX_TALLIES = 10_000
"""The same for quotas, limits per minute and faults that requests ask for."""
FOREVER = 1e300
"""The end of a window without an end."""
LEASE_SECONDS = 15.0
"""Seconds after which a lease that is not renewed ends, since its owner was killed."""
MAX_STORED_BYTES = 32 * 2**20
"""The most bytes of stored responses in one namespace; the oldest are dropped first."""
LASTING_COUNTS = ("u:added-", "f:live-", "f:queue-", "f:server ")
"""The prefixes of the counters that outlive a scenario."""
OTHER_STATE = "*"
"""In `RulePlan.when`: any state that isn't listed."""
Refusal = Literal["", "balance", "concurrency", "requests", "tokens", "rate"]


class FaultPlan(TypedDict):
    """A fault that may apply and is counted."""

    key: str
    is_loose: bool
    """Whether its counts may be dropped: requests ask for it, so their number is unbounded."""
    skip: int
    times: int
    """-1: no limit."""
    hits: str
    """For each attempt of the plan, `1` or `0`: whether its probability lets it apply; empty: always."""
    refuses: bool
    """Whether it responds with an error, so that the prompt isn't cached."""


class RulePlan(TypedDict):
    """A rule that may answer."""

    key: str
    when: dict[str, str]
    """For each `=STATE` or OTHER_STATE: `1` or `0` for each attempt, whether it matches; empty: always."""
    drawn: list[int]
    """The reply for each attempt, if replies are chosen at random."""
    replies: int
    then: str
    times: int
    """-1: no limit."""
    sets: list[str | None]
    """The state that each reply sets; empty if none does."""
    errors: list[int]
    """The replies that are errors, so that the prompt isn't cached."""
    faults: list[FaultPlan]


class AccountPlan(TypedDict):
    """The account whose balance counts."""

    given: str
    """The counter of a balance that was set at run time, which overrides the scenario's."""
    spent: str
    """The counter of what the scenario's account has spent; empty if it has no balance."""
    balance: Amount | None
    """The initial balance of the scenario's account; None: unlimited."""
    guards: bool
    """Whether an exhausted balance refuses the request."""


class QuotaPlan(TypedDict):
    """A quota that counts the request. -1: no such limit."""

    key: str
    end: float
    """The end of a window that would begin now."""
    requests: int
    tokens: int
    concurrency: int


class RatePlan(TypedDict):
    """Limits per minute."""

    key: str
    requests: int
    tokens: int
    output: int
    """-1: output is not counted separately."""
    is_enforced: bool


class PrefixPlan(TypedDict):
    """The prefixes of the prompt that may be cached, shortest first."""

    look: list[str]
    keep: list[tuple[str, float]]
    """The prefixes to cache if the request is answered, and until when."""


class Plan(TypedDict):
    """Everything that one request needs from the store."""

    now: float
    identity: str
    """The digest of the request in hexadecimal digits; empty: attempts are not counted."""
    first: int
    last: int
    """The attempts for which the plan was made; 0: it is the same for all."""
    rules: list[RulePlan]
    account: AccountPlan | None
    quotas: list[QuotaPlan]
    lease: str
    """The name of the request's lease: owner, colon, number."""
    rate: RatePlan | None
    faults: list[FaultPlan]
    prefixes: PrefixPlan | None


class Decision(TypedDict):
    """The store's decision."""

    again: bool
    """Whether the plan was made for other attempts. Then nothing was counted: plan again for `attempt`."""
    attempt: int
    state: str
    """The state before the request."""
    rule: int
    """The index of the rule in the plan; -1: none."""
    reply: int
    refused: Refusal
    quota: int
    """The index of the quota that refuses."""
    open: int
    """The number of its open answers."""
    end: float
    """The end of its window."""
    balance: Amount | None
    """None: unlimited, or no such account."""
    tokens: list[int]
    """The tokens of each quota that were used before."""
    used: list[float]
    """Requests, tokens and output that count against the limits per minute; empty without limits."""
    faults: list[list[int]]
    """For each fault of the plan, then of the rule: how many requests it has seen, how many it applied to, and 1 if
    it applies to this one.
    """
    salt: NotRequired[int]
    """Distinguishes ids from those of other processes, if this process has decided alone."""
    prefix: int
    """How many of the prefixes are cached: the number of the longest one, from 1."""


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
    """What a request has used, after its answer."""

    owner: str
    number: int
    """The owner's settlements are numbered from 1, so that each counts once, even if it is sent several times."""
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
    """The quotas whose lease ends."""


ChangeKind = Literal["reset", "restart", "give", "top_up", "forget"]


class Change(TypedDict):
    """A change by the control API."""

    kind: ChangeKind
    order: int
    """Its number among all changes: since every server sends it, repetitions are skipped. 0: it is always made."""
    token: str
    """For `restart`: identifies the scenario; skipped if that one has already started. Empty: it is always made."""
    keys: list[str]
    """For `forget`: the counters to drop. For `restart`: the prefixes of the counters to keep."""
    account: AccountPlan | None
    amount: Amount | None
    """For `give` and `top_up`; None: unlimited."""
    renews_quotas: bool
    """For `restart`: whether to reset quotas and balances set at run time."""


class Snapshot(TypedDict):
    """What the control API shows of a namespace."""

    values: dict[str, str]
    """`state`; `u:RULE`: uses; `f:FAULT`: seen and applied; `g:ACCOUNT`: balance set at run time; `s:KEY`: spent."""


class Store(Protocol):
    """Makes the decisions that depend on other requests."""

    @property
    def name(self) -> str:
        """The store's name in messages."""
        ...

    @property
    def owner(self) -> str:
        """The name of this process, unique in the store."""
        ...

    @property
    def fallback(self) -> "MemoryStore":
        """The store that decides about requests without shared state while this store is gone."""
        ...

    @property
    def decides_all(self) -> bool:
        """Whether every request uses it, even one that shares only the number of its attempt."""
        ...

    def count(self, namespace: str, counting: Counting) -> "StoreReply[Counted]":
        """Counts a request that can do without the store. The reply raises StoreGone."""
        ...

    async def decide(self, namespace: str, plan: Plan, *, is_needed: bool = True) -> Decision:
        """Executes a plan. Raises StoreGone, sooner for a request that doesn't need the store."""
        ...

    def settle(self, namespace: str, settlement: Settlement) -> "Future[None]":
        """Records a settlement without waiting. It is kept until the store confirms it; then the future is done. It
        never fails.
        """
        ...

    async def change(self, namespace: str, change: Change) -> Amount | None:
        """Makes a change. Returns the new balance, if it is about an account. Raises StoreGone."""
        ...

    async def snapshot(self, namespace: str) -> Snapshot:
        """Raises StoreGone."""
        ...

    async def save(self, namespace: str, documents: Sequence[tuple[str, str]]) -> None:
        """Keeps stored responses, each an id and a text whose first line has the ids of its items; an empty one is
        deleted. Raises StoreGone."""
        ...

    async def load(self, namespace: str, ids: Sequence[str]) -> list[str]:
        """The stored responses with these ids, or with items that have them; empty if there are none. Raises
        StoreGone."""
        ...


def change_of(kind: ChangeKind, order: int, **more: Any) -> Change:
    """Makes a change with default values."""
    change = Change(kind=kind, order=order, token="", keys=[], account=None, amount=None, renews_quotas=False)
    change.update(more)  # type: ignore[typeddict-item]
    return change


def amount_of(value: Decimal) -> Amount:
    """Converts an amount in USD exactly, rounded to 1e-18."""
    return limbs(int(value.scaleb(PLACES, _EXACT).to_integral_value(context=_EXACT)))


def limbs(units: int) -> Amount:
    return list(divmod(units, BASE))


def units_of(amount: Sequence[int]) -> int:
    return amount[0] * BASE + amount[1]


def decimal_of(amount: Sequence[int]) -> Decimal:
    """Converts to an amount in USD."""
    return Decimal(units_of(amount)).scaleb(-PLACES, _EXACT).normalize(_EXACT)


def written(amount: Sequence[int]) -> str:
    """Formats an amount for a counter."""
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
    """Parses a decision of the script, where floats and money are strings, and empty lists may be empty objects."""
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
