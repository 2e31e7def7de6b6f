"""Responses as OpenAI itself speaks them: kept and gone on from, made in the background, their thoughts hidden."""

import base64
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Annotated, Any, ClassVar, Literal
from urllib.parse import parse_qs

from pydantic import BaseModel, Discriminator, Tag, ValidationError

from emulator import seeded, tokens
from emulator.dialects.base import ProviderError, provider_error
from emulator.dialects.chat_input import Many, ToolChoice, text_or_list
from emulator.dialects.obfuscation import tails_of
from emulator.dialects.parameters import ECHOED, IGNORED, honored, ignored, only, refused, refused_in
from emulator.dialects.responses import Json, Outcome, Responses
from emulator.dialects.responses_input import (
    CALLS,
    RESULTS,
    ItemBody,
    ReasoningBody,
    ResponsesBody,
    as_custom,
    read_format,
    read_input,
    read_tool_choice,
    read_tools,
    wants_search,
)
from emulator.providers import openai_words as words
from emulator.providers.deepseek_messages import with_search
from emulator.providers.openai_completions import EFFORTS, NAME
from emulator.providers.openai_models import is_thinker, thinks
from emulator.providers.openai_words import Bounds, wrong
from emulator.reply import Block, Completion, Reply, Thought, Usage
from emulator.request import Controls, HttpRequest, Message, ModelRequest
from emulator.stored import ResponseStore, StoredResponse

BOUNDS = (
    Bounds("temperature", 0, 2),
    Bounds("top_p", 0, 1),
    Bounds("top_logprobs", 0, 20, "integer"),
    Bounds("max_output_tokens", 16, float("inf"), "integer"),
    Bounds("max_tool_calls", 1, float("inf"), "integer"),
)
INCLUDED = {
    "thoughts": "reasoning.encrypted_content",
    "logprobs": "message.output_text.logprobs",
}
SEALED = "gAAAAAB"
"""What thoughts that only the provider can read begin with."""
ITEMS = (
    "message", "reasoning", "function_call", "function_call_output", "custom_tool_call", "custom_tool_call_output",
    "item_reference", "web_search_call", "file_search_call", "computer_call", "computer_call_output",
    "image_generation_call", "code_interpreter_call", "local_shell_call", "local_shell_call_output", "shell_call",
    "shell_call_output", "apply_patch_call", "apply_patch_call_output", "mcp_list_tools", "mcp_approval_request",
    "mcp_approval_response", "mcp_call", "compaction",
)  # fmt: skip
LONG_ID = 48


class OpenAIItem(ItemBody):
    role: Literal["user", "assistant", "system", "developer"] | None = None


OpenAIInput = Annotated[
    Annotated[str, Tag("<text>")] | Annotated[Many[OpenAIItem], Tag("<list>")], Discriminator(text_or_list)
]


class OpenAIReasoning(ReasoningBody):
    summary: Literal["auto", "concise", "detailed"] | None = None
    generate_summary: Literal["auto", "concise", "detailed"] | None = None


class OpenAIResponsesBody(ResponsesBody):
    """Every member that OpenAI knows; those that change nothing here may look as they like."""

    model: str = ""
    input: OpenAIInput | None = None  # type: ignore[assignment]  # the items that OpenAI knows
    reasoning: OpenAIReasoning | None = None
    background: bool | None = None
    client_metadata: Annotated[Any, IGNORED] = None  # Codex sends it
    context_management: Annotated[Any, IGNORED] = None
    conversation: Annotated[Any, refused("Conversation with id '{value}' not found.", error="not_found")] = None
    include: Many[str] | None = None
    max_tool_calls: Annotated[int | None, ECHOED] = None
    metadata: Annotated[dict[str, Any] | None, ECHOED] = None
    moderation: Annotated[Any, IGNORED] = None
    parallel_tool_calls: Annotated[bool | None, ECHOED] = None
    previous_response_id: str | None = None
    prompt: Annotated[Any, ignored("it stands in for an input, which is empty then")] = None
    prompt_cache_key: Annotated[str | None, ECHOED] = None
    prompt_cache_options: Annotated[Any, IGNORED] = None
    prompt_cache_retention: Annotated[Any, ECHOED] = None
    safety_identifier: Annotated[str | None, ECHOED] = None
    service_tier: Annotated[Literal["auto", "default", "flex", "scale", "priority", "fast"] | None, ECHOED] = None
    store: bool | None = None
    stream_options: dict[str, Any] | None = None
    tool_choice: ToolChoice | None = None
    truncation: Annotated[Literal["auto", "disabled"] | None, honored("auto: no prompt is too long; echoed")] = None


