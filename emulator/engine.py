"""The journey of a request, in order: from a `Call` to a `Plan` of bytes and moments."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TypeVar

from emulator import dice, text, tokens
from emulator.completion import complete, texts
from emulator.journal import Exchange
from emulator.matching import Found, misses
from emulator.namespace import Namespace
from emulator.pace import AT_ONCE, Pace, schedule
from emulator.providers.base import Provider, Refused
from emulator.reply import ErrorReply, Reply
from emulator.request import Call, ModelRequest
from emulator.wire import Step, Track, single

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Options:
    """How the server as a whole behaves, where a scenario does not say."""

    pace: Pace | None = None
    """The pace of streams when no file gives one; None: everything at once."""
    speed: float = 1.0
    """All paces are this many times as fast."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What will be sent, and the record of it."""

    answer: Track | Sequence[Step]
    exchange: Exchange


async def answer(call: Call, namespace: Namespace, options: Options) -> Plan:
    """The whole journey. Every refusal is a plan too; nothing is raised for what a client sends."""
    exchange = namespace.begin(call)
    room = namespace.script.rooms[call.provider]
    identity, attempt = namespace.attempt(call)
    material = dice.digest(namespace.seed, "id", identity, attempt)
    request_id = room.request_id(_digits(exchange.received), material)
    try:
        operation, call.parameters = room.route(call.method, call.path)
        call.operation = operation.name
        key = room.authenticate(call.headers)
        namespace.admit(call.provider, key)
        request = room.parse(call, key)
    except Refused as refusal:
        return _refusal(refusal.reply, room, exchange, request_id)
    exchange.model, exchange.stream = request.model, request.stream
    if call.operation == "models":
        return _listing(request, room, exchange, request_id)
    found = namespace.find(request)
    if found is not None and isinstance(found.answer, ErrorReply):
        exchange.rule = found.rule.name
        return _refusal(found.answer, room, exchange, request_id)
    prompt = await _prompt_tokens(request)
    replies = await _replies(found, request, namespace, room)
    exchange.rule = found.rule.name if found else None
    exchange.outcome = "reply" if found else "generated"
    if not found:
        exchange.notes = tuple(misses(namespace.script.rules, request))
    completion = complete(
        replies,
        request,
        id=room.make_id(material),
        created=int(exchange.received),
        request_id=request_id,
        prompt=prompt,
        material=dice.digest(namespace.seed, "said", identity),
    )
    exchange.usage = completion.usage
    track = room.render(completion, request)
    exchange.status = track.status
    return Plan(_paced(track, found, room, namespace, options, material), exchange)


def refused(call: Call, namespace: Namespace, reply: ErrorReply) -> Plan:
    """A refusal for a request that cannot begin its journey."""
    return _refusal(reply, namespace.script.rooms[call.provider], namespace.begin(call), "")


def _refusal(reply: ErrorReply, room: Provider, exchange: Exchange, request_id: str) -> Plan:
    track = room.error(reply, exchange.call, request_id)
    exchange.outcome, exchange.error, exchange.status = "error", reply.name, track.status
    return Plan(track, exchange)


def _listing(request: ModelRequest, room: Provider, exchange: Exchange, request_id: str) -> Plan:
    exchange.outcome, exchange.status = "listing", 200
    headers = room.json_headers + room.response_headers(request_id)
    return Plan(Track(200, headers, (single("body", room.dumps(room.listing(request))),), streamed=False), exchange)


async def _replies(found: Found | None, request: ModelRequest, namespace: Namespace, room: Provider) -> list[Reply]:
    """What the choices say, in this provider's words: scripted, or written for the occasion."""
    if found is not None and isinstance(found.answer, Reply):
        replies = [found.answer] * request.controls.n
        if request.controls.search_web and found.answer.summaries is None:
            summaries = await _elsewhere(
                text.summaries, dice.roll(namespace.seed, "search", request.prompt), request.prompt
            )
            replies = [replace(reply, summaries=summaries) for reply in replies]
    else:
        replies = await _elsewhere(written, request, namespace.seed)
    if request.controls.thinking is False:  # a model that was told not to think has no reasoning to show
        replies = [replace(reply, reasoning=None) for reply in replies]
    replies = [room.adapt(reply, request) for reply in replies]
    await _counted([part for reply in replies for part in texts(reply)])
    return replies


def written(request: ModelRequest, seed: int) -> list[Reply]:
    """Generated answers, one for each choice: the same for the same question and seed, streamed or not."""
    controls = request.controls
    question = dice.digest(
        request.call.provider, request.model, *(f"{message.role}:{message.content}" for message in request.messages)
    )
    about = request.prompt[:200]
    replies = []
    for index in range(controls.n):
        said = dice.roll(seed, "text", question, index)
        replies.append(
            Reply(
                content=text.prose(said, about=about),
                reasoning=text.reasoning(said, about=about) if controls.thinking else None,
                summaries=text.summaries(said, about) if controls.search_web else None,
            )
        )
    return replies


async def _prompt_tokens(request: ModelRequest) -> int:
    """What the conversation costs under the chat template."""
    controls = request.controls
    fixed, parts = tokens.prompt_texts(
        request.messages,
        thinking=bool(controls.thinking),
        tools=controls.tools,
        effort=controls.reasoning_effort,
        schema=controls.schema,
    )
    await _counted(parts)
    return fixed + sum(map(tokens.count, parts))


async def _counted(parts: Sequence[str]) -> None:
    """Have the tokens of long texts counted before they are needed, where that delays nobody."""
    if not tokens.is_quick(parts):
        await _elsewhere(tokens.warm, parts)


async def _elsewhere(work: Callable[..., Result], *arguments: object) -> Result:
    """Do slow work in a thread, so that no stream waits for it."""
    return await asyncio.get_running_loop().run_in_executor(None, work, *arguments)


def _paced(
    track: Track, found: Found | None, room: Provider, namespace: Namespace, options: Options, material: bytes
) -> Track:
    """Give every frame its moment. A pace that a file gives holds for whole bodies too, the server's own only for
    streams: whoever asks for no stream asks for no show."""
    given = found.rule.pace if found else namespace.script.pace
    pace = given or (options.pace if track.streamed else None) or AT_ONCE
    pace = pace.at_speed(options.speed)
    return replace(track, at=schedule(track.tokens(), pace, material))


def _digits(moment: float) -> str:
    """The time as New API and others write it into ids: date, time, fraction."""
    return datetime.fromtimestamp(moment, UTC).strftime("%Y%m%d%H%M%S%f")
