"""The journey of a request, in order: from a `Call` to a `Plan` of bytes and moments."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from typing import Literal, TypeVar

from emulator import dice, large, tokens
from emulator.arming import BY_REQUEST, Armed, Source, asked_by, from_request
from emulator.arming import HEADER as FAULT_HEADER
from emulator.arming import KEY as FAULT_KEY
from emulator.completion import complete, said
from emulator.conditions import Ask
from emulator.dialects.base import Dialect
from emulator.errors import UsageError, shortened
from emulator.faults import ORDER
from emulator.faults.base import MAX_LIGHT, Fault, NotApplicable, Scene
from emulator.journal import LONGEST_BODY, Exchange, Why
from emulator.ledger import Lease
from emulator.matching import Found, Rulebook, misses
from emulator.memory import CREATED, ID, REQUEST_ID, Remembered, holds_stand_in
from emulator.namespace import Namespace
from emulator.offload import Abandoned, Pool, never
from emulator.pace import AT_ONCE, Pace, schedule
from emulator.providers.base import Provider, Refused
from emulator.records import record
from emulator.reply import Block, Draft, ErrorReply, Reply, Search
from emulator.request import Call, ModelRequest, ToolCall
from emulator.wire import Step, Track, single
from emulator.writing import UNSAID, Occasion, SchemaError, WritingError, is_plain, is_quick, write

logger = logging.getLogger("emulator")
Result = TypeVar("Result")
FEW_RULES = 50
"""So many rules are explained at once; more of them in a thread, so that no stream waits for it."""
MAX_STEPS = 200_000
"""Pieces into which faults may divide one answer."""
POOL = Pool("work", 2)
"""For what would hold up the loop. Its threads take turns with the loop, so there are few of them."""
CODE_POOL = Pool("code", 16)
"""For the user's own functions, which may wait for something."""


@dataclass(frozen=True, slots=True)
class Options:
    """How the server as a whole behaves, where a scenario does not say."""

    pace: Pace | None = None
    """The pace of streams when no file gives one; None: everything at once."""
    speed: float = 1.0
    """All paces are this many times as fast."""
    unmatched: Literal["generate", "error"] = "generate"
    """What a request gets that no rule answers, when no file says."""
    faults: tuple[Fault, ...] = ()
    """What goes wrong with every answer."""
    request_faults: frozenset[Source] = frozenset(BY_REQUEST)
    """Where requests may ask for faults: header, key, url."""
    worker: int = 0
    """Which of several processes this is: it is part of all ids, so that no two processes make the same."""
    allows_code: bool = False
    """Whether scenarios may name Python functions."""


@record
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
    dialect: Dialect
    exchange: Exchange
    identity: bytes
    attempt: int
    material: bytes
    """What ids and dice are made of: differs from attempt to attempt."""
    request_id: str
    has_left: Callable[[], bool] = never
    """Whether the client has gone, so that slow work for it may end."""
    stands_alone: bool = False
    """Whether nothing but the request and the script bears on the answer."""
    request: ModelRequest | None = None
    found: Found | None = None
    faults: list[Armed] | None = None
    refusing: Armed | None = None
    """The fault whose error is the answer."""
    lease: Lease | None = None
    """What this request took of the key's quotas; given back by `Exchange.end`."""
    acted: set[int] = field(default_factory=set)
    """The faults, by identity, that have changed something, or of which is said already why they did not."""


@record
class Prompt:
    """The prompt's tokens: the template's own, and those of each text in it."""

    fixed: int
    parts: tuple[tuple[str, int], ...]
    total: int


