"""The scenarios that newcomers learn from: each says what its header promises, and each of its rules can be reached."""

import json
import shlex
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from jsonschema import validate
from tables import each_of
from talk import Ask, events, question

from emulator import Emulator
from emulator.lint import warnings
from emulator.resources import folder
from emulator.scenario.sources import load

SCENARIOS = {path.stem: path for path in sorted(folder("scenarios").glob("*.yaml"))}
LESSONS = [name for name in SCENARIOS if name != "documented"]
WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string", "minLength": 3}, "days": {"type": "integer", "maximum": 9}},
            "required": ["city", "days"],
        },
    },
}
CALL = {"id": "c1", "type": "function", "function": {"name": "get_weather", "arguments": "{}"}}


@pytest.fixture(scope="module")
def lesson() -> Iterator[Any]:
    """`lesson(name)` serves a shipped scenario on a virtual clock, so that nothing waits; `world` keeps tests apart."""
    running: dict[str, Emulator] = {}

    def serve(name: str) -> Emulator:
        if name not in running:
            scenario = {**yaml.safe_load(SCENARIOS[name].read_text()), "clock": "virtual"}
            running[name] = Emulator(scenario).start()
        return running[name]

    yield serve
    for emulator in running.values():
        emulator.stop()


class Talker:
    """Asks one scenario, in a namespace of its own."""

    def __init__(self, emulator: Emulator, ask: Ask, world: str) -> None:
        self.world = emulator.namespace(world)
        self.ask = ask

    def post(self, provider: str, body: Any, **more: Any) -> httpx.Response:
        return self.ask(self.world, provider, body, **more)

    def message(self, prompt: str, provider: str = "cloudsway", **members: Any) -> dict[str, Any]:
        response = self.post(provider, question(provider, prompt, **members))
        assert response.status_code == 200, response.text
        body = response.json()
        found: dict[str, Any] = body.get("model_response", body)["choices"][0]["message"]
        return found

    def content(self, prompt: str, provider: str = "cloudsway", **members: Any) -> str:
        return str(self.message(prompt, provider, **members)["content"])


@pytest.fixture
def talk(lesson: Any, ask: Ask, request: pytest.FixtureRequest) -> Any:
    def talk(name: str) -> Talker:
        world = "".join(letter if letter.isalnum() else "-" for letter in request.node.name)[:100]
        return Talker(lesson(name), ask, f"{name}-{world}")

    return talk


# Every file


@each_of("path", sorted(folder("scenarios").rglob("*.yaml")), ids=lambda path: path.stem)
def test_every_scenario_loads_and_nothing_in_it_is_doubtful(path: Path) -> None:
    loaded = load(path)
    assert warnings(loaded) == []
    assert loaded.scenario.name == path.stem
    assert all(rule.name for rule in loaded.scenario.rules)


@each_of("path", sorted(folder("scenarios").rglob("*.yaml")), ids=lambda path: path.stem)
def test_every_scenario_tells_editors_where_its_schema_is(path: Path) -> None:
    schema = "scenario.schema.json" if path.parent == folder("scenarios") else "../scenario.schema.json"
    first = path.read_text().splitlines()[0]
    assert first.startswith(f"# yaml-language-server: $schema={'' if '/' in schema else './'}{schema}")


@pytest.mark.parametrize("name", LESSONS)
def test_every_lesson_says_how_it_is_started_and_tried(name: str, lesson: Any, http: httpx.Client) -> None:
    text = SCENARIOS[name].read_text()
    assert f"#   emulator serve --scenario scenarios/{name}.yaml\n" in text
    (line,) = [line[4:] for line in text.splitlines() if line.startswith("#   curl")]
    words = shlex.split(line)
    url = next(word for word in words if word.startswith("http"))
    given = [words[number + 1].split(": ", 1) for number, word in enumerate(words) if word == "-H"]
    headers = {"content-type": "application/x-www-form-urlencoded"}  # as curl sends it
    headers |= {key.lower(): value for key, value in given}
    base, _, path = url.removeprefix("http://127.0.0.1:8080/").partition("/")
    world = lesson(name).namespace(f"{name}-curl")
    response = http.post(f"{world.url(base)}/{path}", content=words[words.index("-d") + 1].encode(), headers=headers)
    assert response.status_code == (503 if name == "flaky_then_fine" else 200), response.text
    assert world.journal[0].rule in {rule.name for rule in load(SCENARIOS[name]).scenario.rules}


