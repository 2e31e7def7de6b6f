"""The error messages of Claude's API; each begins with the path of the member."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from pydantic_core import ErrorDetails

from emulator.dialects.messages_input import BlockBody, ToolBody, TurnBody
from emulator.providers.claude_citations import may_cite
from emulator.providers.claude_models import EFFORTS, Claude
from emulator.providers.claude_prompt import MAX_POINTS, controls
from emulator.providers.claude_signatures import is_genuine
from emulator.records import record

Json = Mapping[str, Any]
LIMIT_DOCS = "#max-tokens-and-context-window-size"
SAMPLING_DOCS = "#important-considerations-when-using-extended-thinking"
UNANSWERED = (
    "messages.{}: `tool_use` ids were found without `tool_result` blocks immediately after: {}. Each `tool_use` block "
    "must have a corresponding `tool_result` block in the next message."
)
NO_TAG = "Input tag '{}' found using 'type' does not match any of the expected tags: {}"
DOCS = "Please consult our documentation at https://docs.claude.com/en/docs/build-with-claude/extended-thinking"
IN_USER = (
    "text", "image", "document", "search_result", "tool_result", "thinking", "redacted_thinking", "tool_use",
    "server_tool_use", "web_search_tool_result", "web_fetch_tool_result", "code_execution_tool_result",
    "bash_code_execution_tool_result", "text_editor_code_execution_tool_result", "tool_search_tool_result",
    "container_upload", "mcp_tool_use", "mcp_tool_result", "compaction",
)  # fmt: skip
"""The types of blocks."""
WORDS = (
    ("valid list", "valid array"), ("valid tuple", "valid array"),
    ("a valid dictionary or instance of", "an object:"), ("a valid dictionary", "an object"),
)  # fmt: skip
CHANCE = ("temperature", "top_p", "top_k")
THOUGHTS = ("thinking", "redacted_thinking")


@record
class Asked:
    """A request to validate."""

    body: Any
    native: Json
    model: Claude
    name: str
    """The name of the model in the request."""
    version: str = ""
    betas: frozenset[str] = frozenset()
    verifies: bool = True
    """Whether thoughts must have a signature of the emulator."""
    hottest: float = 1.0
    """The highest temperature."""
    counts_only: bool = False

    def of(self, body: Any) -> "Asked":
        """Returns the same for another body."""
        return replace(self, body=body)

    @property
    def mode(self) -> str | None:
        """The requested thinking mode; None if the request does not say."""
        return self.body.thinking.type if self.body.thinking is not None else None

    @property
    def thinks(self) -> bool:
        """Whether the model thinks."""
        if self.mode is None:
            return self.model.thinks in ("by_default", "always")
        if self.mode == "between_tools":
            return has_results(self.body.messages[-1]) if self.body.messages else False
        return self.mode != "disabled"


def complaints(asked: Asked) -> Iterator[str | None]:
    """Yields the problems of a body whose types are right, in the order in which Claude's API checks."""
    yield from _of_limits(asked)
    yield from _of_thinking(asked)
    yield from _of_sampling(asked)
    yield from _of_tools(asked)
    yield from _of_output(asked)
    yield from _of_blocks(asked)
    yield from _of_turns(asked)
    yield from _of_results(asked.body.messages)
    yield from _of_thoughts(asked)


def misfit(error: ErrorDetails) -> str:
    """Returns the message for a validation error."""
    path = ".".join([str(item) for item in error["loc"] if not (isinstance(item, str) and item.startswith("<"))])
    message = "Field required" if error["type"] == "missing" else error["msg"]
    for ours, theirs in WORDS:
        message = message.replace(ours, theirs)
    return f"{path}: {message.partition(': ')[0] if 'an object:' in message else message}"


def extra(path: str) -> str:
    return f"{path}: Extra inputs are not permitted"


