"""Requests of a known form: most requests differ from earlier ones only in their texts.

A client sends the same head and the same members again and again, with other texts. What a provider makes of such a
request (checks, model, parameters) depends on everything but the texts, as long as these are plain. So it is cached,
and the next request of the form contributes only its messages. If only one of these is new, the bytes around its text
are a mold: a request that fits it isn't parsed at all. If a rule has one literal answer, all requests of a form get the
same one, except for ids, times and the tokens of their prompts.

Everything that is not plain, not small, not accepted or not from a known head is processed completely each time.
"""

import secrets
from collections.abc import Sequence
from math import inf
from typing import Any

import orjson

from emulator import tokens
from emulator.completion import complete
from emulator.dialects.base import Plain
from emulator.encodings import ENCODINGS
from emulator.engine.caching import derives_headers
from emulator.engine.faults import StruckFaults
from emulator.engine.stages import Admitted, RequestContext
from emulator.engine.writing import Prompt
from emulator.generation.needs import is_plain
from emulator.providers.base import Operation
from emulator.reply import CacheUse, Reply, ReplyTemplate
from emulator.request import HttpRequest, Message, ModelRequest
from emulator.state.blanks import CREATED, ID, PROMPT, REQUEST_ID, blanked, holds_stand_in, is_small, values_of
from emulator.state.forms import PATIENCE, CachedAnswer, Form, Mold, UnreadRequest
from emulator.state.response_cache import MAX_REQUEST_BYTES, ResponseCache
from emulator.wire import PlannedBody

MAX_MOLDS = 8
"""The most molds for one head."""
WORDS = f"words {secrets.token_hex(16)}"
"""The stand-in for a text of a request. It is random, so no request can contain it."""
ENTRY = 1024
"""The size of a form or a mold without its texts."""


def read(context: RequestContext, operation: Operation, key: str) -> tuple[ModelRequest, Form | None]:
    """Returns the parsed request, and its form if that is known or worth caching. Raises ProviderError."""
    http_request, dialect = context.http_request, context.dialect
    if http_request.head is None or dialect.weighs_words or len(http_request.body) > MAX_REQUEST_BYTES:
        return dialect.parse(http_request, key), None
    native, plain, text = _taken_apart(http_request, context)
    if plain is None:
        return dialect.parse(http_request, key), None
    forms, place = context.namespace.response_cache.forms, (http_request.head, text)
    form: Form | None = forms.get(place)
    if form is not None and form.spoken is dialect:
        _learn_mold(form, http_request, plain, context.namespace.response_cache)
        form.last = plain.messages
        return _request_of(form, http_request, plain, native), form
    request = dialect.parse(http_request, key)
    form = _form_of(request, operation, context)
    form.last = plain.messages
    forms.keep(place, form, ENTRY + len(text))
    return request, form


def known(http_request: HttpRequest, cache: ResponseCache) -> UnreadRequest | None:
    """Returns a request that fits a mold, if its tokens can be counted quickly."""
    for mold in cache.molds.get(http_request.head) or ():
        words = mold.words_of(http_request.body)
        if words is not None:
            form = mold.form
            form.patience = PATIENCE
            encoding = None if form.encoding is None else ENCODINGS[form.encoding]
            count = tokens.count_if_quick(mold.lead + words + mold.tail, encoding)
            return None if count is None else mold.filled(http_request, words, mold.tokens + count)
    return None


def _taken_apart(http_request: HttpRequest, context: RequestContext) -> tuple[Any, Plain | None, bytes]:
    """Returns the parsed body, its texts, and everything else in it."""
    try:
        native = orjson.loads(http_request.body)
        plain = context.dialect.plain(native)
        return native, plain, b"" if plain is None else orjson.dumps(plain.form)
    except (orjson.JSONDecodeError, TypeError):  # not JSON, or nested too deeply for orjson to write it
        return None, None, b""


def _form_of(request: ModelRequest, operation: Operation, context: RequestContext) -> Form:
    """Returns the form of a request that the provider has accepted."""
    http_request, dialect, provider = context.http_request, context.dialect, context.provider
    points = dialect.cache_points(request)
    if points is None:
        cached_from: float = max(provider.cache_unit, provider.cache_from) if provider.shows_cache else inf
    else:
        cached_from = 0 if points else inf
    encoding = provider.encoding_of(request.model)
    return Form(
        dialect,
        operation.name,
        http_request.dialect,
        http_request.parameters,
        request.model,
        request.stream,
        request.controls,
        request.key,
        request.served,
        encoding or tokens.NAME,
        encoding,
        provider.estimates(request),
        dialect.body_of(operation.name),
        dialect.is_immediate(request),
        cached_from,
        provider.limits(request),
    )


def _request_of(form: Form, http_request: HttpRequest, plain: Plain, native: Any) -> ModelRequest:
    return ModelRequest(
        http_request, form.model, plain.messages, form.stream, form.controls, form.key, native, form.served
    )


