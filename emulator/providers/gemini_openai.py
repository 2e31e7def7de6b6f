"""Gemini's version of OpenAI's chat completions and embeddings, at `/v1beta/openai`.

The endpoints, `reasoning_effort` and `extra_body.google` are documented (ai.google.dev: OpenAI compatibility). The
order of members, and errors as a list with one item, are public from captured traffic.
"""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Generic, Literal

import orjson
from pydantic import BaseModel, Field, ValidationError

from emulator import seeded, tokens
from emulator.dialects.base import DONE, PIECE, VendorT, provider_error
from emulator.dialects.chat_blocks import call_row
from emulator.dialects.chat_completions import ChatCompletions
from emulator.dialects.chat_input import (
    BodyType,
    ChatBody,
    Many,
    MessageBody,
    ResponseFormat,
    Stop,
    StreamOptions,
    Strict,
    ToolBody,
    ToolChoice,
    read_message,
    read_stop,
    read_tool_choice,
    read_tools,
)
from emulator.dialects.embeddings import Embeddings, inputs_of
from emulator.dialects.parameters import IGNORED, SAMPLING
from emulator.providers.base import bearer
from emulator.providers.gemini_models import DIMENSIONS, MAX_OUTPUT, MODELS, model_row, thinks
from emulator.reply import Choice, Completion
from emulator.request import Controls, HttpRequest, Message, ModelRequest, ToolCall
from emulator.wire import FrameRun, single

if TYPE_CHECKING:
    from emulator.providers.gemini import Gemini

NO_KEY = "Missing or invalid Authorization header."
DEFAULT = "gemini-2.5-flash"
"""The default model, for gateways whose path names the model."""
EFFORTS = ("none", "minimal", "low", "medium", "high")
THOUGHT = {"google": {"thought": True}}


class ThinkingConfig(Strict):
    thinking_budget: int | None = None
    thinking_level: str | None = None
    include_thoughts: bool | None = None


class GoogleBody(Strict):
    thinking_config: ThinkingConfig | None = None
    cached_content: Annotated[str | None, IGNORED] = None
    safety_settings: Annotated[Any, IGNORED] = None


class ExtraBody(Strict):
    google: GoogleBody | None = None


class GeminiMessage(MessageBody):
    role: Literal["developer", "system", "user", "assistant", "tool"]


class GeminiChatBody(ChatBody):
    """The request body of a chat completion, as Google reads it."""

    messages: Many[GeminiMessage]
    audio: Annotated[Any, IGNORED] = None
    extra_body: ExtraBody | None = None
    frequency_penalty: Annotated[float | None, SAMPLING] = None
    logprobs: bool | None = None
    max_completion_tokens: int | None = None
    max_tokens: int | None = None
    metadata: Annotated[Any, IGNORED] = None
    modalities: Annotated[Any, IGNORED] = None
    n: Annotated[int | None, Field(ge=1, le=8)] = None
    parallel_tool_calls: Annotated[bool | None, IGNORED] = None
    presence_penalty: Annotated[float | None, SAMPLING] = None
    reasoning_effort: str | None = None
    response_format: ResponseFormat | None = None
    seed: Annotated[int | None, SAMPLING] = None
    service_tier: Annotated[Any, IGNORED] = None
    stop: Stop | None = None
    store: Annotated[bool | None, IGNORED] = None
    stream_options: StreamOptions | None = None
    temperature: Annotated[float | None, SAMPLING] = None
    tool_choice: ToolChoice | None = None
    tools: Many[ToolBody] | None = None
    top_logprobs: int | None = None
    top_p: Annotated[float | None, SAMPLING] = None
    user: Annotated[str | None, IGNORED] = None

    @property
    def limit(self) -> int | None:
        """The maximum number of tokens to generate, under either name."""
        return self.max_completion_tokens if self.max_completion_tokens is not None else self.max_tokens

    @property
    def thinking(self) -> ThinkingConfig:
        """The thinking options in Google's own member."""
        google = self.extra_body.google if self.extra_body is not None else None
        return (google.thinking_config if google is not None else None) or ThinkingConfig()


