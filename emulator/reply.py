"""Answers as data: a scripted `Reply` or `ErrorReply`, and the `Completion` that a request turns a reply into."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import field, replace
from typing import Any, Literal, NamedTuple

from emulator.records import record
from emulator.request import ModelRequest, ToolCall


@record
class Source:
    """One source that a web search found. `error` is None if it could be read."""

    url: str
    summary: str | None
    status: int = 200
    error: str | None = None


@record
class Passage:
    """A passage in something that the client sent: from `start` up to `end`, in the unit `kind`."""

    kind: Literal["characters", "pages", "blocks", "results"]
    """`results`: the blocks of a search result that the client sent."""
    index: int
    """The index of the client's document or search result."""
    start: int
    end: int


@record
class Citation:
    """A citation. `start` and `end` are its position in the text, in characters."""

    url: str
    title: str = ""
    cited_text: str = ""
    start: int | None = None
    end: int | None = None
    passage: Passage | None = None
    """The passage in one of the client's documents; None if the source is on the web."""


@record
class Thought:
    """A thought of the model. An empty text is also a thought, in dialects that show one."""

    text: str
    signature: str | None = None
    """Proves that the model thought this; if it is None, the dialect makes one when needed."""
    encrypted: str | None = None
    """The thought, encrypted for the provider."""
    summary: str | None = None
    """What is shown instead of the thought."""


@record
class Text:
    """Text of the answer."""

    text: str
    citations: tuple[Citation, ...] = ()


@record
class Refusal:
    """A refusal by the model, with its text."""

    text: str


@record
class Search:
    """A search that the provider ran."""

    query: str
    results: tuple[Source, ...] = ()
    error: str | None = None
    id: str = ""


Block = Thought | Text | Refusal | ToolCall | Search
"""One part of an answer. An answer has several blocks, in order."""


class CacheUse(NamedTuple):
    """The prompt's tokens that were read from the cache, and those that were written to it, some of them for an
    hour."""

    read: int = 0
    written: int = 0
    written_1h: int = 0


@record
class Usage:
    """Tokens. `prompt` includes `cached` and `cache_written`; `completion` includes `reasoning`."""

    prompt: int
    completion: int
    total: int
    reasoning: int = 0
    cached: int = 0
    cache_written: int = 0
    """Prompt tokens written to the cache."""
    cache_written_1h: int = 0
    """Those of them that are cached for an hour."""
    searches: int = 0
    """The number of searches that the provider ran."""
    images: int = 0
    """The tokens of the prompt's images."""


@record
class Reply:
    """An answer with its final text, before the request's parameters are applied.

    The usual order is reasoning, text, tool calls. If `blocks` is set, it replaces these three members."""

    content: str = ""
    reasoning: str | None = None
    tool_calls: tuple[ToolCall, ...] = ()
    blocks: tuple[Block, ...] = ()
    sources: tuple[Source, ...] | None = None
    """The results of a web search, for providers that report them next to the answer."""
    usage: Mapping[str, int] = field(default_factory=dict)
    """Counts that replace the computed ones: prompt, completion, total, reasoning, cached."""
    finish_reason: str | None = None
    native_reason: str | None = None
    """The model's own finish reason, for providers that report both."""
    id: str | None = None
    created: int | None = None
    model: str | None = None
    system_fingerprint: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)

    def without_thoughts(self) -> "Reply":
        """Returns the reply without thoughts."""
        if self.blocks:
            return replace(self, blocks=tuple([block for block in self.blocks if not isinstance(block, Thought)]))
        return self if self.reasoning is None else replace(self, reasoning=None)

    def with_thought(self) -> "Reply":
        """Returns the reply with a thought, which may be empty."""
        if not self.blocks:
            return self if self.reasoning is not None else replace(self, reasoning="")
        thinks = any(isinstance(block, Thought) for block in self.blocks)
        return self if thinks else replace(self, blocks=(Thought(""), *self.blocks))

    def flat(self) -> "Reply":
        """Returns the reply without blocks, for dialects that have none: reasoning, text and refusals, tool calls.
        The results of searches become sources.
        """
        if not self.blocks:
            return self
        thoughts = [block.text for block in self.blocks if isinstance(block, Thought)]
        words = [block.text for block in self.blocks if isinstance(block, Text | Refusal)]
        calls = [block for block in self.blocks if isinstance(block, ToolCall)]
        found = [source for block in self.blocks if isinstance(block, Search) for source in block.results]
        return replace(
            self,
            content="".join(words),
            reasoning="".join(thoughts) if thoughts else None,
            tool_calls=tuple(calls),
            blocks=(),
            sources=tuple(found) if found and self.sources is None else self.sources,
        )

    def in_order(self) -> tuple[Block, ...]:
        """Returns all blocks, in order."""
        if self.blocks:
            return self.blocks
        text = (Text(self.content),) if self.content else ()
        spoken = text + self.tool_calls if self.tool_calls else text
        return spoken if self.reasoning is None else (Thought(self.reasoning), *spoken)


