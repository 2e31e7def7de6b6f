"""The reports of an exam: text, JSON, JUnit, Markdown, HTML."""

import json
import shlex
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from html import escape
from xml.etree import ElementTree as xml

from emulator.exam.cases import CASES, MUST, PROGRAMME, SHOULD, Level
from emulator.exam.grading import Grade, Run
from emulator.exam.running import Exam, Result
from emulator.providers import PROVIDERS

WIDTH = 108
MAX_PRINTED = 4000
"""The maximum characters of an output in JSON."""
GREEN, RED, YELLOW, DIM, BOLD, PLAIN = "\x1b[32m", "\x1b[31m", "\x1b[33m", "\x1b[2m", "\x1b[1m", "\x1b[0m"
NAMES = max(map(len, CASES))
"""The width of names of cases."""
MARKS = {"PASS": "✓", "SKIP": "–"}
MEANING = {
    Grade.LOSSY: "lost an answer that it could have kept",
    Grade.WRONG: "took a part for the whole, or an error for an answer, or broke the rules for retries",
    Grade.CRASH: "crashed with an error of its own, which no caller expects",
    Grade.HANG: "was silent for longer than the time limit",
}


def must_failures(exam: Exam) -> int:
    """Counts the MUST cases that the client has not passed."""
    return sum(is_failed(each) and each.case.level == MUST for each in exam.results)


def is_failed(result: Result) -> bool:
    """Whether a case was run and not passed."""
    return result.verdict.grade not in (Grade.PASS, Grade.SKIP)


def counts(exam: Exam, level: Level) -> tuple[int, int]:
    """Returns how many cases of a level were passed, and how many were run."""
    held = [each for each in exam.results if each.case.level == level and each.verdict.grade is not Grade.SKIP]
    return sum(not is_failed(each) for each in held), len(held)


def client_of(exam: Exam) -> str:
    """Returns the client's command in one line."""
    return shlex.join(exam.command)


def _grouped(exam: Exam) -> Iterator[tuple[str, list[Result]]]:
    by_name = {each.case.name: each for each in exam.results}
    for group in PROGRAMME:
        found = [by_name[case.name] for case in group.cases if case.name in by_name]
        if found:
            yield group.title, found


def repeat(result: Result, exam: Exam) -> str:
    """Returns the base URL at which `emulator serve` repeats a case."""
    path = PROVIDERS[exam.provider].sdk_base_path() or ""
    faults = "/".join(f"~{fault}" for fault in result.case.faults)
    return f"http://127.0.0.1:8080/{faults}/{exam.provider}{path}"


def _by_fix(exam: Exam) -> dict[str, list[Result]]:
    """Returns the failed cases, grouped by their fix, the most important first."""
    found: dict[str, list[Result]] = {}
    for each in sorted(filter(is_failed, exam.results), key=lambda each: each.case.level != MUST):
        found.setdefault(each.case.fix, []).append(each)
    return found


# Text


def text(exam: Exam, *, is_colored: bool) -> str:
    """Returns the report for a terminal."""

    def paint(color: str, said: str) -> str:
        return f"{color}{said}{PLAIN}" if is_colored else said

    how = "streamed" if exam.streams else "not streamed"
    lines = [paint(BOLD, f"Exam of {client_of(exam)}"), f"{exam.operation} at {exam.provider}, {how}", ""]
    for title, results in _grouped(exam):
        held = [each for each in results if each.verdict.grade is not Grade.SKIP]
        if held:
            lines += [paint(BOLD, title), *(_row(each, paint) for each in held), ""]
    skipped = [each.case.name for each in exam.results if each.verdict.grade is Grade.SKIP]
    if skipped:
        are = "case does" if len(skipped) == 1 else "cases do"
        said = f"{len(skipped)} {are} not concern this client: {', '.join(skipped)}"
        lines += [*(paint(DIM, line) for line in _wrapped(said, "")), ""]
    fixes = _by_fix(exam)
    if fixes:
        lines += [paint(BOLD, "What to change"), *_changes(fixes, exam, paint), ""]
    return "\n".join([*lines, *_totals(exam, paint)])


