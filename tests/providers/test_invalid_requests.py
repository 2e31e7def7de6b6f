"""Invalid requests get the error that the provider documents: the exact sentence, parameter and code."""

import json
from typing import Any

import httpx
import pytest
from tables import each_of
from talk import Serving

from emulator import Emulator

Json = dict[str, Any]
HI: list[Json] = [{"role": "user", "content": "Hi"}]
LOOK: Json = {"name": "look", "input_schema": {"type": "object"}}
OPEN: Json = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]}
CLOSED: Json = {**OPEN, "additionalProperties": False}
THINKING: Json = {"thinking": {"type": "enabled", "budget_tokens": 1024}}
USE: Json = {"type": "tool_use", "id": "c", "name": "look", "input": {}}
RESULT: Json = {"type": "tool_result", "tool_use_id": "c", "content": "Sun."}
ASKED: Json = {"role": "user", "parts": [{"text": "Hi"}]}
CALLED: Json = {"role": "model", "parts": [{"functionCall": {"name": "look", "args": {}}}]}
ANSWERED: Json = {"role": "user", "parts": [{"functionResponse": {"name": "look", "response": {}}}]}


def blocks(*content: Json) -> Json:
    return {"messages": [{"role": "user", "content": list(content)}]}


def fn(**members: Any) -> Json:
    return {"type": "function", "function": {"name": "look", "parameters": {"type": "object"}, **members}}


def call() -> Json:
    return {"id": "c", "type": "function", "function": {"name": "look", "arguments": "{}"}}


def strict(schema: Json) -> Json:
    form = {"name": "x", "strict": True, "schema": schema}
    return {"response_format": {"type": "json_schema", "json_schema": form}}


def nest(**schema: Any) -> Json:
    return {"type": "object", "properties": {"a": schema}, "required": ["a"], "additionalProperties": False}


def cfg(**members: Any) -> Json:
    return {"generationConfig": members}


def decl(*names: str) -> Json:
    return {"tools": [{"functionDeclarations": [{"name": name} for name in names]}]}


def conf(**members: Any) -> Json:
    return {"toolConfig": {"functionCallingConfig": members}}


@pytest.fixture(scope="module")
def emulator(serving: Serving) -> Emulator:
    return serving({"unmatched": "generate"})


def error_of(response: httpx.Response) -> Json | None:
    return None if response.status_code == 200 else {"status": response.status_code, **response.json()["error"]}


