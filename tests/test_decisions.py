"""What a server decides together with a store: a client can't tell that there is one, unless it is gone."""

import asyncio
import json
from collections.abc import Callable, Mapping
from types import MappingProxyType, SimpleNamespace
from typing import Any, Literal, NamedTuple, get_args

import pytest
from rawhttp import Connection, Response, eventually, request
from stores import ALL, OwnStore, on_server, with_store
from tables import check_each
from talk import KEYS, PATHS, question

from emulator import Emulator
from emulator.dialects.chat_completions import ChatCompletions
from emulator.engine.deciding import MAX_PLANS, NOTED
from emulator.engine.stored import NOT_KEPT
from emulator.server.awaiting import Awaiting
from emulator.state.leases import account_plan, key_digest
from emulator.state.quotas import Quotas
from emulator.state.store import change_of

Http = Literal["httptools", "h11"]
LONG = "A prompt that is long enough to be cached. " * 120
MARKED = [{"type": "text", "text": LONG, "cache_control": {"type": "ephemeral"}}]
SEREVIX_KEY = KEYS["serevix"]["Authorization"].removeprefix("Bearer ")
HELLO: dict[str, Any] = {"reply": {"content": "Hello!"}}
SCENARIO: dict[str, Any] = {"version": 1, "clock": "virtual", "rules": [HELLO]}


def asked(provider: str, prompt: str = "Hi", *, path: str = "", fault: str = "", **members: Any) -> bytes:
    body = json.dumps(question(provider, prompt, **members)).encode()
    headers = {**KEYS[provider], **({"x_emulator_fault": fault} if fault else {})}
    return request(f"/{provider}{path or PATHS[provider]}", body, content_type="application/json", **headers)


def answers(emulator: Emulator, sent: list[bytes]) -> tuple[list[Response], list[dict[str, Any]]]:
    """All answers, on one connection, and what the journal says of them."""
    with Connection(emulator.port) as client:
        responses = []
        for data in sent:
            client.send(data)
            responses.append(client.response())
    for response in responses:
        response.headers.pop("date")
    eventually(lambda: all(exchange.playback is not None for exchange in emulator.journal))
    return responses, [exchange.record() for exchange in emulator.journal]


def cached_in(member: str) -> Callable[[Response], bool]:
    """Whether the usage reports tokens from the cache of prompts."""
    return lambda response: response.status == 200 and json.loads(response.body)["usage"][member] > 0


def type_of(response: Response) -> str:
    return response.headers["content-type"]


def status_of(response: Response) -> int:
    return response.status


class Case(NamedTuple):
    """What is sent, with what is seen in each answer."""

    sent: list[bytes]
    expected: list[Any]
    seen: Callable[[Response], Any] = status_of
    scenario: Mapping[str, Any] = MappingProxyType({})


CASES = {
    "prefixes that the client marks": Case(
        [asked("anthropic", system=MARKED)] * 3 + [asked("anthropic", "Another", system=MARKED)],
        [False, True, True, True],
        cached_in("cache_read_input_tokens"),
    ),
    "a prompt that is too long": Case(
        [asked("deepseek", LONG)] * 2, [400] * 2, scenario={"providers": {"deepseek": {"context_length": 100}}}
    ),
    "a fault that surely refuses, so that no prompt is cached": Case(
        [asked("deepseek", LONG, fault="error:name=overloaded"), asked("deepseek", LONG), asked("deepseek", LONG)],
        [False, False, True],
        cached_in("prompt_cache_hit_tokens"),
    ),
    "a fault that may refuse another time": Case(
        [asked("deepseek", LONG, fault="error:name=overloaded,times=1")] * 2 + [asked("deepseek", LONG)],
        [False, False, True],
        cached_in("prompt_cache_hit_tokens"),
    ),
    "counted faults of requests that are refused early": Case(
        [asked("serevix", path="/v1/nothing")] * 4,
        [*["application/json"] * 2, "text/event-stream", "application/json"],
        type_of,
        {"faults": [{"kind": "wrong_content_type", "skip": 2, "times": 1}]},
    ),
    "a limit per minute": Case(
        [asked("anthropic", f"Hi {number}") for number in range(4)],
        [200, 200, 429, 429],
        scenario={"providers": {"anthropic": {"requests_per_minute": 2}}},
    ),
    "repeated questions": Case([asked("serevix")] * 5 + [asked("serevix", stream=True)] * 5, [200] * 10),
    "repeated questions that are answered slowly": Case(
        [asked("serevix", stream=True)] * 5,
        [200] * 5,
        scenario={"rules": [{**HELLO, "pace": {"ttft": 1, "tokens_per_second": 5}}]},
    ),
    "questions of one form": Case([asked("serevix", f"Hi {number}") for number in range(9)], [200] * 9),
}


