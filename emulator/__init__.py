"""A local stand-in for LLM chat providers: exact wire formats, scripted answers, paced streams, injected faults."""

TYPE_CHECKING = False  # nothing is imported here, so that a signal finds the command's handler as early as possible
if TYPE_CHECKING:
    from typing import Any

    from emulator.embedded import Emulator
    from emulator.errors import BindError, EmulatorError, Problem, ScenarioError, UsageError
    from emulator.pace import Pace

__version__ = "0.1.0"

__all__ = ["BindError", "Emulator", "EmulatorError", "Pace", "Problem", "ScenarioError", "UsageError", "__version__"]

_HOMES = {
    "BindError": "emulator.errors",
    "Emulator": "emulator.embedded",
    "EmulatorError": "emulator.errors",
    "Pace": "emulator.pace",
    "Problem": "emulator.errors",
    "ScenarioError": "emulator.errors",
    "UsageError": "emulator.errors",
}


def __getattr__(name: str) -> "Any":
    """Imports names on first use: `emulator --help` and the pytest plugin need hardly any of them."""
    if name not in _HOMES:
        raise AttributeError(f"module 'emulator' has no attribute '{name}'")
    import gc
    from importlib import import_module

    is_collecting = gc.isenabled()
    gc.disable()  # imports create no garbage, and collecting takes a tenth of the time
    try:
        globals()[name] = found = getattr(import_module(_HOMES[name]), name)
        return found
    finally:
        if not gc.get_freeze_count():  # both move all objects to the oldest generation, which is rarely scanned
            gc.freeze()
            gc.unfreeze()
        if is_collecting:
            gc.enable()