def _of_limits(asked: Asked) -> Iterator[str | None]:
    limit, most = asked.body.max_tokens, asked.model.most_tokens
    if limit is not None and limit < 0:
        yield "max_tokens: Input should be greater than or equal to 0"
    if limit is not None and limit > most:
        yield f"max_tokens: {limit} > {most}, which is the maximum allowed number of output tokens for {asked.name}"
    count = len(controls(asked.native))
    if count > MAX_POINTS:
        yield f"A maximum of {MAX_POINTS} blocks with cache_control may be provided. Found {count}."


def _of_thinking(asked: Asked) -> Iterator[str | None]:
    mode, model, thinking = asked.mode, asked.model, asked.body.thinking
    if mode is None:
        return
    if mode == "disabled":
        if model.thinks == "always":
            yield '"thinking.type.disabled" is not supported for this model.'
        return
    if mode == "enabled":
        budget = thinking.budget_tokens
        if budget is None:
            yield "thinking.enabled.budget_tokens: Field required"
        elif budget < 1024:
            yield "thinking.enabled.budget_tokens: Input should be greater than or equal to 1024"
        if not model.can_think(mode):
            yield (
                '"thinking.type.enabled" is not supported for this model. Use "thinking.type.adaptive" and '
                '"output_config.effort" to control thinking behavior.'
            )
        is_interleaved = any(beta.startswith("interleaved-thinking") for beta in asked.betas)
        if not asked.counts_only and budget is not None and asked.body.max_tokens <= budget and not is_interleaved:
            yield f"`max_tokens` must be greater than `thinking.budget_tokens`. {DOCS}{LIMIT_DOCS}"
    elif not model.can_think("adaptive"):
        yield f"{'adaptive' if mode == 'adaptive' else mode} thinking is not supported on this model"
    if (asked.body.tool_choice or {}).get("type") in ("any", "tool"):
        yield "Thinking may not be enabled when tool_choice forces tool use."


def _of_sampling(asked: Asked) -> Iterator[str | None]:
    body = asked.body
    values = {name: getattr(body, name) for name in CHANCE}
    for name, most in (("temperature", asked.hottest), ("top_p", 1.0)):
        if values[name] is not None and not 0 <= values[name] <= most:
            yield f"{name}: range: 0..{most:g}"
    if values["top_k"] is not None and values["top_k"] < 0:
        yield "top_k: Input should be greater than or equal to 0"
    if not asked.model.is_sampled:
        for name in CHANCE:
            if values[name] is not None and (name, values[name]) != ("temperature", 1):
                yield f"`{name}` is deprecated for this model."
    elif values["temperature"] is not None and values["top_p"] is not None and asked.model.name:
        yield "`temperature` and `top_p` cannot both be specified for this model. Please use only one."
    if asked.thinks:
        if values["temperature"] not in (None, 1):
            yield f"`temperature` may only be set to 1 when thinking is enabled. {DOCS}{SAMPLING_DOCS}"
        if values["top_k"] is not None:
            yield f"`top_k` must be unset when thinking is enabled. {DOCS}"
        if values["top_p"] is not None and values["top_p"] < 0.95:
            yield f"`top_p` must be greater than or equal to 0.95 or unset when thinking is enabled. {DOCS}"


def _of_tools(asked: Asked) -> Iterator[str | None]:
    tools: Sequence[ToolBody] = asked.body.tools or ()
    for number, tool in enumerate(tools):
        if tool.type not in (None, "custom"):
            continue
        place = f"tools.{number}.custom"
        if not 1 <= len(tool.name) <= 128 or not all(c.isascii() and (c.isalnum() or c in "_-") for c in tool.name):
            yield f"{place}.name: String should match pattern '^[a-zA-Z0-9_-]{{1,128}}$'"
        if tool.input_schema is None:
            yield f"{place}.input_schema: Field required"
        elif tool.input_schema.get("type") != "object":
            reason = "Input should be 'object'" if "type" in tool.input_schema else "Field required"
            yield f"{place}.input_schema.type: {reason}"
        elif asked.native["tools"][number].get("strict"):
            yield complaint_of_schema(tool.input_schema, place)
    names = [tool.name for tool in tools]
    if len(set(names)) < len(names):
        yield "tools: Tool names must be unique."
    choice = asked.body.tool_choice or {}
    kinds = ("auto", "any", "tool", "none")
    if asked.body.tool_choice is not None and choice.get("type") not in kinds:
        tags = ", ".join(f"'{kind}'" for kind in kinds)
        yield f"tool_choice: {NO_TAG.format(choice.get('type'), tags)}"
    if choice.get("type") in ("any", "tool") and not tools:
        yield "tool_choice may only be specified while providing tools."
    if choice.get("type") == "tool" and choice.get("name") not in names:
        yield f"Tool '{choice.get('name')}' not found in provided tools"


