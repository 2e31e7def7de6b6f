"""Cloudsway's chat completions: the request body, the settings, and the documented order of keys."""

from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag

from emulator.dialects.chat_input import ContentPart, Many, Strict, text_or_list
from emulator.providers.base import NameList, Settings
from emulator.providers.deepseek_chat import CONTEXT_LENGTH, FINGERPRINT, DeepSeekDialect
from emulator.providers.deepseek_input import DeepSeekBody, DeepSeekMessage, Thinking
from emulator.providers.reselling import CLAUDE_MODEL, RESPONSES_MODEL
from emulator.reply import Choice, Completion
from emulator.request import ModelRequest

MODEL = "MaaS_Deepseek_V4_pro_20260424"
MODELS = (MODEL, "MaaS-DS-R1", "MaaS-DS-V3", "MaaS 1.5 Pro", CLAUDE_MODEL, RESPONSES_MODEL)


class File(Strict):
    file_id: str | None = None


class CloudswayPart(ContentPart):
    """Files are accepted and cost no tokens."""

    type: Literal["text", "file"] = "text"
    file: File | None = None


class CloudswayMessage(DeepSeekMessage):
    content: (
        Annotated[
            Annotated[str, Tag("<text>")] | Annotated[Many[CloudswayPart], Tag("<list>")], Discriminator(text_or_list)
        ]
        | None
    ) = None  # type: ignore[assignment]  # this provider's parts


class CloudswayThinking(Thinking):
    """The table of parameters shows the effort inside, the example shows the type: neither is required."""

    type: Literal["enabled", "disabled"] | None = None


class CloudswayBody(DeepSeekBody):
    model: str | None = None  # type: ignore[assignment]  # its absence is judged by a setting
    messages: Many[CloudswayMessage]  # type: ignore[assignment]  # a list of this provider's messages
    thinking: CloudswayThinking | None = None


class CloudswaySettings(Settings):
    effort: Literal["documented", "deepseek"] = "documented"
    """The allowed values of `reasoning_effort`: `high` and `max` as documented, or all of DeepSeek's."""
    thinking_default: Literal["enabled", "disabled"] = "enabled"
    """The mode of a request without `thinking`."""
    usage_chunk: Literal["finish", "separate"] = "finish"
    """Where a stream reports usage: in the finish chunk, like DeepSeek, or in a separate chunk, like OpenAI."""
    lenient: bool = False
    """Whether to accept requests without `model`, as another page by Cloudsway says."""
    endpoints: Annotated[NameList | dict[str, NameList] | None, Field(union_mode="left_to_right")] = None
    """The existing endpoint paths; null accepts any. A mapping also says which operations each model has:
    `{chatty: [chat, responses]}`."""
    models: NameList = MODELS
    """The listed models; a request without an endpoint must name one of them."""
    context_length: Annotated[int, Field(ge=1)] = CONTEXT_LENGTH
    """The maximum tokens of prompt and answer together."""
    json_schema: Literal["accept", "refuse"] = "accept"
    """Whether `response_format` may be a JSON schema. The document doesn't list it, but SDK helpers need it."""
    heartbeat: float | None = 10.0
    """Seconds between the `: keep-alive` comments of a stream that waits for its first token."""


class CloudswayChat(DeepSeekDialect[CloudswaySettings, CloudswayBody]):
    """Renders DeepSeek's answers with Cloudsway's keys, in the documented order."""

    def body(self, completion: Completion, request: ModelRequest) -> Any:
        return {
            "id": completion.id,
            "choices": [self.choice(choice, request) for choice in completion.choices],
            "created": completion.created,
            "model": completion.model,
            "object": "chat.completion",
            "system_fingerprint": completion.system_fingerprint or FINGERPRINT,
            "usage": self.usage(completion),
        }

    def choice(self, choice: Choice, request: ModelRequest) -> dict[str, Any]:
        row: dict[str, Any] = {"index": choice.index, "message": self.message(choice)}
        logprobs = self.logprobs(choice)
        if logprobs is not None:
            row["logprobs"] = logprobs
        row["finish_reason"] = self.reason(choice)
        row["native_finish_reason"] = self.native_reason(choice)
        return row

    def native_reason(self, choice: Choice) -> str:
        return self.reason(choice) if choice.native_reason is None else choice.native_reason

    def usage(self, completion: Completion) -> dict[str, Any]:
        usage = completion.usage
        return {
            "prompt_tokens": usage.prompt,
            "completion_tokens": usage.completion,
            "total_tokens": usage.total,
            "completion_tokens_details": {
                "accepted_prediction_tokens": 0,
                "audio_tokens": 0,
                "image_tokens": 0,
                "reasoning_tokens": usage.reasoning,
                "rejected_prediction_tokens": 0,
            },
            "prompt_tokens_details": {"audio_tokens": 0, "cached_tokens": usage.cached, "image_tokens": 0},
            "prompt_cache_hit_tokens": usage.cached,
            "prompt_cache_miss_tokens": usage.prompt - usage.cached,
        }

    @property
    def usage_stands(self) -> Literal["finish", "separate", "nowhere"]:
        return self.settings.usage_chunk

    def chunk_of(self, completion: Completion, choices: list[dict[str, Any]]) -> dict[str, Any]:
        return {
            "id": completion.id,
            "choices": choices,
            "created": completion.created,
            "model": completion.model,
            "object": "chat.completion.chunk",
            "system_fingerprint": completion.system_fingerprint or FINGERPRINT,
        }

    def chunk_choice(
        self, choice: Choice, delta: dict[str, Any], reason: str | None, logprobs: dict[str, Any] | None
    ) -> dict[str, Any]:
        row: dict[str, Any] = {"index": choice.index, "delta": delta}
        if logprobs is not None:
            row["logprobs"] = logprobs
        row["finish_reason"] = reason
        row["native_finish_reason"] = None if reason is None else self.native_reason(choice)
        return row
