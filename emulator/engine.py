"""The journey of a request, in order: from a `HttpRequest` to a `Plan` of bytes and moments."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from typing import Any, Literal, TypeVar

import orjson

from emulator import large, seeded, tokens
from emulator.completion import complete, said
from emulator.dialects.base import Dialect, delivered
from emulator.errors import UsageError, shortened
from emulator.faults import ORDER
from emulator.faults.base import MAX_LIGHT, Fault, FaultContext, HandshakeFault, NotApplicable
from emulator.faults.selection import BY_REQUEST, ActiveFault, Source, asked_by, from_request
from emulator.faults.selection import HEADER as FAULT_HEADER
from emulator.faults.selection import KEY as FAULT_KEY
from emulator.generation.compose import (
    UNSAID,
    RenderContext,
    SchemaError,
    ScriptedError,
    WritingError,
    is_plain,
    is_quick,
    write,
)
from emulator.matching.conditions import MatchContext
from emulator.matching.rules import RuleMatch, RuleSet, explained, misses
from emulator.offload import Abandoned, Pool, never
from emulator.pace import AT_ONCE, Pace, schedule
from emulator.providers.base import Limits, Provider, ProviderError
from emulator.records import record
from emulator.reply import Block, ErrorReply, Reply, ReplyTemplate, Search, Usage
from emulator.request import HttpRequest, ModelRequest, ToolCall
from emulator.state.journal import IN_EXCHANGE, MAX_REQUEST_BYTES, Exchange, Why
from emulator.state.namespace import Namespace
from emulator.state.quotas import Lease
from emulator.state.response_cache import CREATED, ID, REQUEST_ID, CachedResponse, holds_stand_in
from emulator.wire import Handshake, PlannedBody, Step, single

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
    speaks_tls: bool = False
    """Whether clients come by TLS: then faults of handshakes strike there."""


@record
class PlannedResponse:
    """What will be sent, and the record of it."""

    answer: PlannedBody | Sequence[Step]
    exchange: Exchange


@dataclass(slots=True)
class RequestContext:
    """One request on its way: what each step needs of the earlier ones."""

    http_request: HttpRequest
    namespace: Namespace
    options: Options
    provider: Provider
    dialect: Dialect
    exchange: Exchange
    identity: bytes
    attempt: int
    entropy: bytes
    """Entropy for ids and random choices; differs per attempt."""
    request_id: str
    has_left: Callable[[], bool] = never
    """Whether the client has gone, so that slow work for it may end."""
    is_stateless: bool = False
    """Whether nothing but the request and the script bears on the answer."""
    request: ModelRequest | None = None
    found: RuleMatch | None = None
    faults: list[ActiveFault] | None = None
    refusing: ActiveFault | None = None
    """The fault whose error is the answer."""
    limits: Limits | None = None
    """What the key may use in a minute, where the provider tells it."""
    lease: Lease | None = None
    """What this request took of the key's quotas; given back by `Exchange.end`."""
    acted: set[int] = field(default_factory=set)
    """The faults, by identity, that have changed something, or of which is said already why they did not."""

    def route(self, http_request: HttpRequest) -> HttpRequest:
        """The endpoint is known: everything from here on, the record too, goes by the routed request."""
        self.http_request = http_request
        self.exchange.reached(http_request)
        return http_request


@record
class Prompt:
    """The prompt's tokens: the template's own, and those of each text in it."""

    fixed: int
    parts: tuple[tuple[str, int], ...]
    total: int


async def answer(
    http_request: HttpRequest, namespace: Namespace, options: Options, has_left: Callable[[], bool] = never
) -> PlannedResponse:
    """The whole journey. Every refusal is a plan too; nothing is raised for what a client sends."""
    is_stateless = _stands_alone(http_request, namespace)
    known = _known(http_request, namespace) if is_stateless else None
    identity = known.identity if known is not None else await _read(identity_of, http_request, of=http_request)
    journey = _begin(http_request, namespace, options, identity)
    journey.is_stateless, journey.has_left = is_stateless, has_left
    try:
        return PlannedResponse(await _planned(known, journey), journey.exchange)
    except BaseException:  # nobody will play it, so nobody will end it
        journey.exchange.end()
        namespace.journal.settle(journey.exchange)
        raise
    finally:
        journey.exchange.shorten()