REACHED: Mapping[str, Mapping[str, Any]] = {
    "reasoning": {
        "scripted-thoughts": "17 * 24",
        "generated-thoughts": "What is the capital of France?",
        "no-thoughts": "quick, a word",
        "thinks-long": "a riddle",
    },
    "json_schema": {
        "scripted-json": "Ada Lovelace",
        "broken-json": "broken",
        "fenced-json": "fenced",
        "fits-the-schema": ("deepseek", {"response_format": {"type": "json_schema", "json_schema": {"schema": {}}}}),
        "any-json": ("cloudsway", {"response_format": {"type": "json_object"}}),
        "arguments-that-fit": ("cloudsway", {"tools": [WEATHER]}),
    },
    "multilingual": {
        "german": "Say it in German",
        "japanese": "こんにちは",
        "chinese": "你好",
        "arabic": "Say hello in Arabic",
        "emoji": "emoji please",
        "everybody-else": "Introduce yourself",
    },
    "long_slow_stream": {"long-story": "a long story", "late-but-quick": "patience", "drip": "drip"},
    "templates": {
        "groups": "My name is Ada",
        "members-of-the-request": "echo",
        "conditions-and-loops": "summarise",
        "invented-data": "an invoice",
        "braces": "braces",
    },
    "web_search": {
        "one-source-failed": ("nadles", "the chess world championship"),
        "invented-sources": ("nadles", "the news"),
    },
}
"""One request for each rule: a prompt, members of a body, or either for a certain provider. The rules of the other
files depend on what went before; they have tests of their own."""
IN_THEIR_OWN_TESTS = {"documented", "tools_loop", "flaky_then_fine", "conversation", "weights", "gemini"}


def test_every_rule_has_a_request_that_reaches_it() -> None:
    assert {*REACHED, *IN_THEIR_OWN_TESTS} == set(SCENARIOS)
    for name, rules in REACHED.items():
        assert list(rules) == [rule.name for rule in load(SCENARIOS[name]).scenario.rules]


@pytest.mark.parametrize(("name", "rule"), [(name, rule) for name, rules in REACHED.items() for rule in rules])
def test_a_request_reaches_the_rule(name: str, rule: str, talk: Any) -> None:
    wanted = REACHED[name][rule]
    provider, said = wanted if isinstance(wanted, tuple) else ("cloudsway", wanted)
    talker = talk(name)
    body = question(provider, said) if isinstance(said, str) else question(provider, "Some JSON", **said)
    assert talker.post(provider, body).status_code == 200
    assert [exchange.rule for exchange in talker.world.journal] == [rule]


def test_gemini_calls_blocks_and_breaks_off(talk: Any) -> None:
    talker = talk("gemini")
    declared = {"tools": [{"functionDeclarations": [{"name": "get_weather"}]}]}

    def ask(body: Any, method: str = "generateContent") -> httpx.Response:
        response = talker.post("gemini", body, path=f"/v1beta/models/gemini-2.5-flash:{method}")
        assert isinstance(response, httpx.Response)
        return response

    asked = question("gemini", "What is the weather in Bern?", **declared)
    (candidate,) = ask(asked).json()["candidates"]
    (call,) = candidate["content"]["parts"]
    assert (call["functionCall"], candidate["finishReason"]) == (
        {"name": "get_weather", "args": {"city": "Bern"}},
        "STOP",
    )
    result = {"functionResponse": {"name": "get_weather", "response": {"result": "sunny"}}}
    answered = [*asked["contents"], candidate["content"], {"role": "user", "parts": [result]}]
    final = ask({**asked, "contents": answered}).json()["candidates"][0]["content"]["parts"]
    assert final == [{"text": "It's sunny in Bern, 18 degrees."}]
    blocked = ask(question("gemini", "a forbidden thing"))
    assert (blocked.status_code, blocked.json()["promptFeedback"]) == (200, {"blockReason": "PROHIBITED_CONTENT"})
    unsafe = ask(question("gemini", "a dangerous thing")).json()["candidates"]
    assert [each["finishReason"] for each in unsafe] == ["SAFETY"]
    streamed = [ask(question("gemini", "be flaky"), "streamGenerateContent?alt=sse") for _ in range(2)]
    assert streamed[0].status_code == 503
    assert "finishReason" not in streamed[1].text
    assert "This answer" in streamed[1].text
    assert [exchange.rule for exchange in talker.world.journal] == [
        *("weather-asked", "weather-answered", "prompt-blocked", "answer-blocked", "busy-once", "cut-off")
    ]


