"""What a request uses of balances, quotas and limits in a store that several processes share."""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from decimal import Decimal
from functools import lru_cache
from hashlib import blake2b
from itertools import count

from emulator.providers.base import Limits, Provider, ProviderError, provider_error
from emulator.records import struct
from emulator.reply import Usage
from emulator.state.quotas import Quota, Quotas, end_of_window, too_many_open, used_up
from emulator.state.store import (
    FOREVER,
    AccountPlan,
    Decision,
    QuotaPlan,
    RatePlan,
    Settlement,
    Store,
    amount_of,
    limbs,
)

PATIENCE = 0.4
"""Seconds that an answer waits for its charge to be confirmed."""
_NUMBERS = count(1)
"""Numbers for settlements and leases, counted in each process."""


def next_lease(store: Store) -> str:
    return f"{store.owner}:{next(_NUMBERS)}"


@lru_cache(4096)
def key_digest(*parts: str) -> str:
    """Returns a digest of a key: a store that others can read must not contain credentials."""
    return blake2b("\0".join(parts).encode("utf-8", "surrogatepass"), digest_size=12).hexdigest()


def account_name(provider: str, key: str) -> str:
    """The counter of a balance that was set at run time."""
    return f"g:{provider}:{key_digest(key)}"


def account_plan(quotas: Quotas, provider: str, key: str, *, guards: bool) -> AccountPlan:
    """Returns the account whose balance counts for a request with this key."""
    accounts = [account for account in quotas.accounts if account.key == key]
    balances = [each.balance for each in accounts if each.provider in (None, provider) and each.balance is not None]
    return AccountPlan(
        given=account_name(provider, key),
        spent=f"s:{key_digest(key)}" if any(each.balance is not None for each in accounts) else "",
        balance=amount_of(balances[0]) if balances else None,
        guards=guards,
    )


def quota_plans(
    quotas: Quotas, provider: str, key: str, model: str, concurrency: int | None, now: float
) -> list[tuple[Quota | None, QuotaPlan]]:
    """Returns the quotas that count a request. None is the provider's own limit for a model and the whole account."""
    return list(_quota_plans(quotas, provider, key, model, concurrency, now))


def _quota_plans(
    quotas: Quotas, provider: str, key: str, model: str, concurrency: int | None, now: float
) -> Iterator[tuple[Quota | None, QuotaPlan]]:
    if concurrency is not None:
        own = f"own:{provider}:{key_digest(model)}"
        yield None, QuotaPlan(key=own, end=FOREVER, requests=-1, tokens=-1, concurrency=concurrency)
    for quota in quotas.covering(provider, key):
        yield (
            quota,
            QuotaPlan(
                key=f"{quota.number}:{provider}:{key_digest(key)}",
                end=min(end_of_window(quota, now), FOREVER),
                requests=_limit(quota.requests),
                tokens=_limit(quota.tokens),
                concurrency=_limit(quota.concurrency),
            ),
        )


def _limit(limit: int | None) -> int:
    return -1 if limit is None else limit


def rate_plan(place: tuple[str, str, str], limits: Limits) -> RatePlan:
    """Returns the limits per minute."""
    return RatePlan(
        key=f"{place[0]}:{key_digest(*place[1:])}",
        requests=limits.requests,
        tokens=limits.tokens,
        output=_limit(limits.output),
        is_enforced=limits.is_enforced,
    )


def refusal_of(
    decision: Decision, provider: Provider, quotas: Sequence[tuple[Quota | None, QuotaPlan]], now: float
) -> ProviderError | None:
    """Returns the provider's own error for a store's refusal, except for limits per minute."""
    why = decision["refused"]
    if why == "balance":
        return provider_error("insufficient_balance")
    if why in ("", "rate"):
        return None
    quota, plan = quotas[decision["quota"]]
    if why == "concurrency" or quota is None:
        return too_many_open(provider, decision["open"], plan["concurrency"])
    end = float("inf") if decision["end"] >= FOREVER else decision["end"]
    return used_up(provider, quota, end, now, by_requests=why == "requests")


@struct
class SharedLease:
    """What an answer uses of a store's quotas. Closing it releases that, once."""

    store: Store
    namespace: str
    name: str
    account: AccountPlan | None
    plan: Callable[[float], list[QuotaPlan]]
    """Returns the quotas that count it, with windows that begin at this time."""
    leased: list[str]
    """The quotas of which it holds a lease."""
    hard: Sequence[tuple[int, int]] = ()
    """The token limits that no answer may cross, and how much of them was used."""
    waits: bool = True
    """Whether the store is reachable, so that an answer waits for its charge."""
    confirmed: "asyncio.Future[None] | None" = None
    """Whether the store has recorded what the answer uses."""

    def crosses(self, usage: Usage) -> bool:
        """Whether an answer would cross one of these limits."""
        return any(used + usage.total > most for most, used in self.hard)

    def charge(self, usage: Usage, cost: Decimal, now: float) -> None:
        """Records the answer's tokens and price with the quotas that counted the request."""
        plans = self.plan(now)
        settlement = nothing_used(self.store, now)
        settlement["account"], settlement["cost"] = self.account, amount_of(cost)
        settlement["quotas"], settlement["tokens"] = plans, usage.total
        counts = any(plan["tokens"] >= 0 for plan in plans)
        if (self.account is not None and cost) or (counts and usage.total):
            self.confirmed = self.store.settle(self.namespace, settlement)

    async def until_charged(self) -> None:
        """Returns once the store has recorded what the answer uses, since clients send the next request after its
        end. A store that is gone gets it later. May run outside of a task.
        """
        confirmed = self.confirmed
        if self.waits and confirmed is not None and not confirmed.done():
            waiting = asyncio.get_running_loop().create_future()

            def over(_: object = None) -> None:
                if not waiting.done():
                    waiting.set_result(None)

            timer = asyncio.get_running_loop().call_later(PATIENCE, over)
            confirmed.add_done_callback(over)
            await waiting
            timer.cancel()

    def close(self) -> None:
        """Releases what the answer uses. May be called more than once."""
        leased, self.leased = self.leased, []
        if leased:
            settlement = nothing_used(self.store, 0.0)
            settlement["lease"], settlement["closes"] = self.name, leased
            self.store.settle(self.namespace, settlement)


def nothing_used(store: Store, now: float) -> Settlement:
    """Returns a settlement to fill in."""
    return Settlement(
        owner=store.owner, number=next(_NUMBERS), now=now, account=None, cost=limbs(0), quotas=[], tokens=0, rate=None,
        used=[0.0, 0.0], lease="", closes=[],
    )  # fmt: skip
