"""The faults that apply only to streams of typed events: blocks and items, their texts, numbers, ids and signatures."""

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from emulator import Emulator

Event = dict[str, Any]
FIXED: dict[str, Any] = {"id": "one", "created": 1}
SCENARIO: dict[str, Any] = {"rules": [{"reply": {"reasoning": "So.", "content": "Hé, you", **FIXED}}]}
ASKED: dict[str, tuple[str, str, Event]] = {
    "messages": (
        "deepseek",
        "/anthropic/v1/messages",
        {"model": "deepseek-v4-pro", "max_tokens": 100, "messages": [{"role": "user", "content": "Hi"}]},
    ),
    "responses": (
        "openai",
        "/v1/responses",
        {"model": "gpt-5", "input": "Hi", "include": ["reasoning.encrypted_content"]},
    ),
    "chat": ("openai", "/v1/chat/completions", {"model": "gpt-4o", "messages": [{"role": "user", "content": "Hi"}]}),
}


class Endpoint:
    def __init__(self, emulator: Emulator) -> None:
        self.emulator = emulator
        self.client = httpx.Client(timeout=10, verify=False)

    def post(self, dialect: str, fault: str = "", *, stream: bool = True) -> httpx.Response:
        provider, path, body = ASKED[dialect]
        headers = {"authorization": "Bearer k", **({"x-emulator-fault": fault} if fault else {})}
        url = self.emulator.url(provider) + path
        return self.client.post(url, json={**body, "stream": stream}, headers=headers)

    def notes(self) -> tuple[str, ...]:
        return self.emulator.journal[-1].notes

    def events(self, dialect: str, fault: str = "") -> list[Event]:
        found = read(self.post(dialect, fault).text)
        assert self.notes() == ()
        return found

    def refused(self, dialect: str, fault: str) -> str:
        """Why the fault could do nothing; the answer is the healthy one."""
        healthy = self.post(dialect).text
        assert self.post(dialect, fault).text == healthy
        (note,) = self.notes()
        return note.partition("was skipped: ")[2]


@pytest.fixture(scope="module")
def endpoint() -> Iterator[Endpoint]:
    with Emulator(SCENARIO) as emulator:
        on = Endpoint(emulator)
        yield on
        on.client.close()


def read(text: str) -> list[Event]:
    return [json.loads(line.removeprefix("data: ")) for line in text.splitlines() if line.startswith("data: {")]


def types(events: list[Event]) -> list[str]:
    return [event["type"].removeprefix("response.") for event in events]


TYPED = ("messages", "responses")


@pytest.mark.parametrize("dialect", TYPED)
class TestInBothDialects:
    def test_events_lose_their_lines_or_have_wrong_ones(self, endpoint: Endpoint, dialect: str) -> None:
        healthy = endpoint.post(dialect).text
        lines = healthy.splitlines(keepends=True)
        bare = "".join(line for line in lines if not line.startswith("event: "))
        assert endpoint.post(dialect, "no_event_lines").text == bare
        named = "".join("event: odd\n" if line.startswith("event: ") else line for line in lines)
        assert endpoint.post(dialect, "wrong_event_name:name=odd").text == named

    def test_an_event_of_an_unknown_type_comes_between(self, endpoint: Endpoint, dialect: str) -> None:
        healthy = endpoint.events(dialect)
        unknown = {"type": "x.unknown", "detail": "of a later version"}
        assert endpoint.events(dialect, "unknown_event:after_events=2") == [*healthy[:2], unknown, *healthy[2:]]

    @pytest.mark.parametrize(
        ("fault", "gone"),
        [
            ("missing_block_start", ("content_block_start", "output_item.added")),
            ("missing_block_stop", ("content_block_stop", "output_item.done")),
            ("no_created", ("message_start", "created")),
        ],
    )
    def test_what_frames_the_answer_is_missing(
        self, endpoint: Endpoint, dialect: str, fault: str, gone: tuple[str, ...]
    ) -> None:
        healthy = endpoint.events(dialect)
        kept = [e for e, kind in zip(healthy, types(healthy), strict=True) if kind not in gone]
        assert len(kept) < len(healthy)
        assert endpoint.events(dialect, fault) == kept

    def test_the_end_of_a_chat_is_added(self, endpoint: Endpoint, dialect: str) -> None:
        assert endpoint.post(dialect, "done_added").text == endpoint.post(dialect).text + "data: [DONE]\n\n"

    def test_a_chat_comes_instead(self, endpoint: Endpoint, dialect: str) -> None:
        response = endpoint.post(dialect, "other_dialect")
        chunks = read(response.text)
        assert {chunk["object"] for chunk in chunks} == {"chat.completion.chunk"}
        text = "".join(chunk["choices"][0]["delta"].get("content") or "" for chunk in chunks)
        assert text == "Hé, you"
        assert chunks[-1]["choices"][0]["finish_reason"] == "stop"
        assert response.text.endswith("data: [DONE]\n\n")

    def test_thoughts_are_not_signed_or_wrongly(self, endpoint: Endpoint, dialect: str) -> None:
        members = ("signature", "encrypted_content")

        def signatures(value: Any) -> list[Any]:
            if isinstance(value, list):
                return [each for item in value for each in signatures(item)]
            if not isinstance(value, dict):
                return []
            own = [each for name, each in value.items() if name in members and each]
            return own + [each for item in value.values() for each in signatures(item)]

        assert signatures(endpoint.events(dialect))
        assert not signatures(endpoint.events(dialect, "no_signature"))
        assert set(signatures(endpoint.events(dialect, "wrong_signature"))) == {"bm90LXNpZ25lZA=="}
        whole = endpoint.post(dialect, "no_signature", stream=False).json()
        assert (signatures(whole), endpoint.notes()) == ([], ())
        whole = endpoint.post(dialect, "wrong_signature", stream=False).json()
        assert signatures(whole) == ["bm90LXNpZ25lZA=="]