def test_the_documented_examples_reach_every_rule_of_the_default_scenario(documented: Emulator, ask: Ask) -> None:
    rules = load(SCENARIOS["documented"]).scenario.rules
    world = documented.namespace("every-rule")
    for rule in rules:
        assert rule.match.provider
        (provider,) = rule.match.provider
        assert rule.match.prompt
        body = question(provider, str(rule.match.prompt.equals))
        ask(world, provider, body)
    assert [exchange.rule for exchange in world.journal] == [rule.name for rule in rules]


# What each of them promises


def test_reasoning_stands_beside_the_content_or_in_it(talk: Any) -> None:
    talker = talk("reasoning")
    thought = "17 * 24 is 17 * 20 plus 17 * 4, so 340 plus 68, which makes 408."
    said = {"role": "assistant", "content": "17 * 24 = **408**", "reasoning_content": thought}
    assert talker.message("17 * 24") == said
    assert talker.content("17 * 24", "nadles") == f"<think>\n{thought}\n</think>\n\n17 * 24 = **408**"
    del said["reasoning_content"]
    assert talker.message("17 * 24", thinking={"type": "disabled"}) == said


def test_reasoning_is_generated_or_left_out_as_the_rule_says(talk: Any) -> None:
    talker = talk("reasoning")
    first, again = talker.message("the capital of France"), talker.message("the capital of France")
    assert first == again
    assert first["content"] == "Paris."
    assert len(first["reasoning_content"]) > 40
    assert "reasoning_content" not in talker.message("quick, a word")


def test_the_tool_loop_ends_with_an_answer(talk: Any) -> None:
    talker = talk("tools_loop")
    asked = {"role": "user", "content": "What is the weather in Paris?"}
    first = talker.message(asked["content"], "serevix", tools=[WEATHER])
    (call,) = first["tool_calls"]
    assert first["content"] == "Let me look that up."
    assert call["function"] == {"name": "get_weather", "arguments": '{"city": "Paris", "unit": "celsius"}'}
    answered = {"role": "tool", "tool_call_id": call["id"], "content": '{"celsius": 18}'}
    history = [asked, first, answered]
    last = talker.message("", "serevix", tools=[WEATHER], messages=history)
    assert last == {"role": "assistant", "content": 'The weather service says: {"celsius": 18}'}
    history[-1] = {**answered, "content": "error: timeout"}
    assert "could not reach" in talker.message("", "serevix", tools=[WEATHER], messages=history)["content"]
    compared = talker.message("Please compare Oslo and Rome", "serevix", tools=[WEATHER])["tool_calls"]
    assert [row["function"]["arguments"] for row in compared] == ['{"city": "Oslo"}', '{"city": "Rome"}']
    assert talker.content("the weather?", "serevix") == "I cannot look up the weather without a tool."
    reached = [exchange.rule for exchange in talker.world.journal]
    wanted = ["call-the-tool", "tell-the-result", "tool-failed", "compare-two-cities", "no-tool-offered"]
    assert reached == wanted
    assert set(reached) == {rule.name for rule in load(SCENARIOS["tools_loop"]).scenario.rules}