COUNTED = only(OpenAIResponsesBody, "input", "instructions", "tools", "previous_response_id")


class OpenAIResponses(Responses):
    """`/v1/responses`"""

    Body: ClassVar[type[OpenAIResponsesBody]] = OpenAIResponsesBody
    final_name: ClassVar[bool] = True

    # What a vendor may say otherwise

    def json_of(self, http_request: HttpRequest) -> dict[str, Any]:
        """The body as JSON. Raises ProviderError."""
        native: dict[str, Any] = self.provider.json_of(http_request)
        return native

    def named_model(self, http_request: HttpRequest, sent: str) -> str:
        """The model that is asked for. Raises ProviderError."""
        return str(self.provider.model_of(http_request, sent))

    def is_padded(self) -> bool:
        """Whether letters level the lengths of events."""
        return bool(self.provider.settings.obfuscation)

    # The way in

    def body_of(self, operation: str) -> type[BaseModel] | None:
        if operation == "cancel_response":
            return None
        return COUNTED if operation == "input_tokens" else self.Body

    def parse(self, http_request: HttpRequest, key: str) -> ModelRequest:
        if http_request.operation == "cancel_response":
            listed: ModelRequest = self.provider.listed(http_request, key)
            return listed
        body, native = self.read(http_request)
        model = self.named_model(http_request, body.model)
        store: ResponseStore | None = http_request.store
        complaint = next(filter(None, self.complaints(body, model, store)), None)
        if complaint is not None:
            raise complaint
        before = ()
        if body.previous_response_id is not None:
            before = previous(body.previous_response_id, store).messages
        body = body.model_copy(update={"input": referred(body, store)})
        said = read_input(body, "system")
        instructions = 1 if body.instructions else 0
        messages = (*said[:instructions], *before, *said[instructions:])
        complaint = complaint_of_calls(messages)
        if complaint is not None:
            raise complaint
        return ModelRequest(http_request, model, messages, bool(body.stream), controls_of(body, model), key, native)

    def read(self, http_request: HttpRequest) -> tuple[OpenAIResponsesBody, Mapping[str, Any]]:
        """The typed body and the native one. Raises ProviderError."""
        native = self.json_of(http_request)
        if self.refuses_unknown_members:
            for name in native:
                if name not in OpenAIResponsesBody.model_fields:
                    raise wrong(f"Unknown parameter: '{name}'.", "unknown_parameter", name)
        try:
            return OpenAIResponsesBody.model_validate(native), native
        except ValidationError as error:
            raise words.misfit(error.errors(include_url=False)[0]) from None

    def complaints(
        self, body: OpenAIResponsesBody, model: str, store: ResponseStore | None
    ) -> Iterator[ProviderError | None]:
        """What may be wrong with a body of the right types."""
        if body.input is None and body.previous_response_id is None and body.prompt is None:
            yield wrong(
                "One of \"input\" or \"previous_response_id\" or 'prompt' or 'conversation' must be provided.",
                "missing_required_parameter",
                "input",
            )
        yield from [bounds.complaint(body) for bounds in BOUNDS]
        for refusal in refused_in(OpenAIResponsesBody, {"conversation": body.conversation}):
            yield provider_error(refusal.error, refusal.message)
        if body.background and body.store is False:
            yield wrong("Background responses have to be stored: leave 'store' out.", "invalid_value", "background")
        yield from complaints_of_model(body, model)
        yield from complaints_of_format(body)
        yield from complaints_of_tools(body)
        yield from complaints_of_items(body, store)

    # The answer

    def adapt(self, reply: Reply, request: ModelRequest) -> Reply:
        if not reply.blocks and reply.tool_calls:
            reply = replace(reply, tool_calls=as_custom(reply.tool_calls, request.body.get("tools") or ()))
        if not reply.blocks and reply.sources and request.controls.searches:
            reply = with_search(reply, request)
        if not request.controls.thinking:
            return reply
        asked = request.body.get("reasoning") or {}
        is_summed_up = bool(asked.get("summary") or asked.get("generate_summary"))
        is_sealed = INCLUDED["thoughts"] in (request.body.get("include") or ())
        blocks = reply.in_order()
        if not any(isinstance(block, Thought) for block in blocks):
            blocks = (Thought(""), *blocks)
        marked = tuple([_marked(block, is_summed_up, is_sealed) for block in blocks])
        return replace(reply, blocks=marked)

    def make_id(self, entropy: bytes) -> str:
        return f"resp_{entropy.hex()[:LONG_ID]}"

    def item_id(self, id: str, kind: str, index: int) -> str:
        return f"{kind}_{seeded.digest('item', id, index).hex()[:LONG_ID]}"

    def thought(self, thought: Thought) -> Json:
        sealed = {} if thought.encrypted is None else {"encrypted_content": sealed_of(thought.text)}
        texts = self.thought_events(thought)[2]
        return {"summary": [{"type": "summary_text", "text": text} for text in texts], **sealed}

    def thought_begun(self) -> Json:
        return {"summary": []}

    def thought_events(self, thought: Thought) -> tuple[str, str, list[str]]:
        shown = thought.summary or thought.text
        texts = [shown] if thought.summary is not None and shown else []
        return "summary_text", "response.reasoning_summary_text", texts

    def hidden_tokens(self, block: Block) -> int:
        is_hidden = isinstance(block, Thought) and not self.thought_events(block)[2]
        return tokens.count(block.text) if is_hidden and isinstance(block, Thought) else 0

    def item(self, block: Block, index: int, completion: Completion, outcome: Outcome) -> Json:
        item = super().item(block, index, completion, outcome)
        return without_status(item) if isinstance(block, Thought) else item

    def opened_item(self, block: Block, index: int, completion: Completion) -> Json:
        item = super().opened_item(block, index, completion)
        return without_status(item) if isinstance(block, Thought) else item

    def tails(self, text: str, request: ModelRequest) -> Sequence[bytes] | None:
        asked = (request.body.get("stream_options") or {}).get("include_obfuscation")
        return tails_of(text) if self.is_padded() and asked is not False else None

    def usage(self, usage: Usage) -> Json:
        return {
            **super().usage(usage),
            "input_tokens_details": {"cached_tokens": usage.cached, "cache_write_tokens": usage.cache_written},
        }

    def openings(self, request: ModelRequest) -> Sequence[tuple[str, str]]:
        if request.body.get("background"):
            queued = ("response.created", "queued"), ("response.queued", "queued")
            return (*queued, ("response.in_progress", "in_progress"))
        return super().openings(request)

    def echo(self, request: ModelRequest) -> Json:
        asked = request.body
        reasoning, text = asked.get("reasoning") or {}, asked.get("text") or {}
        default_effort = ("medium" if thinks(request.model, None) else "none") if is_thinker(request.model) else None
        tier = asked.get("service_tier")
        return {
            "background": bool(asked.get("background")),
            "instructions": asked.get("instructions"),
            "max_output_tokens": asked.get("max_output_tokens"),
            "max_tool_calls": asked.get("max_tool_calls"),
            "parallel_tool_calls": asked.get("parallel_tool_calls") is not False,
            "previous_response_id": asked.get("previous_response_id"),
            "prompt_cache_key": asked.get("prompt_cache_key"),
            "prompt_cache_retention": asked.get("prompt_cache_retention"),
            "reasoning": {
                "effort": reasoning.get("effort") or default_effort,
                "summary": reasoning.get("summary") or reasoning.get("generate_summary"),
            },
            "safety_identifier": asked.get("safety_identifier"),
            "service_tier": tier if isinstance(tier, str) and tier != "auto" else "default",
            "store": asked.get("store") is not False,
            "temperature": 1.0 if asked.get("temperature") is None else asked["temperature"],
            "text": {"format": text.get("format") or {"type": "text"}, "verbosity": text.get("verbosity") or "medium"},
            "tool_choice": asked.get("tool_choice") or "auto",
            "tools": [offered(tool) for tool in asked.get("tools") or ()],
            "top_logprobs": asked.get("top_logprobs") or 0,
            "top_p": 1.0 if asked.get("top_p") is None else asked["top_p"],
            "truncation": asked.get("truncation") or "disabled",
            "user": asked.get("user"),
            "metadata": asked.get("metadata") or {},
        }

    def body(self, completion: Completion, request: ModelRequest) -> Any:
        if self.is_immediate(request):
            return self.response(completion, request, Outcome("queued"), [])
        return super().body(completion, request)

    # What is kept

    def is_immediate(self, request: ModelRequest) -> bool:
        return bool(request.body.get("background")) and not request.stream

    def keeps(self, request: ModelRequest) -> bool:
        return request.http_request.operation == "responses" and request.body.get("store") is not False

    def keep(self, completion: Completion, request: ModelRequest, begins: float, ready: float) -> None:
        store: ResponseStore | None = request.http_request.store
        if store is None:
            return
        body = super().body(completion, request)
        if body["background"] and body["status"] == "completed":
            body["completed_at"] = int(ready)
        choice = completion.choices[0]
        instructions = 1 if request.body.get("instructions") else 0
        answer = Message("assistant", choice.content, choice.reasoning, choice.tool_calls)
        messages = (*request.messages[instructions:], answer)
        items = tuple(input_items(request.body.get("input"), completion.id))
        store.put(StoredResponse(body, messages, items, begins, ready))

    def result(self, request: ModelRequest) -> Any:
        http_request = request.http_request
        store: ResponseStore | None = http_request.store
        if http_request.operation == "input_tokens":
            fixed, texts = self.provider.prompt_texts(request)
            return {"object": "response.input_tokens", "input_tokens": fixed + sum(map(tokens.count, texts))}
        id = http_request.parameters["response_id"]
        store, stored = kept(id, store)
        match http_request.operation:
            case "delete_response":
                store.delete(id)
                return {"id": id, "object": "response", "deleted": True}
            case "cancel_response":
                if not stored.body["background"]:
                    raise wrong("Cannot cancel a synchronous response.")
                stored.canceled = stored.canceled or store.now() < stored.ready
            case "input_items":
                return page(stored.items, parse_qs(http_request.query))
        return as_of(stored, store.now())


