"""`emulator exam`."""

import logging
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING

import click

from emulator.cli import BAD_USE, FINDINGS
from emulator.cli.options import Option
from emulator.cli.output import did_you_mean, fail, is_colored

if TYPE_CHECKING:
    from emulator.exam.running import Result


@click.command("exam", context_settings={"ignore_unknown_options": False, "allow_interspersed_args": False})
@click.argument("command_line", nargs=-1, metavar="-- CMD…", type=click.UNPROCESSED)
@click.option("--provider", default="openai", show_default=True, cls=Option,
              help="The provider that OPENAI_BASE_URL points to.")  # fmt: skip
@click.option("--only", metavar="NAME", multiple=True, cls=Option,
              help="Run only these cases; a glob, repeatable.")  # fmt: skip
@click.option("--timeout", type=click.FloatRange(1, 3600), default=15.0, show_default=True, cls=Option,
              help="Seconds of silence after which the client counts as hanging.")  # fmt: skip
@click.option("--jobs", "-j", type=click.IntRange(1, 64), default=4, show_default=True, cls=Option,
              help="Number of cases to run in parallel.")  # fmt: skip
@click.option("--report", "reports", metavar="FILE", multiple=True, cls=Option,
              help="Also write the report to FILE: .json, .xml (JUnit), .md or .html; repeatable.")  # fmt: skip
@click.option("--list", "lists", is_flag=True, help="Print the cases and exit.")
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
def command(
    command_line: tuple[str, ...],
    provider: str,
    only: tuple[str, ...],
    timeout: float,
    jobs: int,
    reports: tuple[str, ...],
    lists: bool,
    as_json: bool,
) -> None:
    """Run a client through a series of faults, and grade what it does: PASS, LOSSY, WRONG, CRASH or HANG.

    CMD runs once for each case. It gets its base URL and key from the environment (OPENAI_BASE_URL, ANTHROPIC_BASE_URL,
    EMULATOR_BASE_URL, …), reads a prompt from stdin or from an argument that contains {prompt}, and prints the complete
    answer on stdout. It must exit with 0 only if the answer is complete; otherwise, it must exit with another code, or
    say so on stderr.

    Exit code 0: no MUST case failed; 1: a MUST case failed; 2: bad usage, or the client fails against a healthy
    server."""
    from emulator.errors import EmulatorError
    from emulator.exam import report
    from emulator.exam.running import Options, hold

    if lists:
        click.echo(report.listing())
        return
    if not command_line:
        fail("Give a command: emulator exam -- python client.py", BAD_USE)
    _check(provider, reports)
    options = Options(command_line, provider, timeout, jobs, _chosen(only))
    progress = _Progress(len(options.cases))
    try:
        with _quiet_log():
            exam = hold(options, progress.step)
    except EmulatorError as error:
        progress.clear()
        fail(str(error), BAD_USE)
    progress.clear()
    for path in reports:
        try:
            Path(path).write_text(report.FORMATS[Path(path).suffix](exam), encoding="utf-8")
        except OSError as error:
            fail(f"{path} can't be written: {error.strerror or error}", BAD_USE)
    click.echo(report.as_json(exam) if as_json else report.text(exam, is_colored=is_colored(1)))
    sys.exit(FINDINGS if report.must_failures(exam) else 0)


@contextmanager
def _quiet_log() -> Iterator[None]:
    """Keeps the server's log off the terminal: the report contains the same information."""
    log = logging.getLogger("emulator")
    before = log.level
    log.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        log.setLevel(before)


def _check(provider: str, reports: Sequence[str]) -> None:
    from emulator.exam.report import FORMATS
    from emulator.providers import PROVIDERS

    if provider not in PROVIDERS:
        fail(f"There is no provider '{provider}'.{did_you_mean(provider, list(PROVIDERS))}", BAD_USE)
    for path in reports:
        if Path(path).suffix not in FORMATS:
            fail(f"--report {path}: the name must end in one of {', '.join(FORMATS)}.", BAD_USE)


def _chosen(only: Sequence[str]) -> tuple[str, ...]:
    from emulator.exam.cases import CASES

    for pattern in only:
        if not any(fnmatchcase(name, pattern) for name in CASES):
            fail(
                f"There is no case '{pattern}'.{did_you_mean(pattern, list(CASES))} See `emulator exam --list`.",
                BAD_USE,
            )
    return tuple(name for name in CASES if not only or any(fnmatchcase(name, pattern) for pattern in only))


class _Progress:
    """A progress line, if stderr is a terminal."""

    def __init__(self, cases: int) -> None:
        self._cases = cases
        self._done = 0
        self._is_shown = is_colored(2)

    def step(self, result: "Result") -> None:
        self._done += 1
        if self._is_shown:
            full = self._done * 30 // self._cases
            bar = "█" * full + "░" * (30 - full)
            click.echo(f"\r\x1b[K{bar} {self._done} of {self._cases}  {result.case.name}", nl=False, err=True)

    def clear(self) -> None:
        if self._is_shown:
            click.echo("\r\x1b[K", nl=False, err=True)
