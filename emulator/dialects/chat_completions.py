"""Chat completions: `choices` of messages and deltas, `data:` lines, `[DONE]`.

A vendor that speaks it subclasses `ChatCompletions` and states its differences: the body it accepts, the order of keys,
which deltas a stream begins and ends with, where usage stands.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import zip_longest
from typing import Annotated, Any, ClassVar, Literal, TypeVar

import orjson
from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag, ValidationError, WrapValidator

from emulator import large, tokens
from emulator.dialects.base import DONE, PIECE, Dialect, Meaning, Place, provider_error
from emulator.dialects.chat_blocks import annotations, call_piece, call_row, refused
from emulator.dialects.serde import Range, first, not_json, not_of_type, serde
from emulator.dialects.turns import Answer, Turn, chat_answer, chat_turns
from emulator.reply import Choice, Completion, Reply, Search, TokenLogprob
from emulator.request import Controls, HttpRequest, Message, ModelRequest, Tool, ToolCall
from emulator.wire import FrameRun, Part, single

BodyType = TypeVar("BodyType", bound=BaseModel)
Item = TypeVar("Item")
Many = Annotated[list[Item], Field(fail_fast=True), WrapValidator(large.in_slices)]
"""A list that stops at its first wrong item: only that one is reported, and a body can hold millions."""


class Strict(BaseModel):
    """A part of a body: types are not bent, unknown members are ignored, as the providers do."""

    model_config = ConfigDict(strict=True, extra="ignore", frozen=True)


class ContentPart(Strict):
    """One part of a message whose content is a list. Parts other than text are accepted and count nothing."""

    type: str
    text: str | None = None


class TextPart(ContentPart):
    text: str


# The value's shape selects the branch of a union, so there is one error and not one per branch.


def _part_kind(value: Any) -> str:
    return "<text>" if isinstance(value, Mapping) and value.get("type") == "text" else "<other>"


def text_or_list(value: Any) -> str:
    return "<list>" if isinstance(value, list) else "<text>"


def text_or_map(value: Any) -> str:
    return "<map>" if isinstance(value, Mapping) else "<text>"


Parts = Many[
    Annotated[Annotated[TextPart, Tag("<text>")] | Annotated[ContentPart, Tag("<other>")], Discriminator(_part_kind)]
]
Content = Annotated[Annotated[str, Tag("<text>")] | Annotated[Parts, Tag("<list>")], Discriminator(text_or_list)]
Stop = Annotated[Annotated[str, Tag("<text>")] | Annotated[Many[str], Tag("<list>")], Discriminator(text_or_list)]
ToolChoice = Annotated[
    Annotated[str, Tag("<text>")] | Annotated[dict[str, Any], Tag("<map>")], Discriminator(text_or_map)
]


class FunctionCall(Strict):
    name: str = ""
    arguments: str = ""


class ToolCallBody(Strict):
    id: str = ""
    type: str = "function"
    function: FunctionCall


class MessageBody(Strict):
    """One message. Providers narrow `role` and state what is required."""

    role: str | None = None
    content: Content | None = None
    name: str | None = None
    reasoning_content: str | None = None
    tool_calls: Many[ToolCallBody] | None = None
    tool_call_id: str | None = None
    prefix: bool | None = None


class FunctionBody(Strict):
    name: str
    description: str | None = None
    parameters: dict[str, Any] | None = None


class ToolBody(Strict):
    type: Literal["function"]
    function: FunctionBody


class ResponseFormat(Strict):
    type: str
    json_schema: dict[str, Any] | None = None


class StreamOptions(Strict):
    include_usage: bool | None = None


class ChatBody(Strict):
    """The members that every provider of this dialect reads; a provider's own body subclasses it."""

    model: str
    messages: Sequence[MessageBody]
    stream: bool | None = None


