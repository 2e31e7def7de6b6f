"""The steps of a request, one after another. Invalid input from clients raises nothing: errors are answers, too."""

from collections.abc import Callable
from typing import TypeVar

from emulator import large, tokens
from emulator.engine import stored
from emulator.engine.arrival import arrive, identity_of
from emulator.engine.caching import Lookup, cache, cache_known, look_up, recalled
from emulator.engine.deciding import decide, decide_early, decide_recalled
from emulator.engine.endings import internal_error, own_error, refusal, unanswered, unmatched, unwritten
from emulator.engine.explanations import why_of
from emulator.engine.faults import StruckFaults, no_faults, strike, transformed
from emulator.engine.forms import given_again, known_answer, read, remember_answer
from emulator.engine.limits import count, with_limits
from emulator.engine.options import Options
from emulator.engine.rendering import cache_use, listing, pace_of, paced, rendered
from emulator.engine.short_way import recall
from emulator.engine.stages import POOL, Admitted, Arrived, Matched, Parsed, PlannedResponse, RequestContext, Routed
from emulator.engine.writing import count_prompt, vocabulary_of, write_replies
from emulator.errors import StoreGone, UsageError
from emulator.faults.selection import KEY as FAULT_KEY
from emulator.generation.needs import ScriptedError, WritingError
from emulator.offload import Abandoned, never
from emulator.providers.base import ProviderError
from emulator.reply import ErrorReply
from emulator.request import HttpRequest
from emulator.state.leases import SharedLease
from emulator.state.namespace import Namespace
from emulator.state.shared import is_counted
from emulator.state.store import Store
from emulator.wire import PlannedBody

Result = TypeVar("Result")


async def answer(
    http_request: HttpRequest,
    namespace: Namespace,
    options: Options,
    has_left: Callable[[], bool] = never,
    before: Lookup | None = None,
) -> PlannedResponse:
    """Answers a request: from the cache if possible, otherwise step by step. The caller must end the response.
    `before` is the result of `look_up`, for a request that could not be recalled.
    """
    if before is None:
        before = look_up(http_request, namespace)
        known = recall(http_request, namespace, options, before)
        if known is not None:
            return known.response()
    cached = before.cached
    identity = cached.identity if cached is not None else await _read(identity_of, http_request, of=http_request)
    provider = namespace.compiled.providers[http_request.provider]
    if not provider.spoken.made and provider.spoken.loads(""):  # while streams go on
        await POOL.run(provider.speaking, "")
    context = _arrived(http_request, namespace, options, identity, has_left=has_left, is_stateless=before.is_stateless)
    try:
        if cached is None:
            return await _step_by_step(Arrived(context))
        assert namespace.store is not None  # without one, it would have been recalled
        context = await decide_recalled(context, cached.match, namespace.store)
        return PlannedResponse(recalled(cached, context), context.exchange)
    except Exception:
        return PlannedResponse(internal_error(context), context.exchange)
    except BaseException:  # nothing will play and end it
        unanswered(context.exchange, namespace)
        raise
    finally:
        context.exchange.shorten()


async def _step_by_step(arrived: Arrived) -> PlannedResponse:
    """Answers a request step by step. If it ends early, faults also apply to that response."""
    stage = arrived  # the last stage reached
    struck: StruckFaults | None = None
    try:
        try:
            stage = routed = await route(arrived)
            key = authenticate(routed)
            shared = shares_stored(routed)
            if shared is not None:
                await stored.fetch(routed.context, shared)
            stage = parsed = await parse(routed, key)
            store = store_for(parsed)
            if store is None:
                stage = matched = await match(parsed)
                stage = admitted = admit(matched)
                count(admitted)
                struck = strike(admitted)
            else:
                stage, struck, error = await decide(parsed, store)
                if error is not None:
                    raise error
                assert isinstance(stage, Admitted)
                admitted = stage
            planned = await respond(admitted, struck)
            if shared is not None:
                await stored.keep(admitted.context, shared)
            if store is not None and isinstance(admitted.lease, SharedLease):
                await admitted.lease.until_charged()
        except (ProviderError, ScriptedError) as error:
            if struck is None and (early := store_for_early(stage)) is not None:
                stage, struck, _ = await decide_early(stage, early)
            planned = refusal(error.reply, stage.context)
        except StoreGone as error:
            struck = no_faults(stage.context)
            planned = own_error(503, str(error), "store", stage.context)
        except WritingError as error:
            planned = unwritten(error, stage)
        except Abandoned:  # the client has left
            planned = own_error(499, "The client has left.", "abandoned", stage.context)
        planned = with_limits(planned, stage)
        sent = await transformed(planned, strike(stage) if struck is None else struck, stage)
    except UsageError as error:  # the header, key or URL asks for an unknown fault
        sent = own_error(400, str(error), "fault", stage.context)
    except Exception:
        sent = internal_error(stage.context)
    except BaseException:
        if isinstance(stage, Admitted) and stage.lease is not None:
            stage.lease.close()
        raise
    return PlannedResponse(sent, stage.context.exchange, stage.lease if isinstance(stage, Admitted) else None)


