"""Reads the control API of a running server, for other commands."""

import http.client
import json
from typing import Any
from urllib.parse import urlencode, urlsplit

from emulator.cli import BAD_USE
from emulator.cli.output import fail, reason_of

DEFAULT_URL = "http://127.0.0.1:8080"
TIMEOUT = 60.0


def base_of(url: str) -> tuple[http.client.HTTPConnection, str]:
    """Returns a connection to the server at a URL, and the path before `/__emulator`."""
    parts = urlsplit(url if "://" in url else f"http://{url}")
    if parts.scheme not in ("http", "https") or not parts.hostname:
        fail(f"'{url}' is not the URL of a server. Use one such as {DEFAULT_URL}.", BAD_USE)
    make = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    try:
        connection = make(parts.hostname, parts.port, timeout=TIMEOUT)
    except ValueError as error:
        fail(f"'{url}' is not the URL of a server: {error}.", BAD_USE)
    return connection, parts.path.rstrip("/").removesuffix("/__emulator")


def read(url: str, route: str, query: dict[str, Any], token: str | None) -> bytes:
    """Returns the answer of a route. If there is no server or it refuses, exits with one sentence."""
    connection, base = base_of(url)
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    wanted = urlencode({name: value for name, value in query.items() if value is not None})
    try:
        connection.request("GET", f"{base}/__emulator/{route}{'?' if wanted else ''}{wanted}", headers=headers)
        response = connection.getresponse()
        data = response.read()
    except (OSError, http.client.HTTPException) as error:
        fail(f"There is no server at {url}: {reason_of(error)}. Start one with `emulator serve`.", BAD_USE)
    finally:
        connection.close()
    if response.status != 200:
        try:
            reason = str(json.loads(data)["error"])
        except (ValueError, KeyError, TypeError):
            reason = f"This is not an emulator, or an old one: it responded with {response.status}."
        fail(reason, BAD_USE)
    return data
