"""Answers as blocks: scenarios list their parts in order, and every API shows those that it can express."""

import json
from typing import Any

import openai
import pytest
from talk import KEYS, Ask, Serving, events, question

from emulator import Emulator
from emulator.errors import ScenarioError
from emulator.scenario.loading import build, parse
from emulator.scenario.models import Scenario

CITED = {"url": "https://example.org/a", "title": "A", "cited_text": "Paris is the capital.", "start": 0, "end": 5}
ANNOTATION: dict[str, Any] = {
    "type": "url_citation",
    "url_citation": {"start_index": 0, "end_index": 5, "title": "A", "url": "https://example.org/a"},
}
SOURCE = {"url": "https://example.org/a", "summary": "Good."}
PATCH = "*** Begin Patch"
BLOCKS: dict[str, list[dict[str, Any]]] = {
    "refuse": [{"refusal": "I can't help with that."}],
    "decline": [{"refusal": "I {{ request.prompt }}."}],
    "cite": [{"text": "Paris", "citations": [CITED]}, {"text": " it is."}],
    "patch": [{"tool_call": {"name": "apply_patch", "kind": "custom", "arguments": PATCH}}],
    "search": [
        {
            "search": {
                "query": "{{ request.prompt }}",
                "results": [SOURCE],
            }
        },
        {"text": "Found: {{ request.prompt }}."},
    ],
    "three": [{"text": "One."}, {"text": " Two"}, {"text": ". Three"}],
    "twice": [
        {"thought": "First."},
        {"text": "One."},
        {"thought": "Then."},
        {"text": " Two."},
        {"tool_call": {"name": "look", "arguments": {"what": "{{ request.prompt }}"}}},
    ],
}
RULES = [{"name": name, "match": {"prompt": name}, "reply": {"blocks": blocks}} for name, blocks in BLOCKS.items()]
CHATS = ("maxtoken", "serevix", "cloudsway", "deepseek", "openai")


@pytest.fixture(scope="module")
def emulator(serving: Serving) -> Emulator:
    return serving({"rules": RULES})


def message(emulator: Emulator, ask: Ask, provider: str, name: str) -> dict[str, Any]:
    body = ask(emulator, provider, question(provider, name)).json()
    found: dict[str, Any] = body["choices"][0]["message"]
    return found


def deltas(emulator: Emulator, ask: Ask, provider: str, name: str) -> list[dict[str, Any]]:
    streamed = events(ask(emulator, provider, question(provider, name, stream=True)))
    return [choice["delta"] for event in streamed for choice in event["choices"]]


@pytest.mark.parametrize("provider", CHATS)
class TestChatCompletions:
    def test_a_refusal_has_a_member_of_its_own(self, provider: str, emulator: Emulator, ask: Ask) -> None:
        said = message(emulator, ask, provider, "refuse")
        assert (said["content"], said["refusal"]) == (None, "I can't help with that.")
        pieces = [delta.get("refusal") or "" for delta in deltas(emulator, ask, provider, "refuse")]
        assert "".join(pieces) == "I can't help with that."
        assert len([piece for piece in pieces if piece]) > 3

    def test_what_a_text_cites_is_annotated(self, provider: str, emulator: Emulator, ask: Ask) -> None:
        said = message(emulator, ask, provider, "cite")
        assert (said["content"], said["annotations"]) == ("Paris it is.", [ANNOTATION])
        streamed = deltas(emulator, ask, provider, "cite")
        assert "".join(delta.get("content") or "" for delta in streamed) == "Paris it is."
        assert [delta["annotations"] for delta in streamed if "annotations" in delta] == [[ANNOTATION]]

    def test_a_custom_tool_gets_plain_text(self, provider: str, emulator: Emulator, ask: Ask) -> None:
        (call,) = message(emulator, ask, provider, "patch")["tool_calls"]
        assert (call["type"], call["custom"]) == ("custom", {"name": "apply_patch", "input": PATCH})
        calls = [call for delta in deltas(emulator, ask, provider, "patch") for call in delta.get("tool_calls") or ()]
        assert calls[0]["custom"] == {"name": "apply_patch", "input": ""}
        assert "".join(call["custom"]["input"] for call in calls) == PATCH

    def test_a_search_is_noted_as_it_cannot_show(self, provider: str, emulator: Emulator, ask: Ask) -> None:
        assert message(emulator, ask, provider, "search")["content"] == "Found: search."
        assert "this endpoint can't show a block of the answer: search" in emulator.journal[-1].notes

    def test_an_ordinary_answer_has_none_of_these(self, provider: str, emulator: Emulator, ask: Ask) -> None:
        said = message(emulator, ask, provider, "twice")
        assert (said["content"], said.get("refusal"), said.get("annotations") or []) == ("One. Two.", None, [])
        (call,) = said["tool_calls"]
        assert json.loads(call["function"]["arguments"]) == {"what": "twice"}


def test_openai_reads_a_streamed_refusal_and_a_custom_call(emulator: Emulator) -> None:
    with openai.OpenAI(base_url=f"{emulator.url('openai')}/v1", api_key="sk-test") as client:
        with client.chat.completions.stream(
            model="gpt-4o-mini", messages=[{"role": "user", "content": "refuse"}]
        ) as stream:
            refused = stream.get_final_completion()
        whole = client.chat.completions.create(model="gpt-4o-mini", messages=[{"role": "user", "content": "patch"}])
    assert (refused.choices[0].message.refusal, refused.choices[0].finish_reason) == ("I can't help with that.", "stop")
    calls = [call.to_dict() for call in whole.choices[0].message.tool_calls or ()]
    assert [call["custom"] for call in calls] == [{"name": "apply_patch", "input": PATCH}]


