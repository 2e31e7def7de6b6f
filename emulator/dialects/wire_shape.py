"""How a dialect lays out what it sends: faults, the journal and verdicts read and change events through `WireShape`."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar, Literal

import orjson

from emulator.dialects.turns import Answer, Turn, plain_turns
from emulator.dialects.vendor import ErrorSpec
from emulator.records import record

Meaning = Literal["content", "reasoning", "call_index", "finish", "usage", "number", "id", "signature"]
"""What a place in an event or in a whole body holds."""
Edge = Literal["start", "stop"]
"""Whether an event starts or stops a block or an item."""
DONE = b"data: [DONE]\n\n"
"""The event that ends many streams."""
_EVENT_END = re.compile(rb"((?:\r\n|\n|\r){2,})")


@record
class Event:
    """One parsed event of a stream."""

    name: str | None
    """The type on its `event:` line; None if there is no such line."""
    native: dict[str, Any]


@record
class Place:
    """Where a value is in an event or in a whole body: the object that holds it, and the member's name."""

    holder: dict[str, Any]
    name: str
    meaning: Meaning
    key: Any = 0
    """Identifies the choice, block or call that it belongs to."""

    @property
    def value(self) -> Any:
        return self.holder.get(self.name)

    def put(self, value: Any) -> None:
        self.holder[self.name] = value

    def remove(self) -> None:
        self.holder.pop(self.name, None)