ANTHROPIC: list[tuple[Any, ...]] = [
    ({"max_tokens": -1}, "max_tokens: Input should be greater than or equal to 0"),
    ({"top_k": -1}, "top_k: Input should be greater than or equal to 0"),
    (
        {**THINKING, "temperature": 0.5},
        (
            "`temperature` may only be set to 1 when thinking is enabled. Please consult our "
            "documentation at "
            "https://docs.claude.com/en/docs/build-with-claude/extended-thinking#important-considerations-when-using-extended-thinking"
        ),
    ),
    (
        {**THINKING, "top_k": 5},
        (
            "`top_k` must be unset when thinking is enabled. Please consult our documentation at "
            "https://docs.claude.com/en/docs/build-with-claude/extended-thinking"
        ),
    ),
    (
        {**THINKING, "top_p": 0.5},
        (
            "`top_p` must be greater than or equal to 0.95 or unset when thinking is enabled. "
            "Please consult our documentation at "
            "https://docs.claude.com/en/docs/build-with-claude/extended-thinking"
        ),
    ),
    (
        {"tools": [{"name": "look", "input_schema": {"type": "array"}}]},
        "tools.0.custom.input_schema.type: Input should be 'object'",
    ),
    ({"tools": [{"name": "look", "input_schema": {}}]}, "tools.0.custom.input_schema.type: Field required"),
    (
        {"tools": [{**LOOK, "strict": True}]},
        ("tools.0.custom: For 'object' type, 'additionalProperties' must be explicitly set to false"),
    ),
    (
        {"tool_choice": {"type": "some"}},
        (
            "tool_choice: Input tag 'some' found using 'type' does not match any of the expected "
            "tags: 'auto', 'any', 'tool', 'none'"
        ),
    ),
    ({"output_config": {"format": {"type": "xml"}}}, "output_config.format.type: Input should be 'json_schema'"),
    ({"output_config": {"format": {"type": "json_schema"}}}, "output_config.format.schema: Field required"),
    (
        {"output_config": {"format": {"type": "json_schema", "schema": {"anyOf": [{"type": "string"}, OPEN]}}}},
        ("output_config.format.schema: For 'object' type, 'additionalProperties' must be explicitly set to false"),
    ),
    (
        {
            "output_config": {"format": {"type": "json_schema", "schema": CLOSED}},
            **blocks(
                {
                    "type": "document",
                    "source": {"type": "text", "media_type": "text/plain", "data": "x"},
                    "citations": {"enabled": True},
                },
                {"type": "text", "text": "Hi"},
            ),
        },
        "output_config.format: Output format is incompatible with citations",
    ),
    (blocks({"type": "text"}), "messages.0.content.0.text.text: Field required"),
    (
        {
            "messages": [
                *HI,
                {"role": "assistant", "content": [{"type": "tool_use", "name": "look", "input": {}}]},
                *HI,
            ],
            "tools": [LOOK],
        },
        "messages.1.content.0.tool_use.id: Field required",
    ),
    (
        {
            "messages": [
                *HI,
                {"role": "assistant", "content": [{"type": "tool_use", "id": "c", "name": "look", "input": "x"}]},
                *HI,
            ],
            "tools": [LOOK],
        },
        "messages.1.content.0.tool_use.input: Input should be an object",
    ),
    (blocks({"type": "tool_result", "content": "x"}), "messages.0.content.0.tool_result.tool_use_id: Field required"),
    (
        {"messages": [*HI, {"role": "assistant", "content": [{"type": "text", "text": "So "}]}]},
        "messages: final assistant content cannot end with trailing whitespace",
    ),
    (
        {
            "messages": [
                *HI,
                {"role": "assistant", "content": [USE]},
                {"role": "user", "content": [RESULT]},
                {"role": "assistant", "content": [USE]},
                {"role": "user", "content": [RESULT]},
            ],
            "tools": [LOOK],
        },
        "messages.3.content.0: `tool_use` ids must be unique",
    ),
    (
        {"messages": [*HI, {"role": "assistant", "content": [USE]}], "tools": [LOOK]},
        (
            "messages.1: `tool_use` ids were found without `tool_result` blocks immediately after: "
            "c. Each `tool_use` block must have a corresponding `tool_result` block in the next "
            "message."
        ),
    ),
]
CHATS: list[tuple[Any, ...]] = [
    (
        {"messages": [{"role": "user", "content": [{"type": "text", "text": "Hi"}, {"type": "text"}]}]},
        "Missing required parameter: 'messages[0].content[1].text'.",
        "messages[0].content[1].text",
        "missing_required_parameter",
    ),
    (
        {"messages": [*HI, {"role": "user", "content": None}]},
        "Invalid value for 'content': expected a string, got null.",
        "messages.[1].content",
        None,
    ),
    ({"response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": OPEN}}}, None),
    ({"reasoning_effort": "low"}, "Unrecognized request argument supplied: reasoning_effort", None, None),
    (
        {"model": "gpt-5", "reasoning_effort": "huge"},
        (
            "Invalid value: 'huge'. Supported values are: 'none', 'minimal', 'low', 'medium', "
            "'high', 'xhigh', and 'max'."
        ),
        "reasoning_effort",
        "invalid_value",
    ),
    (
        {"model": "gpt-5", "stop": "x"},
        "Unsupported parameter: 'stop' is not supported with this model.",
        "stop",
        "unsupported_parameter",
    ),
    (
        {"service_tier": "slow"},
        "Invalid value: 'slow'. Supported values are: 'auto', 'default', 'flex', 'scale', 'priority', and 'fast'.",
        "service_tier",
        "invalid_value",
    ),
    (
        {"tools": [{"type": "drill"}]},
        "Invalid value: 'drill'. Supported values are: 'function' and 'custom'.",
        "tools[0].type",
        "invalid_value",
    ),
    (
        {"response_format": {"type": "xml"}},
        "Invalid value: 'xml'. Supported values are: 'json_object', 'json_schema', and 'text'.",
        "response_format.type",
        "invalid_value",
    ),
    (
        {"response_format": {"type": "json_object"}},
        ("'messages' must contain the word 'json' in some form, to use 'response_format' of type 'json_object'."),
        "messages",
        None,
    ),
    (
        {"response_format": {"type": "json_schema"}},
        "Missing required parameter: 'response_format.json_schema'.",
        "response_format.json_schema",
        "missing_required_parameter",
    ),
    (
        {"response_format": {"type": "json_schema", "json_schema": {"schema": {}}}},
        "Missing required parameter: 'response_format.json_schema.name'.",
        "response_format.json_schema.name",
        "missing_required_parameter",
    ),
    (
        strict(OPEN),
        (
            "Invalid schema for response_format 'x': In context=(), 'additionalProperties' is "
            "required to be supplied and to be false."
        ),
        "response_format",
        None,
    ),
    (
        strict({**CLOSED, "required": []}),
        (
            "Invalid schema for response_format 'x': In context=('required',), 'required' is "
            "required to be supplied and to be an array including every key in properties. Missing "
            "'a'."
        ),
        "response_format",
        None,
    ),
    (
        strict(nest(**OPEN)),
        (
            "Invalid schema for response_format 'x': In context=('properties', 'a',), "
            "'additionalProperties' is required to be supplied and to be false."
        ),
        "response_format",
        None,
    ),
    (
        strict(nest(type="array", items=OPEN)),
        (
            "Invalid schema for response_format 'x': In context=('properties', 'a', 'items',), "
            "'additionalProperties' is required to be supplied and to be false."
        ),
        "response_format",
        None,
    ),
    (
        strict(nest(anyOf=[{"type": "string"}, OPEN])),
        (
            "Invalid schema for response_format 'x': In context=('properties', 'a', 'anyOf', '1',),"
            " 'additionalProperties' is required to be supplied and to be false."
        ),
        "response_format",
        None,
    ),
    (
        strict({**CLOSED, "$defs": {"b": OPEN}}),
        (
            "Invalid schema for response_format 'x': In context=('$defs', 'b',), "
            "'additionalProperties' is required to be supplied and to be false."
        ),
        "response_format",
        None,
    ),
    (strict({**CLOSED, "$defs": {"b": CLOSED}, "properties": {"a": True}}), None),
    (strict(nest(anyOf=[{"type": "string"}, CLOSED])), None),
    (
        {"tools": [{"type": "function"}]},
        "Missing required parameter: 'tools[0].function'.",
        "tools[0].function",
        "missing_required_parameter",
    ),
    (
        {"tools": [fn(name="a b")]},
        (
            "Invalid 'tools[0].function.name': string does not match pattern. Expected a string "
            "that matches the pattern '^[a-zA-Z0-9_-]+$'."
        ),
        "tools[0].function.name",
        "invalid_value",
    ),
    (
        {"tools": [fn(strict=True)]},
        (
            "Invalid schema for function 'look': In context=(), 'additionalProperties' is required "
            "to be supplied and to be false."
        ),
        "tools[0].function.parameters",
        "invalid_function_parameters",
    ),
    (
        {"tools": []},
        ("Invalid 'tools': empty array. Expected an array with minimum length 1, but got an empty array instead."),
        "tools",
        "empty_array",
    ),
    (
        {"tools": [fn()], "tool_choice": {"type": "function", "function": {"name": "b"}}},
        "Tool choice 'b' not found in 'tools' parameter.",
        "tool_choice",
        None,
    ),
    (
        {"tools": [fn()], "tool_choice": "some"},
        "Invalid value: 'some'. Supported values are: 'none', 'auto', and 'required'.",
        "tool_choice",
        "invalid_value",
    ),
    (
        {"messages": [*HI, {"role": "assistant", "tool_calls": [call()]}, *HI]},
        (
            "An assistant message with 'tool_calls' must be followed by tool messages responding to"
            " each 'tool_call_id'. The following tool_call_ids did not have response messages: c"
        ),
        "messages.[2].role",
        None,
    ),
    (
        {"messages": [*HI, {"role": "assistant", "tool_calls": [call()]}]},
        (
            "An assistant message with 'tool_calls' must be followed by tool messages responding to"
            " each 'tool_call_id'. The following tool_call_ids did not have response messages: c"
        ),
        "messages.[2].role",
        None,
    ),
    (
        {
            "messages": [
                *HI,
                {"role": "assistant", "tool_calls": [call()]},
                {"role": "tool", "tool_call_id": "c", "content": "x"},
            ]
        },
        None,
    ),
    (
        {"messages": [*HI, {"role": "tool", "tool_call_id": "c", "content": "x"}]},
        ("Invalid parameter: messages with role 'tool' must be a response to a preceeding message with 'tool_calls'."),
        "messages.[1].role",
        None,
    ),
    ({"n": 1.5}, "Invalid type for 'n': expected an integer, but got a decimal instead.", "n", "invalid_type"),
    (
        {"store": "x"},
        "Invalid type for 'store': expected a boolean, but got a string instead.",
        "store",
        "invalid_type",
    ),
    (
        {"model": "gpt-5", "logprobs": True},
        "Unsupported parameter: 'logprobs' is not supported with this model.",
        "logprobs",
        "unsupported_parameter",
    ),
    (
        {"model": "gpt-5", "temperature": 0.5},
        (
            "Unsupported value: 'temperature' does not support 0.5 with this model. Only the "
            "default (1) value is supported."
        ),
        "temperature",
        "unsupported_value",
    ),
    (
        {"model": "gpt-5", "max_tokens": 5},
        ("Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead."),
        "max_tokens",
        "unsupported_parameter",
    ),
    (
        {"stop": list("abcde")},
        (
            "Invalid 'stop': array too long. Expected an array with maximum length 4, but got an "
            "array with length 5 instead."
        ),
        "stop",
        "array_above_max_length",
    ),
    (
        {"stream_options": {"include_usage": True}},
        "The 'stream_options' parameter is only allowed when 'stream' is enabled.",
        "stream_options",
        None,
    ),
    (
        {"top_logprobs": 2},
        "The 'top_logprobs' parameter is only allowed when 'logprobs' is enabled.",
        "top_logprobs",
        None,
    ),
    (
        {"max_tokens": 1, "max_completion_tokens": 1},
        "Setting 'max_tokens' and 'max_completion_tokens' at the same time is not supported.",
        "max_tokens",
        "invalid_parameter_combination",
    ),
    (
        {"messages": [{"role": "user", "content": "x " * 200000}]},
        (
            "This model's maximum context length is 128000 tokens. However, your messages resulted "
            "in 200008 tokens. Please reduce the length of the messages."
        ),
        "messages",
        "context_length_exceeded",
    ),
]
RESPONSES: list[tuple[Any, ...]] = [
    (
        {"input": [{"type": "message", "role": "user"}]},
        "Missing required parameter: 'input[0].content'.",
        "input[0].content",
        "missing_required_parameter",
    ),
    (
        {"input": [{"type": "message", "content": "Hi"}]},
        "Missing required parameter: 'input[0].role'.",
        "input[0].role",
        "missing_required_parameter",
    ),
    (
        {"model": "gpt-5", "input": [{"type": "reasoning", "summary": [], "encrypted_content": "gAAAAAB" + 32 * "a"}]},
        "The encrypted content gAAA...aaaa could not be verified. Reason: Encrypted content could not be decrypted or "
        "parsed.",
        None,
        "invalid_encrypted_content",
    ),
    (
        {"reasoning": {"effort": "low"}},
        "Unsupported parameter: 'reasoning.effort' is not supported with this model.",
        "reasoning.effort",
        "unsupported_parameter",
    ),
    (
        {"reasoning": {"summary": "auto"}},
        "Unsupported parameter: 'reasoning.summary' is not supported with this model.",
        "reasoning.summary",
        "unsupported_parameter",
    ),
    (
        {"model": "gpt-5", "reasoning": {"effort": "huge"}},
        (
            "Invalid value: 'huge'. Supported values are: 'none', 'minimal', 'low', 'medium', "
            "'high', 'xhigh', and 'max'."
        ),
        "reasoning.effort",
        "invalid_value",
    ),
    (
        {"text": {"format": {"type": "xml"}}},
        "Invalid value: 'xml'. Supported values are: 'json_object', 'json_schema', and 'text'.",
        "text.format.type",
        "invalid_value",
    ),
    (
        {"text": {"format": {"type": "json_object"}}},
        (
            "Response input messages must contain the word 'json' in some form to use 'text.format'"
            " of type 'json_object'."
        ),
        "input",
        None,
    ),
    ({"text": {"format": {"type": "json_schema", "name": "x", "schema": OPEN}}}, None),
    (
        {"tools": [{"type": "function"}]},
        "Missing required parameter: 'tools[0].name'.",
        "tools[0].name",
        "missing_required_parameter",
    ),
    (
        {"tools": [{"type": "function", "name": "a b"}]},
        (
            "Invalid 'tools[0].name': string does not match pattern. Expected a string that matches"
            " the pattern '^[a-zA-Z0-9_-]+$'."
        ),
        "tools[0].name",
        "invalid_value",
    ),
    (
        {"tools": [{"type": "function", "name": "a"}], "tool_choice": {"type": "function", "name": "b"}},
        "Tool choice 'b' not found in 'tools' parameter.",
        "tool_choice",
        None,
    ),
    (
        {"tool_choice": "required"},
        "Tool choice 'required' must be specified with 'tools' parameter.",
        "tool_choice",
        None,
    ),
    (
        {"tool_choice": "some"},
        "Invalid value: 'some'. Supported values are: 'none', 'auto', and 'required'.",
        "tool_choice",
        "invalid_value",
    ),
    (
        {"input": [{"type": "poem"}]},
        (
            "Invalid value: 'poem'. Supported values are: 'message', 'reasoning', 'function_call', "
            "'function_call_output', 'custom_tool_call', 'custom_tool_call_output', "
            "'item_reference', 'web_search_call', 'file_search_call', 'computer_call', "
            "'computer_call_output', 'image_generation_call', 'code_interpreter_call', "
            "'local_shell_call', 'local_shell_call_output', 'shell_call', 'shell_call_output', "
            "'apply_patch_call', 'apply_patch_call_output', 'mcp_list_tools', "
            "'mcp_approval_request', 'mcp_approval_response', 'mcp_call', and 'compaction'."
        ),
        "input[0]",
        "invalid_value",
    ),
    (
        {"input": [{"type": "function_call", "name": "a", "arguments": "{}"}]},
        "Missing required parameter: 'input[0].call_id'.",
        "input[0].call_id",
        "missing_required_parameter",
    ),
    (
        {"input": [{"type": "reasoning", "encrypted_content": "gAAAAAx"}]},
        (
            "The encrypted content gAAA...AAAx could not be verified. Reason: Encrypted content "
            "could not be decrypted or parsed."
        ),
        None,
        "invalid_encrypted_content",
    ),
    (
        {"input": None},
        "One of \"input\" or \"previous_response_id\" or 'prompt' or 'conversation' must be provided.",
        "input",
        "missing_required_parameter",
    ),
    (
        {"background": True, "store": False},
        "Background responses have to be stored: leave 'store' out.",
        "background",
        "invalid_value",
    ),
    (
        {"input": "x " * 200000},
        (
            "This model's maximum context length is 128000 tokens. However, your messages resulted "
            "in 200008 tokens. Please reduce the length of the messages."
        ),
        "input",
        "context_length_exceeded",
    ),
    (
        [],
        (
            "We could not parse the JSON body of your request. (HINT: This likely means you aren't "
            "using your HTTP library correctly. The OpenAI API expects a JSON payload, but what was"
            " sent was not valid JSON. If you have trouble figuring out how to fix this, please "
            "contact us through our help center at help.openai.com.)"
        ),
        None,
        None,
    ),
    (
        "x",
        (
            "We could not parse the JSON body of your request. (HINT: This likely means you aren't "
            "using your HTTP library correctly. The OpenAI API expects a JSON payload, but what was"
            " sent was not valid JSON. If you have trouble figuring out how to fix this, please "
            "contact us through our help center at help.openai.com.)"
        ),
        None,
        None,
    ),
    (
        {"model": "gpt-5", "temperature": 0.5},
        "Unsupported parameter: 'temperature' is not supported with this model.",
        "temperature",
        "unsupported_parameter",
    ),
]
DEEPSEEK: list[tuple[Any, ...]] = [
    ({"input": []}, "Empty input messages"),
    (
        {"reasoning": {"effort": "huge"}},
        (
            "Failed to deserialize the JSON body into the target type: reasoning.effort: unknown "
            "variant `huge`, expected one of `none`, `minimal`, `low`, `medium`, `high`, `xhigh`, "
            "`max`, `ultra`"
        ),
    ),
    (
        {"text": {"format": {"type": "xml"}}},
        (
            "Failed to deserialize the JSON body into the target type: text.format.type: unknown "
            "variant `xml`, expected one of `text`, `json_object`, `json_schema`"
        ),
    ),
    (
        {"text": {"format": {"type": "json_schema", "name": "x"}}},
        ("Failed to deserialize the JSON body into the target type: text.format: missing field `schema`"),
    ),
    (
        {"tools": [{"type": "function"}]},
        "Failed to deserialize the JSON body into the target type: tools[0]: missing field `name`",
    ),
    (
        {"tools": [{"type": "function", "name": "a b"}]},
        "Invalid tools[0].name: it must match [a-zA-Z0-9_-] and be at most 128 characters long",
    ),
    ({"tools": [{"type": "function", "name": "a"}] * 2}, "Duplicate tool name 'a'"),
    (
        {"tool_choice": "some"},
        (
            "Failed to deserialize the JSON body into the target type: tool_choice: unknown variant"
            " `some`, expected one of `none`, `auto`, `required`"
        ),
    ),
    (
        {
            "input": [
                {"role": "system", "content": [{"type": "input_image", "image_url": "https://a.example/x.png"}]},
                {"role": "user", "content": "Hi"},
            ]
        },
        "input_image is not supported in system messages",
    ),
]
GEMINI: list[tuple[Any, ...]] = [
    (
        {"contents": [ASKED, {"role": "model", "parts": [{"text": "x"}]}, CALLED, ANSWERED]},
        (
            "Please ensure that function call turn comes immediately after a user turn or after a "
            "function response turn."
        ),
    ),
    (
        {"contents": [ASKED, CALLED, {"role": "user", "parts": ANSWERED["parts"] * 2}]},
        (
            "Please ensure that the number of function response parts is equal to the number of "
            "function call parts of the function call turn."
        ),
    ),
    (
        {"contents": [ASKED, ANSWERED]},
        "Please ensure that function response turn comes immediately after a function call turn.",
    ),
    (
        conf(mode="SOME"),
        (
            "Invalid value at 'tool_config.function_calling_config.mode' "
            "(type.googleapis.com/google.ai.generativelanguage.v1beta.FunctionCallingConfig.Mode), "
            '"SOME"'
        ),
    ),
    (
        {**decl("")},
        (
            "* GenerateContentRequest.tools[0].function_declarations[0].name: [FIELD_INVALID] "
            "Function name must not be empty.\n"
        ),
    ),
    (decl("a", "a"), "Duplicate function declaration found: a"),
    (
        {**decl("a"), **conf(allowedFunctionNames=["a"])},
        ("Allowed function names should only be set when the function calling mode is ANY or VALIDATED."),
    ),
    (
        {**decl("a"), **conf(mode="ANY", allowedFunctionNames=["b"])},
        "Allowed function name 'b' is not among the function declarations.",
    ),
    (cfg(topK=0), "* GenerateContentRequest.generation_config.top_k: top_k must be positive.\n"),
    (
        cfg(candidateCount=9),
        ("* GenerateContentRequest.generation_config.candidate_count: candidate_count must be in the range [1, 8].\n"),
    ),
    (
        cfg(presencePenalty=2),
        (
            "* GenerateContentRequest.generation_config.presence_penalty: presence_penalty must be "
            "in the range [-2.0, 2.0).\n"
        ),
    ),
    (
        cfg(stopSequences=list("abcdef")),
        ("* GenerateContentRequest.generation_config.stop_sequences: at most 5 stop sequences are supported.\n"),
    ),
    (cfg(logprobs=2), "logprobs can only be set if response_logprobs is true."),
    (
        cfg(responseLogprobs=True, logprobs=99),
        ("* GenerateContentRequest.generation_config.logprobs: logprobs must be in the range [0, 20].\n"),
    ),
    (
        cfg(responseSchema={"type": "STRING"}),
        (
            "* GenerateContentRequest.generation_config.response_mime_type: 'application/json' or "
            "'text/x.enum' is required with a response schema.\n"
        ),
    ),
    (
        cfg(
            responseMimeType="application/json",
            responseSchema={"type": "STRING"},
            responseJsonSchema={"type": "string"},
        ),
        "Only one of response_schema and response_json_schema may be set.",
    ),
    (
        cfg(thinkingConfig={"thinkingLevel": "huge"}),
        (
            "Invalid value at 'generation_config.thinking_config.thinking_level' "
            "(type.googleapis.com/google.ai.generativelanguage.v1beta.ThinkingConfig.ThinkingLevel),"
            ' "huge"'
        ),
    ),
    (
        cfg(thinkingConfig={"thinkingLevel": "low", "thinkingBudget": 5}),
        "You can only set only one of thinking budget and thinking level.",
    ),
]


