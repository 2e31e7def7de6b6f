"""What a client says by a header of a later request of how an earlier exchange ended for it.

`X-Emulator-Acknowledge: OUTCOME` speaks of the exchange before, on the same connection if there is one;
`NUMBER=OUTCOME` of that exchange. Several are separated by commas. What was said by `acknowledge` goes before.
"""

from collections.abc import Sequence

from emulator.verdict.attempts import WORDS, Attempt

HEADER = "x-emulator-acknowledge"


def applied(attempts: Sequence[Attempt]) -> Sequence[Attempt]:
    """The same attempts, each with what was said of it."""
    numbered = {attempt.number: attempt for attempt in attempts}
    for place, attempt in enumerate(attempts):
        for word in attempt.headers.get(HEADER, "").split(","):
            number, equals, outcome = word.strip().rpartition("=")
            said = WORDS.get(outcome.lower())
            if said is None:
                continue
            meant = numbered.get(int(number) if number.isdecimal() else -1) if equals else _before(attempts, place)
            if meant is not None and meant is not attempt and meant.acknowledged is None:
                meant.acknowledged = said
    return attempts


def _before(attempts: Sequence[Attempt], place: int) -> Attempt | None:
    earlier = list(reversed(attempts[:place]))
    same = [each for each in earlier if each.connection == attempts[place].connection]
    return next(iter(same or earlier), None)
