"""Makes a `Completion` of a `Reply`: what the request asked for is honoured here, for every provider alike."""

from collections.abc import Sequence
from dataclasses import replace
from math import floor, log

from emulator import dice, tokens
from emulator.reply import Choice, Completion, Reply, TokenLogprob, Usage
from emulator.request import Controls, ModelRequest, ToolCall

THINK_END = 1
"""Tokens of `</think>`, which stands between reasoning and content and belongs to neither."""


def complete(
    replies: Sequence[Reply],
    request: ModelRequest,
    *,
    id: str,
    created: int,
    request_id: str,
    prompt: int,
    cached: int = 0,
    material: dice.Ingredient = "",
    seed: dice.Ingredient = "",
) -> Completion:
    """The answer of `request` when its choices say `replies`, one each.

    `prompt` is the prompt's tokens, to which search results add theirs; `cached` of them were cached. `material`
    makes ids, which differ from attempt to attempt; `seed` makes log probabilities, which belong to the words: the
    same words have the same ones, however they are asked for."""
    first = replies[0]
    controls = request.controls
    choices = tuple([_choice(index, reply, controls, material, seed) for index, reply in enumerate(replies)])
    summaries = first.summaries or ()
    return Completion(
        id=first.id or id,
        created=created if first.created is None else first.created,
        model=first.model or request.model,
        choices=choices,
        usage=_usage(choices, replies, controls.max_tokens, prompt, cached),
        summaries=summaries,
        system_fingerprint=first.system_fingerprint,
        request_id=request_id,
        headers=first.headers,
    )


def _choice(index: int, reply: Reply, controls: Controls, material: dice.Ingredient, seed: dice.Ingredient) -> Choice:
    content, reasoning, calls = reply.content, reply.reasoning, reply.tool_calls
    finish = reply.finish_reason or ("tool_calls" if calls else "stop")
    native = reply.native_finish_reason or finish
    if controls.stop:
        content, stopped = _stopped(content, controls.stop)
        if stopped:
            calls, finish, native = (), "stop", "stop"
    if controls.max_tokens is not None:
        cut = _limited(reasoning, content, calls, controls.max_tokens)
        if cut is not None:
            reasoning, content, calls = cut
            finish = native = "length"
    calls = tuple(
        [
            call if call.id else replace(call, id=f"call_{number:02d}_{_call_id(material, index, number)}")
            for number, call in enumerate(calls)
        ]
    )
    choice = Choice(index, content, reasoning, calls, finish, native)
    if not controls.logprobs:
        return choice
    return replace(
        choice,
        logprobs=_logprobs(content, reply.content, controls.top_logprobs, seed, "content", index),
        reasoning_logprobs=None
        if reasoning is None
        else _logprobs(reasoning, reply.reasoning or "", controls.top_logprobs, seed, "reasoning", index),
    )


def _call_id(material: dice.Ingredient, index: int, number: int) -> str:
    return dice.alphanumeric(24, "tool_call", material, index, number)


def _stopped(content: str, stop: Sequence[str]) -> tuple[str, bool]:
    """The content up to the first stop string, and whether there was one."""
    found = [position for text in stop if (position := content.find(text)) >= 0]
    return (content[: min(found)], True) if found else (content, False)


def _limited(
    reasoning: str | None, content: str, calls: tuple[ToolCall, ...], limit: int
) -> tuple[str | None, str, tuple[ToolCall, ...]] | None:
    """What fits into `limit` tokens, reasoning first; None when all of it does."""
    left = limit
    if reasoning is not None:
        spent = tokens.count(reasoning)
        if spent > left:
            return tokens.cut(reasoning, left), "", ()
        left -= spent + THINK_END
    spent = tokens.count(content)
    if spent > left:
        return reasoning, tokens.cut(content, max(0, left)), ()
    left -= spent
    kept: list[ToolCall] = []
    for call in calls:
        left -= tokens.count(call.name)
        if left < 0:
            return reasoning, content, tuple(kept)
        spent = tokens.count(call.arguments)
        if spent > left:
            kept.append(replace(call, arguments=tokens.cut(call.arguments, left)))
            return reasoning, content, tuple(kept)
        left -= spent
        kept.append(call)
    return None


