"""Waiting indefinitely for the first token."""

from collections.abc import Iterator

from emulator.verdict.attempts import SILENT_PARTS, Attempt
from emulator.verdict.base import Check, Evidence, Found, Open, numbers, seconds

NOTICEABLE = 1.0


def judge(evidence: Evidence) -> Iterator[Found | Open]:
    """Checks answers with keep-alives and nothing else, which a read timeout doesn't detect."""
    limit = evidence.limits.first_token
    for attempt in evidence.attempts:
        beats, length = waiting_for_token(attempt)
        if beats == 0 or length < min(NOTICEABLE, limit):
            continue
        if length >= limit and attempt.is_real:
            yield Found(
                numbers(attempt),
                f"For {seconds(length)} exchange {attempt.number} sent nothing but "
                f"{beats} keep-alives, and the client stayed.",
            )
        elif attempt.ended != "client_closed":
            yield Open(
                numbers(attempt),
                f"{seconds(limit)} without a token: it was {seconds(length)}"
                if attempt.is_real
                else "a clock that is real: the wait passed on a virtual one",
            )


def waiting_for_token(attempt: Attempt) -> tuple[int, float]:
    """Returns the number of keep-alives before the first token, and how long it took, or has taken so far."""
    beats = 0
    for frame in attempt.row["frames"]:
        if frame["sent"] is None:
            break
        if frame["part"] not in SILENT_PARTS:
            return beats, float(frame["sent"])
        beats += frame["part"] in ("comment", "ping")
    end = attempt.duration if attempt.duration is not None else float(attempt.row.get("age") or 0.0)
    return beats, end


CHECK = Check(
    "no_first_token_timeout",
    "SHOULD",
    "Waits indefinitely for the first token while keep-alives arrive.",
    "AWS Builders’ Library, “Timeouts, retries, and backoff with jitter”",
    "set a timeout on any remote call, and generally on any call across processes even on the same box",
    "In addition to the read timeout, set a deadline for the first token that comments, pings and blank lines do "
    "not extend.",
    judge,
)
