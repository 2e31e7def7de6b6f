"""Whether one match takes all that another takes, and whether any request can meet one at all.

Both are answered only where it is sure: `covers` says no and `contradiction` says nothing when in doubt. What is sure
of one condition, the condition says itself.
"""

from collections.abc import Sequence

from emulator.matching.conditions import conditions, contradiction_in, follow_from
from emulator.matching.conditions.base import Impossible
from emulator.matching.conditions.combined import Conditions
from emulator.scenario.models import Match


def compiled(match: Match, normalize: Sequence[str] = ()) -> Conditions:
    """The conditions of a match that stands alone in its rule."""
    return tuple(conditions(match, normalize, is_outermost=True))


def covers(wide: Conditions, narrow: Conditions) -> bool:
    """Whether every request that `narrow` matches is matched by `wide`, as far as can be determined."""
    return follow_from(wide, narrow)


def contradiction(wanted: Conditions) -> Impossible | None:
    """Why no request meets a match, and where in it; None when one may."""
    return contradiction_in(wanted)
