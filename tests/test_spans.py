"""OpenTelemetry: a server span with the GenAI attributes for each exchange."""

import contextlib
import signal
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from types import SimpleNamespace
from typing import Any, cast

import httpx
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode
from served import served
from talk import single

from emulator import Emulator
from emulator.cli.serve import _with_spans
from emulator.spans import exported, make_span

SCENARIO = {
    "rules": [
        {
            "name": "hello",
            "match": {"prompt": "Hi"},
            "reply": {"content": "Hello there, how are you?", "reasoning": "A greeting."},
            "pace": {"ttft": 0.05, "tokens_per_second": 200},
        }
    ]
}
PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def asked(emulator: Emulator, *, path: str = "/serevix/v1/chat/completions", **members: Any) -> None:
    body = {"model": "deepseek-v3", "messages": [{"role": "user", "content": "Hi"}], **members}
    headers = {"authorization": "Bearer sk-secret-0123456789", "traceparent": PARENT, "user-agent": "tests/1"}
    with contextlib.suppress(httpx.HTTPError):  # a fault may cut the answer
        single.post(f"{emulator.origin}{path}", json=body, headers=headers)


@pytest.fixture
def emulator() -> Iterator[Emulator]:
    with Emulator(SCENARIO) as running:
        yield running


def spans_of(emulator: Emulator) -> list[ReadableSpan]:
    """The spans of all that happened, as an exporter gets them."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    single.get(f"{emulator.origin}/__emulator/journal/wait?count={len(emulator.journal)}&timeout=20").raise_for_status()
    for exchange in emulator.journal:
        make_span(provider.get_tracer("emulator"), exchange)
    return list(exporter.get_finished_spans())


def test_a_stream_has_the_genai_attributes_its_parent_and_its_moments(emulator: Emulator) -> None:
    asked(emulator, stream=True, temperature=0.2, max_tokens=50, stop=["END"])
    (span,) = spans_of(emulator)
    (exchange,) = emulator.journal
    assert (span.name, span.kind, span.status.status_code) == ("chat deepseek-v3", SpanKind.SERVER, StatusCode.UNSET)
    assert span.context is not None
    assert span.parent is not None
    assert f"{span.context.trace_id:032x}" == "0af7651916cd43dd8448eb211c80319c"
    assert f"{span.parent.span_id:016x}" == "b7ad6b7169203331"
    assert exchange.usage is not None
    found = dict(span.attributes or {})
    assert str(found.pop("gen_ai.response.id")) in exchange.response.text
    assert isinstance(found.pop("server.port"), int)
    assert found == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "serevix",
        "gen_ai.request.model": "deepseek-v3",
        "gen_ai.request.stream": True,
        "gen_ai.request.temperature": 0.2,
        "gen_ai.request.max_tokens": 50,
        "gen_ai.request.stop_sequences": ("END",),
        "gen_ai.response.finish_reasons": ("stop",),
        "gen_ai.usage.input_tokens": exchange.usage.prompt,
        "gen_ai.usage.output_tokens": exchange.usage.completion,
        "gen_ai.usage.reasoning.output_tokens": exchange.usage.reasoning,
        "http.request.method": "POST",
        "http.response.status_code": 200,
        "url.path": "/v1/chat/completions",
        "url.scheme": "http",
        "server.address": "127.0.0.1",
        "user_agent.original": "tests/1",
        "emulator.exchange": 1,
        "emulator.namespace": "default",
        "emulator.rule": "hello",
        "emulator.outcome": "reply",
        "emulator.ended": "complete",
        "emulator.attempt": 1,
        "emulator.cost_usd": float(exchange.cost),
    }
    assert span.start_time is not None
    assert span.end_time is not None
    (first,) = span.events
    assert (first.name, span.start_time) == ("first byte", int(exchange.received * 1e9))
    assert span.start_time + 0.049e9 <= first.timestamp < span.end_time


def test_errors_faults_and_cut_streams_say_so(emulator: Emulator) -> None:
    asked(emulator, path="/~error:status=503/serevix/v1/chat/completions")
    asked(emulator, path="/~reset:after_tokens=2/serevix/v1/chat/completions", stream=True)
    asked(emulator, path="/nowhere/v1")
    spans = spans_of(emulator)
    shown = [
        (span.name, span.status.status_code, (span.attributes or {}).get("error.type"), [e.name for e in span.events])
        for span in spans
    ]
    assert shown == [
        ("chat deepseek-v3", StatusCode.ERROR, "503", ["first byte", "fault"]),
        ("chat deepseek-v3", StatusCode.ERROR, "reset", ["first byte", "fault"]),
        ("POST /nowhere/v1", StatusCode.UNSET, "not_found", ["first byte"]),
    ]
    assert (spans[1].attributes or {})["emulator.faults"] == ("reset (url)",)


def test_no_prompt_answer_or_key_is_in_a_span(emulator: Emulator) -> None:
    asked(emulator, stream=True, model="sk-canary-in-a-model-0123456789")
    asked(emulator, path="/~error:status=503/serevix/v1/chat/completions")
    text = "".join(span.to_json() for span in spans_of(emulator))
    assert not [word for word in ("sk-secret", "sk-canary", "Hello there", "greeting", '"Hi"') if word in text]


def test_serve_exports_spans_by_otlp() -> None:
    received: list[bytes] = []

    class Collector(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            received.append(self.rfile.read(int(self.headers["content-length"])))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *args: Any) -> None:
            pass

    collector = HTTPServer(("127.0.0.1", 0), Collector)
    thread = threading.Thread(target=collector.serve_forever, daemon=True)
    thread.start()
    endpoint = f"http://127.0.0.1:{collector.server_address[1]}"
    try:
        environment = {"OTEL_EXPORTER_OTLP_ENDPOINT": endpoint, "OTEL_EXPORTER_OTLP_COMPRESSION": "none"}
        with served("--otel", "--speed", "max", environment=environment) as server:
            url = f"http://127.0.0.1:{server.port}/serevix/v1/chat/completions"
            body = {"model": "deepseek-v3", "messages": [{"role": "user", "content": "Hi"}]}
            assert single.post(url, json=body, headers={"authorization": "Bearer k"}).status_code == 200
            server.signal(signal.SIGTERM)
            code, _, errors = server.finish()
        assert (code, errors) == (0, "")
        # The server has stopped, so everything has been exported.
        exports = [ExportTraceServiceRequest.FromString(each) for each in received]
    finally:
        collector.shutdown()
        collector.server_close()
        thread.join()
    resources = [each for export in exports for each in export.resource_spans]
    names = [span.name for each in resources for scope in each.scope_spans for span in scope.spans]
    services = {
        attribute.value.string_value
        for each in resources
        for attribute in each.resource.attributes
        if attribute.key == "service.name"
    }
    assert (names, services) == (["chat deepseek-v3"], {"llm-provider-emulator"})


def test_a_service_has_the_name_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    names = []
    for name in ("tests", None):
        if name:
            monkeypatch.setenv("OTEL_SERVICE_NAME", name)
        else:
            monkeypatch.delenv("OTEL_SERVICE_NAME")
        spans = exported()
        names.append(spans._tracer.resource.attributes["service.name"])  # type: ignore[attr-defined]
        spans.close()
    assert names == ["tests", "llm-provider-emulator"]


def test_a_request_that_is_no_json_and_gets_no_byte_has_a_span_too(emulator: Emulator) -> None:
    url = f"{emulator.origin}/~reset/serevix/v1/chat/completions"
    for body in (b"no json", b"[]"):
        with contextlib.suppress(httpx.HTTPError):
            single.post(url, content=body, headers={"authorization": "Bearer k", "content-type": "application/json"})
    found = [(span.name, [each.name for each in span.events], span.attributes or {}) for span in spans_of(emulator)]
    assert [(name, events) for name, events, _ in found] == [("chat", ["fault"])] * 2
    assert [each["emulator.ended"] for _, _, each in found] == ["reset"] * 2
    assert not [name for _, _, each in found for name in each if name.startswith("gen_ai.request.")]


def test_spans_are_exported_without_a_log_too(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []

    class Exporter:
        def __call__(self, exchange: Any) -> None:
            seen.append(exchange)

        def close(self) -> None:
            seen.append("closed")

    monkeypatch.setattr("emulator.spans.exported", Exporter)
    exchange, options = cast(Any, object()), cast(Any, SimpleNamespace(exports_spans=True))
    for show in (None, seen.append):
        with _with_spans(options, show) as on_exchange:
            assert on_exchange is not None
            on_exchange(exchange)
    assert seen == [exchange, "closed", exchange, exchange, "closed"]
