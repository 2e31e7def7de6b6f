"""Calls among the processes of one server, whatever the transport: calls all of them, and answers their calls."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from emulator.server.broker import ALL, ANSWER, CALL, CANCEL, GONE, JOINED, MORE, PART, SENT, Frame

if TYPE_CHECKING:
    from emulator.control.controlled import Handle

RESTART = 255
"""A kind of frame that is never sent: continuing answers must be requested again."""
Send = Callable[[int, int, int, bytes], None]
"""Sends a frame: kind, receiver, number of the call, payload."""


@dataclass(slots=True, eq=False)
class Question:
    """A call whose answers are awaited."""

    call: int
    done: asyncio.Future[None]
    expected: set[int] | None = None
    """None: the receivers are not known yet."""
    answers: dict[int, bytes] = field(default_factory=dict)
    has_lost: bool = False
    """Whether a process ended that should have answered."""

    def look(self) -> None:
        """Checks whether the call is complete."""
        if self.expected is not None and self.expected <= self.answers.keys() and not self.done.done():
            self.done.set_result(None)

    @property
    def missing(self) -> list[int]:
        """The processes that have not answered."""
        return sorted((self.expected or set()) - self.answers.keys())

    def parts(self) -> list[bytes]:
        """The answers, in the order of the processes."""
        return [answer for _, answer in sorted(self.answers.items()) if answer]


class Conversation:
    """One process's part: its calls, and its answers to others."""

    def __init__(self, send: Send) -> None:
        self.answers = Answers(send)
        self._send = send
        self._calls = 0
        self._asked: dict[int, Question] = {}
        self._streams: dict[int, asyncio.Queue[Frame]] = {}

    def serve(self, handle: "Handle", order: int) -> None:
        """Starts answering calls; those up to `order` have already been taken over."""
        self._send(JOINED, ALL, 0, b"")
        self.answers.serve(handle, order)

    def restart_streams(self) -> None:
        """Requests continuing answers again, since the others have ended them."""
        for queue in self._streams.values():
            queue.put_nowait(Frame(RESTART, ALL, 0, 0, 0, b""))

    @contextmanager
    def asking(self) -> Iterator[Question]:
        """A call that can be answered within this context."""
        call = self._next_call()
        question = self._asked[call] = Question(call, asyncio.get_running_loop().create_future())
        try:
            yield question
        finally:
            del self._asked[call]

    async def stream(self, message: bytes) -> AsyncIterator[bytes]:
        """Yields the parts of all processes' answers as they arrive, until the reader leaves. New processes join in."""
        call = self._next_call()
        queue = self._streams[call] = asyncio.Queue()
        called: set[int] = set()
        try:
            self._send(CALL, ALL, call, message)
            while True:
                frame = await queue.get()
                if frame.kind == PART:
                    yield frame.payload
                    self._send(MORE, frame.sender, call, b"")
                elif frame.kind == SENT:
                    called |= indices(frame.payload)
                elif frame.kind == GONE:
                    called.discard(frame.sender)
                elif frame.kind == RESTART:
                    called.clear()
                    self._send(CALL, ALL, call, message)
                elif frame.sender not in called:
                    called.add(frame.sender)
                    self._send(CALL, frame.sender, call, message)
        finally:
            del self._streams[call]
            self._send(CANCEL, ALL, call, b"")

    def on_frame(self, frame: Frame) -> None:
        """Handles a frame."""
        kind = frame.kind
        if kind in (CALL, CANCEL, MORE):
            self.answers.on_frame(frame)
        elif (stream := self._streams.get(frame.call)) is not None and kind in (PART, SENT):
            stream.put_nowait(frame)
        elif kind in (JOINED, GONE):
            if kind == GONE:
                self._lost(frame.sender)
            for queue in self._streams.values():
                queue.put_nowait(frame)
        elif (waiting := self._asked.get(frame.call)) is not None:
            if kind == SENT:
                waiting.expected = indices(frame.payload)
            elif kind == ANSWER:
                waiting.answers[frame.sender] = frame.payload
            waiting.look()

    def _lost(self, sender: int) -> None:
        for asked in self._asked.values():
            if asked.expected is not None and sender in asked.expected:
                asked.has_lost = asked.has_lost or sender not in asked.answers
                asked.expected.discard(sender)
                asked.look()
        self.answers.lost(sender)

    def _next_call(self) -> int:
        self._calls = self._calls % 0xFFFFFFFF + 1
        return self._calls


