"""The documents are true: their snippets run, their commands exist and print what is shown, their tables are current,
their links lead somewhere."""

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest
import yaml
from click import Context
from click.testing import CliRunner
from tables import each_of
from talk import single

from emulator import Emulator, patterns
from emulator.cli import cli
from emulator.errors import ScenarioError
from emulator.generation import templates
from emulator.lint import warnings
from emulator.matching.conditions import values
from emulator.scenario import models
from emulator.scenario.loading import parse
from emulator.scenario.models import Match, RuleModel, Scenario
from emulator.scenario.sources import load

pytest_plugins = ["pytester"]
ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", ROOT / "ARCHITECTURE.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
SCENARIOS = ROOT / "docs" / "scenarios.md"
BLOCK = re.compile(r"^(<!-- wrong -->\n)?```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)#\s]*)(?:#([^)]*))?\)")
COMMANDS = ("emulator ", "curl ", "make ", "pip ")


class Block(NamedTuple):
    """A snippet of a document."""

    page: str
    text: str
    is_wrong: bool
    """Whether it shows what cannot be used."""

    @property
    def file(self) -> str | None:
        """The name in a first line like `# hello.yaml`."""
        found = re.match(r"# (\S+\.yaml)\n", self.text)
        return found[1] if found else None


def blocks(language: str) -> dict[str, Block]:
    """Every snippet in a language, by its place."""
    found = {}
    for page in PAGES:
        text = page.read_text()
        for block in BLOCK.finditer(text):
            if block[2] == language:
                line = text.count("\n", 0, block.start(2)) + 1
                found[f"{page.name}:{line}"] = Block(page.name, block[3], bool(block[1]))
    return found


def snippets(language: str) -> pytest.MarkDecorator:
    found = blocks(language)
    return pytest.mark.parametrize("block", found.values(), ids=found.keys())


@pytest.fixture(scope="module")
def served() -> Iterator[Emulator]:
    """What the documents call http://127.0.0.1:8080."""
    with Emulator() as emulator:
        yield emulator


# Scenarios


def keys(model: Any) -> set[str]:
    return {field.alias or name for name, field in model.model_fields.items()}


def whole(data: dict[str, Any]) -> dict[str, Any]:
    """A snippet as a file: it shows keys of a file, of a rule, of a match, or of a reply."""
    if set(data) <= keys(Scenario):
        return {key: value for key, value in data.items() if key != "include"}
    if set(data) <= keys(RuleModel):
        answer: dict[str, Any] = {} if {"reply", "error", "replies"} & set(data) else {"reply": {}}
        return {"rules": [{**data, **answer}]}
    wrapped = {"match": data, "reply": {}} if set(data) <= keys(Match) else {"reply": data}
    return {"rules": [wrapped]}


@snippets("yaml")
def test_scenarios_in_the_documents_can_be_used(block: Block) -> None:
    data = parse(block.text, "snippet").data
    assert yaml.safe_load(block.text) == data  # which other readers of YAML agree with
    if "acme" in block.text:  # a provider of somebody else's
        return
    if block.is_wrong:
        with pytest.raises(ScenarioError):
            load(whole(data))
        return
    lint_warnings = [problem.message for problem in warnings(load(whole(data)))]
    assert lint_warnings == [] or block.file == "shadowed.yaml"


# Python


