"""The effect of each fault on an answer in the dialect `generate_content`: the same as for a chat, in its own
format."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from talk import NO_REUSE

from emulator import Emulator
from emulator.faults import FAULTS
from emulator.state.exchanges import Exchange

ID = "LdGKaIu3NoKsmtkP0M27iQ8"
MODEL = "gemini-2.5-flash"
SCENARIO: dict[str, Any] = {
    "clock": "virtual",
    "rules": [
        {"match": {"prompt": "Hi"}, "reply": {"reasoning": "So.", "content": "Hé, you", "id": ID}},
        {
            "match": {"prompt": "Call"},
            "reply": {"content": "I see.", "tool_calls": [{"name": "f", "arguments": '{"a":1}'}], "id": ID},
        },
        {"match": {"prompt": "Slow"}, "reply": {"content": "Hi", "id": ID}, "pace": {"ttft": 25}},
        {"match": {"prompt": "Block"}, "reply": {"content": "", "finish_reason": "content_filter"}},
        {"match": {"prompt": "Refuse"}, "error": "overloaded"},
    ],
    "providers": {"gemini": {"chunk_tokens": 1}},
}
Event = dict[str, Any]
THOUGHT = 2
"""The tokens of the thought, which is asked for."""


def usage(thought: int, said: int) -> Event:
    counts = {"promptTokenCount": 1, "candidatesTokenCount": said, "totalTokenCount": 1 + thought + said}
    return {
        **{name: count for name, count in counts.items() if count},
        "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 1}],
        "thoughtsTokenCount": thought,
    }


def chunk(part: Event, thought: int, said: int, **ends: Any) -> Event:
    return {
        "candidates": [{"content": {"parts": [part], "role": "model"}, **ends, "index": 0}],
        "usageMetadata": usage(thought, said),
        "modelVersion": MODEL,
        "responseId": ID,
    }


THOUGHTS = [chunk({"text": "So", "thought": True}, 1, 0), chunk({"text": ".", "thought": True}, 2, 0)]
SAID = [chunk({"text": text}, THOUGHT, number) for number, text in enumerate(("H", "é", ","), 1)]
END = chunk({"text": " you"}, THOUGHT, 4, finishReason="STOP")
HEALTHY = [*THOUGHTS, *SAID, END]
CUT_END = {**END, "candidates": [{"content": END["candidates"][0]["content"], "index": 0}]}
del CUT_END["usageMetadata"]
CUT = [*THOUGHTS, *SAID, CUT_END]
"""Everything that was said, without the two members that end it."""
BODY: Event = {
    "candidates": [
        {
            "content": {"parts": [{"text": "So.", "thought": True}, {"text": "Hé, you"}], "role": "model"},
            "finishReason": "STOP",
            "index": 0,
        }
    ],
    "usageMetadata": usage(THOUGHT, 4),
    "modelVersion": MODEL,
    "responseId": ID,
}
BLOCKED: Event = {"promptFeedback": {"blockReason": "PROHIBITED_CONTENT"}, "modelVersion": MODEL}
OVERLOADED: Event = {
    "error": {"code": 503, "message": "The model is overloaded. Please try again later.", "status": "UNAVAILABLE"}
}


def frame(event: Event, name: str | None = None) -> str:
    data = f"data: {json.dumps(event, ensure_ascii=False, separators=(',', ': '))}\r\n\r\n"
    return data if name is None else f"event: {name}\r\n{data}"


def sse(*events: Event) -> str:
    return "".join(map(frame, events))


def laid_out(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, indent=2)


class Content:
    def __init__(self, emulator: Emulator) -> None:
        self.emulator = emulator
        self.client = httpx.Client(timeout=10, limits=NO_REUSE, verify=False)

    def post(
        self, fault: str = "", prompt: str = "Hi", *, method: str = "streamGenerateContent?alt=sse"
    ) -> httpx.Response:
        body = {
            "contents": [{"role": "user", "parts": [{"text": prompt}]}],
            "generationConfig": {"thinkingConfig": {"includeThoughts": True}},
        }
        headers = {"x-goog-api-key": "k", **({"x-emulator-fault": fault} if fault else {})}
        url = f"{self.emulator.url('gemini')}/v1beta/models/{MODEL}:{method}"
        return self.client.post(url, json=body, headers=headers)

    def answered(self, fault: str, prompt: str = "Hi", **how: Any) -> tuple[str, tuple[str, ...]]:
        """The body, and what the journal notes."""
        return self.post(fault, prompt, **how).text, self.last().notes

    def last(self) -> Exchange:
        return self.emulator.journal[-1]


WHOLE, ARRAY = "generateContent", "streamGenerateContent"
BETWEEN = "\n,\r\n"
"""What stands between the elements of an array."""


@pytest.fixture(scope="module")
def content() -> Iterator[Content]:
    with Emulator(SCENARIO) as emulator:
        on = Content(emulator)
        yield on
        on.client.close()


def test_a_healthy_answer(content: Content) -> None:
    assert content.post().text == sse(*HEALTHY)
    assert content.post(method=WHOLE).text == laid_out(BODY) + "\n"
    assert content.post(method=ARRAY).text == array(*HEALTHY)


def changed(change: Callable[[Event], Event | None], events: list[Event] | None = None) -> str:
    """The healthy stream with every event changed; None takes it away."""
    made = [change(json.loads(json.dumps(event))) for event in (HEALTHY if events is None else events)]
    return sse(*[event for event in made if event is not None])


def without(*names: str) -> Callable[[Event], Event]:
    return lambda event: {name: value for name, value in event.items() if name not in names}


def with_usage(value: Callable[[Event], Any]) -> Callable[[Event], Event]:
    return lambda event: {**event, "usageMetadata": value(event["usageMetadata"])}


def zero(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: zero(member) for name, member in value.items()}
    return [zero(item) for item in value] if isinstance(value, list) else value if isinstance(value, str) else 0


def ended(reason: str) -> Event:
    return chunk({"text": " you"}, THOUGHT, 4, finishReason=reason)


def emptied(value: Any) -> Callable[[Event], Event]:
    return lambda event: {**event, "candidates": value, "promptFeedback": {"blockReason": "OTHER"}}


def unknown(event: Event) -> Event:
    value = {"list": [1, None, "é"], "deep": {"er": True}}
    (candidate,) = event["candidates"]
    for holder in (event, candidate, candidate["content"], *candidate["content"]["parts"]):
        holder["x_unknown"] = value
    return event


def saying(text: Any, event: Event) -> Event:
    (candidate,) = event["candidates"]
    (part,) = candidate["content"]["parts"]
    return {**event, "candidates": [{**candidate, "content": {"parts": [{**part, "text": text}], "role": "model"}}]}


def late(text: str) -> Event:
    content = {"parts": [{"text": text}], "role": "model"}
    return {**HEALTHY[0], "candidates": [{"content": content, "index": 0}]}


SO_FAR = ["So", "So.", "H", "Hé", "Hé,", "Hé, you"]
ONLY_USAGE = {name: value for name, value in HEALTHY[0].items() if name != "candidates"}
STREAMS: dict[str, str] = {
    "truncate": sse(*CUT),
    "truncate:after_tokens=3": sse(*HEALTHY[:3]),
    "done_then_open:seconds=5": sse(*HEALTHY),
    "data_after_done": sse(*HEALTHY, late(" (after the end)")),
    "done_added": sse(*HEALTHY) + "data: [DONE]\n\n",
    "error_event": sse(*CUT, OVERLOADED),
    "error_event:after_tokens=3": sse(*HEALTHY[:3], OVERLOADED),
    "error_event:form=event": sse(*CUT) + frame(OVERLOADED, "error"),
    "error_event:form=first": sse(OVERLOADED),
    "error_event:form=with_done": sse(*CUT, OVERLOADED) + "data: [DONE]\n\n",
    "error_event:form=bare": sse(*CUT, OVERLOADED),
    "error_event:form=array": sse(*CUT) + laid_out([OVERLOADED]) + "\n",
    "finish_reason:value=length": sse(*HEALTHY[:-1], ended("MAX_TOKENS")),
    "finish_reason:value=content_filter": sse(
        *HEALTHY[:-1],
        {
            **END,
            "candidates": [
                {
                    **ended("SAFETY")["candidates"][0],
                    "safetyRatings": [
                        {"category": "HARM_CATEGORY_DANGEROUS_CONTENT", "probability": "HIGH", "blocked": True}
                    ],
                }
            ],
        },
    ),
    "finish_reason:value=odd": sse(*HEALTHY[:-1], ended("odd")),
    "usage": changed(without("usageMetadata")),
    "usage:form=null": changed(with_usage(lambda counts: None)),
    "usage:form=zeros": changed(with_usage(zero)),
    "empty_choices": changed(emptied([])),
    "empty_choices:value=null": changed(emptied(None)),
    "empty_choices_chunk": sse(ONLY_USAGE, *HEALTHY),
    "null_content": sse(*HEALTHY[:-1], saying(None, END)),
    "null_content:where=all": sse(*THOUGHTS, *[saying(None, event) for event in [*SAID, END]]),
    "cumulative": sse(*[saying(text, event) for text, event in zip(SO_FAR, HEALTHY, strict=True)]),
    "duplicate_chunk:nth=3": sse(*HEALTHY[:3], *HEALTHY[2:]),
    "unknown_fields": changed(unknown),
    "missing_fields": changed(without("responseId", "modelVersion")),
    "missing_fields:fields=usageMetadata": changed(without("usageMetadata")),
    "id_changes": sse(*HEALTHY[:-1], {**END, "responseId": f"{ID}_other"}),
    "ignored_stream_flag": laid_out(BODY) + "\n",
    "bad_json_event:nth=3": sse(*THOUGHTS) + frame(SAID[0])[: len(frame(SAID[0])) // 2] + "\n\n" + sse(*SAID[1:], END),
    "event_lines": frame(HEALTHY[0]) + "event: ping\n\n" + sse(*HEALTHY[1:]),
    "id_lines:pings=false": "".join(f"id: {number}\n{frame(event)}" for number, event in enumerate(HEALTHY, 1)),
    "retry_lines": "retry: 3000\n\n" + sse(*HEALTHY),
    "multi_line_data": "".join(
        frame(event).replace("data: {", "data: {\r\ndata: ", 1).removesuffix("}\r\n\r\n") + "\r\ndata: }\r\n\r\n"
        for event in HEALTHY
    ),
    "data_space": sse(*HEALTHY).replace("data: ", "data:"),
    "line_ends:ends=cr": sse(*HEALTHY).replace("\r\n", "\r"),
    "bom": "\ufeff" + sse(*HEALTHY),
    "split": sse(*HEALTHY),
    "coalesce": sse(*HEALTHY),
    "gzip": sse(*HEALTHY),
    "no_trailing_blank": sse(*HEALTHY)[:-4] + "\n",
    "odd_separators": sse(*HEALTHY).replace('"So"', '"So\u2028\u2029\u0085"'),
    "error_event:name=content_policy": sse(*CUT, BLOCKED),
    "keepalive_comments:count=1": ": keep-alive\n\n" + sse(*HEALTHY),
}


@pytest.mark.parametrize("fault", STREAMS)
def test_a_stream_goes_wrong_in_the_terms_of_the_dialect(fault: str, content: Content) -> None:
    assert content.answered(fault) == (STREAMS[fault], ())


CHANGED: dict[str, Event] = {
    "finish_reason:value=length": {**BODY, "candidates": [{**BODY["candidates"][0], "finishReason": "MAX_TOKENS"}]},
    "usage": without("usageMetadata")(BODY),
    "usage:form=null": {**BODY, "usageMetadata": None},
    "usage:form=zeros": {**BODY, "usageMetadata": zero(BODY["usageMetadata"])},
    "empty_choices": {**BODY, "candidates": [], "promptFeedback": {"blockReason": "OTHER"}},
    "missing_fields": without("responseId", "modelVersion")(BODY),
    "null_content": {
        **BODY,
        "candidates": [
            {
                **BODY["candidates"][0],
                "content": {"parts": [{"text": "So.", "thought": True}, {"text": None}], "role": "model"},
            }
        ],
    },
}


@pytest.mark.parametrize("fault", CHANGED)
def test_a_whole_answer_goes_wrong_in_the_terms_of_the_dialect(fault: str, content: Content) -> None:
    text, notes = content.answered(fault, method=WHOLE)
    assert (text, notes) == (laid_out(CHANGED[fault]) + "\n", ())


def test_an_answer_that_was_blocked_has_unknown_members_too(content: Content) -> None:
    (candidate,) = content.post("unknown_fields", "Block", method=WHOLE).json()["candidates"]
    assert list(candidate) == ["finishReason", "index", "safetyRatings", "x_unknown"]


def test_an_event_without_usage_makes_no_event_without_candidates(content: Content) -> None:
    text, notes = content.answered("truncate; empty_choices_chunk:where=last")
    why = "this dialect has no event without choices, or another fault removed them"
    assert (text, notes) == (sse(*CUT), (f"fault empty_choices_chunk (header) was skipped: {why}",))


def test_an_error_under_200_has_googles_envelope(content: Content) -> None:
    response = content.post("error_200:name=overloaded", method=WHOLE)
    assert (response.status_code, response.json()) == (200, OVERLOADED)


def array(*elements: Event) -> str:
    return "[" + BETWEEN.join(map(laid_out, elements)) + "\n]\n"


ARRAYS = {
    "truncate": "[" + "".join(laid_out(event) + BETWEEN for event in CUT),
    "error_event": array(*CUT, OVERLOADED),
    "finish_reason:value=length": array(*HEALTHY[:-1], ended("MAX_TOKENS")),
    "duplicate_chunk:nth=3": array(*HEALTHY[:3], *HEALTHY[2:]),
    "missing_fields": array(*map(without("responseId", "modelVersion"), HEALTHY)),
    "error_event:name=content_policy": array(*CUT, BLOCKED),
    "data_after_done": array(*HEALTHY) + laid_out(late(" (after the end)")) + BETWEEN,
}


@pytest.mark.parametrize("fault", ARRAYS)
def test_an_array_goes_wrong_as_events_do(fault: str, content: Content) -> None:
    response = content.post(fault, method=ARRAY)
    assert (response.text, content.last().notes) == (ARRAYS[fault], ())
    assert response.headers["content-type"] == "application/json; charset=UTF-8"


def candidate(response: httpx.Response) -> Event:
    (found,) = response.json()["candidates"]
    assert isinstance(found, dict)
    return found


def last(response: httpx.Response) -> Event:
    native = json.loads(response.text.rstrip().rpartition("data: ")[2])
    (found,) = native["candidates"]
    assert isinstance(found, dict)
    return found


@pytest.mark.parametrize("form", ["truncated", "invalid"])
def test_a_call_with_broken_arguments_ends_as_google_ends_it(form: str, content: Content) -> None:
    arguments = {"truncated": '{"a', "invalid": "{'a':1}"}[form]
    ends = {
        "finishReason": "MALFORMED_FUNCTION_CALL",
        "index": 0,
        "finishMessage": f"Malformed function call: f({arguments})",
    }
    said = {"parts": [{"text": "I see."}], "role": "model"}
    fault = f"tool_arguments:form={form}"
    assert candidate(content.post(fault, "Call", method=WHOLE)) == {"content": said, **ends}
    assert last(content.post(fault, "Call")) == {"content": {"parts": [{"text": "."}], "role": "model"}, **ends}


def test_broken_arguments_are_a_text_where_the_setting_says_so() -> None:
    with Emulator({**SCENARIO, "providers": {"gemini": {"bad_arguments": "text"}}}) as emulator:
        on = Content(emulator)
        call = {"functionCall": {"name": "f", "args": '{"a'}}
        found = candidate(on.post("tool_arguments", "Call", method=WHOLE))
        assert without("thoughtSignature")(found["content"]["parts"][-1]) == call
        assert found["finishReason"] == "STOP"
        on.client.close()


def test_a_call_without_arguments_has_no_such_member(content: Content) -> None:
    fault = "tool_arguments:form=empty"
    for found in (candidate(content.post(fault, "Call", method=WHOLE)), last(content.post(fault, "Call"))):
        assert without("thoughtSignature")(found["content"]["parts"][-1]) == {"functionCall": {"name": "f"}}


def test_an_unknown_tool_is_called_in_either_form(content: Content) -> None:
    for found in (
        candidate(content.post("unknown_tool", "Call", method=WHOLE)),
        last(content.post("unknown_tool", "Call")),
    ):
        assert found["content"]["parts"][-1]["functionCall"] == {"name": "no_such_tool", "args": {"a": 1}}
        assert found["finishReason"] == "STOP"


@pytest.mark.parametrize("method", [WHOLE, "streamGenerateContent?alt=sse"])
def test_a_signature_is_left_out_or_wrong(method: str, content: Content) -> None:
    def signature(fault: str) -> Any:
        response = content.post(fault, "Call", method=method)
        found = candidate(response) if method == WHOLE else last(response)
        return found["content"]["parts"][-1].get("thoughtSignature")

    assert len(signature("latency:seconds=0")) > 40
    assert signature("no_signature") is None
    assert signature("wrong_signature") == "bm90LXNpZ25lZA=="


def test_the_stream_of_another_api_comes_with_its_text(content: Content) -> None:
    lines = [line[6:] for line in content.post("other_dialect").text.splitlines() if line.startswith("data: ")]
    assert lines[-1] == "[DONE]"
    deltas = [json.loads(line)["choices"][0]["delta"].get("content", "") for line in lines[:-1]]
    assert "".join(deltas) == "Hé, you"


def test_the_spending_limit_is_a_429_without_a_delay(content: Content) -> None:
    response = content.post("spend_limit")
    assert (response.status_code, response.json()["error"]["status"]) == (429, "RESOURCE_EXHAUSTED")
    assert "RetryInfo" not in response.text
    assert "retry-after" not in response.headers


NOT_HERE = {
    "no_done": "the event with the finish reason is the end: use truncate to remove both",
    "done_no_finish": "nothing but the finish reason ends the stream: use truncate to remove it",
    "usage:form=twice": "in this dialect, a stream may report the usage twice",
    "tool_index": "the answer calls no tool, or too few to make a difference",
    "tool_index:form=id_repeated": "the answer calls no tool, or too few to make a difference",
    "cumulative:where=message": "this dialect has no place for the whole text next to a delta",
    "error_event:form=failed": "this dialect has no errors of form=failed",
    "line_ends": "there is no event to change",
    "no_event_lines": "the events have no `event:` lines",
    "wrong_event_name": "the events have no `event:` lines",
    "unknown_event": "the events have no types",
    "unknown_item": "the answer is not made of items",
    "unknown_block": "the answer is not made of blocks",
    "missing_block_start": "this dialect has no events that begin or end a part of the answer",
    "missing_block_stop": "this dialect has no events that begin or end a part of the answer",
    "no_created": "this dialect has no event that opens the stream",
    "only_final": "the last event doesn't contain the answer",
    "sequence_gap": "the events have no numbers, or there are too few events",
    "failed_after_text": "this dialect has no event for a failed answer",
}


@pytest.mark.parametrize("fault", NOT_HERE)
def test_what_there_is_not_in_the_dialect_is_reported(fault: str, content: Content) -> None:
    kind = fault.partition(":")[0]
    assert content.answered(fault) == (sse(*HEALTHY), (f"fault {kind} (header) was skipped: {NOT_HERE[fault]}",))


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
def test_every_fault_acts_or_says_why_it_could_not(kind: str, content: Content) -> None:
    fault = f"{kind}:name=overloaded" if kind == "error" else kind
    for prompt in ("Hi", "Call", "Slow", "Refuse"):
        for method in (WHOLE, ARRAY, "streamGenerateContent?alt=sse"):
            try:
                answer = content.post(fault, prompt, method=method)
            except httpx.DecodingError:
                continue  # compressed, and cut
            where = f"{prompt}, {method}: {answer.text[:300]}"
            assert "x-emulator-error" not in answer.headers, where
            assert content.last().faults == (f"{kind} (header)",), where
            for note in content.last().notes:
                assert note.startswith(f"fault {kind} (header) was skipped: "), where
