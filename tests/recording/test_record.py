"""What a client gets through the recorder, what the recorder writes, and what is replayed from it."""

import json
import os
import re
import signal
import socket
import stat
import sys
import threading
from pathlib import Path
from typing import Any

import httpx
import processes
import pytest
import yaml
from processes import COMMAND
from rawhttp import Connection, eventually
from recording_server import ByteServer, byte_server, command, everything_in, recording
from served import served
from talk import KEYS, PATHS, question

from emulator import Emulator, UsageError
from emulator.pace import Pace
from emulator.providers import PROVIDERS
from emulator.scenario.sources import load
from emulator.server.keeping import Counts
from emulator.server.writers import packed, serve

SSE = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
STREAMS = 60
ASKED = {"model": "deepseek-v3", "messages": [{"role": "user", "content": "Capital of France?"}]}


def chunk(text: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(text), text)


def asked(provider: str, *, stream: bool, prompt: str = "Say hello") -> tuple[str, dict[str, Any]]:
    """The path and the body of a question."""
    path, body = PATHS[provider], question(provider, prompt)
    if provider == "gemini":
        return (path.replace(":generateContent", ":streamGenerateContent") + "?alt=sse" if stream else path), body
    return path, {**body, "stream": stream}


def post(url: str, body: dict[str, Any], headers: dict[str, str] | None = None) -> httpx.Response:
    with httpx.Client(timeout=60, verify=False) as client:
        return client.post(url, json=body, headers=headers or {"authorization": "Bearer sk-real-key-1234567890"})


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("provider", list(PROVIDERS))
def test_every_provider_is_recorded_and_replayed_byte_for_byte(provider: str, stream: bool, tmp_path: Path) -> None:
    path, body = asked(provider, stream=stream)
    with Emulator(pace=Pace(0.01, 400)) as upstream:
        with recording(tmp_path, {provider: upstream.url(provider)}) as running:
            through = [post(running.url(provider) + path, body, KEYS[provider]) for _ in range(2)]
        sent = [exchange.response.body for exchange in upstream.journal]
    assert [answer.content for answer in through] == sent
    assert running.said == []
    with Emulator(str(tmp_path), unmatched="error") as replay:
        again = [post(replay.url(provider) + path, body, KEYS[provider]) for _ in range(2)]
    assert [(each.status_code, each.content) for each in again] == [
        (each.status_code, each.content) for each in through
    ]
    assert sent[0] != sent[1]  # each has an id of its own, so the order counts


def test_the_same_question_gets_its_answers_in_turn(tmp_path: Path) -> None:
    replies = [{"reply": {"content": text}} for text in ("one", "two", "three")]
    with (
        Emulator({"rules": [{"replies": replies}]}) as upstream,
        recording(tmp_path, {"serevix": upstream.url("serevix")}) as running,
    ):
        for _ in range(3):
            post(running.url("serevix") + "/v1/chat/completions", ASKED)
    (file,) = tmp_path.glob("*.yaml")
    (rule,) = yaml.safe_load(file.read_text())["rules"]
    assert rule["name"] == "Capital of France?"
    assert [each["reply"] for each in rule["replies"]] == [{"content": text} for text in ("one", "two", "three")]
    with Emulator(str(tmp_path), unmatched="error") as replay:
        answers = [post(replay.url("serevix") + "/v1/chat/completions", ASKED).json() for _ in range(3)]
        missing = post(replay.url("serevix") + "/v1/chat/completions", {**ASKED, "temperature": 0.5})
    assert [each["choices"][0]["message"]["content"] for each in answers] == ["one", "two", "three"]
    assert missing.status_code == 404
    assert missing.json()["error"]["message"].splitlines()[1:] == [
        "  Capital of France?: the request differs from the recorded one: "
        "temperature is 0.5, which is not in the recording"
    ]


