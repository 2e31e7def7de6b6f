"""DeepSeek's messages at `/anthropic`, for clients of Anthropic's API: its own models, errors and ids.

Requests and answers are public (api-docs.deepseek.com, create-message); docs/providers.md says what is inferred.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel

from emulator import tokens
from emulator.dialects.base import provider_error
from emulator.dialects.chat_input import Many
from emulator.dialects.messages import Messages
from emulator.dialects.messages_input import (
    MessagesBody,
    Thinking,
    TurnBody,
    read_tool_choice,
    read_tools,
    read_turns,
    wants_search,
)
from emulator.dialects.parameters import IGNORED, only
from emulator.dialects.serde import Range, first, not_of_type, unknown_variant
from emulator.providers.deepseek_reading import listed
from emulator.providers.deepseek_rules import complaint_of_tool_messages
from emulator.reply import Citation, Completion, Reply, Search, Text, Thought
from emulator.request import Controls, HttpRequest, Message, ModelRequest

if TYPE_CHECKING:
    from emulator.providers.deepseek import DeepSeek  # noqa: F401  # a type argument below


BLOCKS = (
    "text",
    "image",
    "thinking",
    "tool_use",
    "tool_result",
    "server_tool_use",
    "web_search_tool_result",
)
"""The accepted types of blocks."""
RANGES = (Range("temperature", 0, 2, "[0, 2]"), Range("top_p", 0, 1, "(0, 1.0]", excludes_low=True))
OPUS = "claude-opus"
CLAUDE = "claude"
LONG = "[1m]"
"""The suffix of a model name that requests the long context."""


class DeepSeekThinking(Thinking):
    type: Literal["adaptive", "enabled", "disabled"]


class DeepSeekTurn(TurnBody):
    role: Literal["user", "assistant", "system"]


class DeepSeekMessagesBody(MessagesBody):
    messages: Many[DeepSeekTurn]  # type: ignore[assignment]  # the roles that DeepSeek takes
    thinking: DeepSeekThinking | None = None
    container: Annotated[Any, IGNORED] = None
    mcp_servers: Annotated[Any, IGNORED] = None
    metadata: Annotated[Any, IGNORED] = None
    service_tier: Annotated[Any, IGNORED] = None
    top_k: Annotated[Any, IGNORED] = None


class CountBody(DeepSeekMessagesBody):
    """Counting requires no `max_tokens`."""

    max_tokens: int = 1


COUNTED = only(CountBody, "messages", "system", "tools", "tool_choice", "thinking", "output_config")


class DeepSeekMessages(Messages["DeepSeek"]):
    """`POST /anthropic/v1/messages`"""

    weighs_words = False
    wants_reasoning_back = True
    ignores_as_documented = True
    Body = DeepSeekMessagesBody

    def body_of(self, operation: str) -> type[BaseModel]:
        return COUNTED if operation == "count_tokens" else self.Body

    def key_of(self, headers: Mapping[str, str]) -> str:
        key = headers.get("x-api-key")
        return key if key and "authorization" not in headers else super().key_of(headers)

    # Requests

    def parse(self, http_request: HttpRequest, key: str) -> ModelRequest:
        vendor = self.provider
        is_counted = http_request.operation == "count_tokens"
        if is_counted and not vendor.settings.count_tokens:
            raise provider_error("not_found")
        vendor.need_json(http_request)
        body, native = vendor.read(http_request, CountBody if is_counted else DeepSeekMessagesBody)
        messages = read_turns(body.system, body.messages)
        complaint = first(self.validation_errors(body, messages))
        if complaint is not None:
            raise vendor.bad_request(complaint)
        controls = self.controls(body)
        return ModelRequest(http_request, self.model_of(body), messages, bool(body.stream), controls, key, native)

    def model_of(self, body: DeepSeekMessagesBody) -> str:
        """Returns the model that serves a name: DeepSeek also accepts the names of another vendor's models."""
        name = body.model.removesuffix(LONG)
        vendor = self.provider
        if name.startswith(OPUS):
            return vendor.served_model("deepseek-v4-pro")
        if name.startswith(CLAUDE) or (not vendor.profile.refuses_unknown_names and vendor.complaint_of_model(name)):
            return vendor.profile.flash.id
        return vendor.served_model(name)

    def validation_errors(self, body: DeepSeekMessagesBody, messages: tuple[Message, ...]) -> Iterator[str | None]:
        yield self.complaint_of_blocks(body)
        if not body.model.startswith(CLAUDE):
            yield self.provider.complaint_of_model(self.model_of(body))
        for limits in RANGES:
            yield limits.complaint(body)
        most = self.provider.most_tokens
        if not 1 <= body.max_tokens <= most:
            yield f"Invalid max_tokens value, the valid range of max_tokens is [1, {most}]"
        if not body.messages:
            yield "Empty input messages"
        efforts = self.provider.efforts
        effort = body.output_config.effort if body.output_config is not None else None
        if effort is not None and effort not in efforts:
            yield not_of_type(f"output_config.effort: {unknown_variant(effort, listed(efforts))}")
        if any(message.images for message in messages) and not self.provider.sees_images(self.model_of(body)):
            yield "This model does not support image"
        yield complaint_of_tool_messages(messages)
        if self.thinks(body) and any(
            message.role == "assistant" and message.tool_calls and message.reasoning is None for message in messages
        ):
            yield "The `content[].thinking` in the thinking mode must be passed back to the API."

    def complaint_of_blocks(self, body: DeepSeekMessagesBody) -> str | None:
        for number, turn in enumerate(body.messages):
            for place, block in enumerate(turn.content if isinstance(turn.content, list) else ()):
                if block.type not in BLOCKS:
                    variants = unknown_variant(block.type, listed(BLOCKS))
                    return not_of_type(f"messages[{number}].content[{place}].type: {variants}")
        return None

    def thinks(self, body: DeepSeekMessagesBody) -> bool:
        """Whether the model thinks about this request."""
        if body.thinking is None:
            return self.provider.thinking_default
        return body.thinking.type != "disabled"

    def controls(self, body: DeepSeekMessagesBody) -> Controls:
        thinking = self.thinks(body)
        effort = body.output_config.effort if body.output_config is not None else None
        return Controls(
            max_tokens=body.max_tokens,
            stop=tuple([text for text in body.stop_sequences or () if text]),
            tools=read_tools(body.tools),
            tool_choice=read_tool_choice(body.tool_choice),
            thinking=thinking,
            reasoning_effort=self.provider.effort_of(effort, self.model_of(body)) if thinking else None,
            searches=wants_search(body.tools),
        )

    # The answer

    def adapt(self, reply: Reply, request: ModelRequest) -> Reply:
        return with_search(self.provider.adapt(reply, request), request)

    def make_id(self, entropy: bytes) -> str:
        return self.provider.make_id(entropy)

    def signature(self, thought: Thought, completion: Completion) -> str | None:
        match self.provider.settings.signature:
            case "omit":
                return None
            case "empty":
                return thought.signature or ""
            case _:
                return thought.signature or completion.id

    def result(self, request: ModelRequest) -> Any:
        fixed, texts = self.provider.prompt_texts(request)
        return {"input_tokens": fixed + sum(map(tokens.count, texts))}


def with_search(reply: Reply, request: ModelRequest) -> Reply:
    """Moves the sources of a reply into a search block, if the request allows a search."""
    if not request.controls.searches or not reply.sources or reply.blocks:
        return reply
    thought = (Thought(reply.reasoning),) if reply.reasoning is not None else ()
    found = reply.sources
    cited = tuple([Citation(each.url, cited_text=each.summary or "") for each in found if each.error is None])
    text = (Text(reply.content, cited),) if reply.content else ()
    search = Search(request.prompt[:200], found)
    return replace(reply, blocks=(*thought, search, *text, *reply.tool_calls))
