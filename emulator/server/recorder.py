"""Records the real providers: passes requests on, and writes what came back once it is whole."""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, cast

from emulator.clock import unix_time
from emulator.dialects.base import ProviderError
from emulator.engine import PlannedResponse, misused
from emulator.engine.recorded import exact_steps, runs_of
from emulator.errors import UsageError
from emulator.providers.base import Operation
from emulator.recording.capture import captured, cleaned
from emulator.recording.drift import drifts_in
from emulator.recording.folder import Recordings
from emulator.recording.following import Followed
from emulator.recording.keys import digest_of
from emulator.recording.redaction import Redaction
from emulator.recording.wire_file import WireFileError, WireRecord, read
from emulator.request import HttpRequest
from emulator.scenario.sources import is_scenario
from emulator.server.app import App, answer_with
from emulator.server.playback import Send, settle
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
from emulator.state.compiled import CompiledScenario, compile_scenario
from emulator.state.exchanges import came_on
from emulator.state.namespace import Namespace
from emulator.wire import Step

logger = logging.getLogger("emulator")
Mode = Literal["none", "new", "all", "drifted"]
MODES: tuple[Mode, ...] = ("none", "new", "all", "drifted")
Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class RecordOptions:
    """What is recorded, from where, and into which folder."""

    folder: Path
    mode: Mode = "new"
    only: str | None = None
    """The one provider that is passed on; None: all are."""
    upstreams: Mapping[str, Upstream] = field(default_factory=dict)
    """Where providers are, if not where they document it."""
    redaction: Redaction = field(default_factory=Redaction)
    keeps_partial: bool = False
    """Whether a stream that broke is kept too."""


@dataclass(slots=True)
class Counts:
    """What became of the requests so far."""

    recorded: int = 0
    replayed: int = 0
    unchanged: int = 0
    drifted: int = 0
    dropped: int = 0
    """Not whole, so not kept."""
    failed: int = 0
    """Whole, and yet not written."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A request that is passed on."""

    http_request: HttpRequest
    operation: Operation | None
    """None: its provider documents no such endpoint."""
    digest: str
    number: int
    """How many times it has come in this session."""

    def __str__(self) -> str:
        return f"{self.http_request.provider} {self.http_request.method} {self.http_request.path}"


