"""`emulator replay`: the same bytes at the same moments."""

import json
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import processes
import pytest
from rawhttp import Connection, Response, request, undated
from served import COMMAND, ENVIRONMENT, run

from emulator import Emulator

SCENARIO: dict[str, Any] = {
    "rules": [
        {
            "match": {"prompt": "Slow"},
            "reply": {"content": "one two three"},
            "pace": {"ttft": 0.3, "tokens_per_second": 5},
        },
        {"match": {"prompt": "Busy"}, "error": "overloaded"},
        {"match": {}, "reply": {"content": "Héllo 😊"}},
    ]
}


def asking(prompt: str, *, stream: bool = True) -> bytes:
    body = {"model": "deepseek-v3", "stream": stream, "messages": [{"role": "user", "content": prompt}]}
    return request("/serevix/v1/chat/completions", json.dumps(body).encode(), authorization="Bearer sk-test-replay")


NOWHERE = request("/serevix/v1/nothing", b"{}", authorization="Bearer sk-test-replay")
"""It has no endpoint."""


@contextmanager
def replayed(path: Path) -> Iterator[int]:
    """The port of `emulator replay`."""
    command = [*COMMAND, "replay", str(path), "--port", "0", "--log", "off"]
    process = processes.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=ENVIRONMENT)
    try:
        assert process.stdout is not None
        found = re.search(r"http://[^ ]+:(\d+)", process.stdout.readline())
        assert found is not None, process.communicate()
        yield int(found[1])
    finally:
        processes.end(process)
        process.communicate()


def answer(port: int, data: bytes) -> Response:
    with Connection(port) as connection:
        connection.send(data)
        return connection.response()


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """A saved run, and what its client got."""
    path = tmp_path_factory.mktemp("replay") / "run.json"
    with Emulator(SCENARIO, seed=7) as server:
        got: dict[str, Any] = {name: answer(server.port, asking(name)) for name in ("Hi", "Slow", "Busy")}
        got["whole"] = answer(server.port, asking("Hi", stream=False))
        server.faults.next("reset:after_tokens=1")
        with Connection(server.port) as connection:
            connection.send(asking("Broken"))
            got["Broken"] = connection.read_rest()
        server.faults.next("bom")
        got["Bom"] = answer(server.port, asking("Bom"))
        got["nowhere"] = answer(server.port, NOWHERE)
        frames = server.journal[1].frames
        assert run("verdict", server.origin, "--save", str(path))[0] == 0
    return path, {**got, "frames": frames}


def test_the_same_bytes(saved: tuple[Path, dict[str, Any]]) -> None:
    path, got = saved
    with replayed(path) as port:
        for name in ("Slow", "Busy", "Hi", "Bom"):
            again = answer(port, asking(name))
            assert (again.status, again.body) == (got[name].status, got[name].body)
            assert {**again.headers, "date": ""} == {**got[name].headers, "date": ""}
        assert answer(port, asking("Hi", stream=False)).body == got["whole"].body
        nowhere = answer(port, NOWHERE)
        assert (nowhere.status, nowhere.body) == (404, got["nowhere"].body)


def test_the_same_moments(saved: tuple[Path, dict[str, Any]]) -> None:
    path, got = saved
    with replayed(path) as port:
        answer(port, asking("Slow"))
        assert run("verdict", f"http://127.0.0.1:{port}", "--save", str(path.with_name("again.json")))[0] == 0
    (exchange,) = json.loads(path.with_name("again.json").read_text())["exchanges"]
    planned = [frame["planned"] for frame in exchange["frames"]]
    assert planned == [frame["sent"] for frame in got["frames"]]
    assert exchange["notes"] == ["replayed: exchange 2 of the saved run"]


def test_the_same_end(saved: tuple[Path, dict[str, Any]]) -> None:
    path, got = saved
    with replayed(path) as port, Connection(port) as connection:
        connection.send(asking("Broken"))
        data, ending = connection.read_rest()
        assert (undated(data), ending) == (undated(got["Broken"][0]), "reset")


def test_what_the_run_does_not_hold_is_answered_from_its_scenario(saved: tuple[Path, dict[str, Any]]) -> None:
    path, got = saved
    with replayed(path) as port:
        for _ in range(2):
            assert answer(port, asking("Hi")).body == got["Hi"].body  # more often than it was asked
        new = request("/cloudsway/v1/ai/x/chat/completions", b"{}", authorization="Bearer sk-test-replay")
        assert answer(port, new).status == 400


@pytest.mark.parametrize("text", ["", "{}", '{"run": 1}', "[1]"])
def test_what_is_no_run(text: str, tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    path.write_text(text)
    code, out, err = run("replay", str(path))
    assert (code, out, err) == (2, "", f"{path} is not a saved run. Save one with: emulator verdict --save {path}\n")