def store_for(parsed: Parsed) -> Store | None:
    """Returns the store that decides about a request; None: this process decides alone. A store in the parent of
    several workers is used only by requests that share something.
    """
    context = parsed.context
    store = store_for_early(parsed)
    if store is not None or context.namespace.store is None:
        return store
    provider, request = context.provider, parsed.request
    least = max(provider.cache_unit, provider.cache_from)
    is_cached = provider.shows_cache and len(context.http_request.body) >= least
    shares = is_cached or provider.limits(request) is not None or context.dialect.cache_points(request)
    return context.namespace.store if shares else None


def store_for_early(stage: Arrived) -> Store | None:
    """The same for a request that the provider has not accepted yet."""
    namespace, context = stage.context.namespace, stage.context
    store = namespace.store
    if store is None or store.decides_all:
        return store
    counts = namespace.needs_store or any(map(is_counted, context.options.faults))
    return store if counts or not context.is_stateless else None


async def route(arrived: Arrived) -> Routed:
    """Finds the operation, and loads its dialect on first use. Raises ProviderError."""
    context = arrived.context
    http_request, provider = context.http_request, context.provider
    operation, parameters = provider.route(http_request.method, http_request.path)
    spoken = provider.dialect_of(operation, http_request)
    if spoken not in provider.spoken.made and provider.spoken.loads(spoken):
        await POOL.run(provider.speaking, spoken)
    dialect = provider.speaking(spoken)
    kept = context.namespace.stored_for_one() if dialect.has_stored else context.namespace.stored
    return Routed(context.routed(http_request.routed(operation.name, spoken, parameters, kept), dialect), operation)


def shares_stored(routed: Routed) -> Store | None:
    """Where responses are stored that this request may be about, if other processes see them too."""
    return routed.context.namespace.store if routed.context.dialect.has_stored else None


def authenticate(routed: Routed) -> str:
    """Checks the request's key. Raises ProviderError."""
    context = routed.context
    key = context.dialect.key_in(context.http_request)
    if not (key.startswith(FAULT_KEY) and "key" in context.options.request_faults):
        context.namespace.check_key(context.http_request.provider, key)
    return key


async def parse(routed: Routed, key: str) -> Parsed:
    """Parses the request. Raises ProviderError."""
    context, operation = routed.context, routed.operation
    form = None
    if not operation.has_body:
        request = context.provider.listed(context.http_request, key)
    elif len(context.http_request.body) > large.LARGE:
        request = await large.elsewhere(context.dialect.parse, context.http_request, key)
    else:
        request, form = read(context, operation, key)
    context.exchange.model, context.exchange.stream = request.model, request.stream
    if request.body:
        context.exchange.accepted(context.dialect.body_of(operation.name), request.body)
    return Parsed(context, operation, request, form)


async def match(parsed: Parsed) -> Matched:
    """Finds the rule that answers, and counts its use."""
    context, operation, request, form = parsed.context, parsed.operation, parsed.request, parsed.form
    namespace, exchange = context.namespace, context.exchange
    question = namespace.ask(request, context.identity, context.attempt)
    is_large = len(context.http_request.body) > large.LARGE
    found = await namespace.find_in_large(question) if is_large else namespace.find(question)
    exchange.rule = found.rule.name if found is not None else None
    exchange.why = why_of(question, found, context) if found is not None or operation.is_completion else None
    return Matched(context, operation, request, form, question, found)


