"""Sends the provider's error with status 200."""

from typing import ClassVar, Literal

from emulator.faults.base import ErrorName, Family, Fault, FaultContext
from emulator.reply import ErrorReply


class Error200(Fault):
    """Answers with an error despite status 200."""

    family: ClassVar[Family] = "status"
    effect: ClassVar[str] = "The JSON of the provider's own error with status 200, streamed request or not."
    tests: ClassVar[str] = "The client looks at the body: an answer without choices is an error."

    kind: Literal["error_200"] = "error_200"
    name: ErrorName = "server_error"
    """An error name, such as `overloaded`."""
    message: str | None = None

    def refuse(self, context: FaultContext) -> ErrorReply | None:
        error = context.error(ErrorReply(name=self.name, message=self.message))
        return ErrorReply(name=self.name, status=200, body=error.body().decode())
