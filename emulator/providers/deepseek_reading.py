"""How DeepSeek parses a body, and where it stops at a value of the wrong type: as serde in Rust does."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, ClassVar, Generic

import orjson
from pydantic import ValidationError
from pydantic_core import ErrorDetails

from emulator import large
from emulator.dialects.chat_input import BodyType
from emulator.dialects.serde import not_json, not_of_type, place, serde, unknown_variant
from emulator.providers.base import SettingsT_co
from emulator.providers.deepseek_input import DeepSeekBody, DeepSeekBodyT
from emulator.providers.openai_chat import ChatDialect
from emulator.providers.serde_json import Malformed, Path, Span, after_item, position, spans
from emulator.records import record
from emulator.request import HttpRequest

TOOL_CHOICES = ("none", "auto", "required")


def listed(words: Sequence[str]) -> str:
    """Formats names as "`a`, `b` or `c`"."""
    return " or ".join([", ".join(f"`{word}`" for word in words[:-1]), f"`{words[-1]}`"])


@record
class Misfit:
    """A part of a body that has the wrong type or value."""

    text: str
    path: Path
    """The path of the value or, if a field is missing, of its map."""
    is_untaken: bool = False
    """Whether it is a list or map where neither is allowed: the parser stops before it."""


class DeepSeekReading(ChatDialect[SettingsT_co, DeepSeekBodyT], Generic[SettingsT_co, DeepSeekBodyT]):
    """Parses bodies, and makes the errors for invalid ones."""

    Body: type[DeepSeekBodyT] = DeepSeekBody  # type: ignore[assignment]  # right where a subclass names no other
    tells_position: ClassVar[bool] = False
    """Whether errors contain line and column. DeepSeek counts in the body it receives, and a reseller's differs."""
    efforts: tuple[str, ...] = ("none", "minimal", "low", "medium", "high", "xhigh", "max")

    def read(self, http_request: HttpRequest, model: type[BodyType]) -> tuple[BodyType, Mapping[str, Any]]:
        try:
            native = large.loads(http_request.body)
        except orjson.JSONDecodeError as error:
            raise self.unreadable(http_request.body, error) from None
        try:
            body = model.model_validate(native)
        except ValidationError as error:
            raise self.misfitting(
                http_request.body, [misfit_of(each) for each in error.errors(include_url=False)]
            ) from None
        misfits = [*self.misfits(body)] if isinstance(body, DeepSeekBody) else []
        if misfits:
            raise self.misfitting(http_request.body, misfits)
        return body, native

    def unreadable(self, data: bytes, error: orjson.JSONDecodeError) -> Exception:
        """Returns the error for a body that is not JSON, with the position where serde_json stops."""
        try:
            spans(data, ())
        except Malformed as malformed:
            where = "?" if malformed.path[-1:] == (None,) else ""
            path = place([*[item for item in malformed.path if item is not None], *where])
            detail = f"{malformed.reason} at {position(data, malformed.index)}"
            return self.not_fitting(not_json(f"{path}: {detail}" if path.strip("?") else detail))
        return self.not_json(error)

    def misfitting(self, data: bytes, misfits: Sequence[Misfit]) -> Exception:
        """Returns the error for the first misfit in the order of the body."""
        try:
            found = spans(data, {part for misfit in misfits for part in (misfit.path, misfit.path[:2])})
        except Malformed:  # nested deeper than serde_json goes
            found = {}
        first = min(misfits, key=lambda misfit: stop(misfit, data, found))
        where = f" at {position(data, stop(first, data, found))}" if self.tells_position else ""
        return self.not_fitting(not_of_type(first.text + where))

    def not_fitting(self, message: str) -> Exception:
        """Returns the error for a body that can't be parsed."""
        return self.bad_request(message)

    def misfits(self, body: DeepSeekBody) -> Iterator[Misfit]:
        """Yields the misfits that the body's types do not cover."""
        for index, message in enumerate(body.messages):
            at: Path = ("messages", index)
            if message.role == "tool" and message.tool_call_id is None:
                yield Misfit(f"{place(at)}: missing field `tool_call_id`", (*at, "tool_call_id"))
            if message.content is None and message.role != "assistant":
                is_null = "content" in message.model_fields_set
                reason = "invalid type: null, expected a string" if is_null else "missing field `content`"
                yield Misfit(f"{place(at)}: {reason}", (*at, "content"))
        if body.effort is not None and body.effort not in self.efforts:
            path: Path = ("reasoning_effort",)
            if body.reasoning_effort is None:
                path = ("thinking", "reasoning_effort")
            yield Misfit(f"reasoning_effort: {unknown_variant(body.effort, listed(self.efforts))}", path)
        if isinstance(body.tool_choice, str) and body.tool_choice not in TOOL_CHOICES:
            variants = unknown_variant(body.tool_choice, listed(TOOL_CHOICES))
            yield Misfit(f"tool_choice: {variants}", ("tool_choice",))


def misfit_of(error: ErrorDetails) -> Misfit:
    """Converts a validation error."""
    path = tuple([item for item in error["loc"] if not (isinstance(item, str) and item.startswith("<"))])
    if error["type"] == "missing" and not is_inside_message(path):
        path = path[:-1]  # reported where its map ends
    is_untaken = isinstance(error["input"], list | dict) and error["type"] != "missing"
    return Misfit(serde(error, place_in_message), path, is_untaken)


def place_in_message(loc: Iterable[str | int]) -> str:
    """Writes a path as DeepSeek does: only up to the message, since serde buffers each message before it reads it by
    role, and then no longer knows the path.
    """
    path = tuple(loc)
    return place(path[:2] if is_inside_message(path) else path)


def is_inside_message(path: Sequence[str | int]) -> bool:
    """Whether a path leads into a message, to anything but its role."""
    return len(path) > 2 and path[0] == "messages" and path[2] != "role"


def stop(misfit: Misfit, data: bytes, found: Mapping[Path, Span]) -> int:
    """Returns the number of bytes that serde has consumed at the error; all of them if that is unknown."""
    if is_inside_message(misfit.path):
        message = found.get(misfit.path[:2])
        return after_item(data, message.end) if message is not None else len(data)
    span = found.get(misfit.path)
    if span is None:
        return len(data)
    return span.start if misfit.is_untaken else span.end
