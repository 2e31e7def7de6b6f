"""The short way for requests in which nothing is new, or nothing except their last text.

A repeated request gets the same answer again, and a request of a known form the answer that its rule gives to every
request of that form, with new ids, times and token counts. If anything else could matter, the request goes through the
pipeline instead; nothing has been counted by then.
"""

from collections.abc import Callable
from typing import NamedTuple

from emulator.completion import NO_CACHE
from emulator.dialects.base import Dialect
from emulator.engine.arrival import arrive, identity_of
from emulator.engine.caching import Lookup, note
from emulator.engine.explanations import asked_later
from emulator.engine.forms import Known, answer_of, known
from emulator.engine.limits import allows, headers_after
from emulator.engine.options import Options
from emulator.engine.rendering import pace_under, paced
from emulator.engine.stages import PlannedResponse
from emulator.matching.conditions import MatchContext
from emulator.matching.rules import RuleMatch, find
from emulator.pace import AT_ONCE, Pace
from emulator.providers.base import Limits, Provider, ProviderError
from emulator.records import record
from emulator.request import HttpRequest
from emulator.state.blanks import Recollection
from emulator.state.exchanges import Exchange
from emulator.state.forms import CachedAnswer
from emulator.state.namespace import Namespace
from emulator.state.response_cache import CachedResponse

OFTEN = 3
"""The attempt at which a request of a known form is cached as a whole."""


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


class Found(NamedTuple):
    """What answers a request of a known form."""

    answer: CachedAnswer
    match: RuleMatch
    question: MatchContext
    """The request as rules see it."""
    limits: Limits | None
    """The limits of the key."""


def recall(http_request: HttpRequest, namespace: Namespace, options: Options, before: Lookup) -> Recalled | None:
    """Returns the answer to a known request; None if it has to go through the pipeline."""
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
    values = blank.values(dialect.make_id(entropy), int(exchange.received), request_id)
    pace = AT_ONCE
    if not cached.is_at_once:
        pace = pace_under(namespace.compiled, options, cached.stream, cached.match)
    return Recalled(Recollection(blank, values), exchange, pace, dialect, entropy)


def _to_a_form(asked: Known, namespace: Namespace, options: Options) -> Recalled | None:
    """Returns the answer to a request of a known form; None if it isn't cached or something else matters."""
    found = found_for(asked, namespace, lambda question: find(namespace.compiled.rules, question, namespace.used))
    if found is None:
        return None
    arrived = arrive(asked.request.http_request, namespace, options, found.question.identity)
    recalled = filled(asked, found, arrived, namespace, options)
    namespace.use(found.match)
    return recalled


def filled(
    asked: Known, found: Found, arrived: tuple[Exchange, Provider, bytes, str], namespace: Namespace, options: Options
) -> Recalled:
    """Fills the answer to a form for a request that has arrived."""
    form, request, prompt = asked
    answer, match, question, limits = found
    exchange, provider, entropy, request_id = arrived
    exchange.body_size = len(request.http_request.body)
    exchange.model, exchange.stream, exchange.rule = form.model, form.stream, match.rule.name
    exchange.outcome, exchange.status = "reply", answer.blank.planned.status
    exchange.tokenizer, exchange.is_estimate, exchange.read_as = form.tokenizer, form.is_estimate, form.read_as
    exchange.why = asked_later(question, match, namespace, form.spoken)
    exchange.usage, exchange.cost = answer.spent(prompt, provider, form.model, exchange.received)
    id, blank = form.spoken.make_id(entropy), answer.blank
    item_ids = form.spoken.item_ids(id, answer.choices) if answer.choices else ()
    values = blank.values(id, int(exchange.received), request_id, prompt, item_ids)
    headers = () if limits is None else headers_after(limits, request, exchange, provider, namespace)
    pace = AT_ONCE if form.is_immediate else pace_under(namespace.compiled, options, form.stream, match)
    pace = AT_ONCE if pace.is_at_once else pace
    return Recalled(Recollection(blank, values, headers), exchange, pace, form.spoken, entropy)


def found_for(asked: Known, namespace: Namespace, match_of: Callable[[MatchContext], RuleMatch | None]) -> Found | None:
    """Returns what answers a request of a known form. Counts nothing."""
    form, request, prompt = asked
    http_request, store = request.http_request, namespace.store
    provider = namespace.compiled.providers[http_request.provider]
    if prompt >= form.cached_from or provider.is_dated:
        return None
    identity = identity_of(http_request)
    attempt = namespace.attempts(identity) + 1
    if attempt == OFTEN and form.spoken.is_repeatable:
        return None  # it will probably be repeated
    question = namespace.ask(request, identity, attempt)
    match = match_of(question)
    if match is None or match.rule.faults:
        return None
    answer = answer_of(form, match.answer, NO_CACHE, namespace.response_cache)
    limits = provider.limits(request)
    if answer is None or (limits is not None and (store is not None or not allows(limits, request, namespace))):
        return None
    try:
        form.spoken.check_prompt(request, prompt)
    except ProviderError:
        return None
    return Found(answer, match, question, limits)
