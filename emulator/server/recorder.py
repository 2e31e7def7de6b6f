"""Records the real providers: forwards requests, and keeps the responses."""

import asyncio
import logging
import os
import ssl
from collections import Counter
from collections.abc import Mapping
from dataclasses import field, replace
from functools import partial
from pathlib import Path
from typing import Literal, cast

from emulator.dialects.base import ProviderError
from emulator.engine import PlannedResponse, misused
from emulator.errors import UsageError
from emulator.providers import PROVIDERS
from emulator.recording.keys import digest_of
from emulator.recording.redaction import Redaction
from emulator.records import record
from emulator.request import HttpRequest
from emulator.scenario.sources import is_scenario
from emulator.server.app import App, answer_with
from emulator.server.keeping import Asked, Counts, Keeper, Say, Seen
from emulator.server.playback import Send, finish_cycle
from emulator.server.protocol import HANDLE, ConnectionHandle
from emulator.server.relaying import (
    Connections,
    Relay,
    Upstream,
    attach,
    detach,
    documented_upstream,
    request_bytes,
)
from emulator.server.uvicorn_adapter import Cycle, Scope
from emulator.server.writers import ProcessWriter, ThreadWriter, Writer
from emulator.state.compiled import CompiledScenario, compile_scenario
from emulator.state.exchanges import Exchange, came_on
from emulator.state.namespace import Namespace

logger = logging.getLogger("emulator")
Mode = Literal["none", "new", "all", "drifted"]
MODES: tuple[Mode, ...] = ("none", "new", "all", "drifted")


@record
class RecordOptions:
    """What to record, from where, and into which folder."""

    folder: Path
    mode: Mode = "new"
    only: str | None = None
    """The only provider to forward to; None: all providers."""
    upstreams: Mapping[str, Upstream] = field(default_factory=dict)
    """The URLs of providers, if not the documented ones."""
    redaction: Redaction = field(default_factory=Redaction)
    keeps_partial: bool = False
    """Whether to keep interrupted streams."""


class Recorder:
    """One recording session. Call `prepare` first and `close` last."""

    def __init__(self, options: RecordOptions, say: Say = logger.warning) -> None:
        self.options = options
        self.say = say
        self._keeper = Keeper(options, lambda line: self.say(line))
        self._known: dict[str, int] = {}
        """The number of answers to each question before this session."""
        self._asked: Counter[str] = Counter()
        self._connections = Connections()
        self._writer: Writer = ThreadWriter(self._keeper)
        self._unreachable = ""
        """Why the upstream was not reached last; empty if it was."""

    @property
    def counts(self) -> Counts:
        """The outcomes of the requests so far."""
        return self._keeper.counts

    def prepare(self, *, apart: bool = False) -> None:
        """Reads the folder. Blocks. Raises OSError. With `apart`, a separate process writes the files; this process
        must not have any threads yet.
        """
        recordings = self._keeper.recordings
        if self.options.mode != "none":
            recordings.prepare()
        self._known = {digest: len(each.answers) for digest, each in recordings.questions.items()}
        if apart and self.options.mode != "none" and hasattr(os, "fork"):
            self._writer = ProcessWriter(self._keeper)

    async def take(self, app: App, http_request: HttpRequest, namespace: Namespace, scope: Scope, send: Send) -> bool:
        """Forwards a request and returns True, or returns False to leave it to the engine and the recordings."""
        if self.options.mode == "none":
            return False
        if self.options.only not in (None, http_request.provider):
            await self._refuse(app, http_request, namespace, scope, send)
            return True
        digest = await asyncio.to_thread(digest_of, http_request, self.options.redaction) if (
            len(http_request.body) > LARGE
        ) else digest_of(http_request, self.options.redaction)  # fmt: skip
        self._asked[digest] += 1
        number = self._asked[digest]
        if self.options.mode == "new" and number <= self._known.get(digest, 0):
            self.counts.replayed += 1
            return False
        asked = asked_at(http_request, namespace, digest, number)
        await self._pass_on(app, asked, namespace, scope, send)
        return True

    async def close(self) -> None:
        """Returns once everything is written."""
        await self._writer.close()

    async def _pass_on(self, app: App, asked: Asked, namespace: Namespace, scope: Scope, send: Send) -> None:
        http_request = asked.http_request
        cycle: Cycle = send.__self__  # type: ignore[attr-defined]
        handle = cast(ConnectionHandle, scope["state"][HANDLE])
        clock = namespace.clock
        start = clock.now()
        upstream = self.options.upstreams.get(http_request.provider) or documented_upstream(http_request.provider)
        await self._writer.open()
        try:
            connection = await self._connections.get(handle, upstream)
        except (OSError, TimeoutError) as error:
            message = why_not(upstream, error)
            self._say_once(message)
            await answer_with(app, misused(http_request, namespace, message, "upstream", 502), namespace, scope, send)
            return
        self._unreachable = ""
        exchange = namespace.begin(http_request)
        came_on(exchange, handle.record)
        relay = Relay(handle, http_request.method, clock, start)
        attach(relay, app.players)
        exchange.underway, exchange.notes = lambda: relay.playback, (f"passed on to {upstream}",)
        relay.keep = lambda: self._writer.take(asked, relay.tape, str(upstream))
        try:
            relay.begin(connection, request_bytes(http_request, scope["headers"], upstream))
            await relay.over
        finally:
            detach(relay, app.players)
        await self._leave(relay, cycle)
        exchange.status, exchange.playback = relay.finder.status, relay.playback
        assert relay.kept is not None
        relay.kept.add_done_callback(partial(_note, app, namespace, exchange, asked))

    def _say_once(self, message: str) -> None:
        """Reports why the upstream is not reached, once until it is reached again: each request that needs it is in the
        log anyway."""
        if message != self._unreachable:
            self.say(message)
        self._unreachable = message

    async def _leave(self, relay: Relay, cycle: Cycle) -> None:
        """Lets the connection take its next request, or ends it."""
        if relay.is_last or relay.handle.is_lost:
            self._connections.forget(relay.handle)
            cycle.disconnected = True
            return
        await finish_cycle(cycle)

    async def _refuse(
        self, app: App, http_request: HttpRequest, namespace: Namespace, scope: Scope, send: Send
    ) -> None:
        message = f"Only {self.options.only} is recorded here, not {http_request.provider}."
        plan = misused(http_request, namespace, message, "provider", 404)
        await answer_with(app, plan, namespace, scope, send)


