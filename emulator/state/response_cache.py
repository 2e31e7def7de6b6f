"""Caches answers that would be the same again except for their ids and times, so that they are made only once.

The engine decides which answers are cacheable; this module only stores them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from pydantic import BaseModel

from emulator.matching.rules import RuleMatch
from emulator.reply import Usage
from emulator.request import HttpRequest
from emulator.state.blanks import BlankAnswer
from emulator.state.recent import Recent
from emulator.state.recorded import Why

MAX_REQUEST_BYTES = 16_384
MAX_BYTES = 2**24
"""The size limit of all cached answers of a namespace and their requests."""
ENTRY = 2048
"""The size of an entry without its texts."""

Key = tuple[str, str, str, str, str, bytes]


@dataclass(slots=True, eq=False)
class CachedResponse:
    """An answer with blanks, and the data for its journal entries."""

    answer: BlankAnswer
    identity: bytes
    operation: str
    dialect: str
    model: str
    stream: bool
    match: RuleMatch | None
    usage: Usage
    why: Why | None
    is_at_once: bool
    """Whether all of it is due immediately."""
    cost: Decimal
    read_as: type[BaseModel] | None = None
    tokenizer: str = ""
    is_estimate: bool = False
    asked_with: Mapping[str, str] | None = None
    """The headers of the last request that got it, whose key is accepted."""


class ResponseCache:
    """The answers of one namespace to recent requests; the least recently used is dropped first."""

    def __init__(self) -> None:
        self._kept: Recent[CachedResponse] = Recent(most_bytes=MAX_BYTES)
        self.forms: Recent[Any] = Recent()
        """The parsed requests without their texts."""
        self.answers: Recent[Any] = Recent()
        """The answers of rules to every request of a form."""
        self.molds: Recent[Any] = Recent()
        """Bodies of these forms without their last texts, by their heads."""

    def get(self, http_request: HttpRequest) -> CachedResponse | None:
        if len(http_request.body) > MAX_REQUEST_BYTES:
            return None
        return self._kept.get(_key(http_request))

    def keep(self, http_request: HttpRequest, cached_response: CachedResponse) -> None:
        body, size = http_request.body, cached_response.answer.size
        if len(body) <= MAX_REQUEST_BYTES:
            self._kept.keep(_key(http_request), cached_response, ENTRY + len(body) + 2 * size)

    def clear(self) -> None:
        self._kept.clear()
        self.forms.clear()
        self.answers.clear()
        self.molds.clear()


def _key(http_request: HttpRequest) -> Key:
    return (
        http_request.provider,
        http_request.method,
        http_request.path,
        http_request.query,
        http_request.headers.get("content-type", ""),
        http_request.body,
    )
