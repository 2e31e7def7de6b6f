"""Acknowledgments in the headers of later requests: how an earlier exchange ended for the client.

`X-Emulator-Acknowledge: OUTCOME` refers to the previous exchange, on the same connection if there is one, and
`NUMBER=OUTCOME` to that exchange. Several are separated by commas. The control API's `acknowledge` takes precedence.
"""

from collections.abc import Sequence

from emulator.verdict.attempts import WORDS, Attempt

HEADER = "x-emulator-acknowledge"


def applied(attempts: Sequence[Attempt]) -> Sequence[Attempt]:
    """Returns the attempts with their acknowledgments."""
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
