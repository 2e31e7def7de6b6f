"""`emulator run`: runs a command against an emulator of its own."""

import gc
import os
import sys
import threading
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from emulator.cli import BAD_USE, CANNOT_BIND, FINDINGS, child
from emulator.cli.options import Option
from emulator.cli.output import fail
from emulator.cli.record import record_options, recorder_of, summary, with_record_options
from emulator.cli.serving import say_unknown_variables, server_options, with_server_options

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from emulator.cli.report import Report
    from emulator.interception.proxy import Proxy
    from emulator.logs import LogWriter, Style
    from emulator.server.recorder import Recorder
    from emulator.server.server import Server, ServerOptions

ADDRESS = "127.0.0.1"


@click.command("run", context_settings={"ignore_unknown_options": False, "allow_interspersed_args": False})
@click.argument("command_line", nargs=-1, required=True, metavar="-- CMD…", type=click.UNPROCESSED)
@click.option("--port", "-p", type=click.IntRange(0, 65535), default=0, cls=Option,
              help="The port to listen on; by default, a free one.")  # fmt: skip
@with_server_options
@click.option("--intercept", is_flag=True, cls=Option,
              help="Answer at the documented https URLs, and refuse all other hosts.")  # fmt: skip
@click.option("--host", "hosts", metavar="NAME=PROVIDER", multiple=True,
              help="With --intercept: another host to emulate; repeatable.")  # fmt: skip
@click.option("--allow", metavar="HOST", multiple=True,
              help="With --intercept: a host to allow, or *.example.com; repeatable.")  # fmt: skip
@click.option("--record", "record_folder", metavar="FOLDER", type=click.Path(), cls=Option,
              help="Forward requests to the real providers, and record their answers in FOLDER.")  # fmt: skip
@click.option("--upstream", "upstreams", metavar="NAME=URL", multiple=True,
              help="With --record: a provider's URL, if not the documented one; repeatable.")  # fmt: skip
@with_record_options
@click.option("--log", type=click.Choice(["pretty", "json", "off"]), default="off", show_default=True, cls=Option,
              help="Log each request to stderr.")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print the report as one line of JSON at the end of stderr.")
def command(command_line: tuple[str, ...], port: int, log: "Style", as_json: bool, **values: Any) -> None:
    """Run a command whose LLM clients talk to the emulator, without code changes.

    Its environment gets base URLs and dummy keys, unless you have set them. With --intercept, documented https URLs
    work unchanged. When the command ends, stderr gets a report of its requests. With --strict, the run fails if a
    request matched no rule, one of your rules was never used, or the client made a mistake that the verdict calls MUST.

    Exit code: the command's own; 128+N if signal N ended it; 127 or 126 if it can't be run; 1 if --strict fails the
    run; 2: bad usage; 3: the port is taken."""
    from emulator.errors import BindError, EmulatorError

    gc.disable()  # everything loaded from here on stays; collecting garbage takes a tenth of the startup time
    say_unknown_variables()
    intercepts = values.pop("intercept")
    hosts, allow = values.pop("hosts"), values.pop("allow")
    if (hosts or allow) and not intercepts:
        fail(f"{'--host' if hosts else '--allow'} needs --intercept: without it, no host is blocked.", BAD_USE)
    try:
        values["recorder"] = _recorder(values)
        with child.held_signals(), ExitStack() as stack:
            proxy = _proxy(hosts, allow, stack) if intercepts else None
            code = _run(command_line, port, log, as_json, proxy, values, stack)
    except BindError as error:
        fail(str(error), CANNOT_BIND)
    except EmulatorError as error:
        fail(str(error), BAD_USE)
    sys.exit(code)


def _run(
    command_line: tuple[str, ...],
    port: int,
    log: "Style",
    as_json: bool,
    proxy: "Proxy | None",
    values: "Mapping[str, Any]",
    stack: ExitStack,
) -> int:
    from emulator.cli.report import Report
    from emulator.interception.environment import base_urls
    from emulator.logs import LogWriter, install
    from emulator.providers import PROVIDERS
    from emulator.server.heads import HOSTS

    writer = LogWriter(2)
    stack.callback(writer.close)
    install(log, writer.write)
    recorder = values["recorder"]
    options = server_options(values, proxy=proxy, hosts=HOSTS if proxy is None else proxy.front.hosts)
    if recorder is not None:
        options = recording(options, recorder)
    report = Report(is_scripted=bool(values["scenarios"]), seen=proxy.front.seen if proxy is not None else None)
    origin, server, end = _serve(options, port, log, writer, report, stack)
    gc.freeze()
    gc.enable()
    recorded = [*recorder.options.upstreams, "openai"] if recorder else sorted(options.compiled.recorded)
    changes = base_urls(origin, PROVIDERS, values["provider"], os.environ, preferred=recorded)
    if proxy is not None:
        changes.set |= _interception(proxy, stack)
    report.kept = changes.kept
    try:
        code = child.run(command_line, os.environ | changes.set)
    except child.CannotRunError as error:
        click.echo(str(error), err=True)
        code = error.code
    end()  # all requests are known once the last answer has ended
    if code == 0 and values["strict"] and report.has_findings(server):
        code = FINDINGS
    writer.close()
    if recorder is not None:
        click.echo(f"emulator: {summary(recorder)}", err=True)
        code = code or (FINDINGS if recorder.counts.failed else 0)
    click.echo(report.as_json(server, code) if as_json else report.as_text(server), err=True)
    return code