def _row(result: Result, paint: Callable[[str, str], str]) -> str:
    grade, case = result.verdict.grade, result.case
    color = GREEN if grade is Grade.PASS else RED if case.level == MUST else YELLOW
    mark = paint(color, f"{MARKS.get(grade, '✗')} {grade:<5}")
    lead = f"  {mark}  {case.level:<6}  {case.name:<{NAMES}}  "
    space = WIDTH - NAMES - 21
    said = result.verdict.said if len(result.verdict.said) <= space else f"{result.verdict.said[: space - 1]}…"
    line = lead + paint(DIM if grade is Grade.PASS else color, said)
    if not result.findings:
        return line
    return f"{line}\n{' ' * (NAMES + 21)}" + paint(DIM, f"verdict: {', '.join(result.findings)}")


def _changes(fixes: Mapping[str, Sequence[Result]], exam: Exam, paint: Callable[[str, str], str]) -> Iterator[str]:
    for fix, results in fixes.items():
        color = RED if results[0].case.level == MUST else YELLOW
        yield from (paint(color, line) for line in _wrapped(fix, "  ● ", "    "))
        for each in results:
            yield from _wrapped(f"{each.case.name:<{NAMES}}  {each.case.why}", "      ", " " * (NAMES + 2))
        yield paint(DIM, f"      repeat with emulator serve, base URL {repeat(results[0], exam)}")


def _wrapped(said: str, lead: str, hanging: str = "") -> list[str]:
    """A text in lines: the first after `lead`, the others below it, `hanging` further in."""
    lines: list[str] = []
    line, indent = lead, " " * len(lead) + hanging if lead.strip() == "" else hanging
    for word in said.split(" "):
        if len(line) + len(word) > WIDTH and line.strip():
            lines.append(line.rstrip())
            line = indent
        line += f"{word} "
    return [*lines, line.rstrip()]


def _totals(exam: Exam, paint: Callable[[str, str], str]) -> Iterator[str]:
    for level in (MUST, SHOULD):
        passed, held = counts(exam, level)
        failed = Counter(each.verdict.grade for each in exam.results if is_failed(each) and each.case.level == level)
        bad = ", ".join(f"{count} {grade}" for grade, count in failed.most_common())
        color = GREEN if passed == held else RED if level == MUST else YELLOW
        yield f"{paint(BOLD, f'{level:<6}')}  {paint(color, f'{bar(passed, held)}  {passed} of {held}')}" + (
            f"  ({bad})" if bad else ""
        )
    grades = {each.verdict.grade for each in exam.results if is_failed(each)}
    yield from (paint(DIM, f"        {grade:<5}  {meaning}") for grade, meaning in MEANING.items() if grade in grades)
    yield paint(DIM, f"{len(exam.results)} cases in {exam.seconds:.0f} s")


def bar(passed: int, held: int, width: int = 24) -> str:
    """Returns a fraction as a bar."""
    full = width if held == 0 else passed * width // held
    return "█" * full + "░" * (width - full)


# JSON


def as_json(exam: Exam) -> str:
    """Returns the whole exam as JSON."""
    totals: dict[str, object] = {}
    for level in (MUST, SHOULD):
        passed, held = counts(exam, level)
        totals[level] = {"passed": passed, "held": held}
    facts = {
        "client": list(exam.command),
        "provider": exam.provider,
        "operation": exam.operation,
        "streams": exam.streams,
        "seconds": round(exam.seconds, 3),
        **totals,
        "cases": [_facts(each) for each in exam.results],
    }
    return json.dumps(facts, indent=2, ensure_ascii=False)


def _facts(result: Result) -> dict[str, object]:
    case, run = result.case, result.run
    return {
        "name": case.name,
        "level": case.level,
        "grade": result.verdict.grade.value,
        "said": result.verdict.said,
        "fault": case.fault,
        "expected": case.expected.value,
        "why": case.why,
        "fix": case.fix,
        "findings": list(result.findings),
        "run": None if run is None else _run_facts(run),
    }


