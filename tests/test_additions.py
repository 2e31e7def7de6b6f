"""What it costs to add something: one file each, and its row. Everything else follows from the tables.

A package outside of the emulator adds a provider, a fault and a condition that no file of the emulator knows.
"""

import json
import os
import subprocess
import sys
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import ClassVar, Literal

import httpx
import pytest
from served import ENVIRONMENT, run, served
from talk import single

from emulator.errors import UsageError
from emulator.faults.base import Family, Fault
from emulator.faults.plugins import complaint_of as complaint_of_fault
from emulator.faults.plugins import with_plugins as with_faults
from emulator.matching.conditions import Condition, MatchContext
from emulator.matching.conditions.plugins import brought
from emulator.matching.conditions.plugins import complaint_of as complaint_of_condition
from emulator.plugins import _may_bring

ROOT = Path(__file__).parent.parent
PROVIDER = """
from emulator.providers.base import Operation, Settings
from emulator.providers.deepseek_chat import DeepSeekDialect

class AcmeSettings(Settings):
    key_header: str = "x-acme-key"
    '''Where the key stands.'''

class Acme(DeepSeekDialect):
    Settings = AcmeSettings
    name = "acme"
    title = "Acme LLM"
    hosts = ("llm.acme.example",)
    document = "none"
    auth_header = "x-acme-key: demo"
    operations = (Operation("converse", "POST", "/converse", "a completion"),)
    example = ("/converse", {"model": "m", "messages": [{"role": "user", "content": "Hi"}]})

    def credential(self, headers):
        return headers.get(self.settings.key_header)
"""
FAULT = """
from typing import ClassVar, Literal
from emulator.faults.base import Fault

class Teapot(Fault):
    family: ClassVar = "status"
    effect: ClassVar = "The provider is a teapot."
    tests: ClassVar = "The client knows tea."
    kind: Literal["teapot"] = "teapot"
    cups: int = 2
    '''How many cups there are.'''

    def refuse(self, context):
        from emulator.reply import ErrorReply
        return ErrorReply(status=418, message=f"{self.cups} cups of tea")
"""
CONDITION = """
from emulator.matching.conditions.base import Condition

class Tenant(Condition[str]):
    '''The tenant in the header x-tenant.'''

    key = "tenant"
    value_type = str

    def holds(self, ask):
        return ask.request.http_request.headers.get("x-tenant") == self.value

    def mismatch(self, ask):
        return f"the tenant is {ask.request.http_request.headers.get('x-tenant')!r}, the rule expects {self.value!r}"
"""
ENTRIES = """
[emulator.providers]
acme = acme_provider:Acme
[emulator.faults]
teapot = acme_fault:Teapot
[emulator.conditions]
tenant = acme_condition:Tenant
"""
SCENARIO = """
version: 1
rules:
  - {name: ours, match: {provider: acme, tenant: us, prompt: {contains: Hi}}, reply: {content: Ours.}}
  - {name: theirs, match: {provider: acme, not: {tenant: us}, all_of: [{tenant: them}]}, reply: {content: Theirs.}}
"""


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """A folder with the package, as an environment."""
    information = tmp_path / "acme-1.0.dist-info"
    information.mkdir()
    for path, text in (
        (tmp_path / "acme_provider.py", PROVIDER),
        (tmp_path / "acme_fault.py", FAULT),
        (tmp_path / "acme_condition.py", CONDITION),
        (information / "METADATA", "Metadata-Version: 2.1\nName: acme\nVersion: 1.0\n"),
        (information / "entry_points.txt", ENTRIES),
        (tmp_path / "scenario.yaml", SCENARIO),
    ):
        path.write_text(text)
    return {"PYTHONPATH": os.pathsep.join([str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])])}


