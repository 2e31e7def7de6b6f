"""How the server as a whole behaves, where a scenario does not say."""

from dataclasses import dataclass
from typing import Literal

from emulator.faults.base import Fault
from emulator.faults.selection import BY_REQUEST, Source
from emulator.pace import Pace


@dataclass(frozen=True, slots=True)
class Options:
    """How the server as a whole behaves, where a scenario does not say."""

    pace: Pace | None = None
    """The pace of streams when no file gives one; None: everything at once."""
    speed: float = 1.0
    """All paces are this many times as fast."""
    unmatched: Literal["generate", "error"] = "generate"
    """What a request gets that no rule answers, when no file says."""
    faults: tuple[Fault, ...] = ()
    """What goes wrong with every answer."""
    request_faults: frozenset[Source] = frozenset(BY_REQUEST)
    """Where requests may ask for faults: header, key, url."""
    worker: int = 0
    """Which of several processes on one port this is; 0: it is alone there."""
    salt: int = 0
    """Part of all ids that this process makes alone, so that no two processes make the same."""
    allows_code: bool = False
    """Whether scenarios may name Python functions."""
    speaks_tls: bool = False
    """Whether clients come by TLS: then faults of handshakes strike there."""
