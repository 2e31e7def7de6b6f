"""Rejects TLS handshakes."""

from typing import ClassVar, Literal

from emulator.faults.base import Family, HandshakeFault
from emulator.wire import Handshake


class TlsRefused(HandshakeFault):
    """Rejects the TLS handshake."""

    family: ClassVar[Family] = "connection"
    effect: ClassVar[str] = "The alert handshake_failure instead of a TLS handshake."
    tests: ClassVar[str] = "The client reports an error below HTTP as such, and doesn't retry without a pause."
    how: ClassVar[Handshake] = "refuse"

    kind: Literal["tls_refused"] = "tls_refused"
