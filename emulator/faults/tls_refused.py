"""A TLS handshake is refused."""

from typing import ClassVar, Literal

from emulator.faults.base import Family, HandshakeFault
from emulator.wire import Handshake


class TlsRefused(HandshakeFault):
    """Refuses the TLS handshake."""

    family: ClassVar[Family] = "connection"
    effect: ClassVar[str] = "The alert handshake_failure instead of a TLS handshake."
    tests: ClassVar[str] = "An error below HTTP is reported as such, and not retried without a pause."
    how: ClassVar[Handshake] = "refuse"

    kind: Literal["tls_refused"] = "tls_refused"
