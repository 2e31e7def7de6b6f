"""Facts about DeepSeek's models, whichever vendor serves them: tokens, price, habits."""

import re
from collections.abc import Sequence
from typing import ClassVar

from emulator import seeded, tokens
from emulator.dialects.base import Habits
from emulator.providers.base import Price, Provider, SettingsT_co, per_million
from emulator.providers.deepseek_calls import FORCED, argument_pieces, spaced
from emulator.request import Message, ModelRequest

FOREIGN = re.compile(r"claude|gemini|grok|qwen|llama|mistral", re.IGNORECASE)
"""Names of models with other tokenizers, which a reseller may also serve."""
IMAGE = 384
"""The tokens of an image of unknown size."""
JSON_MODE = 20
"""The tokens that `json_object` adds to the prompt."""


def call_id(entropy: seeded.Entropy, index: int, number: int) -> str:
    """Returns the id of a tool call: its number in the answer, then random letters and digits."""
    return f"call_{number:02d}_{seeded.alphanumeric(24, 'tool_call', entropy, index, number)}"


def cost_of_images(message: Message) -> int:
    """Returns the tokens of a message's images."""
    return IMAGE * message.images if message.image_tokens is None else message.image_tokens


class ServesDeepSeek(Provider[SettingsT_co]):
    """A provider that serves DeepSeek's models."""

    price: ClassVar[Price] = per_million("0.435", "0.87", "0.003625")  # DeepSeek's own price of V4 pro, by default
    has_deepseek_tokens: ClassVar[bool] = True
    cache_unit: ClassVar[int] = 64
    habits: ClassVar[Habits] = Habits(
        thought_end=1,  # `</think>`
        call_id=call_id,
        render_calls=tokens.render_calls,
        forced_call=FORCED,
        write_arguments=spaced,
        argument_pieces=argument_pieces,
    )

    def estimates(self, request: ModelRequest) -> bool:
        return super().estimates(request) or FOREIGN.match(request.model) is not None

    def effort_prompt(self, request: ModelRequest) -> tuple[str | None, int]:
        """Returns the effort whose instructions are in the prompt of a thinking request, and the tokens of other
        instructions.
        """
        return request.controls.reasoning_effort, 0

    def prompt_texts(self, request: ModelRequest) -> tuple[int, Sequence[str]]:
        """Returns the prompt of a request for counting, in DeepSeek's chat template."""
        controls = request.controls
        is_forced = bool(controls.tools) and controls.tool_choice not in ("auto", "none")
        extra = (FORCED if is_forced else 0) + (JSON_MODE if controls.response_format == "json_object" else 0)
        effort, more = self.effort_prompt(request) if controls.thinking else (None, 0)
        fixed, texts = tokens.prompt_texts(
            request.messages,
            thinking=bool(controls.thinking),
            tools=() if controls.tool_choice == "none" else controls.tools,
            effort=effort,
            schema=controls.schema,
        )
        return fixed + extra + more + sum(map(cost_of_images, request.messages)), texts