def text_of(content: str | Sequence[ContentPart] | None) -> str:
    """The text of a message's content: parts joined, other kinds left out."""
    if content is None:
        return ""
    if isinstance(content, str):
        return content
    return "".join(part.text or "" for part in content if part.type == "text")


def read_message(body: MessageBody) -> Message:
    """A message in neutral terms."""
    calls = body.tool_calls
    return Message(
        role=body.role or "user",
        content=text_of(body.content),
        reasoning=body.reasoning_content,
        tool_calls=tuple([ToolCall(call.function.name, call.function.arguments, call.id) for call in calls])
        if calls
        else (),
        tool_call_id=body.tool_call_id,
        name=body.name,
        prefix=bool(body.prefix),
    )


def read_tools(tools: Sequence[ToolBody] | None) -> tuple[Tool, ...]:
    """The offered functions in neutral terms."""
    if not tools:
        return ()
    return tuple(
        [Tool(tool.function.name, tool.function.description or "", tool.function.parameters or {}) for tool in tools]
    )


def read_tool_choice(choice: Any) -> str:
    """`none`, `auto`, `required`, or `name:FUNCTION`."""
    if isinstance(choice, Mapping):
        function = choice.get("function")
        name = function.get("name") if isinstance(function, Mapping) else None
        return f"name:{name}" if name else "auto"
    return choice if isinstance(choice, str) else "auto"


def read_stop(stop: Any) -> tuple[str, ...]:
    """A string, a list of strings or nothing, as a tuple; empty strings stop nothing."""
    if isinstance(stop, str):
        return (stop,) if stop else ()
    return tuple([item for item in stop if item]) if stop else ()


