"""How replicas use the store: the names of what all namespaces share, and one error if it is gone."""

import asyncio
from collections.abc import Awaitable, Iterable
from typing import Any, TypeVar

from redis.exceptions import RedisError

from emulator.state.redis_connection import RedisConnection

Result = TypeVar("Result")


def shared_key(connection: RedisConnection, name: str) -> str:
    """Returns the name of a key or channel that belongs to the server rather than to a namespace."""
    database = connection.client.connection_pool.connection_kwargs.get("db") or 0  # channels belong to all databases
    return f"{connection.address.prefix}:server:{database}:{name}"


async def reply(connection: RedisConnection, work: Awaitable[Any]) -> Any:
    """Returns the store's reply. Raises StoreGone."""
    try:
        return await work
    except (RedisError, OSError, TimeoutError) as error:
        raise connection.lost(error) from None


async def stop(tasks: Iterable["asyncio.Task[None] | None"]) -> None:
    """Cancels tasks that use the store. A cancellation that coincides with a reply may get lost, so it is repeated."""
    left = {task for task in tasks if task is not None and not task.done()}
    while left:
        for task in left:
            task.cancel()
        _, left = await asyncio.wait(left, timeout=0.1)
