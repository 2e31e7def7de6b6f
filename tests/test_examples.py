"""The examples of docs/examples/ run as their first lines say, and fail when the client under test is at fault."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import processes
import pytest
from redis_server import running_redis
from runner import only_plugins

EXAMPLES = Path(__file__).parent.parent / "docs" / "examples"
EMULATOR = (*processes.COMMAND, "run", "--")


def missing(what: str) -> None:
    if os.environ.get("EMULATOR_REQUIRE_ALL") == "1":
        pytest.fail(f"{what} is missing, and EMULATOR_REQUIRE_ALL=1")
    pytest.skip(f"{what} is missing")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The examples, which a test may change."""
    return Path(shutil.copytree(EXAMPLES, tmp_path / "examples"))


def run(folder: Path, *command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    given = {name: value for name, value in os.environ.items() if not name.upper().endswith(("_PROXY", "_BASE_URL"))}
    return processes.run(command, capture_output=True, text=True, timeout=170, cwd=folder, env={**given, **environment})


def without_retry(folder: Path, name: str) -> None:
    """A client that takes 429 for final."""
    path = folder / name
    text = path.read_text()
    changed = text.replace("(429, 503)", "(503,)").replace("[429, 503]", "[503]").replace("status != 429 && ", "")
    assert changed != text
    path.write_text(changed)


def test_unittest(folder: Path) -> None:
    command = (sys.executable, "-m", "unittest", "test_with_unittest.py")
    done = run(folder, *command)
    assert (done.returncode, done.stderr.splitlines()[-1]) == (0, "OK"), done.stderr
    without_retry(folder, "test_with_unittest.py")
    assert "FAILED (" in run(folder, *command).stderr


@pytest.mark.timeout(180)
def test_node(folder: Path) -> None:
    if shutil.which("node") is None:
        missing("node")
    command = (*EMULATOR, "node", "--test", "weather.test.mjs")
    done = run(folder, *command)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "pass 3" in done.stdout
    without_retry(folder, "weather.mjs")
    done = run(folder, *command)
    assert done.returncode == 1
    assert "fail 1" in done.stdout


@pytest.mark.timeout(180)
def test_vitest(folder: Path) -> None:
    modules = Path(os.environ.get("EMULATOR_NODE_MODULES", "/nowhere"))
    if not (modules / "vitest").is_dir():
        missing("vitest (EMULATOR_NODE_MODULES names its folder)")
    (folder / "node_modules").symlink_to(modules)
    command = (*EMULATOR, "node", "node_modules/vitest/vitest.mjs", "run", "weather.vitest.mjs", "--no-color")
    (folder / "vitest.config.mjs").write_text('export default { test: { include: ["*.vitest.mjs"] } };\n')
    done = run(folder, *command)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Tests  3 passed (3)" in done.stdout
    without_retry(folder, "weather.mjs")
    assert "Tests  1 failed | 2 passed (3)" in run(folder, *command).stdout


@pytest.mark.timeout(180)
def test_go(folder: Path, pytestconfig: pytest.Config) -> None:
    if shutil.which("go") is None:
        missing("go")
    command = (*EMULATOR, "go", "test", "weather_test.go")
    cache = pytestconfig.cache  # compiling Go's own packages takes most of the time
    assert cache is not None
    caches = {"GOCACHE": os.environ.get("GOCACHE", str(cache.mkdir("go"))), "GOFLAGS": "-mod=mod", "GOPROXY": "off"}
    done = run(folder, *command, **caches)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.startswith("ok ")
    without_retry(folder, "weather_test.go")
    done = run(folder, *command, **caches)
    assert done.returncode == 1
    assert "--- FAIL: TestABusyProvider" in done.stdout


CONTAINER = """\
import os, subprocess, sys


class DockerContainer:
    def __init__(self, image):
        self.variables, self.folders = {}, {}

    def with_exposed_ports(self, port):
        return self

    def with_env(self, name, value):
        self.variables[name] = value
        return self

    def with_volume_mapping(self, host, container, mode):
        self.folders[container] = host
        return self

    def waiting_for(self, strategy):
        return self

    def __enter__(self):
        mounted = {name: self.folders.get(value, value) for name, value in self.variables.items()}
        command = [sys.executable, "-m", "emulator", "serve", "--port", "0"]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ, **mounted})
        self.port = int(self.process.stdout.readline().split(":")[2].partition(".")[0])
        return self

    def __exit__(self, *exception):
        self.process.kill()
        self.process.communicate()

    def get_container_host_ip(self):
        return "127.0.0.1"

    def get_exposed_port(self, port):
        return self.port
"""


def test_testcontainers(folder: Path) -> None:
    """With a server where the container would be: no container can be started here."""
    core = folder / "testcontainers" / "core"
    core.mkdir(parents=True)
    (core / "container.py").write_text(CONTAINER)
    (core / "wait_strategies.py").write_text("def HttpWaitStrategy(port, path): pass")
    options = ("-q", "-p", "no:cacheprovider", *only_plugins("emulator").split())
    done = run(folder, sys.executable, "-m", "pytest", *options, "test_with_testcontainers.py", PYTHONPATH=str(folder))
    assert (done.returncode, done.stdout.splitlines()[-1].split(" in ")[0]) == (0, "1 passed"), done.stdout


NETWORK = """
class Network:
    def __enter__(self):
        return self

    def __exit__(self, *exception):
        pass
"""
WITH_STORE = f"""{CONTAINER}
    def with_network(self, network):
        return self


Server = DockerContainer


class Store(Server):
    def with_network_aliases(self, name):
        return self

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        pass


def DockerContainer(image):
    return Store(image) if "valkey" in image else Server(image)
"""


def test_testcontainers_with_replicas(folder: Path) -> None:
    """The same with a Redis where its container would be."""
    with running_redis() as redis:
        core = folder / "testcontainers" / "core"
        core.mkdir(parents=True)
        (core / "container.py").write_text(WITH_STORE)
        (core / "network.py").write_text(NETWORK)
        (core / "wait_strategies.py").write_text(
            "def HttpWaitStrategy(*_): pass\nLogMessageWaitStrategy = HttpWaitStrategy"
        )
        example = folder / "test_with_replicas.py"
        example.write_text(example.read_text().replace("redis://store:6379/0", redis.url))
        options = ("-q", "-p", "no:cacheprovider", *only_plugins("emulator").split())
        done = run(folder, sys.executable, "-m", "pytest", *options, example.name, PYTHONPATH=str(folder))
    assert (done.returncode, done.stdout.splitlines()[-1].split(" in ")[0]) == (0, "1 passed"), done.stdout
