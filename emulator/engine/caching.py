"""Repeated questions: an answer that would be the same is made only once, except for its ids and times."""

from collections.abc import Sequence

from emulator.completion import complete
from emulator.engine.faults import StruckFaults
from emulator.engine.rendering import pace_of, paced
from emulator.engine.stages import Admitted, RequestContext
from emulator.engine.writing import Prompt
from emulator.faults.selection import HEADER as FAULT_HEADER
from emulator.faults.selection import KEY as FAULT_KEY
from emulator.providers.base import Provider, ProviderError
from emulator.records import record
from emulator.reply import Block, Reply, Search
from emulator.request import HttpRequest, ToolCall
from emulator.state.blanks import CREATED, ID, REQUEST_ID, blanked, holds_stand_in, is_small, values_of
from emulator.state.exchanges import Exchange
from emulator.state.forms import CachedAnswer
from emulator.state.namespace import Namespace
from emulator.state.response_cache import CachedResponse
from emulator.wire import PlannedBody


def is_stateless(http_request: HttpRequest, namespace: Namespace) -> bool:
    """Whether the answer depends only on the request and the scenario: no quotas and no live faults."""
    return (
        namespace.quotas.is_empty
        and namespace.fault_registry.is_empty
        and not namespace.compiled.providers[http_request.provider].watches_concurrency
        and not http_request.faults
        and FAULT_HEADER not in http_request.headers
        and not (http_request.key or "").startswith(FAULT_KEY)
    )


@record
class Lookup:
    """What is known about a request from earlier ones."""

    is_stateless: bool
    cached: CachedResponse | None
    """The cached answer, if it may be reused."""


SOME_IDS = ("a", "b", "c", "d")
"""Request ids to compare the headers of."""
STATEFUL, NEW = Lookup(False, None), Lookup(True, None)


def look_up(http_request: HttpRequest, namespace: Namespace) -> Lookup:
    """Looks a request up among earlier ones."""
    if not is_stateless(http_request, namespace):
        return STATEFUL
    cached = find_cached(http_request, namespace)
    return NEW if cached is None else Lookup(True, cached)


def find_cached(http_request: HttpRequest, namespace: Namespace) -> CachedResponse | None:
    """Returns the cached answer, if this client may have it."""
    cached = namespace.response_cache.get(http_request)
    if cached is not None and cached.asked_with is not http_request.headers:
        try:
            provider = namespace.compiled.providers[http_request.provider]
            namespace.check_key(http_request.provider, provider.speaking(cached.dialect).key_in(http_request))
        except ProviderError:
            return None
        cached.asked_with = http_request.headers
    return cached


def recalled(cached: CachedResponse, context: RequestContext) -> PlannedBody:
    """The steps that differ for each request."""
    exchange, dialect = context.exchange, context.provider.speaking(cached.dialect)
    note(exchange, cached, context.http_request, context.namespace)
    blank = cached.answer
    values = values_of(dialect.make_id(context.entropy), int(exchange.received), context.request_id)
    planned = blank.filled(values)
    if cached.is_at_once:
        return planned
    pace = pace_of(planned.streamed, cached.match, context)
    return paced(planned, pace, dialect, context.entropy)


def note(exchange: Exchange, cached: CachedResponse, http_request: HttpRequest, namespace: Namespace) -> None:
    """Records what is the same for each request, and counts the use of the rule."""
    match = cached.match
    if http_request.operation != cached.operation:
        exchange.reached(http_request.routed(cached.operation, cached.dialect, {}))
    exchange.model, exchange.stream = cached.model, cached.stream
    provider = namespace.compiled.providers[http_request.provider]
    exchange.usage, exchange.cost = cached.usage, cached.cost
    if provider.prices_move:
        exchange.cost = provider.cost(cached.usage, cached.model, exchange.received)
    exchange.rule = match.rule.name if match is not None else None
    namespace.use(match)
    exchange.outcome = "reply" if match is not None else "generated"
    exchange.why, exchange.read_as = cached.why, cached.read_as
    exchange.tokenizer, exchange.is_estimate = cached.tokenizer, cached.is_estimate
    exchange.status = cached.answer.planned.status


def cache(planned: PlannedBody, replies: list[Reply], prompt: Prompt, admitted: Admitted, struck: StruckFaults) -> None:
    """Caches an answer, if the same request would get the same one."""
    if not _is_cacheable(replies, prompt, admitted, struck) or holds_stand_in(planned):
        return
    context, request = admitted.context, admitted.request
    completion = complete(
        replies,
        request,
        id=ID,
        created=CREATED,
        request_id=REQUEST_ID,
        prompt=prompt.total,
        entropy=context.entropy,
        seed=context.namespace.seed,
        habits=context.dialect.model_habits(),
    )
    _keep(context.dialect.render(completion, request), admitted)


def cache_known(known: CachedAnswer, prompt: Prompt, admitted: Admitted, struck: StruckFaults) -> None:
    """The same for an answer to every request of a form."""
    if _is_cacheable((), prompt, admitted, struck):
        blank = known.blank
        _keep(blank.filled(values_of(ID, CREATED, REQUEST_ID, blank.numbers_of(prompt.total))), admitted)


def _keep(body: PlannedBody, admitted: Admitted) -> None:
    """Caches an answer with stand-ins."""
    if not is_small(body):
        return
    context, request, exchange = admitted.context, admitted.request, admitted.context.exchange
    assert exchange.usage is not None
    cached = CachedResponse(
        blanked(body),
        context.identity,
        context.http_request.operation,
        context.http_request.dialect,
        request.model,
        request.stream,
        admitted.match,
        exchange.usage,
        exchange.why,
        pace_of(request.stream, admitted.match, context).is_at_once,
        exchange.cost,
        exchange.read_as,
        exchange.tokenizer,
        exchange.is_estimate,
    )
    context.namespace.response_cache.keep(context.http_request, cached)


def _is_cacheable(replies: Sequence[Reply], prompt: Prompt, admitted: Admitted, struck: StruckFaults) -> bool:
    """Whether the same request would get the same answer again, except for ids and times."""
    context, match = admitted.context, admitted.match
    provider, compiled = context.provider, context.namespace.compiled
    return (
        context.attempt > 1  # most requests are never repeated
        and not struck.faults
        and context.is_stateless
        and context.dialect.is_repeatable
        and not provider.is_dated
        and admitted.limits is None
        and not (provider.shows_cache and prompt.total >= provider.cache_unit)
        and not any(reply.tool_calls or any(map(_has_id, reply.blocks)) for reply in replies)
        and (match is None or match.is_cacheable)
        and compiled.rules.is_cacheable(admitted.question, match)
        and not (compiled.scenario.faults or context.options.faults)
        and not derives_headers(provider)
    )


def derives_headers(provider: Provider) -> bool:
    """Whether a header follows from the request id but isn't the id itself, so that it can't be filled in."""
    rows = [
        tuple([(name, REQUEST_ID if value == id.encode() else value) for name, value in provider.response_headers(id)])
        for id in SOME_IDS
    ]
    return any(row != rows[0] for row in rows)


def _has_id(block: Block) -> bool:
    return isinstance(block, ToolCall | Search)