class ChatCompletions(Dialect):
    """Parses and renders chat completions."""

    dialect = "chat_completions"
    id_form = "chatcmpl-{}"
    REASONS: ClassVar[Mapping[str, str]] = {
        "stop_sequence": "stop",
        "refusal": "stop",
        "context_full": "length",
        "bad_call": "tool_calls",
    }
    terminator = DONE
    facts = ("id", "object", "created", "model")
    counts: ClassVar[tuple[str, ...]] = ("usage",)
    """The members that hold the usage."""

    Body: type[ChatBody] = ChatBody
    ranges: ClassVar[tuple[Range, ...]] = ()
    says_no_usage: ClassVar[bool] = False
    """Whether events without the usage say null, when it was asked for."""

    @property
    def stream_default(self) -> bool:
        """Whether a request that does not say `stream` is streamed."""
        return False

    @property
    def usage_stands(self) -> Literal["finish", "separate", "nowhere"]:
        """Where a stream's usage stands: on the last finish event, or in an event of its own for those who ask."""
        return "nowhere"

    # The way in

    def parse(self, http_request: HttpRequest, key: str) -> ModelRequest:
        body, native = self.read(http_request, self.Body)
        complaint = first(self.validation_errors(body))
        if complaint is not None:
            raise self.bad_request(complaint)
        stream = body.stream if body.stream is not None else self.stream_default
        controls = self.controls(body)
        messages: tuple[Message, ...] = tuple([self.message_of(message) for message in body.messages])
        if len(http_request.body) > large.LARGE:
            messages, native = large.LargeTuple(messages), large.LargeDict(native)
            for message in body.messages:
                large.free(message.content)
            large.free(body.messages)
        return ModelRequest(
            http_request=http_request,
            model=self.model_of(http_request, body),
            messages=messages,
            stream=stream,
            controls=controls,
            key=key,
            body=native,
        )

    def read(self, http_request: HttpRequest, model: type[BodyType]) -> tuple[BodyType, Mapping[str, Any]]:
        """The typed body and the native one. Raises Refused."""
        try:
            native = large.loads(http_request.body)
        except orjson.JSONDecodeError as error:
            raise self.not_json(error) from None
        try:
            return model.model_validate(native), native
        except ValidationError as error:
            raise self.not_of_type(error) from None

    def not_json(self, error: orjson.JSONDecodeError) -> Exception:
        """The refusal of a body that is not JSON."""
        reason = f"{str(error).partition(':')[0]} at line {error.lineno} column {error.colno}"
        return self.bad_request(not_json(reason))

    def not_of_type(self, error: ValidationError) -> Exception:
        """The refusal of JSON that has a wrong type somewhere."""
        return self.bad_request(not_of_type(serde(error.errors(include_url=False)[0])))

    def bad_request(self, message: str) -> Exception:
        """A refusal in the sender's own words."""
        return provider_error("bad_request", message)

    def validation_errors(self, body: Any) -> Iterator[str | None]:
        """What may be wrong with a body of the right types, in the order in which the provider looks."""
        for limits in self.ranges:
            if getattr(body, limits.name, None) is not None:
                yield limits.complaint(body)

    def message_of(self, body: Any) -> Message:
        """One message in neutral terms."""
        return read_message(body)

    def model_of(self, http_request: HttpRequest, body: Any) -> str:
        """The name of the model that is asked for."""
        return str(body.model)

    def controls(self, body: Any) -> Controls:
        """The parameters that shape the answer."""
        return Controls()

    # The answer

    def unshown(self, reply: Reply) -> tuple[str, ...]:
        return ("search",) if any(isinstance(block, Search) for block in reply.blocks) else ()

    def body(self, completion: Completion, request: ModelRequest) -> Any:
        """The JSON of a whole answer."""
        return {
            "id": completion.id,
            "object": "chat.completion",
            "created": completion.created,
            "model": completion.model,
            "choices": [self.choice(choice, request) for choice in completion.choices],
            "usage": self.usage(completion),
        }

    def choice(self, choice: Choice, request: ModelRequest) -> dict[str, Any]:
        return {"index": choice.index, "message": self.message(choice), "finish_reason": self.reason(choice)}

    def message(self, choice: Choice) -> dict[str, Any]:
        refusal = refused(choice)
        is_silent = refusal is not None and not choice.content
        message: dict[str, Any] = {"role": "assistant", "content": None if is_silent else choice.content}
        if choice.reasoning is not None:
            message["reasoning_content"] = choice.reasoning
        if choice.tool_calls:
            message["tool_calls"] = self.tool_calls(choice)
        if refusal is not None:
            message["refusal"] = refusal
        if cited := annotations(choice):
            message["annotations"] = cited
        return message

    def tool_calls(self, choice: Choice) -> list[dict[str, Any]]:
        return [{"index": index, **call_row(call, call.arguments)} for index, call in enumerate(choice.tool_calls)]

    def logprobs(self, choice: Choice) -> dict[str, Any] | None:
        """Log probabilities of a whole choice; None when they were not asked for."""
        if choice.logprobs is None and choice.reasoning_logprobs is None:
            return None
        return {
            "content": logprob_rows(choice.logprobs),
            "reasoning_content": logprob_rows(choice.reasoning_logprobs),
        }

    def usage(self, completion: Completion) -> dict[str, Any]:
        usage = completion.usage
        return {
            "prompt_tokens": usage.prompt,
            "completion_tokens": usage.completion,
            "total_tokens": usage.total,
        }

    # The stream: pure bytes, written once around the pieces that differ

    def stream(self, completion: Completion, request: ModelRequest) -> Iterator[FrameRun]:
        """Every run of a stream, in order."""
        choices = completion.choices
        for choice in choices:
            yield self.event("role", self.chunk(completion, request, choice, self.first_delta(choice)))
        if len(choices) == 1:
            yield from self.choice_runs(completion, request, choices[0])
        else:
            runs = [list(self.choice_runs(completion, request, choice)) for choice in choices]
            yield from interleaved(runs)
        for choice in choices:
            is_last = choice is choices[-1]
            chunk = self.chunk(completion, request, choice, self.last_delta(choice), finished=True, is_last=is_last)
            yield self.event("finish", chunk)
        yield from self.tail(completion, request)
        yield single("done", DONE)

    def choice_runs(self, completion: Completion, request: ModelRequest, choice: Choice) -> Iterator[FrameRun]:
        """The deltas of one choice: reasoning, content, tool calls."""
        if choice.reasoning:
            yield from self.text_runs("reasoning", completion, request, choice)
        if choice.content:
            yield from self.text_runs("content", completion, request, choice)
        yield from self.further_runs(completion, request, choice)
        for index, call in enumerate(choice.tool_calls):
            delta = self.tool_delta(choice, {"index": index, **call_row(call, "")})
            yield self.event("tool_calls", self.chunk(completion, request, choice, delta))
            pieces = self.provider.habits.argument_pieces(call.arguments)
            delta = self.tool_delta(choice, {"index": index, **call_piece(call)})
            before, after = self.around(self.chunk(completion, request, choice, delta))
            yield FrameRun("tool_calls", before, pieces.escaped, after, pieces.counts)

    def further_runs(self, completion: Completion, request: ModelRequest, choice: Choice) -> Iterator[FrameRun]:
        """The deltas of what only blocks can say: the words of a refusal, and what texts cite."""
        refusal = refused(choice)
        if refusal:
            pieces = tokens.pieces(refusal)
            before, after = self.around(self.chunk(completion, request, choice, {"refusal": PIECE}))
            yield FrameRun("content", before, pieces.escaped, after, pieces.counts)
        if cited := annotations(choice):
            yield self.event("frame", self.chunk(completion, request, choice, {"annotations": cited}))

    def text_runs(
        self, part: Part, completion: Completion, request: ModelRequest, choice: Choice
    ) -> Iterator[FrameRun]:
        """Reasoning or content, a token a frame; with log probabilities each frame is its own."""
        is_reasoning = part == "reasoning"
        pieces = tokens.pieces((choice.reasoning if is_reasoning else choice.content) or "")
        logprobs = choice.reasoning_logprobs if is_reasoning else choice.logprobs
        if logprobs is None:
            before, after = self.around(self.chunk(completion, request, choice, self.delta(part, PIECE, choice)))
            yield FrameRun(part, before, pieces.escaped, after, pieces.counts)
            return
        for text, count, row in zip(pieces.texts, pieces.counts, logprobs, strict=True):
            some = logprob_rows((row,))
            shown = {
                "content": None if is_reasoning else some,
                "reasoning_content": some if is_reasoning else None,
            }
            delta = self.delta(part, text, choice)
            yield self.event(part, self.chunk(completion, request, choice, delta, logprobs=shown), tokens=count)

    def chunk(
        self,
        completion: Completion,
        request: ModelRequest,
        choice: Choice,
        delta: dict[str, Any],
        *,
        finished: bool = False,
        is_last: bool = False,
        logprobs: dict[str, Any] | None = None,
    ) -> dict[str, Any]:
        """The JSON of one event. `finished`: it carries the finish reason; `is_last`: of the last choice."""
        row = self.chunk_choice(choice, delta, self.reason(choice) if finished else None, logprobs)
        chunk = self.chunk_of(completion, [row])
        if finished and is_last and self.usage_stands == "finish":
            chunk["usage"] = self.usage(completion)
        elif self.says_no_usage and request.controls.include_usage:
            chunk["usage"] = None
        return chunk

    def chunk_of(self, completion: Completion, choices: list[dict[str, Any]]) -> dict[str, Any]:
        """What stands around the choices of every event."""
        return {
            "id": completion.id,
            "object": "chat.completion.chunk",
            "created": completion.created,
            "model": completion.model,
            "choices": choices,
        }

    def chunk_choice(
        self, choice: Choice, delta: dict[str, Any], reason: str | None, logprobs: dict[str, Any] | None
    ) -> dict[str, Any]:
        """One choice of an event."""
        return {"index": choice.index, "delta": delta, "logprobs": logprobs, "finish_reason": reason}

    def first_delta(self, choice: Choice) -> dict[str, Any]:
        if choice.reasoning is None:
            return {"role": "assistant", "content": ""}
        return {"role": "assistant", "content": None, "reasoning_content": ""}

    def delta(self, part: Part, text: str, choice: Choice) -> dict[str, Any]:
        if choice.reasoning is None:
            return {"content": text}
        if part == "reasoning":
            return {"content": None, "reasoning_content": text}
        return {"content": text, "reasoning_content": None}

    def tool_delta(self, choice: Choice, call: dict[str, Any]) -> dict[str, Any]:
        return {"tool_calls": [call]}

    def last_delta(self, choice: Choice) -> dict[str, Any]:
        if choice.reasoning is None:
            return {"content": ""}
        return {"content": "", "reasoning_content": None}

    def tail(self, completion: Completion, request: ModelRequest) -> Iterator[FrameRun]:
        """What follows the finish events, before `[DONE]`."""
        if self.usage_stands == "separate" and request.controls.include_usage:
            yield self.event("usage", {**self.chunk_of(completion, []), "usage": self.usage(completion)})

    # The shape of the wire

    def turns(self, body: Mapping[str, Any]) -> list[Turn]:
        return chat_turns(body) or super().turns(body)

    def answer_of(self, natives: Sequence[dict[str, Any]]) -> Answer:
        usages = [place.value for native in natives for place in self.places(native, "usage")]
        return replace(chat_answer([self.choices(native) for native in natives]), has_usage=any(usages))

    def core(self, native: dict[str, Any]) -> dict[str, Any]:
        """What holds the choices: the event or body itself, unless a vendor wraps it."""
        return native

    def choices(self, native: dict[str, Any]) -> list[dict[str, Any]]:
        """The choices of an event or a body."""
        found = self.core(native).get("choices")
        return [choice for choice in found if isinstance(choice, dict)] if isinstance(found, list) else []

    def places(self, native: dict[str, Any], *meanings: Meaning) -> Iterator[Place]:
        for choice in self.choices(native):
            index, words = choice.get("index", 0), words_of(choice)
            for meaning, names in TEXTS:
                if meaning in meanings:
                    yield from [Place(words, name, meaning, index) for name in names if has_text(words, name)]
            if "call_index" in meanings:
                for call in words.get("tool_calls") or ():
                    yield Place(call, "index", "call_index", (index, call.get("index", 0)))
            if "finish" in meanings and "finish_reason" in choice:
                yield Place(choice, "finish_reason", "finish", index)
        if "id" in meanings and "id" in self.core(native):
            yield Place(self.core(native), "id", "id")
        if "usage" in meanings:
            core = self.core(native)
            for holder in [native] if core is native else [native, core]:
                yield from [Place(holder, name, "usage") for name in self.counts if name in holder]

    def objects(self, native: dict[str, Any]) -> Iterator[dict[str, Any]]:
        yield native
        if self.core(native) is not native:
            yield self.core(native)
        for choice in self.choices(native):
            yield choice
            if words_of(choice) is not choice:
                yield words_of(choice)

    def call_objects(self, native: dict[str, Any]) -> Iterator[tuple[Any, dict[str, Any]]]:
        for place in self.places(native, "call_index"):
            yield place.key, place.holder

    def without_facts(self, native: dict[str, Any]) -> dict[str, Any]:
        return dict(without(native, self.facts))

    def without_text(self, native: dict[str, Any]) -> None:
        for choice in self.choices(native):
            words_of(choice)["text" if "text" in choice else "content"] = None

    def without_answer(self, native: dict[str, Any], value: Any) -> bool:
        core = self.core(native)
        if "choices" in core:
            core["choices"] = value
        return True

    def without_answers(self, native: dict[str, Any]) -> dict[str, Any] | None:
        if not self.choices(native):
            return None
        self.core(native)["choices"] = []
        return native

    def is_only_usage(self, native: dict[str, Any]) -> bool:
        return self.core(native).get("choices") == []

    def usage_again(self, native: dict[str, Any]) -> dict[str, Any] | None:
        core = self.core(native)
        if "choices" in core:
            core["choices"] = []
        return native

    def late_text(self, native: dict[str, Any], text: str) -> dict[str, Any] | None:
        for choice in self.choices(native):
            choice.update({"text": text} if "text" in choice else {"delta": {"content": text}})
        return native

    def with_text_so_far(self, native: dict[str, Any], said: Mapping[Any, str]) -> bool:
        for choice in self.choices(native):
            choice["message"] = {"role": "assistant", "content": said.get(choice.get("index", 0), "")}
        return True

    def with_split_name(self, native: dict[str, Any]) -> list[dict[str, Any]]:
        calls = [place.holder for place in self.places(native, "call_index")]
        if not calls or not all(halves(call)[0] for call in calls):
            return []
        rest: dict[str, Any] = orjson.loads(orjson.dumps(native))
        for call in calls:
            call["function"] = {**call["function"], "name": halves(call)[0]}
        for place in self.places(rest, "call_index"):
            call = place.holder
            second = {"index": call.get("index", 0), "function": {"name": halves(call)[1], "arguments": ""}}
            call.clear()
            call.update(second)
        return [native, rest]