async def _planned(known: CachedResponse | None, journey: RequestContext) -> PlannedBody | Sequence[Step]:
    """The answer, whatever happens on the way to it."""
    try:
        try:
            planned = await _healthy(journey) if known is None else _recalled(known, journey)
        except (ProviderError, ScriptedError) as error_spec:
            planned = _refusal(error_spec.reply, journey)
        except WritingError as error:
            planned = _failed(error, journey)
        except Abandoned:  # nobody reads it
            planned = _own_error(499, "The client has left.", "abandoned", journey)
        planned = _with_limits(planned, journey)
        faults = _struck(journey)
        if not faults:
            return planned
        is_heavy = (
            any(armed.fault.is_heavy for armed in faults) or sum(len(run.pieces) for run in planned.runs) > MAX_LIGHT
        )
        return await POOL.run(_broken, planned, faults, journey) if is_heavy else _broken(planned, faults, journey)
    except UsageError as error:  # a fault asked for by header, key or URL that there is not
        return _own_error(400, str(error), "fault", journey)
    except Exception:
        http_request = journey.http_request
        logger.exception("The emulator failed on %s %s: please report this", http_request.method, http_request.path)
        return _refusal(ErrorReply(name="server_error", headers={"x-emulator-error": "internal"}), journey)


async def _healthy(journey: RequestContext) -> PlannedBody:
    """The answer as the provider would give it, unless a fault wants another. Raises Refused, WritingError."""
    http_request, namespace, provider, exchange = (
        journey.http_request,
        journey.namespace,
        journey.provider,
        journey.exchange,
    )
    operation, parameters = provider.route(http_request.method, http_request.path)
    http_request = journey.route(http_request.routed(operation.name, operation.dialect, parameters, namespace.stored))
    dialect = journey.dialect = provider.speaking(operation.dialect)
    key = dialect.key_of(http_request.headers)
    if not (key.startswith(FAULT_KEY) and "key" in journey.options.request_faults):
        namespace.check_key(http_request.provider, key)
    reader = dialect.parse if operation.has_body else provider.listed
    request = journey.request = await _read(reader, http_request, key, of=http_request)
    exchange.model, exchange.stream = request.model, request.stream
    ask = namespace.ask(request, journey.identity, journey.attempt)
    is_large = len(http_request.body) > large.LARGE
    found = journey.found = await namespace.find_in_large(ask) if is_large else namespace.find(ask)
    exchange.rule = found.rule.name if found is not None else None
    exchange.why = _why(ask, found, journey) if found is not None or operation.is_completion else None
    if operation.is_completion and not namespace.quotas.is_empty:
        journey.lease = namespace.quotas.open(provider, key, exchange.received)
        exchange.on_end = journey.lease.close
    _take(request, journey)
    for armed in _struck(journey):
        error_spec = armed.fault.refuse(_scene(journey))
        if error_spec is not None:
            journey.refusing = armed
            return _refusal(error_spec, journey)
    if found is not None and isinstance(found.answer.content, ErrorReply):
        return _refusal(found.answer.content, journey)
    if found is None and not operation.is_completion:
        return await _listing(request, journey)
    if found is None and (namespace.compiled.scenario.unmatched or journey.options.unmatched) == "error":
        return await _unmatched(ask, journey)
    prompt = await _prompt_tokens(request, provider, journey)
    provider.check_context_length(request, prompt.total)
    replies = await _replies(ask, journey)
    planned = _answered(replies, prompt, request, journey)
    if _is_cacheable(ask, prompt, replies, journey) and not holds_stand_in(planned):
        _cache(replies, prompt, request, journey)
    return _paced(planned, journey)


# The same question again


def _known(http_request: HttpRequest, namespace: Namespace) -> CachedResponse | None:
    """The answer to this very question, if it may be given to whoever asks now."""
    known = namespace.response_cache.get(http_request)
    if known is not None:
        try:
            provider = namespace.compiled.providers[http_request.provider]
            namespace.check_key(http_request.provider, provider.speaking(known.dialect).key_of(http_request.headers))
        except ProviderError:
            return None
    return known


