"""Sends a login page instead of the answer, with status 200."""

from typing import ClassVar, Literal

from emulator.faults.base import Family, Fault, FaultContext
from emulator.faults.steps import of_stranger
from emulator.reply import ErrorReply
from emulator.wire import Step

PAGE = """<!DOCTYPE html>
<html lang="en">
<head><meta charset="utf-8"><title>Sign in to continue</title></head>
<body>
<h1>Sign in to continue</h1>
<p>This network asks you to sign in before you can reach the Internet.</p>
<form method="post" action="/login">
<label>Name <input name="name"></label>
<label>Password <input name="password" type="password"></label>
<button>Sign in</button>
</form>
</body>
</html>
"""
HEADERS = (("content-type", "text/html; charset=utf-8"), ("cache-control", "no-store"))


class CaptivePortal(Fault):
    """Answers with the page of a captive portal."""

    family: ClassVar[Family] = "status"
    effect: ClassVar[str] = "The HTML page of a captive portal with status 200, streamed request or not."
    tests: ClassVar[str] = "The client checks the content type: a page is an error, not an empty answer."

    kind: Literal["captive_portal"] = "captive_portal"

    def refuse(self, context: FaultContext) -> ErrorReply | None:
        return ErrorReply(status=200, body=PAGE)

    def transform_steps(self, steps: list[Step], context: FaultContext) -> list[Step]:
        return of_stranger(steps, HEADERS)
