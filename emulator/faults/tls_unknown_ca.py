"""Presents a certificate of an unknown authority."""

from typing import ClassVar, Literal

from emulator.faults.base import Family, HandshakeFault
from emulator.wire import Handshake


class TlsUnknownCa(HandshakeFault):
    """Presents a certificate of an unknown authority."""

    family: ClassVar[Family] = "connection"
    effect: ClassVar[str] = "A TLS handshake with a certificate of an unknown authority, as behind a corporate proxy."
    tests: ClassVar[str] = "The client verifies the authority, and its error says what to do."
    how: ClassVar[Handshake] = "unknown_ca"

    kind: Literal["tls_unknown_ca"] = "tls_unknown_ca"
