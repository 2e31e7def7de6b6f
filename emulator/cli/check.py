"""`emulator check`."""

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import click

from emulator.cli import BAD_USE, FINDINGS
from emulator.errors import Problem

SKIPPED = frozenset({"node_modules", "__pycache__", "site-packages"})
"""Folders that never contain the user's scenarios."""


class Checked(NamedTuple):
    """One file, or several that form one scenario, and its problems."""

    name: str
    errors: tuple[Problem, ...]
    warnings: tuple[Problem, ...]


@click.command("check")
@click.argument("paths", nargs=-1, required=True, metavar="PATH…")
@click.option("--together", is_flag=True, help="Check all files as one scenario, as `serve` loads a folder.")
@click.option("--json", "as_json", is_flag=True, help="Print the problems as JSON.")
def command(paths: tuple[str, ...], together: bool, as_json: bool) -> None:
    """Check scenario files: report every problem as file:line:column, with a fix.

    For a folder, every scenario in it and its subfolders is checked separately. Exit code 0: no problems;
    1: only warnings; 2: a file is unusable."""
    checked = [_checked(paths)] if together else [_checked((each,)) for path in paths for each in _files_of(path)]
    if as_json:
        rows = [
            {"level": level, "path": p.path, "line": p.line, "column": p.column, "message": p.message}
            for each in checked
            for level, problems in (("error", each.errors), ("warning", each.warnings))
            for p in problems
        ]
        files = [{"path": each.name, "errors": len(each.errors), "warnings": len(each.warnings)} for each in checked]
        click.echo(json.dumps({"files": files, "problems": rows}, indent=2))
    else:
        for each in checked:
            for line in _lines(each, len(checked) > 1):
                click.echo(line)
        click.echo(_summary(checked))
    errors = any(each.errors for each in checked)
    sys.exit(BAD_USE if errors else FINDINGS if any(each.warnings for each in checked) else 0)


def _checked(paths: tuple[str, ...]) -> Checked:
    from emulator.errors import ScenarioError
    from emulator.lint import warnings
    from emulator.scenario.sources import load

    name = ", ".join(paths)
    try:
        return Checked(name, (), tuple(warnings(load(*paths))))
    except ScenarioError as error:
        return Checked(name, error.problems, ())


def _files_of(path: str) -> Iterator[str]:
    """Yields the files for a path on the command line, or the path itself if there are none, to report that."""
    from emulator.errors import ScenarioError
    from emulator.scenario.sources import files_of, is_scenario

    if not os.path.isdir(path):
        try:
            yield from map(str, files_of(path))
        except ScenarioError:
            yield path
        return
    is_empty = True
    for folder, folders, files in os.walk(path):
        folders[:] = sorted(each for each in folders if not each.startswith(".") and each not in SKIPPED)
        for name in sorted(files):
            file = Path(folder, name)
            if is_scenario(file):
                is_empty = False
                yield str(file)
    if is_empty:
        yield path


def _lines(checked: Checked, is_one_of_many: bool) -> Iterator[str]:
    yield from map(str, checked.errors)
    for warning in checked.warnings:
        yield f"{warning} (warning)"
    if is_one_of_many and not checked.errors and not checked.warnings:
        yield f"{checked.name}: ok"


def _summary(checked: list[Checked]) -> str:
    parts = [f"{len(checked)} {'file' if len(checked) == 1 else 'files'} checked"]
    errors, warnings = sum(len(each.errors) for each in checked), sum(len(each.warnings) for each in checked)
    for count, noun in ((errors, "error"), (warnings, "warning")):
        if count:
            parts.append(f"{count} {noun if count == 1 else f'{noun}s'}")
    return f"{', '.join(parts)}." if len(parts) > 1 else f"{parts[0]}, no problems."
