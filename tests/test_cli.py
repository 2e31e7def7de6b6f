"""The command line: what it prints, what it refuses and with which words, and its exit codes."""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import jsonschema
import pytest
import yaml
from click.testing import CliRunner
from served import ENVIRONMENT, run, served

from emulator import __version__
from emulator.cli import cli, described, fault_facts
from emulator.faults import FAULTS
from emulator.providers import PROVIDERS
from emulator.resources import DEFAULT_SCENARIO
from emulator.scenario.models import known_errors

NAMES = ", ".join(PROVIDERS)
ANSWERS = {
    "maxtoken": "I'm DeepSeek-R1, an AI assistant created by DeepSeek. How can I help you today?",
    "nadles": "content text here",
    "serevix": "Quantum mechanics is the branch of physics that studies the microscopic world...",
    "cloudsway": "Hello! How can I help you today?",
    "deepseek": "Hello! How can I help you today?",
}
"""What each document's own example is answered with."""


def invoke(*arguments: str, **environment: str) -> tuple[int, str, str]:
    """A command inside this process: exit code, output, errors."""
    result = CliRunner(env=environment).invoke(cli, arguments, prog_name="emulator")
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.stdout, result.stderr


def misuse(command: str, message: str) -> tuple[int, str, str]:
    """How click refuses a command."""
    return (
        2,
        "",
        f"Usage: emulator {command} [OPTIONS]\nTry 'emulator {command} --help' for help.\n\nError: {message}\n",
    )


# serve


def test_the_banner_tells_how_to_reach_each_provider_and_its_curl_lines_work_as_printed() -> None:
    if shutil.which("curl") is None:
        (pytest.fail if os.environ.get("EMULATOR_REQUIRE_ALL") else pytest.skip)("curl is not installed")
    environment = {name: value for name, value in ENVIRONMENT.items() if not name.lower().endswith("_proxy")}
    with served("--speed", "max", "--log", "off") as server:
        origin = f"http://127.0.0.1:{server.port}"
        lines = server.lines("curl " + f"{origin}/{list(PROVIDERS)[-1]}")
        assert server.first_line == f"The emulator listens on {origin}. Ctrl-C stops it.\n"
        said = {}
        for number, (name, provider) in enumerate(PROVIDERS.items()):
            blank, title, base, auth, example = lines[5 * number : 5 * number + 5]
            assert (blank, title, base, auth) == (
                "",
                provider.title,
                f"  base URL  {origin}/{name}",
                f"  auth      {provider.auth_header}",
            )
            command = example.removeprefix("  try       ")
            assert command.startswith(f"curl {origin}/{name}/")
            done = subprocess.run(
                command, shell=True, capture_output=True, text=True, timeout=30, check=True, env=environment
            )
            said[name] = content(done.stdout)
        assert said == ANSWERS
        server.signal(signal.SIGINT)
        assert server.finish() == (0, server.first_line, "")


def content(answer: str) -> str:
    """What an answer says."""
    body = json.loads(answer)
    said: str = body.get("model_response", body)["choices"][0]["message"]["content"]  # Nadles wraps the usual form
    return said


def test_one_provider_alone_stands_at_the_root() -> None:
    with served("--provider", "serevix", "--speed", "max", "--log", "off") as server:
        origin = f"http://127.0.0.1:{server.port}"
        lines = server.lines("curl ")
        assert lines[:3] == ["", "Serevix", f"  base URL  {origin}"]
        assert lines[-1].startswith(f"  try       curl {origin}/v1/chat/completions -H ")


