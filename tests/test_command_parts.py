"""Parts of commands that depend on the system: how a command is run, a progress line, a failing disk."""

import errno
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from emulator.cli import app, child
from emulator.cli.child import CannotRunError, held_signals, run
from emulator.cli.exam import _Progress
from emulator.docstrings import _classes
from emulator.errors import EmulatorError, UsageError
from emulator.exam.cases import CASES
from emulator.exam.running import Result
from emulator.interception.environment import _quoted, isolated
from emulator.spans import check_installed


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """A system without what only POSIX offers. (With it, a command needs a process without other threads.)"""
    import signal

    monkeypatch.delattr(os, "posix_spawnp")
    monkeypatch.delattr(signal, "pthread_sigmask")


def ran(*words: str) -> int:
    with held_signals():
        return run(words, {**os.environ, "MARK": "7"})


@pytest.mark.usefixtures("elsewhere")
def test_a_command_gives_its_exit_code_and_gets_its_environment() -> None:
    assert ran("/bin/sh", "-c", 'exit "$MARK"') == 7


@pytest.mark.usefixtures("elsewhere")
def test_a_command_that_cannot_be_run_has_the_exit_code_of_a_shell(tmp_path: Path) -> None:
    with pytest.raises(CannotRunError) as caught:
        ran("surely-no-such-command")
    assert (str(caught.value), caught.value.code) == ("There is no command 'surely-no-such-command'.", 127)
    with pytest.raises(CannotRunError) as caught:
        ran(str(tmp_path))
    assert (str(caught.value), caught.value.code) == (f"'{tmp_path}' cannot be run: Permission denied.", 126)


def test_a_signal_that_the_terminal_sends_to_both_is_not_passed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without knowing the sender, Ctrl-C counts as the terminal's if there is one."""
    import signal

    monkeypatch.delattr(signal, "sigwaitinfo")
    monkeypatch.setattr(signal, "sigwait", lambda awaited: signal.SIGINT)
    monkeypatch.setattr(os, "tcgetpgrp", lambda descriptor: os.getpgrp())
    monkeypatch.setattr(sys, "stdin", open(os.devnull))  # noqa: SIM115 - closed below
    with sys.stdin:
        assert child._next_signal(1) == 0
        monkeypatch.setattr(os, "tcgetpgrp", lambda descriptor: os.getpgrp() + 1)
        assert child._next_signal(1) == signal.SIGINT

        def fail(descriptor: int) -> int:
            raise OSError(25, "no terminal")

        monkeypatch.setattr(os, "tcgetpgrp", fail)
        assert child._next_signal(1) == signal.SIGINT


def test_a_command_gets_the_signals_that_it_has_not_got_yet_until_it_has_ended(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import signal

    signals = iter((0, signal.SIGTERM, signal.SIGCHLD, signal.SIGCHLD))
    ends = iter(((0, 0), (7, 5 << 8)))  # it was stopped, and has ended with 5
    sent: list[tuple[int, int]] = []
    monkeypatch.setattr(os, "posix_spawnp", lambda *_, **options: 7)
    monkeypatch.setattr(os, "kill", lambda *signal: sent.append(signal))
    monkeypatch.setattr(os, "waitpid", lambda pid, options: next(ends))
    monkeypatch.setattr(child, "_next_signal", lambda pid: next(signals))
    assert (run(["a"], {}), sent) == (5, [(7, signal.SIGTERM)])


def test_an_exam_s_progress_is_a_line_that_is_replaced(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("emulator.cli.exam.is_colored", lambda descriptor: True)
    progress = _Progress(2)
    case = next(iter(CASES.values()))
    progress.step(Result(case, None, ()))  # type: ignore[arg-type]
    progress.clear()
    assert capsys.readouterr() == ("", f"\r{'█' * 15}{'░' * 15} 1 of 2  {case.name}\r")


def raises(error: BaseException) -> Callable[..., Any]:
    def cli(**_: Any) -> None:
        raise error

    return cli


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (SystemExit(3), 3, ""),
        (SystemExit(None), 0, ""),
        (SystemExit("words"), 1, ""),
        (EmulatorError("one sentence"), 2, "one sentence\n"),
        (PermissionError(errno.EACCES, "Permission denied", "a/file"), 2, "a/file: Permission denied\n"),
        (OSError(errno.EMFILE, "Too many open files"), 2, "emulator: Too many open files\n"),
    ],
)
def test_whatever_ends_a_command_becomes_an_exit_code(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], error: BaseException, code: int, said: str
) -> None:
    monkeypatch.setattr(app, "cli", raises(error))
    assert (app.run(), capsys.readouterr().err) == (code, said)


def test_a_command_that_returns_has_succeeded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app, "cli", lambda **_: None)
    assert app.run() == 0


def test_spans_need_their_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace.export", None)
    with pytest.raises(UsageError) as caught:
        check_installed()
    assert str(caught.value) == "--otel needs OpenTelemetry. Install it: pip install 'llm-provider-emulator[otel]'"


@pytest.mark.parametrize(
    ("word", "quoted"), [("plain", "plain"), ("a b", '"a b"'), ('a"b', '"a\\"b"'), ("a\\ b", '"a\\\\ b"')]
)
def test_a_word_of_another_program_s_options_is_quoted(word: str, quoted: str) -> None:
    assert _quoted(word) == quoted


def test_a_module_without_a_source_has_no_descriptions() -> None:
    from types import ModuleType

    assert _classes(ModuleType("made")) == {}


def test_openai_s_own_variables_may_lead_elsewhere_than_by_default() -> None:
    usual = isolated("http://a", ["deepseek", "openai"], None, None, {})
    assert usual["OPENAI_BASE_URL"] == usual["OPENAI_API_BASE"] == "http://a/openai/v1"
    other = dict.fromkeys(("OPENAI_BASE_URL", "OPENAI_API_BASE"), "http://a/deepseek")
    assert isolated("http://a", ["deepseek", "openai"], None, "http://a/deepseek", {}) == {**usual, **other}