def _recorder(values: "Mapping[str, Any]") -> "Recorder | None":
    """Returns the recorder, if recording is on. Raises UsageError."""
    from emulator.cli.providers import provider_of
    from emulator.errors import UsageError

    folder, upstreams = values["record_folder"], dict[str, str]()
    for text in values["upstreams"]:
        name, equals, url = text.partition("=")
        if not equals:
            raise UsageError(f"--upstream {text}: expected a provider and its URL, such as openai=https://…")
        provider_of(name)
        upstreams[name] = url
    if folder is None:
        if upstreams:
            raise UsageError("--upstream needs --record: without it, nothing is forwarded.")
        return None
    if values["scenarios"]:
        raise UsageError("--record and --scenario can't be used together: the recording is the scenario.")
    return recorder_of(record_options(folder, upstreams, values))


def recording(options: "ServerOptions", recorder: "Recorder") -> "ServerOptions":
    """Returns the options of a server that records."""
    from dataclasses import replace

    from emulator.server.recorder import compiled_in

    engine = replace(options.engine, unmatched="error")
    return replace(options, compiled=compiled_in(recorder.options), engine=engine, recorder=recorder, sources=())


def _serve(
    options: Any, port: int, log: "Style", writer: "LogWriter", report: "Report", stack: ExitStack
) -> "tuple[str, Server, Callable[[], None]]":
    """Starts a server in a thread; returns its URL, the server, and a function that stops it."""
    from dataclasses import replace

    from emulator import logs
    from emulator.cli.output import is_colored
    from emulator.errors import EmulatorError
    from emulator.server.server import Server
    from emulator.server.sockets import bind

    show = logs.on_exchange(log, writer, is_colored=is_colored(2))

    def on_exchange(exchange: Any) -> None:
        report.add(exchange)
        if show is not None:
            show(exchange)

    sock = bind(ADDRESS, port)
    origin = f"http://{ADDRESS}:{sock.getsockname()[1]}"
    server = Server(replace(options, on_exchange=on_exchange))
    ready = threading.Event()
    errors: list[BaseException] = []

    def serve() -> None:
        try:
            server.run(sock, ready.set)
        except BaseException as error:
            errors.append(error)
        finally:
            ready.set()

    thread = threading.Thread(target=serve, name="emulator", daemon=True)
    thread.start()

    def end() -> None:
        server.stop()
        thread.join()

    stack.callback(end)
    ready.wait()
    if errors:
        raise EmulatorError(f"The emulator did not start: {errors[0]}") from errors[0]
    return origin, server, end


def _proxy(hosts: tuple[str, ...], allow: tuple[str, ...], stack: ExitStack) -> "Proxy":
    """The proxy for documented URLs. Raises UsageError."""
    from emulator.cli.providers import provider_of
    from emulator.errors import UsageError
    from emulator.interception.certificates import Authority
    from emulator.interception.front import TlsFront, is_host_name
    from emulator.interception.proxy import Proxy, host_list
    from emulator.server.heads import HOSTS

    known = dict(HOSTS)
    for text in host_list(hosts):
        name, equals, provider = text.partition("=")
        if not equals or not is_host_name(name):
            raise UsageError(f"--host {text}: expected a host and its provider, such as llm.example.com=PROVIDER")
        provider_of(provider)
        known[name] = provider
    front = TlsFront(known, Authority.new("emulator run"))
    return Proxy(front, host_list(allow), lambda line: click.echo(f"emulator: {line}", err=True))


def _interception(proxy: "Proxy", stack: ExitStack) -> dict[str, str]:
    """The variables for interception. Their files hold only certificates and are deleted when the command ends."""
    import shutil
    import tempfile

    from emulator.interception import certificates
    from emulator.interception.environment import interception, own_bundles

    authority = proxy.front.authority
    assert authority is not None
    folder = Path(tempfile.mkdtemp(prefix="emulator-run-"))
    stack.callback(shutil.rmtree, folder, ignore_errors=True)
    bundle = certificates.combined(certificates.system_roots(), *own_bundles(os.environ), authority.pem)
    (folder / "ca-bundle.pem").write_bytes(bundle)
    truststore = None
    if os.environ.get("JAVA_HOME") or shutil.which("java"):
        truststore = folder / "truststore.p12"
        truststore.write_bytes(certificates.java_truststore(bundle))
    return interception(
        f"http://{ADDRESS}:{proxy.port}",
        str(folder / "ca-bundle.pem"),
        str(truststore) if truststore is not None else None,
        os.environ,
        certificates.STORE_PASSWORD,
    )