@each_of(("members", "message"), ANTHROPIC)
def test_anthropic_refuses(members: Json, message: str, emulator: Emulator, http: httpx.Client) -> None:
    body = {"model": "claude-sonnet-4-5", "max_tokens": 2000, "messages": HI, **members}
    headers = {"x-api-key": "sk-ant-test", "anthropic-version": "2023-06-01"}
    response = http.post(f"{emulator.url('anthropic')}/v1/messages", json=body, headers=headers)
    assert error_of(response) == {"status": 400, "type": "invalid_request_error", "message": message}


def expected(message: str | None, param: str | None = None, code: str | None = None) -> Json | None:
    if message is None:
        return None
    return {"status": 400, "message": message, "type": "invalid_request_error", "param": param, "code": code}


OPENAI_ELSEWHERE: list[tuple[Any, ...]] = [
    ("/v1/embeddings", {}, "Missing required parameter: 'input'.", "input", "missing_required_parameter"),
    (
        "/v1/embeddings",
        {"input": "x", "encoding_format": "hex"},
        "Invalid value: 'hex'. Supported values are: 'float' and 'base64'.",
        "encoding_format",
        "invalid_value",
    ),
    (
        "/v1/embeddings",
        {"model": "text-embedding-ada-002", "input": "x", "dimensions": 5},
        "This model does not support specifying dimensions.",
        "dimensions",
        None,
    ),
    (
        "/v1/embeddings",
        {"input": "x", "dimensions": "x"},
        "Invalid type for 'dimensions': expected an integer, but got a string instead.",
        "dimensions",
        "invalid_type",
    ),
    (
        "/v1/moderations",
        {"model": "omni-moderation-latest"},
        "Missing required parameter: 'input'.",
        "input",
        "missing_required_parameter",
    ),
]


