"""`emulator health`."""

import http.client
import json
import os
import ssl
import threading

import click

from emulator.cli import BAD_USE, FINDINGS
from emulator.cli.options import Option
from emulator.cli.output import fail

TIMEOUT, PAUSE = 2.0, 0.1


@click.command("health")
@click.argument("url", required=False, metavar="[URL]")
@click.option("--port", "-p", type=click.IntRange(1, 65535), default=8080, show_default=True, cls=Option,
              help="Its port on this machine, when there is no URL.")  # fmt: skip
@click.option("--ready", is_flag=True, help="Also ask whether the scenario's files can be used as they are now.")
@click.option("--wait", type=click.FloatRange(0, 3600), default=0.0, metavar="SECONDS",
              help="Try for so long; without it, once.")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
def command(url: str | None, port: int, ready: bool, wait: float, as_json: bool) -> None:
    """Say whether a server answers: for the health checks of containers, and for scripts that start one.

    URL is where the server listens; when left out, this machine, as EMULATOR_PORT and EMULATOR_TLS say. No token is
    needed, and a certificate is not checked.

    Exit code 0: it answers; 1: it does not, or is not ready; 2: bad usage."""
    origin = url or _own(port)
    try:
        state = _asked_until(origin, "ready" if ready else "health", wait)
    except ValueError as error:
        fail(f"'{origin}' is not the URL of a server: {error}. Give one such as http://127.0.0.1:8080.", BAD_USE)
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
    """The URL of the server that this machine's own variables describe."""
    speaks_tls = any(os.environ.get(name) for name in ("EMULATOR_TLS", "EMULATOR_TLS_CERT"))
    return f"{'https' if speaks_tls else 'http'}://127.0.0.1:{port}"


def _asked_until(origin: str, route: str, wait: float) -> str:
    """Why the server is not well by the end of the wait; empty when it is. Raises ValueError for a URL that is none."""
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
    """Why the server is not well; empty when it is. Raises ValueError for a URL that is none."""
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
        number = error.errno if isinstance(error, OSError) else None
        return f"no answer: {os.strerror(number) if number and number > 0 else str(error) or type(error).__name__}"
    finally:
        connection.close()
    return "" if status == 200 else _reason(status, data)


def _trusting() -> ssl.SSLContext:
    """What speaks to a server whose certificate nobody here knows."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def _reason(status: int, data: bytes) -> str:
    """What the server says of itself, when it is an emulator."""
    try:
        told = json.loads(data)
        return "; ".join(map(str, told["problems"])) if told.get("problems") else str(told["error"])
    except (ValueError, KeyError, TypeError, AttributeError):
        return f"this is no emulator, or an old one: it answered {status}"
