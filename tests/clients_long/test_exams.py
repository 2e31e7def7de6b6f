"""Clients sit the exam; their grades stand in docs/clients.md."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from clients_environments import environment, executable, variables
from clients_table import CLIENTS

HERE = Path(__file__).parent
GRADES = HERE / "grades.json"
EXAM_TIMEOUT = 900.0
SITTING = {"openai-node": "exam_openai_node.mjs"}
FAILED = ("LOSSY", "WRONG", "CRASH", "HANG")
SHOWN = ("name", "level", "grade", "fix")

pytestmark = [pytest.mark.clients, pytest.mark.timeout(1500)]


@pytest.mark.parametrize("name", SITTING)
def test_a_client_sits_the_exam(name: str, tmp_path: Path) -> None:
    client = CLIENTS[name]
    place = environment(name, client)
    program = shutil.copy(HERE / "programs" / SITTING[name], place)
    report = tmp_path / "exam.json"
    exam = [sys.executable, "-m", "emulator", "exam", "--jobs", "2", "--report", str(report)]
    done = subprocess.run(
        [*exam, "--", *executable(place, client), str(program)],
        capture_output=True,
        text=True,
        timeout=EXAM_TIMEOUT,
        check=False,
        env=variables(),
    )
    assert done.returncode in (0, 1), done.stderr[-2000:]  # 1: a case that is a MUST failed
    found = json.loads(report.read_text())
    assert found["operation"] == "chat"
    assert found["streams"]
    grades = json.loads(GRADES.read_text()) if GRADES.exists() else {}
    grades[name] = {
        "client": client.title,
        "packages": ", ".join(client.packages),
        **{level: found[level] for level in ("MUST", "SHOULD")},
        "failed": [{key: case[key] for key in SHOWN} for case in found["cases"] if case["grade"] in FAILED],
    }
    GRADES.write_text(json.dumps(grades, indent=1, ensure_ascii=False) + "\n")