def test_a_provider_with_one_text_flattens_them(emulator: Emulator, ask: Ask) -> None:
    body = ask(emulator, "nadles", question("nadles", "twice")).json()
    (choice,) = body["model_response"]["choices"]
    assert choice["message"]["content"] == "<think>\nFirst.Then.\n</think>\n\nOne. Two."
    found = ask(emulator, "nadles", question("nadles", "search", search_web=True)).json()
    assert found["summaries"] == [{"error": None, "status": 200, "summary": "Good.", "url": "https://example.org/a"}]


@pytest.mark.parametrize(
    ("stop", "types", "text"),
    [("Two", ["thinking", "text", "thinking", "text"], "One. "), ("One", ["thinking"], ""), ("e. T", None, "On")],
)
def test_a_stop_string_ends_the_text_that_it_is_in(
    emulator: Emulator, ask: Ask, stop: str, types: list[str] | None, text: str
) -> None:
    body = {
        "model": "deepseek-v4-pro",
        "max_tokens": 500,
        "stop_sequences": [stop],
        "messages": [{"role": "user", "content": "twice"}],
    }
    answer = ask(emulator, "deepseek", body, path="/anthropic/v1/messages", headers=KEYS["deepseek"]).json()
    assert "".join(block.get("text", "") for block in answer["content"]) == text
    assert types is None or [block["type"] for block in answer["content"]] == types
    assert (answer["stop_reason"], answer["stop_sequence"]) == ("stop_sequence", stop)


def test_a_refusal_may_be_a_template(emulator: Emulator, ask: Ask) -> None:
    assert message(emulator, ask, "openai", "decline")["refusal"] == "I decline."


def test_messages_keep_the_order(emulator: Emulator, ask: Ask) -> None:
    def content(name: str) -> Any:
        body = {"model": "deepseek-v4-pro", "max_tokens": 500, "messages": [{"role": "user", "content": name}]}
        return ask(emulator, "deepseek", body, path="/anthropic/v1/messages", headers=KEYS["deepseek"]).json()

    assert [block["type"] for block in content("twice")["content"]] == [
        "thinking", "text", "thinking", "text", "tool_use",
    ]  # fmt: skip
    found = content("search")["content"]
    assert [block["type"] for block in found][-3:] == ["server_tool_use", "web_search_tool_result", "text"]
    assert content("refuse")["stop_reason"] == "refusal"


def test_half_of_the_text_ends_in_the_middle_of_the_blocks(emulator: Emulator, ask: Ask) -> None:
    headers = {**KEYS["anthropic"], "x-emulator-fault": "finish_reason:content=half"}
    whole = ask(emulator, "anthropic", question("anthropic", "three"), headers=headers).json()
    assert whole["content"] == [{"type": "text", "text": "One."}]


def test_responses_keep_the_order(emulator: Emulator, ask: Ask) -> None:
    def output(name: str) -> Any:
        body = {"model": "gpt-5", "input": name, "store": False}
        return ask(emulator, "openai", body, path="/v1/responses").json()["output"]

    assert [item["type"] for item in output("twice")] == [
        "reasoning", "message", "reasoning", "message", "function_call",
    ]  # fmt: skip
    assert [part["annotations"] for item in output("cite")[1:] for part in item["content"]] == [
        [{"type": "url_citation", **ANNOTATION["url_citation"]}],
        [],
    ]
    assert output("refuse")[-1]["content"] == [{"type": "refusal", "refusal": "I can't help with that."}]
    (search,) = [item for item in output("search") if item["type"] == "web_search_call"]
    assert search["action"]["query"] == "search"


def test_a_model_that_does_not_think_says_no_thought(emulator: Emulator, ask: Ask) -> None:
    body = question("deepseek", "twice", thinking={"type": "disabled"})
    said = ask(emulator, "deepseek", body).json()["choices"][0]["message"]
    assert (said["content"], said.get("reasoning_content")) == ("One. Two.", None)


@pytest.mark.parametrize(
    ("reply", "problem"),
    [
        ({"blocks": [{}]}, "is empty: give exactly one of thought, text, refusal, tool_call, search"),
        ({"blocks": [{"text": "a", "refusal": "b"}]}, "has text and refusal: give exactly one of thought, text,"),
        ({"blocks": [{"text": "a", "signature": "s"}]}, "has signature next to text: it belongs to thought"),
        ({"blocks": [{"text": "a"}], "content": "b"}, "has blocks and content: blocks are the whole answer, so remove"),
        ({"blocks": [{"text": "{{ nothing }}"}]}, "is an invalid template"),
        (
            {"tool_calls": [{"name": "a", "kind": "custom", "arguments": {}}]},
            "is of the kind custom and needs its arguments as a text",
        ),
    ],
)
def test_what_is_no_block_is_refused_with_its_place(reply: Any, problem: str) -> None:
    text = json.dumps({"version": 1, "rules": [{"reply": reply}]}, indent=1)
    with pytest.raises(ScenarioError) as refused:
        build(Scenario, parse(text, "a.yaml"))
    assert problem in str(refused.value)
    assert str(refused.value).startswith("a.yaml:")
