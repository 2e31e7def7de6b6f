"""Real clients, unmodified, each in an environment of its own, against everything that they can ask for."""

import json
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from clients_environments import environment, executable, variables
from clients_results import Results, recorded
from clients_table import CLIENTS

from emulator import Emulator

HERE = Path(__file__).parent
PROGRAMS = HERE / "programs"
PROGRAM_TIMEOUT = 300.0
PROGRAMMED = {name: client for name, client in CLIENTS.items() if not client.has_own_test}
ROWS = [(client, row) for client, facts in PROGRAMMED.items() for row in facts.rows]

pytestmark = [pytest.mark.clients, pytest.mark.timeout(1500)]
Seen = dict[str, dict[str, Any]]


@pytest.fixture(scope="module")
def clients_results() -> Iterator[Results]:
    with recorded() as results:
        yield results


@pytest.fixture(scope="module")
def emulator() -> Iterator[Emulator]:
    with Emulator(HERE / "scenario.yaml") as running:
        yield running


@pytest.fixture(scope="module")
def seen_by(emulator: Emulator) -> Callable[[str], Seen]:
    """What a client's program saw, row by row. It runs once."""
    runs: dict[str, Seen] = {}

    def see(name: str) -> Seen:
        if name not in runs:
            runs[name] = run(name, emulator.origin)
        return runs[name]

    return see


def run(name: str, origin: str) -> Seen:
    client = CLIENTS[name]
    place = environment(name, client)
    programs = place / "programs"  # Node looks for packages beside the program
    shutil.copytree(PROGRAMS, programs, dirs_exist_ok=True)
    command = [*executable(place, client), str(programs / client.program), origin]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=PROGRAM_TIMEOUT, check=False, env=variables(), cwd=place
    )
    assert done.returncode == 0, f"{client.program} failed:\n{done.stderr[-3000:]}"
    seen: Seen = json.loads(done.stdout.splitlines()[-1])
    return seen


@pytest.mark.parametrize(("name", "row"), ROWS, ids=[f"{client}.{row}" for client, row in ROWS])
def test_a_client_sees_what_the_provider_says(
    name: str, row: str, emulator: Emulator, seen_by: Callable[[str], Seen], clients_results: Results
) -> None:
    seen, facts = seen_by(name)[f"{name}.{row}"], CLIENTS[name].rows[row]
    findings = emulator.namespace(f"{name}.{row}").verdict().findings
    clients_results.add(name, row, seen)
    assert seen == facts.expected
    assert [(each.code, each.explanation) for each in findings if each.severity == "MUST"] == []
    emulator.namespace(f"{name}.{row}").assert_no_unmatched()
