"""DeepSeek's responses: nothing is stored, thoughts are plain text, one custom tool, errors end the stream.

Requests and events are public (api-docs.deepseek.com, guides/responses_api); docs/providers.md says what is inferred.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Discriminator, Tag

from emulator.dialects.chat_input import Many, text_or_list
from emulator.dialects.parameters import IGNORED
from emulator.dialects.responses import Json, Responses
from emulator.dialects.responses_input import (
    ItemBody,
    ResponsesBody,
    as_custom,
    images_in,
    parts_of,
    read_format,
    read_input,
    read_tool_choice,
    read_tools,
    wants_search,
)
from emulator.dialects.serde import Range, first, not_of_type, unknown_variant
from emulator.providers.deepseek_messages import with_search
from emulator.providers.deepseek_reading import TOOL_CHOICES, listed
from emulator.providers.deepseek_rules import USER_ID, complaint_of_tool_messages
from emulator.reply import Block, Completion, Reply, Text
from emulator.request import Controls, HttpRequest, Message, ModelRequest

if TYPE_CHECKING:
    from emulator.providers.deepseek import DeepSeek  # noqa: F401  # a type argument below


RANGES = (
    Range("temperature", 0, 2, "[0, 2]"),
    Range("top_p", 0, 1, "(0, 1.0]", excludes_low=True),
    Range("top_logprobs", 0, 20, "[0, 20]"),
)
FORMATS = ("text", "json_object", "json_schema")
ITEMS = (
    "message", "function_call", "function_call_output", "reasoning", "web_search_call", "custom_tool_call",
    "custom_tool_call_output",
)  # fmt: skip
"""The types of items that are read; others are ignored."""
FREE_TOOL = "apply_patch"
"""The only tool that takes any text."""
FUNCTION_NAME = re.compile(r"[a-zA-Z0-9_-]{1,128}")
UNSEEN = "[Image]"
"""The text that replaces an image for a model that accepts none."""
FIXED: Json = {"parallel_tool_calls": True, "previous_response_id": None}


class DeepSeekItem(ItemBody):
    role: Literal["user", "assistant", "system", "developer"] | None = None


def _known(value: Any) -> Any:
    """Reads an item; of an ignored item, only its type, so the rest of it may have any form."""
    kind = value.get("type") if isinstance(value, Mapping) else None
    return {"type": kind} if isinstance(kind, str) and kind not in ITEMS else value


DeepSeekInput = Annotated[
    Annotated[str, Tag("<text>")] | Annotated[Many[Annotated[DeepSeekItem, BeforeValidator(_known)]], Tag("<list>")],
    Discriminator(text_or_list),
]


class DeepSeekResponsesBody(ResponsesBody):
    input: DeepSeekInput | None = None  # type: ignore[assignment]  # the items that DeepSeek knows
    parallel_tool_calls: Annotated[Any, IGNORED] = None
    max_tool_calls: Annotated[Any, IGNORED] = None
    previous_response_id: Annotated[Any, IGNORED] = None
    conversation: Annotated[Any, IGNORED] = None
    store: Annotated[Any, IGNORED] = None
    background: Annotated[Any, IGNORED] = None
    metadata: Annotated[Any, IGNORED] = None
    include: Annotated[Any, IGNORED] = None
    prompt: Annotated[Any, IGNORED] = None
    truncation: Annotated[Any, IGNORED] = None
    service_tier: Annotated[Any, IGNORED] = None
    safety_identifier: Annotated[Any, IGNORED] = None
    prompt_cache_key: Annotated[Any, IGNORED] = None
    prompt_cache_retention: Annotated[Any, IGNORED] = None
    context_management: Annotated[Any, IGNORED] = None
    stream_options: Annotated[Any, IGNORED] = None


class DeepSeekResponses(Responses["DeepSeek"]):
    """`POST /responses`"""

    weighs_words = False
    wants_reasoning_back = True
    ignores_as_documented = True
    Body = DeepSeekResponsesBody
    fails_as_a_whole: ClassVar[bool] = True

    # Requests

    def parse(self, http_request: HttpRequest, key: str) -> ModelRequest:
        vendor = self.provider
        vendor.need_json(http_request)
        body, native = vendor.read(http_request, DeepSeekResponsesBody)
        messages = read_input(body, "user")
        complaint = first(self.validation_errors(body, messages))
        if complaint is not None:
            raise vendor.bad_request(complaint)
        if not vendor.sees_images(body.model):
            messages = tuple([without_images(message) for message in messages])
        return ModelRequest(
            http_request,
            body.model,
            messages,
            bool(body.stream),
            self.controls(body),
            key,
            native,
            vendor.served_model(body.model),
        )

    def validation_errors(self, body: ResponsesBody, messages: tuple[Message, ...]) -> Iterator[str | None]:
        vendor = self.provider
        yield vendor.complaint_of_model(body.model, for_responses=True)
        if body.input is None and body.instructions is None:
            yield "At least one of input and instructions must be provided"
        if not messages:
            yield "Empty input messages"
        yield complaint_of_format(body, messages)
        for limits in RANGES:
            yield limits.complaint(body)
        most = vendor.most_tokens_of(body)
        if body.max_output_tokens is not None and not 1 <= body.max_output_tokens <= most:
            yield f"Invalid max_output_tokens value, the valid range of max_output_tokens is [1, {most}]"
        effort = body.reasoning.effort if body.reasoning is not None else None
        if effort is not None and effort not in vendor.efforts:
            yield not_of_type(f"reasoning.effort: {unknown_variant(effort, listed(vendor.efforts))}")
        if body.user is not None and not USER_ID.fullmatch(body.user):
            yield "Invalid user value, user must match [a-zA-Z0-9\\-_] and be at most 512 characters long"
        yield from complaints_of_tools(body)
        if self.thinks(body) and read_tool_choice(body.tool_choice) not in ("auto", "none"):
            yield "Thinking mode does not support this tool_choice"
        yield from complaints_of_images(body)
        yield complaint_of_tool_messages(messages)
        if self.thinks(body) and any(
            message.role == "assistant" and message.tool_calls and message.reasoning is None for message in messages
        ):
            yield "The `reasoning_text` in the thinking mode must be passed back to the API."

    def thinks(self, body: ResponsesBody) -> bool:
        """Whether the model thinks about this request."""
        if body.reasoning is None or body.reasoning.effort is None:
            return self.provider.thinking_default
        return body.reasoning.effort != "none"

    def controls(self, body: ResponsesBody) -> Controls:
        thinking = self.thinks(body)
        effort = body.reasoning.effort if body.reasoning is not None else None
        form, schema = read_format(body.format)
        return Controls(
            max_tokens=body.max_output_tokens,
            logprobs=body.top_logprobs is not None,
            top_logprobs=body.top_logprobs or 0,
            response_format=form,
            schema=schema,
            tools=read_tools(body.tools),
            tool_choice=read_tool_choice(body.tool_choice),
            thinking=thinking,
            reasoning_effort=self.provider.effort_of(effort, body.model) if thinking else None,
            searches=wants_search(body.tools),
        )

    # The answer

    def adapt(self, reply: Reply, request: ModelRequest) -> Reply:
        adapted = with_search(self.provider.adapt(reply, request), request)
        tools = request.body.get("tools") or ()
        if adapted.blocks or not adapted.tool_calls:
            return adapted
        return replace(adapted, tool_calls=as_custom(adapted.tool_calls, tools))

    @property
    def shows_thought_parts(self) -> bool:
        return self.provider.settings.reasoning_parts

    def opened_item(self, block: Block, index: int, completion: Completion) -> Json:
        item = super().opened_item(block, index, completion)
        phase = self.provider.settings.phase
        return {**item, "phase": phase} if isinstance(block, Text) and phase != "omit" else item

    def echo(self, request: ModelRequest) -> Json:
        asked = request.body
        reasoning = asked.get("reasoning") or {}
        text = asked.get("text") or {}
        return {
            "instructions": asked.get("instructions"),
            "max_output_tokens": asked.get("max_output_tokens"),
            "max_tool_calls": None,
            **FIXED,
            "prompt_cache_key": None,
            "reasoning": {
                "effort": (request.controls.reasoning_effort or "high") if request.controls.thinking else "none",
                "summary": reasoning.get("summary"),
            },
            "safety_identifier": None,
            "service_tier": "default",
            "store": False,
            "temperature": given(asked.get("temperature"), 1.0),
            "text": {"format": text.get("format") or {"type": "text"}, "verbosity": text.get("verbosity") or "medium"},
            "tool_choice": given(asked.get("tool_choice"), "auto"),
            "tools": asked.get("tools") or [],
            "top_logprobs": asked.get("top_logprobs") or 0,
            "top_p": given(asked.get("top_p"), 1.0),
            "truncation": "disabled",
            "user": asked.get("user"),
            "metadata": {},
        }


def without_images(message: Message) -> Message:
    """Returns a message for a model that accepts no images: a text replaces each of them."""
    if not message.images:
        return message
    return replace(message, content=message.content + UNSEEN * message.images, images=0)


def given(value: Any, default: Any) -> Any:
    """Returns a value, or a default for None."""
    return default if value is None else value


def complaint_of_format(body: ResponsesBody, messages: tuple[Message, ...]) -> str | None:
    """Returns what is wrong with the requested format; None if nothing is."""
    kind = body.format.get("type")
    if kind not in FORMATS:
        return not_of_type(f"text.format.type: {unknown_variant(str(kind), listed(FORMATS))}")
    if kind == "json_object" and not any("json" in message.content.lower() for message in messages):
        return "Prompt must contain the word 'json' in some form to use 'text.format' of type 'json_object'."
    if kind == "json_schema" and not isinstance(body.format.get("schema"), dict):
        return not_of_type("text.format: missing field `schema`")
    return None


def complaints_of_tools(body: ResponsesBody) -> Iterator[str | None]:
    """Yields the problems of the tools and the tool choice."""
    names: set[str] = set()
    for number, tool in enumerate(body.tools or ()):
        if tool.type not in ("function", "custom"):
            continue
        if tool.name is None:
            yield not_of_type(f"tools[{number}]: missing field `name`")
        elif tool.type == "custom" and tool.name != FREE_TOOL:
            yield f"Custom tool '{tool.name}' is not supported, the only custom tool is '{FREE_TOOL}'"
        elif not FUNCTION_NAME.fullmatch(tool.name):
            yield f"Invalid tools[{number}].name: it must match [a-zA-Z0-9_-] and be at most 128 characters long"
        elif tool.name in names:
            yield f"Duplicate tool name '{tool.name}'"
        names.add(tool.name or "")
    if isinstance(body.tool_choice, str) and body.tool_choice not in TOOL_CHOICES:
        yield not_of_type(f"tool_choice: {unknown_variant(body.tool_choice, listed(TOOL_CHOICES))}")


def complaints_of_images(body: ResponsesBody) -> Iterator[str | None]:
    """Yields the problems of images: where they are not allowed, and what is missing."""
    for item in body.items:
        if item.role in ("system", "assistant") and images_in(item.content):
            yield f"input_image is not supported in {item.role} messages"
        for part in (*parts_of(item.content), *parts_of(item.output)):
            if part.type == "input_image" and part.image_url is None and part.file_id is None:
                yield "input_image must have image_url or file_id"
            if part.type == "input_image" and part.image_url is not None and part.file_id is not None:
                yield "input_image cannot have both image_url and file_id"
