"""Recording in `emulator run` and in tests."""

import json
from pathlib import Path

import pytest
from runner import python

from emulator import Emulator

pytest_plugins = ["pytester"]
ASK = """
import json, os, sys
from urllib.request import Request, urlopen
body = json.dumps({"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Hi"}]}).encode()
headers = {"authorization": "Bearer sk-real-key-0001", "content-type": "application/json"}
with urlopen(Request(URL + "/v1/chat/completions", body, headers)) as response:
    print(json.load(response)["choices"][0]["message"]["content"])
"""
SCENARIO = {"rules": [{"reply": {"content": "Bonjour"}}]}


def test_run_records_and_then_replays(tmp_path: Path) -> None:
    """The variables lead to the recorder, or to the replay."""
    program = ASK.replace("URL", "os.environ['OPENAI_BASE_URL'].removesuffix('/v1')")
    with Emulator(SCENARIO) as upstream:
        options = ("--record", str(tmp_path / "out"), "--upstream", f"openai={upstream.url('openai')}")
        first = python(program, *options)
        assert len(upstream.journal) == 1
    assert (first.code, first.out) == (0, "Bonjour\n")
    assert first.err.splitlines()[-1] == f"emulator: {tmp_path / 'out'}: 1 recorded."
    again = python(program, "--scenario", str(tmp_path / "out"), "--strict")
    assert (again.code, again.out, again.report["unmatched"], again.report["unused_rules"]) == (0, "Bonjour\n", 0, [])


def test_intercepted_requests_are_recorded_too(tmp_path: Path) -> None:
    program = ASK.replace("URL", "'https://api.openai.com'")
    with Emulator(SCENARIO) as upstream:
        options = ("--record", str(tmp_path / "out"), "--upstream", f"openai={upstream.url('openai')}", "--intercept")
        first = python(program, *options)
    assert (first.code, first.out) == (0, "Bonjour\n"), first.err
    again = python(program, "--scenario", str(tmp_path / "out"), "--intercept", "--strict")
    assert (again.code, again.out) == (0, "Bonjour\n")


def test_a_test_records_beside_itself_and_replays(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    monkeypatch.setenv("PYTEST_ADDOPTS", "-p emulator.pytest_plugin")
    with Emulator(SCENARIO) as upstream:
        pytester.makepyfile(
            test_it=f"""
            import json
            import pytest
            from urllib.request import Request, urlopen

            @pytest.mark.emulator(record="new", upstream={{"openai": {json.dumps(upstream.url("openai"))}}})
            def test_says_hello(emulator):
                messages = [{{"role": "user", "content": "Hi"}}]
                body = json.dumps({{"model": "gpt-4o-mini", "messages": messages}}).encode()
                headers = {{"authorization": "Bearer sk-real-key-0001", "content-type": "application/json"}}
                url = emulator.url("openai") + "/v1/chat/completions"
                with urlopen(Request(url, body, headers)) as response:
                    assert json.load(response)["choices"][0]["message"]["content"] == "Bonjour"
            """
        )
        pytester.runpytest_inprocess().assert_outcomes(passed=1)
        assert len(upstream.journal) == 1
        pytester.runpytest_inprocess().assert_outcomes(passed=1)
        pytester.runpytest_inprocess("--emulator-record=none").assert_outcomes(passed=1)
        assert len(upstream.journal) == 1
    folder = pytester.path / "recordings" / "test_it" / "test-says-hello"
    assert len(list(folder.glob("*.yaml"))) == 1
    next(folder.glob("*.yaml")).unlink()
    missing = pytester.runpytest_inprocess("--emulator-record=none")
    missing.assert_outcomes(failed=1)
    missing.stdout.fnmatch_lines(["*nothing is recorded yet: mode `new` records it*"])


def test_what_was_not_recorded_or_not_used_is_said(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    monkeypatch.setenv("PYTEST_ADDOPTS", "-p emulator.pytest_plugin")
    with Emulator(SCENARIO) as upstream:
        pytester.makepyfile(
            test_it=f"""
            import pytest
            from pathlib import Path
            from urllib.error import HTTPError
            from urllib.request import Request, urlopen

            UPSTREAM = {{"openai": {json.dumps(upstream.url("openai"))}}}

            def ask(emulator, path):
                headers = {{"authorization": "Bearer sk-real-key-0001"}}
                return urlopen(Request(emulator.url("openai") + path, headers=headers)).read()

            @pytest.mark.emulator(record="new", upstream=UPSTREAM)
            def test_undocumented(emulator):
                with pytest.raises(HTTPError):
                    ask(emulator, "/v1/nothing")

            @pytest.mark.emulator(record="new", upstream=UPSTREAM)
            def test_full(emulator):
                folder = Path("recordings/test_it/test-full")
                folder.rename(folder.with_name("before"))
                folder.write_text("")
                ask(emulator, "/v1/models")

            @pytest.mark.emulator(record="new", strict=True, upstream=UPSTREAM)
            def test_unused(emulator):
                assert emulator.recorder is None or ask(emulator, "/v1/models")
            """
        )
        incomplete = pytester.runpytest_inprocess("-W", "error:not recorded:UserWarning")
        unused = pytester.runpytest_inprocess("--emulator-record=none", "-k", "unused")
    incomplete.assert_outcomes(passed=3, errors=2)
    warned, failed = (
        "E * UserWarning: not recorded: openai GET /v1/nothing: there is no such documented endpoint.",
        "not recorded: *test-full cannot be written: *",
    )
    incomplete.stdout.fnmatch_lines_random([warned, failed])
    unused.assert_outcomes(passed=1, errors=1, deselected=2)
    unused.stdout.fnmatch_lines(["1 of 1 rule never answered:"])
