"""The request body of DeepSeek's chat completions."""

from typing import Annotated, Any, Literal

from pydantic import Discriminator, Tag
from typing_extensions import TypeVar  # Python's own has defaults from 3.13 on

from emulator.dialects.chat_input import (
    ChatBody,
    ContentPart,
    Many,
    MessageBody,
    ResponseFormat,
    Stop,
    StreamOptions,
    Strict,
    ToolBody,
    ToolChoice,
    text_or_list,
)
from emulator.dialects.parameters import SAMPLING, ignored


class DeepSeekPart(ContentPart):
    """One part of a message's content. Images are parsed in order to reject them."""

    type: Literal["text", "image_url"]


class DeepSeekMessage(MessageBody):
    role: Literal["system", "user", "assistant", "tool", "latest_reminder"]
    content: (
        Annotated[
            Annotated[str, Tag("<text>")] | Annotated[Many[DeepSeekPart], Tag("<list>")], Discriminator(text_or_list)
        ]
        | None
    ) = None  # type: ignore[assignment]  # the parts that DeepSeek knows


class Thinking(Strict):
    type: Literal["adaptive", "enabled", "disabled"] | None
    reasoning_effort: str | None = None


class DeepSeekBody(ChatBody):
    """Every member that DeepSeek reads. Null means the same as a missing member."""

    messages: Many[DeepSeekMessage]
    thinking: Thinking | None = None
    reasoning_effort: str | None = None
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    response_format: ResponseFormat | None = None
    stop: Stop | None = None
    stream_options: StreamOptions | None = None
    temperature: Annotated[float | None, SAMPLING] = None
    top_p: Annotated[float | None, SAMPLING] = None
    tools: Many[ToolBody] | None = None
    tool_choice: ToolChoice | None = None
    logprobs: bool | None = None
    top_logprobs: int | None = None
    user_id: Annotated[str | None, ignored("its format is checked")] = None
    frequency_penalty: Annotated[Any, SAMPLING] = None
    presence_penalty: Annotated[Any, SAMPLING] = None

    @property
    def limit(self) -> int | None:
        """The maximum number of tokens to generate, under either name."""
        return self.max_tokens if self.max_tokens is not None else self.max_completion_tokens

    @property
    def effort(self) -> str | None:
        """The requested effort from either place; the top-level one takes precedence."""
        if self.reasoning_effort is not None:
            return self.reasoning_effort
        return self.thinking.reasoning_effort if self.thinking is not None else None


DeepSeekBodyT = TypeVar("DeepSeekBodyT", bound=DeepSeekBody, default=DeepSeekBody)
"""The request body of DeepSeek or one of its resellers."""
