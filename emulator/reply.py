"""What is answered: a scripted `Reply` or `ErrorReply`, and the `Completion` that a request makes of a reply."""

from collections.abc import Mapping
from dataclasses import field
from typing import Any, Literal

from emulator.records import record
from emulator.request import ToolCall


@record
class Summary:
    """One source of a web search, as Nadles reports it. `error` is None when the source could be read."""

    url: str
    summary: str | None
    status: int = 200
    error: str | None = None


@record
class Usage:
    """Tokens. `prompt` includes `cached`; `completion` includes `reasoning`."""

    prompt: int
    completion: int
    total: int
    reasoning: int = 0
    cached: int = 0


@record
class Reply:
    """An answer in its final words, before the request's own wishes are honoured."""

    content: str = ""
    reasoning: str | None = None
    tool_calls: tuple[ToolCall, ...] = ()
    summaries: tuple[Summary, ...] | None = None
    usage: Mapping[str, int] = field(default_factory=dict)
    """Counts that replace the computed ones: prompt, completion, total, reasoning, cached."""
    finish_reason: str | None = None
    native_finish_reason: str | None = None
    id: str | None = None
    created: int | None = None
    model: str | None = None
    system_fingerprint: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


@record
class Draft:
    """An answer as a scenario says it: its texts may be templates, and what it leaves open is written for each request.

    `reply` holds what is said; the rest tells what is to be written, as `emulator.scenario.ReplyModel` describes it."""

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
    code: str | None = None


@record
class ErrorReply:
    """A refusal. `name` is a word of the common vocabulary that the room maps to its own status and body;
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
    """One of the `n` answers, as it will be sent."""

    index: int
    content: str
    reasoning: str | None
    tool_calls: tuple[ToolCall, ...]
    finish_reason: str
    native_finish_reason: str
    logprobs: tuple[TokenLogprob, ...] | None = None
    reasoning_logprobs: tuple[TokenLogprob, ...] | None = None


@record
class Completion:
    """A reply after the request was honoured: everything a room needs to render it, in either form."""

    id: str
    created: int
    model: str
    choices: tuple[Choice, ...]
    usage: Usage
    summaries: tuple[Summary, ...] = ()
    system_fingerprint: str | None = None
    request_id: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
