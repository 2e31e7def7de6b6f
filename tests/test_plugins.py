"""Providers from other packages: found, served, and rejected in one sentence if they are broken."""

import json
import re
import signal
import sys
import tomllib
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any, cast
from zipfile import ZipFile

import httpx
import pytest
from served import run, served
from talk import ordered, single

from emulator.errors import UsageError
from emulator.providers import PROVIDERS
from emulator.providers.base import Allowance, Provider, Remaining
from emulator.providers.plugins import with_plugins
from emulator.reply import ErrorReply

PAGE = Path(__file__).parent.parent / "docs" / "adding-a-provider.md"
BLOCKS = dict(re.findall(r"```(python|toml|yaml)\n(.*?)```", PAGE.read_text(), re.DOTALL))
VENDOR = """
from emulator.providers.base import Operation
from emulator.providers.deepseek_chat import DeepSeekDialect

class Vendor(DeepSeekDialect):
    name = "acme"
    title = "Acme LLM"
    hosts = ("llm.acme.example",)
    document = "none"
    operations = (Operation("chat", "POST", "/chat", "a chat completion"),)
    example = ("/chat", {"model": "m", "messages": [{"role": "user", "content": "Hi"}]})
"""
ADVICE = "Fix the package; or uninstall it: pip uninstall"


