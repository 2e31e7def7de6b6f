"""The few words that all tests need to talk to a provider."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import httpx

from emulator import Emulator
from emulator.providers import PROVIDERS
from emulator.providers.base import Provider

DOCUMENTED = ("maxtoken", "nadles", "serevix", "cloudsway")
"""The providers of the four documents."""


def speaks_chat(provider: type[Provider]) -> bool:
    """Whether a provider's example is a chat."""
    shown = [
        each for each in provider.operations if each.method == "POST" and each.pattern.fullmatch(provider.example[0])
    ]
    return any(operation.dialect == "chat_completions" for operation in shown)


EVERY_PROVIDER = tuple(name for name, provider in PROVIDERS.items() if speaks_chat(provider) and name != "openrouter")
"""The providers of chats. OpenRouter's errors, reasons and last chunks have a form and tests of their own."""
PATHS = {name: provider.example[0] for name, provider in PROVIDERS.items()}
"""The path of a completion."""
KEYS = {
    name: {**dict([provider.auth_header.split(": ", 1)]), **provider.example_headers}
    for name, provider in PROVIDERS.items()
}
"""The header with a key, and those that are required with it."""
MODELS = {
    name: {key: value for key, value in provider.example[1].items() if key in ("model", "max_tokens")}
    for name, provider in PROVIDERS.items()
}
"""The members of a body that every request of a provider has to have: as a rule the name of the model."""

NO_REUSE = httpx.Limits(max_keepalive_connections=0)
"""For clients of one thread and of faults that close a connection later: it must not meet the next request."""


class _Closed(httpx.SyncByteStream):
    """A body whose end is that of the connection, too."""

    def __init__(self, body: Any, transport: httpx.HTTPTransport) -> None:
        self._body, self._transport = body, transport

    def __iter__(self) -> Iterator[bytes]:
        yield from self._body

    def close(self) -> None:
        self._body.close()
        self._transport.close()


class Alone(httpx.BaseTransport):
    """Gives each request a connection that no thread can see but its own. A pool that keeps none (NO_REUSE) may hand a
    connection to one thread in the moment in which another closes it: "Bad file descriptor"."""

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        transport = httpx.HTTPTransport(verify=False)
        try:
            response = transport.handle_request(request)
        except BaseException:
            transport.close()
            raise
        body = _Closed(response.stream, transport)
        return httpx.Response(
            response.status_code, headers=response.headers, stream=body, extensions=response.extensions
        )


single = httpx.Client(trust_env=False, transport=Alone(), timeout=30)
"""Sends single requests as `httpx` itself does, without loading all root certificates for each."""

Serving = Callable[..., Emulator]
Ask = Callable[..., httpx.Response]
Events = list[dict[str, Any]]


def question(provider: str, prompt: str = "Hi", /, **members: Any) -> dict[str, Any]:
    """A small body that the provider takes; `members` are added or replaced."""
    if provider == "gemini":
        return {"contents": [{"role": "user", "parts": [{"text": prompt}]}], **members}
    return {**MODELS[provider], "messages": [{"role": "user", "content": prompt}], "stream": False, **members}


def script(provider: str, *rules: Mapping[str, Any], accounts: Any = (), **settings: Any) -> dict[str, Any]:
    """A scenario of these rules, with settings for one provider."""
    return {"rules": list(rules), "providers": {provider: settings}, "accounts": list(accounts)}


def refusing(provider: str, names: Iterable[str], **settings: Any) -> dict[str, Any]:
    """A scenario that answers the name of an error with that error."""
    return script(provider, *[{"match": {"prompt": name}, "error": name} for name in names], **settings)


def events(response: httpx.Response) -> Events:
    """The JSON of every event of a stream, which is well-formed and ends with the only `[DONE]`."""
    assert response.headers["content-type"].startswith("text/event-stream")
    text = response.content.decode()
    assert text.endswith("\n\n")
    *frames, last = text[:-2].split("\n\n")
    assert last == "data: [DONE]"
    for frame in frames:
        assert frame.startswith("data: {"), frame
        assert "\n" not in frame
        assert "\r" not in frame
    return [json.loads(frame.removeprefix("data: ")) for frame in frames]


def ordered(value: Any) -> str:
    """JSON as text, so that a comparison sees the order of keys and 1 is not 1.0."""
    return json.dumps(value, ensure_ascii=False)


def sse(*chunks: Any) -> str:
    """The text of a stream of these events, in compact JSON."""
    frames = [json.dumps(chunk, ensure_ascii=False, separators=(",", ":")) for chunk in chunks]
    return "".join(f"data: {frame}\n\n" for frame in (*frames, "[DONE]"))
