"""Makes a `Completion` from a `Reply`: applies the request's parameters, in the same way for every provider."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from math import floor, log

from emulator import seeded, tokens
from emulator.dialects.base import PLAIN, Habits
from emulator.reply import (
    Block,
    CacheUse,
    Choice,
    Completion,
    Refusal,
    Reply,
    Search,
    Text,
    Thought,
    TokenLogprob,
    Usage,
)
from emulator.request import Controls, ModelRequest, ToolCall

NO_CACHE = CacheUse()


def complete(
    replies: Sequence[Reply],
    request: ModelRequest,
    *,
    id: str,
    created: int,
    request_id: str,
    prompt: int,
    cache: CacheUse = NO_CACHE,
    entropy: seeded.Entropy = "",
    seed: seeded.Entropy = "",
    habits: Habits = PLAIN,
) -> Completion:
    """Returns the answer to `request` with a choice for each of `replies`.

    `prompt` is the number of prompt tokens, to which search results are added; `cache` says how many of them were
    cached. `entropy` determines ids, which differ for each attempt. `seed` determines log probabilities: the same text
    always has the same ones."""
    first = replies[0]
    controls = request.controls
    choices = tuple([_choice(index, reply, controls, entropy, seed, habits) for index, reply in enumerate(replies)])
    return Completion(
        id=first.id or id,
        created=created if first.created is None else first.created,
        model=first.model or request.served or request.model,
        choices=choices,
        usage=_usage(choices, replies, controls, prompt, cache, habits),
        sources=first.sources or (),
        system_fingerprint=first.system_fingerprint,
        request_id=request_id,
        headers=first.headers,
    )


def _choice(
    index: int, reply: Reply, controls: Controls, entropy: seeded.Entropy, seed: seeded.Entropy, habits: Habits
) -> Choice:
    blocks = reply.in_order()
    does_something = any(map(_has_id, blocks))
    finish = reply.finish_reason
    if not finish:
        calls = does_something and any(isinstance(block, ToolCall) and block.kind != "server" for block in blocks)
        refuses = any(isinstance(block, Refusal) for block in blocks)
        finish = "tool_calls" if calls else "refusal" if refuses else "stop"
    native, stopped_by = reply.native_reason, None
    if does_something and habits.write_arguments is not None:
        blocks = _written(blocks, habits.write_arguments)
    if controls.stop:
        blocks, stopped_by = _stopped(blocks, controls.stop)
        if stopped_by is not None:
            finish, native = "stop_sequence", None
    if controls.max_tokens is not None:
        cut = _limited(blocks, controls.max_tokens, habits, _forced(controls, habits))
        if cut is not None:
            blocks, stopped_by = cut, None
            finish, native = "length", None
    if does_something:
        blocks = _named(blocks, index, entropy, habits)
    choice = Choice(index, blocks, finish, native, stopped_by)
    if not controls.logprobs:
        return choice
    uncut = Choice(index, reply.in_order(), finish)
    return replace(
        choice,
        logprobs=_logprobs(choice.content, uncut.content, controls.top_logprobs, seed, "content", index),
        reasoning_logprobs=None
        if choice.reasoning is None
        else _logprobs(choice.reasoning, uncut.reasoning or "", controls.top_logprobs, seed, "reasoning", index),
    )


def _has_id(block: Block) -> bool:
    return isinstance(block, ToolCall | Search)


def _written(blocks: tuple[Block, ...], write: Callable[[str], str]) -> tuple[Block, ...]:
    """Writes arguments that were given as data in the model's own way."""
    return tuple(
        [
            replace(block, arguments=write(block.arguments)) if isinstance(block, ToolCall) and block.is_data else block
            for block in blocks
        ]
    )


def _forced(controls: Controls, habits: Habits) -> int:
    """Returns the tokens of a call's markup that are part of the prompt."""
    return habits.forced_call if controls.tools and controls.tool_choice not in ("auto", "none") else 0


def _spoken(texts: Sequence[str], calls: Sequence[ToolCall], habits: Habits) -> int:
    """Returns the tokens of a text and the calls after it."""
    own = [call for call in calls if call.kind != "server"]
    if habits.render_calls is None or not own:
        said = [*texts, *[part for call in calls for part in (call.name, call.arguments)]]
        return sum(map(tokens.count, said))
    plain = tuple([ToolCall(call.name, call.arguments) for call in own])
    return tokens.count("".join(texts) + habits.render_calls(plain))


