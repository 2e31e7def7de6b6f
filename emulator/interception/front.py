"""TLS handshakes and what was observed in them, for the proxy and for `serve --tls`."""

import asyncio
import ssl
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from dataclasses import field
from ipaddress import ip_address
from typing import cast
from weakref import WeakSet

from emulator.interception.certificates import Authority, Flaw
from emulator.interception.tls import HandshakeEnd, TlsProtocol
from emulator.records import struct
from emulator.wire import Handshake

MakeProtocol = Callable[[], asyncio.Protocol]
FLAWS: Collection[str] = ("expired", "wrong_host", "unknown_ca")
MAX_SEEN = 1000
"""The most hosts in a report."""
LOCAL_NAMES = ("localhost", "127.0.0.1", "::1")


@struct
class Sightings:
    """Facts for the report about connections that never became requests."""

    refused: Counter[str] = field(default_factory=Counter)
    """Connections to other hosts, by `host` or `host:port`."""
    distrusted: dict[str, str] = field(default_factory=dict)
    """Hosts whose certificate a client rejected, with the reason."""
    broken: Counter[str] = field(default_factory=Counter)
    """Deliberately broken handshakes, by kind."""

    def refuse(self, host: str) -> None:
        if host in self.refused or len(self.refused) < MAX_SEEN:
            self.refused[host] += 1

    def distrust(self, host: str, reason: str) -> None:
        if host in self.distrusted or len(self.distrusted) < MAX_SEEN:
            self.distrusted[host] = reason


class TlsFront:
    """Handles TLS for a server.

    authority: makes the certificates; alternatively, `context` is a given certificate.
    address: the server's address, which clients may also use as a name.
    fault: returns the fault for a handshake, by host name."""

    def __init__(
        self,
        hosts: Mapping[str, str],
        authority: Authority | None = None,
        context: ssl.SSLContext | None = None,
        fault: Callable[[str], Handshake | None] = lambda host: None,
        address: str = LOCAL_NAMES[0],
    ) -> None:
        assert (authority is None) != (context is None)
        self.hosts = hosts
        self.seen = Sightings()
        self.fault = fault
        self._protocols: WeakSet[TlsProtocol] = WeakSet()
        self._names = (*LOCAL_NAMES, address) if is_host_name(address) else LOCAL_NAMES
        self.authority = authority
        self._context = context

    def protocol(self, inner: MakeProtocol, host: str | None = None) -> TlsProtocol:
        """Handles TLS on a connection: as `host` if the client's destination is known, otherwise as the host that it
        names in its handshake."""
        named = host or LOCAL_NAMES[0]
        fault = self.fault(named)
        flaw = cast("Flaw | None", fault if fault in FLAWS else None)
        end = cast("HandshakeEnd | None", None if flaw else fault)
        if fault is not None:
            self.seen.broken[fault] += 1

        def failed(reason: str) -> None:
            if fault is None:
                self.seen.distrust(host or named, plain_reason(reason))

        protocol = TlsProtocol(inner, self._context_for(host, flaw), failed, end)
        self._protocols.add(protocol)
        return protocol

    def stop(self) -> None:
        """Closes connections with unfinished handshakes."""
        for protocol in tuple(self._protocols):
            protocol.stop()

    def _context_for(self, host: str | None, flaw: Flaw | None) -> ssl.SSLContext:
        authority = self.authority
        if authority is None:
            assert self._context is not None
            return self._context
        if host is not None:
            return authority.context(host, flaw)
        base = authority.context(LOCAL_NAMES[0], flaw, (*self._names, *self.hosts))

        def choose(connection: ssl.SSLSocket | ssl.SSLObject, name: str | None, context: ssl.SSLContext) -> None:
            if name and name not in LOCAL_NAMES and is_host_name(name):
                connection.context = authority.context(name.lower(), flaw)

        base.sni_callback = choose
        return base


def is_host_name(name: str) -> bool:
    """Whether a certificate can be made for a name."""
    try:
        ip_address(name)
    except ValueError:
        labels = name.split(".")
        return len(name) <= 253 and all(0 < len(label) <= 63 and label.isascii() for label in labels)
    return True


def plain_reason(reason: str) -> str:
    """Why a client aborted a handshake, in words."""
    if "UNKNOWN_CA" in reason:
        return "it does not trust the certificate's authority"
    if "BAD_CERTIFICATE" in reason or "CERTIFICATE_UNKNOWN" in reason:
        return "it does not accept the certificate"
    return reason.lower().replace("_", " ")