class WireShape:
    """Reads and changes what a dialect sends: one event or one whole body at a time.

    The defaults suit a dialect that has no such thing."""

    terminator: ClassVar[bytes | None] = None
    """The last event of a stream, if all it does is end the stream."""
    end_is: ClassVar[str] = "the event with the finish reason"
    """What ends a stream without a terminator, in words."""
    stream_type: ClassVar[str] = "event-stream"
    """A part of the Content-Type of streams."""
    reason_is_end: ClassVar[bool] = False
    """Whether only the finish reason shows that a stream is complete."""
    facts: ClassVar[tuple[str, ...]] = ()
    """The members that describe an answer, as opposed to its content."""

    deprecated: ClassVar[Mapping[str, str]] = {}
    """Deprecated members of a request, with what to do instead."""
    takes_key_in_url: ClassVar[bool] = False
    """Whether the provider documents `?key=` in the URL as a way to send the key."""
    ignores_as_documented: ClassVar[bool] = False
    """Whether the provider, too, ignores the members that the body declares as ignored."""
    wants_reasoning_back: ClassVar[bool] = False
    """Whether the next request must include the reasoning of a turn that called tools."""

    counted_as: ClassVar[Mapping[str, tuple[str, ...]]] = {}
    """The numbers of a `Usage`, each with the members of the wire's usage that add up to it."""
    block_word: ClassVar[str] = ""
    """The name for the parts of an answer, if an answer consists of several kinds of parts."""

    def dumps(self, value: Any) -> bytes:
        """Returns JSON in this dialect's style."""
        raise NotImplementedError

    # One frame

    def event_name(self, native: Any) -> str | None:
        """The type on the `event:` line of an event; None if events have no such line."""
        return None

    def frame(self, native: Any, name: str | None = None) -> bytes:
        """Returns one event as bytes. `name` replaces its type."""
        if name is None:
            name = self.event_name(native)
        data = b"data: %b\n\n" % self.dumps(native)
        return data if name is None else b"event: %b\n%b" % (name.encode(), data)

    def read_frame(self, data: bytes) -> Event | None:
        """Parses the output of `frame`; None if it holds no JSON object, or a fault has changed its layout."""
        name: str | None = None
        found: bytes | None = None
        for line in data.split(b"\n"):
            if line.startswith(b"data: "):
                if found is not None:
                    return None
                found = line[6:]
            elif line.startswith(b"event: "):
                name = line[7:].decode("utf-8", "replace")
        native = self.read_body(found) if found is not None else None
        return Event(name, native) if native is not None else None

    def split(self, body: bytes) -> list[bytes]:
        """Splits a stream into its events, each followed by the separator after it."""
        return _EVENT_END.split(body)

    def read_body(self, data: bytes) -> dict[str, Any] | None:
        """Parses a whole body; None if it is not a JSON object."""
        try:
            native = orjson.loads(data)
        except orjson.JSONDecodeError:
            return None
        return native if isinstance(native, dict) else None

    # The conversation, for verdicts: what was asked and answered, even if `parse` would reject it

    def turns(self, body: Mapping[str, Any]) -> list[Turn]:
        """Returns the turns in a request."""
        return list(plain_turns(body))

    def answer_of(self, natives: Sequence[dict[str, Any]]) -> Answer:
        """Returns the answer that the events of a stream, or the single body, add up to."""
        return Answer()

    # Where things stand

    def places(self, native: dict[str, Any], *meanings: Meaning) -> Iterator[Place]:
        """Yields the places with these meanings in an event or a whole body, in order, including empty and null
        ones."""
        yield from ()

    def objects(self, native: dict[str, Any]) -> Iterator[dict[str, Any]]:
        """Yields every object to which a provider might add a member: the event or body itself, then those inside."""
        yield native

    def call_objects(self, native: dict[str, Any]) -> Iterator[tuple[Any, dict[str, Any]]]:
        """Yields the objects that describe a tool call and are repeated with each of its pieces, with the call's
        key."""
        yield from ()

    # Faults. `native` is changed in place

    def without_facts(self, native: dict[str, Any]) -> dict[str, Any]:
        """Removes the members in `facts`."""
        for name in self.facts:
            native.pop(name, None)
        return native

    def without_text(self, native: dict[str, Any]) -> None:
        """Replaces every text, and every place for one, with null."""
        for place in self.places(native, "content"):
            place.put(None)

    def without_answer(self, native: dict[str, Any], value: Any) -> bool:
        """Replaces everything that is answered with `value`, an empty list or null. Returns False if such a stream
        would not have this event."""
        return True

    def without_end(self, native: dict[str, Any]) -> dict[str, Any] | None:
        """Removes the finish reason and what goes with it from an event; None if nothing is left."""
        return None

    def without_answers(self, native: dict[str, Any]) -> dict[str, Any] | None:
        """Makes a valid event without any answer from another event; None if the dialect has no such event."""
        return None

    def is_only_usage(self, native: dict[str, Any]) -> bool:
        """Whether an event contains only usage."""
        return False

    def usage_again(self, native: dict[str, Any]) -> dict[str, Any] | None:
        """Returns an event that repeats the usage; None if that is valid or impossible."""
        return None

    def late_text(self, native: dict[str, Any], text: str) -> dict[str, Any] | None:
        """Makes a delta for after the end from an earlier event."""
        return None

    def with_text_so_far(self, native: dict[str, Any], said: Mapping[Any, str]) -> bool:
        """Adds the text so far of each choice (`said`, by its key) next to the delta. False if there is no place for
        it."""
        return False

    def edge_of(self, native: dict[str, Any]) -> Edge | None:
        """Whether an event starts or stops a block; None for all others."""
        return None

    def block_events(self, index: int, kind: str) -> list[dict[str, Any]]:
        """Returns the events of a block of an unknown kind at this index."""
        raise NotImplementedError

    def add_block(self, native: dict[str, Any], kind: str) -> bool:
        """Adds such a block to a whole body. Returns whether there is a place for it."""
        raise NotImplementedError

    def repeated(self, native: dict[str, Any]) -> Iterator[Place]:
        """Yields the places where an event repeats a text that deltas have already sent."""
        yield from ()

    def is_hollow(self, native: dict[str, Any]) -> bool:
        """Whether an event is empty after something was removed from it."""
        return False

    def failure(self, native: dict[str, Any], row: ErrorSpec) -> dict[str, Any] | None:
        """Makes the event that ends a stream because the answer failed, from the stream's first event; None if the
        dialect has no such event."""
        return None

    def with_split_name(self, native: dict[str, Any]) -> list[dict[str, Any]]:
        """Splits an event that names a tool into two, each with half of the name; empty if it names none."""
        return []
