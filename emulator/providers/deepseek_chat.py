"""DeepSeek's own dialect of chat completions: thinking, JSON mode, log probabilities, its words for every complaint.

Its resellers forward it, so their rooms subclass `DeepSeekDialect` too. The order of complaints is the one observed:
types first, then the prompt's shape, then ranges.
"""

import re
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar, Literal

from pydantic import Field

from emulator.providers.openai_chat import (
    ChatBody,
    ChatDialect,
    Many,
    MessageBody,
    ResponseFormat,
    Stop,
    StreamOptions,
    Strict,
    ToolBody,
    ToolChoice,
    read_stop,
    read_tool_choice,
    read_tools,
    text_of,
)
from emulator.providers.serde import Range, not_of_type, unknown_variant
from emulator.reply import Choice, Completion
from emulator.request import Controls, ModelRequest

MOST_TOKENS = 393_216
CONTEXT_LENGTH = 1_048_576
EFFORTS = {"minimal": "low", "medium": "high", "xhigh": "high"}
"""What an effort means where it is not what it says."""
USER_ID = re.compile(r"[A-Za-z0-9\-_]{0,512}")


class DeepSeekMessage(MessageBody):
    role: Literal["system", "user", "assistant", "tool", "latest_reminder"]


class Thinking(Strict):
    type: Literal["adaptive", "enabled", "disabled"] | None
    reasoning_effort: str | None = None


class DeepSeekBody(ChatBody):
    """Every member that DeepSeek reads. Null means the same as leaving it out."""

    messages: Many[DeepSeekMessage]
    thinking: Thinking | None = None
    reasoning_effort: str | None = None
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    response_format: ResponseFormat | None = None
    stop: Stop | None = None
    stream_options: StreamOptions | None = None
    temperature: float | None = None
    top_p: float | None = None
    tools: Many[ToolBody] | None = None
    tool_choice: ToolChoice | None = None
    logprobs: bool | None = None
    top_logprobs: int | None = None
    user_id: str | None = None
    frequency_penalty: Any = Field(default=None)
    presence_penalty: Any = Field(default=None)

    @property
    def limit(self) -> int | None:
        """The most tokens to generate, under either name."""
        return self.max_tokens if self.max_tokens is not None else self.max_completion_tokens

    @property
    def effort(self) -> str | None:
        """The effort that is asked for, in either place; the one at the top wins."""
        if self.reasoning_effort is not None:
            return self.reasoning_effort
        return self.thinking.reasoning_effort if self.thinking is not None else None


