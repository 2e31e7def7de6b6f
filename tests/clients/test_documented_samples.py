"""The documents' own code samples, run as they are printed, with only their base URL changed.

Placeholders of the documents (`{endpointPath}`, `{model_name}`) are filled in, as their readers have to do.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from talk import ordered

from emulator import Emulator
from emulator.providers import PROVIDERS
from emulator.resources import folder

FIXTURES = folder("fixtures")
PLACEHOLDERS = {"{endpointPath}": "sVUARttwSjilLOZY", "{model_name}": "deepseek-r1-distill-llama-70b-websearch"}
CURL = sorted(FIXTURES.glob("*/*/sample.sh"))
ANSWER_OF_MAXTOKEN = "I'm DeepSeek-R1, an AI assistant created by DeepSeek. How can I help you today?"


def name_of(sample: Path) -> str:
    return f"{sample.parts[-3]}-{sample.parts[-2]}"


def needs(program: str) -> None:
    """Skips the test when a program is missing, where that is allowed."""
    if shutil.which(program) is None:
        if os.environ.get("EMULATOR_REQUIRE_ALL") == "1":
            pytest.fail(f"{program} is not installed")
        pytest.skip(f"{program} is not installed")


def pointed_at(emulator: Emulator, sample: Path) -> str:
    """The text of a sample that talks to the emulator instead of the provider."""
    provider = sample.parts[-3]
    (host,) = PROVIDERS[provider].hosts
    text = sample.read_text()
    assert f"https://{host}" in text
    return text.replace(f"https://{host}", emulator.url(provider))


def run(*command: str, **environment: str) -> str:
    """What a program says; it has to end well, and without a word on its standard error."""
    kept = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=50, check=False, env={**kept, "NO_PROXY": "*", **environment}
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def documented_body(sample: Path) -> Any:
    return json.loads((sample.parent / "response.json").read_text())


def test_the_python_sample_of_serevix(documented: Emulator, tmp_path: Path) -> None:
    program = tmp_path / "sample.py"
    program.write_text(pointed_at(documented, FIXTURES / "serevix/quantum/sample.py"))
    answer = "Quantum mechanics is the branch of physics that studies the microscopic world..."
    assert run(sys.executable, str(program)) == f"{answer}\n"


def test_the_python_sample_of_maxtoken(documented: Emulator, tmp_path: Path) -> None:
    # The document prints `false` for False, so the sample needs that name: it raises a NameError as it stands.
    program = tmp_path / "sample.py"
    program.write_text("false = False\n" + pointed_at(documented, FIXTURES / "maxtoken/who_are_you/sample.py"))
    body = json.loads(run(sys.executable, str(program)))
    assert body["choices"][0]["message"]["content"] == ANSWER_OF_MAXTOKEN


def test_the_javascript_sample_of_maxtoken(documented: Emulator, tmp_path: Path) -> None:
    needs("node")
    program = tmp_path / "sample.js"
    program.write_text(pointed_at(documented, FIXTURES / "maxtoken/who_are_you/sample.js"))
    said = run("node", "--no-warnings", str(program))
    assert "object: 'chat.completion'" in said
    assert "Error:" not in said


@pytest.mark.parametrize("sample", CURL, ids=name_of)
def test_the_curl_sample(sample: Path, documented: Emulator) -> None:
    needs("curl")
    text = pointed_at(documented, sample)
    for placeholder, value in PLACEHOLDERS.items():
        text = text.replace(placeholder, value)
    script = text.replace("curl ", "curl --silent --show-error ", 1)  # no meter of progress
    body = json.loads(run("sh", "-c", script, YOUR_API_KEY="sk-test"))
    if sample.parts[-3] == "maxtoken":
        assert body["choices"][0]["message"]["content"] == ANSWER_OF_MAXTOKEN
    else:
        assert ordered(body) == ordered(documented_body(sample))


def test_every_document_has_a_curl_sample() -> None:
    assert [name_of(sample) for sample in CURL] == [
        "cloudsway-hi",
        "maxtoken-who_are_you",
        "nadles-short_hi",
        "serevix-quantum",
    ]
