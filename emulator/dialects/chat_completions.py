"""Chat completions: `choices` of messages and deltas, `data:` lines, `[DONE]`.

A vendor subclasses `ChatCompletions` and states its differences: the body that it accepts, the order of keys, the
deltas that start and end a stream, and where usage is reported.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import zip_longest
from typing import Any, ClassVar, Generic, Literal

import orjson
from pydantic import ValidationError
from typing_extensions import TypeVar  # Python's own has defaults from 3.13 on

from emulator import large, tokens
from emulator.dialects.base import DONE, PIECE, Dialect, Plain, VendorT, provider_error, text_turns
from emulator.dialects.chat_blocks import annotations, call_piece, call_row, refused
from emulator.dialects.chat_input import BodyType, ChatBody, MessageBody, read_message
from emulator.dialects.chat_shape import ChatShape
from emulator.dialects.serde import Range, first, not_json, not_of_type, serde
from emulator.reply import Choice, Completion, Reply, Search, TokenLogprob
from emulator.request import Controls, HttpRequest, Message, ModelRequest
from emulator.wire import FrameRun, Part, single

BodyT = TypeVar("BodyT", bound=ChatBody, default=ChatBody)
"""The body that a vendor reads."""


class ChatCompletions(ChatShape, Dialect[VendorT], Generic[BodyT, VendorT]):
    """Parses and renders chat completions."""

    dialect = "chat_completions"
    id_form = "chatcmpl-{}"
    REASONS: ClassVar[Mapping[str, str]] = {
        "stop_sequence": "stop",
        "refusal": "stop",
        "context_full": "length",
        "bad_call": "tool_calls",
    }

    Body: type[BodyT] = ChatBody  # type: ignore[assignment]  # right where a subclass names no other
    ranges: ClassVar[tuple[Range, ...]] = ()
    says_no_usage: ClassVar[bool] = False
    """Whether events without usage have `"usage": null` if the client asked for usage."""

    @property
    def stream_default(self) -> bool:
        """Whether a request without `stream` is streamed."""
        return False

    @property
    def usage_stands(self) -> Literal["finish", "separate", "nowhere"]:
        """Where a stream reports usage: on the last finish event, or in a separate event if the client asks for it."""
        return "nowhere"

    # Requests

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

    def plain(self, native: Any) -> Plain | None:
        if type(native) is not dict or "response_format" in native:  # the prompt must mention JSON
            return None
        messages = text_turns(native.get("messages"))
        if messages is None:
            return None
        rest = {**native, "messages": [message.role for message in messages]}
        return Plain(tuple(messages), rest)

    def read(self, http_request: HttpRequest, model: type[BodyType]) -> tuple[BodyType, Mapping[str, Any]]:
        """Returns the typed body and the parsed JSON. Raises ProviderError."""
        try:
            native = large.loads(http_request.body)
        except orjson.JSONDecodeError as error:
            raise self.not_json(error) from None
        try:
            return model.model_validate(native), native
        except ValidationError as error:
            raise self.not_of_type(error) from None

    def not_json(self, error: orjson.JSONDecodeError) -> Exception:
        """Returns the error for a body that is not JSON."""
        reason = f"{str(error).partition(':')[0]} at line {error.lineno} column {error.colno}"
        return self.bad_request(not_json(reason))

    def not_of_type(self, error: ValidationError) -> Exception:
        """Returns the error for JSON with a value of the wrong type."""
        return self.bad_request(not_of_type(serde(error.errors(include_url=False)[0])))

    def bad_request(self, message: str) -> Exception:
        """Returns a `bad_request` error with this message."""
        return provider_error("bad_request", message)

    def validation_errors(self, body: BodyT) -> Iterator[str | None]:
        """Yields the problems of a body of the right types, in the order in which the provider checks."""
        for limits in self.ranges:
            if getattr(body, limits.name, None) is not None:
                yield limits.complaint(body)

    def message_of(self, body: MessageBody) -> Message:
        """Converts a message to neutral terms."""
        return read_message(body)

    def model_of(self, http_request: HttpRequest, body: BodyT) -> str:
        """The name of the requested model."""
        return str(body.model)

    def controls(self, body: BodyT) -> Controls:
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
        """Log probabilities of a whole choice; None if the client did not ask for them."""
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
        """Yields the deltas for what only blocks can express: refusals and citations."""
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
        """Yields reasoning or content, one token per frame; with log probabilities, each frame is rendered
        separately."""
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
        """Returns the JSON of one event. `finished`: it has the finish reason; `is_last`: it is the last choice's."""
        row = self.chunk_choice(choice, delta, self.reason(choice) if finished else None, logprobs)
        chunk = self.chunk_of(completion, [row])
        if finished and is_last and self.usage_stands == "finish":
            chunk["usage"] = self.usage(completion)
        elif self.says_no_usage and request.controls.include_usage:
            chunk["usage"] = None
        return chunk

    def chunk_of(self, completion: Completion, choices: list[dict[str, Any]]) -> dict[str, Any]:
        """Returns an event with these choices."""
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
        """Yields what follows the finish events, before `[DONE]`."""
        if self.usage_stands == "separate" and request.controls.include_usage:
            yield self.event("usage", {**self.chunk_of(completion, []), "usage": self.usage(completion)})


def interleaved(columns: Sequence[Sequence[FrameRun]]) -> Iterator[FrameRun]:
    """Interleaves the frames of several choices, as parallel generation does. Only the longest one takes time."""
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
    """Log probabilities in wire format."""
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
