"""langchain's own standard tests of chat models pass against every profile that its clients can reach."""

import subprocess
import xml.etree.ElementTree as ElementTree
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from clients_environments import environment, executable, variables
from clients_results import Results, recorded
from clients_table import CLIENTS

from emulator import Emulator

HERE = Path(__file__).parent
SUITE = HERE / "programs" / "standard"
SUITE_TIMEOUT = 900.0
NAME = "langchain-tests"
Counts = dict[str, dict[str, int]]

pytestmark = [pytest.mark.clients, pytest.mark.timeout(2400)]


@pytest.fixture(scope="module")
def clients_results() -> Iterator[Results]:
    with recorded() as results:
        yield results


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> tuple[Counts, str]:
    """How many tests of each profile passed, failed as documented or do not apply, and the end of the report."""
    client = CLIENTS[NAME]
    python = executable(environment(NAME, client), client)
    report = tmp_path_factory.mktemp("standard") / "report.xml"
    options = [
        "-q",
        "-p",
        "no:randomly",
        "-p",
        "no:cacheprovider",
        "-p",
        "suite_plugin",
        "--tb=short",
        f"--junitxml={report}",
    ]
    with Emulator(HERE / "standard.yaml") as emulator:
        done = subprocess.run(
            [*python, "-m", "pytest", *options, "--origin", emulator.origin],
            capture_output=True,
            text=True,
            timeout=SUITE_TIMEOUT,
            check=False,
            cwd=SUITE,
            env=variables(),
        )
    assert report.exists(), done.stdout[-2000:] + done.stderr[-2000:]
    return counted(report), done.stdout[-4000:]


def counted(report: Path) -> Counts:
    counts: dict[str, Counter[str]] = {}
    for case in ElementTree.parse(report).iter("testcase"):
        profile = str(case.get("classname")).rpartition(".Test")[2]
        skipped = case.find("skipped")
        if case.find("failure") is not None or case.find("error") is not None:
            outcome = "failed"
        elif skipped is not None:
            outcome = "otherwise" if skipped.get("type") == "pytest.xfail" else "not_applicable"
        else:
            outcome = "passed"
        counts.setdefault(profile, Counter())[outcome] += 1
    return {profile: dict(found) for profile, found in counts.items()}


@pytest.mark.parametrize("profile", CLIENTS[NAME].rows)
def test_the_standard_suite_passes(profile: str, outcomes: tuple[Counts, str], clients_results: Results) -> None:
    counts, report = outcomes
    seen = {"standard": counts.get(profile, {})}
    clients_results.add(NAME, profile, seen)
    assert seen == CLIENTS[NAME].rows[profile].expected, report


def test_every_profile_is_known(outcomes: tuple[Counts, str]) -> None:
    assert sorted(outcomes[0]) == sorted(CLIENTS[NAME].rows)
