"""Who may use the control API: programs on this machine, and the pages that the emulator serves itself.

A page of another site must not reach it, whatever a browser lets that page send: neither by its own name for the
loopback address (Host), nor by a plain form or `fetch` (Origin, Sec-Fetch-Site, Content-Type). Where the server listens
for other machines too, a token is asked for."""

import hmac
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field

from emulator.errors import UsageError, shortened

OPEN = frozenset({"health", "ready"})
"""What anyone may ask for: the probes of whatever runs the server."""
TOKEN_HEADER = "x-emulator-token"
_LOOPBACK = re.compile(r"localhost|(?:[a-z0-9-]+\.)+localhost|127(?:\.[0-9]{1,3}){3}|\[::1\]|::1")
_ORIGIN = re.compile(r"https?://[^/\s,;]+")


@dataclass(frozen=True, slots=True)
class Access:
    """How the control API is guarded."""

    token: str | None = None
    """What every request has to carry: as `Authorization: Bearer …`, `X-Emulator-Token`, or `?token=`."""
    origins: frozenset[str] = frozenset()
    """The origins of other pages that may use it, such as `http://localhost:3000`."""
    hosts: frozenset[str] = field(default_factory=frozenset)
    """Names, beside the loopback ones, by which the server may be called."""


@dataclass(frozen=True, slots=True)
class Denial:
    """Why a request may not use the control API."""

    status: int
    message: str


def is_loopback(host: str) -> bool:
    """Whether a name or address is this machine's own, for itself."""
    return _LOOPBACK.fullmatch(host.lower()) is not None


def access_for(host: str, token: str | None = None, origins: tuple[str, ...] = ()) -> Access:
    """How a server is guarded that listens on `host`: with a token when others can reach it. Raises UsageError."""
    for origin in origins:
        if not _ORIGIN.fullmatch(origin):
            raise UsageError(
                f"'{shortened(origin)}' is not an origin. Give one such as http://localhost:3000, without a path."
            )
    if token is None and not is_loopback(host):
        token = secrets.token_urlsafe(24)
    return Access(token, frozenset(origin.lower() for origin in origins), frozenset({host.lower()}))


def denial(
    access: Access, method: str, path: str, headers: Mapping[str, str], given: str | None, *, is_page: bool
) -> Denial | None:
    """Why a request is refused; None when it may pass. `path` is what follows `/__emulator/`, `given` the token in the
    query; a page may be opened by a link from anywhere."""
    if path in OPEN and method == "GET":
        return None
    host = headers.get("host", "")
    name = host.rsplit(":", 1)[0] if re.search(r":[0-9]*$", host) else host
    if access.token is None and name and not is_loopback(name) and name.lower() not in access.hosts:
        return Denial(
            421,
            f"The control API does not answer for the host '{shortened(name)}'. Use localhost or 127.0.0.1, "
            "or serve with --host and the token that it prints.",
        )
    origin = headers.get("origin")
    if origin is not None and not is_allowed_origin(access, origin, host):
        return Denial(
            403,
            f"Pages of the origin '{shortened(origin)}' may not use the control API. "
            "Serve with --allow-origin to let them.",
        )
    site = headers.get("sec-fetch-site")
    is_link = is_page and method == "GET" and headers.get("sec-fetch-mode") == "navigate"
    if site not in (None, "same-origin", "none") and origin is None and not is_link:
        return Denial(403, f"A page of another site may not use the control API (Sec-Fetch-Site: {shortened(site)}).")
    if access.token is not None and method != "OPTIONS" and not is_page:
        scheme, _, bearer = headers.get("authorization", "").partition(" ")
        sent = headers.get(TOKEN_HEADER) or (bearer.strip() if scheme.lower() == "bearer" else None) or given or ""
        if not hmac.compare_digest(sent.encode("utf-8", "surrogatepass"), access.token.encode()):
            return Denial(
                401,
                "The control API needs the token that the server printed when it started: send it as "
                "Authorization: Bearer TOKEN, X-Emulator-Token: TOKEN, or ?token=TOKEN.",
            )
    return None


def is_allowed_origin(access: Access, origin: str, host: str) -> bool:
    """Whether an origin is the server's own, or one that was named."""
    return origin.lower() in access.origins or (
        origin.partition("://")[2].lower() == host.lower() and origin.startswith(("http://", "https://"))
    )


def cors_headers(access: Access, headers: Mapping[str, str]) -> dict[str, str]:
    """What lets a page of an origin that was named read an answer; nothing for any other."""
    origin = headers.get("origin", "")
    if origin.lower() not in access.origins:
        return {}
    return {
        "access-control-allow-origin": origin,
        "access-control-allow-methods": "GET, POST, PUT, DELETE, OPTIONS",
        "access-control-allow-headers": f"content-type, authorization, {TOKEN_HEADER}",
        "access-control-expose-headers": "*",
        "access-control-max-age": "600",
        "vary": "Origin",
    }
