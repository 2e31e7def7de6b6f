"""A request for every operation of every provider, in the words of its dialect."""

import json
from collections.abc import Iterator
from typing import Any, NamedTuple

from talk import KEYS, MODELS

from emulator.providers import PROVIDERS
from emulator.providers.base import Operation, Provider

PROMPT = "Name three rivers of Europe, and say why they matter."
PLACES = {
    "{endpointPath}": "sVUARttwSjilLOZY",
    "{model_name}": "deepseek-r1-distill-llama-70b-websearch",
    "{deployment}": "gpt-4o-mini",
    "{response_id}": "resp_none",
}
"""The variable parts of paths, except for models."""


class Wanted(NamedTuple):
    """A request for an operation."""

    provider: str
    method: str
    path: str
    """With its query."""
    body: dict[str, Any] | None
    is_stream: bool
    is_completion: bool

    @property
    def name(self) -> str:
        return f"{self.provider} {self.method} {self.path}{' streamed' if self.is_stream else ''}"

    def raw(self, prefix: str, *headers: str) -> bytes:
        """The bytes of the request, below a prefix."""
        body = b"" if self.body is None else json.dumps(self.body).encode()
        lines = [f"{self.method} {prefix}{self.path} HTTP/1.1", "host: x", *headers]
        lines += [f"{name}: {value}" for name, value in KEYS[self.provider].items()]
        if self.body is not None:
            lines += ["content-type: application/json", f"content-length: {len(body)}"]
        return "\r\n".join([*lines, "", ""]).encode() + body


def every_request(provider: str) -> Iterator[Wanted]:
    """A request for each operation of a provider, streamed too where it streams."""
    vendor = PROVIDERS[provider]
    for operation in vendor.operations:
        path = path_of(vendor, operation)
        for is_stream in (False, True) if streams(operation) else (False,):
            body = body_of(vendor, operation, is_stream=is_stream) if operation.method == "POST" else None
            yield Wanted(provider, operation.method, path, body, is_stream, operation.is_completion)
        if operation.path.endswith("streamGenerateContent"):  # as an array, and as events
            body = body_of(vendor, operation, is_stream=True)
            yield Wanted(provider, "POST", f"{path}?alt=sse", body, True, True)


def streams(operation: Operation) -> bool:
    """Whether a member of the body asks for a stream."""
    return operation.is_completion and operation.dialect in ("chat_completions", "messages", "responses", "gap")


def path_of(vendor: type[Provider], operation: Operation) -> str:
    path = operation.path.replace("{model}", model_of(vendor, operation))
    for name, value in PLACES.items():
        path = path.replace(name, value)
    return path


def model_of(vendor: type[Provider], operation: Operation) -> str:
    """Returns a model that answers there."""
    if "ontent" in operation.dialect:
        embeds = operation.dialect == "embed_content"
        return "gemini-embedding-001" if embeds else "gemini-2.5-flash"
    given = str(MODELS[vendor.name].get("model", "deepseek-r1-distill-llama-70b-websearch"))
    if operation.dialect == "messages" and vendor.name in ("serevix", "cloudsway"):
        return "claude-haiku-4-5-20251001"
    if operation.dialect == "embeddings":
        return "text-embedding-3-small"
    return given


def body_of(vendor: type[Provider], operation: Operation, *, is_stream: bool) -> dict[str, Any]:
    """The body of a request."""
    model = model_of(vendor, operation)
    stream = {"stream": is_stream} if streams(operation) else {}
    messages = [{"role": "user", "content": PROMPT}]
    part = {"parts": [{"text": PROMPT}]}
    match operation.dialect:
        case "messages":
            return {
                "model": model,
                "messages": messages,
                **({"max_tokens": 200} if operation.is_completion else {}),
                **stream,
            }
        case "responses":
            return {} if operation.name == "cancel_response" else {"model": model, "input": PROMPT, **stream}
        case "gap":
            return {"model": model, "prompt": PROMPT, **stream}
        case "embeddings":
            return {"model": model, "input": PROMPT}
        case "moderations":
            return {"input": PROMPT}
        case "images":
            return {"model": model, "prompt": PROMPT}
        case "embed_content":
            one = {"model": f"models/{model}", "content": part}
            return {"requests": [one]} if operation.name.startswith("batch") else one
        case "generate_content":
            return {"contents": [{"role": "user", **part}]}
    return {**MODELS[vendor.name], "messages": messages, **stream}
