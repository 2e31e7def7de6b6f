"""What a scenario may set for DeepSeek's own API."""

from decimal import Decimal
from typing import Annotated, Literal

from pydantic import ConfigDict, Field, with_config
from typing_extensions import TypedDict  # pydantic takes Python's own from 3.12 on

from emulator.providers.base import NameList, Settings
from emulator.providers.deepseek_chat import CONTEXT_LENGTH
from emulator.providers.deepseek_profiles import ProfileName

DAY = r"^\d{4}-\d{2}-\d{2}$"


@with_config(ConfigDict(extra="forbid"))
class Balance(TypedDict):
    """One row of the balance. Amounts are strings, as on the wire."""

    currency: Literal["CNY", "USD"]
    total_balance: str
    granted_balance: str
    topped_up_balance: str


BALANCE: Balance = {
    "currency": "CNY",
    "total_balance": "110.00",
    "granted_balance": "10.00",
    "topped_up_balance": "100.00",
}


def balance_of_account(balance: Decimal) -> Balance:
    """Returns the balance of an account that the scenario lists, in the format of `/user/balance`."""
    left = f"{max(balance, Decimal(0)):.2f}"
    return {"currency": "USD", "total_balance": left, "granted_balance": "0.00", "topped_up_balance": left}


class DeepSeekSettings(Settings):
    profile: ProfileName | Literal["clock"] = "2026-11"
    """The state of the service, by the date on which it began: models, aliases, prices, capabilities. `clock`
    selects the state at the time of the namespace's clock.
    """
    models: Literal["profile"] | NameList | None = "profile"
    """The available models: those of the profile, or a list; null accepts any name. If the list names
    `deepseek-chat` and `deepseek-reasoner`, they behave as in 2025.
    """
    pro_retired: bool = False
    """Whether the flash model serves the pro model's name from September 10 on, as announced and then withdrawn."""
    peak_days: Literal["weekdays", "every_day", "never"] = "weekdays"
    """The days with peak prices from 9 to 12 and from 14 to 18 o'clock, Beijing time."""
    holidays: tuple[Annotated[str, Field(pattern=DAY)], ...] = Field(default=(), strict=False)
    """Dates without peak hours, such as `2026-10-01`."""
    concurrency: Literal["profile"] | Annotated[int, Field(ge=1)] | None = None
    """The maximum concurrent answers per account and model: as documented (flash 2,500, pro 500), or a number; null:
    no limit.
    """
    echo_model: Literal["served", "sent"] = "served"
    """The model name in the answer to an alias: the model that serves it, or the alias."""
    thinking_default: Literal["enabled", "disabled"] = "enabled"
    """The mode of a request without `thinking`."""
    effort: Literal["profile", "current", "earlier"] = "profile"
    """What efforts mean. `current`: minimal is low; medium and xhigh are high. `earlier`: low and medium are high;
    xhigh is max.
    """
    hidden_prompt: bool = False
    """Whether to count the instructions that the default effort has added to the prompt since August: 79 tokens, or
    26 (V4.1).
    """
    json_schema: Literal["accept", "refuse"] = "accept"
    """Whether `response_format` may be a JSON schema. DeepSeek itself rejects it today, but SDK helpers need it."""
    context_length: int = CONTEXT_LENGTH
    """The maximum tokens of prompt and answer together."""
    heartbeat: float | None = 10.0
    """Seconds between keep-alives while the client waits: `: keep-alive` comments in a stream, empty lines before JSON.
    """
    signature: Literal["uuid", "empty", "omit"] = "uuid"
    """The `signature` of thoughts at `/anthropic`: the id of the message, an empty string, or no such member."""
    reasoning_parts: bool = True
    """Whether streamed responses enclose the text of a thought in `response.content_part` events."""
    phase: Literal["omit", "final_answer"] = "omit"
    """The `phase` of the messages in responses; `omit` leaves it out."""
    count_tokens: bool = False
    """Whether `/anthropic/v1/messages/count_tokens` exists. The reference does not mention it."""
    balance: tuple[Balance, ...] = Field(default=(BALANCE,), strict=False)
    """The answer of `/user/balance`."""