async def answer(call: Call, namespace: Namespace, options: Options, has_left: Callable[[], bool] = never) -> Plan:
    """The whole journey. Every refusal is a plan too; nothing is raised for what a client sends."""
    stands_alone = _stands_alone(call, namespace)
    known = _known(call, namespace) if stands_alone else None
    identity = known.identity if known is not None else await _read(identity_of, call, of=call)
    journey = _begin(call, namespace, options, identity)
    journey.stands_alone, journey.has_left = stands_alone, has_left
    try:
        return Plan(await _planned(known, journey), journey.exchange)
    except BaseException:  # nobody will play it, so nobody will end it
        journey.exchange.end()
        namespace.journal.settle(journey.exchange)
        raise
    finally:
        journey.exchange.shorten()


async def _planned(known: Remembered | None, journey: Journey) -> Track | Sequence[Step]:
    """The answer, whatever happens on the way to it."""
    try:
        try:
            track = await _healthy(journey) if known is None else _recalled(known, journey)
        except Refused as refusal:
            track = _refusal(refusal.reply, journey)
        except WritingError as error:
            track = _failed(error, journey)
        except Abandoned:  # nobody reads it
            track = _own_error(499, "The client has left.", "abandoned", journey)
        faults = _struck(journey)
        if not faults:
            return track
        is_heavy = (
            any(armed.fault.is_heavy for armed in faults) or sum(len(run.pieces) for run in track.runs) > MAX_LIGHT
        )
        return await POOL.run(_broken, track, faults, journey) if is_heavy else _broken(track, faults, journey)
    except UsageError as error:  # a fault asked for by header, key or URL that there is not
        return _own_error(400, str(error), "fault", journey)
    except Exception:
        call = journey.call
        logger.exception("The emulator failed on %s %s: please report this", call.method, call.path)
        return _refusal(ErrorReply(name="server_error", headers={"x-emulator-error": "internal"}), journey)


async def _healthy(journey: Journey) -> Track:
    """The answer as the provider would give it, unless a fault wants another. Raises Refused, WritingError."""
    call, namespace, room, exchange = journey.call, journey.namespace, journey.room, journey.exchange
    operation, call.parameters = room.route(call.method, call.path)
    call.operation, call.dialect = operation.name, operation.dialect
    dialect = journey.dialect = room.speaking(operation.dialect)
    key = dialect.key_of(call.headers)
    if not (key.startswith(FAULT_KEY) and "key" in journey.options.request_faults):
        namespace.admit(call.provider, key)
    reader = dialect.parse if operation.has_body else room.listed
    request = journey.request = await _read(reader, call, key, of=call)
    exchange.model, exchange.stream = request.model, request.stream
    ask = namespace.ask(request, journey.identity, journey.attempt)
    is_large = len(call.body) > large.LARGE
    found = journey.found = await namespace.find_in_large(ask) if is_large else namespace.find(ask)
    exchange.rule = found.rule.name if found is not None else None
    if operation.is_completion and not namespace.ledger.is_empty:
        journey.lease = namespace.ledger.open(room, key, exchange.received)
        exchange.on_end = journey.lease.close
    for armed in _struck(journey):
        refusal = armed.fault.refuse(_scene(journey))
        if refusal is not None:
            journey.refusing = armed
            return _refusal(refusal, journey)
    if found is not None and isinstance(found.answer.content, ErrorReply):
        return _refusal(found.answer.content, journey)
    if found is None and not operation.is_completion:
        return _listing(request, journey)
    if found is None and (namespace.script.scenario.unmatched or journey.options.unmatched) == "error":
        return await _unmatched(ask, journey)
    if found is None:
        seen = (ask.state, ask.attempt, ask.identity, ask.seed)
        exchange.why = Why(partial(_misses, namespace.script.rules, dialect, call, key, seen), call.body)
    prompt = await _prompt_tokens(request, room, journey)
    room.admit_length(request, prompt.total)
    replies = await _replies(ask, journey)
    track = _answered(replies, prompt, request, journey)
    if _is_steady(ask, prompt, replies, journey) and not holds_stand_in(track):
        _remember(replies, prompt, request, journey)
    return _paced(track, journey)


# The same question again


