"""DeepSeek's own dialect of chat completions: thinking, JSON mode, log probabilities, and the wording of its errors.

Its resellers forward it, so they subclass `DeepSeekDialect` too. Errors come in the observed order:
types first, then the prompt's shape, then ranges, then the conversation.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

import orjson
from pydantic import Discriminator, Tag, ValidationError
from pydantic_core import ErrorDetails

from emulator import large
from emulator.dialects.chat_input import (
    BodyType,
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
    read_stop,
    read_tool_choice,
    read_tools,
    text_of,
    text_or_list,
)
from emulator.dialects.parameters import SAMPLING, ignored
from emulator.dialects.serde import Range, not_json, not_of_type, place, serde, unknown_variant
from emulator.providers.base import ErrorSpec, SettingsT_co
from emulator.providers.deepseek_models import ServesDeepSeek
from emulator.providers.openai_chat import ChatDialect
from emulator.providers.serde_json import Malformed, Path, Span, after_item, position, spans
from emulator.reply import Choice, Completion, Reply
from emulator.request import Controls, HttpRequest, Message, ModelRequest, ToolCall

MAX_TOKENS = 393_216
CONTEXT_LENGTH = 1_048_565
"""What errors name: 11 tokens fewer than the list of models tells."""
FINGERPRINT = "fp_9954b31ca7_prod0820_fp8_kvcache_20260402"
"""What DeepSeek V4 signed its answers with when the documents were written."""
NO_IMAGES = "This model does not support image"
EFFORTS = {"minimal": "low", "medium": "high", "xhigh": "high"}
"""What an effort means where it is not what it says."""
DEEPSEEK_TEXTS = {
    "balance": "Insufficient Balance",
    "policy": "Content Exists Risk",
    "rate": "Rate Limit Reached",
    "busy": "Service is too busy. We advise users to temporarily switch to alternative LLM API service providers.",
}
USER_ID = re.compile(r"[A-Za-z0-9\-_]{0,512}")


class DeepSeekPart(ContentPart):
    """One part of a message's content. Images are understood, to be refused."""

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
    """Every member that DeepSeek reads. Null means the same as leaving it out."""

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
    user_id: Annotated[str | None, ignored("its form is checked")] = None
    frequency_penalty: Annotated[Any, SAMPLING] = None
    presence_penalty: Annotated[Any, SAMPLING] = None

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


@dataclass(frozen=True, slots=True)
class Misfit:
    """A part of a body that has the wrong type or value."""

    text: str
    path: Path
    """The value; or the map, where a field of it is missing."""
    is_untaken: bool = False
    """A list or a map that stands where neither may: the reader stops before it."""


