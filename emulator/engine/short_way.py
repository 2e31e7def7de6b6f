"""The short way for requests in which nothing is new, or nothing except one of their texts.

A repeated request gets the same answer again, and a request of a known form the answer that its rule gives to every
request of that form, with new ids, times and token counts. If anything else could matter, the request goes through the
pipeline instead; nothing has been counted by then.
"""

from collections.abc import Callable, Mapping
from typing import TypeAlias

from emulator.completion import NO_CACHE
from emulator.dialects.base import Dialect
from emulator.engine.arrival import arrive, identity_of
from emulator.engine.caching import Lookup, note
from emulator.engine.endings import unanswered
from emulator.engine.explanations import asked_later
from emulator.engine.forms import answer_of, known
from emulator.engine.limits import allows, headers_after
from emulator.engine.options import Options
from emulator.engine.rendering import pace_under, paced
from emulator.engine.stages import PlannedResponse
from emulator.matching.conditions import MatchContext
from emulator.matching.rules import RuleMatch, RuleSet, find
from emulator.pace import AT_ONCE, Pace
from emulator.providers.base import Provider, ProviderError
from emulator.records import record
from emulator.request import HttpRequest
from emulator.state.blanks import Recollection, values_of
from emulator.state.exchanges import Exchange
from emulator.state.forms import CachedAnswer, Form, UnreadRequest
from emulator.state.namespace import Namespace
from emulator.state.response_cache import CachedResponse

OFTEN = 3
"""The attempt at which a request of a known form is cached as a whole."""
MAX_FITTING = 256
"""The most lengths of prompts that are known to fit."""


@record
class Recalled:
    """A cached answer, and the new exchange."""

    recollection: Recollection
    exchange: Exchange
    pace: Pace
    dialect: Dialect
    entropy: bytes

    @property
    def is_at_once(self) -> bool:
        """Whether it can be sent in one write."""
        return self.pace is AT_ONCE and self.recollection.answer.is_at_once

    def response(self) -> PlannedResponse:
        """Returns the answer filled in, with the times of its frames."""
        planned = paced(self.recollection.planned(), self.pace, self.dialect, self.entropy)
        return PlannedResponse(planned, self.exchange)


Found: TypeAlias = tuple[CachedAnswer, RuleMatch, MatchContext]
"""What answers a request of a known form, and the request as rules see it."""
Finding: TypeAlias = Callable[[RuleSet, MatchContext, Mapping[int, int]], RuleMatch | None]
"""Finds the rule that answers, like `find`."""


def recall(http_request: HttpRequest, namespace: Namespace, options: Options, before: Lookup) -> Recalled | None:
    """Returns the answer to a known request; None if it has to go through the pipeline. If something fails, such as a
    plugin's provider, the record that has begun is ended, and the exception raised.
    """
    try:
        return _recalled(http_request, namespace, options, before)
    except Exception:
        for exchange in namespace.journal:
            if exchange.ended is None and exchange._http_request is http_request:
                unanswered(exchange, namespace, "closed")
        raise


def _recalled(http_request: HttpRequest, namespace: Namespace, options: Options, before: Lookup) -> Recalled | None:
    store = namespace.store
    if not before.is_stateless or (store is not None and store.decides_all):
        return None
    if before.cached is not None:
        return _to_the_same(before.cached, http_request, namespace, options)
    compiled = namespace.compiled
    if compiled.scenario.faults or options.faults or (store is not None and namespace.needs_store):
        return None
    asked = known(http_request, namespace.response_cache)
    return None if asked is None else _to_a_form(asked, namespace, options)


