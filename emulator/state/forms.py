"""Forms of requests that differ only in their texts, and the cached answers to them."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import orjson
from pydantic import BaseModel

from emulator.dialects.base import Dialect
from emulator.encodings import EncodingName
from emulator.matching.rules import Answer
from emulator.providers.base import Provider
from emulator.reply import Choice, Usage
from emulator.request import Controls, HttpRequest, Message, ModelRequest
from emulator.state.blanks import BlankAnswer

MAX_SPENT = 256
"""The most token counts for which the usage and cost of an answer are cached."""
PATIENCE = 4
"""The most molds that are made of a form's requests before one of them is used."""
_WORDS = re.compile(rb'[^"\\\x00-\x1f]+')
"""A text that is the same in JSON, without escapes."""


@dataclass(slots=True, eq=False)
class Form:
    """A parsed request without its texts."""

    spoken: Dialect
    operation: str
    dialect: str
    """Its name in the provider's table of operations."""
    parameters: Mapping[str, str]
    model: str
    stream: bool
    controls: Controls
    key: str
    served: str
    """As in `ModelRequest`."""
    tokenizer: str
    encoding: EncodingName | None
    """The encoding for its tokens; None: that of `tokens` itself."""
    is_estimate: bool
    """Whether the token counts are estimates."""
    read_as: type[BaseModel] | None
    is_immediate: bool
    """Whether the answer is sent immediately, whatever the pace."""
    cached_from: float
    """The number of prompt tokens from which the provider looks a prompt up in its own cache."""
    patience: int = PATIENCE
    """How many more molds may be made."""


class UnreadRequest(ModelRequest):
    """A request of a known form. Its body is parsed only when it is read."""

    __slots__ = ("_native",)

    def __init__(self, http_request: HttpRequest, form: Form, messages: tuple[Message, ...], prompt: str) -> None:
        # Records are frozen for the type checker alone.
        self.http_request, self.messages, self.prompt = http_request, messages, prompt  # type: ignore[misc]
        self.model, self.stream, self.controls = form.model, form.stream, form.controls  # type: ignore[misc]
        self.key, self.served = form.key, form.served  # type: ignore[misc]
        self._native: Mapping[str, Any] | None = None

    @property
    def body(self) -> Mapping[str, Any]:
        """The native body as sent."""
        if self._native is None:
            self._native = orjson.loads(self.http_request.body)
        return self._native


@dataclass(slots=True, eq=False)
class CachedAnswer:
    """The answer of a rule to every request of a form."""

    answer: Answer
    blank: BlankAnswer
    usage: Usage
    """The usage without the prompt."""
    choices: tuple[Choice, ...] = ()
    """The choices for which other ids are made."""
    _spent: dict[int, tuple[Usage, Decimal]] = field(default_factory=dict)

    def usage_of(self, prompt: int) -> Usage:
        """Returns the usage of a request with this number of prompt tokens."""
        known = self.usage
        return Usage(
            prompt,
            known.completion,
            prompt + known.completion,
            known.reasoning,
            known.cached,
            known.cache_written,
            known.cache_written_1h,
        )

    def spent(self, prompt: int, provider: Provider, model: str, moment: float) -> tuple[Usage, Decimal]:
        """Returns the usage and the cost of a request with this number of prompt tokens, at this time."""
        found = self._spent.get(prompt)
        if found is not None and not provider.prices_move:
            return found
        usage = self.usage_of(prompt)
        if len(self._spent) >= MAX_SPENT:
            self._spent.clear()
        self._spent[prompt] = found = usage, provider.cost(usage, model, moment)
        return found


@dataclass(slots=True, eq=False)
class Mold:
    """A body of a form without its last text: any text can be put there, and the rest keeps its meaning."""

    form: Form
    before: bytes
    after: bytes
    messages: tuple[Message, ...]
    """The messages before the last."""
    tokens: int
    """The tokens of the prompt without the text that contains the last one."""
    lead: str
    tail: str
    """What precedes and follows the last text in that one."""

    def words_of(self, body: bytes) -> str | None:
        """Returns the last text of a body; None if the body differs otherwise, or the text is escaped."""
        before, after = len(self.before), len(body) - len(self.after)
        if not body.startswith(self.before) or not body.endswith(self.after):
            return None
        if _WORDS.fullmatch(body, before, after) is None:
            return None
        try:
            return body[before:after].decode()
        except UnicodeDecodeError:
            return None

    def filled(self, http_request: HttpRequest, words: str) -> ModelRequest:
        """Returns a request with this text."""
        form = self.form
        if not http_request.operation:
            http_request = http_request.routed(form.operation, form.dialect, form.parameters)
        return UnreadRequest(http_request, form, (*self.messages, Message("user", words)), words)