@pytest.mark.parametrize("http", get_args(Http))
def test_the_same_requests_get_the_same_answers_with_and_without_a_store(http: Http) -> None:
    def check(name: str) -> None:
        case = CASES[name]
        scenario = {**SCENARIO, **case.scenario}
        with Emulator(scenario, http=http) as alone, with_store(scenario, OwnStore(), http=http) as together:
            expected = answers(alone, case.sent)
            assert answers(together, case.sent) == expected
        assert [case.seen(response) for response in expected[0]] == case.expected

    check_each(CASES, check, str)


DRAWN: dict[str, Any] = {
    "match": {"prompt": "draw"},
    "replies": [{"chance": 0.5, "reply": {"content": words}} for words in ("heads", "tails")],
}
ALIKE: dict[str, Any] = {"match": {"attempt": 3}, "reply": {"content": "the third"}}


def test_without_its_store_a_server_answers_what_needs_none_with_ids_of_its_own() -> None:
    known = [asked("serevix")] * 4 + [asked("serevix", f"Hi {number}") for number in range(6)]
    sent = [asked("serevix"), asked("serevix", "Hi 7"), *[asked("serevix", "draw")] * 20, asked("deepseek", LONG)]
    store = OwnStore()
    with with_store({**SCENARIO, "rules": [DRAWN, HELLO]}, store) as emulator:
        before, _ = answers(emulator, known)
        store.gone = ALL
        after, journal = answers(emulator, sent)
        assert {response.status for response in before + after} == {200}
        ids = [json.loads(response.body)["id"] for response in before + after]
        assert len(set(ids)) == len(ids)
        assert [row["notes"] for row in journal] == [[]] * len(known) + [[NOTED]] * len(sent)
        drawn = [json.loads(response.body)["choices"][0]["message"]["content"] for response in after[2:22]]
        assert {"heads", "tails"} == set(drawn)
        assert [row["attempt"] for row in journal[-21:]] == [*range(1, 21), 1]


def test_a_request_is_numbered_again_if_others_come_before_it() -> None:
    store = OwnStore()
    store.others = [20]
    with with_store({**SCENARIO, "rules": [ALIKE, HELLO]}, store) as emulator:
        (response,), (row,) = answers(emulator, [asked("serevix")])
        assert (response.status, row["attempt"]) == (200, 21)
        store.others = [20] * MAX_PLANS
        (response,), (_, row) = answers(emulator, [asked("serevix")])
        assert (response.status, response.headers["x-emulator-error"]) == (503, "store")
        assert row["message"] == (
            "The store could not number this request: too many equal requests arrive at once. Try again."
        )


def test_a_balance_that_another_process_has_just_set_counts() -> None:
    store = OwnStore()
    account = account_plan(Quotas(()), "serevix", SEREVIX_KEY, guards=True)
    with with_store(SCENARIO, store) as emulator:
        answers(emulator, [asked("serevix", f"Hi {number}") for number in range(6)])
        store.memory.change("default", change_of("give", 0, account=account, amount=[0, 0]))
        (response,), _ = answers(emulator, [asked("serevix", "Hi 7")])
        assert response.status == 403


def test_a_response_that_can_not_be_stored_is_given_all_the_same() -> None:
    store = OwnStore()
    body = {"model": "gpt-4o", "input": "Hi"}
    head = {"content_type": "application/json", **KEYS["openai"]}
    path = "/openai/v1/responses"
    make = request(path, json.dumps(body).encode(), **head)
    with with_store(SCENARIO, store) as emulator:
        (first,), _ = answers(emulator, [make])
        store.gone = frozenset({"save"})
        stored = f"{path}/{json.loads(first.body)['id']}"
        delete = request(stored, b"", method="DELETE", **head)
        show = request(stored, b"", method="GET", **head)
        (second, deleted, shown), journal = answers(emulator, [make, delete, show])
        assert (second.status, json.loads(second.body)["status"]) == (200, "completed")
        assert (deleted.status, deleted.headers["x-emulator-error"]) == (503, "store")
        assert (shown.status, json.loads(shown.body)) == (200, json.loads(first.body))
        assert [row["notes"] for row in journal] == [[], [NOT_KEPT], [], []]


# While the store is silent


@pytest.fixture
def _hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("emulator.server.http_server.CANCEL_AFTER", 0.01)