@pytest.mark.parametrize("row", OPENAI_ELSEWHERE)
def test_openai_refuses_embeddings_and_moderations(
    row: tuple[Any, ...], emulator: Emulator, http: httpx.Client
) -> None:
    path, members, *error = row
    body = {"model": "text-embedding-3-small", **members}
    assert sent(emulator, http, "openai", path, body) == expected(*error)


OPENROUTER: list[tuple[Json, str]] = [
    ({"model": "", "models": []}, "No models provided"),
    ({"messages": []}, 'Input required: specify "prompt" or "messages"'),
    ({"max_tokens": 0}, "max_tokens must be at least 1"),
    ({"reasoning": {"effort": "huge"}}, "reasoning.effort: expected one of none, minimal, low, medium, high, xhigh"),
]


@pytest.mark.parametrize(("members", "message"), OPENROUTER)
def test_openrouter_refuses(members: Json, message: str, emulator: Emulator, http: httpx.Client) -> None:
    body = {"model": "openai/gpt-4o", "messages": HI, **members}
    error = sent(emulator, http, "openrouter", "/api/v1/chat/completions", body)
    assert error == {"status": 400, "message": message, "code": 400}


NO_MODEL = "Model name not specified, model name cannot be empty"
SEREVIX: list[tuple[Any, ...]] = [
    ("/v1/images/generations", {"prompt": "x"}, NO_MODEL, "new_api_error"),
    ("/v1/embeddings", {"input": "x"}, NO_MODEL, "new_api_error"),
    (
        "/v1/embeddings",
        {"model": "text-embedding-3-small", "input": "x", "encoding_format": "hex"},
        "Invalid encoding_format: hex",
        "invalid_request_error",
    ),
    (
        "/v1/embeddings",
        {"model": "text-embedding-3-small", "input": "x", "dimensions": 0},
        "Invalid dimensions: 0",
        "invalid_request_error",
    ),
]