def _of_output(asked: Asked) -> Iterator[str | None]:
    config = asked.body.output_config
    effort = config.effort if config is not None else None
    if effort is not None and effort not in EFFORTS:
        known = [f"'{each}'" for each in EFFORTS]
        yield f"output_config.effort: Input should be {', '.join(known[:-1])} or {known[-1]}"
    if effort is not None and effort not in asked.model.efforts:
        if not asked.model.efforts:
            yield "This model does not support the effort parameter."
        levels = ", ".join(sorted(asked.model.efforts))
        yield f"This model does not support effort level '{effort}'. Supported levels: {levels}."
    form = config.format if config is not None else None
    if form is None:
        return
    if form.get("type") != "json_schema":
        yield "output_config.format.type: Input should be 'json_schema'"
    if not isinstance(form.get("schema"), dict):
        yield "output_config.format.schema: Field required"
    yield complaint_of_schema(form.get("schema"), "output_config.format.schema")
    if may_cite(asked.native):
        yield "output_config.format: Output format is incompatible with citations"


def complaint_of_schema(schema: Any, place: str) -> str | None:
    """Returns the error for a schema in which an object, at any depth, allows additional properties."""
    if isinstance(schema, list):
        return next(filter(None, [complaint_of_schema(each, place) for each in schema]), None)
    if not isinstance(schema, dict):
        return None
    if schema.get("type") == "object" and schema.get("additionalProperties") is not False:
        return f"{place}: For 'object' type, 'additionalProperties' must be explicitly set to false"
    inner: list[Any] = [schema.get(name) for name in ("items", "anyOf", "allOf")]
    for name in ("properties", "$defs", "definitions"):
        members = schema.get(name)
        inner += members.values() if isinstance(members, dict) else []
    return next(filter(None, [complaint_of_schema(each, place) for each in inner]), None)


def _of_blocks(asked: Asked) -> Iterator[str | None]:
    tags = ", ".join(f"'{kind}'" for kind in IN_USER)
    for number, turn in enumerate(asked.body.messages):
        for place, block in enumerate(turn.content if isinstance(turn.content, list) else ()):
            where = f"messages.{number}.content.{place}"
            if block.type not in IN_USER:
                yield f"{where}: {NO_TAG.format(block.type, tags)}"
            if block.type == "text" and block.text is None:
                yield f"{where}.text.text: Field required"
            if block.type == "text" and not block.text:
                yield "messages: text content blocks must be non-empty"
            yield _of_call(block, where)
            if asked.version >= "2026-10-21":
                native = asked.native["messages"][number]["content"][place]
                if block.type == "document" and turn.role == "assistant":
                    yield f"{where}: `document` blocks are not supported in assistant messages"
                if block.type == "text" and turn.role == "user" and native.get("citations"):
                    yield extra(f"{where}.text.citations")


def _of_call(block: BlockBody, where: str) -> str | None:
    """Returns the error for a tool call or tool result in which something is missing."""
    if block.type == "tool_use":
        for name in ("id", "name"):
            if getattr(block, name) is None:
                return f"{where}.tool_use.{name}: Field required"
        if not isinstance(block.input, dict):
            return f"{where}.tool_use.input: Input should be an object"
    if block.type == "tool_result" and block.tool_use_id is None:
        return f"{where}.tool_result.tool_use_id: Field required"
    return None