class DeepSeekDialect(ChatDialect[SettingsT_co], ServesDeepSeek[SettingsT_co]):
    """Parses and renders what DeepSeek itself, and whoever forwards it, puts on the wire."""

    auth_header: ClassVar[str] = "Authorization: Bearer sk-demo"
    shows_cache: ClassVar[bool] = True
    Body: type[ChatBody] = DeepSeekBody
    ranges: ClassVar[tuple[Range, ...]] = (
        Range("temperature", 0, 2, "[0, 2]"),
        Range("top_p", 0, 1, "(0, 1.0]", excludes_low=True),
    )
    most_tokens: ClassVar[int] = MAX_TOKENS
    context_length: int = CONTEXT_LENGTH
    thinking_default: bool = True
    efforts: tuple[str, ...] = ("none", "minimal", "low", "medium", "high", "xhigh", "max")
    effort_mapping: ClassVar[Mapping[str, str]] = EFFORTS
    json_schema: Literal["accept", "refuse"] = "accept"
    """DeepSeek refuses a schema today. It is taken, because the helpers of the SDKs ask for nothing else."""
    tells_position: ClassVar[bool] = False
    """Whether a complaint names the line and the column: DeepSeek counts in the body that it gets, and a reseller does
    not forward the very bytes."""
    wants_reasoning_back = True
    deprecated: ClassVar[Mapping[str, str]] = {
        "frequency_penalty": "it has no effect any more: leave it out",
        "presence_penalty": "it has no effect any more: leave it out",
    }
    always_reasons: ClassVar[bool] = False
    """Whether every answer in thinking mode has reasoning, if an empty one: as with DeepSeek. Answers that call tools
    always do, as that reasoning has to be sent back."""
    errors: ClassVar[Mapping[str, ErrorSpec]] = {
        "unauthorized": ErrorSpec(
            401, "Authentication Fails, Your api key: ****demo is invalid",
            "authentication_error", "invalid_request_error", mark="public",
        ),
        "forbidden": ErrorSpec(403, "Forbidden", "permission_error", "invalid_request_error"),
        "insufficient_balance": ErrorSpec(
            402, DEEPSEEK_TEXTS["balance"], "unknown_error", "invalid_request_error", mark="public"
        ),
        "content_policy": ErrorSpec(
            400, DEEPSEEK_TEXTS["policy"], "invalid_request_error", "invalid_request_error", mark="public"
        ),
        "rate_limited": ErrorSpec(429, DEEPSEEK_TEXTS["rate"], "rate_limit_error", "rate_limit_error"),
        "concurrency_limited": ErrorSpec(
            429, "Your current concurrency is 40, which exceeds your concurrency limit of 39 based on your remaining "
            "balance. Please top up your balance to restore your concurrency.", "rate_limit_error", "rate_limit_error",
        ),
        "server_error": ErrorSpec(500, "Internal Server Error", "internal_error", "internal_error"),
        "overloaded": ErrorSpec(
            503, DEEPSEEK_TEXTS["busy"], "service_unavailable_error", "service_unavailable_error", mark="public"
        ),
        "timeout": ErrorSpec(504, "Gateway Timeout", "internal_error", "internal_error"),
        "bad_request": ErrorSpec(
            400, "Invalid Format", "invalid_request_error", "invalid_request_error", mark="public"
        ),
        "invalid_parameters": ErrorSpec(422, "Invalid Parameters", "invalid_request_error", "invalid_request_error"),
        "model_not_found": ErrorSpec(
            400, "Model Not Exist", "invalid_request_error", "invalid_request_error", mark="public"
        ),
        "context_length": ErrorSpec(
            400, "This model's maximum context length is 1048565 tokens. However, you requested 1048600 tokens "
            "(1048500 in the messages, 100 in the completion). Please reduce the length of the messages or completion.",
            "invalid_request_error", "invalid_request_error", mark="public",
        ),
        "not_found": ErrorSpec(404, "Not Found", "invalid_request_error", "invalid_request_error"),
        "method_not_allowed": ErrorSpec(405, "Method Not Allowed", "invalid_request_error", "invalid_request_error"),
        "too_large": ErrorSpec(413, "Payload Too Large", "invalid_request_error", "invalid_request_error"),
    }  # fmt: skip

    # The way in: what has a wrong type

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
        """The refusal of a body that is not JSON, with the place where serde_json stops reading."""
        try:
            spans(data, ())
        except Malformed as malformed:
            where = "?" if malformed.path[-1:] == (None,) else ""
            path = place([*[item for item in malformed.path if item is not None], *where])
            detail = f"{malformed.reason} at {position(data, malformed.index)}"
            return self.not_fitting(not_json(f"{path}: {detail}" if path.strip("?") else detail))
        return self.not_json(error)

    def misfitting(self, data: bytes, misfits: Sequence[Misfit]) -> Exception:
        """The refusal for the first misfit that a reader of the body comes upon."""
        try:
            found = spans(data, {part for misfit in misfits for part in (misfit.path, misfit.path[:2])})
        except Malformed:  # nested deeper than serde_json goes
            found = {}
        first = min(misfits, key=lambda misfit: stop(misfit, data, found))
        where = f" at {position(data, stop(first, data, found))}" if self.tells_position else ""
        return self.not_fitting(not_of_type(first.text + where))

    def not_fitting(self, message: str) -> Exception:
        """The refusal of a body that could not be read as what it has to be."""
        return self.bad_request(message)

    def misfits(self, body: DeepSeekBody) -> Iterator[Misfit]:
        """What the types of the body do not tell of it."""
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

    # … then what may not be asked for

    def validation_errors(self, body: Any) -> Iterator[str | None]:
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

    def complaint_of_format(self, body: Any) -> str | None:
        return complaint_of_format(body, accepts_schema=self.json_schema == "accept")

    def complaints_of_conversation(self, body: Any) -> Iterator[str | None]:
        """What may be wrong with the messages and their order."""
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

    def complaints_of_images(self, body: Any) -> Iterator[str]:
        """What may be wrong with images: here no model sees any."""
        if any(
            isinstance(message.content, list) and any(part.type == "image_url" for part in message.content)
            for message in body.messages
        ):
            yield NO_IMAGES

    def effort_of(self, effort: str | None, model: str) -> str | None:
        """What an effort means to a model."""
        return None if effort is None else self.effort_mapping.get(effort, effort)

    def most_tokens_of(self, body: Any) -> int:
        """The highest `max_tokens` of the model that is asked for."""
        return self.most_tokens

    def thinks(self, body: Any) -> bool:
        """Whether this request is answered in thinking mode."""
        mode = body.thinking.type if body.thinking is not None else None
        if mode is None:
            return self.thinking_default and body.effort != "none"
        return bool(mode != "disabled")

    def controls(self, body: Any) -> Controls:
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
            reasoning_effort=self.effort_of(body.effort, body.model or "") if thinking else None,
            include_usage=bool(body.stream_options and body.stream_options.include_usage),
        )

    def context_length_of(self, model: str) -> int:
        """The tokens that a prompt and its answer may have together."""
        return self.context_length

    def check_context_length(self, request: ModelRequest, prompt: int) -> None:
        wanted, most = request.controls.max_tokens or 0, self.context_length_of(request.model)
        if prompt + wanted > most:
            raise self.bad_request(
                f"This model's maximum context length is {most} tokens. However, you requested "
                f"{prompt + wanted} tokens ({prompt} in the messages, {wanted} in the completion). Please reduce the "
                "length of the messages or completion.",
            )

    # The answer

    def adapt(self, reply: Reply, request: ModelRequest) -> Reply:
        if not request.controls.thinking:
            return reply
        calls = reply.tool_calls or any(isinstance(block, ToolCall) for block in reply.blocks)
        return reply.with_thought() if self.always_reasons or calls else reply

    def body(self, completion: Completion, request: ModelRequest) -> Any:
        return {**super().body(completion, request), "system_fingerprint": self.fingerprint(completion)}

    def fingerprint(self, completion: Completion) -> str:
        return completion.system_fingerprint or FINGERPRINT

    def choice(self, choice: Choice, request: ModelRequest) -> dict[str, Any]:
        return {
            "index": choice.index,
            "message": self.message(choice),
            "logprobs": self.logprobs(choice),
            "finish_reason": self.reason(choice),
        }

    def usage(self, completion: Completion) -> dict[str, Any]:
        usage = completion.usage
        thought = any(choice.reasoning is not None for choice in completion.choices)
        return {
            "prompt_tokens": usage.prompt,
            "completion_tokens": usage.completion,
            "total_tokens": usage.total,
            "prompt_tokens_details": {"cached_tokens": usage.cached},
            **({"completion_tokens_details": {"reasoning_tokens": usage.reasoning}} if thought else {}),
            "prompt_cache_hit_tokens": usage.cached,
            "prompt_cache_miss_tokens": usage.prompt - usage.cached,
        }

    # Usage stands on the finish chunk; with `include_usage` every other chunk says null

    says_no_usage: ClassVar[bool] = True

    @property
    def usage_stands(self) -> Literal["finish", "separate", "nowhere"]:
        return "finish"

    def chunk_of(self, completion: Completion, choices: list[dict[str, Any]]) -> dict[str, Any]:
        return {
            "id": completion.id,
            "object": "chat.completion.chunk",
            "created": completion.created,
            "model": completion.model,
            "system_fingerprint": self.fingerprint(completion),
            "choices": choices,
        }

    def error_body(self, row: ErrorSpec, request_id: str) -> Any:
        return {"error": {"message": row.message, "type": row.type, "param": row.param, "code": row.code}}


