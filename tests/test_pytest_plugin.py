"""The fixtures `emulator` and `emulator_faults`, seen from a project that has the emulator installed."""

import subprocess
import sys
from xml.etree import ElementTree

import pytest
from runner import only_plugins

import emulator.control.http
import emulator.pytest_plugin.fixture

LOADED = (emulator.control.http, emulator.pytest_plugin.fixture)
"""What runs in this process need is loaded once for all of them."""
pytest_plugins = ["pytester"]
pytestmark = pytest.mark.timeout(300)

ASK = """
import json
import os
from urllib.error import HTTPError
from urllib.request import Request, urlopen

def post(base_url, prompt="Hi", key="k", **body):
    model = "gpt-4o-mini" if "/openai/" in base_url else "deepseek-v3"
    body = json.dumps({"model": model, "messages": [{"role": "user", "content": prompt}], **body}).encode()
    headers = {"authorization": f"Bearer {key}", "content-type": "application/json"}
    try:
        with urlopen(Request(base_url + "/chat/completions", body, headers)) as response:
            return response.status, json.load(response)
    except HTTPError as error:
        return error.code, json.load(error)

def ask(emulator, prompt="Hi", origin=None, **body):
    status, answer = post((f"{origin}/serevix" if origin else emulator.url("serevix")) + "/v1", prompt, **body)
    return answer["choices"][0]["message"]["content"] if status == 200 else status
"""


