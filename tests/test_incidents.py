"""The shipped incidents, each as a client sees it."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from talk import single

from emulator import Emulator
from emulator.resources import folder

INCIDENTS = folder("scenarios") / "incidents"
WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "the weather in a city",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}


def started(name: str, clock: str = "virtual") -> Emulator:
    """The incident on a clock that is not real, so that a minute of waiting takes no time."""
    scenario = yaml.safe_load((INCIDENTS / f"{name}.yaml").read_text())
    return Emulator({**scenario, "clock": clock})


def ask(emulator: Emulator, prompt: str = "hello", *, key: str = "sk-any", **members: Any) -> httpx.Response:
    body = {"model": "m", "messages": [{"role": "user", "content": prompt}], **members}
    url = emulator.url("cloudsway") + "/v1/ai/x/chat/completions"
    return single.post(url, json=body, headers={"authorization": f"Bearer {key}"}, timeout=20)


def until_cut(stream: httpx.Response) -> bytes:
    """What came before the connection was closed in the middle of the body."""
    heard = b""
    try:
        for piece in stream.iter_bytes():
            heard += piece
    except httpx.RemoteProtocolError:
        return heard
    raise AssertionError("the body was complete")


def outcome(emulator: Emulator, prompt: str, **members: Any) -> str:
    """How a request went, in a word."""
    try:
        reply = ask(emulator, prompt, **members)
        _ = reply.text
    except httpx.HTTPError as error:
        return type(error).__name__
    return str(reply.status_code)


def test_every_incident_has_a_test_here_and_tells_where_it_was_seen() -> None:
    source = Path(__file__).read_text()
    for path in INCIDENTS.glob("*.yaml"):
        assert f'("{path.stem}' in source, path.stem
        head = path.read_text().partition("version:")[0]
        assert "emulator serve --scenario scenarios/incidents/" in head


def test_deepseek_busy_sends_four_empty_lines_or_keep_alives_and_closes() -> None:
    with started("deepseek_busy") as emulator:
        whole = ask(emulator)
        url = emulator.url("deepseek") + "/chat/completions"
        body = {"model": "deepseek-v4-pro", "stream": True, "messages": [{"role": "user", "content": "hello"}]}
        with single.stream("POST", url, json=body, headers={"authorization": "Bearer sk-any"}) as stream:
            heard = until_cut(stream)
    assert (whole.status_code, whole.content) == (200, b"\n\n\n\n")
    assert set(heard.split(b"\n\n")) == {b": keep-alive", b""}


def test_a_spent_month_is_a_429_that_waiting_does_not_help() -> None:
    with started("claude_spend_limit") as emulator:
        body = {"model": "claude-haiku-4-5", "max_tokens": 100, "messages": [{"role": "user", "content": "hello"}]}
        headers = {"x-api-key": "sk-ant-any", "anthropic-version": "2023-06-01"}
        url = emulator.url("anthropic") + "/v1/messages"
        answers = [single.post(url, json=body, headers=headers) for _ in range(5)]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429, 429]
    error = answers[-1].json()["error"]
    assert (error["type"], error["details"]) == ("rate_limit_error", {"error_code": "enforced_spend_limit_reached"})
    assert "retry-after" not in answers[-1].headers


def test_a_gateway_resets_every_stream_after_ninety_seconds() -> None:
    with started("gateway_reset_90s") as emulator:
        with pytest.raises(httpx.ReadError):
            ask(emulator, stream=True)
        playback = emulator.journal[-1].playback
    assert playback is not None
    assert playback.ended == "reset"
    assert playback.frames_sent > 300


def test_openresty_answers_about_half_of_the_requests_with_a_page() -> None:
    with started("openresty_500") as emulator:
        replies = [ask(emulator, f"question {number}") for number in range(20)]
    kinds = Counter(reply.headers["content-type"].partition(";")[0] for reply in replies)
    assert set(kinds) == {"text/html", "application/json"}
    page = next(reply for reply in replies if reply.headers["content-type"].startswith("text/html"))
    assert page.status_code == 500
    assert "openresty" in page.text


def test_a_stream_falls_silent_in_its_reasoning() -> None:
    with started("reasoning_stall") as emulator:
        with pytest.raises(httpx.ReadTimeout), httpx.Client(timeout=0.5, verify=False) as client:
            client.post(
                emulator.url("cloudsway") + "/v1/ai/x/chat/completions",
                json={"model": "m", "stream": True, "messages": [{"role": "user", "content": "hello"}]},
                headers={"authorization": "Bearer k"},
            )
        emulator.wait_until_idle()
        assert emulator.journal[-1].faults == ("stall (rule)",)


def test_half_of_the_requests_are_refused_until_a_minute_has_passed() -> None:
    with started("half_outage", clock="manual") as emulator:
        during = Counter(ask(emulator, f"question {number}").status_code for number in range(30))
        emulator.advance(61)
        after = Counter(ask(emulator, f"later {number}").status_code for number in range(10))
    assert set(during) == {200, 503}
    assert 5 <= during[503] <= 25
    assert after == {200: 10}


def test_the_fourth_request_in_twenty_seconds_is_asked_to_wait() -> None:
    with started("rate_limited") as emulator:
        replies = [ask(emulator) for _ in range(4)]
    assert [reply.status_code for reply in replies] == [200, 200, 200, 429]
    assert 1 <= int(replies[-1].headers["retry-after"]) <= 20


def test_over_a_bad_network_most_answers_arrive_whole() -> None:
    with started("flaky_wifi") as emulator:
        outcomes = Counter(outcome(emulator, f"question {number}", stream=True) for number in range(60))
    assert outcomes["200"] >= 50
    assert set(outcomes) <= {"200", "ReadError"}


def test_a_pedantic_stream_is_valid_but_unusual() -> None:
    with started("sse_pedant") as emulator:
        body = ask(emulator, stream=True).content
    assert b"\r\n" in body
    assert b"\n" not in body.replace(b"\r\n", b"")
    assert b"data:{" in body
    assert any(line.startswith(b":") for line in body.split(b"\r\n"))


def test_characters_arrive_in_halves_and_join_again() -> None:
    with started("cjk_splitter") as emulator:
        reply = ask(emulator, stream=True)
    assert "深" in reply.content.decode()


def test_the_money_lasts_for_a_few_answers() -> None:
    with started("balance_runs_out") as emulator:
        poor = [ask(emulator, f"question {number}", key="sk-poor").status_code for number in range(12)]
        rich = ask(emulator, key="sk-rich").status_code
    assert poor[0] == 200
    assert poor[-1] == 400  # Cloudsway's word for it: no available passageway
    assert poor == sorted(poor)
    assert rich == 200


def test_tool_calls_come_broken_three_times_and_then_whole() -> None:
    with started("broken_agent_tools") as emulator:
        calls = []
        for number in range(4):
            reply = ask(emulator, f"the weather in Paris {number}", tools=[WEATHER]).json()
            calls.append(reply["choices"][0]["message"]["tool_calls"][0]["function"])
    assert [call["name"] for call in calls][:2] == ["get_weather", "get_weather"]
    for broken in calls[:2]:
        with pytest.raises(json.JSONDecodeError):
            json.loads(broken["arguments"])
    assert calls[2]["name"] != "get_weather"
    assert set(json.loads(calls[3]["arguments"])) == {"city"}


def test_a_proxy_compresses_all_and_loses_some() -> None:
    with started("gzip_proxy") as emulator:
        outcomes = Counter(outcome(emulator, f"question {number}", stream=True) for number in range(30))
        reply = ask(emulator, "one more")
    assert outcomes["200"] >= 15
    assert sum(outcomes.values()) - outcomes["200"] >= 1
    assert reply.headers["content-encoding"] == "gzip"