def _stands_alone(http_request: HttpRequest, namespace: Namespace) -> bool:
    """Whether the answer depends only on the request and the scenario: no quotas and no live faults."""
    return (
        namespace.quotas.is_empty
        and namespace.fault_registry.is_empty
        and not http_request.faults
        and FAULT_HEADER not in http_request.headers
        and not (http_request.key or "").startswith(FAULT_KEY)
    )


def _is_cacheable(ask: MatchContext, prompt: Prompt, replies: list[Reply], journey: RequestContext) -> bool:
    """Whether the same request would get the same answer again, but for its ids and moments."""
    namespace, found = journey.namespace, journey.found
    return (
        journey.attempt > 1  # most requests never come again
        and not journey.faults
        and journey.is_stateless
        and journey.dialect.is_repeatable
        and journey.limits is None
        and not (journey.provider.shows_cache and prompt.total >= journey.provider.cache_unit)
        and not any(reply.tool_calls or any(map(_has_id, reply.blocks)) for reply in replies)
        and (found is None or found.is_cacheable)
        and namespace.compiled.rules.is_cacheable(ask, found)
        and not (namespace.compiled.scenario.faults or journey.options.faults)
    )


def _has_id(block: Block) -> bool:
    return isinstance(block, ToolCall | Search)


def _cache(replies: list[Reply], prompt: Prompt, request: ModelRequest, journey: RequestContext) -> None:
    exchange = journey.exchange
    completion = complete(
        replies,
        request,
        id=ID,
        created=CREATED,
        request_id=REQUEST_ID,
        prompt=prompt.total,
        entropy=journey.entropy,
        seed=journey.namespace.seed,
        habits=journey.provider.habits,
    )
    assert exchange.usage is not None
    cached_response = CachedResponse(
        journey.dialect.render(completion, request),
        journey.identity,
        journey.http_request.operation,
        journey.http_request.dialect,
        request.model,
        request.stream,
        journey.found,
        exchange.usage,
        exchange.cost,
        exchange.why,
        _pace(request.stream, journey).is_at_once,
    )
    journey.namespace.response_cache.keep(journey.http_request, cached_response)


def _recalled(known: CachedResponse, journey: RequestContext) -> PlannedBody:
    """The steps of `_healthy` that are not the same each time."""
    exchange = journey.exchange
    journey.route(journey.http_request.routed(known.operation, known.dialect, {}))
    journey.dialect = journey.provider.speaking(known.dialect)
    journey.found, journey.faults = known.found, []
    exchange.model, exchange.stream, exchange.usage, exchange.cost = known.model, known.stream, known.usage, known.cost
    exchange.rule = known.found.rule.name if known.found is not None else None
    exchange.outcome = "reply" if known.found is not None else "generated"
    exchange.why = known.why
    exchange.status = known.planned.status
    planned = known.filled(journey.dialect.make_id(journey.entropy), int(exchange.received), journey.request_id)
    return planned if known.is_at_once else _paced(planned, journey)


# What goes wrong


def _struck(journey: RequestContext) -> list[ActiveFault]:
    """The faults that strike this request: found once, as they are counted. Raises UsageError."""
    if journey.faults is None:
        journey.faults = []  # should one of them be misspelt, the answer to that is spared the others
        namespace, found, compiled = journey.namespace, journey.found, journey.namespace.compiled
        of_the_scenario = compiled.scenario.faults or (found is not None and found.rule.faults)
        if journey.is_stateless and not of_the_scenario and not journey.options.faults:
            return journey.faults
        armed = _asked_for(journey)
        is_tls = journey.options.speaks_tls
        armed += namespace.fault_registry.armed(of_handshake=False if is_tls else None)
        if found is not None:
            armed += [ActiveFault(f"{found.rule.name} {n}", fault, "rule") for n, fault in enumerate(found.rule.faults)]
        standing = _standing(namespace, journey.options)
        armed += [each for each in standing if not (is_tls and isinstance(each.fault, HandshakeFault))]
        if armed:
            journey.faults = namespace.fault_registry.select(
                armed, namespace.clock.now(), namespace.seed, journey.identity, journey.attempt
            )
            journey.exchange.faults = tuple(f"{each.fault.kind} ({each.source})" for each in journey.faults)
    return journey.faults


