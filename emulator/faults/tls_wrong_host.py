"""Presents a certificate for another host."""

from typing import ClassVar, Literal

from emulator.faults.base import Family, HandshakeFault
from emulator.wire import Handshake


class TlsWrongHost(HandshakeFault):
    """Presents a certificate for another host."""

    family: ClassVar[Family] = "connection"
    effect: ClassVar[str] = "A TLS handshake with a valid certificate for another host."
    tests: ClassVar[str] = "The client compares the name in the certificate with the host."
    how: ClassVar[Handshake] = "wrong_host"

    kind: Literal["tls_wrong_host"] = "tls_wrong_host"
