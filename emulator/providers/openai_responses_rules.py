"""What OpenAI rejects in a request for a response, with its own messages."""

import base64
from collections.abc import Iterator, Sequence
from typing import Any

from emulator import seeded
from emulator.dialects.base import ProviderError, provider_error
from emulator.dialects.responses_input import (
    CALLS,
    RESULTS,
    ItemBody,
    read_input,
    read_tool_choice,
)
from emulator.providers import openai_words as words
from emulator.providers.openai_chat_rules import EFFORTS, NAME
from emulator.providers.openai_models import is_thinker, thinks
from emulator.providers.openai_responses_input import OpenAIItem, OpenAIResponsesBody
from emulator.providers.openai_words import wrong
from emulator.request import Message
from emulator.stored import ResponseStore, StoredResponse

INCLUDED = {
    "thoughts": "reasoning.encrypted_content",
    "logprobs": "message.output_text.logprobs",
}


SEALED = "gAAAAAB"
"""The prefix of encrypted thoughts."""


ITEMS = (
    "message", "reasoning", "function_call", "function_call_output", "custom_tool_call", "custom_tool_call_output",
    "item_reference", "web_search_call", "file_search_call", "computer_call", "computer_call_output",
    "image_generation_call", "code_interpreter_call", "local_shell_call", "local_shell_call_output", "shell_call",
    "shell_call_output", "apply_patch_call", "apply_patch_call_output", "mcp_list_tools", "mcp_approval_request",
    "mcp_approval_response", "mcp_call", "compaction",
)  # fmt: skip


LONG_ID = 48


def sealed_of(text: str) -> str:
    data = text.encode()
    return SEALED + base64.urlsafe_b64encode(seeded.digest("sealed", data)[:16] + data).decode()


def unsealed(sealed: str) -> str | None:
    """Returns the thought; None if `sealed_of` did not make it."""
    try:
        data = base64.urlsafe_b64decode(sealed.removeprefix(SEALED))
    except ValueError:
        return None
    if not sealed.startswith(SEALED) or seeded.digest("sealed", data[16:])[:16] != data[:16]:
        return None
    return data[16:].decode("utf-8", "replace")


def kept(id: str, store: ResponseStore | None) -> tuple[ResponseStore, StoredResponse]:
    """Returns a stored response. Raises ProviderError."""
    stored = store.get(id) if store is not None else None
    if store is None or stored is None:
        raise provider_error("not_found", f"Response with id '{id}' not found.")
    return store, stored


def previous(id: str, store: ResponseStore | None) -> StoredResponse:
    """Returns the response that a request continues. Raises ProviderError."""
    stored = store.get(id) if store is not None else None
    if stored is None:
        raise wrong(
            f"Previous response with id '{id}' not found.", "previous_response_not_found", "previous_response_id"
        )
    return stored


def referred(body: OpenAIResponsesBody, store: ResponseStore | None) -> Any:
    """Returns the input with referenced items resolved and encrypted thoughts decrypted."""
    if not isinstance(body.input, list):
        return body.input
    items: list[ItemBody] = []
    for item in body.input:
        if item.kind == "item_reference" and store is not None and (found := store.item(item.id or "")) is not None:
            items.append(OpenAIItem.model_validate(found))
        elif item.kind == "reasoning" and item.encrypted_content is not None:
            items.append(item.model_copy(update={"content": unsealed(item.encrypted_content)}))
        else:
            items.append(item)
    return items


def complaints_of_model(body: OpenAIResponsesBody, model: str) -> Iterator[ProviderError | None]:
    """Yields the parameters that a model doesn't support."""
    effort = body.reasoning.effort if body.reasoning is not None else None
    if not is_thinker(model):
        if effort is not None:
            yield words.unsupported("reasoning.effort")
        if body.reasoning is not None and body.reasoning.summary is not None:
            yield words.unsupported("reasoning.summary")
        return
    if effort is not None and effort not in EFFORTS:
        yield words.not_one_of("reasoning.effort", effort, EFFORTS)
    if thinks(model, effort):
        for name in ("temperature", "top_p", "top_logprobs"):
            if getattr(body, name) not in (None, 1, 0):
                yield words.unsupported(name)