def _known(call: Call, namespace: Namespace) -> Remembered | None:
    """The answer to this very question, if it may be given to whoever asks now."""
    known = namespace.memory.get(call)
    if known is not None:
        try:
            room = namespace.script.rooms[call.provider]
            namespace.admit(call.provider, room.speaking(known.dialect).key_of(call.headers))
        except Refused:
            return None
    return known


def _stands_alone(call: Call, namespace: Namespace) -> bool:
    """Whether nothing but the request and the script bears on the answer: no books are kept, no faults are armed."""
    return (
        namespace.ledger.is_empty
        and namespace.arsenal.is_empty
        and not call.faults
        and FAULT_HEADER not in call.headers
        and not (call.key or "").startswith(FAULT_KEY)
    )


def _is_steady(ask: Ask, prompt: Prompt, replies: list[Reply], journey: Journey) -> bool:
    """Whether the same request would get the same answer again, but for its ids and moments."""
    namespace, found = journey.namespace, journey.found
    return (
        journey.attempt > 1  # most requests never come again
        and not journey.faults
        and journey.stands_alone
        and journey.dialect.is_repeatable
        and not (journey.room.shows_cache and prompt.total >= journey.room.cache_unit)
        and not any(reply.tool_calls or any(map(_has_id, reply.blocks)) for reply in replies)
        and (found is None or found.is_steady)
        and namespace.script.rules.is_steady(ask, found)
        and not (namespace.script.scenario.faults or journey.options.faults)
    )


def _has_id(block: Block) -> bool:
    return isinstance(block, ToolCall | Search)


def _remember(replies: list[Reply], prompt: Prompt, request: ModelRequest, journey: Journey) -> None:
    exchange = journey.exchange
    completion = complete(
        replies,
        request,
        id=ID,
        created=CREATED,
        request_id=REQUEST_ID,
        prompt=prompt.total,
        material=journey.material,
        seed=journey.namespace.seed,
        habits=journey.room.habits,
    )
    assert exchange.usage is not None
    remembered = Remembered(
        journey.dialect.render(completion, request),
        journey.identity,
        journey.call.operation,
        journey.call.dialect,
        request.model,
        request.stream,
        journey.found,
        exchange.usage,
        exchange.cost,
        exchange.why,
        _pace(request.stream, journey).is_at_once,
    )
    journey.namespace.memory.keep(journey.call, remembered)


def _recalled(known: Remembered, journey: Journey) -> Track:
    """The steps of `_healthy` that are not the same each time."""
    exchange = journey.exchange
    journey.call.operation, journey.call.dialect = known.operation, known.dialect
    journey.dialect = journey.room.speaking(known.dialect)
    journey.found, journey.faults = known.found, []
    exchange.model, exchange.stream, exchange.usage, exchange.cost = known.model, known.stream, known.usage, known.cost
    exchange.rule = known.found.rule.name if known.found is not None else None
    exchange.outcome = "reply" if known.found is not None else "generated"
    exchange.why = known.why
    exchange.status = known.track.status
    track = known.filled(journey.dialect.make_id(journey.material), int(exchange.received), journey.request_id)
    return track if known.is_at_once else _paced(track, journey)


# What goes wrong


def _struck(journey: Journey) -> list[Armed]:
    """The faults that strike this request: found once, as they are counted. Raises UsageError."""
    if journey.faults is None:
        journey.faults = []  # should one of them be misspelt, the answer to that is spared the others
        namespace, found, script = journey.namespace, journey.found, journey.namespace.script
        of_the_script = script.scenario.faults or (found is not None and found.rule.faults)
        if journey.stands_alone and not of_the_script and not journey.options.faults:
            return journey.faults
        armed = _asked_for(journey)
        armed += namespace.arsenal.armed()
        if found is not None:
            armed += [Armed(f"{found.rule.name} {n}", fault, "rule") for n, fault in enumerate(found.rule.faults)]
        armed += [Armed(f"scenario {n}", fault, "scenario") for n, fault in enumerate(script.scenario.faults)]
        armed += [Armed(f"server {n}", fault, "server") for n, fault in enumerate(journey.options.faults)]
        if armed:
            journey.faults = namespace.arsenal.striking(
                armed, namespace.clock.now(), namespace.seed, journey.identity, journey.attempt
            )
            journey.exchange.faults = tuple(f"{each.fault.kind} ({each.source})" for each in journey.faults)
    return journey.faults


