"""A verdict as JUnit XML: a test case for each possible finding."""

from collections.abc import Iterator
from xml.sax.saxutils import escape, quoteattr

from emulator.verdict import CHECKS
from emulator.verdict.base import Verdict


def as_junit(verdict: Verdict, source: str) -> str:
    """Returns a test case for each code: MUST findings fail it, SHOULD findings are its output, unknown ones
    skip it."""
    failed = {finding.code for finding in verdict.findings if finding.severity == "MUST"}
    found = {finding.code for finding in verdict.findings}
    unknown = {each.code for each in verdict.unknown} - found
    counts = f'tests="{len(CHECKS)}" failures="{len(failed)}" errors="0" skipped="{len(unknown)}"'
    cases = "".join(case for code in CHECKS for case in _case(code, verdict))
    suite = f'<testsuite name="emulator verdict" package={quoteattr(_clean(source))} {counts}>\n{cases}</testsuite>\n'
    return f'<?xml version="1.0" encoding="UTF-8"?>\n<testsuites {counts}>\n{suite}</testsuites>\n'


def _case(code: str, verdict: Verdict) -> Iterator[str]:
    findings = [finding for finding in verdict.findings if finding.code == code]
    unknown = [each for each in verdict.unknown if each.code == code]
    name = f'<testcase classname="emulator.verdict" name="{code}"'
    if findings:
        text = "\n".join(f"exchanges {', '.join(map(str, each.exchanges))}: {each.explanation}" for each in findings)
        details = f"{text}\n{CHECKS[code].rule}\n{CHECKS[code].fix}"
        if findings[0].severity == "MUST":
            message = quoteattr(_clean(findings[0].explanation))
            yield f'{name}>\n<failure type="MUST" message={message}>{escape(_clean(details))}</failure>\n</testcase>\n'
        else:
            yield f"{name}>\n<system-out>SHOULD: {escape(_clean(details))}</system-out>\n</testcase>\n"
    elif unknown:
        yield f"{name}>\n<skipped message={quoteattr(_clean(f'unknown: needs {unknown[0].needs}'))}/>\n</testcase>\n"
    else:
        yield f"{name}/>\n"


def _clean(text: str) -> str:
    """Returns a text without the characters that XML can't contain."""
    return "".join(
        c
        if c in "\t\n" or (ord(c) >= 32 and not 0xD800 <= ord(c) <= 0xDFFF and ord(c) not in (0xFFFE, 0xFFFF))
        else "�"
        for c in text
    )
