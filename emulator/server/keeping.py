"""Parses the forwarded responses, and writes those to keep."""

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
from emulator.recording.comparing import Row, as_lines
from emulator.recording.drift import drifts_in
from emulator.recording.folder import Recordings
from emulator.recording.following import Followed, followed
from emulator.recording.tape import Tape
from emulator.recording.wire_file import WireFileError, WireRecord, read
from emulator.records import record
from emulator.reply import Usage
from emulator.request import HttpRequest, ModelRequest
from emulator.wire import Step

if TYPE_CHECKING:
    from emulator.server.recorder import RecordOptions

logger = logging.getLogger("emulator")
Say = Callable[[str], None]


@dataclass(slots=True)
class Counts:
    """The outcomes of the requests so far."""

    recorded: int = 0
    replayed: int = 0
    unchanged: int = 0
    drifted: int = 0
    dropped: int = 0
    """Incomplete, so not kept."""
    failed: int = 0
    """Complete, but not written."""

    def add(self, other: "Counts") -> None:
        """Adds other outcomes."""
        for name in self.__slots__:
            setattr(self, name, getattr(self, name) + getattr(other, name))

    def taken(self) -> "Counts":
        """Returns these counts, and resets them."""
        counts = replace(self)
        for name in self.__slots__:
            setattr(self, name, 0)
        return counts


@record
class Asked:
    """A request to forward."""

    http_request: HttpRequest
    operation: Operation | None
    """None if its provider documents no such endpoint."""
    digest: str
    number: int
    """How many times it has arrived in this session."""

    def __str__(self) -> str:
        return f"{self.http_request.provider} {self.http_request.method} {self.http_request.path}"


@record
class Seen:
    """The parts of a response that the journal shows."""

    status: int
    steps: tuple[Step, ...] = ()
    model: str = ""
    is_stream: bool = False
    """Whether the client requested a stream."""
    usage: Usage | None = None
    message: str | None = None
    """The error message."""


class Keeper:
    """Writes the answers of one session."""

    def __init__(self, options: "RecordOptions", say: Say) -> None:
        self.options = options
        self.say = say
        self.counts = Counts()
        self.recordings = Recordings(options.folder, options.redaction)
        self.on_recorded: Callable[[Path], None] = lambda path: logger.info("recorded: %s", path)

    def work(self, asked: Asked, tape: Tape, upstream: str, note: Callable[[Seen], object]) -> None:
        """Parses a response, reports what the journal shows of it, and keeps it if it should be kept."""
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
            self._drop(asked, "it is longer than the limit", None)
        elif not response.is_whole:
            reason = (
                "it is not valid HTTP"
                if not response.is_readable
                else f"the upstream {response.ended} the connection before its end"
            )
            self._drop(asked, reason, wire)
        else:
            self._write(asked, wire)

    def _drop(self, asked: Asked, reason: str, wire: WireRecord | None) -> None:
        """Reports an incomplete answer, and keeps it only if requested."""
        if self.options.keeps_partial and wire is not None and asked.operation is not None:
            self.say(f"kept, but incomplete: {asked}: {reason}.")
            self._write(asked, wire)
            return
        self.counts.dropped += 1
        self.say(f"not recorded: {asked}: {reason}. Use --keep-partial to keep incomplete answers.")

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
        except Exception as error:  # nothing is written unless it is known to be redacted
            self.counts.failed += 1
            self.say(f"not recorded: {type(error).__name__}: {error}.")

    def _has_drifted(self, asked: Asked, wire: WireRecord) -> bool:
        """Whether its shape differs from the recorded one. New answers count as different."""
        question = self.recordings.questions.get(asked.digest)
        wires = question.wires if question is not None else []
        if question is None or asked.number > len(wires):
            return True
        try:
            drifts = drifts_in(read(wires[asked.number - 1]), wire)
        except (OSError, WireFileError):
            return True
        if drifts:
            name = question.rule.get("name", asked)
            title = f"{name}, answer {asked.number}," if asked.number > 1 else name
            lines = as_lines([Row(drift) for drift in drifts])
            self.say("\n".join([f"{title} has another shape than the recorded one:", *lines]))
            self.counts.drifted += 1
        return bool(drifts)


def seen_in(wire: WireRecord, asked: Asked) -> Seen:
    """Returns what the journal shows of an exchange. Never raises, whatever the upstream has sent."""
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
    """Parses the request; None if only the real provider can judge it."""
    try:
        return dialect.parse(http_request, http_request.key or "")
    except Exception:  # a plugin's provider may raise anything, and the real one has answered
        return None


def stamp() -> str:
    """Returns the current time in ISO 8601."""
    return datetime.fromtimestamp(unix_time(), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def steps_of(wire: WireRecord, dialect: Dialect) -> tuple[Step, ...]:
    """Returns what was sent, for the journal."""
    runs = tuple(runs_of(wire.segments, dialect, is_stream=wire.is_stream, count=len))  # its tokens are not needed
    return tuple(exact_steps(wire, runs, [segment.at for segment in wire.segments], 1.0))
