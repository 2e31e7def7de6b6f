"""Several workers on one port: they answer alike, end together, and refuse what they could not keep right."""

import json
import os
import re
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

from emulator.scenario.sources import load
from emulator.server.workers import needs_shared_state

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="workers need a system that can fork")


def serve(*options: str) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "emulator", "serve", "--port", "0", "--log", "off", "--speed", "max", *options]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def origin_of(process: "subprocess.Popen[str]") -> str:
    """Where it listens, as its banner says."""
    assert process.stdout is not None
    ready, _, _ = select.select([process.stdout], [], [], 30)
    assert ready, "no banner within 30 s"
    found = re.search(r"http://[\d.]+:\d+", process.stdout.readline())
    assert found is not None
    return found[0]


def test_workers_answer_alike_with_ids_of_their_own_and_end_together() -> None:
    process = serve("--workers", "2")
    try:
        url = origin_of(process) + "/serevix/v1/chat/completions"
        body = {"model": "deepseek-v3", "messages": [{"role": "user", "content": "What is a worker?"}]}
        headers = {"authorization": "Bearer k"}
        # Each on a connection of its own, so that the kernel spreads them.
        answers = [httpx.post(url, json=body, headers=headers).json() for _ in range(24)]
        texts = {answer["choices"][0]["message"]["content"] for answer in answers}
        assert len(texts) == 1
        assert len({answer["id"] for answer in answers}) == 24
    finally:
        process.send_signal(signal.SIGTERM)
        started = time.monotonic()
        _, errors = process.communicate(timeout=10)
    assert process.returncode == 0
    assert time.monotonic() - started < 4
    assert errors == ""


def test_workers_end_when_their_parent_is_killed() -> None:
    process = serve("--workers", "2")
    url = origin_of(process) + "/__emulator/health"
    process.kill()
    process.communicate(timeout=10)  # returns once the last worker has closed its end of the pipes
    with pytest.raises(httpx.ConnectError):
        httpx.get(url)


def test_a_scenario_that_needs_shared_state_is_refused_with_the_reasons(tmp_path: Path) -> None:
    scenario = tmp_path / "counts.json"
    rules = [{"name": "flaky", "replies": [{"error": "overloaded"}, {"reply": {"content": "ok"}}]}]
    scenario.write_text(json.dumps({"version": 1, "quotas": [{"requests": 3}], "rules": rules}))
    process = serve("--workers", "2", "--scenario", str(scenario))
    output, errors = process.communicate(timeout=20)
    assert (process.returncode, output) == (2, "")
    assert errors.splitlines() == [
        "--workers 2: workers share no state, but this needs shared state:",
        "  quotas count over all requests",
        f"  {scenario}:1:55: rule 'flaky' answers in turn",
    ]


def test_the_shipped_default_needs_no_shared_state() -> None:
    assert needs_shared_state(load({"rules": [{"reply": {"content": "hi"}}]}).scenario) == []
    counting = {"rules": [{"match": {"any_of": [{"attempt": 2}, {"turn": 1}]}, "reply": {}, "times": 2,
                           "set_state": "paid", "faults": ["reset:times=1"]}]}  # fmt: skip
    assert needs_shared_state(load(counting).scenario) == [
        "rule 'rules[0]' is used up after a number of times",
        "rule 'rules[0]' moves the state",
        "rule 'rules[0]' looks at the state or at the attempt",
        "rule 'rules[0]' has faults that count",
    ]


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (
            "error:name=overloaded,times=2",
            "the server's fault 'error' has times or skip, which count over all requests",
        ),
        (
            "reset:skip=1",
            "the server's fault 'reset' has times or skip, which count over all requests",
        ),
        (
            "refuse_connections",
            "faults that stop listening would stop one process, and the others would go on",
        ),
    ],
)
def test_a_fault_of_the_server_that_counts_is_refused(fault: str, reason: str) -> None:
    process = serve("--workers", "2", "--fault", fault)
    output, errors = process.communicate(timeout=20)
    assert (process.returncode, output) == (2, "")
    assert errors.splitlines() == [
        "--workers 2: workers share no state, but this needs shared state:",
        f"  {reason}",
    ]
