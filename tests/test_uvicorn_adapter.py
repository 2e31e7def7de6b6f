"""The internals of uvicorn that are used exist in the installed version."""

import inspect
import subprocess
import sys
from typing import Any, get_args

import pytest
from hostile import Http, Loop, Watched, ask
from rawhttp import Connection, eventually

from emulator.server.uvicorn_adapter import Cycle, Flow, UvicornProtocol


def named(declared: type[Any]) -> set[str]:
    """The attributes and methods that a class declares."""
    methods = {name for name, _ in inspect.getmembers(declared, inspect.isfunction) if not name.startswith("_")}
    return {*declared.__annotations__, *methods}


@pytest.mark.parametrize("http", get_args(Http))
@pytest.mark.parametrize("loop", get_args(Loop))
def test_every_attribute_that_is_used_is_there(http: Http, loop: Loop) -> None:
    on = Watched(http, loop)
    try:
        with Connection(on.port) as client:
            client.send(ask("slow", stream=True))
            client.read_until(b"data: ")
            (connection,) = on.state.connections
            assert connection.cycle is not None
            missing = {
                (kind.__name__, name)
                for kind, each in ((UvicornProtocol, connection), (Cycle, connection.cycle), (Flow, connection.flow))
                for name in named(kind)
                if not hasattr(each, name)
            }
            assert missing == set()
            assert {"cycle", "flow", "timeout_keep_alive_task", "server_state"} <= named(UvicornProtocol)
            assert {"keep_alive", "on_response", "send"} <= named(Cycle)
            for method in ("_unset_keepalive_if_required", "timeout_keep_alive_handler", "shutdown"):
                assert callable(getattr(connection, method))
        eventually(on.is_alone)
    finally:
        on.emulator.stop()


def test_the_surrounding_program_has_all_of_uvicorn() -> None:
    """Its server and its command are loaded on first use."""
    program = """
import sys
from emulator.server.uvicorn_adapter import version
import uvicorn
assert "uvicorn.main" not in sys.modules and uvicorn.__version__ == version()
try:
    uvicorn.nothing
except AttributeError as error:
    assert str(error) == "module 'uvicorn' has no attribute 'nothing'"
assert "uvicorn.main" not in sys.modules
from uvicorn import Server, run
from uvicorn.main import main
assert (Server, run, main) == (uvicorn.Server, uvicorn.run, uvicorn.main)
assert set(uvicorn.__all__) <= set(dir(uvicorn))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_uvicorn_is_used_as_it_is_when_the_surrounding_program_has_loaded_it() -> None:
    program = """
import uvicorn, types
before = dict(vars(uvicorn))
import emulator.server.uvicorn_adapter
assert type(uvicorn) is types.ModuleType and dict(vars(uvicorn)) == before
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
