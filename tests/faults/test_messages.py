"""The effect of each fault on an answer in the dialect `messages`: the same as for a chat, in that dialect's own
format.
"""

import json
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from talk import NO_REUSE

from emulator import Emulator
from emulator.faults import FAULTS
from emulator.state.exchanges import Exchange

ID = "d5f0d4b6-7f5d-4f5b-9f3e-0123456789ab"
FIXED: dict[str, Any] = {"id": ID, "created": 1}
SCENARIO: dict[str, Any] = {
    "clock": "virtual",
    "rules": [
        {"match": {"prompt": "Hi"}, "reply": {"reasoning": "So.", "content": "Hé, you", **FIXED}},
        {
            "match": {"prompt": "Call"},
            "reply": {"content": "I see.", "tool_calls": [{"name": "f", "arguments": '{"a":1}', "id": "c"}], **FIXED},
        },
        {"match": {"prompt": "Slow"}, "reply": {"content": "Hi", **FIXED}, "pace": {"ttft": 25}},
        {"match": {"prompt": "Refuse"}, "error": "overloaded"},
    ],
}
URL = "/anthropic/v1/messages"
Event = dict[str, Any]
COUNTS = {
    "input_tokens": 5,
    "cache_creation_input_tokens": 0,
    "cache_read_input_tokens": 0,
    "output_tokens": 7,
    "service_tier": "standard",
}
DELTA = "content_block_delta"


def start(index: int, block: Event) -> Event:
    return {"type": "content_block_start", "index": index, "content_block": block}


def text(piece: str, index: int = 1) -> Event:
    return {"type": DELTA, "index": index, "delta": {"type": "text_delta", "text": piece}}


def stop(index: int) -> Event:
    return {"type": "content_block_stop", "index": index}


START: Event = {
    "type": "message_start",
    "message": {
        "id": ID,
        "type": "message",
        "role": "assistant",
        "model": "deepseek-v4-pro",
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": {**COUNTS, "output_tokens": 0},
    },
}
THOUGHT = [
    start(0, {"type": "thinking", "thinking": "", "signature": ""}),
    {"type": DELTA, "index": 0, "delta": {"type": "thinking_delta", "thinking": "So"}},
    {"type": DELTA, "index": 0, "delta": {"type": "thinking_delta", "thinking": "."}},
    {"type": DELTA, "index": 0, "delta": {"type": "signature_delta", "signature": ID}},
    stop(0),
]
SAID = [start(1, {"type": "text", "text": ""}), *map(text, ("H", "é", ",", " you")), stop(1)]
END: Event = {
    "type": "message_delta",
    "delta": {"stop_reason": "end_turn", "stop_sequence": None},
    "usage": COUNTS,
}
LAST: Event = {"type": "message_stop"}
HEALTHY = [START, *THOUGHT, *SAID, END, LAST]
BODY: Event = {
    **START["message"],
    "content": [{"type": "thinking", "thinking": "So.", "signature": ID}, {"type": "text", "text": "Hé, you"}],
    "stop_reason": "end_turn",
    "usage": COUNTS,
}
BUSY = "Service is too busy. We advise users to temporarily switch to alternative LLM API service providers."
OVERLOADED: Event = {"type": "error", "error": {"type": "overloaded_error", "message": BUSY}}


def frame(event: Event, name: str | None = None) -> str:
    data = f"data: {json.dumps(event, ensure_ascii=False, separators=(',', ':'))}\n\n"
    return f"event: {event['type'] if name is None else name}\n{data}"


def sse(*events: Event) -> str:
    return "".join(map(frame, events))


class Messages:
    def __init__(self, emulator: Emulator) -> None:
        self.emulator = emulator
        self.client = httpx.Client(timeout=10, limits=NO_REUSE, verify=False)

    def post(self, fault: str = "", prompt: str = "Hi", *, stream: bool = True, **members: Any) -> httpx.Response:
        body = {"model": "deepseek-v4-pro", "max_tokens": 100, "messages": [{"role": "user", "content": prompt}]}
        headers = {"x-api-key": "k", **({"x-emulator-fault": fault} if fault else {})}
        url = self.emulator.url("deepseek") + URL
        return self.client.post(url, json={**body, "stream": stream, **members}, headers=headers)

    def answered(self, fault: str, prompt: str = "Hi", **how: Any) -> tuple[str, tuple[str, ...]]:
        """The body, and what the journal notes."""
        return self.post(fault, prompt, **how).text, self.last().notes

    def last(self) -> Exchange:
        return self.emulator.journal[-1]


