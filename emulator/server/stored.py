"""How replicas ask the store: the names of what all namespaces share there, and one error when it is gone."""

import asyncio
from collections.abc import Awaitable, Iterable
from typing import Any, TypeVar

from redis.exceptions import RedisError

from emulator.state.redis_connection import RedisConnection

Result = TypeVar("Result")


def shared_key(connection: RedisConnection, name: str) -> str:
    """The name of a key or channel that belongs to the server and to no namespace."""
    database = connection.client.connection_pool.connection_kwargs.get("db") or 0  # channels belong to all of them
    return f"{connection.address.prefix}:server:{database}:{name}"


async def reply(connection: RedisConnection, work: Awaitable[Any]) -> Any:
    """What the store answers. Raises StoreGone."""
    try:
        return await work
    except (RedisError, OSError, TimeoutError) as error:
        raise connection.lost(error) from None


async def stop(tasks: Iterable["asyncio.Task[None] | None"]) -> None:
    """Ends tasks that talk to the store. A cancellation that comes with a reply may get lost on the way, so it is
    repeated."""
    left = {task for task in tasks if task is not None and not task.done()}
    while left:
        for task in left:
            task.cancel()
        _, left = await asyncio.wait(left, timeout=0.1)