class GoogleChat(ChatCompletions[GeminiChatBody, VendorT], Generic[VendorT]):
    """Renders chat completions as Google does."""

    Body = GeminiChatBody
    id_form = "{}"

    def dumps(self, value: Any) -> bytes:
        return orjson.dumps(value)

    # Requests

    def make_id(self, entropy: bytes) -> str:
        return seeded.letters(entropy, 22)

    def not_json(self, error: orjson.JSONDecodeError) -> Exception:
        return self.bad_request("Invalid JSON payload received. Unexpected token.")

    def not_of_type(self, error: ValidationError) -> Exception:
        return misfit(error)

    def validation_errors(self, body: GeminiChatBody) -> Iterator[str | None]:
        if not body.messages:
            yield "GenerateContentRequest.contents: contents is not specified"
        if body.limit is not None and not 1 <= body.limit <= MAX_OUTPUT:
            yield f"max_tokens must be between 1 and {MAX_OUTPUT}"
        if body.reasoning_effort is not None and body.reasoning_effort not in EFFORTS:
            yield f"Invalid reasoning_effort: {body.reasoning_effort}. Valid values are: {', '.join(EFFORTS)}"
        if body.reasoning_effort is not None and body.thinking.thinking_budget is not None:
            yield "Expected one of either `reasoning_effort` or custom `thinking_config`; found both."

    def message_of(self, body: MessageBody) -> Message:
        message = read_message(body)
        return Message("system", message.content, name=message.name) if body.role == "developer" else message

    def controls(self, body: GeminiChatBody) -> Controls:
        form: Any = body.response_format.type if body.response_format is not None else "text"
        schema = (body.response_format.json_schema or {}) if body.response_format is not None else {}
        budget = 0 if body.reasoning_effort == "none" else body.thinking.thinking_budget
        return Controls(
            max_tokens=body.limit,
            stop=read_stop(body.stop),
            n=body.n or 1,
            logprobs=bool(body.logprobs),
            top_logprobs=body.top_logprobs or 0,
            response_format=form,
            schema=schema.get("schema"),
            tools=read_tools(body.tools),
            tool_choice=read_tool_choice(body.tool_choice),
            thinking=thinks((body.model or DEFAULT).removeprefix("models/"), budget, body.thinking.thinking_level),
            reasoning_effort=body.reasoning_effort,
            include_usage=bool(body.stream_options and body.stream_options.include_usage),
        )

    # The answer, its members in alphabetical order

    def shows_thoughts(self, request: ModelRequest) -> bool:
        """Whether the content includes the thoughts."""
        google = (request.body.get("extra_body") or {}).get("google") or {}
        return bool((google.get("thinking_config") or {}).get("include_thoughts"))

    def body(self, completion: Completion, request: ModelRequest) -> Any:
        rows = [self.row(choice, request) for choice in completion.choices]
        return {**self.head(completion, rows, "chat.completion"), "usage": self.usage(completion)}

    def head(self, completion: Completion, choices: list[dict[str, Any]], kind: str) -> dict[str, Any]:
        """Returns the members around the choices."""
        return {
            "choices": choices,
            "created": completion.created,
            "id": completion.id,
            "model": completion.model,
            "object": kind,
        }

    def row(self, choice: Choice, request: ModelRequest) -> dict[str, Any]:
        """Returns a whole choice."""
        thought = f"<thought>{choice.reasoning}</thought>" if choice.reasoning and self.shows_thoughts(request) else ""
        content = thought + choice.content
        message: dict[str, Any] = {"content": content} if content or not choice.tool_calls else {}
        message["role"] = "assistant"
        if choice.tool_calls:
            message["tool_calls"] = [called(call, call.arguments) for call in choice.tool_calls]
        logprobs = self.logprobs(choice)
        likely = {} if logprobs is None else {"logprobs": logprobs}
        return {"finish_reason": self.reason(choice), "index": choice.index, **likely, "message": message}

    def usage(self, completion: Completion) -> dict[str, Any]:
        usage = completion.usage
        cached = {"prompt_tokens_details": {"cached_tokens": usage.cached}} if usage.cached else {}
        return {
            "completion_tokens": usage.completion - usage.reasoning,
            "prompt_tokens": usage.prompt,
            **cached,
            "total_tokens": usage.total,
        }

    # The stream

    def stream(self, completion: Completion, request: ModelRequest) -> Iterator[FrameRun]:
        shown = self.shows_thoughts(request)
        for choice in completion.choices:
            if choice.reasoning and shown:
                yield self.text(completion, request, choice, choice.reasoning, {"extra_content": THOUGHT})
            if choice.content:
                yield self.text(completion, request, choice, choice.content, {})
            for number, call in enumerate(choice.tool_calls):
                delta = {"role": "assistant", "tool_calls": [{**called(call, call.arguments), "index": number}]}
                chunk = self.chunk(completion, request, choice, delta)
                yield self.event("tool_calls", chunk, tokens.count(call.arguments))
            last = self.chunk(completion, request, choice, {"content": "", "role": "assistant"}, finished=True)
            yield self.event("finish", last)
        yield single("done", DONE)

    def text(
        self, completion: Completion, request: ModelRequest, choice: Choice, text: str, more: Mapping[str, Any]
    ) -> FrameRun:
        """Returns the events of a text; those of a thought are marked."""
        pieces = tokens.pieces(text)
        delta = {"content": PIECE, **more, "role": "assistant"}
        before, after = self.around(self.chunk(completion, request, choice, delta))
        return FrameRun("reasoning" if more else "content", before, pieces.escaped, after, pieces.counts)

    # Only the finish reason ends a stream; every event has the usage if the client asks for it

    def chunk(
        self, completion: Completion, request: ModelRequest, choice: Choice, delta: dict[str, Any], **how: Any
    ) -> dict[str, Any]:
        ended = {"finish_reason": self.reason(choice)} if how.get("finished") else {}
        row = {"delta": delta, **ended, "index": choice.index}
        chunk = self.head(completion, [row], "chat.completion.chunk")
        return {**chunk, "usage": self.usage(completion)} if request.controls.include_usage else chunk


