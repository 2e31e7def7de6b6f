"""What a request asks for is honored by every provider that documents it: scripted or generated, streamed or whole."""

import itertools
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from math import exp
from typing import Any

import jsonschema
import pytest
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st
from tables import each_of
from talk import DOCUMENTED, KEYS, Ask, Serving, events, question

from emulator import Emulator, tokens
from emulator.completion import complete
from emulator.providers import PROVIDERS
from emulator.reply import CacheUse, Choice, Completion, Reply, Source
from emulator.request import Controls, HttpRequest, ModelRequest, ToolCall

HONORED: Mapping[str, frozenset[str]] = {
    "maxtoken": frozenset(["stream"]),
    "nadles": frozenset(["stream", "max_tokens", "search_web"]),
    "serevix": frozenset(
        ["stream", "max_tokens", "stop", "n", "logprobs", "response_format", "tools", "include_usage"]
    ),
    "cloudsway": frozenset(
        ["stream", "max_tokens", "stop", "logprobs", "response_format", "tools", "thinking", "include_usage", "cache"]
    ),
    "deepseek": frozenset(
        ["stream", "max_tokens", "stop", "logprobs", "response_format", "tools", "thinking", "include_usage", "cache"]
    ),
}
"""What each provider documents, or takes over from what it forwards, beyond the conversation itself."""

PLAIN = {"thinking": {"type": "disabled"}}
CONTENT = "One two three, four five six; seven eight nine. Ten eleven twelve: 😊 thirteen!"
REASONING = "They count. I shall count as well, up to thirteen, and smile."
SCRIPTED: dict[str, Any] = {
    "rules": [
        {
            "match": {"prompt": {"contains": "ponder"}},
            "reply": {"content": CONTENT, "reasoning": REASONING},
        },
        {"match": {"prompt": {"contains": "count"}}, "reply": {"content": CONTENT, "alternatives": ["Two!", "Three!"]}},
        {
            "match": {"prompt": {"contains": "call"}},
            "reply": {"tool_calls": [{"name": "look", "arguments": {"at": "the sea"}}, {"name": "wait"}]},
        },
        {
            "match": {"prompt": {"contains": "scripted search"}},
            "reply": {
                "content": "Found.",
                "summaries": [
                    {"url": "https://a.example", "summary": "A wide sea."},
                    {"url": "https://b.example", "summary": None, "status": 504, "error": "timed out"},
                ],
            },
        },
        {"match": {"prompt": {"contains": "echo"}}, "reply": {"content": "{{ request.text }}"}},
    ],
    "unmatched": "generate",
}
ASKED = {"scripted": "Please count", "generated": "Tell me of the sea"}
NUMBERS = itertools.count()


def those_with(parameter: str) -> list[str]:
    return [name for name, honored in HONORED.items() if parameter in honored]


@pytest.fixture(scope="module")
def emulator(serving: Serving) -> Emulator:
    return serving(SCRIPTED, seed=7)


# What was said, however it came


@dataclass
class Said:
    """One choice."""

    content: str = ""
    reasoning: str | None = None
    finish: str | None = None
    calls: tuple[tuple[str, str], ...] = ()
    logprobs: Any = None


@dataclass
class Heard:
    """An answer."""

    choices: list[Said]
    prompt: int
    completion: int
    total: int
    native: Any
    """The whole body; of a stream the event that tells the usage."""

    @property
    def only(self) -> Said:
        (choice,) = self.choices
        return choice

    @property
    def usage(self) -> tuple[int, int, int]:
        return self.prompt, self.completion, self.total


def whole(body: Any) -> Heard:
    """The answer in a JSON body."""
    inner = body.get("model_response", body)
    choices = []
    for row in inner["choices"]:
        message = row["message"]
        calls = (
            tuple((call["function"]["name"], call["function"]["arguments"]) for call in message["tool_calls"] or ())
            if (message.get("tool_calls"))
            else ()
        )
        choices.append(
            Said(message["content"], message.get("reasoning_content"), row["finish_reason"], calls, row.get("logprobs"))
        )
    return Heard(choices, *usage_of(body), native=body)


def usage_of(native: Any) -> tuple[int, int, int]:
    usage = native.get("usage") or native.get("token_info")
    if usage is None:
        return 0, 0, 0
    return usage["prompt_tokens"], usage.get("completion_tokens", usage.get("response_tokens")), usage["total_tokens"]


def reported(chunks: Sequence[Any]) -> Heard:
    """The answer in the events of a stream."""
    choices: dict[int, Said] = {}
    calls: dict[tuple[int, int], list[str]] = {}
    native: Any = {}
    for chunk in chunks:
        if chunk.get("usage") or chunk.get("token_info"):
            assert not native, "usage is sent twice"
            native = chunk
        for row in chunk.get("choices", ()):
            said = choices.setdefault(row["index"], Said())
            assert said.finish is None, "something follows the finish reason"
            delta = row["delta"]
            said.content += delta.get("content") or ""
            if delta.get("reasoning_content") is not None:
                said.reasoning = (said.reasoning or "") + delta["reasoning_content"]
            for call in delta.get("tool_calls", ()):
                name = call["function"].get("name", "")
                known = calls.setdefault((row["index"], call["index"]), ["", ""])
                known[0] += name
                known[1] += call["function"]["arguments"]
            for part, rows in (row.get("logprobs") or {}).items():
                said.logprobs = said.logprobs or {"content": [], "reasoning_content": None}
                if rows is not None:
                    said.logprobs[part] = (said.logprobs[part] or []) + rows
            said.finish = row["finish_reason"]
    for (index, _), (name, arguments) in sorted(calls.items()):
        choices[index].calls += ((name, arguments),)
    return Heard([choices[index] for index in sorted(choices)], *usage_of(native), native=native)


@dataclass
class Talk:
    """Asks one provider, whole or streamed."""

    ask: Ask
    emulator: Emulator
    provider: str
    streams: bool = False

    def __call__(self, prompt: str, **members: Any) -> Heard:
        if self.streams:
            options = {"stream_options": {"include_usage": True}} if "include_usage" in HONORED[self.provider] else {}
            body = question(self.provider, prompt, **{"stream": True, **options, **members})
            return reported(events(self.ask(self.emulator, self.provider, body)))
        answer = self.ask(self.emulator, self.provider, question(self.provider, prompt, **members))
        assert answer.status_code == 200, answer.text
        return whole(answer.json())


both_ways = pytest.mark.parametrize("streams", [False, True], ids=["whole", "streamed"])
both_kinds = pytest.mark.parametrize("kind", ASKED)


# max_tokens


