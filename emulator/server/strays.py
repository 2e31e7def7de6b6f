"""Requests that reach no endpoint: suggests the right URL, and answers those that reach no provider."""

import re
from collections.abc import Mapping
from itertools import takewhile
from typing import Any

import orjson

from emulator.errors import did_you_mean
from emulator.providers.base import Operation, Provider
from emulator.request import HttpRequest
from emulator.state.exchanges import Exchange
from emulator.state.namespace import Namespace
from emulator.state.recorded import RecordedRequest
from emulator.wire import Header, PlannedBody, single

_HOST = re.compile(rb"(?:\[[0-9A-Za-z.:_~!$&'()*+,;=-]*\]|[0-9A-Za-z._~!$&'()*+,;=%-]*)(?::[0-9]*)?")
_VERSIONS = ("1.0", "1.1")
_OF_THE_CLIENT = re.compile(r"(?:(?:/chat)?/completions|/models|/v1/messages|/responses|/embeddings)$")
"""The paths that the providers' own clients append to a base URL."""
_MOST_NAMED = 3


def misframed(scope: Mapping[str, Any]) -> tuple[int, str] | None:
    """Returns the status and the reason for a head that HTTP/1.1 requires a server to reject (RFC 9112 2.3, 3
    and 3.2)."""
    version = scope["http_version"]
    if version not in _VERSIONS:
        if version == "0.9":
            return 400, "The request line has no version. It must end with HTTP/1.1."
        return 505, f"HTTP/{version} is not supported. Use HTTP/1.1."
    hosts = [value for name, value in scope["headers"] if name == b"host"]
    if len(hosts) == 1:
        if _HOST.fullmatch(hosts[0]):
            return None
        return 400, "The Host header is not a host name with an optional port."
    if hosts:
        return 400, f"The request has {len(hosts)} Host headers. It must have one."
    return None if version == "1.0" else (400, "The request has no Host header. HTTP/1.1 requires one.")


def turned_away(
    http_request: HttpRequest,
    namespace: Namespace,
    status: int,
    message: str,
    kind: str,
    more: Mapping[str, Any] | None = None,
) -> tuple[PlannedBody, Exchange]:
    """Returns the answer to a request that reaches no provider, and its journal entry."""
    exchange = namespace.begin(http_request)
    exchange.status, exchange.notes = status, (message,)
    exchange.error = "not_found" if status == 404 else "bad_request"
    headers: list[Header] = [
        (b"content-type", b"application/json"),
        (b"x-emulator-error", kind.encode()),
        (b"x-should-retry", b"false"),
    ]
    if kind == "http":  # the beginning of the next request is unknown
        headers.append((b"connection", b"close"))
    body = orjson.dumps({"error": message, **(more or {})})
    return PlannedBody(status, tuple(headers), (single("body", body),), streamed=False), exchange


def without_provider(method: str, path: str, prefix: str, providers: Mapping[str, Provider]) -> str:
    """Returns why a path reaches no provider, and a path that does. `prefix` is the part before it, such as
    `/@NAME`."""
    first = path.lstrip("/").partition("/")[0]
    known = list(providers)
    missing = f"There is no provider at {prefix}{path}."
    near = did_you_mean(first.lower(), known)
    wanted = [f"{prefix}/{name}{path}" for name, provider in providers.items() if _is_route(provider, method, path)]
    if not wanted:
        if near:
            return f"{missing}{near}"
        nearest = [(name, _nearest(provider, method, path)) for name, provider in providers.items()]
        wanted = [f"{prefix}/{name}{operation.path}" for name, operation in nearest if operation is not None]
    if wanted:
        shown = " or ".join(wanted[:_MOST_NAMED])
        return f"{missing} A provider's name comes first in the path: try {shown}."
    return f"{missing} A provider's name comes first in the path: one of {', '.join(known)}."


def without_endpoint(call: RecordedRequest, provider: Provider) -> str:
    """Suggests a path, for one that this provider doesn't have; empty if it has it, and refused for another reason."""
    path = call.path or "/"
    methods = [operation.method for operation in provider.operations if operation.pattern.fullmatch(call.path)]
    if call.method in methods:
        return ""
    if methods:
        return f"{call.provider} has {call.path} for {' and '.join(methods)}, not for {call.method}"
    operation = _nearest(provider, call.method, call.path)
    if operation is None:
        paths = ", ".join(dict.fromkeys(operation.path for operation in provider.operations))
        return f"{call.provider} has no {path}; its paths are {paths}"
    base = _OF_THE_CLIENT.sub("", operation.path)
    return f"{call.provider} has no {path}, but {operation.path}: as the base URL, try …/{call.provider}{base}"


def _is_route(provider: Provider, method: str, path: str) -> bool:
    return any(
        operation.is_literal and operation.path == path and operation.method == method
        for operation in provider.operations
    )


def _nearest(provider: Provider, method: str, path: str) -> Operation | None:
    """Returns the operation whose path has the most similar end."""
    ends = [(_common_end(operation.path, path), operation) for operation in provider.operations]
    best = max(ends, key=lambda end: (end[0], end[1].method == method), default=(0, None))
    return best[1] if best[0] else None


def _common_end(one: str, other: str) -> int:
    """Counts the segments that two paths have in common at their ends."""
    pairs = zip(reversed(one.split("/")), reversed(other.split("/")), strict=False)
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1] != "", pairs))
