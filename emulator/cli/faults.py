"""`emulator faults`."""

import json
from typing import Any

import click

from emulator.cli import BAD_USE
from emulator.cli.output import did_you_mean, fail


@click.command("faults")
@click.argument("kind", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
def command(kind: str | None, as_json: bool) -> None:
    """List the faults: what each does on the wire, and what it tests in a client."""
    from emulator.faults import FAULTS, OLD_NAMES

    kind = OLD_NAMES.get(kind or "", kind)
    if kind is not None and kind not in FAULTS:
        hint = did_you_mean(kind, list(FAULTS)) or " `emulator faults` lists them."
        fail(f"There is no fault '{kind}'.{hint}", BAD_USE)
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
    """Returns all facts about a fault, as plain data."""
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
