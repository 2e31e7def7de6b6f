"""A verdict for people: what happened, which rule it broke, what to change."""

import textwrap
from collections.abc import Iterator, Sequence
from itertools import groupby

from emulator.verdict.base import Finding, Unknown, Verdict

MAX_WIDTH = 100
MIN_WIDTH = 50
MAX_SHOWN = 3
"""The maximum occurrences of a code that are shown."""
MAX_CHAIN = 6
"""The maximum exchanges that are listed."""
COLORS = {"MUST": "1;31", "SHOULD": "1;33", "unknown": "36", "ok": "1;32", "dim": "2", "bold": "1"}
SIGNS = {"MUST": "✗", "SHOULD": "!", "unknown": "?"}
INDENT = 10


class Painter:
    """Colors text, if colors are on."""

    def __init__(self, is_colored: bool) -> None:
        self.is_colored = is_colored

    def __call__(self, text: str, color: str) -> str:
        return f"\x1b[{COLORS[color]}m{text}\x1b[0m" if self.is_colored and text else text


def as_text(verdict: Verdict, *, width: int = MAX_WIDTH, is_colored: bool = False, notes: Sequence[str] = ()) -> str:
    """Returns the whole verdict, with `notes` and a summary line at the end."""
    paint = Painter(is_colored)
    width = max(MIN_WIDTH, min(width, MAX_WIDTH))
    blocks = [
        "\n".join(_block(list(findings), verdict, width, paint))
        for _, findings in groupby(verdict.findings, key=lambda each: each.code)
    ]
    if verdict.unknown:
        blocks.append("\n".join(_open(verdict, width, paint)))
    if notes:
        blocks.append("\n".join(notes))
    return "\n\n".join([*blocks, summary(verdict, paint)])


def summary(verdict: Verdict, paint: Painter | None = None) -> str:
    """Returns the summary line with the counts."""
    paint = paint or Painter(False)
    among = f"in {verdict.exchanges} exchange{'' if verdict.exchanges == 1 else 's'}"
    musts = sum(finding.severity == "MUST" for finding in verdict.findings)
    shoulds = len(verdict.findings) - musts
    parts = [paint(f"{musts} MUST", "MUST")] if musts else []
    parts += [paint(f"{shoulds} SHOULD", "SHOULD")] if shoulds else []
    if not parts:
        parts.append(paint("✓ no findings about the client", "ok"))
    if verdict.unknown:
        parts.append(paint(f"{len(verdict.unknown)} unknown", "unknown"))
    return f"{', '.join(parts)} {among}"


def failure(verdict: Verdict) -> str:
    """Returns an assertion's message: the findings with their codes and the statuses of exchanges; empty if none."""
    if not verdict.findings:
        return ""
    lines = [summary(verdict)]
    for finding in verdict.findings:
        lines.append(
            f"  {finding.severity} {finding.code} ({chain(finding.exchanges, verdict)}): {finding.explanation}"
        )
        lines.append(f"    {finding.fix}")
    return "\n".join(lines)


def chain(exchanges: Sequence[int], verdict: Verdict) -> str:
    """Returns the exchanges with their statuses: `#3 429 → #4 200`."""
    shown = list(exchanges)
    more = ""
    if len(shown) > MAX_CHAIN:
        more = f" → … {len(shown) - MAX_CHAIN} more … → "
        return _chained(shown[: MAX_CHAIN - 1], verdict) + more + _chained(shown[-1:], verdict)
    return _chained(shown, verdict)


def _chained(exchanges: Sequence[int], verdict: Verdict) -> str:
    return " → ".join(f"#{number} {verdict.statuses.get(number) or 'no answer'}" for number in exchanges)


def _block(findings: Sequence[Finding], verdict: Verdict, width: int, paint: Painter) -> Iterator[str]:
    first = findings[0]
    check = first.check
    count = f" ×{len(findings)}" if len(findings) > 1 else ""
    head = f"{SIGNS[first.severity]} {first.severity:<{INDENT - 2}}"
    yield f"{paint(head, first.severity)}{paint(first.code, 'bold')}{count}  {paint(check.meaning, 'dim')}"
    for finding in findings[:MAX_SHOWN]:
        yield from _wrapped(chain(finding.exchanges, verdict), width, paint, "bold")
        yield from _wrapped(finding.explanation, width, paint)
    if len(findings) > MAX_SHOWN:
        yield from _wrapped(f"… and {len(findings) - MAX_SHOWN} more", width, paint, "dim")
    yield from _wrapped(check.rule, width, paint, "dim")
    yield from _wrapped(f"→ {check.fix}", width, paint, "ok", hanging=2)


def _open(verdict: Verdict, width: int, paint: Painter) -> Iterator[str]:
    def same(unknown: Unknown) -> tuple[str, str]:
        return unknown.code, unknown.needs

    for (code, needs), rows in groupby(verdict.unknown, key=same):
        numbers = [f"#{number}" for row in rows for number in row.exchanges]
        shown = ", ".join(numbers[:MAX_CHAIN]) + (
            f" and {len(numbers) - MAX_CHAIN} more" if len(numbers) > MAX_CHAIN else ""
        )
        head = f"{SIGNS['unknown']} {'unknown':<{INDENT - 2}}"
        yield f"{paint(head, 'unknown')}{code}  {paint(shown, 'dim')}"
        yield from _wrapped(f"needs {needs}", width, paint, "dim")


def _wrapped(text: str, width: int, paint: Painter, color: str = "", hanging: int = 0) -> Iterator[str]:
    lines = textwrap.wrap(text, width - INDENT, subsequent_indent=" " * hanging, break_on_hyphens=False)
    for line in lines:
        yield " " * INDENT + (paint(line, color) if color else line)