def test_a_missing_recording_is_explained_by_what_differs_from_the_nearest_one(tmp_path: Path) -> None:
    def body(text: str, **members: Any) -> dict[str, Any]:
        return {**ASKED, "messages": [{"role": "user", "content": text}], **members}

    key = "sk-real-key-1234567890"
    with (
        Emulator({"rules": [{"reply": {"content": "Yes"}}]}) as upstream,
        recording(tmp_path, {"serevix": upstream.url("serevix")}) as running,
    ):
        for asked_for in (body("Far", seed=7, stop=["a", "b"], user="u"), body(f"Near {key}", max_tokens=5)):
            post(running.url("serevix") + "/v1/chat/completions", asked_for)
    with Emulator(str(tmp_path), unmatched="error") as replay:
        url = replay.url("serevix") + "/v1/chat/completions"
        missing = post(url, body(f"Nearer {key}")).json()["error"]["message"]
        (file,) = tmp_path.glob("*far*.yaml")
    assert missing.splitlines() == [
        "No rule matches this serevix request. Rules tried:",
        "  Near [redacted]: the request differs from the recorded one: "
        "messages[0].content is 'Nearer [redacted]', recorded was 'Near [redacted]'; there is no max_tokens, "
        "recorded was 5",
        "  Far: the request differs from the recorded one: messages[0].content is 'Nearer [redacted]', recorded was "
        "'Far'; there is no seed, recorded was 7; there is no stop, recorded was ['a', 'b']; and 1 more difference",
    ]
    file.write_text(file.read_text().replace("content: 'Yes'", "content: 'No'"))
    with Emulator(str(file), unmatched="error") as replay:  # an edited answer has no request beside it
        missing = post(replay.url("serevix") + "/v1/chat/completions", ASKED).json()["error"]["message"]
    assert "  Far: the request differs from the recorded one: its digest is " in missing
    (file,) = tmp_path.glob("*near*.yaml")
    file.write_text(re.sub("recorded: .*", "recorded: " + "f" * 32, file.read_text()))
    with Emulator(str(file), unmatched="error") as replay:  # nothing but the digest differs
        again = body(f"Near {key}", max_tokens=5)
        missing = post(replay.url("serevix") + "/v1/chat/completions", again).json()["error"]["message"]
    assert "  Near [redacted]: the request differs from the recorded one: its digest is " in missing


@pytest.mark.parametrize(
    "character", ["\u2028", "\u2029", "\x85", "\ufeff", "\x07", "\x7f", "\xa0", "\r", "\u200b", "😀"]
)
def test_an_answer_may_hold_any_character(character: str, tmp_path: Path) -> None:
    texts = [f"a{character}b", f"{character}a\n {character}\nb{character}"]
    rules = [{"match": {"prompt": {"equals": text}}, "reply": {"content": text}} for text in texts]
    with Emulator({"rules": rules}) as upstream, recording(tmp_path, {"serevix": upstream.url("serevix")}) as running:
        for text in texts:
            post(
                running.url("serevix") + "/v1/chat/completions",
                {**ASKED, "messages": [{"role": "user", "content": text}]},
            )
    loaded = load(str(tmp_path)).scenario.rules
    assert [rule.reply.content for rule in loaded if rule.reply is not None] in (
        texts,
        texts[::-1],
    )  # by the names of files


def test_an_edited_reply_answers_as_it_is_written(tmp_path: Path) -> None:
    with (
        Emulator({"rules": [{"reply": {"content": "Paris"}}]}) as upstream,
        recording(tmp_path, {"serevix": upstream.url("serevix")}) as running,
    ):
        post(running.url("serevix") + "/v1/chat/completions", ASKED)
    (file,) = tmp_path.glob("*.yaml")
    file.write_text(file.read_text().replace("content: Paris", "content: Lyon"))
    with Emulator(str(tmp_path)) as replay:
        answer = post(replay.url("serevix") + "/v1/chat/completions", ASKED).json()
    assert answer["choices"][0]["message"]["content"] == "Lyon"


