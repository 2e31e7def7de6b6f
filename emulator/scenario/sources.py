"""The sources of scenarios: files, folders, globs, their includes, or mappings, merged into one `Scenario`."""

import glob
import os
from collections.abc import Iterator, Mapping
from dataclasses import field, replace
from os import PathLike, fspath
from pathlib import Path
from typing import Any

from emulator.errors import Problem, ScenarioError, did_you_mean
from emulator.providers import PROVIDERS
from emulator.records import record
from emulator.resources import scenario_named, scenario_names
from emulator.scenario.document import Document, KeyPath, quote, spell
from emulator.scenario.loading import build, read
from emulator.scenario.models import Defaults, RuleModel, Scenario
from emulator.scenario.wires import with_wires, without_wires

Source = str | PathLike[str] | Mapping[str, Any] | Scenario

SUFFIXES = (".yaml", ".yml", ".json", ".toml")
MAX_FILES = 1000
SAID_ONCE = ("name", "seed", "locale", "clock", "unmatched")
"""Keys that apply to all files, so all files that set one must agree."""


@record
class Loaded:
    """A scenario, the position of each of its rules (`path:line:column`), and the files it was read from."""

    scenario: Scenario
    origins: tuple[str, ...] = ()
    files: tuple[Path, ...] = ()
    parts: tuple[tuple[Scenario, Document], ...] = field(default=(), repr=False, compare=False)
    """Every source separately, with its positions."""

    def problem(self, rule: int, key_path: KeyPath, message: str) -> Problem:
        """A problem in one of the scenario's rules, at a path within the rule."""
        for scenario, document in self.parts:
            if rule < len(scenario.rules):
                return document.problem(("rules", rule, *key_path), message)
            rule -= len(scenario.rules)
        return Problem(self.parts[0][1].path if self.parts else "scenario", 0, 0, message)


def load(*sources: Source) -> Loaded:
    """Loads one scenario from all sources, with their rules in order. Raises a ScenarioError with all their
    problems."""
    problems: list[Problem] = []
    parts: list[tuple[Scenario, Document]] = []
    files: list[Path] = []
    known: set[Path] = set()
    for source in sources:
        try:
            if isinstance(source, Scenario):
                parts.append((source, Document("scenario", {})))
            elif isinstance(source, Mapping):
                parts.append(without_wires(*_built(Document("scenario", {"version": 1, **source}))))
                if parts[-1][0].include:
                    problems.append(
                        Problem("scenario", 0, 0, "include works only in a file: it is relative to the file's folder")
                    )
            else:
                for path in _named_or(fspath(source)):
                    _read_with_includes(path, parts, files, known, problems)
        except ScenarioError as error:
            problems += error.problems
    problems += _said_twice(parts)
    if problems:
        raise ScenarioError(problems, files)
    origins = [origin for scenario, document in parts for origin in _origins(scenario, document)]
    return Loaded(_joined([scenario for scenario, _ in parts]), tuple(origins), tuple(files), tuple(parts))


def load_document(document: Document) -> Loaded:
    """Loads a scenario that isn't a file, so it can't include files. By default, its version is the current one.
    Raises ScenarioError.
    """
    data = document.data
    if isinstance(data, Mapping) and "version" not in data:
        document = replace(document, data={"version": 1, **data})
    scenario = build(Scenario, document)
    if scenario.include:
        raise ScenarioError(
            [document.problem(("include",), "include works only in a file: it is relative to the file's folder")]
        )
    without_wires(scenario, document)
    return Loaded(scenario, tuple(_origins(scenario, document)), (), ((scenario, document),))


def _named_or(source: str) -> list[Path]:
    """Returns the files of a source: the user's, if any, or the shipped scenario with that name."""
    is_there = os.path.lexists(source)
    shipped = None if is_there else scenario_named(source)
    if shipped is not None:
        return [shipped]
    if not is_there and not Path(source).suffix and not glob.has_magic(source):
        known = scenario_names()
        hint = did_you_mean(source, known) or f" Shipped scenarios: {', '.join(known)}"
        raise _refused(source, f"no such file, and no shipped scenario with this name.{hint}")
    return files_of(source)


def files_of(source: str, folder: Path = Path()) -> list[Path]:
    """Returns the files of a path, folder or glob, relative to `folder`, sorted by name. Raises ScenarioError."""
    path = folder / source
    try:
        if path.is_dir():
            found = sorted(entry for entry in path.iterdir() if is_scenario(entry))
            if not found:
                raise _refused(source, f"no scenarios in this folder ({', '.join(SUFFIXES)})")
            return found
        if glob.has_magic(source) and not path.exists():
            names = glob.glob(source, root_dir=folder, recursive=True)
            found = sorted(folder / name for name in names if is_scenario(folder / name))
            if not found:
                raise _refused(source, "no file matches this pattern")
            return found
    except OSError as error:
        raise _refused(source, f"cannot read this: {error.strerror or error}") from None
    return [path]


def _refused(source: str, message: str) -> ScenarioError:
    return ScenarioError([Problem(source, 0, 0, message)])


def is_scenario(path: Path) -> bool:
    """Whether a file may be a scenario, by its name."""
    return path.suffix in SUFFIXES and not path.name.endswith(".schema.json") and path.is_file()


