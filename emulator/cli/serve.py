"""`emulator serve`."""

import contextlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from emulator.cli import BAD_USE, CANNOT_BIND
from emulator.cli.banner import banner
from emulator.cli.options import Option
from emulator.cli.output import fail, is_colored
from emulator.cli.serving import load_quickly, say_unknown_variables, server_options, with_server_options

if TYPE_CHECKING:
    import socket

    from emulator.interception.front import TlsFront
    from emulator.logs import LogWriter, Style
    from emulator.server.channel import Member
    from emulator.server.server import ServerOptions
    from emulator.state.exchanges import Exchange
    from emulator.state.redis_connection import StoreAddress

    OnExchange = Callable[[Exchange], None]


@click.command("serve")
@click.option("--host", default="127.0.0.1", show_default=True, cls=Option, help="The address to listen on.")
@click.option("--port", "-p", type=click.IntRange(0, 65535), default=8080, show_default=True, cls=Option,
              help="The port to listen on; 0 picks a free one.")  # fmt: skip
@with_server_options
@click.option("--workers", type=click.IntRange(1, 64), default=1, show_default=True, cls=Option,
              help="Number of worker processes; the control API answers for all of them.")  # fmt: skip
@click.option("--store", metavar="URL", cls=Option,
              help="Keep counters, state and quotas in this Redis or Valkey, such as redis://localhost:6379/0, for all "
              "servers that use it.")  # fmt: skip
@click.option("--tls", "tls_folder", metavar="FOLDER", type=click.Path(), cls=Option,
              help="Use https, with a certificate authority (ca.pem) in this folder, created if missing.")  # fmt: skip
@click.option("--tls-cert", metavar="FILE", type=click.Path(), cls=Option,
              help="Use https with this certificate (chain, PEM).")  # fmt: skip
@click.option("--tls-key", metavar="FILE", type=click.Path(), cls=Option, help="The key of --tls-cert (PEM).")
@click.option("--control-token", metavar="TEXT", cls=Option,
              help="Token for the control API; by default, generated if other machines can reach --host.")  # fmt: skip
@click.option("--allow-origin", "origins", metavar="ORIGIN", multiple=True, cls=Option,
              help="Origin allowed to use the control API, such as http://localhost:3000; repeatable.")  # fmt: skip
@click.option("--log", type=click.Choice(["pretty", "json", "off"]), default="pretty", show_default=True, cls=Option,
              help="Request log format. json: JSON lines on stdout, everything else on stderr.")  # fmt: skip
@click.option("--otel", is_flag=True, cls=Option,
              help="Export an OpenTelemetry span per exchange by OTLP; configured by OTEL_… variables.")  # fmt: skip
def command(host: str, port: int, workers: int, log: "Style", **values: Any) -> None:
    """Start the server.

    Every option can also be an environment variable: EMULATOR_PORT for --port, EMULATOR_RELOAD=false or
    EMULATOR_NO_RELOAD=1 for --no-reload. Separate several scenarios as in PATH, several faults with semicolons.

    Exit code 0: stopped by a signal; 1: workers failed; 2: bad usage or an unusable file; 3: the port is taken, or the
    address is unavailable."""
    load_quickly(runs_other_code=values["allow_code"])
    from emulator.control.access import access_for
    from emulator.errors import BindError, EmulatorError

    say_unknown_variables()
    try:
        front = tls_front(values.pop("tls_folder"), values.pop("tls_cert"), values.pop("tls_key"), host)
        access = access_for(host, values.pop("control_token"), values.pop("origins"))
        server = server_options(
            values, front=front, access=access, exports_spans=values.pop("otel"), store=store_of(values.pop("store"))
        )
        if server.exports_spans:
            from emulator.spans import check_installed

            check_installed()
        if workers == 1:
            serve_alone(server, host, port, log)
        else:
            sys.exit(serve_with_workers(workers, server, host, port, log))
    except BindError as error:
        fail(str(error), CANNOT_BIND)
    except EmulatorError as error:
        fail(str(error), BAD_USE)


def store_of(url: str | None) -> "StoreAddress | None":
    """Returns the address of the store; None: state is kept in the server. Raises UsageError."""
    if url is None:
        return None
    from emulator.state.redis_connection import check_installed, store_address

    check_installed()
    return store_address(url)


def tls_front(folder: str | None, certificate: str | None, key: str | None, host: str) -> "TlsFront | None":
    """The TLS front, if TLS is on. Raises UsageError."""
    if folder is None and certificate is None and key is None:
        return None
    from emulator.errors import UsageError
    from emulator.interception.certificates import authority_in, given_context
    from emulator.interception.front import TlsFront
    from emulator.server.heads import HOSTS

    if folder is not None and (certificate or key):
        raise UsageError("--tls creates certificates; --tls-cert and --tls-key use yours. Choose one of the two.")
    if folder is not None:
        return TlsFront(HOSTS, authority_in(Path(folder)), address=host)
    if certificate is None or key is None:
        raise UsageError("--tls-cert and --tls-key must be used together.")
    return TlsFront(HOSTS, context=given_context(certificate, key))


