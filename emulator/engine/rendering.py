"""Turns a reply into a planned body: applies the request's parameters, renders it and schedules every frame."""

from dataclasses import replace

from emulator import tokens
from emulator.completion import NO_CACHE, complete
from emulator.dialects.base import Dialect, delivered
from emulator.engine.endings import refusal
from emulator.engine.faults import StruckFaults
from emulator.engine.options import Options
from emulator.engine.stages import POOL, Admitted, Matched, RequestContext
from emulator.engine.writing import Prompt, vocabulary_of
from emulator.matching.rules import RuleMatch
from emulator.pace import AT_ONCE, Pace, schedule
from emulator.reply import CacheUse, Completion, ErrorReply, Reply, Usage
from emulator.request import ModelRequest
from emulator.state.compiled import CompiledScenario
from emulator.state.store import decimal_of
from emulator.wire import PlannedBody, single


def rendered(
    replies: list[Reply], prompt: Prompt, use: CacheUse, admitted: Admitted, struck: StruckFaults
) -> PlannedBody:
    """Returns the whole answer, without times."""
    context, dialect, exchange = admitted.context, admitted.context.dialect, admitted.context.exchange
    exchange.outcome = "reply" if admitted.match else "generated"
    completion = complete(
        replies,
        admitted.request,
        id=dialect.make_id(context.entropy),
        created=int(exchange.received),
        request_id=context.request_id,
        prompt=prompt.total,
        cache=use,
        entropy=context.entropy,
        seed=context.namespace.seed,
        habits=dialect.model_habits(),
    )
    request, completion = struck.mutated(completion, admitted)
    if admitted.lease is not None and admitted.lease.crosses(completion.usage):
        refused = refusal(ErrorReply(name="rate_limited"), context)  # spread over the duration of the answer
        return replace(refused, runs=(single("body", refused.body(), tokens=delivered(completion)),))
    exchange.usage = completion.usage
    exchange.cost = context.provider.cost(completion.usage, request.model, exchange.received)
    if admitted.lease is not None:
        admitted.lease.charge(completion.usage, exchange.cost, exchange.received)
    planned = dialect.render(completion, request)
    exchange.status = planned.status
    if dialect.keeps(request):
        _keep(completion, request, admitted)
    return planned


def cache_use(prompt: Prompt, admitted: Admitted) -> CacheUse:
    """Returns which part of the prompt is in the provider's cache and which part is added to it."""
    context, request = admitted.context, admitted.request
    if admitted.decision is not None:
        prefixes = admitted.prefixes
        return NO_CACHE if prefixes is None else prefixes.use(admitted.decision["prefix"])
    provider, unit = context.provider, context.provider.cache_unit
    points = context.dialect.cache_points(request)
    if points is not None and not points:
        return NO_CACHE
    place = f"{provider.name} {request.model} {request.key}"
    if points is not None:
        return context.namespace.prefix_cache.use(place, prompt.parts, points, context.exchange.received)
    if not provider.shows_cache or prompt.total < max(unit, provider.cache_from):
        return NO_CACHE
    return CacheUse(min(context.namespace.prompt_cache.hit(place, prompt.parts, unit), prompt.total))


def _keep(completion: Completion, request: ModelRequest, matched: Matched) -> None:
    """Stores the answer for later requests."""
    context = matched.context
    moments = schedule((0, delivered(completion)), pace_of(True, matched.match, context), context.entropy)
    begins, ready = [context.exchange.received + moment for moment in moments or (0.0, 0.0)]
    context.dialect.keep(completion, request, begins, ready)


async def listing(matched: Admitted) -> PlannedBody:
    """Returns the answer of an operation without a model's answer."""
    context, request = matched.context, matched.request
    provider, exchange, dialect = context.provider, context.exchange, context.dialect
    decision = matched.decision
    if decision is None:
        balance = context.namespace.quotas.balance(provider.name, request.key)
    else:
        balance = None if decision["balance"] is None else decimal_of(decision["balance"])

    vocabulary = await vocabulary_of(request, context) if matched.operation.has_body else None

    def made() -> tuple[bytes, Usage | None]:
        with tokens.counted_by(vocabulary):
            listing = provider.listing(request, balance)
            return provider.dumps(listing), dialect.spent(listing, request)

    body, usage = made() if dialect.is_quick(request) else await POOL.run(made, has_left=context.has_left)
    exchange.outcome, exchange.status = "listing", 200
    if usage is not None:
        exchange.usage, exchange.cost = usage, provider.cost(usage, request.model, exchange.received)
    headers = provider.json_headers + provider.response_headers(context.request_id)
    return PlannedBody(200, headers, (single("body", body),), streamed=False)


def pace_of(streamed: bool, match: RuleMatch | None, context: RequestContext) -> Pace:
    """Returns the pace of an answer."""
    return pace_under(context.namespace.compiled, context.options, streamed, match)


def pace_under(compiled: CompiledScenario, options: Options, streamed: bool, match: RuleMatch | None) -> Pace:
    """Returns the pace of an answer. A pace in a file also applies to whole bodies, the server's default only to
    streams.
    """
    given = match.rule.pace if match else compiled.pace
    pace = given or (options.pace if streamed else None)
    return pace.at_speed(options.speed) if pace is not None else AT_ONCE


def paced(planned: PlannedBody, pace: Pace, dialect: Dialect, entropy: bytes) -> PlannedBody:
    """Returns the same with a time for every frame."""
    if pace.is_at_once:
        return planned
    moments = schedule(planned.tokens(), pace, entropy)
    return dialect.waiting(replace(planned, at=moments)) if moments else planned
