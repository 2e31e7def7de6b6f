"""The command `emulator run`, with a child that is a program of the test's."""

import json
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import entry_points
from typing import Any

import processes

COMMAND = (*processes.COMMAND, "run")
SET_BY_RUN = ("_BASE_URL", "_API_KEY", "_API_BASE", "_PROXY", "_BUNDLE", "_CERT_FILE")
ENVIRONMENT = {
    name: value
    for name, value in os.environ.items()
    if not name.upper().startswith("EMULATOR_") and not name.upper().endswith(SET_BY_RUN)
}
PLUGINS = tuple(plugin.name for plugin in entry_points(group="pytest11"))


def only_plugins(*names: str) -> str:
    """Options of pytest with which only these of the installed plugins load: some take a second."""
    return " ".join(f"-p no:{name}" for name in PLUGINS if name not in names)


@dataclass(frozen=True)
class Ran:
    """How a run ended: its exit code, the command's output, what else stderr said, and the report."""

    code: int
    out: str
    err: str
    report: dict[str, Any]


def run(*arguments: str, environment: Mapping[str, str] | None = None, timeout: float = 50) -> Ran:
    """`emulator run --json …` to its end. The report has to be the last line of stderr."""
    done = processes.run(
        [*COMMAND, "--json", *arguments],
        capture_output=True,
        text=True,
        timeout=timeout,
        env={**ENVIRONMENT, **(environment or {})},
    )
    err, _, last = done.stderr.rstrip("\n").rpartition("\n")
    try:
        return Ran(done.returncode, done.stdout, err, json.loads(last))
    except json.JSONDecodeError:
        return Ran(done.returncode, done.stdout, done.stderr, {})


def python(program: str, *options: str, environment: Mapping[str, str] | None = None) -> Ran:
    """A Python program under `emulator run`."""
    return run(*options, "--", sys.executable, "-c", program, environment=environment)
