"""Sends the error page of a gateway in front of the provider instead of JSON."""

from typing import ClassVar, Literal

from pydantic import model_validator

from emulator.faults.base import Family, Fault, FaultContext
from emulator.faults.steps import of_stranger
from emulator.reply import ErrorReply
from emulator.wire import Step

TITLES = {
    500: "500 Internal Server Error",
    502: "502 Bad Gateway",
    503: "503 Service Temporarily Unavailable",
    504: "504 Gateway Time-out",
}
"""Reason phrases as nginx and its descendants write them."""
NEVER_CACHED = (
    ("cache-control", "private, max-age=0, no-store, no-cache, must-revalidate, post-check=0, pre-check=0"),
    ("expires", "Thu, 01 Jan 1970 00:00:01 GMT"),
    ("referrer-policy", "same-origin"),
    ("x-frame-options", "SAMEORIGIN"),
)


class HtmlGateway(Fault):
    """Answers with the error page of a gateway."""

    family: ClassVar[Family] = "status"
    effect: ClassVar[str] = (
        "The error page of nginx, openresty or Cloudflare, byte for byte, with only the gateway's headers."
    )
    tests: ClassVar[str] = "The client maps an error that isn't JSON by its status, and retries it like any other."

    kind: Literal["html_gateway"] = "html_gateway"
    status: Literal[500, 502, 503, 504, 524] = 502
    """524 exists only at Cloudflare; clients that don't accept HTML get it as plain text: `error code: 524`."""
    server: Literal["nginx", "openresty", "cloudflare"] = "nginx"
    """The server that sends the page."""

    @model_validator(mode="after")
    def _is_its_status(self) -> "HtmlGateway":
        if self.status == 524 and self.server != "cloudflare":
            raise ValueError("only Cloudflare sends 524: set server=cloudflare")
        return self

    def refuse(self, context: FaultContext) -> ErrorReply | None:
        return ErrorReply(status=self.status, body=self._page())

    def transform_steps(self, steps: list[Step], context: FaultContext) -> list[Step]:
        headers = [("server", self.server), ("content-type", "text/html")]
        if self.status == 524:
            headers = [("server", self.server), ("content-type", "text/plain; charset=UTF-8"), *NEVER_CACHED]
        if self.server == "cloudflare":
            headers.append(("cf-ray", f"{context.roll('ray'):016x}-FRA"))
        elif self.status == 500:
            headers.append(("connection", "close"))  # nginx closes the connection after its own errors
        return of_stranger(steps, headers)

    def _page(self) -> str:
        if self.status == 524:
            return "error code: 524"
        title = TITLES[self.status]
        lines = ("<html>", f"<head><title>{title}</title></head>", "<body>", f"<center><h1>{title}</h1></center>",
                 f"<hr><center>{self.server}</center>", "</body>", "</html>", "")  # fmt: skip
        return "\r\n".join(lines)
