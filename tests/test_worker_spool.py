"""What a worker leaves in memory when it is killed is taken over whole: its journal and its totals."""

import mmap
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from talk import KEYS, PATHS, question, single

from emulator import Emulator
from emulator.request import HttpRequest
from emulator.server import black_box, worker_spool
from emulator.server.black_box import Box, Boxes
from emulator.server.worker_spool import WorkerSpool
from emulator.state import namespaces, packed
from emulator.state.exchanges import Exchange
from emulator.state.packed import Packer, Unpacker


def app_of(emulator: Emulator) -> Any:
    running: Any = emulator
    return running._server.app


def ask(emulator: Emulator, prompt: str, **members: Any) -> None:
    url = emulator.url("deepseek") + PATHS["deepseek"]
    single.post(url, json=question("deepseek", prompt, **members), headers=KEYS["deepseek"])


def rows(emulator: Emulator) -> list[Any]:
    return [exchange.row() for exchange in emulator.journal]


def clear(emulator: Emulator) -> None:
    single.delete(f"{emulator.origin}/__emulator/journal")


@pytest.mark.parametrize(("half", "rounds"), [(1 << 20, 1), (1 << 18, 3)], ids=["in one log", "rewritten"])
def test_another_worker_has_the_same_journal_and_totals(half: int, rounds: int) -> None:
    scenario = {"rules": [{"match": {"prompt": "again"}, "reply": {"content": "Yes."}}], "unmatched": "generate"}
    with Emulator(scenario) as killed, Emulator(scenario) as heir:
        box, app, other = Box(half), app_of(killed), app_of(heir)
        app.spool = WorkerSpool(app, box, 1)
        other.spool = WorkerSpool(other, Box(1 << 20), 2)
        for _ in range(rounds):
            clear(killed)
            for number in range(6):
                ask(killed, "again")
                ask(killed, f"Say {number}.", stream=number % 2 == 0)
                ask(killed, "again", temperature=9.0)
        other.spool.adopt(box, 1)
        assert rows(heir) == rows(killed)
        assert other.totals.to_dict() == app.totals.to_dict()
        assert box.read() == b""


@pytest.mark.parametrize("limit", [None, "MAX_TEMPLATES", "MAX_REPEATED"])
@pytest.mark.parametrize("anew", [False, True], ids=["as they came", "rewritten"])
def test_answers_that_differ_in_little_are_taken_over_one_by_one(
    monkeypatch: pytest.MonkeyPatch, limit: str | None, anew: bool
) -> None:
    if limit is not None:
        monkeypatch.setattr(packed, limit, 1)
    scenario = {"rules": [{"reply": {"content": "Yes."}}]}
    with Emulator(scenario) as killed, Emulator(scenario) as heir:
        box, app, other = Box(1 << 20), app_of(killed), app_of(heir)
        app.spool = WorkerSpool(app, box, 1)
        app.spool._log.packer._is_private = False  # as in a store that others can read
        other.spool = WorkerSpool(other, Box(1 << 20), 2)
        for prompt in ("one", "two", "three", "a key: sk-canary-0123456789", "one two three", "six seven eight"):
            for stream in (True, False):
                ask(killed, prompt, stream=stream)
        assert b"sk-canary" not in box.read()
        if anew:
            app.spool._log.rewrite()
        other.spool.adopt(box, 1)
        assert rows(heir) == rows(killed)


def test_what_a_worker_leaves_of_a_namespace_that_is_gone_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(namespaces, "MAX_GIVEN", 1)
    with Emulator({"unmatched": "generate"}) as killed, Emulator() as heir:
        box, other = Box(1 << 20), app_of(heir)
        app_of(killed).spool = WorkerSpool(app_of(killed), box, 1)
        other.spool = WorkerSpool(other, Box(1 << 20), 2)
        for emulator, name in ((killed, "one"), (heir, "one"), (heir, "two")):
            single.put(f"{emulator.origin}/__emulator/namespaces/{name}", json={})
        url = f"{killed.origin}/@one/deepseek{PATHS['deepseek']}"
        single.post(url, json=question("deepseek", "Hi"), headers=KEYS["deepseek"])
        other.spool.adopt(box, 1)
        assert [(each.name, len(each.journal)) for each in other.namespaces] == [("default", 0), ("two", 0)]
        assert sum(other.totals.requests.values()) == 1