@pytest.mark.parametrize(("path", "body", "message", "kind"), SEREVIX)
def test_serevix_refuses_media(
    path: str, body: Json, message: str, kind: str, emulator: Emulator, http: httpx.Client
) -> None:
    error = sent(emulator, http, "serevix", path, body)
    assert error is not None
    assert (error["status"], error["message"].partition(" (request id: ")[0], error["type"]) == (400, message, kind)


UNREADABLE: list[tuple[str, str, bytes, str]] = [
    ("anthropic", "/v1/messages", b"[]", "Input should be an object"),
    ("anthropic", "/v1/messages", b"{", "The request body is not valid JSON: unexpected end of data"),
    ("gemini", "/v1beta/openai/chat/completions", b"{", "Invalid JSON payload received. Unexpected token."),
    ("gemini", "/v1beta/openai/embeddings", b"{", "Invalid JSON payload received. Unexpected token."),
    (
        "gemini",
        "/v1beta/openai/embeddings",
        b'{"model": "gemini-embedding-001", "input": "x", "dimensions": "x"}',
        "Invalid JSON payload received. Invalid value at 'dimensions'.",
    ),
    (
        "gemini",
        "/v1beta/openai/chat/completions",
        b'{"model": "gemini-2.5-flash", "messages": [{"role": "user", "content": "Hi"}], "reasoning_effort": "huge"}',
        "Invalid reasoning_effort: huge. Valid values are: none, minimal, low, medium, high",
    ),
    (
        "gemini",
        "/v1beta/models/gemini-2.5-flash:generateContent?key=k",
        b"[]",
        'Invalid JSON payload received. Unknown name "": Root element must be a message.',
    ),
    (
        "gemini",
        "/v1beta/models/gemini-2.5-flash:generateContent?key=k",
        b'{"contents": [], "generationConfig": {"temperature": [1]}}',
        "Invalid JSON payload received. Unknown name \"temperature\" at 'generation_config': Proto field is not "
        "repeating, cannot start list.",
    ),
    (
        "gemini",
        "/v1beta/models/gemini-2.5-flash:generateContent?key=k",
        b'{"contents": [], "cachedContent": [1]}',
        'Invalid JSON payload received. Unknown name "cachedContent": Proto field is not repeating, cannot start list.',
    ),
    (
        "gemini",
        "/v1beta/models/gemini-2.5-flash:generateContent?key=k",
        b'{"contents": [], "generationConfig": {"temperature": {}}}',
        "Invalid value at 'generation_config.temperature', {}",
    ),
    (
        "gemini",
        "/v1beta/models/gemini-2.5-flash:generateContent?key=k",
        b'{"contents": [{"role": "user", "parts": [{"text": "' + b"x " * 1_048_577 + b'"}]}]}',
        "The input token count (1048578) exceeds the maximum number of tokens allowed (1048576).",
    ),
]