class Recorder:
    """One session of recording. `prepare` comes first, `close` last."""

    def __init__(self, options: RecordOptions, say: Say = logger.warning) -> None:
        self.options = options
        self.counts = Counts()
        self._say = say
        self._recordings = Recordings(options.folder, options.redaction)
        self._known: dict[str, int] = {}
        """How many answers each question had before this session."""
        self._asked: Counter[str] = Counter()
        self._connections = Connections()
        self._writer = ThreadPoolExecutor(1, "recorder")
        self._writes: set[asyncio.Future[None]] = set()

    def prepare(self) -> None:
        """Reads what the folder holds. Blocks. Raises OSError."""
        if self.options.mode != "none":
            self._recordings.prepare()
        self._known = {digest: len(each.answers) for digest, each in self._recordings.questions.items()}

    async def take(self, app: App, http_request: HttpRequest, namespace: Namespace, scope: Scope, send: Send) -> bool:
        """Pass a request on, or leave it to the engine and what is recorded: then False."""
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
        operation, routed = routed_at(http_request, namespace)
        await self._pass_on(app, Asked(routed, operation, digest, number), namespace, scope, send)
        return True

    async def close(self) -> None:
        """Returns once everything is written."""
        while self._writes:
            await asyncio.wait(tuple(self._writes))
        await asyncio.to_thread(self._writer.shutdown)

    async def _pass_on(self, app: App, asked: Asked, namespace: Namespace, scope: Scope, send: Send) -> None:
        http_request = asked.http_request
        cycle: Cycle = send.__self__  # type: ignore[attr-defined]
        handle = cast(ConnectionHandle, scope["state"][HANDLE])
        clock = namespace.clock
        start = clock.now()
        upstream = self.options.upstreams.get(http_request.provider) or documented_upstream(http_request.provider)
        try:
            connection = await self._connections.get(handle, upstream)
        except (OSError, TimeoutError) as error:
            reason = getattr(error, "strerror", None) or str(error) or "no answer in time"
            message = f"{upstream} cannot be reached: {reason}."
            self._say(message)
            await answer_with(app, misused(http_request, namespace, message, "upstream", 502), namespace, scope, send)
            return
        exchange = namespace.begin(http_request)
        relay = Relay(handle, http_request.method, clock, start)
        attach(relay, app.players)
        exchange.underway = relay.playback
        try:
            relay.begin(connection, request_bytes(http_request, scope["headers"], upstream))
            await relay.whole
            wire = captured(http_request, relay.followed, str(upstream), stamp())
            if relay.has_left:
                self._drop(asked, "the client left before its end", wire)
            else:
                self._keep(asked, relay.followed, wire)
            await relay.over
        finally:
            detach(relay, app.players)
        exchange.status, exchange.outcome = relay.followed.status, "reply"
        exchange.notes += (f"passed on to {upstream}",)
        plan = PlannedResponse(steps_of(wire, namespace, http_request), exchange)
        came_on(exchange, handle.record)
        exchange.planned = plan.answer
        exchange.playback = relay.playback
        exchange.shorten()
        app.close(plan, namespace)
        await self._leave(relay, cycle)

    async def _leave(self, relay: Relay, cycle: Cycle) -> None:
        """The connection takes its next request, or is over."""
        if relay.is_last or relay.handle.is_lost:
            self._connections.forget(relay.handle)
            cycle.disconnected = True
            return
        await settle(cycle)

    # What is written

    def _keep(self, asked: Asked, followed: Followed, wire: WireRecord) -> None:
        if asked.operation is None:
            self._say(f"not recorded: {asked}: there is no such documented endpoint.")
            self.counts.dropped += 1
        elif followed.is_too_long:
            self._drop(asked, "it is longer than what is kept", None)
        elif not followed.is_whole:
            reason = (
                "it is no HTTP"
                if not followed.is_readable
                else f"the upstream {followed.ended} the connection before its end"
            )
            self._drop(asked, reason, wire)
        else:
            self._write(asked, wire)

    def _drop(self, asked: Asked, reason: str, wire: WireRecord | None) -> None:
        """An answer that is not whole: kept only when that is wanted, and said in any case."""
        if self.options.keeps_partial and wire is not None and asked.operation is not None:
            self._say(f"kept although it is not whole: {asked}: {reason}.")
            self._write(asked, wire)
            return
        self.counts.dropped += 1
        self._say(f"not recorded: {asked}: {reason}. --keep-partial keeps what came.")

    def _write(self, asked: Asked, wire: WireRecord) -> None:
        """Have it written by the one thread that writes."""
        loop = asyncio.get_running_loop()
        work = loop.run_in_executor(self._writer, self._written, asked, wire)
        self._writes.add(work)
        work.add_done_callback(self._writes.discard)

    def _written(self, asked: Asked, raw: WireRecord) -> None:
        assert asked.operation is not None
        try:
            wire = cleaned(raw, asked.http_request, self.options.redaction)
            place: int | None = asked.number
            if self.options.mode == "drifted":
                if not self._has_drifted(asked, wire):
                    self.counts.unchanged += 1
                    return
            elif self.options.mode == "new":
                place = None
            path = self._recordings.add(
                asked.digest,
                wire,
                is_completion=asked.operation.is_completion,
                place=place,
                ends=self.options.mode == "all",
            )
            self.counts.recorded += 1
            logger.info("recorded: %s", path)
        except OSError as error:
            self.counts.failed += 1
            self._say(f"not recorded: {self.options.folder} cannot be written: {error.strerror or error}.")
        except Exception as error:  # nothing is written that is not known to be clean
            self.counts.failed += 1
            self._say(f"not recorded: {type(error).__name__}: {error}.")

    def _has_drifted(self, asked: Asked, wire: WireRecord) -> bool:
        """Whether it has another shape than what is recorded. New answers have."""
        question = self._recordings.questions.get(asked.digest)
        wires = question.wires if question is not None else []
        if asked.number > len(wires):
            return True
        try:
            drifts = drifts_in(read(wires[asked.number - 1]), wire)
        except (OSError, WireFileError):
            return True
        for drift in drifts:
            self._say(f"{asked}: {drift}")
        if drifts:
            self.counts.drifted += 1
        return bool(drifts)

    async def _refuse(
        self, app: App, http_request: HttpRequest, namespace: Namespace, scope: Scope, send: Send
    ) -> None:
        message = f"Only {self.options.only} is recorded here, not {http_request.provider}."
        plan = misused(http_request, namespace, message, "provider", 404)
        await answer_with(app, plan, namespace, scope, send)


def prepared(options: RecordOptions, say: Say) -> Recorder:
    """A recorder that has read its folder. Raises UsageError."""
    recorder = Recorder(options, say)
    try:
        recorder.prepare()
    except OSError as error:
        raise UsageError(f"{options.folder} cannot be written: {error.strerror or error}") from None
    return recorder


def compiled_in(options: RecordOptions) -> CompiledScenario:
    """The scenario that a folder of recordings is; an empty one for an empty folder. Raises ScenarioError."""
    has_some = options.folder.is_dir() and any(is_scenario(path) for path in options.folder.iterdir())
    return compile_scenario(str(options.folder)) if has_some else compile_scenario({"rules": []})


LARGE = 2**18
"""Bytes of a request whose digest is computed on a thread."""


def routed_at(http_request: HttpRequest, namespace: Namespace) -> tuple[Operation | None, HttpRequest]:
    """The endpoint of a request, if there is one, and the request at it."""
    provider = namespace.compiled.providers[http_request.provider]
    try:
        operation, parameters = provider.route(http_request.method, http_request.path)
    except ProviderError:
        return None, http_request
    dialect = provider.dialect_of(operation, http_request)
    return operation, http_request.routed(operation.name, dialect, parameters)


def stamp() -> str:
    """Now, in ISO 8601."""
    return datetime.fromtimestamp(unix_time(), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def steps_of(wire: WireRecord, namespace: Namespace, http_request: HttpRequest) -> list[Step]:
    """What was sent, for the journal."""
    dialect: Any = namespace.compiled.providers[http_request.provider].speaking(http_request.dialect)
    runs = tuple(runs_of(wire.segments, dialect, is_stream=wire.is_stream))
    return list(exact_steps(wire, runs, [segment.at for segment in wire.segments], 1.0))
