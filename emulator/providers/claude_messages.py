"""Claude's messages, whichever vendor serves them: how the models think, sign, cite, cache and refuse.

A vendor subclasses `ClaudeMessages` and states its differences: the key, the version, the error envelope.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Annotated, Any, ClassVar, Generic, Literal

import orjson
from pydantic import BaseModel, ValidationError

from emulator import large, tokens
from emulator.dialects.base import CachePoint, VendorT, provider_error
from emulator.dialects.chat_input import Many
from emulator.dialects.messages_input import (
    MessagesBody,
    OutputConfig,
    Thinking,
    TurnBody,
    read_tool_choice,
    read_tools,
    read_turns,
    wants_search,
)
from emulator.dialects.parameters import IGNORED, SAMPLING, honored, ignored, only
from emulator.providers import claude_words as words
from emulator.providers.claude_citations import with_citations
from emulator.providers.claude_models import NEWEST, Claude, claude, served
from emulator.providers.claude_prompt import fixed_tokens, parts_of, points_of
from emulator.providers.claude_shape import ClaudeShape
from emulator.providers.claude_words import CHANCE, Asked
from emulator.providers.deepseek_messages import with_search
from emulator.reply import Block, Reply, Thought
from emulator.request import Controls, HttpRequest, ModelRequest


class ClaudeThinking(Thinking):
    type: Literal["enabled", "adaptive", "disabled", "between_tools"]
    display: Literal["summarized", "omitted"] | None = None


class ClaudeOutput(OutputConfig):
    effort: Annotated[str | None, ignored("each model has its levels; they don't change the length of a thought")] = (
        None
    )
    format: dict[str, Any] | None = None


class ClaudeTurn(TurnBody):
    role: Literal["user", "assistant", "system"]


class ClaudeBody(MessagesBody):
    """Every member that Claude's API knows. Members without an effect here may have any value."""

    messages: Many[ClaudeTurn]  # type: ignore[assignment]  # the roles that there are
    thinking: ClaudeThinking | None = None
    output_config: ClaudeOutput | None = None
    output_format: Annotated[dict[str, Any] | None, honored("replaced by output_config.format")] = None
    cache_control: dict[str, Any] | None = None
    top_k: Annotated[int | None, SAMPLING] = None
    metadata: Annotated[dict[str, Any] | None, IGNORED] = None
    service_tier: Annotated[Literal["auto", "standard_only"] | None, IGNORED] = None
    container: Annotated[Any, IGNORED] = None
    context_management: Annotated[Any, IGNORED] = None
    mcp_servers: Annotated[Any, IGNORED] = None
    inference_geo: Annotated[Any, IGNORED] = None
    speed: Annotated[Any, IGNORED] = None
    diagnostics: Annotated[Any, IGNORED] = None
    fallbacks: Annotated[Any, IGNORED] = None
    fallback_credit_token: Annotated[Any, IGNORED] = None
    billing_policy: Annotated[Any, IGNORED] = None
    compaction: Annotated[Any, IGNORED] = None
    thread: Annotated[Any, IGNORED] = None


class CountBody(ClaudeBody):
    """Counting requires no `max_tokens`."""

    max_tokens: int = 1


COUNTED = only(CountBody, "messages", "system", "tools", "tool_choice")


