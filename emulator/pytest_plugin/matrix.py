"""The table *your client x fault*: the result of each test with each fault and provider."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from emulator.records import record

PROPERTY = "emulator_faults"
MAX_REASON = 160


@record
class Row:
    """The result of one test with one fault at one provider."""

    test: str
    fault: str
    provider: str
    outcome: str
    """`pass`, `FAIL` or `skip`."""
    reason: str
    seconds: float


class Matrix:
    """Collects the rows from the reports of tests, prints the table and writes it to files."""

    def __init__(self, paths: Sequence[str]) -> None:
        self._paths = paths
        self._rows: dict[tuple[str, str, str], Row] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Handles the report of a test's call, or of a failed setup or teardown."""
        for name, value in report.user_properties:
            if name != PROPERTY or not isinstance(value, dict) or (report.when != "call" and not report.failed):
                continue
            outcome = {"passed": "pass", "failed": "FAIL", "skipped": "skip"}[report.outcome]
            row = Row(value["test"], value["fault"], value["provider"], outcome, _reason(report), report.duration)
            self._rows[row.test, row.fault, row.provider] = row

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Prints the tables, and writes the files."""
        if not self._rows:
            for path in self._paths:
                terminalreporter.write_line(f"{path} was not written: no test used the `emulator_faults` fixture.")
            return
        terminalreporter.section("your client x fault")
        for test, rows in self._by_test().items():
            terminalreporter.write_line(test, bold=True)
            for line, is_bad in text(rows):
                terminalreporter.write_line(line, red=is_bad)
        for path in self._paths:
            try:
                Path(path).write_text(self._written(path), encoding="utf-8")
            except OSError as error:
                terminalreporter.write_line(f"{path} can't be written: {error.strerror or error}.", red=True)
            else:
                terminalreporter.write_line(f"written: {path}")

    def _written(self, path: str) -> str:
        return junit(list(self._rows.values())) if path.endswith(".xml") else markdown(self._by_test())

    def _by_test(self) -> dict[str, list[Row]]:
        tests: dict[str, list[Row]] = {}
        for row in self._rows.values():
            tests.setdefault(row.test, []).append(row)
        return tests


def _reason(report: pytest.TestReport) -> str:
    """Returns why it failed or was skipped, in one line."""
    if report.passed:
        return ""
    crash = getattr(report.longrepr, "reprcrash", None)
    said = crash.message if crash is not None else report.longrepr
    if isinstance(said, tuple):  # path, line and reason of a skip
        said = said[-1].removeprefix("Skipped: ")
    lines = [line.strip() for line in str(said or "").splitlines() if line.strip()]
    line = " ".join(lines[:2])
    return line if len(line) <= MAX_REASON else f"{line[: MAX_REASON - 1]}…"


def _grid(rows: Sequence[Row]) -> tuple[list[str], list[str], dict[tuple[str, str], Row]]:
    faults = list(dict.fromkeys(row.fault for row in rows))
    providers = list(dict.fromkeys(row.provider for row in rows))
    return faults, providers, {(row.fault, row.provider): row for row in rows}


def text(rows: Sequence[Row]) -> list[tuple[str, bool]]:
    """Returns the lines of the table, each with whether it shows a failure, and then the reasons."""
    faults, providers, cells = _grid(rows)
    width = max(map(len, [*faults, "fault"]))
    columns = [max(len(provider), 4) for provider in providers]
    heads = "  ".join(provider.ljust(column) for provider, column in zip(providers, columns, strict=True))
    lines = [(f"  {'fault'.ljust(width)}  {heads}".rstrip(), False)]
    for fault in faults:
        found = [cells.get((fault, provider)) for provider in providers]
        said = ["-" if cell is None else cell.outcome for cell in found]
        marks = "  ".join(mark.ljust(column) for mark, column in zip(said, columns, strict=True))
        lines.append((f"  {fault.ljust(width)}  {marks}".rstrip(), "FAIL" in said))
    passed = sum(row.outcome == "pass" for row in rows)
    lines.append((f"  {passed} of {len(rows)} passed", False))
    return lines + [(f"  {row.fault}, {row.provider}: {row.reason}", False) for row in rows if row.reason]


def markdown(tests: dict[str, list[Row]]) -> str:
    """Returns all tables as Markdown."""
    parts = ["# Your client × fault\n"]
    for test, rows in tests.items():
        faults, providers, cells = _grid(rows)
        passed = sum(row.outcome == "pass" for row in rows)
        lines = [f"## `{test}`\n", f"{passed} of {len(rows)} passed.\n", f"| fault | {' | '.join(providers)} |"]
        lines.append(f"|---|{'---|' * len(providers)}")
        for fault in faults:
            found = [cells.get((fault, provider)) for provider in providers]
            marks = ["-" if cell is None else _mark(cell) for cell in found]
            lines.append(f"| `{fault}` | {' | '.join(marks)} |")
        why = [f"- `{row.fault}`, {row.provider}: {_escaped(row.reason)}" for row in rows if row.reason]
        parts.append("\n".join([*lines, *([""] if why else []), *why, ""]))
    return "\n".join(parts)


def _mark(row: Row) -> str:
    return {"pass": "✅ pass", "FAIL": "❌ **fail**"}.get(row.outcome, row.outcome)


def _escaped(said: str) -> str:
    return "".join(f"\\{letter}" if letter in "\\`*_[]<>|#" else letter for letter in said)


def junit(rows: Sequence[Row]) -> str:
    """Returns all rows as JUnit XML: a suite for each test and provider, a case for each fault."""
    from xml.etree import ElementTree as xml

    root = xml.Element("testsuites", name="emulator faults")
    suites: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        suites.setdefault((row.test, row.provider), []).append(row)
    for (test, provider), cases in suites.items():
        failed = sum(row.outcome == "FAIL" for row in cases)
        skipped = sum(row.outcome == "skip" for row in cases)
        seconds = f"{sum(row.seconds for row in cases):.3f}"
        counts = {"tests": str(len(cases)), "failures": str(failed), "skipped": str(skipped), "errors": "0"}
        suite = xml.SubElement(root, "testsuite", {"name": f"{test} × {provider}", **counts, "time": seconds})
        for row in cases:
            facts = {"classname": f"{test}.{provider}", "name": row.fault, "time": f"{row.seconds:.3f}"}
            case = xml.SubElement(suite, "testcase", facts)
            if row.outcome == "FAIL":
                xml.SubElement(case, "failure", message=printable(row.reason))
            elif row.outcome == "skip":
                xml.SubElement(case, "skipped", message=printable(row.reason))
    xml.indent(root)
    return xml.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def printable(said: str) -> str:
    """Returns a text without the characters that XML can't contain."""
    return "".join(letter if letter.isprintable() or letter in "\n\t" else "\ufffd" for letter in said)
