"""Messages: `content` blocks with typed events around each, `event:` lines, `message_stop`.

A vendor that speaks it subclasses `Messages` and states its differences: the models it takes, what it refuses, how its
errors look, whether it signs thoughts and how.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, ClassVar, Generic

import orjson
from pydantic import Discriminator, Tag

from emulator import tokens
from emulator.dialects.base import PIECE, Dialect, Edge, ErrorSpec, Meaning, Place, Plain, VendorT, text_turns
from emulator.dialects.chat_input import Many, Strict, text_or_list
from emulator.dialects.parameters import SAMPLING, ignored
from emulator.dialects.turns import Answer, Turn, message_answer, message_turns
from emulator.reply import Block, Choice, Citation, Completion, Search, Text, Thought, Usage
from emulator.reply import Refusal as Refusing
from emulator.request import Message, ModelRequest, Tool, ToolCall
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
"""What kind of error a status is; any other is an `api_error`."""


PING = {"type": "ping"}


class BlockBody(Strict):
    """One block of a turn. Which members count depends on its `type`."""

    type: str
    text: str | None = None
    thinking: str | None = None
    signature: str | None = None
    data: str | None = None
    id: str | None = None
    name: str | None = None
    input: Any = None
    tool_use_id: str | None = None
    content: Any = None
    is_error: bool | None = None
    source: Any = None


Blocks = Annotated[
    Annotated[str, Tag("<text>")] | Annotated[Many[BlockBody], Tag("<list>")], Discriminator(text_or_list)
]


class TurnBody(Strict):
    role: str
    content: Blocks


class ToolBody(Strict):
    """A function, or a tool that the provider runs itself: then `type` says which."""

    name: str = ""
    type: str | None = None
    description: str | None = None
    input_schema: dict[str, Any] | None = None


class Thinking(Strict):
    type: str
    budget_tokens: Annotated[int | None, ignored("a thought is as long as it is scripted")] = None


class OutputConfig(Strict):
    effort: str | None = None


class MessagesBody(Strict):
    """The members that every vendor reads; a vendor's own body subclasses it."""

    model: str
    max_tokens: int
    messages: Many[TurnBody]
    system: Blocks | None = None
    stop_sequences: Many[str] | None = None
    stream: bool | None = None
    temperature: Annotated[float | None, SAMPLING] = None
    top_p: Annotated[float | None, SAMPLING] = None
    tools: Many[ToolBody] | None = None
    tool_choice: dict[str, Any] | None = None
    thinking: Thinking | None = None
    output_config: OutputConfig | None = None


# The way in


def read_turns(system: Any, turns: Sequence[TurnBody]) -> tuple[Message, ...]:
    """The conversation in neutral terms."""
    messages: list[Message] = []
    if system:
        messages.append(Message("system", text_of(system)))
    for turn in turns:
        if isinstance(turn.content, str):
            messages.append(Message(turn.role, turn.content))
        elif turn.role == "assistant":
            messages.append(_answered(turn.content))
        else:
            messages += _asked(turn.role, turn.content)
    return tuple(messages)


def text_of(content: Any) -> str:
    """The text of a content: blocks joined, other kinds left out."""
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        return ""
    parts: list[str] = []
    for block in content:
        kind, text = (block.get("type"), block.get("text")) if isinstance(block, dict) else (block.type, block.text)
        if kind == "text" and isinstance(text, str):
            parts.append(text)
    return "".join(parts)


def _answered(blocks: Sequence[BlockBody]) -> Message:
    """What the model said before."""
    thoughts = [block.thinking or "" for block in blocks if block.type == "thinking"]
    calls = [
        ToolCall(block.name or "", orjson.dumps({} if block.input is None else block.input).decode(), block.id or "")
        for block in blocks
        if block.type == "tool_use"
    ]
    return Message(
        "assistant", text_of(list(blocks)), reasoning="".join(thoughts) if thoughts else None, tool_calls=tuple(calls)
    )


def _asked(role: str, blocks: Sequence[BlockBody]) -> Iterator[Message]:
    """What the user says: each result of a tool is a message of its own, the rest is one."""
    for block in blocks:
        if block.type == "tool_result":
            yield Message(
                "tool", text_of(block.content), tool_call_id=block.tool_use_id or "", is_error=bool(block.is_error)
            )
    others = [block for block in blocks if block.type != "tool_result"]
    if others or not blocks:
        images = sum(block.type == "image" for block in others)
        yield Message(role, text_of(others), images=images, continues=len(others) < len(blocks))


