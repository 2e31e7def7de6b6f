"""Running emulators, and a client to talk to them."""

import gc
import json
import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Generator, Iterator, Mapping
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


def remembering(create: Callable[..., Any]) -> Callable[..., Any]:
    """Creates the context with the usual certificates once: to load them takes longer than most tests."""
    usual: dict[tuple[object, ...], Any] = {}

    def once(verify: Any = True, cert: Any = None, trust_env: bool = True) -> Any:
        if verify is not True or cert is not None:
            return create(verify=verify, cert=cert, trust_env=trust_env)
        key = (trust_env, os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR"))
        if key not in usual:
            usual[key] = create(trust_env=trust_env)
        return usual[key]

    return once


for each in ("httpx", "httpx2"):
    with suppress(ImportError):
        transports: Any = import_module(f"{each}._transports.default")
        transports.create_ssl_context = remembering(transports.create_ssl_context)

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
    """Five for two processors: tests wait for what is slow on purpose, and each worker costs four seconds to start."""
    processors = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
    return min(5 * processors // 2, processors + 4)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Distributes tests in large parts, so that what a file shares is started in one process; whoever is done takes
    over from the others."""
    if config.getoption("dist") != "load":
        return None
    return import_module("xdist.scheduler").WorkStealingScheduling(config, log)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Puts what takes long first, behind which nobody has to wait at the end. Each worker begins with a share of the
    list and ends with files of many tests: these are short, and others take them over. The rest is in random order."""
    workers = getattr(config, "workerinput", {}).get("workercount", 1)
    sizes = Counter(item.path for item in items)
    few = [item for item in items if sizes[item.path] < 50]
    many = [item for item in items if sizes[item.path] >= 50]
    items[:] = [
        item
        for worker in range(workers)
        for group in (few, many)
        for item in group[len(group) * worker // workers : len(group) * (worker + 1) // workers]
    ]
    items.sort(key=lambda item: item.get_closest_marker("long") is None)


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Collects tests, not garbage: everything that is made meanwhile stays."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()


class Collections:
    """Freezes what the whole run needs, so that the garbage collector does not examine it each time: at the beginning,
    after the emulator has thawed it, and whenever a full collection has examined much."""

    SLOW = 0.01
    """Seconds that a full collection takes where there is more than one test has made."""

    def __init__(self) -> None:
        self.are_slow, self._began = True, 0.0
        self._thaw, gc.unfreeze = gc.unfreeze, self.thaw

    def thaw(self) -> None:
        self.are_slow = True
        self._thaw()

    def __call__(self, phase: str, info: Mapping[str, int]) -> None:
        if info["generation"] < 2:
            return
        if phase == "start":
            self._began = time.thread_time()
        elif time.thread_time() - self._began > self.SLOW:
            self.are_slow = True

    def freeze(self) -> None:
        """Only between tests, and not what the last one left: a test may count on its garbage being found."""
        if self.are_slow:
            gc.collect(1)
            gc.freeze()
            self.are_slow = False


COLLECTIONS = Collections()
gc.callbacks.append(COLLECTIONS)


def pytest_runtest_setup() -> None:
    COLLECTIONS.freeze()


def pytest_sessionfinish() -> None:
    """Garbage is looked for until none is left; pytest then looks ten times, whatever it finds."""
    for _ in range(5):
        if not gc.collect():
            break
    gc.freeze()


@pytest.fixture
def redis_server() -> Iterator[RedisServer]:
    """A real Redis with nothing in it."""
    with running_redis() as server:
        yield server
