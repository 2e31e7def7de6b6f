"""Running emulators, and a client to talk to them."""

import gc
import json
import os
import sys
from collections.abc import Generator, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import settings
from redis_server import RedisServer, running_redis
from talk import KEYS, PATHS, Ask, Serving

from emulator import Emulator

BYTECODE = Path(__file__).parents[1] / ".pytest_cache" / "bytecode"
"""Where bytecode is kept that must not stand beside the sources: without it, each process compiles all modules anew."""

if sys.dont_write_bytecode and "PYTHONPYCACHEPREFIX" not in os.environ:
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    os.environ["PYTHONPYCACHEPREFIX"] = sys.pycache_prefix = str(BYTECODE)
    sys.dont_write_bytecode = False

# httpx imports them late. If a run of pytester did, it would forget them at its end, and httpx would then not know the
# errors of the copy that comes next.
for late in ("httpcore", "httpcore2"):
    with suppress(ImportError):
        import_module(late)

# Property tests say what holds, however busy the machine is; benchmarks say how fast.
settings.register_profile("unhurried", deadline=None)
settings.load_profile("unhurried")


@pytest.fixture(scope="module")
def serving() -> Iterator[Serving]:
    """`serving(scenario, **options)` gives a running emulator; within a file, the same arguments give the same one."""
    running: dict[str, Emulator] = {}

    def serve(scenario: Mapping[str, Any] | None = None, **options: Any) -> Emulator:
        key = json.dumps([scenario, options], default=str)
        if key not in running:
            running[key] = Emulator(scenario, **options).start()
        return running[key]

    yield serve
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(Emulator.stop, running.values()))


@pytest.fixture(scope="module")
def documented(serving: Serving) -> Emulator:
    """An emulator with the default scenario. It is shared: do not count on what it has answered before."""
    return serving()


@pytest.fixture(scope="session")
def http() -> Iterator[httpx.Client]:
    """A client for all tests; it follows no redirects and ignores the environment."""
    with httpx.Client(trust_env=False, verify=False, timeout=30) as client:
        yield client


@pytest.fixture(scope="session")
def ask(http: httpx.Client) -> Ask:
    """`ask(emulator, provider, body)` posts to the documented path with a key; bytes are sent as they are."""

    def post(
        emulator: Emulator,
        provider: str,
        body: Any,
        *,
        path: str | None = None,
        method: str = "POST",
        headers: Mapping[str, str] | None = None,
    ) -> httpx.Response:
        url = emulator.url(provider) + (PATHS[provider] if path is None else path)
        given = KEYS[provider] if headers is None else headers
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        return http.request(method, url, content=data, headers={"content-type": "application/json", **given})

    return post


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """More than there are processors: nearly half of the time goes into waiting for what is slow on purpose."""
    processors = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
    return min(2 * processors, processors + 4)


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Collects tests, not garbage: everything that is made meanwhile stays."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()


THAWED = pytest.StashKey[bool]()


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Freezes what the whole run needs, so that tests that look for leaks don't examine it each time."""
    if item.session.stash.get(THAWED, True):
        item.session.stash[THAWED] = False
        gc.freeze()


def pytest_runtest_teardown(item: pytest.Item) -> None:
    """Hypothesis puts it back after each of its tests. (To ask for the count would go through all of it.)"""
    if getattr(getattr(item, "obj", None), "is_hypothesis_test", False):
        item.session.stash[THAWED] = True


@pytest.fixture
def redis_server() -> Iterator[RedisServer]:
    """A real Redis with nothing in it."""
    with running_redis() as server:
        yield server
