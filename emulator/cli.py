"""The command `emulator`. Each command loads what it needs only once it runs."""

import contextlib
import json
import os
import shlex
import sys
from typing import TYPE_CHECKING, Any, NoReturn

import click

if TYPE_CHECKING:
    from collections.abc import Callable

    from emulator.providers.base import Provider
    from emulator.server.server import ServerOptions
    from emulator.state.journal import Exchange

FINDINGS, BAD_USE, CANNOT_BIND = 1, 2, 3
"""Exit codes beside 0."""


class _Speed(click.ParamType[float]):
    name = "speed"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        from emulator.errors import UsageError
        from emulator.pace import FASTEST, SLOWEST, checked_speed

        if isinstance(value, float):
            return value
        if value == "max":
            return float("inf")
        try:
            return checked_speed(float(value))
        except (ValueError, UsageError):
            bounds = f"a number from {SLOWEST:f} to {FASTEST:.0f}, such as 2"
            self.fail(f"'{value}' is not a speed. Give {bounds}, or max.", param, ctx)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(None, "-V", "--version", package_name="llm-provider-emulator", prog_name="emulator")
def cli() -> None:
    """A local stand-in for LLM chat providers: exact wire formats, scripted answers, paced streams."""


@cli.command(context_settings={"auto_envvar_prefix": "EMULATOR"})
@click.option("--scenario", "-s", "scenarios", metavar="PATH", multiple=True, envvar="EMULATOR_SCENARIO",
              help="A scenario file, folder or glob, or several; the documented examples when left out.")  # fmt: skip
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option("--port", "-p", type=click.IntRange(0, 65535), default=8080, show_default=True,
              help="The port to listen on; 0 takes a free one.")  # fmt: skip
@click.option("--provider", metavar="NAME", help="Serve this provider alone, at the root of the port.")
@click.option(
    "--speed", type=_Speed(), default="1", show_default=True, help="How many times as fast all paces are, or max."
)
@click.option("--seed", type=int, help="Replaces the scenario's seed.")
@click.option("--strict", is_flag=True, help="A request that no rule answers gets an error that tells why.")
@click.option("--fault", "faults", metavar="KIND[:param=value,…]", multiple=True, envvar="EMULATOR_FAULT",
              help="What goes wrong with every answer, or several; `emulator faults` lists the kinds.")  # fmt: skip
@click.option("--fault-header/--no-fault-header", default=True, show_default=True,
              help="Whether requests may ask for faults by X-Emulator-Fault.")  # fmt: skip
@click.option("--request-faults/--no-request-faults", default=True, show_default=True,
              help="Whether requests may ask for faults at all: by header, key or URL.")  # fmt: skip
@click.option("--workers", type=click.IntRange(1, 64), default=1, show_default=True,
              help="So many processes on the port, which share nothing.")  # fmt: skip
@click.option("--reload/--no-reload", default=True, show_default=True, help="Load changed scenario files again.")
@click.option(
    "--allow-code", is_flag=True, help="Let scenarios name Python functions (`from: python:module:function`)."
)
@click.option("--log", type=click.Choice(["pretty", "json", "off"]), default="pretty", show_default=True,
              help="How each request is told.")  # fmt: skip
def serve(
    scenarios: tuple[str, ...],
    host: str,
    port: int,
    provider: str | None,
    speed: float,
    seed: int | None,
    strict: bool,
    faults: tuple[str, ...],
    fault_header: bool,
    request_faults: bool,
    workers: int,
    reload: bool,
    allow_code: bool,
    log: str,
) -> None:
    """Start the server. Every option may also be given as an environment variable: EMULATOR_PORT for --port."""
    import logging

    from emulator.engine import Options
    from emulator.errors import BindError, EmulatorError
    from emulator.faults import fault_of
    from emulator.faults.selection import fault_sources
    from emulator.pace import Pace
    from emulator.resources import DEFAULT_SCENARIO
    from emulator.server.server import MANUAL_CLOCK, Server, ServerOptions, bind
    from emulator.state.namespace import compile_scenario

    if provider is not None:
        _room(provider)
    if allow_code:
        sys.path.insert(0, os.getcwd())  # as with `python -m`: the script of a package does not look there
    sources = scenarios or (str(DEFAULT_SCENARIO),)
    try:
        script = compile_scenario(*sources)
        options = Options(
            pace=Pace(ttft=0.2, tokens_per_second=60),
            speed=speed,
            unmatched="error" if strict else "generate",
            faults=tuple(fault_of(fault) for fault in faults),
            request_faults=fault_sources(header=request_faults and fault_header, others=request_faults),
            allows_code=allow_code,
        )
        sock = bind(host, port, shares_port=workers > 1)
    except BindError as error:
        _fail(str(error), CANNOT_BIND)
    except EmulatorError as error:
        _fail(str(error), BAD_USE)
    shown = f"[{host}]" if ":" in host else host
    port = sock.getsockname()[1]
    server_options = ServerOptions(
        script, options, provider=provider, seed=seed, sources=sources if reload else (), on_exchange=_teller(log)
    )

    def ready() -> None:
        _stay()
        click.echo(banner(f"http://{shown}:{port}", provider))
        if script.scenario.clock == "manual":
            logging.getLogger("emulator").warning(MANUAL_CLOCK)

    if workers == 1:
        Server(server_options).run(sock, ready)
    else:
        sock.close()
        sys.exit(_serve_with_workers(workers, server_options, host, port, ready))


