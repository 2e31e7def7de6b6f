"""`emulator diff`."""

import sys
from pathlib import Path

import click

from emulator.cli import BAD_USE, FINDINGS
from emulator.cli.output import fail, is_colored


@click.command("diff")
@click.argument("paths", nargs=-1, required=True, metavar="A [B]", type=click.Path())
@click.option("--documented", is_flag=True, help="Compare A with what the emulator itself renders.")
@click.option("--format", "form", type=click.Choice(["text", "json", "github"]), default="text", show_default=True,
              help="The output format; github: workflow annotations.")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="The same as --format json.")
def command(paths: tuple[str, ...], documented: bool, form: str, as_json: bool) -> None:
    """Compare the shapes of recordings: what B has that A doesn't, and vice versa.

    A and B are folders, scenario files or wire files that `emulator record` wrote. A new member is info, a missing one
    a warning; a different type, order or event is an error. With --documented, each difference shows the source of the
    emulator's format: documented, public or inferred. Then "was" is what the emulator sends and "is" is what the
    provider sent.

    Exit code 0: no errors; 1: errors; 2: a file can't be used."""
    from emulator.errors import EmulatorError
    from emulator.recording import comparing

    wanted = 1 if documented else 2
    if len(paths) != wanted:
        words = "one recording" if documented else "two recordings, the older one first"
        fail(f"{len(paths)} {'path' if len(paths) == 1 else 'paths'} given: give {words}.", BAD_USE)
    try:
        first, *others = [comparing.recorded_at(Path(path)) for path in paths]
        if documented:
            from emulator.engine.documented import compared_with_ours

            result = compared_with_ours(first)
        else:
            result = comparing.compared(first, others[0])
    except EmulatorError as error:
        fail(str(error), BAD_USE)
    if as_json or form == "json":
        click.echo(comparing.as_json(result))
    elif form == "github":
        click.echo(comparing.as_github(result))
    else:
        click.echo(comparing.as_text(result, is_colored=is_colored(1)))
    sys.exit(FINDINGS if result.has_errors else 0)
