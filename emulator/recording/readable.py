"""Converts an exchange to a scenario's form: a reply or an error."""

from hashlib import blake2b
from typing import Any

import orjson

from emulator.dialects.base import WireShape
from emulator.dialects.turns import Turn
from emulator.providers import PROVIDERS, shape_of
from emulator.recording.wire_file import WireRecord
from emulator.request import HttpRequest

MARKUP = ("{{", "{%", "{#")
"""The markers of templates in a scenario's text."""
MAX_NAME = 72


def natives_of(wire: WireRecord, shape: WireShape) -> list[dict[str, Any]]:
    """Returns the events of a stream, or the single body, as JSON."""
    body = wire.body
    if not wire.is_stream:
        native = shape.read_body(body)
        if native is not None:
            return [native]
    events = [shape.read_frame(part) for part in shape.split(body)[::2]]
    return [event.native for event in events if event is not None]


def readable(wire: WireRecord, *, is_completion: bool) -> dict[str, Any]:
    """Returns `{"reply": …}` or `{"error": …}`; empty if a scenario can't express it, so that only the wire file
    answers.
    """
    if wire.framing == "raw" or (wire.status < 300 and not is_completion):
        return {}
    if wire.status == 200 and is_completion:
        shape = shape_of(wire.provider, wire.dialect)
        reply = _reply(wire, shape) if shape is not None else None
        return {} if reply is None else {"reply": reply}
    try:
        body = orjson.loads(wire.body)
    except orjson.JSONDecodeError:
        body = wire.body.decode("utf-8", "replace")
    if body is None or not 200 <= wire.status <= 599:
        return {}
    error: dict[str, Any] = {"status": wire.status, "body": body}
    headers = {name.lower(): value for name, value in wire.headers if name.lower() in ("retry-after", "retry-after-ms")}
    if headers:
        error["headers"] = headers
    return {"error": error}


def _reply(wire: WireRecord, shape: WireShape) -> dict[str, Any] | None:
    natives = natives_of(wire, shape)
    turns = shape.answer_of(natives).turns if natives else ()
    if not turns:
        return None
    first, *others = turns
    reply: dict[str, Any] = {"content": first.text} if first.text or not first.calls else {}
    if first.reasoning:
        reply["reasoning"] = first.reasoning
    if first.calls:
        reply["tool_calls"] = _calls(first)
    if others:
        reply["alternatives"] = [turn.text for turn in others]
    return None if any(mark in orjson.dumps(reply).decode() for mark in MARKUP) else reply


def _calls(turn: Turn) -> list[dict[str, Any]]:
    return [
        {"name": call.name, "arguments": call.arguments, **({"id": call.id} if call.id else {})} for call in turn.calls
    ]


def said_digest(said: Any) -> str:
    """Returns a digest that shows whether a reply has been edited since it was recorded."""
    return blake2b(orjson.dumps(said, option=orjson.OPT_SORT_KEYS), digest_size=8).hexdigest()


def prompt_of(wire: WireRecord) -> str:
    """Returns the user's last message in a recorded request, if its provider can parse it."""
    request, vendor = wire.request, PROVIDERS.get(wire.provider)
    body = request.get("body")
    if vendor is None or not isinstance(body, dict):
        return ""
    provider, given = vendor(), request.get("headers", ())
    try:
        operation, parameters = provider.route(request["method"], request["path"])
        headers = {name.lower(): value for name, value in (*vendor.example_headers.items(), *given)}
        asked = HttpRequest(
            wire.provider, request["method"], request["path"], headers, request.get("query", ""), orjson.dumps(body)
        ).routed(operation.name, wire.dialect, parameters)
        return provider.speaking(wire.dialect).parse(asked, "").prompt
    except Exception:  # a plugin's provider may raise anything, and a recording must not fail because of its name
        return ""


def name_of(wire: WireRecord) -> str:
    """Returns the name of a rule: from the prompt, or from the endpoint."""
    text = " ".join(prompt_of(wire).split())
    if not text:
        return f"{wire.request.get('method', '')} {wire.request.get('path', '')}".strip() or wire.operation
    return text if len(text) <= MAX_NAME else text[: MAX_NAME - 1].rstrip() + "…"
