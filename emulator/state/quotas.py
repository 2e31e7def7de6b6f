"""Balances, and quotas that count requests, tokens and open answers."""

from collections.abc import Iterator, Sequence
from dataclasses import field
from datetime import UTC, datetime
from decimal import Decimal
from math import ceil, inf, isinf
from re import Pattern

from emulator.errors import UsageError
from emulator.matching.conditions.values import glob_pattern
from emulator.providers.base import Allotment, Provider, ProviderError, provider_error
from emulator.records import record, struct
from emulator.reply import Usage
from emulator.scenario.models import Account, QuotaModel

MAX_GIVEN = 10_000
"""The most accounts whose balance may be set at run time."""
MAX_TALLIES = 10_000
"""The most pairs of quota and key; the oldest is dropped first."""


@record
class Quota:
    """A limit per key. Counted: `requests` and `tokens` in each window, `concurrency` at any moment."""

    number: int
    providers: tuple[str, ...] | None
    key: Pattern[str] | None
    requests: int | None
    tokens: int | None
    concurrency: int | None
    seconds: float | None
    """The length of a window; None for the calendar month."""
    refuses_crossing: bool = False
    """Whether a call that crosses the token limit gets no answer."""

    def covers(self, provider: str, key: str) -> bool:
        return (self.providers is None or provider in self.providers) and (
            self.key is None or self.key.match(key) is not None
        )


def quota_of(number: int, model: QuotaModel) -> Quota:
    """A quota of the scenario, compiled."""
    return Quota(
        number=number,
        providers=model.provider,
        key=glob_pattern(model.key) if model.key is not None else None,
        requests=model.requests,
        tokens=model.tokens,
        concurrency=model.concurrency,
        seconds=model.per,
    )


def quota_of_plan(number: int, provider: str, allotment: Allotment) -> Quota:
    """Returns the quota for a product's included tokens, per key."""
    seconds = None if allotment.is_monthly else inf
    return Quota(number, (provider,), None, None, allotment.tokens, None, seconds, allotment.refuses_crossing)


_OWN = Quota(-1, None, None, None, None, None, None)
"""Stands for a provider's own limit on a model, for the whole account."""


@struct
class UsageCounter:
    """What one key has used of a quota in the window until `end` (Unix time)."""

    end: float = 0.0
    requests: int = 0
    tokens: int = 0
    open: int = 0


