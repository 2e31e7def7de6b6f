"""Generate content: `candidates` of `parts`, whole, or streamed as answers that each carry a piece, without an end
marker.

A vendor that speaks it subclasses `GenerateContent` and states its differences: how it names the model, which models
think, what its errors look like. Without `alt=sse`, a stream is a JSON array: `GenerateContentArray`.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import field, replace
from itertools import zip_longest
from typing import Any, ClassVar, Generic

import orjson
from pydantic import BaseModel, ValidationError

from emulator import large, seeded, tokens
from emulator.dialects.base import Dialect, ErrorSpec, VendorT, arguments_of, provider_error
from emulator.dialects.generate_content_input import (
    ENUM,
    NO_CACHE,
    CountTokensBody,
    GenerateContentBody,
    misfits,
    read_contents,
    read_controls,
)
from emulator.dialects.generate_content_rules import complaints
from emulator.dialects.generate_content_shape import ArrayShape, GenerateContentShape
from emulator.dialects.generate_content_urls import STREAM, google_key
from emulator.dialects.generate_content_words import (
    average,
    grounding,
    logprob_rows,
    made_signature,
    usage_metadata,
)
from emulator.records import struct
from emulator.reply import Choice, Completion, Refusal, Reply, Text, Thought, TokenLogprob
from emulator.request import HttpRequest, ModelRequest, ToolCall
from emulator.wire import FrameRun, Header, Part, single

CHUNK_TOKENS = 32
"""The number of tokens in each event of a stream."""
ENDS: frozenset[Part] = frozenset(["finish", "usage", "done"])
SAFETY: list[dict[str, Any]] = [{"category": "HARM_CATEGORY_DANGEROUS_CONTENT", "probability": "HIGH", "blocked": True}]


@struct
class Piece:
    """What one event of a stream adds."""

    part: Part
    parts: list[dict[str, Any]]
    thought: int = 0
    """The tokens of reasoning, followed by those of output."""
    spoken: int = 0
    logprobs: Sequence[TokenLogprob] = field(default=())


class GenerateContent(GenerateContentShape, Dialect[VendorT], Generic[VendorT]):
    """Parses and renders generate content."""

    dialect = "generate_content"
    Body: ClassVar[type[GenerateContentBody]] = GenerateContentBody
    REASONS: ClassVar[Mapping[str, str]] = {
        "stop": "STOP",
        "stop_sequence": "STOP",
        "length": "MAX_TOKENS",
        "tool_calls": "STOP",
        "content_filter": "SAFETY",
        "refusal": "STOP",
        "context_full": "MAX_TOKENS",
        "pause": "STOP",
        "bad_call": "MALFORMED_FUNCTION_CALL",
        "insufficient_system_resource": "OTHER",
    }

    # Requests

    def key_in(self, http_request: HttpRequest) -> str:
        key = google_key(http_request.headers, http_request.query)
        return key if key else self.key_of(http_request.headers)

    def model_of(self, http_request: HttpRequest, body: GenerateContentBody) -> str:
        """Returns the requested model. Raises ProviderError."""
        return http_request.parameters.get("model", "") or (body.model or "").removeprefix("models/")

    def thinks(self, model: str, body: GenerateContentBody) -> bool | None:
        """Whether the model thinks about this request; None if the request does not say."""
        thinking = body.config.thinking_config
        if thinking is None:
            return None
        return thinking.thinking_budget != 0 and (thinking.thinking_level or "").upper() != "MINIMAL"

    def bad_request(self, message: str, fields: str | None = None) -> Exception:
        """Returns the error for a body. `fields` names the invalid fields, one for each line of the message."""
        return provider_error("bad_request", message)

    def body_of(self, operation: str) -> type[BaseModel] | None:
        return CountTokensBody if operation == "count_tokens" else self.Body

    def read(self, http_request: HttpRequest, kind: type[BaseModel]) -> tuple[Any, Mapping[str, Any]]:
        """Returns the typed body and the parsed JSON. Raises ProviderError."""
        try:
            native = large.loads(http_request.body)
        except orjson.JSONDecodeError as error:
            raise self.bad_request(not_json(http_request.body, error)) from None
        if not isinstance(native, dict):
            raise self.bad_request('Invalid JSON payload received. Unknown name "": Root element must be a message.')
        try:
            return kind.model_validate(native, extra="forbid" if self.refuses_unknown_members else "ignore"), native
        except ValidationError as error:
            found = misfits(error)
            complaint = "\n".join([text for _, text in found])
            raise self.bad_request(complaint, "\n".join([where for where, _ in found])) from None

    def parse(self, http_request: HttpRequest, key: str) -> ModelRequest:
        if http_request.operation == "count_tokens":
            counted, native = self.read(http_request, CountTokensBody)
            body: GenerateContentBody = counted.asked
        else:
            body, native = self.read(http_request, self.Body)
        model = self.model_of(http_request, body)
        complaint = next(self.validation_errors(model, body), None)
        if complaint is not None:
            raise self.bad_request(complaint)
        if body.cached_content is not None:
            raise provider_error("forbidden", NO_CACHE)
        messages = read_contents(body)
        controls = read_controls(body, self.thinks(model, body))
        if len(http_request.body) > large.LARGE:
            messages, native = large.LargeTuple(messages), large.LargeDict(native)
            for turn in body.contents or ():
                large.free(turn.parts)
            large.free(body.contents)
        streams = http_request.operation == STREAM
        return ModelRequest(http_request, model, messages, streams, controls, key, native)

    def validation_errors(self, model: str, body: GenerateContentBody) -> Iterator[str]:
        """Yields the problems of a body whose types are right."""
        yield from complaints(body)

    # The answer

    def adapt(self, reply: Reply, request: ModelRequest) -> Reply:
        if request.controls.schema is None or mime_type(request) != ENUM or reply.blocks:
            return reply
        try:
            word = orjson.loads(reply.content)
        except orjson.JSONDecodeError:
            return reply
        return replace(reply, content=word) if isinstance(word, str) else reply

    def make_id(self, entropy: bytes) -> str:
        return seeded.letters(entropy, 23)

    def shows_ids(self, model: str) -> bool:
        """Whether a function call has an id."""
        return False

    def signs_text(self, model: str) -> bool:
        """Whether the end of a text has a signature if no function is called."""
        return False

    @property
    def passes_text(self) -> bool:
        """Whether arguments that aren't a JSON object are sent as text instead of as a failed call."""
        return bool(getattr(self.provider.settings, "bad_arguments", "malformed") == "text")

    def reason(self, choice: Choice) -> str:
        if choice.finish_reason in ("stop", "tool_calls") and self.failed_call(choice) is not None:
            return "MALFORMED_FUNCTION_CALL"
        return super().reason(choice)

    def failed_call(self, choice: Choice) -> ToolCall | None:
        """The first call whose arguments aren't a JSON object; None if all are."""
        if self.passes_text:
            return None
        return next((call for call in choice.tool_calls if isinstance(arguments_of(call.arguments), str)), None)

    def pieces(self, choice: Choice, completion: Completion, request: ModelRequest, size: int) -> list[Piece]:
        """Splits the answer into pieces; texts have about `size` tokens each. Hidden thoughts have no parts."""
        made: list[Piece] = []
        rows = list(choice.logprobs or ())
        signature = self.signature_of(choice, completion, request)
        for block in choice.blocks:
            match block:
                case Thought():
                    shown = request.controls.include_thoughts
                    for text, count, _ in grouped(block.text, size):
                        made.append(Piece("reasoning", [{"text": text, "thought": True}] if shown else [], count))
                case Text() | Refusal():
                    for text, count, number in grouped(block.text, size):
                        made.append(Piece("content", [{"text": text}], 0, count, rows[:number]))
                        del rows[:number]
                case ToolCall():
                    part = self.call(block, completion.model)
                    if part is not None:
                        count = tokens.count(block.name) + tokens.count(block.arguments)
                        signed = {} if signature is None else {"thoughtSignature": signature}
                        made.append(Piece("tool_calls", [{**part, **signed}], 0, count))
                        signature = None
        if signature is not None and self.signs_text(completion.model) and not choice.tool_calls:
            made.append(Piece("content", [{"text": "", "thoughtSignature": signature}]))
        return made

    def call(self, call: ToolCall, model: str) -> dict[str, Any] | None:
        """Returns a function call as a part; None if its arguments don't allow that."""
        arguments = arguments_of(call.arguments)
        if isinstance(arguments, str) and not self.passes_text:
            return None
        function: dict[str, Any] = {"name": call.name}
        if call.arguments:
            function["args"] = arguments
        if self.shows_ids(model):
            function["id"] = call.id
        return {"functionCall": function}

    def signature_of(self, choice: Choice, completion: Completion, request: ModelRequest) -> str | None:
        """Returns the signature that proves that the model thought before its answer; None if it did not."""
        thoughts = [block for block in choice.blocks if isinstance(block, Thought)]
        if thoughts and thoughts[-1].signature:
            return thoughts[-1].signature
        if not thoughts and not request.controls.thinking:
            return None
        called = [text for call in choice.tool_calls for text in (call.name, call.arguments)]
        return made_signature(completion.model, choice.reasoning or "", choice.content, *called)

    def candidate(self, choice: Choice, parts: list[dict[str, Any]], ends: bool) -> dict[str, Any]:
        """Returns one candidate of a whole answer or an event."""
        row: dict[str, Any] = {"content": {"parts": parts, "role": "model"} if parts else {"role": "model"}}
        if not ends:
            return {**row, "index": choice.index}
        reason = self.reason(choice)
        if not parts and reason == "SAFETY":
            row = {}
        elif not parts and reason == "MALFORMED_FUNCTION_CALL":
            row = {"content": {}}
        row |= {"finishReason": reason, "index": choice.index}
        if reason == "SAFETY":
            row["safetyRatings"] = SAFETY
        failed = self.failed_call(choice)
        if reason == "MALFORMED_FUNCTION_CALL" and failed is not None:
            row["finishMessage"] = f"Malformed function call: {failed.name}({failed.arguments})"
        return row

    def answer(
        self, completion: Completion, candidates: list[dict[str, Any]], thought: int, spoken: int, request: ModelRequest
    ) -> dict[str, Any]:
        """Returns a whole answer, or an event of one, with the tokens so far."""
        return {
            "candidates": candidates,
            "usageMetadata": usage_metadata(completion.usage, thought, spoken, request),
            "modelVersion": completion.model,
            "responseId": completion.id,
        }

    def body(self, completion: Completion, request: ModelRequest) -> Any:
        rows = []
        for choice in completion.choices:
            parts = merged([part for piece in self.pieces(choice, completion, request, 2**31) for part in piece.parts])
            row = self.candidate(choice, parts, True)
            if found := grounding(choice, completion, request):
                row["groundingMetadata"] = found
            if choice.logprobs:
                row |= {"avgLogprobs": average(choice.logprobs), "logprobsResult": logprob_rows(choice.logprobs)}
            rows.append(row)
        usage = completion.usage
        return self.answer(completion, rows, usage.reasoning, usage.completion - usage.reasoning, request)

    def stream(self, completion: Completion, request: ModelRequest) -> Iterator[FrameRun]:
        choices, usage = completion.choices, completion.usage
        size = getattr(self.provider.settings, "chunk_tokens", CHUNK_TOKENS)
        columns = [self.pieces(choice, completion, request, size) for choice in choices]
        thought = sum([piece.thought for column in columns for piece in column if not piece.parts])
        columns = [[piece for piece in column if piece.parts] for column in columns]
        last = columns[0].pop() if len(columns) == 1 and columns[0] else None
        spoken = 0
        for row in zip_longest(*columns):
            present = [(choice, piece) for choice, piece in zip(choices, row, strict=True) if piece is not None]
            longest = max([piece.thought + piece.spoken for _, piece in present])
            for choice, piece in present:
                thought, spoken = thought + piece.thought, spoken + piece.spoken
                candidate = self.candidate(choice, piece.parts, False) | logprobs_of(piece)
                so_far = min(thought, usage.reasoning), min(spoken, usage.completion - usage.reasoning)
                yield self.event(piece.part, self.answer(completion, [candidate], *so_far, request), longest)
                longest = 0
        rows = []
        for choice in choices:
            parts = [{"text": ""}] if last is None and not is_bare(self.reason(choice)) else last.parts if last else []
            row_of = self.candidate(choice, parts, True) | (logprobs_of(last) if last else {})
            if found := grounding(choice, completion, request):
                row_of["groundingMetadata"] = found
            rows.append(row_of)
        native = self.answer(completion, rows, usage.reasoning, usage.completion - usage.reasoning, request)
        part: Part = last.part if last is not None else "finish"
        yield self.event(part, native, last.thought + last.spoken if last is not None else 0, also=ENDS)

    # Other operations

    def result(self, request: ModelRequest) -> Any:
        """Counts the tokens of a request."""
        fixed, texts = self.provider.prompt_texts(request)
        count = fixed + sum(map(tokens.count, texts))
        return {"totalTokens": count, "promptTokensDetails": [{"modality": "TEXT", "tokenCount": count}]}

    @property
    def heartbeat(self) -> bytes:
        return b""  # clients would read a comment as broken JSON

    # Errors

    def error_frame(self, form: str, row: ErrorSpec, body: bytes) -> bytes | None:
        event = self.read_frame(body)  # a blocked prompt, which is an event, or the only element of an array
        native = event.native if event is not None else orjson.loads(body)
        if form == "array":
            return self.dumps([native])
        return self.frame(native, "error" if form == "event" else None) if form in ("data", "event", "bare") else None


