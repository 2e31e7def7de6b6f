"""Rules and assertions in Python, in one process with the server."""

import _thread
import asyncio
from collections.abc import Iterator
from decimal import Decimal
from queue import Queue
from typing import Any

import pytest
from talk import single

from emulator import Emulator, UsageError, scripting
from emulator.errors import ScenarioError
from emulator.reply import ErrorReply, Reply
from emulator.request import ModelRequest

URL = "/v1/chat/completions"


@pytest.fixture
def emulator() -> Iterator[Emulator]:
    with Emulator(seed=3) as running:
        yield running


def ask(emulator: Emulator, prompt: str = "Hi", **more: Any) -> Any:
    """The text of an answer, or the status of an error."""
    body = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": prompt}], **more}
    answer = single.post(emulator.url("openai") + URL, json=body, headers={"authorization": "Bearer sk-test-0001"})
    return answer.json()["choices"][0]["message"]["content"] if answer.status_code == 200 else answer.status_code


def returns(value: Any) -> Any:
    return lambda request: value


async def later(request: ModelRequest) -> str:
    return f"later {request.prompt}"


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        (Reply(content="a reply"), "a reply"),
        (ErrorReply(status=409), 409),
        (returns("a text"), "a text"),
        (returns(Reply(content="made")), "made"),
        (returns({"reply": "short"}), "short"),
        (returns({"reply": {"content": "long"}}), "long"),
        (returns({"content": "{{ as it is }}"}), "{{ as it is }}"),
        (returns(429), 429),
        (returns({"error": 503}), 503),
        (returns({"error": {"status": 404, "message": "No"}}), 404),
        (returns(ErrorReply(status=418)), 418),
        (later, "later Hi"),
        (returns(True), 500),
        (returns({"content": "x", "tool_calls": [{"name": "f", "arguments": {"a": object()}}]}), 500),
        (returns({"tool_calls": "none"}), 500),
    ],
)
def test_each_form_of_a_reply_in_python(emulator: Emulator, reply: Any, said: Any) -> None:
    emulator.rule("Hi", reply=reply)
    assert ask(emulator) == said


def test_answers_in_turn_may_have_each_form(emulator: Emulator) -> None:
    emulator.rule(replies=[Reply(content="one"), ErrorReply(status=409), {"error": 503}, {"reply": "four"}, 429])
    assert [ask(emulator) for _ in range(5)] == ["one", 409, 503, "four", 429]


def test_a_rule_that_is_neither_text_nor_mapping_is_refused(emulator: Emulator) -> None:
    with pytest.raises(UsageError) as caught:
        emulator.rule(7)  # type: ignore[arg-type]
    assert str(caught.value) == "rule() got 7. Give a text that the prompt contains, or a rule as a mapping."


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"times": -1}, "times is -1. Give a whole number, 0 or more."),
        ({"times": True}, "times is True. Give a whole number, 0 or more."),
        (
            {"modle": "x"},
            "assert_called() has no argument 'modle'. Did you mean 'model'? Arguments: times, body_contains, provider, "
            "operation, model, rule, status, outcome, stream, prompt",
        ),
    ],
)
def test_a_wrong_assertion_is_an_error_of_its_own(emulator: Emulator, options: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError) as caught:
        emulator.assert_called(**options)
    assert str(caught.value) == words


@pytest.mark.parametrize(
    ("wanted", "difference"),
    [
        ({"prompt": "Bye"}, "prompt: 'Hi there' does not contain 'Bye'"),
        ({"model": "gpt-5"}, "model: 'gpt-4o-mini', expected 'gpt-5'"),
        ({"status": 429}, "status: 200, expected 429"),
        ({"body_contains": "ther"}, None),
        ({"body_contains": "THERE"}, "body: does not contain 'THERE'; it contains 'there'"),
        ({"body_contains": {"n": {"a": 1}}}, "body.n: 2, expected a mapping"),
        ({"body_contains": {"n": [1]}}, "body.n: 2, expected a list"),
        ({"body_contains": {"stop": ["a", "b"]}}, "body.stop: 1 items, expected 2"),
        ({"body_contains": {"stop": ["b"]}}, "body.stop[0]: 'a', expected 'b'"),
        ({"body_contains": {"modl": 1}}, "body.modl: missing. Did you mean 'model'?"),
        ({"body_contains": {"user": "u"}}, f"body.user: '{'x' * 78}…, expected 'u'"),
    ],
)
def test_a_failed_assertion_shows_the_difference(
    emulator: Emulator, wanted: dict[str, Any], difference: str | None
) -> None:
    emulator.rule(reply="Hello")
    assert ask(emulator, "Hi there", n=2, stop=["a"], user="x" * 100) == "Hello"
    if difference is None:
        assert len(emulator.assert_called(**wanted)) == 1
        return
    with pytest.raises(AssertionError) as caught:
        emulator.assert_called(**wanted)
    said = ", ".join(f"{name}={value!r}" for name, value in wanted.items())
    first, row, *rest = str(caught.value).split("\n")
    assert first == f"at least 1 request with {said} expected, 0 of 1 fit:"
    assert row.startswith("    #1  openai")
    assert rest == [f"        {difference}"]


def test_an_amount_that_is_not_one_is_refused(emulator: Emulator) -> None:
    assert emulator.assert_spend("$1.5") == Decimal(0)
    with pytest.raises(UsageError) as caught:
        emulator.assert_spend("much")
    assert str(caught.value) == "max is 'much'. Give an amount in USD, such as 0.05."


def test_conditions_are_given_by_name_and_as_a_mapping(emulator: Emulator) -> None:
    emulator.rule({"match": {"prompt": "Hi", "turn": 5}, "reply": {"content": "all"}}, match={"stream": False}, turn=1)
    assert (ask(emulator), ask(emulator, "Ho") == "all") == ("all", False)


@pytest.mark.parametrize("options", [{"match": 5}, {"match": 5, "turn": 1}, {"match": None}])
def test_a_match_that_is_no_mapping_is_named(emulator: Emulator, options: dict[str, Any]) -> None:
    for given, more in (("Hi", options), ({"match": options["match"]}, {**options, "match": {}})):
        with pytest.raises(ScenarioError) as caught:
            emulator.rule(given, reply="wrong", **more)
        assert f"match is {'empty' if options['match'] is None else 5}; expected a mapping" in str(caught.value)


def test_a_function_that_a_busy_loop_can_not_run_runs_elsewhere_and_once(
    emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scripting, "BUSY", 0.01)
    loops: list[object] = []

    async def answer(request: ModelRequest) -> str:
        loops.append(asyncio.get_running_loop())
        return "done"

    async def main() -> Any:
        emulator.rule("Hi", reply=answer)
        said = ask(emulator)  # the loop waits for it, so it can't run the function
        for _ in range(5):
            await asyncio.sleep(0)
        return said, asyncio.get_running_loop() in loops

    assert asyncio.run(main()) == ("done", False)
    assert len(loops) == 1


def test_a_rule_that_only_code_of_the_emulator_adds_comes_from_python() -> None:
    found: Queue[str] = Queue()
    names: dict[str, Any] = {"__name__": "emulator.of_its_own", "caller": scripting.caller, "found": found}
    exec("def run():\n    found.put(caller())", names)
    _thread.start_new_thread(names["run"], ())
    assert found.get(timeout=10) == "python"
