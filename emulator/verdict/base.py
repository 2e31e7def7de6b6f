"""Findings, and the evidence that checks get."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import field, replace
from typing import Any, Literal

from emulator.errors import UsageError, did_you_mean
from emulator.records import record
from emulator.verdict.attempts import Attempt
from emulator.verdict.calls import Call, FollowUp

Severity = Literal["MUST", "SHOULD"]


@record
class Limits:
    """Expectations of the client for which no standard gives a number."""

    silence: float = 60.0
    """Seconds without a byte after which a client should have given up."""
    first_token: float = 120.0
    """Seconds without a token after which a client should have given up, even if it received other bytes."""


@record
class Evidence:
    """Everything in the journal, in order."""

    attempts: tuple[Attempt, ...]
    calls: tuple[Call, ...]
    follow_ups: tuple[FollowUp, ...]
    limits: Limits

    def after(self, attempt: Attempt) -> list[FollowUp]:
        """Returns what later requests contain of an answer."""
        return [each for each in self.follow_ups if each.attempt is attempt]

    def siblings(self, attempt: Attempt) -> list[Attempt]:
        """Returns the exchanges with the same question, including this one."""
        return [each for each in self.attempts if each.spoken == attempt.spoken] if attempt.spoken else [attempt]


@record
class Found:
    """Something that a client did, with the exchanges that show it."""

    exchanges: tuple[int, ...]
    explanation: str


@record
class Open:
    """Something that the journal can't show, and how to make it visible."""

    exchanges: tuple[int, ...]
    needs: str


@record
class Check:
    """One mistake that a client may make."""

    code: str
    severity: Severity
    meaning: str
    """The mistake, in a sentence."""
    source: str
    """The source of the rule."""
    sentence: str
    """The rule: a verbatim sentence from that contract or standard."""
    fix: str
    """What to change in the client."""
    judge: Callable[[Evidence], Iterator[Found | Open]]

    @property
    def rule(self) -> str:
        """The rule with its source."""
        return f"{self.source}: “{self.sentence}”"


@record
class Finding:
    """A mistake that a client made."""

    check: Check
    exchanges: tuple[int, ...]
    explanation: str

    @property
    def code(self) -> str:
        return self.check.code

    @property
    def severity(self) -> Severity:
        return self.check.severity

    @property
    def fix(self) -> str:
        return self.check.fix

    def to_dict(self) -> dict[str, Any]:
        """Returns plain data, with the rule in the explanation."""
        check = self.check
        return {
            "code": check.code,
            "severity": check.severity,
            "exchanges": list(self.exchanges),
            "explanation": f"{self.explanation} {check.rule}",
            "fix": check.fix,
        }


@record
class Unknown:
    """A question that could not be decided."""

    check: Check
    exchanges: tuple[int, ...]
    needs: str

    @property
    def code(self) -> str:
        return self.check.code

    def to_dict(self) -> dict[str, Any]:
        """Returns plain data."""
        return {"code": self.check.code, "exchanges": list(self.exchanges), "needs": self.needs}


@record
class Verdict:
    """What a journal shows about a client."""

    findings: tuple[Finding, ...]
    unknown: tuple[Unknown, ...]
    statuses: Mapping[int, int] = field(default_factory=dict)
    """The status of each examined exchange, by its number."""

    @property
    def exchanges(self) -> int:
        """The number of examined exchanges."""
        return len(self.statuses)

    @property
    def has_failed(self) -> bool:
        """Whether there is a MUST finding."""
        return any(finding.severity == "MUST" for finding in self.findings)

    def to_dict(self) -> dict[str, Any]:
        """Returns plain data."""
        return {
            "findings": [finding.to_dict() for finding in self.findings],
            "unknown": [unknown.to_dict() for unknown in self.unknown],
        }

    def without(self, baseline: Mapping[str, int]) -> "Verdict":
        """Returns the verdict without known findings: this many of each code."""
        left = dict(baseline)
        kept: list[Finding] = []
        for finding in self.findings:
            if left.get(finding.code, 0) > 0:
                left[finding.code] -= 1
            else:
                kept.append(finding)
        return replace(self, findings=tuple(kept))

    def allowing(self, codes: Iterable[str]) -> "Verdict":
        """Returns the verdict without findings of these codes. Raises UsageError for an unknown code."""
        from emulator.verdict import CHECKS

        allowed = set(codes)
        for code in sorted(allowed - CHECKS.keys()):
            raise UsageError(f"There is no finding '{code}'.{did_you_mean(code, list(CHECKS))}")
        return replace(self, findings=tuple([each for each in self.findings if each.code not in allowed]))


def joined(verdicts: Sequence[Verdict]) -> Verdict:
    """Merges the verdicts on several namespaces; exchanges keep the numbers of their namespaces."""
    findings = sorted((each for verdict in verdicts for each in verdict.findings), key=lambda each: each.severity)
    unknown = tuple([each for verdict in verdicts for each in verdict.unknown])
    statuses = {number: status for verdict in reversed(verdicts) for number, status in verdict.statuses.items()}
    return Verdict(tuple(findings), unknown, statuses)


def numbers(*attempts: Attempt) -> tuple[int, ...]:
    """Returns the numbers of exchanges, in order, each once."""
    return tuple(sorted({attempt.number for attempt in attempts}))


def seconds(value: float) -> str:
    """Formats a duration."""
    return f"{value * 1000:.0f} ms" if value < 0.9995 else f"{value:.3g} s"
