"""Sticky routing (docs/deploy/nginx.conf): three servers behind a real nginx answer each namespace and each key as one
server alone does, byte for byte, although they share nothing."""

import os
import re
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest
import yaml
from served import served
from talk import single

CONFIGURATION = Path(__file__).parent.parent / "docs" / "deploy" / "nginx.conf"
SCENARIO = """\
version: 1
clock: manual
rules:
  - name: in-turn
    match: {prompt: {contains: turn}}
    replies:
      - reply: {content: first}
      - error: overloaded
      - error: {status: 429, message: Slow down, headers: {retry-after: "2"}}
      - reply: {content: fourth}
  - name: once
    match: {prompt: {contains: scarce}}
    times: 1
    reply: {content: There was one.}
accounts:
  - {key: sk-poor-1, balance: "0.00002"}
  - {key: sk-poor-2, balance: "0.00002"}
  - {key: sk-poor-3, balance: "0.00002"}
  - {key: sk-any}
"""
NAMES = [f"team-{number}" for number in range(8)]
ACCOUNTS = "".join(f"  - {{key: sk-emu-{name}}}\n" for name in (*NAMES, "whole", "faulty"))


class Way(NamedTuple):
    """A way to say which namespace a request is for."""

    prefix: str
    headers: dict[str, str]


def ways(name: str) -> list[Way]:
    bearer = {"authorization": "Bearer sk-any"}
    return [
        Way(f"/@{name}", bearer),
        Way(f"/~latency:seconds=0/@{name}", bearer),
        Way("", {**bearer, "x-emulator-namespace": name}),
        Way("", {"authorization": f"Bearer sk-emu-{name}"}),
    ]


class Routed(NamedTuple):
    """One server alone, and several behind nginx."""

    alone: str
    router: str
    replicas: list[str]


def nginx() -> str:
    """The program. Without it the tests skip; in CI they fail."""
    found = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")
    if found is None:
        reason = "nginx is not installed"
        (pytest.fail if os.environ.get("EMULATOR_REQUIRE_ALL") else pytest.skip)(reason)
    return found


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port: int = listening.getsockname()[1]
        return port


def configured(folder: Path, port: int, replicas: list[int]) -> Path:
    """The documented configuration with other ports and folders."""
    text = CONFIGURATION.read_text().replace("/tmp/emulator-nginx", str(folder / "nginx"))
    text = text.replace("listen 127.0.0.1:8080;", f"listen 127.0.0.1:{port};")
    text = text.replace("worker_processes auto;", "worker_processes 1;\nuser root;" if os.getuid() == 0 else "")
    for documented, replica in zip((8081, 8082, 8083), replicas, strict=True):
        text = text.replace(f"server 127.0.0.1:{documented} ", f"server 127.0.0.1:{replica} ")
    path = folder / "nginx.conf"
    path.write_text(text)
    return path


@pytest.fixture(scope="module")
def routed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Routed]:
    program, folder = nginx(), tmp_path_factory.mktemp("routed")
    scenario = folder / "scenario.yaml"
    scenario.write_text(SCENARIO + ACCOUNTS)
    with ExitStack() as stack:
        options = ("--scenario", str(scenario), "--speed", "max", "--seed", "7", "--log", "off")
        alone, *replicas = (stack.enter_context(served(*options)).port for _ in range(4))
        port = free_port()
        command = [program, "-e", "stderr", "-c", str(configured(folder, port, replicas)), "-g", "daemon off;"]
        process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        try:
            wait_for(port, process)
            urls = [f"http://127.0.0.1:{each}" for each in (alone, port, *replicas)]
            yield Routed(urls[0], urls[1], urls[2:])
        finally:
            process.send_signal(signal.SIGTERM)
            process.communicate(timeout=20)


def wait_for(port: int, process: "subprocess.Popen[str]") -> None:
    deadline = time.monotonic() + 20
    while process.poll() is None and time.monotonic() < deadline:
        try:
            if single.get(f"http://127.0.0.1:{port}/router-health").text == "ok\n":
                return
        except httpx.TransportError:
            continue
    process.kill()
    raise AssertionError(process.communicate()[1])


def asked(http: httpx.Client, base: str, prompt: str, way: Way, *, stream: bool = False) -> tuple[Any, ...]:
    """All that a client sees, but the moment."""
    body = {"model": "deepseek-v3", "stream": stream, "messages": [{"role": "user", "content": prompt}]}
    reply = http.post(f"{base}{way.prefix}/serevix/v1/chat/completions", json=body, headers=way.headers)
    skipped = ("date", "connection", "transfer-encoding", "content-length")  # nginx writes them anew
    return reply.status_code, sorted((k, v) for k, v in reply.headers.items() if k not in skipped), reply.text


