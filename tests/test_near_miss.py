"""An unmatched request is explained: in the response when strict, in the log and in the journal."""

from typing import Any

import httpx
from talk import single

from emulator import Emulator
from emulator.logs import line

RULES = [
    {"name": "greeting", "match": {"model": "gpt-*", "prompt": {"contains": "hello"}}, "reply": {"content": "Hi"}},
    {
        "name": "weather",
        "match": {"model": "deepseek*", "prompt": {"contains": "weather"}},
        "reply": {"content": "Sun"},
    },
    {"name": "once", "match": {"prompt": {"regex": "^twice"}}, "times": 1, "reply": {"content": "Once"}},
]


def ask(emulator: Emulator, prompt: str) -> httpx.Response:
    body: dict[str, Any] = {"model": "deepseek-v3", "messages": [{"role": "user", "content": prompt}]}
    url = emulator.url("serevix") + "/v1/chat/completions"
    return single.post(url, json=body, headers={"authorization": "Bearer k"})


def test_strict_answers_tell_each_rule_and_why_not_the_nearest_first() -> None:
    with Emulator({"rules": RULES}) as emulator:
        reply = ask(emulator, "good morning")
        emulator.wait_until_idle()
        notes = emulator.journal[-1].record()["notes"]
    reported = [
        "weather: prompt 'good morning' does not contain 'weather'",
        "once: prompt 'good morning' does not match the regex '^twice'",
        "greeting: model is 'deepseek-v3', the rule expects 'gpt-*'",
    ]
    lines = ["No rule matches this serevix request. Rules tried:", *(f"  {reason}" for reason in reported)]
    assert reply.status_code == 404
    assert reply.headers["x-emulator-error"] == "unmatched"
    assert reply.json()["error"]["message"] == "\n".join(lines)
    assert notes == reported


def test_a_rule_that_is_used_up_is_distinguished_from_one_that_does_not_match() -> None:
    with Emulator({"rules": RULES}) as emulator:
        assert ask(emulator, "twice please").json()["choices"][0]["message"]["content"] == "Once"
        message = ask(emulator, "twice please").json()["error"]["message"]
    assert message.splitlines()[1] == "  once: it matches, but it is used up"


def test_generated_answers_tell_it_in_the_journal_and_in_the_log_line() -> None:
    with Emulator({"rules": RULES, "unmatched": "generate"}) as emulator:
        assert [ask(emulator, "good \x1b[2J morning").status_code for _ in range(3)] == [200, 200, 200]
        emulator.wait_until_idle()
        exchanges = emulator.journal
    nearest = r"weather: prompt 'good \x1b[2J morning' does not contain 'weather'"
    for exchange in exchanges:
        assert exchange.record()["misses"][0] == nearest
        assert exchange.misses[0] == nearest
        assert line(exchange).endswith(f"generated  nearest rule {nearest}")