def _of_turns(asked: Asked) -> Iterator[str | None]:
    messages: Sequence[TurnBody] = asked.body.messages
    if not messages:
        yield "messages: at least one message is required"
    if messages[0].role == "assistant":
        yield 'messages: first message must use the "user" role'
    last = len(messages) - 1
    for number, turn in enumerate(messages):
        if turn.content in ("", []) and not (number == last and turn.role == "assistant"):
            yield (
                f"messages.{number}: all messages must have non-empty content except for the optional final assistant "
                "message"
            )
    if messages[last].role != "assistant":
        return
    if not asked.model.prefills and not asked.counts_only:
        yield ("This model does not support assistant message prefill. The conversation must end with a user message.")
    text = said(messages[last])
    if text and text != text.rstrip():
        yield "messages: final assistant content cannot end with trailing whitespace"


def said(turn: TurnBody) -> str:
    """Returns the text at the end of a turn."""
    if isinstance(turn.content, str):
        return turn.content
    return (turn.content[-1].text or "") if turn.content and turn.content[-1].type == "text" else ""


def has_results(turn: TurnBody) -> bool:
    """Whether a turn has tool results."""
    return isinstance(turn.content, list) and any(block.type == "tool_result" for block in turn.content)


def _of_results(messages: Sequence[TurnBody]) -> Iterator[str | None]:
    """Yields calls without a result in the next message, and results without a call."""
    open_calls: list[str] = []
    seen: set[str] = set()
    for number, turn in enumerate(messages):
        blocks = turn.content if isinstance(turn.content, list) else []
        results = [
            (place, block.tool_use_id or "") for place, block in enumerate(blocks) if block.type == "tool_result"
        ]
        for place, id in results:
            if id not in open_calls:
                yield (
                    f"messages.{number}.content.{place}: unexpected `tool_use_id` found in `tool_result` blocks: {id}. "
                    "Each `tool_result` block must have a corresponding `tool_use` block in the previous message."
                )
        missing = [id for id in open_calls if id not in {id for _, id in results}]
        if missing:
            yield UNANSWERED.format(number - 1, ", ".join(missing))
        open_calls = [block.id or "" for block in blocks if block.type == "tool_use" and turn.role == "assistant"]
        for place, block in enumerate(blocks):
            if block.type == "tool_use" and block.id in seen:
                yield f"messages.{number}.content.{place}: `tool_use` ids must be unique"
            seen |= {block.id or ""} if block.type == "tool_use" else set()
    if open_calls:
        yield UNANSWERED.format(len(messages) - 1, ", ".join(open_calls))


def _of_thoughts(asked: Asked) -> Iterator[str | None]:
    """Yields thoughts with an invalid signature, and a last turn of the model that should begin with a thought."""
    messages: Sequence[TurnBody] = asked.body.messages
    for number, turn in enumerate(messages):
        for place, block in enumerate(turn.content if isinstance(turn.content, list) else ()):
            if block.type != "thinking":
                continue
            where = f"messages.{number}.content.{place}"
            if block.signature is None:
                yield f"{where}.thinking.signature: Field required"
            if asked.verifies and not is_genuine(block.signature, block.thinking or ""):
                yield f"{where}: Invalid `signature` in `thinking` block"
    if asked.mode != "enabled":
        return
    last = next((n for n in range(len(messages) - 1, -1, -1) if messages[n].role == "assistant"), None)
    if last is None:
        return
    blocks = messages[last].content
    first = blocks[0].type if isinstance(blocks, list) and blocks else "text"
    is_answered = last + 1 < len(messages) and has_results(messages[last + 1])
    if first not in THOUGHTS and (is_answered or last == len(messages) - 1):
        yield (
            f"messages.{last}.content.0.type: Expected `thinking` or `redacted_thinking`, but found `{first}`. When "
            "`thinking` is enabled, a final `assistant` message must start with a thinking block (preceeding the "
            "lastmost set of `tool_use` and `tool_result` blocks). We recommend you include thinking blocks from "
            f"previous turns. To avoid this requirement, disable `thinking`. {DOCS}"
        )
