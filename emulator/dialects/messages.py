"""Messages: `content` blocks, each with typed events around it, `event:` lines, `message_stop`.

A vendor subclasses `Messages` and states its differences: the models it accepts, what it rejects, what its errors look
like, and whether and how it signs thoughts.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar, Generic

from emulator import tokens
from emulator.dialects.base import PIECE, Dialect, ErrorSpec, Plain, VendorT, arguments_of, text_turns
from emulator.dialects.messages_shape import MessagesShape
from emulator.reply import Block, Choice, Citation, Completion, Search, Text, Thought, Usage
from emulator.reply import Refusal as Refusing
from emulator.request import Message, ModelRequest, ToolCall
from emulator.wire import FrameRun, Part

ERROR_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    409: "conflict_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
    504: "timeout_error",
    529: "overloaded_error",
}
"""The error type of each status; any other status is an `api_error`."""


PING = {"type": "ping"}


class Messages(MessagesShape, Dialect[VendorT], Generic[VendorT]):
    """Renders messages, whole and as typed events."""

    dialect = "messages"
    id_form = "msg_{}"
    REASONS: ClassVar[Mapping[str, str]] = {
        "stop": "end_turn",
        "length": "max_tokens",
        "tool_calls": "tool_use",
        "content_filter": "refusal",
        "context_full": "model_context_window_exceeded",
        "pause": "pause_turn",
        "bad_call": "tool_use",
    }
    opening_output: ClassVar[int] = 0
    """The number of output tokens in the first event of a stream."""
    pings: ClassVar[bool] = False
    """Whether a stream sends pings: once after its first block has begun, and while the client waits."""

    def plain(self, native: Any) -> Plain | None:
        messages = text_turns(native.get("messages")) if type(native) is dict else None
        if messages is None or any(message.role == "system" for message in messages):
            return None
        rest = {**native, "messages": [message.role for message in messages]}
        if "system" in native:
            system = native["system"]
            if type(system) is not str or not system:
                return None
            messages.insert(0, Message("system", system))
            rest["system"] = "text"
        return Plain(tuple(messages), rest)

    # The answer

    def signature(self, thought: Thought, completion: Completion) -> str | None:
        """The signature of a thought; None if thoughts have no such member."""
        return thought.signature or ""

    def body(self, completion: Completion, request: ModelRequest) -> Any:
        choice = completion.choices[0]
        content = [row for block in choice.blocks for row in self.rows(block, completion)]
        return self.message(completion, content, choice, self.usage(completion.usage))

    def message(
        self, completion: Completion, content: list[dict[str, Any]], choice: Choice | None, usage: dict[str, Any]
    ) -> dict[str, Any]:
        """Returns a message: whole or, without a choice, as a stream begins it."""
        return {
            "id": completion.id,
            "type": "message",
            "role": "assistant",
            "model": completion.model,
            "content": content,
            "stop_reason": None if choice is None else self.reason(choice),
            "stop_sequence": None if choice is None else choice.stopped_by,
            "usage": usage,
        }

    def usage(self, usage: Usage) -> dict[str, Any]:
        """Returns the usage. Tokens that were read from the cache or written to it are not input tokens here."""
        searches = {"server_tool_use": {"web_search_requests": usage.searches}} if usage.searches else {}
        return {
            "input_tokens": max(0, usage.prompt - usage.cached - usage.cache_written),
            "cache_creation_input_tokens": usage.cache_written,
            "cache_read_input_tokens": usage.cached,
            "output_tokens": usage.completion,
            **searches,
            "service_tier": "standard",
        }

    def rows(self, block: Block, completion: Completion) -> list[dict[str, Any]]:
        """Returns a block of `content`."""
        match block:
            case Thought(encrypted=str(data)):
                return [{"type": "redacted_thinking", "data": data}]
            case Thought():
                return [{"type": "thinking", "thinking": block.text, **self._signed(block, completion)}]
            case Text():
                return [{"type": "text", "text": block.text, **self.cited(block)}]
            case Refusing():
                return [{"type": "text", "text": block.text}]
            case ToolCall():
                return [{**self.call(block), "input": arguments_of(block.arguments)}]
            case Search():  # pragma: no branch - all kinds of blocks are listed
                return [*self.search(block)]

    def _signed(self, thought: Thought, completion: Completion) -> dict[str, Any]:
        signature = self.signature(thought, completion)
        return {} if signature is None else {"signature": signature}

    def cited(self, text: Text) -> dict[str, Any]:
        return {"citations": [self.citation(citation) for citation in text.citations]} if text.citations else {}

    def citation(self, citation: Citation) -> dict[str, Any]:
        """Returns a citation of a text."""
        return citation_row(citation)

    def call(self, call: ToolCall) -> dict[str, Any]:
        kind = "server_tool_use" if call.kind == "server" else "tool_use"
        return {"type": kind, "id": call.id, "name": call.name, "input": {}}

    def search(self, search: Search) -> Iterator[dict[str, Any]]:
        """Yields the blocks of a search that the provider ran: its query and its results."""
        yield {"type": "server_tool_use", "id": search.id, "name": "web_search", "input": {"query": search.query}}
        found: Any = [
            {"type": "web_search_result", "url": source.url, "title": source.summary or "", "page_age": None}
            for source in search.results
        ]
        if search.error is not None:
            found = {"type": "web_search_tool_result_error", "error_code": search.error}
        yield {"type": "web_search_tool_result", "tool_use_id": search.id, "content": found}

    # The stream

    def stream(self, completion: Completion, request: ModelRequest) -> Iterator[FrameRun]:
        choice = completion.choices[0]
        usage_so_far = {**self.first_usage(completion.usage), "output_tokens": self.opening_output}
        yield self.event("role", {"type": "message_start", "message": self.message(completion, [], None, usage_so_far)})
        index = 0
        for block in choice.blocks:
            for start, *rest in self.block_runs(block, completion, index):
                yield start
                if self.pings and index == 0:
                    yield self.event("ping", PING)
                yield from rest
                index += 1
        last = {"type": "message_delta", "delta": self.ending(choice), "usage": self.last_usage(completion.usage)}
        yield self.event("finish", last, also=frozenset(["usage"]))
        yield self.event("done", {"type": "message_stop"})

    def ending(self, choice: Choice) -> dict[str, Any]:
        """Returns the stop reason of a stream, with its details."""
        return {"stop_reason": self.reason(choice), "stop_sequence": choice.stopped_by}

    def first_usage(self, usage: Usage) -> dict[str, Any]:
        """Returns the usage at the beginning of a stream."""
        return self.usage(usage)

    def last_usage(self, usage: Usage) -> dict[str, Any]:
        """Returns the usage at the end of a stream."""
        return self.usage(usage)

    def block_runs(self, block: Block, completion: Completion, index: int) -> Iterator[list[FrameRun]]:
        """Yields the runs of a block of the answer, which may be several blocks on the wire."""
        match block:
            case Thought(encrypted=None):
                signature = self.signature(block, completion)
                start: dict[str, Any] = {
                    "type": "thinking",
                    "thinking": "",
                    **({} if signature is None else {"signature": ""}),
                }
                signed = [{"type": "signature_delta", "signature": signature}] if signature else []
                yield self.framed(index, start, "reasoning", block.text, ("thinking_delta", "thinking"), signed)
            case Text() | Refusing():
                citations = block.citations if isinstance(block, Text) else ()
                cited = [{"type": "citations_delta", "citation": self.citation(citation)} for citation in citations]
                start = {**({"citations": []} if cited else {}), "type": "text", "text": ""}
                yield self.framed(index, start, "content", block.text, ("text_delta", "text"), cited)
            case ToolCall():
                delta = ("input_json_delta", "partial_json")
                yield self.framed(index, self.call(block), "tool_calls", block.arguments, delta)
            case _:
                for number, row in enumerate(self.rows(block, completion)):
                    yield self.framed(index + number, row)

    def framed(
        self,
        index: int,
        start: dict[str, Any],
        part: Part = "content",
        text: str = "",
        delta: tuple[str, str] = ("", ""),
        after: Sequence[dict[str, Any]] = (),
    ) -> list[FrameRun]:
        """Returns a block: its start, its text in pieces (in the member that `delta` names), the events `after`, its
        end.
        """
        runs = [self.event("frame", {"type": "content_block_start", "index": index, "content_block": start})]
        if text:
            pieces = tokens.pieces(text)
            kind, name = delta
            event = {"type": "content_block_delta", "index": index, "delta": {"type": kind, name: PIECE}}
            before, behind = self.around(event)
            runs.append(FrameRun(part, before, pieces.escaped, behind, pieces.counts))
        runs += [self.event("frame", {"type": "content_block_delta", "index": index, "delta": each}) for each in after]
        runs.append(self.event("frame", {"type": "content_block_stop", "index": index}))
        return runs

    # While the client waits

    @property
    def waits_after_opening(self) -> bool:
        return self.pings

    @property
    def heartbeat(self) -> bytes:
        return self.frame(PING) if self.pings else super().heartbeat

    # Errors

    def error_object(self, row: ErrorSpec, message: str) -> dict[str, Any]:
        """Returns an error in this dialect's own envelope."""
        return {"type": "error", "error": {"type": ERROR_TYPES.get(row.status, "api_error"), "message": message}}

    def error_frame(self, form: str, row: ErrorSpec, body: bytes) -> bytes | None:
        if form == "bare":
            return b"data: %b\n\n" % body
        return self.frame(self.error_object(row, row.message)) if form in ("data", "event") else None


def citation_row(citation: Citation) -> dict[str, Any]:
    """Returns a citation in wire format."""
    return {
        "type": "web_search_result_location",
        "url": citation.url,
        "title": citation.title,
        "cited_text": citation.cited_text,
    }
