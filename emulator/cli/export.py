"""`emulator export`."""

import json

import click

from emulator.cli import BAD_USE
from emulator.cli.output import fail


@click.command("export")
@click.argument("paths", nargs=-1, required=True, metavar="PATH…")
@click.option("--to", "form", type=click.Choice(["aimock", "wiremock"]), required=True, help="For which tool.")
def command(paths: tuple[str, ...], form: str) -> None:
    """Print scenarios or recordings as fixtures of aimock or mappings of WireMock, as far as these can say them.

    stderr lists what they have no words for.

    Exit code 0: done, whatever could not be said; 2: a file cannot be used."""
    from emulator.errors import EmulatorError
    from emulator.scenario.exporting import as_aimock, as_wiremock
    from emulator.scenario.sources import load

    try:
        scenario = load(*paths).scenario
    except EmulatorError as error:
        fail(str(error), BAD_USE)
    result = (as_aimock if form == "aimock" else as_wiremock)(scenario)
    click.echo(json.dumps(result.document, indent=2, ensure_ascii=False))
    for sentence in result.unsaid:
        click.echo(f"{form} can't express: {sentence}", err=True)
