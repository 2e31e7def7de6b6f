"""The conversations that DeepSeek and its resellers accept: tools, reasoning, parts."""

from typing import Any

import pytest
from talk import Ask, Serving, question

from emulator import Emulator

FORWARDING = ("deepseek", "cloudsway")
CALLING = ("deepseek", "cloudsway", "serevix")
"""The providers that know calls of tools."""
UNPRECEDED = "Messages with role 'tool' must be a response to a preceding message with 'tool_calls'"
UNANSWERED = (
    "An assistant message with 'tool_calls' must be followed by tool messages responding to each 'tool_call_id'. "
    "(insufficient tool messages following tool_calls message)"
)
FORGOTTEN = "The `reasoning_content` in the thinking mode must be passed back to the API."
EMPTY = "Invalid assistant message: content or tool_calls must be set"
NOT_THINKING = {"thinking": {"type": "disabled"}}


@pytest.fixture(scope="module")
def emulator(serving: Serving) -> Emulator:
    return serving({"unmatched": "generate"})


def user(content: Any = "Rain?") -> dict[str, Any]:
    return {"role": "user", "content": content}


def calls(*ids: str, **members: Any) -> dict[str, Any]:
    """An assistant that calls a tool once for each id."""
    function = {"name": "weather", "arguments": "{}"}
    return {
        "role": "assistant",
        "content": "",
        "reasoning_content": "Hm.",
        "tool_calls": [{"id": each, "type": "function", "function": function} for each in ids],
        **members,
    }


def result(call_id: str) -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": call_id, "content": "Rain."}


def says(content: str | None = "Rain.") -> dict[str, Any]:
    return {"role": "assistant", "content": content}


def reported(emulator: Emulator, ask: Ask, provider: str, *messages: dict[str, Any], **members: Any) -> str | None:
    """Returns the error for a conversation; None if it is answered."""
    response = ask(emulator, provider, question(provider, messages=list(messages), **members))
    if response.status_code == 200:
        return None
    assert response.status_code == 400
    message: str = response.json()["error"]["message"]
    return message


class TestAResultOfATool:
    @pytest.mark.parametrize("provider", CALLING)
    @pytest.mark.parametrize(
        "messages",
        [
            [user(), result("a")],
            [result("a")],
            [user(), says(), result("a")],
            [user(), calls("a"), result("a"), says(), result("a")],
            [user(), calls("a"), result("a"), user(), result("a")],
        ],
        ids=["after a user", "first", "after an answer", "after the answer", "after the next question"],
    )
    def test_follows_a_call(self, provider: str, messages: list[Any], emulator: Emulator, ask: Ask) -> None:
        assert reported(emulator, ask, provider, *messages) == UNPRECEDED

    @pytest.mark.parametrize("provider", CALLING)
    @pytest.mark.parametrize(
        "messages",
        [
            [user(), calls("a")],
            [user(), calls("a"), user()],
            [user(), calls("a", "b"), result("a")],
            [user(), calls("a", "b"), result("a"), says()],
            [user(), calls("a"), result("b")],
            [user(), calls("a"), {"role": "system", "content": "Hurry."}, result("a")],
        ],
        ids=["at the end", "before a question", "half", "half, then an answer", "of another call", "interrupted"],
    )
    def test_is_there_for_every_call(self, provider: str, messages: list[Any], emulator: Emulator, ask: Ask) -> None:
        assert reported(emulator, ask, provider, *messages) == UNANSWERED

    @pytest.mark.parametrize("provider", CALLING)
    @pytest.mark.parametrize(
        "messages",
        [
            [user(), calls("a"), result("a")],
            [user(), calls("a", "b"), result("b"), result("a")],
            [user(), calls("a"), result("a"), calls("b"), result("b"), says(), user()],
            [user(), calls(content="No.", tool_calls=[]), user()],
        ],
        ids=["one", "in any order", "again and again", "none called"],
    )
    def test_is_taken_otherwise(self, provider: str, messages: list[Any], emulator: Emulator, ask: Ask) -> None:
        assert reported(emulator, ask, provider, *messages) is None


