"""Recordings that can't be used: what is said about them, or that they are ignored."""

import os
from pathlib import Path
from typing import Any

import pytest
import yaml

from emulator.errors import ScenarioError, UsageError
from emulator.recording.comparing import recorded_at
from emulator.recording.files import write_whole
from emulator.recording.folder import questions_in
from emulator.recording.readable import readable
from emulator.recording.wire_file import Segment, WireFileError, WireRecord, parsed, read, written
from emulator.scenario.models import AnswerModel
from emulator.scenario.sources import load
from emulator.scenario.wires import wire_of
from emulator.server.relaying import Upstream, upstream_of

WIRE = WireRecord(
    200,
    (("content-type", "text/event-stream"),),
    "chunks",
    (Segment(0.1, b"a"), Segment(0.2, b"\xff")),
    trailers=(("x", "1"),),
    request={"method": "POST"},
)


def test_a_wire_file_is_read_as_it_was_written(tmp_path: Path) -> None:
    path = tmp_path / "a.wire"
    path.write_bytes(written(WIRE))
    assert read(path) == WIRE
    assert (WIRE.body, WIRE.is_stream) == (b"a\xff", True)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "it is not a complete wire file"),
        ("[]", "it is not a complete wire file"),
        ('{"version": 2}', "its version is 2; expected 1"),
        (written(WIRE).decode().rpartition("\n[")[0], "it has 1 segments of 2: the rest is missing"),
        (written(WIRE).decode().replace('"status": 200', '"status": null'), "it is not a complete wire file"),
    ],
)
def test_an_incomplete_wire_file_is_said(text: str, words: str) -> None:
    with pytest.raises(WireFileError) as caught:
        parsed(text)
    assert str(caught.value) == words


def recording(folder: Path, wire: str, **rule: Any) -> Path:
    """A recorded rule that names a wire file."""
    path = folder / "rule.yaml"
    rules = [{"name": "r", "match": {"recorded": "abc"}, "wire": wire, **rule}]
    path.write_text(yaml.safe_dump({"version": 1, "rules": rules}))
    return path


def test_a_recording_of_bytes_that_are_not_utf_8_is_said(tmp_path: Path) -> None:
    path = tmp_path / "a.wire"
    path.write_bytes(b"\xff")
    with pytest.raises(UsageError) as caught:
        recorded_at(path)
    assert str(caught.value) == f"{path} cannot be used: it is not UTF-8."


def test_where_there_is_no_recording_it_is_said_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        recorded_at(tmp_path)
    assert str(caught.value) == (
        f"{tmp_path}: there is no recording here. `emulator record --into {tmp_path}` makes one."
    )
    with pytest.raises(UsageError) as caught:
        recorded_at(tmp_path / "a.wire")
    assert str(caught.value) == f"{tmp_path}/a.wire cannot be read: No such file or directory."


@pytest.mark.parametrize(
    ("content", "words"),
    [(None, "No such file or directory"), (b"[]", "it is not a complete wire file")],
)
def test_a_rule_whose_wire_file_is_unusable_cannot_be_compared(
    tmp_path: Path, content: bytes | None, words: str
) -> None:
    if content is not None:
        (tmp_path / "a.wire").write_bytes(content)
    with pytest.raises(UsageError) as caught:
        recorded_at(recording(tmp_path, "a.wire"))
    assert str(caught.value) == f"{tmp_path}/a.wire cannot be used: {words}."


def test_a_folder_s_other_files_and_unreadable_answers_are_passed_over(tmp_path: Path) -> None:
    for name, text in {"bad": "a: [", "list": "[1]", "rules": "rules: 3", "odd": "rules: [3, {match: 4}]"}.items():
        (tmp_path / f"{name}.yaml").write_text(text)
    (tmp_path / "a.wire").write_bytes(written(WIRE))
    path = recording(tmp_path, "gone", replies=[{"wire": "a.wire"}, {"wire": "gone.wire"}, 3])
    ((digest, question),) = questions_in(tmp_path)
    assert (digest, question.path, question.rule) == ("abc", path, {"name": "r", "match": {"recorded": "abc"}})
    assert question.answers == [{"wire": "a.wire"}, {"wire": "gone.wire"}]


@pytest.mark.parametrize(
    ("wire", "words"),
    [
        ("/etc/passwd", "must be a path inside this file's folder"),
        ("../a.wire", "must be a path inside this file's folder"),
        ("gone.wire", "does not exist: it was recorded next to this file"),
        ("folder", "cannot be read: Is a directory"),
        ("bad.wire", "cannot be used: it is not a complete wire file"),
    ],
)
@pytest.mark.parametrize("in_replies", [False, True])
def test_a_scenario_with_an_unusable_wire_file_is_refused(
    tmp_path: Path, wire: str, words: str, in_replies: bool
) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "bad.wire").write_text("[]")
    rule = {"replies": [{"reply": {"content": "a"}}, {"wire": wire}]} if in_replies else {"wire": wire}
    path = tmp_path / "a.yaml"
    path.write_text(yaml.safe_dump({"version": 1, "rules": [rule]}))
    with pytest.raises(ScenarioError) as caught:
        load(str(path))
    assert [problem.message for problem in caught.value.problems] == [f"wire '{wire}' {words}"]