def test_json_fits_the_schema_of_the_request(talk: Any) -> None:
    talker = talk("json_schema")
    schema = {
        "type": "object",
        "properties": {"name": {"type": "string"}, "tags": {"type": "array", "items": {"enum": ["a", "b"]}}},
        "required": ["name", "tags"],
        "additionalProperties": False,
    }
    wanted = {"type": "json_schema", "json_schema": {"name": "row", "schema": schema}}
    first = talker.content("Invent a row, as JSON", "deepseek", response_format=wanted)
    validate(json.loads(first), schema)
    assert first == talker.content("Invent a row, as JSON", "deepseek", response_format=wanted)
    (call,) = talker.message("what now?", "serevix", tools=[WEATHER], tool_choice="required")["tool_calls"]
    validate(json.loads(call["function"]["arguments"]), WEATHER["function"]["parameters"])  # type: ignore[index]
    assert isinstance(json.loads(talker.content("any json", response_format={"type": "json_object"})), dict)
    assert json.loads(talker.content("Ada Lovelace"))["born"] == 1815
    assert talker.content("broken") == '{"name": "Ada Lovelace", "born": 18'
    assert '```json\n{"name": "Ada Lovelace"}\n```' in talker.content("fenced")


def test_a_web_search_tells_its_sources_and_the_one_that_failed(talk: Any) -> None:
    talker = talk("web_search")
    asked = question("nadles", "the chess world championship", search_web=True)
    assert talker.post("nadles", asked).json()["summaries"] == [
        {
            "error": None,
            "status": 200,
            "summary": "Gukesh D won game 14 and became the youngest undisputed world champion.",
            "url": "https://www.fide.com/championship-2024",
        },
        {
            "error": None,
            "status": 200,
            "summary": "The match was held in Singapore and ended 7½ to 6½.",
            "url": "https://example.org/chess/news",
        },
        {"error": "Gateway Timeout", "status": 504, "summary": None, "url": "https://slow.example.net/chess"},
    ]
    assert talker.post("nadles", {**asked, "search_web": False}).json()["summaries"] == []
    invented = talker.post("nadles", question("nadles", "the news", search_web=True)).json()["summaries"]
    assert len(invented) > 1
    assert all(row.keys() == {"error", "status", "summary", "url"} for row in invented)


def test_flaky_answers_come_in_their_turn(talk: Any) -> None:
    talker = talk("flaky_then_fine")

    def statuses(prompt: str, times: int) -> list[int]:
        return [talker.post("serevix", question("serevix", prompt)).status_code for _ in range(times)]

    assert statuses("retry me", 5) == [503, 429, 200, 200, 200]
    assert statuses("flapping", 5) == [500, 200, 500, 200, 500]
    assert statuses("broke", 2) == [403, 403]
    assert statuses("outage", 4) == [503, 503, 200, 200]
    rules = {rule.name for rule in load(SCENARIOS["flaky_then_fine"]).scenario.rules}
    assert {exchange.rule for exchange in talker.world.journal} == rules


def test_the_flaky_provider_says_how_long_to_wait(talk: Any) -> None:
    talker = talk("flaky_then_fine")
    first, second = (talker.post("serevix", question("serevix", "retry me")) for _ in range(2))
    assert "retry-after" not in first.headers
    assert second.headers["retry-after"] == "1"


def test_a_conversation_goes_through_its_states(talk: Any) -> None:
    talker = talk("conversation")
    said = [talker.content(prompt, "serevix") for prompt in ("book a flight", "to Lisbon", "Yes!")]
    assert said[:2] == ["Where would you like to go?", "A flight to Lisbon: shall I book it?"]
    assert said[2].startswith("Done. Your booking is ")
    booking = said[2].removeprefix("Done. Your booking is ").removesuffix(".")
    assert booking[:2].isalpha()
    assert booking[:2].isupper()
    assert talker.world.state == "start"
    said = [talker.content(prompt, "serevix") for prompt in ("book again", "to Rome", "rather not")]
    assert said[2] == "Then I have not booked anything."


def test_a_conversation_knows_its_turn(talk: Any) -> None:
    talker = talk("conversation")

    def turn(number: int) -> str:
        history = [{"role": "user", "content": "Good morning"}, {"role": "assistant", "content": "Yes?"}] * (number - 1)
        messages = [*history, {"role": "user", "content": "And now?"}]
        return str(talker.content("", "serevix", messages=messages))

    assert turn(1) == "Hello! What can I do for you?"
    assert turn(3) == "This is turn 3. Before, you said “Good morning”."
    assert turn(5) == "Let us begin a new conversation."
    reached = [exchange.rule for exchange in talker.world.journal]
    assert reached == ["first-turn", "later-turns", "too-long"]


