"""The emulator inside a program: it starts, answers, tells what happened, and leaves nothing behind."""

import asyncio
import gc
import re
import socket
import threading
import time
from typing import Any, Literal, get_args

import httpx
import pytest
from rawhttp import Connection, request
from talk import EVERY_PROVIDER, KEYS, PATHS, Serving, question

from emulator import BindError, Emulator, EmulatorError, ScenarioError, UsageError

Http = Literal["httptools", "h11"]
Loop = Literal["auto", "uvloop", "asyncio"]

HELLO: dict[str, Any] = {"rules": [{"name": "hello", "reply": {"content": "Hello!"}}]}


def ask(emulator: Emulator, provider: str = "serevix", prompt: str = "Hi", **members: Any) -> httpx.Response:
    return httpx.post(
        emulator.url(provider) + PATHS[provider],
        json=question(provider, prompt, **members),
        headers=KEYS[provider],
        trust_env=False,
    )


def said(response: httpx.Response) -> str:
    content: str = response.json()["choices"][0]["message"]["content"]
    return content


@pytest.mark.parametrize("http", get_args(Http))
@pytest.mark.parametrize("loop", get_args(Loop))
def test_it_answers_on_every_loop_with_every_parser(http: Http, loop: Loop) -> None:
    with Emulator(HELLO, http=http, loop=loop) as emulator:
        assert [said(ask(emulator)) for _ in range(2)] == ["Hello!", "Hello!"]


def test_urls_name_the_origin_and_the_provider() -> None:
    with Emulator() as emulator:
        origin = f"http://127.0.0.1:{emulator.port}"
        assert emulator.origin == origin
        assert [emulator.url(name) for name in EVERY_PROVIDER] == [f"{origin}/{name}" for name in EVERY_PROVIDER]


def test_a_provider_alone_stands_at_the_root() -> None:
    with Emulator(HELLO, provider="serevix") as emulator:
        assert emulator.url("serevix") == emulator.origin
        assert said(ask(emulator)) == "Hello!"


def test_what_makes_no_sense_is_refused_before_anything_starts() -> None:
    names = ", ".join(EVERY_PROVIDER)
    with pytest.raises(
        UsageError, match=f"^There is no provider 'serevx'. Did you mean 'serevix'\\? Providers: {names}$"
    ):
        Emulator(provider="serevx")
    with pytest.raises(UsageError, match=f"^There is no provider 'xyz'. Providers: {names}$"):
        Emulator().url("xyz")
    for speed in (0, -1, float("nan")):
        with pytest.raises(
            UsageError, match=f"^speed is {speed}. Give a number from 0.000001 to 1000000, such as 2, or inf.$"
        ):
            Emulator(speed=speed)
    with pytest.raises(ScenarioError, match=r"^/none\.yaml: there is no such file$"):
        Emulator("/none.yaml")
    with pytest.raises(
        ScenarioError, match=re.escape("scenario: rules[0].repyl is not a key here. Did you mean 'reply'?")
    ):
        Emulator({"rules": [{"repyl": {}}]})


def test_a_port_in_use_is_told_and_the_emulator_can_still_be_stopped() -> None:
    with Emulator() as first:
        second = Emulator(port=first.port)
        message = f"^Cannot listen on 127.0.0.1:{first.port}: Address already in use. Another program listens there; "
        with pytest.raises(BindError, match=message):
            second.start()
        second.stop()


def test_before_its_start_it_says_what_to_do() -> None:
    with pytest.raises(EmulatorError, match=r"^The emulator was not started: use `with Emulator\(…\)` or call start"):
        _ = Emulator().journal


def test_stopping_ends_open_streams_in_good_order_and_frees_the_port() -> None:
    slow = {"rules": [{"reply": {"content": "word " * 100}, "pace": {"tokens_per_second": 1}}]}
    emulator = Emulator(slow).start()
    clients = [Connection(emulator.port) for _ in range(10)]
    for client in clients:
        client.send(request("/serevix" + PATHS["serevix"], STREAM, **KEYS["serevix"]))
        client.read_until(b"data: ")
    stopping = time.monotonic()
    emulator.stop()
    assert time.monotonic() - stopping < 2
    for client in clients:
        data, ending = client.read_rest()
        assert (data[-5:], ending) == (b"0\r\n\r\n", "eof")
        client.leave()
    assert {exchange.record()["ended"] for exchange in emulator.journal} == {"shutdown"}
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", emulator.port)) != 0


