"""Presents an expired certificate."""

from typing import ClassVar, Literal

from emulator.faults.base import Family, HandshakeFault
from emulator.wire import Handshake


class TlsExpired(HandshakeFault):
    """Presents a certificate that expired yesterday."""

    family: ClassVar[Family] = "connection"
    effect: ClassVar[str] = "A TLS handshake with a certificate that expired yesterday."
    tests: ClassVar[str] = "The client verifies certificates, and doesn't retry what can't succeed."
    how: ClassVar[Handshake] = "expired"

    kind: Literal["tls_expired"] = "tls_expired"
