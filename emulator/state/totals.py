"""The totals of all exchanges of a process: plain counts, from which metrics are made on request."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import field
from decimal import Decimal
from typing import Any

from emulator.records import struct
from emulator.state.exchanges import Exchange
from emulator.state.redaction import redacted
from emulator.state.timing import Histogram

MAX_SERIES = 1000
"""The most label combinations that are counted separately; further ones count as OTHER."""
OTHER = "other"
MAX_LABEL = 100
"""The most characters of a model's name in a label."""

KINDS = ("prompt", "completion", "reasoning", "cached")
"""The kinds of tokens."""

NOTHING = Decimal(0)
Labels = tuple[str, ...]
Kind = tuple[str, str, int, str, str, str, bool]
"""Provider, operation, status, outcome, ending, model, and whether it is a stream."""


@struct
class _Counted:
    """Where the exchanges of one kind are counted, so that it is looked up once."""

    labels: Labels
    paid: Labels
    model: str
    stream: bool
    tokens: list[int] | None = None
    first: Histogram | None = None


@struct
class Totals:
    """Counts from the start of the process."""

    requests: Counter[Labels] = field(default_factory=Counter)
    """By provider, operation, status, outcome and ending."""
    tokens: dict[Labels, list[int]] = field(default_factory=dict)
    """By provider and model, one count for each of KINDS."""
    cost: dict[Labels, Decimal] = field(default_factory=dict)
    """In USD, by provider."""
    faults: Counter[Labels] = field(default_factory=Counter)
    """By kind, source and result: applied or skipped."""
    first: dict[Labels, Histogram] = field(default_factory=dict)
    """Seconds until the first byte of the body, by provider and whether it is a stream."""
    _counted: dict[Kind, _Counted] = field(default_factory=dict)

    def note(self, exchange: Exchange) -> None:
        """Counts a finished exchange."""
        playback, usage, http_request = exchange.playback, exchange.usage, exchange._http_request
        kind = (
            http_request.provider,
            http_request.operation,
            exchange.status,
            exchange.outcome,
            "aborted" if playback is None else playback.ended,
            exchange.model,
            exchange.stream,
        )
        counted = self._counted.get(kind) or self._counted_for(kind)
        self.requests[counted.labels] += 1
        if usage is not None:
            tokens = counted.tokens or self._tokens_of(counted)
            tokens[0] += usage.prompt
            tokens[1] += usage.completion
            tokens[2] += usage.reasoning
            tokens[3] += usage.cached
            if exchange.cost is not NOTHING and exchange.cost:
                self.cost[counted.paid] = self.cost.get(counted.paid, NOTHING) + exchange.cost
        if exchange.faults or exchange.skipped:
            self._note_faults(exchange)
        if playback is not None and playback.first_sent is not None:
            seconds = playback.first_sent - exchange.started
            (counted.first or self._first_of(counted)).add(seconds if seconds > 0 else 0.0)

    def _counted_for(self, kind: Kind) -> "_Counted":
        """Returns where exchanges of a kind are counted."""
        provider, operation, status, outcome, ended, model, stream = kind
        provider = provider or "none"
        labels: Labels = (provider, operation or "none", str(status), outcome, ended)
        if labels not in self.requests and len(self.requests) >= MAX_SERIES:
            labels = (OTHER,) * len(labels)
        if len(self._counted) >= MAX_SERIES:
            self._counted.clear()
        counted = self._counted[kind] = _Counted(labels, (provider,), model, stream)
        return counted

    def _tokens_of(self, counted: "_Counted") -> list[int]:
        labels: Labels = (*counted.paid, counted.model)
        if labels not in self.tokens and len(self.tokens) >= MAX_SERIES:
            labels = (OTHER, OTHER)
        counted.tokens = self.tokens.setdefault(labels, [0] * len(KINDS))
        return counted.tokens

    def _first_of(self, counted: "_Counted") -> Histogram:
        labels: Labels = (*counted.paid, "true" if counted.stream else "false")
        counted.first = self.first.setdefault(labels, Histogram())
        return counted.first

    def _note_faults(self, exchange: Exchange) -> None:
        rows = [(fault, "applied") for fault in exchange.applied]
        rows += [(fault, "skipped") for fault, _ in exchange.skipped]
        for fault, result in rows:
            kind, _, source = fault.partition(" (")
            _add(self.faults, (kind, source.rstrip(")"), result), 1)

    def to_dict(self) -> dict[str, Any]:
        """As plain data, which `merged` takes."""
        return {
            "requests": [[list(labels), count] for labels, count in self.requests.items()],
            "tokens": [[[p, redacted(m[:MAX_LABEL])], counts] for (p, m), counts in self.tokens.items()],
            "cost": [[list(labels), str(cost)] for labels, cost in self.cost.items()],
            "faults": [
                [[redacted(kind[:MAX_LABEL]), source, result], count]
                for (kind, source, result), count in self.faults.items()
            ],
            "first": [[list(labels), histogram.dumped()] for labels, histogram in self.first.items()],
        }


def _add(counts: Counter[Labels], labels: Labels, number: int) -> None:
    if labels not in counts and len(counts) >= MAX_SERIES:
        labels = (OTHER,) * len(labels)
    counts[labels] += number


def merged(parts: Iterable[dict[str, Any]]) -> Totals:
    """The merged totals of several processes."""
    totals = Totals()
    for part in parts:
        for name in ("requests", "faults"):
            counts: Counter[Labels] = getattr(totals, name)
            for labels, count in part[name]:
                counts[tuple(labels)] += count
        for labels, more in part["tokens"]:
            known = totals.tokens.get(tuple(labels), (0,) * len(KINDS))
            totals.tokens[tuple(labels)] = [mine + its for mine, its in zip(known, more, strict=True)]
        for labels, cost in part["cost"]:
            totals.cost[tuple(labels)] = totals.cost.get(tuple(labels), Decimal(0)) + Decimal(cost)
        for labels, dumped in part["first"]:
            totals.first.setdefault(tuple(labels), Histogram()).merge(Histogram.loaded(dumped))
    return totals
