"""The options of every command that starts a server, and the settings derived from them."""

import contextlib
import os
import sys
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import TYPE_CHECKING, Any, TypeVar

import click

from emulator.cli.options import PREFIX, Faults, Option, Paths, Speed, unknown_variables
from emulator.cli.providers import provider_of

if TYPE_CHECKING:
    from emulator.server.server import ServerOptions

Function = TypeVar("Function", bound=Callable[..., Any])

OPTIONS = (
    click.option("--scenario", "-s", "scenarios", metavar="PATH", multiple=True, cls=Option, type=Paths(),
                 help="A scenario file, folder or glob, or the name of a shipped one, such as incidents/deepseek_busy; "
                 "repeatable. By default, the documented examples."),
    click.option("--provider", metavar="NAME", cls=Option, help="Serve only this provider, at the root of the port."),
    click.option("--speed", type=Speed(), default="1", show_default=True, cls=Option,
                 help="Speed multiplier for all paces; max removes all delays."),
    click.option("--seed", type=int, cls=Option, help="Override the scenario's seed."),
    click.option("--strict", is_flag=True, cls=Option,
                 help="Answer a request that no rule matches with an error that says why."),
    click.option("--fault", "faults", metavar="KIND[:param=value,…]", multiple=True, cls=Option, type=Faults(),
                 help="Fault to inject into every response; repeatable. `emulator faults` lists the kinds."),
    click.option("--fault-header/--no-fault-header", default=True, show_default=True, cls=Option,
                 help="Allow requests to ask for faults with the header X-Emulator-Fault."),
    click.option("--request-faults/--no-request-faults", default=True, show_default=True, cls=Option,
                 help="Allow requests to ask for faults in any way: by header, key or URL."),
    click.option("--reload/--no-reload", default=True, show_default=True, cls=Option,
                 help="Reload scenario files when they change."),
    click.option("--allow-code", is_flag=True, cls=Option,
                 help="Allow scenarios to call Python functions (`from: python:module:function`)."),
)  # fmt: skip


def with_server_options(function: Function) -> Function:
    """Adds the options of every server to a command."""
    for option in reversed(OPTIONS):
        function = option(function)
    return function


def load_quickly(*, runs_other_code: bool = False) -> None:
    """Makes loading quick in a process that only serves: imports create no garbage to search for, and pydantic need not
    look into all installed packages for plugins of its own. The server collects garbage again once it is ready."""
    import gc

    gc.disable()
    if not runs_other_code:
        os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
        loader: Any = ModuleType("pydantic.plugin._loader")  # the actual one imports `importlib.metadata` all the same
        loader.get_plugins = lambda: ()
        sys.modules.setdefault(loader.__name__, loader)


def say_unknown_variables() -> None:
    """Reports EMULATOR_… variables that aren't options of any server."""
    if not any(name.startswith(PREFIX) for name in os.environ):
        return
    from emulator.cli import run, serve

    for sentence in unknown_variables(os.environ, serve.command, run.command):
        click.echo(sentence, err=True)


def server_options(values: Mapping[str, Any], **more: Any) -> "ServerOptions":
    """Returns the server's options, from the values of OPTIONS and a command's own. Raises EmulatorError."""
    from emulator.engine import Options
    from emulator.faults import fault_of
    from emulator.faults.selection import fault_sources
    from emulator.pace import Pace
    from emulator.resources import DEFAULT_SCENARIO
    from emulator.server.server import ServerOptions
    from emulator.state.compiled import compile_scenario

    if values["provider"] is not None:
        provider_of(values["provider"])
    if values["allow_code"]:
        with contextlib.suppress(OSError):  # the folder may be gone
            sys.path.insert(0, os.getcwd())  # as `python -m` does; the script that pip installs does not
    sources = values["scenarios"] or (str(DEFAULT_SCENARIO),)
    options = Options(
        pace=Pace(ttft=0.2, tokens_per_second=60),
        speed=values["speed"],
        unmatched="error" if values["strict"] else "generate",
        faults=tuple(fault_of(fault) for fault in values["faults"]),
        request_faults=fault_sources(
            header=values["request_faults"] and values["fault_header"], others=values["request_faults"]
        ),
        allows_code=values["allow_code"],
        speaks_tls=more.get("front") is not None or more.get("proxy") is not None,
    )
    return ServerOptions(
        compile_scenario(*sources),
        options,
        provider=values["provider"],
        seed=values["seed"],
        sources=sources if values["reload"] else (),
        **more,
    )
