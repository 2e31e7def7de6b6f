"""The markers of a test that configure its emulator."""

from collections.abc import Mapping
from dataclasses import field, replace
from inspect import signature
from os import PathLike, fspath
from pathlib import Path
from typing import Any

import pytest

from emulator import arguments
from emulator.embedded import Emulator
from emulator.errors import UsageError, did_you_mean
from emulator.faults.base import Fault
from emulator.providers import PROVIDERS
from emulator.pytest_plugin.pairs import Pair
from emulator.recording.folder import slug
from emulator.recording.redaction import redaction_of
from emulator.records import record
from emulator.server.recorder import MODES, RecordOptions, compiled_in
from emulator.server.relaying import upstream_of
from emulator.state.compiled import CompiledScenario, compile_scenario

OWN = ("scenario", "faults", "provider", "strict", "seed", "unmatched", "record", "upstream", "redact")
"""The arguments for the namespace of one test; all others are options of the whole server."""
SERVER = tuple(name for name in signature(Emulator.__init__).parameters if name not in ("self", "port", *OWN))
KNOWN = (*OWN, *SERVER)
NOTHING: Mapping[str, Any] = {"rules": []}


@record
class Settings:
    """The configuration of one test's emulator."""

    scenario: Any = None
    faults: tuple[Fault, ...] = ()
    provider: str | None = None
    strict: bool | None = None
    seed: int | None = None
    unmatched: str | None = None
    record: RecordOptions | None = None
    """What to record, and where."""
    pair: Pair | None = None
    """The fault and provider of a test with `emulator_faults`."""
    server: Mapping[str, Any] = field(default_factory=dict)

    @property
    def is_scripted(self) -> bool:
        """Whether the test has its own rules from the beginning."""
        return self.scenario is not None or self.record is not None

    @property
    def default_unmatched(self) -> str:
        """What to do with a request that matches no rule, once there are rules."""
        return self.unmatched or "error"

    def compiled(self, default: CompiledScenario) -> CompiledScenario:
        """Returns the namespace's initial scenario. Raises ScenarioError."""
        if self.record is not None:
            return self.adapted(compiled_in(self.record), "error")
        base = default if self.scenario is None else compile_scenario(arguments.source(self.scenario))
        unmatched = "error" if self.strict or self.is_scripted else None
        return self.adapted(base, self.unmatched or base.scenario.unmatched or unmatched)

    def adapted(self, compiled: CompiledScenario, unmatched: str | None) -> CompiledScenario:
        """Adds the test's faults, and its setting for unmatched requests, to a scenario."""
        changes: dict[str, Any] = {}
        faults = self.faults if self.pair is None else (self.pair.made, *self.faults)
        if faults:
            changes["faults"] = (*faults, *compiled.scenario.faults)
        if unmatched != compiled.scenario.unmatched:
            changes["unmatched"] = unmatched
        if not changes:
            return compiled
        return replace(compiled, scenario=compiled.scenario.model_copy(update=changes))


def settings_of(request: pytest.FixtureRequest) -> Settings:
    """Returns the configuration from the markers of a test; the nearest one takes precedence. Raises UsageError."""
    said: dict[str, Any] = {}
    for marker in request.node.iter_markers("emulator"):
        if len(marker.args) > 1:
            raise UsageError(f"the marker takes one positional argument, the scenario, not {len(marker.args)}")
        given = {**dict(zip(("scenario",), marker.args, strict=False)), **marker.kwargs}
        said = {**given, **said}
    for name in said:
        if name not in KNOWN:
            hint = did_you_mean(name, KNOWN)
            raise UsageError(f"the marker has no argument '{name}'.{hint} Arguments: {', '.join(KNOWN)}")
    callspec = getattr(request.node, "callspec", None)
    pair: Pair | None = callspec.params.get("emulator_faults") if callspec is not None else None
    provider = said.get("provider")
    if pair is not None:  # the marker's faults and providers are the ones to choose from
        said.pop("faults", None)
        provider = None
    elif provider is not None:
        arguments.text("provider", provider)
    strict = said.get("strict")
    if strict is not None:
        arguments.switch("strict", strict)
    if said.get("unmatched") is not None:
        arguments.one_of("unmatched", said["unmatched"], ("generate", "error"))
    return Settings(
        scenario=_placed(said.get("scenario"), request),
        faults=arguments.faults(said.get("faults") or ()),
        provider=provider,
        strict=False if strict is None and request.config.getini("emulator_unmatched") == "ignore" else strict,
        seed=arguments.seed(said.get("seed")),
        unmatched=said.get("unmatched"),
        record=record_of(said, request),
        pair=pair,
        server={name: value for name, value in said.items() if name in SERVER},
    )


def record_of(said: Mapping[str, Any], request: pytest.FixtureRequest) -> RecordOptions | None:
    """Returns what a test records: into `recordings/<file>/<test>` next to it. Raises UsageError."""
    mode = said.get("record")
    if mode is None:
        return None
    arguments.one_of("record", mode, MODES)
    if said.get("scenario") is not None:
        raise UsageError("the marker has record and scenario: the recording is the scenario, so remove one of them")
    upstreams = said.get("upstream") or {}
    if not isinstance(upstreams, Mapping) or not upstreams.keys() <= PROVIDERS.keys():
        raise UsageError(f"the marker's upstream is {upstreams!r}: expected a mapping from providers to URLs")
    path: Path = request.node.path
    return RecordOptions(
        path.parent / "recordings" / path.stem / slug(request.node.name),
        request.config.getoption("--emulator-record") or mode,
        said.get("provider"),
        {name: upstream_of(url) for name, url in upstreams.items()},
        redaction_of(said.get("redact") or {}).checked(),
    )


def _placed(scenario: Any, request: pytest.FixtureRequest) -> Any:
    """Returns the scenario; a path is relative to the test's folder or to the working directory."""
    if scenario is None:
        named = request.config.getini("emulator_scenario")
        return str(request.config.rootpath / named) if named else None
    if isinstance(scenario, str | PathLike):
        beside = request.node.path.parent / fspath(scenario)
        if not Path(fspath(scenario)).is_absolute() and beside.exists():
            return str(beside)
    return scenario
