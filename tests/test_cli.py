"""The command line: its output, its error messages, and its exit codes."""

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
from talk import single

from emulator import __version__
from emulator.cli import cli
from emulator.cli.app import COMMANDS
from emulator.cli.faults import fault_facts
from emulator.cli.providers import described, sdk_line
from emulator.faults import FAULTS
from emulator.faults.base import known_errors
from emulator.providers import PROVIDERS
from emulator.resources import DEFAULT_SCENARIO

NAMES = ", ".join(PROVIDERS)
ANSWERS = {
    "maxtoken": "I'm DeepSeek-R1, an AI assistant created by DeepSeek. How can I help you today?",
    "nadles": "content text here",
    "serevix": "Quantum mechanics is the branch of physics that studies the microscopic world...",
    "cloudsway": "Hello! How can I help you today?",
    "deepseek": "Hello! How can I help you today?",
    "openai": "Hello! How can I assist you today?",
    "anthropic": "Hello! What can I do for you today?",
    "openrouter": "The answer is the one that you give it.",
    "gemini": "AI learns patterns from data and uses them to make predictions.",
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
        assert server.first_line == f"The emulator is listening on {origin}. Press Ctrl-C to stop it.\n"
        assert lines[:3] == ["", "Live page", f"  open      {origin}/__emulator/"]
        said = {}
        for number, (name, provider) in enumerate(PROVIDERS.items()):
            blank, title, base, sdk, auth, example = lines[6 * number + 3 : 6 * number + 9]
            assert (blank, title, base, sdk, auth) == (
                "",
                provider.title,
                f"  base URL  {origin}/{name}",
                f"  SDK       {sdk_line(f'{origin}/{name}', described(provider)['sdk'])}",
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
    if "candidates" in body:
        return "".join(part["text"] for part in body["candidates"][0]["content"]["parts"])
    if "choices" in body or "model_response" in body:  # Nadles wraps the usual form
        body = body.get("model_response", body)["choices"][0]["message"]
    said = body["content"]
    return said if isinstance(said, str) else str(said[0]["text"])


def test_one_provider_alone_stands_at_the_root() -> None:
    with served("--provider", "serevix", "--speed", "max", "--log", "off") as server:
        origin = f"http://127.0.0.1:{server.port}"
        lines = server.lines("curl ")
        assert lines[3:6] == ["", "Serevix", f"  base URL  {origin}"]
        assert lines[-1].startswith(f"  try       curl {origin}/v1/chat/completions -H ")


NO_SPEED = "Invalid value for '--speed': '{}' is not a speed. Use a number from 0.000001 to 1000000, such as 2, or max."


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
    assert invoke("serve", "--scenario", str(missing)) == (2, "", f"{missing}: no such file\n")


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
        ("EMULATOR_SCENARIO", "/none.yaml", (2, "", "/none.yaml: no such file\n")),
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
        assert server.lines("curl ")[4] == "Serevix"


@pytest.mark.parametrize("style", ["pretty", "json"])
def test_each_request_is_a_line_of_the_log(style: str) -> None:
    with (
        served("--speed", "max", "--provider", "serevix", "--log", style) as server,
        httpx.Client(trust_env=False, verify=False) as http,
    ):
        assert server.process.stdout is not None
        if style == "pretty":
            server.lines("curl ")
        origin = f"http://127.0.0.1:{server.port}"
        assert http.get(f"{origin}/v1/models").status_code == 401
        message = http.get(f"{origin}/v1/models").json()["error"]["message"].partition(" (request id")[0]
        body = {"model": "deepseek-v3", "messages": [{"role": "user", "content": "Anything at all"}]}
        answer = http.post(f"{origin}/@team-1/v1/chat/completions", json=body, headers={"authorization": "Bearer k"})
        usage = answer.json()["usage"]
        lines = [server.process.stdout.readline().rstrip("\n") for _ in range(3)]
        if style == "json":
            refused, _, answered = map(json.loads, lines)
            assert refused["message"].startswith(message)
            reported = ("namespace", "provider", "method", "path", "status", "error")
            assert [refused[key] for key in reported] == [
                "default", "serevix", "GET", "/v1/models", 401, "unauthorized"
            ]  # fmt: skip
            assert (answered["namespace"], answered["model"], answered["outcome"], answered["misses"]) == (
                "team-1", "deepseek-v3", "generated", []
            )  # fmt: skip
            assert (answered["usage"]["prompt"], answered["usage"]["completion"]) == (
                usage["prompt_tokens"], usage["completion_tokens"]
            )  # fmt: skip
        else:
            refused, _, answered = ([part.strip() for part in line.split("  ") if part.strip()] for line in lines)
            assert refused[1:5] == ["default", "serevix", "GET /v1/models", "401"]
            assert refused[6] == "-"
            assert refused[7].startswith(f"unauthorized: {message} (request id: ")
            assert answered[1:5] == ["team-1", "serevix", "deepseek-v3", "200"]
            tokens = f"{usage['prompt_tokens']}+{usage['completion_tokens']} tokens"
            assert answered[6:] == [tokens, "generated"]  # and no rule that the user has not written is blamed
            assert lines[0].index("401") == lines[2].index("200")
        server.process.stdout.close()  # nobody reads any more, and nothing breaks
        assert http.get(f"{origin}/v1/models").status_code == 401
        server.signal(signal.SIGTERM)
        assert server.process.wait(10) == 0
        assert server.process.stderr is not None
        rest = server.process.stderr.read()
        assert rest == "" if style == "pretty" else "Traceback" not in rest


# check


def test_check_says_when_files_are_good() -> None:
    good = str(DEFAULT_SCENARIO)
    row = {"path": good, "errors": 0, "warnings": 0}
    assert invoke("check", good) == (0, "1 file checked, no problems.\n", "")
    assert invoke("check", good, good) == (0, f"{good}: ok\n{good}: ok\n2 files checked, no problems.\n", "")
    code, out, err = invoke("check", "--json", good)
    assert (code, json.loads(out), err) == (0, {"files": [row], "problems": []}, "")


def test_check_takes_a_folder_file_by_file(tmp_path: Path) -> None:
    folder = tmp_path / "my files"
    (folder / "more").mkdir(parents=True)
    (folder / "node_modules").mkdir()
    (folder / "a.yaml").write_text("version: 1\nseed: 1\nrules: []\n")
    (folder / "more" / "b.yaml").write_text("version: 1\nseed: 2\nrules: []\n")
    (folder / "more" / "c.toml").write_text('version = 1\nseed = "x"\n')
    (folder / "node_modules" / "d.yaml").write_text("nothing: [")
    assert run("check", str(folder)) == (
        2,
        f"{folder}/a.yaml: ok\n{folder}/more/b.yaml: ok\n"
        f"{folder}/more/c.toml:2:1: seed is 'x'; expected a whole number\n3 files checked, 1 error.\n",
        "",
    )
    (folder / "more" / "c.toml").unlink()
    assert run("check", str(folder))[0] == 0
    files = [str(folder / "a.yaml"), str(folder / "more" / "b.yaml")]
    code, out, err = run("check", "--together", *files)
    assert (code, err) == (2, "")
    assert out.splitlines()[0] == f"{files[1]}:2:1: seed is 2 here and 1 in {files[0]}: set it only once"


def test_check_says_what_it_does_not_find(tmp_path: Path) -> None:
    (tmp_path / "empty" / ".git").mkdir(parents=True)
    for path, words in (
        (f"{tmp_path}/empty", "no scenarios in this folder (.yaml, .yml, .json, .toml)"),
        (f"{tmp_path}/*.yaml", "no file matches this pattern"),
    ):
        assert invoke("check", path) == (2, f"{path}: {words}\n1 file checked, 1 error.\n", "")


def test_check_finds_nothing_wrong_with_what_is_shipped() -> None:
    code, out, err = run("check", str(DEFAULT_SCENARIO.parent))
    assert (code, err) == (0, "")
    assert out.splitlines()[-1] == f"{len(out.splitlines()) - 1} files checked, no problems."
    assert len(out.splitlines()) > 20


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
    {"line": 2, "column": 1, "message": "seed is 'forty-two'; expected a whole number"},
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
    reported = "".join(f"bad.yaml:{p['line']}:{p['column']}: {p['message']}\n" for p in PROBLEMS)
    assert invoke("check", bad) == (2, f"{reported}1 file checked, 3 errors.\n", "")
    good = f"{DEFAULT_SCENARIO}: ok\n"
    assert invoke("check", str(DEFAULT_SCENARIO), bad) == (2, f"{good}{reported}2 files checked, 3 errors.\n", "")


def test_check_tells_them_as_json(bad: str) -> None:
    code, out, err = invoke("check", "--json", bad)
    rows = [{"level": "error", "path": "bad.yaml", **problem} for problem in PROBLEMS]
    assert (code, json.loads(out), err) == (
        2,
        {"files": [{"path": "bad.yaml", "errors": 3, "warnings": 0}], "problems": rows},
        "",
    )


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
    message = "rules[1] never answers: rules[0] (odd.yaml:3) matches the same requests first"
    assert invoke("check", "odd.yaml") == (1, f"odd.yaml:4:5: {message} (warning)\n1 file checked, 1 warning.\n", "")
    code, out, err = invoke("check", "--json", "odd.yaml")
    row = {"level": "warning", "path": "odd.yaml", "line": 4, "column": 5, "message": message}
    assert (code, json.loads(out), err) == (
        1,
        {"files": [{"path": "odd.yaml", "errors": 0, "warnings": 1}], "problems": [row]},
        "",
    )


def test_check_tells_which_file_is_missing_and_what_stands_beside_it(bad: str) -> None:
    end = "1 file checked, 1 error.\n"
    assert invoke("check", "bas.yaml") == (2, f"bas.yaml: no such file. Did you mean 'bad.yaml'?\n{end}", "")
    assert invoke("check", "xyz.toml") == (2, f"xyz.toml: no such file\n{end}", "")


def test_check_needs_a_file() -> None:
    usage = "Usage: emulator check [OPTIONS] PATH…\nTry 'emulator check --help' for help.\n"
    assert invoke("check") == (2, "", f"{usage}\nError: Missing argument 'PATH…'.\n")


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        (
            "match: {turn: first}",
            "match.turn is 'first'; expected a mapping. "
            "Write a number, such as turn: 1, or a comparison, such as turn: {gt: 1}",
        ),
        ("match: {attempt: [1, 2]}", "match.attempt is a list; expected a mapping. Write: attempt: {in: [1, 2]}"),
        (
            "error: 429",
            "error is 429; expected a mapping. "
            "Write: error: {status: 429}, or the name of an error, such as error: rate_limited",
        ),
        ("reply: hi", "reply is 'hi'; expected a mapping. Write: reply: {content: 'hi'}"),
        (
            "reply: [hi, ho]",
            "reply is a list; expected a mapping. "
            "For several answers in turn, write: replies: [{reply: …}, {reply: …}]",
        ),
        (
            "match: hello",
            "match is 'hello'; expected a mapping. "
            "To match what a prompt contains, write: match: {prompt: {contains: 'hello'}}",
        ),
        (
            "match: {prompt: 3}",
            "match.prompt is 3; expected a mapping. Put it in quotes to make it a string: prompt: '3'",
        ),
    ],
)
def test_a_message_says_what_would_do(tmp_path: Path, rule: str, message: str) -> None:
    """And what it says does."""
    answer = "" if rule.startswith(("reply", "error")) else ", reply: {content: ok}"
    path = tmp_path / "a.yaml"
    path.write_text(f"version: 1\nrules:\n  - {{{rule}{answer}}}\n")
    code, out, err = invoke("check", str(path))
    assert (code, out.splitlines()[0].partition("rules[0].")[2], err) == (2, message, "")
    mend = message.partition("rite: ")[2].partition(", or")[0] or rule
    if "…" not in message and "rite: " in message:
        mend = mend if mend.startswith(("reply", "error", "match")) else f"match: {{{mend}}}"
        path.write_text(f"version: 1\nrules:\n  - {{{mend}{answer}}}\n")
        assert invoke("check", str(path))[0] == 0


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("rules: []", "version is missing: start the scenario with the line `version: 1`"),
        ("version: '1'", "version is the string '1'. Write: version: 1"),
        (
            "- reply: {content: hi}",
            "the document is a list; expected a mapping. "
            "Write the line `version: 1`, then `rules:` with the list under it",
        ),
        ("version: 1\nfaults: [{kind: resett}]", "faults[0].kind is 'resett'. Did you mean 'reset'?"),
    ],
)
def test_a_file_that_begins_wrong_is_refused_with_the_right_beginning(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "a.yaml"
    path.write_text(text)
    code, out, _ = invoke("check", str(path))
    assert code == 2
    assert out.splitlines()[0].split(": ", 1)[1] == message


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("resett", "There is no fault 'resett'. Did you mean 'reset'?"),
        ("xyz", f"There is no fault 'xyz'. `emulator faults` lists all {len(FAULTS)}."),
        ("reset:after_tokens=soon", "The fault 'reset': after_tokens is 'soon'; expected a whole number"),
        ("latency:seconds=x", "The fault 'latency': seconds is 'x'; expected a number"),
        ("reset:probability=2", "The fault 'reset': probability is 2; expected at most 1"),
    ],
)
def test_a_fault_that_cannot_be_is_one_sentence(fault: str, message: str) -> None:
    assert invoke("serve", "--fault", fault) == (2, "", f"{message}\n")
    assert invoke("serve", EMULATOR_FAULT=f"no_done; {fault}") == (2, "", f"{message}\n")


