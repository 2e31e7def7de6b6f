"""Responses: items instead of messages, numbered typed events, a last event that contains the whole response.

A vendor subclasses `Responses` and states its differences: the body it accepts, what it shows of a thought, and whether
it stores its answers.
"""

import secrets
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any, ClassVar, Generic

import orjson

from emulator import seeded, tokens
from emulator.dialects.base import PIECE, PIECE_IN_JSON, Dialect, ErrorSpec, Plain, VendorT, text_turns
from emulator.dialects.chat_completions import logprob_rows
from emulator.dialects.responses_shape import ResponsesShape
from emulator.records import record
from emulator.reply import Block, Choice, Citation, Completion, Search, Text, Thought, TokenLogprob, Usage
from emulator.reply import Refusal as Refusing
from emulator.request import Message, ModelRequest, ToolCall
from emulator.wire import NOTHING_ELSE, FrameRun, Part

INCOMPLETE = {"length": "max_output_tokens", "context_full": "max_output_tokens"}
"""The reason why a response is incomplete, where it differs from the neutral one."""
GOING_ON = ("previous_response_id", "conversation", "prompt", "text")
"""Members that make a request depend on stored state, or on the words in it."""
COMPLETE = ("stop", "stop_sequence", "tool_calls", "refusal", "bad_call", "pause")
FAILED = "insufficient_system_resource"
ORDER = (
    "id", "object", "created_at", "status", "background", "completed_at", "error", "incomplete_details", "instructions",
    "max_output_tokens", "max_tool_calls", "model", "output", "parallel_tool_calls", "previous_response_id",
    "prompt_cache_key", "prompt_cache_retention", "reasoning", "safety_identifier", "service_tier", "store",
    "temperature", "text", "tool_choice", "tools", "top_logprobs", "top_p", "truncation", "usage", "user", "metadata",
)  # fmt: skip
"""The order of the members of a response."""
NUMBER = f"\x1f{secrets.token_hex(16)}\x1f"
"""A placeholder for the number of an event, like `PIECE` for a piece."""
NUMBER_IN_JSON = orjson.dumps(NUMBER)
TAIL = f"\x1f{secrets.token_hex(16)}\x1f"
"""A placeholder for the letters that pad an event (see `obfuscation`)."""
TAIL_IN_JSON = orjson.dumps(TAIL)[1:-1]
Json = dict[str, Any]


@record
class Outcome:
    """The status of a response, with its details."""

    status: str
    details: Json | None = None
    error: Json | None = None


class Counted:
    """Makes numbered events, in order."""

    def __init__(self, dialect: Dialect[Any]) -> None:
        self.dialect = dialect
        self.number = 0

    def event(
        self, part: Part, kind: str, members: Json, also: frozenset[Part] = NOTHING_ELSE, tokens: int = 0
    ) -> FrameRun:
        """Returns one event."""
        native = {"type": kind, "sequence_number": self.number, **members}
        self.number += 1
        return self.dialect.event(part, native, tokens, also)

    def run(self, part: Part, kind: str, members: Json, text: str, tails: Sequence[bytes] | None) -> FrameRun:
        """Returns the events of a text, one for each piece: `members` contains `PIECE`, and `tails` pad the events."""
        pieces = tokens.pieces(text)
        native = {"type": kind, "sequence_number": NUMBER, **members}
        if tails is not None:
            native["obfuscation"] = TAIL
        before, _, rest = self.dialect.frame(native).partition(NUMBER_IN_JSON)
        middle, _, after = rest.partition(PIECE_IN_JSON)
        escaped: Sequence[bytes] = pieces.escaped
        if tails is not None:
            between, _, after = after.partition(TAIL_IN_JSON)
            escaped = [piece + between + tail for piece, tail in zip(escaped, tails, strict=True)]
        first = self.number
        self.number += len(escaped)
        return FrameRun(part, before, escaped, after, pieces.counts, first=first, middle=middle)