def _marked(block: Block, is_summed_up: bool, is_sealed: bool) -> Block:
    """A thought, shown as the request wants it; the words are those that are left of it in the end."""
    if not isinstance(block, Thought):
        return block
    summary = (block.summary or "") if is_summed_up else None
    return replace(block, summary=summary, encrypted="" if is_sealed else None)


def without_status(item: Json) -> Json:
    return {name: value for name, value in item.items() if name != "status"}


def offered(tool: Any) -> Any:
    """A tool as a response repeats it."""
    if not isinstance(tool, dict) or tool.get("type") != "function":
        return tool
    return {"description": None, "parameters": None, **tool, "strict": tool.get("strict") is not False}


# Thoughts that only the provider can read


def sealed_of(text: str) -> str:
    data = text.encode()
    return SEALED + base64.urlsafe_b64encode(seeded.digest("sealed", data)[:16] + data).decode()


def unsealed(sealed: str) -> str | None:
    """The thought; None when nobody here has sealed it."""
    try:
        data = base64.urlsafe_b64decode(sealed.removeprefix(SEALED))
    except ValueError:
        return None
    if not sealed.startswith(SEALED) or seeded.digest("sealed", data[16:])[:16] != data[:16]:
        return None
    return data[16:].decode("utf-8", "replace")


