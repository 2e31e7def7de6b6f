"""What recordings of DeepSeek's API show: numbers of tokens, the spelling of arguments and errors.

The recordings are those in the tests of pydantic-ai (test_deepseek_deferred_capability_with_thinking) and of the AI SDK
(deepseek-tool-call), of June and August 2026.
"""

from typing import Any

import pytest
from talk import Ask, Serving, events, question

from emulator import Emulator

Json = dict[str, Any]
OFF: Json = {"thinking": {"type": "disabled"}}
LOAD = {
    "reasoning": "The user wants to play a dice game. I need to roll a die and compare it to the user's guess of 4. "
    "But the DICE_ROLL capability is deferred - I need to load it first using the `load_capability` tool.\n\n"
    "Let me load the capability first.",
    "content": "Let me load the dice rolling capability!",
    "tool_calls": [{"name": "load_capability", "arguments": {"id": "DICE_ROLL"}}],
}
ROLL = {
    "reasoning": "Great, now I have access to the dice roll tool. Let me first get the player's name and then roll the "
    "die.",
    "content": "Let me get your name and roll the die!",
    "tool_calls": [{"name": "get_player_name"}, {"name": "roll_dice"}],
}
LOOK = {
    "reasoning": "The user asks about weather in San Francisco. I'll call the weather tool.",
    "tool_calls": [{"name": "weather", "arguments": {"location": "San Francisco"}}],
}
WEATHER = {
    "type": "function",
    "function": {"name": "weather", "parameters": {"type": "object", "properties": {"location": {"type": "string"}}}},
}
RULES = [
    {"match": {"prompt": name}, "reply": reply} for name, reply in (("load", LOAD), ("roll", ROLL), ("look", LOOK))
]


@pytest.fixture(scope="module")
def emulator(serving: Serving) -> Emulator:
    return serving({"rules": RULES, "unmatched": "generate"}, seed=7)


def usage_of(ask: Ask, emulator: Emulator, prompt: str, **members: Any) -> Json:
    found: Json = ask(emulator, "deepseek", question("deepseek", prompt, **members)).json()["usage"]
    return found


@pytest.mark.parametrize(("prompt", "completion", "reasoning"), [("load", 116, 60), ("roll", 79, 26), ("look", 60, 16)])
def test_calls_cost_the_markup_that_the_model_writes(
    emulator: Emulator, ask: Ask, prompt: str, completion: int, reasoning: int
) -> None:
    usage = usage_of(ask, emulator, prompt)
    details = usage["completion_tokens_details"]
    assert (usage["completion_tokens"], details) == (completion, {"reasoning_tokens": reasoning})


def test_arguments_have_a_blank_after_the_colon(emulator: Emulator, ask: Ask) -> None:
    body = ask(emulator, "deepseek", question("deepseek", "load")).json()
    (call,) = body["choices"][0]["message"]["tool_calls"]
    assert call["function"] == {"name": "load_capability", "arguments": '{"id": "DICE_ROLL"}'}


def test_arguments_given_as_text_stay_as_they_are(serving: Serving, ask: Ask) -> None:
    emulator = serving({"rules": [{"reply": {"tool_calls": [{"name": "f", "arguments": '{"a":1,"b": 2}'}]}}]})
    body = ask(emulator, "deepseek", question("deepseek")).json()
    assert body["choices"][0]["message"]["tool_calls"][0]["function"]["arguments"] == '{"a":1,"b": 2}'


def test_arguments_are_streamed_sign_by_sign_and_word_by_word(emulator: Emulator, ask: Ask) -> None:
    reported = events(ask(emulator, "deepseek", question("deepseek", "look", stream=True)))
    calls = [event["choices"][0]["delta"].get("tool_calls") for event in reported]
    pieces = [call[0]["function"]["arguments"] for call in calls if call]
    assert pieces == ["", "{", '"', "location", '"', ": ", '"', "San", " Francisco", '"', "}"]
    assert reported[-1]["usage"]["completion_tokens"] == 60


def test_arguments_of_any_kind_are_streamed_whole(serving: Serving, ask: Ask) -> None:
    arguments = {'"odd"\n': 'a "quoted"\ttext ü 😊\u2028', "n": [1, 2.5, None, {"x": "y"}], "": "", "last": True}
    emulator = serving({"rules": [{"reply": {"tool_calls": [{"name": "f", "arguments": arguments}]}}]})
    whole = ask(emulator, "deepseek", question("deepseek")).json()["choices"][0]["message"]["tool_calls"][0]
    reported = events(ask(emulator, "deepseek", question("deepseek", stream=True)))
    calls = [event["choices"][0]["delta"].get("tool_calls") for event in reported]
    pieces = [call[0]["function"]["arguments"] for call in calls if call]
    assert "".join(pieces) == whole["function"]["arguments"]
    assert len(pieces) > 20


def test_the_wish_for_json_costs_twenty_tokens(emulator: Emulator, ask: Ask) -> None:
    plain = usage_of(ask, emulator, "Answer in JSON")
    wished = usage_of(ask, emulator, "Answer in JSON", response_format={"type": "json_object"})
    assert wished["prompt_tokens"] - plain["prompt_tokens"] == 20


def test_tools_that_may_not_be_called_are_not_in_the_prompt(emulator: Emulator, ask: Ask) -> None:
    plain = usage_of(ask, emulator, "look")
    none = usage_of(ask, emulator, "look", tools=[WEATHER], tool_choice="none")
    auto = usage_of(ask, emulator, "look", tools=[WEATHER])
    assert plain["prompt_tokens"] == none["prompt_tokens"] < auto["prompt_tokens"]


@pytest.mark.parametrize("choice", ["required", {"type": "function", "function": {"name": "weather"}}])
def test_a_forced_call_begins_in_the_prompt(emulator: Emulator, ask: Ask, choice: Any) -> None:
    auto = usage_of(ask, emulator, "look", tools=[WEATHER], **OFF)
    forced = usage_of(ask, emulator, "look", tools=[WEATHER], tool_choice=choice, **OFF)
    assert forced["prompt_tokens"] - auto["prompt_tokens"] == 7
    assert auto["completion_tokens"] - forced["completion_tokens"] == 7


def test_the_longest_context_is_reported_as_it_is_there(emulator: Emulator, ask: Ask) -> None:
    body = question("deepseek", "word " * 700_000, max_tokens=393_216)
    error = ask(emulator, "deepseek", body).json()["error"]
    assert error["message"].startswith("This model's maximum context length is 1048565 tokens. However, you requested ")


def test_users_share_what_is_cached(emulator: Emulator, ask: Ask) -> None:
    prompt = "Tell me of the sea. " * 40
    one, two = [usage_of(ask, emulator, prompt, user_id=user)["prompt_cache_hit_tokens"] for user in ("one", "two")]
    assert (one, two >= 128) == (0, True)
