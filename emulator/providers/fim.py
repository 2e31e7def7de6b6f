"""Fill-in-the-middle completions as DeepSeek has them: a prompt, what follows the gap, and the text between.

Request and answer are public (api-docs.deepseek.com, create-completion); that the stream's frames are those of a chat
but for their choices is inferred.
"""

from collections.abc import Iterator, Sequence
from itertools import accumulate
from math import isnan, nan
from typing import Any

from emulator import tokens
from emulator.providers.openai_chat import Stop, StreamOptions, Strict, read_stop
from emulator.providers.serde import Range
from emulator.reply import Choice, Completion, TokenLogprob
from emulator.request import Controls

MOST_TOKENS = 4096
MOST_LOGPROBS = 20
RANGES = (
    Range("temperature", 0, 2, "[0, 2]"),
    Range("top_p", 0, 1, "(0, 1.0]", excludes_low=True),
    Range("presence_penalty", -2, 2, "[-2, 2]"),
    Range("frequency_penalty", -2, 2, "[-2, 2]"),
    Range("max_tokens", 1, MOST_TOKENS, f"[1, {MOST_TOKENS}]"),
    Range("logprobs", 0, MOST_LOGPROBS, f"[0, {MOST_LOGPROBS}]"),
)


class FimBody(Strict):
    """Null means the same as leaving it out."""

    model: str
    prompt: str
    suffix: str | None = None
    echo: bool | None = None
    logprobs: int | None = None
    max_tokens: int | None = None
    stop: Stop | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    temperature: float | None = None
    top_p: float | None = None
    frequency_penalty: float | None = None
    presence_penalty: float | None = None


def complaints(body: FimBody) -> Iterator[str | None]:
    """What may be wrong with a body of the right types."""
    for limits in RANGES:
        yield limits.complaint(body)
    if body.stream_options is not None and not body.stream:
        yield "stream_options should be set along with stream = true"
    if isinstance(body.stop, list) and len(body.stop) > 16:
        yield "Invalid stop value, the valid range of the length of stop is [0, 16]"


def controls(body: FimBody) -> Controls:
    """The parameters that shape the answer; there is no thinking."""
    return Controls(
        max_tokens=body.max_tokens,
        stop=read_stop(body.stop),
        logprobs=body.logprobs is not None,
        top_logprobs=body.logprobs or 0,
        thinking=False,
        include_usage=bool(body.stream_options and body.stream_options.include_usage),
    )


def choice(told: Choice, echoed: str) -> dict[str, Any]:
    """The only choice of a whole answer; `echoed` is the prompt where it was asked to be repeated."""
    rows = None if told.logprobs is None else logprobs([*unknown(echoed), *told.logprobs])
    return part(echoed + told.content, rows, told.finish_reason)


def part(text: str, rows: dict[str, Any] | None = None, finish_reason: str | None = None) -> dict[str, Any]:
    """The choice of a frame."""
    return {"text": text, "index": 0, "logprobs": rows, "finish_reason": finish_reason}


def unknown(text: str) -> list[TokenLogprob]:
    """The tokens of a text that the model did not write, so that nothing is known of how likely they are."""
    return [TokenLogprob(piece, nan) for piece in tokens.pieces(text).texts]


def logprobs(rows: Sequence[TokenLogprob], offset: int = 0) -> dict[str, Any]:
    """Log probabilities in the older shape: four lists, one item a token. `offset` is the first token's place."""
    lengths = [len(row.token) for row in rows]
    return {
        "text_offset": list(accumulate(lengths[:-1], initial=offset)) if rows else [],
        "token_logprobs": [None if isnan(row.logprob) else row.logprob for row in rows],
        "tokens": [row.token for row in rows],
        "top_logprobs": [None if isnan(row.logprob) else dict(row.top) for row in rows],
    }


def envelope(completion: Completion) -> dict[str, Any]:
    """What whole answers and frames begin with."""
    return {
        "id": completion.id,
        "object": "text_completion",
        "created": completion.created,
        "model": completion.model,
    }