@both_ways
@both_kinds
@pytest.mark.parametrize("provider", those_with("max_tokens"))
@each_of("limit", [1, 2, 7, 16])
def test_a_limit_cuts_at_the_token(
    ask: Ask, emulator: Emulator, provider: str, kind: str, streams: bool, limit: int
) -> None:
    extra = PLAIN if "thinking" in HONORED[provider] else {}
    talk = Talk(ask, emulator, provider, streams)
    full = talk(ASKED[kind], **extra)
    cut = talk(ASKED[kind], max_tokens=limit, **extra)
    assert full.only.finish == "stop"
    assert full.completion == tokens.count(full.only.content) > limit
    assert cut.only.finish == "length"
    assert full.only.content.startswith(cut.only.content)
    assert cut.only.content == tokens.cut(full.only.content, limit)
    assert cut.usage == (full.prompt, limit, full.prompt + limit)


@pytest.mark.parametrize("provider", those_with("max_tokens"))
def test_a_limit_that_is_not_reached_changes_nothing(ask: Ask, emulator: Emulator, provider: str) -> None:
    talk = Talk(ask, emulator, provider)
    full = talk(ASKED["scripted"])
    for limit in (full.completion, full.completion + 1, 2000):
        heard = talk(ASKED["scripted"], max_tokens=limit)
        assert (heard.choices, heard.usage) == (full.choices, full.usage)


@pytest.mark.parametrize("provider", ["serevix", "cloudsway", "deepseek"])
def test_a_limit_has_two_names_and_the_older_wins(ask: Ask, emulator: Emulator, provider: str) -> None:
    talk = Talk(ask, emulator, provider)
    extra = PLAIN if "thinking" in HONORED[provider] else {}
    assert talk(ASKED["scripted"], max_completion_tokens=3, **extra).completion == 3
    assert talk(ASKED["scripted"], max_completion_tokens=3, max_tokens=4, **extra).completion == 4
    assert talk(ASKED["scripted"], max_completion_tokens=None, max_tokens=None, **extra).only.finish == "stop"


@both_ways
@pytest.mark.parametrize("provider", those_with("thinking"))
def test_reasoning_counts_and_is_cut_first(ask: Ask, emulator: Emulator, provider: str, streams: bool) -> None:
    thought, said = tokens.count(REASONING), tokens.count(CONTENT)
    talk = Talk(ask, emulator, provider, streams)
    for limit in (1, thought - 1, thought, thought + 1, thought + 2, thought + said, thought + said + 1, 1000):
        heard = talk("ponder", max_tokens=limit)
        completion = min(limit, thought + 1 + said)  # one is `</think>`
        assert heard.completion == completion
        assert heard.total == heard.prompt + completion
        assert heard.native["usage"]["completion_tokens_details"]["reasoning_tokens"] == min(limit, thought)
        assert heard.only.reasoning == tokens.cut(REASONING, limit)
        assert heard.only.content == tokens.cut(CONTENT, max(0, limit - thought - 1))
        assert heard.only.finish == ("length" if limit < thought + 1 + said else "stop")


def test_a_provider_without_a_field_for_reasoning_counts_it_as_content(ask: Ask, emulator: Emulator) -> None:
    text = f"<think>\n{REASONING}\n</think>\n\n{CONTENT}"
    heard = Talk(ask, emulator, "nadles")("ponder", max_tokens=5)
    assert (heard.only.content, heard.completion, heard.only.finish) == (tokens.cut(text, 5), 5, "length")


def test_without_a_limit_of_its_own_nadles_stops_at_the_documented_one(ask: Ask, emulator: Emulator) -> None:
    body = question("nadles", "echo", text="sea " * 3000)
    heard = whole(ask(emulator, "nadles", body).json())
    assert (heard.completion, heard.only.finish) == (2048, "length")


@both_ways
@pytest.mark.parametrize("provider", those_with("tools"))
def test_a_limit_cuts_calls_of_tools_too(ask: Ask, emulator: Emulator, provider: str, streams: bool) -> None:
    talk = Talk(ask, emulator, provider, streams)
    extra = PLAIN if "thinking" in HONORED[provider] else {}
    full = talk("call", **extra)
    assert full.only.calls == (("look", '{"at": "the sea"}'), ("wait", "{}"))
    assert full.only.finish == "tool_calls"
    for limit in range(1, full.completion):
        heard = talk("call", max_tokens=limit, **extra)
        assert heard.only.finish == "length"
        assert heard.completion <= limit
        for (name, arguments), (whole_name, whole_arguments) in zip(heard.only.calls, full.only.calls, strict=False):
            assert name == whole_name
            assert whole_arguments.startswith(arguments)


# stop


@both_ways
@pytest.mark.parametrize("provider", those_with("stop"))
@each_of(
    ("stop", "said"),
    [
        ("four", "One two three, "),
        ("hree, fou", "One two t"),  # across the borders of tokens
        (["twelve", "seven"], "One two three, four five six; "),  # the one that comes first
        (["five six", "four five"], "One two three, "),
        ("One", ""),
        ("😊", "One two three, four five six; seven eight nine. Ten eleven twelve: "),
        ("!", CONTENT[:-1]),
        (CONTENT, ""),
        ("never", CONTENT),
        ("ONE", CONTENT),
        ("", CONTENT),
        ([], CONTENT),
        (["", "six"], "One two three, four five "),
        (None, CONTENT),
    ],
)
def test_a_stop_string_ends_the_answer_before_it(
    ask: Ask, emulator: Emulator, provider: str, stop: Any, said: str, streams: bool
) -> None:
    extra = PLAIN if "thinking" in HONORED[provider] else {}
    heard = Talk(ask, emulator, provider, streams)(ASKED["scripted"], stop=stop, **extra)
    assert (heard.only.content, heard.only.finish) == (said, "stop")
    assert heard.completion == tokens.count(said)