NO_SPEED = (
    "Invalid value for '--speed': '{}' is not a speed. Give a number from 0.000001 to 1000000, such as 2, or max."
)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["--speed", "0"],
            NO_SPEED.format("0"),
        ),
        (
            ["--speed", "-1"],
            NO_SPEED.format("-1"),
        ),
        (
            ["--speed", "1e-320"],
            NO_SPEED.format("1e-320"),
        ),
        (
            ["--speed", "nan"],
            NO_SPEED.format("nan"),
        ),
        (
            ["--speed", "fast"],
            NO_SPEED.format("fast"),
        ),
        (["--port", "http"], "Invalid value for '--port' / '-p': 'http' is not a valid integer range."),
        (["--port", "65536"], "Invalid value for '--port' / '-p': 65536 is not in the range 0<=x<=65535."),
        (["--port", "-1"], "Invalid value for '--port' / '-p': -1 is not in the range 0<=x<=65535."),
        (["--seed", "x"], "Invalid value for '--seed': 'x' is not a valid integer."),
        (["--log", "loud"], "Invalid value for '--log': 'loud' is not one of 'pretty', 'json', 'off'."),
    ],
)
def test_an_option_that_makes_no_sense_is_refused(arguments: list[str], message: str) -> None:
    assert invoke("serve", *arguments) == misuse("serve", message)


def test_a_provider_that_there_is_not_is_refused_with_a_hint() -> None:
    message = f"There is no provider 'cloudswy'. Did you mean 'cloudsway'? Providers: {NAMES}\n"
    assert invoke("serve", "--provider", "cloudswy") == (2, "", message)
    assert invoke("providers", "cloudswy") == (2, "", message)
    assert invoke("providers", "xyz") == (2, "", f"There is no provider 'xyz'. Providers: {NAMES}\n")


def test_a_scenario_that_cannot_be_used_is_refused_before_anything_listens(tmp_path: Path) -> None:
    missing = tmp_path / "none.yaml"
    assert invoke("serve", "--scenario", str(missing)) == (2, "", f"{missing}: there is no such file\n")


@pytest.mark.parametrize(
    ("variable", "value", "expected"),
    [
        (
            "EMULATOR_PORT",
            "http",
            misuse("serve", "Invalid value for '--port' / '-p': 'http' is not a valid integer range."),
        ),
        (
            "EMULATOR_SPEED",
            "fast",
            misuse(
                "serve",
                NO_SPEED.format("fast"),
            ),
        ),
        ("EMULATOR_SEED", "x", misuse("serve", "Invalid value for '--seed': 'x' is not a valid integer.")),
        ("EMULATOR_PROVIDER", "xyz", (2, "", f"There is no provider 'xyz'. Providers: {NAMES}\n")),
        ("EMULATOR_SCENARIO", "/none.yaml", (2, "", "/none.yaml: there is no such file\n")),
        (
            "EMULATOR_HOST",
            "192.0.2.1",
            (3, "", "Cannot listen on 192.0.2.1:8080: Cannot assign requested address. Check --host.\n"),
        ),
        (
            "EMULATOR_LOG",
            "loud",
            misuse("serve", "Invalid value for '--log': 'loud' is not one of 'pretty', 'json', 'off'."),
        ),
    ],
)
def test_every_option_is_an_environment_variable_too(variable: str, value: str, expected: tuple[int, str, str]) -> None:
    assert invoke("serve", **{variable: value}) == expected


def test_an_option_stands_above_its_environment_variable() -> None:
    with served("--provider", "serevix", environment={"EMULATOR_PROVIDER": "nadles", "EMULATOR_PORT": "1"}) as server:
        assert server.lines("curl ")[1] == "Serevix"


@pytest.mark.parametrize("style", ["pretty", "json"])
def test_each_request_is_told_in_a_line(style: str) -> None:
    with (
        served("--speed", "max", "--provider", "serevix", "--log", style) as server,
        httpx.Client(trust_env=False) as http,
    ):
        server.lines("curl ")
        assert http.get(f"http://127.0.0.1:{server.port}/v1/models").status_code == 401
        (line,) = server.lines("/v1/models")
        if style == "json":
            record = json.loads(line)
            assert (record["method"], record["path"], record["status"]) == ("GET", "/v1/models", 401)
        else:
            assert line.split("  ")[1:4] == ["serevix", "GET /v1/models", "401"]
        assert server.process.stdout is not None
        server.process.stdout.close()  # nobody reads any more, and nothing breaks
        assert http.get(f"http://127.0.0.1:{server.port}/v1/models").status_code == 401
        server.signal(signal.SIGTERM)
        assert server.process.wait(10) == 0
        assert server.process.stderr is not None
        assert server.process.stderr.read() == ""


