"""The end of a response is found in its bytes, and a recorded response is parsed whole."""

import pytest

from emulator.recording import tape as tapes
from emulator.recording.following import Followed, followed
from emulator.recording.tape import EndFinder, Tape
from emulator.recording.wire_file import Segment

HEAD = b"HTTP/1.1 200 OK\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    ("method", "pieces", "found"),
    [
        ("GET", [HEAD + b"Content-Length: 3\r\n\r\nab", b"c"], (200, True, True, False)),
        ("GET", [HEAD, b"Content-Length: 3\r\n", b"\r\nab"], (200, False, True, False)),
        ("HEAD", [HEAD + b"Content-Length: 3\r\n\r\n"], (200, True, True, False)),
        ("GET", [b"HTTP/1.1 204 No\r\nConnection: close\r\n\r\n"], (204, True, False, False)),
        ("GET", [b"HTTP/1.1 100 Continue\r\n\r\n" + HEAD + b"Content-Length: 0\r\n\r\n"], (200, True, True, False)),
        ("GET", [CHUNKED, b"1", b"\r\na\r", b"\n0\r\nX: 1\r\n\r\n"], (200, True, True, False)),
        ("GET", [CHUNKED + b"no size\r\n", b"0\r\n\r\n"], (200, False, True, False)),
        ("GET", [CHUNKED + b"1" * 70000, b"\r\n"], (200, False, True, False)),
        ("GET", [HEAD + b"\r\nabc"], (200, False, False, True)),
        ("GET", [b"SSH-2.0\r\n\r\n", b"more"], (0, False, False, False)),
    ],
    ids=["length", "pieces", "HEAD", "204", "100", "chunks", "bad size", "long size", "closing", "not HTTP"],
)
def test_the_end_of_a_response_is_found(method: str, pieces: list[bytes], found: tuple[int, bool, bool, bool]) -> None:
    finder = EndFinder(method)
    for piece in pieces:
        finder.feed(piece)
    assert (finder.status, finder.is_over, finder.keeps_alive, finder.ends_by_closing) == found


def test_a_head_without_an_end_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tapes, "MAX_HEAD", 10)
    finder = EndFinder("GET")
    finder.feed(HEAD)
    finder.feed(b"Content-Length: 0\r\n\r\n")
    assert (finder.status, finder.is_over) == (0, False)


def parsed(*pieces: bytes, method: str = "GET", is_reset: bool = False) -> Followed:
    tape = Tape(method, is_reset=is_reset)
    for number, piece in enumerate(pieces):
        tape.add(piece, float(number))
    return followed(tape)


def test_a_response_that_is_too_long_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tapes, "MAX_KEPT", 4)
    tape = Tape("GET")
    tape.add(b"abc", 1.0)
    tape.add(b"def", 2.0)
    assert (tape.pieces, list(tape.moments), tape.size, tape.ended_at) == ([], [], 6, 2.0)
    assert followed(tape) == Followed(is_too_long=True, ended_at=2.0)
    assert not followed(tape).is_whole


LENGTH = HEAD + b"Content-Length: 3\r\n\r\n"
FOLLOWED: list[tuple[Followed, Followed]] = [
    (
        parsed(LENGTH + b"abc", b"surplus"),
        Followed(200, "OK", (("Content-Length", "3"),), "length", [Segment(0.0, b"abc")]),
    ),
    (
        parsed(CHUNKED + b"2\r\na", b"b\r\n0\r\nX: 1\r\n\r\n"),
        Followed(
            200,
            "OK",
            (("Transfer-Encoding", "chunked"),),
            "chunks",
            [Segment(1.0, b"ab")],
            (("X", "1"),),
            ended_at=1.0,
        ),
    ),
    (
        parsed(CHUNKED + b"2\r\na", is_reset=True),
        Followed(200, "OK", (("Transfer-Encoding", "chunked"),), "chunks", [Segment(0.0, b"a")], ended="reset"),
    ),
    (parsed(HEAD + b"\r\nabc"), Followed(200, "OK", (), "close", [Segment(0.0, b"abc")])),
    (
        parsed(HEAD[:9] + b"103 Early Hints\r\nLink: a\r\n\r\n" + LENGTH, b"abc"),
        Followed(200, "OK", (("Content-Length", "3"),), "length", [Segment(1.0, b"abc")], ended_at=1.0),
    ),
    (parsed(LENGTH, method="HEAD"), Followed(200, "OK", (("Content-Length", "3"),), "none")),
    (
        parsed(b"SSH\r\n\r\n", b"more"),
        Followed(
            framing="raw",
            segments=[Segment(0.0, b"SSH\r\n\r\n"), Segment(1.0, b"more")],
            ended="closed",
            ended_at=1.0,
            is_readable=False,
        ),
    ),
]


@pytest.mark.parametrize(
    ("found", "expected"), FOLLOWED, ids=["surplus", "trailers", "reset", "closing", "hints", "HEAD", "not HTTP"]
)
def test_a_recorded_response_is_parsed_whole(found: Followed, expected: Followed) -> None:
    assert found == expected