@both_ways
@pytest.mark.parametrize("provider", those_with("stop"))
def test_a_stop_string_ends_generated_text(ask: Ask, emulator: Emulator, provider: str, streams: bool) -> None:
    talk = Talk(ask, emulator, provider, streams)
    full = talk(ASKED["generated"]).only.content
    stop = full[len(full) // 2 :][:5]
    assert talk(ASKED["generated"], stop=stop).only.content == full[: full.index(stop)]


@pytest.mark.parametrize("provider", those_with("stop"))
def test_whichever_comes_first_ends_the_answer(ask: Ask, emulator: Emulator, provider: str) -> None:
    talk = Talk(ask, emulator, provider)
    extra = PLAIN if "thinking" in HONORED[provider] else {}
    both = talk(ASKED["scripted"], stop="seven", max_tokens=4, **extra).only
    assert (both.content, both.finish) == (tokens.cut(CONTENT, 4), "length")
    both = talk(ASKED["scripted"], stop="two", max_tokens=4, **extra).only
    assert (both.content, both.finish) == ("One ", "stop")


@pytest.mark.parametrize("provider", those_with("thinking"))
def test_reasoning_is_not_searched_for_stop_strings(ask: Ask, emulator: Emulator, provider: str) -> None:
    heard = Talk(ask, emulator, provider)("ponder", stop="count")
    assert (heard.only.reasoning, heard.only.content) == (REASONING, CONTENT)


@pytest.mark.parametrize(("provider", "most"), [("serevix", 4), ("cloudsway", 16), ("deepseek", 16)])
def test_there_is_a_limit_to_stop_strings(ask: Ask, emulator: Emulator, provider: str, most: int) -> None:
    fits, does_not = [str(number) for number in range(most)], [str(number) for number in range(most + 1)]
    assert ask(emulator, provider, question(provider, stop=fits)).status_code == 200
    refused = ask(emulator, provider, question(provider, stop=does_not))
    assert (refused.status_code, "stop" in refused.json()["error"]["message"]) == (400, True)


# n


@both_kinds
@both_ways
def test_several_choices_differ_and_are_the_same_each_time(
    ask: Ask, emulator: Emulator, kind: str, streams: bool
) -> None:
    talk = Talk(ask, emulator, "serevix", streams)
    heard = talk(ASKED[kind], n=3)
    assert len({choice.content for choice in heard.choices}) == 3
    assert heard.choices[0].content == talk(ASKED[kind]).only.content
    assert heard.completion == sum(tokens.count(choice.content) for choice in heard.choices)
    assert heard.total == heard.prompt + heard.completion
    assert talk(ASKED[kind], n=3).choices == heard.choices
    assert replace(talk, streams=not streams)(ASKED[kind], n=3).choices == heard.choices


def test_choices_have_their_indexes(ask: Ask, emulator: Emulator) -> None:
    rows = ask(emulator, "serevix", question("serevix", ASKED["generated"], n=5)).json()["choices"]
    assert [row["index"] for row in rows] == [0, 1, 2, 3, 4]


def test_choices_are_streamed_in_turn(ask: Ask, emulator: Emulator) -> None:
    chunks = events(ask(emulator, "serevix", question("serevix", ASKED["generated"], n=3, stream=True)))
    roles, rest = chunks[:3], chunks[3:]
    assert [(row["index"], row["delta"]["role"]) for chunk in roles for row in chunk["choices"]] == [
        (index, "assistant") for index in range(3)
    ]
    *deltas, _, _, _ = rest
    order = [row["index"] for chunk in deltas for row in chunk["choices"]]
    lengths = Counter(order)
    shortest = min(lengths.values())
    assert order[: 3 * shortest] == [0, 1, 2] * shortest
    assert [row["finish_reason"] for chunk in rest[-3:] for row in chunk["choices"]] == ["stop"] * 3
    assert [row["index"] for chunk in rest[-3:] for row in chunk["choices"]] == [0, 1, 2]


def test_every_choice_has_the_limit_and_the_stop_strings_for_itself(ask: Ask, emulator: Emulator) -> None:
    talk = Talk(ask, emulator, "serevix")
    heard = talk(ASKED["generated"], n=4, max_tokens=6)
    assert [(tokens.count(choice.content), choice.finish) for choice in heard.choices] == [(6, "length")] * 4
    assert heard.completion == 24
    heard = talk(ASKED["scripted"], n=3, stop="wo")
    assert [choice.content for choice in heard.choices] == ["One t", "T", "Three!"]


@pytest.mark.parametrize("n", [0, -1, 129])
def test_there_is_a_limit_to_choices(ask: Ask, emulator: Emulator, n: int) -> None:
    refused = ask(emulator, "serevix", question("serevix", n=n))
    assert (refused.status_code, " n " in refused.json()["error"]["message"]) == (400, True)


# logprobs


def are_plausible(rows: Sequence[Any], text: str, most: int) -> None:
    """Rows as they have to be for every text."""
    assert "".join(row["token"] for row in rows) == text
    assert tuple(row["token"] for row in rows) == tokens.pieces(text).texts
    for row in rows:
        top = row["top_logprobs"]
        assert row["bytes"] == list(row["token"].encode())
        assert row["logprob"] < 0
        assert len(top) == most
        assert len({each["token"] for each in top}) == most
        assert all(each["bytes"] == list(each["token"].encode()) for each in top)
        values = [each["logprob"] for each in top]
        assert values == sorted(values, reverse=True)
        own = [each["logprob"] for each in top if each["token"] == row["token"]]
        assert own in ([row["logprob"]], [])
        if not top:
            continue
        if row["logprob"] >= values[0]:
            assert top[0]["token"] == row["token"]
        assert sum(map(exp, values)) + (0 if own else exp(row["logprob"])) <= 1


@both_ways
@pytest.mark.parametrize("provider", those_with("logprobs"))
@each_of("most", [None, 0, 1, 2, 5, 20])
def test_log_probabilities_are_plausible(
    ask: Ask, emulator: Emulator, provider: str, most: int | None, streams: bool
) -> None:
    asked = {"logprobs": True} if most is None else {"logprobs": True, "top_logprobs": most}
    heard = Talk(ask, emulator, provider, streams)("ponder", **asked)
    are_plausible(heard.only.logprobs["content"], CONTENT, most or 0)
    are_plausible(heard.only.logprobs["reasoning_content"], REASONING, most or 0)


@pytest.mark.parametrize("provider", those_with("logprobs"))
def test_log_probabilities_come_with_their_piece(ask: Ask, emulator: Emulator, provider: str) -> None:
    chunks = events(ask(emulator, provider, question(provider, "ponder", stream=True, logprobs=True, top_logprobs=3)))
    for chunk in chunks:
        (row,) = chunk["choices"]
        delta, logprobs = row["delta"], row.get("logprobs")
        for part in ("content", "reasoning_content"):
            (other,) = {"content", "reasoning_content"} - {part}
            if delta.get(part):
                assert [each["token"] for each in logprobs[part]] == [delta[part]]
                assert logprobs[other] is None
        if not delta.get("content") and not delta.get("reasoning_content"):
            assert logprobs is None


@pytest.mark.parametrize("provider", those_with("logprobs"))
def test_log_probabilities_belong_to_the_words(ask: Ask, emulator: Emulator, provider: str) -> None:
    talk = Talk(ask, emulator, provider)
    first = talk("ponder", logprobs=True, top_logprobs=5).only.logprobs
    assert talk("ponder", logprobs=True, top_logprobs=5).only.logprobs == first
    assert replace(talk, streams=True)("ponder", logprobs=True, top_logprobs=5).only.logprobs == first
    fewer = talk("ponder", logprobs=True, top_logprobs=2).only.logprobs
    for part, rows in first.items():
        assert [row["logprob"] for row in fewer[part]] == [row["logprob"] for row in rows]
        assert [row["top_logprobs"] for row in fewer[part]] == [row["top_logprobs"][:2] for row in rows]
    cut = talk("ponder", logprobs=True, top_logprobs=5, max_tokens=25).only.logprobs
    assert cut["reasoning_content"] == first["reasoning_content"]
    assert 0 < len(cut["content"]) < len(first["content"])
    assert cut["content"] == first["content"][: len(cut["content"])]
    other = talk("count", logprobs=True, top_logprobs=5, thinking={"type": "enabled"}).only.logprobs
    assert other["content"] == first["content"]


@pytest.mark.parametrize("provider", those_with("logprobs"))
def test_not_every_token_is_the_likeliest(ask: Ask, emulator: Emulator, provider: str) -> None:
    rows = Talk(ask, emulator, provider)("ponder", logprobs=True, top_logprobs=2).only.logprobs
    places = Counter(
        [each["token"] for each in row["top_logprobs"]].index(row["token"]) for part in rows.values() for row in part
    )
    assert places[0] > places[1] > 0


@pytest.mark.parametrize("provider", those_with("logprobs"))
def test_log_probabilities_are_reported_only_to_who_asks(ask: Ask, emulator: Emulator, provider: str) -> None:
    talk = Talk(ask, emulator, provider)
    assert talk("ponder").only.logprobs is None
    assert talk("ponder", logprobs=False).only.logprobs is None
    assert replace(talk, streams=True)("ponder").only.logprobs is None
    for wrong in ({"top_logprobs": 2}, {"logprobs": False, "top_logprobs": 2}, {"logprobs": True, "top_logprobs": 21}):
        refused = ask(emulator, provider, question(provider, "ponder", **wrong))
        assert (refused.status_code, "logprobs" in refused.json()["error"]["message"]) == (400, True)


@pytest.mark.parametrize("provider", those_with("logprobs"))
def test_who_does_not_think_has_no_log_probabilities_of_it(ask: Ask, emulator: Emulator, provider: str) -> None:
    logprobs = Talk(ask, emulator, provider)("count", logprobs=True, **PLAIN).only.logprobs
    assert (len(logprobs["content"]), logprobs["reasoning_content"]) == (len(tokens.pieces(CONTENT).texts), None)


# response_format

WEATHER: dict[str, Any] = {
    "type": "object",
    "properties": {
        "city": {"type": "string", "minLength": 2},
        "degrees": {"type": "integer", "minimum": -40, "maximum": 50},
        "sky": {"enum": ["clear", "cloudy"]},
        "hours": {"type": "array", "items": {"type": "number"}, "minItems": 2, "maxItems": 4},
    },
    "required": ["city", "degrees", "sky", "hours"],
    "additionalProperties": False,
}


@both_ways
@pytest.mark.parametrize("provider", those_with("response_format"))
def test_json_mode_gives_an_object(ask: Ask, emulator: Emulator, provider: str, streams: bool) -> None:
    heard = Talk(ask, emulator, provider, streams)("The weather as JSON", response_format={"type": "json_object"})
    assert isinstance(json.loads(heard.only.content), dict)
    assert heard.only.finish == "stop"


@both_ways
@pytest.mark.parametrize("provider", those_with("response_format"))
def test_a_schema_is_followed(ask: Ask, emulator: Emulator, provider: str, streams: bool) -> None:
    wanted = {"type": "json_schema", "json_schema": {"name": "weather", "strict": True, "schema": WEATHER}}
    talk = Talk(ask, emulator, provider, streams)
    answers = [json.loads(talk(f"The weather of day {day}", response_format=wanted).only.content) for day in range(5)]
    for answer in answers:
        jsonschema.validate(answer, WEATHER)
    assert len({json.dumps(answer) for answer in answers}) > 1


@pytest.mark.parametrize("provider", those_with("response_format"))
def test_json_mode_has_to_be_spoken_of(ask: Ask, emulator: Emulator, provider: str) -> None:
    mode = {"response_format": {"type": "json_object"}}
    refused = ask(emulator, provider, question(provider, "The weather", **mode))
    assert (refused.status_code, refused.json()["error"]["message"]) == (
        400,
        "Prompt must contain the word 'json' in some form to use 'response_format' of type 'json_object'.",
    )
    spoken = [{"role": "system", "content": "Answer in jSoN."}, {"role": "user", "content": "The weather"}]
    assert ask(emulator, provider, question(provider, messages=spoken, **mode)).status_code == 200
    assert ask(emulator, provider, question(provider, response_format={"type": "text"})).status_code == 200
    refused = ask(emulator, provider, question(provider, "json", response_format={"type": "xml"}))
    assert refused.status_code == 400


@pytest.mark.parametrize("provider", those_with("response_format"))
def test_json_is_cut_like_any_text(ask: Ask, emulator: Emulator, provider: str) -> None:
    talk = Talk(ask, emulator, provider)
    mode = {"response_format": {"type": "json_object"}, **PLAIN}
    full, cut = talk("Some JSON", **mode), talk("Some JSON", max_tokens=5, **mode)
    assert (cut.only.content, cut.only.finish) == (tokens.cut(full.only.content, 5), "length")


@pytest.mark.parametrize("provider", those_with("response_format"))
def test_a_scripted_answer_stays_what_it_is_in_json_mode(ask: Ask, emulator: Emulator, provider: str) -> None:
    heard = Talk(ask, emulator, provider)("count in json", response_format={"type": "json_object"})
    assert heard.only.content == CONTENT


# tools


def tool(name: str, description: str = "", **properties: Any) -> dict[str, Any]:
    parameters = {"type": "object", "properties": properties, "required": [*properties], "additionalProperties": False}
    return {"type": "function", "function": {"name": name, "description": description, "parameters": parameters}}


TOOLS = [
    tool("get_weather", "The weather of a city", city={"type": "string"}, days={"type": "integer", "minimum": 1}),
    tool("send_mail", "Sends a letter", to={"type": "string", "format": "email"}),
]


@both_ways
@pytest.mark.parametrize("provider", those_with("tools"))
@each_of(
    ("choice", "prompt", "called"),
    [
        (None, "How is the weather in Rome?", "get_weather"),
        ("auto", "How is the weather in Rome?", "get_weather"),
        ("auto", "Please send it by mail", "send_mail"),
        ("auto", "Just talk", None),
        ("none", "How is the weather in Rome?", None),
        ("required", "How is the weather in Rome?", "get_weather"),
        ({"type": "function", "function": {"name": "send_mail"}}, "How is the weather in Rome?", "send_mail"),
    ],
)
def test_tools_are_called_when_they_are_wanted(
    ask: Ask, emulator: Emulator, provider: str, choice: Any, prompt: str, called: str | None, streams: bool
) -> None:
    extra = PLAIN if "thinking" in HONORED[provider] else {}
    chosen = {} if choice is None else {"tool_choice": choice}
    said = Talk(ask, emulator, provider, streams)(prompt, tools=TOOLS, **chosen, **extra).only
    if called is None:
        assert (said.calls, said.finish, said.content != "") == ((), "stop", True)
        return
    ((name, arguments),) = said.calls
    assert (name, said.finish, said.content) == (called, "tool_calls", "")
    (offered,) = [each["function"] for each in TOOLS if each["function"]["name"] == called]
    jsonschema.validate(json.loads(arguments), offered["parameters"])


@pytest.mark.parametrize("provider", those_with("tools"))
def test_whoever_must_call_a_tool_calls_one_whatever_was_said(ask: Ask, emulator: Emulator, provider: str) -> None:
    extra = PLAIN if "thinking" in HONORED[provider] else {}
    talk = Talk(ask, emulator, provider)
    names = {talk(f"Hm {n}", tools=TOOLS, tool_choice="required", **extra).only.calls[0][0] for n in range(12)}
    assert names == {"get_weather", "send_mail"}


@pytest.mark.parametrize("provider", those_with("tools"))
def test_the_result_of_a_tool_is_answered_in_words(ask: Ask, emulator: Emulator, provider: str) -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "get_weather", "arguments": "{}"}}
    messages = [
        {"role": "user", "content": "How is the weather in Rome?"},
        {"role": "assistant", "content": "", "reasoning_content": "Hm.", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c1", "content": "Sunny"},
    ]
    said = whole(ask(emulator, provider, question(provider, messages=messages, tools=TOOLS)).json()).only
    assert (said.calls, said.finish, said.content != "") == ((), "stop", True)


@pytest.mark.parametrize("provider", those_with("thinking"))
@pytest.mark.parametrize("choice", ["required", {"type": "function", "function": {"name": "send_mail"}}])
def test_who_thinks_cannot_be_made_to_call_a_tool(ask: Ask, emulator: Emulator, provider: str, choice: Any) -> None:
    refused = ask(emulator, provider, question(provider, tools=TOOLS, tool_choice=choice))
    assert refused.json()["error"]["message"] == "Thinking mode does not support this tool_choice"


@pytest.mark.parametrize("provider", those_with("tools"))
def test_calls_are_streamed_as_deepseek_streams_them(ask: Ask, emulator: Emulator, provider: str) -> None:
    chunks = events(ask(emulator, provider, question(provider, "call", stream=True, tools=TOOLS)))
    heads: list[tuple[int, str]] = []
    for chunk in chunks:
        for row in chunk["choices"]:
            for call in row["delta"].get("tool_calls", ()):
                assert next(iter(call)) == "index"
                if "id" in call:
                    assert list(call) == ["index", "id", "type", "function"]
                    assert (call["type"], call["function"]["arguments"]) == ("function", "")
                    heads.append((call["index"], call["function"]["name"]))
                    assert call["id"].startswith(f"call_{call['index']:02d}_")
                    assert len(call["id"]) == len("call_00_") + 24
                else:
                    assert list(call) == ["index", "function"]
                    assert list(call["function"]) == ["arguments"]
                    assert call["index"] == heads[-1][0]
                    assert tokens.count(call["function"]["arguments"]) >= 1
    assert heads == [(0, "look"), (1, "wait")]
    assert [row["finish_reason"] for chunk in chunks for row in chunk["choices"]][-1] == "tool_calls"


@pytest.mark.parametrize("provider", those_with("tools"))
def test_every_attempt_has_ids_of_its_own_and_the_same_words(ask: Ask, emulator: Emulator, provider: str) -> None:
    body = question(provider, f"weather {next(NUMBERS)} {provider}", tools=TOOLS)
    answers = [ask(emulator, provider, body).json() for _ in range(4)]
    calls = [answer["choices"][0]["message"]["tool_calls"][0] for answer in answers]
    assert len({call["id"] for call in calls}) == 4
    assert len({answer["id"] for answer in answers}) == 4
    assert len({json.dumps(call["function"]) for call in calls}) == 1


# thinking


@both_ways
@both_kinds
@pytest.mark.parametrize("provider", those_with("thinking"))
def test_thinking_is_switched_on_and_off(ask: Ask, emulator: Emulator, provider: str, kind: str, streams: bool) -> None:
    prompt = "ponder" if kind == "scripted" else ASKED["generated"]
    talk = Talk(ask, emulator, provider, streams)
    default, on, off = talk(prompt), talk(prompt, thinking={"type": "enabled"}), talk(prompt, **PLAIN)
    assert default.choices == on.choices
    assert on.only.reasoning
    assert off.only.reasoning is None
    assert off.only.content == on.only.content
    assert off.prompt == on.prompt
    assert on.completion == tokens.count(on.only.reasoning) + 1 + tokens.count(on.only.content)
    assert off.completion == tokens.count(off.only.content)
    assert "reasoning_content" not in json.dumps(off.native)


@pytest.mark.parametrize("provider", those_with("thinking"))
def test_the_highest_effort_costs_a_longer_prompt(ask: Ask, emulator: Emulator, provider: str) -> None:
    talk = Talk(ask, emulator, provider)
    high, top = talk("ponder", reasoning_effort="high"), talk("ponder", reasoning_effort="max")
    assert talk("ponder").prompt == high.prompt
    assert top.prompt > high.prompt
    assert talk("ponder", reasoning_effort="max", **PLAIN).prompt == high.prompt
    assert top.choices == high.choices
    assert ask(emulator, provider, question(provider, reasoning_effort="utmost")).status_code == 400


# stream_options


@pytest.mark.parametrize("provider", those_with("include_usage"))
def test_usage_is_reported_once_in_a_stream(ask: Ask, emulator: Emulator, provider: str) -> None:
    def chunks(**members: Any) -> list[Any]:
        return events(ask(emulator, provider, question(provider, "ponder", stream=True, **members)))

    full = whole(ask(emulator, provider, question(provider, "ponder")).json())
    asked = chunks(stream_options={"include_usage": True})
    assert reported(asked).usage == full.usage
    for members in ({}, {"stream_options": None}, {"stream_options": {"include_usage": False}}):
        unasked = chunks(**members)
        if provider == "serevix":  # OpenAI's way: a chunk of its own for who asks
            assert asked[-1]["choices"] == []
            assert all("usage" not in chunk for chunk in (*unasked, *asked[:-1]))
        else:  # DeepSeek's: always on the last chunk, and null on the others for who asks
            assert [chunk.get("usage", "none") for chunk in asked[:-1]] == [None] * (len(asked) - 1)
            assert all("usage" not in chunk for chunk in unasked[:-1])
            assert reported(unasked).usage == full.usage


@pytest.mark.parametrize("provider", those_with("thinking"))
def test_options_of_a_stream_need_a_stream(ask: Ask, emulator: Emulator, provider: str) -> None:
    refused = ask(emulator, provider, question(provider, stream_options={"include_usage": True}))
    assert refused.json()["error"]["message"] == "stream_options should be set along with stream = true"


# What is generated takes up the prompt


@both_ways
@pytest.mark.parametrize("provider", DOCUMENTED)
def test_a_generated_answer_is_about_the_prompt_in_its_language(
    ask: Ask, emulator: Emulator, provider: str, streams: bool
) -> None:
    talk = Talk(ask, emulator, provider, streams)
    english = talk("Explain tidal energy to me").only.content
    german = talk("Erkläre mir bitte die Photosynthese").only.content
    code = talk("Write a Python function that merges two lists").only.content
    assert english is not None
    assert "tidal energy" in english
    assert "simulated" in english
    assert german is not None
    assert "„Photosynthese“" in german
    assert "simuliert" in german
    assert code is not None
    assert "```python\ndef merges_lists(items):\n" in code
    assert talk("Explain tidal energy to me").only.content == english


# search_web


@both_ways
def test_a_web_search_finds_the_same_sources_each_time(ask: Ask, emulator: Emulator, streams: bool) -> None:
    talk = Talk(ask, emulator, "nadles", streams)
    first = talk("The depth of the sea", search_web=True)
    rows = first.native["summaries"]
    assert len(rows) == 3
    for row in rows:
        assert list(row) == ["error", "status", "summary", "url"]
        assert (row["error"], row["status"], row["url"].startswith("https://")) == (None, 200, True)
        assert "depth of the sea" in row["summary"].lower()
    assert len({row["url"] for row in rows}) == 3
    assert talk("The depth of the sea", search_web=True).native["summaries"] == rows
    assert talk("The height of the sky", search_web=True).native["summaries"] != rows
    without = talk("The depth of the sea")
    assert without.native["summaries"] == []
    assert first.prompt == without.prompt + sum(tokens.count(row["summary"]) for row in rows)
    assert first.total == first.prompt + first.completion
    assert first.only.content == without.only.content


@both_ways
def test_scripted_sources_are_reported_to_who_searches(ask: Ask, emulator: Emulator, streams: bool) -> None:
    talk = Talk(ask, emulator, "nadles", streams)
    found = talk("scripted search", search_web=True)
    assert found.native["summaries"] == [
        {"error": None, "status": 200, "summary": "A wide sea.", "url": "https://a.example"},
        {"error": "timed out", "status": 504, "summary": None, "url": "https://b.example"},
    ]
    assert talk("scripted search").native["summaries"] == []


# The prompt cache

LONG = "The sea is wide and deep, and nobody has seen all of it. " * 30


def cache_of(native: Any) -> tuple[int, int]:
    usage = native["usage"]
    hit, miss = usage["prompt_cache_hit_tokens"], usage["prompt_cache_miss_tokens"]
    assert hit % 64 == 0
    assert hit + miss == usage["prompt_tokens"]
    assert usage["prompt_tokens_details"]["cached_tokens"] == hit
    return hit, miss


class Keyed:
    """A conversation under a key that nobody has used before."""

    def __init__(self, ask: Ask, emulator: Emulator, provider: str) -> None:
        self.ask, self.emulator, self.provider = ask, emulator, provider
        self.headers = {"authorization": f"Bearer sk-cache-{next(NUMBERS)}"}

    def __call__(self, *messages: tuple[str, str], **members: Any) -> tuple[int, int]:
        rows = [{"role": role, "content": content} for role, content in messages]
        body = question(self.provider, messages=rows, **members)
        answer = self.ask(self.emulator, self.provider, body, headers=self.headers)
        if members.get("stream"):
            return cache_of(reported(events(answer)).native)
        return cache_of(answer.json())


@pytest.mark.parametrize("provider", those_with("cache"))
def test_what_a_key_sent_before_is_cached(ask: Ask, emulator: Emulator, provider: str) -> None:
    send = Keyed(ask, emulator, provider)
    first = send(("user", LONG))
    again = send(("user", LONG))
    assert first[0] == 0
    assert 0 <= again[1] < 64
    assert send(("user", LONG), stream=True) == again
    assert send(("user", LONG)) == again
    assert Keyed(ask, emulator, provider)(("user", LONG)) == first


@pytest.mark.parametrize("provider", those_with("cache"))
def test_a_conversation_that_grows_costs_only_what_is_new(ask: Ask, emulator: Emulator, provider: str) -> None:
    send = Keyed(ask, emulator, provider)
    one = [("system", LONG), ("user", "How deep is it?")]
    assert send(*one)[0] == 0
    two = [*one, ("assistant", "Very deep."), ("user", LONG)]
    hit, miss = send(*two)
    assert hit >= 64
    assert miss > tokens.count(LONG)
    hit, miss = send(*two, ("assistant", "As I said."), ("user", "And wide?"))
    assert hit > 2 * tokens.count(LONG) - 128
    assert miss < 128
    assert send(("system", LONG), ("user", "Something else"))[0] >= 64
    assert send(("system", "Be brief. " + LONG))[0] == 0


@pytest.mark.parametrize("provider", those_with("cache"))
def test_a_text_that_begins_alike_is_cached_as_far(ask: Ask, emulator: Emulator, provider: str) -> None:
    send = Keyed(ask, emulator, provider)
    assert send(("user", LONG + "Now what is the first question?"))[0] == 0
    hit, miss = send(("user", LONG + "And which is the second?"))
    assert hit >= 256
    assert miss < 128
    assert 0 < send(("user", LONG[: len(LONG) // 2] + "That is all."))[0] <= tokens.count(LONG) // 2
    assert send(("user", "Something else. " + LONG))[0] == 0


@pytest.mark.parametrize("provider", those_with("cache"))
def test_short_prompts_are_not_cached(ask: Ask, emulator: Emulator, provider: str) -> None:
    send = Keyed(ask, emulator, provider)
    assert [send(("user", "How deep is the sea?"))[0] for _ in range(3)] == [0, 0, 0]


def test_every_model_has_a_cache_of_its_own(ask: Ask, emulator: Emulator) -> None:
    send = Keyed(ask, emulator, "deepseek")
    assert [send(("user", LONG), model=name)[0] > 0 for name in ("deepseek-v4-pro", "deepseek-v4-flash")] == [False] * 2
    assert [send(("user", LONG), model=name)[0] > 0 for name in ("deepseek-v4-pro", "deepseek-v4-flash")] == [True] * 2


def test_a_reset_empties_the_cache(ask: Ask, emulator: Emulator) -> None:
    world = emulator.namespace(f"cache-{next(NUMBERS)}")
    headers = {**KEYS["cloudsway"], "x-emulator-namespace": world.name}
    body = question("cloudsway", LONG)

    def hit() -> int:
        return cache_of(ask(emulator, "cloudsway", body, headers=headers).json())[0]

    assert (hit(), hit() > 0) == (0, True)
    world.reset()
    assert (hit(), hit() > 0) == (0, True)


# What changes no word


@pytest.mark.parametrize("provider", HONORED)
def test_how_an_answer_is_asked_for_changes_no_word_of_it(ask: Ask, emulator: Emulator, provider: str) -> None:
    talk = Talk(ask, emulator, provider)
    said = talk(ASKED["generated"]).choices
    assert replace(talk, streams=True)(ASKED["generated"]).choices == said
    assert talk(ASKED["generated"], temperature=0.3, top_p=0.5).choices == said
    assert talk(ASKED["generated"], nobody_knows_this=1).choices == said
    assert talk(ASKED["generated"]).choices == said
    if provider == "cloudsway":  # deprecated, in any value
        assert talk(ASKED["generated"], frequency_penalty=99, presence_penalty="much").choices == said


@pytest.mark.parametrize("provider", HONORED)
def test_what_a_provider_does_not_document_changes_nothing(ask: Ask, emulator: Emulator, provider: str) -> None:
    unknown: dict[str, dict[str, Any]] = {
        "max_tokens": {"max_tokens": 2},
        "stop": {"stop": "o"},
        "n": {"n": 3},
        "logprobs": {"logprobs": True, "top_logprobs": 3},
        "response_format": {"response_format": {"type": "json_object"}},
        "tools": {"tools": TOOLS, "tool_choice": "required"},
        "search_web": {"search_web": True},
        "thinking": PLAIN,
    }
    talk = Talk(ask, emulator, provider)
    plain = talk("count")
    for parameter, members in unknown.items():
        if parameter not in HONORED[provider]:
            heard = talk("count", **members)
            assert (heard.choices, heard.usage) == (plain.choices, plain.usage), parameter


# Properties: of every answer and every wish

PROSE = st.text(st.sampled_from("ab cdeé\n.,{}\"\\'<>/😊界の\u0301\t0123"), max_size=60) | st.text(max_size=30)
CALLS = st.builds(ToolCall, st.sampled_from(["f", "get_weather"]), PROSE, st.sampled_from(["", "call_x"]))
REPLIES = st.builds(
    Reply,
    content=PROSE,
    reasoning=st.none() | PROSE,
    tool_calls=st.lists(CALLS, max_size=3).map(tuple),
    sources=st.none() | st.lists(st.builds(Source, st.just("u"), PROSE), max_size=2).map(tuple),
    usage=st.dictionaries(
        st.sampled_from(["prompt", "completion"]), st.integers(0, 5) | st.integers(0, 300), max_size=1
    ),
    finish_reason=st.sampled_from([None, None, "stop", "content_filter", "length"]),
)
CONTROLS = st.builds(
    Controls,
    max_tokens=st.none() | st.integers(1, 40),
    stop=st.lists(st.text("ab c.😊", min_size=1, max_size=4), max_size=3).map(tuple),
    logprobs=st.booleans(),
    top_logprobs=st.integers(0, 20),
)
CALL = HttpRequest("deepseek", "POST", "/chat/completions", {}, "", b"{}", "chat")
common_settings = settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def completed(replies: Sequence[Reply], controls: Controls, **options: Any) -> Completion:
    request = ModelRequest(CALL, "deepseek-v4-pro", (), False, replace(controls, n=len(replies)), "k", {})
    given: dict[str, Any] = {"id": "i", "created": 1, "request_id": "r", "prompt": 30, "cache": CacheUse(10), **options}
    return complete(replies, request, **given, habits=PROVIDERS["deepseek"].habits)


def tokens_of(choice: Choice) -> int:
    thought = 0 if choice.reasoning is None else tokens.count(choice.reasoning)
    calls = tokens.render_calls(choice.tool_calls) if choice.tool_calls else ""
    return thought + tokens.count(choice.content + calls)


def is_cut(choice: Choice, reply: Reply) -> bool:
    """Whether a limit ended the answer before all of its calls were there."""
    wanted = [(call.name, call.arguments) for call in reply.tool_calls]
    return choice.finish_reason == "length" and [(call.name, call.arguments) for call in choice.tool_calls] != wanted


@common_settings
@given(st.lists(REPLIES, min_size=1, max_size=3), CONTROLS)
def test_nothing_is_ever_longer_than_the_reply(replies: list[Reply], controls: Controls) -> None:
    completion = completed(replies, controls)
    for reply, choice in zip(replies, completion.choices, strict=True):
        assert reply.content.startswith(choice.content)
        assert (choice.reasoning is None) == (reply.reasoning is None)
        assert (reply.reasoning or "").startswith(choice.reasoning or "")
        assert not any(stop in choice.content for stop in controls.stop)
        assert len(choice.tool_calls) <= len(reply.tool_calls)
        for made, wanted in zip(choice.tool_calls, reply.tool_calls, strict=False):
            assert made.name == wanted.name
            assert wanted.arguments.startswith(made.arguments)
        if choice.content:
            assert choice.reasoning == reply.reasoning
        if choice.tool_calls:
            assert choice.content == reply.content
        if controls.max_tokens is not None and not is_cut(choice, reply):
            assert tokens_of(choice) <= controls.max_tokens


@common_settings
@given(REPLIES, CONTROLS)
def test_the_finish_reason_tells_what_happened(reply: Reply, controls: Controls) -> None:
    assume(reply.finish_reason is None)
    (choice,) = completed([reply], controls).choices
    said = [position for stop in controls.stop if (position := reply.content.find(stop)) >= 0]
    stopped = replace(reply, content=reply.content[: min(said)], tool_calls=()) if said else reply
    is_whole = (choice.reasoning, choice.content) == (stopped.reasoning, stopped.content) and [
        (call.name, call.arguments) for call in choice.tool_calls
    ] == [(call.name, call.arguments) for call in stopped.tool_calls]
    if choice.finish_reason == "length":
        assert controls.max_tokens is not None
        # Where all words are there, the end of thinking is what did not fit.
        assert not is_whole or (stopped.reasoning is not None and not stopped.content)
    else:
        assert is_whole
        assert choice.finish_reason == ("stop_sequence" if said else "tool_calls" if stopped.tool_calls else "stop")
    assert choice.native_reason is None
    assert (choice.stopped_by in controls.stop) == (choice.finish_reason == "stop_sequence")


@common_settings
@given(st.lists(REPLIES, min_size=1, max_size=3), CONTROLS, st.integers(0, 500), st.integers(0, 500))
@example([Reply(CONTENT, REASONING, usage={"completion": 3})], Controls(), 30, 64)
@example([Reply("", "0"), Reply(tool_calls=(ToolCall("f", ""),))], Controls(max_tokens=1), 0, 0)
def test_usage_adds_up(replies: list[Reply], controls: Controls, prompt: int, cached: int) -> None:
    completion = completed(replies, controls, prompt=prompt, cache=CacheUse(cached))
    usage, first = completion.usage, replies[0]
    assert usage.total == usage.prompt + usage.completion
    assert 0 <= usage.reasoning <= usage.completion
    assert 0 <= usage.cached <= usage.prompt
    if not first.usage:
        assert usage.prompt == prompt + sum(tokens.count(row.summary or "") for row in first.sources or ())
        pairs = [pair for pair in zip(completion.choices, replies, strict=True) if not is_cut(*pair)]
        ends = sum(choice.reasoning is not None for choice, _ in pairs)
        counted = sum(tokens_of(choice) for choice, _ in pairs)
        if controls.max_tokens is not None:  # where the markup of calls is cut, all tokens are used
            counted += controls.max_tokens * (len(replies) - len(pairs))
        assert counted <= usage.completion <= counted + ends  # `</think>`, where thinking came to an end
        if controls.max_tokens is not None:
            assert usage.completion <= controls.max_tokens * len(replies)
    for name, value in first.usage.items():
        assert getattr(usage, name) == value


@common_settings
@given(REPLIES, CONTROLS, st.integers(0, 3))
def test_log_probabilities_are_plausible_for_any_text(reply: Reply, controls: Controls, seed: int) -> None:
    (choice,) = completed([reply], controls, seed=seed).choices
    if not controls.logprobs:
        assert (choice.logprobs, choice.reasoning_logprobs) == (None, None)
        return
    for rows, text in ((choice.logprobs, choice.content), (choice.reasoning_logprobs, choice.reasoning)):
        if text is None:
            assert rows is None
            continue
        assert rows is not None
        shown = [
            {
                "token": row.token,
                "logprob": row.logprob,
                "bytes": list(row.token.encode()),
                "top_logprobs": [
                    {"token": token, "logprob": value, "bytes": list(token.encode())} for token, value in row.top
                ],
            }
            for row in rows
        ]
        are_plausible(shown, text, controls.top_logprobs)


@common_settings
@given(
    st.sampled_from([name for name in HONORED if name != "nadles"]),
    st.lists(REPLIES.map(lambda reply: replace(reply, usage={})), min_size=1, max_size=3),
    CONTROLS,
)
def test_the_pieces_of_a_stream_join_to_the_whole(provider: str, replies: list[Reply], controls: Controls) -> None:
    vendor = PROVIDERS[provider]()
    chat = vendor.speaking("chat_completions")
    completion = completed(replies, replace(controls, include_usage=True))
    asked = ModelRequest(CALL, "m", (), True, replace(controls, n=len(replies), include_usage=True), "k", {})
    planned = chat.render(completion, asked)
    chunks = [
        json.loads(frame.removeprefix(b"data: ")) for frame in planned.frames() if not frame.startswith(b"data: [")
    ]
    heard = reported(chunks)
    assert [(said.content, said.reasoning, said.finish) for said in heard.choices] == [
        (choice.content, choice.reasoning, chat.reason(choice)) for choice in completion.choices
    ]
    assert [list(said.calls) for said in heard.choices] == [
        [(call.name, call.arguments) for call in choice.tool_calls] for choice in completion.choices
    ]
    assert heard.usage == (completion.usage.prompt, completion.usage.completion, completion.usage.total)
    body = json.loads(chat.render(completion, replace(asked, stream=False)).body())
    assert whole(body).choices == [
        replace(said, logprobs=one.logprobs) for said, one in zip(heard.choices, whole(body).choices, strict=True)
    ]
    longest = max(
        tokens.count(choice.reasoning or "")
        + tokens.count(choice.content)
        + sum(tokens.count(call.arguments) for call in choice.tool_calls)
        for choice in completion.choices
    )
    assert longest <= sum(planned.tokens()) or len(replies) > 1
    assert vendor.cost(completion.usage, "m", 0.0) >= Decimal(0)


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(
    provider=st.sampled_from(those_with("stop")),
    text=st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=80),
    limit=st.none() | st.integers(1, 30),
    data=st.data(),
)
def test_any_text_is_stopped_and_cut_on_the_wire(
    ask: Ask, emulator: Emulator, provider: str, text: str, limit: int | None, data: st.DataObject
) -> None:
    start = data.draw(st.integers(0, len(text) - 1))
    stop = data.draw(st.just(text[start : start + data.draw(st.integers(1, 6))]) | st.text(min_size=1, max_size=3))
    extra = PLAIN if "thinking" in HONORED[provider] else {}
    members: dict[str, Any] = {"text": text, "stop": [stop], "max_tokens": limit, **extra}
    answers = [Talk(ask, emulator, provider, streams)("echo", **members) for streams in (False, True)]
    assert answers[0].choices == answers[1].choices
    assert answers[0].usage == answers[1].usage
    said = answers[0].only
    stopped = text[: text.find(stop)] if stop in text else text
    expected = stopped if limit is None else tokens.cut(stopped, limit)
    assert said.content == expected
    assert said.finish == ("length" if limit is not None and tokens.count(stopped) > limit else "stop")
    assert answers[0].completion == tokens.count(expected)
