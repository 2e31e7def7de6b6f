"""Answers that keep the client waiting. The clock is virtual: nothing here takes as long as it says."""

import json

import pytest
from tables import each_of
from talk import EVERY_PROVIDER
from virtual import (
    BODY,
    DONE,
    EVENTS,
    FINISH,
    PARTS,
    ROLE,
    STREAM_HEADERS,
    TEXTS,
    Case,
    Virtual,
    chunks,
    head,
    is_described,
    of_family,
    seen,
    stream,
    sweep,
    whole,
    whole_case,
)

from emulator.errors import UsageError
from emulator.faults import fault_of
from emulator.providers import PROVIDERS

pytest_plugins = ["leaping"]

ALIVE = b": keep-alive\n\n"
JSON_HEAD = head(b"content-type: application/json\r\n")
END = b"0\r\n\r\n"
BUSY = b'{"error":{"message":"Service Unavailable","type":"503"}}'


def blank(count: int, *rest: bytes, end: bytes = END) -> bytes:
    return JSON_HEAD + chunks([b"\n"] * count + list(rest)) + end


CASES = [
    Case("keepalive_comments", stream(*[ALIVE] * 3, *EVENTS), waits=30),
    Case("keepalive_comments:count=2,interval=0.5,comment=PING", stream(*[b": PING\n\n"] * 2, *EVENTS), waits=1),
    Case(
        "keepalive_comments:count=1,interval=7,after_tokens=2",
        stream(ROLE, *TEXTS[:2], ALIVE, *TEXTS[2:], FINISH, DONE),
        waits=7,
    ),
    whole_case("blank_lines", blank(3, BODY.encode()), waits=30),
    whole_case("blank_lines:count=1,interval=0.25", blank(1, BODY.encode()), waits=0.25),
    whole_case("blank_then_close", blank(4), waits=40),
    whole_case("blank_then_close:count=1,interval=600", blank(1), waits=600),
    Case("blank_then_close", stream(*[b"\n"] * 4), waits=40),
    Case("wait_then_close", head(STREAM_HEADERS) + chunks([ALIVE] * 60), waits=600),
    whole_case("wait_then_close:seconds=35", blank(3, end=b""), waits=30),
    Case("wait_then_close:seconds=0", head(STREAM_HEADERS)),
    Case("slow_first_token", stream(*EVENTS), waits=60),
    whole_case("slow_first_token:seconds=600", whole(BODY), waits=600),
    Case("stall", head(STREAM_HEADERS), "timeout"),
    Case("stall:after_tokens=1", head(STREAM_HEADERS) + chunks([ROLE, TEXTS[0]]), "timeout"),
    Case("stall:seconds=90,after_events=3", stream(*EVENTS), waits=90),
    whole_case("stall:after_bytes=6", whole(BODY)[: -len(BODY.encode()) + 6], "timeout"),
    Case("hang", b"", "timeout"),
    whole_case("hang", b"", "timeout"),
    whole_case("hang:seconds=3600", whole(BODY), waits=3600),
    Case("hang:seconds=5", stream(*EVENTS), waits=5),
    Case("hang", b"", "timeout", "Refuse"),
    Case("hang:seconds=5", whole(BUSY, b"503 Service Unavailable"), prompt="Refuse", waits=5),
    whole_case("blank_lines", blank(3, BUSY).replace(b"200 OK", b"503 Service Unavailable"), prompt="Refuse", waits=30),
]
SWEPT = {case.fault: case for case in CASES}


@each_of("case", CASES, ids=str)
def test_the_wire_shows_exactly_this(each: Virtual, case: Case) -> None:
    answer = each.get(case.fault, case.prompt, streamed=case.streamed, until=case.until)
    assert answer == (case.expected, case.ending)
    assert each.record().notes == ()
    assert each.waited() == case.waits


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("provider", EVERY_PROVIDER)
def test_each_fault_suits_each_provider(virtual: Virtual, provider: str, part: str) -> None:
    sweep(virtual, provider, list(SWEPT.values()), part)


def test_each_fault_is_described_and_shown() -> None:
    kinds = of_family("waiting")
    assert all(is_described(kind) for kind in kinds.values())
    assert {case.fault.partition(":")[0] for case in CASES} == kinds.keys()


# What clients make of it


def test_four_blank_lines_are_the_famous_error(virtual: Virtual) -> None:
    data, _ = virtual.get("blank_then_close", streamed=False)
    with pytest.raises(json.JSONDecodeError) as caught:
        json.loads(seen(data)[2])
    assert str(caught.value) == "Expecting value: line 5 column 1 (char 4)"


