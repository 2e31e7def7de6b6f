"""Several workers and their parent in one process: what the channel does when one of them is slow, or gone."""

import asyncio
import os
import select
import socket
import time
from collections.abc import Awaitable, Callable
from typing import Any, cast

import pytest

from emulator.errors import StoreGone, Unanswered
from emulator.server import broker as brokers
from emulator.server import channel as channels
from emulator.server.black_box import Boxes
from emulator.server.broker import (
    ALL,
    ANSWER,
    BEQUEST,
    CALL,
    GONE,
    HEIR,
    JOINED,
    SENT,
    STORE,
    Broker,
    Frame,
    take_frames,
)
from emulator.server.channel import Channel, Member
from emulator.server.conversation import Answers
from emulator.state.shared import Shared

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="workers need a system that can fork")


class Parent:
    """A parent that forwards frames whenever the loop is idle, and its workers."""

    def __init__(self) -> None:
        self.broker = Broker(8)
        self.channels: dict[int, Channel] = {}
        self.heard: dict[int, list[bytes]] = {}
        """The calls that each worker has answered."""

    async def add(self, index: int, *, answers: bool = True, serves: bool = True) -> Channel:
        sock, slot = self.broker.connect(index)
        boxes = cast(Boxes, None)
        channel = self.channels[index] = Channel(Member(index, sock, cast(Shared, None), 2, boxes, slot))
        await channel.start()
        self.heard[index] = []
        if serves:
            self.serve(index, answers=answers)
        await self.turn()
        return channel

    def serve(self, index: int, *, answers: bool = True) -> None:
        def handle(message: bytes) -> Any:
            self.heard[index].append(message)
            return b"%d" % index if answers else asyncio.Event().wait()

        self.channels[index].serve(handle)

    async def turn(self) -> None:
        """Forwards what there is."""
        for _ in range(5):
            readable, *_ = select.select(self.broker.readers(), [], [], 0)
            self.broker.turn(readable)
            await asyncio.sleep(0)

    async def until(self, awaitable: Awaitable[Any]) -> Any:
        """Forwards until there is a result."""
        future = asyncio.ensure_future(awaitable)
        async with asyncio.timeout(30):
            while not future.done():
                await self.turn()
        return future.result()


def ran(steps: Callable[[Parent], Awaitable[Any]]) -> Any:
    async def inside() -> Any:
        parent = Parent()
        try:
            return await steps(parent)
        finally:
            for channel in parent.channels.values():
                channel.close()
            await asyncio.sleep(0)
            parent.broker.close()

    return asyncio.run(inside())


@pytest.mark.parametrize("is_write", [False, True])
def test_what_is_read_is_asked_again_if_a_worker_is_lost_meanwhile(is_write: bool) -> None:
    """The others have taken over what that one had. What is written has been written, and is not written again."""

    async def steps(parent: Parent) -> Any:
        asking = await parent.add(1)
        await parent.add(2, answers=False)
        answer = asyncio.ensure_future(asking.ask(b"journal", is_write=is_write))
        await parent.turn()
        parent.channels[2].close()
        return await parent.until(answer), parent.heard[1]

    assert ran(steps) == ([b"1"], [b"journal"] if is_write else [b"journal", b"journal"])


def test_a_worker_that_sends_much_is_read_in_several_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(brokers, "RECEIVE", 16)

    async def steps(parent: Parent) -> Any:
        asking = await parent.add(1)
        await parent.add(2)
        return await parent.until(asking.ask(b"x" * 5000)), parent.heard[2]

    assert ran(steps) == ([b"1", b"2"], [b"x" * 5000])


def test_a_new_worker_asks_another_one_if_the_first_ends_before_it_answers() -> None:
    async def steps(parent: Parent) -> Any:
        await parent.add(1, answers=False)
        await parent.add(2)
        asking = await parent.add(3)
        answer = asyncio.ensure_future(asking.ask_one(b"take over"))
        await parent.turn()
        parent.channels[1].close()
        return await parent.until(answer), parent.heard[1], parent.heard[2]

    assert ran(steps) == ([b"2"], [b"take over"], [b"take over"])