def _serve_with_workers(
    number: int, options: "ServerOptions", host: str, port: int, ready: "Callable[[], None]"
) -> int:
    """Fork before anything runs; each process binds the port for itself. Gives an exit code."""
    from dataclasses import replace

    from emulator.errors import UsageError
    from emulator.server.server import Server, bind
    from emulator.server.workers import needs_shared_state, run

    reasons = needs_shared_state(options.script.scenario, options.script.origins, options.options.faults)
    if reasons:
        told = "\n".join(f"  {reason}" for reason in reasons)
        _fail(f"--workers {number}: workers share nothing, and what is served needs them to:\n{told}", BAD_USE)

    def serve_one(index: int, on_exchange: "Callable[[], None]") -> None:
        mine = replace(options, options=replace(options.options, worker=index))

        def ready_too() -> None:
            _stay()
            on_exchange()

        Server(mine).run(bind(host, port, shares_port=True), ready_too)

    try:
        return run(number, serve_one, ready)
    except UsageError as error:
        _fail(str(error), BAD_USE)


@cli.command()
@click.argument("paths", nargs=-1, required=True, metavar="PATH…")
@click.option("--json", "as_json", is_flag=True, help="Print the problems as JSON.")
def check(paths: tuple[str, ...], as_json: bool) -> None:
    """Check scenario files: every problem as file:line:column, what was found, what would do.

    Exit code 0: nothing to say; 1: warnings only; 2: a file cannot be used."""
    from emulator.errors import Problem, ScenarioError
    from emulator.lint import warnings
    from emulator.scenario.sources import load

    problems: list[Problem] = []
    lint_warnings: list[Problem] = []
    for path in paths:
        try:
            lint_warnings += warnings(load(path))
        except ScenarioError as error:
            problems += error.problems
    if as_json:
        told = [("error", each) for each in problems] + [("warning", each) for each in lint_warnings]
        rows = [{"level": level, "path": p.path, "line": p.line, "column": p.column, "message": p.message}
                for level, p in told]  # fmt: skip
        click.echo(json.dumps({"problems": rows}, indent=2))
    else:
        for problem in problems:
            click.echo(str(problem), err=True)
        for lint_warning in lint_warnings:
            click.echo(f"{lint_warning} (warning)", err=True)
        if not problems and not lint_warnings:
            click.echo(f"{len(paths)} file{'s' if len(paths) > 1 else ''} checked, no problems.")
    sys.exit(BAD_USE if problems else FINDINGS if lint_warnings else 0)


@cli.command()
def schema() -> None:
    """Print the JSON Schema of scenario files, for editors."""
    from emulator.scenario.json_schema import as_text

    click.echo(as_text(), nl=False)