@pytest.mark.parametrize("provider", FORWARDING)
class TestTheReasoningOfACall:
    def test_has_to_be_sent_back(self, provider: str, emulator: Emulator, ask: Ask) -> None:
        for reasoning in ({"reasoning_content": None}, {}):
            call = {name: value for name, value in calls("a").items() if name != "reasoning_content"}
            assert reported(emulator, ask, provider, user(), {**call, **reasoning}, result("a")) == FORGOTTEN

    def test_has_to_be_sent_back_in_later_turns_too(self, provider: str, emulator: Emulator, ask: Ask) -> None:
        messages = [user(), calls("a", reasoning_content=None), result("a"), says(), user()]
        assert reported(emulator, ask, provider, *messages) == FORGOTTEN

    def test_may_have_been_empty(self, provider: str, emulator: Emulator, ask: Ask) -> None:
        assert reported(emulator, ask, provider, user(), calls("a", reasoning_content=""), result("a")) is None

    def test_is_not_asked_for_without_thinking(self, provider: str, emulator: Emulator, ask: Ask) -> None:
        messages = [user(), calls("a", reasoning_content=None), result("a")]
        assert reported(emulator, ask, provider, *messages, **NOT_THINKING) is None

    def test_is_not_asked_for_of_answers_without_calls(self, provider: str, emulator: Emulator, ask: Ask) -> None:
        assert reported(emulator, ask, provider, user(), says(), user()) is None

    def test_comes_with_every_call_that_a_rule_makes(self, provider: str, serving: Serving, ask: Ask) -> None:
        emulator = serving({"rules": [{"reply": {"tool_calls": [{"name": "weather", "arguments": "{}"}]}}]})
        message = ask(emulator, provider, question(provider)).json()["choices"][0]["message"]
        assert message["reasoning_content"] == ""
        messages = [user(), message, result(message["tool_calls"][0]["id"])]
        assert reported(emulator, ask, provider, *messages) is None

    def test_is_asked_for_after_the_tools_are_in_order(self, provider: str, emulator: Emulator, ask: Ask) -> None:
        assert reported(emulator, ask, provider, user(), calls("a", reasoning_content=None)) == UNANSWERED


@pytest.mark.parametrize("provider", FORWARDING)
class TestAMessage:
    def test_of_an_assistant_says_or_calls_something(self, provider: str, emulator: Emulator, ask: Ask) -> None:
        assert reported(emulator, ask, provider, user(), says(None), user()) == EMPTY
        assert reported(emulator, ask, provider, user(), says(""), user()) is None
        assert reported(emulator, ask, provider, user(), calls("a", content=None), result("a")) is None

    def test_may_be_in_parts(self, provider: str, emulator: Emulator, ask: Ask) -> None:
        assert reported(emulator, ask, provider, user([{"type": "text", "text": "Rain?"}])) is None

    def test_is_there_at_all(self, provider: str, emulator: Emulator, ask: Ask) -> None:
        assert reported(emulator, ask, provider) == "Empty input messages"


def test_a_message_with_an_image_is_refused_by_deepseek(emulator: Emulator, ask: Ask) -> None:
    image = {"type": "image_url", "image_url": {"url": "https://a.test/cat.png"}}
    parts = [{"type": "text", "text": "What is it?"}, image]
    assert reported(emulator, ask, "deepseek", user(), says(), user(parts)) == "This model does not support image"


def test_the_complaints_about_a_conversation_come_after_those_about_numbers(emulator: Emulator, ask: Ask) -> None:
    message = reported(emulator, ask, "deepseek", user(), result("a"), temperature=3)
    assert message == "Invalid temperature value, the valid range of temperature is [0, 2]"


@pytest.mark.parametrize("provider", FORWARDING)
def test_a_conversation_that_is_too_long_is_refused_with_its_length(provider: str, serving: Serving, ask: Ask) -> None:
    emulator = serving({"unmatched": "generate", "providers": {provider: {"context_length": 50}}})
    assert reported(emulator, ask, provider, user("word " * 60), max_tokens=7) == (
        "This model's maximum context length is 50 tokens. However, you requested 72 tokens (65 in the messages, 7 in "
        "the completion). Please reduce the length of the messages or completion."
    )
    assert reported(emulator, ask, provider, user("Hi"), max_tokens=45) is None
