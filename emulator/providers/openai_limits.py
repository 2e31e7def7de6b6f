"""OpenAI's limits per minute for a key: requests and tokens, as headers report them."""

from math import ceil

from emulator import seeded
from emulator.providers.base import Allowance, Limits, Provider
from emulator.providers.openai_settings import OpenAISettings
from emulator.reply import ErrorReply
from emulator.request import ModelRequest
from emulator.wire import Header

ORGANIZATION = "org-emulator"
PROJECT = "proj_emulator"


REQUESTS, TOKENS = 10_000, 30_000_000
"""The default limits per minute."""
LEARN = "Visit https://platform.openai.com/account/rate-limits to learn more."


class OpenAILimits(Provider[OpenAISettings]):
    """A provider with OpenAI's limits; its settings state them."""

    def response_headers(self, request_id: str) -> tuple[Header, ...]:
        duration = 80 + seeded.roll("duration", request_id) % 400
        return (
            (b"x-request-id", request_id.encode()),
            (b"openai-processing-ms", b"%d" % duration),
            (b"openai-version", b"2020-10-01"),
            (b"openai-organization", ORGANIZATION.encode()),
            (b"openai-project", PROJECT.encode()),
        )

    def limits(self, request: ModelRequest) -> Limits | None:
        if request.http_request.method != "POST":
            return None
        requests, tokens = self.settings.requests_per_minute, self.settings.tokens_per_minute
        return Limits(
            REQUESTS if requests is None else requests,
            TOKENS if tokens is None else tokens,
            is_enforced=requests is not None or tokens is not None,
        )

    def limit_headers(self, left: Allowance, now: float) -> tuple[Header, ...]:
        rows = (("requests", left.requests), ("tokens", left.tokens))
        headers = [
            *[(f"x-ratelimit-limit-{name}", str(row.limit)) for name, row in rows],
            *[(f"x-ratelimit-remaining-{name}", str(row.left)) for name, row in rows],
            *[(f"x-ratelimit-reset-{name}", duration(row.reset)) for name, row in rows],
        ]
        return tuple([(name.encode(), value.encode()) for name, value in headers])

    def over_limit(self, request: ModelRequest, left: Allowance, seconds: float) -> ErrorReply:
        is_requests = left.requests.left < 1
        row = left.requests if is_requests else left.tokens
        kind, unit = ("requests", "requests per min (RPM)") if is_requests else ("tokens", "tokens per min (TPM)")
        message = (
            f"Rate limit reached for {request.model} in organization {ORGANIZATION} on {unit}: Limit {row.limit}, Used "
            f"{row.limit - row.left}, Requested 1. Please try again in {duration(seconds)}. {LEARN}"
        )
        wait = {"retry-after": str(ceil(seconds)), "retry-after-ms": str(ceil(seconds * 1000))}
        return ErrorReply(name="rate_limited", message=message, type=kind, headers=wait)

    def rate_limit_message(self, requests: int, seconds: float | None) -> str | None:
        unit = {60.0: "requests per min (RPM)", 86400.0: "requests per day (RPD)"}.get(seconds or 0, "requests")
        return (
            f"Rate limit reached in organization {ORGANIZATION} on {unit}: Limit {requests}, Used {requests}, "
            f"Requested 1. {LEARN}"
        )


def duration(seconds: float) -> str:
    """Formats a duration as OpenAI does: `17ms`, `1s`, `6m0s`."""
    milliseconds = ceil(seconds * 1000)
    if milliseconds < 1000:
        return f"{milliseconds}ms"
    minutes, rest = divmod(milliseconds, 60_000)
    shown = f"{rest / 1000:.3f}".rstrip("0").rstrip(".") + "s"
    hours, minutes = divmod(minutes, 60)
    return (f"{hours}h" if hours else "") + (f"{minutes}m" if minutes or hours else "") + shown
