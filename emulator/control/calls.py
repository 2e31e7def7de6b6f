"""Calls of the control API, without HTTP: validated, then run here or by all workers, whose results are merged."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Mapping, Sequence
from contextlib import aclosing
from typing import Any

import orjson

from emulator.control import api
from emulator.control.controlled import TAKE_OVER, Conflict, Controlled, NotFound, Peers, TimedOut, Workers
from emulator.control.routes import ROUTES, Asked, ControlRoute, Stream
from emulator.control.stored import ANSWERS, Stored, part
from emulator.control.takeover import adopt, take_over, taken
from emulator.errors import Problem, ScenarioError, StoreGone, Unanswered, UsageError
from emulator.records import record
from emulator.scenario.document import Document
from emulator.scenario.loading import build, parse

logger = logging.getLogger("emulator")

BY_NAME: Mapping[tuple[str, str], ControlRoute] = {(route.method, route.path): route for route in ROUTES}
NOTHING = Document("body", {})


class Refused(Exception):
    """The request is rejected."""

    def __init__(
        self, status: int, message: str, problems: Sequence[Problem] = (), headers: Mapping[str, str] | None = None
    ) -> None:
        self.status, self.message, self.problems, self.headers = status, message, problems, headers or {}
        super().__init__(message)


@record
class Call:
    """A call as the client sent it."""

    route: ControlRoute
    named: str | None
    """The namespace in the URL's path."""
    origin: str
    path: dict[str, str]
    query: dict[str, str]
    body: bytes = b""

    def encoded(self) -> bytes:
        """Encodes the call for other workers."""
        route, body = self.route, self.body.decode()
        parts = [route.method, route.path, self.named, self.origin, self.path, self.query, body]
        return orjson.dumps(parts)


def decoded(message: bytes) -> Call:
    """Decodes the result of `Call.encoded`."""
    method, route, named, origin, path, query, body = orjson.loads(message)
    return Call(BY_NAME[method, route], named, origin, path, query, body.encode())


def route_of(message: bytes) -> ControlRoute:
    """Returns the route of an encoded call."""
    return decoded(message).route


def checked(call: Call) -> Asked:
    """Parses and validates the query and body of a call. Raises ScenarioError."""
    route = call.route
    query: Any = build(route.query, Document("query", dict(call.query)))
    namespace = query.namespace or call.named or "default"
    if route.body is None:
        return Asked(namespace, call.origin, call.path, query, None, NOTHING)
    if not call.body:
        raise ScenarioError([Problem("body", 1, 1, "the body is empty; expected JSON")])
    document = parse(call.body, "body", "json")
    # A scenario may be a text, and is compiled where it is used.
    body: Any = None if route.path == "scenario" else build(route.body, document)
    return Asked(namespace, call.origin, call.path, query, body, document)


async def answered(server: Controlled, call: Call) -> Any:
    """Returns plain data, a Text or a Stream. Raises Refused."""
    try:
        asked = checked(call)
        if server.peers is not None and not call.route.is_local:
            result = await _answered_by_all(server, server.peers, call, asked)
        else:
            done = call.route.do(server, asked)
            if isinstance(done, Awaitable):
                done = await done
            result = done if call.route.merge is None else call.route.merge([done], asked)
        result = await result if isinstance(result, Awaitable) else result
        store = server.namespaces.store
        if call.route.in_store is not None and store is not None:
            result = await call.route.in_store(store, asked.namespace, result)
        return result
    except Exception as error:
        raise _refused(call.route, error) from None


async def _answered_by_all(server: Controlled, peers: Peers, call: Call, asked: Asked) -> Any:
    route = call.route
    peers.check()
    if server.stored is not None:
        return await _answered_by_replicas(server, server.stored, call, asked)
    if route.path == "events":
        return Stream(peers.stream(call.encoded()), "text/event-stream")
    if route.path == "journal/wait":
        return await _waited(peers, call, asked)
    return merged(route, await peers.ask(call.encoded(), is_write=route.method != "GET"), asked)


async def _answered_by_replicas(server: Controlled, stored: Stored, call: Call, asked: Asked) -> Any:
    route, peers = call.route, server.peers
    assert peers is not None
    is_write = route.method != "GET"
    if (answer := ANSWERS.get((route.method, route.path))) is not None:
        return await answer(stored, peers, asked, call.encoded())
    if not is_write and route.merge is None:  # the same in all workers
        done = route.do(server, asked)
        return await done if isinstance(done, Awaitable) else done
    return merged(route, await peers.ask(call.encoded(), is_write=is_write), asked)


