"""The table of commands, and the group that loads a command on first use."""

import errno
import gc
import sys
from importlib import import_module
from typing import NamedTuple

import click

from emulator.cli import BAD_USE, cannot_write
from emulator.cli.output import did_you_mean


class Row(NamedTuple):
    """One command: the module that defines it as `command`, and its line in the list of commands."""

    module: str
    help: str
    starts_collecting: bool = False
    """Whether it starts the garbage collector itself, once everything is loaded."""


COMMANDS = {
    "serve": Row("emulator.cli.serve", "Start the server.", True),
    "run": Row("emulator.cli.run", "Run a command against the emulator, without code changes."),
    "env": Row("emulator.cli.env", "Print the environment variables that point clients at a server."),
    "health": Row("emulator.cli.health", "Check whether a server answers, for health checks."),
    "init": Row("emulator.cli.init", "Write starter files: scenario, test, compose file, CI workflow."),
    "doctor": Row("emulator.cli.doctor", "Find what keeps clients from reaching the emulator."),
    "tail": Row("emulator.cli.tail", "Follow the requests to a running server."),
    "verdict": Row("emulator.cli.verdict", "Report what a client did wrong, from the journal."),
    "replay": Row("emulator.cli.replay", "Replay a saved run, byte for byte."),
    "record": Row("emulator.cli.record", "Record a real provider, and replay it later."),
    "diff": Row("emulator.cli.diff", "Compare the shapes of recordings."),
    "import": Row("emulator.cli.import_", "Import recordings and fixtures of other tools."),
    "export": Row("emulator.cli.export", "Export scenarios as fixtures for other tools."),
    "exam": Row("emulator.cli.exam", "Run a client through a series of faults, and grade it."),
    "check": Row("emulator.cli.check", "Check scenario files."),
    "providers": Row("emulator.cli.providers", "List the providers, or describe one."),
    "faults": Row("emulator.cli.faults", "List the faults, or describe one."),
    "scenarios": Row("emulator.cli.scenarios", "List the shipped scenarios, or print one."),
    "schema": Row("emulator.cli.schema", "Print the JSON Schema of scenario files, for editors."),
    "completion": Row("emulator.cli.completion", "Print the shell completion script."),
}

NEXT = """\
Start the server, then point a client at one of the base URLs that it prints:

  emulator serve

Then, for example:

  emulator serve --scenario incidents/deepseek_busy   a shipped scenario, or a file of your own
  emulator run -- pytest                              points the clients in pytest at the emulator
  emulator serve --fault reset:after_tokens=5         injects a fault into every answer
  emulator check hello.yaml                           reports each problem as file:line:column

Commands
{commands}

`emulator COMMAND --help` describes a command."""


class Commands(click.Group):
    """A group whose commands are the rows of COMMANDS."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        row = COMMANDS.get(cmd_name)
        if row is None:
            return None
        command = import_module(row.module).command
        if not row.starts_collecting:
            gc.enable()
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, row.help) for name, row in COMMANDS.items()])

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        if name not in COMMANDS and not name.startswith("-"):
            hint = did_you_mean(name, list(COMMANDS))
            ctx.fail(f"There is no command '{name}'.{hint} Commands: {', '.join(COMMANDS)}")
        return super().resolve_command(ctx, args)


@click.group(
    cls=Commands,
    invoke_without_command=True,
    subcommand_metavar="COMMAND [ARGS]...",
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.version_option(None, "-V", "--version", package_name="llm-provider-emulator", prog_name="emulator")
@click.pass_context
def cli(ctx: click.Context) -> None:
    """A local stand-in for LLM providers: exact wire formats, scripted answers, paced streams, injected faults."""
    if ctx.invoked_subcommand is None:
        width = max(map(len, COMMANDS))
        rows = "\n".join(f"  {name:<{width}}  {row.help}" for name, row in COMMANDS.items())
        click.echo(NEXT.format(commands=rows))


def run() -> int:
    """Runs this process's command line and returns its exit code."""
    from emulator.errors import EmulatorError

    try:
        cli(prog_name="emulator")
    except SystemExit as leaving:
        return leaving.code if isinstance(leaving.code, int) else 0 if leaving.code is None else 1
    except EmulatorError as error:  # such as a broken provider in an installed package
        click.echo(str(error), err=True)
        return BAD_USE
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EBADF, errno.EPIPE):
            return cannot_write(error)
        sys.stderr.write(f"{error.filename or 'emulator'}: {error.strerror or error}\n")
        return BAD_USE
    return 0
