"""Groups exchanges: the attempts of one call, and the follow-ups, whose history contains an answer.

Attempts are recognized by the client's own data (its retry count, an idempotency key), otherwise by conversation and
time: the same turns, sent again after a failed attempt. Bodies need not be equal, and equal bodies aren't attempts of
one call if nothing had failed or if they were sent in parallel.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from emulator.dialects.turns import Turn
from emulator.records import record
from emulator.verdict.attempts import Attempt, stayed

MAX_GAP = 900.0
"""Seconds after which the same conversation is a new call."""
PATIENCE = 1.0
"""Seconds on an open connection after the end of an answer, after which the client counts as waiting for more."""
_VARIABLE = re.compile(r"[0-9a-fA-F]{8,}|\d+")
"""What clients may change for each attempt: times, counters, ids."""


@dataclass(slots=True, eq=False)
class Call:
    """The attempts of one call, in order."""

    attempts: list[Attempt] = field(default_factory=list)
    resumed: set[int] = field(default_factory=set)
    """The numbers of attempts that continue a partial answer instead of starting again."""

    @property
    def last(self) -> Attempt:
        return self.attempts[-1]

    def pairs(self) -> Iterator[tuple[Attempt, Attempt]]:
        """Yields each attempt with the next one to the same target: a fail-over is not a retry."""
        newest: dict[object, Attempt] = {}
        for attempt in self.attempts:
            if attempt.target in newest:
                yield newest[attempt.target], attempt
            newest[attempt.target] = attempt

    def has_moved(self) -> bool:
        """Whether the call tried another provider, model or key."""
        return len({attempt.target for attempt in self.attempts}) > 1


def calls_of(attempts: Sequence[Attempt]) -> tuple[Call, ...]:
    """Groups the attempts; each is in exactly one call."""
    calls: list[Call] = []
    unfinished = _Unfinished()
    by_key: dict[str, Call] = {}
    for attempt in attempts:
        call = by_key.get(attempt.idempotency_key or "") or unfinished.call_of(attempt)
        if call is None:
            call = Call()
            calls.append(call)
        if call.attempts and _is_resumed(call.last, attempt):
            call.resumed.add(attempt.number)
        call.attempts.append(attempt)
        unfinished.note(call)
        if attempt.idempotency_key:
            by_key[attempt.idempotency_key] = call
    return tuple(calls)


class _Unfinished:
    """The calls that may continue, by the properties of their next attempt."""

    def __init__(self) -> None:
        self._failed: dict[object, list[Call]] = {}
        self._counted: dict[object, list[Call]] = {}

    def note(self, call: Call) -> None:
        """Adds an attempt to a call."""
        last = call.last
        if _is_failed(last) and last.acknowledged != "complete":
            self._failed.setdefault(_conversation(last), []).append(call)
        if last.retry_count is not None:
            self._counted.setdefault(_count_of(last, last.retry_count + 1), []).append(call)

    def call_of(self, attempt: Attempt) -> Call | None:
        """Returns the call that an attempt belongs to, if there is one."""
        if attempt.retry_count:
            found = self._newest(self._counted, _count_of(attempt, attempt.retry_count), attempt, _may_be_counted)
            if found is not None:
                return found
        return self._newest(self._failed, _conversation(attempt), attempt, _may_be_repeated)

    @staticmethod
    def _newest(
        calls: dict[object, list[Call]], key: object, attempt: Attempt, fits: Callable[[Attempt, Attempt], bool]
    ) -> Call | None:
        """Returns the call whose last attempt is the most similar: the same conversation, failed, on the same
        connection, longest ago.
        """
        noted = calls.get(key, [])
        found = [(call, call.last) for call in noted if fits(call.last, attempt)]
        if not found:
            return None
        turns = _conversation(attempt)
        best, _ = min(
            found,
            key=lambda each: (
                _conversation(each[1]) != turns,
                not _is_failed(each[1]),
                each[1].connection != attempt.connection,
                each[1].over,
            ),
        )
        noted.remove(best)
        return best


def _conversation(attempt: Attempt) -> tuple[object, ...]:
    """Returns what the attempts of a call have in common; for a truncated body, its beginning."""
    if attempt.turns:
        return tuple([turn for turn in attempt.turns if not _is_open_end(attempt, turn)])
    return (attempt.row["path"], attempt.row["request"]["body"])


def _is_open_end(attempt: Attempt, turn: Turn) -> bool:
    """Whether a turn is the beginning of the requested answer."""
    return turn is attempt.turns[-1] and turn.role == "assistant"


def _count_of(attempt: Attempt, count: int) -> object:
    """Returns what the attempt with this retry count must have: the same client and target, and the same last turn,
    except for what clients may change.
    """
    turns = _conversation(attempt)
    last = turns[-1] if turns else ""
    outline = _VARIABLE.sub("#", last.text[:4096] if isinstance(last, Turn) else str(last)[:4096])
    return outline, attempt.client, attempt.target, count


def _may_be_counted(last: Attempt, attempt: Attempt) -> bool:
    """Whether the client itself says that this is the next attempt. After a complete answer, that counts only on the
    same connection or if it was given up; otherwise, the attempt in between may have been lost before it reached a
    server.
    """
    if last.retry_count is None or last.retry_count + 1 != attempt.retry_count:
        return False
    if not last.is_whole or not _ends_before(last, attempt):
        return True
    is_given_up = last.ended == "client_closed" and stayed(last) >= PATIENCE
    return last.connection == attempt.connection or last.acknowledged == "failed" or is_given_up


def _may_be_repeated(last: Attempt, attempt: Attempt) -> bool:
    """Whether the same conversation is sent again after a failure."""
    return (
        _is_failed(last)
        and last.ended is not None
        and _ends_before(last, attempt)
        and attempt.received - last.over <= MAX_GAP
    )


def _is_failed(attempt: Attempt) -> bool:
    """Whether an answer is incomplete, or the client says that it failed."""
    return not attempt.is_whole or attempt.acknowledged == "failed"


def _ends_before(earlier: Attempt, later: Attempt) -> bool:
    """Whether an answer was over when a later request came. The end of one is noted before its last bytes are sent, so
    that is true of each answer that its client had whole, whichever process received the later request.
    """
    if earlier.is_real:
        return earlier.over <= later.received + 0.001
    return earlier.over <= later.received or earlier.arrived < later.arrived


def _is_resumed(last: Attempt, attempt: Attempt) -> bool:
    """Whether an attempt continues the partial answer of the previous one."""
    if not attempt.turns or not _is_open_end(attempt, attempt.turns[-1]):
        return False
    end = attempt.turns[-1].text.strip()
    return any(end == turn.text.strip() for turn in last.output)


@record
class FollowUp:
    """A later request whose history contains the client's version of an answer."""

    attempt: Attempt
    """The exchange with the answer."""
    turn: Turn
    """The later request's turn in place of the answer."""
    later: Attempt
    is_last: bool
    """Whether the turn is the last one of the later request, so that the model continues it."""


