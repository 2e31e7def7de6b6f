"""The log: one line per exchange, written by a thread, so that a slow or absent reader delays nothing else."""

import contextlib
import errno
import json
import logging
import os
import select
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Literal

from emulator.dialects.parameters import worth_saying
from emulator.state.exchanges import Exchange
from emulator.state.redaction import redacted

Style = Literal["pretty", "json", "off"]

MAX_QUEUED = 4 * 2**20
"""The most bytes that wait to be written; further lines are dropped and counted."""
MAX_BATCH = 65536
LINE_COST = 256
"""The estimated bytes of a line besides its text."""
MAX_MESSAGE = 300
"""The most characters of a provider's error message in a line."""
MAX_IGNORED, MAX_NAME = 5, 60
"""The most ignored members in a line, and the most characters of each."""
MAX_NOTES = 3
"""The most notes in a line; the journal has all of them."""
CLOSE_TIMEOUT = 1.0
"""Seconds without progress after which unread lines are abandoned on exit."""

RED, YELLOW, GREEN, PLAIN = "\x1b[31m", "\x1b[33m", "\x1b[32m", "\x1b[0m"
GONE = frozenset({errno.EPIPE, errno.EBADF, errno.ECONNRESET})
"""Errors after which a descriptor stays unwritable."""

Line = str | Callable[[], str]


