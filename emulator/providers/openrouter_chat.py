"""OpenRouter's chat completions: the request body, its own members, and streams that end with usage."""

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from emulator import seeded
from emulator.dialects.base import ErrorSpec, provider_error
from emulator.dialects.chat_completions import ChatCompletions
from emulator.dialects.chat_input import (
    ChatBody,
    Many,
    MessageBody,
    ResponseFormat,
    Stop,
    StreamOptions,
    Strict,
    ToolBody,
    ToolChoice,
    read_format,
    read_stop,
    read_tool_choice,
    read_tools,
)
from emulator.dialects.parameters import IGNORED, SAMPLING, honored, ignored
from emulator.dialects.serde import Range
from emulator.reply import Choice, Completion, Thought
from emulator.request import Controls, HttpRequest, ModelRequest
from emulator.wire import FrameRun

if TYPE_CHECKING:
    from emulator.providers.openrouter import OpenRouter  # noqa: F401  # a type argument below

AUTO, DEFAULT = "openrouter/auto", "openai/gpt-4o"
HOSTED_BY = {"openai": "OpenAI", "anthropic": "Anthropic", "google": "Google", "deepseek": "DeepSeek"}
"""The host of each vendor's models, if the request has no preference."""
EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh")


class Reasoning(Strict):
    """The options for thinking."""

    enabled: bool | None = None
    effort: str | None = None
    max_tokens: Annotated[int | None, ignored("turns thinking on; the scenario determines how long a thought is")] = (
        None
    )
    exclude: bool | None = None
    summary: Annotated[str | None, IGNORED] = None


class Preferences(Strict):
    """The preferred hosts of the model."""

    order: Many[str] | None = None
    only: Many[str] | None = None
    ignore: Annotated[Any, IGNORED] = None
    allow_fallbacks: Annotated[Any, IGNORED] = None
    require_parameters: Annotated[Any, IGNORED] = None
    data_collection: Annotated[Any, IGNORED] = None
    zdr: Annotated[Any, IGNORED] = None
    quantizations: Annotated[Any, IGNORED] = None
    sort: Annotated[Any, IGNORED] = None
    max_price: Annotated[Any, IGNORED] = None


class OpenRouterMessage(MessageBody):
    role: Literal["system", "developer", "user", "assistant", "tool"]
    reasoning: str | None = None
    reasoning_details: Annotated[Any, IGNORED] = None


class OpenRouterBody(ChatBody):
    model: str = ""
    models: Annotated[Many[str] | None, honored("the first available one answers")] = None
    messages: Many[OpenRouterMessage]
    reasoning: Reasoning | None = None
    include_reasoning: bool | None = None
    provider: Preferences | None = None
    n: Annotated[int | None, ignored("there is always one choice")] = None
    stop: Stop | None = None
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    stream_options: Annotated[StreamOptions | None, IGNORED] = None
    tools: Many[ToolBody] | None = None
    tool_choice: ToolChoice | None = None
    response_format: ResponseFormat | None = None
    logprobs: bool | None = None
    top_logprobs: int | None = None
    temperature: Annotated[float | None, SAMPLING] = None
    top_p: Annotated[float | None, SAMPLING] = None
    top_k: Annotated[float | None, SAMPLING] = None
    min_p: Annotated[float | None, SAMPLING] = None
    top_a: Annotated[float | None, IGNORED] = None
    presence_penalty: Annotated[float | None, SAMPLING] = None
    frequency_penalty: Annotated[float | None, SAMPLING] = None
    repetition_penalty: Annotated[float | None, IGNORED] = None
    logit_bias: Annotated[Any, SAMPLING] = None
    seed: Annotated[int | None, SAMPLING] = None
    route: Annotated[str | None, IGNORED] = None
    transforms: Annotated[Any, IGNORED] = None
    plugins: Annotated[Any, IGNORED] = None
    usage: Annotated[Any, ignored("usage is always reported")] = None
    parallel_tool_calls: Annotated[bool | None, IGNORED] = None
    user: Annotated[str | None, IGNORED] = None
    session_id: Annotated[str | None, IGNORED] = None
    metadata: Annotated[Any, IGNORED] = None

    @property
    def limit(self) -> int | None:
        """The maximum number of tokens to generate, under either name."""
        return self.max_completion_tokens if self.max_completion_tokens is not None else self.max_tokens

    @property
    def thinks(self) -> bool | None:
        """Whether the model should think; None if the request does not say."""
        asked = self.reasoning
        if asked is None:
            return None
        if asked.enabled is False or asked.effort == "none":
            return False
        return True if asked.enabled or asked.effort or asked.max_tokens else None


