"""`emulator health`."""

import http.client
import json
import os
import ssl
import threading

import click

from emulator.cli import BAD_USE, FINDINGS
from emulator.cli.options import Option
from emulator.cli.output import fail, reason_of

TIMEOUT, PAUSE = 2.0, 0.1


@click.command("health")
@click.argument("url", required=False, metavar="[URL]")
@click.option("--port", "-p", type=click.IntRange(1, 65535), default=8080, show_default=True, cls=Option,
              help="The server's port on this machine, if no URL is given.")  # fmt: skip
@click.option("--ready", is_flag=True, help="Also check whether the current scenario files are valid.")
@click.option("--wait", type=click.FloatRange(0, 3600), default=0.0, metavar="SECONDS",
              help="Seconds to keep trying; by default, it tries once.")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
def command(url: str | None, port: int, ready: bool, wait: float, as_json: bool) -> None:
    """Check whether a server answers, for container health checks and for scripts that start a server.

    URL is the server's address; by default, this machine, with EMULATOR_PORT and EMULATOR_TLS. No token is needed, and
    certificates are not verified.

    Exit code 0: it answers; 1: it doesn't, or is not ready; 2: bad usage."""
    origin = url or _own(port)
    try:
        state = _asked_until(origin, "ready" if ready else "health", wait)
    except ValueError as error:
        fail(f"'{origin}' is not the URL of a server: {error}. Use one such as http://127.0.0.1:8080.", BAD_USE)
    is_well = not state
    if as_json:
        click.echo(json.dumps({"url": origin, "ok": is_well, "reason": state or None}))
    if not is_well:
        if as_json:
            raise SystemExit(FINDINGS)
        fail(f"{origin}: {state}", FINDINGS)
    if not as_json:
        click.echo(f"{origin}: {'ready' if ready else 'healthy'}")


def _own(port: int) -> str:
    """Returns the URL of the server that the environment variables describe."""
    speaks_tls = any(os.environ.get(name) for name in ("EMULATOR_TLS", "EMULATOR_TLS_CERT"))
    return f"{'https' if speaks_tls else 'http'}://127.0.0.1:{port}"


def _asked_until(origin: str, route: str, wait: float) -> str:
    """Returns why the server is still not healthy after the wait; empty if it is. Raises ValueError for an
    invalid URL."""
    state = _asked(origin, route)
    if not state or not wait:
        return state
    from emulator.clock import stopwatch

    deadline, pause = stopwatch() + wait, threading.Event()
    while state and stopwatch() < deadline:
        pause.wait(PAUSE)
        state = _asked(origin, route)
    return state


def _asked(origin: str, route: str) -> str:
    """Returns why the server is not healthy; empty if it is. Raises ValueError for an invalid URL."""
    from urllib.parse import urlsplit

    parts = urlsplit(origin if "://" in origin else f"http://{origin}")
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("it needs http:// or https:// and a host")
    connection = (
        http.client.HTTPConnection(parts.hostname, parts.port, timeout=TIMEOUT)
        if parts.scheme == "http"
        else http.client.HTTPSConnection(parts.hostname, parts.port, timeout=TIMEOUT, context=_trusting())
    )
    base = parts.path.rstrip("/").removesuffix("/__emulator")
    try:
        connection.request("GET", f"{base}/__emulator/{route}")
        response = connection.getresponse()
        status, data = response.status, response.read(100_000)
    except (OSError, http.client.HTTPException) as error:
        return f"no answer: {reason_of(error)}"
    finally:
        connection.close()
    return "" if status == 200 else _reason(status, data)


def _trusting() -> ssl.SSLContext:
    """Returns an SSL context that accepts any certificate."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def _reason(status: int, data: bytes) -> str:
    """Returns the problems that the server reports, if it is an emulator."""
    try:
        found = json.loads(data)
        return "; ".join(map(str, found["problems"])) if found.get("problems") else str(found["error"])
    except (ValueError, KeyError, TypeError, AttributeError):
        return f"this is not an emulator, or an old one: it responded with {status}"
