"""Compiled scenarios: everything that is derived once, for all namespaces that use it."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from emulator.matching.rules import RuleSet, compile_rules
from emulator.pace import Pace
from emulator.providers import PROVIDERS
from emulator.providers.base import Provider
from emulator.records import record
from emulator.resources import DEFAULT_SCENARIO
from emulator.scenario.document import Document
from emulator.scenario.models import Scenario
from emulator.scenario.sources import Source, load, load_document


@record
class CompiledScenario:
    """A compiled scenario: rules, providers with their settings, accepted keys. It is immutable."""

    scenario: Scenario
    rules: RuleSet
    providers: Mapping[str, Provider]
    keys: Mapping[str, frozenset[str]] | None
    """The keys accepted by each provider; None if all are."""
    pace: Pace | None
    """The pace of answers without a rule, if the file sets one."""
    files: tuple[Path, ...] = ()
    """The files that it was read from."""
    origins: tuple[str, ...] = ()
    """The position of each rule of the scenario."""
    recorded: frozenset[str] = frozenset()
    """The providers whose recordings it contains: if only rules may answer, that also applies to their lists."""

    @property
    def is_default(self) -> bool:
        """Whether these are the documented examples, not a user's rules."""
        return self.files == (DEFAULT_SCENARIO,)


def compile_scenario(*sources: Source) -> CompiledScenario:
    """Loads and compiles a scenario. Raises ScenarioError."""
    loaded = load(*sources)
    return compiled_of(loaded.scenario, loaded.origins, loaded.files)


def compile_document(document: Document) -> CompiledScenario:
    """The same for a scenario that isn't a file. Raises ScenarioError."""
    loaded = load_document(document)
    return compiled_of(loaded.scenario, loaded.origins)


def compiled_of(scenario: Scenario, origins: Sequence[str] = (), files: tuple[Path, ...] = ()) -> CompiledScenario:
    """Compiles a scenario. `origins` has the position of each rule."""
    keys = None
    if scenario.accounts:
        keys = {
            name: frozenset(account.key for account in scenario.accounts if account.provider in (None, name))
            for name in PROVIDERS
        }
    return CompiledScenario(
        scenario=scenario,
        rules=compile_rules(scenario, origins),
        providers={name: provider(getattr(scenario.providers, name)) for name, provider in PROVIDERS.items()},
        keys=keys,
        pace=scenario.defaults.pace.to_pace() if scenario.defaults.pace else None,
        files=files,
        origins=tuple(origins),
        recorded=frozenset(_recorded_in(scenario)),
    )


def _recorded_in(scenario: Scenario) -> Iterator[str]:
    for rule in scenario.rules:
        if rule.match is not None and rule.match.recorded is not None:
            yield from rule.match.provider or PROVIDERS
