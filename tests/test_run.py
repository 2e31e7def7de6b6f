"""`emulator run`: the environment of a command, its end, its signals and the report."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import processes
import psutil
import pytest
from runner import COMMAND, ENVIRONMENT, python, run

ASK = """
import json, os, urllib.request
def ask(prompt):
    body = {"model": "deepseek-v3", "messages": [{"role": "user", "content": prompt}]}
    headers = {"Authorization": "Bearer " + os.environ["OPENAI_API_KEY"], "Content-Type": "application/json"}
    url = os.environ["OPENAI_BASE_URL"] + "/chat/completions"
    request = urllib.request.Request(url, json.dumps(body).encode(), headers)
    return json.load(urllib.request.urlopen(request))["choices"][0]["message"]["content"]
"""
RULES = "version: 1\nrules:\n- {name: hello, match: {prompt: {contains: hello}}, reply: {content: Hi!}}\n" + (
    "- {name: other, match: {prompt: {contains: bye}}, reply: {content: Bye!}}\n"
)
EMPTY = {
    "requests": 0,
    "unmatched": 0,
    "unused_rules": [],
    "refused_hosts": [],
    "kept_variables": [],
    "cost": "0",
    "verdict": {"findings": [], "unknown": []},
    "exit": 0,
    "providers": {},
    "distrusting": {},
    "broken_handshakes": {},
}


@pytest.fixture
def scenario(tmp_path: Path) -> str:
    path = tmp_path / "rules with blanks.yaml"
    path.write_text(RULES)
    return str(path)


def test_a_command_without_requests_says_so_and_nothing_else() -> None:
    done = processes.run([*COMMAND, "--", "true"], capture_output=True, text=True, env=ENVIRONMENT, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "emulator: no requests\n")


def test_the_report_as_json_is_the_last_line_of_stderr() -> None:
    done = run("--", "sh", "-c", "echo out; echo err >&2")
    assert (done.code, done.out, done.err, done.report) == (0, "out\n", "err", EMPTY)


def test_clients_find_the_server_in_their_environment(scenario: str) -> None:
    done = python(f"{ASK}\nprint(ask('hello'), ask('hello'))", "-s", scenario)
    assert (done.code, done.out) == (0, "Hi! Hi!\n")
    assert done.report["requests"] == 2
    assert done.report["providers"] == {"serevix": {"rule hello": 2}}
    assert done.report["unused_rules"] == ["other"]


def test_openai_needs_no_arguments() -> None:
    program = "from openai import OpenAI\nprint([model.id for model in OpenAI().models.list()] != [])"
    done = python(program)
    assert (done.code, done.out) == (0, "True\n")
    assert done.report["providers"] == {"serevix": {"listing": 1}}


def test_every_provider_has_a_variable_and_a_key() -> None:
    done = run("--", "env")
    variables = dict(line.split("=", 1) for line in done.out.splitlines() if "=" in line)
    origin = variables["EMULATOR_URL"]
    assert {name: value for name, value in variables.items() if name.endswith(("_BASE_URL", "_API_BASE"))} == {
        "OPENAI_BASE_URL": f"{origin}/serevix/v1",
        "OPENAI_API_BASE": f"{origin}/serevix/v1",
        "ANTHROPIC_BASE_URL": f"{origin}/anthropic",
        "DEEPSEEK_API_BASE": f"{origin}/deepseek",
        "MAXTOKEN_BASE_URL": f"{origin}/maxtoken",
        "NADLES_BASE_URL": f"{origin}/nadles",
        "SEREVIX_BASE_URL": f"{origin}/serevix",
        "CLOUDSWAY_BASE_URL": f"{origin}/cloudsway",
        "OPENROUTER_BASE_URL": f"{origin}/openrouter",
        "GEMINI_BASE_URL": f"{origin}/gemini",
        "GOOGLE_GEMINI_BASE_URL": f"{origin}/gemini",
        "DEEPSEEK_BASE_URL": f"{origin}/deepseek",
    }
    keys = {value for name, value in variables.items() if name.endswith("_API_KEY")}
    assert keys == {"sk-dummy"}
    assert {"OPENAI_API_KEY", "ANTHROPIC_API_KEY", "DEEPSEEK_API_KEY"} <= variables.keys()


def test_one_provider_alone_is_at_the_root() -> None:
    done = run("--provider", "deepseek", "--", "env")
    variables = dict(line.split("=", 1) for line in done.out.splitlines() if "=" in line)
    assert variables["DEEPSEEK_API_BASE"] == variables["EMULATOR_URL"] == variables["DEEPSEEK_BASE_URL"]
    assert variables["ANTHROPIC_BASE_URL"] == f"{variables['EMULATOR_URL']}/anthropic"


def test_variables_of_the_user_s_own_are_kept_and_said() -> None:
    own = {"OPENAI_BASE_URL": "http://127.0.0.1:9/own", "DEEPSEEK_API_KEY": "sk-own"}
    done = run("--", "sh", "-c", 'echo "$OPENAI_BASE_URL $DEEPSEEK_API_KEY"', environment=own)
    assert done.out == "http://127.0.0.1:9/own sk-own\n"
    assert done.report["kept_variables"] == ["OPENAI_BASE_URL", "DEEPSEEK_API_KEY"]


def test_an_empty_variable_is_none() -> None:
    done = run("--", "sh", "-c", 'echo "$OPENAI_API_KEY"', environment={"OPENAI_API_KEY": ""})
    assert (done.out, done.report["kept_variables"]) == ("sk-dummy\n", [])


@pytest.mark.parametrize(
    ("prompts", "code", "findings"),
    [
        ("'hello', 'bye'", 0, (0, [])),
        ("'hello'", 1, (0, ["other"])),
    ],
)
def test_strict_fails_for_rules_that_were_never_used(
    scenario: str, prompts: str, code: int, findings: tuple[int, list[str]]
) -> None:
    done = python(f"{ASK}\nfor prompt in ({prompts},): ask(prompt)", "-s", scenario, "--strict")
    assert (done.code, done.report["exit"]) == (code, code)
    assert (done.report["unmatched"], done.report["unused_rules"]) == findings


def test_strict_fails_for_requests_that_match_no_rule(scenario: str) -> None:
    program = (
        f"{ASK}\nimport urllib.error\nask('hello'), ask('bye')\ntry: ask('else')\nexcept urllib.error.HTTPError: 0"
    )
    done = python(program, "-s", scenario, "--strict")
    assert (done.code, done.report["unmatched"]) == (1, 1)
    assert done.report["providers"] == {"serevix": {"rule hello": 1, "rule other": 1, "404 unmatched": 1}}


def test_the_exit_code_is_the_command_s_own(scenario: str) -> None:
    assert run("--strict", "-s", scenario, "--", "sh", "-c", "exit 7").code == 7


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("--", "no-such-command"), 127, "There is no command 'no-such-command'."),
        (("--", "/"), 126, "'/' cannot be run: Permission denied."),
        (("-s", "missing.yaml", "--", "true"), 2, "missing.yaml"),
        (("--fault", "resett", "--", "true"), 2, "There is no fault 'resett'. Did you mean 'reset'?"),
        (("--host", "a=serevix", "--", "true"), 2, "--host needs --intercept"),
        (("--intercept", "--host", "a.test", "--", "true"), 2, "--host a.test: expected a host and its provider"),
        (("--intercept", "--host", "a.test=serevx", "--", "true"), 2, "Did you mean 'serevix'?"),
        ((), 2, "Missing argument '-- CMD…'"),
    ],
)
def test_what_cannot_be_run_is_said(arguments: tuple[str, ...], code: int, words: str) -> None:
    done = processes.run([*COMMAND, *arguments], capture_output=True, text=True, env=ENVIRONMENT, check=False)
    assert done.returncode == code
    assert words in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_command_that_a_signal_ends(number: int) -> None:
    assert run("--", "sh", "-c", f"kill -{int(number)} $$").code == 128 + number


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signals_reach_the_command(number: int) -> None:
    program = f"""
