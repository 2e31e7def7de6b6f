"""Reads the turns of a conversation from requests and answers, even invalid ones.

Unlike `Dialect.parse`, which rejects a bad body as the provider does, this reads whatever can be read: a verdict on a
client must understand what the client did, especially when it was wrong.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from emulator.records import record
from emulator.request import ToolCall

Json = dict[str, Any]


@record
class Turn:
    """One turn of a conversation."""

    role: str
    text: str = ""
    reasoning: str | None = None
    """None if there is no member for it."""
    calls: tuple[ToolCall, ...] = ()
    signatures: tuple[str, ...] = ()
    """The signature of the reasoning, or its encrypted form."""
    result_of: str | None = None
    """The id of the call whose result it is."""
    is_prefix: bool = False
    """Whether the model continues this turn."""
    rest: str = ""
    """Its other parts, such as images, as JSON."""


@record
class Answer:
    """The content of an answer, as far as it arrived."""

    turns: tuple[Turn, ...] = ()
    """One turn for each choice."""
    finish: str | None = None
    """The finish reason; None if the answer has none."""
    error: str | None = None
    """The error in it."""
    has_usage: bool = False


def members(value: Any) -> list[Json]:
    """Returns the objects in a list; empty if the value is not a list."""
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def written(value: Any) -> str:
    """Returns canonical JSON: equal values have equal texts."""
    return json.dumps(value, sort_keys=True, ensure_ascii=False)


def text_in(content: Any, *kinds: str) -> tuple[str, str]:
    """Returns the text of a content, and its other parts as JSON."""
    if isinstance(content, str):
        return content, ""
    texts, others = [], []
    for part in members(content):
        if part.get("type") in kinds and isinstance(part.get("text"), str):
            texts.append(part["text"])
        else:
            others.append(part)
    return "".join(texts), written(others) if others else ""


def error_in(native: Mapping[str, Any]) -> str | None:
    """Returns the error message in an event or in a body with a success status."""
    error = native.get("error")
    if native.get("type") == "response.failed":
        error = (native.get("response") or {}).get("error") or "the response has failed"
    if native.get("type") == "error" and not error:
        error = native
    if isinstance(error, dict):
        return str(error.get("message") or error.get("code") or written(error))
    return str(error) if error else None


# Chat completions


def chat_turns(body: Mapping[str, Any]) -> list[Turn]:
    """Returns the messages of a request."""
    return [chat_turn(message) for message in members(body.get("messages"))]


def chat_turn(message: Json) -> Turn:
    """Returns one message."""
    text, rest = text_in(message.get("content"), "text", "input_text", "output_text")
    reasoning = message.get("reasoning_content", message.get("reasoning"))
    calls = [
        ToolCall(str(function.get("name") or ""), str(function.get("arguments") or ""), str(call.get("id") or ""))
        for call in members(message.get("tool_calls"))
        if isinstance(function := call.get("function"), dict)
    ]
    return Turn(
        str(message.get("role") or ""),
        text,
        reasoning if isinstance(reasoning, str) else None,
        tuple(calls),
        result_of=message.get("tool_call_id"),
        is_prefix=message.get("prefix") is True,
        rest=rest,
    )


def chat_answer(choices: Sequence[Sequence[Json]]) -> Answer:
    """Combines the choices of all events, or of the single body, into an answer."""
    turns: dict[Any, Json] = {}
    finish = None
    for choice in (choice for row in choices for choice in row):
        message = choice.get("delta") or choice.get("message") or choice
        turn = turns.setdefault(choice.get("index", 0), {"text": "", "reasoning": None, "calls": {}})
        turn["text"] += str(message.get("content") or message.get("text") or "")
        reasoning = message.get("reasoning_content", message.get("reasoning"))
        if isinstance(reasoning, str):
            turn["reasoning"] = (turn["reasoning"] or "") + reasoning
        for number, call in enumerate(members(message.get("tool_calls"))):
            _add_call(turn["calls"], call.get("index", number), call.get("id"), call.get("function"))
        finish = choice.get("finish_reason") or finish
    return Answer(tuple([_turn_of(turn) for turn in turns.values()]), finish)


def _add_call(calls: dict[Any, list[str]], key: Any, id: Any, function: Any) -> None:
    row = calls.setdefault(key, ["", "", ""])
    named = function if isinstance(function, dict) else {}
    row[0] += str(named.get("name") or "")
    row[1] += str(named.get("arguments") or "")
    row[2] = row[2] or str(id or "")


def _turn_of(said: Json) -> Turn:
    calls = tuple([ToolCall(name, arguments, id) for name, arguments, id in said["calls"].values()])
    return Turn("assistant", said["text"], said["reasoning"], calls, tuple(said.get("signatures", ())))


# Messages


def message_turns(body: Mapping[str, Any]) -> list[Turn]:
    """Returns the system prompt and the messages of a request; each tool result is a turn of its own."""
    turns = []
    if body.get("system"):
        turns.append(Turn("system", text_in(body["system"], "text")[0]))
    for message in members(body.get("messages")):
        role, content = str(message.get("role") or ""), message.get("content")
        if isinstance(content, str):
            turns.append(Turn(role, content))
        elif role == "assistant":
            turns.append(blocks_turn(members(content)))
        else:
            results = [block for block in members(content) if block.get("type") == "tool_result"]
            others = [block for block in members(content) if block.get("type") != "tool_result"]
            turns += [
                Turn("tool", text_in(block.get("content"), "text")[0], result_of=str(block.get("tool_use_id") or ""))
                for block in results
            ]
            if others or not results:
                text, rest = text_in(others, "text")
                turns.append(Turn(role, text, rest=rest))
    return turns


def blocks_turn(blocks: Sequence[Json]) -> Turn:
    """Returns a turn of the model from its blocks."""
    thoughts = [block for block in blocks if block.get("type") in ("thinking", "redacted_thinking")]
    calls = [
        ToolCall(
            str(block.get("name") or ""),
            block["input"] if isinstance(block.get("input"), str) else written(block.get("input") or {}),
            str(block.get("id") or ""),
        )
        for block in blocks
        if block.get("type") == "tool_use"
    ]
    return Turn(
        "assistant",
        "".join([str(block.get("text") or "") for block in blocks if block.get("type") == "text"]),
        "".join([str(block.get("thinking") or "") for block in thoughts]) if thoughts else None,
        tuple(calls),
        tuple([str(sign) for block in thoughts if (sign := block.get("signature") or block.get("data"))]),
    )


def message_answer(natives: Sequence[Json]) -> Answer:
    """Combines the events, or the single body, into an answer."""
    blocks: dict[Any, Json] = {}
    finish, has_usage = None, False
    for native in natives:
        delta = native.get("delta") if isinstance(native.get("delta"), dict) else {}
        assert delta is not None
        finish = native.get("stop_reason") or delta.get("stop_reason") or finish
        has_usage = has_usage or (native.get("type") in ("message", "message_delta") and bool(native.get("usage")))
        if native.get("type") == "message":
            blocks = dict(enumerate(members(native.get("content"))))
        elif native.get("type") == "content_block_start" and isinstance(native.get("content_block"), dict):
            blocks[native.get("index", 0)] = {**native["content_block"], "pieces": ""}
        elif native.get("type") == "content_block_delta":
            block = blocks.setdefault(native.get("index", 0), {"type": "text", "pieces": ""})
            for name in ("text", "thinking", "signature"):
                if isinstance(delta.get(name), str):
                    block[name] = str(block.get(name) or "") + delta[name]
            if isinstance(delta.get("partial_json"), str):
                block["pieces"] = block.get("pieces", "") + delta["partial_json"]
    for block in blocks.values():
        if block.get("pieces"):
            block["input"] = block["pieces"]
    return Answer((blocks_turn(list(blocks.values())),) if blocks else (), finish, has_usage=has_usage)


# Responses


def item_turns(body: Mapping[str, Any]) -> list[Turn]:
    """Returns the instructions and the input of a request; consecutive items of the model are one turn."""
    turns = []
    if isinstance(body.get("instructions"), str) and body["instructions"]:
        turns.append(Turn("system", body["instructions"]))
    if isinstance(body.get("input"), str):
        return [*turns, Turn("user", body["input"])]
    said: list[Json] = []
    for item in members(body.get("input")):
        if _is_said(item):
            said.append(item)
            continue
        if said:
            turns.append(items_turn(said))
            said = []
        turns.append(_asked(item))
    return [*turns, items_turn(said)] if said else turns


def _is_said(item: Json) -> bool:
    kind = item.get("type", "message")
    return kind in ("reasoning", "function_call", "custom_tool_call") or (
        kind == "message" and item.get("role") == "assistant"
    )


def _asked(item: Json) -> Turn:
    kind = str(item.get("type", "message"))
    if kind.endswith("_output"):
        return Turn("tool", text_in(item.get("output"), "input_text")[0], result_of=str(item.get("call_id") or ""))
    text, rest = text_in(item.get("content"), "input_text", "text", "output_text")
    return Turn(str(item.get("role") or kind), text, rest=rest)


def items_turn(items: Sequence[Json]) -> Turn:
    """Returns a turn of the model from its items."""
    thoughts = [item for item in items if item.get("type") == "reasoning"]
    calls = [
        ToolCall(str(item.get("name") or ""), str(item.get("arguments") or ""), str(item.get("call_id") or ""))
        for item in items
        if item.get("type") == "function_call"
    ]
    calls += [
        ToolCall(str(item.get("name") or ""), str(item.get("input") or ""), str(item.get("call_id") or ""), "custom")
        for item in items
        if item.get("type") == "custom_tool_call"
    ]
    messages = [item for item in items if item.get("type", "message") == "message"]
    return Turn(
        "assistant",
        "".join([text_in(item.get("content"), "output_text", "text", "input_text")[0] for item in messages]),
        "".join(map(_thought, thoughts)) if thoughts else None,
        tuple(calls),
        tuple([str(item["encrypted_content"]) for item in thoughts if item.get("encrypted_content")]),
    )


def _thought(item: Json) -> str:
    return "".join([text_in(item.get(name), "summary_text", "reasoning_text")[0] for name in ("summary", "content")])


def item_answer(natives: Sequence[Json]) -> Answer:
    """Combines the events, or the single body, into an answer."""
    finish, has_usage = None, False
    output: list[Json] = []
    open_items: dict[Any, Json] = {}
    for native in natives:
        response = native["response"] if isinstance(native.get("response"), dict) else native
        kind = str(native.get("type") or "")
        if response.get("object") == "response" and kind in ("", "response.completed", "response.incomplete"):
            finish, output = str(response.get("status") or "") or None, members(response.get("output"))
            has_usage = bool(response.get("usage"))
        elif kind in ("response.output_item.added", "response.output_item.done"):
            open_items[native.get("output_index")] = dict(native.get("item") or {})
        elif kind.endswith(".delta") and isinstance(native.get("delta"), str):
            _add_delta(open_items.setdefault(native.get("output_index"), {"type": "message"}), kind, native["delta"])
    items = output or list(open_items.values())
    return Answer((items_turn(items),) if items else (), finish, has_usage=has_usage)


DELTAS: Mapping[str, tuple[str, str]] = {
    "response.output_text.delta": ("content", "output_text"),
    "response.refusal.delta": ("content", "output_text"),
    "response.reasoning_text.delta": ("content", "reasoning_text"),
    "response.reasoning_summary_text.delta": ("summary", "summary_text"),
}


def _add_delta(item: Json, kind: str, delta: str) -> None:
    if kind in DELTAS:
        name, part = DELTAS[kind]
        item[name] = [{"type": part, "text": text_in(item.get(name), part)[0] + delta}]
    elif kind == "response.function_call_arguments.delta":
        item["arguments"] = str(item.get("arguments") or "") + delta
    elif kind == "response.custom_tool_call_input.delta":
        item["input"] = str(item.get("input") or "") + delta


# Generate content


def _named(value: Json, name: str) -> Any:
    """Returns a member by either of its spellings."""
    snake = "".join([f"_{letter.lower()}" if letter.isupper() else letter for letter in name])
    return value.get(name, value.get(snake))


def content_turns(body: Mapping[str, Any]) -> list[Turn]:
    """Returns the system instruction and the contents of a request; each function result is a turn of its own."""
    contents = body.get("contents")
    turns: list[Turn] = []
    instruction = _named(dict(body), "systemInstruction")
    if isinstance(instruction, dict):
        turns.append(Turn("system", parts_turn(members(instruction.get("parts"))).text))
    if isinstance(contents, str):
        return [*turns, Turn("user", contents)]
    for content in [contents] if isinstance(contents, dict) else members(contents):
        parts = content.get("parts")
        rows = [parts] if isinstance(parts, dict) else members(parts)
        if content.get("role") == "model":
            turns.append(parts_turn(rows))
            continue
        results = [each for part in rows if isinstance(each := _named(part, "functionResponse"), dict)]
        turns += [Turn("tool", written(each.get("response")), result_of=str(each.get("id") or "")) for each in results]
        others = [part for part in rows if _named(part, "functionResponse") is None]
        if others or not results:
            text = "".join([str(part.get("text") or "") for part in others])
            rest = [part for part in others if not isinstance(part.get("text"), str)]
            turns.append(Turn("user", text, rest=written(rest) if rest else ""))
    return turns


def parts_turn(parts: Sequence[Json]) -> Turn:
    """Returns a turn of the model from its parts."""
    thoughts = [str(part.get("text") or "") for part in parts if part.get("thought")]
    calls = [each for part in parts if isinstance(each := _named(part, "functionCall"), dict)]
    return Turn(
        "assistant",
        "".join([str(part.get("text") or "") for part in parts if not part.get("thought")]),
        "".join(thoughts) if thoughts else None,
        tuple(
            [
                ToolCall(str(call.get("name") or ""), written(call.get("args") or {}), str(call.get("id") or ""))
                for call in calls
            ]
        ),
        tuple([str(sign) for part in parts if (sign := _named(part, "thoughtSignature"))]),
    )


def content_answer(natives: Sequence[Json]) -> Answer:
    """Combines the candidates of all events, or of the single body, into an answer."""
    parts: dict[Any, list[Json]] = {}
    finish = None
    for candidate in [each for native in natives for each in members(native.get("candidates"))]:
        content = candidate.get("content")
        rows = members(content.get("parts")) if isinstance(content, dict) else []
        parts.setdefault(candidate.get("index", 0), []).extend(rows)
        finish = candidate.get("finishReason") or finish
    has_usage = any(native.get("usageMetadata") for native in natives)
    return Answer(tuple(map(parts_turn, parts.values())), finish, has_usage=has_usage)


# Bodies that hold no conversation


def plain_turns(body: Mapping[str, Any]) -> Iterator[Turn]:
    """Yields the whole body as one turn."""
    yield Turn("user", written(body))
