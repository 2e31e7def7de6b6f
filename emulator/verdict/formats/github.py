"""A verdict as workflow commands, which GitHub shows as annotations."""

from emulator.verdict.base import Finding, Verdict
from emulator.verdict.formats.text import summary

LEVELS = {"MUST": "error", "SHOULD": "warning"}


def as_github(verdict: Verdict) -> str:
    """Returns a line for each finding, and a summary line."""
    return "\n".join([*map(_line, verdict.findings), f"::notice title=Verdict::{_data(summary(verdict))}"])


def _line(finding: Finding) -> str:
    exchanges = ", ".join(map(str, finding.exchanges[:10]))
    message = f"{finding.explanation}\n{finding.fix}\nExchanges: {exchanges}"
    return f"::{LEVELS[finding.severity]} title={finding.severity} {finding.code}::{_data(message)}"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
