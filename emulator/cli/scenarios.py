"""`emulator scenarios`."""

import json
from itertools import dropwhile, takewhile

import click

from emulator.cli import BAD_USE
from emulator.cli.output import did_you_mean, fail


@click.command("scenarios")
@click.argument("name", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
def command(name: str | None, as_json: bool) -> None:
    """List the shipped scenarios, or print one: `emulator scenarios incidents/deepseek_busy`.

    Their names can be used wherever a scenario's path can."""
    from emulator.resources import scenario_named, scenario_names

    if name is None:
        rows = {each: about(each) for each in scenario_names()}
        if as_json:
            click.echo(json.dumps(rows, indent=2, ensure_ascii=False))
        else:
            width = max(map(len, rows))
            for each, text in rows.items():
                click.echo(f"{each:<{width}}  {text}")
        return
    path = scenario_named(name)
    if path is None:
        hint = did_you_mean(name, scenario_names()) or " `emulator scenarios` lists them."
        fail(f"There is no shipped scenario '{name}'.{hint}", BAD_USE)
    text = path.read_text(encoding="utf-8")
    facts = {"name": name, "path": str(path), "about": about(name), "text": text}
    click.echo(json.dumps(facts, indent=2, ensure_ascii=False) if as_json else text, nl=as_json)


def about(name: str) -> str:
    """Returns the first sentence of the comment at the top of a scenario."""
    from emulator.resources import scenario_named

    path = scenario_named(name)
    lines = path.read_text(encoding="utf-8").splitlines() if path is not None else []
    comments = [line.removeprefix("#").strip() for line in takewhile(lambda line: line.startswith("#"), lines)]
    texts = dropwhile(lambda text: not text, [text for text in comments if "$schema=" not in text])
    sentence, dot, _ = " ".join(takewhile(bool, texts)).partition(". ")
    return sentence + dot.strip()
