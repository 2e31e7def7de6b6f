"""What keys may still do: balances that are spent, and quotas that count requests, tokens and open answers."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from math import ceil
from re import Pattern

from emulator.providers.base import Provider, refuse
from emulator.reply import Usage
from emulator.scenario import Account, QuotaModel, glob_pattern

MOST_TALLIES = 10_000
"""How many pairs of quota and key are remembered; the oldest is forgotten first."""


@dataclass(frozen=True, slots=True)
class Quota:
    """A limit per key. Counted: `requests` and `tokens` in each window, `concurrency` at any moment."""

    number: int
    providers: tuple[str, ...] | None
    key: Pattern[str] | None
    requests: int | None
    tokens: int | None
    concurrency: int | None
    seconds: float | None
    """The length of a window; None: the calendar month."""

    def covers(self, provider: str, key: str) -> bool:
        return (self.providers is None or provider in self.providers) and (
            self.key is None or self.key.match(key) is not None
        )


def quota_of(number: int, model: QuotaModel) -> Quota:
    """A quota as the scenario says it, made quick to ask."""
    return Quota(
        number=number,
        providers=model.provider,
        key=glob_pattern(model.key) if model.key is not None else None,
        requests=model.requests,
        tokens=model.tokens,
        concurrency=model.concurrency,
        seconds=model.per,
    )


@dataclass(slots=True)
class Tally:
    """What one key has used of one quota in the window that runs until `end` (Unix seconds)."""

    end: float = 0.0
    requests: int = 0
    tokens: int = 0
    open: int = 0


@dataclass(slots=True)
class Ledger:
    """The books of one namespace."""

    quotas: Sequence[Quota] = ()
    accounts: Sequence[Account] = ()
    spent: dict[str, Decimal] = field(default_factory=dict)
    """By key, in USD."""
    _tallies: dict[tuple[int, str, str], Tally] = field(default_factory=dict)

    @property
    def is_empty(self) -> bool:
        return not self.quotas and not self.accounts

    def balance(self, provider: str, key: str) -> Decimal | None:
        """What is left on an account; None when it is unlimited or there is none."""
        for account in self.accounts:
            if account.key == key and account.provider in (None, provider) and account.balance is not None:
                return account.balance - self.spent.get(key, Decimal(0))
        return None

    def open(self, room: Provider, key: str, now: float) -> "Lease":
        """A request begins: counted, or refused with the provider's own words. `now` is Unix time. What it took is in
        the lease, which has to be closed once the answer is over, however it ended.

        A request that only its answer shows to cross a limit of tokens still succeeds; the next one is refused."""
        balance = self.balance(room.name, key)
        if balance is not None and balance <= 0:
            raise refuse("insufficient_balance")
        tallies = [(quota, self._tally(quota, room.name, key, now)) for quota in self._covering(room.name, key)]
        for quota, tally in tallies:
            if quota.concurrency is not None and tally.open >= quota.concurrency:
                raise refuse("rate_limited", room.words_for_concurrency(tally.open + 1, quota.concurrency))
            over_requests = quota.requests is not None and tally.requests >= quota.requests
            over_tokens = quota.tokens is not None and tally.tokens >= quota.tokens
            if over_requests or over_tokens:
                words = room.words_for_quota(quota.requests, quota.seconds) if over_requests else None
                raise refuse("rate_limited", words, headers={"retry-after": str(max(1, ceil(tally.end - now)))})
        for _, tally in tallies:
            tally.requests += 1
            tally.open += 1
        return Lease(self, room.name, key, tuple(tally for _, tally in tallies))

    def charge(self, provider: str, key: str, usage: Usage, cost: Decimal, now: float) -> None:
        """The answer is known: its tokens and its price are put down."""
        for quota in self._covering(provider, key):
            self._tally(quota, provider, key, now).tokens += usage.total
        if any(account.key == key for account in self.accounts):
            self.spent[key] = self.spent.get(key, Decimal(0)) + cost

    def _covering(self, provider: str, key: str) -> Iterator[Quota]:
        return (quota for quota in self.quotas if quota.covers(provider, key))

    def _tally(self, quota: Quota, provider: str, key: str, now: float) -> Tally:
        place = (quota.number, provider, key)
        tally = self._tallies.get(place)
        if tally is None:
            if len(self._tallies) >= MOST_TALLIES:
                del self._tallies[self._oldest()]
            tally = self._tallies[place] = Tally(_end_of_window(quota, now))
        elif now >= tally.end:
            tally.end, tally.requests, tally.tokens = _end_of_window(quota, now), 0, 0
        return tally

    def _oldest(self) -> tuple[int, str, str]:
        """The tally to forget: the first under which no answer is open, for that one is still needed."""
        return next((place for place, tally in self._tallies.items() if not tally.open), next(iter(self._tallies)))


@dataclass(slots=True)
class Lease:
    """What one answer took of the quotas. It gives back exactly that, once, whatever became of the quotas meanwhile."""

    ledger: Ledger
    provider: str
    key: str
    tallies: tuple[Tally, ...]

    def charge(self, usage: Usage, cost: Decimal, now: float) -> None:
        """Put the answer's tokens and price down where the request was counted."""
        self.ledger.charge(self.provider, self.key, usage, cost, now)

    def close(self) -> None:
        """The answer is over. May be called more than once."""
        tallies, self.tallies = self.tallies, ()
        for tally in tallies:
            tally.open -= 1


def _end_of_window(quota: Quota, now: float) -> float:
    """A window begins with the first request in it; a month is the calendar's."""
    if quota.seconds is not None:
        return now + quota.seconds
    today = datetime.fromtimestamp(now, UTC)
    year, month = (today.year + 1, 1) if today.month == 12 else (today.year, today.month + 1)
    return datetime(year, month, 1, tzinfo=UTC).timestamp()
