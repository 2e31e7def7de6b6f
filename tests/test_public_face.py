"""What `import emulator` offers: what it names is there, and nothing is loaded before it is asked for."""

import ast
import inspect
import subprocess
import sys
from importlib.metadata import version

import pytest

import emulator


def test_all_is_sorted_and_is_what_resolves() -> None:
    assert emulator.__all__ == sorted(emulator.__all__)
    assert {*emulator.__all__} == {*emulator._HOMES, "__version__"}
    assert [name for name in emulator.__all__ if getattr(emulator, name, None) is None] == []


def test_each_name_is_the_one_of_its_home() -> None:
    for name, home in emulator._HOMES.items():
        assert getattr(emulator, name).__module__ == home


def test_type_checkers_see_the_same_names() -> None:
    tree = ast.parse(inspect.getsource(emulator))
    (block,) = [node for node in tree.body if isinstance(node, ast.If)]
    imports = [node for node in block.body if isinstance(node, ast.ImportFrom) and node.module != "typing"]
    seen = {alias.name: node.module for node in imports for alias in node.names}
    assert seen == emulator._HOMES


def test_a_star_import_gives_all_of_it() -> None:
    names: dict[str, object] = {}
    exec("from emulator import *", names)
    assert {name for name in names if name != "__builtins__"} == {*emulator.__all__}


def test_a_name_that_there_is_not_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match=r"^module 'emulator' has no attribute 'Emulater'$"):
        _ = emulator.Emulater


def test_the_version_is_that_of_the_package() -> None:
    assert emulator.__version__ == version("llm-provider-emulator")


def test_importing_it_loads_nothing_else_of_it() -> None:
    code = "import emulator, sys; print(sorted(name for name in sys.modules if name.startswith('emulator')))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=True)
    assert done.stdout == "['emulator']\n"


def test_every_error_is_an_emulator_error() -> None:
    for name in ("BindError", "ScenarioError", "UsageError"):
        assert issubclass(getattr(emulator, name), emulator.EmulatorError)
