"""The peers: other servers of the kind, each installed in an environment of its own under benchmarks/.peers.

All get one rule with an answer of 200 chunks, 20 ms a chunk where it can be set, and no access log.
A peer that does not install or start is reported with the reason and left out.
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from typing import Any

from benchmarks.scenario import ANSWER, TOKENS, words
from benchmarks.servers import HERE, Target, Unavailable, Wish

HOME = HERE / ".peers"
QUESTION = "Benchmark question"
MILLISECONDS = 20

VERSIONS = {"aimock": "1.43.0", "fakellm": "0.3.5", "stubllm": "0.1.5", "mocktopus": "0.2.0", "llmock": "0.2.2"}
"""Pinned, so that two tables compare the same programs. aimock is @copilotkit/aimock of npm, the others are on PyPI."""


def peers(names: list[str]) -> tuple[list[Target], dict[str, str]]:
    """Returns the targets that can be started, and why the others cannot."""
    targets, reasons = [], {}
    for name in names:
        try:
            _install(name)
            targets.append(TARGETS[name]())
        except Unavailable as reason:
            reasons[name] = str(reason)
    return targets, reasons


def _install(name: str) -> None:
    place, version = HOME / name, VERSIONS[name]
    stamp = place / ".installed"
    if stamp.exists() and stamp.read_text() == version:
        return
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    print(f"installing {name} {version}", file=sys.stderr)
    if name == "aimock":
        if not shutil.which("npm"):
            raise Unavailable("npm is not installed")
        _run(["npm", "install", "--no-audit", "--no-fund", "--prefix", str(place), f"@copilotkit/aimock@{version}"])
    else:
        _run([sys.executable, "-m", "venv", str(place)])
        _run([str(place / "bin" / "pip"), "install", "--quiet", "--disable-pip-version-check", f"{name}=={version}"])
    stamp.write_text(version)


def _run(command: list[str]) -> None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=300, cwd=HOME)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Unavailable(f"does not install: {error}") from error
    if done.returncode:
        last = (done.stderr or done.stdout).strip().splitlines()[-1:] or ["no message"]
        raise Unavailable(f"does not install: {last[0][:160]}")


def _written(wish: Wish, name: str, content: Any) -> str:
    """Writes a configuration file as JSON, which is also YAML."""
    file = wish.directory / name
    file.write_text(json.dumps(content))
    return str(file)


def _aimock() -> Target:
    # The old name of the program starts the plain server; chunks of 4 characters are the words of the answer.
    program = HOME / "aimock" / "node_modules" / "@copilotkit" / "aimock" / "dist" / "cli.js"
    fixture = {"fixtures": [{"match": {"userMessage": QUESTION}, "response": {"content": ANSWER}}]}

    def command(wish: Wish) -> list[str]:
        fixtures = _written(wish, "aimock.json", fixture)
        latency = str(MILLISECONDS if wish.paced else 0)
        start = ["node", str(program), "--host", "127.0.0.1", "--port", str(wish.port), "--log-level", "silent"]
        return [*start, "--fixtures", fixtures, "--chunk-size", "4", "--latency", latency]

    return Target("aimock", command, version=VERSIONS["aimock"])


def _fakellm() -> Target:
    # Its own command leaves uvicorn's access log on. It always sleeps 10 ms per word.
    rule = {"name": "benchmark", "when": {"messages_contain": QUESTION}, "respond": {"content": ANSWER}}

    def command(wish: Wish) -> list[str]:
        return _uvicorn("fakellm", "fakellm.server:app", wish)

    def environment(wish: Wish) -> dict[str, str]:
        return {"FAKELLM_CONFIG": _written(wish, "fakellm.yaml", {"version": 1, "rules": [rule]})}

    return Target("fakellm", command, gap=0.01, can_hurry=False, environment=environment, version=VERSIONS["fakellm"])


def _uvicorn(name: str, app: str, wish: Wish) -> list[str]:
    program = str(HOME / name / "bin" / "uvicorn")
    return [program, app, "--host", "127.0.0.1", "--port", str(wish.port), "--no-access-log", "--log-level", "warning"]


def _stubllm() -> Target:
    def command(wish: Wish) -> list[str]:
        match = {"provider": "openai", "messages": [{"role": "user", "content": {"contains": QUESTION}}]}
        response = {"content": ANSWER, "stream_chunk_delay_ms": MILLISECONDS if wish.paced else 0}
        fixtures = {"fixtures": [{"name": "benchmark", "match": match, "response": response}]}
        start = [str(HOME / "stubllm" / "bin" / "stubllm"), "serve", "--host", "127.0.0.1", "--port", str(wish.port)]
        return [*start, "--fixture-file", _written(wish, "stubllm.json", fixtures), "--log-level", "warning"]

    return Target("stubllm", command, version=VERSIONS["stubllm"])


def _mocktopus() -> Target:
    # It cuts every 5 characters and always sleeps 20 ms per chunk, so words of four letters make the 200 chunks.
    answer = words(TOKENS, [word + word[-1] for word in ANSWER.split()])
    rule = {"type": "llm.openai", "when": {"messages_contains": QUESTION}, "respond": {"content": answer}}

    def command(wish: Wish) -> list[str]:
        scenario = _written(wish, "mocktopus.yaml", {"version": 1, "rules": [rule]})
        start = [str(HOME / "mocktopus" / "bin" / "mocktopus"), "serve", "--host", "127.0.0.1"]
        return [*start, "--port", str(wish.port), "--scenario", scenario]

    return Target("mocktopus", command, can_hurry=False, version=VERSIONS["mocktopus"])


def _llmock() -> Target:
    def command(wish: Wish) -> list[str]:
        start = [str(HOME / "llmock" / "bin" / "llmock"), "serve", "--host", "127.0.0.1", "--port", str(wish.port)]
        delay = str(MILLISECONDS if wish.paced else 0)
        return [*start, "--log-level", "warning", "--stream-chunk-delay-ms", delay]

    reply = {"behaviors": [{"type": "reply", "text": ANSWER, "times": None}]}
    return Target("llmock", command, setup=[("/_llmock/scenario", reply)], version=VERSIONS["llmock"])


TARGETS: dict[str, Callable[[], Target]] = {
    "aimock": _aimock,
    "fakellm": _fakellm,
    "stubllm": _stubllm,
    "mocktopus": _mocktopus,
    "llmock": _llmock,
}

# Otherwise, pip would report on every run that there is a newer version of it.
os.environ.setdefault("PIP_DISABLE_PIP_VERSION_CHECK", "1")
