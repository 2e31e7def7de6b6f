"""The request body of generate content and its meaning; names are in camelCase or snake_case."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Annotated, Any

import orjson
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel, to_snake
from pydantic_core import ErrorDetails

from emulator.dialects.chat_input import Many
from emulator.dialects.generate_content_schema import json_schema_of
from emulator.dialects.parameters import IGNORED, SAMPLING, honored, ignored, refused
from emulator.request import Controls, Message, ModelRequest, Tool, ToolCall

IMAGE_TOKENS = 258
"""The tokens of an image in a prompt."""
NO_CACHE = "CachedContent not found (or permission denied)"
"""The error for cached contents, since none can be created."""
JSON, ENUM = "application/json", "text/x.enum"
"""The MIME types of structured answers: JSON, or one of several words (an enum)."""


class Wire(BaseModel):
    """A message as Google's JSON parser reads it: both spellings of a name, numbers also as strings."""

    model_config = ConfigDict(
        alias_generator=to_camel, populate_by_name=True, extra="forbid", frozen=True, defer_build=True
    )


def _listed(value: Any) -> Any:
    """A single object means a list with one item, as in Google's own samples."""
    return [value] if isinstance(value, dict) else value


class FunctionCallBody(Wire):
    id: str | None = None
    name: str = ""
    args: dict[str, Any] | None = None
    partial_args: list[Any] | None = None
    will_continue: bool | None = None


class FunctionResponseBody(Wire):
    id: str | None = None
    name: str = ""
    response: dict[str, Any] | None = None
    parts: list[Any] | None = None
    will_continue: bool | None = None
    scheduling: str | None = None


class PartBody(Wire):
    """One part of a turn: one of its members determines its kind."""

    text: str | None = None
    thought: bool | None = None
    thought_signature: str | None = None
    inline_data: dict[str, Any] | None = None
    file_data: dict[str, Any] | None = None
    function_call: FunctionCallBody | None = None
    function_response: FunctionResponseBody | None = None
    executable_code: dict[str, Any] | None = None
    code_execution_result: dict[str, Any] | None = None
    tool_call: dict[str, Any] | None = None
    tool_response: dict[str, Any] | None = None
    video_metadata: dict[str, Any] | None = None
    audio_metadata: dict[str, Any] | None = None
    audio_transcription: Any = None
    document_metadata: Any = None
    speech_metadata: Any = None
    spreadsheet_metadata: Any = None
    media_processing: Any = None
    media_resolution: Any = None
    part_metadata: dict[str, Any] | None = None

    @property
    def is_empty(self) -> bool:
        """Whether it has no content."""
        said = (self.text, self.inline_data, self.file_data, self.function_call, self.function_response)
        run = (self.executable_code, self.code_execution_result, self.tool_call, self.tool_response)
        return all(each is None for each in said + run)


Parts = Annotated[Many[PartBody], BeforeValidator(_listed)]


class ContentBody(Wire):
    role: str | None = None
    parts: Parts | None = None


Contents = Annotated[Many[ContentBody], BeforeValidator(_listed)]


class FunctionDeclaration(Wire):
    name: str = ""
    description: str | None = None
    parameters: dict[str, Any] | None = None
    parameters_json_schema: dict[str, Any] | None = None
    response: dict[str, Any] | None = None
    response_json_schema: dict[str, Any] | None = None
    behavior: str | None = None


class ToolBody(Wire):
    """Functions of the client, or a tool that Google runs."""

    function_declarations: Annotated[Many[FunctionDeclaration], BeforeValidator(_listed)] | None = None
    google_search: dict[str, Any] | None = None
    google_search_retrieval: dict[str, Any] | None = None
    google_maps: dict[str, Any] | None = None
    enterprise_web_search: dict[str, Any] | None = None
    code_execution: dict[str, Any] | None = None
    url_context: dict[str, Any] | None = None
    computer_use: dict[str, Any] | None = None
    file_search: dict[str, Any] | None = None
    retrieval: dict[str, Any] | None = None
    mcp_servers: list[Any] | None = None


class FunctionCallingConfig(Wire):
    mode: str | None = None
    allowed_function_names: list[str] | None = None
    stream_function_call_arguments: Annotated[bool | None, IGNORED] = None


class ToolConfig(Wire):
    function_calling_config: FunctionCallingConfig | None = None
    retrieval_config: Annotated[dict[str, Any] | None, IGNORED] = None
    include_server_side_tool_invocations: Annotated[bool | None, IGNORED] = None


class ThinkingConfig(Wire):
    include_thoughts: bool | None = None
    thinking_budget: Annotated[int | None, honored("0 disables thinking; otherwise only its range is checked")] = None
    thinking_level: Annotated[str | None, honored("MINIMAL disables thinking; other values are only checked")] = None