@cli.command()
@click.argument("kind", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
def faults(kind: str | None, as_json: bool) -> None:
    """List the faults: what each does on the wire, and what it tests in a client."""
    from emulator.errors import did_you_mean
    from emulator.faults import FAULTS

    if kind is not None and kind not in FAULTS:
        _fail(f"There is no fault '{kind}'.{did_you_mean(kind, list(FAULTS))} Kinds: {', '.join(FAULTS)}", BAD_USE)
    rows = [fault_facts(name) for name in (FAULTS if kind is None else [kind])]
    if as_json:
        click.echo(json.dumps(rows if kind is None else rows[0], indent=2))
        return
    family = ""
    for row in rows:
        if row["family"] != family:
            family = row["family"]
            click.echo(f"{'' if kind else chr(10)}{family}")
        click.echo(f"  {row['kind']:<22} {row['effect']}\n{'':<24} tests: {row['tests']}")
        for name, parameter in row["parameters"].items() if kind else ():
            click.echo(f"{'':<24} {name} = {json.dumps(parameter['default'])}: {parameter['description']}")


def fault_facts(kind: str) -> dict[str, Any]:
    """Everything about a fault that a user may want to know, as plain data."""
    from emulator import docstrings
    from emulator.faults import FAULTS

    fault = FAULTS[kind]
    words = docstrings.of(fault)
    return {
        "kind": kind,
        "family": fault.family,
        "effect": fault.effect,
        "tests": fault.tests,
        "parameters": {
            name: {"default": None if field.is_required() else field.default, "description": words.get(name, "")}
            for name, field in fault.model_fields.items()
            if name != "kind"
        },
    }


@cli.command()
@click.argument("name", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
def providers(name: str | None, as_json: bool) -> None:
    """List the providers, or tell all about one: routes, settings, errors, what is documented and what inferred."""
    from emulator.providers import PROVIDERS

    facts = {key: described(vendor) for key, vendor in PROVIDERS.items()} if name is None else described(_room(name))
    if as_json:
        click.echo(json.dumps(facts, indent=2))
    elif name is None:
        for key, vendor in PROVIDERS.items():
            click.echo(f"{key:<10} {vendor.title:<20} {vendor.auth_header}")
            for operation in vendor.operations:
                click.echo(f"{'':<10} {operation.method} {operation.path}")
    else:
        _tell(facts)


def described(vendor: "type[Provider]") -> dict[str, Any]:
    """Everything about a provider that a user may want to know, as plain data."""
    from emulator import docstrings

    words = docstrings.of(vendor.Settings)
    return {
        "name": vendor.name,
        "title": vendor.title,
        "document": vendor.document,
        "hosts": list(vendor.hosts),
        "auth": vendor.auth_header,
        "operations": [
            {"name": o.name, "method": o.method, "path": o.path, "summary": o.summary, "mark": o.mark}
            for o in vendor.operations
        ],
        "settings": {
            name: {"default": field.default, "description": words.get(name, "")}
            for name, field in vendor.Settings.model_fields.items()
        },
        "errors": {
            name: {"status": vendor().error_spec(_named(name)).status, "mark": row.mark, "body": _body(vendor, name)}
            for name, row in vendor.errors.items()
        },
    }


def _named(name: str) -> Any:
    from emulator.reply import ErrorReply

    return ErrorReply(name=name)


def _body(vendor: "type[Provider]", name: str) -> str:
    return vendor().error(_named(name), request_id="…").body().decode()


def _tell(facts: dict[str, Any]) -> None:
    click.echo(f"{facts['title']} ({facts['name']}), after the document “{facts['document']}”")
    click.echo(f"\nHosts: {', '.join(facts['hosts'])}\nAuth:  {facts['auth']}\n\nOperations")
    for row in facts["operations"]:
        click.echo(f"  {row['method']:<5} {row['path']:<45} {row['summary']} ({row['mark']})")
    click.echo("\nSettings, in a scenario under providers: " + facts["name"] + ":")
    for name, row in facts["settings"].items():
        click.echo(f"  {name}: {json.dumps(row['default'])}")
        click.echo(f"      {row['description']}")
    click.echo("\nErrors, in a scenario as `error: NAME`")
    for name, row in facts["errors"].items():
        click.echo(f"  {name:<21} {row['status']}  {row['mark']:<10}  {row['body']}")


def banner(origin: str, provider: str | None = None) -> str:
    """What `serve` says once it listens: how to reach each provider, and a line to paste."""
    from emulator.providers import PROVIDERS

    lines = [f"The emulator listens on {origin}. Ctrl-C stops it."]
    for name, vendor in PROVIDERS.items():
        if provider in (None, name):
            base = origin if provider else f"{origin}/{name}"
            path, body = vendor.example
            lines += [
                "",
                f"{vendor.title}",
                f"  base URL  {base}",
                f"  auth      {vendor.auth_header}",
                f"  try       curl {base}{path} -H 'Content-Type: application/json' "
                f"-H {shlex.quote(vendor.auth_header)} -d {shlex.quote(json.dumps(body))}",
            ]
    return "\n".join(lines)


def _room(name: str) -> "type[Provider]":
    from emulator.errors import did_you_mean
    from emulator.providers import PROVIDERS

    if name not in PROVIDERS:
        hint = did_you_mean(name, list(PROVIDERS))
        _fail(f"There is no provider '{name}'.{hint} Providers: {', '.join(PROVIDERS)}", BAD_USE)
    return PROVIDERS[name]


def _stay() -> None:
    """What is loaded by now stays. To look for garbage among it, or among all that open streams hold, would stop every
    one of them for some 30 ms; and connections leave none, so a full search can wait."""
    import gc

    gc.collect()
    gc.freeze()
    young, middle, _ = gc.get_threshold()
    gc.set_threshold(young, middle, 100)


def _teller(style: str) -> "Callable[[Exchange], None] | None":
    """What tells each request, and where the emulator's own words go."""
    import logging

    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(message)s"))
    logger = logging.getLogger("emulator")
    logger.addHandler(handler)
    logger.setLevel(logging.INFO if style != "off" else logging.ERROR)
    if style == "off":
        return None

    def on_exchange(exchange: "Exchange") -> None:
        with contextlib.suppress(OSError):  # whoever read it has gone
            click.echo(json.dumps(exchange.summary()) if style == "json" else exchange.line())

    return on_exchange


def _fail(message: str, code: int) -> NoReturn:
    click.echo(message, err=True)
    sys.exit(code)


def main() -> NoReturn:
    """The entry point of the command."""
    from emulator.errors import EmulatorError

    try:
        cli(prog_name="emulator")
    except EmulatorError as error:  # such as a provider that an installed distribution brings along broken
        _fail(str(error), BAD_USE)
    raise AssertionError("click leaves by itself")
