"""Who may use the control API: programs on this machine, and the pages that the emulator serves itself.

A page of another site must not reach it, whatever a browser lets that page send: neither under its own name for the
loopback address (Host), nor with a plain form or `fetch` (Origin, Sec-Fetch-Site, Content-Type). If other machines can
reach the server, a token is required."""

import hmac
import re
import secrets
from collections.abc import Mapping
from dataclasses import field

from emulator.errors import UsageError, shortened
from emulator.records import record

OPEN = frozenset({"health", "ready"})
"""The routes without access checks: probes of the orchestrator."""
TOKEN_HEADER = "x-emulator-token"
_LOOPBACK = re.compile(r"localhost|(?:[a-z0-9-]+\.)+localhost|127(?:\.[0-9]{1,3}){3}|\[::1\]|::1")
_ORIGIN = re.compile(r"https?://[^/\s,;]+")


@record
class Access:
    """The access rules of the control API."""

    token: str | None = None
    """The required token, as `Authorization: Bearer …`, `X-Emulator-Token`, or `?token=`."""
    origins: frozenset[str] = frozenset()
    """Other origins that may use it, such as `http://localhost:3000`."""
    hosts: frozenset[str] = field(default_factory=frozenset)
    """Names that the Host header may have, in addition to the loopback ones."""


@record
class Denial:
    """Why a request may not use the control API."""

    status: int
    message: str


def is_loopback(host: str) -> bool:
    """Whether a name or address is a loopback one."""
    return _LOOPBACK.fullmatch(host.lower()) is not None


def access_for(host: str, token: str | None = None, origins: tuple[str, ...] = ()) -> Access:
    """The access rules for a server that listens on `host`: other machines need a token. Raises UsageError."""
    for origin in origins:
        if not _ORIGIN.fullmatch(origin):
            raise UsageError(
                f"'{shortened(origin)}' is not an origin. Use one such as http://localhost:3000, without a path."
            )
    if token is None and not is_loopback(host):
        token = secrets.token_urlsafe(24)
    return Access(token, frozenset(origin.lower() for origin in origins), frozenset({host.lower()}))


def denial(
    access: Access, method: str, path: str, headers: Mapping[str, str], given: str | None, *, is_page: bool
) -> Denial | None:
    """Why a request is denied; None if it is allowed. `path` is the part after `/__emulator/`, `given` the token in the
    query. A link from any site may open a page."""
    if path in OPEN and method == "GET":
        return None
    host = headers.get("host", "")
    name = host.rsplit(":", 1)[0] if re.search(r":[0-9]*$", host) else host
    if access.token is None and name and not is_loopback(name) and name.lower() not in access.hosts:
        return Denial(
            421,
            f"The control API rejects the host '{shortened(name)}'. Use localhost or 127.0.0.1, "
            "or `serve --host` with the token that it prints.",
        )
    origin = headers.get("origin")
    if origin is not None and not is_allowed_origin(access, origin, host):
        return Denial(
            403,
            f"Pages of the origin '{shortened(origin)}' may not use the control API. "
            "To allow them, use `serve --allow-origin`.",
        )
    site = headers.get("sec-fetch-site")
    is_link = is_page and method == "GET" and headers.get("sec-fetch-mode") == "navigate"
    if site not in (None, "same-origin", "none") and origin is None and not is_link:
        return Denial(403, f"Pages of other sites may not use the control API (Sec-Fetch-Site: {shortened(site)}).")
    if access.token is not None and method != "OPTIONS" and not is_page:
        scheme, _, bearer = headers.get("authorization", "").partition(" ")
        sent = headers.get(TOKEN_HEADER) or (bearer.strip() if scheme.lower() == "bearer" else None) or given or ""
        if not hmac.compare_digest(sent.encode("utf-8", "surrogatepass"), access.token.encode()):
            return Denial(
                401,
                "The control API requires the token that the server printed at startup. Send it as "
                "Authorization: Bearer TOKEN, X-Emulator-Token: TOKEN, or ?token=TOKEN.",
            )
    return None


def is_allowed_origin(access: Access, origin: str, host: str) -> bool:
    """Whether an origin is the server's own or an allowed one."""
    return origin.lower() in access.origins or (
        origin.partition("://")[2].lower() == host.lower() and origin.startswith(("http://", "https://"))
    )


def cors_headers(access: Access, headers: Mapping[str, str]) -> dict[str, str]:
    """The headers that let a page of an allowed origin read a response; none for other origins."""
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
