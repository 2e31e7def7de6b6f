"""Messages as Claude's models speak them, whoever serves them: how they think, sign, cite, cache and refuse.

A vendor subclasses `ClaudeMessages` and states what is its own: the key, the version, the envelope of an error.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Annotated, Any, ClassVar, Literal

import orjson
from pydantic import BaseModel, ValidationError

from emulator import large, seeded, tokens
from emulator.dialects.base import CachePoint, Habits, provider_error
from emulator.dialects.chat_completions import Many
from emulator.dialects.messages import (
    Messages,
    MessagesBody,
    OutputConfig,
    Thinking,
    TurnBody,
    citation_row,
    read_tool_choice,
    read_tools,
    read_turns,
    wants_search,
)
from emulator.dialects.parameters import IGNORED, SAMPLING, honoured, ignored, only
from emulator.providers import claude_words as words
from emulator.providers.claude_citations import with_citations
from emulator.providers.claude_models import Claude, claude, served
from emulator.providers.claude_prompt import fixed_tokens, parts_of, points_of
from emulator.providers.claude_signatures import signed
from emulator.providers.claude_words import CHANCE, Asked
from emulator.providers.deepseek_messages import with_search
from emulator.reply import Block, Choice, Citation, Completion, Reply, Search, Thought, Usage
from emulator.request import Controls, HttpRequest, ModelRequest
from emulator.wire import FrameRun

NEWEST = "2026-10-21"
"""The version that takes no sampling members."""
BASE58 = b"123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_BASE58 = bytes(BASE58[byte % 58] for byte in range(256))


def base58(entropy: bytes, length: int) -> str:
    """Letters and digits that are not mistaken for each other, out of random bytes."""
    return entropy[:length].translate(_BASE58).decode()


def call_id(entropy: seeded.Entropy, index: int, number: int) -> str:
    """The id of a tool call."""
    return f"toolu_01{base58(seeded.digest('tool_call', entropy, index, number), 22)}"


class ClaudeThinking(Thinking):
    type: Literal["enabled", "adaptive", "disabled", "between_tools"]
    display: Literal["summarized", "omitted"] | None = None


class ClaudeOutput(OutputConfig):
    effort: Annotated[str | None, ignored("each model has its levels; a thought is as long as it is scripted")] = None
    format: dict[str, Any] | None = None


class ClaudeTurn(TurnBody):
    role: Literal["user", "assistant", "system"]


class ClaudeBody(MessagesBody):
    """Every member that Claude's API knows; those that change nothing here may look as they like."""

    messages: Many[ClaudeTurn]  # type: ignore[assignment]  # the roles that there are
    thinking: ClaudeThinking | None = None
    output_config: ClaudeOutput | None = None
    output_format: Annotated[dict[str, Any] | None, honoured("output_config.format replaced it")] = None
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
    """What is counted needs no limit."""

    max_tokens: int = 1


COUNTED = only(CountBody, "messages", "system", "tools", "tool_choice")


