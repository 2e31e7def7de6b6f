"""The endpoints of `gemini_openai`, and how it sends errors."""

from collections.abc import Iterator
from dataclasses import replace

from emulator.providers.base import ErrorSpec, Operation
from emulator.reply import ErrorReply

BASE = "/v1beta/openai"
CHAT, EMBEDDINGS = "chat_completions", "embeddings"
DIALECTS = (CHAT, EMBEDDINGS)


def operations() -> Iterator[Operation]:
    """Yields the endpoints below `/v1beta/openai`."""
    yield Operation("chat", "POST", f"{BASE}/chat/completions", "a chat completion", "public", dialect=CHAT)
    yield Operation("embeddings", "POST", f"{BASE}/embeddings", "embeddings", "public", False, EMBEDDINGS)
    yield Operation("models", "GET", f"{BASE}/models", "the list of models", "public", False, CHAT)
    yield Operation("model", "GET", f"{BASE}/models/{{model}}", "one model", "public", False, CHAT)


def in_list(reply: ErrorReply, row: ErrorSpec) -> ErrorReply:
    """Returns an error as it is sent here: in a list with one item; a blocked prompt is also an error."""
    if isinstance(reply.body, str):
        return reply
    if row.status == 200:
        error = {"code": 400, "message": f"{row.message}: {row.type}", "status": "INVALID_ARGUMENT"}
        return replace(reply, status=400, body=[{"error": error}])
    return replace(reply, body=[reply.body])
