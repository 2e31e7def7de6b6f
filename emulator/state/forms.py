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
from emulator.pace import AT_ONCE, Pace
from emulator.providers.base import Limits, Provider
from emulator.records import record
from emulator.reply import Choice, Usage
from emulator.request import Controls, HttpRequest, Message, ModelRequest
from emulator.state.blanks import BlankAnswer

MAX_SPENT = 256
"""The most token counts for which the usage and cost of an answer are cached."""
PATIENCE = 4
"""The most molds that are made of a form's requests before one of them is used."""
_CONTROL = re.compile("[\x00-\x1f]")
"""The characters that JSON escapes, besides the quote and the backslash."""


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
    limits: Limits | None
    """The limits of the key."""
    patience: int = PATIENCE
    """How many more molds may be made."""
    last: tuple[Message, ...] = ()
    """The messages of the last request that was parsed."""
    fitting: set[int] = field(default_factory=set)
    """Numbers of prompt tokens that fit into the model's context, and that the provider accepts."""


class UnreadRequest(ModelRequest):
    """A request of a known form. Its body and its messages are made only when they are read."""

    __slots__ = ("_mold", "_native", "_words", "form", "tokens")

    def __init__(self, http_request: HttpRequest, mold: "Mold", words: str, count: int) -> None:
        self.form = form = mold.form
        # Records are frozen for the type checker alone.
        self.http_request = http_request  # type: ignore[misc]
        self.prompt = words if mold.prompt is None else mold.prompt  # type: ignore[misc]
        self.model, self.stream, self.controls = form.model, form.stream, form.controls  # type: ignore[misc]
        self.key, self.served = form.key, form.served  # type: ignore[misc]
        self.tokens = count
        """The number of its prompt tokens."""
        self._mold, self._words = mold, words
        self._native: Mapping[str, Any] | None = None

    @property
    def messages(self) -> tuple[Message, ...]:
        """The conversation."""
        before, after = self._mold.around
        return (*before, Message(self._mold.role, self._words), *after)

    @property
    def body(self) -> Mapping[str, Any]:
        """The native body as sent."""
        if self._native is None:
            self._native = orjson.loads(self.http_request.body)
        return self._native


@record
class Spent:
    """What an answer to a prompt of some length has used."""

    usage: Usage
    cost: Decimal
    numbers: tuple[bytes, ...]
    """The numbers in it that depend on the length of the prompt."""
    hour: int
    """The hour for which the cost is known; 0 if prices don't change."""
    tokens: int
    output: int
    """The tokens that count against the token limit, and those that count against the output limit."""


@dataclass(slots=True, eq=False)
class CachedAnswer:
    """The answer of a rule to every request of a form."""

    answer: Answer
    blank: BlankAnswer
    usage: Usage
    """The usage without the prompt."""
    choices: tuple[Choice, ...] = ()
    """The choices for which other ids are made."""
    paced_under: object = None
    """The server's options for which its pace is known."""
    pace: Pace = AT_ONCE
    """Its pace."""
    _spent: dict[int, Spent] = field(default_factory=dict)

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

    def spent(self, prompt: int, provider: Provider, model: str, moment: float) -> Spent:
        """Returns what a request with this number of prompt tokens uses at this time."""
        hour = int(moment) // 3600 if provider.prices_move else 0
        found = self._spent.get(prompt)
        if found is not None and found.hour == hour:
            return found
        usage = self.usage_of(prompt)
        if len(self._spent) >= MAX_SPENT:
            self._spent.clear()
        cost, counted = provider.cost(usage, model, moment), provider.counted(usage)
        self._spent[prompt] = found = Spent(usage, cost, self.blank.numbers_of(prompt), hour, *counted)
        return found


@dataclass(slots=True, eq=False)
class Mold:
    """A body of a form without one of its texts: any text can be put there, and the rest keeps its meaning."""

    form: Form
    before: bytes
    after: bytes
    around: tuple[tuple[Message, ...], tuple[Message, ...]]
    """The messages before and after the one with this text."""
    role: str
    prompt: str | None
    """The text of the user's last message; None: the one that is missing."""
    tokens: int
    """The tokens of the prompt without the text that contains this one."""
    lead: str
    tail: str
    """What precedes and follows it in that text."""

    def words_of(self, body: bytes) -> str | None:
        """Returns the text that a body has there; None if the body differs otherwise, or the text is escaped."""
        if not (body.startswith(self.before) and body.endswith(self.after)):
            return None
        try:
            words = body[len(self.before) : len(body) - len(self.after)].decode()
        except UnicodeDecodeError:
            return None
        if not words or '"' in words or "\\" in words or not (words.isprintable() or _CONTROL.search(words) is None):
            return None
        return words

    def filled(self, http_request: HttpRequest, words: str, count: int) -> UnreadRequest:
        """Returns a request with this text, and its number of prompt tokens."""
        form = self.form
        if not http_request.operation:
            http_request = http_request.routed(form.operation, form.dialect, form.parameters)
        return UnreadRequest(http_request, self, words, count)