def test_shipped_scenarios_are_known_by_name_anywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with served("--scenario", "incidents/deepseek_busy", "--log", "off"):
        pass
    assert invoke("check", "incidents/deepseek_busy.yaml", "reasoning")[0] == 0
    code, out, _ = invoke("check", "incidents/deepseek_bussy")
    assert (code, out.splitlines()[0]) == (
        2,
        "incidents/deepseek_bussy: no such file, and no shipped scenario with this name. "
        "Did you mean 'incidents/deepseek_busy'?",
    )
    Path("reasoning").write_text("")  # the user's own file comes first
    assert "reasoning: unknown file extension ''" in invoke("check", "reasoning")[1]


# Environment variables


def test_paths_with_blanks_are_one_path_in_a_variable(tmp_path: Path) -> None:
    folder = tmp_path / "my scenarios"
    folder.mkdir()
    for name in ("one two", "three"):
        (folder / f"{name}.yaml").write_text(
            f"version: 1\nrules:\n  - {{match: {{prompt: {name}}}, reply: {{content: it is {name}}}}}\n"
        )
    files = [str(folder / "one two.yaml"), str(folder / "three.yaml")]
    for value in (os.pathsep.join(files), str(folder)):
        environment = {"EMULATOR_SCENARIO": value, "EMULATOR_SPEED": "max", "EMULATOR_LOG": "off"}
        with served("--provider", "serevix", environment=environment) as server:
            said = []
            for prompt in ("one two", "three"):
                body = {"model": "deepseek-v3", "messages": [{"role": "user", "content": prompt}]}
                url = f"http://127.0.0.1:{server.port}/v1/chat/completions"
                said.append(content(single.post(url, json=body, headers={"authorization": "Bearer k"}).text))
            assert said == ["it is one two", "it is three"]