def serve_alone(
    options: "ServerOptions", host: str, port: int, log: "Style", shown: Callable[[str], str] | None = None
) -> None:
    """Runs one server in this process. `shown` returns its banner for its URL."""
    from emulator.server.sockets import bind, expect_connections

    sock = bind(host, port)
    expect_connections(sock)
    url = origin(host, sock, options)
    text = shown(url) if shown is not None else banner(url, options.provider, options.access.token)
    with _logging(log) as (out, err):
        _run(options, sock, log, out, lambda: (err if log == "json" else out).write(text))


def serve_with_workers(number: int, options: "ServerOptions", host: str, port: int, log: "Style") -> int:
    """Runs a server in each of several processes, each of which binds the port. Returns an exit code."""
    import gc
    from dataclasses import replace

    from emulator.logs import install
    from emulator.server.sockets import bind, expect_connections
    from emulator.server.workers import reserve, run, write_lock, write_within

    gc.enable()  # this process only watches the workers
    reserved = reserve(host, port)
    port = reserved.getsockname()[1]
    text = banner(origin(host, reserved, options), options.provider, options.access.token)
    lock = write_lock()

    def serve_one(member: "Member", ready: Callable[[], None]) -> None:
        mine = replace(options, engine=replace(options.engine, worker=member.index, salt=member.index), member=member)
        sock = bind(host, port, shares_port=True)
        expect_connections(sock)
        with _logging(log, lock) as (out, _):
            _run(mine, sock, log, out, ready)

    def say(sentence: str) -> None:
        write_within(2, f"{sentence}\n")

    install(log, say)
    with reserved:
        return run(number, serve_one, lambda: write_within(2 if log == "json" else 1, f"{text}\n"), say)


def _run(
    options: "ServerOptions", sock: "socket.socket", log: "Style", out: "LogWriter", ready: Callable[[], None]
) -> None:
    import logging
    from dataclasses import replace

    from emulator import logs
    from emulator.server.server import MANUAL_CLOCK, Server

    def settled() -> None:
        _keep_what_is_loaded()
        ready()
        if options.compiled.scenario.clock == "manual":
            logging.getLogger("emulator").warning(MANUAL_CLOCK)

    show = logs.on_exchange(log, out, is_colored=is_colored(1))
    with _with_spans(options, show) as on_exchange:
        Server(replace(options, on_exchange=on_exchange)).run(sock, settled)


@contextlib.contextmanager
def _with_spans(options: "ServerOptions", show: "OnExchange | None") -> "Iterator[OnExchange | None]":
    """Returns the function that logs each exchange and, if requested, exports a span for it."""
    if not options.exports_spans:
        yield show
        return
    from emulator.spans import exported

    spans = exported()

    def on_exchange(exchange: "Exchange") -> None:
        spans(exchange)
        if show is not None:
            show(exchange)

    try:
        yield on_exchange
    finally:
        spans.close()


@contextlib.contextmanager
def _logging(
    log: "Style", lock: Callable[[], contextlib.AbstractContextManager[None]] = contextlib.nullcontext
) -> "Iterator[tuple[LogWriter, LogWriter]]":
    """Writers to stdout and stderr that never block the server, for the length of the block."""
    from emulator.logs import LogWriter, dropped_as_json, install

    err = LogWriter(2, lock=lock)

    def failed(reason: str) -> None:
        err.write(f"Cannot write the log: {reason}. Lines are dropped until writing works again.")

    out = LogWriter(1, failed=failed, lock=lock) if log != "json" else LogWriter(
        1, failed=failed, lock=lock, dropped=dropped_as_json
    )  # fmt: skip
    install(log, err.write)
    try:
        yield out, err
    finally:
        out.close()
        err.close()


def origin(host: str, sock: "socket.socket", options: "ServerOptions") -> str:
    """Returns the URL of a server."""
    scheme = "http" if options.front is None else "https"
    return f"{scheme}://{f'[{host}]' if ':' in host else host}:{sock.getsockname()[1]}"


def _keep_what_is_loaded() -> None:
    """Freezes everything loaded so far. Examining it, or the objects of all open streams, for garbage would stop
    every stream for about 30 ms. Connections leave no garbage, so a full collection can wait.
    """
    import gc

    gc.freeze()
    gc.enable()
    young, middle, _ = gc.get_threshold()
    gc.set_threshold(young, middle, 100)