def read_tools(tools: Sequence[ToolBody] | None) -> tuple[Tool, ...]:
    """The offered functions in neutral terms, without the tools that the provider runs itself."""
    functions = [tool for tool in tools or () if tool.type in (None, "custom")]
    return tuple([Tool(tool.name, tool.description or "", tool.input_schema or {}) for tool in functions])


def wants_search(tools: Sequence[ToolBody] | None) -> bool:
    """Whether the provider may search the Web."""
    return any((tool.type or "").startswith("web_search") for tool in tools or ())


def read_tool_choice(choice: Mapping[str, Any] | None) -> str:
    """`none`, `auto`, `required`, or `name:FUNCTION`."""
    kind = choice.get("type") if choice is not None else None
    if kind == "tool" and choice is not None and isinstance(choice.get("name"), str):
        return f"name:{choice['name']}"
    return {"any": "required", "none": "none"}.get(str(kind), "auto")


class Messages(Dialect[VendorT], Generic[VendorT]):
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
    terminator = b'event: message_stop\ndata: {"type":"message_stop"}\n\n'
    facts = ("id", "type", "model", "role")
    opening_output: ClassVar[int] = 0
    """The tokens of output that the first event of a stream reports."""
    pings: ClassVar[bool] = False
    """Whether a stream says that it is alive: once after its first block has begun, and while the client waits."""

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
        """What a thought is signed with; None: thoughts have no such member."""
        return thought.signature or ""

    def body(self, completion: Completion, request: ModelRequest) -> Any:
        choice = completion.choices[0]
        content = [row for block in choice.blocks for row in self.rows(block, completion)]
        return self.message(completion, content, choice, self.usage(completion.usage))

    def message(
        self, completion: Completion, content: list[dict[str, Any]], choice: Choice | None, usage: dict[str, Any]
    ) -> dict[str, Any]:
        """A message, whole or (without a choice) as it begins."""
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
        """The counts; what came from the cache, or went into it, is no input here."""
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
        """A block as it stands in `content`."""
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
            case Search():
                return [*self.search(block)]

    def _signed(self, thought: Thought, completion: Completion) -> dict[str, Any]:
        signature = self.signature(thought, completion)
        return {} if signature is None else {"signature": signature}

    def cited(self, text: Text) -> dict[str, Any]:
        return {"citations": [self.citation(citation) for citation in text.citations]} if text.citations else {}

    def citation(self, citation: Citation) -> dict[str, Any]:
        """A citation as it stands in a text."""
        return citation_row(citation)

    def call(self, call: ToolCall) -> dict[str, Any]:
        kind = "server_tool_use" if call.kind == "server" else "tool_use"
        return {"type": kind, "id": call.id, "name": call.name, "input": {}}

    def search(self, search: Search) -> Iterator[dict[str, Any]]:
        """A search that the provider ran: what it asked, and what it found."""
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
        """What a stream says of why it ends."""
        return {"stop_reason": self.reason(choice), "stop_sequence": choice.stopped_by}

    def first_usage(self, usage: Usage) -> dict[str, Any]:
        """The counts at the beginning of a stream."""
        return self.usage(usage)

    def last_usage(self, usage: Usage) -> dict[str, Any]:
        """The counts at the end of a stream."""
        return self.usage(usage)

    def block_runs(self, block: Block, completion: Completion, index: int) -> Iterator[list[FrameRun]]:
        """The runs of a block of the answer, for each block that it is on the wire."""
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
        """One block: its start, its text in pieces under the member that `delta` names, what follows that, its end."""
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

    # Refusals

    def error_object(self, row: ErrorSpec, message: str) -> dict[str, Any]:
        """An error in this dialect's own envelope."""
        return {"type": "error", "error": {"type": ERROR_TYPES.get(row.status, "api_error"), "message": message}}

    def error_frame(self, form: str, row: ErrorSpec, body: bytes) -> bytes | None:
        if form == "bare":
            return b"data: %b\n\n" % body
        return self.frame(self.error_object(row, row.message)) if form in ("data", "event") else None

    # The shape of the wire

    def turns(self, body: Mapping[str, Any]) -> list[Turn]:
        return message_turns(body)

    def answer_of(self, natives: Sequence[dict[str, Any]]) -> Answer:
        return message_answer(natives)

    def event_name(self, native: Any) -> str | None:
        name = native.get("type")
        return name if isinstance(name, str) else None

    def places(self, native: dict[str, Any], *meanings: Meaning) -> Iterator[Place]:
        message = native.get("message") if isinstance(native.get("message"), dict) else None
        for key, block in self.blocks(native):
            if "content" in meanings and "text" in block:
                yield Place(block, "text", "content", key)
            if "reasoning" in meanings and "thinking" in block:
                yield Place(block, "thinking", "reasoning", key)
        if "call_index" in meanings and "index" in native:
            yield Place(native, "index", "call_index", native["index"])
        if "finish" in meanings:
            for holder in (native, native.get("delta")):
                if isinstance(holder, dict) and "stop_reason" in holder:
                    yield Place(holder, "stop_reason", "finish")
        if "usage" in meanings:
            for holder in (native, message):
                if isinstance(holder, dict) and "usage" in holder:
                    yield Place(holder, "usage", "usage")

        if "id" in meanings and isinstance(message, dict) and "id" in message:
            yield Place(message, "id", "id")
        if "signature" in meanings:
            for key, block in self.blocks(native):
                if "signature" in block:
                    yield Place(block, "signature", "signature", key)

    block_word: ClassVar[str] = "block"

    def edge_of(self, native: dict[str, Any]) -> Edge | None:
        edges: Mapping[Any, Edge] = {"content_block_start": "start", "content_block_stop": "stop"}
        return edges.get(native.get("type"))

    def block_events(self, index: int, kind: str) -> list[dict[str, Any]]:
        return [
            {"type": "content_block_start", "index": index, "content_block": {"type": kind}},
            {"type": "content_block_stop", "index": index},
        ]

    def add_block(self, native: dict[str, Any], kind: str) -> bool:
        content = native.get("content")
        if isinstance(content, list):
            content.append({"type": kind})
        return isinstance(content, list)

    def is_hollow(self, native: dict[str, Any]) -> bool:
        return native.get("delta") == {"type": "signature_delta"}

    def blocks(self, native: dict[str, Any]) -> list[tuple[Any, dict[str, Any]]]:
        """The blocks of a whole message, or the block or the delta of an event, each with its index."""
        content = native.get("content")
        if isinstance(content, list):
            return [(index, block) for index, block in enumerate(content) if isinstance(block, dict)]
        found = (native.get("content_block"), native.get("delta"))
        return [(native.get("index", 0), block) for block in found if isinstance(block, dict)]

    def objects(self, native: dict[str, Any]) -> Iterator[dict[str, Any]]:
        yield native
        if isinstance(native.get("message"), dict):
            yield native["message"]
        yield from [block for _, block in self.blocks(native)]

    def without_facts(self, native: dict[str, Any]) -> dict[str, Any]:
        message = native.get("message") if native.get("type") == "message_start" else native
        if isinstance(message, dict) and "content" in message:
            for name in self.facts:
                message.pop(name, None)
        return native

    def without_answer(self, native: dict[str, Any], value: Any) -> bool:
        for holder in (native, native.get("message")):
            if isinstance(holder, dict) and "content" in holder:
                holder["content"] = value
        return not str(native.get("type")).startswith("content_block_")

    def usage_again(self, native: dict[str, Any]) -> dict[str, Any] | None:
        return native if native.get("type") == "message_delta" else None

    def late_text(self, native: dict[str, Any], text: str) -> dict[str, Any] | None:
        return {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": text}}


def arguments_of(text: str) -> Any:
    """The arguments of a call as the object that they should be; the text itself when they are none."""
    if not text:
        return {}
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError:
        return text
    return value if isinstance(value, dict) else text


def citation_row(citation: Citation) -> dict[str, Any]:
    """Where a text comes from, as it stands on the wire."""
    return {
        "type": "web_search_result_location",
        "url": citation.url,
        "title": citation.title,
        "cited_text": citation.cited_text,
    }