class GeminiChat(GoogleChat["Gemini"]):
    """`POST /v1beta/openai/chat/completions`"""

    def key_in(self, http_request: HttpRequest) -> str:
        return key_of(http_request.headers)

    def read(self, http_request: HttpRequest, model: type[BodyType]) -> tuple[BodyType, Mapping[str, Any]]:
        body, native = super().read(http_request, model)
        check_members(self.provider, native, model)
        return body, native

    def model_of(self, http_request: HttpRequest, body: GeminiChatBody) -> str:
        return self.provider.model_named(body.model.removeprefix("models/"), "generateContent")

    # Other operations

    def result(self, request: ModelRequest) -> Any:
        names = MODELS if self.provider.settings.models is None else self.provider.settings.models
        if request.http_request.operation == "models":
            return {"object": "list", "data": [listed(name) for name in names]}
        name = request.http_request.parameters["model"].removeprefix("models/")
        if name not in names:
            raise provider_error("model_not_found", f"models/{name} is not found for API version v1main")
        return listed(name)


class EmbeddingsBody(Strict):
    """The inputs to embed."""

    model: str
    input: Any
    dimensions: int | None = None
    encoding_format: Literal["float", "base64"] | None = None
    user: Annotated[str | None, IGNORED] = None


class GeminiOpenAIEmbeddings(Embeddings["Gemini"]):
    """`POST /v1beta/openai/embeddings`"""

    Body: ClassVar[type[EmbeddingsBody]] = EmbeddingsBody
    plain_dimensions: ClassVar[Mapping[str, int]] = DIMENSIONS

    def dumps(self, value: Any) -> bytes:
        return orjson.dumps(value)

    def key_in(self, http_request: HttpRequest) -> str:
        return key_of(http_request.headers)

    def parse(self, http_request: HttpRequest, key: str) -> ModelRequest:
        try:
            native = orjson.loads(http_request.body)
            body = EmbeddingsBody.model_validate(native)
        except orjson.JSONDecodeError:
            raise provider_error("bad_request", "Invalid JSON payload received. Unexpected token.") from None
        except ValidationError as error:
            raise misfit(error) from None
        check_members(self.provider, native, EmbeddingsBody)
        model = self.provider.model_named(body.model.removeprefix("models/"), "embedContent")
        inputs = inputs_of(body.input)
        if not inputs or not all(isinstance(each, str) and each for each in inputs):
            raise provider_error("bad_request", "EmbedContentRequest.content contains an empty Part.")
        messages = tuple([Message("user", str(each)) for each in inputs])
        return ModelRequest(http_request, model, messages, False, Controls(), key, native)

    def result(self, request: ModelRequest) -> Any:
        found = super().result(request)
        rows = [{key: row[key] for key in ("embedding", "index", "object")} for row in found["data"]]
        return {"data": rows, "model": found["model"], "object": "list", "usage": found["usage"]}


def key_of(headers: Mapping[str, str]) -> str:
    """Returns the key of a request. Raises ProviderError."""
    key = bearer(headers) or headers.get("x-goog-api-key")
    if not key:
        raise provider_error("unauthorized", NO_KEY, code="")
    return key


def called(call: ToolCall, arguments: str) -> dict[str, Any]:
    """Returns a call with its members in order."""
    row = call_row(call, arguments)
    function = row["function"]
    return {
        "function": {"arguments": function["arguments"], "name": function["name"]},
        "id": row["id"],
        "type": "function",
    }


def listed(name: str) -> dict[str, Any]:
    """Returns a model as the list shows it."""
    row = model_row(name)
    return {"id": row["name"], "object": "model", "owned_by": "google", "display_name": row["displayName"]}


def check_members(provider: "Gemini", native: Mapping[str, Any], model: type[BaseModel]) -> None:
    """Raises ProviderError for members that Google doesn't know."""
    unknown = [name for name in native if name not in model.model_fields]
    if unknown and provider.settings.strict_members:
        raise provider_error(
            "bad_request", "\n".join(invalid(f'Unknown name "{name}": Cannot find field.') for name in unknown)
        )


def misfit(error: ValidationError) -> Exception:
    """Returns Google's message for a value of the wrong type."""
    first = error.errors(include_url=False)[0]
    path = [str(step) for step in first["loc"] if not str(step).startswith("<")]
    if first["type"] == "missing":
        return provider_error("bad_request", invalid(f"Missing field '{'.'.join(path)}'."))
    return provider_error("bad_request", invalid(f"Invalid value at '{'.'.join(path)}'."))


def invalid(message: str) -> str:
    """Returns the error for a body."""
    return f"Invalid JSON payload received. {message}"