SILENT: dict[str, tuple[dict[str, Any], bytes]] = {
    "known": ({}, asked("serevix")),
    "known, with a pace": ({"rules": [{**HELLO, "pace": {"ttft": 1}}]}, asked("serevix")),
    "that depends on the attempt": ({"rules": [ALIKE, HELLO]}, asked("serevix")),
    "with a quota": ({"quotas": [{"concurrency": 1, "tokens": 10000}]}, asked("serevix")),
}


@pytest.mark.parametrize("name", SILENT)
@pytest.mark.usefixtures("_hurried")
def test_a_server_that_ends_does_not_wait_for_its_store(name: str) -> None:
    more, data = SILENT[name]
    store = OwnStore()
    with with_store({**SCENARIO, **more}, store) as emulator:
        answers(emulator, [data] * 4)
        with Connection(emulator.port) as client:
            store.silent = ALL
            client.send(data)
            eventually(lambda: bool(store.waiting))
            emulator.stop()
        assert [exchange.ended for exchange in emulator.journal] == ["complete"] * 4 + ["shutdown"]


@pytest.mark.usefixtures("_hurried")
def test_an_answer_whose_charge_is_not_confirmed_gives_its_quota_back_when_the_server_ends() -> None:
    more, data = SILENT["with a quota"]
    store = OwnStore()
    store.silent = frozenset({"settle"})
    with with_store({**SCENARIO, **more}, store) as emulator, Connection(emulator.port) as client:
        client.send(data)
        eventually(lambda: bool(store.waiting))
        assert store.closed == []
        emulator.stop()
        assert store.closed == ["0:serevix:" + key_digest(SEREVIX_KEY)]


def test_a_known_answer_that_fails_once_the_store_has_replied_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    store = OwnStore()
    with with_store(SCENARIO, store) as emulator, Connection(emulator.port) as client:
        for _ in range(4):
            client.send(asked("serevix"))
            assert client.response().status == 200
        store.silent = ALL
        client.send(asked("serevix"))
        eventually(lambda: bool(store.waiting))
        monkeypatch.setattr(ChatCompletions, "make_id", None)
        on_server(emulator, lambda _: store.release())
        assert client.response().status == 500


@pytest.mark.parametrize("name", SILENT)
def test_requests_that_come_meanwhile_are_answered_in_order(name: str) -> None:
    more, data = SILENT[name]
    store = OwnStore()
    with with_store({**SCENARIO, **more}, store) as emulator, Connection(emulator.port) as client:
        for _ in range(4):
            client.send(data)
            assert client.response().status == 200
        store.silent = ALL
        client.send(data)
        eventually(lambda: bool(store.waiting))
        client.send(request("/serevix/v1/models", b"", method="GET", **KEYS["serevix"]))
        on_server(emulator, lambda _: store.release())
        first, second = client.response(), client.response()
        assert (json.loads(first.body)["object"], json.loads(second.body)["object"]) == ("chat.completion", "list")


def test_a_reply_that_arrives_as_a_task_takes_over_is_read_once() -> None:
    async def handed() -> list[Any]:
        seen: list[Any] = []
        future: asyncio.Future[int] = asyncio.get_running_loop().create_future()

        async def work() -> Any:
            return await future

        app: Any = SimpleNamespace(_open=0, _idle=[])
        coroutine = work()
        awaited = coroutine.send(None)
        awaiting = Awaiting(app, coroutine, awaited, seen.append, lambda rest, _: seen.append(rest))
        future.set_result(7)
        awaiting.hand_over()
        await asyncio.sleep(0)  # the future's callback was due before
        assert (seen, app._open) == ([coroutine], 0)
        with pytest.raises(StopIteration) as ended:
            coroutine.send(None)
        return [ended.value.value]

    assert asyncio.run(handed()) == [7]


@pytest.mark.parametrize(("http", "part"), [("httptools", "make_id"), ("h11", "key_in")])
def test_what_fails_while_a_question_is_repeated_is_an_error_in_the_log(
    http: Http, part: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """With a store, while the answer is filled in; without the fast path, before the request has a record."""

    def fail(*_: object) -> str:
        raise ValueError("broken")

    scenario = {**SCENARIO, "rules": [{**HELLO, "pace": {"ttft": 1}}]}
    data = asked("serevix")
    with (
        with_store(scenario, OwnStore(), http=http) if part == "make_id" else Emulator(scenario, http=http) as emulator
    ):
        answers(emulator, [data] * 4)
        monkeypatch.setattr(ChatCompletions, part, fail)
        (response,), journal = answers(emulator, [data])
    assert (response.status, response.headers["x-emulator-error"]) == (500, "internal")
    assert [row["status"] for row in journal] == [200] * 4 + [500]
    assert [record.getMessage() for record in caplog.records if record.exc_info is not None] == [
        "The emulator failed on POST /v1/chat/completions: please report this"
    ]
