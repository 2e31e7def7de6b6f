"""Reports what a client did wrong, from the journal and from the client's own acknowledgments, without guessing.

`judge(rows)` takes exchanges in the form of `Exchange.details()` or `journal/export`. Every finding is one file in
`findings/` and one row of `CHECKS`: a plain function over `Evidence` that knows no vendor and no dialect. The
`WireShape` of the exchange reads its wire format (`attempts.py`).
"""

from collections.abc import Iterable, Mapping
from itertools import islice

from emulator.verdict import acknowledged
from emulator.verdict.attempts import Attempt, Row, attempt_of
from emulator.verdict.base import Check, Evidence, Finding, Found, Limits, Unknown, Verdict, joined
from emulator.verdict.calls import calls_of, follow_ups
from emulator.verdict.findings import (
    charged_twice,
    comment_as_data,
    deprecated_or_ignored_parameter,
    duplicate_after_timeout,
    error_event_ignored,
    gave_up_on_retryable,
    key_leaked,
    left_open_after_abort,
    never_closed,
    no_backoff,
    no_first_token_timeout,
    no_jitter,
    no_read_timeout,
    oversized_context_resent,
    reasoning_dropped,
    reasoning_passed_when_refused,
    retried_after_output,
    retried_non_retryable,
    retry_after_ignored,
    retry_storm,
    signature_dropped,
    stale_connection_not_retried,
    tool_arguments_replayed_invalid,
    truncated_stream_accepted,
    usage_lost,
    wrong_dialect_end,
)

__all__ = ["CHECKS", "Check", "Finding", "Limits", "Unknown", "Verdict", "joined", "judge"]

MAX_PER_CODE = 100
"""The maximum findings of one code: more would add nothing."""

CHECKS: Mapping[str, Check] = {
    check.code: check
    for check in (
        retry_after_ignored.CHECK,
        retried_non_retryable.CHECK,
        retry_storm.CHECK,
        no_backoff.CHECK,
        no_jitter.CHECK,
        gave_up_on_retryable.CHECK,
        stale_connection_not_retried.CHECK,
        duplicate_after_timeout.CHECK,
        charged_twice.CHECK,
        retried_after_output.CHECK,
        truncated_stream_accepted.CHECK,
        error_event_ignored.CHECK,
        comment_as_data.CHECK,
        wrong_dialect_end.CHECK,
        tool_arguments_replayed_invalid.CHECK,
        reasoning_dropped.CHECK,
        reasoning_passed_when_refused.CHECK,
        signature_dropped.CHECK,
        oversized_context_resent.CHECK,
        no_read_timeout.CHECK,
        no_first_token_timeout.CHECK,
        left_open_after_abort.CHECK,
        never_closed.CHECK,
        usage_lost.CHECK,
        deprecated_or_ignored_parameter.CHECK,
        key_leaked.CHECK,
    )
}
"""The checks by code."""


def judge(rows: Iterable[Row], limits: Limits | None = None) -> Verdict:
    """Returns a verdict on the client that made these exchanges."""
    attempts = acknowledged.applied([attempt_of(row) for row in rows])
    judged = tuple(sorted(filter(_is_judged, attempts), key=lambda each: (each.arrived, each.number)))
    evidence = Evidence(judged, calls_of(judged), follow_ups(judged), limits or Limits())
    findings: list[Finding] = []
    unknown: list[Unknown] = []
    for check in CHECKS.values():
        for each in islice(check.judge(evidence), MAX_PER_CODE):
            if isinstance(each, Found):
                findings.append(Finding(check, each.exchanges, each.explanation))
            else:
                unknown.append(Unknown(check, each.exchanges, each.needs))
    findings.sort(key=lambda finding: finding.severity)
    return Verdict(tuple(findings), tuple(unknown), {each.number: each.status for each in judged})


def _is_judged(attempt: Attempt) -> bool:
    """Without requests that the emulator itself refused, since the client may be right there."""
    return bool(attempt.provider) and attempt.row["method"] == "POST" and not _is_own(attempt)


def _is_own(attempt: Attempt) -> bool:
    return "x-emulator-error" in attempt.response_headers
