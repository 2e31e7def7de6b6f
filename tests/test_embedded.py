"""The emulator inside a program: it starts, answers, tells what happened, and leaves nothing behind."""

import asyncio
import gc
import logging
import os
import re
import socket
import threading
import time
from typing import Any, Literal, get_args

import httpx
import pytest
from rawhttp import Connection, eventually, request
from stores import on_server
from talk import EVERY_PROVIDER, KEYS, PATHS, Serving, question, single

from emulator import BindError, Emulator, EmulatorError, ScenarioError, UsageError
from emulator.providers import PROVIDERS

Http = Literal["httptools", "h11"]
Loop = Literal["auto", "uvloop", "asyncio"]

HELLO: dict[str, Any] = {"rules": [{"name": "hello", "reply": {"content": "Hello!"}}]}


def ask(emulator: Emulator, provider: str = "serevix", prompt: str = "Hi", **members: Any) -> httpx.Response:
    return single.post(
        emulator.url(provider) + PATHS[provider],
        json=question(provider, prompt, **members),
        headers=KEYS[provider],
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
    names = ", ".join(PROVIDERS)
    with pytest.raises(
        UsageError, match=f"^There is no provider 'serevx'. Did you mean 'serevix'\\? Providers: {names}$"
    ):
        Emulator(provider="serevx")
    with pytest.raises(UsageError, match=f"^There is no provider 'xyz'. Providers: {names}$"):
        Emulator().url("xyz")
    for speed in (0, -1, float("nan")):
        with pytest.raises(
            UsageError, match=f"^speed is {speed}; expected a number from 0.000001 to 1000000, such as 2, or inf.$"
        ):
            Emulator(speed=speed)
    with pytest.raises(ScenarioError, match=r"^/none\.yaml: no such file$"):
        Emulator("/none.yaml")
    with pytest.raises(
        ScenarioError, match=re.escape("scenario: rules[0].repyl is not a valid key. Did you mean 'reply'?")
    ):
        Emulator({"rules": [{"repyl": {}}]})


def test_a_port_in_use_is_reported_and_the_emulator_can_still_be_stopped() -> None:
    with Emulator() as first:
        second = Emulator(port=first.port)
        message = f"^Cannot listen on 127.0.0.1:{first.port}: Address already in use. Another program is using this "
        with pytest.raises(BindError, match=message):
            second.start()
        second.stop()


def test_before_its_start_it_says_what_to_do() -> None:
    with pytest.raises(EmulatorError, match=r"^The emulator was not started: use `with Emulator\(…\)` or call start"):
        _ = Emulator().journal


def test_stopping_resets_open_streams_and_frees_the_port() -> None:
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
        assert (data.endswith(b"0\r\n\r\n"), ending) == (False, "reset")
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
    with Emulator(HELLO) as emulator, httpx.Client(trust_env=False, verify=False) as client:
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
        reported = {
            key: record[key] for key in ("number", "provider", "operation", "method", "path", "model", "rule", "ended")
        }
        assert reported == {
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
        async with httpx.AsyncClient(trust_env=False, verify=False) as client:
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


# Starting and stopping, as hosts do it


def test_stopping_takes_milliseconds_also_with_connections_and_streams_open() -> None:
    slow = {"rules": [{"match": {"prompt": "Hi"}, "reply": {"content": "word " * 100}, "pace": {"ttft": 600}}]}
    seconds: list[float] = []
    for loop in ("uvloop", "asyncio") * 3:
        with (
            Emulator(slow, loop=loop) as emulator,
            Connection(emulator.port) as idle,
            Connection(emulator.port) as busy,
        ):
            idle.send(request("/__emulator/health", method="GET"))
            assert idle.response().status == 200
            busy.send(request("/serevix" + PATHS["serevix"], STREAM, **KEYS["serevix"]))
            busy.read_until(b"\r\n\r\n")
            began = time.perf_counter()
            emulator.stop()
            seconds.append(time.perf_counter() - began)
            assert idle.read_rest() == (b"", "eof")
            assert busy.read_rest() == (b"", "reset")
    assert min(seconds) < 0.01  # a busy machine lets it wait, which is no fault of ours


def test_stopping_with_a_grace_lets_answers_end() -> None:
    paced = {"rules": [{"reply": {"content": "word " * 10}, "pace": {"tokens_per_second": 20}}]}
    with Emulator(paced) as emulator, Connection(emulator.port) as client:
        client.send(request("/serevix" + PATHS["serevix"], STREAM, **KEYS["serevix"]))
        client.read_until(b"data: ")
        emulator.stop(grace=10)
        data, ending = client.read_rest()
        assert (data[-15:], ending) == (b"[DONE]\n\n\r\n0\r\n\r\n", "eof")
    assert [exchange.record()["ended"] for exchange in emulator.journal] == ["complete"]


def test_the_loggers_of_the_host_stay_as_they_are(caplog: pytest.LogCaptureFixture) -> None:
    names = ("uvicorn", "uvicorn.error", "uvicorn.access", "uvicorn.asgi")
    handler = logging.NullHandler()
    logging.getLogger("uvicorn.access").addHandler(handler)

    def settings() -> list[tuple[int, bool, bool, list[logging.Handler]]]:
        loggers = map(logging.getLogger, names)
        return [(each.level, each.disabled, each.propagate, list(each.handlers)) for each in loggers]

    try:
        with caplog.at_level(logging.DEBUG, "uvicorn.error"):
            before = settings()
            for http in get_args(Http):
                with Emulator(HELLO, http=http) as emulator, Connection(emulator.port) as client:
                    assert settings() == before
                    client.send(b"no HTTP\r\n\r\n")
                    assert client.response().status == 400
                assert settings() == before
            assert [record.name for record in caplog.records if record.name.startswith("uvicorn")] == []
    finally:
        logging.getLogger("uvicorn.access").removeHandler(handler)


def test_the_journal_can_be_read_while_another_thread_stops() -> None:
    for _ in range(20):
        emulator = Emulator(HELLO).start()
        ask(emulator)
        lengths: list[int] = []
        failures: list[BaseException] = []
        stopped = threading.Event()

        def read(
            emulator: Emulator = emulator,
            stopped: threading.Event = stopped,
            lengths: list[int] = lengths,
            failures: list[BaseException] = failures,
        ) -> None:
            try:
                is_over = False
                while not is_over:
                    is_over = stopped.is_set()
                    lengths.append(len(emulator.journal))
            except BaseException as error:
                failures.append(error)

        readers = [threading.Thread(target=read) for _ in range(4)]
        for reader in readers:
            reader.start()
        began = time.monotonic()
        emulator.stop()
        stopped.set()
        for reader in readers:
            reader.join()
        assert (failures, set(lengths)) == ([], {1})
        assert time.monotonic() - began < 5


def test_waiting_for_a_server_that_stops_ends_with_the_reason() -> None:
    slow = {"rules": [{"reply": {"content": "word " * 100}, "pace": {"ttft": 600}}]}
    with Emulator(slow) as emulator, Connection(emulator.port) as client:
        client.send(request("/serevix" + PATHS["serevix"], STREAM, **KEYS["serevix"]))
        client.read_until(b"\r\n\r\n")
        outcomes: list[str] = []

        def wait() -> None:
            try:
                emulator.wait_until_idle(timeout=60)
                outcomes.append("idle")
            except EmulatorError as error:
                outcomes.append(str(error))

        waiting = threading.Thread(target=wait)
        waiting.start()
        emulator.stop()
        waiting.join(10)
        assert not waiting.is_alive()
        assert set(outcomes) <= {
            "idle",
            "The emulator has stopped in the meantime.",
            "The emulator is not running; call start() first.",
        }
        assert outcomes


def test_waiting_for_requests_ends_with_the_server() -> None:
    outcomes: list[str] = []
    with Emulator(HELLO) as emulator:
        begun = threading.Event()

        def wait() -> None:
            begun.set()
            try:
                emulator.wait_for(2, timeout=60)
            except EmulatorError as error:
                outcomes.append(str(error))

        waiting = threading.Thread(target=wait)
        waiting.start()
        assert begun.wait(10)
        eventually(lambda: bool(on_server(emulator, lambda app: app.namespaces.default.journal._watchers)))
        emulator.stop()
        waiting.join(10)
    assert outcomes == ["The emulator has stopped in the meantime."]


def test_waiting_in_vain_for_idleness_keeps_nothing_waiting() -> None:
    slow = {"clock": "manual", "rules": [{"reply": {"content": "late"}, "pace": {"ttft": 600}}]}
    with Emulator(slow) as emulator, Connection(emulator.port) as client:
        client.send(request("/serevix" + PATHS["serevix"], STREAM, **KEYS["serevix"]))
        client.read_until(b"\r\n\r\n")
        with pytest.raises(TimeoutError):
            emulator.wait_until_idle(timeout=0.01)
        eventually(lambda: on_server(emulator, lambda app: [each.cancelled() for each in app._idle]) == [True])
        emulator.advance(3600)
        emulator.wait_until_idle()
        assert [exchange.ended for exchange in emulator.journal] == ["complete"]


def test_many_threads_that_start_it_start_it_once() -> None:
    for _ in range(10):
        emulator = Emulator(HELLO)
        before = threading.active_count()
        barrier = threading.Barrier(8)
        ports: list[int] = []

        def start(
            emulator: Emulator = emulator, barrier: threading.Barrier = barrier, ports: list[int] = ports
        ) -> None:
            barrier.wait()
            ports.append(emulator.start().port)

        threads = [threading.Thread(target=start) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert (len(set(ports)), threading.active_count()) == (1, before + 1)
        assert said(ask(emulator)) == "Hello!"
        emulator.stop()


def test_a_start_that_fails_leaves_nothing_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("no connections today")

    emulator = Emulator(HELLO)
    before = threading.active_count()
    with monkeypatch.context() as patch:
        patch.setattr("emulator.server.http_server.import_module", fail)
        for _ in range(3):
            with pytest.raises(EmulatorError, match=r"^The emulator did not start: no connections today$"):
                emulator.start()
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", fail)
        with pytest.raises(EmulatorError, match=r"^The emulator did not start: no connections today$"):
            emulator.start()
    assert threading.active_count() == before
    gc.collect()  # a socket that is left open would warn now, and a warning is an error
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", emulator.port)) != 0
    with emulator:
        assert said(ask(emulator)) == "Hello!"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
@pytest.mark.parametrize("loop", ["uvloop", "asyncio"])
def test_a_forked_child_neither_hangs_nor_holds_what_is_its_parents(loop: Literal["uvloop", "asyncio"]) -> None:
    with Emulator(HELLO, loop=loop) as emulator, Connection(emulator.port) as client:
        client.send(request("/__emulator/health", method="GET"))
        assert client.response().status == 200
        reader, writer = os.pipe()
        go_on, going_on = os.pipe()
        child = os.fork()
        if not child:
            try:
                os.close(going_on)
                try:
                    outcome = f"{len(emulator.journal)} exchanges"
                except EmulatorError as error:
                    outcome = str(error)
                emulator.start()
                emulator.stop()
                os.write(writer, f"{outcome}\n{said(ask(emulator))}".encode())
                os.read(go_on, 1)  # until the parent has seen that its sockets are its own
            finally:
                os._exit(0)
        try:
            outcome, answer = os.read(reader, 4096).decode().split("\n")
            assert outcome == (
                f"The emulator runs in process {os.getpid()}; a process forked from it can only use its URLs."
            )
            assert answer == "Hello!"
            assert said(ask(emulator)) == "Hello!"
            emulator.stop()
            assert client.read_rest() == (b"", "eof")
            with socket.socket() as probe:
                assert probe.connect_ex(("127.0.0.1", emulator.port)) != 0
        finally:
            for end in (writer, reader, go_on, going_on):
                os.close(end)
            os.waitpid(child, 0)
