"""A folder of recordings: a scenario file for each question, next to the wire files of its answers."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import field, replace
from pathlib import Path
from typing import Any

import yaml

from emulator.recording.files import sweep, write_whole
from emulator.recording.readable import name_of, readable, said_digest
from emulator.recording.redaction import Redaction
from emulator.recording.wire_file import FOLDER, SUFFIX, WireRecord, written
from emulator.records import struct

MAX_SLUG = 60
OTHER_LINE_ENDS = re.compile("[\x85\u2028\u2029]")
NOT_IN_BLOCKS = re.compile(r"[ \t]\n|\r|[^\x20-\x7e\n\xa0-\ud7ff\ue000-\ufefe]")
"""What a block of several lines cannot hold."""
HEADER = """\
# Recorded from {upstream} on {day}.
# `recorded` is the digest of the request, and each `wire` file holds an answer byte for byte. If you edit an answer
# here, clients get what you wrote, and its wire file is ignored.
"""


@struct
class Question:
    """One recorded request, and its answers in order."""

    path: Path
    rule: dict[str, Any]
    answers: list[dict[str, Any]] = field(default_factory=list)

    @property
    def wires(self) -> list[Path]:
        """The wire files of its answers."""
        return [self.path.parent / each["wire"] for each in self.answers if isinstance(each.get("wire"), str)]


class Recordings:
    """The contents of a folder. Its writing methods block, so a thread calls them, one at a time."""

    def __init__(self, folder: Path, redaction: Redaction | None = None) -> None:
        self.folder = folder
        self.redaction = redaction or Redaction()
        self.questions: dict[str, Question] = {}

    def prepare(self) -> None:
        """Creates the folder if necessary, and reads it. Raises OSError."""
        for folder in (self.folder, self.folder / FOLDER):
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            sweep(folder)
        self.questions = dict(questions_in(self.folder))

    def add(
        self, digest: str, wire: WireRecord, *, is_completion: bool, place: int | None = None, ends: bool = False
    ) -> Path:
        """Writes an answer to a question: a further one, or the one with this number (from 1), which is the last if
        `ends`. Raises OSError, and then nothing has changed.
        """
        name = name_of(wire)
        known = self.questions.get(digest)
        path = self.folder / f"{slug(f'{wire.provider} {name}')}-{digest[:8]}.yaml" if known is None else known.path
        answers = [] if known is None else list(known.answers)
        place = len(answers) + 1 if place is None else min(place, len(answers) + 1)
        said = readable(wire, is_completion=is_completion)
        data = written(replace(wire, said=said_digest(said)) if said else wire)
        mark = said_digest(data.decode("utf-8"))[:6]
        file = f"{FOLDER}/{path.stem}.{place}.{mark}{SUFFIX}"
        answers[place - 1 : None if ends else place] = [{**said, "wire": file}]
        rule = {"name": name, "match": self._match(digest, wire)} if known is None else dict(known.rule)
        question = Question(path, rule, answers)
        write_whole(self.folder / file, data)
        write_whole(path, _text_of(question, wire).encode("utf-8", "backslashreplace"))
        self.questions[digest] = question
        if known is not None:
            self._remove(known.wires, question.wires)
        return path

    def _match(self, digest: str, wire: WireRecord) -> dict[str, Any]:
        match: dict[str, Any] = {"provider": wire.provider, "operation": wire.operation}
        lists = self.redaction.to_dict()
        match["recorded"] = {"digest": digest, "redact": lists} if lists else digest
        return match

    def _remove(self, old: list[Path], new: list[Path]) -> None:
        for path in old:
            if path not in new:
                path.unlink(missing_ok=True)


def questions_in(folder: Path) -> Iterator[tuple[str, Question]]:
    """Yields the recordings of a folder or a file by their digests; other files are ignored."""
    for path in [folder] if folder.is_file() else sorted(folder.glob("*.yaml")):
        try:
            document = yaml.load(path.read_text(encoding="utf-8"), getattr(yaml, "CSafeLoader", yaml.SafeLoader))
        except (OSError, ValueError, yaml.YAMLError):
            continue
        rules = document.get("rules") if isinstance(document, Mapping) else None
        for rule in rules if isinstance(rules, list) else ():
            match = rule.get("match") if isinstance(rule, dict) else None
            recorded = match.get("recorded") if isinstance(match, dict) else None
            digest = recorded.get("digest") if isinstance(recorded, dict) else recorded
            if isinstance(digest, str):
                yield digest, _question(path, rule)


def _question(path: Path, rule: dict[str, Any]) -> Question:
    own: dict[str, Any] = {name: rule[name] for name in ("reply", "error", "wire") if name in rule}
    answers: Any = rule.get("replies") if isinstance(rule.get("replies"), list) else [own]
    rest = {name: value for name, value in rule.items() if name not in ("reply", "error", "wire", "replies")}
    return Question(path, rest, [dict(answer) for answer in answers or [] if isinstance(answer, dict)])


def slug(text: str) -> str:
    """Converts a text to a file name."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower())[:MAX_SLUG].strip("-") or "question"


class _Dumper(yaml.SafeDumper):
    """Writes texts of several lines as blocks, and escapes what only some readers take for the end of a line."""


def _text(dumper: yaml.SafeDumper, text: str) -> Any:
    if OTHER_LINE_ENDS.search(text):
        style: str | None = '"'
    else:
        style = "|" if "\n" in text and not NOT_IN_BLOCKS.search(text) else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _text)


def dumped(document: Any) -> str:
    """A document as readable YAML."""
    return yaml.dump(document, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=110)


def _text_of(question: Question, wire: WireRecord) -> str:
    rule = dict(question.rule)
    if len(question.answers) == 1:
        rule |= question.answers[0]
    else:
        rule["replies"] = question.answers
    return HEADER.format(upstream=wire.upstream, day=wire.recorded[:10]) + dumped({"version": 1, "rules": [rule]})
