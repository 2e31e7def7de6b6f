"""What is answered: a scripted `Reply` or `ErrorReply`, and the `Completion` that a request makes of a reply."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import field, replace
from typing import Any, Literal, NamedTuple

from emulator.records import record
from emulator.request import ModelRequest, ToolCall


@record
class Source:
    """One source that a web search found. `error` is None when it could be read."""

    url: str
    summary: str | None
    status: int = 200
    error: str | None = None


@record
class Passage:
    """A place in something that the client sent along: from `start` up to `end`, in what `kind` names."""

    kind: Literal["characters", "pages", "blocks", "results"]
    """`results`: the blocks of a search result that the client found itself."""
    index: int
    """Which of the client's documents, or of its search results."""
    start: int
    end: int


@record
class Citation:
    """Where a text comes from. `start` and `end` are its place in the text, in characters."""

    url: str
    title: str = ""
    cited_text: str = ""
    start: int | None = None
    end: int | None = None
    passage: Passage | None = None
    """The place in a document of the client's; None: it was found on the Web."""


@record
class Thought:
    """What the model thinks. An empty text is a thought too, in dialects that show one."""

    text: str
    signature: str | None = None
    """What proves that the model thought this; the dialect makes one when it is None and needed."""
    encrypted: str | None = None
    """The thought in a form that only the provider can read."""
    summary: str | None = None
    """What is shown in its place."""


@record
class Text:
    """What the model says."""

    text: str
    citations: tuple[Citation, ...] = ()


@record
class Refusal:
    """The model refuses, in these words."""

    text: str


@record
class Search:
    """A search that the provider ran itself."""

    query: str
    results: tuple[Source, ...] = ()
    error: str | None = None
    id: str = ""


Block = Thought | Text | Refusal | ToolCall | Search
"""One part of an answer; an answer is several of them, in the order in which they were made."""


class CacheUse(NamedTuple):
    """The tokens of a prompt that were in the cache, and those that were put there; some of these for an hour."""

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
    """Tokens of the prompt that were put into the cache."""
    cache_written_1h: int = 0
    """Those of them that stay there for an hour."""
    searches: int = 0
    """How many searches the provider ran."""
    images: int = 0
    """Tokens of the prompt's images."""


@record
class Reply:
    """An answer in its final words, before the request's own wishes are honored.

    As a rule it thinks, speaks, then calls tools. `blocks` says otherwise: then the three members before are unused."""

    content: str = ""
    reasoning: str | None = None
    tool_calls: tuple[ToolCall, ...] = ()
    blocks: tuple[Block, ...] = ()
    sources: tuple[Source, ...] | None = None
    """What a web search found, for providers that report it beside the answer."""
    usage: Mapping[str, int] = field(default_factory=dict)
    """Counts that replace the computed ones: prompt, completion, total, reasoning, cached."""
    finish_reason: str | None = None
    native_reason: str | None = None
    """The same in the model's own words, for providers that report both."""
    id: str | None = None
    created: int | None = None
    model: str | None = None
    system_fingerprint: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)

    def without_thoughts(self) -> "Reply":
        """The same from a model that does not think."""
        if self.blocks:
            return replace(self, blocks=tuple([block for block in self.blocks if not isinstance(block, Thought)]))
        return self if self.reasoning is None else replace(self, reasoning=None)

    def with_thought(self) -> "Reply":
        """The same with a thought, if an empty one."""
        if not self.blocks:
            return self if self.reasoning is not None else replace(self, reasoning="")
        thinks = any(isinstance(block, Thought) for block in self.blocks)
        return self if thinks else replace(self, blocks=(Thought(""), *self.blocks))

    def flat(self) -> "Reply":
        """The same without blocks, for who has no words for them: thoughts, words and refusals, then calls. What was
        searched is among the sources."""
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
        """Everything that it says, in order."""
        if self.blocks:
            return self.blocks
        text = (Text(self.content),) if self.content else ()
        spoken = text + self.tool_calls if self.tool_calls else text
        return spoken if self.reasoning is None else (Thought(self.reasoning), *spoken)


@record
class ReplyTemplate:
    """An answer as a scenario states it: its texts may be templates, and the gaps are filled in for each request.

    `reply` holds the given parts; the rest says what to generate, as in `emulator.scenario.replies.ReplyModel`."""

    reply: Reply
    alternatives: tuple[str, ...] = ()
    arguments: tuple[Mapping[str, Any] | str, ...] = ()
    """Those of the tool calls, as data where they were given as data: their texts are rendered one by one."""
    is_templated: bool = False
    writes_content: bool = False
    writes_reasoning: bool | None = None
    length: tuple[int, int] | None = None
    style: Literal["plain", "markdown", "code"] = "plain"
    locale: str | None = None
    code: str | Callable[[ModelRequest], Any] | None = None
    """What gives the answer: `python:module:function`, or a function of the program that the emulator runs in."""


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
    """The whole body: a string is sent as it is, anything else as JSON."""


@record
class TokenLogprob:
    """The log probability of one piece of a stream (as a rule a token) and of its likeliest rivals."""

    token: str
    logprob: float
    top: tuple[tuple[str, float], ...] = ()


@record
class Choice:
    """One of the `n` answers, as it will be sent. `content`, `reasoning` and `tool_calls` are views of its blocks."""

    index: int
    blocks: tuple[Block, ...]
    finish_reason: str
    """Neutral: `stop`, `stop_sequence`, `length`, `tool_calls`, …; dialects have words of their own for these, and
    say any other as it is."""
    native_reason: str | None = None
    """The model's own words for it, where they are not the dialect's."""
    stopped_by: str | None = None
    """The stop string that was met."""
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
        """The blocks with other tool calls, one for each."""
        following = iter(calls)
        return tuple([next(following) if isinstance(block, ToolCall) else block for block in self.blocks])


@record
class Completion:
    """A reply after the request was honored: everything a dialect needs to render it, in either form."""

    id: str
    created: int
    model: str
    choices: tuple[Choice, ...]
    usage: Usage
    sources: tuple[Source, ...] = ()
    system_fingerprint: str | None = None
    request_id: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