def test_a_block_of_an_unknown_kind(endpoint: Endpoint) -> None:
    healthy = endpoint.events("messages")
    start = {"type": "content_block_start", "index": 2, "content_block": {"type": "x_unknown"}}
    stop = {"type": "content_block_stop", "index": 2}
    assert endpoint.events("messages", "unknown_block") == [*healthy[:-2], start, stop, *healthy[-2:]]
    whole = endpoint.post("messages", "unknown_block:name=odd", stream=False).json()
    assert [block["type"] for block in whole["content"]] == ["thinking", "text", "odd"]
    assert endpoint.refused("messages", "unknown_item") == "the answer is not made of items"


def test_an_item_of_an_unknown_kind(endpoint: Endpoint) -> None:
    healthy = endpoint.events("responses")
    events = endpoint.events("responses", "unknown_item")
    number = healthy[-1]["sequence_number"]
    item = {"id": "x_2", "type": "x_unknown", "status": "in_progress"}
    assert events[-3:-1] == [
        {"type": "response.output_item.added", "sequence_number": number, "output_index": 2, "item": item},
        {
            "type": "response.output_item.done",
            "sequence_number": number + 1,
            "output_index": 2,
            "item": {**item, "status": "completed"},
        },
    ]
    whole = endpoint.post("responses", "unknown_item", stream=False).json()
    assert [each["type"] for each in whole["output"]] == ["reasoning", "message", "x_unknown"]
    assert endpoint.refused("responses", "unknown_block") == "the answer is not made of blocks"


def test_what_repeats_a_text_contradicts_it(endpoint: Endpoint) -> None:
    events = endpoint.events("responses", "done_text_differs")
    deltas = [event["delta"] for event in events if event["type"] == "response.output_text.delta"]
    (done,) = [event["text"] for event in events if event["type"] == "response.output_text.done"]
    last = events[-1]["response"]["output"][1]["content"][0]["text"]
    assert ("".join(deltas), done, last) == ("Hé, you", "Hé, you (changed)", "Hé, you (changed)")


def test_only_the_last_event_tells_the_answer(endpoint: Endpoint) -> None:
    healthy = endpoint.events("responses")
    assert endpoint.events("responses", "only_final") == [*healthy[:2], healthy[-1]]


def test_the_id_changes_at_the_end(endpoint: Endpoint) -> None:
    events = endpoint.events("responses", "id_changes")
    assert [event["response"]["id"] for event in events if "response" in event] == ["one", "one", "one_other"]
    assert [chunk["id"] for chunk in endpoint.events("chat", "id_changes")][-2:] == ["one", "one_other"]


def test_numbers_jump(endpoint: Endpoint) -> None:
    numbers = [event["sequence_number"] for event in endpoint.events("responses", "sequence_gap:gap=5,after_events=2")]
    assert numbers == [0, 1, *range(7, 5 + len(numbers))]


def test_a_response_fails_when_all_is_said(endpoint: Endpoint) -> None:
    healthy = endpoint.events("responses")
    *before, last = endpoint.events("responses", "failed_after_text:name=overloaded")
    assert before == healthy[:-1]
    assert (last["type"], last["sequence_number"]) == ("response.failed", healthy[-1]["sequence_number"])
    response = last["response"]
    assert (response["status"], response["output"]) == ("failed", healthy[-1]["response"]["output"])
    assert response["error"] == {
        "code": "server_error",
        "message": "The engine is currently overloaded, please try again later",
    }


def test_a_spent_limit_is_final(endpoint: Endpoint) -> None:
    spent = endpoint.post("chat", "spend_limit")
    assert (spent.status_code, spent.json()["error"]["code"]) == (429, "insufficient_quota")
    assert "retry-after" not in spent.headers
    other = endpoint.post("messages", "spend_limit")
    assert (other.status_code, "spending limit" in other.text) == (429, True)


NOT_HERE = {
    ("messages", "sequence_gap"): "the events have no numbers, or there are too few events",
    ("messages", "only_final"): "the last event doesn't contain the answer",
    ("messages", "done_text_differs"): "no event repeats the text",
    ("messages", "id_changes"): "the last events have no id",
    ("messages", "failed_after_text"): "this dialect has no event for a failed answer",
    ("chat", "no_event_lines"): "the events have no `event:` lines",
    ("chat", "wrong_event_name"): "the events have no `event:` lines",
    ("chat", "unknown_event"): "the events have no types",
    ("chat", "no_created"): "this dialect has no event that opens the stream",
    ("chat", "missing_block_stop"): "this dialect has no events that begin or end a part of the answer",
    ("chat", "no_signature"): "the answer has no signed reasoning",
    ("chat", "done_added"): "the stream ends with `[DONE]` anyway",
    ("chat", "other_dialect"): "the request is a chat completion",
}


@pytest.mark.parametrize(("dialect", "fault"), NOT_HERE)
def test_what_there_is_not_in_a_dialect_is_reported(endpoint: Endpoint, dialect: str, fault: str) -> None:
    assert endpoint.refused(dialect, fault) == NOT_HERE[dialect, fault]