def _asked_for(journey: Journey) -> list[Armed]:
    """The faults that the request asks for and may ask for; of the others is said that they do nothing."""
    call, options = journey.call, journey.options
    asked = asked_by(call.headers, call.key, call.faults)
    for source, text in asked:
        if source not in options.request_faults:
            _note_bypassed(f"{shortened(text)} ({source})", "the server lets no request ask for it there", journey)
    permitted = [each for each in asked if each[0] in options.request_faults]
    return from_request(permitted, call.headers, sends_key=bool(call.key), is_worker=options.worker > 0)


def _scene(journey: Journey, *, streamed: bool = False) -> Scene:
    answered = journey.exchange.outcome in ("reply", "generated")
    return Scene(journey.room, journey.request, streamed, journey.material, journey.exchange.received, answered)


def _broken(track: Track, faults: Sequence[Armed], journey: Journey) -> list[Step]:
    """The answer as the faults let it travel; those that cannot be applied are told. It may run in any thread."""
    is_whole = any(run.part == "body" for run in track.runs)  # a whole body too goes like a stream behind heartbeats
    scene = _scene(journey, streamed=track.streamed and not is_whole)
    steps = track.steps()
    # From what is said to bytes to connections, as in the table of faults: what is text must still be text.
    for armed in sorted(faults, key=lambda each: ORDER[each.fault.kind]):
        if armed is not journey.refusing and armed.fault.refuse(scene) is not None:
            _bypassed(armed, NotApplicable("another error came first"), journey)
            continue
        try:
            changed = armed.fault.rewrite(steps, scene)
        except NotApplicable as reason:
            _bypassed(armed, reason, journey)
            continue
        if len(changed) > MAX_STEPS:
            _bypassed(armed, f"the answer would fall into more than {MAX_STEPS} pieces", journey)
            continue
        if changed == steps and armed is not journey.refusing and id(armed) not in journey.acted:
            _bypassed(armed, NO_CHANGE, journey)
        steps = changed
    return steps


NO_CHANGE = "it leaves this answer as it is"


def _bypassed(armed: Armed, reason: NotApplicable | str, journey: Journey) -> None:
    journey.acted.add(id(armed))  # one reason is enough
    _note_bypassed(f"{armed.fault.kind} ({armed.source})", str(reason), journey)


def _note_bypassed(fault: str, reason: str, journey: Journey) -> None:
    note = f"fault {fault} was bypassed: {reason}"
    journey.exchange.notes += (note,)
    logger.warning("%s", note)


def refused(call: Call, namespace: Namespace, reply: ErrorReply) -> Plan:
    """A refusal for a request that cannot begin its journey."""
    journey = _begin(call, namespace, Options(), identity_of(call))
    journey.exchange.shorten()
    return Plan(_refusal(reply, journey), journey.exchange)


def misused(call: Call, namespace: Namespace, complaint: str, kind: str) -> Plan:
    """The emulator's own 400 for a request that uses the emulator, not the provider, in a wrong way."""
    journey = _begin(call, namespace, Options(), identity_of(call))
    journey.exchange.shorten()
    return Plan(_own_error(400, complaint, kind, journey), journey.exchange)


def identity_of(call: Call) -> bytes:
    """What makes this request the same as another."""
    return dice.hashed(dice.mixed_before(call.provider, call.method, call.path) + dice.mixed(call.body))


