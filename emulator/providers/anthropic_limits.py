"""The limits per minute for a key: requests, input tokens and output tokens, as headers report them."""

from datetime import UTC, datetime
from functools import lru_cache
from math import ceil

from emulator.providers.anthropic_settings import AnthropicSettings
from emulator.providers.base import Allowance, Limits, Provider, Remaining
from emulator.providers.claude_models import served
from emulator.reply import ErrorReply, Usage
from emulator.request import ModelRequest
from emulator.wire import Header

ORGANIZATION = "b6f2a1d4-5c3e-4f7a-9d2b-0e8c7a6f5d43"
REQUESTS, INPUT_TOKENS, OUTPUT_TOKENS = 4_000, 2_000_000, 400_000
"""The default limits per minute."""
NAMES = [
    [b"anthropic-ratelimit-%b-%b" % (limit, what) for what in (b"limit", b"remaining", b"reset")]
    for limit in (b"requests", b"input-tokens", b"output-tokens", b"tokens")
]
"""The names of the headers for each limit."""
NOTHING = Remaining(0, 0, 0.0)
LEARN = (
    "For details, refer to: https://docs.claude.com/en/api/rate-limits. You can see the response headers for current "
    "usage. Please reduce the prompt length or the maximum tokens requested, or try again later. You may also contact "
    "sales at https://www.anthropic.com/contact-sales to discuss your options for a rate limit increase."
)


class AnthropicLimits(Provider[AnthropicSettings]):
    """A provider with Anthropic's limits; its settings state them."""

    def limits(self, request: ModelRequest) -> Limits | None:
        if request.http_request.operation != "messages":
            return None
        settings = self.settings
        given = (settings.requests_per_minute, settings.input_tokens_per_minute, settings.output_tokens_per_minute)
        usual = (REQUESTS, INPUT_TOKENS, OUTPUT_TOKENS)
        requests, tokens, output = [most if each is None else each for each, most in zip(given, usual, strict=True)]
        return Limits(requests, tokens, any(each is not None for each in given), output)

    def counted(self, usage: Usage) -> tuple[int, int]:
        return usage.prompt - usage.cached, usage.completion

    def limit_headers(self, left: Allowance, now: float) -> tuple[Header, ...]:
        requests, tokens, output = left.requests, left.tokens, left.output or NOTHING
        both, late = tokens.limit + output.limit, tokens.reset if tokens.reset > output.reset else output.reset
        return _written(
            (requests.limit, requests.left, ceil(now + requests.reset)),
            (tokens.limit, _shown(tokens.left, tokens.limit), ceil(now + tokens.reset)),
            (output.limit, _shown(output.left, output.limit), ceil(now + output.reset)),
            (both, _shown(tokens.left + output.left, both), ceil(now + late)),
        )

    def over_limit(self, request: ModelRequest, left: Allowance, seconds: float) -> ErrorReply:
        rows = (("requests", left.requests), ("input tokens", left.tokens), ("output tokens", left.output))
        unit, row = next((unit, row) for unit, row in rows if row is not None and row.left < 1)
        message = (
            f"This request would exceed your organization's rate limit of {row.limit:,} {unit} per minute (org: "
            f"{ORGANIZATION}, model: {served(request.model)}). {LEARN}"
        )
        return ErrorReply(name="rate_limited", message=message, headers={"retry-after": str(ceil(seconds))})

    def rate_limit_message(self, requests: int, seconds: float | None) -> str | None:
        span = {60.0: "minute", 3600.0: "hour", 86400.0: "day", None: "month"}.get(seconds)
        rate = f"{requests:,} requests per {span}" if span else f"{requests:,} requests"
        return f"This request would exceed your organization's rate limit of {rate}. {LEARN}"

    def concurrency_message(self, now: int, limit: int) -> str | None:
        return (
            "Number of concurrent connections has exceeded your rate limit. Please try again later or contact sales at "
            "https://www.anthropic.com/contact-sales to discuss your options for a rate limit increase."
        )


def _shown(left: int, limit: int) -> int:
    """Returns the tokens that are left as headers show them: rounded to the nearest thousand."""
    if limit < 10_000:
        return left
    rounded = (left + 499 + (left // 1000 & 1)) // 1000 * 1000  # to even, like `round(left, -3)`, but faster
    return rounded if rounded < limit else limit


@lru_cache(maxsize=64)
def _written(*rows: tuple[int, int, int]) -> tuple[Header, ...]:
    """Returns the headers for all limits: how high each is, what is left, and the second when it is restored. Cached,
    since many requests share them."""
    headers: list[Header] = []
    for names, (limit, left, second) in zip(NAMES, rows, strict=True):
        headers += zip(names, (b"%d" % limit, b"%d" % left, _moment(second)), strict=True)
    return tuple(headers)


@lru_cache(maxsize=256)
def _moment(second: int) -> bytes:
    return datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%SZ").encode()
