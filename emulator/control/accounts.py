"""The accounts of a namespace: keys of providers, with their balances."""

from collections.abc import Iterable
from decimal import Decimal
from hashlib import blake2b
from typing import Any

from emulator.control.controlled import Conflict, Controlled, NotFound
from emulator.control.in_store import order_of, stored
from emulator.errors import did_you_mean, shortened
from emulator.providers import PROVIDERS
from emulator.state.leases import account_plan
from emulator.state.memory_store import balance_in
from emulator.state.namespace import Namespace
from emulator.state.store import Change, Store, amount_of, change_of, decimal_of

SHOWN_OF_KEY = 4
MIN_HIDDEN = 12
"""Keys of at least this many characters are shown only by their ends."""


def shown_key(key: str) -> str:
    """A key for display; a long one is shown only by its end."""
    return key if len(key) < MIN_HIDDEN else f"…{key[-SHOWN_OF_KEY:]}"


def _key_id(key: str) -> str:
    return blake2b(key.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()


def _amount(value: Decimal | None) -> str | None:
    return None if value is None else format(value, "f")


def rows(server: Controlled, namespace: str) -> Any:
    """The accounts of a namespace, with their balances."""
    where = server.namespaces.get(namespace)
    if where.store is not None:
        return _accounts_in_store(where, where.store)
    return _account_rows(where.quotas.rows())


async def _accounts_in_store(where: Namespace, store: Store) -> dict[str, Any]:
    values = (await store.snapshot(where.name))["values"]

    def balance(provider: str | None, key: str) -> Decimal | None:
        plan = account_plan(where.quotas, provider or "", key, guards=False)
        amount = balance_in(values, plan)
        return None if amount is None else decimal_of(amount)

    return _account_rows((provider, key, balance(provider, key)) for provider, key, _ in where.quotas.rows())


def _account_rows(rows: Iterable[tuple[str | None, str, Decimal | None]]) -> dict[str, Any]:
    return {
        "accounts": [
            {"provider": provider, "key": shown_key(key), "id": _key_id(key), "balance": _amount(balance)}
            for provider, key, balance in rows
        ]
    }


def _account(where: Namespace, provider: str, key: str) -> str:
    """The key of an account, which can also be given as its id. Raises NotFound."""
    if provider not in PROVIDERS:
        hint = did_you_mean(provider, list(PROVIDERS))
        raise NotFound(f"There is no provider '{shortened(provider)}'.{hint} Providers: {', '.join(PROVIDERS)}")
    return next((known for _, known, _ in where.quotas.rows() if _key_id(known) == key), key)


def set_balance(server: Controlled, namespace: str, provider: str, key: str, balance: Decimal | None) -> Any:
    """Sets the balance of an account in USD; None is unlimited. Raises NotFound."""
    where = server.namespaces.own(namespace)
    key = _account(where, provider, key)
    where.quotas.give(provider, key, balance)
    account = account_plan(where.quotas, provider, key, guards=False)
    amount = None if balance is None else amount_of(balance)
    return stored(server, where, _balance_row(provider, key, balance), "give", account=account, amount=amount)


def _balance_row(provider: str, key: str, balance: Decimal | None) -> dict[str, Any]:
    return {"provider": provider, "key": shown_key(key), "id": _key_id(key), "balance": _amount(balance)}


def top_up(server: Controlled, namespace: str, provider: str, key: str, amount: Decimal) -> Any:
    """Adds to the balance of an account. Raises NotFound, or Conflict if it is unlimited."""
    where = server.namespaces.own(namespace)
    key = _account(where, provider, key)
    if not where.quotas.knows(provider, key):
        raise NotFound(f"There is no account '{shown_key(key)}' of {provider}. PUT a balance to create it.")
    balance = where.quotas.balance(provider, key)
    if balance is None:
        raise Conflict("This account is unlimited and can't be topped up.")
    if where.store is not None:
        plan = account_plan(where.quotas, provider, key, guards=False)
        change = change_of("top_up", order_of(server), account=plan, amount=amount_of(amount))
        return _topped_up(where, where.store, change, (provider, key))
    return set_balance(server, namespace, provider, key, balance + amount)


async def _topped_up(where: Namespace, store: Store, change: Change, account: tuple[str, str]) -> dict[str, Any]:
    """The store computes the sum, since others use it at the same time."""
    found = await store.change(where.name, change)
    balance = None if found is None else decimal_of(found)
    where.quotas.give(*account, balance)
    return _balance_row(*account, balance)
