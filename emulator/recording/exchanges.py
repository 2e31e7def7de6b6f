"""Parses the recordings of other tools: vcrpy's cassettes and HTTP archives."""

import gzip
import json
import zlib
from base64 import b64decode
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple
from urllib.parse import unquote, urlsplit

import yaml

from emulator.providers import PROVIDERS
from emulator.recording.following import Followed
from emulator.recording.wire_file import Segment
from emulator.request import HttpRequest

FRAMING_HEADERS = frozenset(["content-length", "transfer-encoding", "content-encoding"])


class Exchange(NamedTuple):
    """A request and its response."""

    url: str
    request: HttpRequest
    response: Followed


class Unreadable(ValueError):
    """The reason why something can't be imported."""


def provider_at(url: str, given: str | None) -> tuple[str, str]:
    """Returns the provider behind a URL, and the documented path. Raises Unreadable."""
    parts = urlsplit(url)
    path = unquote(parts.path)
    for name, provider in PROVIDERS.items():
        if parts.hostname in provider.hosts:
            return name, path
        if path.startswith(f"/{name}/") and given in (None, name):
            return name, path.removeprefix(f"/{name}")
    if given is None:
        raise Unreadable(f"{parts.hostname} is not the host of any provider: name one with --provider NAME")
    return given, path


def exchange_of(
    method: str, url: str, headers: Mapping[str, str], body: bytes, response: Followed, given: str | None
) -> Exchange:
    """Returns an exchange as the recorder would have seen it. Raises Unreadable."""
    name, path = provider_at(url, given)
    query = urlsplit(url).query
    lowered = {key.lower(): value for key, value in headers.items()}
    provider = PROVIDERS[name]()
    request = HttpRequest(name, method, path, lowered, query, body, key=provider.credential_in(lowered, query))
    return Exchange(url, request, response)


def response_of(status: int, headers: Sequence[tuple[str, str]], body: bytes, seconds: float = 0.0) -> Followed:
    """Returns a complete response. Raises Unreadable for a body that can't be decompressed."""
    plain = decoded(body, next((value for name, value in headers if name.lower() == "content-encoding"), ""))
    kept = tuple((name, value) for name, value in headers if name.lower() not in FRAMING_HEADERS)
    is_stream = any(name.lower() == "content-type" and "event-stream" in value for name, value in kept)
    return Followed(
        status=status,
        headers=kept,
        framing="chunks" if is_stream else "length",
        segments=[Segment(seconds, plain)] if plain else [],
        head_at=seconds,
        ended_at=seconds,
    )


def decoded(body: bytes, encoding: str) -> bytes:
    """Returns the decompressed body. If it isn't compressed, the recording tool has already decompressed it."""
    try:
        if encoding == "gzip" and body[:2] == b"\x1f\x8b":
            return gzip.decompress(body)
        if encoding == "deflate" and body[:1] == b"\x78":
            return zlib.decompress(body)
    except (OSError, EOFError, zlib.error) as error:
        raise Unreadable(f"its body is not valid {encoding}: {error}") from None
    if encoding in ("br", "zstd") and body and body.lstrip()[:1] not in (b"{", b"[", b"d", b"e", b":"):
        raise Unreadable(f"its body is compressed with {encoding}, which is not supported: record it uncompressed")
    return body


def in_cassette(text: str, given: str | None) -> Iterator[Exchange | Unreadable]:
    """Yields the interactions of a vcrpy cassette, in YAML or JSON."""
    document = yaml.load(text, getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    for row in document["interactions"]:
        request, response = row["request"], row["response"]
        try:
            status = response["status"]
            headers = [(name, value) for name, values in _listed(response["headers"]) for value in values]
            code = status["code"] if isinstance(status, Mapping) else int(status)
            followed = response_of(code, headers, _bytes(response["body"]))
            sent = {name: values[0] for name, values in _listed(request["headers"]) if values}
            yield exchange_of(request["method"], request["uri"], sent, _bytes(request["body"]), followed, given)
        except Unreadable as error:
            yield error


def _listed(headers: Mapping[str, Any]) -> Iterator[tuple[str, list[str]]]:
    for name, values in (headers or {}).items():
        yield name, [str(value) for value in values] if isinstance(values, list) else [str(values)]


def _bytes(body: Any) -> bytes:
    if isinstance(body, Mapping):
        if "base64_string" in body:
            return b64decode(body["base64_string"])
        body = body.get("string", body.get("encoding", b""))
    if body is None:
        return b""
    return body if isinstance(body, bytes) else str(body).encode()


def in_har(text: str, given: str | None) -> Iterator[Exchange | Unreadable]:
    """Yields the entries of an HTTP archive."""
    for row in json.loads(text)["log"]["entries"]:
        request, response = row["request"], row["response"]
        try:
            content = response.get("content", {})
            words = content.get("text") or ""
            data = b64decode(words) if content.get("encoding") == "base64" else words.encode()
            headers = [(each["name"], each["value"]) for each in response.get("headers", ())]
            seconds = max(float(row.get("time") or 0.0), 0.0) / 1000
            followed = response_of(int(response["status"]), headers, data, seconds)
            sent = {each["name"]: each["value"] for each in request.get("headers", ())}
            body = ((request.get("postData") or {}).get("text") or "").encode()
            yield exchange_of(request["method"], request["url"], sent, body, followed, given)
        except Unreadable as error:
            yield error