TEXTS: tuple[tuple[Meaning, tuple[str, ...]], ...] = (
    ("content", ("content", "text", "refusal")),
    ("reasoning", ("reasoning_content", "reasoning")),
)


def has_text(words: dict[str, Any], name: str) -> bool:
    """Whether a text stands at this name, or could; refusals are rare, and null everywhere else."""
    return name in words and (name != "refusal" or bool(words[name]))


def words_of(choice: dict[str, Any]) -> dict[str, Any]:
    """What holds the text of a choice: its delta, its message, or, in an answer that is no chat, the choice itself."""
    for name in ("delta", "message"):
        if isinstance(choice.get(name), dict):
            found: dict[str, Any] = choice[name]
            return found
    return choice


def without(value: Any, names: Sequence[str]) -> Any:
    """JSON without the members of these names, wherever they stand."""
    if isinstance(value, dict):
        return {name: without(member, names) for name, member in value.items() if name not in names}
    return [without(item, names) for item in value] if isinstance(value, list) else value


def halves(call: dict[str, Any]) -> tuple[str, str]:
    """The two halves of the name of a function; empty where it is not named."""
    function = call.get("function")
    name = str(function.get("name") or "") if isinstance(function, dict) else ""
    half = (len(name) + 1) // 2
    return name[:half], name[half:]


def interleaved(columns: Sequence[Sequence[FrameRun]]) -> Iterator[FrameRun]:
    """The frames of several choices in turn, as parallel generation sends them. Only the longest counts as time."""
    flat = [
        [(run.part, frame, count) for run in runs for frame, count in zip(run.frames(), run.tokens, strict=True)]
        for runs in columns
    ]
    for row in zip_longest(*flat):
        present = [item for item in row if item is not None]
        longest = max(count for _, _, count in present)
        for position, (part, frame, _) in enumerate(present):
            yield single(part, frame, longest if position == 0 else 0)


def logprob_rows(rows: Sequence[TokenLogprob] | None) -> list[dict[str, Any]] | None:
    """Log probabilities as they stand on the wire."""
    if rows is None:
        return None
    return [
        {
            "token": row.token,
            "logprob": row.logprob,
            "bytes": list(row.token.encode()),
            "top_logprobs": [
                {"token": token, "logprob": logprob, "bytes": list(token.encode())} for token, logprob in row.top
            ],
        }
        for row in rows
    ]