def test_what_is_taken_over_while_a_log_is_rewritten_is_in_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_spool, "MIN_USED", 0)
    monkeypatch.setattr(worker_spool, "STEP", 0)  # it takes forever
    with Emulator({"unmatched": "generate"}) as killed, Emulator() as heir, Emulator() as last:
        boxes = [Box(1 << 20) for _ in range(3)]
        for index, emulator in enumerate((killed, heir, last)):
            app_of(emulator).spool = WorkerSpool(app_of(emulator), boxes[index], index)
        for number in range(3):  # only the last one's number is new to the heir
            ask(killed, f"Say {number}.")
            if number:
                ask(heir, "Hello")
        app_of(heir).spool.adopt(boxes[0], 0)
        app_of(last).spool.adopt(boxes[1], 1)
        assert [row["prompt"] for row in rows(last)] == ["Hello", "Hello", "Say 2."]


def acknowledge(emulator: Emulator) -> None:
    word = {"number": emulator.journal[0].number, "outcome": "failed"}
    single.post(f"{emulator.origin}/__emulator/acknowledge", json=word)


@pytest.mark.parametrize("change", [acknowledge, clear])
@pytest.mark.parametrize("min_used", [0, worker_spool.MIN_USED], ids=["while it is rewritten", "in one log"])
def test_what_changes_is_taken_over_too(
    monkeypatch: pytest.MonkeyPatch, change: Callable[[Emulator], None], min_used: int
) -> None:
    monkeypatch.setattr(worker_spool, "MIN_USED", min_used)
    with Emulator({"unmatched": "generate"}) as killed, Emulator() as heir:
        box, app, other = Box(1 << 20), app_of(killed), app_of(heir)
        app.spool = WorkerSpool(app, box, 1)
        other.spool = WorkerSpool(other, Box(1 << 20), 2)
        ask(killed, "Hi")
        change(killed)
        ask(killed, "Hello")
        other.spool.adopt(box, 1)
        assert rows(heir) == rows(killed)
        assert [row["acknowledged"] for row in rows(heir)] in ([{"outcome": "failed"}, None], [None])


def test_answers_that_are_under_way_are_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_spool, "MIN_USED", 0)
    rules = [
        {"match": {"prompt": "slow"}, "reply": {"content": "word " * 50}, "pace": {"tokens_per_second": 1}},
        {"reply": {"content": "word " * 50}, "pace": {"tokens_per_second": 10_000}},
    ]
    with Emulator({"rules": rules}) as killed, Emulator() as heir:
        box, app, other = Box(1 << 20), app_of(killed), app_of(heir)
        app.spool = WorkerSpool(app, box, 1)
        other.spool = WorkerSpool(other, Box(1 << 20), 2)
        url = killed.url("deepseek") + PATHS["deepseek"]
        body = question("deepseek", "slow", stream=True)
        with single.stream("POST", url, json=body, headers=KEYS["deepseek"]) as answer:
            parts = answer.iter_raw()
            next(parts)
            ask(killed, "Hi", stream=True)
            ask(killed, "Hello", stream=True)
            other.spool.adopt(box, 1)
        assert [(row["prompt"], row["ended"]) for row in rows(heir)] == [
            ("slow", "lost"),
            ("Hi", "complete"),
            ("Hello", "complete"),
        ]
        assert sum(other.totals.requests.values()) == 3


def test_a_log_that_belongs_to_a_new_worker_is_left_alone() -> None:
    with Emulator() as fresh, Emulator() as heir:
        box, other = Box(1 << 20), app_of(heir)
        app_of(fresh).spool = WorkerSpool(app_of(fresh), box, 3)
        other.spool = WorkerSpool(other, Box(1 << 20), 2)
        ask(fresh, "Hi")
        other.spool.adopt(box, 1)
        assert rows(heir) == []
        other.spool.adopt(box, 3)
        assert rows(heir) == rows(fresh) != []


@pytest.mark.parametrize("streams", [False, True])
def test_a_full_log_is_rewritten_at_once(streams: bool) -> None:
    scenario = {"rules": [{"reply": {"content": "Yes."}}]}
    with Emulator(scenario) as killed, Emulator(scenario) as heir:
        box, app, other = Box(1 << 16), app_of(killed), app_of(heir)
        app.spool = WorkerSpool(app, box, 1)
        other.spool = WorkerSpool(other, Box(1 << 20), 2)
        for number in range(120):
            if number % 10 == 0:
                clear(killed)
            ask(killed, f"again {number} {'x' * 1000}", stream=streams)
        assert len(rows(killed)) == 10
        other.spool.adopt(box, 1)
        assert rows(heir) == rows(killed)
        assert other.totals.to_dict() == app.totals.to_dict()