@pytest.fixture(scope="module")
def messages() -> Iterator[Messages]:
    with Emulator(SCENARIO) as emulator:
        on = Messages(emulator)
        yield on
        on.client.close()


def test_a_healthy_answer(messages: Messages) -> None:
    assert messages.post().text == sse(*HEALTHY)
    assert messages.post(stream=False).json() == BODY


def changed(change: Callable[[Event], Event | None], events: list[Event] | None = None) -> str:
    """The healthy stream with every event changed; None takes it away."""
    made = [change(json.loads(json.dumps(event))) for event in (HEALTHY if events is None else events)]
    return sse(*[event for event in made if event is not None])


def with_usage(value: Any) -> Callable[[Event], Event]:
    def change(event: Event) -> Event:
        for holder in (event, event.get("message", {})):
            if "usage" in holder:
                holder["usage"] = value(holder["usage"])
        return event

    return change


def without_usage(event: Event) -> Event:
    for holder in (event, event.get("message", {})):
        holder.pop("usage", None)
    return event


def unknown(event: Event) -> Event:
    value = {"list": [1, None, "é"], "deep": {"er": True}}
    for holder in (event, *(event[name] for name in ("message", "content_block", "delta") if name in event)):
        holder["x_unknown"] = value
    return event


def bare(event: Event) -> Event:
    for name in ("id", "type", "model", "role"):
        event.get("message", {}).pop(name, None)
    return event


def zero(counts: Event) -> Event:
    return {name: value if isinstance(value, str) else 0 for name, value in counts.items()}


def nowhere(event: Event) -> Event:
    return {name: value for name, value in event.items() if name != "index"}


def null(event: Event) -> Event:
    for holder in (event.get("content_block", {}), event.get("delta", {})):
        if "text" in holder:
            holder["text"] = None
    return event


def deltas(*events: Event) -> list[Event]:
    """The stream up to a delta: neither that block nor the message has an end."""
    return [START, *THOUGHT, SAID[0], *events]


