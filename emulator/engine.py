"""The journey of a request, in order: from a `Call` to a `Plan` of bytes and moments."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Literal, TypeVar

from emulator import dice, tokens
from emulator.completion import complete, said
from emulator.journal import Exchange
from emulator.matching import Ask, Found, misses
from emulator.namespace import CACHE_UNIT, Namespace
from emulator.pace import Pace, schedule
from emulator.providers.base import Provider, Refused
from emulator.reply import Draft, ErrorReply, Reply
from emulator.request import Call, ModelRequest
from emulator.wire import Step, Track, single
from emulator.writing import UNSAID, Occasion, WritingError, is_plain, is_quick, write

logger = logging.getLogger("emulator")
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Options:
    """How the server as a whole behaves, where a scenario does not say."""

    pace: Pace | None = None
    """The pace of streams when no file gives one; None: everything at once."""
    speed: float = 1.0
    """All paces are this many times as fast."""
    unmatched: Literal["generate", "error"] = "generate"
    """What a request gets that no rule answers, when no file says."""
    allows_code: bool = False
    """Whether scenarios may name Python functions."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What will be sent, and the record of it."""

    answer: Track | Sequence[Step]
    exchange: Exchange


@dataclass(slots=True)
class Journey:
    """One request on its way: what each step needs of the earlier ones."""

    call: Call
    namespace: Namespace
    options: Options
    room: Provider
    exchange: Exchange
    identity: bytes
    attempt: int
    material: bytes
    """What ids and dice are made of: differs from attempt to attempt."""
    request_id: str


async def answer(call: Call, namespace: Namespace, options: Options) -> Plan:
    """The whole journey. Every refusal is a plan too; nothing is raised for what a client sends."""
    journey = _begin(call, namespace, options)
    room = journey.room
    found: Found | None = None
    try:
        operation, call.parameters = room.route(call.method, call.path)
        call.operation = operation.name
        key = room.authenticate(call.headers)
        namespace.admit(call.provider, key)
        request = room.parse(call, key)
        journey.exchange.model, journey.exchange.stream = request.model, request.stream
        ask = namespace.ask(request, journey.identity, journey.attempt)
        found = namespace.find(ask)
        if found is not None:
            journey.exchange.rule = found.rule.name
            if isinstance(found.answer.content, ErrorReply):
                return _refusal(found.answer.content, journey)
        elif not operation.is_completion:
            return _listing(request, journey)
        elif (namespace.script.scenario.unmatched or options.unmatched) == "error":
            return _unmatched(ask, journey)
        else:
            journey.exchange.notes = tuple(misses(namespace.script.rules, ask))
        prompt = await _prompt_tokens(request)
        room.admit_length(request, prompt.total)
        replies = await _replies(found, ask, journey)
    except Refused as refusal:
        return _refusal(refusal.reply, journey)
    except WritingError as error:
        return _failed(error, found, journey)
    return _answered(replies, prompt, request, found, journey)


def refused(call: Call, namespace: Namespace, reply: ErrorReply) -> Plan:
    """A refusal for a request that cannot begin its journey."""
    return _refusal(reply, _begin(call, namespace, Options()))


def _begin(call: Call, namespace: Namespace, options: Options) -> Journey:
    exchange = namespace.begin(call)
    room = namespace.script.rooms[call.provider]
    identity, attempt = namespace.attempt(call)
    material = dice.digest(namespace.seed, "id", identity, attempt)
    request_id = room.request_id(exchange.received, material)
    return Journey(call, namespace, options, room, exchange, identity, attempt, material, request_id)


# Ways to end early


def _refusal(reply: ErrorReply, journey: Journey) -> Plan:
    track = journey.room.error(reply, journey.call, journey.request_id)
    exchange = journey.exchange
    exchange.outcome, exchange.error, exchange.status = "error", reply.name, track.status
    return Plan(track, exchange)


def _listing(request: ModelRequest, journey: Journey) -> Plan:
    room, exchange = journey.room, journey.exchange
    exchange.outcome, exchange.status = "listing", 200
    headers = room.json_headers + room.response_headers(journey.request_id)
    return Plan(Track(200, headers, (single("body", room.dumps(room.listing(request))),), streamed=False), exchange)


def _unmatched(ask: Ask, journey: Journey) -> Plan:
    """Strict: an error in the provider's own form that tells each rule and why not."""
    reasons = misses(journey.namespace.script.rules, ask)
    journey.exchange.notes = tuple(reasons)
    told = "\n".join(f"  {reason}" for reason in reasons) if reasons else "  there are no rules"
    message = f"No rule matches this {journey.call.provider} request. Rules tried:\n{told}"
    logger.warning("%s", message)
    return _own_error(404, message, "unmatched", journey)