def merged(route: ControlRoute, answers: Sequence[bytes], asked: Asked) -> Any:
    """Merges the answers of all workers. Only some of them may have the resource, so any successful answer counts.
    Raises Refused if there is none.
    """
    parts = [orjson.loads(answer) for answer in answers]
    done = [part["done"] for part in parts if "done" in part]
    if not done:
        refused = parts[0]["refused"]
        raise Refused(refused["status"], refused["message"], [Problem(**each) for each in refused["problems"]])
    return done[0] if route.merge is None else route.merge(done, asked)


async def _waited(peers: Peers, call: Call, asked: Asked) -> Any:
    """Does the same as `api.wait_for`, with the journals of all workers."""
    query = asked.query
    selection = {name: value for name, value in call.query.items() if name not in ("count", "timeout", "limit")}
    lists = BY_NAME["GET", "journal"]

    async def over() -> list[dict[str, Any]]:
        listed = Call(lists, call.named, call.origin, {}, selection)
        found = merged(lists, await peers.ask(listed.encoded()), checked(listed))
        return [row for row in found["exchanges"] if row["ended"] is not None]

    rows = await over()
    if len(rows) < query.count:
        watch = Call(BY_NAME["GET", "events"], call.named, call.origin, {}, selection)
        try:
            async with asyncio.timeout(query.timeout):
                await _until_ended(peers.stream(watch.encoded()), query.count)
        except TimeoutError:
            pass
        rows = await over()
    if len(rows) < query.count:
        raise TimedOut(api.not_enough(query.timeout, len(rows), query.count))
    return {"exchanges": rows if query.limit is None else rows[-query.limit :]}


async def _until_ended(parts: AsyncIterator[bytes], count: int) -> None:
    ended: set[bytes] = set()
    async with aclosing(parts) as events:  # type: ignore[type-var]
        async for part in events:
            for event in part.split(b"\n\n"):
                if event.startswith(b"event: end\n"):
                    ended.add(event.partition(b"\nid: ")[2].partition(b"\n")[0])
            if len(ended) >= count:
                return


def perform(server: Controlled, message: bytes) -> "bytes | Awaitable[bytes] | AsyncIterator[bytes]":
    """Runs a call from the control channel. Never raises."""
    if message.startswith(b'{"part"'):
        return part(server, message)
    if message.startswith(b'{"adopt"'):
        adopt(server, orjson.loads(message)["adopt"])
        return b""
    if message.startswith(b'{"listener"'):
        server.act_on_listener(orjson.loads(message)["listener"])
        return b""
    if message == TAKE_OVER:
        assert server.peers is not None
        return orjson.dumps({"order": server.peers.order, "given": taken(server)})
    call = decoded(message)
    try:
        done = call.route.do(server, checked(call))
    except Exception as error:
        return _refusal_of(call.route, error)
    if isinstance(done, Stream):
        return done.parts
    if isinstance(done, Awaitable):
        return _performed(call.route, done)
    return _done(done)


async def _performed(route: ControlRoute, done: Awaitable[Any]) -> bytes:
    try:
        return _done(await done)
    except Exception as error:
        return _refusal_of(route, error)


def _done(data: Any) -> bytes:
    return orjson.dumps({"done": data}, default=str)


def _refusal_of(route: ControlRoute, error: Exception) -> bytes:
    refused = _refused(route, error)
    problems = [
        {"path": each.path, "line": each.line, "column": each.column, "message": each.message}
        for each in refused.problems
    ]
    return orjson.dumps({"refused": {"status": refused.status, "message": refused.message, "problems": problems}})


async def join(server: Controlled, peers: Workers) -> None:
    """Gives this worker the configuration of the others, and lets it answer calls from now on."""
    order = 0
    for answer in await peers.ask_one(TAKE_OVER):
        found = orjson.loads(answer)
        order = found["order"]
        take_over(server, found["given"])
    peers.serve(lambda message: perform(server, message), order)


def _refused(route: ControlRoute, error: Exception) -> Refused:
    match error:
        case Refused():
            return error
        case ScenarioError():
            return Refused(422, str(error), error.problems)
        case Conflict():
            return Refused(409, str(error))
        case UsageError():
            problems = [Problem("body", 0, 0, str(error))] if route.path == "faults" else []
            return Refused(422, str(error), problems)
        case NotFound():
            return Refused(404, str(error))
        case TimedOut():
            return Refused(408, str(error))
        case Unanswered() | StoreGone():
            return Refused(503, str(error))
    logger.error("The control API failed on %s %s: please report this", route.method, route.path, exc_info=error)
    return Refused(500, "The emulator failed. Its log says why; please report this.")
