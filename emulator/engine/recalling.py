"""Cached answers if other processes count too: all they need is the number of the attempt."""

from collections.abc import Awaitable, Callable, Mapping

from emulator.engine.arrival import entropy_of
from emulator.engine.caching import Lookup, note
from emulator.engine.deciding import NOTED, counter_of, is_plain
from emulator.engine.endings import unanswered
from emulator.engine.forms import known
from emulator.engine.options import Options
from emulator.engine.short_way import Found, filled, found_for
from emulator.engine.stages import PlannedResponse
from emulator.errors import StoreGone
from emulator.matching.conditions import MatchContext
from emulator.matching.residual import left_of
from emulator.matching.rules import RuleMatch, RuleSet
from emulator.request import HttpRequest
from emulator.state.blanks import Recollection, values_of
from emulator.state.exchanges import Exchange
from emulator.state.forms import UnreadRequest
from emulator.state.leases import account_name
from emulator.state.namespace import Namespace
from emulator.state.response_cache import CachedResponse
from emulator.state.store import Counting, Store


async def recall_counted(
    cached: CachedResponse, http_request: HttpRequest, namespace: Namespace, options: Options, store: Store
) -> tuple[Recollection, Exchange]:
    """Does the same as `recall`, once the store has counted the request. May run outside of a task."""
    exchange = namespace.begin(http_request)
    provider = namespace.compiled.providers[http_request.provider].at(exchange.received)
    note(exchange, cached, http_request, namespace)
    exchange.body_size = len(http_request.body)
    identity, match = cached.identity, cached.match
    rule = "" if match is None else counter_of(namespace, match.rule)
    counting, salt = Counting(identity.hex()[:32], rule, ""), 0
    try:
        attempt, _ = await store.count(namespace.name, counting)
    except StoreGone:
        attempt, salt = store.fallback.count(namespace.name, counting).attempt, options.salt
        exchange.notes += (NOTED,)
    except BaseException:  # nothing will send and end it
        unanswered(exchange, namespace)
        raise
    exchange.attempt = attempt
    namespace.learn(identity, attempt)
    entropy = entropy_of(namespace.seed, identity, attempt, salt)
    request_id = provider.request_id(exchange.received, entropy)
    id, blank = provider.speaking(cached.dialect).make_id(entropy), cached.answer
    return Recollection(blank, values_of(id, int(exchange.received), request_id)), exchange


async def recall_form_counted(
    request: UnreadRequest,
    found: Found,
    namespace: Namespace,
    options: Options,
    plan: Callable[[], Awaitable[PlannedResponse]],
) -> PlannedResponse | tuple[Recollection, Exchange]:
    """Answers a request of a known form once the store has counted it; if it can't, the pipeline (`plan`) does. May run
    outside of a task."""
    (answer, match, question), store = found, namespace.store
    assert store is not None
    given = account_name(request.http_request.provider, request.key)
    counting = Counting(question.identity.hex()[:32], counter_of(namespace, match.rule), given)
    salt, notes = 0, tuple[str, ...]()
    try:
        attempt, state = await store.count(namespace.name, counting)
    except StoreGone:
        attempt, state = store.fallback.count(namespace.name, counting)
        salt, notes = options.salt, (NOTED,)
    if not attempt:
        return await plan()
    exchange = namespace.begin(request.http_request)
    provider = namespace.compiled.providers[request.http_request.provider].at(exchange.received)
    exchange.attempt, exchange.notes = attempt, (*exchange.notes, *notes)
    namespace.learn(question.identity, attempt)
    entropy = entropy_of(namespace.seed, question.identity, attempt, salt)
    arrived = exchange, provider, entropy, provider.request_id(exchange.received, entropy)
    seen = MatchContext(request, state, attempt, question.identity, question.seed)
    recalled = filled(request, (answer, match, seen), arrived, namespace, options)
    return (recalled.recollection, exchange) if recalled.is_at_once else recalled.response()


def form_to_count(
    http_request: HttpRequest, namespace: Namespace, options: Options, before: Lookup | None
) -> tuple[UnreadRequest, Found] | None:
    """Returns what answers a request of a known form, if all that others can change about it is the number of its
    attempt."""
    store, compiled = namespace.store, namespace.compiled
    if before is None or not before.is_stateless or store is None or not store.decides_all:
        return None
    if compiled.scenario.faults or options.faults or (request := known(http_request, namespace.response_cache)) is None:
        return None
    found = None if request.form.limits is not None else found_for(request, namespace, _plain_match)
    return None if found is None else (request, found)


def _plain_match(rules: RuleSet, question: MatchContext, used: Mapping[int, int]) -> RuleMatch | None:
    """Returns the rule that answers, if nothing else can happen."""
    left = left_of(rules, question)
    return RuleMatch(left[0].rule, left[0].rule.answers[0]) if len(left) == 1 and is_plain(left[0]) else None
