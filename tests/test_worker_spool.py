"""What a worker leaves in memory when it is killed is taken over whole: its journal and its totals."""

from typing import Any

import pytest
from talk import KEYS, PATHS, question, single

from emulator import Emulator
from emulator.server.black_box import HEADER, Box
from emulator.server.worker_spool import WorkerSpool


def box_of(half: int) -> Box:
    return Box(memoryview(bytearray(HEADER + 2 * half)), half)


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
        box, app, other = box_of(half), app_of(killed), app_of(heir)
        app.spool = WorkerSpool(app, box)
        other.spool = WorkerSpool(other, box_of(1 << 20))
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
        box, other = box_of(1 << 20), app_of(heir)
        app_of(killed).spool = WorkerSpool(app_of(killed), box)
        other.spool = WorkerSpool(other, box_of(1 << 20))
        single.put(f"{killed.origin}/__emulator/namespaces/one", json={})
        url = f"{killed.origin}/@one/deepseek{PATHS['deepseek']}"
        single.post(url, json=question("deepseek", "Hi"), headers=KEYS["deepseek"])
        other.spool.adopt(box)
        assert rows(heir) == []
        assert sum(other.totals.requests.values()) == 1
