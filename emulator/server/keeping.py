"""Reads what was passed on, and writes what is to be kept, on a thread of its own: no request waits for it."""

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from emulator.clock import unix_time
from emulator.dialects.base import Dialect
from emulator.engine import error_message
from emulator.engine.recorded import exact_steps, runs_of, used_in
from emulator.offload import yielding_often
from emulator.providers.base import Operation, Provider
from emulator.recording.capture import captured, cleaned
from emulator.recording.drift import drifts_in
from emulator.recording.folder import Recordings
from emulator.recording.following import Followed, followed
from emulator.recording.tape import Tape
from emulator.recording.wire_file import WireFileError, WireRecord, read
from emulator.reply import Usage
from emulator.request import HttpRequest, ModelRequest
from emulator.wire import Step

if TYPE_CHECKING:
    from emulator.server.recorder import RecordOptions

logger = logging.getLogger("emulator")
Say = Callable[[str], None]


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
    provider: Provider
    operation: Operation | None
    """None: its provider documents no such endpoint."""
    digest: str
    number: int
    """How many times it has come in this session."""

    def __str__(self) -> str:
        return f"{self.http_request.provider} {self.http_request.method} {self.http_request.path}"


@dataclass(frozen=True, slots=True)
class Seen:
    """What the journal shows of a response."""

    wire: WireRecord
    steps: list[Step]
    request: ModelRequest | None = None
    """What was asked for, where that can be read."""
    usage: Usage | None = None
    message: str | None = None
    """What an error says."""


class Keeper:
    """Writes the answers of one session."""

    def __init__(self, options: "RecordOptions", say: Say) -> None:
        self.options = options
        self.say = say
        self.counts = Counts()
        self.recordings = Recordings(options.folder, options.redaction)
        self._writer = ThreadPoolExecutor(1, "recorder")
        self._writes: set[asyncio.Future[None]] = set()

    def take(self, asked: Asked, tape: Tape, upstream: str) -> "asyncio.Future[Seen]":
        """Have a response read, and then kept."""
        loop = asyncio.get_running_loop()
        seen: asyncio.Future[Seen] = loop.create_future()

        def work() -> None:
            with yielding_often():
                response = followed(tape)
                raw = captured(asked.http_request, response, upstream, stamp())
                loop.call_soon_threadsafe(seen.set_result, seen_in(raw, asked))
                self._keep(asked, response, raw, has_left=tape.has_left)

        writing = loop.run_in_executor(self._writer, work)
        self._writes.add(writing)
        writing.add_done_callback(self._writes.discard)
        return seen

    async def close(self) -> None:
        """Returns once everything is written."""
        while self._writes:
            await asyncio.wait(tuple(self._writes))
        await asyncio.to_thread(self._writer.shutdown)

    # On its thread

    def _keep(self, asked: Asked, response: Followed, wire: WireRecord, *, has_left: bool) -> None:
        if has_left:
            self._drop(asked, "the client left before its end", wire)
        elif asked.operation is None:
            self.say(f"not recorded: {asked}: there is no such documented endpoint.")
            self.counts.dropped += 1
        elif response.is_too_long:
            self._drop(asked, "it is longer than what is kept", None)
        elif not response.is_whole:
            reason = (
                "it is no HTTP"
                if not response.is_readable
                else f"the upstream {response.ended} the connection before its end"
            )
            self._drop(asked, reason, wire)
        else:
            self._write(asked, wire)

    def _drop(self, asked: Asked, reason: str, wire: WireRecord | None) -> None:
        """An answer that is not whole: kept only when that is wanted, and said in any case."""
        if self.options.keeps_partial and wire is not None and asked.operation is not None:
            self.say(f"kept although it is not whole: {asked}: {reason}.")
            self._write(asked, wire)
            return
        self.counts.dropped += 1
        self.say(f"not recorded: {asked}: {reason}. --keep-partial keeps what came.")

    def _write(self, asked: Asked, raw: WireRecord) -> None:
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
            path = self.recordings.add(
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
            self.say(f"not recorded: {self.options.folder} cannot be written: {error.strerror or error}.")
        except Exception as error:  # nothing is written that is not known to be clean
            self.counts.failed += 1
            self.say(f"not recorded: {type(error).__name__}: {error}.")

    def _has_drifted(self, asked: Asked, wire: WireRecord) -> bool:
        """Whether it has another shape than what is recorded. New answers have."""
        question = self.recordings.questions.get(asked.digest)
        wires = question.wires if question is not None else []
        if asked.number > len(wires):
            return True
        try:
            drifts = drifts_in(read(wires[asked.number - 1]), wire)
        except (OSError, WireFileError):
            return True
        for drift in drifts:
            self.say(f"{asked}: {drift}")
        if drifts:
            self.counts.drifted += 1
        return bool(drifts)


def seen_in(wire: WireRecord, asked: Asked) -> Seen:
    """What there is to see of an exchange. Never raises, whatever the upstream has sent."""
    try:
        return _seen_in(wire, asked)
    except Exception:
        logger.exception("The answer to %s could not be read: please report this", asked)
        return Seen(wire, [])


def _seen_in(wire: WireRecord, asked: Asked) -> Seen:
    http_request, operation = asked.http_request, asked.operation
    dialect = asked.provider.speaking(http_request.dialect)
    steps = steps_of(wire, dialect)
    request = parsed(http_request, dialect) if operation is not None and operation.has_body else None
    if wire.status >= 400 or operation is None:
        return Seen(wire, steps, request, message=error_message(wire.body) if wire.status >= 400 else None)
    return Seen(wire, steps, request, used_in(wire, dialect, request, is_completion=operation.is_completion))


def parsed(http_request: HttpRequest, dialect: Dialect) -> ModelRequest | None:
    """What a request asks for; None where the provider's own words are the only judge of it."""
    try:
        return dialect.parse(http_request, http_request.key or "")
    except Exception:  # a provider of a plugin may raise anything, and the real one has answered
        return None


def stamp() -> str:
    """Now, in ISO 8601."""
    return datetime.fromtimestamp(unix_time(), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def steps_of(wire: WireRecord, dialect: Dialect) -> list[Step]:
    """What was sent, for the journal."""
    runs = tuple(runs_of(wire.segments, dialect, is_stream=wire.is_stream, count=len))  # nobody asks for its tokens
    return list(exact_steps(wire, runs, [segment.at for segment in wire.segments], 1.0))