def test_a_new_worker_waits_for_an_older_one_if_none_is_ready() -> None:
    async def steps(parent: Parent) -> Any:
        older, newer = await parent.add(1, serves=False), await parent.add(2, serves=False)
        first, second = (asyncio.ensure_future(each.ask_one(b"take over")) for each in (older, newer))
        await parent.turn()
        before = first.done(), second.done()
        parent.serve(1)
        return before, await parent.until(first), await parent.until(second)

    assert ran(steps) == ((True, False), [], [b"1"])


@pytest.mark.parametrize(
    ("calls", "serving", "ended", "has_forgotten"),
    [(1, 2, (1,), False), (1, 2, (1, 2), True), (0, 2, (1, 2), False), (1, 1, (2,), False), (1, 1, (1,), True)],
)
def test_who_knows_what_has_been_called_is_noted(
    calls: int, serving: int, ended: tuple[int, ...], has_forgotten: bool
) -> None:
    async def steps(parent: Parent) -> bool:
        for index in (1, 2):
            await parent.add(index, serves=index <= serving)
        for _ in range(calls):
            asking = asyncio.ensure_future(parent.channels[1].ask(b"faults", is_write=True))
            await parent.turn()
            asking.cancel()
        for index in ended:
            parent.broker.lost(index)
        return parent.broker.has_forgotten

    assert ran(steps) is has_forgotten


def test_who_does_not_answer_in_time_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(channels, "ANSWER_TIMEOUT", 0.05)

    async def steps(parent: Parent) -> Any:
        asking = await parent.add(1)
        with pytest.raises(Unanswered) as unheard:
            await asking.ask(b"journal")
        await parent.add(3, answers=False)
        with pytest.raises(Unanswered) as slow:
            await parent.until(asking.ask(b"journal"))
        return str(unheard.value), str(slow.value)

    words = "Worker {} has not answered within 0 s; the others have."
    assert ran(steps) == (words.format("?"), words.format("3"))


def test_a_store_that_does_not_reply_in_time_counts_as_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(channels, "STORE_TIMEOUT", 0.05)

    async def steps(parent: Parent) -> Any:
        channel = await parent.add(1)
        late = channel.ask_store(b"")
        given_up = channel.ask_store(b"")
        given_up.cancel()
        with pytest.raises(StoreGone) as gone:
            await late
        channel.data_received(Frame(STORE, 1, 0, 1, 0, b"too late").encoded())
        return str(gone.value)

    assert ran(steps) == "The store in the parent of the workers has not replied within 0 s."


