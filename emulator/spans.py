"""OpenTelemetry: a server span with the GenAI attributes for each exchange. Needs the extra `otel`.

A thread makes the spans after exchanges have ended, so an answer costs only an entry in a queue. Spans contain neither
prompts nor answers."""

import contextlib
import os
import threading
from collections.abc import Callable, Mapping
from queue import Full, Queue
from typing import TYPE_CHECKING, Any

from emulator.errors import UsageError
from emulator.state.exchanges import Exchange
from emulator.state.redaction import redacted

if TYPE_CHECKING:
    from opentelemetry.trace import Tracer, TracerProvider

MAX_QUEUED = 10_000
"""The maximum number of exchanges that wait for their spans; others get none."""
CLOSE_TIMEOUT = 5.0
"""Seconds for exporting the remaining spans at the end."""
NANOSECONDS = 1_000_000_000
OPERATIONS: Mapping[str, str] = {
    "chat": "chat",
    "messages": "chat",
    "responses": "chat",
    "completions": "text_completion",
    "embeddings": "embeddings",
    "generate_content": "generate_content",
    "stream_generate_content": "generate_content",
}
"""The operations' names in the GenAI conventions; others keep their names."""
REQUESTED: Mapping[str, str] = {
    "temperature": "gen_ai.request.temperature",
    "top_p": "gen_ai.request.top_p",
    "top_k": "gen_ai.request.top_k",
    "max_tokens": "gen_ai.request.max_tokens",
    "max_completion_tokens": "gen_ai.request.max_tokens",
    "max_output_tokens": "gen_ai.request.max_tokens",
    "frequency_penalty": "gen_ai.request.frequency_penalty",
    "presence_penalty": "gen_ai.request.presence_penalty",
    "seed": "gen_ai.request.seed",
    "n": "gen_ai.request.choice.count",
}


class Spans:
    """Makes a span for each exchange that has ended."""

    def __init__(self, provider: "TracerProvider", on_close: Callable[[], None] = lambda: None) -> None:
        self._tracer: Tracer = provider.get_tracer("emulator")
        self._on_close = on_close
        self._queue: Queue[Exchange | None] = Queue(MAX_QUEUED)
        self._thread = threading.Thread(target=self._work, name="emulator-spans", daemon=True)
        self._thread.start()

    def __call__(self, exchange: Exchange) -> None:
        with contextlib.suppress(Full):
            self._queue.put_nowait(exchange)

    def close(self) -> None:
        """Makes and exports the remaining spans."""
        self._queue.put(None)
        self._thread.join(CLOSE_TIMEOUT)
        self._on_close()

    def _work(self) -> None:
        while (exchange := self._queue.get()) is not None:
            make_span(self._tracer, exchange)


def check_installed() -> None:
    """Raises UsageError if the packages of the extra are not installed."""
    try:
        import opentelemetry.exporter.otlp.proto.http.trace_exporter
        import opentelemetry.sdk.trace.export  # noqa: F401 - whether it can be imported
    except ImportError:
        raise UsageError("--otel needs OpenTelemetry. Install it: pip install 'llm-provider-emulator[otel]'") from None


def exported() -> Spans:
    """Exports spans by OTLP over HTTP, as the OTEL_… variables say."""
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    resource = Resource.create()
    if not os.environ.get("OTEL_SERVICE_NAME"):
        resource = resource.merge(Resource({"service.name": "llm-provider-emulator"}))
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return Spans(provider, provider.shutdown)