def test_segments_and_trailers_pass_through_and_come_back(tmp_path: Path) -> None:
    chunks = [b'data: {"a', b'":1}\n\ndata: {"b":2}\n\n', b"data: [DONE]\n\n"]
    pieces = [SSE, *map(chunk, chunks), b"0\r\nX-Checksum: 42\r\n\r\n"]
    with (
        byte_server(pieces) as upstream,
        recording(tmp_path, {"serevix": upstream.url + "/base"}) as running,
        Connection(running.port) as client,
    ):
        body = json.dumps(ASKED).encode()
        head = (
            b"POST /serevix/v1/chat/completions?a=1 HTTP/1.1\r\nhost: x\r\nAuthorization: Bearer sk-1\r\n"
            b"content-type: application/json\r\ncontent-length: %d\r\n\r\n"
        )
        client.send(head % len(body) + body)
        assert client.read_exactly(len(b"".join(pieces))) == b"".join(pieces)
        assert client.read() == b""  # as the upstream ended it
    assert upstream.requests == [
        b"POST /base/v1/chat/completions?a=1 HTTP/1.1\r\nhost: 127.0.0.1:%d\r\nauthorization: Bearer sk-1\r\n"
        b"content-type: application/json\r\naccept-encoding: identity\r\ncontent-length: %d\r\n\r\n%b"
        % (upstream.port, len(body), body)
    ]
    with Emulator(str(tmp_path), unmatched="error") as replay, Connection(replay.port) as client:
        client.send(head % len(body) + body)
        answer = client.read_until(b"X-Checksum: 42\r\n\r\n")
    assert answer.endswith(b"".join(pieces[1:]))


@pytest.mark.parametrize("ending", ["close", "reset"])
def test_a_stream_that_broke_passes_on_and_is_kept_only_when_asked_for(ending: str, tmp_path: Path) -> None:
    pieces = [SSE, chunk(b"data: {}\n\n")]
    folder = tmp_path
    for keeps in (False, True):
        folder = tmp_path / str(keeps)
        with (
            byte_server(pieces, ending=ending) as upstream,
            recording(folder, {"serevix": upstream.url}, keep_partial=keeps) as running,
            pytest.raises(httpx.TransportError),
        ):
            post(running.url("serevix") + "/v1/chat/completions", ASKED)
        assert len(list(folder.glob("*.yaml"))) == keeps
        (line,) = running.said
        assert line.startswith("kept, but incomplete" if keeps else "not recorded")
    with Emulator(str(folder), unmatched="error") as replay, pytest.raises(httpx.TransportError):
        post(replay.url("serevix") + "/v1/chat/completions", ASKED)


def test_what_is_no_http_passes_through_as_it_is(tmp_path: Path) -> None:
    with (
        byte_server([b"SSH-2.0-nothing\r\n"]) as upstream,
        recording(tmp_path, {"serevix": upstream.url}) as running,
        Connection(running.port) as client,
    ):
        client.send(b"GET /serevix/v1/models HTTP/1.1\r\nhost: x\r\n\r\n")
        assert client.read_exactly(17) == b"SSH-2.0-nothing\r\n"
        assert client.read() == b""
    assert running.said[0].startswith("not recorded: serevix GET /v1/models: it is not valid HTTP")


