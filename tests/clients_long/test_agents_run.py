"""Agents that people run do a task on files, with the scenarios that are shipped for them and without an account."""

import json
import subprocess
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from clients_environments import environment, variables
from clients_results import Results, recorded
from clients_table import CLIENTS

from emulator import Emulator

SCENARIOS = Path(__file__).parent.parent.parent / "scenarios" / "agents"
TASK = "Count the words of notes.txt"
TASK_TIMEOUT = 240.0
CONFIG = """
model = "gpt-5-mini"
model_provider = "emulator"
[model_providers.emulator]
name = "emulator"
base_url = "{base_url}"
wire_api = "responses"
env_key = "OPENAI_API_KEY"
"""

pytestmark = [pytest.mark.clients, pytest.mark.timeout(1500)]


@pytest.fixture(scope="module")
def clients_results() -> Iterator[Results]:
    with recorded() as results:
        yield results


def claude(home: Path, base_url: str) -> tuple[list[str], Mapping[str, str], Callable[[str], str]]:
    """The arguments and variables of Claude Code, and where its last words are in its output."""
    quiet = {"CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1", "DISABLE_AUTOUPDATER": "1"}
    arguments = ["-p", TASK, "--output-format", "json", "--allowedTools", "Bash"]
    access = {"ANTHROPIC_BASE_URL": base_url, "ANTHROPIC_API_KEY": "sk-demo"}
    return arguments, {**quiet, **access}, lambda output: str(json.loads(output)["result"])


def codex(home: Path, base_url: str) -> tuple[list[str], Mapping[str, str], Callable[[str], str]]:
    """The same of Codex, which reads its base URL from a file. It runs the command without a sandbox of its own, which
    not every machine has."""
    folder = home / ".codex"
    folder.mkdir()
    (folder / "config.toml").write_text(CONFIG.format(base_url=base_url))
    arguments = ["exec", "--skip-git-repo-check", "--dangerously-bypass-approvals-and-sandbox", "--json", TASK]
    return arguments, {"CODEX_HOME": str(folder), "OPENAI_API_KEY": "sk-demo"}, last_message


def last_message(output: str) -> str:
    events = [json.loads(line) for line in output.splitlines() if line.startswith("{")]
    items = [event["item"] for event in events if event["type"] == "item.completed"]
    return str([item["text"] for item in items if item["type"] == "agent_message"][-1])


@pytest.mark.parametrize(
    ("name", "row", "scenario", "prepare", "says"),
    [
        ("claude-code", "messages", "claude_code.yaml", claude, "notes.txt has 4 words."),
        ("codex", "responses", "codex.yaml", codex, "wrote the number to count.txt"),
    ],
    ids=["claude-code", "codex"],
)
def test_an_agent_completes_its_task(
    name: str, row: str, scenario: str, prepare: Any, says: str, tmp_path: Path, clients_results: Results
) -> None:
    client = CLIENTS[name]
    program = environment(name, client) / client.program
    home, folder = tmp_path / "home", tmp_path / "work"
    home.mkdir()
    folder.mkdir()
    (folder / "notes.txt").write_text("one two three four\n")
    with Emulator(SCENARIOS / scenario) as emulator:
        arguments, access, words = prepare(home, emulator.origin + client.rows[row].base_url)
        done = subprocess.run(
            [str(program), *arguments],
            capture_output=True,
            text=True,
            timeout=TASK_TIMEOUT,
            check=False,
            cwd=folder,
            env={**variables(), "HOME": str(home), **access},
            stdin=subprocess.DEVNULL,
        )
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
        written = (folder / "count.txt").read_text().strip()
        reported = {
            "written": written,
            "says": says in words(done.stdout),
            "requests": [e.rule for e in emulator.journal],
        }
        clients_results.add(name, row, {"task": reported})
        assert {"task": reported} == client.rows[row].expected
        emulator.assert_no_findings()
