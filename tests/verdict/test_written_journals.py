"""Findings in a journal that is given as data, where a server would have to be slow, or have to run for minutes."""

import json
from collections.abc import Sequence
from typing import Any

from tables import check_each

from emulator.verdict import judge

Row = dict[str, Any]
START = 1_795_000_000.0
WORDS = {"content-type": "text/event-stream"}
CALLS = {"a": "get_weather", "b": "get_time"}


def row(number: int, at: float, prompt: str | Sequence[Any] = "Hi", said: Sequence[Any] = (), **changes: Any) -> Row:
    """An exchange of chat completions whose whole stream took a tenth of a second; `request` and `response` are added
    to.
    """
    turns = [{"role": "user", "content": prompt}] if isinstance(prompt, str) else list(prompt)
    body = json.dumps({"model": "deepseek-v3", "stream": True, "messages": turns})
    text = "".join(f"data: {each if isinstance(each, str) else json.dumps(each)}\n\n" for each in said or WHOLE)
    request, response = changes.pop("request", {}), changes.pop("response", {})
    frames = [{"planned": 0.0, "sent": 0.1, "bytes": len(text), "part": "content"}]
    return {
        "number": number,
        "provider": "serevix",
        "dialect": "chat_completions",
        "method": "POST",
        "path": "/v1/chat/completions",
        "operation": "chat",
        "stream": True,
        "model": "deepseek-v3",
        "key_id": "a-key",
        "received": START + at,
        "arrived": START + at,
        "age": 0.2,
        "ended": "complete",
        "ended_at": 0.1,
        "last_sent": 0.1,
        "late": 0.0,
        "status": 200,
        "usage": None,
        "error": None,
        "message": None,
        "applied": [],
        "ignored": [],
        "undeclared": [],
        "leaks": [],
        "bytes_sent": len(text),
        "connection": number,
        "socket": None,
        "retry_count": None,
        "idempotency_key": None,
        "acknowledged": None,
        "frames": frames,
        "request": {"headers": {}, "body": body, "size": len(body), "truncated": False, **request},
        "response": {"headers": WORDS, "text": text, "truncated": False, **response},
        **changes,
    }


def delta(finish: str | None = None, **members: Any) -> Row:
    return {"choices": [{"index": 0, "delta": members, "finish_reason": finish}]}


def calling(id: str) -> Row:
    return {"id": id, "type": "function", "function": {"name": CALLS[id], "arguments": "{}"}}


WHOLE = (delta(content="one two"), delta("stop"), "[DONE]")
BROKEN = {"ended": "reset"}
ERROR = (delta(content="one"), {"error": {"message": "overloaded"}})
TRUNCATED = {"body": '{"model": "dee', "size": 90_000_000, "truncated": True}
SILENT = [{"planned": 0.0, "sent": 0.0, "bytes": 9, "part": "role"}] + [
    {"planned": each, "sent": each, "bytes": 9, "part": "comment"} for each in (0.5, 1.0, 1.5)
]
SOCKET = {"opened": START, "requests": 1, "closed": None, "closed_by": None, "seen": START + 60}
MESSAGES = {"provider": "deepseek", "dialect": "messages", "operation": "messages", "path": "/anthropic/v1/messages"}
TYPED = (
    {"type": "content_block_start", "index": 0, "content_block": {"type": "thinking", "thinking": "Hm."}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "signature_delta", "signature": "abc"}},
    {"type": "content_block_start", "index": 1, "content_block": {"type": "tool_use", "id": "a", "name": "look"}},
    {"type": "message_delta", "delta": {"stop_reason": "tool_use"}},
)
STALE = {**SOCKET, "turned_away": START + 1, "turned_away_body": None, "turned_away_size": 7}


def refused(number: int, at: float, status: int, prompt: str = "Hi", **changes: Any) -> Row:
    headers = changes.pop("headers", {})
    return row(number, at, prompt, response={"headers": headers, "text": "{}"}, status=status, **changes)


def using(id: str) -> Row:
    return {"role": "assistant", "content": [{"type": "tool_use", "id": id, "name": "look", "input": {}}]}


def replying(*turns: Row) -> list[Row]:
    return [{"role": "user", "content": "Hi"}, *turns, {"role": "user", "content": "Go on"}]


