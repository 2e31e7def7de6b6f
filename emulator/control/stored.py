"""The control API of replicas that share a store: ended exchanges are read there, open ones are requested from all
replicas.

An exchange has ended once the store has it. So once a client has seen its end, it sees it again on every replica, even
if one has died."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing
from typing import Any, Protocol

import orjson

from emulator.control import api, merging
from emulator.control.controlled import Controlled, NotFound, Peers, TimedOut
from emulator.control.events import Events
from emulator.control.export import EXPORTS
from emulator.control.models import Selection
from emulator.control.routes import Asked, Stream, Text
from emulator.errors import EmulatorError, StoreGone, shortened
from emulator.state import exchanges as records
from emulator.state.journal import MAX_EXCHANGES
from emulator.state.totals import Totals

Row = dict[str, Any]
Answer = Callable[["Stored", Peers, Asked, bytes], Awaitable[Any]]
MAX_NOTED = 10_000
"""The maximum number of ended exchanges that a reader of events remembers."""
LOOK_INTERVAL = 1.0
"""Seconds after which a journal is checked even without a notification."""
MAX_QUEUED = 100
"""The maximum number of parts that wait for a reader of events."""


class Kept(Protocol):
    """An exchange in the store."""

    @property
    def id(self) -> bytes: ...

    @property
    def arrived(self) -> float: ...

    @property
    def row(self) -> Row: ...


class Journals(Protocol):
    """The journals of all replicas."""

    async def clear(self, namespace: str) -> int: ...

    async def acknowledge(self, namespace: str, number: int, word: Mapping[str, Any]) -> None: ...

    async def rows(self, namespace: str, after: bytes = b"") -> Sequence[Kept]: ...

    async def details(self, namespace: str) -> Sequence[Kept]: ...

    async def one(self, namespace: str, number: int) -> Kept | None: ...

    async def counts(self) -> dict[str, int]: ...

    async def totals(self) -> tuple[Mapping[str, Any], int]: ...

    def changed(self, namespace: str) -> Awaitable[None]: ...


class Stored(Protocol):
    """A server's part of a store that it shares with others."""

    @property
    def journals(self) -> Journals: ...

    @property
    def lost(self) -> int: ...

    async def flushed(self) -> None: ...

    def clear(self, namespace: str) -> int: ...


# What each replica answers


def _open(server: Controlled, namespace: str) -> list[records.Exchange]:
    return [each for each in server.namespaces.get(namespace).journal if each.ended is None]


async def _own_rows(server: Controlled, stored: Stored, namespace: str) -> Any:
    await stored.flushed()
    return [[each.arrived, each.row()] for each in _open(server, namespace)]


async def _own_details(server: Controlled, stored: Stored, namespace: str) -> Any:
    """Returns the open exchanges, and what happened to connections after their exchanges, which no stored
    record has."""
    await stored.flushed()
    journal = server.namespaces.get(namespace).journal
    sockets = {each.number: each.socket.to_dict() for each in journal if each.socket is not None}
    open_ones = _open(server, namespace)
    details = await api.JUDGES.run(lambda: [[each.arrived, each.details()] for each in open_ones])
    return {"open": details, "sockets": [[number, socket] for number, socket in sockets.items()]}


async def _own_exchange(server: Controlled, stored: Stored, namespace: str, number: int) -> Any:
    """Returns this replica's own exchange, which is the most complete."""
    await stored.flushed()
    found = server.namespaces.get(namespace).journal.get(number)
    return None if found is None else found.details()


async def _own_measurements(server: Controlled, stored: Stored) -> Any:
    await stored.flushed()
    counts = {each.name: sum(1 for one in each.journal if one.ended is None) for each in server.namespaces}
    return {**api.measured(server), "open": counts, "lost": stored.lost}


async def _clear(server: Controlled, stored: Stored, namespace: str) -> Any:
    is_open = len(_open(server, namespace))
    server.namespaces.get(namespace).journal.clear()
    not_stored = stored.clear(namespace)
    await stored.flushed()
    return is_open + not_stored


