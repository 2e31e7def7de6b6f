"""What people read is in plain English: documents, help, descriptions and code avoid recurring translated phrases."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from click import Context, Group

from emulator.cli import cli
from emulator.cli.faults import fault_facts
from emulator.cli.providers import described
from emulator.control.openapi import document
from emulator.control.routes import ROUTES
from emulator.faults import FAULTS
from emulator.providers import PROVIDERS
from emulator.scenario import json_schema

ROOT = Path(__file__).parent.parent
BANNED = re.compile(
    r"\bfor ever\b|\bis none\b|\bhonour|\bcolour|\bbehaviour|\brecognis|\bserialis|\bhow-manieth|\bso manieth"
    r"|\b(?:is|are|was|were) told\b|\bgives? back what\b|\bwas expected\b|\bwere expected\b|\bin so many words\b"
    r"|\bas good as\b|\bbegins? anew\b|\bhardly meant\b|\bwhat would do\b|\bgo(?:es)? wrong with every\b"
    r"|\bthe rule wants\b|\bnobody can tell\b|\bspeaks no\b|\bis not known any more\b",
    re.IGNORECASE,
)
METAPHOR = re.compile(
    r"(?<![a-z])(?:told|doors?|(?<!make[_ ])rooms?|dice|books|spoil\w*|unspoil\w*)(?![a-z])", re.IGNORECASE
)
"""Words that stand for something else in code: names, comments and docstrings use the standard terms."""
COMMENT = re.compile(r"\n *# ?")
"""What stands between two lines of a comment."""
QUOTING = (
    "emulator/generation/phrases/it.py",  # Italian
    "emulator/generation/instances/names.py",  # members of clients' schemas
    "tests/test_language.py",
    "tests/clients/test_claude_sdk.py",  # what clients say
    "tests/providers/test_anthropic.py",
    "tests/providers/test_deepseek_recordings.py",  # a recorded conversation
    "tests/test_control.py",  # an unknown parameter
)
"""Files whose texts are data in another language or of somebody else."""
FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)


def descriptions(value: object) -> Iterator[str]:
    """Every description in a JSON document."""
    if isinstance(value, dict):
        for key, each in value.items():
            if key in ("description", "summary", "title") and isinstance(each, str):
                yield each
            else:
                yield from descriptions(each)
    elif isinstance(value, list):
        for each in value:
            yield from descriptions(each)


def helps() -> Iterator[str]:
    """The help of every command, with its options."""
    assert isinstance(cli, Group)
    context = Context(cli, info_name="emulator")
    yield cli.get_help(context)
    for name in cli.list_commands(context):
        command = cli.get_command(context, name)
        assert command is not None
        yield command.get_help(Context(command, info_name=name, parent=context))


def read_by_people() -> Iterator[tuple[str, str]]:
    for path in (*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), ROOT / "fixtures" / "README.md"):
        yield path.name, FENCE.sub("", path.read_text())
    for path in (ROOT / "scenarios").rglob("*.yaml"):
        yield path.name, "\n".join(line for line in path.read_text().splitlines() if line.lstrip().startswith("#"))
    yield "help", "\n".join(helps())
    yield "schema", "\n".join(descriptions(json.loads(json_schema.as_text())))
    yield "openapi.json", "\n".join(descriptions(document(ROUTES, "1")))
    yield "faults", json.dumps([fault_facts(kind) for kind in FAULTS])
    yield "settings", "\n".join(descriptions([described(provider)["settings"] for provider in PROVIDERS.values()]))


def found_in(text: str) -> list[str]:
    """The phrases in a text, whatever lines they are on."""
    return [match[0] for match in BANNED.finditer(" ".join(text.split()))]


def test_what_people_read_has_none_of_the_banned_phrases() -> None:
    texts = list(read_by_people())
    assert len(texts) > 30
    assert {name: found_in(text) for name, text in texts if found_in(text)} == {}


def test_code_has_none_of_them_either() -> None:
    """In no text, comment or name; `is None` is Python."""
    tops = ("emulator", "tests", "benchmarks", "docs")
    files = [path for top in tops for path in (ROOT / top).rglob("*.py") if "site-packages" not in path.parts]
    texts = {path.relative_to(ROOT).as_posix(): COMMENT.sub(" ", path.read_text()) for path in files}
    found = {
        name: [*METAPHOR.findall(text), *(each for each in found_in(text) if each.lower() != "is none")]
        for name, text in texts.items()
        if name not in QUOTING
    }
    assert len(found) > 400
    assert {name: words for name, words in found.items() if words} == {}


@pytest.mark.parametrize(
    "phrase", ["waits for ever", "Parameters are\nhonoured", "a number was expected", "is told how"]
)
def test_a_banned_phrase_is_found(phrase: str) -> None:
    assert len(found_in(f"One sentence. It {phrase} here.")) == 1
