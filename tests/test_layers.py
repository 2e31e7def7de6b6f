"""Vendor, dialect and operation are separate: each name is used where it belongs, and nowhere else."""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from tables import each_of

import emulator
from emulator.faults import FAULTS
from emulator.providers import PROVIDERS

CODE = Path(emulator.__file__).parent
FILES = {str(path.relative_to(CODE)): path.read_text() for path in sorted(CODE.rglob("*.py"))}
IMPORTED = {name: set(re.findall(r"from (\S+) import", text)) for name, text in FILES.items()}
"""The modules from which each file takes something."""
VENDORS = ("openai", "anthropic", "claude", "gemini", "google", "azure")
"""Names that no provider here has, or not yet."""
NAMED = re.compile("|".join([*PROVIDERS, *VENDORS]), re.IGNORECASE)
OF_TOKENS = ("tokens.py", "generation/languages.py")
"""They are about the tokens of one vendor's models."""
EXAMPLES = (
    "client.py",
    "cli/app.py",
    "dashboard/__init__.py",  # the models in its examples
    "cli/doctor.py",  # the variables that clients read
    "cli/init.py",
    "cli/scenarios.py",
    "cli/providers.py",
    "cli/run.py",
    "cli/serving.py",
    "embedded.py",
    "interception/environment.py",  # the variables that clients read
    "logs.py",
    "resources.py",
)
"""Their help and documentation show how clients reach a provider."""
PROGRAMMES = ("exam/", "pytest_plugin/", "cli/exam.py")
"""They run clients through faults by name, and point them at providers by the variables that they read."""
GOOGLE_S = ("dialects/generate_content", "dialects/embed_content")
"""Dialects of one vendor alone, whose JSON, schemas and signatures are that vendor's."""
CITATION = "\nCHECK = Check("
"""What follows it in a finding cites the rule from its source, which may be a vendor's document."""
MEMBERS = ("summaries", "native_finish_reason", "search_web", "token_info", "model_response", "completion_tokens")
WIRE_WORDS = (
    "finish_reason",
    "error",
    "usage",
    "gzip",
    "split",
    "close",
    "reset",
    "latency",
    "comments",
    "truncate",
    "spend_limit",
)
"""Kinds of faults that are words of HTTP, of a dialect, of a recording or of the language too."""


def identifiers(text: str) -> Iterator[str]:
    """Every name in a file: what is read, written, passed or defined."""
    for node in ast.walk(ast.parse(text)):
        match node:
            case ast.Name(id=name) | ast.Attribute(attr=name) | ast.arg(arg=name) | ast.keyword(arg=str(name)):
                yield name
            case ast.FunctionDef(name=name) | ast.ClassDef(name=name) | ast.alias(name=name):
                yield name


@cache
def literals(text: str) -> frozenset[str]:
    """Every text in a file."""
    nodes = ast.walk(ast.parse(text))
    return frozenset([node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)])


def test_a_dialect_names_no_vendor() -> None:
    own = [name for name in FILES if name.startswith("dialects/") and not name.startswith(GOOGLE_S)]
    assert {name: found for name in own if (found := NAMED.findall(FILES[name]))} == {}


def test_a_vendor_is_named_in_its_own_files_only() -> None:
    texts = {name: text for name, text in FILES.items() if not name.startswith(("providers/", *PROGRAMMES, *GOOGLE_S))}
    for name in (*OF_TOKENS, *EXAMPLES):
        del texts[name]
    for name in texts:
        if name.startswith("verdict/findings/"):
            texts[name] = texts[name].partition(CITATION)[0]
    assert {name: found for name, text in texts.items() if (found := NAMED.findall(text))} == {}


def test_members_of_one_wire_are_no_names_elsewhere() -> None:
    others = [name for name in FILES if not name.startswith(("providers/", "dialects/", "scenario"))]
    assert {name: found for name in others if (found := sorted(set(identifiers(FILES[name])) & {*MEMBERS}))} == {}


def test_the_members_are_still_there_to_be_kept_apart() -> None:
    everywhere = "\n".join(FILES.values())
    assert [member for member in MEMBERS if member not in everywhere] == []


@each_of("kind", [kind for kind in FAULTS if kind not in WIRE_WORDS])
def test_the_kind_of_a_fault_stands_in_its_own_file_and_in_the_table(kind: str) -> None:
    module = FAULTS[kind].__module__
    own = module.removeprefix("emulator.").replace(".", "/") + ".py"
    allowed = (own, "faults/__init__.py")
    assert [name for name, text in FILES.items() if not _may_name(name, allowed) and kind in literals(text)] == []
    assert [name for name, modules in IMPORTED.items() if name not in allowed and module in modules] == []


def _may_name(name: str, allowed: tuple[str, ...]) -> bool:
    return name in allowed or name.startswith(PROGRAMMES)
