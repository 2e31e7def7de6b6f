"""Balances and quotas over HTTP: what a key may still do, and the provider's own errors when it may not."""

from typing import Any

import httpx
import pytest
from rawhttp import eventually
from talk import KEYS, PATHS, question, single

from emulator import Emulator

NADLES = "/deepseek-r1-distill-llama-70b-websearch/completion"
SAYS_HELLO = [{"reply": {"content": "Hello there"}}]
"""Two tokens; the prompt `hello` has five, so one exchange has seven."""


def scenario(**more: Any) -> dict[str, Any]:
    return {"clock": "manual", "rules": SAYS_HELLO, **more}


def ask_nadles(emulator: Emulator, key: str = "k") -> httpx.Response:
    body = {"messages": [{"role": "user", "content": "hello"}]}
    return single.post(emulator.url("nadles") + NADLES, headers={"x-billing-token": key}, json=body)


def ask(emulator: Emulator, provider: str, key: str = "k") -> httpx.Response:
    body = {"model": "deepseek-r1", "stream": False, "messages": [{"role": "user", "content": "hello"}]}
    headers = {"authorization": f"Bearer {key}"}
    return single.post(f"{emulator.url(provider)}/v1/chat/completions", headers=headers, json=body)


def test_the_request_that_crosses_a_token_quota_succeeds_and_the_next_gets_429() -> None:
    quotas = [{"provider": "nadles", "tokens": 10, "per": "month"}]
    with Emulator(scenario(quotas=quotas)) as emulator:
        answers = [ask_nadles(emulator) for _ in range(3)]
        other = ask_nadles(emulator, "another-key")
    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert answers[2].json() == {"message": "Too Many Requests"}
    # Virtual time begins on 1 January, and the month has 31 days.
    assert answers[2].headers["retry-after"] == str(31 * 86400)
    assert other.status_code == 200


def test_a_window_of_requests_opens_again_after_the_time_that_retry_after_tells() -> None:
    with Emulator(scenario(quotas=[{"requests": 2, "per": 30}])) as emulator:
        first = [ask(emulator, "serevix").status_code for _ in range(2)]
        emulator.advance(12.5)
        refused = ask(emulator, "serevix")
        emulator.advance(17.5)
        again = ask(emulator, "serevix")
    assert first == [200, 200]
    assert refused.status_code == 429
    assert refused.headers["retry-after"] == "18"
    assert refused.json()["error"]["message"].startswith(
        "You have reached the request limit: maximum 2 requests in 1 minutes (request id: "
    )
    assert again.status_code == 200


PERIODS = {"minute": 60, "day": 86400, "month": "month", "other": 7}
WORDS = {
    "anthropic": {
        "minute": "This request would exceed your organization's rate limit of 1 requests per minute. ",
        "day": "This request would exceed your organization's rate limit of 1 requests per day. ",
        "month": "This request would exceed your organization's rate limit of 1 requests per month. ",
        "other": "This request would exceed your organization's rate limit of 1 requests. ",
        "none": "Number of concurrent connections has exceeded your rate limit. Please try again later or contact ",
    },
    "openai": {
        "minute": "Rate limit reached in organization org-emulator on requests per min (RPM): Limit 1, Used 1, ",
        "day": "Rate limit reached in organization org-emulator on requests per day (RPD): Limit 1, Used 1, ",
        "month": "Rate limit reached in organization org-emulator on requests: Limit 1, Used 1, ",
        "other": "Rate limit reached in organization org-emulator on requests: Limit 1, Used 1, ",
    },
    "serevix": {"minute": "Rate limit reached"},
}
"""How the refusal of a second request begins, by the quota."""


def test_a_quota_is_refused_in_the_words_of_the_provider_with_its_unit_of_time() -> None:
    quotas: list[Any] = [{"key": key, "requests": 1, "per": per} for key, per in PERIODS.items()]
    with Emulator(
        scenario(
            quotas=[*quotas, {"key": "none", "concurrency": 0}], providers={"serevix": {"error_profile": "openai"}}
        )
    ) as emulator:
        for provider, sentences in WORDS.items():
            for key, sentence in sentences.items():
                name = "x-api-key" if provider == "anthropic" else "authorization"
                given = {**KEYS[provider], name: key if provider == "anthropic" else f"Bearer {key}"}
                url = emulator.url(provider) + PATHS[provider]
                answers = [single.post(url, json=question(provider), headers=given) for _ in range(2)]
                assert [each.status_code for each in answers] == [429 if key == "none" else 200, 429]
                assert answers[1].json()["error"]["message"][: len(sentence)] == sentence


def test_only_as_many_answers_are_open_as_the_concurrency_allows() -> None:
    slow = scenario(quotas=[{"concurrency": 1}], defaults={"pace": {"ttft": 5}})
    with Emulator(slow) as emulator, httpx.Client(verify=False) as client:
        body = {"model": "m", "stream": True, "messages": [{"role": "user", "content": "hello"}]}
        url = emulator.url("serevix") + "/v1/chat/completions"
        headers = {"authorization": "Bearer k"}
        with client.stream("POST", url, json=body, headers=headers) as open_answer:
            refused = ask(emulator, "serevix")
            emulator.advance(60)
            open_answer.read()
        emulator.wait_until_idle()
        with client.stream("POST", url, json=body, headers=headers) as again:
            emulator.advance(60)
            again.read()
    assert (open_answer.status_code, refused.status_code, again.status_code) == (200, 429, 200)


