"""The lines of the log, and the writer that no reader can hold up."""

import json
import logging
import os
import threading
from typing import Any

import pytest

from emulator.logs import GREEN, PLAIN, RED, YELLOW, LogHandler, LogWriter, dropped_as_json, line, line_of
from emulator.request import HttpRequest
from emulator.state.exchanges import Exchange
from emulator.wire import Playback


def exchange(**changes: Any) -> Exchange:
    request = HttpRequest("serevix", "POST", "/v1/chat/completions", {}, "", b"{}", operation="chat")
    return Exchange(1, 1000.0, request, **{"model": "deepseek-v3", "status": 200, **changes})


def row(**changes: Any) -> dict[str, Any]:
    """An exchange from the control API."""
    return {**exchange().row(), "received": 1000.0, **changes}


def story(text: str) -> list[str]:
    """The parts of a line after its fixed columns."""
    return [part for part in text.split("  ") if part.strip()][7:]


@pytest.mark.parametrize(
    ("changes", "parts"),
    [
        ({"rule": "hello", "outcome": "reply"}, ["rule hello"]),
        ({"outcome": "generated"}, ["generated"]),
        ({"outcome": "error", "error": "busy", "message": "Wait\nlonger"}, ["busy: Wait"]),
        ({"outcome": "error", "error": None, "message": None}, ["error"]),
        (
            {"rule": "r", "outcome": "reply", "faults": ("reset", "stall"), "notes": ("1", "2", "3", "4", "5")},
            ["rule r", "faults reset, stall", "1", "2", "3"],
        ),
    ],
)
def test_an_exchange_tells_its_story(changes: dict[str, Any], parts: list[str]) -> None:
    own = line(exchange(**changes))
    more = [f"… and {len(changes['notes']) - 3} more"] if len(changes.get("notes", ())) > 3 else []
    assert story(own) == [*parts, *more]
    listed = {name: list(value) if isinstance(value, tuple) else value for name, value in changes.items()}
    assert story(line_of(row(**listed))) == parts


def test_an_ending_on_the_way_is_said() -> None:
    playback = Playback("client_closed", bytes_sent=30, frames_sent=3, first_sent=5.5, last_sent=6.0)
    made = exchange(rule="r", outcome="reply", playback=playback)
    made.started = 5.0
    assert story(line(made)) == ["rule r", "client_closed"]
    assert "  1000 ms  " in line(made)
    assert story(line_of(row(rule="r", outcome="reply", ended="reset", last_sent=0.5))) == ["rule r", "reset"]


def test_a_long_message_is_cut_and_no_control_character_reaches_the_terminal() -> None:
    said = line(exchange(outcome="error", error="bad", message="\x1b[31m" + "x" * 400))
    assert said.endswith("bad: \\x1b[31m" + "x" * 295 + "…")


@pytest.mark.parametrize(("status", "color"), [(200, GREEN), (404, YELLOW), (500, RED)])
def test_a_status_has_its_color(status: int, color: str) -> None:
    shown = f"  {color}{status}{PLAIN}  "
    assert shown in line(exchange(status=status, outcome="generated"), is_colored=True)
    assert shown in line_of(row(status=status, outcome="generated"), is_colored=True)
    assert "\x1b" not in line(exchange(status=status, outcome="generated"))


def test_the_emulator_s_own_messages_are_lines_too() -> None:
    lines: list[str] = []
    record = logging.LogRecord("emulator", logging.WARNING, "x.py", 1, "a %s", ("message",), None)
    record.created = 0.5
    LogHandler("json", lines.append).emit(record)
    LogHandler("pretty", lines.append).emit(record)
    record.in_exchange = True
    LogHandler("pretty", lines.append).emit(record)
    LogHandler("off", lines.append).emit(record)
    assert json.loads(lines[0]) == {
        "time": "1970-01-01T00:00:00.500+00:00",
        "level": "warning",
        "message": "a message",
    }
    assert lines[1:] == ["a message", "a message"]


@pytest.mark.parametrize(("count", "words"), [(1, "1 log line was dropped"), (3, "3 log lines were dropped")])
def test_dropped_lines_are_counted_in_json(count: int, words: str) -> None:
    assert json.loads(dropped_as_json(count)) == {"dropped": count, "message": f"{words}: nobody read them in time"}


def test_a_pipe_that_another_process_made_non_blocking_gets_every_line() -> None:
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    log = LogWriter(writer)
    long = "x" * 300_000  # more than a pipe holds
    log.write(long)
    got = bytearray()

    def read() -> None:
        while part := os.read(reader, 65536):
            got.extend(part)

    thread = threading.Thread(target=read)
    thread.start()
    log.close(30)
    log.write("too late")
    os.close(writer)
    thread.join(30)
    os.close(reader)
    assert bytes(got) == f"{long}\n".encode()


def test_a_descriptor_that_is_gone_takes_no_further_lines() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    failures: list[str] = []
    log = LogWriter(writer, failed=failures.append)
    log.write("nobody reads this")
    log.close(30)
    log.write("nor this")
    os.close(writer)
    assert failures == []


def test_a_descriptor_that_fails_is_said_once() -> None:
    failures: list[str] = []
    with open("/dev/full", "wb", buffering=0) as full:
        log = LogWriter(full.fileno(), failed=failures.append, dropped=lambda count: f"{count} dropped")
        log.write("one")
        log.close(30)
    assert failures == ["No space left on device"]