class Responses(ResponsesShape, Dialect[VendorT], Generic[VendorT]):
    """Renders responses, whole and as typed events."""

    dialect = "responses"
    is_repeatable: ClassVar[bool] = False  # its items have ids of their own
    has_item_ids: ClassVar[bool] = True
    final_name: ClassVar[bool] = False
    """Whether the event that ends the arguments of a call names the function."""

    # What vendors override

    def make_id(self, entropy: bytes) -> str:
        return f"resp_{entropy[:16].hex()}"

    def item_id(self, id: str, kind: str, index: int) -> str:
        return f"{kind}_{item_digest(id, index)[:16].hex()}"

    def item_ids(self, id: str, choices: Sequence[Choice]) -> list[str]:
        return [self.item_id(id, kind_of(block)[1], index) for index, block in enumerate(choices[0].blocks)]

    def echo(self, request: ModelRequest) -> Json:
        """Returns the members of a response that repeat the request."""
        return {}

    def thought(self, thought: Thought) -> Json:
        """Returns the members of an item that show a thought."""
        return {"summary": [], "content": [{"type": "reasoning_text", "text": thought.text}]}

    def thought_begun(self) -> Json:
        """Returns those members as they are when a stream begins the item."""
        return {"summary": [], "content": []}

    def thought_events(self, thought: Thought) -> tuple[str, str, list[str]]:
        """Returns how a stream shows a thought: the type of its parts, the prefix of their events, and their texts."""
        return "reasoning_text", "response.reasoning_text", [thought.text]

    def hidden_tokens(self, block: Block) -> int:
        """The number of a block's tokens that are generated but not shown."""
        return 0

    def tails(self, text: str, request: ModelRequest) -> Sequence[bytes] | None:
        """Returns the letters that pad the events of a text; None for no padding."""
        return None

    def plain(self, native: Any) -> Plain | None:
        if type(native) is not dict or not native.keys().isdisjoint(GOING_ON):
            return None
        said = native.get("input")
        is_text = isinstance(said, str)
        messages = [Message("user", said)] if said and isinstance(said, str) else text_turns(said)
        if messages is None or any(pair == ("assistant", "assistant") for pair in pairwise([m.role for m in messages])):
            return None  # two items of the model in a row are one turn
        rest = {**native, "input": "text" if is_text else [message.role for message in messages]}
        if "instructions" in native:
            instructions = native["instructions"]
            if type(instructions) is not str or not instructions:
                return None
            messages.insert(0, Message("system", instructions))  # also part of the form, since responses repeat them
        return Plain(tuple(messages), rest)

    # The answer

    def outcome(self, choice: Choice) -> Outcome:
        """Returns the final status of a response."""
        reason = choice.finish_reason
        if reason in COMPLETE:
            return Outcome("completed")
        if reason == FAILED:
            message = "The server had an error while processing your request."
            return Outcome("failed", error={"code": "server_error", "message": message})
        return Outcome("incomplete", {"reason": INCOMPLETE.get(reason, reason)})

    def body(self, completion: Completion, request: ModelRequest) -> Any:
        choice = completion.choices[0]
        outcome = self.outcome(choice)
        output = [self.item(block, index, completion, outcome) for index, block in enumerate(choice.blocks)]
        return self.response(completion, request, outcome, output)

    def response(
        self, completion: Completion, request: ModelRequest, outcome: Outcome, output: list[Json]
    ) -> dict[str, Any]:
        """Returns the response object, at its beginning or at its end."""
        is_over = outcome.status not in ("queued", "in_progress")
        members: Json = {
            "id": completion.id,
            "object": "response",
            "created_at": completion.created,
            "status": outcome.status,
            "background": False,
            "completed_at": completion.created if outcome.status == "completed" else None,
            "error": outcome.error,
            "incomplete_details": outcome.details,
            "model": completion.model,
            "output": output,
            "usage": self.usage(completion.usage) if is_over else None,
            **self.echo(request),
        }
        return {name: members[name] for name in ORDER if name in members}

    def usage(self, usage: Usage) -> Json:
        return {
            "input_tokens": usage.prompt,
            "input_tokens_details": {"cached_tokens": usage.cached},
            "output_tokens": usage.completion,
            "output_tokens_details": {"reasoning_tokens": usage.reasoning},
            "total_tokens": usage.total,
        }

    def item(self, block: Block, index: int, completion: Completion, outcome: Outcome) -> Json:
        """Returns a block as an item of the output. An item that was cut off is incomplete."""
        choice = completion.choices[0]
        is_cut = outcome.status == "incomplete" and index == len(choice.blocks) - 1
        status = {"status": "incomplete" if is_cut else "completed"}
        match block:
            case Thought():
                return {**self.opened_item(block, index, completion), **status, **self.thought(block)}
            case Text() | Refusing():
                content = [self.part(block, choice)]
                return {**self.opened_item(block, index, completion), **status, "content": content}
            case ToolCall(kind="custom"):
                return {**self.opened_item(block, index, completion), **status, "input": block.arguments}
            case ToolCall():
                return {**self.opened_item(block, index, completion), **status, "arguments": block.arguments}
            case Search():  # pragma: no branch - all kinds of blocks are listed
                return {**self.opened_item(block, index, completion), **status, "action": searched(block)}

    def opened_item(self, block: Block, index: int, completion: Completion) -> Json:
        """Returns an item as a stream begins it."""
        kind, prefix = kind_of(block)
        item: Json = {"id": self.item_id(completion.id, prefix, index), "type": kind, "status": "in_progress"}
        match block:
            case Thought():
                return {**item, **self.thought_begun()}
            case Text() | Refusing():
                return {**item, "role": "assistant", "content": []}
            case ToolCall(kind="custom"):
                return {**item, "call_id": block.id, "name": block.name, "input": ""}
            case ToolCall():
                return {**item, "call_id": block.id, "name": block.name, "arguments": ""}
            case Search():  # pragma: no branch - all kinds of blocks are listed
                return item

    def part(self, block: Text | Refusing, choice: Choice) -> Json:
        """Returns a text as a part of a message."""
        if isinstance(block, Refusing):
            return {"type": "refusal", "refusal": block.text}
        rows = logprob_rows(likely(block, choice)) or []
        return {
            "type": "output_text",
            "text": block.text,
            "annotations": [annotation(citation) for citation in block.citations],
            "logprobs": rows,
        }

    # The stream

    def stream(self, completion: Completion, request: ModelRequest) -> Iterator[FrameRun]:
        choice = completion.choices[0]
        outcome = self.outcome(choice)
        counted = Counted(self)
        for kind, status in self.openings(request):
            opening = self.response(completion, request, Outcome(status), [])
            yield counted.event("role", kind, {"response": opening})
        for index, block in enumerate(choice.blocks):
            item = self.item(block, index, completion, outcome)
            added = {"output_index": index, "item": self.opened_item(block, index, completion)}
            yield counted.event("frame", "response.output_item.added", added)
            yield from self.item_runs(counted, block, {"item_id": item["id"], "output_index": index}, choice, request)
            done = {"output_index": index, "item": item}
            yield counted.event("frame", "response.output_item.done", done, tokens=self.hidden_tokens(block))
        last = {"response": self.body(completion, request)}
        yield counted.event("finish", f"response.{outcome.status}", last, frozenset(["usage", "done"]))

    def openings(self, request: ModelRequest) -> Sequence[tuple[str, str]]:
        """Returns the events that begin a stream, each with the status it reports."""
        return (("response.created", "in_progress"), ("response.in_progress", "in_progress"))

    def item_runs(
        self, counted: Counted, block: Block, place: Json, choice: Choice, request: ModelRequest
    ) -> Iterator[FrameRun]:
        """Yields the events of an item between its beginning and its end."""
        match block:
            case Thought():
                yield from self.thought_runs(counted, block, place, request)
            case Text() | Refusing():
                yield from self.text_runs(counted, block, place, choice, request)
            case ToolCall():
                yield from self.call_runs(counted, block, place, request)
            case Search():  # pragma: no branch - all kinds of blocks are listed
                for step in ("in_progress", "searching", "completed"):
                    kind = f"response.web_search_call.{step}"
                    yield counted.event("frame", kind, {"output_index": place["output_index"], **place})

    def thought_runs(
        self, counted: Counted, thought: Thought, place: Json, request: ModelRequest
    ) -> Iterator[FrameRun]:
        part, kind, texts = self.thought_events(thought)
        is_summary = part == "summary_text"
        around = "response.reasoning_summary_part" if is_summary else "response.content_part"
        for number, text in enumerate(texts):
            where = {**place, "summary_index" if is_summary else "content_index": number}
            if self.shows_thought_parts:
                yield counted.event("frame", f"{around}.added", {**where, "part": {"type": part, "text": ""}})
            if text:
                members = {**where, "delta": PIECE}
                yield counted.run("reasoning", f"{kind}.delta", members, text, self.tails(text, request))
            yield counted.event("frame", f"{kind}.done", {**where, "text": text})
            if self.shows_thought_parts:
                yield counted.event("frame", f"{around}.done", {**where, "part": {"type": part, "text": text}})

    @property
    def shows_thought_parts(self) -> bool:
        """Whether events mark where each part of a thought begins and ends."""
        return True

    def text_runs(
        self, counted: Counted, block: Text | Refusing, place: Json, choice: Choice, request: ModelRequest
    ) -> Iterator[FrameRun]:
        where = {**place, "content_index": 0}
        part = self.part(block, choice)
        rows = likely(block, choice) if isinstance(block, Text) else None
        empty = self.part(Text("") if isinstance(block, Text) else Refusing(""), replace(choice, logprobs=None))
        yield counted.event("frame", "response.content_part.added", {**where, "part": empty})
        is_text = isinstance(block, Text)
        kind = "response.output_text" if is_text else "response.refusal"
        tails = self.tails(block.text, request)
        if rows is not None:
            pieces = tokens.pieces(block.text)
            for number, (text, count, row) in enumerate(zip(pieces.texts, pieces.counts, rows, strict=True)):
                likelihood = {"logprobs": [without_bytes(each) for each in logprob_rows([row]) or ()]}
                tail = {} if tails is None else {"obfuscation": tails[number].decode()}
                yield counted.event(
                    "content", f"{kind}.delta", {**where, "delta": text, **likelihood, **tail}, tokens=count
                )
        elif block.text:
            members = {**where, "delta": PIECE, **({"logprobs": []} if is_text else {})}
            yield counted.run("content", f"{kind}.delta", members, block.text, tails)
        for number, citation in enumerate(block.citations if isinstance(block, Text) else ()):
            cited = {**where, "annotation_index": number, "annotation": annotation(citation)}
            yield counted.event("frame", "response.output_text.annotation.added", cited)
        final: Json = {"text": block.text, "logprobs": part["logprobs"]} if is_text else {"refusal": block.text}
        yield counted.event("frame", f"{kind}.done", {**where, **final})
        yield counted.event("frame", "response.content_part.done", {**where, "part": part})

    def call_runs(self, counted: Counted, call: ToolCall, place: Json, request: ModelRequest) -> Iterator[FrameRun]:
        is_custom = call.kind == "custom"
        kind = "response.custom_tool_call_input" if is_custom else "response.function_call_arguments"
        if call.arguments:
            tails = self.tails(call.arguments, request)
            yield counted.run("tool_calls", f"{kind}.delta", {**place, "delta": PIECE}, call.arguments, tails)
        name = {"name": call.name} if self.final_name and not is_custom else {}
        whole = {"input" if is_custom else "arguments": call.arguments}
        yield counted.event("frame", f"{kind}.done", {**place, **whole, **name})

    # Errors

    def error_frame(self, form: str, row: ErrorSpec, body: bytes) -> bytes | None:
        if form == "bare":
            return b"data: %b\n\n" % body
        if form not in ("data", "event"):
            return None
        native = {"type": "error", "code": row.code, "message": row.message, "param": row.param, "sequence_number": 0}
        return self.frame(native)