@pytest.mark.parametrize("provider", EVERY_PROVIDER)
def test_each_provider_says_what_it_says_while_one_waits(virtual: Virtual, provider: str) -> None:
    data, _ = virtual.get("keepalive_comments:count=1", provider=provider)
    said = PROVIDERS[provider].heartbeat_comment or ALIVE
    assert seen(data)[2].startswith(said + b"data: {")


@pytest.mark.parametrize("provider", EVERY_PROVIDER)
def test_blank_lines_do_not_change_the_json(virtual: Virtual, provider: str) -> None:
    status, headers, body = seen(virtual.get("blank_lines", provider=provider, streamed=False)[0])
    assert (status, headers, body[3:]) == seen(virtual.get("", provider=provider, streamed=False)[0])
    assert body[:3] == b"\n\n\n"


def test_a_change_of_the_json_keeps_the_blank_lines(virtual: Virtual) -> None:
    data, _ = virtual.get("blank_lines; usage:form=null", streamed=False)
    body = seen(data)[2]
    assert body.startswith(b"\n\n\n{")
    assert json.loads(body)["usage"] is None


# Together with a pace: the answer of `Slow` has its first token after 25 seconds, the fourth and last after 28


@pytest.mark.parametrize(
    ("fault", "streamed", "seconds"),
    [
        ("", True, 28),
        ("slow_first_token:seconds=60", True, 88),
        ("slow_first_token:seconds=60", False, 88),
        ("keepalive_comments:count=2,interval=5", True, 38),
        ("blank_lines:count=2,interval=5", False, 38),
        ("stall:seconds=100,after_tokens=2", True, 128),
        ("hang:seconds=1", True, 29),
    ],
)
def test_waiting_adds_to_the_pace(virtual: Virtual, fault: str, streamed: bool, seconds: float) -> None:
    virtual.get(fault, "Slow", streamed=streamed)
    assert virtual.waited() == seconds


def test_a_stream_that_is_cut_before_its_headers_has_them_nevertheless(virtual: Virtual) -> None:
    data, ending = virtual.get("hang:seconds=5; truncate:after_seconds=1", streamed=True)
    exchange = virtual.record()
    assert exchange.playback is not None
    assert exchange.playback.ended_at == exchange.started + 5
    assert (data, ending) == (stream(), "eof")


def test_the_headers_of_a_late_answer_come_at_once(virtual: Virtual) -> None:
    """A proxy that waits for headers only sees nothing of it."""
    length = b"content-length: %d\r\n" % len(BODY.encode())
    expected = head(b"content-type: application/json\r\n" + length, chunked=False)
    answer = virtual.get("slow_first_token; stall:after_bytes=0", "Slow", streamed=False, until=expected)
    assert answer == (expected, "timeout")


def test_no_comments_at_all_leave_the_answer_as_it_is(virtual: Virtual) -> None:
    assert virtual.get("keepalive_comments:count=0", streamed=True) == (stream(*EVENTS), "eof")
    note = "fault keepalive_comments (header) was skipped: it leaves this answer as it is"
    assert virtual.record().notes == (note,)


def test_a_whole_answer_behind_heartbeats_is_still_whole(virtual: Virtual) -> None:
    """DeepSeek sends blank lines by itself: what follows is JSON, and faults for JSON find it."""
    data, _ = virtual.get("usage:form=null", "Slow", provider="deepseek", streamed=False)
    assert virtual.record().notes == ()
    body = seen(data)[2]
    assert body.startswith(b"\n\n{")
    assert json.loads(body)["usage"] is None


# What cannot be done


@pytest.mark.parametrize(
    ("fault", "streamed", "reason"),
    [("keepalive_comments", False, "the answer is not a stream"), ("blank_lines", True, "the answer is a stream")],
)
def test_a_fault_that_cannot_be_applied_is_reported(virtual: Virtual, fault: str, streamed: bool, reason: str) -> None:
    data, _ = virtual.get(fault, streamed=streamed)
    assert data == (stream(*EVENTS) if streamed else whole(BODY))
    assert virtual.record().notes == (f"fault {fault} (header) was skipped: {reason}",)


@pytest.mark.parametrize(
    "fault",
    [
        "keepalive_comments:interval=0",
        "keepalive_comments:count=100001",
        "blank_lines:count=-1",
        "wait_then_close:seconds=-1",
        "keepalive_comments:after_tokens=1,after_bytes=1",
    ],
)
def test_nonsense_is_refused(fault: str) -> None:
    with pytest.raises(UsageError):
        fault_of(fault)