def test_an_upstream_that_is_not_there_is_a_502_and_said_once(tmp_path: Path) -> None:
    server = ByteServer()
    server.close()
    with recording(tmp_path, {"serevix": server.url}) as running:
        answers = [post(running.url("serevix") + "/v1/chat/completions", ASKED) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [502] * 3
    assert all("cannot be reached" in answer.text for answer in answers)
    assert running.said == [f"{server.url} cannot be reached: Connection refused."]
    assert list(tmp_path.glob("*.yaml")) == []


def test_a_folder_that_cannot_be_made_is_reported_in_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    folder = tmp_path / "file" / "inside"
    with pytest.raises(UsageError) as raised, recording(folder, {}):
        pass
    assert str(raised.value) == f"{folder} cannot be written: Not a directory"


def test_what_is_no_endpoint_is_passed_on_and_not_recorded(tmp_path: Path) -> None:
    with Emulator() as upstream, recording(tmp_path, {"serevix": upstream.url("serevix")}) as running:
        answer = post(running.url("serevix") + "/v1/none", ASKED)
        assert running.server.app is not None
        journal = running.server.app.namespaces.default.journal
        eventually(lambda: all(exchange.ended for exchange in journal))
        (exchange,) = journal
    assert answer.status_code == 404
    assert (exchange.status, exchange.outcome, exchange.operation) == (404, "error", "")
    assert running.said == ["not recorded: serevix POST /v1/none: there is no such documented endpoint."]


def test_one_connection_of_a_client_is_one_to_the_upstream(tmp_path: Path) -> None:
    with Emulator() as upstream, recording(tmp_path, {"serevix": upstream.url("serevix")}) as running:
        with httpx.Client(trust_env=False) as client:
            for number in range(3):
                body = {**ASKED, "max_tokens": number + 1}
                url = running.url("serevix") + PATHS["serevix"]
                assert client.post(url, json=body, headers=KEYS["serevix"]).status_code == 200
        assert {exchange.record()["connection"] for exchange in upstream.journal} == {1}


def test_files_are_for_their_owner_alone_and_the_modes_know_them(tmp_path: Path) -> None:
    unchanged, said = 0, []
    with Emulator({"rules": [{"replies": [{"reply": {"content": str(n)}} for n in range(9)]}]}) as upstream:
        for mode in ("new", "new", "none", "all", "drifted"):
            with recording(tmp_path, {"serevix": upstream.url("serevix")}, mode=mode) as running:
                answer = post(running.url("serevix") + "/v1/chat/completions", ASKED).json()
            said.append(answer["choices"][0]["message"]["content"])
            unchanged += running.recorder.counts.unchanged
        (file,) = tmp_path.glob("*.yaml")
        (rule,) = yaml.safe_load(file.read_text())["rules"]
        assert len(upstream.journal) == 3
    assert said == ["0", "0", "0", "1", "2"]
    assert rule["reply"] == {"content": "1"}  # what has the same shape stays
    assert unchanged == 1
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o600}
    assert len(files) == 2


def test_what_has_drifted_is_said_like_a_difference_and_replaces_the_recording(tmp_path: Path) -> None:
    said = []
    for faults in ((), ("unknown_fields",), ("unknown_fields",)):
        with (
            Emulator({"rules": [{"reply": {"content": "Paris"}}]}, faults=faults) as upstream,
            recording(tmp_path, {"serevix": upstream.url("serevix")}, mode="drifted") as running,
        ):
            post(running.url("serevix") + "/v1/chat/completions", {**ASKED, "stream": True})
        said.append((running.said, running.recorder.counts.unchanged, running.recorder.counts.drifted))
    assert said[0] == ([], 0, 0)
    where = "in the chunk without text, the chunk with content and the chunk with finish"
    lines = [
        f"  info: {path} {where} is new"
        for path in ("$.choices[].delta.x_unknown", "$.choices[].x_unknown", "$.x_unknown")
    ]
    reported = "\n".join(["Capital of France? has another shape than the recorded one:", *lines])
    assert said[1] == ([reported], 0, 1)
    assert said[2] == ([], 1, 0)


