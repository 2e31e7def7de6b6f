"""A server's metrics in the Prometheus format. Nothing is counted here; values are read on request."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from prometheus_client import CollectorRegistry
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4 as CONTENT_TYPE
from prometheus_client.exposition import generate_latest
from prometheus_client.registry import Collector

from emulator.state.timing import BOUNDS, Histogram, Timing
from emulator.state.totals import KINDS, Totals, merged

__all__ = ["CONTENT_TYPE", "exposed"]

STEP = 4
"""Prometheus gets every n-th bound of the emulator's own histograms: 10 µs to 100 s in 19 steps."""


def exposed(version: str, parts: Sequence[Mapping[str, Any]]) -> str:
    """The text of all metrics. `parts` has the measurements of each process, from `api.measured`."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Collector(version, parts))
    return generate_latest(registry).decode()


class _Collector(Collector):
    def __init__(self, version: str, parts: Sequence[Mapping[str, Any]]) -> None:
        self._version = version
        self._parts = parts
        self._totals = merged(part["totals"] for part in parts)

    def collect(self) -> Iterator[Metric]:
        info = InfoMetricFamily("llm_emulator", "The emulator.")
        info.add_metric([], {"version": self._version})
        yield info
        yield from self._counters(self._totals)
        yield from self._gauges()
        first = HistogramMetricFamily(
            "llm_emulator_time_to_first_byte_seconds",
            "Seconds from a request to the first byte of its body.",
            labels=["provider", "stream"],
        )
        for labels, histogram in sorted(self._totals.first.items()):
            first.add_metric(labels, _buckets(histogram), histogram.sum)
        yield first
        timing = Timing.merged(part["timing"] for part in self._parts)
        for name, words in (
            ("late", "The worst lateness of a frame in each paced answer."),
            ("too_long", "How much longer than planned each paced answer took."),
            ("lag", "How late the event loop woke up."),
        ):
            measured: Histogram = getattr(timing, name)
            shown = {"late": "pacing_error", "too_long": "stream_too_long", "lag": "loop_lag"}[name]
            family = HistogramMetricFamily(f"llm_emulator_{shown}_seconds", words)
            family.add_metric([], _buckets(measured), measured.sum)
            yield family

    def _counters(self, totals: Totals) -> Iterator[Metric]:
        requests = CounterMetricFamily(
            "llm_emulator_requests",
            "Finished requests.",
            labels=["provider", "operation", "status", "outcome", "ended"],
        )
        for labels, count in sorted(totals.requests.items()):
            requests.add_metric(labels, count)
        yield requests
        tokens = CounterMetricFamily("llm_emulator_tokens", "Tokens.", labels=["provider", "model", "kind"])
        for labels, counts in sorted(totals.tokens.items()):
            for kind, count in zip(KINDS, counts, strict=True):
                if count:
                    tokens.add_metric((*labels, kind), count)
        yield tokens
        cost = CounterMetricFamily("llm_emulator_cost_usd", "What the answers would have cost.", labels=["provider"])
        for labels, amount in sorted(totals.cost.items()):
            cost.add_metric(labels, float(amount))
        yield cost
        faults = CounterMetricFamily(
            "llm_emulator_faults", "Faults that were selected.", labels=["kind", "source", "result"]
        )
        for labels, count in sorted(totals.faults.items()):
            faults.add_metric(labels, count)
        yield faults

    def _gauges(self) -> Iterator[Metric]:
        for name, words in (
            ("open_streams", "Open streams."),
            ("namespaces", "Namespaces."),
            ("journal_exchanges", "Exchanges in the journals."),
            ("journal_bytes", "Bytes in the journals."),
        ):
            yield GaugeMetricFamily(f"llm_emulator_{name}", words, value=sum(part[name] for part in self._parts))
        yield GaugeMetricFamily("llm_emulator_workers", "Processes.", value=len(self._parts))


def _buckets(histogram: Histogram) -> list[tuple[str, float]]:
    rows: list[tuple[str, float]] = []
    total = 0
    for number, count in enumerate(histogram.counts[:-1]):
        total += count
        if number % STEP == 0:
            rows.append((f"{BOUNDS[number]:.6g}", float(total)))
    return [*rows, ("+Inf", float(histogram.count))]