def _built(document: Document) -> tuple[Scenario, Document]:
    return build(Scenario, document), document


def _read_with_includes(
    path: Path,
    parts: list[tuple[Scenario, Document]],
    files: list[Path],
    known: set[Path],
    problems: list[Problem],
) -> None:
    root = _real(path.parent)
    waiting = [path]
    while waiting:
        path = waiting.pop()
        if _real(path) in known:
            continue  # included twice or in a circle
        known.add(_real(path))
        files.append(path)
        if len(known) > MAX_FILES:
            raise _refused(str(path), f"more than {MAX_FILES} included files")
        try:
            parts.append(with_wires(*_built(read(path)), path))
        except ScenarioError as error:
            problems += error.problems
            continue
        scenario, document = parts[-1]
        found: list[Path] = []
        for number, included in enumerate(scenario.include):
            try:
                found += _inside(root, path, included)
            except ScenarioError as error:
                key_path = ("include", number) if isinstance(document.data.get("include"), list) else ("include",)
                problems += [document.problem(key_path, problem.message) for problem in error.problems]
                if "\0" not in included and not Path(included).is_absolute():
                    files.append(path.parent / included)  # it may be created later
        waiting += reversed(found)


def _real(path: Path) -> Path:
    """Returns the path with links resolved; unchanged if they are broken."""
    try:
        return path.resolve()
    except (OSError, RuntimeError, ValueError):
        pass
    try:
        return path.absolute()
    except OSError:  # the working directory is gone
        return path


def _inside(root: Path, path: Path, included: str) -> list[Path]:
    """Returns the included files, all within the folder of the requested file."""
    if "\0" in included or Path(included).is_absolute():
        raise _refused(included, f"include '{included}' must be relative to this file")
    try:
        found = files_of(included, path.parent)
    except ScenarioError as error:
        raise _refused(included, f"include '{included}': {error.problems[0].message}") from None
    for each in found:
        if not _real(each).is_relative_to(root):
            raise _refused(included, f"include '{included}' leaves the folder {root.name}/")
        if not each.exists():
            raise _refused(included, f"include '{included}': no such file")
    return found


def _origins(scenario: Scenario, document: Document) -> Iterator[str]:
    for number in range(len(scenario.rules)):
        problem = document.problem(("rules", number), "")
        where = f"{problem.path}:{problem.line}:{problem.column}" if problem.line else problem.path
        yield where if problem.line else f"rules[{number}]"


def _said_twice(parts: list[tuple[Scenario, Document]]) -> Iterator[Problem]:
    key_paths: list[KeyPath] = [(key,) for key in SAID_ONCE[1:]]
    key_paths += [
        ("providers", name, key) for name, provider in PROVIDERS.items() for key in provider.Settings.model_fields
    ]
    for key_path in key_paths:
        first: tuple[Any, str] | None = None
        for scenario, document in parts:
            is_said, value = _said(scenario, key_path)
            if not is_said:
                continue
            if first is not None and first[0] != value:
                message = (
                    f"{spell(key_path)} is {quote(value)} here and {quote(first[0])} in {first[1]}: set it only once"
                )
                yield document.problem(key_path, message)
            first = first or (value, document.path)


def _said(model: Any, key_path: KeyPath) -> tuple[bool, Any]:
    """Whether a model has an explicit value at a path, and the value."""
    for key in map(str, key_path):
        if key not in model.model_fields_set:
            return False, None
        model = getattr(model, key)
    return True, model


def _joined(parts: list[Scenario]) -> Scenario:
    """Merges all parts: settings apply to all, rules and accounts are concatenated, and each part's defaults apply to
    its own rules; missing defaults come from the first part."""
    if len(parts) == 1:
        return parts[0]
    said: dict[str, Any] = {}
    for key in SAID_ONCE:
        for part in reversed(parts):
            if key in part.model_fields_set:
                said[key] = getattr(part, key)
    return Scenario.model_construct(
        **{
            **dict(Scenario.model_construct(version=1)),
            **said,
            "defaults": parts[0].defaults if parts else Defaults(),
            "providers": _joined_settings(parts),
            "accounts": tuple(account for part in parts for account in part.accounts),
            "quotas": tuple(quota for part in parts for quota in part.quotas),
            "faults": tuple(fault for part in parts for fault in part.faults),
            "rules": tuple(_with_defaults(rule, part) for part in parts for rule in part.rules),
        }
    )


def _joined_settings(parts: list[Scenario]) -> Any:
    settings: dict[str, Any] = {}
    for part in reversed(parts):
        for name in part.providers.model_fields_set:
            own = getattr(part.providers, name)
            said = {key: getattr(own, key) for key in own.model_fields_set}
            settings[name] = settings[name].model_copy(update=said) if name in settings else own
    return Scenario.model_fields["providers"].get_default().model_copy(update=settings)


def _with_defaults(rule: RuleModel, part: Scenario) -> RuleModel:
    match = rule.match
    if match.normalize is None and "normalize" in part.defaults.model_fields_set:
        match = match.model_copy(update={"normalize": part.defaults.normalize})
    return rule.model_copy(update={"pace": rule.pace or part.defaults.pace, "match": match})
