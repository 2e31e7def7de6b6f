"""What the pytest plugin says about wrong markers, and the files of its table."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from emulator import UsageError
from emulator.providers import PROVIDERS
from emulator.pytest_plugin import _leave_as_it_is
from emulator.pytest_plugin.marker import record_of
from emulator.pytest_plugin.matrix import PROPERTY, Matrix
from emulator.pytest_plugin.pairs import pairs_of


def metafunc(faults: Any = None, outer: Any = None, chosen: str = "") -> pytest.Metafunc:
    """A test function with the two markers, as the plugin sees it."""
    marks = {"emulator_faults": faults, "emulator": outer}
    definition = SimpleNamespace(nodeid="test_a.py::test_b", get_closest_marker=marks.get)
    return cast(
        pytest.Metafunc, SimpleNamespace(definition=definition, config=SimpleNamespace(getoption=lambda _: chosen))
    )


def mark(*args: Any, **kwargs: Any) -> pytest.Mark:
    made: pytest.Mark = pytest.mark.emulator_faults(*args, **kwargs).mark
    return made


@pytest.mark.parametrize(
    ("test", "ids"),
    [
        (metafunc(mark("reset", 429)), ["reset-openai", "429-openai"]),
        (metafunc(mark(["reset", "bom"], providers="openai")), ["reset-openai", "bom-openai"]),
        (
            metafunc(None, mark(faults="bom", provider=("openai", "gemini"))),
            ["bom-openai", "bom-gemini"],
        ),
        (metafunc(mark("reset"), None, "bom; stall:seconds=1 ;"), ["bom-openai", "stall:seconds=1-openai"]),
    ],
)
def test_a_test_runs_with_the_faults_and_providers_that_are_named(test: pytest.Metafunc, ids: list[str]) -> None:
    assert [str(pair) for pair in pairs_of(test)] == ids


@pytest.mark.parametrize(
    ("test", "words"),
    [
        (
            metafunc(mark("reset", provider="openai")),
            "the marker emulator_faults has no argument 'provider'. Did you mean 'providers'? "
            "Arguments: *faults, providers",
        ),
        (
            metafunc(mark("reset", providers=["opneai"])),
            f"there is no provider 'opneai'. Did you mean 'openai'? Providers: {', '.join(PROVIDERS)}",
        ),
    ],
)
def test_a_wrong_marker_of_faults_is_said(test: pytest.Metafunc, words: str) -> None:
    with pytest.raises(pytest.Collector.CollectError) as caught:
        pairs_of(test)
    assert str(caught.value) == f"test_a.py::test_b: {words}"


@pytest.mark.parametrize(
    ("said", "words"),
    [
        (
            {"record": "new", "scenario": "x"},
            "the marker has record and scenario: the recording is the scenario, so remove one of them",
        ),
        (
            {"record": "new", "upstream": "https://a.com"},
            "the marker's upstream is 'https://a.com': expected a mapping from providers to URLs",
        ),
        (
            {"record": "new", "upstream": {"nobody": "https://a.com"}},
            "the marker's upstream is {'nobody': 'https://a.com'}: expected a mapping from providers to URLs",
        ),
    ],
)
def test_a_wrong_marker_of_a_recording_is_said(said: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError) as caught:
        record_of(said, cast(pytest.FixtureRequest, None))
    assert str(caught.value) == words


class Terminal:
    def __init__(self) -> None:
        self.lines: list[str] = []

    def write_line(self, line: str, **_: bool) -> None:
        self.lines.append(line)

    def section(self, title: str) -> None:
        self.lines.append(f"== {title}")


def report(outcome: str, fault: str, longrepr: Any = None, when: str = "call") -> pytest.TestReport:
    value = {"test": "test_a", "fault": fault, "provider": "openai"}
    return pytest.TestReport(
        "id",
        ("f", 1, "t"),
        {},
        cast(Any, outcome),
        longrepr,
        cast(Any, when),
        user_properties=[(PROPERTY, value), ("other", 1), (PROPERTY, cast(Any, "odd"))],
        duration=0.5,
    )


def summary(matrix: Matrix) -> list[str]:
    terminal = Terminal()
    matrix.pytest_terminal_summary(cast(pytest.TerminalReporter, terminal))
    return terminal.lines


def test_a_table_that_has_no_rows_is_not_written(tmp_path: Path) -> None:
    path = tmp_path / "table.md"
    assert summary(Matrix([str(path)])) == [f"{path} was not written: no test used the `emulator_faults` fixture."]
    assert not path.exists()


def filled(paths: list[str]) -> Matrix:
    matrix = Matrix(paths)
    matrix.pytest_runtest_logreport(report("passed", "reset", when="setup"))
    matrix.pytest_runtest_logreport(report("passed", "reset"))
    matrix.pytest_runtest_logreport(report("failed", "bom", "assert <a>\n\nassert b\nassert c"))
    matrix.pytest_runtest_logreport(report("skipped", "stall", ("f", 1, "Skipped: not today")))
    return matrix


TABLE = [
    "== your client x fault",
    "test_a",
    "  fault  openai",
    "  reset  pass",
    "  bom    FAIL",
    "  stall  skip",
    "  1 of 3 passed",
    "  bom, openai: assert <a> assert b",
    "  stall, openai: not today",
]


def test_a_table_is_printed_and_a_file_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    path = tmp_path / "gone" / "table.md"
    assert summary(filled([str(path)])) == [*TABLE, f"{path} can't be written: No such file or directory."]


MARKDOWN = """\
# Your client × fault

## `test_a`

1 of 3 passed.

| fault | openai |
|---|---|
| `reset` | ✅ pass |
| `bom` | ❌ **fail** |
| `stall` | skip |

- `bom`, openai: assert \\<a\\> assert b
- `stall`, openai: not today
"""
JUNIT = """\
<?xml version='1.0' encoding='utf-8'?>
<testsuites name="emulator faults">
  <testsuite name="test_a × openai" tests="3" failures="1" skipped="1" errors="0" time="1.500">
    <testcase classname="test_a.openai" name="reset" time="0.500" />
    <testcase classname="test_a.openai" name="bom" time="0.500">
      <failure message="assert &lt;a&gt; assert b" />
    </testcase>
    <testcase classname="test_a.openai" name="stall" time="0.500">
      <skipped message="not today" />
    </testcase>
  </testsuite>
</testsuites>
"""


@pytest.mark.parametrize(("name", "text"), [("table.md", MARKDOWN), ("table.xml", JUNIT)])
def test_the_files_of_a_table(tmp_path: Path, name: str, text: str) -> None:
    path = tmp_path / name
    assert summary(filled([str(path)])) == [*TABLE, f"written: {path}"]
    written: Callable[[str], str] = lambda said: said.replace("utf-8", "UTF-8").lower()  # noqa: E731
    assert written(path.read_text(encoding="utf-8")) == written(text)


def test_a_pytest_that_keeps_its_marks_elsewhere_is_left_as_it_is() -> None:
    marked, cached = {"emulator", "other"}, {"emulator": True}
    for hook, expected in (
        (SimpleNamespace(_must_rewrite=marked, _marked_for_rewrite_cache=cached), ({"other"}, {})),
        (SimpleNamespace(_must_rewrite=["emulator"]), ({"other"}, {})),
        (None, ({"other"}, {})),
    ):
        _leave_as_it_is(cast(pytest.Config, SimpleNamespace(pluginmanager=SimpleNamespace(rewrite_hook=hook))))
        assert (marked, cached) == expected