def conversation(http: httpx.Client, base: str) -> list[tuple[Any, ...]]:
    """Every namespace in every way, interleaved, so that no two requests of one come in a row."""
    prompts = ("my turn", "scarce", "Tell me more")
    return [
        asked(http, base, prompts[(turn + offset) % 3], ways(name)[(turn + offset) % 4], stream=turn % 5 == 0)
        for turn in range(10)
        for offset, name in enumerate(NAMES)
    ]


def test_namespaces_see_what_a_single_server_shows(routed: Routed, http: httpx.Client) -> None:
    expected = conversation(http, routed.alone)
    assert {status for status, *_ in expected} == {200, 429, 503}
    for got, wanted in zip(conversation(http, routed.router), expected, strict=True):
        assert got == wanted


def test_the_journal_of_a_namespace_is_whole_behind_the_router(routed: Routed, http: httpx.Client) -> None:
    """Whichever way its requests came, and however the control API is given the namespace."""
    for way in ways("whole"):
        asked(http, routed.router, "Hi", way)
    by_url = http.get(f"{routed.router}/@whole/__emulator/journal").json()
    by_query = http.get(f"{routed.router}/__emulator/journal?namespace=whole").json()
    assert len(by_url["exchanges"]) == 4
    assert by_query == by_url


def test_balances_and_limits_of_a_key_are_exact(routed: Routed, http: httpx.Client) -> None:
    """Each of three accounts pays for the same number of answers, wherever it lives."""
    keys = [Way("", {"authorization": f"Bearer sk-poor-{number}"}) for number in (1, 2, 3)]

    def statuses(base: str) -> list[list[int]]:
        rows = [[asked(http, base, f"Question {turn}", key)[0] for key in keys] for turn in range(8)]
        return [list(column) for column in zip(*rows, strict=True)]

    expected = statuses(routed.alone)
    assert all(column[0] == 200 and column[-1] != 200 for column in expected)
    assert statuses(routed.router) == expected


def test_the_work_is_shared(routed: Routed, http: httpx.Client) -> None:
    for number in range(40):
        asked(http, routed.router, "Hi", ways(f"spread-{number}")[0])
    counts = [
        sum(float(line.split()[-1]) for line in text.splitlines() if line.startswith("llm_emulator_requests_total{"))
        for text in (http.get(f"{replica}/__emulator/metrics").text for replica in routed.replicas)
    ]
    assert all(counts), counts


def test_a_fault_reaches_the_client_and_is_tried_on_no_other_server(routed: Routed, http: httpx.Client) -> None:
    before = requests_of(http, routed.replicas)
    with pytest.raises(httpx.RemoteProtocolError):
        asked(http, routed.router, "Hi", Way("/~reset:after_tokens=2", ways("faulty")[3].headers), stream=True)
    assert requests_of(http, routed.replicas) - before == 1


def requests_of(http: httpx.Client, replicas: list[str]) -> int:
    """How many requests all servers have seen in the namespace `faulty`."""
    return sum(len(http.get(f"{each}/@faulty/__emulator/journal").json()["exchanges"]) for each in replicas)


def test_the_router_of_the_cluster_routes_as_the_documented_one() -> None:
    """The manifest holds the same text, but for the servers and the address to listen on."""
    manifest = (CONFIGURATION.parent / "kubernetes" / "router.yaml").read_text()
    for section in ("routing", "proxy"):
        ours, theirs = (
            re.sub(
                r"^ +", "", re.findall(rf"# {section}: begin\n(.*?)# {section}: end", text, re.DOTALL)[0], flags=re.M
            )
            for text in (CONFIGURATION.read_text(), manifest)
        )
        assert theirs == ours


def test_nginx_accepts_the_configuration_of_the_cluster(tmp_path: Path) -> None:
    """With addresses for the names, which only a cluster has; looking them up anew needs a newer nginx."""
    manifest = next(yaml.safe_load_all((CONFIGURATION.parent / "kubernetes" / "router.yaml").read_text()))
    text, count = re.subn(r"emulator-(\d)\.[\w.-]+:8080 resolve", r"127.0.0.1:810\1", manifest["data"]["nginx.conf"])
    text = text.replace("/tmp/emulator-nginx", str(tmp_path / "nginx")).replace(
        "kube-dns.kube-system.svc.cluster.local", "127.0.0.1"
    )
    (tmp_path / "nginx.conf").write_text(text)
    command = [nginx(), "-e", "stderr", "-t", "-c", str(tmp_path / "nginx.conf")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (count, done.returncode) == (10, 0), done.stderr