def _begin(call: Call, namespace: Namespace, options: Options, identity: bytes) -> Journey:
    exchange = namespace.begin(call)
    room = namespace.script.rooms[call.provider]
    attempt = namespace.attempt(identity)
    mixture = dice.mixed_before(namespace.seed, "id") + dice.mixed(identity, attempt, options.worker)
    material = dice.hashed(mixture)
    request_id = room.request_id(exchange.received, material)
    dialect = room.speaking("")  # until the endpoint is known
    return Journey(call, namespace, options, room, dialect, exchange, identity, attempt, material, request_id)


# Ways to end early


def _refusal(reply: ErrorReply, journey: Journey) -> Track:
    track = journey.room.error(reply, journey.call, journey.request_id)
    exchange = journey.exchange
    exchange.outcome, exchange.error, exchange.status = "error", reply.name, track.status
    return track


def _listing(request: ModelRequest, journey: Journey) -> Track:
    room, exchange = journey.room, journey.exchange
    exchange.outcome, exchange.status = "listing", 200
    headers = room.json_headers + room.response_headers(journey.request_id)
    balance = journey.namespace.ledger.balance(room.name, request.key)
    return Track(200, headers, (single("body", room.dumps(room.listing(request, balance))),), streamed=False)


def _misses(rules: Rulebook, dialect: Dialect, call: Call, key: str, seen: tuple[str, int, bytes, int]) -> list[str]:
    """Why no rule answered a request, which is read once more for it: only few are ever asked about."""
    return misses(rules, Ask(dialect.parse(call, key), *seen))


async def _unmatched(ask: Ask, journey: Journey) -> Track:
    """Strict: an error in the provider's own form that tells each rule and why not."""
    rules = journey.namespace.script.rules
    if len(rules.rules) > FEW_RULES or len(journey.call.body) > LONGEST_BODY:
        reasons = await POOL.run(misses, rules, ask, has_left=journey.has_left)
    else:
        reasons = misses(rules, ask)
    journey.exchange.notes = tuple(reasons)
    told = "\n".join(f"  {reason}" for reason in reasons) if reasons else "  there are no rules"
    message = f"No rule matches this {journey.call.provider} request. Rules tried:\n{told}"
    logger.warning("%s", message)
    return _own_error(404, message, "unmatched", journey)


def _failed(error: WritingError, journey: Journey) -> Track:
    if isinstance(error, SchemaError):
        journey.exchange.notes = (str(error),)
        logger.warning("%s", error)
        return _own_error(400, str(error), "schema", journey)
    found = journey.found
    where = f"{found.rule.origin}: rule '{found.rule.name}': " if found is not None else ""
    message = f"{where}{error}"
    journey.exchange.notes = (message,)
    logger.error("%s", message)
    return _own_error(500, message, "scenario", journey)


def _own_error(status: int, message: str, kind: str, journey: Journey) -> Track:
    """An error of the emulator itself, not of the provider: marked, and told not to be retried."""
    headers = {"x-emulator-error": kind, "x-should-retry": "false"}
    return _refusal(ErrorReply(status=status, message=message, code=f"emulator_{kind}", headers=headers), journey)


# What is said


async def _prompt_tokens(request: ModelRequest, room: Provider, journey: Journey) -> Prompt:
    """What the request costs as a prompt."""
    if len(request.call.body) > large.LARGE:
        return await large.elsewhere(_count_prompt, request, room)
    fixed, texts = room.prompt_texts(request)
    if not tokens.is_quick(texts):
        await POOL.run(tokens.warm, texts, has_left=journey.has_left)
    return _counted(fixed, texts)


def _count_prompt(request: ModelRequest, room: Provider) -> Prompt:
    fixed, texts = room.prompt_texts(request)
    tokens.warm(texts)
    return _counted(fixed, texts)


def _counted(fixed: int, texts: Sequence[str]) -> Prompt:
    parts = tuple([(text, tokens.count(text)) for text in texts])
    return Prompt(fixed, parts, fixed + sum([count for _, count in parts]))