def _standing(namespace: Namespace, options: Options) -> list[ActiveFault]:
    """The faults of the scenario and of the server."""
    faults = namespace.compiled.scenario.faults
    return [
        *(ActiveFault(f"scenario {number}", fault, "scenario") for number, fault in enumerate(faults)),
        *(ActiveFault(f"server {number}", fault, "server") for number, fault in enumerate(options.faults)),
    ]


def handshake_fault(host: str, namespace: Namespace, options: Options) -> Handshake | None:
    """What goes wrong with a TLS handshake for a host: it names no namespace and asks for nothing, so this is what is
    set for a namespace, its scenario or the server. The first one wins."""
    armed = [*namespace.fault_registry.armed(of_handshake=True), *_standing(namespace, options)]
    armed = [each for each in armed if isinstance(each.fault, HandshakeFault)]
    if not armed:
        return None
    identity = seeded.hashed(seeded.mixed_before("handshake", host))
    attempt = namespace.attempt(identity)
    struck = namespace.fault_registry.select(armed, namespace.clock.now(), namespace.seed, identity, attempt)
    fault = struck[0].fault if struck else None
    return fault.how if isinstance(fault, HandshakeFault) else None


def _asked_for(journey: RequestContext) -> list[ActiveFault]:
    """The faults that the request asks for and may ask for; of the others is said that they do nothing."""
    http_request, options = journey.http_request, journey.options
    asked = asked_by(http_request.headers, http_request.key, http_request.faults)
    for source, text in asked:
        if source not in options.request_faults:
            _note_skipped(
                f"{shortened(text)} ({source})", "the server doesn't let requests ask for it that way", journey
            )
    permitted = [each for each in asked if each[0] in options.request_faults]
    return from_request(permitted, http_request.headers, sends_key=bool(http_request.key), is_worker=options.worker > 0)


def _scene(journey: RequestContext, *, streamed: bool = False) -> FaultContext:
    answered = journey.exchange.outcome in ("reply", "generated")
    return FaultContext(
        journey.provider,
        journey.request,
        streamed,
        journey.entropy,
        journey.exchange.received,
        answered,
        journey.options.speaks_tls,
    )


def _broken(planned: PlannedBody, faults: Sequence[ActiveFault], journey: RequestContext) -> list[Step]:
    """The answer after the faults; notes those that can't be applied. May run in any thread."""
    is_whole = any(run.part == "body" for run in planned.runs)  # a whole body too goes like a stream behind heartbeats
    scene = _scene(journey, streamed=planned.streamed and not is_whole)
    steps = planned.steps()
    # From what is said to bytes to connections, as in the table of faults: what is text must still be text.
    for armed in sorted(faults, key=lambda each: ORDER[each.fault.kind]):
        if armed is not journey.refusing and armed.fault.refuse(scene) is not None:
            _skipped(armed, NotApplicable("another error came first"), journey)
            continue
        try:
            changed = armed.fault.transform_steps(steps, scene)
        except NotApplicable as reason:
            _skipped(armed, reason, journey)
            continue
        if len(changed) > MAX_STEPS:
            _skipped(armed, f"the answer would have more than {MAX_STEPS} pieces", journey)
            continue
        if changed == steps and armed is not journey.refusing and id(armed) not in journey.acted:
            _skipped(armed, NO_CHANGE, journey)
        steps = changed
    return steps


NO_CHANGE = "it leaves this answer as it is"


def _skipped(armed: ActiveFault, reason: NotApplicable | str, journey: RequestContext) -> None:
    journey.acted.add(id(armed))  # one reason is enough
    _note_skipped(f"{armed.fault.kind} ({armed.source})", str(reason), journey)


def _note_skipped(fault: str, reason: str, journey: RequestContext) -> None:
    journey.exchange.skipped += ((fault, reason),)
    note = f"fault {fault} was skipped: {reason}"
    journey.exchange.notes += (note,)
    logger.warning("%s", note, extra=IN_EXCHANGE)


def refused(http_request: HttpRequest, namespace: Namespace, reply: ErrorReply) -> PlannedResponse:
    """A refusal for a request that cannot begin its journey."""
    journey = _begin(http_request, namespace, Options(), identity_of(http_request))
    journey.exchange.shorten()
    return PlannedResponse(_refusal(reply, journey), journey.exchange)


