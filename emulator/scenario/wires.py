"""The wire files of a scenario's rules: found next to the scenario, and read when the rule is compiled."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from emulator.errors import Problem, ScenarioError
from emulator.scenario.document import Document, KeyPath
from emulator.scenario.models import AnswerModel, RuleModel, Scenario

if TYPE_CHECKING:
    from emulator.recording.wire_file import WireRecord


def with_wires(scenario: Scenario, document: Document, path: Path) -> tuple[Scenario, Document]:
    """Returns a file's scenario with the full paths of its wire files. Raises ScenarioError for an unusable one."""
    if not any(answer.wire is not None for rule in scenario.rules for answer in rule.answers()):
        return scenario, document
    problems: list[Problem] = []
    rules = []
    for number, rule in enumerate(scenario.rules):
        for key_path, wire in _wires(rule):
            problem = _wrong_with(path.parent, wire)
            if problem:
                problems.append(document.problem(("rules", number, *key_path), f"wire '{wire}' {problem}"))
        rules.append(_placed(rule, path.parent))
    if problems:
        raise ScenarioError(problems)
    return scenario.model_copy(update={"rules": tuple(rules)}), document


def without_wires(scenario: Scenario, document: Document) -> tuple[Scenario, Document]:
    """Checks a scenario that isn't a file. Raises ScenarioError if it names wire files, which are relative to a
    file."""
    problems = [
        document.problem(("rules", number, *key_path), "wire works only in a file: it is relative to the file's folder")
        for number, rule in enumerate(scenario.rules)
        for key_path, _ in _wires(rule)
    ]
    if problems:
        raise ScenarioError(problems)
    return scenario, document


def wire_of(answer: AnswerModel) -> "WireRecord | None":
    """Returns the recorded answer; None if the reply next to it has been edited. Raises ScenarioError."""
    from emulator.recording.readable import said_digest  # only for scenarios with recordings
    from emulator.recording.wire_file import WireFileError, read

    assert answer.wire is not None
    try:
        wire = read(Path(answer.wire))
    except (OSError, WireFileError) as error:
        raise ScenarioError([Problem(answer.wire, 0, 0, f"this wire file cannot be read: {error}")]) from None
    said = {}
    for name in ("reply", "error"):
        model = getattr(answer, name)
        if model is not None:
            said = {name: model.model_dump(mode="json", by_alias=True, exclude_unset=True)}
    return wire if not said or said_digest(said) == wire.said else None


def _wires(rule: RuleModel) -> Iterator[tuple[KeyPath, str]]:
    if rule.wire is not None:
        yield ("wire",), rule.wire
    for number, answer in enumerate(rule.replies or ()):
        if answer.wire is not None:
            yield ("replies", number, "wire"), answer.wire


def _wrong_with(folder: Path, wire: str) -> str:
    if "\0" in wire or os.path.isabs(wire) or ".." in Path(wire).parts:
        return "must be a path inside this file's folder"
    from emulator.recording.wire_file import WireFileError, read

    try:
        read(folder / wire)
    except FileNotFoundError:
        return "does not exist: it was recorded next to this file"
    except OSError as error:
        return f"cannot be read: {error.strerror or error}"
    except WireFileError as error:
        return f"cannot be used: {error}"
    return ""


def _placed(rule: RuleModel, folder: Path) -> RuleModel:
    changes: dict[str, object] = {}
    if rule.wire is not None:
        changes["wire"] = str(folder / rule.wire)
    if rule.replies is not None:
        changes["replies"] = tuple(
            each if each.wire is None else each.model_copy(update={"wire": str(folder / each.wire)})
            for each in rule.replies
        )
    return rule.model_copy(update=changes)