@record
class ReplyTemplate:
    """An answer as a scenario states it: its texts may be templates, and missing parts are generated for each request.

    `reply` has the given parts; the other members say what to generate, as in
    `emulator.scenario.replies.ReplyModel`."""

    reply: Reply
    alternatives: tuple[str, ...] = ()
    arguments: tuple[Mapping[str, Any] | str, ...] = ()
    """The arguments of the tool calls, as data if they were given as data: each of their strings is rendered."""
    is_templated: bool = False
    writes_content: bool = False
    writes_reasoning: bool | None = None
    length: tuple[int, int] | None = None
    style: Literal["plain", "markdown", "code"] = "plain"
    locale: str | None = None
    code: str | Callable[[ModelRequest], Any] | None = None
    """The source of the answer: `python:module:function`, or a function of the program in which the emulator runs."""


@record
class ErrorReply:
    """An error. `name` is a common error name that the provider maps to its own status and body;
    every other field replaces that part of it."""

    name: str | None = None
    status: int | None = None
    message: str | None = None
    type: str | None = None
    code: str | None = None
    param: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Any = None
    """Replaces the whole body: a string is sent as it is, anything else as JSON."""


@record
class TokenLogprob:
    """The log probability of one piece of a stream (usually a token) and of its likeliest alternatives."""

    token: str
    logprob: float
    top: tuple[tuple[str, float], ...] = ()


@record
class Choice:
    """One of the `n` choices, as it will be sent. `content`, `reasoning` and `tool_calls` are derived from its
    blocks."""

    index: int
    blocks: tuple[Block, ...]
    finish_reason: str
    """Neutral: `stop`, `stop_sequence`, `length`, `tool_calls`, …; dialects translate these and send any other
    unchanged.
    """
    native_reason: str | None = None
    """The model's own finish reason, if it differs from the dialect's."""
    stopped_by: str | None = None
    """The stop string at which the text ends."""
    logprobs: tuple[TokenLogprob, ...] | None = None
    reasoning_logprobs: tuple[TokenLogprob, ...] | None = None
    content: str = field(init=False)
    reasoning: str | None = field(init=False)
    tool_calls: tuple[ToolCall, ...] = field(init=False)

    def __post_init__(self) -> None:
        content, reasoning = "", None
        calls: tuple[ToolCall, ...] = ()
        for block in self.blocks:
            if isinstance(block, Text):
                content = content + block.text if content else block.text
            elif isinstance(block, Thought):
                reasoning = reasoning + block.text if reasoning else block.text
            elif isinstance(block, ToolCall):
                calls = (*calls, block)
        object.__setattr__(self, "content", content)
        object.__setattr__(self, "reasoning", reasoning)
        object.__setattr__(self, "tool_calls", calls)

    def with_calls(self, calls: Sequence[ToolCall]) -> tuple[Block, ...]:
        """Replaces the tool calls, one for one."""
        following = iter(calls)
        return tuple([next(following) if isinstance(block, ToolCall) else block for block in self.blocks])


@record
class Completion:
    """A reply after the request's parameters were applied: everything a dialect needs to render it, streamed or not."""

    id: str
    created: int
    model: str
    choices: tuple[Choice, ...]
    usage: Usage
    sources: tuple[Source, ...] = ()
    system_fingerprint: str | None = None
    request_id: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
