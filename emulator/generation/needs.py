"""Determines what is needed to complete an answer, without loading the code that generates it."""

from collections.abc import Mapping
from dataclasses import field
from typing import Any

from emulator.errors import EmulatorError
from emulator.generation import templates
from emulator.generation.prompted import wants_code_block
from emulator.records import record
from emulator.reply import ErrorReply, Reply, ReplyTemplate
from emulator.request import ModelRequest

LENGTH = (40, 120)
MAX_QUICK_BODY = 1 << 16
"""The most bytes of a request to hash on the event loop."""
MAX_QUICK_LENGTH = 400
"""The most tokens of a text to generate on the event loop: a few tenths of a millisecond."""
UNSAID = ReplyTemplate(Reply(), writes_content=True)
"""The template of an answer without a rule: everything is generated."""


class WritingError(EmulatorError):
    """A reply can't be completed: its template or its code failed."""


class ScriptedError(Exception):
    """Code answers with an error of the provider."""

    def __init__(self, reply: ErrorReply) -> None:
        super().__init__(reply.message or reply.name or str(reply.status))
        self.reply = reply


class SchemaError(WritingError):
    """No value was found for the request's schema."""


@record
class RenderContext:
    """What a reply may refer to besides the request. `now` is the time in ISO form."""

    seed: int
    locale: str | None = None
    """The language of generated texts; by default, the prompt's."""
    now: str = ""
    timestamp: int = 0
    state: str = "start"
    attempt: int = 1
    groups: Mapping[str, Any] = field(default_factory=dict)
    allows_code: bool = False


def is_plain(template: ReplyTemplate, request: ModelRequest) -> bool:
    """Whether there is nothing to generate: the reply is complete and contains no templates."""
    is_open = template.is_templated or template.writes_content or template.writes_reasoning or template.code is not None
    return request.controls.n == 1 and not is_open and not searches(template, template.reply, request)


def is_quick(template: ReplyTemplate, request: ModelRequest) -> bool:
    """Whether completing it takes less than about a millisecond: no long text, no JSON, no Faker, no code."""
    controls = request.controls
    if template.code or controls.n > 4:
        return False
    if template.writes_content:
        if len(request.http_request.body) > MAX_QUICK_BODY:
            return False  # all of it affects the seed
        is_text = controls.response_format == "text" and not controls.tools and not wants_code_block(request.messages)
        if not is_text or (template.length or LENGTH)[1] > MAX_QUICK_LENGTH:
            return False
    return not template.is_templated or templates.is_quick(str(template))


def searches(template: ReplyTemplate, reply: Reply, request: ModelRequest) -> bool:
    """Whether to invent sources: not for a scripted reply to an agent, which always offers a search among its
    functions and rarely needs it.
    """
    if not request.controls.searches or reply.sources is not None or reply.blocks:
        return False
    return template.writes_content or not request.controls.tools
