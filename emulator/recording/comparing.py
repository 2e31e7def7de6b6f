"""Compares recordings: two folders, two files, or a recording with anything of the same shape."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import field, replace
from pathlib import Path
from typing import Any

from emulator.errors import UsageError
from emulator.recording.drift import LEVELS, Drift, Level, drifts_in
from emulator.recording.folder import questions_in
from emulator.recording.wire_file import SUFFIX, WireFileError, WireRecord, read
from emulator.records import record, struct

BOLD, DIM, PLAIN = "\x1b[1m", "\x1b[2m", "\x1b[0m"
COLORS: dict[Level, str] = {"error": "\x1b[31m", "warning": "\x1b[33m", "info": "\x1b[36m"}
MAX_PLACES = 3
"""The most kinds of events that are named in one line."""
GITHUB = {"error": "error", "warning": "warning", "info": "notice"}


@record
class Recorded:
    """One recorded answer."""

    question: str
    """Identifies its question."""
    name: str
    number: int
    """The number of the answer, from 1."""
    path: Path
    wire: WireRecord

    @property
    def title(self) -> str:
        """The question, with the number of the answer if it is not the first."""
        return self.name if self.number == 1 else f"{self.name} (answer {self.number})"


@record
class Row:
    """One difference, with its position."""

    drift: Drift
    name: str = ""
    """The question, with the number of the answer."""
    file: str = ""
    mark: str = ""
    """The source of the emulator's format: documented, public or inferred."""


@struct
class Comparison:
    """The result of a comparison, with every difference."""

    compared: int = 0
    rows: list[Row] = field(default_factory=list)

    @property
    def has_errors(self) -> bool:
        return any(row.drift.level == "error" for row in self.rows)


def recorded_at(path: Path) -> list[Recorded]:
    """Returns the answers in a folder, a scenario file or a wire file. Raises UsageError."""
    try:
        if path.suffix == SUFFIX:
            wire = read(path)
            return [Recorded("", path.name, 1, path, wire)]
        if not path.exists():
            raise UsageError(f"{path}: there is no such file or folder.")
        found = list(_in_files(path))
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror or error}.") from None
    except WireFileError as error:
        raise UsageError(f"{path} cannot be used: {error}.") from None
    if not found:
        raise UsageError(f"{path}: there is no recording here. `emulator record --into {path}` makes one.")
    return found


def _in_files(path: Path) -> Iterator[Recorded]:
    for digest, question in questions_in(path):
        for number, file in enumerate(question.wires, 1):
            try:
                yield Recorded(digest, str(question.rule.get("name", digest)), number, file, read(file))
            except (OSError, WireFileError) as error:
                reason = error.strerror if isinstance(error, OSError) else error
                raise UsageError(f"{file} cannot be used: {reason}.") from None


def compared(old: Sequence[Recorded], new: Sequence[Recorded]) -> Comparison:
    """Compares recordings with older ones of the same questions."""
    if len(old) == len(new) == 1:
        result = Comparison(1)
        result.rows += _rows(old[0], new[0], drifts_in(old[0].wire, new[0].wire))
        return result
    result = Comparison()
    found = {(each.question, each.number): each for each in new}
    for each in old:
        other = found.pop((each.question, each.number), None)
        if other is None:
            drift = Drift("warning", "recording", "is missing")
            result.rows.append(Row(drift, each.title, str(each.path)))
            continue
        result.compared += 1
        result.rows += _rows(each, other, drifts_in(each.wire, other.wire))
    result.rows += [Row(Drift("info", "recording", "is new"), each.title, str(each.path)) for each in found.values()]
    return result


def _rows(old: Recorded, new: Recorded, drifts: Sequence[Drift]) -> list[Row]:
    return [Row(drift, new.title, str(new.path)) for drift in drifts]


# Output formats


def as_text(result: Comparison, *, is_colored: bool = False) -> str:
    """Returns a paragraph for each answer that differs, the worst first, and a summary line."""
    titles: dict[str, list[Row]] = {}
    for row in result.rows:
        titles.setdefault(row.name, []).append(row)
    paragraphs = [
        "\n".join([_painted(BOLD, name, is_colored), *as_lines(rows, is_colored=is_colored)])
        for name, rows in titles.items()
    ]
    return "\n\n".join([*paragraphs, summed_up(result)])


def as_lines(rows: Sequence[Row], *, is_colored: bool = False) -> list[str]:
    """Returns a line for each difference of an answer. Equal ones in several kinds of events are combined."""
    places: dict[Row, list[str]] = {}
    for row in rows:
        places.setdefault(replace(row, drift=replace(row.drift, where="")), []).append(row.drift.where)
    lines = []
    for row, kinds in places.items():
        mark = f" {_painted(DIM, f'[{row.mark}]', is_colored)}" if row.mark else ""
        level, _, rest = str(replace(row.drift, where=_listed(kinds))).partition(":")
        lines.append(f"  {_painted(COLORS[row.drift.level], level, is_colored)}:{rest}{mark}")
    return lines


def _listed(places: Sequence[str]) -> str:
    if len(places) > MAX_PLACES:
        return f"{len(places)} kinds of events"
    return " and ".join([", ".join(places[:-1]), places[-1]] if len(places) > 1 else places)


def _painted(color: str, text: str, is_colored: bool) -> str:
    return f"{color}{text}{PLAIN}" if is_colored else text


def summed_up(result: Comparison) -> str:
    """Returns the numbers of differences by level."""
    counts = {level: sum(row.drift.level == level for row in result.rows) for level in LEVELS}
    words = [
        f"{count} {level if count == 1 or level == 'info' else f'{level}s'}" for level, count in counts.items() if count
    ]
    answers = f"{result.compared} {'answer' if result.compared == 1 else 'answers'} compared"
    return f"{answers}: {', '.join(words) or 'no difference'}."


def as_json(result: Comparison) -> str:
    """Returns everything as JSON."""
    rows: list[dict[str, Any]] = [
        {
            **{name: getattr(row.drift, name) for name in ("level", "path", "message", "where")},
            "name": row.name,
            "file": row.file,
            **({"mark": row.mark} if row.mark else {}),
        }
        for row in result.rows
    ]
    return json.dumps({"compared": result.compared, "differences": rows}, indent=2, ensure_ascii=False)


def as_github(result: Comparison) -> str:
    """Returns a workflow command for each difference, which GitHub shows as an annotation."""
    lines = [
        f"::{GITHUB[row.drift.level]} file={_property(row.file)},title={_property(row.name)}::{_data(_message(row))}"
        for row in result.rows
    ]
    return "\n".join([*lines, f"::notice title=Recordings::{_data(summed_up(result))}"])


def _message(row: Row) -> str:
    drift = row.drift
    place = f" in {drift.where}" if drift.where else ""
    return f"{drift.path}{place} {drift.message}{f' ({row.mark})' if row.mark else ''}"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
