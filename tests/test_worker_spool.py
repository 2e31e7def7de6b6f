"""What a worker leaves in memory when it is killed is taken over whole: its journal and its totals."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from talk import KEYS, PATHS, question, single

from emulator import Emulator
from emulator.server import worker_spool
from emulator.server.black_box import Box, Boxes
from emulator.server.worker_spool import WorkerSpool


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


@pytest.mark.parametrize(("half", "rounds"), [(1 << 20, 1), (1 << 18, 3)], ids=["in one log", "written anew"])
def test_another_worker_has_the_same_journal_and_totals(half: int, rounds: int) -> None:
    scenario = {"rules": [{"match": {"prompt": "again"}, "reply": {"content": "Yes."}}], "unmatched": "generate"}
    with Emulator(scenario) as killed, Emulator(scenario) as heir:
        box, app, other = Box(half), app_of(killed), app_of(heir)
        app.spool = WorkerSpool(app, box)
        other.spool = WorkerSpool(other, Box(1 << 20))
        for _ in range(rounds):
            clear(killed)
            for number in range(6):
                ask(killed, "again")
                ask(killed, f"Say {number}.", stream=number % 2 == 0)
                ask(killed, "again", temperature=9.0)
        other.spool.adopt(box)
        assert rows(heir) == rows(killed)
        assert other.totals.to_dict() == app.totals.to_dict()
        assert box.read() == b""


def test_what_a_worker_leaves_of_a_namespace_that_is_gone_is_dropped() -> None:
    with Emulator({"unmatched": "generate"}) as killed, Emulator() as heir:
        box, other = Box(1 << 20), app_of(heir)
        app_of(killed).spool = WorkerSpool(app_of(killed), box)
        other.spool = WorkerSpool(other, Box(1 << 20))
        single.put(f"{killed.origin}/__emulator/namespaces/one", json={})
        url = f"{killed.origin}/@one/deepseek{PATHS['deepseek']}"
        single.post(url, json=question("deepseek", "Hi"), headers=KEYS["deepseek"])
        other.spool.adopt(box)
        assert rows(heir) == []
        assert sum(other.totals.requests.values()) == 1


def test_what_is_taken_over_while_a_log_is_written_anew_is_in_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_spool, "MIN_USED", 0)
    monkeypatch.setattr(worker_spool, "STEP", 0)  # it takes forever
    with Emulator({"unmatched": "generate"}) as killed, Emulator() as heir, Emulator() as last:
        boxes = [Box(1 << 20) for _ in range(3)]
        for emulator, box in zip((killed, heir, last), boxes, strict=True):
            app_of(emulator).spool = WorkerSpool(app_of(emulator), box)
        for number in range(3):  # only the last one's number is new to the heir
            ask(killed, f"Say {number}.")
            if number:
                ask(heir, "Hello")
        app_of(heir).spool.adopt(boxes[0])
        app_of(last).spool.adopt(boxes[1])
        assert [row["prompt"] for row in rows(last)] == ["Hello", "Hello", "Say 2."]


@pytest.mark.parametrize("streams", [False, True])
def test_a_full_log_is_written_anew_at_once(streams: bool) -> None:
    scenario = {"rules": [{"reply": {"content": "Yes."}}]}
    with Emulator(scenario) as killed, Emulator(scenario) as heir:
        box, app, other = Box(1 << 16), app_of(killed), app_of(heir)
        app.spool = WorkerSpool(app, box)
        other.spool = WorkerSpool(other, Box(1 << 20))
        for number in range(120):
            if number % 10 == 0:
                clear(killed)
            ask(killed, f"again {number} {'x' * 1000}", stream=streams)
        assert len(rows(killed)) == 10
        other.spool.adopt(box)
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
        app.spool = WorkerSpool(app, box)
        other.spool = WorkerSpool(other, Box(1 << 22))
        for number in range(60):
            ask(killed, f"Say {number}. {text}", stream=streams)
        kept = [exchange.number for exchange in killed.journal]
        assert kept == list(range(kept[0], 61))
        assert 1 < kept[0] < 55
        other.spool.adopt(box)
        assert rows(heir) == rows(killed)
        assert other.totals.to_dict() == app.totals.to_dict()


def test_workers_leave_each_other_their_share_of_the_bytes() -> None:
    boxes, due = Boxes(2, 0), list[Callable[[], None]]()
    with Emulator() as emulator:
        app = app_of(emulator)
        shelf = app.namespaces.shelf
        shelf.most_bytes, shelf.free = 20_000, lambda: 40_000 - boxes.journals_of_others(0)
        app.spool = spool = WorkerSpool(app, boxes[0])
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
        spool.adopt(boxes[1])
        assert boxes.journals_of_others(0) == 0
