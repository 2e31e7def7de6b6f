"""Early endings: error responses in the provider's format, and the emulator's own errors, which are marked as such."""

import logging

import orjson

from emulator.engine.explanations import misses_of
from emulator.engine.stages import Arrived, Matched, RequestContext
from emulator.generation.needs import SchemaError, WritingError
from emulator.reply import ErrorReply
from emulator.state.exchanges import IN_EXCHANGE, Exchange
from emulator.state.namespace import Namespace
from emulator.wire import Ended, PlannedBody, Playback

logger = logging.getLogger("emulator")
MAX_MESSAGE = 2048
"""The characters of an error message to keep."""


def refusal(reply: ErrorReply, context: RequestContext) -> PlannedBody:
    """Returns an error in the provider's format."""
    planned = context.provider.error(reply, context.http_request, context.request_id)
    exchange = context.exchange
    exchange.outcome, exchange.error, exchange.status = "error", reply.name, planned.status
    exchange.message = error_message(planned.body())
    return planned


def own_error(status: int, message: str, kind: str, context: RequestContext) -> PlannedBody:
    """Returns an error of the emulator itself, marked as such, which clients should not retry."""
    headers = {"x-emulator-error": kind, "x-should-retry": "false"}
    planned = refusal(ErrorReply(status=status, message=message, code=f"emulator_{kind}", headers=headers), context)
    context.exchange.error = kind
    return planned


def internal_error(context: RequestContext) -> PlannedBody:
    """Returns the answer for an internal failure and logs its exception. Call it while that is being handled."""
    http_request = context.http_request
    logger.exception("The emulator failed on %s %s: please report this", http_request.method, http_request.path)
    return refusal(ErrorReply(name="server_error", headers={"x-emulator-error": "internal"}), context)


def unwritten(error: WritingError, stage: Arrived) -> PlannedBody:
    """Returns the error for content of the scenario or the request's schema that can't be generated."""
    context = stage.context
    if isinstance(error, SchemaError):
        context.exchange.notes = (str(error),)
        logger.warning("%s", error)
        return own_error(400, str(error), "schema", context)
    match = stage.match if isinstance(stage, Matched) else None
    where = f"{match.rule.origin}: rule '{match.rule.name}': " if match is not None else ""
    message = f"{where}{error}"
    context.exchange.notes = (message,)
    logger.error("%s", message)
    return own_error(500, message, "scenario", context)


async def unmatched(matched: Matched) -> PlannedBody:
    """Returns an error in the provider's format that lists each rule and why it doesn't match."""
    context = matched.context
    reasons, compiled = await misses_of(matched), context.namespace.compiled
    context.exchange.notes = tuple(reasons)
    nothing = "nothing is recorded yet: mode `new` records it" if compiled.recorded else "there are no rules"
    tried = "\n".join(f"  {reason}" for reason in reasons or [nothing])
    message = f"No rule matches this {context.http_request.provider} request. Rules tried:\n{tried}"
    logger.warning("%s", message, extra=IN_EXCHANGE)
    return own_error(404, message, "unmatched", context)


def unanswered(exchange: Exchange, namespace: Namespace, ended: Ended = "shutdown") -> None:
    """Ends the record of a request that gets no answer, as a rule because the server stops."""
    exchange.playback = Playback(ended, ended_at=namespace.clock.now())
    exchange.end()
    namespace.journal.settle(exchange)


def error_message(body: bytes) -> str | None:
    """Returns the message in an error body, wherever its provider puts it."""
    try:
        left = [orjson.loads(body)]
    except ValueError:
        return body[:MAX_MESSAGE].decode("utf-8", "replace") or None
    while left:
        value = left.pop(0)
        if isinstance(value, dict):
            for key in ("message", "msg", "detail", "error"):
                if isinstance(value.get(key), str):
                    return str(value[key])[:MAX_MESSAGE]
            left += value.values()
    return None
