"""Reports that the monthly spending limit is reached."""

from typing import ClassVar, Literal

from emulator.faults.base import Family, Fault, FaultContext
from emulator.reply import ErrorReply

MESSAGE = "This request would exceed the spending limit of your account for this month."


class SpendLimit(Fault):
    """Answers with a 429 that doesn't go away by waiting."""

    family: ClassVar[Family] = "status"
    effect: ClassVar[str] = (
        "The provider's own error for a spending limit, or a 429 if it has none; never with `retry-after`."
    )
    tests: ClassVar[str] = "The client reports it and doesn't keep retrying: not every 429 is temporary."

    kind: Literal["spend_limit"] = "spend_limit"

    def refuse(self, context: FaultContext) -> ErrorReply | None:
        is_known = "spend_limit" in context.provider.errors
        message = None if is_known else MESSAGE
        name = "spend_limit" if is_known else "rate_limited"
        return ErrorReply(name=name, message=message, headers={"retry-after": "", "retry-after-ms": ""})