def make_span(tracer: "Tracer", exchange: Exchange) -> None:
    """Makes the span of an exchange. Its parent is the one in the client's `traceparent` header."""
    from opentelemetry.propagate import extract
    from opentelemetry.trace import SpanKind, Status, StatusCode

    name = OPERATIONS.get(exchange.operation, exchange.operation)
    _, method, path = exchange.place
    model = redacted(exchange.model, exchange.key)
    title = f"{name} {model}".strip() if name else f"{method} {redacted(path, exchange.key)}"
    span = tracer.start_span(
        title,
        context=extract(exchange.request.headers),
        kind=SpanKind.SERVER,
        attributes=attributes_of(exchange),
        start_time=_moment(exchange, 0.0),
    )
    playback = exchange.playback
    if playback is not None and playback.first_sent is not None:
        span.add_event("first byte", timestamp=_moment(exchange, playback.first_sent - exchange.started))
    for fault in exchange.applied:
        span.add_event("fault", {"emulator.fault": redacted(fault, exchange.key)}, _moment(exchange, 0.0))
    if exchange.status >= 500 or exchange.ended not in (None, "complete"):
        span.set_status(Status(StatusCode.ERROR, redacted(exchange.message or exchange.ended or "", exchange.key)))
    last = playback.last_sent if playback is not None and playback.last_sent is not None else exchange.started
    span.end(_moment(exchange, last - exchange.started))


def attributes_of(exchange: Exchange) -> dict[str, Any]:
    """Returns the attributes of a span, without prompt and answer."""
    provider, method, path = exchange.place
    request, key = exchange.request, exchange.key
    host, _, port = request.headers.get("host", "").partition(":")
    found: dict[str, Any] = {
        "gen_ai.operation.name": OPERATIONS.get(exchange.operation, exchange.operation),
        "gen_ai.provider.name": provider,
        "gen_ai.request.model": redacted(exchange.model, key),
        "http.request.method": method,
        "http.response.status_code": exchange.status,
        "url.path": redacted(path, key),
        "url.scheme": "http",
        "server.address": host,
        "server.port": int(port) if port.isdecimal() else None,
        "user_agent.original": request.headers.get("user-agent"),
        "emulator.exchange": exchange.number,
        "emulator.namespace": exchange.namespace,
        "emulator.rule": exchange.rule,
        "emulator.outcome": exchange.outcome,
        "emulator.ended": exchange.ended,
        "emulator.attempt": exchange.attempt,
        "emulator.cost_usd": float(exchange.cost) or None,
        "emulator.faults": [redacted(each, key) for each in exchange.applied] or None,
        "error.type": _error_type(exchange),
    }
    if (usage := exchange.usage) is not None:
        found |= {
            "gen_ai.usage.input_tokens": usage.prompt,
            "gen_ai.usage.output_tokens": usage.completion,
            "gen_ai.usage.cache_read.input_tokens": usage.cached or None,
            "gen_ai.usage.reasoning.output_tokens": usage.reasoning or None,
        }
    found |= _requested(request.json) | _answered(exchange)
    return {name: value for name, value in found.items() if value not in (None, "")}


def _requested(body: Any) -> dict[str, Any]:
    if not isinstance(body, dict):
        return {}
    found: dict[str, Any] = {
        name: body[member]
        for member, name in REQUESTED.items()
        if isinstance(body.get(member), int | float) and not isinstance(body[member], bool)
    }
    stop = body.get("stop", body.get("stop_sequences"))
    words = [stop] if isinstance(stop, str) else stop if isinstance(stop, list) else []
    if words and all(isinstance(word, str) for word in words):
        found["gen_ai.request.stop_sequences"] = words
    return found


def _answered(exchange: Exchange) -> dict[str, Any]:
    """Returns the id and the finish reasons in the answer."""
    said = exchange.response.said
    return {
        "gen_ai.request.stream": exchange.stream or None,
        "gen_ai.response.id": said.id if said is not None else None,
        "gen_ai.response.finish_reasons": list(said.finishes) or None if said is not None else None,
    }


def _error_type(exchange: Exchange) -> str | None:
    if exchange.ended not in (None, "complete"):
        return exchange.ended
    return (exchange.error or str(exchange.status)) if exchange.status >= 400 else None


def _moment(exchange: Exchange, seconds: float) -> int:
    return int((exchange.received + max(0.0, seconds)) * NANOSECONDS)
