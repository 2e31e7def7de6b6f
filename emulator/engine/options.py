"""Server-wide defaults, for whatever a scenario doesn't set."""

from typing import Literal

from emulator.faults.base import Fault
from emulator.faults.selection import BY_REQUEST, Source
from emulator.pace import Pace
from emulator.records import record


@record
class Options:
    """Server-wide defaults, for whatever a scenario doesn't set."""

    pace: Pace | None = None
    """The pace of streams if no file sets one; None sends everything at once."""
    speed: float = 1.0
    """Multiplies all paces."""
    unmatched: Literal["generate", "error"] = "generate"
    """What to do with a request that matches no rule, if no file says so."""
    faults: tuple[Fault, ...] = ()
    """The faults that apply to every answer."""
    request_faults: frozenset[Source] = frozenset(BY_REQUEST)
    """How requests may ask for faults: header, key, url."""
    worker: int = 0
    """The number of this process among several on one port; 0 if it is the only one."""
    salt: int = 0
    """Part of all ids that this process makes alone, so that no two processes make the same ones."""
    allows_code: bool = False
    """Whether scenarios may refer to Python functions."""
    speaks_tls: bool = False
    """Whether clients connect with TLS, so that faults can break handshakes."""
