"""Where scenarios come from: files, folders, globs, what they include, or mappings; joined into one `Scenario`."""

import glob
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from os import PathLike, fspath
from pathlib import Path
from typing import Any

from emulator.document import Document
from emulator.errors import Problem, ScenarioError
from emulator.loading import build, read
from emulator.scenario import RuleModel, Scenario

Source = str | PathLike[str] | Mapping[str, Any] | Scenario

SUFFIXES = (".yaml", ".yml", ".json", ".toml")
MOST_FILES = 1000
SAID_ONCE = ("name", "seed", "locale", "clock", "unmatched")
"""Keys that hold for everything, so only one file may say each."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """A scenario, where each of its rules stands (`path:line:column`), and the files that it was read from."""

    scenario: Scenario
    origins: tuple[str, ...] = ()
    files: tuple[Path, ...] = ()


def load(*sources: Source) -> Loaded:
    """One scenario of all sources, their rules in that order. Raises ScenarioError: everything wrong in any of them."""
    problems: list[Problem] = []
    parts: list[tuple[Scenario, Document]] = []
    files: list[Path] = []
    for source in sources:
        try:
            if isinstance(source, Scenario):
                parts.append((source, Document("scenario", {})))
            elif isinstance(source, Mapping):
                parts.append(_built(Document("scenario", {"version": 1, **source})))
            else:
                for path in files_of(fspath(source)):
                    _read_with_includes(path, path.parent.resolve(), parts, files, problems)
        except ScenarioError as error:
            problems += error.problems
    problems += _said_twice(parts)
    if problems:
        raise ScenarioError(problems, files)
    origins = [origin for scenario, document in parts for origin in _origins(scenario, document)]
    return Loaded(_joined([scenario for scenario, _ in parts]), tuple(origins), tuple(files))


def files_of(source: str) -> list[Path]:
    """The files that a path, a folder or a glob stands for, in the order of their names. Raises ScenarioError."""
    path = Path(source)
    if path.is_dir():
        found = sorted(entry for entry in path.iterdir() if _is_scenario(entry))
        if not found:
            raise ScenarioError([Problem(source, 0, 0, f"there is no scenario in this folder: {', '.join(SUFFIXES)}")])
        return found
    if glob.has_magic(source) and not path.exists():
        found = sorted(Path(name) for name in glob.glob(source, recursive=True) if _is_scenario(Path(name)))
        if not found:
            raise ScenarioError([Problem(source, 0, 0, "no file fits this pattern")])
        return found
    return [path]


def _is_scenario(path: Path) -> bool:
    return path.suffix in SUFFIXES and not path.name.endswith(".schema.json") and path.is_file()


def _built(document: Document) -> tuple[Scenario, Document]:
    return build(Scenario, document), document


def _read_with_includes(
    path: Path, root: Path, parts: list[tuple[Scenario, Document]], files: list[Path], problems: list[Problem]
) -> None:
    if path in files:
        return  # included twice, or in a circle: once is enough
    files.append(path)
    if len(files) > MOST_FILES:
        raise ScenarioError([Problem(str(path), 0, 0, f"more than {MOST_FILES} files are included")])
    try:
        scenario, document = _built(read(path))
    except ScenarioError as error:
        problems += error.problems
        return
    parts.append((scenario, document))
    for number, included in enumerate(scenario.include):
        try:
            found = _inside(root, path, included)
        except ScenarioError as error:
            trail = ("include", number) if isinstance(document.data.get("include"), list) else ("include",)
            problems += [document.problem(trail, problem.message) for problem in error.problems]
            if "\0" not in included and not Path(included).is_absolute():
                files.append(path.parent / included)  # it may come yet
            continue
        for each in found:
            _read_with_includes(each, root, parts, files, problems)


def _inside(root: Path, path: Path, included: str) -> list[Path]:
    """The included files, all of them under the folder of the file that was asked for."""
    if "\0" in included or Path(included).is_absolute():
        raise ScenarioError([Problem(included, 0, 0, f"include '{included}' must be relative to this file")])
    found = files_of(str(path.parent / included))
    for each in found:
        if not each.resolve().is_relative_to(root):
            raise ScenarioError([Problem(included, 0, 0, f"include '{included}' leaves the folder {root.name}/")])
        if not each.exists():
            raise ScenarioError([Problem(included, 0, 0, f"include '{included}': there is no such file")])
    return found


def _origins(scenario: Scenario, document: Document) -> Iterator[str]:
    for number in range(len(scenario.rules)):
        problem = document.problem(("rules", number), "")
        where = f"{problem.path}:{problem.line}:{problem.column}" if problem.line else problem.path
        yield where if problem.line else f"rules[{number}]"


def _said_twice(parts: list[tuple[Scenario, Document]]) -> Iterator[Problem]:
    for key in SAID_ONCE[1:]:
        first: tuple[Any, str] | None = None
        for scenario, document in parts:
            if key not in scenario.model_fields_set:
                continue
            value = getattr(scenario, key)
            if first is not None and first[0] != value:
                yield document.problem((key,), f"{key} is {value!r} here and {first[0]!r} in {first[1]}: say it once")
            first = first or (value, document.path)


def _joined(parts: list[Scenario]) -> Scenario:
    """All parts as one: what one says holds for all, rules and accounts follow each other, and each file's defaults
    hold for its own rules."""
    if len(parts) == 1:
        return parts[0]
    said: dict[str, Any] = {}
    for key in (*SAID_ONCE, "defaults"):
        for part in reversed(parts):
            if key in part.model_fields_set:
                said[key] = getattr(part, key)
    settings: dict[str, Any] = {}
    for part in reversed(parts):
        settings.update({name: getattr(part.providers, name) for name in part.providers.model_fields_set})
    providers = Scenario.model_fields["providers"].get_default().model_copy(update=settings)
    return Scenario.model_construct(
        **{
            **dict(Scenario.model_construct(version=1)),
            **said,
            "providers": providers,
            "accounts": tuple(account for part in parts for account in part.accounts),
            "quotas": tuple(quota for part in parts for quota in part.quotas),
            "faults": tuple(fault for part in parts for fault in part.faults),
            "rules": tuple(_with_defaults(rule, part) for part in parts for rule in part.rules),
        }
    )


def _with_defaults(rule: RuleModel, part: Scenario) -> RuleModel:
    match = rule.match
    if match.normalize is None and part.defaults.normalize:
        match = match.model_copy(update={"normalize": part.defaults.normalize})
    return rule.model_copy(update={"pace": rule.pace or part.defaults.pace, "match": match})
