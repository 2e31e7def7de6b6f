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
    """One row of the balance. Amounts are texts, as on the wire."""

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
    """What is left on an account that the scenario lists, as `/user/balance` tells it."""
    left = f"{max(balance, Decimal(0)):.2f}"
    return {"currency": "USD", "total_balance": left, "granted_balance": "0.00", "topped_up_balance": left}


class DeepSeekSettings(Settings):
    profile: ProfileName | Literal["clock"] = "2026-11"
    """The state of the service, by the day on which it began: models, aliases, prices, what each model can do.
    `clock`: the one that is in force on the namespace's clock."""
    models: Literal["profile"] | NameList | None = "profile"
    """The models that are served: those of the profile, these, or any name when null. `deepseek-chat` and
    `deepseek-reasoner` behave as in 2025 where they are named here."""
    pro_retired: bool = False
    """Whether the flash model serves the pro model's name from 10 September on, as was announced and then withdrawn."""
    peak_days: Literal["weekdays", "every_day", "never"] = "weekdays"
    """The days, in Beijing, on which 9 to 12 and 14 to 18 o'clock cost more."""
    holidays: tuple[Annotated[str, Field(pattern=DAY)], ...] = Field(default=(), strict=False)
    """Days without peak hours, as `2026-10-01`."""
    concurrency: Literal["profile"] | Annotated[int, Field(ge=1)] | None = None
    """How many answers of a model an account may have open: as documented (flash 2,500, pro 500), so many, or any."""
    echo_model: Literal["served", "sent"] = "served"
    """Which name an answer to an alias bears: that of the model that serves it, or the alias."""
    thinking_default: Literal["enabled", "disabled"] = "enabled"
    """The mode of a request that does not say `thinking`."""
    effort: Literal["profile", "current", "earlier"] = "profile"
    """What efforts mean: now minimal is low, medium and xhigh are high; earlier low and medium were high, xhigh max."""
    hidden_prompt: bool = False
    """Whether the text counts that the usual effort puts into the prompt since August: 79 tokens, or 26 (V4.1)."""
    json_schema: Literal["accept", "refuse"] = "accept"
    """Whether `response_format` may be a schema: DeepSeek itself refuses it today, but helpers of SDKs ask for it."""
    context_length: int = CONTEXT_LENGTH
    """How many tokens a prompt and its answer may have together."""
    heartbeat: float | None = 10.0
    """Seconds between what is said to who waits: `: keep-alive` in a stream, else empty lines before the JSON."""
    signature: Literal["uuid", "empty", "omit"] = "uuid"
    """What thoughts are signed with at `/anthropic`: the id of the message, nothing, or there is no such member."""
    reasoning_parts: bool = True
    """Whether streamed responses frame the text of a thought with `response.content_part` events."""
    phase: Literal["omit", "final_answer"] = "omit"
    """Whether the messages in responses have a `phase`."""
    count_tokens: bool = False
    """Whether `/anthropic/v1/messages/count_tokens` is there, of which the reference does not speak."""
    balance: tuple[Balance, ...] = Field(default=(BALANCE,), strict=False)
    """What `/user/balance` tells."""
