"""What is not a provider's: the front page and the control API under `/__emulator`."""

from collections.abc import Sequence
from typing import Any, Protocol

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from emulator.errors import Problem, UsageError
from emulator.providers import PROVIDERS
from emulator.state.namespace import Namespace, Namespaces
from emulator.state.timing import Timing


class Controlled(Protocol):
    """What the control routes need to know of a server."""

    @property
    def provider(self) -> str | None: ...

    @property
    def problems(self) -> Sequence[Problem]: ...

    @property
    def timing(self) -> Timing: ...

    @property
    def namespaces(self) -> Namespaces: ...


def control_app(server: Controlled) -> Starlette:
    """The application for one server."""

    def where(request: Request) -> dict[str, str]:
        origin = f"{request.url.scheme}://{request.headers.get('host', 'localhost')}"
        if server.provider is not None:
            return {server.provider: origin}
        return {name: f"{origin}/{name}" for name in PROVIDERS}

    async def health(request: Request) -> Response:
        return JSONResponse({"status": "ok"})

    async def ready(request: Request) -> Response:
        """503 while the newest version of the files cannot be used; the last good one answers meanwhile."""
        problems = [str(problem) for problem in server.problems]
        if not problems:
            return JSONResponse({"status": "ok"})
        return JSONResponse({"status": "problems", "problems": problems}, status_code=503)

    async def providers(request: Request) -> Response:
        return JSONResponse({"providers": where(request)})

    async def timing(request: Request) -> Response:
        return JSONResponse(server.timing.to_dict())

    async def clock(request: Request) -> Response:
        """What time it is in a namespace, and what moves it."""
        return JSONResponse(_time(server.namespaces.get(request.query_params.get("namespace"))))

    async def advance(request: Request) -> Response:
        """Let the time of a namespace pass, whose clock is not real."""
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind != "application/json":  # what a page of another origin may send without asking is never this
            return JSONResponse({"error": "The body must be JSON: send Content-Type: application/json."}, 415)
        try:
            body = await request.json()
        except ValueError:
            body = None
        seconds = body.get("seconds") if isinstance(body, dict) else None
        if isinstance(seconds, bool) or not isinstance(seconds, int | float):
            return JSONResponse({"error": 'The body must be {"seconds": NUMBER}.'}, 422)
        namespace = server.namespaces.own(request.query_params.get("namespace") or "default")
        namespace.advance(seconds)
        return JSONResponse(_time(namespace))

    async def misused(request: Request, error: Exception) -> Response:
        return JSONResponse({"error": str(error)}, status_code=422)

    async def missing(request: Request, error: Exception) -> Response:
        message = f"There is nothing at {request.url.path}."
        return JSONResponse({"error": message, "providers": where(request)}, status_code=404)

    routes: list[Any] = [
        Route("/", providers),
        Route("/__emulator/health", health),
        Route("/__emulator/ready", ready),
        Route("/__emulator/providers", providers),
        Route("/__emulator/timing", timing),
        Route("/__emulator/clock", clock),
        Route("/__emulator/clock/advance", advance, methods=["POST"]),
    ]
    return Starlette(routes=routes, exception_handlers={404: missing, UsageError: misused})


def _time(namespace: Namespace) -> dict[str, Any]:
    return {"mode": namespace.script.scenario.clock, "now": namespace.clock.time()}