@pytest.mark.parametrize(("provider", "status"), [("maxtoken", 403), ("serevix", 403)])
def test_a_balance_is_spent_and_then_refused_in_the_providers_words(provider: str, status: int) -> None:
    accounts = [{"key": "sk-poor", "balance": "0.000001"}, {"key": "sk-rich"}]
    with Emulator(scenario(accounts=accounts)) as emulator:
        poor = [ask(emulator, provider, "sk-poor").status_code for _ in range(2)]
        rich = [ask(emulator, provider, "sk-rich").status_code for _ in range(2)]
        unknown = ask(emulator, provider, "sk-unknown")
    assert poor == [200, status]
    assert rich == [200, 200]
    assert unknown.status_code == 401


def test_deepseek_tells_the_balance_that_is_left() -> None:
    with Emulator(scenario(accounts=[{"key": "sk-poor", "balance": "1.5"}])) as emulator:
        headers = {"authorization": "Bearer sk-poor"}
        reported = single.get(emulator.url("deepseek") + "/user/balance", headers=headers).json()
    left = {"currency": "USD", "total_balance": "1.50", "granted_balance": "0.00", "topped_up_balance": "1.50"}
    assert reported == {"is_available": True, "balance_infos": [left]}


def test_nadles_bills_the_documented_price_for_every_token() -> None:
    with Emulator() as emulator:
        body = {"messages": [{"role": "user", "content": "just respond with a short hi, nothing more"}]}
        single.post(emulator.url("nadles") + NADLES, headers={"x-billing-token": "k"}, json=body)
        assert str(emulator.journal[-1].cost) == "0.00144420"


@pytest.mark.parametrize("change", ["reset", "quotas"])
def test_an_answer_from_before_gives_back_no_slot_of_the_new_quotas(change: str) -> None:
    slow = scenario(quotas=[{"concurrency": 1}], defaults={"pace": {"ttft": 5}})
    body = {"model": "m", "stream": True, "messages": [{"role": "user", "content": "hello"}]}
    headers = {"authorization": "Bearer k"}
    with Emulator(slow) as emulator, httpx.Client(verify=False) as client:
        url = emulator.url("serevix") + "/v1/chat/completions"
        with client.stream("POST", url, json=body, headers=headers) as old:
            if change == "reset":
                emulator.reset()
            else:
                emulator.load({**slow, "quotas": [{"concurrency": 1, "per": "month"}]})
            emulator.advance(3)
            with client.stream("POST", url, json=body, headers=headers) as new:
                emulator.advance(3)
                old.read()
                eventually(lambda: emulator.journal[0].ended == "complete")
                refused = ask(emulator, "serevix")
                emulator.advance(3)
                new.read()
        emulator.wait_until_idle()
        with client.stream("POST", url, json=body, headers=headers) as again:
            emulator.advance(60)
            again.read()
    statuses = [each.status_code for each in (old, new, refused, again)]
    assert statuses == [200, 200, 429, 200]


def test_what_fails_inside_gives_back_what_it_took(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any, **__: Any) -> Any:
        raise RuntimeError("broken on purpose")

    with Emulator({"rules": SAYS_HELLO, "quotas": [{"concurrency": 1}]}) as emulator:
        with monkeypatch.context() as patch:
            patch.setattr("emulator.engine.rendering.complete", broken)
            failed = [ask(emulator, "serevix").status_code for _ in range(3)]
        whole = ask(emulator, "serevix").status_code
        emulator.wait_until_idle()
        reported = [(each.number, each.status, each.ended) for each in emulator.journal]
    assert (failed, whole) == ([500, 500, 500], 200)
    assert reported == [(1, 500, "complete"), (2, 500, "complete"), (3, 500, "complete"), (4, 200, "complete")]


def test_keys_without_number_do_not_make_an_open_answer_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("emulator.state.quotas.MAX_TALLIES", 4)
    slow = scenario(quotas=[{"concurrency": 1}], defaults={"pace": {"ttft": 5}})
    body = {"model": "m", "stream": True, "messages": [{"role": "user", "content": "hello"}]}
    with Emulator(slow) as emulator, httpx.Client(verify=False) as client:
        url = emulator.url("serevix") + "/v1/chat/completions"
        with client.stream("POST", url, json=body, headers={"authorization": "Bearer k"}) as open_answer:
            for number in range(9):
                with client.stream("POST", url, json=body, headers={"authorization": f"Bearer {number}"}) as other:
                    assert other.status_code == 200
                eventually(lambda: sum(each.ended is None for each in emulator.journal) == 1)
            refused = ask(emulator, "serevix")
            emulator.advance(60)
            open_answer.read()
    assert refused.status_code == 429