CASES: dict[str, tuple[list[Row], dict[str, list[int]], dict[str, list[int]]]] = {
    "An error in a stream, after which the client asks again": (
        [row(1, 0, said=ERROR), row(2, 5)],
        {},
        {"retried_after_output": [1, 2]},
    ),
    "Another client goes on, not the one with the error": (
        [refused(1, 0, 503), row(2, 5, "Else", key_id="other")],
        {},
        {},
    ),
    "The first attempt is still being sent while the second is": (
        [
            row(1, 0, ended=None, ended_at=None, retry_count=0, age=9.0, said=WHOLE[:1]),
            row(2, 4, retry_count=1, age=5.0),
        ],
        {"left_open_after_abort": [1, 2]},
        {"no_read_timeout": [1]},
    ),
    "Three connections are left behind; of the fourth nothing is known": (
        [row(each, each, str(each), socket=SOCKET | {"opened": START + each}) for each in (1, 2, 3)] + [row(4, 9, "4")],
        {"never_closed": [1, 2, 3]},
        {},
    ),
    "A token that comes late, on either clock": (
        [row(1, 0, frames=SILENT, ended_at=2.0)],
        {},
        {"no_first_token_timeout": [1]},
    ),
    "A token that comes late, on either clock (2)": (
        [row(1, 0, frames=SILENT, ended_at=2.0, arrived=9.0)],
        {},
        {"no_first_token_timeout": [1]},
    ),
    "A client leaves while it waits for a token": (
        [row(1, 0, frames=SILENT, ended="client_closed", ended_at=2.0)],
        {},
        {},
    ),
    "The connection ended a moment ago, so the lost request may still come": (
        [row(1, 0, socket={**STALE, "seen": START + 2})],
        {},
        {"stale_connection_not_retried": [1]},
    ),
    "A server error that says not to retry is not retried": (
        [
            refused(1, 0, 503, headers={"x-should-retry": "false"}),
            refused(2, 5, 503, headers={"x-should-retry": "false"}),
            row(3, 9, "Else"),
        ],
        {"retried_non_retryable": [1, 2]},
        {},
    ),
    "A timeout of the client that is no number": (
        [
            row(
                1,
                0,
                ended_at=70.0,
                last_sent=70.0,
                frames=[{"planned": 70.0, "sent": 70.0, "bytes": 9, "part": "content"}],
                request={"headers": {"x-stainless-read-timeout": "NOT_GIVEN"}},
            )
        ],
        {"no_read_timeout": [1]},
        {},
    ),
    "A body that was too large to be kept, twice": (
        [refused(each, 9.0 * each, 413, request=TRUNCATED) for each in (1, 2)],
        {"oversized_context_resent": [1, 2]},
        {},
    ),
    "The tool calls of both attempts are kept": (
        [
            row(1, 0, said=[delta(tool_calls=[calling("a")])], **BROKEN),
            row(2, 5, said=[delta(tool_calls=[calling("b")]), delta("tool_calls"), "[DONE]"]),
            row(3, 9, replying({"role": "assistant", "content": "", "tool_calls": [calling("a"), calling("b")]})),
        ],
        {"retried_after_output": [1, 2, 3]},
        {},
    ),
    "Within a minute an account may not be topped up; after it, it may": (
        [refused(1, 0, 402), refused(2, 59, 402)],
        {"retried_non_retryable": [1, 2]},
        {},
    ),
    "Within a minute an account may not be topped up; after it, it may (2)": (
        [refused(1, 0, 402), refused(2, 61, 402)],
        {},
        {},
    ),
    "The client waited long enough in real time, though not on the namespace's clock": (
        [
            refused(1, 0, 503, headers={"retry-after": "5"}, arrived=100.0),
            row(2, 1, arrived=106.0),
        ],
        {},
        {},
    ),
    "The client waited long enough in real time, though not on the namespace's clock (2)": (
        [
            refused(1, 0, 503, headers={"retry-after": "5"}, arrived=100.0),
            row(2, 1, arrived=104.0),
        ],
        {"retry_after_ignored": [1, 2]},
        {},
    ),
    "The lost request comes again, which only its size shows": (
        [row(1, 0, socket=STALE), row(2, 1.1, "Else", request={"size": 7})],
        {},
        {},
    ),
    "The lost request comes again, which only its size shows (2)": (
        [row(1, 0, socket=STALE), row(2, 1.1, "Else", request={"size": 8})],
        {"stale_connection_not_retried": [1]},
        {},
    ),
    "Two attempts with the same count: the later one repeats the earlier one's failure": (
        [
            refused(1, 0, 503, retry_count=0),
            refused(2, 3, 503, retry_count=0),
            refused(3, 9, 503, retry_count=1),
            row(4, 20, retry_count=1),
        ],
        {},
        {},
    ),
    "The signature is lost": (
        [row(1, 0, said=TYPED, **MESSAGES), row(2, 5, replying(using("a")), **MESSAGES)],
        {"reasoning_dropped": [1, 2], "signature_dropped": [1, 2]},
        {},
    ),
    "The turn is one that the client has made up": (
        [row(1, 0, said=TYPED, **MESSAGES), row(2, 5, replying(using("of its own")), **MESSAGES)],
        {},
        {},
    ),
    "A whole answer without [DONE] failed for an unknown reason": (
        [row(1, 0, said=TYPED, **MESSAGES, acknowledged={"outcome": "failed"})],
        {},
        {"wrong_dialect_end": [1]},
    ),
    "A whole answer without [DONE] failed for another reason": (
        [row(1, 0, said=TYPED, **MESSAGES, acknowledged={"outcome": "failed", "error": "No such tool: look"})],
        {},
        {},
    ),
}


def test_findings_in_a_written_journal() -> None:
    def check(name: str) -> None:
        rows, found, unknown = CASES[name]
        verdict = judge(rows)
        assert {each.code: list(each.exchanges) for each in verdict.findings} == found
        assert {each.code: list(each.exchanges) for each in verdict.unknown} == unknown

    check_each(CASES, check)
