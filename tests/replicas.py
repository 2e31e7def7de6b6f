"""Several replicas: servers in processes of their own that share a real Redis, and act as one."""

import contextlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
from redis_server import RedisServer, running_redis
from served import Served

HEADERS = {"authorization": "Bearer sk-any-key-of-a-test"}
PATH = "/serevix/v1/chat/completions"


class Replica:
    """One of them. Each request has a connection of its own."""

    def __init__(self, url: str, *options: str) -> None:
        self.served = Served("--port", "0", "--log", "off", "--speed", "max", "--store", url, *options)
        self.url = f"http://127.0.0.1:{self.served.port}"
        self.client = httpx.Client(base_url=self.url, trust_env=False, timeout=30)

    def ask(self, prompt: str, namespace: str = "default", **body: Any) -> httpx.Response:
        """A request to a provider."""
        prefix = "" if namespace == "default" else f"/@{namespace}"
        message = {"model": "deepseek-v3", "messages": [{"role": "user", "content": prompt}], **body}
        return self.client.post(f"{prefix}{PATH}", json=message, headers=HEADERS)

    def control(self, method: str, path: str, body: Any = None, **query: Any) -> httpx.Response:
        """A request to the control API."""
        if method in ("POST", "PUT") and body is None:
            body = {}
        content = None if body is None else json.dumps(body)
        headers = {} if body is None else {"content-type": "application/json"}
        url = f"/__emulator/{path}"
        return self.client.request(method, url, content=content, headers=headers, params=query)

    def get(self, path: str, **query: Any) -> Any:
        """What the control API shows."""
        response = self.control("GET", path, **query)
        assert response.status_code == 200, response.text
        return response.json()

    def journal(self, namespace: str = "default", **query: Any) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = self.get("journal", namespace=namespace, **query)["exchanges"]
        return rows

    def metric(self, name: str) -> float:
        """The sum of a metric's samples."""
        lines = self.control("GET", "metrics").text.splitlines()
        found = [line for line in lines if line.startswith((f"{name} ", f"{name}{{"))]
        return sum(float(line.rpartition(" ")[2]) for line in found)

    def kill(self) -> None:
        """Kills it, like a crash: nothing is reported or finished."""
        os.kill(self.served.process.pid, signal.SIGKILL)
        self.served.process.wait()

    def close(self) -> tuple[str, str]:
        """An orderly end: what it printed, and its errors."""
        self.client.close()
        process = self.served.process
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        try:
            out, errors = process.communicate(timeout=20)
        except subprocess.TimeoutExpired:
            process.kill()
            out, errors = process.communicate()
        return out, errors


class Fleet:
    """Replicas and the Redis that they share."""

    def __init__(self, redis: RedisServer, options: tuple[str, ...]) -> None:
        self.redis = redis
        self.options = options
        self.replicas: list[Replica] = []

    def __getitem__(self, place: int) -> Replica:
        return self.replicas[place]

    def __iter__(self) -> Iterator[Replica]:
        return iter(self.replicas)

    def add(self) -> Replica:
        """One more."""
        replica = Replica(self.redis.url, *self.options)
        self.replicas.append(replica)
        return replica

    def replace(self, place: int) -> Replica:
        """Another one instead of one that was killed."""
        self.replicas[place].close()
        replica = self.replicas[place] = Replica(self.redis.url, *self.options)
        return replica

    def close(self) -> None:
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(Replica.close, self.replicas))


@contextlib.contextmanager
def running_fleet(*options: str, count: int = 3) -> Iterator[Fleet]:
    """This many replicas with their own Redis, until the block ends."""
    with running_redis() as redis:
        fleet = Fleet(redis, options)
        try:
            for _ in range(count):
                fleet.add()
            yield fleet
        finally:
            fleet.close()


def until(holds: Callable[[], bool], within: float = 20.0) -> float:
    """Waits until something holds; returns after how many seconds it did."""
    started = time.monotonic()
    while not holds():
        assert time.monotonic() - started < within, f"it did not come true within {within:g} s"
        time.sleep(0.002)
    return time.monotonic() - started


def scenario_of(*rules: Mapping[str, Any]) -> dict[str, Any]:
    return {"version": 1, "rules": list(rules)}
