"""The format of OpenAI's responses: ids of items, summaries of hidden thoughts, obfuscation."""

from collections.abc import Sequence
from typing import Any, Generic

from emulator import tokens
from emulator.dialects.base import VendorT
from emulator.dialects.obfuscation import tails_of
from emulator.dialects.responses import Json, Outcome, Responses, item_digest
from emulator.providers.openai_models import is_thinker, thinks
from emulator.providers.openai_responses_rules import LONG_ID, sealed_of
from emulator.reply import Block, Completion, Thought, Usage
from emulator.request import ModelRequest


class OpenAIResponseItems(Responses[VendorT], Generic[VendorT]):
    """Renders a response as OpenAI does."""

    final_name = True

    def is_padded(self) -> bool:
        """Whether letters pad the events."""
        return True

    def make_id(self, entropy: bytes) -> str:
        return f"resp_{entropy.hex()[:LONG_ID]}"

    def item_id(self, id: str, kind: str, index: int) -> str:
        return f"{kind}_{item_digest(id, index).hex()[:LONG_ID]}"

    def thought(self, thought: Thought) -> Json:
        sealed = {} if thought.encrypted is None else {"encrypted_content": sealed_of(thought.text)}
        texts = self.thought_events(thought)[2]
        return {"summary": [{"type": "summary_text", "text": text} for text in texts], **sealed}

    def thought_begun(self) -> Json:
        return {"summary": []}

    def thought_events(self, thought: Thought) -> tuple[str, str, list[str]]:
        shown = thought.summary or thought.text
        texts = [shown] if thought.summary is not None and shown else []
        return "summary_text", "response.reasoning_summary_text", texts

    def hidden_tokens(self, block: Block) -> int:
        is_hidden = isinstance(block, Thought) and not self.thought_events(block)[2]
        return tokens.count(block.text) if is_hidden and isinstance(block, Thought) else 0

    def item(self, block: Block, index: int, completion: Completion, outcome: Outcome) -> Json:
        item = super().item(block, index, completion, outcome)
        return without_status(item) if isinstance(block, Thought) else item

    def opened_item(self, block: Block, index: int, completion: Completion) -> Json:
        item = super().opened_item(block, index, completion)
        return without_status(item) if isinstance(block, Thought) else item

    def tails(self, text: str, request: ModelRequest) -> Sequence[bytes] | None:
        asked = (request.body.get("stream_options") or {}).get("include_obfuscation")
        return tails_of(text) if self.is_padded() and asked is not False else None

    def usage(self, usage: Usage) -> Json:
        return {
            **super().usage(usage),
            "input_tokens_details": {"cached_tokens": usage.cached, "cache_write_tokens": usage.cache_written},
        }

    def openings(self, request: ModelRequest) -> Sequence[tuple[str, str]]:
        if request.body.get("background"):
            queued = ("response.created", "queued"), ("response.queued", "queued")
            return (*queued, ("response.in_progress", "in_progress"))
        return super().openings(request)

    def echo(self, request: ModelRequest) -> Json:
        asked = request.body
        reasoning, text = asked.get("reasoning") or {}, asked.get("text") or {}
        default_effort = ("medium" if thinks(request.model, None) else "none") if is_thinker(request.model) else None
        tier = asked.get("service_tier")
        return {
            "background": bool(asked.get("background")),
            "instructions": asked.get("instructions"),
            "max_output_tokens": asked.get("max_output_tokens"),
            "max_tool_calls": asked.get("max_tool_calls"),
            "parallel_tool_calls": asked.get("parallel_tool_calls") is not False,
            "previous_response_id": asked.get("previous_response_id"),
            "prompt_cache_key": asked.get("prompt_cache_key"),
            "prompt_cache_retention": asked.get("prompt_cache_retention"),
            "reasoning": {
                "effort": reasoning.get("effort") or default_effort,
                "summary": reasoning.get("summary") or reasoning.get("generate_summary"),
            },
            "safety_identifier": asked.get("safety_identifier"),
            "service_tier": tier if isinstance(tier, str) and tier != "auto" else "default",
            "store": asked.get("store") is not False,
            "temperature": 1.0 if asked.get("temperature") is None else asked["temperature"],
            "text": {"format": text.get("format") or {"type": "text"}, "verbosity": text.get("verbosity") or "medium"},
            "tool_choice": asked.get("tool_choice") or "auto",
            "tools": [offered(tool) for tool in asked.get("tools") or ()],
            "top_logprobs": asked.get("top_logprobs") or 0,
            "top_p": 1.0 if asked.get("top_p") is None else asked["top_p"],
            "truncation": asked.get("truncation") or "disabled",
            "user": asked.get("user"),
            "metadata": asked.get("metadata") or {},
        }


def without_status(item: Json) -> Json:
    return {name: value for name, value in item.items() if name != "status"}


def offered(tool: Any) -> Any:
    """Returns a tool as a response repeats it."""
    if not isinstance(tool, dict) or tool.get("type") != "function":
        return tool
    return {"description": None, "parameters": None, **tool, "strict": tool.get("strict") is not False}
