"""A certificate comes from an authority that nobody knows."""

from typing import ClassVar, Literal

from emulator.faults.base import Family, HandshakeFault
from emulator.wire import Handshake


class TlsUnknownCa(HandshakeFault):
    """Shows a certificate of an unknown authority."""

    family: ClassVar[Family] = "connection"
    effect: ClassVar[str] = (
        "A TLS handshake with a certificate of an authority that the client cannot know, as behind a corporate proxy."
    )
    tests: ClassVar[str] = "The client verifies the authority, and says what to do about it."
    how: ClassVar[Handshake] = "unknown_ca"

    kind: Literal["tls_unknown_ca"] = "tls_unknown_ca"
