"""Resets TLS handshakes."""

from typing import ClassVar, Literal

from emulator.faults.base import Family, HandshakeFault
from emulator.wire import Handshake


class TlsReset(HandshakeFault):
    """Resets the connection in the middle of its TLS handshake."""

    family: ClassVar[Family] = "connection"
    effect: ClassVar[str] = "RST after the client's first bytes of a TLS handshake."
    tests: ClassVar[str] = "The client retries: nothing was sent when the connection died."
    how: ClassVar[Handshake] = "reset"

    kind: Literal["tls_reset"] = "tls_reset"
