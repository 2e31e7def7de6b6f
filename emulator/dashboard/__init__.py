"""The page at `/__emulator/`: static files, and the page's data about providers and faults."""

from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any
from urllib.parse import unquote

import orjson

from emulator.dialects.generate_content_urls import STREAM
from emulator.faults import FAULTS
from emulator.providers import PROVIDERS
from emulator.providers.base import VARIABLE, Operation, Provider
from emulator.records import record

ASSETS = "assets/"
CATALOG = f"{ASSETS}catalog.json"
TYPES: Mapping[str, str] = {"html": "text/html", "css": "text/css", "js": "text/javascript"}
SHOWN_MODELS = {"generate_content": "gemini-2.5-flash", "embed_content": "gemini-embedding-001"}
"""The model in a path, for dialects that only certain models speak."""
HEADERS: Mapping[str, str] = {
    "content-security-policy": "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; "
    "object-src 'none'",
    "cross-origin-opener-policy": "same-origin",
    "cache-control": "no-cache",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
}


@record
class File:
    """One file of the page."""

    body: bytes
    media_type: str


def is_asset(rest: str) -> bool:
    """Whether a path after `/__emulator/` belongs to the page, which contains no secrets."""
    return not rest or rest.startswith(ASSETS)


@cache
def _static() -> Mapping[str, File]:
    """The files by their paths after `/__emulator/`; no other files are served, whatever the path."""
    root = files(__name__) / "static"
    found = {"": "index.html", f"{ASSETS}style.css": "style.css"}
    scripts = {f"{ASSETS}js/{each.name}": f"js/{each.name}" for each in (root / "js").iterdir()}
    return {
        path: File((root / name).read_bytes(), f"{TYPES[name.rpartition('.')[2]]}; charset=utf-8")
        for path, name in {**found, **scripts}.items()
        if name.rpartition(".")[2] in TYPES
    }


def file(rest: str) -> File | None:
    """Returns the file at a path after `/__emulator/`; None if there is none."""
    path = unquote(rest)
    return File(orjson.dumps(catalog()), "application/json") if path == CATALOG else _static().get(path)


@cache
def catalog() -> dict[str, Any]:
    """Returns the providers with a request for each operation, and the kinds of faults by family."""
    families: dict[str, list[str]] = {}
    for kind, fault in FAULTS.items():
        families.setdefault(fault.family, []).append(kind)
    return {"providers": {name: _described(vendor) for name, vendor in PROVIDERS.items()}, "families": families}


def _described(vendor: type[Provider]) -> dict[str, Any]:
    path, body = vendor.example
    named = next((match for each in vendor.operations if (match := each.pattern.fullmatch(path))), None)
    operations = [
        {
            "name": each.name,
            "method": each.method,
            "path": _path(each, vendor) + _query(each, vendor),
            "dialect": each.dialect,
        }
        for each in vendor.operations
    ]
    return {
        "title": vendor.title,
        "auth": vendor.auth_header,
        "headers": [f"{name}: {value}" for name, value in vendor.example_headers.items()],
        "model": body.get("model") or (named.groupdict().get("model", "") if named is not None else ""),
        "operations": operations,
    }


def _path(operation: Operation, vendor: type[Provider]) -> str:
    """Returns the path of an operation, with variable parts from the provider's example if they fit."""
    path, body = vendor.example
    found = next((match for each in vendor.operations if (match := each.pattern.fullmatch(path))), None)
    model = SHOWN_MODELS.get(operation.dialect) or str(body.get("model", ""))
    values = {**(found.groupdict() if found is not None else {}), "model": model, "deployment": model}
    return VARIABLE.sub(lambda part: values.get(part[0][1:-1]) or part[0], operation.path)


def _query(operation: Operation, vendor: type[Provider]) -> str:
    """Returns the query that a path needs: `alt=sse` for a stream, a version for paths by deployment."""
    if operation.name == STREAM:
        return "?alt=sse"
    has_deployments = any("{deployment}" in each.path for each in vendor.operations)
    return "?api-version=2024-10-21" if has_deployments and not operation.path.startswith("/v1/") else ""


def front(providers: Mapping[str, str]) -> bytes:
    """Returns the page at `/` for browsers, with links."""
    rows = "".join(f"<li><b>{name}</b> <code>{_escaped(url)}</code></li>" for name, url in providers.items())
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        '<title>LLM provider emulator</title><link rel="stylesheet" href="/__emulator/assets/style.css">'
        '<main class="page"><h1>LLM provider emulator</h1><p class="dim">It emulates these providers.</p>'
        f'<ul>{rows}</ul><p><a class="button primary" href="/__emulator/">Open the live page</a></p></main></html>'
    ).encode()


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace('"', "&quot;")