def _count_of(texts: list[str], form: Form) -> int | None:
    """Returns the number of tokens; None if counting them takes long."""
    with tokens.counted_by(ENCODINGS[form.encoding] if form.encoding is not None else None):
        return sum([tokens.count(text) for text in texts]) if tokens.is_quick(texts) else None


def _learn_mold(form: Form, http_request: HttpRequest, plain: Plain, cache: ResponseCache) -> None:
    """Makes a mold of a body, unless earlier ones were not used."""
    place = _new_text(plain.messages, form.last)
    body, words = http_request.body, orjson.dumps(plain.messages[place].content)
    if not form.patience or body.count(words) != 1:
        return
    start = body.find(words) + 1
    before, after = body[:start], body[start + len(words) - 2 :]
    native = orjson.loads(before + WORDS.encode() + after)
    other = form.spoken.plain(native)
    if other is None or orjson.dumps(other.form) != orjson.dumps(plain.form):
        return
    around, role = (plain.messages[:place], plain.messages[place + 1 :]), plain.messages[place].role
    if other.messages != (*around[0], Message(role, WORDS), *around[1]):
        return
    asked = _request_of(form, http_request, other, native)
    fixed, texts = form.spoken.prompt_parts(asked)
    places = [place for place, text in enumerate(texts) if WORDS in text]
    rest = _count_of([text for text in texts if WORDS not in text], form)
    form.patience -= rest is not None  # else the vocabulary is still being read
    if rest is None or len(places) != 1 or texts[places[0]].count(WORDS) != 1:
        return
    lead, _, tail = texts[places[0]].partition(WORDS)
    prompt = None if asked.prompt == WORDS else asked.prompt
    mold = Mold(form, before, after, around, role, prompt, fixed + rest, lead, tail)
    molds = (mold, *(cache.molds.get(http_request.head) or ()))[:MAX_MOLDS]
    size = sum([ENTRY + len(each.before) + len(each.after) for each in molds])
    cache.molds.keep(http_request.head, molds, size)


def _new_text(messages: Sequence[Message], before: Sequence[Message]) -> int:
    """Returns the index of the message that differs from an earlier request's; that of the last one, if several do."""
    pairs = zip(messages, before, strict=True)  # a form has a fixed number of messages
    new = [place for place, (message, earlier) in enumerate(pairs) if message != earlier]
    return new[0] if len(new) == 1 else len(messages) - 1


def known_answer(use: CacheUse, admitted: Admitted, struck: StruckFaults) -> CachedAnswer | None:
    """Returns the cached answer of the same rule to the same form."""
    form, match = admitted.form, admitted.match
    if form is None or match is None or struck.faults or admitted.lease is not None:
        return None
    return answer_of(form, match.answer, use, admitted.context.namespace.response_cache)


def answer_of(form: Form, answer: Any, use: CacheUse, cache: ResponseCache) -> CachedAnswer | None:
    """Returns the cached answer of a rule to a form."""
    found: CachedAnswer | None = cache.answers.get((form, id(answer), use))
    return found if found is not None and found.answer is answer else None


def given_again(known: CachedAnswer, prompt: Prompt, admitted: Admitted) -> PlannedBody:
    """Returns that answer with this request's own id, time and prompt tokens."""
    context, exchange, request = admitted.context, admitted.context.exchange, admitted.request
    exchange.outcome, exchange.status = "reply", known.blank.planned.status
    exchange.usage = usage = known.usage_of(prompt.total)
    exchange.cost = context.provider.cost(usage, request.model, exchange.received)
    id = context.dialect.make_id(context.entropy)
    item_ids = context.dialect.item_ids(id, known.choices) if known.choices else ()
    blank = known.blank
    numbers = blank.numbers_of(prompt.total)
    return blank.filled(values_of(id, int(exchange.received), context.request_id, numbers, item_ids))


def remember_answer(
    planned: PlannedBody,
    replies: list[Reply],
    prompt: Prompt,
    use: CacheUse,
    admitted: Admitted,
    struck: StruckFaults,
) -> None:
    """Caches the answer of a rule to a form, if only its id, time and prompt tokens would differ the next time."""
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
    blank = blanked(dialect.render(completion, request), dialect.item_ids(ID, choices) if choices else ())
    own_id = dialect.make_id(context.entropy)
    item_ids = dialect.item_ids(own_id, choices) if choices else ()
    numbers = blank.numbers_of(prompt.total)
    values = values_of(own_id, int(context.exchange.received), context.request_id, numbers, item_ids)
    if blank.filled(values) == planned and blank.text(values) == planned.body():
        # otherwise, it depends on the prompt's tokens in another way
        known = CachedAnswer(match.answer, blank, completion.usage, choices)
        context.namespace.response_cache.answers.keep((form, id(match.answer), use), known, ENTRY + 2 * blank.size)


def _is_final(replies: list[Reply], admitted: Admitted, struck: StruckFaults) -> bool:
    """Whether the rule gives every request of the form this text, and nothing is generated for a single request."""
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
        and not derives_headers(context.provider)
    )
