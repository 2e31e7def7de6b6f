"""What is true of DeepSeek's models, whoever serves them: their tokens, their price, what they do to every answer."""

from collections.abc import Sequence
from typing import ClassVar

from emulator import seeded, tokens
from emulator.dialects.base import Habits
from emulator.providers.base import Price, Provider, per_million
from emulator.request import ModelRequest


def call_id(entropy: seeded.Entropy, index: int, number: int) -> str:
    """The id of a tool call: its number in the answer, then random letters and digits."""
    return f"call_{number:02d}_{seeded.alphanumeric(24, 'tool_call', entropy, index, number)}"


class ServesDeepSeek(Provider):
    """A provider of DeepSeek's models."""

    price: ClassVar[Price] = per_million("0.435", "0.87", "0.003625")  # DeepSeek's own of V4 pro, if nothing is said
    cache_unit: ClassVar[int] = 64
    habits: ClassVar[Habits] = Habits(thought_end=1, call_id=call_id)  # `</think>` is one token

    def prompt_texts(self, request: ModelRequest) -> tuple[int, Sequence[str]]:
        """What a request costs as a prompt, in DeepSeek's chat template."""
        controls = request.controls
        return tokens.prompt_texts(
            request.messages,
            thinking=bool(controls.thinking),
            tools=() if controls.tool_choice == "none" else controls.tools,
            effort=controls.reasoning_effort,
            schema=controls.schema,
        )