def printed(environment: dict[str, str], *command: str) -> str:
    whole = {**ENVIRONMENT, **environment}
    return subprocess.run(
        [sys.executable, *command], env=whole, cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout


PRINT_TABLES = """
import json, sys
sys.path.insert(0, "docs")
from tables import TABLES
print(json.dumps({name: "".join(table()) for name, table in TABLES.items()}))
"""


def test_the_schema_describes_all_three(environment: dict[str, str]) -> None:
    schema = json.loads(run("schema", environment=environment)[1])
    definitions = schema["$defs"]
    tenant = definitions["Match"]["properties"]["tenant"]
    assert tenant == {
        "anyOf": [{"type": "string"}, {"type": "null"}],
        "description": "The tenant in the header x-tenant.",
    }
    assert "acme" in definitions["ProviderSettings"]["properties"]
    assert definitions["Teapot"]["description"] == "The provider is a teapot.\n\nTests: The client knows tea."
    assert definitions["Teapot"]["properties"]["cups"]["description"] == "How many cups there are."


def test_the_tables_of_the_docs_have_a_row_for_each(environment: dict[str, str]) -> None:
    tables = json.loads(printed(environment, "-c", PRINT_TABLES))
    assert "| Acme LLM | `/acme` | llm.acme.example | `x-acme-key: demo` | `POST /converse` |" in tables["providers"]
    assert "`teapot`" in tables["kinds"]
    assert "| `teapot` | The provider is a teapot. | The client knows tea. | `cups` |" in tables["faults"]
    assert "| `tenant` | The tenant in the header x-tenant. |" in tables["match"]
    assert "| acme | `price` |" in tables["settings"]
    assert "| acme |" in tables["errors"].splitlines()[0]


def test_what_is_generated_is_found_stale(environment: dict[str, str]) -> None:
    whole = {**ENVIRONMENT, **environment}
    command = [sys.executable, "docs/tables.py", "--check"]
    checked = subprocess.run(command, env=whole, cwd=ROOT, capture_output=True, text=True, check=False)
    assert checked.returncode == 1
    for name in ("README.md", "docs/faults.md", "docs/providers.md", "docs/scenarios.md", "scenario.schema.json"):
        assert name in checked.stderr


def test_the_commands_know_all_three(environment: dict[str, str], tmp_path: Path) -> None:
    assert "Acme LLM" in run("providers", "acme", environment=environment)[1]
    assert "How many cups there are." in run("faults", "teapot", environment=environment)[1]
    assert run("check", str(tmp_path / "scenario.yaml"), environment=environment)[0] == 0
    (tmp_path / "wrong.yaml").write_text("version: 1\nrules:\n  - match: {tenat: us}\n    reply: {}\n")
    code, output, errors = run("check", str(tmp_path / "wrong.yaml"), environment=environment)
    assert code != 0
    assert "Did you mean 'tenant'?" in output + errors


def test_a_server_asks_them_and_explains_them(environment: dict[str, str], tmp_path: Path) -> None:
    options = ("--scenario", str(tmp_path / "scenario.yaml"), "--strict", "--speed", "max")
    with served(*options, environment=environment) as server:

        def ask(tenant: str, fault: str = "") -> httpx.Response:
            path, body = "/converse", {"model": "m", "messages": [{"role": "user", "content": "Hi"}]}
            headers = {"x-acme-key": "sk-1", "x-tenant": tenant}
            return single.post(f"http://127.0.0.1:{server.port}{fault}/acme{path}", json=body, headers=headers)

        answers = [ask(tenant).json()["choices"][0]["message"]["content"] for tenant in ("us", "them") * 3]
        unmatched, broken = ask("nobody"), ask("us", "/~teapot:cups=3")
    assert answers == ["Ours.", "Theirs."] * 3  # never from the cache of another tenant
    assert unmatched.status_code == 404
    assert "ours: the tenant is 'nobody', the rule expects 'us'" in unmatched.text
    assert (broken.status_code, broken.json()["error"]["message"]) == (418, "3 cups of tea")


def test_a_key_is_looked_for_where_the_namespace_of_the_request_has_it(environment: dict[str, str]) -> None:
    rules = [{"reply": {"content": "Hello."}}]
    scenario = {"version": 1, "providers": {"acme": {"key_header": "x-team-key"}}, "rules": rules}
    with served("--speed", "max", environment=environment) as server, httpx.Client(verify=False) as client:
        base = f"http://127.0.0.1:{server.port}"
        client.put(f"{base}/__emulator/namespaces/team", json={"scenario": scenario}).raise_for_status()

        def ask(headers: dict[str, str]) -> int:
            body = {"model": "m", "messages": [{"role": "user", "content": "Hi"}]}
            return client.post(f"{base}/@team/acme/converse", json=body, headers=headers).status_code

        known = [ask({"x-team-key": "sk-of-the-team"}) for _ in range(4)]  # also by the fast path
        others = [ask({"x-acme-key": "sk-other"}), ask({"x-team-key": "sk-fault-teapot"})]
        journal = client.get(f"{base}/@team/__emulator/journal/export?format=har").text
    assert (known, others) == ([200] * 4, [401, 418])
    assert "sk-of-the-team" not in journal


def test_the_default_scenario_answers_the_example_of_the_provider(environment: dict[str, str]) -> None:
    with served("--speed", "max", environment=environment) as server:
        base = f"http://127.0.0.1:{server.port}"
        body = {"model": "m", "messages": [{"role": "user", "content": "Hi"}]}
        shown = single.get(f"{base}/").text
        answer = single.post(f"{base}/acme/converse", json=body, headers={"x-acme-key": "demo"})
    assert "/acme" in shown
    assert answer.status_code == 200


SWEEPS = ("tests/faults/test_pairs.py", "tests/faults/test_status.py")
"""One over every fault, and one over every provider."""


def test_the_sweeps_take_them_up(environment: dict[str, str]) -> None:
    names = "EVERY_PROVIDER[-1], PATHS['acme'], KEYS['acme'], question('acme')['model']"
    code = f"from talk import EVERY_PROVIDER, KEYS, PATHS, question; print({names})"
    sweeps = {**environment, "PYTHONPATH": os.pathsep.join([str(ROOT / "tests"), environment["PYTHONPATH"]])}
    assert printed(sweeps, "-c", code).strip() == "acme /converse {'x-acme-key': 'demo'} m"
    found = printed(sweeps, "-m", "pytest", "--collect-only", "-q", "-n0", *SWEEPS, "-p", "no:cacheprovider")
    assert "teapot" in found
    assert "acme" in found


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (('key = "tenant"', 'key = "other"'), "Tenant.key is 'other', but must be the name of its entry point"),
        (("value_type = str", ""), "Tenant does not state value_type"),
        (("def mismatch", "def missing"), "Tenant does not state mismatch"),
        (
            ("value_type = str", "value_type = str; depends_on = 'all'"),
            "Tenant.depends_on is 'all'; expected one of class, body",
        ),
        (("(Condition[str])", ""), "expected a subclass of emulator.matching.conditions.base.Condition"),
    ],
)
def test_a_condition_that_cannot_be_used_is_refused_in_one_sentence(
    environment: dict[str, str], tmp_path: Path, change: tuple[str, str], reason: str
) -> None:
    (tmp_path / "acme_condition.py").write_text(CONDITION.replace(*change))
    code, output, errors = run("check", str(tmp_path / "scenario.yaml"), environment=environment)
    assert code == 2
    assert "The condition 'tenant' of the package acme 1.0 can't be used: " in output + errors
    assert reason in output + errors


