"""The simulation of replicas with a store, against three real ones: `make soak`. It prints its figures."""

import importlib.util
import json
import os
import socket
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from replicas import Fleet, running_fleet

pytestmark = [pytest.mark.soak, pytest.mark.timeout(300)]
REQUESTS = 6000
FILE = Path(__file__).parents[2] / "docs" / "simulation.py"
BODY = json.dumps({"model": "deepseek-v3", "messages": [{"role": "user", "content": "The same again."}]}).encode()
REQUEST = (
    b"POST /serevix/v1/chat/completions HTTP/1.1\r\nhost: emulator\r\nauthorization: Bearer sk-any-key\r\n"
    b"content-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (len(BODY), BODY)
)


def simulation() -> Any:
    spec = importlib.util.spec_from_file_location("simulation", FILE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["simulation"] = module
    spec.loader.exec_module(module)
    return module


def cpu(pid: int) -> float:
    """µs that a process has worked."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK") * 1e6


def ask(port: int, count: int) -> None:
    """One client of a closed loop, on one connection."""
    with socket.create_connection(("127.0.0.1", port)) as client:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for _ in range(count):
            client.sendall(REQUEST)
            data = b""
            while not data.endswith(b"}"):
                data += client.recv(1 << 16)
            assert data.startswith(b"HTTP/1.1 200")


def measured(fleet: Fleet, replicas: int, clients: int) -> tuple[float, float]:
    """CPU in µs for each request: of all replicas, and of their store. The least of three rounds."""
    rounds = []
    store = fleet.redis._process.pid  # type: ignore[union-attr]
    pids = [replica.served.process.pid for replica in fleet][:replicas]
    for _ in range(3):
        before, stored = sum(map(cpu, pids)), cpu(store)
        threads = [
            threading.Thread(target=ask, args=(fleet[number % replicas].served.port, REQUESTS // clients))
            for number in range(clients)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        rounds.append(((sum(map(cpu, pids)) - before) / REQUESTS, (cpu(store) - stored) / REQUESTS))
    return min(each[0] for each in rounds), min(each[1] for each in rounds)


def test_three_replicas_cost_what_the_simulation_says() -> None:
    model = simulation()
    with running_fleet() as fleet:
        for replica in fleet:
            ask(replica.served.port, 50)
        (alone, stored), (busy, stored_busy) = measured(fleet, 1, 1), measured(fleet, 1, 8)
        request, step = (8 * busy - alone) / 7, (8 * stored_busy - stored) / 7
        costs = model.Costs(request, max(0.0, alone - request), step, max(0.0, stored - step))
        print(
            f"one replica, 1 client: {alone:.0f} + {stored:.0f} µs; "
            f"8 clients: {busy:.0f} + {stored_busy:.0f} µs; {costs}"
        )
        for clients in (6, 24):
            found, found_store = measured(fleet, 3, clients)
            said = model.simulate(3, clients, costs)
            print(
                f"three replicas, {clients} clients: {found:.0f} + {found_store:.0f} µs, "
                f"simulated {said.replicas:.0f} + {said.store:.0f} µs"
            )
            assert 0.5 < found / said.replicas < 2
            assert 0.4 < found_store / said.store < 2.5