@pytest.mark.parametrize(("provider", "path", "body", "message"), UNREADABLE, ids=range(len(UNREADABLE)))
def test_a_body_that_cannot_be_read_is_refused(
    provider: str, path: str, body: bytes, message: str, emulator: Emulator, http: httpx.Client
) -> None:
    headers = {"x-api-key": "sk-ant-test", "anthropic-version": "2023-06-01"}
    if provider == "gemini":
        headers = {"authorization": "Bearer sk-test"}
    headers["content-type"] = "application/json"
    response = http.post(emulator.url(provider) + path, content=body, headers=headers)
    answer = response.json()
    assert response.status_code == 400
    assert (answer[0] if isinstance(answer, list) else answer)["error"]["message"] == message


@pytest.mark.parametrize(
    ("provider", "path", "message"),
    [
        ("gemini", "/v1beta/models?pageSize=x", "Invalid value at 'pageSize', \"x\""),
        (
            "anthropic",
            "/v1/models?limit=x",
            "limit: Input should be a valid integer, unable to parse string as an integer",
        ),
    ],
)
def test_the_size_of_a_page_is_a_number(
    provider: str, path: str, message: str, emulator: Emulator, http: httpx.Client
) -> None:
    headers = {"x-api-key": "sk-ant-test", "anthropic-version": "2023-06-01", "x-goog-api-key": "k"}
    response = http.get(emulator.url(provider) + path, headers=headers)
    assert (response.status_code, response.json()["error"]["message"]) == (400, message)