class ClaudeMessages(Messages):
    """`POST /v1/messages`"""

    Body: ClassVar[type[ClaudeBody]] = ClaudeBody
    pings = True
    opening_output = 1
    own_habits: ClassVar[Habits] = Habits(call_id=call_id)

    def model_habits(self) -> Habits:
        return self.own_habits

    def body_of(self, operation: str) -> type[BaseModel]:
        return COUNTED if operation == "count_tokens" else self.Body

    # What a vendor may say otherwise

    def version(self, http_request: HttpRequest) -> str:
        """The version of the API that a request speaks."""
        return ""

    def model_of(self, http_request: HttpRequest, body: ClaudeBody) -> str:
        """The model that is asked for. Raises ProviderError."""
        return body.model

    def complaints(self, asked: Asked) -> Iterator[str | None]:
        """What may be wrong with a body of the right types."""
        yield from words.complaints(asked)

    # The way in

    def parse(self, http_request: HttpRequest, key: str) -> ModelRequest:
        version = self.version(http_request)
        body, native = self.read(http_request, version)
        name = self.model_of(http_request, body)
        betas = frozenset(
            filter(None, [each.strip() for each in http_request.headers.get("anthropic-beta", "").split(",")])
        )
        verifies = getattr(self.provider.settings, "signatures", "accept") == "verify"
        asked = Asked(
            body,
            native,
            claude(name),
            name,
            version,
            betas,
            verifies,
            counts_only=http_request.operation == "count_tokens",
        )
        complaint = next(filter(None, self.complaints(asked)), None)
        if complaint is not None:
            raise provider_error("bad_request", complaint)
        messages = read_turns(body.system, body.messages)
        return ModelRequest(http_request, name, messages, bool(body.stream), controls_of(asked), key, native)

    def read(self, http_request: HttpRequest, version: str) -> tuple[ClaudeBody, Mapping[str, Any]]:
        """The typed body and the native one. Raises ProviderError."""
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
        """Raises ProviderError for a member that there is not."""
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

    def make_id(self, entropy: bytes) -> str:
        return f"msg_01{base58(entropy, 22)}"

    def signature(self, thought: Thought, completion: Completion) -> str | None:
        return thought.signature or signed(thought.text, completion.id)

    def message(
        self, completion: Completion, content: list[dict[str, Any]], choice: Choice | None, usage: dict[str, Any]
    ) -> dict[str, Any]:
        message = super().message(completion, content, choice, usage)
        details = None if choice is None else stop_details(message["stop_reason"])
        return message if details is None else {**message, "stop_details": details}

    def ending(self, choice: Choice) -> dict[str, Any]:
        ending = super().ending(choice)
        details = stop_details(ending["stop_reason"])
        return ending if details is None else {**ending, "stop_details": details}

    def usage(self, usage: Usage) -> dict[str, Any]:
        return {
            "input_tokens": max(0, usage.prompt - usage.cached - usage.cache_written),
            "cache_creation_input_tokens": usage.cache_written,
            "cache_read_input_tokens": usage.cached,
            "cache_creation": {
                "ephemeral_5m_input_tokens": usage.cache_written - usage.cache_written_1h,
                "ephemeral_1h_input_tokens": usage.cache_written_1h,
            },
            "output_tokens": usage.completion,
            **told_apart(usage),
            "service_tier": "standard",
        }

    def first_usage(self, usage: Usage) -> dict[str, Any]:
        return self.usage(replace(usage, reasoning=0, searches=0))

    def last_usage(self, usage: Usage) -> dict[str, Any]:
        told = self.usage(usage)
        return {name: value for name, value in told.items() if name not in ("cache_creation", "service_tier")}

    def rows(self, block: Block, completion: Completion) -> list[dict[str, Any]]:
        if isinstance(block, Thought) and block.encrypted is None and block.summary is not None:
            return [{"type": "thinking", "thinking": block.summary, "signature": self.signature(block, completion)}]
        return super().rows(block, completion)

    def block_runs(self, block: Block, completion: Completion, index: int) -> Iterator[list[FrameRun]]:
        if isinstance(block, Thought) and block.encrypted is None and block.summary is not None:
            signed_with = {"type": "signature_delta", "signature": self.signature(block, completion)}
            start = {"type": "thinking", "thinking": "", "signature": ""}
            yield self.framed(
                index, start, "reasoning", block.summary, ("thinking_delta", "thinking"), [signed_with],
                hidden=tokens.count(block.text),
            )  # fmt: skip
            return
        if isinstance(block, Search):
            asked, found = self.search(block)
            query = orjson.dumps(asked["input"]).decode()
            delta = ("input_json_delta", "partial_json")
            yield self.framed(index, {**asked, "input": {}}, "tool_calls", query, delta)
            yield self.framed(index + 1, found)
            return
        yield from super().block_runs(block, completion, index)

    def search(self, search: Search) -> Iterator[dict[str, Any]]:
        id = search.id if search.id.startswith("srv") else f"srv{search.id}"
        asked, found = super().search(replace(search, id=id))
        if isinstance(found["content"], list):
            found["content"] = [
                {"type": row["type"], "title": row["title"], "url": row["url"], "encrypted_content": sealed(row["url"]),
                 "page_age": None}
                for row in found["content"]
            ]  # fmt: skip
        yield asked
        yield found

    def citation(self, citation: Citation) -> dict[str, Any]:
        if citation.passage is None:
            return {**citation_row(citation), "encrypted_index": sealed(citation.url + citation.cited_text)}
        return passage_row(citation)

    def result(self, request: ModelRequest) -> Any:
        fixed, texts = self.prompt_parts(request)
        return {"input_tokens": fixed + sum(map(tokens.count, texts))}


def controls_of(asked: Asked) -> Controls:
    """What shapes the answer."""
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
    """Whether the words of thoughts are shown."""
    display = (request.body.get("thinking") or {}).get("display")
    model: Claude = claude(request.model)
    return model.shows_thoughts if display is None else display == "summarized"


def _hidden(block: Block) -> Block:
    return replace(block, summary="") if isinstance(block, Thought) and block.summary is None else block


def told_apart(usage: Usage) -> dict[str, Any]:
    """What an answer's tokens were spent on, where there is something to tell."""
    told: dict[str, Any] = {}
    if usage.reasoning:
        told["output_tokens_details"] = {"thinking_tokens": usage.reasoning}
    if usage.searches:
        told["server_tool_use"] = {"web_search_requests": usage.searches, "web_fetch_requests": 0}
    return told


def stop_details(reason: Any) -> dict[str, Any] | None:
    """What is told of a refusal."""
    return {"type": "refusal", "category": None, "explanation": None} if reason == "refusal" else None


def sealed(text: str) -> str:
    """What only the provider can read."""
    return "E" + seeded.alphanumeric(31, "sealed", text)


def passage_row(citation: Citation) -> dict[str, Any]:
    """Where in the client's own documents a text comes from."""
    passage = citation.passage
    assert passage is not None
    row: dict[str, Any] = {"cited_text": citation.cited_text}
    if passage.kind == "results":
        return {
            "type": "search_result_location",
            **row,
            "source": citation.url,
            "title": citation.title or None,
            "search_result_index": passage.index,
            "start_block_index": passage.start,
            "end_block_index": passage.end,
        }
    kind, unit = {
        "characters": ("char_location", "char_index"),
        "pages": ("page_location", "page_number"),
        "blocks": ("content_block_location", "block_index"),
    }[passage.kind]
    return {
        "type": kind,
        **row,
        "document_index": passage.index,
        "document_title": citation.title or None,
        f"start_{unit}": passage.start,
        f"end_{unit}": passage.end,
        "file_id": None,
    }
