"""What is remembered of requests of one form, which differ in their words alone, and of the answers to them."""

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
"""The most counts of tokens whose usage and cost are remembered for an answer."""
PATIENCE = 4
"""How many moulds may be made of a form's requests before one is of use."""
_WORDS = re.compile(rb'[^"\\\x00-\x1f]+')
"""A text that stands in JSON as it is."""


@dataclass(slots=True, eq=False)
class Form:
    """What a provider has made of all of a request but its words."""

    spoken: Dialect
    operation: str
    dialect: str
    """The name under which the endpoint speaks it."""
    parameters: Mapping[str, str]
    model: str
    stream: bool
    controls: Controls
    key: str
    served: str
    """As in `ModelRequest`."""
    tokenizer: str
    encoding: EncodingName | None
    """What its answers are counted and cut by; None: the tokens of `tokens` itself."""
    is_estimate: bool
    """Whether the model counts in another way."""
    read_as: type[BaseModel] | None
    is_immediate: bool
    """Whether the answer is sent at once, whatever the pace."""
    cached_from: float
    """Prompts of so many tokens are looked up in the provider's own cache."""
    patience: int = PATIENCE
    """How many more may be made."""


class UnreadRequest(ModelRequest):
    """A request of a form whose words are known: its body is read for those who look at it."""

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
    """What a rule answers to every request of a form."""

    answer: Answer
    blank: BlankAnswer
    usage: Usage
    """With no prompt."""
    choices: tuple[Choice, ...] = ()
    """What further ids are made for."""
    _spent: dict[int, tuple[Usage, Decimal]] = field(default_factory=dict)

    def usage_of(self, prompt: int) -> Usage:
        """The usage of a request with so many tokens."""
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
        """The usage and the cost of a request with so many tokens at this moment."""
        found = self._spent.get(prompt)
        if found is not None and not provider.prices_move:
            return found
        usage = self.usage_of(prompt)
        if len(self._spent) >= MAX_SPENT:
            self._spent.clear()
        self._spent[prompt] = found = usage, provider.cost(usage, model, moment)
        return found


@dataclass(slots=True, eq=False)
class Mould:
    """A body of a form but for its last text: whatever words are put there, the rest means the same."""

    form: Form
    before: bytes
    after: bytes
    messages: tuple[Message, ...]
    """Those before the last."""
    tokens: int
    """Those of the prompt without the text into which the words go."""
    lead: str
    tail: str
    """What stands around the words in that text."""

    def words_of(self, body: bytes) -> str | None:
        """The words of a body that fits."""
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
        """A request with these words."""
        form = self.form
        if not http_request.operation:
            http_request = http_request.routed(form.operation, form.dialect, form.parameters)
        return UnreadRequest(http_request, form, (*self.messages, Message("user", words)), words)