# What is kept


def kept(id: str, store: ResponseStore | None) -> tuple[ResponseStore, StoredResponse]:
    """A response that is kept. Raises ProviderError."""
    stored = store.get(id) if store is not None else None
    if store is None or stored is None:
        raise provider_error("not_found", f"Response with id '{id}' not found.")
    return store, stored


def previous(id: str, store: ResponseStore | None) -> StoredResponse:
    """The response that a request goes on from. Raises ProviderError."""
    stored = store.get(id) if store is not None else None
    if stored is None:
        raise wrong(
            f"Previous response with id '{id}' not found.", "previous_response_not_found", "previous_response_id"
        )
    return stored


def as_of(stored: StoredResponse, now: float) -> Json:
    """A response as it is at a moment."""
    if stored.canceled:
        status = "cancelled"
    elif now >= stored.ready:
        return stored.body
    else:
        status = "queued" if now < stored.begins else "in_progress"
    unmade: Json = {"output": [], "usage": None, "error": None, "incomplete_details": None, "completed_at": None}
    return {**stored.body, **unmade, "status": status}


def input_items(input: Any, id: str) -> Iterator[Json]:
    """What a request said, as items."""
    items = [{"role": "user", "content": input}] if isinstance(input, str) else input or []
    for index, item in enumerate(items):
        kind = item.get("type") or "message"
        whole = {
            "id": f"{'msg' if kind == 'message' else kind[:2]}_{seeded.digest('input', id, index).hex()[:LONG_ID]}"
        }
        if kind == "message":
            content = item.get("content")
            spoken = "output_text" if item.get("role") == "assistant" else "input_text"
            parts = [{"type": spoken, "text": content}] if isinstance(content, str) else content
            item = {**item, "type": "message", "status": "completed", "content": parts}
        yield {**whole, **item}


