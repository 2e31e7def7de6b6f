"""The short way, for requests that bring nothing new, or nothing but their words.

The same question gets the same answer, and a request of a known form the one that its rule gives to all of the form;
only ids, moments and the tokens of the prompt are new. Whatever else could make a difference sends a request the long
way, before anything has been counted.
"""

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
from emulator.providers.base import Limits, ProviderError
from emulator.records import record
from emulator.request import HttpRequest
from emulator.state.blanks import Recollection
from emulator.state.exchanges import Exchange
from emulator.state.forms import CachedAnswer
from emulator.state.namespace import Namespace
from emulator.state.response_cache import CachedResponse

OFTEN = 3
"""How many times a request comes before it is kept as a whole, though its form is known."""


@record
class Recalled:
    """An answer that was given before, and its new record."""

    recollection: Recollection
    exchange: Exchange
    pace: Pace
    dialect: Dialect
    entropy: bytes

    @property
    def is_at_once(self) -> bool:
        """Whether it may go out in one write."""
        return self.pace is AT_ONCE and self.recollection.answer.is_at_once

    def response(self) -> PlannedResponse:
        """The same, spelled out and with the moments of its frames."""
        planned = paced(self.recollection.planned(), self.pace, self.dialect, self.entropy)
        return PlannedResponse(planned, self.exchange)


def recall(http_request: HttpRequest, namespace: Namespace, options: Options, before: Lookup) -> Recalled | None:
    """The answer to a request of which all is known; None: it has to go the long way."""
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
    """The answer to a question that was asked before."""
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
    """The answer to a request of a known form; None: its rule has not given one yet, or something is in the way."""
    found = _found(asked, namespace)
    if found is None:
        return None
    form, request, prompt = asked
    answer, match, question, limits = found
    http_request = request.http_request
    exchange, provider, entropy, request_id = arrive(http_request, namespace, options, question.identity)
    exchange.body_size = len(http_request.body)
    exchange.model, exchange.stream, exchange.rule = form.model, form.stream, match.rule.name
    exchange.outcome, exchange.status = "reply", answer.blank.planned.status
    exchange.tokenizer, exchange.is_estimate, exchange.read_as = form.tokenizer, form.is_estimate, form.read_as
    exchange.why = asked_later(question, match, namespace, form.spoken)
    exchange.usage, exchange.cost = answer.spent(prompt, provider, form.model, exchange.received)
    namespace.use(match)
    id, blank = form.spoken.make_id(entropy), answer.blank
    item_ids = form.spoken.item_ids(id, answer.choices) if answer.choices else ()
    values = blank.values(id, int(exchange.received), request_id, prompt, item_ids)
    headers = () if limits is None else headers_after(limits, request, exchange, provider, namespace)
    pace = AT_ONCE if form.is_immediate else pace_under(namespace.compiled, options, form.stream, match)
    pace = AT_ONCE if pace.is_at_once else pace
    return Recalled(Recollection(blank, values, headers), exchange, pace, form.spoken, entropy)


def _found(asked: Known, namespace: Namespace) -> tuple[CachedAnswer, RuleMatch, MatchContext, Limits | None] | None:
    """The answer, its rule, the question as rules see it and the limits of the key. Counts nothing."""
    form, request, prompt = asked
    http_request, store = request.http_request, namespace.store
    provider = namespace.compiled.providers[http_request.provider]
    if prompt >= form.cached_from or provider.is_dated:
        return None
    identity = identity_of(http_request)
    attempt = namespace.attempts(identity) + 1
    if attempt == OFTEN and form.spoken.is_repeatable:
        return None  # it will come again, and is then known as a whole
    question = namespace.ask(request, identity, attempt)
    match = find(namespace.compiled.rules, question, namespace.used)
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
    return answer, match, question, limits