class GenerateContentArray(ArrayShape, GenerateContent[VendorT], Generic[VendorT]):
    """The same, streamed as a JSON array."""

    dialect = "generate_content_array"

    def headers_of(self, completion: Completion, stream: bool) -> tuple[Header, ...]:
        return super().headers_of(completion, False)

    def stream(self, completion: Completion, request: ModelRequest) -> Iterator[FrameRun]:
        yield single("comment", self.opening)
        yield from super().stream(completion, request)


def is_bare(reason: str) -> bool:
    """Whether a candidate with this finish reason has no content."""
    return reason in ("SAFETY", "MALFORMED_FUNCTION_CALL")


def grouped(text: str, size: int) -> Iterator[tuple[str, int, int]]:
    """Yields a text in groups of at least `size` tokens: the text, its tokens, and the number of token pieces in it."""
    found = tokens.pieces(text)
    start = count = 0
    for place, each in enumerate(found.counts, 1):
        count += each
        if count >= size or place == len(found.counts):
            yield "".join(found.texts[start:place]), count, place - start
            start, count = place, 0


def merged(parts: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Returns the parts of a whole answer: the signature of a text is a member of its part."""
    if len(parts) > 1 and parts[-1].get("text") == "" and "thoughtSignature" in parts[-1]:
        return [*parts[:-2], {**parts[-2], "thoughtSignature": parts[-1]["thoughtSignature"]}]
    return parts


def logprobs_of(piece: Piece) -> dict[str, Any]:
    """Returns the log probabilities of an event, if the client asked for them."""
    return {"logprobsResult": logprob_rows(piece.logprobs)} if piece.logprobs else {}


def mime_type(request: ModelRequest) -> str | None:
    """Returns the requested MIME type."""
    config = request.body.get("generationConfig") or request.body.get("generation_config") or {}
    found = config.get("responseMimeType") or config.get("response_mime_type")
    return found if isinstance(found, str) else None


def not_json(body: bytes, error: orjson.JSONDecodeError) -> str:
    """Returns the error message for a body that is not JSON, with the position."""
    text = body.decode("utf-8", "replace")
    line = text.splitlines()[error.lineno - 1] if text.splitlines() else ""
    near = line[max(0, error.colno - 20) : error.colno + 20]
    found = "Unexpected end of string." if error.pos >= len(text) else "Unexpected token."
    return f"Invalid JSON payload received. {found}\n{near}\n{' ' * min(error.colno, 20)}^"
