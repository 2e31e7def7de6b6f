"""What a request for generate content says in its URL and its headers, and the names of what it asks for."""

from collections.abc import Mapping
from urllib.parse import parse_qsl

from emulator.request import HttpRequest

KEY_HEADER = "x-goog-api-key"
CONTENT, ARRAY = "generate_content", "generate_content_array"
"""The dialects: with streams as events, and with streams as JSON arrays."""
STREAM = "stream_generate_content"
"""The operation that streams."""
BATCH = "batch_embed_contents"
"""The operation that takes several requests for embeddings."""


def google_key(headers: Mapping[str, str], query: str) -> str | None:
    """Returns the key from Google's header or from `?key=`; None if there is none."""
    return headers.get(KEY_HEADER) or next((value for name, value in parse_qsl(query) if name == "key"), None)


def wants_events(http_request: HttpRequest) -> bool:
    """Whether the client asks for server-sent events."""
    return any(name in ("alt", "$alt") and value == "sse" for name, value in parse_qsl(http_request.query))