class LogWriter:
    """Writes lines to a descriptor. `write` never blocks: a thread, started with the first line, does the writing.

    `dropped` makes the line that says how many were lost, once lines can be written again; `failed` gets what is wrong
    with the descriptor, once, in one sentence; `lock` is held around each write, so that processes that share a pipe do
    not write into each other's lines."""

    def __init__(
        self,
        descriptor: int,
        *,
        dropped: Callable[[int], str] = lambda count: f"{_dropped_lines(count)}: nobody read them in time",
        failed: Callable[[str], None] = lambda message: None,
        lock: Callable[[], contextlib.AbstractContextManager[None]] = contextlib.nullcontext,
        max_queued: int = MAX_QUEUED,
    ) -> None:
        self._descriptor = descriptor
        self._dropped_line = dropped
        self._failed = failed
        self._lock = lock
        self._max_queued = max_queued
        self._changed = threading.Condition()
        self._lines: deque[tuple[Line, int]] = deque()
        self._queued = self._written = self._dropped = 0
        self._thread: threading.Thread | None = None
        self._is_idle = self._is_closed = self._is_gone = self._has_failed = self._has_overflowed = False

    def write(self, line: Line, cost: int = 0) -> None:
        """Queues a line without its end, or a function that makes it in the thread and holds about `cost` bytes."""
        size = LINE_COST + (len(line) if isinstance(line, str) else cost)
        with self._changed:
            if self._is_closed or self._is_gone:
                return
            if self._queued + size > self._max_queued:
                self._dropped += 1
                self._has_overflowed = True
                return
            if self._dropped:
                self._note_dropped()
            self._lines.append((line, size))
            self._queued += size
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="emulator-log", daemon=True)
                self._thread.start()
            elif self._is_idle:
                self._changed.notify_all()

    def close(self, timeout: float = CLOSE_TIMEOUT) -> None:
        """Waits until everything is written or nothing was for `timeout` seconds. Later lines are dropped."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()
            while self._thread is not None and self._is_behind() and not self._is_gone:
                before = self._written
                self._changed.wait_for(lambda seen=before: self._written != seen or not self._is_behind(), timeout)  # type: ignore[misc]
                if self._written == before:
                    return

    def _is_behind(self) -> bool:
        """Whether something is still to be written, if only how many lines are missing."""
        return self._queued > 0 or self._has_overflowed

    def _run(self) -> None:
        while True:
            with self._changed:
                while not self._lines:
                    if self._has_overflowed:
                        self._note_dropped()
                        break
                    if self._is_closed:
                        return
                    self._is_idle = True
                    self._changed.wait()
                self._is_idle = False
                batch, size = self._taken()
            text = "".join(f"{line if isinstance(line, str) else line()}\n" for line in batch)
            is_written = self._put(text.encode("utf-8", "backslashreplace"))
            with self._changed:
                self._queued -= size
                self._written += 1
                if not is_written:
                    self._dropped += len(batch)
                if self._is_gone:
                    self._lines.clear()
                    self._queued = 0
                self._changed.notify_all()

    def _note_dropped(self) -> None:
        """Queues a line that says how many are missing here."""
        note = self._dropped_line(self._dropped)
        self._lines.append((note, LINE_COST + len(note)))
        self._queued += LINE_COST + len(note)
        self._dropped, self._has_overflowed = 0, False

    def _taken(self) -> tuple[list[Line], int]:
        lines: list[Line] = []
        size = 0
        while self._lines and size < MAX_BATCH:
            line, cost = self._lines.popleft()
            lines.append(line)
            size += cost
        return lines, size

    def _put(self, data: bytes) -> bool:
        """Writes everything; returns False if that fails."""
        try:
            with self._lock():
                view = memoryview(data)
                while view:
                    try:
                        view = view[os.write(self._descriptor, view) :]
                    except BlockingIOError:  # another process that shares the pipe made it non-blocking
                        select.select([], [self._descriptor], [])
        except OSError as error:
            self._is_gone = error.errno in GONE
            if not self._is_gone and not self._has_failed:
                self._has_failed = True
                self._failed(error.strerror or str(error))
            return False
        return True


class LogHandler(logging.Handler):
    """Passes the emulator's own messages to `write`, except those that an exchange's line already shows."""

    def __init__(self, style: Style, write: Callable[[str], None]) -> None:
        super().__init__()
        self._is_json = style == "json"
        self._has_exchanges = style != "off"
        self._write = write
        self.setFormatter(logging.Formatter("%(message)s"))

    def emit(self, record: logging.LogRecord) -> None:
        if self._has_exchanges and getattr(record, "in_exchange", False):
            return
        text = self.format(record)
        if self._is_json:
            moment = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
            text = json.dumps({"time": moment, "level": record.levelname.lower(), "message": text})
        self._write(text)


def install(style: Style, write: Callable[[str], None]) -> None:
    """Sends everything that this process logs to `write`, and nothing directly to stderr."""
    root, own = logging.getLogger(), logging.getLogger("emulator")
    for old in [handler for handler in root.handlers if isinstance(handler, LogHandler)]:
        root.removeHandler(old)
    root.addHandler(LogHandler(style, write))
    own.setLevel(logging.INFO if style != "off" else logging.ERROR)


def on_exchange(style: Style, writer: LogWriter, *, is_colored: bool = False) -> Callable[[Exchange], None] | None:
    """A function that logs each exchange; None if logging is off."""
    if style == "off":
        return None
    made = json_line if style == "json" else (lambda exchange: line(exchange, is_colored=is_colored))

    def log(exchange: Exchange) -> None:
        why = exchange.why
        if why is None or not why.is_quick:
            writer.write(made(exchange))
        else:  # explaining mismatches takes a while
            writer.write(lambda: made(exchange), len(why.body))

    return log


def json_line(exchange: Exchange) -> str:
    """The exchange as one line of JSON."""
    is_quick = exchange.why is None or exchange.why.is_quick
    return json.dumps(exchange.record() if is_quick else exchange.summary())


def line(exchange: Exchange, *, is_colored: bool = False) -> str:
    """The exchange as one line of columns, for people. It contains no terminal control characters.

    `12:03:04  default     serevix     deepseek-v3           200     35 ms     12+34 tokens  rule greeting`"""
    (provider, method, path), playback, usage = exchange.place, exchange.playback, exchange.usage
    moment = datetime.fromtimestamp(exchange.received).strftime("%H:%M:%S")  # noqa: DTZ006 - the reader's own time
    took = f"{(playback.last_sent - exchange.started) * 1000:.0f} ms" if playback and playback.last_sent else "-"
    tokens = f"{usage.prompt}+{usage.completion} tokens" if usage is not None else "-"
    columns = [
        moment,
        f"{_clean(exchange.namespace):<10}",
        f"{_clean(provider) or '-':<10}",
        f"{_clean(exchange.model or f'{method} {path}'):<22}",
        _colored(exchange.status, is_colored),
        f"{took:>9}",
        f"{tokens:>16}",
        *(_clean(part) for part in _story(exchange)),
    ]
    return redacted("  ".join(columns).rstrip(), exchange.key)


def line_of(row: Mapping[str, Any], *, is_colored: bool = False) -> str:
    """The same for an exchange from the control API."""
    usage, error, last = row["usage"], row["error"] or "error", row["last_sent"]
    story: list[str] = [f"rule {row['rule']}"] if row["rule"] is not None else []
    if row["outcome"] == "error":
        said = (row["message"] or "").partition("\n")[0][:MAX_MESSAGE]
        story.append(f"{error}: {said}" if said else error)
    elif row["rule"] is None:
        story.append(row["outcome"])
    if row["faults"]:
        story.append(f"faults {', '.join(row['faults'])}")
    if row["ended"] not in (None, "complete"):
        story.append(row["ended"])
    ignored = worth_saying(row["ignored"])
    if ignored:
        story.append(_ignored(ignored))
    story += row["notes"][:MAX_NOTES]
    took = f"{last * 1000:.0f} ms" if last is not None else "-"
    tokens = f"{usage['prompt']}+{usage['completion']} tokens" if usage is not None else "-"
    columns = [
        datetime.fromtimestamp(row["received"]).strftime("%H:%M:%S"),  # noqa: DTZ006 - the reader's own time
        f"{_clean(row['namespace']):<10}",
        f"{_clean(row['provider'] or '') or '-':<10}",
        f"{_clean(row['model'] or row['method'] + ' ' + row['path']):<22}",
        _colored(row["status"], is_colored),
        f"{took:>9}",
        f"{tokens:>16}",
        *map(_clean, story),
    ]
    return "  ".join(columns).rstrip()


def _story(exchange: Exchange) -> Iterator[str]:
    """The rule, what went wrong, and how it ended."""
    if exchange.rule is not None:
        yield f"rule {exchange.rule}"
    if exchange.outcome == "error":
        said = (exchange.message or "").partition("\n")[0]
        cut = f"{said[:MAX_MESSAGE]}…" if len(said) > MAX_MESSAGE else said
        yield f"{exchange.error or 'error'}: {cut}" if cut else exchange.error or "error"
    elif exchange.rule is None:
        yield exchange.outcome
    if exchange.faults:
        yield f"faults {', '.join(exchange.faults)}"
    if exchange.playback is not None and exchange.playback.ended != "complete":
        yield exchange.playback.ended
    ignored = worth_saying(exchange.unheeded)
    if ignored:
        yield _ignored(ignored)
    yield from exchange.notes[:MAX_NOTES]
    if len(exchange.notes) > MAX_NOTES:
        yield f"… and {len(exchange.notes) - MAX_NOTES} more"
    if exchange.rule is None and exchange.why is not None and exchange.why.is_quick:
        for reason in exchange.why.find()[:1]:
            yield f"nearest rule {reason}"


def _ignored(names: Sequence[str]) -> str:
    """The request's members without effect: `ignored: response_format`."""
    shown = ", ".join(name[:MAX_NAME] for name in names[:MAX_IGNORED])
    return f"ignored: {shown}{', …' if len(names) > MAX_IGNORED else ''}"


def _clean(text: str) -> str:
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def _colored(status: int, is_colored: bool) -> str:
    if not is_colored:
        return str(status)
    return f"{GREEN if status < 400 else YELLOW if status < 500 else RED}{status}{PLAIN}"


def _dropped_lines(count: int) -> str:
    return "1 log line was dropped" if count == 1 else f"{count} log lines were dropped"


def dropped_as_json(count: int) -> str:
    """A JSON line that says how many others are missing."""
    return json.dumps({"dropped": count, "message": f"{_dropped_lines(count)}: nobody read them in time"})
