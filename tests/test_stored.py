"""Stored responses: how many there are, what they remember of their items, and what can still be canceled."""

from typing import Any

from emulator.stored import ResponseStore, StoredResponse


def stored(id: str, *items: tuple[str, str], ready: float = 10.0) -> StoredResponse:
    output = [{"id": item, "type": kind} for item, kind in items]
    body: dict[str, Any] = {"id": id, "output": output}
    return StoredResponse(body, (), (), 0.0, ready)


def test_the_oldest_response_gives_way_with_its_items() -> None:
    store = ResponseStore(lambda: 0.0, limit=2, changed={})
    for number in range(3):
        store.put(stored(f"r{number}", (f"t{number}", "reasoning"), (f"m{number}", "message")))
    assert [store.get(f"r{number}") is not None for number in range(3)] == [False, True, True]
    assert [store.item(f"m{number}") is not None for number in range(3)] == [False, True, True]
    assert [store.thought_before(f"m{number}") for number in range(3)] == [None, "t1", "t2"]
    assert list(store.changed or ()) == ["r0", "r1", "r2"]


def test_only_what_is_in_progress_is_canceled_and_only_once() -> None:
    moments = [9.0, 9.5, 11.0]
    store = ResponseStore(moments.pop, changed={})
    late, early = stored("late"), stored("early", ready=20.0)
    store.cancel(late)  # at 11
    store.cancel(early)
    store.cancel(early)
    assert (late.canceled, early.canceled, list(store.changed or ()), moments) == (False, True, ["early"], [9.0])