class OpenRouterStream(ChatCompletions[OpenRouterBody, "OpenRouter"]):
    """A stream that always ends with usage and reports errors in chunks."""

    fails_as_a_whole: ClassVar[bool] = True

    def head(self, completion: Completion, request: ModelRequest, kind: str) -> dict[str, Any]:
        """Returns the members before the choices."""
        return {
            "id": completion.id,
            "provider": hosted_by(completion.model, request),
            "model": completion.model,
            "object": kind,
            "created": completion.created,
        }

    def native_reason(self, choice: Choice) -> str:
        """Returns the model's own name for the finish reason."""
        return self.reason(choice) if choice.native_reason is None else choice.native_reason

    def usage(self, completion: Completion) -> dict[str, Any]:
        usage = completion.usage
        price = self.provider.settings.price or self.provider.price_of(completion.model, completion.created)
        answered = usage.completion * price.completion
        cost = price.of(usage)
        return {
            "prompt_tokens": usage.prompt,
            "completion_tokens": usage.completion,
            "total_tokens": usage.total,
            "cost": float(cost),
            "is_byok": False,
            "prompt_tokens_details": {"cached_tokens": usage.cached, "audio_tokens": 0, "video_tokens": 0},
            "cost_details": {
                "upstream_inference_cost": None,
                "upstream_inference_prompt_cost": float(cost - answered),
                "upstream_inference_completions_cost": float(answered),
            },
            "completion_tokens_details": {"reasoning_tokens": usage.reasoning, "image_tokens": 0},
        }

    def stream(self, completion: Completion, request: ModelRequest) -> Iterator[FrameRun]:
        yield from super().stream(shown(completion, request), request)

    def chunk(
        self, completion: Completion, request: ModelRequest, choice: Choice, delta: dict[str, Any], **more: Any
    ) -> dict[str, Any]:
        chunk = super().chunk(completion, request, choice, delta, **more)
        return {**self.head(completion, request, "chat.completion.chunk"), "choices": chunk["choices"]}

    def chunk_choice(
        self, choice: Choice, delta: dict[str, Any], reason: str | None, logprobs: dict[str, Any] | None
    ) -> dict[str, Any]:
        return {
            "index": choice.index,
            "delta": {"role": "assistant", **delta},
            "finish_reason": reason,
            "native_finish_reason": None if reason is None else self.native_reason(choice),
            "logprobs": logprobs,
        }

    def first_delta(self, choice: Choice) -> dict[str, Any]:
        return {"content": ""}

    def delta(self, part: Any, text: str, choice: Choice) -> dict[str, Any]:
        if part == "reasoning":
            return {"content": "", "reasoning": text}
        return {"content": text}

    def tool_delta(self, choice: Choice, call: dict[str, Any]) -> dict[str, Any]:
        return {"content": None, "tool_calls": [call]}

    def last_delta(self, choice: Choice) -> dict[str, Any]:
        return {"content": ""}

    def tail(self, completion: Completion, request: ModelRequest) -> Iterator[FrameRun]:
        row = self.chunk_choice(completion.choices[0], {"content": ""}, None, None)
        head = self.head(completion, request, "chat.completion.chunk")
        yield self.event("usage", {**head, "choices": [row], "usage": self.usage(completion)})

    def failure(self, native: dict[str, Any], row: ErrorSpec) -> dict[str, Any] | None:
        facts = {name: value for name, value in native.items() if name not in ("choices", "usage")}
        return {
            **facts,
            "error": {"code": row.status, "message": row.message},
            "choices": [{"index": 0, "delta": {"content": ""}, "finish_reason": "error"}],
        }


