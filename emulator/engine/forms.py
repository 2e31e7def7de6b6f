"""Requests of a known form: in most of them only the words are new.

A client sends the same head and the same members again and again, and says something else each time. What a provider
makes of such a request (its checks, the model, the parameters) depends on everything but the words, as long as these
are plain texts. So it is remembered, and the next request of the form brings only its messages. Where a rule has one
answer in final words, all requests of a form get the same one, but for ids, moments and the tokens of their prompts.

Whatever is not plain, not small, not accepted or not from a known head goes the whole way each time.
"""

from typing import Any

import orjson

from emulator.completion import complete
from emulator.engine.faults import StruckFaults
from emulator.engine.stages import Admitted, Form, RequestContext
from emulator.engine.writing import Prompt
from emulator.generation.needs import is_plain
from emulator.reply import CacheUse, Reply, ReplyTemplate
from emulator.request import ModelRequest
from emulator.state.form_answers import PROMPT, CachedAnswer, gapped, holds_stand_in, is_small
from emulator.state.response_cache import CREATED, ID, MAX_REQUEST_BYTES, REQUEST_ID
from emulator.wire import PlannedBody


def read(context: RequestContext, key: str) -> tuple[ModelRequest, Form | None]:
    """What a request says, and its form if that is known or worth knowing. Raises ProviderError."""
    http_request, dialect = context.http_request, context.dialect
    if http_request.head is None or dialect.weighs_words or len(http_request.body) > MAX_REQUEST_BYTES:
        return dialect.parse(http_request, key), None
    native: Any = None
    try:
        native = orjson.loads(http_request.body)
        plain = dialect.plain(native)
        text = None if plain is None else orjson.dumps(plain.form)
    except (orjson.JSONDecodeError, TypeError):  # no JSON, or nested deeper than orjson writes it
        plain = text = None
    if plain is None:
        return dialect.parse(http_request, key), None
    forms, place = context.namespace.response_cache.forms, (http_request.head, text)
    form: Form | None = forms.get(place)
    if form is None or form.dialect is not dialect:
        request = dialect.parse(http_request, key)
        encoding, is_estimate = context.provider.encoding_of(request.model), context.provider.estimates(request)
        said = request.model, request.stream, request.controls, request.served
        form = Form(dialect, *said, encoding, is_estimate)
        forms.keep(place, form)
        return request, form
    request = ModelRequest(
        http_request, form.model, plain.messages, form.stream, form.controls, key, native, form.served
    )
    return request, form


def known_answer(use: CacheUse, admitted: Admitted, struck: StruckFaults) -> CachedAnswer | None:
    """The answer that the same rule gave to the same form before."""
    form, match = admitted.form, admitted.match
    if form is None or match is None or struck.faults or admitted.lease is not None:
        return None
    known: CachedAnswer | None = admitted.context.namespace.response_cache.answers.get((form, id(match.answer), use))
    return known if known is not None and known.answer is match.answer else None


def given_again(known: CachedAnswer, prompt: Prompt, admitted: Admitted) -> PlannedBody:
    """That answer with this request's own id, moment and prompt."""
    context, exchange, request = admitted.context, admitted.context.exchange, admitted.request
    exchange.outcome, exchange.status = "reply", known.gapped.planned.status
    exchange.usage = usage = known.usage_of(prompt.total)
    exchange.cost = context.provider.cost(usage, request.model, exchange.received)
    id = context.dialect.make_id(context.entropy)
    item_ids = context.dialect.item_ids(id, known.choices) if known.choices else ()
    return known.gapped.filled(id, int(exchange.received), context.request_id, prompt.total, item_ids)


def remember_answer(
    planned: PlannedBody,
    replies: list[Reply],
    prompt: Prompt,
    use: CacheUse,
    admitted: Admitted,
    struck: StruckFaults,
) -> None:
    """Keep the answer of a rule to a form, if only its id, moment and prompt would be new the next time."""
    if not _is_final(replies, admitted, struck) or holds_stand_in(planned) or not is_small(planned):
        return
    context, request, form, match = admitted.context, admitted.request, admitted.form, admitted.match
    assert match is not None
    completion = complete(
        replies,
        request,
        id=ID,
        created=CREATED,
        request_id=REQUEST_ID,
        prompt=PROMPT,
        cache=use,
        entropy=context.entropy,
        seed=context.namespace.seed,
        habits=context.dialect.model_habits(),
    )
    dialect, choices = context.dialect, completion.choices if context.dialect.has_item_ids else ()
    answer = gapped(dialect.render(completion, request), dialect.item_ids(ID, choices) if choices else ())
    own_id = dialect.make_id(context.entropy)
    item_ids = dialect.item_ids(own_id, choices) if choices else ()
    made = answer.filled(own_id, int(context.exchange.received), context.request_id, prompt.total, item_ids)
    if made == planned:  # else something in it is made of the prompt's tokens in a way of its own
        known = CachedAnswer(match.answer, answer, completion.usage, choices)
        context.namespace.response_cache.answers.keep((form, id(match.answer), use), known)


def _is_final(replies: list[Reply], admitted: Admitted, struck: StruckFaults) -> bool:
    """Whether every request of the form gets these words from the rule, and nothing is made for one of them alone."""
    form, match, context = admitted.form, admitted.match, admitted.context
    if form is None or match is None or struck.faults or admitted.lease is not None or context.exchange.notes:
        return False
    content, dialect, request = match.answer.content, context.dialect, admitted.request
    return (
        isinstance(content, ReplyTemplate)
        and is_plain(content, request)
        and not request.controls.logprobs
        and (dialect.is_repeatable or dialect.has_item_ids)
        and not dialect.keeps(request)
        and not any(reply.tool_calls or reply.blocks or reply.sources or reply.usage for reply in replies)
    )