KINDS = {Thought: ("reasoning", "rs"), Text: ("message", "msg"), Refusing: ("message", "msg")}


def item_digest(id: str, index: int) -> bytes:
    """Returns what the id of an item comes from: `seeded.digest("item", id, index)`."""
    data = id.encode("utf-8", "surrogatepass")
    before, after = seeded.mixed_before("item"), seeded.mixed_before(index)
    return seeded.hashed(b"%b%d:%b%b" % (before, len(data), data, after))


def kind_of(block: Block) -> tuple[str, str]:
    """Returns the type of an item and the prefix of its ids."""
    if isinstance(block, ToolCall):
        return ("custom_tool_call", "ctc") if block.kind == "custom" else ("function_call", "fc")
    return KINDS.get(type(block), ("web_search_call", "ws"))


def likely(text: Text, choice: Choice) -> Sequence[TokenLogprob] | None:
    """Returns the log probabilities of a text; None if there are none, or if they cover several texts."""
    return choice.logprobs if choice.logprobs is not None and text.text == choice.content else None


def without_bytes(row: Json) -> Json:
    """Returns one row in the format of a delta."""
    top = [{"token": each["token"], "logprob": each["logprob"]} for each in row["top_logprobs"]]
    return {"token": row["token"], "logprob": row["logprob"], "top_logprobs": top}


def annotation(citation: Citation) -> Json:
    """Returns a citation in wire format."""
    return {
        "type": "url_citation",
        "start_index": citation.start or 0,
        "end_index": citation.end or 0,
        "url": citation.url,
        "title": citation.title,
    }


def searched(search: Search) -> Json:
    """Returns the query of a search and its results."""
    found = [{"type": "url", "url": source.url} for source in search.results]
    return {"type": "search", "query": search.query, **({"sources": found} if found else {})}
