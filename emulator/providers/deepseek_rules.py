"""What DeepSeek rejects in a chat whose types are right, in its own order: ranges, then the conversation."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import ClassVar, Generic, Literal, Protocol

from emulator.dialects.chat_input import MessageBody, ResponseFormat, read_tool_choice, text_of
from emulator.providers.base import SettingsT_co
from emulator.providers.deepseek_input import DeepSeekBodyT
from emulator.providers.deepseek_reading import DeepSeekReading
from emulator.request import Message

MAX_TOKENS = 393_216
NO_IMAGES = "This model does not support image"
EFFORTS = {"minimal": "low", "medium": "high", "xhigh": "high"}
"""The efforts that mean something else."""
USER_ID = re.compile(r"[A-Za-z0-9\-_]{0,512}")


class NamesModel(Protocol):
    """A body that names a model."""

    @property
    def model(self) -> str: ...


class AsksForLogprobs(Protocol):
    """A body with options for log probabilities."""

    @property
    def logprobs(self) -> bool | None: ...
    @property
    def top_logprobs(self) -> int | None: ...


class AsksForFormat(Protocol):
    """A body with a response format."""

    @property
    def messages(self) -> Sequence[MessageBody] | None: ...
    @property
    def response_format(self) -> ResponseFormat | None: ...


class DeepSeekRules(DeepSeekReading[SettingsT_co, DeepSeekBodyT], Generic[SettingsT_co, DeepSeekBodyT]):
    """Validates a parsed body."""

    most_tokens: ClassVar[int] = MAX_TOKENS
    thinking_default: bool = True
    effort_mapping: ClassVar[Mapping[str, str]] = EFFORTS
    json_schema: Literal["accept", "refuse"] = "accept"
    """DeepSeek rejects a schema today. It is accepted because SDK helpers send nothing else."""

    def validation_errors(self, body: DeepSeekBodyT) -> Iterator[str | None]:
        yield self.complaint_of_format(body)
        yield from super().validation_errors(body)
        most = self.most_tokens_of(body)
        if body.limit is not None and not 1 <= body.limit <= most:
            yield f"Invalid max_tokens value, the valid range of max_tokens is [1, {most}]"
        yield from complaints_of_logprobs(body)
        if body.stream_options is not None and not body.stream:
            yield "stream_options should be set along with stream = true"
        if isinstance(body.stop, list) and len(body.stop) > 16:
            yield "Invalid stop value, the valid range of the length of stop is [0, 16]"
        if body.user_id is not None and not USER_ID.fullmatch(body.user_id):
            yield "Invalid user_id value, user_id must match [a-zA-Z0-9\\-_] and be at most 512 characters long"
        if self.thinks(body) and read_tool_choice(body.tool_choice) not in ("auto", "none"):
            yield "Thinking mode does not support this tool_choice"
        yield from self.complaints_of_conversation(body)

    def complaint_of_format(self, body: DeepSeekBodyT) -> str | None:
        return complaint_of_format(body, accepts_schema=self.json_schema == "accept")

    def complaints_of_conversation(self, body: DeepSeekBodyT) -> Iterator[str | None]:
        """Yields the problems of the messages and their order."""
        if not body.messages:
            yield "Empty input messages"
        for message in body.messages:
            if message.role == "assistant" and message.content is None and not message.tool_calls:
                yield "Invalid assistant message: content or tool_calls must be set"
        yield from self.complaints_of_images(body)
        yield complaint_of_tool_messages(body.messages)
        if self.thinks(body) and any(
            message.role == "assistant" and message.tool_calls and message.reasoning_content is None
            for message in body.messages
        ):
            yield "The `reasoning_content` in the thinking mode must be passed back to the API."

    def complaints_of_images(self, body: DeepSeekBodyT) -> Iterable[str]:
        """Returns the problems of images, where the type of a message allows any."""
        return ()

    def effort_of(self, effort: str | None, model: str) -> str | None:
        """Returns what an effort means to a model."""
        return None if effort is None else self.effort_mapping.get(effort, effort)

    def most_tokens_of(self, body: NamesModel) -> int:
        """Returns the highest `max_tokens` of the requested model."""
        return self.most_tokens

    def thinks(self, body: DeepSeekBodyT) -> bool:
        """Whether the model thinks about this request."""
        mode = body.thinking.type if body.thinking is not None else None
        if mode is None:
            return self.thinking_default and body.effort != "none"
        return mode != "disabled"


def complaint_of_format(body: AsksForFormat, *, accepts_schema: bool) -> str | None:
    """Returns what is wrong with the requested format; None if nothing is."""
    kind = body.response_format.type if body.response_format is not None else "text"
    if kind == "json_object":
        if not any("json" in text_of(message.content).lower() for message in body.messages or ()):
            return "Prompt must contain the word 'json' in some form to use 'response_format' of type 'json_object'."
    elif kind != "text" and not (kind == "json_schema" and accepts_schema):
        return "This response_format type is unavailable now"
    return None


def complaints_of_logprobs(body: AsksForLogprobs) -> Iterator[str]:
    """Yields the problems of the options for log probabilities."""
    if body.top_logprobs is not None and not body.logprobs:
        yield "Invalid top_logprobs and logprobs value, logprobs must be set to true if top_logprobs is used."
    if body.top_logprobs is not None and not 0 <= body.top_logprobs <= 20:
        yield "Invalid top_logprobs value, the valid range of top_logprobs is [0, 20]."


def complaint_of_tool_messages(messages: Sequence[MessageBody | Message]) -> str | None:
    """Returns what is wrong with the first tool call without a result, or result without a call; None if all match."""
    is_open = False
    waiting: set[str | None] = set()
    for message in messages:
        if message.role == "tool":
            if not is_open:
                return "Messages with role 'tool' must be a response to a preceding message with 'tool_calls'"
            waiting.discard(message.tool_call_id)
            continue
        if waiting:
            break
        is_open = message.role == "assistant" and bool(message.tool_calls)
        waiting = {call.id for call in message.tool_calls or ()} if is_open else set()
    if not waiting:
        return None
    return (
        "An assistant message with 'tool_calls' must be followed by tool messages responding to each "
        "'tool_call_id'. (insufficient tool messages following tool_calls message)"
    )