def _to_the_same(cached: CachedResponse, http_request: HttpRequest, namespace: Namespace, options: Options) -> Recalled:
    """Returns the answer to a repeated request."""
    exchange, provider, entropy, request_id = arrive(http_request, namespace, options, cached.identity)
    note(exchange, cached, http_request, namespace)
    exchange.body_size = len(http_request.body)
    dialect, blank = provider.speaking(cached.dialect), cached.answer
    values = values_of(dialect.make_id(entropy), int(exchange.received), request_id)
    pace = AT_ONCE
    if not cached.is_at_once:
        pace = pace_under(namespace.compiled, options, cached.stream, cached.match)
    return Recalled(Recollection(blank, values), exchange, pace, dialect, entropy)


def _to_a_form(request: UnreadRequest, namespace: Namespace, options: Options) -> Recalled | None:
    """Returns the answer to a request of a known form; None if it isn't cached or something else matters."""
    found = found_for(request, namespace, find)
    if found is None:
        return None
    arrived = arrive(request.http_request, namespace, options, found[2].identity)
    recalled = filled(request, found, arrived, namespace, options)
    namespace.use(found[1])
    return recalled


def filled(
    request: UnreadRequest,
    found: Found,
    arrived: tuple[Exchange, Provider, bytes, str],
    namespace: Namespace,
    options: Options,
) -> Recalled:
    """Fills the answer to a form for a request that has arrived."""
    form, (answer, match, question), (exchange, provider, entropy, request_id) = request.form, found, arrived
    exchange.body_size = len(request.http_request.body)
    exchange.model, exchange.stream, exchange.rule = form.model, form.stream, match.rule.name
    exchange.outcome, exchange.status = "reply", answer.blank.planned.status
    exchange.tokenizer, exchange.is_estimate, exchange.read_as = form.tokenizer, form.is_estimate, form.read_as
    exchange.why = asked_later(question, match, namespace, form.spoken)
    spent = answer.spent(request.tokens, provider, form.model, exchange.received)
    exchange.usage, exchange.cost = spent.usage, spent.cost
    id = form.spoken.make_id(entropy)
    item_ids = form.spoken.item_ids(id, answer.choices) if answer.choices else ()
    values = values_of(id, int(exchange.received), request_id, spent.numbers, item_ids)
    limits, moment = form.limits, exchange.received
    headers = () if limits is None else headers_after(limits, request, spent, moment, provider, namespace)
    if answer.paced_under is not options:
        answer.paced_under, answer.pace = options, _pace_of(form, match, namespace, options)
    return Recalled(Recollection(answer.blank, values, headers), exchange, answer.pace, form.spoken, entropy)


def _pace_of(form: Form, match: RuleMatch, namespace: Namespace, options: Options) -> Pace:
    pace = AT_ONCE if form.is_immediate else pace_under(namespace.compiled, options, form.stream, match)
    return AT_ONCE if pace.is_at_once else pace


def found_for(request: UnreadRequest, namespace: Namespace, finding: Finding) -> Found | None:
    """Returns what answers a request of a known form. Counts nothing."""
    form, http_request, compiled = request.form, request.http_request, namespace.compiled
    if request.tokens >= form.cached_from or compiled.providers[http_request.provider].is_dated:
        return None
    identity = identity_of(http_request)
    attempt = namespace.attempts(identity) + 1
    if attempt == OFTEN and form.spoken.is_repeatable:
        return None  # it will probably be repeated
    question = namespace.ask(request, identity, attempt)
    match = finding(compiled.rules, question, namespace.used)
    if match is None or match.rule.faults:
        return None
    answer = answer_of(form, match.answer, NO_CACHE, namespace.response_cache)
    limits = form.limits
    if answer is None or (
        limits is not None and (namespace.store is not None or not allows(limits, request, namespace))
    ):
        return None
    if request.tokens not in form.fitting and not _fits(request):
        return None
    return answer, match, question


def _fits(request: UnreadRequest) -> bool:
    """Whether the provider accepts a prompt of this length."""
    form = request.form
    try:
        form.spoken.check_prompt(request, request.tokens)
    except ProviderError:
        return False
    if len(form.fitting) >= MAX_FITTING:
        form.fitting.clear()
    form.fitting.add(request.tokens)
    return True