@pytest.mark.parametrize(("half", "streams"), [(1 << 16, False), (1 << 20, True)])
@pytest.mark.parametrize("step", [1, worker_spool.STEP])
def test_a_journal_keeps_no_more_than_its_log_can(
    monkeypatch: pytest.MonkeyPatch, half: int, streams: bool, step: int
) -> None:
    monkeypatch.setattr(worker_spool, "MIN_USED", half // 2)
    monkeypatch.setattr(worker_spool, "STEP", step)
    text = "x" * 2000
    with Emulator({"unmatched": "generate"}) as killed, Emulator() as heir:
        box, app, other = Box(half), app_of(killed), app_of(heir)
        app.spool = WorkerSpool(app, box, 1)
        other.spool = WorkerSpool(other, Box(1 << 22), 2)
        for number in range(60):
            ask(killed, f"Say {number}. {text}", stream=streams)
        kept = [exchange.number for exchange in killed.journal]
        assert kept == list(range(kept[0], 61))
        assert 1 < kept[0] < 55
        other.spool.adopt(box, 1)
        assert rows(heir) == rows(killed)
        assert other.totals.to_dict() == app.totals.to_dict()


def test_an_exchange_that_is_too_large_for_a_log_leaves_it_to_others() -> None:
    with Emulator({"unmatched": "generate"}) as killed, Emulator() as heir:
        box, app, other = Box(1 << 16), app_of(killed), app_of(heir)
        app.spool = WorkerSpool(app, box, 1)
        other.spool = WorkerSpool(other, Box(1 << 20), 2)
        for prompt in ("x" * 57_000, "Hi", "Hello"):
            ask(killed, prompt, temperature=1)
        other.spool.adopt(box, 1)
        assert rows(heir) == rows(killed)[-2:]
        assert other.totals.to_dict() == app.totals.to_dict()


def test_workers_leave_each_other_their_share_of_the_bytes() -> None:
    boxes, due = Boxes(2, 0), list[Callable[[], None]]()
    with Emulator() as emulator:
        app = app_of(emulator)
        shelf = app.namespaces.shelf
        shelf.most_bytes, shelf.free = 20_000, lambda: 40_000 - boxes.journals_of_others(0)
        app.spool = spool = WorkerSpool(app, boxes[0], 1)
        clock: Any = SimpleNamespace(now=lambda: 0.0, call_at=lambda when, look: due.append(look))
        spool.watch(clock)
        for _ in range(40):
            ask(emulator, "Hi")
        assert 20_000 < shelf.bytes <= 40_000
        boxes[1].journals = 15_000
        due.pop()()
        assert 20_000 < shelf.bytes <= 25_000
        boxes[1].journals = 40_000
        due.pop()()
        assert 15_000 < boxes[0].journals == shelf.bytes <= 20_000
        boxes[1].reset(2)
        spool.adopt(boxes[1], 2)
        assert boxes.journals_of_others(0) == 0


def test_where_memory_is_scarce_no_worker_can_have_more_than_its_share(monkeypatch: pytest.MonkeyPatch) -> None:
    def limited(half: int) -> Box:
        if half > black_box.MARGIN + 50_000 + mmap.PAGESIZE:
            raise OSError("Cannot allocate memory")
        return Box(half)

    monkeypatch.setattr(black_box, "Box", limited)
    boxes = Boxes(2, 100_000)
    assert len(boxes) == 6
    assert black_box.MARGIN < boxes[0].half <= black_box.MARGIN + 50_000 + mmap.PAGESIZE


@pytest.mark.parametrize("key", [None, "sk-canary-0123456789"])
def test_what_is_odd_about_an_exchange_survives(key: str | None) -> None:
    body = b'{"x":"' + (key or "none").encode() + b'"}'
    http_request = HttpRequest("deepseek", "POST", "/chat/completions", {}, "", body, key, operation="chat")
    odd = Exchange(3, 1000.0, http_request, model="a\ud800", body_size=9999)
    odd._unheeded = ("top_k",)
    (read,) = Unpacker().read(Packer(is_private=False).pack(odd))
    shown = b'{"x":"[redacted]"}' if key else body
    found = read.exchange
    assert (found.number, found.model, found.unheeded) == (3, "a?", ("top_k",))
    assert (found._http_request.body, found._http_request.key) == (shown, None)
    assert (found.body_size, "body_digest" in read.known) == (9999 - len(body) + len(shown), False)
