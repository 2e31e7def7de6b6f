"""`emulator import`."""

from pathlib import Path

import click

from emulator.cli import BAD_USE
from emulator.cli.options import Option
from emulator.cli.output import fail
from emulator.cli.providers import provider_of


@click.command("import")
@click.argument("files", nargs=-1, required=True, metavar="FILE…", type=click.Path())
@click.option("--into", "folder", metavar="FOLDER", type=click.Path(), default="recordings", show_default=True,
              cls=Option, help="The folder to write the scenarios to.")  # fmt: skip
@click.option("--from", "form", type=click.Choice(["vcr", "har", "aimock", "jsonl"]),
              help="The format of the files; by default, detected.")  # fmt: skip
@click.option("--provider", metavar="NAME", help="The provider of the answers, if URLs don't show it.")
def command(files: tuple[str, ...], folder: str, form: str | None, provider: str | None) -> None:
    """Import recordings and fixtures of other tools.

    vcrpy's cassettes and HTTP archives (HAR) become redacted recordings; aimock's fixtures and JSON lines with
    `messages` become rules. stderr lists what can't be imported.

    Exit code 0: imported, even if something was left out; 2: a file can't be used."""
    from emulator.errors import EmulatorError
    from emulator.recording.importing import imported

    file = ""

    try:
        if provider is not None:
            provider_of(provider)
        for file in files:
            result = imported(Path(file), Path(folder), form, provider)
            for sentence in result.left_out:
                click.echo(f"{file}: left out: {sentence}", err=True)
            what = f"{result.answers} {'answer' if result.answers == 1 else 'answers'}"
            click.echo(f"{file}: {what} from {result.form} into {folder}")
    except (OSError, UnicodeDecodeError) as error:
        reason = (error.strerror or str(error)) if isinstance(error, OSError) else "it is not UTF-8"
        fail(f"{getattr(error, 'filename', None) or file} can't be used: {reason}.", BAD_USE)
    except EmulatorError as error:
        fail(str(error), BAD_USE)