import signal, sys
def handle(signum, frame):
    print("got", signum, flush=True)
    sys.exit(5)
signal.signal({int(number)}, handle)
print("ready", flush=True)
while True: signal.pause()
"""
    with started(sys.executable, "-c", program) as process:
        process.send_signal(number)
        out, err = process.communicate(timeout=30)
    assert (process.returncode, out) == (5, f"got {int(number)}\n")
    assert err == "emulator: no requests\n"


def test_a_signal_that_the_command_does_not_catch_ends_both() -> None:
    with started(sys.executable, "-c", "import signal; print('ready', flush=True); signal.pause()") as process:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=30)
    assert process.returncode == 128 + signal.SIGTERM


class started:
    """`emulator run` of a command that prints "ready"."""

    def __init__(self, *command: str, options: tuple[str, ...] = ()) -> None:
        self.process = processes.Popen(
            [*COMMAND, *options, "--", *command],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=ENVIRONMENT,
        )

    def __enter__(self) -> "subprocess.Popen[str]":
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == "ready\n"
        return self.process

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.communicate()


def is_left(process: psutil.Process) -> bool:
    try:
        return process.is_running() and bool(process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


ENDS: dict[str, Any] = {
    "true": lambda process: None,  # whoever reads its output closes its input
    "SIGINT": lambda process: process.send_signal(signal.SIGINT),
    "SIGTERM": lambda process: process.send_signal(signal.SIGTERM),
    "kill -9 of the command": lambda process: psutil.Process(process.pid).children()[0].kill(),
}


def run_and_end(how: str, folder: Path) -> tuple[int, int, list[str]]:
    """One run with interception that ends so; gives its exit code, the server's port and the processes it left."""
    waits = "sys.stdin.read()" if how == "true" else "signal.pause()"
    program = f"import os, signal, sys; print(os.environ['EMULATOR_URL'], flush=True); {waits}"
    process = processes.Popen(
        [*COMMAND, "--intercept", "--", sys.executable, "-c", program],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={**ENVIRONMENT, "TMPDIR": str(folder)},
    )
    assert process.stdout is not None
    port = int(process.stdout.readline().rpartition(":")[2])
    started = psutil.Process(process.pid).children(recursive=True)
    assert started
    ENDS[how](process)
    process.communicate(timeout=30)
    return process.returncode, port, [str(each) for each in started if is_left(each)]