def complaints_of_format(body: OpenAIResponsesBody) -> Iterator[ProviderError | None]:
    """Yields the problems of the requested format."""
    form = body.format
    kind = form.get("type")
    if kind not in ("text", "json_object", "json_schema"):
        yield words.not_one_of("text.format.type", kind, ("json_object", "json_schema", "text"))
    if kind == "json_object" and not any("json" in each.content.lower() for each in read_input(body, "system")):
        yield wrong(
            "Response input messages must contain the word 'json' in some form to use 'text.format' of type "
            "'json_object'.",
            None,
            "input",
        )
    if kind == "json_schema":
        for name in ("name", "schema"):
            if not form.get(name):
                yield words.missing(f"text.format.{name}")
        if form.get("strict"):
            name = f"response_format '{form.get('name')}'"
            yield words.complaint_of_schema(form.get("schema"), "text.format.schema", name)


def complaints_of_tools(body: OpenAIResponsesBody) -> Iterator[ProviderError | None]:
    """Yields the problems of the tools."""
    for number, tool in enumerate(body.tools or ()):
        param = f"tools[{number}].name"
        if tool.type not in ("function", "custom"):
            continue
        if tool.name is None:
            yield words.missing(param)
        elif not NAME.fullmatch(tool.name):
            yield wrong(
                f"Invalid '{param}': string does not match pattern. Expected a string that matches the pattern "
                "'^[a-zA-Z0-9_-]+$'.",
                "invalid_value",
                param,
            )
    choice = read_tool_choice(body.tool_choice)
    kind, _, name = choice.partition(":")
    if kind == "name" and all(tool.name != name for tool in body.tools or ()):
        yield wrong(f"Tool choice '{name}' not found in 'tools' parameter.", None, "tool_choice")
    elif kind == "required" and not body.tools:
        yield wrong("Tool choice 'required' must be specified with 'tools' parameter.", None, "tool_choice")
    elif kind not in ("none", "auto", "required", "name"):
        yield words.not_one_of("tool_choice", choice, ("none", "auto", "required"))


def complaints_of_items(body: OpenAIResponsesBody, store: ResponseStore | None) -> Iterator[ProviderError | None]:
    """Yields the problems of items: unknown types, unknown thoughts, calls without their thought."""
    given = {item.id for item in body.items}
    for number, item in enumerate(body.items):
        param = f"input[{number}]"
        if item.kind not in ITEMS:
            yield words.not_one_of(param, item.kind, ITEMS)
        if item.kind == "message" and (item.role is None or item.content is None):
            yield words.missing(f"{param}.{'role' if item.role is None else 'content'}")
        if item.kind in (*CALLS, *RESULTS) and item.call_id is None:
            yield words.missing(f"{param}.call_id")
        is_known = store is not None and store.item(item.id or "") is not None
        if item.kind == "reasoning" and item.encrypted_content is not None:
            if unsealed(item.encrypted_content) is None:
                yield wrong(
                    f"The encrypted content {item.encrypted_content[:4]}...{item.encrypted_content[-4:]} could not be "
                    "verified. Reason: Encrypted content could not be decrypted or parsed.",
                    "invalid_encrypted_content",
                )
        elif item.kind in ("reasoning", "item_reference") and not is_known:
            yield provider_error(
                "not_found",
                f"Item with id '{item.id}' not found. Items are not persisted when `store` is set to false. Try again "
                "with `store` set to true, or remove this item from your input.",
                param="input",
            )
        thought = store.thought_before(item.id) if store is not None and item.id is not None else None
        if item.kind in ("function_call", "message") and thought is not None and thought not in given:
            yield wrong(
                f"Item '{item.id}' of type '{item.kind}' was provided without its required 'reasoning' item: "
                f"'{thought}'.",
                None,
                "input",
            )


def complaint_of_calls(messages: Sequence[Message]) -> ProviderError | None:
    """Returns the error for a tool call without a result, or a result without a call; None if all match."""
    open_calls: dict[str, None] = {}
    for message in messages:
        if message.role == "tool":
            if message.tool_call_id not in open_calls:
                complaint = f"No tool call found for function call output with call_id {message.tool_call_id}."
                return wrong(complaint, None, "input")
            open_calls.pop(message.tool_call_id or "")
        open_calls.update({call.id: None for call in message.tool_calls})
    if open_calls:
        return wrong(f"No tool output found for function call {next(iter(open_calls))}.", None, "input")
    return None