def _named(blocks: tuple[Block, ...], index: int, entropy: seeded.Entropy, habits: Habits) -> tuple[Block, ...]:
    """Gives every tool call and every search an id."""
    named: list[Block] = []
    number = 0
    for block in blocks:
        if isinstance(block, ToolCall | Search):
            if not block.id:
                block = replace(block, id=habits.call_id(entropy, index, number))
            number += 1
        named.append(block)
    return tuple(named)


def _stopped(blocks: tuple[Block, ...], stop: Sequence[str]) -> tuple[tuple[Block, ...], str | None]:
    """Cuts the blocks at the first stop string, and returns it, or None if there is none. Consecutive texts count as
    one, whatever is between them, so the string may begin in one and end in another.
    """
    content = "".join([block.text for block in blocks if isinstance(block, Text)])
    found = [(position, text) for text in stop if (position := content.find(text)) >= 0]
    if not found:
        return blocks, None
    left, met = min(found, key=lambda item: item[0])
    kept: list[Block] = []
    for block in blocks:  # pragma: no branch - one of the texts has the string
        if isinstance(block, Text):
            if left <= len(block.text):
                kept += [replace(block, text=block.text[:left])] if left else []
                break
            left -= len(block.text)
        kept.append(block)
    return tuple(kept), met


def _limited(blocks: tuple[Block, ...], limit: int, habits: Habits, forced: int) -> tuple[Block, ...] | None:
    """Returns the blocks that fit into `limit` tokens, in order; None if all of them do."""
    left = limit
    kept: list[Block] = []
    texts: list[str] = []
    calls: list[ToolCall] = []
    for block in blocks:
        match block:
            case Thought(text) | Text(text) | Refusal(text):
                spent = tokens.count(text)
                if spent > left:
                    rest = tokens.cut(text, max(0, left))
                    kept += [replace(block, text=rest)] if rest or isinstance(block, Thought) else []
                    return tuple(kept)
                if isinstance(block, Thought):
                    left -= spent + habits.thought_end
                else:
                    left -= spent
                    texts.append(text)
            case ToolCall():
                # Its markup may share a token with the text, so they are counted together.
                left += _spoken(texts, calls, habits) - (forced if calls else 0)
                spent = _spoken(texts, [*calls, block], habits) - forced
                if spent > left:
                    rest = tokens.cut(block.arguments, max(0, left - spent + tokens.count(block.arguments)))
                    return (*kept, replace(block, arguments=rest)) if rest else tuple(kept)
                left -= spent
                calls.append(block)
        kept.append(block)
    return tuple(kept) if left < 0 else None  # all texts fit, but not the end of thinking


def _usage(
    choices: Sequence[Choice],
    replies: Sequence[Reply],
    controls: Controls,
    prompt: int,
    cache: CacheUse,
    habits: Habits,
) -> Usage:
    """Returns the usage: counted, except for what the reply states."""
    stated = replies[0].usage
    prompt += sum([tokens.count(source.summary or "") for source in replies[0].sources or ()])
    completion = reasoning = searches = 0
    for choice, reply in zip(choices, replies, strict=True):
        thought = sum([tokens.count(block.text) for block in choice.blocks if isinstance(block, Thought)])
        texts = [block.text for block in choice.blocks if isinstance(block, Text | Refusal)]
        calls = [block for block in choice.blocks if isinstance(block, ToolCall)]
        searches += sum(isinstance(block, Search) for block in choice.blocks)
        reasoning += thought
        forced = _forced(controls, habits)
        if controls.max_tokens is not None and _cuts_calls(reply, choice, controls.max_tokens, habits, forced):
            completion += controls.max_tokens
            continue
        spoken = max(_spoken(texts, calls, habits) - (forced if calls else 0), 0)
        completion += _spent(choice, reply, thought, spoken, controls.max_tokens, habits)
    prompt = stated.get("prompt", prompt)
    completion = stated.get("completion", completion)
    return Usage(
        prompt=prompt,
        completion=completion,
        total=stated.get("total", prompt + completion),
        reasoning=stated.get("reasoning", min(reasoning, completion)),
        cached=stated.get("cached", min(cache.read, prompt)),
        cache_written=stated.get("cache_written", min(cache.written, prompt)),
        cache_written_1h=0 if "cache_written" in stated else min(cache.written_1h, prompt),
        searches=searches,
    )