async def _acknowledge(server: Controlled, stored: Stored, namespace: str, word: Row) -> Any:
    from emulator.control.models import AcknowledgeBody

    try:
        return api.acknowledge(server, namespace, AcknowledgeBody.model_validate(word))["number"]
    except NotFound:
        return None


def _live_events(server: Controlled, stored: Stored, namespace: str, query: Row) -> AsyncIterator[bytes]:
    wanted = Selection.model_validate(query)
    return Events(server.namespaces.get(namespace).journal, wanted, shows_ends=False).stream()


PARTS: Mapping[str, Callable[..., Any]] = {
    "rows": _own_rows,
    "details": _own_details,
    "exchange": _own_exchange,
    "measurements": _own_measurements,
    "clear": _clear,
    "acknowledge": _acknowledge,
    "events": _live_events,
}


def asked_part(name: str, *arguments: Any) -> bytes:
    """Returns the message that requests a replica's part."""
    return orjson.dumps({"part": [name, *arguments]})


def part(server: Controlled, message: bytes) -> "Awaitable[bytes] | AsyncIterator[bytes]":
    """Returns this replica's part of an answer."""
    assert server.stored is not None
    name, *arguments = orjson.loads(message)["part"]
    done = PARTS[name](server, server.stored, *arguments)
    return done if isinstance(done, AsyncIterator) else _encoded(done)


async def _encoded(done: Awaitable[Any]) -> bytes:
    try:
        return orjson.dumps(await done, default=str)
    except EmulatorError:  # its store is gone; the requesting replica finds out itself
        return b"null"


# What all of them answer together


async def _parts(peers: Peers, name: str, *arguments: Any, is_write: bool = False) -> list[Any]:
    answers = await peers.ask(asked_part(name, *arguments), is_write=is_write)
    return [data for data in map(orjson.loads, answers) if data is not None]


def in_order(kept: Sequence[tuple[float, Row]]) -> list[Row]:
    """Returns each exchange once, in order of arrival, as many as a journal keeps. Later records replace
    earlier ones."""
    known = {row["number"]: (arrived, row) for arrived, row in kept}
    found = sorted(known.values(), key=lambda each: (each[0], each[1]["number"]))
    return [row for _, row in found][-MAX_EXCHANGES:]


def fits(row: Row, wanted: Selection) -> bool:
    """Whether an exchange matches a filter, ignoring `since` and `limit`."""
    status = row["status"]
    return (
        (wanted.provider is None or row["provider"] == wanted.provider)
        and (wanted.rule is None or row["rule"] == wanted.rule)
        and (wanted.outcome is None or row["outcome"] == wanted.outcome)
        and (wanted.model is None or row["model"] == wanted.model)
        and (wanted.status is None or wanted.status in (str(status), f"{status // 100}xx"))
    )


def selected(rows: list[Row], wanted: Selection) -> list[Row]:
    """Returns the matching exchanges. Numbers are in order of time only within a replica, so `since` means: later in
    the list.
    """
    if wanted.since is not None:
        places = [place for place, row in enumerate(rows) if row["number"] == wanted.since]
        rows = rows[places[0] + 1 :] if places else [row for row in rows if row["number"] > wanted.since]
    found = [row for row in rows if fits(row, wanted)]
    return found if wanted.limit is None else found[-wanted.limit :]


async def _all_rows(stored: Stored, peers: Peers, namespace: str) -> list[Row]:
    parts = await _parts(peers, "rows", namespace)
    kept = await stored.journals.rows(namespace)
    still_open = [(arrived, row) for part in parts for arrived, row in part]
    return in_order([*still_open, *((each.arrived, each.row) for each in kept)])


async def _all_details(stored: Stored, peers: Peers, namespace: str) -> list[Row]:
    parts = await _parts(peers, "details", namespace)
    kept = await stored.journals.details(namespace)
    still_open = [(arrived, row) for part in parts for arrived, row in part["open"]]
    rows = in_order([*still_open, *((each.arrived, each.row) for each in kept)])
    sockets = {number: socket for part in parts for number, socket in part["sockets"]}
    return [{**row, "socket": sockets.get(row["number"], row["socket"])} for row in rows]


