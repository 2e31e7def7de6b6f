"""`emulator verdict`."""

import json
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from emulator.cli import BAD_USE, FINDINGS, remote
from emulator.cli.output import fail, is_colored

if TYPE_CHECKING:
    from emulator.verdict import Verdict

FORMATS = ("text", "json", "junit", "sarif", "github")


@click.command("verdict")
@click.argument("source", default=remote.DEFAULT_URL, metavar="[URL | FILE]")
@click.option("--namespace", help="The namespace; by default, `default`. Or use URL/@NAME.")
@click.option("--format", "form", type=click.Choice(FORMATS), default="text", show_default=True,
              help="The output format; junit, sarif and github are for CI.")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="The same as --format json.")
@click.option("--baseline", metavar="FILE", type=click.Path(),
              help="An earlier --json output: findings that it contains are omitted and don't count.")  # fmt: skip
@click.option("--save", metavar="FILE", type=click.Path(),
              help="Also save the scenario, the seed and the journal, for `emulator replay`.")  # fmt: skip
@click.option("--silence", type=click.FloatRange(0, 86400, min_open=True), default=60.0, show_default=True,
              help="Seconds without a byte after which the client should have given up.")  # fmt: skip
@click.option("--first-token", type=click.FloatRange(0, 86400, min_open=True), default=120.0, show_default=True,
              help="Seconds without a token after which the client should have given up.")  # fmt: skip
@click.option("--token", envvar="EMULATOR_CONTROL_TOKEN", help="The token that the server printed.")
def command(source: str, form: str, as_json: bool, baseline: str | None, save: str | None, **values: Any) -> None:
    """Report what the client did wrong, from the journal of a running server or a saved one.

    URL is the server's address, by default http://127.0.0.1:8080; add a namespace as URL/@NAME. FILE is an export of
    the journal (`GET /__emulator/journal/export`), a run saved by --save, or `-` for stdin.

    Exit code 0: no MUST findings; 1: MUST findings; 2: there is no such server or file."""
    from emulator.verdict import Limits, judge

    form = "json" if as_json else form
    is_file = source == "-" or Path(source).is_file() or source.endswith((".jsonl", ".json"))
    if not is_file and not any(sign in source for sign in (":", ".", "localhost")):
        fail(f"There is no file '{source}'. Give a file, or the URL of a server.", BAD_USE)
    if is_file and save is not None:
        fail("--save needs the scenario of a running server: give its URL, not a file.", BAD_USE)
    if is_file:
        rows = list(_from_file(source))
        if values["namespace"] is not None:
            rows = [row for row in rows if row.get("namespace") == values["namespace"]]
    else:
        rows = _from_server(source, values["namespace"], values["token"], save)
    verdict = judge(rows, Limits(values["silence"], values["first_token"]))
    known = _known(baseline) if baseline is not None else {}
    shown = verdict.without(known)
    click.echo(_written(shown, form, source, _notes(verdict, shown, known)), nl=form != "junit")
    sys.exit(FINDINGS if shown.has_failed else 0)


def _written(verdict: "Verdict", form: str, source: str, notes: list[str]) -> str:
    if form == "json":
        return json.dumps(verdict.to_dict(), indent=2, ensure_ascii=False)
    if form == "junit":
        from emulator.verdict.formats.junit import as_junit

        return as_junit(verdict, source)
    if form == "sarif":
        from emulator.verdict.formats.sarif import as_sarif

        return as_sarif(verdict, source)
    if form == "github":
        from emulator.verdict.formats.github import as_github

        return as_github(verdict)
    from emulator.verdict.formats.text import as_text

    width = shutil.get_terminal_size((100, 24)).columns
    return as_text(verdict, width=width, is_colored=is_colored(1), notes=notes)


def _from_server(url: str, namespace: str | None, token: str | None, save: str | None) -> list[dict[str, Any]]:
    query = {"namespace": namespace}
    export = remote.read(url, "journal/export", {**query, "format": "jsonl"}, token)
    rows = [json.loads(line) for line in export.splitlines()]
    if save is not None:
        scenario = json.loads(remote.read(url, "scenario", query, token))
        about = json.loads(remote.read(url, "version", query, token))
        spaces = json.loads(remote.read(url, "namespaces", {}, token))["namespaces"]
        name = namespace or (rows[0]["namespace"] if rows else _namespace_in(url))
        seed = next((row["seed"] for row in spaces if row["name"] == name), None)
        run = {"run": 1, "emulator": about["version"], "namespace": name, "seed": seed, "scenario": scenario}
        _save(save, json.dumps({**run, "exchanges": rows}, ensure_ascii=False))
    return rows


def _namespace_in(url: str) -> str:
    _, at, rest = url.partition("/@")
    return rest.partition("/")[0] if at else "default"


def _save(path: str, text: str) -> None:
    try:
        Path(path).write_text(text, encoding="utf-8")
    except OSError as error:
        fail(f"{path} can't be written: {error.strerror}.", BAD_USE)
    click.echo(f"Saved to {path}. Replay it with: emulator replay {path}", err=True)


def _from_file(path: str) -> Iterator[dict[str, Any]]:
    """Yields the exchanges in a file: a saved run, or JSON lines."""
    from emulator.verdict.saved import SavedRunError, exchanges_in

    try:
        text = sys.stdin.read() if path == "-" else Path(path).read_text(encoding="utf-8")
        yield from exchanges_in("stdin" if path == "-" else path, text)
    except OSError as error:
        fail(f"{path} can't be read: {error.strerror}. Give a file, or the URL of a server.", BAD_USE)
    except UnicodeDecodeError:
        fail(f"{path} is not UTF-8, so it is not a journal.", BAD_USE)
    except SavedRunError as error:
        fail(str(error), BAD_USE)


def _known(path: str) -> dict[str, int]:
    """Counts the findings of each code in an earlier verdict."""
    try:
        findings = json.loads(Path(path).read_text(encoding="utf-8"))["findings"]
        codes = [str(finding["code"]) for finding in findings]
    except OSError as error:
        fail(f"{path} can't be read: {error.strerror}. Write one with: emulator verdict --json > {path}", BAD_USE)
    except (ValueError, KeyError, TypeError):
        fail(f"{path} is not a verdict. Write one with: emulator verdict --json > {path}", BAD_USE)
    return {code: codes.count(code) for code in codes}


def _notes(verdict: "Verdict", shown: "Verdict", known: dict[str, int]) -> list[str]:
    """Returns notes on the comparison with the baseline."""
    if not known:
        return []
    left = len(verdict.findings) - len(shown.findings)
    gone = sorted(known.keys() - {finding.code for finding in verdict.findings})
    notes = [f"{left} omitted: in the baseline"] if left else []
    return notes + ([f"no longer found since the baseline: {', '.join(gone)}"] if gone else [])
