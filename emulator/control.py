"""What is not a provider's: the front page and the control API under `/__emulator`."""

from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from emulator.providers import PROVIDERS


def control_app(provider: str | None) -> Starlette:
    """The application for one server; `provider` when that one alone is served, at the root."""

    def where(request: Request) -> dict[str, str]:
        origin = f"{request.url.scheme}://{request.headers.get('host', 'localhost')}"
        if provider is not None:
            return {provider: origin}
        return {name: f"{origin}/{name}" for name in PROVIDERS}

    async def health(request: Request) -> Response:
        return JSONResponse({"status": "ok"})

    async def providers(request: Request) -> Response:
        return JSONResponse({"providers": where(request)})

    async def missing(request: Request, error: Exception) -> Response:
        path = request.url.path
        message = f"There is no provider at {path}. A provider's name stands first in the path."
        if path.startswith("/__emulator"):
            message = f"There is nothing at {path}."
        return JSONResponse({"error": message, "providers": where(request)}, status_code=404)

    routes: list[Any] = [
        Route("/", providers),
        Route("/__emulator/health", health),
        Route("/__emulator/ready", health),
        Route("/__emulator/providers", providers),
    ]
    return Starlette(routes=routes, exception_handlers={404: missing})
