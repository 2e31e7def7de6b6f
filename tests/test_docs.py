"""The documents are true: their snippets run, their tables are current, their links lead somewhere."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from emulator import Emulator
from emulator.loading import parse
from emulator.scenario import Scenario
from emulator.sources import load

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", ROOT / "ARCHITECTURE.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)#]+)(?:#[^)]*)?\)")


def blocks(language: str) -> list[object]:
    """Every snippet in a language, with its place as the test's name."""
    found: list[object] = []
    for page in PAGES:
        text = page.read_text()
        for block in BLOCK.finditer(text):
            if block[1] == language:
                line = text.count("\n", 0, block.start()) + 1
                found.append(pytest.param(block[2], id=f"{page.name}:{line}"))
    return found


@pytest.mark.parametrize("snippet", blocks("yaml"))
def test_scenarios_in_the_documents_load(snippet: str) -> None:
    data = parse(snippet, "snippet").data
    if "acme" not in snippet:  # a provider of somebody else's
        assert isinstance(load({"version": 1, **data}).scenario, Scenario)


@pytest.mark.parametrize("snippet", blocks("python"))
def test_python_in_the_documents_runs(snippet: str, tmp_path: Path) -> None:
    """Snippets for a running server get one; those that are tests are run by pytest."""
    with Emulator() as emulator:
        code = snippet.replace("http://127.0.0.1:8080", emulator.origin)
        path = tmp_path / "test_snippet.py"
        path.write_text(code)
        is_test = "def test_" in code
        options = ["-m", "pytest", "-q", "-p", "no:randomly", "-p", "no:xdist"] if is_test else []
        run = subprocess.run(
            [sys.executable, *options, str(path)], capture_output=True, text=True, timeout=60, cwd=tmp_path, check=False
        )
    assert run.returncode == 0, run.stdout + run.stderr


def test_generated_tables_are_current() -> None:
    run = subprocess.run(
        [sys.executable, str(ROOT / "docs" / "tables.py"), "--check"], capture_output=True, text=True, check=False
    )
    assert (run.returncode, run.stderr) == (0, "")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_between_documents_lead_somewhere(page: Path) -> None:
    for target in LINK.findall(page.read_text()):
        if "://" not in target:
            assert (page.parent / target).exists(), target