def misused(http_request: HttpRequest, namespace: Namespace, complaint: str, kind: str) -> PlannedResponse:
    """The emulator's own 400 for a request that uses the emulator, not the provider, in a wrong way."""
    journey = _begin(http_request, namespace, Options(), identity_of(http_request))
    journey.exchange.shorten()
    return PlannedResponse(_own_error(400, complaint, kind, journey), journey.exchange)


def identity_of(http_request: HttpRequest) -> bytes:
    """What makes this request the same as another."""
    return seeded.hashed(
        seeded.mixed_before(http_request.provider, http_request.method, http_request.path)
        + seeded.mixed(http_request.body)
    )


def _begin(http_request: HttpRequest, namespace: Namespace, options: Options, identity: bytes) -> RequestContext:
    exchange = namespace.begin(http_request)
    provider = namespace.compiled.providers[http_request.provider]
    attempt = exchange.attempt = namespace.attempt(identity)
    mixture = seeded.mixed_before(namespace.seed, "id") + seeded.mixed(identity, attempt, options.worker)
    entropy = seeded.hashed(mixture)
    request_id = provider.request_id(exchange.received, entropy)
    dialect = provider.speaking("")  # until the endpoint is known
    return RequestContext(
        http_request, namespace, options, provider, dialect, exchange, identity, attempt, entropy, request_id
    )


# Ways to end early


def _refusal(reply: ErrorReply, journey: RequestContext) -> PlannedBody:
    planned = journey.provider.error(reply, journey.http_request, journey.request_id)
    exchange = journey.exchange
    exchange.outcome, exchange.error, exchange.status = "error", reply.name, planned.status
    exchange.message = _message_in(planned.body())
    return planned


MAX_MESSAGE = 2048
"""Characters kept of what an error says."""


def _message_in(body: bytes) -> str | None:
    """What an error says, wherever its provider lets that stand."""
    try:
        left = [orjson.loads(body)]
    except ValueError:
        return body[:MAX_MESSAGE].decode("utf-8", "replace") or None
    while left:
        value = left.pop(0)
        if isinstance(value, dict):
            for key in ("message", "msg", "detail", "error"):
                if isinstance(value.get(key), str):
                    return str(value[key])[:MAX_MESSAGE]
            left += value.values()
    return None


async def _listing(request: ModelRequest, journey: RequestContext) -> PlannedBody:
    provider, exchange, dialect = journey.provider, journey.exchange, journey.dialect
    balance = journey.namespace.quotas.balance(provider.name, request.key)

    def made() -> tuple[bytes, Usage | None]:
        listing = provider.listing(request, balance)
        return provider.dumps(listing), dialect.spent(listing)

    is_quick = dialect.is_quick(request)
    body, usage = made() if is_quick else await POOL.run(made, has_left=journey.has_left)
    exchange.outcome, exchange.status = "listing", 200
    if usage is not None:
        exchange.usage, exchange.cost = usage, provider.cost(usage, request.model)
    headers = provider.json_headers + provider.response_headers(journey.request_id)
    return PlannedBody(200, headers, (single("body", body),), streamed=False)


def _take(request: ModelRequest, journey: RequestContext) -> None:
    """Count a request against what its key may use in a minute. Raises ProviderError when that is used up."""
    limits = journey.limits = journey.provider.limits(request)
    if limits is None:
        return
    rates, place = journey.namespace.rate_limits, _place(request)
    now = journey.exchange.received
    left = rates.remaining(place, limits, now)
    if limits.is_enforced and min(left.requests.left, left.tokens.left) < 1:
        raise ProviderError(journey.provider.over_limit(request, left, rates.until_next(place, limits, now)))
    rates.take(place, limits, now, 1, 0)


def _place(request: ModelRequest) -> tuple[str, str, str]:
    return request.http_request.provider, request.key, request.model


def _with_limits(planned: PlannedBody, journey: RequestContext) -> PlannedBody:
    """An answer that tells what is left of the limits."""
    limits, request, exchange = journey.limits, journey.request, journey.exchange
    if limits is None or request is None:
        return planned
    rates, place = journey.namespace.rate_limits, _place(request)
    if exchange.usage is not None:
        rates.take(place, limits, exchange.received, 0, exchange.usage.total)
    headers = journey.provider.limit_headers(rates.remaining(place, limits, exchange.received))
    return replace(planned, headers=planned.headers + headers)