def _run_facts(run: Run) -> dict[str, object]:
    return {
        "exit": run.code,
        "seconds": round(run.seconds, 3),
        "requests": [{"at": round(each.at, 3), "status": each.status} for each in run.requests],
        "stdout": run.out[:MAX_PRINTED],
        "stderr": run.err[-MAX_PRINTED:],
    }


# JUnit


def junit(exam: Exam) -> str:
    """Returns the exam as JUnit XML: failed MUST cases are failures, failed SHOULD cases are skipped, with the
    reason."""
    root = xml.Element("testsuites", name="emulator exam")
    for title, results in _grouped(exam):
        failed = sum(is_failed(each) and each.case.level == MUST for each in results)
        skipped = sum(each.verdict.grade is not Grade.PASS for each in results) - failed
        seconds = sum(each.run.seconds for each in results if each.run is not None)
        numbers = {"tests": len(results), "failures": failed, "skipped": skipped, "errors": 0}
        attributes = {
            "name": title,
            **{name: str(number) for name, number in numbers.items()},
            "time": f"{seconds:.3f}",
        }
        suite = xml.SubElement(root, "testsuite", attributes)
        for each in results:
            _testcase(suite, each, exam)
    xml.indent(root)
    return xml.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def _testcase(suite: xml.Element, result: Result, exam: Exam) -> None:
    case, grade = result.case, result.verdict.grade
    seconds = result.run.seconds if result.run is not None else 0.0
    facts = {"classname": f"exam.{exam.operation}", "name": f"{case.level} {case.name}", "time": f"{seconds:.3f}"}
    element = xml.SubElement(suite, "testcase", facts)
    if grade is Grade.PASS:
        return
    said = _printable(f"{grade}: {result.verdict.said}")
    if is_failed(result) and case.level == MUST:
        failure = xml.SubElement(element, "failure", type=grade.value, message=said)
        found = f"\nVerdict: {', '.join(result.findings)}" if result.findings else ""
        failure.text = _printable(f"{case.why}\n{case.fix}\nRepeat it at {repeat(result, exam)}{found}")
    else:
        xml.SubElement(element, "skipped", message=said)


def _printable(said: str) -> str:
    return "".join(letter if letter.isprintable() or letter in "\n\t" else "\ufffd" for letter in said)


# Markdown and HTML


def markdown(exam: Exam) -> str:
    """Returns the exam as Markdown."""
    passed = {level: counts(exam, level) for level in (MUST, SHOULD)}
    score = ", ".join(f"**{level} {done} of {held}**" for level, (done, held) in passed.items())
    how = "streamed" if exam.streams else "not streamed"
    parts = [f"# Exam of `{client_of(exam)}`\n", f"{score}. {exam.operation} at {exam.provider}, {how}.\n"]
    for title, results in _grouped(exam):
        held = [each for each in results if each.verdict.grade is not Grade.SKIP]
        if held:
            rows = [_markdown_row(each) for each in held]
            head = ["| | grade | case | what happened | verdict |", "|---|---|---|---|---|"]
            parts.append("\n".join([f"## {title}\n", *head, *rows, ""]))
    if any(map(is_failed, exam.results)):
        parts.append("## What to change\n")
        for fix, results in _by_fix(exam).items():
            names = ", ".join(f"`{each.case.name}`" for each in results)
            parts.append(f"- {_escaped(fix)} ({names})")
    return "\n".join(parts) + "\n"


def _markdown_row(result: Result) -> str:
    grade, case = result.verdict.grade, result.case
    icon = "✅" if grade is Grade.PASS else "❌" if case.level == MUST else "⚠️"
    found = ", ".join(f"`{code}`" for code in result.findings)
    return f"| {icon} | {grade} | {case.level} `{case.name}` | {_escaped(result.verdict.said)} | {found} |"


def _escaped(said: str) -> str:
    line = " ".join(said.split())
    return "".join(f"\\{letter}" if letter in "\\`*_[]<>|#" else letter for letter in line)


