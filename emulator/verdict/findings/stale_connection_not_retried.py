"""Failing because an idle connection was closed."""

from collections.abc import Iterator

from emulator.verdict.attempts import Attempt
from emulator.verdict.base import Check, Evidence, Found, Open, numbers

SETTLED = 2.0
"""Seconds within which the request would have been sent again."""


def judge(evidence: Evidence) -> Iterator[Found | Open]:
    """Checks connections that ended when the next request arrived: that request must be sent again on another one."""
    seen: set[int] = set()
    for attempt in evidence.attempts:
        socket = attempt.row.get("socket") or {}
        moment = socket.get("turned_away")
        if moment is None or attempt.connection in seen:
            continue
        seen.add(attempt.connection)
        later = [each for each in evidence.attempts if each.arrived >= moment]
        if any(_is_it(each, socket.get("turned_away_body"), socket.get("turned_away_size")) for each in later):
            continue
        if later or socket["seen"] - moment >= SETTLED:
            yield Found(
                numbers(attempt),
                f"Connection {attempt.connection}, idle since exchange {attempt.number}, ended when the next request "
                "arrived; that request was never sent again.",
            )
        else:
            yield Open(numbers(attempt), f"{SETTLED:g} seconds more, in which the request may be sent again")


def _is_it(attempt: Attempt, digest: str | None, size: int | None) -> bool:
    """Whether an exchange is the request that was lost at the end of the connection, as far as that is known."""
    if digest is not None and attempt.row.get("body_digest") is not None:
        return bool(attempt.row["body_digest"] == digest)
    return size is None or bool(attempt.row["request"]["size"] == size)


CHECK = Check(
    "stale_connection_not_retried",
    "SHOULD",
    "Fails when an idle connection turns out to be closed, instead of opening a new one.",
    "RFC 9112, section 9.5",
    "A client, server, or proxy MAY close the transport connection at any time. For example, a client might have "
    'started to send a new request at the same time that the server has decided to close the "idle" connection.',
    "If a reused connection closes before the first byte of the answer, retry once, immediately, on a new one.",
    judge,
)