class OpenRouterChat(OpenRouterStream):
    """Chat completions with OpenRouter's own members."""

    weighs_words = False
    Body = OpenRouterBody
    ranges = (
        Range("temperature", 0, 2, "[0, 2]"),
        Range("top_p", 0, 1, "[0, 1]"),
        Range("presence_penalty", -2, 2, "[-2, 2]"),
        Range("frequency_penalty", -2, 2, "[-2, 2]"),
    )

    # Requests

    def model_of(self, http_request: HttpRequest, body: OpenRouterBody) -> str:
        names: list[str] = [*([body.model] if body.model else []), *(body.models or ())]
        if body.model == AUTO:  # the auto router chooses one of the others
            names = [*names[1:], DEFAULT]
        if not names:
            raise provider_error("bad_request", "No models provided")
        served = self.provider.settings.models
        found = next((name for name in names if served is None or name.partition(":")[0] in served), None)
        if found is None:
            raise provider_error("model_not_found", f"{names[0]} is not a valid model ID")
        return found

    def validation_errors(self, body: OpenRouterBody) -> Iterator[str | None]:
        if not body.messages:
            yield 'Input required: specify "prompt" or "messages"'
        yield from super().validation_errors(body)
        if body.limit is not None and body.limit < 1:
            yield "max_tokens must be at least 1"
        effort = body.reasoning.effort if body.reasoning is not None else None
        if effort is not None and effort not in EFFORTS:
            yield f"reasoning.effort: expected one of {', '.join(EFFORTS)}"

    def controls(self, body: OpenRouterBody) -> Controls:
        form, schema = read_format(body.response_format)
        return Controls(
            max_tokens=body.limit,
            stop=read_stop(body.stop),
            n=1,
            tools=read_tools(body.tools),
            tool_choice=read_tool_choice(body.tool_choice),
            logprobs=bool(body.logprobs),
            top_logprobs=body.top_logprobs or 0,
            response_format=form,
            schema=schema,
            thinking=body.thinks,
            reasoning_effort=body.reasoning.effort if body.reasoning is not None and body.thinks else None,
            include_usage=True,
        )

    # The answer

    def make_id(self, entropy: bytes) -> str:
        return f"gen-{seeded.letters(entropy, 28)}"

    def body(self, completion: Completion, request: ModelRequest) -> Any:
        completion = shown(completion, request)
        return {
            **self.head(completion, request, "chat.completion"),
            "choices": [self.choice(choice, request) for choice in completion.choices],
            "usage": self.usage(completion),
        }

    def choice(self, choice: Choice, request: ModelRequest) -> dict[str, Any]:
        return {
            "logprobs": self.logprobs(choice),
            "finish_reason": self.reason(choice),
            "native_finish_reason": self.native_reason(choice),
            "index": choice.index,
            "message": self.message(choice),
        }

    def message(self, choice: Choice) -> dict[str, Any]:
        message: dict[str, Any] = {
            "role": "assistant",
            "content": choice.content,
            "refusal": None,
            "reasoning": choice.reasoning,
        }
        if choice.reasoning:
            message["reasoning_details"] = details(choice.reasoning)
        if choice.tool_calls:
            message["tool_calls"] = self.tool_calls(choice)
        return message


def hosted_by(model: str, request: ModelRequest) -> str:
    """Returns the host of a model: the request's first choice, or the model's own vendor."""
    wishes = request.body.get("provider") or {}
    for name in ("only", "order"):
        if wishes.get(name):
            return str(wishes[name][0])
    return HOSTED_BY.get(model.partition("/")[0], "OpenAI")


def shown(completion: Completion, request: ModelRequest) -> Completion:
    """Returns the answer without its thoughts if the request excludes them; they are charged anyway."""
    asked = request.body.get("reasoning") or {}
    if not asked.get("exclude") and request.body.get("include_reasoning") is not False:
        return completion
    choices = [
        replace(choice, blocks=tuple([block for block in choice.blocks if not isinstance(block, Thought)]))
        for choice in completion.choices
    ]
    return replace(completion, choices=tuple(choices))


def details(text: str) -> list[dict[str, Any]]:
    """Returns a thought as `reasoning_details`."""
    return [{"type": "reasoning.text", "text": text, "format": "unknown", "index": 0}]