async def _journal(stored: Stored, peers: Peers, asked: Asked, message: bytes) -> Any:
    return {"exchanges": selected(await _all_rows(stored, peers, asked.namespace), asked.query)}


async def _exchange(stored: Stored, peers: Peers, asked: Asked, message: bytes) -> Any:
    number = api.number_in(asked.path["number"])
    for found in await _parts(peers, "exchange", asked.namespace, number):
        return found
    kept = await stored.journals.one(asked.namespace, number)
    if kept is None:
        raise NotFound(f"The journal of '{asked.namespace}' has no exchange {number}.")
    return kept.row


async def _cleared(stored: Stored, peers: Peers, asked: Asked, message: bytes) -> Any:
    still_open = sum(await _parts(peers, "clear", asked.namespace, is_write=True))
    return {"removed": still_open + await stored.journals.clear(asked.namespace)}


async def _exported(stored: Stored, peers: Peers, asked: Asked, message: bytes) -> Any:
    export, media_type = EXPORTS[asked.query.format]
    return Text(export(selected(await _all_details(stored, peers, asked.namespace), asked.query)), media_type)


async def _verdict(stored: Stored, peers: Peers, asked: Asked, message: bytes) -> Any:
    return await api.verdict(await _all_details(stored, peers, asked.namespace), asked.query)


async def _waited(stored: Stored, peers: Peers, asked: Asked, message: bytes) -> Any:
    query: Any = asked.query
    every, kept = query.model_copy(update={"limit": None}), list[Kept]()

    async def over() -> list[Row]:
        kept.extend(await stored.journals.rows(asked.namespace, kept[-1].id if kept else b""))
        return selected(in_order([(each.arrived, each.row) for each in kept]), every)

    await _parts(peers, "rows", asked.namespace)  # so that the store has everything that has ended
    try:
        async with asyncio.timeout(query.timeout):
            while True:
                changed = asyncio.ensure_future(stored.journals.changed(asked.namespace))
                if len(await over()) >= query.count:
                    break
                await asyncio.wait([changed], timeout=LOOK_INTERVAL)
    except TimeoutError:
        pass
    rows = await over()
    if len(rows) < query.count:
        raise TimedOut(api.not_enough(query.timeout, len(rows), query.count))
    return {"exchanges": rows if query.limit is None else rows[-query.limit :]}


async def _acknowledged(stored: Stored, peers: Peers, asked: Asked, message: bytes) -> Any:
    word = asked.body
    said = word.model_dump(mode="json", exclude={"number", "exchange", "id"}, exclude_none=True)
    found = await _parts(peers, "acknowledge", asked.namespace, word.model_dump(mode="json", exclude_unset=True))
    number = found[0] if found else await _number_in_store(stored, asked.namespace, word)
    await stored.journals.acknowledge(asked.namespace, number, said)
    return {"number": number}


async def _number_in_store(stored: Stored, namespace: str, word: Any) -> int:
    """Acknowledges an exchange of a replica that is gone."""
    number: int | None = word.number or word.exchange
    if number is not None:
        if await stored.journals.one(namespace, number) is None:
            raise NotFound(f"The journal of '{namespace}' has no exchange {number}.")
        return number
    for each in reversed(await stored.journals.details(namespace)):
        row = each.row
        response = row["response"]
        is_it = row["idempotency_key"] == word.id or word.id in response["headers"].values()
        if is_it or f'"{word.id}"' in response["text"]:
            return int(row["number"])
    raise NotFound(f"No response in this journal has the id '{shortened(word.id)}'.")


async def _metrics(stored: Stored, peers: Peers, asked: Asked, message: bytes) -> Any:
    parts = await _parts(peers, "measurements")
    totals, size = await stored.journals.totals()
    counts = await stored.journals.counts()
    names = {name for part in parts for name in part["open"]} | counts.keys()
    nothing = {"totals": Totals().to_dict(), "journal_exchanges": 0, "journal_bytes": 0, "namespaces": 0}
    parts = [{**part, **nothing} for part in parts]
    together = {"totals": totals, "journal_exchanges": sum(counts.values()), "journal_bytes": size}
    parts[0] |= {**together, "namespaces": len(names)}
    return Text(api.metrics(parts), "text/plain; version=0.0.4; charset=utf-8")