def _failed(error: WritingError, found: Found | None, journey: Journey) -> Plan:
    where = f"{found.rule.origin}: rule '{found.rule.name}': " if found is not None else ""
    message = f"{where}{error}"
    journey.exchange.notes = (message,)
    logger.error("%s", message)
    return _own_error(500, message, "scenario", journey)


def _own_error(status: int, message: str, kind: str, journey: Journey) -> Plan:
    """An error of the emulator itself, not of the provider: marked, and told not to be retried."""
    headers = {"x-emulator-error": kind, "x-should-retry": "false"}
    return _refusal(ErrorReply(status=status, message=message, code=f"emulator_{kind}", headers=headers), journey)


# What is said


@dataclass(frozen=True, slots=True)
class Prompt:
    """The prompt's tokens: the template's own, and those of each text in it."""

    fixed: int
    parts: tuple[tuple[str, int], ...]
    total: int


async def _prompt_tokens(request: ModelRequest) -> Prompt:
    """What the conversation costs under the chat template."""
    controls = request.controls
    fixed, texts = tokens.prompt_texts(
        request.messages,
        thinking=bool(controls.thinking),
        tools=controls.tools,
        effort=controls.reasoning_effort,
        schema=controls.schema,
    )
    await _counted(texts)
    parts = tuple([(text, tokens.count(text)) for text in texts])
    return Prompt(fixed, parts, fixed + sum([count for _, count in parts]))


async def _replies(found: Found | None, ask: Ask, journey: Journey) -> list[Reply]:
    """What the choices say, in this provider's words: scripted, or written for the occasion."""
    request, room = ask.request, journey.room
    draft = found.answer.content if found is not None else UNSAID
    assert isinstance(draft, Draft)
    if is_plain(draft, request):
        replies = [draft.reply]
    else:
        occasion = _occasion(found, ask, journey)
        if is_quick(draft, request):
            replies = write(draft, request, occasion)
        else:
            replies = await _elsewhere(write, draft, request, occasion)
    if request.controls.thinking is False:  # a model that was told not to think has no reasoning to show
        replies = [replace(reply, reasoning=None) for reply in replies]
    replies = [room.adapt(reply, request) for reply in replies]
    await _counted([part for reply in replies for part in said(reply)])
    return replies


def _occasion(found: Found | None, ask: Ask, journey: Journey) -> Occasion:
    received = journey.exchange.received
    scenario = journey.namespace.script.scenario
    return Occasion(
        seed=ask.seed,
        locale=scenario.locale,
        now=datetime.fromtimestamp(received, UTC).isoformat(timespec="seconds"),
        timestamp=int(received),
        state=ask.state,
        attempt=ask.attempt,
        groups=found.rule.groups(ask.request.prompt) if found is not None else {},
        allows_code=journey.options.allows_code,
    )


async def _counted(texts: Sequence[str]) -> None:
    """Have the tokens of long texts counted before they are needed, where that delays nobody."""
    if not tokens.is_quick(texts):
        await _elsewhere(tokens.warm, texts)


async def _elsewhere(work: Callable[..., Result], *arguments: object) -> Result:
    """Do slow work in a thread, so that no stream waits for it."""
    return await asyncio.get_running_loop().run_in_executor(None, work, *arguments)


# The answer


def _answered(
    replies: list[Reply], prompt: Prompt, request: ModelRequest, found: Found | None, journey: Journey
) -> Plan:
    namespace, room, exchange = journey.namespace, journey.room, journey.exchange
    exchange.outcome = "reply" if found else "generated"
    cached = namespace.cache.hit(request.key, prompt.parts) if prompt.total >= CACHE_UNIT else 0
    completion = complete(
        replies,
        request,
        id=room.make_id(journey.material),
        created=int(exchange.received),
        request_id=journey.request_id,
        prompt=prompt.total,
        cached=min(cached, prompt.total),
        material=dice.digest(namespace.seed, "said", journey.identity),
    )
    exchange.usage = completion.usage
    track = room.render(completion, request)
    exchange.status = track.status
    return Plan(_paced(track, found, journey), exchange)


def _paced(track: Track, found: Found | None, journey: Journey) -> Track:
    """Give every frame its moment. A pace that a file gives holds for whole bodies too, the server's own only for
    streams: whoever asks for no stream asks for no show."""
    options = journey.options
    given = found.rule.pace if found else journey.namespace.script.pace
    pace = given or (options.pace if track.streamed else None)
    if pace is None:
        return track
    moments = schedule(track.tokens(), pace.at_speed(options.speed), journey.material)
    return journey.room.waiting(replace(track, at=moments)) if moments else track