@pytest.mark.parametrize("how", ENDS)
def test_nothing_is_left_behind(how: str, tmp_path: Path) -> None:
    code, port, left = run_and_end(how, tmp_path)
    assert code == {"true": 0, "SIGINT": 130, "SIGTERM": 143, "kill -9 of the command": 137}[how]
    assert list(tmp_path.iterdir()) == []
    assert left == []
    with pytest.raises(ConnectionRefusedError), socket.create_connection(("127.0.0.1", port)):
        pass


def test_the_log_of_requests_goes_to_stderr(scenario: str) -> None:
    done = python(f"{ASK}\nprint(ask('hello'))", "-s", scenario, "--log", "json")
    assert done.out == "Hi!\n"
    assert json.loads(done.err)["rule"] == "hello"


def test_requests_of_a_client_that_was_killed_are_counted() -> None:
    program = f"""
import os, signal, socket
port = int(os.environ["EMULATOR_URL"].rpartition(":")[2])
sock = socket.create_connection(("127.0.0.1", port))
body = b'{{"model": "deepseek-v3", "stream": true, "messages": [{{"role": "user", "content": "A story"}}]}}'
sock.sendall(b"POST /serevix/v1/chat/completions HTTP/1.1\\r\\nHost: x\\r\\nAuthorization: Bearer x\\r\\n"
             b"Content-Type: application/json\\r\\nContent-Length: %d\\r\\n\\r\\n" % len(body) + body)
sock.recv(100)
os.kill(os.getpid(), {int(signal.SIGKILL)})
"""
    done = python(program)
    assert (done.code, done.report["requests"]) == (137, 1)


def test_it_is_quick() -> None:
    """The limit is a loose one: a machine may be busy. The best of several runs is near a half of a second."""
    best = min(_seconds() for _ in range(3))
    assert best < 3


def _seconds() -> float:
    start = time.perf_counter()
    subprocess.run([*COMMAND, "--", "true"], capture_output=True, env=ENVIRONMENT, check=True)
    return time.perf_counter() - start


def test_a_run_inside_a_run_is_its_own() -> None:
    inner = [sys.executable, "-m", "emulator", "run", "--", "sh", "-c", "echo $EMULATOR_URL"]
    done = run("--", "sh", "-c", f"echo $EMULATOR_URL; {' '.join(inner[:-1])} 'echo $EMULATOR_URL'")
    first, second = done.out.split()
    assert first != second
    assert os.environ.get("EMULATOR_URL") is None
