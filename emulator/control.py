"""What is not a provider's: the front page and the control API under `/__emulator`."""

from collections.abc import Sequence
from typing import Any, Protocol

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from emulator.errors import Problem
from emulator.providers import PROVIDERS
from emulator.timing import Timing


class Controlled(Protocol):
    """What the control routes need to know of a server."""

    @property
    def provider(self) -> str | None: ...

    @property
    def problems(self) -> Sequence[Problem]: ...

    @property
    def timing(self) -> Timing: ...


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
        return JSONResponse(server.timing.told())

    async def missing(request: Request, error: Exception) -> Response:
        message = f"There is nothing at {request.url.path}."
        return JSONResponse({"error": message, "providers": where(request)}, status_code=404)

    routes: list[Any] = [
        Route("/", providers),
        Route("/__emulator/health", health),
        Route("/__emulator/ready", ready),
        Route("/__emulator/providers", providers),
        Route("/__emulator/timing", timing),
    ]
    return Starlette(routes=routes, exception_handlers={404: missing})