def sent(emulator: Emulator, http: httpx.Client, provider: str, path: str, body: Any) -> Json | None:
    headers = {"authorization": "Bearer sk-test"}
    return error_of(http.post(emulator.url(provider) + path, json=body, headers=headers))


@each_of("row", CHATS)
def test_openai_refuses_chats(row: tuple[Any, ...], emulator: Emulator, http: httpx.Client) -> None:
    members, *error = row
    body = {"model": "gpt-4o", "messages": HI, **members}
    assert sent(emulator, http, "openai", "/v1/chat/completions", body) == expected(*error)


@each_of("row", RESPONSES)
def test_openai_refuses_responses(row: tuple[Any, ...], emulator: Emulator, http: httpx.Client) -> None:
    members, *error = row
    body = {"model": "gpt-4o", "input": "Hi", **members} if isinstance(members, dict) else members
    assert sent(emulator, http, "openai", "/v1/responses", body) == expected(*error)


@pytest.mark.parametrize(("members", "message"), DEEPSEEK)
def test_deepseek_refuses_responses(members: Json, message: str, emulator: Emulator, http: httpx.Client) -> None:
    body = {"model": "deepseek-v4-pro", "input": "Hi", **members}
    assert sent(emulator, http, "deepseek", "/responses", body) == expected(message, None, "invalid_request_error")


@each_of(("members", "message"), GEMINI)
def test_gemini_refuses(members: Json, message: str, emulator: Emulator, http: httpx.Client) -> None:
    url = f"{emulator.url('gemini')}/v1beta/models/gemini-2.5-flash:generateContent"
    response = http.post(url, json={"contents": [ASKED], **members}, headers={"x-goog-api-key": "k"})
    assert error_of(response) == {"status": "INVALID_ARGUMENT", "code": 400, "message": message}


VISION = "deepseek-v4-flash-vision-exp"
EMBED = "/v1beta/models/gemini-embedding-001"
PART: Json = {"parts": [{"text": "x"}]}
PICTURES = "/v1/ai/x/images/generations"


def picture(role: str = "user", **members: Any) -> Json:
    return {"model": VISION, "messages": [{"role": role, "content": [{"type": "image_url", **members}]}, *HI]}


DEEP = b"[" * 200 + b"]" * 200
MANY = b"[" + b"0," * 200_000