STYLE = """
:root { color-scheme: light dark; --line: #8883; --pass: #1a7f37; --must: #cf222e; --should: #9a6700; }
@media (prefers-color-scheme: dark) { :root { --pass: #3fb950; --must: #ff7b72; --should: #d29922; } }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.4rem; } h2 { font-size: 1.05rem; margin: 2rem 0 .5rem; } code { font-size: .92em; }
.score { display: flex; gap: 2rem; flex-wrap: wrap; margin: 1rem 0; } .score div { flex: 1; min-width: 14rem; }
meter { width: 100%; height: 1rem; } table { border-collapse: collapse; width: 100%; }
td { border-top: 1px solid var(--line); padding: .35rem .6rem .35rem 0; vertical-align: top; }
table { table-layout: fixed; } td:first-child { white-space: nowrap; font-weight: 600; width: 5.5rem; }
td:nth-child(2) { width: 4.5rem; opacity: .7; }
td:nth-child(3) { width: 12rem; overflow-wrap: anywhere; }
.pass { color: var(--pass); } .must { color: var(--must); } .should { color: var(--should); }
small { display: block; opacity: .8; overflow-wrap: anywhere; }
"""


def html(exam: Exam) -> str:
    """Returns the exam as one self-contained HTML page."""
    how = "streamed" if exam.streams else "not streamed"
    scores = []
    for level in (MUST, SHOULD):
        done, held = counts(exam, level)
        meter = (
            f'<meter min="0" max="{held or 1}" value="{done}" low="{held * 0.6}" high="{held * 0.95}" optimum="{held}">'
        )
        scores.append(f"<div><strong>{level}</strong> {done} of {held}<br>{meter}{done} of {held}</meter></div>")
    parts = []
    for title, results in _grouped(exam):
        held_results = [each for each in results if each.verdict.grade is not Grade.SKIP]
        if held_results:
            rows = "\n".join(_html_row(each, exam) for each in held_results)
            parts.append(f"<h2>{escape(title)}</h2>\n<table>{rows}</table>")
    return (
        f'<!doctype html>\n<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">\n'
        f"<title>Exam of {escape(client_of(exam))}</title>\n<style>{STYLE}</style>\n"
        f"<h1>Exam of <code>{escape(client_of(exam))}</code></h1>\n"
        f"<p>{escape(exam.operation)} at {escape(exam.provider)}, {how}</p>\n"
        f'<div class="score">{"".join(scores)}</div>\n' + "\n".join(parts) + "\n</html>\n"
    )


def _html_row(result: Result, exam: Exam) -> str:
    grade, case = result.verdict.grade, result.case
    kind = "pass" if grade is Grade.PASS else "must" if case.level == MUST else "should"
    notes = [case.why, case.fix, f"Repeat it at {repeat(result, exam)}"] if is_failed(result) else []
    if result.findings:
        notes.append(f"Verdict: {', '.join(result.findings)}")
    more = "".join(f"<small>{escape(note)}</small>" for note in notes)
    return (
        f'<tr><td class="{kind}">{MARKS.get(grade, "✗")} {grade}</td><td>{case.level}</td>'
        f"<td><code>{escape(case.name)}</code></td><td>{escape(result.verdict.said)}{more}</td></tr>"
    )


FORMATS: dict[str, Callable[[Exam], str]] = {".json": as_json, ".xml": junit, ".md": markdown, ".html": html}
"""The report formats by file extension."""


def listing(level: Sequence[Level] = (MUST, SHOULD)) -> str:
    """Returns the cases as a table."""
    width, fault = max(map(len, CASES)), max(len(case.fault) for case in CASES.values())
    lines = []
    for group in PROGRAMME:
        lines.append(group.title)
        lines += [
            f"  {case.level:<6}  {case.name:<{width}}  {case.fault:<{fault}}  {case.expected}"
            for case in group.cases
            if case.level in level
        ]
        lines.append("")
    return "\n".join(lines).rstrip()