def admit(matched: Matched) -> Admitted:
    """Uses the quotas of the request's key. Raises ProviderError if they are used up."""
    context, request = matched.context, matched.request
    quotas, lease = context.namespace.quotas, None
    most = context.provider.concurrency_of(request.model)
    if matched.operation.is_completion and (most is not None or not quotas.is_empty):
        lease = quotas.open(context.provider, request.key, context.exchange.received, request.model, most)
    limits = context.provider.limits(request)
    return Admitted(context, matched.operation, request, matched.form, matched.question, matched.match, lease, limits)


async def respond(admitted: Admitted, struck: StruckFaults) -> PlannedBody:
    """Returns the provider's answer, or the error that a fault or a rule asks for. Raises ProviderError or
    WritingError.
    """
    context, request, found = admitted.context, admitted.request, admitted.match
    error = struck.refusal(admitted)
    is_recorded = found is not None and found.answer.wire is not None
    if error is None and found is not None and not is_recorded and isinstance(found.answer.content, ErrorReply):
        error = found.answer.content
    if error is not None:
        return refusal(error, context)
    if found is not None and found.answer.wire is not None:
        from emulator.engine.recorded import replayed  # only for recordings

        return replayed(found.answer.wire, admitted)
    compiled = context.namespace.compiled
    is_strict = found is None and (compiled.scenario.unmatched or context.options.unmatched) == "error"
    if found is None and not admitted.operation.is_completion:
        is_missing = is_strict and context.provider.name in compiled.recorded
        return await (unmatched(admitted) if is_missing else listing(admitted))
    if is_strict:
        return await unmatched(admitted)
    vocabulary = await vocabulary_of(request, context, admitted.form)
    prompt = await count_prompt(request, context, vocabulary)
    context.dialect.check_prompt(request, prompt.total)
    use = cache_use(prompt, admitted)
    known = known_answer(use, admitted, struck)
    if known is not None:
        planned = given_again(known, prompt, admitted)
        cache_known(known, prompt, admitted, struck)
    else:
        replies = await write_replies(admitted, vocabulary)
        with tokens.counted_by(vocabulary):
            planned = rendered(replies, prompt, use, admitted, struck)
            remember_answer(planned, replies, prompt, use, admitted, struck)
            cache(planned, replies, prompt, admitted, struck)
    if context.dialect.is_immediate(request):
        return planned
    return paced(planned, pace_of(planned.streamed, found, context), context.dialect, context.entropy)


def refused(http_request: HttpRequest, namespace: Namespace, reply: ErrorReply) -> PlannedResponse:
    """Returns the error for a request that can't be processed at all."""
    context = _arrived(http_request, namespace, Options(), identity_of(http_request))
    context.exchange.shorten()
    return PlannedResponse(refusal(reply, context), context.exchange)


def misused(
    http_request: HttpRequest, namespace: Namespace, complaint: str, kind: str, status: int = 400
) -> PlannedResponse:
    """Returns the emulator's own error for a request that misuses the emulator rather than the provider."""
    context = _arrived(http_request, namespace, Options(), identity_of(http_request))
    context.exchange.shorten()
    return PlannedResponse(own_error(status, complaint, kind, context), context.exchange)


def _arrived(
    http_request: HttpRequest,
    namespace: Namespace,
    options: Options,
    identity: bytes,
    has_left: Callable[[], bool] = never,
    is_stateless: bool = False,
) -> RequestContext:
    """Returns the context of a request that has just arrived, with its record and entropy."""
    exchange, provider, entropy, request_id = arrive(http_request, namespace, options, identity)
    return RequestContext(
        http_request,
        namespace,
        options,
        provider,
        provider.speaking(""),
        exchange,
        identity,
        exchange.attempt,
        entropy,
        request_id,
        has_left,
        is_stateless,
    )


async def _read(work: Callable[..., Result], *arguments: object, of: HttpRequest) -> Result:
    """Runs work that reads the whole request: immediately, or in a thread for large requests."""
    if len(of.body) <= large.LARGE:
        return work(*arguments)
    return await large.elsewhere(work, *arguments)
