"""Validation of generate content requests, with Google's messages: some are public, the others inferred."""

from collections.abc import Iterator, Sequence

from emulator.dialects.generate_content_input import (
    ENUM,
    JSON,
    ContentBody,
    GenerateContentBody,
    GenerationConfig,
    calling_of,
)

MAX_STOPS, MAX_CANDIDATES, MAX_LOGPROBS = 5, 8, 20
MIME_TYPES = ("text/plain", JSON, ENUM)
MODES = ("MODE_UNSPECIFIED", "AUTO", "ANY", "NONE", "VALIDATED")
LEVELS = ("THINKING_LEVEL_UNSPECIFIED", "MINIMAL", "LOW", "MEDIUM", "HIGH", "XHIGH")
TYPES = "type.googleapis.com/google.ai.generativelanguage.v1beta."


def complaints(body: GenerateContentBody) -> Iterator[str]:
    """Yields the problems of a body whose types are right, in the order in which Google checks."""
    yield from of_contents(body.contents or ())
    yield from of_functions(body)
    yield from of_numbers(body.config)
    yield from of_format(body.config)


def said(field: str, complaint: str) -> str:
    """Returns an error message as Google's validation writes it: a list item that starts with the field."""
    return f"* GenerateContentRequest.{field}: {complaint}\n"


def of_contents(contents: Sequence[ContentBody]) -> Iterator[str]:
    if not contents:
        yield said("contents", "contents is not specified")
    for number, turn in enumerate(contents):
        if turn.role not in (None, "", "user", "model", "function"):
            yield "Please use a valid role: user, model."
        if not turn.parts:
            yield said(f"contents[{number}].parts", "contents.parts must not be empty.")
        for place, part in enumerate(turn.parts or ()):
            if part.is_empty and part.thought_signature is None:
                field = f"contents[{number}].parts[{place}].data"
                yield said(field, "required oneof field 'data' must have one initialized field")
    yield from of_turns(contents)


def of_turns(contents: Sequence[ContentBody]) -> Iterator[str]:
    """Yields violations of the order: calls follow the user's turn, and each call has one result."""
    calls = 0
    for number, turn in enumerate(contents):
        parts = turn.parts or ()
        called = sum(part.function_call is not None for part in parts)
        results = sum(part.function_response is not None for part in parts)
        if called and (not number or contents[number - 1].role == "model"):
            yield (
                "Please ensure that function call turn comes immediately after a user turn or after a function "
                "response turn."
            )
        if results and not calls:
            yield "Please ensure that function response turn comes immediately after a function call turn."
        if (results or calls) and results != calls and number:
            yield (
                "Please ensure that the number of function response parts is equal to the number of function call "
                "parts of the function call turn."
            )
        calls = called


def of_functions(body: GenerateContentBody) -> Iterator[str]:
    config = calling_of(body)
    if config.mode is not None and config.mode not in MODES:
        field = "tool_config.function_calling_config.mode"
        yield f"Invalid value at '{field}' ({TYPES}FunctionCallingConfig.Mode), \"{config.mode}\""
    names = [each.name for each in body.functions]
    if config.mode == "ANY" and not names:
        yield "Function calling config is set without function_declarations."
    for number, name in enumerate(names):
        if not name:
            field = f"tools[0].function_declarations[{number}].name"
            yield said(field, "[FIELD_INVALID] Function name must not be empty.")
        if name in names[:number]:
            yield f"Duplicate function declaration found: {name}"
    if config.allowed_function_names and config.mode not in ("ANY", "VALIDATED"):
        yield "Allowed function names should only be set when the function calling mode is ANY or VALIDATED."
    for name in config.allowed_function_names or ():
        if name not in names:
            yield f"Allowed function name '{name}' is not among the function declarations."


def of_numbers(config: GenerationConfig) -> Iterator[str]:
    def field(name: str) -> str:
        return f"generation_config.{name}"

    for name, low, high in (("temperature", 0.0, 2.0), ("top_p", 0.0, 1.0)):
        value = getattr(config, name)
        if value is not None and not low <= value <= high:
            yield said(field(name), f"{name} must be in the range [{low}, {high}].")
    if config.top_k is not None and config.top_k < 1:
        yield said(field("top_k"), "top_k must be positive.")
    if config.max_output_tokens is not None and config.max_output_tokens < 1:
        yield said(field("max_output_tokens"), "max_output_tokens must be positive.")
    if config.candidate_count is not None and not 1 <= config.candidate_count <= MAX_CANDIDATES:
        yield said(field("candidate_count"), f"candidate_count must be in the range [1, {MAX_CANDIDATES}].")
    for name in ("presence_penalty", "frequency_penalty"):
        value = getattr(config, name)
        if value is not None and not -2 <= value < 2:
            yield said(field(name), f"{name} must be in the range [-2.0, 2.0).")
    if len(config.stop_sequences or ()) > MAX_STOPS:
        yield said(field("stop_sequences"), f"at most {MAX_STOPS} stop sequences are supported.")
    if config.logprobs is not None and not config.response_logprobs:
        yield "logprobs can only be set if response_logprobs is true."
    if config.logprobs is not None and not 0 <= config.logprobs <= MAX_LOGPROBS:
        yield said(field("logprobs"), f"logprobs must be in the range [0, {MAX_LOGPROBS}].")


def of_format(config: GenerationConfig) -> Iterator[str]:
    kind = config.response_mime_type
    has_schema = config.response_schema is not None or config.response_json_schema is not None
    field = "generation_config.response_mime_type"
    if kind is not None and kind not in MIME_TYPES:
        yield said(field, f"allowed mimetypes are `{'`, `'.join(MIME_TYPES)}`.")
    if has_schema and kind not in (JSON, ENUM):
        yield said(field, f"'{JSON}' or '{ENUM}' is required with a response schema.")
    if config.response_schema is not None and config.response_json_schema is not None:
        yield "Only one of response_schema and response_json_schema may be set."
    thinking = config.thinking_config
    if thinking is not None and thinking.thinking_level is not None:
        if thinking.thinking_level.upper() not in LEVELS:
            where = "generation_config.thinking_config.thinking_level"
            yield f"Invalid value at '{where}' ({TYPES}ThinkingConfig.ThinkingLevel), \"{thinking.thinking_level}\""
        if thinking.thinking_budget is not None:
            yield "You can only set only one of thinking budget and thinking level."
