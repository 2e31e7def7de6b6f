"""`env`, `init`, `doctor`, `scenarios` and `completion`."""

import json
import os
import subprocess
import sys
from pathlib import Path

import processes
import pytest
from runner import ENVIRONMENT, only_plugins
from served import run, served

from emulator.cli.doctor import CHECKS
from emulator.resources import scenario_named, scenario_names


def test_env_prints_what_run_sets() -> None:
    with served() as server:
        port = str(server.port)
        code, out, err = run("env", "--port", port)
        words = f'eval "$({sys.executable} -m emulator env --port {port})"; echo "$OPENAI_BASE_URL $OPENAI_API_KEY"'
        said = subprocess.run(["sh", "-c", words], capture_output=True, text=True, env=ENVIRONMENT, check=True)
        assert (code, err) == (0, "")
        assert f"export ANTHROPIC_BASE_URL=http://127.0.0.1:{port}/anthropic\n" in out
        assert said.stdout == f"http://127.0.0.1:{port}/serevix/v1 sk-dummy\n"


@pytest.mark.parametrize(
    ("shell", "line"),
    [
        ("fish", "set -gx OPENAI_API_KEY 'sk-dummy'"),
        ("powershell", "$env:OPENAI_API_KEY = 'sk-dummy'"),
        ("dotenv", "OPENAI_API_KEY=sk-dummy"),
        ("github", "OPENAI_API_KEY=sk-dummy"),
    ],
)
def test_env_writes_for_other_shells(shell: str, line: str) -> None:
    with served("--provider", "deepseek") as server:
        _, out, _ = run("env", "--port", str(server.port), "--shell", shell)
        assert line in out.splitlines()
        assert f"http://127.0.0.1:{server.port}/anthropic" in out  # alone at the root


def test_env_without_a_server_says_what_to_do() -> None:
    code, out, err = run("env", "--url", "http://127.0.0.1:1")
    assert (code, out) == (1, "")
    assert err.startswith("No emulator responds at http://127.0.0.1:1: ")
    assert "Start one with `emulator serve`" in err


def test_init_writes_what_works_and_never_over_a_file(tmp_path: Path) -> None:
    kept = tmp_path / "tests" / "test_llm.py"
    code, out, _ = run("init", str(tmp_path), "--json")
    written = json.loads(out)["written"]
    assert (code, len(written)) == (0, 5)
    assert all((tmp_path / name).is_file() for name in written)
    command = [*processes.COMMAND, "check", "scenarios/scenario.yaml"]
    checked = processes.run(command, capture_output=True, text=True, cwd=tmp_path, env=ENVIRONMENT, check=False)
    assert (checked.returncode, checked.stdout) == (0, "1 file checked, no problems.\n")
    tested = subprocess.run(
        [sys.executable, "-m", "pytest", "-q"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**ENVIRONMENT, "PYTEST_ADDOPTS": only_plugins("emulator")},
        check=False,
    )
    assert tested.returncode == 0, tested.stdout
    kept.write_text("mine")
    (tmp_path / "compose.emulator.yaml").unlink()
    again = json.loads(run("init", str(tmp_path), "--json")[1])
    assert again["written"] == ["compose.emulator.yaml"]
    assert kept.read_text() == "mine"


def test_init_says_which_folder_it_cannot_write(tmp_path: Path) -> None:
    (tmp_path / "tests").write_text("a file")
    code, _, err = run("init", str(tmp_path))
    assert code == 2
    assert "Choose a" in err
    assert "Traceback" not in err


def test_every_shipped_scenario_is_listed_and_can_be_printed() -> None:
    code, out, _ = run("scenarios")
    assert code == 0
    assert [line.split()[0] for line in out.splitlines()] == scenario_names()
    assert all(len(line.split()) > 3 for line in out.splitlines())
    path = scenario_named("incidents/deepseek_busy")
    assert path is not None
    assert run("scenarios", "incidents/deepseek_busy")[1] == path.read_text()
    assert "Did you mean 'incidents/deepseek_busy'?" in run("scenarios", "incidents/deepseek_bus")[2]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_prints_a_script(shell: str) -> None:
    code, out, err = run("completion", shell)
    assert (code, err) == (0, "")
    assert "_EMULATOR_COMPLETE" in out


def test_doctor_finds_nothing_on_a_sound_machine() -> None:
    environment = {"PATH": "/nowhere"}  # Node and curl have tests of their own
    command = [*processes.COMMAND, "doctor", "--port", "28080", "--json"]
    done = processes.run(
        command, capture_output=True, text=True, check=False, timeout=55, env={**ENVIRONMENT, **environment}
    )
    facts = json.loads(done.stdout)
    assert (done.returncode, facts["ok"]) == (0, True), done.stdout
    names = [finding["name"] for finding in facts["findings"]]
    assert names[:2] == ["python", "versions"]
    assert {"openai", "httpx", "requests"} <= set(names)
    assert len(names) >= len(CHECKS)


def found(check: str, monkeypatch: pytest.MonkeyPatch, **environment: str) -> list[tuple[str, bool]]:
    """The levels of what one check finds in an environment, and whether it says how to fix it."""
    for name in list(os.environ):
        if name.upper().endswith(("_PROXY", "_BASE_URL", "_BUNDLE", "_CERT_FILE", "_API_BASE")):
            monkeypatch.delenv(name)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    (look,) = [each for each in CHECKS if each.__name__ == check]
    return [(finding.level, bool(finding.mend)) for finding in look(28080)]


def test_doctor_finds_what_stands_in_the_way(monkeypatch: pytest.MonkeyPatch) -> None:
    assert found("_certificates", monkeypatch, SSL_CERT_FILE="/no/such.pem") == [("error", True)]
    assert found("_proxies", monkeypatch, HTTPS_PROXY="http://10.0.0.1:3128") == [("warning", True)]
    assert found("_proxies", monkeypatch, HTTPS_PROXY="http://10.0.0.1:3128", NO_PROXY="127.0.0.1") == [("ok", False)]
    wrong = {"OPENAI_BASE_URL": "http://127.0.0.1:8080/serevix"}
    assert found("_base_urls", monkeypatch, **wrong) == [("error", True)]
    assert found("_base_urls", monkeypatch, OPENAI_BASE_URL="https://api.openai.com/v1") == [("warning", True)]
    assert found("_base_urls", monkeypatch, OPENAI_BASE_URL="http://127.0.0.1:8080/serevix/v1") == []