Asked = tuple[RuleSet, Callable[[HttpRequest, str], ModelRequest], HttpRequest, str, tuple[str, int, bytes, int], int]
"""What it takes to find out why a rule matched or not."""


def _why(ask: MatchContext, found: RuleMatch | None, journey: RequestContext) -> Why | None:
    """What can tell later why the rules before the one that answered did not, or all of them."""
    compiled, http_request = journey.namespace.compiled, journey.http_request
    before = len(compiled.rules.rules) if found is None else found.rule.position
    if found is None and (not before or compiled.is_default):
        return None
    seen = (ask.state, ask.attempt, ask.identity, ask.seed)
    reader = journey.dialect.parse if http_request.body else journey.provider.listed
    asked = (compiled.rules, reader, http_request, ask.request.key, seen, before)
    return Why(partial(_misses, asked), http_request.body, before, partial(_explained, asked))


def _read_again(asked: Asked) -> MatchContext:
    """A request as it was matched, which is read once more for it: only few are ever asked about."""
    _, reader, call, key, seen, _ = asked
    return MatchContext(reader(call, key), *seen)


def _misses(asked: Asked) -> list[str]:
    """Why the rules did not answer a request that came before the one that did, or all of them."""
    try:
        return misses(asked[0], _read_again(asked), before=asked[5])
    except ProviderError:  # the response that it goes on from is forgotten meanwhile
        return []


def _explained(asked: Asked) -> list[dict[str, Any]]:
    """The same condition by condition, with the rule that answered at the end."""
    try:
        return explained(asked[0], _read_again(asked), asked[5])
    except ProviderError:
        return []


async def _unmatched(ask: MatchContext, journey: RequestContext) -> PlannedBody:
    """Strict: an error in the provider's own form that tells each rule and why not."""
    rules = journey.namespace.compiled.rules
    if len(rules.rules) > FEW_RULES or len(journey.http_request.body) > MAX_REQUEST_BYTES:
        reasons = await POOL.run(misses, rules, ask, has_left=journey.has_left)
    else:
        reasons = misses(rules, ask)
    journey.exchange.notes = tuple(reasons)
    tried = "\n".join(f"  {reason}" for reason in reasons) if reasons else "  there are no rules"
    message = f"No rule matches this {journey.http_request.provider} request. Rules tried:\n{tried}"
    logger.warning("%s", message, extra=IN_EXCHANGE)
    return _own_error(404, message, "unmatched", journey)


def _failed(error: WritingError, journey: RequestContext) -> PlannedBody:
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


def _own_error(status: int, message: str, kind: str, journey: RequestContext) -> PlannedBody:
    """An error of the emulator itself, not of the provider: marked as such, and not to be retried."""
    headers = {"x-emulator-error": kind, "x-should-retry": "false"}
    planned = _refusal(ErrorReply(status=status, message=message, code=f"emulator_{kind}", headers=headers), journey)
    journey.exchange.error = kind
    return planned


# What is said


async def _prompt_tokens(request: ModelRequest, provider: Provider, journey: RequestContext) -> Prompt:
    """What the request costs as a prompt."""
    if len(request.http_request.body) > large.LARGE:
        return await large.elsewhere(_count_prompt, request, provider)
    fixed, texts = provider.prompt_texts(request)
    if not tokens.is_quick(texts):
        await POOL.run(tokens.warm, texts, has_left=journey.has_left)
    return _counted(fixed, texts)


def _count_prompt(request: ModelRequest, provider: Provider) -> Prompt:
    fixed, texts = provider.prompt_texts(request)
    tokens.warm(texts)
    return _counted(fixed, texts)


def _counted(fixed: int, texts: Sequence[str]) -> Prompt:
    parts = tuple([(text, tokens.count(text)) for text in texts])
    return Prompt(fixed, parts, fixed + sum([count for _, count in parts]))