@pytest.mark.parametrize(
    ("variables", "is_allowed"),
    [
        ({}, True),
        ({"EMULATOR_FAULT_HEADER": "false"}, False),
        ({"EMULATOR_FAULT_HEADER": "yes"}, True),
        ({"EMULATOR_NO_FAULT_HEADER": "1"}, False),
        ({"EMULATOR_NO_FAULT_HEADER": "off"}, True),
    ],
)
def test_a_flag_is_a_variable_both_ways(variables: dict[str, str], is_allowed: bool) -> None:
    with served("--provider", "serevix", "--log", "off", environment=variables) as server:
        url = f"http://127.0.0.1:{server.port}/v1/models"
        headers = {"authorization": "Bearer k", "x-emulator-fault": "error:status=418"}
        assert single.get(url, headers=headers).status_code == (418 if is_allowed else 200)


def test_variables_that_contradict_each_other_or_are_no_truth_values_are_refused() -> None:
    message = "EMULATOR_RELOAD and EMULATOR_NO_RELOAD contradict each other: set only one of them."
    assert invoke("serve", EMULATOR_RELOAD="1", EMULATOR_NO_RELOAD="1") == misuse("serve", message)
    code, out, err = invoke("serve", EMULATOR_NO_RELOAD="maybe")
    assert (code, out, "'maybe' is not a valid boolean" in err) == (2, "", True)