ALL_SAID = deltas(*SAID[1:-1])
SO_FAR = [text(piece) for piece in ("H", "Hé", "Hé,", "Hé, you")]
THOUGHT_SO_FAR = {"type": DELTA, "index": 0, "delta": {"type": "thinking_delta", "thinking": "So."}}
STREAMS: dict[str, str] = {
    "no_done": sse(*HEALTHY[:-1]),
    "done_no_finish": sse(*HEALTHY[:-2], LAST),
    "truncate": sse(*ALL_SAID),
    "truncate:after_tokens=3": sse(*deltas(text("H"))),
    "done_then_open:seconds=5": sse(*HEALTHY),
    "data_after_done": sse(*HEALTHY, text(" (after the end)", 0)),
    "error_event": sse(*ALL_SAID) + frame(OVERLOADED),
    "error_event:form=event": sse(*ALL_SAID) + frame(OVERLOADED),
    "error_event:form=first": frame(OVERLOADED),
    "error_event:form=with_done": sse(*ALL_SAID) + frame(OVERLOADED) + "data: [DONE]\n\n",
    "finish_reason:value=length": sse(
        *HEALTHY[:-2], {**END, "delta": {"stop_reason": "max_tokens", "stop_sequence": None}}, LAST
    ),
    "finish_reason:value=odd": sse(
        *HEALTHY[:-2], {**END, "delta": {"stop_reason": "odd", "stop_sequence": None}}, LAST
    ),
    "usage": changed(without_usage),
    "usage:form=null": changed(with_usage(lambda counts: None)),
    "usage:form=zeros": changed(with_usage(zero)),
    "usage:form=twice": sse(*HEALTHY[:-1], END, LAST),
    "empty_choices": sse(START, END, LAST),
    "null_content": changed(lambda event: null(event) if "content_block" in event else event),
    "null_content:where=all": changed(null),
    "cumulative": sse(START, *THOUGHT[:2], THOUGHT_SO_FAR, *THOUGHT[3:], SAID[0], *SO_FAR, *SAID[-1:], END, LAST),
    "tool_index:form=zero": changed(lambda event: {**event, "index": 0} if "index" in event else event),
    "tool_index": changed(nowhere),
    "duplicate_chunk:nth=3": sse(START, *THOUGHT, SAID[0], text("H"), text("H"), *SAID[2:], END, LAST),
    "unknown_fields": changed(unknown),
    "missing_fields": changed(bare),
    "missing_fields:fields=index": changed(nowhere),
    "bad_json_event:nth=3": sse(START, *THOUGHT, SAID[0])
    + frame(text("H"))[: len(frame(text("H"))) // 2]
    + "\n\n"
    + sse(*SAID[2:], END, LAST),
    "event_lines": frame(START) + "event: ping\n\n" + sse(*HEALTHY[1:]),
    "retry_lines": "retry: 3000\n\n" + sse(*HEALTHY),
    "multi_line_data": "".join(
        frame(event).replace("data: {", "data: {\ndata: ", 1).removesuffix("}\n\n") + "\ndata: }\n\n"
        for event in HEALTHY
    ),
    "data_space": sse(*HEALTHY).replace("data: ", "data:"),
    "line_ends": sse(*HEALTHY).replace("\n", "\r\n"),
    "bom": "\ufeff" + sse(*HEALTHY),
    "split": sse(*HEALTHY),
    "coalesce": sse(*HEALTHY),
    "gzip": sse(*HEALTHY),
    "no_trailing_blank": sse(*HEALTHY[:-1])[:-1],
    "no_trailing_blank:done=true": sse(*HEALTHY)[:-1],
    "odd_separators": sse(*HEALTHY).replace('"So"', '"So\u2028\u2029\u0085"'),
    "keepalive_comments:count=1": ": keep-alive\n\n" + sse(*HEALTHY),
}


@pytest.mark.parametrize("fault", STREAMS)
def test_a_stream_goes_wrong_in_the_terms_of_the_dialect(fault: str, messages: Messages) -> None:
    assert messages.answered(fault) == (STREAMS[fault], ())


def test_an_error_without_an_event_line_has_the_envelope_of_a_refusal(messages: Messages) -> None:
    kind = "service_unavailable_error"
    text, notes = messages.answered("error_event:form=bare")
    first, _, rest = text.partition(sse(*ALL_SAID))
    assert (first, notes) == ("", ())
    assert json.loads(rest.removeprefix("data: ")) == {
        "error": {"message": BUSY, "type": kind, "param": None, "code": kind}
    }


def with_members(**members: Any) -> Event:
    return {**BODY, **members}


WHOLE: dict[str, Event] = {
    "finish_reason:value=content_filter": with_members(stop_reason="refusal"),
    "usage": {name: value for name, value in BODY.items() if name != "usage"},
    "usage:form=null": with_members(usage=None),
    "usage:form=zeros": with_members(usage=zero(COUNTS)),
    "empty_choices": with_members(content=[]),
    "empty_choices:value=null": with_members(content=None),
    "null_content": with_members(content=[BODY["content"][0], {"type": "text", "text": None}]),
    "missing_fields": {name: value for name, value in BODY.items() if name not in ("id", "type", "model", "role")},
}


@pytest.mark.parametrize("fault", WHOLE)
def test_a_whole_message_goes_wrong_in_the_terms_of_the_dialect(fault: str, messages: Messages) -> None:
    text, notes = messages.answered(fault, stream=False)
    assert (json.loads(text), notes) == (WHOLE[fault], ())


def test_a_block_that_another_fault_leaves_no_place_for_is_skipped(messages: Messages) -> None:
    text, notes = messages.answered("empty_choices:value=null; unknown_block", stream=False)
    assert json.loads(text) == with_members(content=None)
    assert notes == ("fault unknown_block (header) was skipped: another fault removed the place for the block",)


def test_broken_arguments_come_in_pieces_as_they_are_and_whole_as_a_text(messages: Messages) -> None:
    stream, _ = messages.answered("tool_arguments", "Call")
    events = [json.loads(line.removeprefix("data: ")) for line in stream.splitlines() if line.startswith("data: ")]
    pieces = [event["delta"].get("partial_json", "") for event in events if event["type"] == DELTA]
    assert "".join(pieces) == '{"a'
    assert messages.post("tool_arguments", "Call", stream=False).json()["content"][-1] == {
        "type": "tool_use",
        "id": "c",
        "name": "f",
        "input": '{"a',
    }


def test_no_arguments_are_no_delta(messages: Messages) -> None:
    stream, notes = messages.answered("tool_arguments:form=empty", "Call")
    assert notes == ()
    assert "input_json_delta" not in stream
    assert messages.post("tool_arguments:form=empty", "Call", stream=False).json()["content"][-1]["input"] == {}


def test_an_unknown_tool_is_called_in_either_form(messages: Messages) -> None:
    assert '"name":"no_such_tool","input":{}' in messages.post("unknown_tool", "Call").text
    assert messages.post("unknown_tool", "Call", stream=False).json()["content"][-1]["name"] == "no_such_tool"


NOT_HERE = {
    "unknown_event:after_events=999": "the stream has 14 events",
    "empty_choices_chunk": "this dialect has no event without choices, or another fault removed them",
    "cumulative:where=message": "this dialect has no place for the whole text next to a delta",
    "tool_index:form=id_repeated": "the answer calls no tool, or too few to make a difference",
    "tool_index:form=name_split": "the answer calls no tool, or too few to make a difference",
}


@pytest.mark.parametrize("fault", NOT_HERE)
def test_what_there_is_not_in_the_dialect_is_reported(fault: str, messages: Messages) -> None:
    kind = fault.partition(":")[0]
    assert messages.answered(fault) == (sse(*HEALTHY), (f"fault {kind} (header) was skipped: {NOT_HERE[fault]}",))


def test_a_block_has_no_place_in_an_answer_that_another_fault_has_emptied_or_cut(messages: Messages) -> None:
    for faults, stream, reason in (
        ("empty_choices:value=null; unknown_block", False, "another fault removed the place for the block"),
        ("truncate; unknown_block", True, "another fault removed the end of the answer"),
    ):
        messages.post(faults, stream=stream)
        assert messages.last().notes == (f"fault unknown_block (header) was skipped: {reason}",)


@pytest.mark.parametrize("fault", ["tool_index:form=id_repeated", "tool_index:form=name_split"])
def test_a_call_that_begins_with_a_block_is_named_once(fault: str, messages: Messages) -> None:
    stream, notes = messages.answered(fault, "Call")
    assert stream == messages.post("", "Call").text
    assert notes == (f"fault tool_index (header) was skipped: {NOT_HERE[fault]}",)


SILENT = {"hang", "stall", "done_then_open"}
"""They keep the connection open forever."""
BROKEN = {"reset", "close", "half_status", "random_data", "malformed_chunk", "content_length", "wait_then_close"} | {
    "no_length_close",
    "refuse_connections",
    "reset_on_accept",
    "stale_keepalive",
}
"""They break HTTP: what reads it fails."""


@pytest.mark.parametrize("kind", sorted(FAULTS.keys() - SILENT - BROKEN))
def test_every_fault_acts_or_says_why_it_could_not(kind: str, messages: Messages) -> None:
    fault = f"{kind}:name=overloaded" if kind == "error" else kind
    for prompt in ("Hi", "Call", "Slow", "Refuse"):
        for stream in (True, False):
            try:
                answer = messages.post(fault, prompt, stream=stream)
            except httpx.DecodingError:
                continue  # compressed, and cut
            where = f"{prompt}, streamed: {stream}: {answer.text[:300]}"
            assert "x-emulator-error" not in answer.headers, where
            assert messages.last().faults == (f"{kind} (header)",), where
            for note in messages.last().notes:
                assert note.startswith(f"fault {kind} (header) was skipped: "), where
