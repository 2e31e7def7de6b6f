"""`emulator export`."""

import json

import click

from emulator.cli import BAD_USE
from emulator.cli.output import fail


@click.command("export")
@click.argument("paths", nargs=-1, required=True, metavar="PATH…")
@click.option("--to", "form", type=click.Choice(["aimock", "wiremock"]), required=True, help="The tool to export for.")
def command(paths: tuple[str, ...], form: str) -> None:
    """Export scenarios or recordings as fixtures for aimock or mappings for WireMock, printed on stdout.

    stderr lists what these tools can't express.

    Exit code 0: exported, even if something is missing; 2: a file can't be used."""
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