@pytest.fixture
def project(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """A project of its own, with nothing but the plugin."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    monkeypatch.setenv("PYTEST_ADDOPTS", "-p emulator.pytest_plugin")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    pytester.makepyfile(ask=ASK)
    return pytester


def run(project: pytest.Pytester, *arguments: str, is_apart: bool = False) -> pytest.RunResult:
    """Run the project's tests; in this process, where all that they need is loaded, unless they are to be apart."""
    start = project.runpytest_subprocess if is_apart else project.runpytest_inprocess
    return start("--strict-markers", "-p", "no:cacheprovider", *arguments)


def said(result: pytest.RunResult) -> str:
    return result.stdout.str()


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

            @pytest.mark.emulator(faults=[503])
            def test_both(self, emulator):
                assert ask(emulator) == 503
                emulator.assert_called(1, rule="rules[0]", status=503)

        @pytest.mark.emulator(scenario="hello.yaml")
        def test_a_file(emulator):
            assert ask(emulator) == "from a file"

        @pytest.mark.emulator(scenario="incidents/deepseek_busy")
        def test_one_that_is_shipped(emulator):
            assert emulator.rules_used()

        @pytest.mark.emulator(seed=7)
        def test_a_seed(emulator):
            first = ask(emulator)
            with_same_seed = emulator.namespace("other", {"unmatched": "generate"}, seed=7)
            assert ask(with_same_seed) == first
        """
    )
    project.makefile(".yaml", hello='{"version": 1, "rules": [{"reply": {"content": "from a file"}}]}')
    run(project).assert_outcomes(passed=8)


def test_a_scenario_is_looked_for_beside_the_test(project: pytest.Pytester) -> None:
    project.mkdir("deep")
    project.path.joinpath("deep", "hello.yaml").write_text("version: 1\nrules: [{reply: {content: beside}}]\n")
    project.path.joinpath("default.yaml").write_text("version: 1\nrules: [{reply: {content: default}}]\n")
    project.path.joinpath("deep", "test_deep.py").write_text(
        "import pytest\nfrom ask import ask\n"
        "@pytest.mark.emulator('hello.yaml')\ndef test_it(emulator): assert ask(emulator) == 'beside'\n"
        "def test_default(emulator): assert ask(emulator) == 'default'\n"
    )
    project.makeini("[pytest]\npythonpath = .\nemulator_scenario = default.yaml\n")
    run(project).assert_outcomes(passed=2)


WRONG = [
    ("'none.yaml'", "none.yaml: no such file"),
    ("scenaro={}", "the marker has no argument 'scenaro'. Did you mean 'scenario'?"),
    ("1", "scenario is 1; expected a path, or the scenario itself as a mapping."),
    ("{}, 2", "the marker takes one positional argument, the scenario, not 2"),
    ("faults=['rest']", "There is no fault 'rest'. Did you mean 'reset'?"),
    ("provider='serevx'", "There is no provider 'serevx'. Did you mean 'serevix'?"),
    ("strict='yes'", "strict is 'yes'; expected True or False."),
    ("unmatched='fail'", "unmatched is 'fail'. Allowed: generate, error."),
    ("{'rules': [{'reply': {'contents': 'x'}}]}", "scenario: rules[0].reply.contents is not a valid key"),
]


def test_a_wrong_marker_is_one_sentence(project: pytest.Pytester) -> None:
    tests = [
        f"@pytest.mark.emulator({marker})\ndef test_{place}(emulator): pass\n"
        for place, (marker, _) in enumerate(WRONG)
    ]
    project.makepyfile("\n".join(["import pytest", *tests]))
    result = run(project)
    result.assert_outcomes(errors=len(WRONG))
    for place, (_, sentence) in enumerate(WRONG):
        assert f"test_a_wrong_marker_is_one_sentence.py::test_{place}: {sentence}" in said(result)
    assert "Traceback" not in said(result)
    assert "Error:" not in said(result)


def test_each_test_has_a_namespace_on_one_server(project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD")  # the package registers the plugin by itself
    monkeypatch.setenv("PYTEST_ADDOPTS", only_plugins("emulator"))
    project.makepyfile(
        """
        import pytest
        from ask import ask

        seen = []

        @pytest.mark.parametrize("number", [1, 2, "a[b]/c d", "\\N{SNOWMAN}"])
        def test_alone(emulator, number):
            assert len(emulator.journal) == 0
            assert ask(emulator)
            assert len(emulator.journal) == 1
            assert ask(emulator, origin=f"http://{emulator.host}:{emulator.port}", key=emulator.key)
            assert len(emulator.journal) == 2
            seen.append(emulator)

        def test_one_server():
            assert len({each.port for each in seen}) == 1
            assert len({each.name for each in seen}) == 4
        """
    )
    run(project, is_apart=True).assert_outcomes(passed=5)


def test_a_test_that_closes_the_port_leaves_a_working_one(project: pytest.Pytester) -> None:
    project.makepyfile(
        """
        import pytest
        from ask import ask

        @pytest.mark.emulator(faults=["refuse_connections:seconds=600"])
        def test_refused(emulator):
            with pytest.raises(OSError):
                ask(emulator)
                ask(emulator)

        def test_after(emulator):
            assert ask(emulator)
        """
    )
    run(project).assert_outcomes(passed=2)


def test_clients_find_it_by_the_environment_and_nothing_real(project: pytest.Pytester) -> None:
    project.makepyfile(
        """
        import os
        import pytest
        from ask import post

        def test_default(emulator):
            emulator.rule(reply="here")
            assert post(os.environ["OPENAI_BASE_URL"])[1]["choices"][0]["message"]["content"] == "here"
            assert os.environ["OPENAI_BASE_URL"] == emulator.base_url == emulator.url("openai") + "/v1"
            assert "sk-real" not in os.environ.values()
            for name, value in os.environ.items():
                if name.endswith(("_BASE_URL", "_API_BASE")):
                    assert value.startswith(emulator.origin), name

        @pytest.mark.emulator(provider="deepseek")
        def test_alone(emulator):
            emulator.rule(reply="deep")
            answer = post(os.environ["OPENAI_BASE_URL"], model="deepseek-v4-flash")[1]
            assert answer["choices"][0]["message"]["content"] == "deep"
            assert emulator.last.place[0] == "deepseek"
            for name, value in os.environ.items():
                if name.endswith(("_BASE_URL", "_API_BASE")):
                    assert value.startswith(emulator.origin), name

        def test_after():
            assert os.environ["OPENAI_API_KEY"] == "sk-real"
        """
    )
    names = ("OPENAI", "ANTHROPIC", "DEEPSEEK", "MISTRAL", "GEMINI")
    with pytest.MonkeyPatch.context() as patch:
        for name in names:
            patch.setenv(f"{name}_API_KEY", "sk-real")
            patch.setenv(f"{name}_BASE_URL", "https://real.example.com")
        run(project, "-p", "no:randomly").assert_outcomes(passed=3)


def test_rules_in_a_test(project: pytest.Pytester) -> None:
    project.makepyfile(
        """
        import asyncio
        import json
        import pytest
        from ask import ask
        from emulator.reply import ErrorReply, Reply

        def shout(request):
            return request.prompt.upper()

        async def later(request):
            await asyncio.sleep(0)
            return {"content": f"{{{{ {request.model}", "finish_reason": "length"}

        class Counts:
            calls = 0
            def __call__(self, request):
                self.calls += 1
                return Reply(content=f"call {self.calls}")

        def test_all_forms(emulator):
            emulator.rule("text", reply="a text")
            emulator.rule("shout", reply=shout)
            emulator.rule("later", reply=later)
            emulator.rule("counts", reply=Counts())
            emulator.rule({"match": {"prompt": "exact"}, "reply": {"content": "as in a file"}})
            emulator.rule("flaky", replies=[429, {"error": "overloaded"}, lambda request: ErrorReply(status=409), "up"])
            emulator.rule(prompt={"regex": "^tool"}, reply={"tool_calls": [{"name": "f", "arguments": {"a": 1}}]})
            prompts = ["text", "shout", "later", "counts", "counts", "exact", *["flaky"] * 4, "tool"]
            assert [ask(emulator, prompt) for prompt in prompts] == [
                "a text", "SHOUT", "{{ deepseek-v3", "call 1", "call 2", "as in a file", 429, 503, 409, "up", ""
            ]
            emulator.assert_all_rules_used()
            called = emulator.last.response.json["choices"][0]["message"]["tool_calls"][0]["function"]
            assert (called["name"], json.loads(called["arguments"])) == ("f", {"a": 1})

        def test_the_loop_of_an_async_test(emulator):
            async def main():
                gate = asyncio.Event()

                async def answer(request):
                    await gate.wait()
                    return "open"

                emulator.rule("gate", reply=answer)
                asked = asyncio.create_task(asyncio.to_thread(ask, emulator, "gate"))
                await asyncio.sleep(0.05)
                gate.set()
                assert await asked == "open"
                assert len(await emulator.wait_for_async(1)) == 1
                emulator.rule("blocked", reply=later)
                assert ask(emulator, "blocked") == "{{ deepseek-v3"  # the loop cannot run it meanwhile
            asyncio.run(main())

        def test_the_newest_comes_first(emulator):
            emulator.rule(reply="old")
            emulator.rule(reply="new", times=1)
            assert [ask(emulator), ask(emulator)] == ["new", "old"]
        """
    )
    run(project).assert_outcomes(passed=3)


def test_wrong_rules_and_replies_say_what_would_do(project: pytest.Pytester) -> None:
    project.makepyfile(
        """
        import pytest
        from ask import ask, post
        from emulator import ScenarioError, UsageError

        def test_rules(emulator):
            with pytest.raises(UsageError, match="rule\\\\(\\\\) has no argument 'promt'. Did you mean 'prompt'?"):
                emulator.rule(promt="x", reply="y")
            with pytest.raises(ScenarioError, match="reply.contnt is not a valid key. Did you mean 'content'?"):
                emulator.rule(reply={"contnt": "y"})
            with pytest.raises(ScenarioError, match="needs exactly one of reply, error and replies"):
                emulator.rule("x")

        @pytest.mark.parametrize("reply", [3.5, None, {"contnt": "x"}])
        def test_replies(emulator, reply):
            emulator.rule("odd", reply=lambda request: reply)
            status, body = post(emulator.url("serevix") + "/v1", "odd")
            assert status == 500
            assert body["error"]["message"].startswith("test_wrong_rules_and_replies_say_what_would_do.py:")
            assert "rule 'odd'" in body["error"]["message"]

        def test_raises(emulator):
            def answer(request):
                assert request.prompt == "other", "what the function says"
            emulator.rule(reply=answer)
            assert ask(emulator, "this") == 500
        """
    )
    result = run(project, "-p", "no:randomly")
    result.assert_outcomes(passed=5, errors=4)
    result.stdout.fnmatch_lines(
        ["*returned float; expected a text, a mapping*", "*AssertionError: what the function says*"]
    )


def test_assertions_say_what_came_instead(project: pytest.Pytester) -> None:
    project.makepyfile(
        """
        import pytest
        from ask import ask

        def rule(name, city, content):
            return {"name": name, "match": {"prompt": {"contains": city}}, "reply": {"content": content}}

        RULES = {"rules": [rule("paris", "Paris", "Sunny."), rule("rome", "Rome", "Rain.")]}

        def message(claim, *arguments, **options):
            with pytest.raises(AssertionError) as caught:
                claim(*arguments, **options)
            return str(caught.value)

        @pytest.mark.emulator(RULES)
        def test_it(emulator):
            assert message(lambda: emulator.last) == "no request has arrived yet"
            assert message(emulator.assert_called) == "at least 1 request expected, none came"
            emulator.assert_not_called()
            ask(emulator, "Weather in Paris?", temperature=0.5)
            (exchange,) = emulator.assert_called(1, provider="serevix", prompt="Paris", rule="paris", status=200)
            assert exchange == emulator.last == emulator.wait_for(1)[0]
            emulator.assert_called(body_contains="Paris")
            emulator.assert_called(body_contains={"temperature": 0.5, "messages": [{"role": "user"}]})
            assert message(emulator.assert_called, 2, provider="deepseek", body_contains={"temprature": 0.5}) == (
                "2 requests with provider='deepseek', body_contains={'temprature': 0.5} expected, 0 of 1 fit:\\n"
                '    #1  serevix  deepseek-v3  "Weather in Paris?"  200 rule paris\\n'
                "        provider: 'serevix', expected 'deepseek'\\n"
                "        body.temprature: missing. Did you mean 'temperature'?"
            )
            assert message(emulator.assert_called, body_contains="paris").endswith(
                "body: does not contain 'paris'; it contains 'Paris'"
            )
            assert message(emulator.assert_all_rules_used).startswith("1 of 2 rules never answered:\\n    rome  (")
            assert emulator.assert_spend(max="0.01") > 0
            spent = message(emulator.assert_spend, max=0)
            assert spent.startswith("$0.0000") and "serevix  deepseek-v3  1 request  $0.0000" in spent
            assert message(emulator.wait_for, 2, timeout=0.1, rule="paris").startswith(
                "2 requests with rule='paris' expected within 0.1 s; these came:"
            )
            emulator.clear()
            assert emulator.journal == ()
            emulator.assert_not_called()
        """
    )
    run(project).assert_outcomes(passed=1)


def test_findings_about_the_client_fail_a_test(project: pytest.Pytester) -> None:
    project.makepyfile(
        """
        import pytest
        from ask import ask

        @pytest.mark.emulator(faults=["error:status=401,times=1"])
        def test_guilty(emulator):
            emulator.rule(reply="Hello!")
            assert [ask(emulator), ask(emulator)] == [401, "Hello!"]
            emulator.assert_no_findings()

        def test_innocent(emulator):
            emulator.rule(replies=["Hello!", "Bye!"])
            assert [ask(emulator, "Hi"), ask(emulator, "And now?")] == ["Hello!", "Bye!"]
            emulator.assert_no_findings()
        """
    )
    result = run(project, "-p", "no:randomly")
    result.assert_outcomes(passed=1, failed=1)
    assert "retried_non_retryable" in said(result)
    assert "401" in said(result)


STRICT = """
import pytest
from ask import ask

RULES = {"rules": [{"name": "weather", "match": {"prompt": {"contains": "weather"}}, "reply": {"content": "Sunny."}}]}

@pytest.mark.emulator(RULES, strict=True)
def test_strict(emulator):
    assert ask(emulator, "What time is it?") == 404

@pytest.mark.emulator(strict=True)
def test_strict_without_rules(emulator):
    assert ask(emulator, "Anything") == 404

@pytest.mark.emulator(RULES)
def test_by_default(emulator):
    assert ask(emulator, "Hello?") == 404

def test_generated(emulator):
    assert ask(emulator, "Hello?")

def test_once_there_are_rules(emulator):
    emulator.rule("one", reply="1")
    assert ask(emulator, "two") == 404

@pytest.mark.emulator(RULES, strict=False)
def test_allowed(emulator):
    assert ask(emulator, "Hello?") == 404

def test_wrong_path(emulator):
    from urllib.request import urlopen
    from urllib.error import HTTPError
    with pytest.raises(HTTPError):
        urlopen(emulator.url("serevix") + "/v2/chat")

@pytest.mark.emulator(RULES)
def test_fails_by_itself(emulator):
    assert ask(emulator, "weather") == "Sunny."
    assert ask(emulator, "Hello?") == "Hi!"
"""


def test_an_unmatched_request_fails_at_teardown(project: pytest.Pytester) -> None:
    project.makepyfile(STRICT)
    result = run(project, "-p", "no:randomly")
    result.assert_outcomes(passed=7, errors=5, failed=1)
    text = said(result)
    assert "1 request matched no rule:" in text
    assert '#1  serevix  deepseek-v3  "What time is it?"  404 unmatched' in text
    assert "rule weather: prompt 'What time is it?' does not contain 'weather'" in text
    assert "To allow this: @pytest.mark.emulator(strict=False)" in text
    assert "ERROR at teardown of test_fails_by_itself" not in text


def test_the_report_of_a_failed_test_holds_the_journal(project: pytest.Pytester) -> None:
    project.makepyfile(STRICT)
    result = run(project, "-k", "test_fails_by_itself")
    result.stdout.fnmatch_lines(
        [
            "*- emulator -*",
            "2 requests:",
            '  #1  serevix  deepseek-v3  "weather"  200 rule weather',
            '  #2  serevix  deepseek-v3  "Hello?"   404 unmatched',
            "      rule weather: prompt 'Hello?' does not contain 'weather'",
        ]
    )


def test_the_report_of_a_failed_test_says_that_nothing_came(project: pytest.Pytester) -> None:
    project.makepyfile("def test_nothing(emulator):\n    assert not emulator.origin")
    run(project).stdout.fnmatch_lines(["*- emulator -*", "no request reached http://127.0.0.1:*/@test*"])


def test_a_setting_lets_unmatched_requests_pass(project: pytest.Pytester) -> None:
    project.makepyfile(STRICT)
    project.makeini("[pytest]\nemulator_unmatched = ignore\n")
    run(project).assert_outcomes(passed=7, errors=2, failed=1)


def test_a_wrong_setting_is_one_sentence(project: pytest.Pytester) -> None:
    project.makeini("[pytest]\nemulator_unmatched = never\n")
    result = run(project)
    assert "ERROR: The setting emulator_unmatched is 'never': give fail or ignore." in result.stderr.str()
    result = run(project, "--emulator-faults-report=table.txt", "-o", "emulator_unmatched=fail")
    assert "--emulator-faults-report table.txt: expected a file that ends in .md or .xml." in result.stderr.str()


FAULTS = """
import pytest
from ask import post

@pytest.mark.emulator(scenario={"rules": [{"reply": {"content": "All of it."}}]})
@pytest.mark.emulator_faults("error:status=429,times=1", "truncated_json", {"kind": "unknown_fields"},
                             providers=["openai", "serevix"])
def test_client(emulator_faults):
    for attempt in range(3):
        status, answer = post(emulator_faults.base_url)
        if status == 200:
            break
    assert answer["choices"][0]["message"]["content"] == "All of it."
    if emulator_faults.provider == "serevix" and emulator_faults.fault == "unknown_fields":
        pytest.skip("not there")
"""


def test_a_test_runs_once_for_each_fault_and_provider(project: pytest.Pytester) -> None:
    project.makepyfile(FAULTS)
    result = run(project, "-p", "no:randomly", "--emulator-faults-report=t.md", "--emulator-faults-report=t.xml")
    result.assert_outcomes(passed=3, failed=2, skipped=1)
    name = "test_a_test_runs_once_for_each_fault_and_provider.py::test_client"
    result.stdout.fnmatch_lines(
        [
            "*= your client x fault =*",
            name,
            "  fault                     openai  serevix",
            "  error:status=429,times=1  pass    pass",
            "  truncated_json            FAIL    FAIL",
            "  unknown_fields            pass    skip",
            "  3 of 6 passed",
            "  truncated_json, openai: json.decoder.JSONDecodeError*",
            "  truncated_json, serevix: json.decoder.JSONDecodeError*",
            "  unknown_fields, serevix: not there",
        ],
        consecutive=True,
    )
    markdown = project.path.joinpath("t.md").read_text()
    assert f"## `{name}`" in markdown
    assert "| `truncated_json` | ❌ **fail** | ❌ **fail** |" in markdown
    root = ElementTree.parse(project.path / "t.xml").getroot()
    suites = [(each.get("name"), each.get("tests"), each.get("failures"), each.get("skipped")) for each in root]
    assert suites == [(f"{name} × openai", "3", "1", "0"), (f"{name} × serevix", "3", "1", "1")]


def test_the_faults_can_be_chosen_elsewhere(project: pytest.Pytester) -> None:
    project.makepyfile(FAULTS)
    run(project, "--emulator-faults=unknown_fields;usage").assert_outcomes(passed=3, skipped=1)
    project.makepyfile(
        "import pytest\nfrom ask import post\n"
        "@pytest.mark.emulator(faults=[503, 'usage'], provider='deepseek')\n"
        "def test_of_the_other_marker(emulator_faults):\n"
        "    status, _ = post(emulator_faults.base_url, model='deepseek-v4-flash')\n"
        "    assert status == {'503': 503, 'usage': 200}[emulator_faults.fault]\n"
        "    assert emulator_faults.last.place[0] == 'deepseek'\n"
    )
    run(project).assert_outcomes(passed=2)
    project.makepyfile("def test_usual(emulator_faults): assert emulator_faults.fault\n")
    result = run(project, "--collect-only", "-q")
    assert said(result).count("::test_usual[") == 14


def test_wrong_faults_are_one_sentence(project: pytest.Pytester) -> None:
    project.makepyfile("def test_it(emulator_faults): pass\n")
    result = run(project, "--emulator-faults=rest")
    result.assert_outcomes(errors=1)
    assert "There is no fault 'rest'. Did you mean 'reset'?" in said(result)
    assert "Traceback" not in said(result)


@pytest.mark.long
@pytest.mark.parametrize(
    ("count", "workers"), [(40, "2"), pytest.param(400, "8", marks=pytest.mark.soak)], ids=["small", "whole"]
)
def test_tests_in_parallel_and_in_any_order_never_cross(
    project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, count: int, workers: str
) -> None:
    monkeypatch.delenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD")  # xdist and the random order are those of this checkout
    monkeypatch.setenv("PYTEST_ADDOPTS", only_plugins("emulator", "xdist", "xdist.looponfail", "randomly"))
    project.makepyfile(crossing(count))
    result = run(project, "-n", workers, "--emulator-faults-report=t.xml", is_apart=True)
    result.assert_outcomes(passed=count + 2)
    root = ElementTree.parse(project.path / "t.xml").getroot()
    assert [each.get("tests") for each in root] == ["2"]


def crossing(count: int) -> str:
    """A suite in which each test counts its own attempts, journal and state."""
    return f"""
import threading
import pytest
from ask import ask, post

@pytest.mark.parametrize("number", range({count}))
def test_alone(emulator, number):
    emulator.rule("count", replies=[f"{{number}} first", f"{{number}} second", 429], then="repeat_last")
    emulator.rule("mine", reply=lambda request: f"{{request.prompt}} for {{number}}")
    assert ask(emulator, "count") == f"{{number}} first"
    said = []
    threads = [threading.Thread(target=lambda: said.append(ask(emulator, "mine"))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert said == [f"mine for {{number}}"] * 3
    assert ask(emulator, "count") == f"{{number}} second"
    assert ask(emulator, "count") == 429
    emulator.assert_called(6)
    emulator.assert_all_rules_used()

@pytest.mark.emulator_faults("usage", "unknown_fields")
def test_table(emulator_faults):
    assert post(emulator_faults.base_url)[0] == 200
"""


def test_the_markers_are_listed(project: pytest.Pytester) -> None:
    listed = said(project.runpytest_subprocess("--markers"))
    assert (
        "@pytest.mark.emulator(scenario=None, *, faults=(), provider=None, strict=None, record=None, **options): "
        in listed
    )
    assert "@pytest.mark.emulator_faults(*faults, providers=()): runs the test" in listed


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


def test_pytest_does_not_compile_the_emulator_anew(project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD")
    monkeypatch.setenv("PYTEST_ADDOPTS", only_plugins("emulator"))
    project.makepyfile(
        """
        import sys

        def test_it(emulator):
            loaders = {name: type(module.__loader__).__name__ for name, module in sys.modules.items()
                       if name.startswith("emulator.") and not name.startswith("emulator.pytest_plugin")}
            assert len(loaders) > 50
            assert set(loaders.values()) == {"SourceFileLoader"}
            assert type(sys.modules[__name__].__loader__).__name__ == "AssertionRewritingHook"
        """
    )
    run(project, is_apart=True).assert_outcomes(passed=1)


def test_importing_the_plugin_loads_nothing_heavy() -> None:
    code = f"import emulator.pytest_plugin, sys; print([name for name in {HEAVY!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=True)
    assert done.stdout == "[]\n"