def follow_ups(attempts: Sequence[Attempt]) -> tuple[FollowUp, ...]:
    """Finds, for each answer, the first later request with a turn in its place."""
    by_turns: dict[int, list[Attempt]] = {}
    for attempt in attempts:
        if attempt.spoken and not attempt.is_refused:
            by_turns.setdefault(_beginnings(_asked(attempt))[-1], []).append(attempt)
    found: list[FollowUp] = []
    seen: set[tuple[int, int]] = set()
    for later in attempts:
        spoken = later.spoken
        beginnings = _beginnings(spoken)
        for place, turn in enumerate(spoken):
            if turn.role != "assistant" or not place:
                continue
            for attempt in by_turns.get(beginnings[place], ()):
                is_new = (attempt.number, hash(turn)) not in seen
                if is_new and attempt is not later and attempt.arrived <= later.arrived:
                    seen.add((attempt.number, hash(turn)))
                    is_last = place == len(spoken) - 1 or turn.is_prefix
                    found.append(FollowUp(attempt, turn, later, is_last))
    return tuple(found)


def _asked(attempt: Attempt) -> tuple[Turn, ...]:
    """Returns the turns of a request without a beginning of the answer."""
    spoken = attempt.spoken
    return spoken[:-1] if spoken[-1].role == "assistant" else spoken


def _beginnings(turns: Sequence[Turn]) -> list[int]:
    """Returns a number for each prefix of a conversation: no turn, the first, the first two, …"""
    found = [0]
    for turn in turns:
        found.append(hash((found[-1], turn)))
    return found