async def _replies(ask: MatchContext, journey: RequestContext) -> list[Reply]:
    """What the choices say, in this provider's words: scripted, or written for the occasion."""
    request, found = ask.request, journey.found
    template = found.answer.content if found is not None else UNSAID
    assert isinstance(template, ReplyTemplate)
    if is_plain(template, request):
        replies = [template.reply]
    else:
        render_context = _occasion(ask, journey)
        if is_quick(template, request):
            replies = write(template, request, render_context)
        else:
            pool = POOL if template.code is None else CODE_POOL
            work = partial(write, template, request, render_context, journey.has_left)
            replies = await pool.run(work, has_left=journey.has_left)
    if request.controls.thinking is False:  # a model with thinking off has no reasoning to show
        replies = [replace(reply, reasoning=None) for reply in replies]
    replies = [journey.dialect.adapt(reply, request) for reply in replies]
    texts = [part for reply in replies for part in said(reply)]
    if not tokens.is_quick(texts):
        await POOL.run(tokens.warm, texts, has_left=journey.has_left)
    return replies


def _occasion(ask: MatchContext, journey: RequestContext) -> RenderContext:
    received = journey.exchange.received
    scenario, found = journey.namespace.compiled.scenario, journey.found
    return RenderContext(
        seed=ask.seed,
        locale=scenario.locale,
        now=datetime.fromtimestamp(received, UTC).isoformat(timespec="seconds"),
        timestamp=int(received),
        state=ask.state,
        attempt=ask.attempt,
        groups=found.rule.groups(ask.request.prompt) if found is not None else {},
        allows_code=journey.options.allows_code,
    )


async def _read(work: Callable[..., Result], *arguments: object, of: HttpRequest) -> Result:
    """Do what goes through the whole of a request: at once, or in the thread for large ones."""
    if len(of.body) <= large.LARGE:
        return work(*arguments)
    return await large.elsewhere(work, *arguments)


# The answer


def _answered(replies: list[Reply], prompt: Prompt, request: ModelRequest, journey: RequestContext) -> PlannedBody:
    namespace, provider, exchange = journey.namespace, journey.provider, journey.exchange
    exchange.outcome = "reply" if journey.found else "generated"
    cached = 0
    if provider.shows_cache and prompt.total >= max(provider.cache_unit, provider.cache_from):
        cached = namespace.prompt_cache.hit(
            f"{provider.name} {request.model} {request.key}", prompt.parts, provider.cache_unit
        )
    completion = complete(
        replies,
        request,
        id=journey.dialect.make_id(journey.entropy),
        created=int(exchange.received),
        request_id=journey.request_id,
        prompt=prompt.total,
        cached=min(cached, prompt.total),
        entropy=journey.entropy,
        seed=namespace.seed,
        habits=provider.habits,
    )
    for armed in journey.faults or ():
        reshaped = armed.fault.mutate_request(request)
        if reshaped != request:
            journey.acted.add(id(armed))
        request = reshaped
    for armed in journey.faults or ():
        try:
            spoiled = armed.fault.mutate_completion(completion, _scene(journey, streamed=request.stream))
        except NotApplicable as reason:
            _skipped(armed, reason, journey)
            continue
        if spoiled != completion:
            journey.acted.add(id(armed))
        completion = spoiled
    exchange.usage = completion.usage
    exchange.cost = provider.cost(completion.usage, request.model)
    if journey.lease is not None:
        journey.lease.charge(completion.usage, exchange.cost, exchange.received)
    planned = journey.dialect.render(completion, request)
    exchange.status = planned.status
    if journey.dialect.keeps(request):
        moments = schedule((0, delivered(completion)), _pace(True, journey), journey.entropy) or (0.0, 0.0)
        begins, ready = [exchange.received + moment for moment in moments]
        journey.dialect.keep(completion, request, begins, ready)
    return planned


def _paced(planned: PlannedBody, journey: RequestContext) -> PlannedBody:
    """Give every frame its moment."""
    pace = _pace(planned.streamed, journey)
    if pace.is_at_once or (journey.request is not None and journey.dialect.is_immediate(journey.request)):
        return planned
    moments = schedule(planned.tokens(), pace, journey.entropy)
    return journey.dialect.waiting(replace(planned, at=moments)) if moments else planned


def _pace(streamed: bool, journey: RequestContext) -> Pace:
    """A pace that a file gives holds for whole bodies too, the server's own only for streams: whoever asks for no
    stream asks for no show."""
    options, found = journey.options, journey.found
    given = found.rule.pace if found else journey.namespace.compiled.pace
    pace = given or (options.pace if streamed else None)
    return pace.at_speed(options.speed) if pace is not None else AT_ONCE
