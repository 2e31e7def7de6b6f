"""`emulator providers`."""

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

from emulator.cli import BAD_USE
from emulator.cli.output import did_you_mean, fail

if TYPE_CHECKING:
    from emulator.providers.base import Provider


@click.command("providers")
@click.argument("name", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
def command(name: str | None, as_json: bool) -> None:
    """List the providers, or describe one: its routes, settings and errors, and which are documented or inferred."""
    from emulator.providers import PROVIDERS

    facts = (
        {key: described(vendor) for key, vendor in PROVIDERS.items()} if name is None else described(provider_of(name))
    )
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
    """Returns all facts about a provider, as plain data."""
    from emulator import docstrings

    words = docstrings.of(vendor.Settings)
    return {
        "name": vendor.name,
        "title": vendor.title,
        "document": vendor.document,
        "hosts": list(vendor.hosts),
        "auth": vendor.auth_header,
        "sdk": sdk_of(vendor),
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


def sdk_of(vendor: "type[Provider]") -> dict[str, Any]:
    """Returns how an OpenAI SDK reaches a provider: the path to add to the base URL (null if it can't), and a note."""
    return {"base_path": vendor.sdk_base_path(), "note": vendor.sdk_note}


def sdk_line(base: str, sdk: Mapping[str, Any]) -> str:
    """Returns the base URL for an OpenAI SDK, in one line."""
    path, note = sdk["base_path"], sdk["note"]
    if path is None:
        return note or "not for OpenAI SDKs"
    return f"base_url {base}{path}{f'  ({note})' if note else ''}"


def _named(name: str) -> Any:
    from emulator.reply import ErrorReply

    return ErrorReply(name=name)


def _body(vendor: "type[Provider]", name: str) -> str:
    import orjson

    body = vendor().error(_named(name), request_id="…").body()
    try:
        return orjson.dumps(orjson.loads(body)).decode()  # on one line
    except orjson.JSONDecodeError:
        return body.decode()


def _tell(facts: dict[str, Any]) -> None:
    click.echo(f"{facts['title']} ({facts['name']}), according to “{facts['document']}”")
    click.echo(f"\nHosts: {', '.join(facts['hosts'])}\nAuth:  {facts['auth']}")
    click.echo(f"SDK:   {sdk_line('', facts['sdk'])}\n\nOperations")
    for row in facts["operations"]:
        click.echo(f"  {row['method']:<5} {row['path']:<45} {row['summary']} ({row['mark']})")
    click.echo(f"\nSettings (in a scenario, under `providers: {facts['name']}:`)")
    for name, row in facts["settings"].items():
        click.echo(f"  {name}: {json.dumps(row['default'])}")
        click.echo(f"      {row['description']}")
    click.echo("\nErrors (in a scenario, `error: NAME`)")
    for name, row in facts["errors"].items():
        click.echo(f"  {name:<21} {row['status']}  {row['mark']:<10}  {row['body']}")


def provider_of(name: str) -> "type[Provider]":
    """Returns the provider with this name; if there is none, exits with a message."""
    from emulator.providers import PROVIDERS

    if name not in PROVIDERS:
        hint = did_you_mean(name, list(PROVIDERS))
        fail(f"There is no provider '{name}'.{hint} Providers: {', '.join(PROVIDERS)}", BAD_USE)
    return PROVIDERS[name]