class CapitalKind(Fault):
    family: ClassVar[Family] = "status"
    effect: ClassVar[str] = "None."
    tests: ClassVar[str] = "Nothing."
    kind: Literal["Teapot"] = "Teapot"


class OtherDefault(CapitalKind):
    kind: Literal["teapot"] = "kettle"  # type: ignore[assignment]  # the mistake that is refused


class Keyword(Condition[str]):
    """A condition with a name that Python has."""

    key = "class"
    value_type = str

    def holds(self, ask: MatchContext) -> bool:
        return False

    def mismatch(self, ask: MatchContext) -> str:
        return "never"


def entry(name: str, group: str = "") -> EntryPoint:
    return EntryPoint(name, "acme:Thing", group)


def test_a_name_that_nobody_could_write_is_refused() -> None:
    assert complaint_of_fault(CapitalKind, entry("Teapot")) == (
        "a kind may contain only lowercase letters, digits and '_'"
    )
    assert complaint_of_fault(OtherDefault, entry("teapot")) == (
        "OtherDefault.kind is 'kettle', but must be the name of its entry point"
    )
    assert complaint_of_condition(Keyword, entry("class")) == (
        "a key may contain only lowercase letters, digits and '_', and must not be a Python keyword"
    )


def test_a_name_that_is_taken_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    for noun, module, read, name, reason in (
        (
            "fault",
            "faults",
            lambda: with_faults({"reset": "emulator.faults.reset:Reset"}),
            "reset",
            "its kind is already taken, by the emulator itself",
        ),
        ("condition", "matching.conditions", lambda: brought(["prompt"]), "prompt", "its key is already taken"),
    ):
        monkeypatch.setattr(f"emulator.{module}.plugins.points", lambda group, name=name: [entry(name, group)])
        with pytest.raises(UsageError) as refused:
            read()
        sentence = f"The {noun} '{name}' of an unknown package can't be used: {reason}. Fix the package."
        assert str(refused.value) == sentence


def test_a_list_of_entry_points_that_cannot_be_read_may_name_plugins(tmp_path: Path) -> None:
    information = tmp_path / "acme-1.0.dist-info"
    information.mkdir()
    assert not _may_bring(str(tmp_path))
    (information / "entry_points.txt").mkdir()
    assert _may_bring(str(tmp_path))