def test_unknown_variables_are_reported_at_the_start() -> None:
    code, out, err = invoke(
        "serve", "--provider", "xyz", EMULATOR_PROT="1", EMULATOR_WHATEVER="1",
        EMULATOR_PORT="tcp://10.0.0.1:8080", EMULATOR_SERVICE_HOST="10.0.0.1", EMULATOR_PORT_8080_TCP_ADDR="10.0.0.1",
    )  # fmt: skip
    assert (code, out) == (2, "")
    assert err.splitlines()[:-1] == [
        "EMULATOR_PROT is set but has no effect: there is no such option. Did you mean 'EMULATOR_PORT'?",
        "EMULATOR_WHATEVER is set but has no effect: there is no such option. "
        "`emulator serve --help` lists the options.",
    ]


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
    assert first == f"{facts['title']} ({name}), according to “{facts['document']}”"
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
    assert invoke("faults", "resett") == (2, "", "There is no fault 'resett'. Did you mean 'reset'?\n")
    assert invoke("faults", "xyz") == (2, "", "There is no fault 'xyz'. `emulator faults` lists them.\n")


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


def test_a_command_that_there_is_not_is_refused_with_a_hint() -> None:
    usage = "Usage: emulator [OPTIONS] COMMAND [ARGS]...\nTry 'emulator --help' for help.\n"
    names = ", ".join(COMMANDS)
    error = f"\nError: There is no command 'srve'. Did you mean 'serve'? Commands: {names}\n"
    assert invoke("srve") == (2, "", usage + error)
    assert invoke("xyz") == (2, "", f"{usage}\nError: There is no command 'xyz'. Commands: {names}\n")


