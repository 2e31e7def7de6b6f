"""The provider's error comes under status 200."""

from typing import ClassVar, Literal

from emulator.faults.base import ErrorName, Family, Fault, FaultContext
from emulator.reply import ErrorReply


class Error200(Fault):
    """Answers with an error that the status denies."""

    family: ClassVar[Family] = "status"
    effect: ClassVar[str] = "The JSON of the provider's own error with status 200, streamed request or not."
    tests: ClassVar[str] = "The client looks at the body: an answer without choices is an error."

    kind: Literal["error_200"] = "error_200"
    name: ErrorName = "server_error"
    """A word of the common vocabulary, such as `overloaded`."""
    message: str | None = None

    def refuse(self, context: FaultContext) -> ErrorReply | None:
        told = context.error(ErrorReply(name=self.name, message=self.message))
        return ErrorReply(name=self.name, status=200, body=told.body().decode())
