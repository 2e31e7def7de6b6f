"""Whether one match covers another, and whether any request can meet a match at all.

Both answer only what is certain: when in doubt, `covers` says no and `contradiction` says nothing. Each condition knows
what is certain about itself.
"""

from collections.abc import Sequence

from emulator.matching.conditions import conditions, contradiction_in, follow_from
from emulator.matching.conditions.base import Impossible
from emulator.matching.conditions.combined import Conditions
from emulator.scenario.models import Match


def compiled(match: Match, normalize: Sequence[str] = ()) -> Conditions:
    """The conditions of a single match."""
    return tuple(conditions(match, normalize, is_outermost=True))


def covers(wide: Conditions, narrow: Conditions) -> bool:
    """Whether every request that `narrow` matches is matched by `wide`, as far as can be determined."""
    return follow_from(wide, narrow)


def contradiction(wanted: Conditions) -> Impossible | None:
    """Why no request can meet a match, and where in it; None if one may."""
    return contradiction_in(wanted)
