"""Sends an error instead of an answer: a documented one by name, any other by status."""

from email.utils import formatdate
from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from emulator.faults.base import ErrorName, Family, Fault, FaultContext
from emulator.reply import ErrorReply

RetryForm = Literal["seconds", "date", "ms", "none", "zero", "negative", "garbage", "huge"]


class Error(Fault):
    """Answers with an error of the provider."""

    family: ClassVar[Family] = "status"
    effect: ClassVar[str] = "The provider's own error: a documented one by `name`, or any `status`."
    tests: ClassVar[str] = (
        "The client retries the right errors, as often and as late as it should, and shows the others to the user."
    )

    kind: Literal["error"] = "error"
    name: ErrorName | None = None
    """An error name, such as `overloaded`."""
    status: Annotated[int, Field(ge=200, le=599)] | None = None
    message: str | None = None
    retry_after: Annotated[float, Field(ge=0, le=1e10)] | None = None
    """Seconds that the client should wait."""
    retry_form: RetryForm = "seconds"
    """The form of that header: seconds, a date, `retry-after-ms`, or an absurd value."""
    should_retry: bool | None = None
    """Value of `x-should-retry`, which many clients obey."""

    @model_validator(mode="after")
    def _says_what(self) -> "Error":
        if self.name is None and self.status is None:
            raise ValueError("needs a name or a status")
        return self

    def refuse(self, context: FaultContext) -> ErrorReply | None:
        headers = dict(retry_headers(self.retry_after, self.retry_form, context.now))
        if self.should_retry is not None:
            headers["x-should-retry"] = str(self.should_retry).lower()
        return ErrorReply(name=self.name, status=self.status, message=self.message, headers=headers)


def retry_headers(seconds: float | None, form: RetryForm, now: float) -> list[tuple[str, str]]:
    """The header that says when to retry; `now` is Unix time."""
    match form:
        case "none":
            return []
        case "zero":
            return [("retry-after", "0")]
        case "negative":
            return [("retry-after", "-5")]
        case "garbage":
            return [("retry-after", "soon")]
        case "huge":
            return [("retry-after", "31536000")]
    if seconds is None:
        return []
    match form:
        case "date":
            return [("retry-after", formatdate(now + seconds, usegmt=True))]
        case "ms":
            return [("retry-after-ms", f"{seconds * 1000:g}")]
        case _:
            return [("retry-after", f"{seconds:g}")]