def _usage(choices: Sequence[Choice], replies: Sequence[Reply], limit: int | None, prompt: int, cached: int) -> Usage:
    """Counted, except what the reply states."""
    stated = replies[0].usage
    prompt += sum([tokens.count(summary.summary or "") for summary in replies[0].summaries or ()])
    completion = reasoning = 0
    for choice, reply in zip(choices, replies, strict=True):
        thought = tokens.count(choice.reasoning) if choice.reasoning else 0
        spoken = tokens.count(choice.content)
        for call in choice.tool_calls:
            spoken += tokens.count(call.name) + tokens.count(call.arguments)
        completion += thought + spoken
        if choice.reasoning is not None:
            is_over = (
                spoken > 0
                or choice.finish_reason != "length"
                or (limit is not None and thought < limit and choice.reasoning == reply.reasoning)
            )
            completion += THINK_END if is_over else 0
        reasoning += thought
    prompt = stated.get("prompt", prompt)
    completion = stated.get("completion", completion)
    return Usage(
        prompt=prompt,
        completion=completion,
        total=stated.get("total", prompt + completion),
        reasoning=stated.get("reasoning", min(reasoning, completion)),
        cached=stated.get("cached", min(cached, prompt)),
    )


def said(reply: Reply) -> list[str]:
    """Everything of a reply that has to be counted."""
    summaries = [summary.summary or "" for summary in reply.summaries or ()]
    return [reply.content, reply.reasoning or "", *(call.arguments for call in reply.tool_calls), *summaries]


# Log probabilities

# fmt: off
COMMON = (
    " the", ",", " a", ".", " and", " of", " to", " in", " is", " that", " it", " for", " as", " with", " on", " this",
    " be", " are", "\n", " or", " an", ":", "The", "I", "-", " we",
)
# fmt: on
"""Tokens that are plausible anywhere: more of them than anyone may ask rivals for."""


def _logprobs(text: str, uncut: str, most: int, *material: dice.Ingredient) -> tuple[TokenLogprob, ...]:
    """Plausible values for every piece of a text, with the `most` likeliest tokens in its place.

    The model is mostly sure. Where it is not, it sometimes took the second best. What is told of one place never adds
    up to more than certainty. The rolls depend neither on `most` nor on where the text was cut: who asks for more
    rivals sees the same chosen ones, who asks for fewer tokens the same beginning."""
    pool = tuple(dict.fromkeys((*tokens.pieces(uncut).texts[:64], *COMMON)))
    generator = dice.generator("logprobs", *material, uncut)
    rows = []
    for piece in tokens.pieces(text).texts:
        doubt, decay, taken, start = (generator.random() for _ in range(4))
        rest = 0.9 * doubt**3 + 1e-6  # what the likeliest token leaves to all others
        rank = 1 if taken < rest / 2 else 0
        falling = _falling(1 - rest, 0.3 + 0.4 * decay, max(most, rank + 1))
        first = int(start * len(pool))
        rivals = [token for token in (*pool[first:], *pool[:first]) if token != piece][: max(0, len(falling) - 1)]
        rivals.insert(rank, piece)
        rows.append(TokenLogprob(piece, falling[rank], tuple(zip(rivals, falling, strict=True))[:most]))
    return tuple(rows)


def _falling(likeliest: float, share: float, number: int) -> list[float]:
    """The logarithms of `number` probabilities, ever smaller: each takes a share of what is left. They are rounded
    down, so that they never add up to more than 1."""
    found: list[float] = []
    left, probability = 1.0, likeliest
    for _ in range(number):
        found.append(floor(log(probability) * 1e6) / 1e6)
        left -= probability
        probability = min(left * share, 0.9 * probability)
    return found
