"""Responses as OpenAI itself speaks them: kept and gone on from, made in the background, their thoughts hidden."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar
from urllib.parse import parse_qs

from pydantic import BaseModel, ValidationError

from emulator import seeded, tokens
from emulator.dialects.base import ProviderError, provider_error
from emulator.dialects.obfuscation import tails_of
from emulator.dialects.parameters import refused_in
from emulator.dialects.responses import Json, Outcome, Responses
from emulator.dialects.responses_input import (
    as_custom,
    read_format,
    read_input,
    read_tool_choice,
    read_tools,
    wants_search,
)
from emulator.providers import openai_words as words
from emulator.providers.deepseek_messages import with_search
from emulator.providers.openai_models import is_thinker, thinks
from emulator.providers.openai_responses_input import COUNTED, OpenAIResponsesBody
from emulator.providers.openai_responses_rules import (
    INCLUDED,
    LONG_ID,
    complaint_of_calls,
    complaints_of_format,
    complaints_of_items,
    complaints_of_model,
    complaints_of_tools,
    kept,
    previous,
    referred,
    sealed_of,
)
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


class OpenAIResponses(Responses):
    """`/v1/responses`"""

    weighs_words = False
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


# What is kept


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


# What may be wrong