@struct
class Quotas:
    """The balances and quotas of one namespace."""

    defined: Sequence[Quota] = ()
    accounts: Sequence[Account] = ()
    spent: dict[str, Decimal] = field(default_factory=dict)
    """By key, in USD."""
    given: dict[tuple[str, str], Decimal | None] = field(default_factory=dict)
    """Balances set at run time, by provider and key; None is unlimited."""
    _counters: dict[tuple[int, str, str], UsageCounter] = field(default_factory=dict)

    @property
    def is_empty(self) -> bool:
        return not self.defined and not self.accounts and not self.given

    def balance(self, provider: str, key: str) -> Decimal | None:
        """The balance of an account; None if it is unlimited or doesn't exist."""
        if (provider, key) in self.given:
            return self.given[provider, key]
        for account in self.accounts:
            if account.key == key and account.provider in (None, provider) and account.balance is not None:
                return account.balance - self.spent.get(key, Decimal(0))
        return None

    def give(self, provider: str, key: str, balance: Decimal | None) -> None:
        """Sets the balance of an account; None is unlimited. Raises UsageError."""
        if (provider, key) not in self.given and len(self.given) >= MAX_GIVEN:
            raise UsageError(f"{MAX_GIVEN} accounts have a balance already. Reset the namespace first.")
        self.given[provider, key] = balance

    def knows(self, provider: str, key: str) -> bool:
        """Whether the account exists."""
        return (provider, key) in self.given or any(
            account.key == key and account.provider in (None, provider) for account in self.accounts
        )

    def rows(self) -> "Iterator[tuple[str | None, str, Decimal | None]]":
        """The provider (None: any), key and balance of each account."""
        for (provider, key), left in self.given.items():
            yield provider, key, left
        for account in self.accounts:
            if (account.provider, account.key) not in self.given:
                balance = account.balance
                yield (
                    account.provider,
                    account.key,
                    None if balance is None else balance - self.spent.get(account.key, Decimal(0)),
                )

    def open(
        self, provider: Provider, key: str, now: float, model: str = "", concurrency: int | None = None
    ) -> "Lease":
        """Counts a new request, or raises the provider's own error. `now` is Unix time.

        The returned lease has what the request uses, and must be closed once the answer has ended in any way.
        `concurrency` is the limit on the account's open answers from the model, for all keys together. A request whose
        answer exceeds a token limit still succeeds; the next one is rejected."""
        balance = self.balance(provider.name, key)
        if balance is not None and balance <= 0:
            raise provider_error("insufficient_balance")
        counters = [
            (quota, self._counter(quota, provider.name, key, now)) for quota in self.covering(provider.name, key)
        ]
        own = None
        if concurrency is not None:
            own = self._counter(_OWN, provider.name, model, now)
            if own.open >= concurrency:
                raise too_many_open(provider, own.open, concurrency)
        for quota, counter in counters:
            if quota.concurrency is not None and counter.open >= quota.concurrency:
                raise too_many_open(provider, counter.open, quota.concurrency)
            over_requests = quota.requests is not None and counter.requests >= quota.requests
            over_tokens = quota.tokens is not None and counter.tokens >= quota.tokens
            if over_requests or over_tokens:
                raise used_up(provider, quota, counter.end, now, by_requests=over_requests)
        taken = tuple([counter for _, counter in counters] + ([own] if own is not None else []))
        for counter in taken:
            counter.requests += 1
            counter.open += 1
        limits = [
            (quota.tokens, counter)
            for quota, counter in counters
            if quota.refuses_crossing and quota.tokens is not None
        ]
        return Lease(self, provider.name, key, taken, tuple(limits))

    def charge(self, provider: str, key: str, usage: Usage, cost: Decimal, now: float) -> None:
        """Records the tokens and the price of an answer."""
        for quota in self.covering(provider, key):
            self._counter(quota, provider, key, now).tokens += usage.total
        if (left := self.given.get((provider, key))) is not None:
            self.given[provider, key] = left - cost
        elif any(account.key == key for account in self.accounts):
            self.spent[key] = self.spent.get(key, Decimal(0)) + cost

    def covering(self, provider: str, key: str) -> Iterator[Quota]:
        return (quota for quota in self.defined if quota.covers(provider, key))

    def _counter(self, quota: Quota, provider: str, key: str, now: float) -> UsageCounter:
        place = (quota.number, provider, key)
        counter = self._counters.get(place)
        if counter is None:
            if len(self._counters) >= MAX_TALLIES:
                del self._counters[self._oldest()]
            counter = self._counters[place] = UsageCounter(end_of_window(quota, now))
        elif now >= counter.end:
            counter.end, counter.requests, counter.tokens = end_of_window(quota, now), 0, 0
        return counter

    def _oldest(self) -> tuple[int, str, str]:
        """Returns the counter to drop: the first one without open answers, which would still need theirs."""
        return next(
            (place for place, counter in self._counters.items() if not counter.open), next(iter(self._counters))
        )


@struct
class Lease:
    """What an answer uses of the quotas. Closing it releases exactly that, once, even if the quotas have changed."""

    quotas: Quotas
    provider: str
    key: str
    counters: tuple[UsageCounter, ...]
    hard: tuple[tuple[int, UsageCounter], ...] = ()
    """The token limits that no answer may cross, and how much of them is used."""

    def crosses(self, usage: Usage) -> bool:
        """Whether an answer would cross one of these limits."""
        return any(counter.tokens + usage.total > most for most, counter in self.hard)

    def charge(self, usage: Usage, cost: Decimal, now: float) -> None:
        """Records the answer's tokens and price with the quotas that counted the request."""
        self.quotas.charge(self.provider, self.key, usage, cost, now)

    def close(self) -> None:
        """Releases what the answer uses. May be called more than once."""
        counters, self.counters = self.counters, ()
        for counter in counters:
            counter.open -= 1


def too_many_open(provider: Provider, now_open: int, most: int) -> ProviderError:
    """Returns the error for too many concurrent answers."""
    return provider_error("rate_limited", provider.concurrency_message(now_open + 1, most))


def used_up(provider: Provider, quota: Quota, end: float, now: float, *, by_requests: bool) -> ProviderError:
    """Returns the error for a quota that is used up until `end`."""
    words = None
    if by_requests and quota.requests is not None:
        words = provider.rate_limit_message(quota.requests, quota.seconds)
    wait = {} if isinf(end) else {"retry-after": str(max(1, ceil(end - now)))}
    return provider_error("rate_limited", words, headers=wait)


def end_of_window(quota: Quota, now: float) -> float:
    """Returns the end of a window that begins with this request; a month is a calendar month."""
    if quota.seconds is not None:
        return now + quota.seconds
    today = datetime.fromtimestamp(now, UTC)
    year, month = (today.year + 1, 1) if today.month == 12 else (today.year, today.month + 1)
    return datetime(year, month, 1, tzinfo=UTC).timestamp()
