"""`emulator replay`."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from emulator.cli import BAD_USE, CANNOT_BIND
from emulator.cli.options import Option
from emulator.cli.output import fail

if TYPE_CHECKING:
    from emulator.logs import Style


@click.command("replay")
@click.argument("file", metavar="RUN.JSON", type=click.Path())
@click.option("--host", default="127.0.0.1", show_default=True, cls=Option, help="The address to listen on.")
@click.option("--port", "-p", type=click.IntRange(0, 65535), default=8080, show_default=True, cls=Option,
              help="The port to listen on; 0 picks a free one.")  # fmt: skip
@click.option("--log", type=click.Choice(["pretty", "json", "off"]), default="pretty", show_default=True, cls=Option,
              help="Request log format.")  # fmt: skip
def command(file: str, host: str, port: int, log: "Style") -> None:
    """Replay a run that `emulator verdict --save` has saved.

    A request gets the recorded bytes for the same body, with the same timing and in the recorded order; a request with
    a new body gets the next answer at its path. Everything else is answered from the run's scenario and seed.

    Exit code 0: stopped by a signal; 2: the file can't be used; 3: the port is taken."""
    from emulator.cli.serve import serve_alone
    from emulator.control.access import access_for
    from emulator.engine import Options
    from emulator.errors import BindError, EmulatorError
    from emulator.server.replaying import Replay, can_replay
    from emulator.server.server import ServerOptions
    from emulator.state.compiled import compile_scenario
    from emulator.verdict.saved import run_in

    try:
        run = run_in(Path(file).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        fail(f"{file} can't be read: {reason}.", BAD_USE)
    if run is None:
        fail(f"{file} is not a saved run. Save one with: emulator verdict --save {file}", BAD_USE)
    try:
        rows = run["exchanges"]
        cut = [str(row["number"]) for row in rows if not can_replay(row)]
        if cut:
            click.echo(f"Exchanges {', '.join(cut[:10])} are incomplete, so the scenario answers them.", err=True)
        options = ServerOptions(
            compile_scenario(run["scenario"]),
            Options(),
            seed=run["seed"],
            access=access_for(host, None, ()),
            replay=Replay(rows),
        )
        serve_alone(options, host, port, log)
    except BindError as error:
        fail(str(error), CANNOT_BIND)
    except EmulatorError as error:
        fail(str(error), BAD_USE)
    except (KeyError, TypeError, AttributeError):
        fail(f"{file} is not a complete saved run. Save one with: emulator verdict --save {file}", BAD_USE)
