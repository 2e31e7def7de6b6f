"""What OpenAI rejects in a chat completion, with its own messages."""

import re
from collections.abc import Iterator, Mapping

from emulator.dialects.base import ProviderError
from emulator.providers import openai_words as words
from emulator.providers.openai_chat_input import OpenAIBody, read_choice, read_message, read_tools
from emulator.providers.openai_models import is_thinker, thinks
from emulator.providers.openai_words import wrong

EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh", "max")


DEFAULTS: Mapping[str, float] = {"temperature": 1, "top_p": 1, "presence_penalty": 0, "frequency_penalty": 0}
"""The only values that reasoning models accept."""
NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")


def complaints_of_model(body: OpenAIBody, model: str) -> Iterator[ProviderError | None]:
    """Yields the parameters that a model doesn't support: reasoning models take no sampling, others no effort."""
    if not is_thinker(model):
        if body.reasoning_effort is not None:
            yield wrong("Unrecognized request argument supplied: reasoning_effort")
        return
    if body.max_tokens is not None:
        yield words.unsupported("max_tokens", "max_completion_tokens")
    if body.reasoning_effort is not None and body.reasoning_effort not in EFFORTS:
        yield words.not_one_of("reasoning_effort", body.reasoning_effort, EFFORTS)
    if not thinks(model, body.reasoning_effort):
        return
    for name, default in DEFAULTS.items():
        value = getattr(body, name)
        if value is not None and value != default:
            yield words.not_default(name, value, default)
    for name in ("logprobs", "top_logprobs", "logit_bias", "stop"):
        if getattr(body, name):
            yield words.unsupported(name)


def complaints_of_format(body: OpenAIBody) -> Iterator[ProviderError | None]:
    """Yields the problems of the requested format."""
    form = body.response_format
    if form is None:
        return
    if form.type not in ("text", "json_object", "json_schema"):
        yield words.not_one_of("response_format.type", form.type, ("json_object", "json_schema", "text"))
    if form.type == "json_object" and not any("json" in read_message(each).content.lower() for each in body.messages):
        yield wrong(
            "'messages' must contain the word 'json' in some form, to use 'response_format' of type 'json_object'.",
            None,
            "messages",
        )
    if form.type == "json_schema":
        asked = form.json_schema
        if asked is None:
            yield words.missing("response_format.json_schema")
        elif not asked.get("name"):
            yield words.missing("response_format.json_schema.name")
        elif asked.get("strict"):
            name = f"response_format '{asked.get('name')}'"
            yield words.complaint_of_schema(asked.get("schema"), "response_format", name)


def complaints_of_tools(body: OpenAIBody) -> Iterator[ProviderError | None]:
    """Yields the problems of the tools."""
    for number, offer in enumerate(body.tools or ()):
        said = offer.function if offer.type == "function" else offer.custom
        param = f"tools[{number}].{offer.type}"
        if said is None:
            yield words.missing(param)
        elif not NAME.fullmatch(said.name):
            yield wrong(
                f"Invalid '{param}.name': string does not match pattern. Expected a string that matches the pattern "
                "'^[a-zA-Z0-9_-]+$'.",
                "invalid_value",
                f"{param}.name",
            )
        elif said.strict:
            yield words.complaint_of_schema(said.parameters, f"{param}.parameters", f"function '{said.name}'")
    if body.tools is not None and not body.tools:
        yield words.empty("tools")
    if not body.tools:
        for name in ("tool_choice", "parallel_tool_calls"):
            if getattr(body, name) is not None:
                yield wrong(f"'{name}' is only allowed when 'tools' are specified.", None, name)
    choice = read_choice(body.tool_choice)
    kind, _, name = choice.partition(":")
    if kind == "name" and all(tool.name != name for tool in read_tools(body.tools)):
        yield wrong(f"Tool choice '{name}' not found in 'tools' parameter.", None, "tool_choice")
    elif kind not in ("none", "auto", "required", "name"):
        yield words.not_one_of("tool_choice", choice, ("none", "auto", "required"))


def complaints_of_conversation(body: OpenAIBody) -> Iterator[ProviderError | None]:
    """Yields tool calls without a result before the next message, and results without a call."""
    waiting: dict[str, None] = {}
    is_open = False
    for number, message in enumerate(body.messages):
        if message.role == "tool":
            if not is_open:
                yield wrong(
                    "Invalid parameter: messages with role 'tool' must be a response to a preceeding message with "
                    "'tool_calls'.",
                    None,
                    f"messages.[{number}].role",
                )
            waiting.pop(message.tool_call_id or "", None)
            continue
        if waiting:
            yield unanswered(waiting, number)
        waiting = {call.id: None for call in message.tool_calls or ()}
        is_open = bool(waiting)
        if message.content is None and not message.tool_calls and message.refusal is None:
            yield wrong(
                "Invalid value for 'content': expected a string, got null.", None, f"messages.[{number}].content"
            )
    if waiting:
        yield unanswered(waiting, len(body.messages))


def unanswered(waiting: Mapping[str, None], number: int) -> ProviderError:
    return wrong(
        "An assistant message with 'tool_calls' must be followed by tool messages responding to each 'tool_call_id'. "
        f"The following tool_call_ids did not have response messages: {', '.join(waiting)}",
        None,
        f"messages.[{number}].role",
    )