STREAM = b'{"model": "deepseek-v3", "messages": [{"role": "user", "content": "Hi"}], "stream": true}'


def test_it_can_be_stopped_twice_and_started_again_on_the_same_port() -> None:
    emulator = Emulator(HELLO)
    emulator.stop()
    ports = set()
    for _ in range(3):
        emulator.start()
        ports.add(emulator.port)
        assert said(ask(emulator)) == "Hello!"
        emulator.stop()
        emulator.stop()
    assert len(ports) == 1


def test_it_leaves_no_thread_and_no_socket_behind() -> None:
    before = threading.active_count()
    with Emulator(HELLO) as emulator, httpx.Client(trust_env=False) as client:
        client.get(emulator.origin)
        assert threading.active_count() > before
    assert threading.active_count() == before
    gc.collect()  # what is left open would warn now, and a warning is an error


def test_a_client_that_does_not_read_does_not_keep_it_from_stopping() -> None:
    large = {"rules": [{"reply": {"content": "word " * 50_000}}]}
    with Emulator(large) as emulator:
        client = Connection(emulator.port, receive_buffer=4096)
        client.send(request("/serevix" + PATHS["serevix"], STREAM, **KEYS["serevix"]))
        client.read_until(b"data: ")
        stopping = time.monotonic()
    assert time.monotonic() - stopping < 3.5
    client.leave()
    assert [exchange.record()["ended"] for exchange in emulator.journal] == ["shutdown"]


def test_the_journal_tells_what_happened() -> None:
    with Emulator(HELLO) as emulator:
        assert not list(emulator.journal)
        ask(emulator)
        emulator.wait_until_idle()
        record = emulator.journal[0].record()
        told = {
            key: record[key] for key in ("number", "provider", "operation", "method", "path", "model", "rule", "ended")
        }
        assert told == {
            "number": 1,
            "provider": "serevix",
            "operation": "chat",
            "method": "POST",
            "path": "/v1/chat/completions",
            "model": "deepseek-v3",
            "rule": "hello",
            "ended": "complete",
        }
    assert len(emulator.journal) == 1  # it can be read afterwards too


def test_one_seed_gives_one_answer(serving: Serving) -> None:
    first, same, other = serving(seed=1), serving(seed=1, speed=2.0), serving(seed=2)
    question = "Tell me something new."
    assert said(ask(first, prompt=question)) == said(ask(same, prompt=question))
    assert said(ask(first, prompt=question)) != said(ask(other, prompt=question))


def test_what_no_rule_answers_is_generated_by_default_and_an_error_with_a_scenario(serving: Serving) -> None:
    picky = {"rules": [{"name": "picky", "match": {"prompt": "Hello"}, "reply": {"content": "Hello!"}}]}
    assert ask(serving(), prompt="Nobody expects this.").status_code == 200
    assert ask(serving(picky, unmatched="generate"), prompt="Hi").status_code == 200
    refused = ask(serving(picky), prompt="Hi")
    assert refused.status_code >= 400
    assert "picky" in refused.text


def test_two_emulators_in_one_program_know_nothing_of_each_other() -> None:
    other = {"rules": [{"reply": {"content": "Goodbye!"}}]}
    with Emulator(HELLO) as first, Emulator(other) as second:
        assert first.port != second.port
        assert (said(ask(first)), said(ask(second))) == ("Hello!", "Goodbye!")
        assert (len(first.journal), len(second.journal)) == (1, 1)


def test_it_runs_beside_an_event_loop_of_the_program() -> None:
    async def main(emulator: Emulator) -> list[int]:
        async with httpx.AsyncClient(trust_env=False) as client:
            url = emulator.url("serevix") + PATHS["serevix"]
            posts = [client.post(url, json=question("serevix"), headers=KEYS["serevix"]) for _ in range(20)]
            return [response.status_code for response in await asyncio.gather(*posts)]

    with Emulator(HELLO) as emulator:
        assert asyncio.run(main(emulator)) == [200] * 20


def test_it_listens_on_ipv6_too() -> None:
    if not socket.has_ipv6:
        pytest.skip("this Python knows no IPv6")
    try:
        emulator = Emulator(HELLO, host="::1").start()
    except BindError:
        pytest.skip("this machine has no IPv6")
    with emulator:  # it runs already, which is no error
        assert emulator.url("serevix") == f"http://[::1]:{emulator.port}/serevix"
        assert said(ask(emulator)) == "Hello!"
