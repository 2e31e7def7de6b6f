"""Why a client cannot sit an exam, in one sentence, and reports that can't be written."""

import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from emulator.cli.exam import command

ASK = """
import json, os, sys, time, urllib.error, urllib.request
def ask(path="/chat/completions"):
    url = os.environ["EMULATOR_BASE_URL"] + path
    body = json.dumps({"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Hi"}]}).encode()
    headers = {"authorization": "Bearer k", "content-type": "application/json"}
    answer = json.load(urllib.request.urlopen(urllib.request.Request(url, body, headers)))
    return answer["choices"][0]["message"]["content"]
"""


def sat(program: str, *options: str) -> tuple[int, str]:
    """The exit code and the errors of an exam."""
    client = [sys.executable, "-S", "-c", f"{ASK}\n{program}"]
    done = CliRunner().invoke(command, [*options, "--only", "crlf", "--", *client])
    return done.exit_code, done.stderr


@pytest.mark.parametrize(
    ("program", "options", "words"),
    [
        (
            "print(ask()); sys.exit(3)",
            (),
            "The client got a whole answer from a healthy server, and ended with 3; its last words: ",
        ),
        (
            "ask(); print('something else')",
            (),
            "The client got a whole answer from a healthy server, and did not print all of it on stdout.",
        ),
        (
            "ask('/nowhere')",
            (),
            "The client got no answer from a healthy server: /v1/nowhere: ",
        ),
        (
            "ask(); time.sleep(600)",
            ("--timeout", "1"),
            "With a healthy server, the client did not exit within ",
        ),
    ],
    ids=["exit", "output", "path", "time"],
)
def test_a_client_that_fails_against_a_healthy_server_cannot_sit(
    program: str, options: tuple[str, ...], words: str
) -> None:
    code, said = sat(program, *options)
    assert (code, said[: len(words)]) == (2, words)


def test_a_command_that_is_no_program_is_said(tmp_path: Path) -> None:
    done = CliRunner().invoke(command, ["--", str(tmp_path)])
    assert (done.exit_code, done.stderr) == (2, f"'{tmp_path}' cannot be run: Permission denied.\n")


def test_a_report_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    path = tmp_path / "gone" / "report.md"
    code, said = sat("print(ask())", "--report", str(path))
    assert (code, said) == (2, f"{path} can't be written: No such file or directory\n")