def test_a_reply_of_the_store_in_the_last_moment_is_a_reply(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(channels, "STORE_TIMEOUT", 0.01)

    async def inside() -> bytes:
        near, far = socket.socketpair()
        near.setblocking(False)
        channel = Channel(Member(1, near, cast(Shared, None), 1, cast(Boxes, None), 0))
        await channel.start()
        reply = channel.ask_store(b"")
        far.send(Frame(STORE, 1, 0, 1, 0, b"reply").encoded())
        time.sleep(0.02)  # noqa: ASYNC251 - both are due when the loop goes on
        found = await reply
        channel.close()
        far.close()
        return found

    assert asyncio.run(inside()) == b"reply"


def test_a_worker_without_its_parent_stops(monkeypatch: pytest.MonkeyPatch) -> None:
    killed: list[tuple[int, int]] = []

    async def steps(parent: Parent) -> Any:
        stopped = asyncio.Event()

        def kill(pid: int, number: int) -> None:
            killed.append((pid, number))
            stopped.set()

        monkeypatch.setattr(os, "kill", kill)
        channel = await parent.add(1)
        Channel(Member(2, cast(Any, None), cast(Shared, None), 2, cast(Boxes, None), 0)).close()  # it never started
        parent.broker.close()
        await asyncio.wait_for(stopped.wait(), 30)
        channel.send(CALL, ALL, 1)

    ran(steps)
    assert killed == [(os.getpid(), 15)]


def test_who_asks_after_a_worker_was_killed_hears_first_what_that_one_left() -> None:
    """Even if the killed one's last frames have not been read yet."""
    broker = Broker(2)
    (killed, _), (asking, _) = broker.connect(1), broker.connect(2)
    with asking:
        asking.send(Frame(JOINED, ALL, 2, 0, 0, b"").encoded())
        broker.turn(broker.readers())
        with killed:
            killed.send(Frame(JOINED, ALL, 1, 0, 0, b"").encoded())
        asking.send(Frame(CALL, ALL, 2, 7, 0, b"journal").encoded())
        broker.turn(broker.readers())
        heard = take_frames(bytearray(asking.recv(1 << 16)))
    broker.close()
    assert [frame.kind for frame in heard] == [JOINED, HEIR, GONE, SENT, CALL]


@pytest.mark.parametrize("case", ["it ends with frames unread", "it ends and is written to", "it does not read"])
def test_a_worker_that_cannot_be_reached_is_gone(monkeypatch: pytest.MonkeyPatch, case: str) -> None:
    broker = Broker(4)
    (heir, _), (other, slot) = broker.connect(1), broker.connect(2)
    with heir, other:
        heir.send(Frame(JOINED, ALL, 1, 0, 0, b"").encoded())
        if case == "it does not read":
            broker.turn(broker.readers())
            monkeypatch.setattr(brokers, "MAX_PENDING_BYTES", 0)
            for _ in range(100):
                heir.send(Frame(CALL, 2, 1, 0, 0, bytes(10_000)).encoded())
                broker.turn(broker.readers())
        elif case == "it ends and is written to":
            other.close()
            broker.turn(broker.readers()[:1])
        else:
            broker.turn(broker.readers())
            other.close()
            broker.turn(broker.readers())
        broker.turn([])
        heard = take_frames(bytearray(heir.recv(1 << 18)))
    assert [(frame.kind, frame.payload) for frame in heard if frame.kind == HEIR] == [(HEIR, BEQUEST.pack(slot, 2))]
    assert [frame.sender for frame in heard if frame.kind == GONE] == [2]
    broker.close()


def test_a_box_that_was_given_to_a_new_worker_is_not_given_away_when_its_heir_replies() -> None:
    """The heir was slow, and there were no other boxes."""
    broker = Broker(2)
    (heir, _), (killed, slot) = broker.connect(1), broker.connect(2)
    with heir:
        heir.send(Frame(JOINED, ALL, 1, 0, 0, b"").encoded())
        killed.close()
        broker.turn(broker.readers())
        fresh, given = broker.connect(3)
        heir.send(Frame(HEIR, ALL, 1, 0, 0, BEQUEST.pack(slot, 2)).encoded())
        broker.turn(broker.readers())
        fresh.close()
        broker.turn(broker.readers())
        heir.send(Frame(HEIR, ALL, 1, 0, 0, BEQUEST.pack(slot, 2)).encoded())
        broker.turn(broker.readers())
        bequeathed = [frame.payload for frame in take_frames(bytearray(heir.recv(1 << 16))) if frame.kind == HEIR]
        again, last = broker.connect(4)
        again.close()
    broker.close()
    assert given == last == slot
    assert bequeathed == [BEQUEST.pack(slot, 2), BEQUEST.pack(slot, 3)]


def test_a_call_before_a_worker_has_taken_over_is_answered_after_it() -> None:
    sent: list[tuple[int, int, int, bytes]] = []
    asked: list[bytes] = []

    def handle(message: bytes) -> bytes:
        asked.append(message)
        return message.upper()

    answers = Answers(lambda *frame: sent.append(frame))
    answers.on_frame(Frame(CALL, 2, 1, 7, 3, b"already taken over"))
    answers.on_frame(Frame(CALL, 2, 1, 8, 4, b"new"))
    assert sent == []
    answers.serve(handle, 3)
    assert sent == [(ANSWER, 1, 7, b""), (ANSWER, 1, 8, b"NEW")]
    assert asked == [b"new"]
