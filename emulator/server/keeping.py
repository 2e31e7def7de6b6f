"""Reads what was passed on, and writes what is to be kept."""

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from emulator.clock import unix_time
from emulator.dialects.base import Dialect
from emulator.engine import error_message
from emulator.engine.recorded import exact_steps, runs_of, used_in
from emulator.providers import PROVIDERS
from emulator.providers.base import Operation
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

    def add(self, other: "Counts") -> None:
        """Adds what has become of others."""
        for name in self.__slots__:
            setattr(self, name, getattr(self, name) + getattr(other, name))

    def taken(self) -> "Counts":
        """These, which begin anew."""
        counts = replace(self)
        for name in self.__slots__:
            setattr(self, name, 0)
        return counts


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


@dataclass(frozen=True, slots=True)
class Seen:
    """What the journal shows of a response."""

    status: int
    steps: tuple[Step, ...] = ()
    model: str = ""
    is_stream: bool = False
    """Whether a stream was asked for."""
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
        self.on_recorded: Callable[[Path], None] = lambda path: logger.info("recorded: %s", path)

    def work(self, asked: Asked, tape: Tape, upstream: str, note: Callable[[Seen], object]) -> None:
        """Reads a response, has what there is to see of it noted, and keeps it if it is to be kept."""
        response = followed(tape)
        raw = captured(asked.http_request, response, upstream, stamp())
        note(seen_in(raw, asked))
        self._keep(asked, response, raw, has_left=tape.has_left)

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
            self.on_recorded(path)
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
        return Seen(wire.status)


def _seen_in(wire: WireRecord, asked: Asked) -> Seen:
    http_request, operation = asked.http_request, asked.operation
    dialect = PROVIDERS[http_request.provider]().speaking(http_request.dialect)
    request = parsed(http_request, dialect) if operation is not None and operation.has_body else None
    usage = message = None
    if wire.status >= 400:
        message = error_message(wire.body)
    elif operation is not None:
        usage = used_in(wire, dialect, request, is_completion=operation.is_completion)
    model, is_stream = ("", False) if request is None else (request.model, request.stream)
    return Seen(wire.status, steps_of(wire, dialect), model, is_stream, usage, message)


def parsed(http_request: HttpRequest, dialect: Dialect) -> ModelRequest | None:
    """What a request asks for; None where the provider's own words are the only judge of it."""
    try:
        return dialect.parse(http_request, http_request.key or "")
    except Exception:  # a provider of a plugin may raise anything, and the real one has answered
        return None


def stamp() -> str:
    """Now, in ISO 8601."""
    return datetime.fromtimestamp(unix_time(), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def steps_of(wire: WireRecord, dialect: Dialect) -> tuple[Step, ...]:
    """What was sent, for the journal."""
    runs = tuple(runs_of(wire.segments, dialect, is_stream=wire.is_stream, count=len))  # nobody asks for its tokens
    return tuple(exact_steps(wire, runs, [segment.at for segment in wire.segments], 1.0))
