"""The fixture `emulator`, seen from a project that has the emulator installed."""

import subprocess
import sys

import pytest

pytest_plugins = ["pytester"]

ASK = """
import json
from urllib.request import Request, urlopen

def ask(emulator, prompt="Hi"):
    body = json.dumps({"model": "deepseek-v3", "messages": [{"role": "user", "content": prompt}]}).encode()
    headers = {"authorization": "Bearer k", "content-type": "application/json"}
    with urlopen(Request(emulator.url("serevix") + "/v1/chat/completions", body, headers)) as response:
        return json.load(response)["choices"][0]["message"]["content"]
"""


@pytest.fixture
def project(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """A project of its own, with nothing but the plugin."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    monkeypatch.setenv("PYTEST_ADDOPTS", "-p emulator.pytest_plugin")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    pytester.makepyfile(ask=ASK)
    return pytester


def test_a_marker_says_how_it_is_made(project: pytest.Pytester) -> None:
    project.makepyfile(
        """
        import pytest
        from ask import ask

        HELLO = {"rules": [{"reply": {"content": "Hello!"}}]}
        BYE = {"rules": [{"reply": {"content": "Bye!"}}]}

        @pytest.mark.emulator(HELLO)
        def test_by_position(emulator):
            assert ask(emulator) == "Hello!"

        @pytest.mark.emulator(scenario=HELLO, provider="serevix", speed=2)
        def test_by_name(emulator):
            assert emulator.url("serevix") == emulator.origin
            assert ask(emulator) == "Hello!"

        @pytest.mark.emulator(HELLO)
        class TestClass:
            def test_of_the_class(self, emulator):
                assert ask(emulator) == "Hello!"

            @pytest.mark.emulator(BYE)
            def test_closest(self, emulator):
                assert ask(emulator) == "Bye!"

        @pytest.mark.emulator(scenario="hello.yaml")
        def test_a_file(emulator):
            assert ask(emulator) == "from a file"

        @pytest.mark.emulator("none.yaml")
        def test_a_file_that_is_missing(emulator):
            pass
        """
    )
    project.makefile(".yaml", hello='{"version": 1, "rules": [{"reply": {"content": "from a file"}}]}')
    result = project.runpytest_subprocess("--strict-markers")
    result.assert_outcomes(passed=5, errors=1)
    result.stdout.fnmatch_lines(["*ScenarioError: none.yaml: no such file*"])


def test_each_test_has_a_server_of_its_own(project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD")  # the package registers the plugin by itself
    monkeypatch.setenv("PYTEST_ADDOPTS", "-p no:randomly -p no:xdist")
    project.makepyfile(
        """
        import socket
        import pytest
        from ask import ask

        seen = []

        @pytest.mark.parametrize("number", [1, 2])
        def test_alone(emulator, number):
            assert len(emulator.journal) == 0
            assert ask(emulator)
            assert len(emulator.journal) == 1
            for earlier in seen:
                assert earlier is not emulator
                if earlier.port != emulator.port:
                    with socket.socket() as probe:
                        assert probe.connect_ex(("127.0.0.1", earlier.port)) != 0
            seen.append(emulator)
        """
    )
    project.runpytest_subprocess("--strict-markers").assert_outcomes(passed=2)


def test_the_marker_is_listed(project: pytest.Pytester) -> None:
    listed = project.runpytest_subprocess("--markers").stdout.str()
    assert (
        "@pytest.mark.emulator(scenario=None, **options): arguments of `Emulator` for the `emulator` fixture" in listed
    )


HEAVY = ("uvicorn", "pydantic", "starlette", "uvloop", "faker", "yaml", "emulator.embedded", "emulator.server")


def test_nothing_is_loaded_until_a_test_uses_it(project: pytest.Pytester) -> None:
    project.makepyfile(
        f"""
        import sys

        def test_it():
            assert "emulator.pytest_plugin" in sys.modules
            assert [name for name in {HEAVY!r} if name in sys.modules] == []
        """
    )
    project.runpytest_subprocess().assert_outcomes(passed=1)


def test_importing_the_plugin_loads_nothing_heavy() -> None:
    code = f"import emulator.pytest_plugin, sys; print([name for name in {HEAVY!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=True)
    assert done.stdout == "[]\n"