def test_wire_files_are_found_next_to_their_scenario(tmp_path: Path) -> None:
    (tmp_path / "a.wire").write_bytes(written(WIRE))
    path = tmp_path / "a.yaml"
    rules = [{"wire": "a.wire"}, {"replies": [{"reply": {"content": "a"}}, {"wire": "a.wire"}]}]
    path.write_text(yaml.safe_dump({"version": 1, "rules": rules}))
    first, second = load(str(path)).scenario.rules
    here = str(tmp_path / "a.wire")
    assert first.wire == here
    assert [each.wire for each in second.replies or ()] == [None, here]
    assert wire_of(first.answers()[0]) == WIRE


def test_a_scenario_that_is_no_file_cannot_name_wire_files() -> None:
    with pytest.raises(ScenarioError) as caught:
        load({"rules": [{"wire": "a.wire"}]})
    words = "wire works only in a file: it is relative to the file's folder"
    assert [problem.message for problem in caught.value.problems] == [words]


def test_a_wire_file_that_has_gone_since_is_said(tmp_path: Path) -> None:
    path = str(tmp_path / "gone.wire")
    with pytest.raises(ScenarioError) as caught:
        wire_of(AnswerModel(wire=path))
    (problem,) = caught.value.problems
    assert (problem.path, problem.message[:34]) == (path, "this wire file cannot be read: [Er")


def test_a_file_is_written_whole_without_the_help_of_the_system(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(os, "O_TMPFILE")
    write_whole(tmp_path / "a", b"one")
    write_whole(tmp_path / "a", b"two")
    assert [(path.name, path.read_bytes(), path.stat().st_mode & 0o777) for path in tmp_path.iterdir()] == [
        ("a", b"two", 0o600)
    ]


def test_a_file_system_without_nameless_files_still_writes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real, nameless = os.open, os.O_TMPFILE

    def refuse(path: Any, flags: int, *rest: Any, **more: Any) -> int:
        if flags & nameless == nameless:
            raise OSError(95, "Operation not supported")
        return real(path, flags, *rest, **more)

    monkeypatch.setattr(os, "open", refuse)
    write_whole(tmp_path / "a", b"one")
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("a", b"one")]


def test_a_write_that_fails_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    with pytest.raises(IsADirectoryError):
        write_whole(tmp_path / "a", b"one")
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


@pytest.mark.parametrize(
    ("wire", "is_completion", "said"),
    [
        (WireRecord(0, (), "raw", (Segment(0.0, b"SSH"),)), True, {}),
        (WireRecord(200, (), "length", (Segment(0.0, b"{}"),)), False, {}),
        (WireRecord(200, (), "length", (Segment(0.0, b"{}"),), provider="openai", dialect="none"), True, {}),
        (WireRecord(500, (), "length", (Segment(0.0, b"null"),)), True, {}),
        (
            WireRecord(500, (), "length", (Segment(0.0, b"<p>"),)),
            True,
            {"error": {"status": 500, "body": "<p>"}},
        ),
        (
            WireRecord(429, (("Retry-After", "3"), ("x", "1")), "length", (Segment(0.0, b"{}"),)),
            True,
            {"error": {"status": 429, "body": {}, "headers": {"retry-after": "3"}}},
        ),
    ],
)
def test_what_a_rule_says_of_a_recorded_answer(wire: WireRecord, is_completion: bool, said: dict[str, Any]) -> None:
    assert readable(wire, is_completion=is_completion) == said


@pytest.mark.parametrize(
    ("url", "upstream", "shown"),
    [
        ("https://a.com", Upstream("a.com", 443, True, ""), "https://a.com"),
        ("http://[::1]:80/v1/", Upstream("::1", 80, False, "/v1"), "http://[::1]/v1"),
        ("http://a.com:8080/x", Upstream("a.com", 8080, False, "/x"), "http://a.com:8080/x"),
    ],
)
def test_the_url_of_an_upstream(url: str, upstream: Upstream, shown: str) -> None:
    assert (upstream_of(url), str(upstream)) == (upstream, shown)


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("http://a:x", "this is not a URL"),
        ("a.com", "expected a URL such as https://llm.example.com, without a query"),
        ("https://a.com?x=1", "expected a URL such as https://llm.example.com, without a query"),
    ],
)
def test_what_is_no_upstream_is_refused(url: str, words: str) -> None:
    with pytest.raises(UsageError) as caught:
        upstream_of(url)
    assert str(caught.value) == f"--upstream {url}: {words}"
