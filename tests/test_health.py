"""`emulator health`: whether a server answers, even one that requires a token or uses TLS."""

import json
import time
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from served import run, served

from emulator import Emulator
from emulator.cli import cli


def health(*words: str, **environment: str) -> Result:
    return CliRunner().invoke(cli, ["health", *words], env=environment)


def test_a_server_that_others_can_reach_needs_no_token_for_it() -> None:
    with Emulator(host="0.0.0.0") as emulator:
        done = health(EMULATOR_PORT=str(emulator.port))
        assert (done.exit_code, done.output) == (0, f"http://127.0.0.1:{emulator.port}: healthy\n")


def test_it_finds_a_server_that_speaks_tls(tmp_path: Path) -> None:
    with served("--tls", str(tmp_path)) as server:
        done = health("--json", EMULATOR_PORT=str(server.port), EMULATOR_TLS=str(tmp_path))
        assert json.loads(done.output) == {"url": f"https://127.0.0.1:{server.port}", "ok": True, "reason": None}


def test_ready_says_which_file_cannot_be_used(tmp_path: Path) -> None:
    """The server goes on with what it had; health stays well, so nothing restarts it."""
    path = tmp_path / "a.yaml"
    path.write_text("version: 1\nrules: [{reply: {content: one}}]\n")
    with served("--scenario", str(path)) as server:
        url = f"http://127.0.0.1:{server.port}"
        assert health(url, "--ready").exit_code == 0
        path.write_text("version: 1\nrules: [{reply: {contents: one}}]\n")
        deadline = time.monotonic() + 30
        while (done := health(url, "--ready")).exit_code == 0:
            assert time.monotonic() < deadline, "the change was not seen"
        assert (done.exit_code, done.stdout) == (1, "")
        assert done.stderr.startswith(f"{url}: {path}:2:18: ")
        assert health(url).exit_code == 0


def test_without_a_server_it_fails_at_once_or_after_the_wait() -> None:
    code, out, err = run("health", "127.0.0.1:1")
    assert (code, out, err) == (1, "", "127.0.0.1:1: no answer: Connection refused\n")
    done = health("http://127.0.0.1:1", "--wait", "0.3", "--json")
    assert done.exit_code == 1
    assert json.loads(done.output)["reason"] == "no answer: Connection refused"


@pytest.mark.parametrize("url", ["ftp://127.0.0.1", "http://", "http://127.0.0.1:99999"])
def test_what_is_no_url_is_bad_usage(url: str) -> None:
    done = health(url)
    assert done.exit_code == 2
    assert done.stderr.startswith(f"'{url}' is not the URL of a server: ")