class GenerationConfig(Wire):
    candidate_count: int | None = None
    stop_sequences: list[str] | None = None
    max_output_tokens: int | None = None
    temperature: Annotated[float | None, SAMPLING] = None
    top_p: Annotated[float | None, SAMPLING] = None
    top_k: Annotated[float | None, SAMPLING] = None
    seed: Annotated[int | None, SAMPLING] = None
    presence_penalty: Annotated[float | None, SAMPLING] = None
    frequency_penalty: Annotated[float | None, SAMPLING] = None
    response_mime_type: str | None = None
    response_schema: dict[str, Any] | None = None
    response_json_schema: Any = None
    internal_json_schema: Any = Field(None, alias="_responseJsonSchema")
    response_modalities: Annotated[list[str] | None, ignored("answers are always text")] = None
    response_logprobs: bool | None = None
    logprobs: int | None = None
    thinking_config: ThinkingConfig | None = None
    speech_config: Annotated[dict[str, Any] | None, IGNORED] = None
    image_config: Annotated[dict[str, Any] | None, IGNORED] = None
    audio_transcription_config: Annotated[dict[str, Any] | None, IGNORED] = None
    media_resolution: Annotated[str | None, IGNORED] = None
    enable_enhanced_civic_answers: Annotated[bool | None, IGNORED] = None
    audio_timestamp: Annotated[bool | None, IGNORED] = None


class GenerateContentBody(Wire):
    model: Annotated[str | None, ignored("the URL names the model")] = None
    contents: Contents | None = None
    system_instruction: Annotated[ContentBody | str | None, honored("a content or a plain text")] = None
    tools: Annotated[Many[ToolBody], BeforeValidator(_listed)] | None = None
    tool_config: ToolConfig | None = None
    safety_settings: Annotated[
        Annotated[list[dict[str, Any]], BeforeValidator(_listed)] | None, ignored("only a scenario blocks content")
    ] = None
    generation_config: GenerationConfig | None = None
    cached_content: Annotated[str | None, refused(NO_CACHE, error="forbidden")] = None
    service_tier: Annotated[str | None, IGNORED] = None
    store: Annotated[bool | None, IGNORED] = None

    @property
    def config(self) -> GenerationConfig:
        """The generation settings; empty ones if they are missing."""
        return self.generation_config or GenerationConfig()

    @property
    def functions(self) -> list[FunctionDeclaration]:
        """The functions that the client offers."""
        return [each for tool in self.tools or () for each in tool.function_declarations or ()]


class CountTokensBody(Wire):
    model: Annotated[str | None, ignored("the URL names the model")] = None
    contents: Contents | None = None
    generate_content_request: Annotated[GenerateContentBody | None, honored("counted instead of contents")] = None

    @property
    def asked(self) -> GenerateContentBody:
        """The request whose tokens are to be counted."""
        return self.generate_content_request or GenerateContentBody(contents=self.contents)


# The meaning of a body


def text_of(parts: Iterable[PartBody]) -> str:
    """Returns the text of a turn: its text parts, joined, without thoughts."""
    return "".join([part.text for part in parts if part.text is not None and not part.thought])


def read_contents(body: GenerateContentBody) -> tuple[Message, ...]:
    """Converts the conversation to neutral terms."""
    messages: list[Message] = []
    system = body.system_instruction
    if isinstance(system, str):
        messages.append(Message("system", system))
    elif system is not None:
        messages.append(Message("system", text_of(system.parts or ())))
    calls: list[ToolCall] = []  # the calls without a result so far
    for number, turn in enumerate(body.contents or ()):
        parts = turn.parts or []
        if turn.role == "model":
            message = _answered(parts, number)
            calls = list(message.tool_calls)
            messages.append(message)
        else:
            messages += _asked(parts, calls)
    return tuple(messages)


def _answered(parts: Sequence[PartBody], number: int) -> Message:
    """Converts a turn of the model. Calls without an id are identified by their position."""
    thoughts = [part.text or "" for part in parts if part.thought]
    called = [part.function_call for part in parts if part.function_call is not None]
    calls = [
        ToolCall(call.name, orjson.dumps(call.args or {}).decode(), call.id or f"{number}.{place}")
        for place, call in enumerate(called)
    ]
    return Message("assistant", text_of(parts), "".join(thoughts) if thoughts else None, tuple(calls))


def _asked(parts: Sequence[PartBody], calls: list[ToolCall]) -> Iterator[Message]:
    """Converts a turn of the user: each function result becomes a message of its own, the rest becomes one."""
    results = [part.function_response for part in parts if part.function_response is not None]
    for result in results:
        id = result.id or next((call.id for call in calls if call.name == result.name), "")
        calls[:] = [call for call in calls if call.id != id]
        response = result.response or {}
        text, is_error = result_of(response)
        yield Message("tool", text, tool_call_id=id, name=result.name, is_error=is_error)
    if len(results) < len(parts) or not parts:
        images = sum(part.inline_data is not None or part.file_data is not None for part in parts)
        yield Message("user", text_of(parts), images=images, continues=bool(results))


def result_of(response: Mapping[str, Any]) -> tuple[str, bool]:
    """Returns the result of a function, and whether it failed. A lone `result`, `output` or `error` is unwrapped."""
    if len(response) == 1:
        ((name, value),) = response.items()
        if name in ("result", "output", "error"):
            return value if isinstance(value, str) else orjson.dumps(value).decode(), name == "error"
    return orjson.dumps(response).decode(), False