async def _namespaces(stored: Stored, peers: Peers, asked: Asked, message: bytes) -> Any:
    parts = await _parts(peers, "measurements")
    rows = [orjson.loads(answer)["done"] for answer in await peers.ask(message)]
    counts = await stored.journals.counts()
    found = merging.namespaces(rows, asked)
    for row in found["namespaces"]:
        still_open = sum(part["open"].get(row["name"], 0) for part in parts)
        row["exchanges"] = counts.get(row["name"], 0) + still_open
    return found


async def _events(stored: Stored, peers: Peers, asked: Asked, message: bytes) -> Any:
    query = asked.query.model_dump(mode="json", exclude_none=True)
    live = peers.stream(asked_part("events", asked.namespace, query))
    return Stream(_both(live, _ends(stored, asked)), "text/event-stream")


async def _ends(stored: Stored, asked: Asked) -> AsyncIterator[tuple[str, bytes, int]]:
    """Yields the ends of exchanges as the store receives them."""
    last = b""
    while True:
        changed = asyncio.ensure_future(stored.journals.changed(asked.namespace))
        try:
            for each in await stored.journals.rows(asked.namespace, last):
                last, row, wanted = each.id, each.row, asked.query
                if fits(row, wanted) and (wanted.since is None or row["number"] > wanted.since):
                    yield "end", orjson.dumps(row), row["number"]
        except StoreGone:
            pass
        await asyncio.wait([changed], timeout=LOOK_INTERVAL)


async def _both(live: AsyncIterator[bytes], ends: AsyncIterator[tuple[str, bytes, int]]) -> AsyncIterator[bytes]:
    """Yields what begins and moves on any replica, until it has ended."""
    queue: asyncio.Queue[bytes] = asyncio.Queue(MAX_QUEUED)
    over: dict[int, None] = {}

    async def follow_ends() -> None:
        async for name, row, number in ends:
            if number in over:
                continue
            over[number] = None
            if len(over) > MAX_NOTED:
                del over[next(iter(over))]
            await queue.put(b"event: %b\nid: %d\ndata: %b\n\n" % (name.encode(), number, row))

    async def follow_live() -> None:
        async with aclosing(live) as parts:  # type: ignore[type-var]
            async for part in parts:
                events = [each for each in part.split(b"\n\n") if each and not _is_over(each, over)]
                if events:
                    await queue.put(b"".join(each + b"\n\n" for each in events))

    tasks = [asyncio.create_task(follow_live()), asyncio.create_task(follow_ends())]
    try:
        while True:
            yield await queue.get()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _is_over(event: bytes, over: Mapping[int, None]) -> bool:
    number = event.partition(b"\nid: ")[2].partition(b"\n")[0]
    return bool(number) and int(number) in over


async def _given_namespace(stored: Stored, peers: Peers, asked: Asked, message: bytes) -> Any:
    """Removes the journal of a namespace that is replaced or removed."""
    from emulator.control.calls import merged, route_of

    done = merged(route_of(message), await peers.ask(message, is_write=True), asked)
    await _parts(peers, "rows", "default")  # pending records have arrived and are removed too
    await stored.journals.clear(asked.path["name"])
    return done


ANSWERS: Mapping[tuple[str, str], Answer] = {
    ("GET", "journal"): _journal,
    ("DELETE", "journal"): _cleared,
    ("GET", "journal/wait"): _waited,
    ("GET", "journal/export"): _exported,
    ("GET", "journal/{number}"): _exchange,
    ("GET", "verdict"): _verdict,
    ("POST", "acknowledge"): _acknowledged,
    ("GET", "metrics"): _metrics,
    ("GET", "events"): _events,
    ("GET", "namespaces"): _namespaces,
    ("PUT", "namespaces/{name}"): _given_namespace,
    ("DELETE", "namespaces/{name}"): _given_namespace,
}
"""The routes that replicas answer differently."""
