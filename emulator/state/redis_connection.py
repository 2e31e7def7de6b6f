"""A server's connection to the Redis or Valkey server that keeps its state: its address, and whether it is reachable.

All commands to the store go through one `RedisConnection`. Its timeouts are short, since clients wait for the replies.
Once the store is gone, nothing waits for it: a task tries to reach it until it is back."""

import asyncio
import contextlib
import logging
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from emulator.errors import StoreGone, UsageError
from emulator.records import record

logger = logging.getLogger("emulator")

CONNECT_TIMEOUT = 0.5
"""Seconds to connect."""
REPLY_TIMEOUT = 3.0
"""Seconds to wait for a reply, after which the store counts as gone."""
RETRY_DELAY = 0.2
"""Seconds between attempts to reach a store that is gone."""
TTL = 86400.0
"""Seconds that a namespace is kept after its last use, unless the URL says otherwise."""
MIN_TTL, MAX_TTL = 60.0, 366 * 86400.0
PREFIX = "emulator"
SCHEMES = ("redis", "rediss", "unix", "valkey", "valkeys")
FORM = "redis://[USER:PASSWORD@]HOST[:PORT][/DATABASE][?prefix=TEXT&ttl=SECONDS]"


@record
class StoreAddress:
    """The address of a store, and how a server uses it."""

    url: str
    """The URL for redis-py."""
    shown: str
    """The URL for messages, without a password."""
    prefix: str = PREFIX
    """The prefix of every key and channel, so that several teams can share one Redis."""
    ttl: float = TTL
    """Seconds that a namespace is kept after its last use."""

    def key(self, namespace: str, name: str) -> str:
        """Returns a key. All keys of a namespace have the same hash tag, so that they are in one slot of a cluster."""
        return f"{self.prefix}:{{{namespace}}}:{name}"


def store_address(text: str) -> StoreAddress:
    """Parses the URL of a store. Raises UsageError."""
    try:
        parts = urlsplit(text)
        _ = parts.port  # raises if the port is not a number
        query = parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query))
    except ValueError as error:
        raise UsageError(f"--store: '{_hidden(text)}' is not a URL: {error}. Use {FORM}.") from None
    if parts.scheme not in SCHEMES or not (parts.hostname or (parts.scheme == "unix" and parts.path)):
        raise UsageError(f"--store: '{_hidden(text)}' is not the URL of a store. Use {FORM}.")
    own = {name: value for name, value in query if name in ("prefix", "ttl")}
    left = urlencode([(name, value) for name, value in query if name not in own])
    scheme = parts.scheme.replace("valkey", "redis")
    url = urlunsplit(parts._replace(scheme=scheme, query=left))
    prefix = own.get("prefix", PREFIX)
    if not prefix or set(prefix) & set("{}"):
        raise UsageError(f"--store: the prefix '{prefix}' must not be empty or contain {{ or }}.")
    return StoreAddress(url, _hidden(text), prefix, _ttl(own.get("ttl", str(TTL))))


def _ttl(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not MIN_TTL <= seconds <= MAX_TTL:
        raise UsageError(f"--store: ttl is '{text}'; expected seconds from {MIN_TTL:g} to {MAX_TTL:.0f}.")
    return seconds


def _hidden(text: str) -> str:
    """Returns a URL without its password and query."""
    before, at, after = text.partition("?")[0].rpartition("@")
    scheme, separator, _ = before.partition("://")
    return f"{scheme}{separator}{after}" if at else after


class RedisConnection:
    """The connection of one server in one event loop."""

    def __init__(self, address: StoreAddress) -> None:
        """Raises UsageError for a URL that redis-py doesn't accept."""
        self.address = address
        self.client: Any = _client(address, REPLY_TIMEOUT)
        """A `redis.asyncio.Redis`, for commands that reply immediately."""
        self.reason = ""
        """Why the store is gone; empty while it is reachable."""
        self.losses = 0
        """The number of times it was lost."""
        self._closing = asyncio.Event()
        self._healing: asyncio.Task[None] | None = None
        self._followers: list[Callable[[], None]] = []

    @property
    def is_gone(self) -> bool:
        """Whether the store didn't answer the last command."""
        return bool(self.reason)

    def blocking_client(self) -> Any:
        """Returns another client, for commands that wait, such as a blocking read. The caller closes it."""
        return _client(self.address, None)

    def on_back(self, follow: Callable[[], None]) -> None:
        """Calls a function each time the store is back."""
        self._followers.append(follow)

    async def start(self) -> None:
        """Checks whether the store is reachable. Never raises: the store may be started later."""
        await self._reach()

    def lost(self, error: BaseException) -> StoreGone:
        """Records that the store didn't answer, and tries to reach it from now on. Returns the exception to raise."""
        if not self.reason:
            self.losses += 1
            self.reason = _sentence(error)
            logger.error("%s Requests that need no shared state are still answered.", self.complaint)
        if (self._healing is None or self._healing.done()) and not self._closing.is_set():
            self._healing = asyncio.get_running_loop().create_task(self._heal())
        return self.gone()

    @property
    def complaint(self) -> str:
        """Returns a sentence that says that the store is gone."""
        return f"The store {self.address.shown} does not answer: {self.reason or 'it was lost'}."

    def gone(self) -> StoreGone:
        """Returns the exception to raise while the store is gone."""
        return StoreGone(self.complaint)

    async def close(self) -> None:
        """Closes the connection."""
        self._closing.set()
        if self._healing is not None:
            await self._healing
        await self.client.aclose()

    async def _reach(self) -> bool:
        from redis.exceptions import RedisError

        try:
            async with asyncio.timeout(CONNECT_TIMEOUT + REPLY_TIMEOUT):
                await self.client.execute_command("PING")
        except (RedisError, OSError, TimeoutError) as error:
            self.lost(error)
            return False
        return True

    async def _heal(self) -> None:
        is_back = False
        while not is_back:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(RETRY_DELAY):
                    await self._closing.wait()
            if self._closing.is_set():
                return
            await self.client.connection_pool.disconnect(inuse_connections=False)
            is_back = await self._reach()
        self.reason = ""
        logger.warning("The store %s is back.", self.address.shown)
        for follow in self._followers:
            follow()


def _sentence(error: BaseException) -> str:
    text = str(error).strip().rstrip(".") or type(error).__name__
    return "no reply in time" if isinstance(error, TimeoutError) and not str(error) else text


def check_installed() -> None:
    """Raises UsageError if redis-py or hiredis is missing."""
    missing = [name for name in ("redis", "hiredis") if find_spec(name) is None]
    if missing:
        raise UsageError(
            f"--store needs {' and '.join(missing)}, which {'are' if len(missing) > 1 else 'is'} not installed. "
            "Install it with: pip install 'llm-provider-emulator[redis]'"
        )


def _client(address: StoreAddress, timeout: float | None) -> Any:
    from redis.asyncio import Redis
    from redis.asyncio.retry import Retry
    from redis.backoff import NoBackoff

    try:
        return Redis.from_url(
            address.url,
            socket_connect_timeout=CONNECT_TIMEOUT,
            socket_timeout=timeout,
            **({} if address.url.startswith("unix:") else {"socket_keepalive": True}),
            retry=Retry(NoBackoff(), 0),
            protocol=2,
        )
    except ValueError as error:
        raise UsageError(f"--store: '{address.shown}' is not the URL of a store: {error}. Use {FORM}.") from None