class ClaudeMessages(ClaudeShape[VendorT], Generic[VendorT]):
    """`POST /v1/messages`"""

    Body: ClassVar[type[ClaudeBody]] = ClaudeBody

    def body_of(self, operation: str) -> type[BaseModel]:
        return COUNTED if operation == "count_tokens" else self.Body

    # What vendors override

    hottest: ClassVar[float] = 1.0
    """The highest temperature."""

    def verifies(self, model: str) -> bool:
        """Whether thoughts in a request must have a signature of the emulator."""
        setting = getattr(self.provider.settings, "signatures", None)
        return setting == "verify" if setting is not None else model.startswith("claude")

    def version(self, http_request: HttpRequest) -> str:
        """Returns the API version of a request."""
        return ""

    def model_of(self, http_request: HttpRequest, body: ClaudeBody) -> str:
        """Returns the requested model. Raises ProviderError."""
        return body.model

    def complaints(self, asked: Asked) -> Iterator[str | None]:
        """Yields the problems of a body whose types are right."""
        yield from words.complaints(asked)

    # Requests

    def parse(self, http_request: HttpRequest, key: str) -> ModelRequest:
        version = self.version(http_request)
        body, native = self.read(http_request, version)
        name = self.model_of(http_request, body)
        betas = frozenset(
            filter(None, [each.strip() for each in http_request.headers.get("anthropic-beta", "").split(",")])
        )
        verifies = self.verifies(name)
        asked = Asked(
            body,
            native,
            claude(name),
            name,
            version,
            betas,
            verifies,
            hottest=self.hottest,
            counts_only=http_request.operation == "count_tokens",
        )
        complaint = next(filter(None, self.complaints(asked)), None)
        if complaint is not None:
            raise provider_error("bad_request", complaint)
        messages = read_turns(body.system, body.messages)
        return ModelRequest(http_request, name, messages, bool(body.stream), controls_of(asked), key, native)

    def read(self, http_request: HttpRequest, version: str) -> tuple[ClaudeBody, Mapping[str, Any]]:
        """Returns the typed body and the parsed JSON. Raises ProviderError."""
        try:
            native = large.loads(http_request.body)
        except orjson.JSONDecodeError as error:
            raise self.not_json(error) from None
        if not isinstance(native, dict):
            raise provider_error("bad_request", "Input should be an object")
        self.check_members(native, version)
        kind = CountBody if http_request.operation == "count_tokens" else self.Body
        try:
            return kind.model_validate(native), native
        except ValidationError as error:
            raise provider_error("bad_request", words.misfit(error.errors(include_url=False)[0])) from None

    def not_json(self, error: orjson.JSONDecodeError) -> Exception:
        return provider_error("bad_request", f"The request body is not valid JSON: {error.msg}")

    def check_members(self, native: Mapping[str, Any], version: str) -> None:
        """Raises ProviderError for an unknown member."""
        for name in native:
            is_gone = version >= NEWEST and name in CHANCE
            if is_gone or (self.refuses_unknown_members and name not in ClaudeBody.model_fields):
                raise provider_error("bad_request", words.extra(name))

    def prompt_parts(self, request: ModelRequest) -> tuple[int, Sequence[str]]:
        return fixed_tokens(request.body), [text for text, _ in parts_of(request.body)]

    def cache_points(self, request: ModelRequest) -> Sequence[CachePoint]:
        return points_of(request.body, claude(request.model).cache_from)

    def check_prompt(self, request: ModelRequest, prompt: int) -> None:
        most = claude(request.model).context
        if prompt > most:
            raise provider_error("context_length", f"prompt is too long: {prompt} tokens > {most} maximum")

    # The answer

    def adapt(self, reply: Reply, request: ModelRequest) -> Reply:
        if reply.model is None and served(request.model) != request.model:
            reply = replace(reply, model=served(request.model))
        if request.controls.thinking and reply.reasoning is None and not reply.blocks and reply.tool_calls:
            reply = replace(reply, reasoning="")
        reply = with_citations(with_search(reply, request), request.body)
        if request.controls.thinking and not shows_thoughts(request):
            blocks = tuple([_hidden(block) for block in reply.in_order()])
            reply = replace(reply, blocks=blocks)
        return reply

    def result(self, request: ModelRequest) -> Any:
        fixed, texts = self.prompt_parts(request)
        return {"input_tokens": fixed + sum(map(tokens.count, texts))}


def controls_of(asked: Asked) -> Controls:
    """Returns the parameters that shape the answer."""
    body, config = asked.body, asked.body.output_config
    form = (config.format if config is not None else None) or body.output_format
    thinks = asked.thinks and body.max_tokens != 0
    effort = config.effort if config is not None else None
    return Controls(
        max_tokens=body.max_tokens,
        stop=tuple([text for text in body.stop_sequences or () if text]),
        response_format="json_schema" if form is not None else "text",
        schema=form.get("schema") if form is not None else None,
        tools=read_tools(body.tools),
        tool_choice=read_tool_choice(body.tool_choice),
        thinking=thinks,
        reasoning_effort=effort,
        searches=wants_search(body.tools),
    )


def shows_thoughts(request: ModelRequest) -> bool:
    """Whether thoughts are shown as text."""
    display = (request.body.get("thinking") or {}).get("display")
    model: Claude = claude(request.model)
    return model.shows_thoughts if display is None else display == "summarized"


def _hidden(block: Block) -> Block:
    return replace(block, summary="") if isinstance(block, Thought) and block.summary is None else block
