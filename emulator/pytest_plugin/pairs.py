"""The faults and providers with which the `emulator_faults` fixture runs a test."""

from typing import Any

import pytest

from emulator.errors import EmulatorError, UsageError, did_you_mean
from emulator.faults import fault_of
from emulator.faults.base import Fault
from emulator.providers import PROVIDERS
from emulator.records import record

USUAL = (
    "error:status=429,times=1",
    "error:status=500,times=1",
    "error:status=401",
    "captive_portal",
    "empty_200",
    "keepalive_comments:count=3,interval=0.01",
    "unknown_fields",
    "usage",
    "finish_reason",
    "truncate:after_tokens=3",
    "error_event:after_tokens=3",
    "bad_json_event",
    "reset:after_tokens=3",
    "split:size=1",
)
"""The default faults: each of them happens in practice, and none takes long."""
DEFAULT_PROVIDER = "openai"


@record
class Pair:
    """One fault at one provider."""

    fault: str
    made: Fault
    provider: str

    def __str__(self) -> str:
        return f"{self.fault}-{self.provider}"


def pairs_of(metafunc: pytest.Metafunc) -> list[Pair]:
    """Returns the pairs for one test function. Raises CollectError for unknown faults or providers."""
    try:
        faults, providers = _named(metafunc)
        return [Pair(_spelled(fault), fault_of(fault), provider) for fault in faults for provider in providers]
    except EmulatorError as error:
        raise pytest.Collector.CollectError(f"{metafunc.definition.nodeid}: {error}") from None


def _named(metafunc: pytest.Metafunc) -> tuple[list[Any], list[str]]:
    marker = metafunc.definition.get_closest_marker("emulator_faults")
    outer = metafunc.definition.get_closest_marker("emulator")
    faults, providers = (list(marker.args), marker.kwargs.get("providers")) if marker else ([], None)
    for name in marker.kwargs if marker else ():
        if name != "providers":
            hint = did_you_mean(name, ["providers"])
            raise UsageError(
                f"the marker emulator_faults has no argument '{name}'.{hint} Arguments: *faults, providers"
            )
    if len(faults) == 1 and isinstance(faults[0], list | tuple):
        faults = list(faults[0])
    if not faults and outer is not None:
        faults = _listed(outer.kwargs.get("faults"))
    if providers is None and outer is not None:
        providers = outer.kwargs.get("provider")
    chosen = metafunc.config.getoption("--emulator-faults")
    if chosen:
        faults = [part.strip() for part in chosen.split(";") if part.strip()]
    providers = [str(each) for each in _listed(providers) or [DEFAULT_PROVIDER]]
    for name in providers:
        if name not in PROVIDERS:
            hint = did_you_mean(name, list(PROVIDERS))
            raise UsageError(f"there is no provider '{name}'.{hint} Providers: {', '.join(PROVIDERS)}")
    return list(faults or USUAL), providers


def _listed(value: Any) -> list[Any]:
    if value is None:
        return []
    return list(value) if isinstance(value, list | tuple | set | frozenset) else [value]


def _spelled(fault: Any) -> str:
    """Returns a fault in one line, for a table."""
    if isinstance(fault, str | int):
        return str(fault)
    facts = fault.model_dump(exclude_unset=True, by_alias=True) if isinstance(fault, Fault) else dict(fault)
    rest = ",".join(f"{name}={value}" for name, value in facts.items() if name != "kind")
    kind = fault.kind if isinstance(fault, Fault) else facts["kind"]
    return f"{kind}:{rest}" if rest else str(kind)
