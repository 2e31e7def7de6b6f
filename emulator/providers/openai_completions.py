"""Chat completions as OpenAI speaks them: what which model refuses, refusals, letters that level events."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Annotated, Any, ClassVar, Literal

import orjson
from pydantic import Discriminator, Tag, ValidationError

from emulator import tokens
from emulator.dialects.base import PIECE, ProviderError
from emulator.dialects.chat_blocks import annotations, call_piece, call_row, refused
from emulator.dialects.chat_completions import ChatCompletions, logprob_rows
from emulator.dialects.chat_input import (
    ChatBody,
    ContentPart,
    Many,
    MessageBody,
    ResponseFormat,
    Stop,
    Strict,
    TextPart,
    ToolChoice,
    read_stop,
    text_or_list,
)
from emulator.dialects.obfuscation import TAIL, leveled, tail_of, tails_of
from emulator.dialects.parameters import ECHOED, IGNORED, SAMPLING, ignored
from emulator.dialects.responses_input import PLAIN_TEXT, as_custom
from emulator.providers import openai_words as words
from emulator.providers.openai_models import is_thinker, thinks
from emulator.providers.openai_words import Bounds, wrong
from emulator.reply import Choice, Completion, Reply
from emulator.request import Controls, HttpRequest, Message, ModelRequest, Tool, ToolCall
from emulator.wire import FrameRun, Part

EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh", "max")
NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")
MAX_STOPS = 4
BOUNDS = (
    Bounds("temperature", 0, 2),
    Bounds("top_p", 0, 1),
    Bounds("presence_penalty", -2, 2),
    Bounds("frequency_penalty", -2, 2),
    Bounds("n", 1, 128, "integer"),
    Bounds("top_logprobs", 0, 20, "integer"),
    Bounds("max_tokens", 1, float("inf"), "integer"),
    Bounds("max_completion_tokens", 1, float("inf"), "integer"),
)
DEFAULTS: Mapping[str, float] = {"temperature": 1, "top_p": 1, "presence_penalty": 0, "frequency_penalty": 0}
"""The only values that thinking models take."""
FINGERPRINT = "fp_44709d6fcb"
Json = dict[str, Any]


class OpenAIPart(ContentPart):
    type: Literal["text", "image_url", "input_audio", "file", "refusal"]
    refusal: str | None = None


def _part_kind(value: Any) -> str:
    return "<text>" if isinstance(value, Mapping) and value.get("type") == "text" else "<other>"


OpenAIContent = Annotated[
    Annotated[str, Tag("<text>")]
    | Annotated[
        Many[
            Annotated[
                Annotated[TextPart, Tag("<text>")] | Annotated[OpenAIPart, Tag("<other>")], Discriminator(_part_kind)
            ]
        ],
        Tag("<list>"),
    ],
    Discriminator(text_or_list),
]


class CallBody(Strict):
    """A call that the model made before: of a function, or of a tool that takes any text."""

    id: str
    type: Literal["function", "custom"]
    function: dict[str, Any] | None = None
    custom: dict[str, Any] | None = None

    @property
    def call(self) -> ToolCall:
        said = self.function if self.type == "function" else self.custom
        name, text = ("arguments", "function") if self.type == "function" else ("input", "custom")
        found = said or {}
        kind: Any = text
        return ToolCall(str(found.get("name") or ""), str(found.get(name) or ""), self.id, kind)


class OpenAIMessage(MessageBody):
    role: Literal["developer", "system", "user", "assistant", "tool", "function"]
    content: OpenAIContent | None = None  # type: ignore[assignment]  # the parts that OpenAI knows
    refusal: str | None = None
    tool_calls: Many[CallBody] | None = None  # type: ignore[assignment]  # likewise


class FunctionOffer(Strict):
    name: str
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


class OfferBody(Strict):
    type: Literal["function", "custom"]
    function: FunctionOffer | None = None
    custom: FunctionOffer | None = None


class StreamOptions(Strict):
    include_usage: bool | None = None
    include_obfuscation: bool | None = None


class OpenAIBody(ChatBody):
    """Every member that OpenAI knows; those that change nothing here may look as they like."""

    model: str = ""
    messages: Many[OpenAIMessage]
    audio: Annotated[Any, IGNORED] = None
    frequency_penalty: Annotated[float | None, SAMPLING] = None
    function_call: Annotated[Any, ignored("superseded by tool_choice")] = None
    functions: Annotated[Any, ignored("superseded by tools")] = None
    logit_bias: Annotated[dict[str, Any] | None, SAMPLING] = None
    logprobs: bool | None = None
    max_completion_tokens: int | None = None
    max_tokens: int | None = None
    metadata: Annotated[dict[str, Any] | None, IGNORED] = None
    modalities: Annotated[Any, IGNORED] = None
    moderation: Annotated[Any, IGNORED] = None
    n: int | None = None
    parallel_tool_calls: Annotated[bool | None, IGNORED] = None
    prediction: Annotated[Any, IGNORED] = None
    presence_penalty: Annotated[float | None, SAMPLING] = None
    prompt_cache_key: Annotated[str | None, IGNORED] = None
    prompt_cache_options: Annotated[Any, IGNORED] = None
    prompt_cache_retention: Annotated[Any, IGNORED] = None
    reasoning_effort: str | None = None
    response_format: ResponseFormat | None = None
    safety_identifier: Annotated[str | None, IGNORED] = None
    seed: Annotated[int | None, SAMPLING] = None
    service_tier: Annotated[Literal["auto", "default", "flex", "scale", "priority", "fast"] | None, ECHOED] = None
    stop: Stop | None = None
    store: Annotated[bool | None, IGNORED] = None
    stream_options: StreamOptions | None = None
    temperature: Annotated[float | None, SAMPLING] = None
    tool_choice: ToolChoice | None = None
    tools: Many[OfferBody] | None = None
    top_logprobs: int | None = None
    top_p: Annotated[float | None, SAMPLING] = None
    user: Annotated[str | None, IGNORED] = None
    verbosity: Annotated[Literal["low", "medium", "high"] | None, IGNORED] = None
    web_search_options: Annotated[Any, IGNORED] = None


def read_message(body: OpenAIMessage) -> Message:
    """A message in neutral terms: developers speak for the system."""
    parts = body.content if isinstance(body.content, list) else ()
    text = body.content if isinstance(body.content, str) else "".join([part.text or "" for part in parts])
    return Message(
        "system" if body.role == "developer" else body.role,
        text or body.refusal or "",
        tool_calls=tuple([each.call for each in body.tool_calls or ()]),
        tool_call_id=body.tool_call_id,
        name=body.name,
        images=sum(part.type == "image_url" for part in parts),
    )


def read_tools(offers: Any) -> tuple[Tool, ...]:
    """The offered tools in neutral terms."""
    tools = []
    for offer in offers or ():
        said = offer.function if offer.type == "function" else offer.custom
        if said is not None:
            parameters = PLAIN_TEXT if offer.type == "custom" else said.parameters or {}
            tools.append(Tool(said.name, said.description or "", parameters))
    return tuple(tools)


def read_choice(choice: Any) -> str:
    """`none`, `auto`, `required`, or `name:FUNCTION`."""
    if not isinstance(choice, Mapping):
        return choice if isinstance(choice, str) else "auto"
    said = choice.get(str(choice.get("type")))
    if choice.get("type") == "allowed_tools" and isinstance(said, Mapping):
        return "required" if said.get("mode") == "required" else "auto"
    name = said.get("name") if isinstance(said, Mapping) else None
    return f"name:{name}" if name else "auto"


class OpenAIChat(ChatCompletions):
    """`POST /v1/chat/completions`"""

    deprecated: ClassVar[Mapping[str, str]] = {
        "functions": "send `tools` instead",
        "function_call": "send `tool_choice` instead",
        "max_tokens": "send `max_completion_tokens` instead",
        "user": "send `safety_identifier` and `prompt_cache_key` instead",
    }
    Body = OpenAIBody
    says_no_usage: ClassVar[bool] = True

    @property
    def usage_stands(self) -> Literal["finish", "separate", "nowhere"]:
        return "separate"

    # The way in

    def parse(self, http_request: HttpRequest, key: str) -> ModelRequest:
        body, native = self.read(http_request, OpenAIBody)
        model = self.provider.model_of(http_request, body.model)
        if self.provider.settings.strict_members:
            unknown = [name for name in native if name not in OpenAIBody.model_fields]
            if unknown:
                plural = "s" if len(unknown) > 1 else ""
                raise wrong(f"Unrecognized request argument{plural} supplied: {', '.join(unknown)}")
        complaint = next(filter(None, self.all_complaints(body, model)), None)
        if complaint is not None:
            raise complaint
        messages = tuple([read_message(message) for message in body.messages])
        return ModelRequest(
            http_request, model, messages, bool(body.stream), self.controls_of(body, model), key, native
        )

    def not_json(self, error: orjson.JSONDecodeError) -> Exception:
        return wrong(words.NOT_JSON)

    def not_of_type(self, error: ValidationError) -> Exception:
        return words.misfit(error.errors(include_url=False)[0])

    def all_complaints(self, body: OpenAIBody, model: str) -> Iterator[ProviderError | None]:
        """What may be wrong with a body of the right types."""
        if not body.messages:
            yield words.empty("messages")
        yield from [bounds.complaint(body) for bounds in BOUNDS]
        if isinstance(body.stop, list) and len(body.stop) > MAX_STOPS:
            yield words.too_many("stop", len(body.stop), MAX_STOPS)
        if body.stream_options is not None and not body.stream:
            yield wrong(
                "The 'stream_options' parameter is only allowed when 'stream' is enabled.", None, "stream_options"
            )
        if body.top_logprobs is not None and not body.logprobs:
            yield wrong(
                "The 'top_logprobs' parameter is only allowed when 'logprobs' is enabled.", None, "top_logprobs"
            )
        if body.max_tokens is not None and body.max_completion_tokens is not None:
            yield wrong(
                "Setting 'max_tokens' and 'max_completion_tokens' at the same time is not supported.",
                "invalid_parameter_combination",
                "max_tokens",
            )
        yield from complaints_of_model(body, model)
        yield from complaints_of_format(body)
        yield from complaints_of_tools(body)
        yield from complaints_of_conversation(body)

    def controls_of(self, body: OpenAIBody, model: str) -> Controls:
        form: Any = body.response_format.type if body.response_format is not None else "text"
        schema = (body.response_format.json_schema or {}) if body.response_format is not None else {}
        limit = body.max_completion_tokens if body.max_completion_tokens is not None else body.max_tokens
        return Controls(
            max_tokens=limit,
            stop=read_stop(body.stop),
            n=body.n or 1,
            logprobs=bool(body.logprobs),
            top_logprobs=body.top_logprobs or 0,
            response_format=form,
            schema=schema.get("schema"),
            tools=read_tools(body.tools),
            tool_choice=read_choice(body.tool_choice),
            thinking=thinks(model, body.reasoning_effort),
            reasoning_effort=body.reasoning_effort,
            include_usage=bool(body.stream_options and body.stream_options.include_usage),
        )

    # The answer

    def adapt(self, reply: Reply, request: ModelRequest) -> Reply:
        if reply.blocks or not reply.tool_calls:
            return reply
        offers = [
            {"type": each.get("type"), "name": (each.get("custom") or {}).get("name")}
            for each in request.body.get("tools") or ()
        ]
        return replace(reply, tool_calls=as_custom(reply.tool_calls, offers))

    def make_id(self, entropy: bytes) -> str:
        return str(self.provider.make_id(entropy))

    def body(self, completion: Completion, request: ModelRequest) -> Any:
        return {
            **super().body(completion, request),
            "service_tier": self.tier(request),
            "system_fingerprint": self.fingerprint(completion, request),
        }

    def tier(self, request: ModelRequest) -> str:
        asked = request.body.get("service_tier")
        return asked if isinstance(asked, str) and asked != "auto" else "default"

    def fingerprint(self, completion: Completion, request: ModelRequest) -> str | None:
        return completion.system_fingerprint or (None if is_thinker(request.model) else FINGERPRINT)

    def choice(self, choice: Choice, request: ModelRequest) -> Json:
        return {
            "index": choice.index,
            "message": self.message(choice),
            "logprobs": self.logprobs(choice),
            "finish_reason": self.reason(choice),
        }

    def message(self, choice: Choice) -> Json:
        refusal = refused(choice)
        is_silent = refusal is not None or (choice.tool_calls and not choice.content)
        message: Json = {"role": "assistant", "content": None if is_silent else choice.content}
        if choice.tool_calls:
            message["tool_calls"] = [call_row(call, call.arguments) for call in choice.tool_calls]
        return {**message, "refusal": refusal, "annotations": annotations(choice)}

    def logprobs(self, choice: Choice) -> Json | None:
        return None if choice.logprobs is None else {"content": logprob_rows(choice.logprobs), "refusal": None}

    def usage(self, completion: Completion) -> Json:
        usage = completion.usage
        return {
            **super().usage(completion),
            "prompt_tokens_details": {"cached_tokens": usage.cached, "audio_tokens": 0},
            "completion_tokens_details": {
                "reasoning_tokens": usage.reasoning,
                "audio_tokens": 0,
                "accepted_prediction_tokens": 0,
                "rejected_prediction_tokens": 0,
            },
        }

    # The stream

    def levels(self, request: ModelRequest) -> bool:
        """Whether letters level the lengths of events."""
        asked = (request.body.get("stream_options") or {}).get("include_obfuscation")
        return bool(self.provider.settings.obfuscation and asked is not False)

    def stream(self, completion: Completion, request: ModelRequest) -> Iterator[FrameRun]:
        thoughts = [tokens.count(choice.reasoning or "") for choice in completion.choices]
        for run in super().stream(completion, request):
            # Nobody sees the thoughts, but the answer begins after them.
            yield replace(run, tokens=(max(thoughts),)) if run.part == "role" and any(thoughts) else run

    def chunk(self, completion: Completion, request: ModelRequest, choice: Choice, delta: Json, **how: Any) -> Json:
        chunk = super().chunk(completion, request, choice, delta, **how)
        chunk["service_tier"] = self.tier(request)
        chunk["system_fingerprint"] = self.fingerprint(completion, request)
        if self.levels(request):
            chunk["obfuscation"] = tail_of(str(delta))
        return in_order(chunk)

    def choice_runs(self, completion: Completion, request: ModelRequest, choice: Choice) -> Iterator[FrameRun]:
        if choice.content:
            yield from self.text_runs("content", completion, request, choice)
        refusal = refused(choice)
        if refusal:
            native = self.chunk(completion, request, choice, {"refusal": PIECE})
            yield self.pieces("content", native, refusal)
        if cited := annotations(choice):
            yield self.event("frame", self.chunk(completion, request, choice, {"annotations": cited}))
        for index, call in enumerate(choice.tool_calls):
            if index or choice.content:
                delta = {"tool_calls": [{"index": index, **call_row(call, "")}]}
                yield self.event("tool_calls", self.chunk(completion, request, choice, delta))
            delta = {"tool_calls": [{"index": index, **call_piece(call)}]}
            native = self.chunk(completion, request, choice, delta)
            yield self.pieces("tool_calls", native, call.arguments)

    def text_runs(
        self, part: Part, completion: Completion, request: ModelRequest, choice: Choice
    ) -> Iterator[FrameRun]:
        if choice.logprobs is None:
            yield self.pieces(part, self.chunk(completion, request, choice, {"content": PIECE}), choice.content)
            return
        pieces = tokens.pieces(choice.content)
        tails = tails_of(choice.content)
        for number, (text, count, row) in enumerate(zip(pieces.texts, pieces.counts, choice.logprobs, strict=True)):
            likely = {"content": logprob_rows((row,)), "refusal": None}
            chunk = self.chunk(completion, request, choice, {"content": text}, logprobs=likely)
            if "obfuscation" in chunk:
                chunk["obfuscation"] = tails[number].decode()
            yield self.event(part, chunk, tokens=count)

    def pieces(self, part: Part, native: Json, text: str) -> FrameRun:
        """The events of a text, of which `native` is one."""
        if "obfuscation" in native:
            return leveled(self, part, {**native, "obfuscation": TAIL}, text)
        pieces = tokens.pieces(text)
        before, after = self.around(native)
        return FrameRun(part, before, pieces.escaped, after, pieces.counts)

    def first_delta(self, choice: Choice) -> Json:
        if choice.tool_calls and not choice.content:
            call = {"index": 0, **call_row(choice.tool_calls[0], "")}
            return {"role": "assistant", "content": None, "tool_calls": [call], "refusal": None}
        content = None if refused(choice) is not None else ""
        return {"role": "assistant", "content": content, "refusal": None if content is not None else ""}

    def last_delta(self, choice: Choice) -> Json:
        return {}

    def tail(self, completion: Completion, request: ModelRequest) -> Iterator[FrameRun]:
        if request.controls.include_usage:
            chunk = self.chunk_of(completion, [])
            chunk["service_tier"] = self.tier(request)
            chunk["system_fingerprint"] = self.fingerprint(completion, request)
            chunk["usage"] = self.usage(completion)
            if self.levels(request):
                chunk["obfuscation"] = tail_of("usage", completion.usage.total)
            yield self.event("usage", in_order(chunk))


ORDER = (
    "id", "object", "created", "model", "service_tier", "system_fingerprint", "choices", "usage", "obfuscation",
)  # fmt: skip


def in_order(chunk: Json) -> Json:
    """The members of an event in the order in which they stand."""
    return {name: chunk[name] for name in ORDER if name in chunk}


# What may be wrong


def complaints_of_model(body: OpenAIBody, model: str) -> Iterator[ProviderError | None]:
    """What a model does not take: thinking ones want no sampling, others no effort."""
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
    """What may be wrong with the form that is asked for."""
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
    """What may be wrong with the tools."""
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
    """Every call has to be answered before the conversation goes on, and nothing else is answered so."""
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