# check


def test_check_says_when_files_are_good() -> None:
    good = str(DEFAULT_SCENARIO)
    assert invoke("check", good) == (0, "1 file checked, no problems.\n", "")
    assert invoke("check", good, good) == (0, "2 files checked, no problems.\n", "")
    assert invoke("check", "--json", good) == (0, '{\n  "problems": []\n}\n', "")


@pytest.fixture
def bad(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(tmp_path)
    Path("bad.yaml").write_text(
        """\
version: 1
seed: forty-two
rules:
  - match: {provider: serevx}
    reply: {content: hi}
  - error: unauthorised
"""
    )
    return "bad.yaml"


PROBLEMS: list[dict[str, Any]] = [
    {"line": 2, "column": 1, "message": "seed is 'forty-two', a whole number was expected"},
    {
        "line": 4,
        "column": 13,
        "message": f"rules[0].match.provider is 'serevx'. Did you mean 'serevix'? Providers: {NAMES}",
    },
    {
        "line": 6,
        "column": 5,
        "message": "rules[1].error.name is 'unauthorised'. Did you mean 'unauthorized'? "
        f"Errors: {', '.join(known_errors())}",
    },
]


def test_check_tells_every_problem_with_its_place(bad: str) -> None:
    told = "".join(f"bad.yaml:{p['line']}:{p['column']}: {p['message']}\n" for p in PROBLEMS)
    assert invoke("check", bad) == (2, "", told)
    assert invoke("check", str(DEFAULT_SCENARIO), bad) == (2, "", told)


def test_check_tells_them_as_json(bad: str) -> None:
    code, out, err = invoke("check", "--json", bad)
    rows = [{"level": "error", "path": "bad.yaml", **problem} for problem in PROBLEMS]
    assert (code, json.loads(out), err) == (2, {"problems": rows}, "")


def test_check_warns_of_what_is_allowed_and_hardly_meant(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("odd.yaml").write_text(
        """\
version: 1
rules:
  - reply: {content: hi}
  - reply: {content: never}
"""
    )
    message = "rules[1] never answers: rules[0] (odd.yaml:3) takes all that it matches"
    assert invoke("check", "odd.yaml") == (1, "", f"odd.yaml:4:5: {message} (warning)\n")
    code, out, err = invoke("check", "--json", "odd.yaml")
    row = {"level": "warning", "path": "odd.yaml", "line": 4, "column": 5, "message": message}
    assert (code, json.loads(out), err) == (1, {"problems": [row]}, "")


def test_check_tells_which_file_is_missing_and_what_stands_beside_it(bad: str) -> None:
    assert invoke("check", "bas.yaml") == (2, "", "bas.yaml: there is no such file. Did you mean 'bad.yaml'?\n")
    assert invoke("check", "xyz.toml") == (2, "", "xyz.toml: there is no such file\n")


def test_check_needs_a_file() -> None:
    usage = "Usage: emulator check [OPTIONS] PATH…\nTry 'emulator check --help' for help.\n"
    assert invoke("check") == (2, "", f"{usage}\nError: Missing argument 'PATH…'.\n")


# providers


def test_providers_lists_them_with_their_routes() -> None:
    code, out, err = invoke("providers")
    assert (code, err) == (0, "")
    expected = []
    for name, provider in PROVIDERS.items():
        expected.append(f"{name:<10} {provider.title:<20} {provider.auth_header}")
        expected += [f"{'':<10} {operation.method} {operation.path}" for operation in provider.operations]
    assert out.splitlines() == expected


@pytest.mark.parametrize("name", PROVIDERS)
def test_providers_tells_all_about_one(name: str) -> None:
    code, out, err = invoke("providers", name)
    facts = described(PROVIDERS[name])
    assert (code, err) == (0, "")
    first, *lines = out.splitlines()
    assert first == f"{facts['title']} ({name}), after the document “{facts['document']}”"
    assert f"Hosts: {', '.join(facts['hosts'])}" in lines
    assert f"Auth:  {facts['auth']}" in lines
    words = [line.split() for line in lines]
    for operation in facts["operations"]:
        assert [operation["method"], operation["path"]] in [row[:2] for row in words]
    for setting, row in facts["settings"].items():
        assert f"  {setting}: {json.dumps(row['default'])}" in lines
    for error, row in facts["errors"].items():
        assert [error, str(row["status"]), row["mark"]] in [row[:3] for row in words]
        assert any(line.endswith(row["body"]) for line in lines)


@pytest.mark.parametrize("name", PROVIDERS)
def test_providers_tells_the_same_as_json(name: str) -> None:
    code, out, err = invoke("providers", name, "--json")
    facts = json.loads(json.dumps(described(PROVIDERS[name])))
    assert (code, json.loads(out), err) == (0, facts, "")
    code, out, err = invoke("providers", "--json")
    assert (code, list(json.loads(out)), err) == (0, list(PROVIDERS), "")
    assert json.loads(out)[name] == facts


# faults and schema


def test_faults_lists_every_kind_with_what_it_does_and_tests() -> None:
    code, out, err = invoke("faults")
    assert (code, err) == (0, "")
    for kind, fault in FAULTS.items():
        assert f"  {kind:<22} {fault.effect}\n{'':<24} tests: {fault.tests}\n" in out
    code, out, err = invoke("faults", "--json")
    assert (code, [row["kind"] for row in json.loads(out)], err) == (0, list(FAULTS), "")


def test_faults_tells_all_about_one() -> None:
    code, out, err = invoke("faults", "reset", "--json")
    facts = json.loads(json.dumps(fault_facts("reset")))
    assert (code, json.loads(out), err) == (0, facts, "")
    code, out, err = invoke("faults", "reset")
    assert (code, err) == (0, "")
    for name, parameter in facts["parameters"].items():
        assert f" {name} = {json.dumps(parameter['default'])}: {parameter['description']}" in out


def test_a_fault_that_there_is_not_is_refused_with_a_hint() -> None:
    message = f"There is no fault 'resett'. Did you mean 'reset'? Kinds: {', '.join(FAULTS)}\n"
    assert invoke("faults", "resett") == (2, "", message)


def test_the_schema_is_one_and_the_shipped_scenario_fits_it() -> None:
    code, out, err = invoke("schema")
    assert (code, err) == (0, "")
    schema = json.loads(out)
    validator = jsonschema.Draft202012Validator
    validator.check_schema(schema)
    assert [
        error.message for error in validator(schema).iter_errors(yaml.safe_load(DEFAULT_SCENARIO.read_text()))
    ] == []


# The command itself


def test_the_module_and_the_script_are_the_same_command() -> None:
    script = subprocess.run(
        [str(Path(sys.executable).with_name("emulator")), "--version"],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
        env=ENVIRONMENT,
    )
    version = (0, f"emulator, version {__version__}\n", "")
    assert (script.returncode, script.stdout, script.stderr) == version
    assert run("--version") == version


def test_a_command_that_there_is_not_is_refused() -> None:
    usage = "Usage: emulator [OPTIONS] COMMAND [ARGS]...\nTry 'emulator --help' for help.\n"
    code, out, err = invoke("srve")
    assert (code, out) == (2, "")
    assert err.startswith(f"{usage}\nError: No such command 'srve'.")


@pytest.mark.parametrize("command", sorted(cli.commands))
def test_every_command_tells_what_it_is_for(command: str) -> None:
    code, out, err = invoke(command, "--help")
    assert (code, err) == (0, "")
    assert out.startswith(f"Usage: emulator {command} [OPTIONS]")
    assert cli.commands[command].help