ELSEWHERE: list[tuple[str, str, Any, str]] = [
    (
        "deepseek",
        "/chat/completions",
        b'{"messages": 5, "x": ' + DEEP + b"}",
        "Failed to deserialize the JSON body into the target type: missing field `model` at line 1 column 422",
    ),
    (
        "deepseek",
        "/chat/completions",
        b'{"x": ' + MANY,
        "Failed to parse the request body as JSON: unexpected end of data at line 1 column 400008",
    ),
    (
        "deepseek",
        "/beta/completions",
        {"model": "deepseek-v4-pro", "prompt": "x", "stop": ["a"] * 17},
        "Invalid stop value, the valid range of the length of stop is [0, 16]",
    ),
    (
        "deepseek",
        "/anthropic/v1/messages",
        {
            "model": "deepseek-v4-pro",
            "max_tokens": 9,
            **blocks({"type": "image", "source": {"type": "url", "url": "https://a.example/x.png"}}),
        },
        "This model does not support image",
    ),
    (
        "maxtoken",
        "/v1/chat/completions",
        {"model": "qwen3-max", "messages": HI, "max_tokens": 0},
        "max_tokens must be at least 1",
    ),
    (
        "cloudsway",
        "/v1/ai/x/google/chat/completions",
        {"messages": 5},
        "Failed to deserialize the JSON body into the target type: messages: invalid type: integer `5`, expected a "
        "sequence",
    ),
    ("deepseek", "/chat/completions", picture(), "image_url must have url"),
    (
        "deepseek",
        "/chat/completions",
        picture(image_url={"url": "ftp://a.example/x.png"}),
        "Invalid image_url: it must be a data URL or a link",
    ),
    (
        "deepseek",
        "/chat/completions",
        picture(image_url={"url": "https://a.example/" + "x" * 8192}),
        "Invalid image_url: a link may have 8192 characters",
    ),
    (
        "deepseek",
        "/chat/completions",
        picture("system", image_url={"url": "https://a.example/x.png"}),
        "Images are only supported in user messages",
    ),
    (
        "deepseek",
        "/chat/completions",
        b'{"a": 1e',
        "Failed to parse the request body as JSON: a: EOF while parsing a value at line 1 column 8",
    ),
    (
        "deepseek",
        "/chat/completions",
        b'{"a": "\\ud800',
        "Failed to parse the request body as JSON: a: EOF while parsing a string at line 1 column 13",
    ),
    (
        "gemini",
        f"{EMBED}:batchEmbedContents",
        {"requests": []},
        "* BatchEmbedContentsRequest.requests: requests is not specified\n",
    ),
    (
        "gemini",
        f"{EMBED}:batchEmbedContents",
        {"requests": [{"content": PART}] * 101},
        "* BatchEmbedContentsRequest.requests: at most 100 requests can be in one batch\n",
    ),
    (
        "gemini",
        f"{EMBED}:batchEmbedContents",
        {"requests": [{"model": "models/other", "content": PART}]},
        "* BatchEmbedContentsRequest.requests[0].model: the model must match the one in the URL, "
        "models/gemini-embedding-001\n",
    ),
    ("gemini", f"{EMBED}:embedContent", {}, "* EmbedContentRequest.content: content is not specified\n"),
    (
        "gemini",
        f"{EMBED}:embedContent",
        {"content": PART, "outputDimensionality": 0},
        "* EmbedContentRequest.output_dimensionality: must be in the range [1, 3072].\n",
    ),
    ("cloudsway", PICTURES, {"prompt": "x" * 32_001}, "prompt must be at most 32000 characters long"),
    (
        "cloudsway",
        PICTURES,
        {"prompt": "x", "output_compression": 101},
        "Invalid output_compression: 101, the valid range is [0, 100]",
    ),
    (
        "cloudsway",
        PICTURES,
        {"prompt": "x", "partial_images": 9},
        "Invalid partial_images: 9, the valid range is [0, 3]",
    ),
    (
        "openai",
        "/v1/chat/completions",
        {"model": "gpt-5", "messages": HI, "presence_penalty": 1.0},
        "Unsupported value: 'presence_penalty' does not support 1 with this model. Only the default (0) value is "
        "supported.",
    ),
    (
        "openai",
        "/v1/chat/completions",
        {"model": "gpt-4o", "messages": HI, "temperature": True},
        "Invalid type for 'temperature': expected a decimal, but got a boolean instead.",
    ),
    (
        "openrouter",
        "/api/v1/chat/completions",
        {"model": "openai/gpt-4o", "messages": [{"role": "user", "content": "x " * 130_000}]},
        "This endpoint's maximum context length is 128000 tokens. However, you requested about 130005 tokens (130005 "
        "of text input). Please reduce the length of either one.",
    ),
]


@pytest.mark.parametrize(("provider", "path", "body", "message"), ELSEWHERE, ids=range(len(ELSEWHERE)))
def test_what_a_provider_does_not_take_is_refused_in_its_words(
    provider: str, path: str, body: Any, message: str, emulator: Emulator, http: httpx.Client
) -> None:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    headers = {"authorization": "Bearer sk-test", "x-goog-api-key": "k", "content-type": "application/json"}
    response = http.post(emulator.url(provider) + path, content=content, headers=headers)
    assert (response.status_code, response.json()["error"]["message"]) == (400, message)


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/responses"])
def test_openai_hints_at_the_library_that_sends_no_json(path: str, emulator: Emulator, http: httpx.Client) -> None:
    headers = {"authorization": "Bearer sk-test", "content-type": "application/json"}
    response = http.post(emulator.url("openai") + path, content=b"{", headers=headers)
    error = error_of(response)
    assert error is not None
    assert error["message"].startswith("We could not parse the JSON body of your request. (HINT: ")
    assert (error["status"], error["param"], error["code"]) == (400, None, None)