def test_an_option_behind_the_end_of_the_options_is_none() -> None:
    code, output, errors = invoke("--", "-x")
    assert (code, output, errors.splitlines()[-1]) == (2, "", "Error: No such option '-x'.")


def test_an_option_that_there_is_not_is_refused_with_a_hint() -> None:
    code, out, err = invoke("serve", "--prot", "1")
    assert (code, out) == (2, "")
    assert "No such option '--prot'" in err
    assert "'--port'" in err


def test_the_command_alone_shows_what_to_do_next() -> None:
    code, out, err = run()
    assert (code, err) == (0, "")
    assert "\n  emulator serve\n" in out
    commands = out.partition("\nCommands\n")[2].partition("\n\n")[0]
    assert {line.split()[0]: " ".join(line.split()[1:]) for line in commands.splitlines()} == {
        name: row.help for name, row in COMMANDS.items()
    }


def test_help_loads_nothing_that_serves() -> None:
    code = (
        "import sys; from emulator.cli import cli; cli(['--help'], standalone_mode=False); print(sorted(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=True)
    loaded = done.stdout.splitlines()[-1]
    assert "'click'" in loaded
    assert not [name for name in ("pydantic", "yaml", "uvicorn", "emulator.scenario") if f"'{name}'" in loaded]


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_tells_what_it_is_for(command: str) -> None:
    code, out, err = invoke(command, "--help")
    assert (code, err) == (0, "")
    assert out.startswith(f"Usage: emulator {command} [OPTIONS]")
