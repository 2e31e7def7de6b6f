"""The effect of each fault on an answer in the dialect `responses`: the same as for a chat, in that dialect's own
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

FIXED: dict[str, Any] = {"id": "resp_1", "created": 1}
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
Event = dict[str, Any]
Change = Callable[[Event], Event | None]
BUSY = "Service is too busy. We advise users to temporarily switch to alternative LLM API service providers."


def frame(event: Event, name: str | None = None) -> str:
    data = f"data: {json.dumps(event, ensure_ascii=False, separators=(',', ':'))}\n\n"
    return f"event: {event['type'] if name is None else name}\n{data}"


def sse(*events: Event) -> str:
    return "".join(map(frame, events))


def read(text: str) -> list[Event]:
    return [json.loads(line.removeprefix("data: ")) for line in text.splitlines() if line.startswith("data: {")]


class Endpoint:
    def __init__(self, emulator: Emulator) -> None:
        self.emulator = emulator
        self.client = httpx.Client(timeout=10, limits=NO_REUSE, verify=False)
        self.healthy = read(self.post().text)
        self.body: Event = self.post(stream=False).json()

    def post(self, fault: str = "", prompt: str = "Hi", *, stream: bool = True, **members: Any) -> httpx.Response:
        body = {"model": "deepseek-v4-pro", "input": prompt, "stream": stream, **members}
        headers = {"authorization": "Bearer k", **({"x-emulator-fault": fault} if fault else {})}
        return self.client.post(self.emulator.url("deepseek") + "/responses", json=body, headers=headers)

    def answered(self, fault: str, prompt: str = "Hi", **how: Any) -> tuple[str, tuple[str, ...]]:
        """The body, and what the journal notes."""
        return self.post(fault, prompt, **how).text, self.last().notes

    def last(self) -> Exchange:
        return self.emulator.journal[-1]

    def changed(self, change: Change) -> str:
        """The healthy stream with every event changed; None takes it away."""
        made = [change(json.loads(json.dumps(event))) for event in self.healthy]
        return sse(*[event for event in made if event is not None])


@pytest.fixture(scope="module")
def endpoint() -> Iterator[Endpoint]:
    with Emulator(SCENARIO) as emulator:
        on = Endpoint(emulator)
        yield on
        on.client.close()


def test_a_healthy_answer(endpoint: Endpoint) -> None:
    assert [event["type"].removeprefix("response.") for event in endpoint.healthy] == [
        *("created", "in_progress", "output_item.added", "content_part.added"),
        *("reasoning_text.delta", "reasoning_text.delta", "reasoning_text.done", "content_part.done"),
        *("output_item.done", "output_item.added", "content_part.added"),
        *("output_text.delta", "output_text.delta", "output_text.delta", "output_text.delta"),
        *("output_text.done", "content_part.done", "output_item.done", "completed"),
    ]
    assert endpoint.post().text == sse(*endpoint.healthy)
    assert endpoint.healthy[-1]["response"] == endpoint.body


def in_last(**members: Any) -> Change:
    def change(event: Event) -> Event:
        if event["type"] == "response.completed":
            event["response"] = {**event["response"], **members}
        return event

    return change


def without_usage(event: Event) -> Event:
    event.get("response", {}).pop("usage", None)
    return event


def no_usage(event: Event) -> Event:
    if "response" in event:
        event["response"]["usage"] = None
    return event


def zero(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: zero(member) for name, member in value.items()}
    return None if value is None else 0


def zeros(event: Event) -> Event:
    if "response" in event:
        event["response"]["usage"] = zero(event["response"]["usage"])
    return event


def numbered(events: list[Event]) -> list[Event]:
    return [{**event, "sequence_number": number} for number, event in enumerate(events)]


def so_far(event: Event) -> Event:
    said = {4: "So", 5: "So.", 11: "H", 12: "Hé", 13: "Hé,", 14: "Hé, you"}
    number = event["sequence_number"]
    return {**event, "delta": said[number]} if number in said else event


def silent(event: Event) -> Event:
    kind = event["type"]
    if kind == "response.output_text.delta":
        event["delta"] = None
    if kind == "response.output_text.done":
        event["text"] = None
    outputs = [event["item"]] if "item" in event else event.get("response", {}).get("output", [])
    parts = [part for item in outputs if item["type"] == "message" for part in item["content"]]
    for part in [*parts, *([event["part"]] if "part" in event else [])]:
        if part["type"] == "output_text":
            part["text"] = None
    return event


def bare(event: Event) -> Event:
    for holder in (event, event.get("response", {})):
        for name in ("id", "object", "created_at", "model", "sequence_number"):
            holder.pop(name, None)
    return event


def test_streams_go_wrong_in_the_terms_of_the_dialect(endpoint: Endpoint) -> None:
    healthy, changed = endpoint.healthy, endpoint.changed
    said = healthy[:15]
    opening = healthy[0]["response"]
    failure = {"code": "server_error", "message": BUSY}
    failed = {
        "type": "response.failed",
        "sequence_number": 15,
        "response": {**opening, "status": "failed", "error": failure},
    }
    late = {**healthy[14], "sequence_number": 19, "output_index": 0, "delta": " (after the end)"}
    streams = {
        "done_no_finish": changed(in_last(status="in_progress", usage=None)),
        "truncate": sse(*said),
        "truncate:after_tokens=3": sse(*healthy[:12]),
        "done_then_open:seconds=5": sse(*healthy),
        "error_event": sse(*said, failed),
        "error_event:form=failed": sse(*said, failed),
        "error_event:form=first": sse({**failed, "sequence_number": 0}),
        "error_event:form=with_done": sse(*said, failed) + "data: [DONE]\n\n",
        "error_event:form=event": sse(
            *said,
            {
                "type": "error",
                "code": "service_unavailable_error",
                "message": BUSY,
                "param": None,
                "sequence_number": 15,
            },
        ),
        "usage": changed(without_usage),
        "usage:form=null": changed(no_usage),
        "usage:form=zeros": changed(zeros),
        "null_content:where=all": changed(silent),
        "cumulative": changed(so_far),
        "tool_index:form=zero": changed(
            lambda event: {**event, "output_index": 0} if "output_index" in event else event
        ),
        "duplicate_chunk:nth=3": sse(*healthy[:12], *healthy[11:]),
        "duplicate_chunk:nth=3,renumber=true": sse(*numbered([*healthy[:12], *healthy[11:]])),
        "missing_fields": changed(bare),
        "event_lines": frame(healthy[0]) + "event: ping\n\n" + sse(*healthy[1:]),
        "retry_lines": "retry: 3000\n\n" + sse(*healthy),
        "data_space": sse(*healthy).replace("data: ", "data:"),
        "line_ends": sse(*healthy).replace("\n", "\r\n"),
    }
    wrong = {}
    for fault, expected in streams.items():
        text, notes = endpoint.answered(fault)
        if (text, notes) != (expected, ()):
            wrong[fault] = (text, expected, notes)
    assert wrong == {}
    text, notes = endpoint.answered("data_after_done")
    assert notes == ()
    *before, last = read(text)
    assert before == healthy
    assert last == {**late, "item_id": last["item_id"]}


def test_an_odd_reason_is_reported_in_the_last_event(endpoint: Endpoint) -> None:
    last = read(endpoint.answered("finish_reason:value=odd")[0])[-1]
    assert (last["type"], last["response"]["status"]) == ("response.incomplete", "incomplete")
    assert last["response"]["incomplete_details"] == {"reason": "odd"}


def test_an_empty_answer_is_only_its_frame(endpoint: Endpoint) -> None:
    text, notes = endpoint.answered("empty_choices")
    events = read(text)
    assert [event["type"] for event in events] == ["response.created", "response.in_progress", "response.completed"]
    assert (events[-1]["response"]["output"], notes) == ([], ())
    assert endpoint.post("empty_choices:value=null", stream=False).json() == {**endpoint.body, "output": None}


def test_what_another_fault_has_removed_can_not_be_changed(endpoint: Endpoint) -> None:
    _, notes = endpoint.answered("empty_choices:value=null; unknown_item", stream=False)
    assert notes == ("fault unknown_item (header) was skipped: another fault removed the place for the item",)
    _, notes = endpoint.answered("missing_fields:fields=text+delta; null_content")
    assert notes == ("fault null_content (header) was skipped: there is no text that could be null",)
    bare = read(endpoint.answered("error_event:form=bare,after_tokens=0")[0])[-1]
    assert bare == endpoint.post("overloaded").json()
    assert endpoint.answered("error_event:form=array") == (
        sse(*endpoint.healthy),
        ("fault error_event (header) was skipped: this dialect has no errors of form=array",),
    )


def test_whole_responses_go_wrong_in_the_terms_of_the_dialect(endpoint: Endpoint) -> None:
    body = endpoint.body
    facts = ("id", "object", "created_at", "model")
    whole = {
        "usage": {name: value for name, value in body.items() if name != "usage"},
        "usage:form=null": {**body, "usage": None},
        "usage:form=zeros": {**body, "usage": zero(body["usage"])},
        "missing_fields": {name: value for name, value in body.items() if name not in facts},
    }
    for fault, expected in whole.items():
        text, notes = endpoint.answered(fault, stream=False)
        assert (json.loads(text), notes) == (expected, ()), fault


def test_broken_arguments_are_the_same_everywhere(endpoint: Endpoint) -> None:
    events = read(endpoint.answered("tool_arguments", "Call")[0])
    pieces = [e["delta"] for e in events if e["type"] == "response.function_call_arguments.delta"]
    done = [e["arguments"] for e in events if e["type"] == "response.function_call_arguments.done"]
    assert ("".join(pieces), done, events[-1]["response"]["output"][-1]["arguments"]) == ('{"a', ['{"a'], '{"a')


NOT_HERE = {
    "no_done": "the event with the final status is the end: use truncate to remove both",
    "empty_choices_chunk": "this dialect has no event without choices, or another fault removed them",
    "cumulative:where=message": "this dialect has no place for the whole text next to a delta",
    "tool_index:form=id_repeated": "the answer calls no tool, or too few to make a difference",
    "usage:form=twice": "in this dialect, a stream may report the usage twice",
}


def test_an_added_item_is_numbered_from_zero_where_the_events_have_lost_their_numbers(endpoint: Endpoint) -> None:
    text, notes = endpoint.answered("missing_fields:fields=sequence_number; unknown_item")
    numbers = [event.get("sequence_number") for event in read(text)]
    assert (numbers, notes) == ([*[None] * (len(endpoint.healthy) - 1), 0, 1, None], ())


@pytest.mark.parametrize("fault", NOT_HERE)
def test_what_there_is_not_in_the_dialect_is_reported(fault: str, endpoint: Endpoint) -> None:
    kind = fault.partition(":")[0]
    note = f"fault {kind} (header) was skipped: {NOT_HERE[fault]}"
    assert endpoint.answered(fault) == (sse(*endpoint.healthy), (note,))


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
def test_every_fault_acts_or_says_why_it_could_not(kind: str, endpoint: Endpoint) -> None:
    fault = f"{kind}:name=overloaded" if kind == "error" else kind
    for prompt in ("Hi", "Call", "Slow", "Refuse"):
        for stream in (True, False):
            try:
                answer = endpoint.post(fault, prompt, stream=stream)
            except httpx.DecodingError:
                continue  # compressed, and cut
            where = f"{prompt}, streamed: {stream}: {answer.text[:300]}"
            assert "x-emulator-error" not in answer.headers, where
            assert endpoint.last().faults == (f"{kind} (header)",), where
            for note in endpoint.last().notes:
                assert note.startswith(f"fault {kind} (header) was skipped: "), where
