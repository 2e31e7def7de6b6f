"""`emulator env`."""

import json
import os
import shlex
from collections.abc import Callable, Mapping

import click

from emulator.cli import FINDINGS
from emulator.cli.options import Option
from emulator.cli.output import fail, reason_of

TIMEOUT = 5.0
SHELLS = ("bash", "fish", "powershell", "dotenv", "github")


@click.command("env")
@click.option("--shell", type=click.Choice(SHELLS), default="bash", show_default=True,
              help="The output format: bash also suits sh and zsh; github is for $GITHUB_ENV.")  # fmt: skip
@click.option("--url", metavar="URL", cls=Option, help="The server's URL. [default: http://127.0.0.1:PORT]")
@click.option("--port", "-p", type=click.IntRange(1, 65535), default=8080, show_default=True, cls=Option,
              help="The server's port on this machine.")  # fmt: skip
@click.option("--token", envvar="EMULATOR_CONTROL_TOKEN", help="The token that the server printed.")
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
def command(shell: str, url: str | None, port: int, token: str | None, as_json: bool) -> None:
    """Print the environment variables that point clients at a running server, the same ones that `run` sets.

    In a shell: eval "$(emulator env)". Variables that you have already set keep their values; stderr names them."""
    from emulator.interception.environment import base_urls

    origin = (url or f"http://127.0.0.1:{port}").rstrip("/")
    names, alone = served_at(origin, token)
    environment = {name: value for name, value in os.environ.items() if name != "EMULATOR_URL"}
    changes = base_urls(origin, names, alone, environment)
    if as_json:
        click.echo(json.dumps({"set": changes.set, "kept": changes.kept}, indent=2))
        return
    if changes.kept:
        click.echo(f"Unchanged, because you have set them: {', '.join(changes.kept)}", err=True)
    click.echo(written(changes.set, shell), nl=False)


def served_at(origin: str, token: str | None = None) -> tuple[list[str], str | None]:
    """Returns the providers of the server at a URL, and the one that it serves at its root, if any."""
    import urllib.error
    import urllib.request

    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        request = urllib.request.Request(f"{origin}/__emulator/providers", headers=headers)
        with opener.open(request, timeout=TIMEOUT) as answer:
            urls = json.load(answer)["providers"]
    except (OSError, ValueError, KeyError) as error:
        reason = reason_of(error)
        fail(f"No emulator responds at {origin}: {reason}. Start one with `emulator serve`, or use --url.", FINDINGS)
    alone = next((name for name, base in urls.items() if not str(base).endswith(f"/{name}")), None)
    return list(urls), alone


def written(variables: Mapping[str, str], shell: str) -> str:
    """Variables in a shell's syntax, one per line."""
    forms: dict[str, Callable[[str, str], str]] = {
        "bash": lambda name, value: f"export {name}={shlex.quote(value)}",
        "fish": lambda name, value: f"set -gx {name} '{value.translate(FISH)}'",
        "powershell": lambda name, value: f"$env:{name} = '{value.replace(chr(39), chr(39) * 2)}'",
        "dotenv": lambda name, value: f"{name}={value}",
        "github": lambda name, value: f"{name}={value}",
    }
    form = forms[shell]
    return "".join(f"{form(name, value)}\n" for name, value in variables.items())


FISH = str.maketrans({"\\": "\\\\", "'": "\\'"})