def _cuts_calls(reply: Reply, choice: Choice, limit: int, habits: Habits, forced: int) -> bool:
    """Whether the limit is reached within or before the calls of a reply, so that all of it is used."""
    if choice.finish_reason != "length" or not any(isinstance(block, ToolCall) for block in reply.in_order()):
        return False
    return _limited(reply.in_order(), limit, habits, forced) is not None


def _spent(choice: Choice, reply: Reply, thought: int, spoken: int, limit: int | None, habits: Habits) -> int:
    """Returns the tokens of a choice with this many tokens of thoughts and text."""
    total = thought + spoken
    if choice.reasoning is None:
        return total
    is_over = (
        spoken > 0
        or choice.finish_reason != "length"
        or (limit is not None and thought < limit and choice.reasoning == _thought(reply))
    )
    return total + (habits.thought_end if is_over else 0)


def _thought(reply: Reply) -> str | None:
    thoughts = [block.text for block in reply.in_order() if isinstance(block, Thought)]
    return "".join(thoughts) if thoughts else None


def said(reply: Reply) -> list[str]:
    """Returns the texts of a reply that must be counted."""
    texts = [reply.content, reply.reasoning or "", *[call.arguments for call in reply.tool_calls]]
    if reply.blocks:
        texts = [text for block in reply.blocks for text in _texts(block)]
    return texts + [source.summary or "" for source in reply.sources] if reply.sources else texts


def _texts(block: Block) -> tuple[str, ...]:
    match block:
        case Thought(text) | Text(text) | Refusal(text):
            return (text,)
        case ToolCall():
            return (block.arguments,)
        case _:
            return ()


# Log probabilities

# fmt: off
COMMON = (
    " the", ",", " a", ".", " and", " of", " to", " in", " is", " that", " it", " for", " as", " with", " on", " this",
    " be", " are", "\n", " or", " an", ":", "The", "I", "-", " we",
)
# fmt: on
"""Tokens that are plausible anywhere: more than the highest `top_logprobs`."""


def _logprobs(text: str, uncut: str, most: int, *entropy: seeded.Entropy) -> tuple[TokenLogprob, ...]:
    """Returns plausible values for every piece of a text, with the `most` likeliest tokens at its position.

    The model is usually sure; if it is not, it sometimes chooses the second-best token. The probabilities at a position
    never add up to more than 1. The random numbers depend neither on `most` nor on where the text was cut: a request
    for more alternatives gets the same tokens, and a request for fewer tokens gets the same beginning."""
    pool = tuple(dict.fromkeys((*tokens.pieces(uncut).texts[:64], *COMMON)))
    generator = seeded.generator("logprobs", *entropy, uncut)
    rows = []
    for piece in tokens.pieces(text).texts:
        doubt, decay, taken, start = (generator.random() for _ in range(4))
        rest = 0.9 * doubt**3 + 1e-6  # the probability of all tokens but the likeliest
        rank = 1 if taken < rest / 2 else 0
        falling = _falling(1 - rest, 0.3 + 0.4 * decay, max(most, rank + 1))
        first = int(start * len(pool))
        rivals = [token for token in (*pool[first:], *pool[:first]) if token != piece][: max(0, len(falling) - 1)]
        rivals.insert(rank, piece)
        rows.append(TokenLogprob(piece, falling[rank], tuple(zip(rivals, falling, strict=True))[:most]))
    return tuple(rows)


def _falling(likeliest: float, share: float, number: int) -> list[float]:
    """Returns the logarithms of `number` decreasing probabilities: each takes a share of what is left. They are
    rounded down, so that they never add up to more than 1.
    """
    found: list[float] = []
    left, probability = 1.0, likeliest
    for _ in range(number):
        found.append(floor(log(probability) * 1e6) / 1e6)
        left -= probability
        probability = min(left * share, 0.9 * probability)
    return found