async def _replies(ask: Ask, journey: Journey) -> list[Reply]:
    """What the choices say, in this provider's words: scripted, or written for the occasion."""
    request, found = ask.request, journey.found
    draft = found.answer.content if found is not None else UNSAID
    assert isinstance(draft, Draft)
    if is_plain(draft, request):
        replies = [draft.reply]
    else:
        occasion = _occasion(ask, journey)
        if is_quick(draft, request):
            replies = write(draft, request, occasion)
        else:
            pool = POOL if draft.code is None else CODE_POOL
            work = partial(write, draft, request, occasion, journey.has_left)
            replies = await pool.run(work, has_left=journey.has_left)
    if request.controls.thinking is False:  # a model that was told not to think has no reasoning to show
        replies = [replace(reply, reasoning=None) for reply in replies]
    replies = [journey.dialect.adapt(reply, request) for reply in replies]
    texts = [part for reply in replies for part in said(reply)]
    if not tokens.is_quick(texts):
        await POOL.run(tokens.warm, texts, has_left=journey.has_left)
    return replies


def _occasion(ask: Ask, journey: Journey) -> Occasion:
    received = journey.exchange.received
    scenario, found = journey.namespace.script.scenario, journey.found
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


async def _read(work: Callable[..., Result], *arguments: object, of: Call) -> Result:
    """Do what goes through the whole of a request: at once, or in the thread for large ones."""
    if len(of.body) <= large.LARGE:
        return work(*arguments)
    return await large.elsewhere(work, *arguments)


# The answer


def _answered(replies: list[Reply], prompt: Prompt, request: ModelRequest, journey: Journey) -> Track:
    namespace, room, exchange = journey.namespace, journey.room, journey.exchange
    exchange.outcome = "reply" if journey.found else "generated"
    cached = 0
    if room.shows_cache and prompt.total >= room.cache_unit:
        cached = namespace.cache.hit(f"{room.name} {request.model} {request.key}", prompt.parts, room.cache_unit)
    completion = complete(
        replies,
        request,
        id=journey.dialect.make_id(journey.material),
        created=int(exchange.received),
        request_id=journey.request_id,
        prompt=prompt.total,
        cached=min(cached, prompt.total),
        material=journey.material,
        seed=namespace.seed,
        habits=room.habits,
    )
    for armed in journey.faults or ():
        reshaped = armed.fault.reshape(request)
        if reshaped != request:
            journey.acted.add(id(armed))
        request = reshaped
    for armed in journey.faults or ():
        try:
            spoiled = armed.fault.spoil(completion, _scene(journey, streamed=request.stream))
        except NotApplicable as reason:
            _bypassed(armed, reason, journey)
            continue
        if spoiled != completion:
            journey.acted.add(id(armed))
        completion = spoiled
    exchange.usage = completion.usage
    exchange.cost = room.cost(completion.usage, request.model)
    if journey.lease is not None:
        journey.lease.charge(completion.usage, exchange.cost, exchange.received)
    track = journey.dialect.render(completion, request)
    exchange.status = track.status
    return track


def _paced(track: Track, journey: Journey) -> Track:
    """Give every frame its moment."""
    pace = _pace(track.streamed, journey)
    if pace.is_at_once:
        return track
    moments = schedule(track.tokens(), pace, journey.material)
    return journey.dialect.waiting(replace(track, at=moments)) if moments else track


def _pace(streamed: bool, journey: Journey) -> Pace:
    """A pace that a file gives holds for whole bodies too, the server's own only for streams: whoever asks for no
    stream asks for no show."""
    options, found = journey.options, journey.found
    given = found.rule.pace if found else journey.namespace.script.pace
    pace = given or (options.pace if streamed else None)
    return pace.at_speed(options.speed) if pace is not None else AT_ONCE
