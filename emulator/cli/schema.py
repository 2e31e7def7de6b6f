"""`emulator schema`."""

import click


@click.command("schema")
def command() -> None:
    """Print the JSON Schema of scenario files, for editors."""
    from emulator.scenario.json_schema import as_text

    click.echo(as_text(), nl=False)
