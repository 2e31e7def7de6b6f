"""Live events, as a reader gets them: of one process, and of all that share a store."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from types import SimpleNamespace
from typing import Any, cast

import pytest

from emulator.control import stored
from emulator.control.events import Events
from emulator.control.models import Selection
from emulator.errors import StoreGone
from emulator.request import HttpRequest
from emulator.state.exchanges import Exchange
from emulator.state.journal import Journal


def exchange(number: int) -> Exchange:
    return Exchange(number, 1000.0, HttpRequest("serevix", "POST", "/v1/chat/completions", {}, "", b"{}"))


def kinds(data: bytes) -> list[bytes]:
    return [event.partition(b"\n")[0] for event in data.split(b"\n\n") if event]


def test_what_is_noted_again_begins_once_and_ends_with_its_own_event(monkeypatch: pytest.MonkeyPatch) -> None:
    events, one = Events(Journal(), Selection()), exchange(1)
    events._note(one)
    assert kinds(events._due()) == [b"event: begin"]
    events._note(one)
    assert kinds(events._due()) == []
    monkeypatch.setattr(Exchange, "ended", 2.0)
    assert kinds(events._due()) == []
    events._note(one)
    assert kinds(events._due()) == [b"event: end"]


class Journals:
    """A store that was gone at first, and then has three exchanges."""

    def __init__(self) -> None:
        self.answers: Iterator[Any] = iter((StoreGone("gone"), ["a", "b", "c"]))

    async def changed(self, namespace: str) -> None:
        return

    async def rows(self, namespace: str, last: bytes) -> list[Any]:
        found = next(self.answers)
        if isinstance(found, StoreGone):
            raise found
        return [
            SimpleNamespace(id=name.encode(), row={**ROW, "number": number, "model": name})
            for number, name in enumerate(found, 1)
        ]


ROW = {"provider": "serevix", "rule": None, "outcome": "reply", "status": 200}


def test_ends_come_once_the_store_is_back_and_only_those_that_were_asked_for() -> None:
    async def first() -> Any:
        asked = SimpleNamespace(namespace="default", query=Selection(model="b"))
        ends = stored._ends(cast(Any, SimpleNamespace(journals=Journals())), cast(Any, asked))
        return await anext(ends)

    name, row, number = asyncio.run(first())
    assert (name, b'"model":"b"' in row, number) == ("end", True, 2)


def test_what_has_ended_no_longer_moves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stored, "MAX_NOTED", 2)
    ended = asyncio.Event()

    async def ends() -> AsyncIterator[tuple[str, bytes, int]]:
        for number in (1, 2, 2, 3):  # the first is forgotten for the last
            yield "end", b"{}", number
        ended.set()
        await asyncio.Event().wait()

    async def live() -> AsyncIterator[bytes]:
        await ended.wait()
        for number in (3, 1):
            yield b"event: move\nid: %d\ndata: {}\n\n" % number

    async def first(count: int) -> list[bytes]:
        both = cast(Any, stored._both(live(), ends()))
        try:
            return [await anext(both) for _ in range(count)]
        finally:
            await both.aclose()

    events = [(name, number) for name, number in (("end", 1), ("end", 2), ("end", 3), ("move", 1))]
    expected = [b"event: %b\nid: %d\ndata: {}\n\n" % (name.encode(), number) for name, number in events]
    assert asyncio.run(first(4)) == expected