def installed(
    folder: Path, code: str, name: str = "acme-emulator", entry: str = "acme = acme_emulator:Vendor"
) -> dict[str, str]:
    """A folder that looks as if a distribution had been installed into it, as an environment."""
    module = name.replace("-", "_")
    (folder / f"{module}.py").write_text(code)
    information = folder / f"{module}-1.0.dist-info"
    information.mkdir()
    (information / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (information / "entry_points.txt").write_text(f"[emulator.providers]\n{entry}\n")
    return {"PYTHONPATH": str(folder)}


def documented(folder: Path) -> dict[str, str]:
    """The distribution that the page shows."""
    project = tomllib.loads(BLOCKS["toml"])["project"]
    ((name, value),) = project["entry-points"]["emulator.providers"].items()
    return installed(folder, BLOCKS["python"], project["name"], f"{name} = {value}")


ErrorSpec = Callable[..., str]


@pytest.fixture
def error_spec(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ErrorSpec]:
    """`refusal(code)` installs a distribution here and gives the sentence in which it is refused."""
    monkeypatch.syspath_prepend(tmp_path)

    def reported(code: str, entry: str = "acme = acme_emulator:Vendor") -> str:
        installed(tmp_path, code, entry=entry)
        with pytest.raises(UsageError) as refused:
            with_plugins(PROVIDERS)
        return str(refused.value)

    yield reported
    for module in ("acme_emulator", "another_acme"):
        sys.modules.pop(module, None)


class TestTheProviderThatThePageShows:
    def test_has_about_twenty_lines(self) -> None:
        assert len([line for line in BLOCKS["python"].splitlines() if line.strip()]) <= 25

    def test_is_listed_after_the_others(self, tmp_path: Path) -> None:
        code, output, errors = run("providers", "--json", environment=documented(tmp_path))
        assert (code, errors) == (0, "")
        assert list(json.loads(output)) == [*PROVIDERS, "acme"]

    @pytest.mark.parametrize("form", ["zip", "egg-info", "egg"])
    def test_is_found_however_it_is_installed(self, form: str, tmp_path: Path) -> None:
        environment = documented(tmp_path)
        information = next(tmp_path.glob("*.dist-info"))
        if form == "zip":
            with ZipFile(archive := tmp_path / "packages.zip", "w") as packages:
                for file in (*tmp_path.glob("*.py"), *information.iterdir()):
                    packages.write(file, file.relative_to(tmp_path))
            environment = {"PYTHONPATH": str(archive)}
        elif form == "egg-info":
            information.rename(information.with_suffix(".egg-info"))
        else:
            (egg := tmp_path / "acme-1.0.egg").mkdir()
            for file in tmp_path.glob("*.py"):
                file.rename(egg / file.name)
            (information / "METADATA").rename(information / "PKG-INFO")
            information.rename(egg / "EGG-INFO")
            environment = {"PYTHONPATH": str(egg)}
        code, output, errors = run("providers", "--json", environment=environment)
        assert (code, errors) == (0, "")
        assert list(json.loads(output)) == [*PROVIDERS, "acme"]

    def test_is_served_by_its_name_by_its_host_and_by_the_rules_of_a_file(self, tmp_path: Path) -> None:
        environment = documented(tmp_path)
        scenario = tmp_path / "acme.yaml"
        scenario.write_text(BLOCKS["yaml"] + "  - reply: {reasoning: Hm., content: Hello!, id: '1', created: 1}\n")
        with served("--scenario", str(scenario), "--speed", "max", environment=environment) as server:
            base = f"http://127.0.0.1:{server.port}"

            def ask(
                prompt: str, url: str = f"{base}/acme", model: str = "acme-large", **headers: str
            ) -> httpx.Response:
                body = {"model": model, "messages": [{"role": "user", "content": prompt}]}
                return single.post(
                    f"{url}/v2/chat/completions", json=body, headers={"authorization": "Bearer sk-test", **headers}
                )

            answers = [ask("Hi"), ask("Hi", base, host="llm.acme.example")]
            poor, wrong = ask("Who will pay?"), ask("Hi", model="gpt")
        assert [answer.status_code for answer in answers] == [200, 200]
        assert ordered(answers[0].json()) == ordered(
            {
                "id": "1",
                "object": "chat.completion",
                "created": 1,
                "model": "acme-large",
                "choices": [
                    {
                        "index": 0,
                        "message": {"role": "assistant", "content": "Hello!", "reasoning_content": "Hm."},
                        "logprobs": None,
                        "finish_reason": "stop",
                    }
                ],
                "usage": {
                    "prompt_tokens": 5,
                    "completion_tokens": 6,
                    "total_tokens": 11,
                    "prompt_tokens_details": {"cached_tokens": 0},
                    "completion_tokens_details": {"reasoning_tokens": 3},
                    "prompt_cache_hit_tokens": 0,
                    "prompt_cache_miss_tokens": 5,
                },
                "system_fingerprint": "fp_9954b31ca7_prod0820_fp8_kvcache_20260402",
            }
        )
        assert answers[1].content == answers[0].content
        assert (poor.status_code, poor.json()) == (
            403,
            {
                "error": {
                    "message": "Your Acme credits are used up",
                    "type": "billing_error",
                    "param": None,
                    "code": "no_credits",
                }
            },
        )
        assert (wrong.status_code, wrong.json()["error"]["message"]) == (400, "There is no model gpt")

    def test_can_be_served_alone(self, tmp_path: Path) -> None:
        with served("--provider", "acme", "--speed", "max", environment=documented(tmp_path)) as server:
            response = single.post(
                f"http://127.0.0.1:{server.port}/v2/chat/completions",
                json={"model": "acme-large", "messages": [{"role": "user", "content": "Hi"}]},
                headers={"authorization": "Bearer sk-test"},
            )
        assert response.status_code == 200

    def test_has_settings_that_a_file_may_give(self, tmp_path: Path) -> None:
        environment = documented(tmp_path)
        scenario = tmp_path / "acme.yaml"
        scenario.write_text('version: 1\nproviders:\n  acme: {price: {prompt: "1", completion: "1", cached: "1"}}\n')
        assert run("check", str(scenario), environment=environment)[0] == 0
        scenario.write_text("version: 1\nproviders:\n  acme: {prise: null}\n")
        code, out, _ = run("check", str(scenario), environment=environment)
        assert code != 0
        assert "Did you mean 'price'?" in out


PLUGIN = """
from emulator.providers.base import Operation
from emulator.providers.deepseek_chat import DeepSeekDialect

class Vendor(DeepSeekDialect):
    name = "acme"
    title = "Acme LLM"
    hosts = ("llm.acme.example",)
    document = "none"
    auth_header = "x-acme-key: demo"
    operations = (Operation("converse", "POST", "/converse", "a completion"),)
    example = ("/converse", {"model": "m", "messages": [{"role": "user", "content": "Hi"}]})

    def credential(self, headers):
        return headers.get("x-acme-key") or headers.get("x-acme-session")
"""


@pytest.mark.parametrize("header", ["x-acme-key", "x-acme-session"])
def test_a_provider_with_a_header_and_an_operation_of_its_own_is_matched_and_its_key_is_not_shown(
    tmp_path: Path, header: str
) -> None:
    environment = installed(tmp_path, PLUGIN)
    scenario = tmp_path / "acme.yaml"
    scenario.write_text("version: 1\nrules:\n  - match: {provider: acme}\n    reply: {content: From the rule.}\n")
    options = ("--scenario", str(scenario), "--strict", "--speed", "max", "--log", "json")
    with served(*options, environment=environment) as server:
        response = single.post(
            f"http://127.0.0.1:{server.port}/acme/converse?session=sk-canary",
            json={"model": "m", "messages": [{"role": "user", "content": "Hi"}]},
            headers={header: "sk-canary", "x-other": "kept"},
        )
        line = json.loads(server.lines('"provider"')[-1])
    assert response.json()["choices"][0]["message"]["content"] == "From the rule."
    assert "sk-canary" not in json.dumps(line)
    assert (line["headers"][header], line["headers"]["x-other"]) == ("[redacted]", "kept")
    assert (line["query"], line["rule"], line["operation"]) == ("session=[redacted]", "rules[0]", "converse")


class TestABrokenDistributionIsRefusedInOneSentenceThatNamesIt:
    def test_when_its_module_fails(self, error_spec: ErrorSpec) -> None:
        assert error_spec("import acme_llm") == (
            "The provider 'acme' of the package acme-emulator 1.0 can't be used: loading acme_emulator:Vendor "
            f"failed: ModuleNotFoundError: No module named 'acme_llm'. {ADVICE} acme-emulator."
        )

    def test_when_there_is_no_such_class(self, error_spec: ErrorSpec) -> None:
        assert error_spec("") == (
            "The provider 'acme' of the package acme-emulator 1.0 can't be used: loading acme_emulator:Vendor "
            f"failed: AttributeError: module 'acme_emulator' has no attribute 'Vendor'. {ADVICE} acme-emulator."
        )

    def test_when_it_is_no_provider(self, error_spec: ErrorSpec) -> None:
        assert error_spec("Vendor = 1") == (
            "The provider 'acme' of the package acme-emulator 1.0 can't be used: acme_emulator:Vendor is 1; "
            f"expected a subclass of emulator.providers.base.Provider. {ADVICE} acme-emulator."
        )

    @pytest.mark.parametrize(
        ("change", "reason"),
        [
            (("    title", "    label"), "Vendor does not state title"),
            (('name = "acme"', 'name = "other"'), "Vendor.name is 'other', but must be the name of its entry point"),
            (
                ('name = "acme"', "name = 1 / 0"),
                "loading acme_emulator:Vendor failed: ZeroDivisionError: division by zero",
            ),
            (
                ("llm.acme.example", "api.deepseek.com"),
                "its host api.deepseek.com is already taken, by the provider 'deepseek'",
            ),
            (
                ('document = "none"', 'document = "none"; errors = {}'),
                "Vendor.errors has no unauthorized, forbidden, ",
            ),
            (
                ("    title", "    def __init__(self): raise ValueError('no')\n    title"),
                "Vendor() failed: ValueError: no",
            ),
        ],
        ids=["title", "name", "body", "host", "errors", "init"],
    )
    def test_when_it_states_what_cannot_be(self, error_spec: ErrorSpec, change: tuple[str, str], reason: str) -> None:
        assert reason in error_spec(VENDOR.replace(*change))

    @pytest.mark.parametrize("name", ["Acme", "a/b", "__emulator", "@acme", "acme-"])
    def test_when_its_name_cannot_stand_in_a_url(self, error_spec: ErrorSpec, name: str) -> None:
        reported = error_spec(VENDOR.replace('"acme"', f'"{name}"'), f"{name} = acme_emulator:Vendor")
        assert f"'{name}'" in reported
        assert "a name may contain only lowercase letters and digits, with '-' or '_' between them" in reported

    def test_when_the_emulator_has_a_provider_of_that_name(self, error_spec: ErrorSpec) -> None:
        reported = error_spec(VENDOR.replace('"acme"', '"nadles"'), "nadles = acme_emulator:Vendor")
        assert reported == (
            "The provider 'nadles' of the package acme-emulator 1.0 can't be used: its name is already taken, by "
            f"the emulator itself. {ADVICE} acme-emulator."
        )

    def test_when_another_distribution_has_a_provider_of_that_name(self, tmp_path: Path, error_spec: ErrorSpec) -> None:
        installed(tmp_path, VENDOR, name="another-acme", entry="acme = another_acme:Vendor")
        assert error_spec(VENDOR) == (
            "The provider 'acme' of the package another-acme 1.0 can't be used: its name is already taken, by "
            f"acme-emulator 1.0. {ADVICE} another-acme."
        )

    @pytest.mark.parametrize("command", [["serve", "--port", "0"], ["providers"]], ids=["serve", "providers"])
    def test_by_every_command(self, command: list[str], tmp_path: Path) -> None:
        assert run(*command, environment=installed(tmp_path, "import acme_llm")) == (
            2,
            "",
            "The provider 'acme' of the package acme-emulator 1.0 can't be used: loading acme_emulator:Vendor "
            f"failed: ModuleNotFoundError: No module named 'acme_llm'. {ADVICE} acme-emulator.\n",
        )


def test_a_broken_distribution_does_not_stand_in_the_way_of_help(tmp_path: Path) -> None:
    code, output, errors = run("serve", "--help", environment=installed(tmp_path, "import acme_llm"))
    assert (code, errors) == (0, "")
    assert output.startswith("Usage: ")


FAULT = """
from typing import ClassVar, Literal
from emulator.faults.base import Fault
from emulator.faults.steps import need_stream, edited

class Shout(Fault):
    family: ClassVar = "content"
    effect: ClassVar = "Every text in capitals."
    tests: ClassVar = "Nothing is compared by case."
    kind: Literal["shout"] = "shout"
    marks: int = 1
    '''How many marks follow each text.'''

    def transform_steps(self, steps, context):
        def shout(native):
            for place in context.dialect.places(native, "content"):
                if place.value:
                    place.put(place.value.upper() + "!" * self.marks)
        need_stream(context)
        return edited(steps, shout, context)
"""
SENTENCES = """
from emulator.dialects.base import Dialect, Place
from emulator.providers.base import ErrorSpec, Operation, Provider
from emulator.providers.deepseek_chat import DeepSeekDialect
from emulator.request import Controls, Message, ModelRequest
from emulator import tokens
import orjson

class Sentences(Dialect):
    dialect = "sentences"
    id_form = "say-{}"
    REASONS = {"stop": "said"}

    def parse(self, call, key):
        body = orjson.loads(call.body)
        return ModelRequest(call, "m", (Message("user", body["ask"]),), body.get("flow", False), Controls(), key, body)

    def body(self, completion, request):
        choice = completion.choices[0]
        return {"says": choice.content, "why": self.reason(choice), "spent": completion.usage.total}

    def stream(self, completion, request):
        choice = completion.choices[0]
        for text, count in zip(*(lambda p: (p.texts, p.counts))(tokens.pieces(choice.content)), strict=True):
            yield self.event("content", {"kind": "word", "says": text}, tokens=count)
        yield self.event("finish", {"kind": "end", "why": self.reason(choice)}, also=frozenset(["usage", "done"]))

    def event_name(self, native):
        return native["kind"]

    def places(self, native, *meanings):
        if "content" in meanings and "says" in native:
            yield Place(native, "says", "content")

class Vendor(Provider):
    name = "acme"
    title = "Acme LLM"
    hosts = ("llm.acme.example",)
    document = "none"
    auth_header = "x-acme-secret: s3cret"
    dialects = {"sentences": Sentences}
    operations = (Operation("say", "POST", "/say", "one sentence after another", dialect="sentences"),)
    example = ("/say", {"ask": "Hi"})
    errors = {name: ErrorSpec(row.status, row.message) for name, row in DeepSeekDialect.errors.items()}

    def credential(self, headers):
        return headers.get("x-acme-secret")

    def error_body(self, row, request_id):
        return {"wrong": row.message}
"""


def both(folder: Path) -> dict[str, str]:
    """A provider with a dialect of its own, and a fault, of two distributions."""
    installed(folder, SENTENCES)
    information = folder / "shout_fault-1.0.dist-info"
    (folder / "shout_fault.py").write_text(FAULT)
    information.mkdir()
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: shout-fault\nVersion: 1.0\n")
    (information / "entry_points.txt").write_text("[emulator.faults]\nshout = shout_fault:Shout\n")
    return {"PYTHONPATH": str(folder)}


class TestADialectAndAFaultOfOtherDistributions:
    def test_have_the_powers_of_the_emulators_own(self, tmp_path: Path) -> None:
        scenario = tmp_path / "s.yaml"
        scenario.write_text("version: 1\nrules:\n  - match: {prompt: Hi}\n    reply: {content: Hé you}\n")
        options = ("--scenario", str(scenario), "--speed", "max", "--log", "json")
        with served(*options, environment=both(tmp_path)) as server:
            base = f"http://127.0.0.1:{server.port}"

            def ask(fault: str = "", **members: object) -> str:
                headers = {"x-acme-secret": "sk-hidden", **({"x-emulator-fault": fault} if fault else {})}
                return single.post(f"{base}/acme/say", json={"ask": "Hi", **members}, headers=headers).text

            healthy = 'event: word\ndata: {"kind":"word","says":"%s"}\n\n'
            end = 'event: end\ndata: {"kind":"end","why":"said"}\n\n'
            said = "".join(healthy % piece for piece in ("H", "é", " you"))
            assert ask() == '{"says":"Hé you","why":"said","spent":8}'
            assert ask(flow=True) == said + end
            assert ask("shout", flow=True) == "".join(healthy % piece for piece in ("H!", "É!", " YOU!")) + end
            assert ask("shout:marks=2; truncate", flow=True) == "".join(
                healthy % piece for piece in ("H!!", "É!!", " YOU!!")
            )
            assert ask("no_done", flow=True) == said + end
            assert ask("overloaded") == json.dumps(
                {"wrong": PROVIDERS["deepseek"].errors["overloaded"].message}
            ).replace('": "', '":"')
            server.signal(signal.SIGTERM)
            _, printed, _ = server.finish()
        entries = [json.loads(line) for line in printed.splitlines() if line.startswith("{")]
        assert "sk-hidden" not in json.dumps(entries)
        assert {entry["headers"]["x-acme-secret"] for entry in entries} == {"[redacted]"}
        assert {entry["operation"] for entry in entries} == {"say"}
        (note,) = next(entry["notes"] for entry in entries if "no_done (header)" in entry["faults"])
        assert note.endswith("the event with the finish reason is the end: use truncate to remove both")

    def test_are_listed_with_their_parameters_and_in_the_schema(self, tmp_path: Path) -> None:
        environment = both(tmp_path)
        code, reported, _ = run("faults", "shout", environment=environment)
        assert (code, "Every text in capitals." in reported, "How many marks follow each text." in reported) == (
            0,
            True,
            True,
        )
        code, schema, _ = run("schema", environment=environment)
        assert (code, '"shout"' in schema) == (0, True)

    @pytest.mark.parametrize(
        ("change", "reason"),
        [
            (
                ('"content"', '"loud"'),
                "Shout.family is 'loud', but must be one of status, waiting, content, framing, connection",
            ),
            (("    tests:", "    tells:"), "Shout does not state tests"),
            (('Literal["shout"] = "shout"', 'str = "shout"'), 'Shout must declare kind: Literal["shout"] = "shout"'),
            (
                ("class Shout(Fault)", "Shout = 1\nclass Other(Fault)"),
                "is 1, not a subclass of emulator.faults.base.Fault",
            ),
        ],
        ids=["family", "facts", "kind", "class"],
    )
    def test_are_refused_when_they_cannot_be(self, tmp_path: Path, change: tuple[str, str], reason: str) -> None:
        environment = both(tmp_path)
        (tmp_path / "shout_fault.py").write_text(FAULT.replace(*change))
        code, output, errors = run("faults", environment=environment)
        assert (code, output) == (2, "")
        assert errors.startswith("The fault 'shout' of the package shout-fault 1.0 can't be used: ")
        assert reason in errors

    def test_are_refused_when_an_operation_speaks_what_nobody_does(self, error_spec: ErrorSpec) -> None:
        code = SENTENCES.replace('dialect="sentences"),)', 'dialect="words"),)')
        assert "Vendor has no dialect 'words' for /say: it speaks sentences" in error_spec(code)


def test_a_provider_that_only_names_its_limits_says_when_to_try_again() -> None:
    left = Allowance(Remaining(2, 0, 30), Remaining(9, 9, 0))
    asked = cast(Any, None)
    reply = Provider.over_limit(PROVIDERS["deepseek"](), asked, left, 29.5)
    assert reply == ErrorReply(name="rate_limited", headers={"retry-after": "30"})


@pytest.mark.parametrize(
    ("old", "new", "names"),
    [
        (
            "faults.base",
            "faults.steps",
            "delayed with_headers need_stream events edited repeated closed deltas",
        ),
        ("providers.deepseek_chat", "providers.deepseek_input", "DeepSeekBody DeepSeekMessage DeepSeekPart Thinking"),
        ("providers.deepseek_chat", "providers.deepseek_rules", "MAX_TOKENS complaint_of_format EFFORTS"),
        ("providers.deepseek_chat", "providers.deepseek_reading", "Misfit TOOL_CHOICES listed"),
        ("state.journal", "state.exchanges", "Exchange"),
        ("dialects.base", "dialects.wire_shape", "WireShape Event Place DONE"),
    ],
)
def test_what_has_moved_is_found_by_its_old_path(old: str, new: str, names: str) -> None:
    old_home, home = import_module(f"emulator.{old}"), import_module(f"emulator.{new}")
    for name in names.split():
        assert getattr(old_home, name) is getattr(home, name)
    with pytest.raises(AttributeError, match=f"module 'emulator.{old}' has no attribute 'nothing'"):
        old_home.nothing  # noqa: B018
