"""The pytest plugin: the fixtures `emulator` and `emulator_faults`. Loads nothing else until a test uses them."""

from collections.abc import Generator, Iterator
from typing import TYPE_CHECKING, Any

import pytest

from emulator.pytest_plugin.matrix import PROPERTY, Matrix

if TYPE_CHECKING:
    from emulator.pytest_plugin.fixture import EmulatorFixture
    from emulator.pytest_plugin.servers import Servers

MARKERS = (
    "emulator(scenario=None, *, faults=(), provider=None, strict=None, record=None, **options): configures the "
    "`emulator` fixture; `record` is none, new, all or drifted; options are those of `Emulator`",
    "emulator_faults(*faults, providers=()): runs the test with the `emulator_faults` fixture, once for each fault and "
    "provider",
)
SERVERS = pytest.StashKey["Servers"]()
RUNNING = pytest.StashKey["EmulatorFixture"]()
FAILED = pytest.StashKey[bool]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addini("emulator_scenario", "The scenario of tests whose marker names none; relative to the root directory.")
    parser.addini(
        "emulator_unmatched",
        "What to do with a passed test that sent a request that no rule matches: `fail` (default) or `ignore`.",
        default="fail",
    )
    group = parser.getgroup("emulator", "LLM provider emulator")
    group.addoption(
        "--emulator-faults",
        metavar="FAULT[;FAULT…]",
        help="Run tests with the `emulator_faults` fixture with these faults, such as 'reset:after_tokens=3;429'.",
    )
    group.addoption(
        "--emulator-record",
        metavar="MODE",
        choices=("none", "new", "all", "drifted"),
        help="Replaces the mode of tests whose marker has `record`: none, new, all or drifted.",
    )
    group.addoption(
        "--emulator-faults-report",
        metavar="FILE",
        action="append",
        default=[],
        help="Write the table of your client and the faults to FILE: .md is Markdown, .xml is JUnit. Repeatable.",
    )


def pytest_configure(config: pytest.Config) -> None:
    for marker in MARKERS:
        config.addinivalue_line("markers", marker)
    _leave_as_it_is(config)
    for path in config.getoption("--emulator-faults-report"):
        if not path.endswith((".md", ".xml")):
            raise pytest.UsageError(f"--emulator-faults-report {path}: expected a file that ends in .md or .xml.")
    unmatched = config.getini("emulator_unmatched")
    if unmatched not in ("fail", "ignore"):
        raise pytest.UsageError(f"The setting emulator_unmatched is '{unmatched}': give fail or ignore.")
    if not hasattr(config, "workerinput"):  # only the controller has the table
        config.pluginmanager.register(Matrix(config.getoption("--emulator-faults-report")), "emulator-faults-table")


def _leave_as_it_is(config: pytest.Config) -> None:
    """Keeps pytest from rewriting the emulator's own assertions. It would recompile all its modules, in each process
    if bytecode is not cached, to explain assertions that no user ever sees fail.
    """
    hook = getattr(config.pluginmanager, "rewrite_hook", None)
    marked, known = getattr(hook, "_must_rewrite", None), getattr(hook, "_marked_for_rewrite_cache", None)
    if isinstance(marked, set) and isinstance(known, dict):
        marked.discard("emulator")
        known.clear()


def pytest_unconfigure(config: pytest.Config) -> None:
    servers = config.stash.get(SERVERS, None)
    if servers is not None:
        servers.stop()


@pytest.fixture
def emulator(request: pytest.FixtureRequest) -> "Iterator[EmulatorFixture]":
    """An emulator for this test: a namespace on the test process's server. The environment is set so that clients
    find it and no key is real. `@pytest.mark.emulator(scenario=…, faults=[…], provider=…, strict=…)` configures it.
    """
    from emulator.pytest_plugin.fixture import running

    servers = _servers(request.config)
    with running(request, servers) as fixture:
        request.node.stash[RUNNING] = fixture
        yield fixture
        if not request.node.stash.get(FAILED, False):
            fixture.check()


@pytest.fixture
def emulator_faults(request: pytest.FixtureRequest, emulator: "EmulatorFixture") -> "EmulatorFixture":
    """The fixture `emulator` with one fault in every answer: its `fault`, at its `provider`. The test runs once for
    each fault and provider in `@pytest.mark.emulator_faults("reset", "429", providers=["openai"])`.
    """
    return emulator


def _servers(config: pytest.Config) -> "Servers":
    servers = config.stash.get(SERVERS, None)
    if servers is None:
        from emulator.pytest_plugin.servers import Servers

        servers = config.stash[SERVERS] = Servers()
    return servers


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "emulator_faults" in metafunc.fixturenames:
        from emulator.pytest_plugin.pairs import pairs_of

        pairs = pairs_of(metafunc)
        metafunc.parametrize("emulator_faults", pairs, ids=[str(pair) for pair in pairs], indirect=True)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    fixture = item.stash.get(RUNNING, None)
    if fixture is None:
        return report
    if report.when == "call":
        item.stash[FAILED] = report.failed
        if report.failed:
            report.sections.append(("emulator", fixture.report()))
    pair: Any = getattr(item, "callspec", None) and item.callspec.params.get("emulator_faults")  # type: ignore[attr-defined]
    if pair is not None and (report.when == "call" or report.failed):
        test = report.nodeid.partition("[")[0]
        row = {"test": test, "fault": pair.fault, "provider": pair.provider}
        report.user_properties.append((PROPERTY, row))
    return report
