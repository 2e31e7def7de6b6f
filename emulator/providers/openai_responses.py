"""OpenAI's own responses: stored, continued by later requests, created in the background, with hidden thoughts."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar, Generic
from urllib.parse import parse_qs

from pydantic import BaseModel, ValidationError

from emulator import seeded, tokens
from emulator.dialects.base import ProviderError, VendorT, provider_error
from emulator.dialects.parameters import refused_in
from emulator.dialects.responses import Json, Outcome
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
from emulator.providers.openai_models import thinks
from emulator.providers.openai_responses_input import COUNTED, OpenAIResponsesBody
from emulator.providers.openai_responses_items import OpenAIResponseItems
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
)
from emulator.providers.openai_words import Bounds, wrong
from emulator.reply import Block, Completion, Reply, Thought
from emulator.request import Controls, HttpRequest, Message, ModelRequest
from emulator.stored import ResponseStore, StoredResponse

if TYPE_CHECKING:
    from emulator.providers.openai import OpenAI  # noqa: F401  # a type argument below


BOUNDS = (
    Bounds("temperature", 0, 2),
    Bounds("top_p", 0, 1),
    Bounds("top_logprobs", 0, 20, "integer"),
    Bounds("max_output_tokens", 16, float("inf"), "integer"),
    Bounds("max_tool_calls", 1, float("inf"), "integer"),
)


class KeptResponses(OpenAIResponseItems[VendorT], Generic[VendorT]):
    """Responses that are stored, continued by later requests, and created in the background."""

    weighs_words = False
    has_stored = True
    Body: ClassVar[type[OpenAIResponsesBody]] = OpenAIResponsesBody

    # What vendors override

    def json_of(self, http_request: HttpRequest) -> dict[str, Any]:
        """Returns the body as parsed JSON. Raises ProviderError."""
        raise NotImplementedError

    def named_model(self, http_request: HttpRequest, sent: str) -> str:
        """Returns the requested model. Raises ProviderError."""
        raise NotImplementedError

    # Requests

    def body_of(self, operation: str) -> type[BaseModel] | None:
        if operation == "cancel_response":
            return None
        return COUNTED if operation == "input_tokens" else self.Body

    def parse(self, http_request: HttpRequest, key: str) -> ModelRequest:
        if http_request.operation == "cancel_response":
            return self.provider.listed(http_request, key)
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
        """Returns the typed body and the parsed JSON. Raises ProviderError."""
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
        """Yields the problems of a body whose types are right."""
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

    def body(self, completion: Completion, request: ModelRequest) -> Any:
        if self.is_immediate(request):
            return self.response(completion, request, Outcome("queued"), [])
        return super().body(completion, request)

    # What is kept

    def stored_ids(self, http_request: HttpRequest) -> Sequence[str]:
        if (id := http_request.parameters.get("response_id")) is not None:
            return (id,)
        if b'_id"' not in http_request.body and b'"id"' not in http_request.body:
            return ()
        try:
            body, _ = self.read(http_request)
        except ProviderError:
            return ()
        named = [body.previous_response_id, *[item.id for item in body.items]]
        return tuple(dict.fromkeys(id for id in named if id))

    def is_immediate(self, request: ModelRequest) -> bool:
        return bool(request.body.get("background")) and not request.stream

    def keeps(self, request: ModelRequest) -> bool:
        return request.http_request.operation == "responses" and request.body.get("store") is not False

    def keep(self, completion: Completion, request: ModelRequest, begins: float, ready: float) -> None:
        store = request.http_request.store
        assert store is not None, "routing gives every request one"
        body = super().body(completion, request)
        if body["background"] and body["status"] == "completed":
            body["completed_at"] = int(ready)
        if not (body["background"] or request.stream):
            begins = ready = 0.0  # clients don't know its id before it is completely sent
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
                store.cancel(stored)
            case "input_items":
                return page(stored.items, parse_qs(http_request.query))
        return as_of(stored, store.now())


class OpenAIResponses(KeptResponses["OpenAI"]):
    """`/v1/responses`"""

    def json_of(self, http_request: HttpRequest) -> dict[str, Any]:
        return self.provider.json_of(http_request)

    def named_model(self, http_request: HttpRequest, sent: str) -> str:
        return self.provider.model_of(http_request, sent)

    def is_padded(self) -> bool:
        return self.provider.settings.obfuscation


def _marked(block: Block, is_summed_up: bool, is_sealed: bool) -> Block:
    """Marks how a thought is shown: with a summary or encrypted content, if the request asks for them."""
    if not isinstance(block, Thought):
        return block
    summary = (block.summary or "") if is_summed_up else None
    return replace(block, summary=summary, encrypted="" if is_sealed else None)


# What is kept


def as_of(stored: StoredResponse, now: float) -> Json:
    """Returns a stored response as it is at a time."""
    if stored.canceled:
        status = "cancelled"
    elif now >= stored.ready:
        return stored.body
    else:
        status = "queued" if now < stored.begins else "in_progress"
    unmade: Json = {"output": [], "usage": None, "error": None, "incomplete_details": None, "completed_at": None}
    return {**stored.body, **unmade, "status": status}


def input_items(input: Any, id: str) -> Iterator[Json]:
    """Yields the input of a request as items."""
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
    """Returns a page of a list, newest first unless the query says otherwise."""
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


# Parameters


def controls_of(body: OpenAIResponsesBody, model: str) -> Controls:
    """Returns the parameters that shape the answer."""
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


# Validation
