"""Makes a `Completion` of a `Reply`: what the request asked for is honoured here, for every provider alike."""

from collections.abc import Sequence
from dataclasses import replace

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
) -> Completion:
    """The answer of `request` when its choices say `replies`, one each.

    `prompt` is the prompt's tokens, to which search results add theirs; `cached` of them were cached;
    `material` seeds what is rolled."""
    first = replies[0]
    choices = tuple(_choice(index, reply, request.controls, material) for index, reply in enumerate(replies))
    summaries = first.summaries or ()
    return Completion(
        id=first.id or id,
        created=created if first.created is None else first.created,
        model=first.model or request.model,
        choices=choices,
        usage=_usage(choices, first, prompt, cached),
        summaries=summaries,
        system_fingerprint=first.system_fingerprint,
        request_id=request_id,
        headers=first.headers,
    )


def _choice(index: int, reply: Reply, controls: Controls, material: dice.Ingredient) -> Choice:
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
        call if call.id else replace(call, id=f"call_{number:02d}_{_call_id(material, index, number)}")
        for number, call in enumerate(calls)
    )
    choice = Choice(index, content, reasoning, calls, finish, native)
    if controls.logprobs:
        return replace(
            choice,
            logprobs=_logprobs(content, controls.top_logprobs, material, index, "content"),
            reasoning_logprobs=_logprobs(reasoning, controls.top_logprobs, material, index, "reasoning")
            if reasoning is not None
            else None,
        )
    return choice


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
        left -= spent
        if left < THINK_END and (content or calls):
            return reasoning, "", ()
        left -= THINK_END
    spent = tokens.count(content)
    if spent > left:
        return reasoning, tokens.cut(content, max(0, left)), ()
    left -= spent
    kept: list[ToolCall] = []
    for call in calls:
        spent = tokens.count(call.arguments)
        if spent > left:
            kept.append(replace(call, arguments=tokens.cut(call.arguments, max(0, left))))
            return reasoning, content, tuple(kept)
        left -= spent
        kept.append(call)
    return None


def _usage(choices: Sequence[Choice], reply: Reply, prompt: int, cached: int) -> Usage:
    """Counted, except what the reply states."""
    stated = reply.usage
    completion = reasoning = 0
    if not {"prompt", "completion"} <= stated.keys():
        prompt += sum(tokens.count(summary.summary or "") for summary in reply.summaries or ())
        for choice in choices:
            thought = tokens.count(choice.reasoning) if choice.reasoning else 0
            said = tokens.count(choice.content)
            said += sum(tokens.count(call.name) + tokens.count(call.arguments) for call in choice.tool_calls)
            cut_short = choice.finish_reason == "length" and not said
            completion += said if choice.reasoning is None else thought + said + (0 if cut_short else THINK_END)
            reasoning += thought
    prompt = stated.get("prompt", prompt)
    completion = stated.get("completion", completion)
    return Usage(
        prompt=prompt,
        completion=completion,
        total=stated.get("total", prompt + completion),
        reasoning=stated.get("reasoning", reasoning),
        cached=stated.get("cached", min(cached, prompt)),
    )


def said(reply: Reply) -> list[str]:
    """Everything of a reply that has to be counted."""
    summaries = [summary.summary or "" for summary in reply.summaries or ()]
    return [reply.content, reply.reasoning or "", *(call.arguments for call in reply.tool_calls), *summaries]


def _logprobs(
    text: str | None, rivals: int, material: dice.Ingredient, index: int, part: str
) -> tuple[TokenLogprob, ...]:
    """Plausible values: mostly sure, sometimes not, rivals ever less likely and never more than all together."""
    rows = []
    pieces = tokens.pieces(text or "").texts
    generator = dice.generator("logprobs", material, index, part)
    for position, piece in enumerate(pieces):
        chosen = min(-1e-6, round(-(generator.expovariate(4.0) ** 2), 6))
        top = [(piece, chosen)]
        value = chosen
        for number in range(rivals - 1):
            value = round(min(value, -0.7) - generator.uniform(0.2, 1.5), 6)
            top.append((pieces[(position + number + 1) % len(pieces)] if len(pieces) > 1 else f" {number}", value))
        rows.append(TokenLogprob(piece, chosen, tuple(top[:rivals])))
    return tuple(rows)
