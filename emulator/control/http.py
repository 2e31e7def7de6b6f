"""The control API over HTTP: checks access and input, then calls the route's function."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl, unquote

import orjson
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from emulator import dashboard
from emulator.control import api
from emulator.control.access import cors_headers, denial
from emulator.control.calls import Call, Refused, answered
from emulator.control.controlled import Controlled
from emulator.control.routes import PREFIX, ROUTES, ControlRoute, Stream, Text
from emulator.errors import Problem, did_you_mean
from emulator.scenario.loading import MAX_BYTES

SAFE_HEADERS = {"cache-control": "no-store", "x-content-type-options": "nosniff"}
ICON = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32"><rect width="32" height="32" rx="7" fill="#1d4ed8"/>'
    '<path d="M7 17h4l3-9 5 16 3-7h3" fill="none" stroke="#fff" stroke-width="2.6" stroke-linecap="round" '
    'stroke-linejoin="round"/></svg>'
)


class ControlApp:
    """The ASGI application for one server: the front page, the icon, and everything under `/__emulator`."""

    def __init__(self, server: Controlled) -> None:
        self._server = server

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        try:
            response = await self._answer(request)
        except ClientDisconnect:
            return
        for name, value in cors_headers(self._server.access, _plain(request)).items():
            response.headers[name] = value
        await response(scope, receive, send)

    async def _answer(self, request: Request) -> Response:
        named, path = _split(_raw_path(request))
        try:
            if path == "/favicon.ico":
                return Response(ICON, media_type="image/svg+xml", headers={"cache-control": "max-age=86400"})
            is_front = path == "/"
            rest = "providers" if is_front else path.removeprefix(PREFIX).lstrip("/")
            if not is_front and path != PREFIX and not path.startswith(f"{PREFIX}/"):
                raise Refused(404, f"Nothing at {path}.")
            token = dict(parse_qsl(request.url.query)).get("token")
            refused = denial(
                self._server.access,
                request.method,
                rest,
                _plain(request),
                token,
                is_page=is_front or dashboard.is_asset(rest),
            )
            if refused is not None:
                headers = {"www-authenticate": "Bearer"} if refused.status == 401 else {}
                raise Refused(refused.status, refused.message, headers=headers)
            if request.method == "OPTIONS" and "access-control-request-method" in request.headers:
                return Response(status_code=204, headers={"allow": ", ".join(_methods(rest)) or "GET"})
            if request.method in ("GET", "HEAD") and (page := self._page(request, path, rest)) is not None:
                return page
            return await self._routed(request, named, rest)
        except Refused as error:
            return _refusal(error)

    def _page(self, request: Request, path: str, rest: str) -> Response | None:
        """A file of the page; at `/`, a browser gets a link to the page."""
        if path == "/":
            if "text/html" not in request.headers.get("accept", ""):
                return None
            origin = f"{request.url.scheme}://{request.headers.get('host', 'localhost')}"
            body = dashboard.front(api.providers(self._server, origin)["providers"])
            return Response(body, media_type="text/html", headers=dashboard.HEADERS)
        if path.endswith(PREFIX):
            return Response(status_code=308, headers={"location": f"__emulator/{_asked(request)}"})
        file = dashboard.file(rest)
        return None if file is None else Response(file.body, media_type=file.media_type, headers=dashboard.HEADERS)

    async def _routed(self, request: Request, named: str | None, rest: str) -> Response:
        method = "GET" if request.method == "HEAD" else request.method
        for route in ROUTES:
            found = route.pattern.fullmatch(rest)
            if found is not None and route.method == method:
                return await self._done(route, request, named, _unquoted(found.groupdict()))
        if allowed := _methods(rest):
            allow = ", ".join(allowed)
            raise Refused(405, f"{PREFIX}/{rest} accepts {allow}, not {request.method[:20]}.", headers={"allow": allow})
        known = [route.path for route in ROUTES]
        raise Refused(404, f"Nothing at {PREFIX}/{rest[:200]}.{did_you_mean(rest, known)}")

    async def _done(self, route: ControlRoute, request: Request, named: str | None, path: dict[str, str]) -> Response:
        where = "" if named is None or self._server.provider is not None else f"/@{named}"
        origin = f"{request.url.scheme}://{request.headers.get('host', 'localhost')}{where}"
        body = await _sent(request, is_expected=route.body is not None)
        done = await answered(self._server, Call(route, named, origin, path, _query(request), body))
        if isinstance(done, Stream):
            headers = {**SAFE_HEADERS, "x-accel-buffering": "no"}
            if request.method == "HEAD":
                return Response(media_type=done.media_type, headers=headers)
            return StreamingResponse(done.parts, media_type=done.media_type, headers=headers)
        if isinstance(done, Text):
            return Response(done.body, media_type=done.media_type, headers=SAFE_HEADERS)
        status = 503 if route.path == "ready" and done["status"] != "ok" else route.status
        return json_response(done, status)


def json_response(data: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """Plain data as JSON."""
    body = orjson.dumps(data, default=str)
    return Response(body, status, {**SAFE_HEADERS, **(headers or {})}, "application/json")


def _refusal(error: Refused) -> Response:
    problems = [
        {"path": each.path, "line": each.line, "column": each.column, "message": each.message}
        for each in error.problems
    ]
    body = {"error": error.message, **({"problems": problems} if problems else {})}
    return json_response(body, error.status, error.headers)


def _asked(request: Request) -> str:
    return f"?{request.url.query}" if request.url.query else ""


def _raw_path(request: Request) -> str:
    """The undecoded path, in which a slash inside a key differs from a separator."""
    raw: bytes = request.scope.get("raw_path") or request.scope["path"].encode("utf-8", "surrogateescape")
    return raw.partition(b"?")[0].decode("latin-1")


def _unquoted(parts: Mapping[str, str]) -> dict[str, str]:
    return {name: unquote(value) for name, value in parts.items()}


def _split(path: str) -> tuple[str | None, str]:
    """The namespace in a path, and the rest of the path."""
    if path.startswith("/@"):
        name, slash, rest = path[2:].partition("/")
        return name, slash + rest
    return None, path


def _plain(request: Request) -> dict[str, str]:
    return {name.lower(): value for name, value in request.headers.items()}


def _methods(rest: str) -> list[str]:
    found = [route.method for route in ROUTES if route.pattern.fullmatch(rest)]
    return [*found, *(["HEAD"] if "GET" in found else [])]


def _query(request: Request) -> dict[str, str]:
    """The query, without the token. Raises Refused."""
    given: dict[str, str] = {}
    for name, value in parse_qsl(request.url.query, keep_blank_values=True):
        if name in given:
            problem = Problem("query", 0, 0, f"{name[:80]} is given twice")
            raise Refused(422, str(problem), [problem])
        if name != "token":
            given[name] = value
    return given


async def _sent(request: Request, *, is_expected: bool) -> bytes:
    """The body as sent. Writes that aren't JSON are rejected: browsers let pages of any site send those."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if is_expected and kind != "application/json":
        found = f"'{kind[:80]}'" if kind else "none"
        raise Refused(415, f"The body must be JSON: send Content-Type: application/json, not {found}.")
    parts: list[bytes] = []
    size = 0
    async for part in request.stream():
        size += len(part)
        if size > MAX_BYTES:
            raise Refused(413, f"The body is larger than {MAX_BYTES >> 20} MiB.", headers={"connection": "close"})
        parts.append(part)
    if size and not is_expected and kind != "application/json":
        raise Refused(415, "A body must be JSON: send Content-Type: application/json, or no body.")
    return b"".join(parts)
