"""`emulator tail`."""

import contextlib
import http.client
import json
from collections.abc import Generator, Iterator
from typing import Any
from urllib.parse import urlencode, urlsplit

import click

from emulator.cli import BAD_USE, FINDINGS
from emulator.cli.output import fail, is_colored, reason_of

DEFAULT_URL = "http://127.0.0.1:8080"


@click.command("tail")
@click.argument("url", default=DEFAULT_URL, metavar="[URL]")
@click.option("--namespace", help="Only this namespace; by default, `default`.")
@click.option("--provider", help="Only requests to this provider.")
@click.option("--rule", help="Only answers from this rule.")
@click.option("--status", help="Only this status, such as 429, or class, such as 4xx.")
@click.option("--outcome", help="Only this outcome: reply, generated, listing or error.")
@click.option("--model", help="Only requests for this model.")
@click.option("--since", type=click.IntRange(0), help="Only exchanges with larger numbers.")
@click.option("--limit", type=click.IntRange(1), help="Exit after this many exchanges.")
@click.option("--token", envvar="EMULATOR_CONTROL_TOKEN", help="The token that the server printed.")
@click.option("--json", "as_json", is_flag=True, help="Print each exchange as one line of JSON.")
def command(url: str, token: str | None, limit: int | None, as_json: bool, **filters: Any) -> None:
    """Follow the exchanges of a running server: those in its journal, then each new one as it ends.

    URL is the server's address, by default http://127.0.0.1:8080; add a namespace as URL/@NAME.

    Exit code 0: --limit was reached, or Ctrl-C was pressed; 1: the server stopped; 2: there is no server, or it refused
    the request."""
    from emulator.logs import line_of

    colored = is_colored(1)
    left = limit
    with contextlib.closing(_events(url, token, filters)) as rows:
        for row in rows:
            click.echo(json.dumps(row) if as_json else line_of(row, is_colored=colored))
            if left is not None:
                left -= 1
                if not left:
                    return
    fail("The server has stopped.", FINDINGS)


def _events(url: str, token: str | None, filters: dict[str, Any]) -> Generator[dict[str, Any], None, None]:
    """Yields the exchanges as they end."""
    parts = urlsplit(url if "://" in url else f"http://{url}")
    if parts.scheme not in ("http", "https") or not parts.hostname:
        fail(f"'{url}' is not the URL of a server. Use one such as {DEFAULT_URL}.", BAD_USE)
    wanted = {name: value for name, value in filters.items() if value is not None}
    make = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    try:
        connection = make(parts.hostname, parts.port)
    except ValueError as error:
        fail(f"'{url}' is not the URL of a server: {error}.", BAD_USE)
    base = parts.path.removesuffix("/").removesuffix("/__emulator")
    headers = {"Accept": "text/event-stream", **({"Authorization": f"Bearer {token}"} if token else {})}
    try:
        connection.request("GET", f"{base}/__emulator/events?{urlencode(wanted)}", headers=headers)
        response = connection.getresponse()
        if response.status != 200:
            fail(_refusal(response), BAD_USE)
        yield from _ended(response)
    except (OSError, http.client.HTTPException) as error:
        if connection.sock is None:
            fail(f"There is no server at {url}: {reason_of(error)}. Start one with `emulator serve`.", BAD_USE)
    finally:
        connection.close()


def _ended(response: http.client.HTTPResponse) -> Iterator[dict[str, Any]]:
    name = ""
    while line := response.readline():
        if line.startswith(b"event: "):
            name = line[7:].strip().decode()
        elif line.startswith(b"data: ") and name == "end":
            row: dict[str, Any] = json.loads(line[6:])
            yield row


def _refusal(response: http.client.HTTPResponse) -> str:
    try:
        return str(json.loads(response.read(65536))["error"])
    except (ValueError, KeyError, TypeError):
        return f"This is not an emulator, or an old one: it responded with {response.status}."