def test_many_streams_at_once_are_all_recorded(tmp_path: Path) -> None:
    with (
        Emulator(pace=Pace(0.05, 300)) as upstream,
        recording(tmp_path, {"serevix": upstream.url("serevix")}) as running,
    ):
        answers: dict[int, bytes] = {}

        def ask(number: int) -> None:
            body = {**ASKED, "stream": True, "seed": number}
            answers[number] = post(running.url("serevix") + "/v1/chat/completions", body).content

        threads = [threading.Thread(target=ask, args=(number,)) for number in range(STREAMS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(120)
    assert len(answers) == STREAMS
    assert running.recorder.counts.recorded == STREAMS
    with Emulator(str(tmp_path), unmatched="error", speed=float("inf")) as replay:
        for number in (0, 27, STREAMS - 1):
            body = {**ASKED, "stream": True, "seed": number}
            assert post(replay.url("serevix") + "/v1/chat/completions", body).content == answers[number]


def test_the_command_ends_with_0_and_check_finds_nothing_wrong(tmp_path: Path) -> None:
    folder = tmp_path / "out"
    with Emulator({"rules": [{"reply": {"content": "Paris"}}]}) as upstream:
        options = ("--provider", "serevix", "--upstream", upstream.url("serevix"), "--into", str(folder))
        running = command(*options)
        process, port = running.process, running.port
        answer = post(f"http://127.0.0.1:{port}/serevix/v1/chat/completions", ASKED)
        other = post(f"http://127.0.0.1:{port}/deepseek/chat/completions", ASKED)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=30)
    assert (answer.status_code, other.status_code, process.returncode) == (200, 404, 0)
    assert "1 recorded" in err
    check = processes.run([*COMMAND, "check", str(folder)], capture_output=True, text=True, check=False)
    assert (check.returncode, check.stdout) == (0, "1 file checked, no problems.\n")


def test_a_recorder_killed_in_the_middle_leaves_what_was_whole_and_no_half_file(tmp_path: Path) -> None:
    folder = tmp_path / "out"
    with Emulator(pace=Pace(0.0, 4)) as upstream:
        options = ("--provider", "serevix", "--upstream", upstream.url("serevix"), "--into", str(folder))
        running = command(*options)
        process, port = running.process, running.port
        url = f"http://127.0.0.1:{port}/serevix/v1/chat/completions"
        whole = post(url, ASKED).content
        with (
            httpx.Client(verify=False) as client,
            client.stream(
                "POST", url, json={**ASKED, "stream": True}, headers={"authorization": "Bearer sk-1"}
            ) as answer,
        ):
            pieces = answer.iter_raw()
            next(pieces)
            process.send_signal(signal.SIGKILL)
            process.wait(10)
            with pytest.raises(httpx.TransportError):
                list(pieces)
        process.communicate()
    assert len(list(folder.glob("*.yaml"))) == 1
    assert len([path for path in folder.rglob("*") if path.is_file()]) == 2
    with Emulator(str(folder), unmatched="error") as replay:
        assert post(replay.url("serevix") + "/v1/chat/completions", ASKED).content == whole


def test_the_writer_takes_over_at_once_what_it_has_no_time_to_write_yet() -> None:
    """What is still in the recorder would be lost if it were killed."""
    near, far = socket.socketpair()
    may_work, worked = threading.Event(), []

    class Slow:
        counts = Counts()

        def work(self, asked: Any, tape: Any, upstream: str, note: Any) -> None:
            assert may_work.wait(60)
            worked.append((asked, len(tape)))

    thread = threading.Thread(target=serve, args=(far, Slow()))
    thread.start()
    near.settimeout(60)
    for number in range(100):
        near.sendall(packed((number, number, b"x" * 100_000, "")))  # blocks where nobody takes it
    near.shutdown(socket.SHUT_WR)
    assert worked == []
    may_work.set()
    thread.join(60)
    near.close()
    far.close()
    assert worked == [(number, 100_000) for number in range(100)]


def test_the_banner_says_what_is_recorded_from_where_and_how_to_use_it(tmp_path: Path) -> None:
    folder = tmp_path / "my recordings"
    running = command("--provider", "anthropic", "--into", str(folder), "--log", "off")
    running.process.send_signal(signal.SIGINT)
    assert running.process.stdout is not None
    out = running.process.stdout.read()  # with what is in its buffer
    _, err = running.process.communicate(timeout=30)
    url = f"http://127.0.0.1:{running.port}"
    assert (running.first_line + out).splitlines() == [
        f"The emulator is listening on {url}. Press Ctrl-C to stop it.",
        "",
        "Recording Anthropic",
        "  upstream  https://api.anthropic.com",
        f"  folder    {folder}  (mode new: replays existing recordings, records everything else)",
        f"  base URL  {url}/anthropic",
        "  SDK       for Anthropic's SDKs: base_url is the provider's own URL",
        "  auth      x-api-key: <your own key; it is never written to a file>",
        f"  replay    emulator serve --strict --scenario '{folder}'",
        f"  live page {url}/__emulator/",
    ]
    assert err == f"{folder}: no requests.\n"


def test_a_recorder_listens_on_loopback_only(tmp_path: Path) -> None:
    done = processes.run(
        [*COMMAND, "record", "--provider", "serevix", "--host", "0.0.0.0", "--into", str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr == "--host 0.0.0.0: a recorder listens only on loopback addresses, such as 127.0.0.1.\n"


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="needs a file system with a size limit")
def test_a_full_disk_is_said_and_the_client_has_its_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    with (
        Emulator({"rules": [{"reply": {"content": "Paris"}}]}) as upstream,
        recording(tmp_path, {"serevix": upstream.url("serevix")}) as running,
    ):
        monkeypatch.setattr("emulator.recording.files._write", full)
        answer = post(running.url("serevix") + "/v1/chat/completions", ASKED)
    monkeypatch.undo()
    assert answer.json()["choices"][0]["message"]["content"] == "Paris"
    assert running.said == [f"not recorded: {tmp_path} cannot be written: No space left on device."]
    assert everything_in(tmp_path) == b""


def recorded_over_tls(folder: Path, **environment: str) -> tuple[httpx.Response, str]:
    """An answer of an upstream whose certificate is from an authority of its own, and what the recorder said."""
    ca = folder / "ca"
    with served("--tls", str(ca), "--log", "off") as upstream:
        url = f"https://localhost:{upstream.port}/serevix"
        given = {name: value.replace("CA", str(ca / "ca.pem")) for name, value in environment.items()}
        running = command(
            "--provider", "serevix", "--upstream", url, "--into", str(folder / "out"), environment=given
        )  # fmt: skip
        answer = post(running.url("serevix") + "/v1/chat/completions", {**ASKED, "stream": True})
        running.process.send_signal(signal.SIGINT)
        _, err = running.process.communicate(timeout=30)
    return answer, err


@pytest.mark.long
def test_an_upstream_with_a_certificate_of_an_own_authority_is_recorded(tmp_path: Path) -> None:
    answer, err = recorded_over_tls(tmp_path, SSL_CERT_FILE="CA")
    assert (answer.status_code, answer.content.endswith(b"data: [DONE]\n\n")) == (200, True), err
    assert "1 recorded" in err
    with Emulator(str(tmp_path / "out"), unmatched="error") as replay:
        again = post(replay.url("serevix") + "/v1/chat/completions", {**ASKED, "stream": True})
    assert again.content == answer.content


def test_an_upstream_that_is_not_trusted_gets_nothing_and_the_message_says_what_helps(tmp_path: Path) -> None:
    answer, err = recorded_over_tls(tmp_path, SSL_CERT_FILE="")
    assert answer.status_code == 502
    assert "is not trusted: " in answer.text
    assert "set SSL_CERT_FILE to that authority's file." in err
    assert list((tmp_path / "out").glob("*.yaml")) == []


@pytest.mark.skipif(sys.platform == "win32", reason="needs a limit of the size of files")
def test_what_does_not_fit_on_the_disk_is_said_and_what_fits_is_whole(tmp_path: Path) -> None:
    import resource

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))

    rules = [
        {"match": {"prompt": {"contains": "much"}}, "reply": {"content": "word " * 3000}},
        {"reply": {"content": "Paris"}},
    ]
    with Emulator({"rules": rules}) as upstream:
        options = ("--provider", "serevix", "--upstream", upstream.url("serevix"), "--into", str(tmp_path / "out"))
        running = command(*options, "--log", "off", preexec_fn=limit)
        url = running.url("serevix") + "/v1/chat/completions"
        answers = [post(url, {**ASKED, "messages": [{"role": "user", "content": text}]}) for text in ("a", "much", "b")]
        running.process.send_signal(signal.SIGINT)
        _, err = running.process.communicate(timeout=30)
    assert [len(answer.json()["choices"][0]["message"]["content"]) for answer in answers] == [5, 15000, 5]
    assert (running.process.returncode, err.count("cannot be written: File too large")) == (1, 1)
    assert sorted(path.suffix for path in (tmp_path / "out").rglob("*") if path.is_file()) == [
        ".wire",
        ".wire",
        ".yaml",
        ".yaml",
    ]
    check = processes.run([*COMMAND, "check", str(tmp_path / "out")], capture_output=True, text=True, check=False)
    assert (check.returncode, check.stdout.splitlines()[-1]) == (0, "2 files checked, no problems.")
