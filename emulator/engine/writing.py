"""Counts the prompt and generates the choices of an answer."""

import logging
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import partial

from emulator import large, tokens
from emulator.completion import said
from emulator.dialects.base import Dialect
from emulator.encodings import ENCODINGS
from emulator.engine.stages import CODE_POOL, POOL, Matched, RequestContext
from emulator.generation.needs import UNSAID, RenderContext, is_plain, is_quick
from emulator.records import record
from emulator.reply import Reply, ReplyTemplate
from emulator.request import ModelRequest
from emulator.state.exchanges import IN_EXCHANGE
from emulator.state.forms import Form

logger = logging.getLogger("emulator")


@record
class Prompt:
    """The tokens of the prompt: the template's, and those of each text."""

    fixed: int
    parts: tuple[tuple[str, int], ...]
    total: int


async def vocabulary_of(
    request: ModelRequest, context: RequestContext, form: Form | None = None
) -> tokens.Encoding | None:
    """Returns the vocabulary for the answer, and notes it; None: the default one."""
    exchange, provider = context.exchange, context.provider
    name = form.encoding if form is not None else provider.encoding_of(request.model)
    exchange.tokenizer = name or tokens.NAME
    exchange.is_estimate = form.is_estimate if form is not None else provider.estimates(request)
    return await loaded(name, context)


async def loaded(name: str | None, context: RequestContext) -> tokens.Encoding | None:
    """Returns a vocabulary, which is loaded on first use; None: the default one."""
    if name is None:
        return None
    encoding = ENCODINGS[name]
    if not encoding.is_loaded:
        await POOL.run(encoding.load, has_left=context.has_left)
    return encoding


def _is_quick(texts: Sequence[str], vocabulary: tokens.Encoding | None) -> bool:
    with tokens.counted_by(vocabulary):
        return tokens.is_quick(texts)


async def count_prompt(
    request: ModelRequest, context: RequestContext, vocabulary: tokens.Encoding | None = None
) -> Prompt:
    """Returns the tokens of the prompt."""
    dialect = context.dialect
    if len(request.http_request.body) > large.LARGE:
        return await large.elsewhere(tokens.by(vocabulary, _count_large), request, dialect)
    fixed, texts = dialect.prompt_parts(request)
    if not _is_quick(texts, vocabulary):
        await POOL.run(tokens.by(vocabulary, tokens.warm), texts, has_left=context.has_left)
    with tokens.counted_by(vocabulary):
        return _counted(fixed, texts)


def _count_large(request: ModelRequest, dialect: Dialect) -> Prompt:
    fixed, texts = dialect.prompt_parts(request)
    tokens.warm(texts)
    return _counted(fixed, texts)


def _counted(fixed: int, texts: Sequence[str]) -> Prompt:
    parts = tuple([(text, tokens.count(text)) for text in texts])
    return Prompt(fixed, parts, fixed + sum([count for _, count in parts]))


async def write_replies(matched: Matched, vocabulary: tokens.Encoding | None = None) -> list[Reply]:
    """Returns the replies of the choices, adapted to this provider: scripted, or generated for this request. Raises
    WritingError.
    """
    context, request, match = matched.context, matched.request, matched.match
    template = match.answer.content if match is not None else UNSAID
    assert isinstance(template, ReplyTemplate)
    if is_plain(template, request):
        replies = [template.reply]
    else:
        from emulator.generation.compose import write  # loaded for the first answer that must be generated

        render_context = _render_context(matched)
        if is_quick(template, request):
            with tokens.counted_by(vocabulary):
                replies = write(template, request, render_context)
        else:
            pool = POOL if template.code is None else CODE_POOL
            work = tokens.by(vocabulary, partial(write, template, request, render_context, context.has_left))
            replies = await pool.run(work, has_left=context.has_left)
    if request.controls.thinking is False:  # a model that doesn't think has no reasoning
        replies = [reply.without_thoughts() for reply in replies]
    replies = [context.dialect.adapt(reply, request) for reply in replies]
    _note_unshown(replies, context)
    texts = [part for reply in replies for part in said(reply)]
    if not _is_quick(texts, vocabulary):
        await POOL.run(tokens.by(vocabulary, tokens.warm), texts, has_left=context.has_left)
    return replies


def _note_unshown(replies: Sequence[Reply], context: RequestContext) -> None:
    """Notes in the journal what the answer contains but this endpoint can't express."""
    for kind in dict.fromkeys(kind for reply in replies if reply.blocks for kind in context.dialect.unshown(reply)):
        note = f"this endpoint can't show a block of the answer: {kind}"
        context.exchange.notes += (note,)
        logger.warning("%s", note, extra=IN_EXCHANGE)


def _render_context(matched: Matched) -> RenderContext:
    context, question, match = matched.context, matched.question, matched.match
    received = context.exchange.received
    return RenderContext(
        seed=question.seed,
        locale=context.namespace.compiled.scenario.locale,
        now=datetime.fromtimestamp(received, UTC).isoformat(timespec="seconds"),
        timestamp=int(received),
        state=question.state,
        attempt=question.attempt,
        groups=match.rule.groups(matched.request.prompt) if match is not None else {},
        allows_code=context.options.allows_code,
    )