def page(items: Sequence[Json], query: Mapping[str, list[str]]) -> Json:
    """One page of a list, the newest first unless the query says otherwise."""
    ordered = list(items) if query.get("order", ["desc"])[0] == "asc" else list(reversed(items))
    after = query.get("after", [""])[0]
    start = next((place + 1 for place, item in enumerate(ordered) if item["id"] == after), 0)
    limit = query.get("limit", ["20"])[0]
    most = int(limit) if limit.isascii() and limit.isdecimal() and len(limit) < 6 else 20
    shown = ordered[start : start + most]
    return {
        "object": "list",
        "data": shown,
        "first_id": shown[0]["id"] if shown else None,
        "last_id": shown[-1]["id"] if shown else None,
        "has_more": start + most < len(ordered),
    }


# What is asked for


def controls_of(body: OpenAIResponsesBody, model: str) -> Controls:
    """The parameters that shape the answer."""
    form, schema = read_format(body.format)
    effort = body.reasoning.effort if body.reasoning is not None else None
    return Controls(
        max_tokens=body.max_output_tokens,
        logprobs=bool(body.top_logprobs) or INCLUDED["logprobs"] in (body.include or ()),
        top_logprobs=body.top_logprobs or 0,
        response_format=form,
        schema=schema,
        tools=read_tools(body.tools),
        tool_choice=read_tool_choice(body.tool_choice),
        thinking=thinks(model, effort),
        reasoning_effort=effort,
        searches=wants_search(body.tools),
    )


def referred(body: OpenAIResponsesBody, store: ResponseStore | None) -> Any:
    """The input with the items that it only names, and with the words of sealed thoughts."""
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


# What may be wrong


def complaints_of_model(body: OpenAIResponsesBody, model: str) -> Iterator[ProviderError | None]:
    """What a model does not take."""
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
    """What may be wrong with the form that is asked for."""
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
    """What may be wrong with the tools."""
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
    """What may be wrong with items: their kind, thoughts that are not known, calls that came without their thought."""
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
    """Every call has to be answered, and nothing else is answered so."""
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