def test_every_language_comes_through_whole(talk: Any) -> None:
    talker = talk("multilingual")
    streamed = question("cloudsway", "emoji", stream=True)
    deltas = [row["choices"][0]["delta"] for row in events(talker.post("cloudsway", streamed))]
    assert "".join(delta.get("content") or "" for delta in deltas) == "👩‍👩‍👧‍👦 🇫🇷 👍🏽 é ﬃ Å 𝔘𝔫𝔦𝔠𝔬𝔡𝔢"
    assert talker.content("Arabic") == "مرحبًا! كيف يمكنني مساعدتك اليوم؟"
    assert talker.content("in German") != talker.content("auf Deutsch")
    assert any("\u3040" <= letter <= "\u30ff" for letter in talker.content("こんにちは"))


def test_a_slow_stream_keeps_its_pace_and_says_that_it_lives(lesson: Any, ask: Ask) -> None:
    emulator = lesson("long_slow_stream")

    def streamed(prompt: str) -> tuple[str, float]:
        world = emulator.namespace(f"slow-{prompt.split()[-1]}")
        response = ask(world, "cloudsway", question("cloudsway", prompt, stream=True))
        return response.text, world.journal[0].playback.last_sent

    text, took = streamed("patience")
    assert (text.count(": keep-alive\n\n"), took) == (2, 12)
    text, took = streamed("drip")
    assert (text.count('"content":"'), took) == (8, 10)  # the first and the last event say nothing
    text, took = streamed("a long story")
    assert text.count(": keep-alive\n\n") == 1
    assert 1500 <= events_after_comments(text)[-1]["usage"]["completion_tokens"] <= 1600
    assert 100 < took < 130


def events_after_comments(text: str) -> list[dict[str, Any]]:
    frames = [frame for frame in text.split("\n\n") if frame.startswith("data: {")]
    return [json.loads(frame.removeprefix("data: ")) for frame in frames]


def test_templates_say_what_the_request_says(talk: Any) -> None:
    talker = talk("templates")
    assert talker.content("my name is Ada Lovelace") == "Nice to meet you, Ada!"
    assert talker.content("echo", "serevix") == "serevix deepseek-v3 turn 1 attempt 1 temperature not set"
    assert talker.content("echo", "serevix", temperature=0.5) == (
        "serevix deepseek-v3 turn 1 attempt 1 temperature 0.5"
    )
    assert talker.content("summarise") == "There is nothing to summarise yet."
    said = [{"role": "user", "content": "one"}, {"role": "assistant", "content": "ok"}]
    history = [*said, {"role": "user", "content": "summarise"}]
    assert talker.content("", messages=history) == "You said:\n1. one\n2. summarise"
    assert talker.content("an invoice") == talker.content("an invoice")
    assert talker.content("an invoice").endswith(", due 01.01.2026")  # when virtual time begins
    assert talker.content('"braces"') == '{{ not a template }} {"said": "\\"braces\\""}'


def test_weights_draw_the_same_run_again(talk: Any, lesson: Any, ask: Ask) -> None:
    def run(world: str, seed: int | None, prompt: str) -> list[str | None]:
        talker = Talker(lesson("weights"), ask, world)
        lesson("weights").namespace(world, seed=seed)
        for _ in range(60):
            talker.post("serevix", question("serevix", prompt))
        statuses = [exchange.status for exchange in talker.world.journal]
        rules = [exchange.rule for exchange in talker.world.journal]
        return [f"{rule} {status}" for rule, status in zip(rules, statuses, strict=True)]

    first = run("weights-one", 1, "draw")
    assert first == run("weights-two", 1, "draw") != run("weights-three", 2, "draw")
    drawn = Counter(first)
    assert drawn["three-ways 200"] > 40
    assert drawn["three-ways 503"] > 0
    lots = Counter(run("weights-lots", 1, "lottery"))
    assert lots.keys() == {"a-quarter 200", "the-rest 200"}
    assert 5 < lots["a-quarter 200"] < 25
