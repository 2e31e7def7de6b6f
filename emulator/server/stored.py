"""How replicas ask the store: the names of what all namespaces share there, and one error when it is gone."""

from collections.abc import Awaitable
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