class DeepSeekDialect(ChatDialect):
    """Parses and renders what DeepSeek itself, and whoever forwards it, puts on the wire."""

    Body: ClassVar[type[ChatBody]] = DeepSeekBody
    ranges: ClassVar[tuple[Range, ...]] = (
        Range("temperature", 0, 2, "[0, 2]"),
        Range("top_p", 0, 1, "(0, 1.0]", excludes_low=True),
    )
    most_tokens: ClassVar[int] = MOST_TOKENS
    context_length: ClassVar[int] = CONTEXT_LENGTH
    thinking_default: ClassVar[bool] = True
    efforts: ClassVar[tuple[str, ...]] = ("none", "minimal", "low", "medium", "high", "xhigh", "max")

    def complaints(self, body: Any) -> Iterator[str | None]:
        yield self.complaint_of_variants(body)
        yield self.complaint_of_content(body.messages)
        yield self.complaint_of_json_mode(body)
        yield from super().complaints(body)
        if body.limit is not None and not 1 <= body.limit <= self.most_tokens:
            yield f"Invalid max_tokens value, the valid range of max_tokens is [1, {self.most_tokens}]"
        if body.top_logprobs is not None and not body.logprobs:
            yield ("Invalid top_logprobs and logprobs value, logprobs must be set to true if top_logprobs is used.")
        if body.top_logprobs is not None and not 0 <= body.top_logprobs <= 20:
            yield "Invalid top_logprobs value, the valid range of top_logprobs is [0, 20]."
        if body.stream_options is not None and not body.stream:
            yield "stream_options should be set along with stream = true"
        if isinstance(body.stop, list) and len(body.stop) > 16:
            yield "Invalid stop value, the valid range of the length of stop is [0, 16]"
        if body.user_id is not None and not USER_ID.fullmatch(body.user_id):
            yield "Invalid user_id value, user_id must match [a-zA-Z0-9\\-_] and be at most 512 characters long"
        if self.thinks(body) and read_tool_choice(body.tool_choice) not in ("auto", "none"):
            yield "Thinking mode does not support this tool_choice"
        if not body.messages:
            yield "Empty input messages"
        yield self.complaint_of_tool_results(body.messages)

    def complaint_of_variants(self, body: Any) -> str | None:
        """Words out of a fixed list, which a type of their own would refuse."""
        wanted = {"reasoning_effort": (body.effort, self.efforts)}
        if isinstance(body.tool_choice, str):
            wanted["tool_choice"] = (body.tool_choice, ("none", "auto", "required"))
        for name, (given, known) in wanted.items():
            if given is not None and given not in known:
                listed = " or ".join([", ".join(f"`{word}`" for word in known[:-1]), f"`{known[-1]}`"])
                return not_of_type(f"{name}: {unknown_variant(given, listed)}")
        return None

    def complaint_of_content(self, messages: Sequence[MessageBody]) -> str | None:
        """Only an assistant that calls tools may leave its content out."""
        for index, message in enumerate(messages):
            if message.content is None and not message.tool_calls:
                if message.role == "assistant":
                    return "Invalid assistant message: content or tool_calls must be set"
                if "content" in message.model_fields_set:
                    return not_of_type(f"messages[{index}].content: invalid type: null, expected a string")
                return not_of_type(f"messages[{index}]: missing field `content`")
        return None

    def complaint_of_tool_results(self, messages: Sequence[MessageBody]) -> str | None:
        """Every call of a tool has to be answered before the conversation goes on."""
        waiting: set[str | None] = set()
        for message in messages:
            if message.role == "tool":
                waiting.discard(message.tool_call_id)
                continue
            if waiting:
                break
            if message.role == "assistant":
                waiting = {call.id for call in message.tool_calls or ()}
        if not waiting:
            return None
        return (
            "An assistant message with 'tool_calls' must be followed by tool messages responding to each "
            "'tool_call_id'. (insufficient tool messages following tool_calls message)"
        )

    def complaint_of_json_mode(self, body: Any) -> str | None:
        kind = body.response_format.type if body.response_format is not None else "text"
        if kind == "json_object":
            if not any("json" in text_of(message.content).lower() for message in body.messages):
                return (
                    "Prompt must contain the word 'json' in some form to use 'response_format' of type 'json_object'."
                )
        elif kind != "text":
            return "This response_format type is unavailable now"
        return None

    def thinks(self, body: Any) -> bool:
        """Whether this request is answered in thinking mode."""
        mode = body.thinking.type if body.thinking is not None else None
        if mode is None:
            return self.thinking_default and body.effort != "none"
        return bool(mode != "disabled")

    def admit_length(self, request: ModelRequest, prompt: int) -> None:
        asked = request.controls.max_tokens or 0
        if prompt + asked > self.context_length:
            raise self.bad_request(
                f"This model's maximum context length is {self.context_length} tokens. However, you requested "
                f"{prompt + asked} tokens ({prompt} in the messages, {asked} in the completion). "
                "Please reduce the length of the messages or completion."
            )

    def controls(self, body: Any, stream: bool) -> Controls:
        kind: Any = body.response_format.type if body.response_format is not None else "text"
        format_schema = (body.response_format.json_schema or {}) if body.response_format is not None else {}
        thinking = self.thinks(body)
        return Controls(
            max_tokens=body.limit,
            stop=read_stop(body.stop),
            logprobs=bool(body.logprobs),
            top_logprobs=body.top_logprobs or 0,
            response_format=kind,
            schema=format_schema.get("schema"),
            tools=read_tools(body.tools),
            tool_choice=read_tool_choice(body.tool_choice),
            thinking=thinking,
            reasoning_effort=EFFORTS.get(body.effort, body.effort) if thinking else None,
            include_usage=bool(body.stream_options and body.stream_options.include_usage),
        )

    # Usage stands on the finish chunk; with `include_usage` every other chunk says null

    def chunk(
        self,
        completion: Completion,
        request: ModelRequest,
        choice: Choice,
        delta: dict[str, Any],
        *,
        finished: bool = False,
        is_last: bool = False,
        logprobs: dict[str, Any] | None = None,
    ) -> dict[str, Any]:
        chunk = self.bare_chunk(completion, choice, delta, finished, logprobs)
        if finished and is_last:
            chunk["usage"] = self.usage(completion)
        elif request.controls.include_usage:
            chunk["usage"] = None
        return chunk

    def bare_chunk(
        self,
        completion: Completion,
        choice: Choice,
        delta: dict[str, Any],
        finished: bool,
        logprobs: dict[str, Any] | None,
    ) -> dict[str, Any]:
        """One event without its usage: DeepSeek's order of keys."""
        return {
            "id": completion.id,
            "object": "chat.completion.chunk",
            "created": completion.created,
            "model": completion.model,
            "system_fingerprint": completion.system_fingerprint,
            "choices": [
                {
                    "index": choice.index,
                    "delta": delta,
                    "logprobs": logprobs,
                    "finish_reason": choice.finish_reason if finished else None,
                }
            ],
        }


DEEPSEEK_TEXTS = {
    "balance": "Insufficient Balance",
    "policy": "Content Exists Risk",
    "rate": "Rate Limit Reached",
    "busy": "Service is too busy. We advise users to temporarily switch to alternative LLM API service providers.",
}