def complaint_of_format(body: Any, *, accepts_schema: bool) -> str | None:
    """What may be wrong with the form that is asked for."""
    kind = body.response_format.type if body.response_format is not None else "text"
    if kind == "json_object":
        if not any("json" in text_of(message.content).lower() for message in body.messages):
            return "Prompt must contain the word 'json' in some form to use 'response_format' of type 'json_object'."
    elif kind != "text" and not (kind == "json_schema" and accepts_schema):
        return "This response_format type is unavailable now"
    return None


def complaints_of_logprobs(body: Any) -> Iterator[str]:
    """What may be wrong with the log probabilities that are asked for."""
    if body.top_logprobs is not None and not body.logprobs:
        yield "Invalid top_logprobs and logprobs value, logprobs must be set to true if top_logprobs is used."
    if body.top_logprobs is not None and not 0 <= body.top_logprobs <= 20:
        yield "Invalid top_logprobs value, the valid range of top_logprobs is [0, 20]."


# Misfits


def misfit_of(error: ErrorDetails) -> Misfit:
    """One validation error as DeepSeek tells it."""
    path = tuple([item for item in error["loc"] if not (isinstance(item, str) and item.startswith("<"))])
    if error["type"] == "missing" and not is_inside_message(path):
        path = path[:-1]  # it is missed where its map ends
    is_untaken = isinstance(error["input"], list | dict) and error["type"] != "missing"
    return Misfit(serde(error, place_in_message), path, is_untaken)


def place_in_message(loc: Iterable[str | int]) -> str:
    """A path as far as DeepSeek tells it: a message is read by its role once it is there as a whole, and by then the
    way to what is wrong in it is forgotten."""
    path = tuple(loc)
    return place(path[:2] if is_inside_message(path) else path)


def is_inside_message(path: Sequence[str | int]) -> bool:
    """Whether it leads to something in a message, other than the role."""
    return len(path) > 2 and path[0] == "messages" and path[2] != "role"


def stop(misfit: Misfit, data: bytes, found: Mapping[Path, Span]) -> int:
    """How many bytes the reader has taken when it complains; all of them, where that could not be found out."""
    if is_inside_message(misfit.path):
        message = found.get(misfit.path[:2])
        return after_item(data, message.end) if message is not None else len(data)
    span = found.get(misfit.path)
    if span is None:
        return len(data)
    return span.start if misfit.is_untaken else span.end


TOOL_CHOICES = ("none", "auto", "required")


def listed(words: Sequence[str]) -> str:
    """As "`a`, `b` or `c`"."""
    return " or ".join([", ".join(f"`{word}`" for word in words[:-1]), f"`{words[-1]}`"])


# The conversation


def complaint_of_tool_messages(messages: Sequence[MessageBody | Message]) -> str | None:
    """Every call of a tool has to be answered before the conversation goes on, and nothing else is answered so."""
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