@snippets("python")
def test_python_in_the_documents_runs(
    block: Block, served: Emulator, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Snippets for a running server get one; those that are tests are run by pytest."""
    code = block.text.replace("http://127.0.0.1:8080", served.origin)
    if "def test_" not in code:
        exec(compile(code, block.page, "exec", dont_inherit=True), {"__name__": "snippet"})
        return
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    pytester.makepyfile(test_snippet=code)
    run = pytester.runpytest_inprocess("-q", "-p", "emulator.pytest_plugin", "-p", "no:cacheprovider")
    assert run.ret == 0, run.stdout.str()


# Commands

NOT_RUN = ("serve", "run", "env", "init", "doctor", "record", "diff", "import", "export")
"""Those that serve, write files, or need files of the user's."""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the files that the documents name, and the scenarios of the repository."""
    for block in blocks("yaml").values():
        if block.file and block.page == SCENARIOS.name:
            (tmp_path / block.file).write_text(block.text)
    os.symlink(ROOT / "scenarios", tmp_path / "scenarios")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@snippets("console")
def test_commands_exist_and_print_what_is_shown(block: Block, folder: Path, served: Emulator) -> None:
    """After `$ ` stands a command, and under it what it prints; a snippet without `$` is all commands, or an answer."""
    lines = block.text.splitlines()
    if block.text.startswith("$ "):
        command, *shown = lines
        assert run(shlex.split(command.removeprefix("$ ")), served).splitlines() == shown
    elif lines[0].startswith(COMMANDS):
        for line in lines:
            run(shlex.split(line, comments=True), served)
    else:
        assert said_when_nothing_matches(folder) == "\n".join(lines)


def run(words: list[str], served: Emulator) -> str:
    """Run a command, or see at least that it could be run as it stands; gives what it prints."""
    match words:
        case ["emulator", name, *arguments]:
            if ">" in arguments:
                arguments = arguments[: arguments.index(">")]
            if not any("acme" in word for word in arguments):
                command = cli.get_command(Context(cli), name)
                assert command is not None
                command.make_context(name, [*arguments])  # raises for options that there are not
                if name not in NOT_RUN and not any(word in ("more/", "acme") for word in arguments):
                    return CliRunner().invoke(cli, [name, *arguments]).output
        case ["curl", *arguments] if arguments[-1] != "…":
            assert curl(arguments, served).status_code == 200
        case ["make", *targets]:
            makefile = (ROOT / "Makefile").read_text()
            assert all(re.search(rf"^{name}:", makefile, re.MULTILINE) for name in targets if "=" not in name)
    return ""


def curl(arguments: list[str], served: Emulator) -> httpx.Response:
    headers = {"content-type": "application/x-www-form-urlencoded"}  # as curl sends it
    url = data = ""
    rest = iter(arguments)
    for word in rest:
        if word == "-H":
            key, _, value = next(rest).partition(": ")
            headers[key.lower()] = value
        elif word == "-d":
            data = next(rest)
        elif not word.startswith("-"):
            url = word
    url = url.replace("http://127.0.0.1:8080", served.origin)
    return single.request("POST" if data else "GET", url, content=data.encode(), headers=headers)


def said_when_nothing_matches(folder: Path) -> str:
    with Emulator(folder / "hello.yaml") as emulator:
        body = {"model": "deepseek-v3", "messages": [{"role": "user", "content": "good morning"}]}
        url = emulator.url("serevix") + "/v1/chat/completions"
        reply = single.post(url, json=body, headers={"authorization": "Bearer k"})
    message: str = reply.json()["error"]["message"]
    return message


# What the documents say about the code


def test_generated_tables_are_current() -> None:
    run = subprocess.run(
        [sys.executable, str(ROOT / "docs" / "tables.py"), "--check"], capture_output=True, text=True, check=False
    )
    assert (run.returncode, run.stderr) == (0, "")


def test_every_key_of_a_condition_is_reported() -> None:
    text = SCENARIOS.read_text()
    begins = {
        "TextCondition": "**Texts**",
        "NumberCondition": "**Numbers**",
        "BodyCondition": "**The body**",
        "ErrorModel": "`error` is a name",
    }
    for name, begin in begins.items():
        paragraph = text[text.index(begin) :].partition("\n\n")[0]
        model = getattr(values, name, None) or getattr(models, name)
        assert keys(model) <= set(re.findall(r"`(\w+)`", paragraph)), name


def test_every_name_and_every_filter_of_templates_is_reported() -> None:
    text = SCENARIOS.read_text()
    reported = dict(re.findall(r"^\| `(\w+)` \| (.*) \|$", text, re.MULTILINE))
    assert set(templates.NAMES) <= set(reported)
    assert all(reported.values())
    (filters,) = re.findall(r"<!-- filters -->\n(.*?)\.\n<!-- /filters -->", text, re.DOTALL)
    assert filters.replace("\n", " ") == ", ".join(f"`{name}`" for name in sorted(templates.FILTERS))


def test_numbers_in_the_text_are_those_of_the_code() -> None:
    text = " ".join(SCENARIOS.read_text().split())
    for number, words in (
        (templates.FUEL, "steps"),
        (templates.MAX_RANGE, "numbers"),
        (templates.MAX_FAKES, "invented words"),
        (templates.MAX_LENGTH, "characters of text"),
        (patterns.MAX_SEARCHED, "characters of a text"),
    ):
        assert f"{number:,} {words}".replace(",", " ") in text


# Links


def anchors(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", BLOCK.sub("", page.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@each_of("page", PAGES)
def test_links_between_documents_lead_somewhere(page: Path) -> None:
    for target, anchor in LINK.findall(BLOCK.sub("", page.read_text())):
        if "://" in target:
            continue
        there = page.parent / target if target else page
        assert there.exists(), target
        assert not anchor or anchor in anchors(there), f"{target}#{anchor}"