def read_tools(body: GenerateContentBody) -> tuple[Tool, ...]:
    """Converts the functions that the model may call to neutral terms."""
    config = calling_of(body)
    allowed = config.allowed_function_names if config.mode in ("ANY", "VALIDATED") else None
    return tuple(
        [
            Tool(each.name, each.description or "", parameters_of(each))
            for each in body.functions
            if not allowed or each.name in allowed
        ]
    )


def parameters_of(function: FunctionDeclaration) -> Mapping[str, Any]:
    """Returns the JSON Schema of a function's parameters."""
    if function.parameters_json_schema is not None:
        return function.parameters_json_schema
    schema = json_schema_of(function.parameters) if function.parameters is not None else {}
    return schema if isinstance(schema, dict) else {}


def calling_of(body: GenerateContentBody) -> FunctionCallingConfig:
    """Returns the settings for function calls."""
    return (body.tool_config and body.tool_config.function_calling_config) or FunctionCallingConfig()


def read_tool_choice(body: GenerateContentBody) -> str:
    """Returns `none`, `auto`, `required` or `name:FUNCTION`."""
    config = calling_of(body)
    if config.mode != "ANY":
        return "none" if config.mode == "NONE" else "auto"
    names = config.allowed_function_names or []
    return f"name:{names[0]}" if len(names) == 1 else "required"


def read_controls(body: GenerateContentBody, thinking: bool | None) -> Controls:
    """Returns the parameters that shape the answer."""
    config = body.config
    schema = config.response_json_schema or config.internal_json_schema
    if schema is None and config.response_schema is not None:
        schema = json_schema_of(config.response_schema)
    wants_json = config.response_mime_type in (JSON, ENUM)
    thoughts = config.thinking_config or ThinkingConfig()
    return Controls(
        max_tokens=config.max_output_tokens,
        stop=tuple([text for text in config.stop_sequences or () if text]),
        n=config.candidate_count or 1,
        logprobs=bool(config.response_logprobs),
        top_logprobs=config.logprobs or 0,
        response_format="text" if not wants_json else "json_object" if schema is None else "json_schema",
        schema=schema if wants_json and isinstance(schema, dict) else None,
        tools=read_tools(body),
        tool_choice=read_tool_choice(body),
        thinking=thinking,
        include_thoughts=bool(thoughts.include_thoughts),
        reasoning_effort=(thoughts.thinking_level or "").lower() or None,
        searches=any(tool.google_search is not None or tool.google_search_retrieval for tool in body.tools or ()),
    )


def prompt_texts(request: ModelRequest) -> tuple[int, list[str]]:
    """Returns the prompt of a request for counting: a fixed number of tokens, and the texts."""
    fixed = 0
    texts: list[str] = []
    for message in request.messages:
        fixed += IMAGE_TOKENS * message.images
        texts.append(message.content)
        for call in message.tool_calls:
            texts += [call.name, call.arguments]
    for tool in request.controls.tools:
        texts += [tool.name, tool.description, orjson.dumps(tool.parameters, default=str).decode()]
    return fixed, texts


# Errors of JSON with wrong types

KINDS = {
    "string_type": "TYPE_STRING",
    "int_type": "TYPE_INT32",
    "int_parsing": "TYPE_INT32",
    "int_from_float": "TYPE_INT32",
    "float_type": "TYPE_FLOAT",
    "float_parsing": "TYPE_FLOAT",
    "bool_type": "TYPE_BOOL",
    "bool_parsing": "TYPE_BOOL",
}


def misfits(error: ValidationError) -> list[tuple[str, str]]:
    """Returns the field and the message of each error. What is neither a content nor a text counts as a content."""
    no_text = ("string_type", ("str",))
    return [misfit(each) for each in error.errors(include_url=False) if (each["type"], each["loc"][-1:]) != no_text]


def misfit(error: ErrorDetails) -> tuple[str, str]:
    """Returns the field, as Google writes it, and the error message."""
    *path, last = error["loc"] or ("",)
    if error["type"] == "extra_forbidden":
        field = field_of(path)
        where = f" at '{field}'" if field else ""
        return field, f'Invalid JSON payload received. Unknown name "{last}"{where}: Cannot find field.'
    field = field_of((*path, last))
    value = orjson.dumps(error["input"], default=str).decode()
    if error["type"] in KINDS and not isinstance(error["input"], dict | list):
        return field, f"Invalid value at '{field}' ({KINDS[error['type']]}), {value[:200]}"
    parent, name = field_of(path), last
    if isinstance(error["input"], list):
        at = f" at '{parent}'" if parent else ""
        complaint = "Proto field is not repeating, cannot start list."
        return field, f'Invalid JSON payload received. Unknown name "{name}"{at}: {complaint}'
    return field, f"Invalid value at '{field}', {value[:200]}"


def field_of(path: Iterable[str | int]) -> str:
    """Writes `("generationConfig", "topP")` as `generation_config.top_p`, without the branch of a union."""
    text = ""
    for item in path:
        if isinstance(item, int):
            text += f"[{item}]"
        elif item != "ContentBody":
            text += ("." if text else "") + to_snake(item)
    return text