class Answers:
    """The answering part of a process."""

    def __init__(self, send: Send) -> None:
        self.order = 0
        """The number of the last call to all on which this process has acted or is acting."""
        self.received = 0
        """The number of the last call to all that has arrived."""
        self.handle: Handle | None = None
        self._send = send
        self._held: list[Frame] = []
        """Calls that arrived before this process took over the state of another one."""
        self._ordered: deque[Frame] = deque()
        """Unfinished calls to all; the first one is running."""
        self._played: dict[tuple[int, int], tuple[asyncio.Task[None], asyncio.Event]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def serve(self, handle: "Handle", order: int) -> None:
        """Starts answering; calls to all up to `order` have already been taken over."""
        self.handle, self.order, self.received = handle, order, order
        held, self._held = self._held, []
        for frame in held:
            self.on_frame(frame)

    def stop(self) -> None:
        """Ends continuing answers: their callers can't be reached and will ask again."""
        for task, _ in self._played.values():
            task.cancel()
        self._played.clear()

    def lost(self, sender: int) -> None:
        """Removes a process that is gone."""
        for key in [key for key in self._played if key[0] == sender]:
            self._played.pop(key)[0].cancel()

    def on_frame(self, frame: Frame) -> None:
        """Runs a call and answers it. Calls to all run one after the other, however long each takes."""
        if self.handle is None:
            self._held.append(frame)
        elif frame.kind == MORE:
            if (played := self._played.get((frame.sender, frame.call))) is not None:
                played[1].set()
        elif frame.kind == CANCEL:
            self._stop(frame)
        elif not frame.order:
            self._act(frame)
        elif frame.order <= self.received:  # already taken over
            self._send(ANSWER, frame.sender, frame.call, b"")
        else:
            self.received = frame.order
            self._ordered.append(frame)
            if len(self._ordered) == 1:
                self._do_ordered()

    def _do_ordered(self) -> None:
        while self._ordered:
            self.order = self._ordered[0].order
            task = self._act(self._ordered[0])
            if task is not None:
                task.add_done_callback(self._go_on)
                return
            self._ordered.popleft()

    def _go_on(self, _: asyncio.Task[None]) -> None:
        self._ordered.popleft()
        self._do_ordered()

    def _act(self, frame: Frame) -> asyncio.Task[None] | None:
        """Runs a call. Returns its task if it is unfinished, unless it continues until the reader leaves."""
        assert self.handle is not None
        answer = self.handle(frame.payload)
        if isinstance(answer, bytes):
            self._send(ANSWER, frame.sender, frame.call, answer)
            return None
        if isinstance(answer, AsyncIterator):
            self._stop(frame)
            event = asyncio.Event()
            task = self._keep(self._play(frame, answer, event))
            self._played[frame.sender, frame.call] = (task, event)
            return None
        return self._keep(self._answer_later(frame, answer))

    def _stop(self, frame: Frame) -> None:
        if (played := self._played.pop((frame.sender, frame.call), None)) is not None:
            played[0].cancel()

    def _keep(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _answer_later(self, frame: Frame, answer: Awaitable[bytes]) -> None:
        self._send(ANSWER, frame.sender, frame.call, await answer)

    async def _play(self, frame: Frame, parts: AsyncIterator[bytes], event: asyncio.Event) -> None:
        async for part in parts:
            event.clear()
            self._send(PART, frame.sender, frame.call, part)
            await event.wait()


def indices(payload: bytes) -> set[int]:
    """Returns the processes that a frame names."""
    return {int.from_bytes(payload[at : at + 2]) for at in range(0, len(payload), 2)}