def prepared(options: RecordOptions, say: Say, *, apart: bool = False) -> Recorder:
    """Returns a recorder that has read its folder. Raises UsageError."""
    recorder = Recorder(options, say)
    try:
        recorder.prepare(apart=apart)
    except OSError as error:
        raise UsageError(f"{options.folder} cannot be written: {error.strerror or error}") from None
    return recorder


def compiled_in(options: RecordOptions) -> CompiledScenario:
    """Loads a folder of recordings as a scenario; an empty folder gives an empty one. Raises ScenarioError."""
    has_some = options.folder.is_dir() and any(is_scenario(path) for path in options.folder.iterdir())
    compiled = compile_scenario(str(options.folder) if has_some else {"rules": []})
    return replace(compiled, recorded=frozenset(PROVIDERS))


LARGE = 2**18
"""The digests of requests of at least this many bytes are computed on a thread."""


def asked_at(http_request: HttpRequest, namespace: Namespace, digest: str, number: int) -> Asked:
    """A request and its endpoint, if there is one."""
    provider = namespace.compiled.providers[http_request.provider]
    try:
        operation, parameters = provider.route(http_request.method, http_request.path)
    except ProviderError:
        return Asked(http_request, None, digest, number)
    routed = http_request.routed(operation.name, provider.dialect_of(operation, http_request), parameters)
    return Asked(routed, operation, digest, number)


def _note(app: App, namespace: Namespace, exchange: Exchange, asked: Asked, read: "asyncio.Future[Seen]") -> None:
    """Completes the record of an ended exchange whose response has been parsed."""
    seen = read.result()
    is_model = asked.operation is not None and asked.operation.is_completion
    exchange.outcome = "error" if exchange.status >= 400 else "reply" if is_model else "listing"
    exchange.message, exchange.model, exchange.stream = seen.message, seen.model, seen.is_stream
    if seen.usage is not None:
        exchange.usage = seen.usage
        provider = namespace.compiled.providers[asked.http_request.provider]
        exchange.cost = provider.cost(seen.usage, seen.model, exchange.received)
    exchange.shorten()
    app.close(PlannedResponse(seen.steps, exchange), namespace)


def why_not(upstream: Upstream, error: OSError | TimeoutError) -> str:
    """Returns why an upstream gives no answer, and how to fix that."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return (
            f"{upstream} is not trusted: {error.verify_message}. If your own authority issued its certificate, "
            "set SSL_CERT_FILE to that authority's file."
        )
    reason = getattr(error, "strerror", None) or str(error) or "no answer in time"
    return f"{upstream} cannot be reached: {reason}."
