"""The totals in the store, to which each replica adds its own."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import orjson

from emulator.state.redaction import redacted
from emulator.state.timing import Histogram
from emulator.state.totals import KINDS, MAX_LABEL, Labels, Totals

COUNTS = ("requests", "faults")
Known = dict[tuple[str, Labels], Any]


class SentTotals:
    """The part of a process's totals that is already in the store."""

    def __init__(self, totals: Totals) -> None:
        self._totals = totals
        self._sent: Known = {}

    def forget(self) -> None:
        """Forgets what was sent, after the store has lost its data."""
        self._sent = {}

    def changes(self) -> tuple[dict[bytes, str], Known]:
        """Returns what to add to each field, and the value for `confirm` after that."""
        added: dict[bytes, str] = {}
        seen: Known = {}
        totals, sent = self._totals, self._sent
        for name in COUNTS:
            for labels, count in getattr(totals, name).items():
                if more := count - sent.get((name, labels), 0):
                    added[_field(name, labels)] = str(more)
                    seen[name, labels] = count
        for labels, counts in totals.tokens.items():
            before = sent.get(("tokens", labels), (0,) * len(counts))
            for place, (count, known) in enumerate(zip(counts, before, strict=True)):
                if count != known:
                    added[_field("tokens", labels, place)] = str(count - known)
            seen["tokens", labels] = tuple(counts)
        for labels, cost in totals.cost.items():
            if extra := cost - sent.get(("cost", labels), Decimal(0)):
                text = f"{extra:f}"
                added[_field("cost", labels)] = text if "." in text else f"{text}.0"
                seen["cost", labels] = cost
        for labels, histogram in totals.first.items():
            buckets, total = sent.get(("first", labels), ((0,) * len(histogram.counts), 0.0))
            if sum(buckets) == histogram.count:
                continue
            for place, (count, known) in enumerate(zip(histogram.counts, buckets, strict=True)):
                if count != known:
                    added[_field("first", labels, place)] = str(count - known)
            added[_field("first", labels, "sum")] = f"{histogram.sum - total:.9f}"
            seen["first", labels] = (tuple(histogram.counts), histogram.sum)
        return added, seen

    def confirm(self, seen: Known) -> None:
        """Records that these totals are in the store."""
        self._sent |= seen


def without(
    added: Mapping[bytes, str], less: Mapping[bytes, str], *, plus: Mapping[bytes, str] | None = None
) -> dict[bytes, str]:
    """Returns what to add to each field, without what others have added already; `plus`: and with more."""
    found = dict(added)
    for amounts, sign in ((less, -1), (plus or {}, 1)):
        for field, amount in amounts.items():
            known = found.get(field, "0")
            total = Decimal(known) + sign * Decimal(amount)
            text = f"{total:f}"
            is_whole = "." not in known + amount
            found[field] = text.partition(".")[0] if is_whole else text if "." in text else f"{text}.0"
    return found


def totals_of(fields: Mapping[bytes, bytes]) -> dict[str, Any]:
    """Returns the totals in the store, in the form of `Totals.to_dict`."""
    found: dict[str, list[Any]] = {name: [] for name in (*COUNTS, "cost")}
    histograms: dict[Labels, Histogram] = {}
    tokens: dict[Labels, list[int]] = {}
    for field, amount in fields.items():
        name, labels, *place = orjson.loads(field)
        if name == "cost":
            found[name].append([labels, amount.decode()])
        elif name == "tokens":
            tokens.setdefault(tuple(labels), [0] * len(KINDS))[place[0]] = int(amount)
        elif name == "first":
            histogram = histograms.setdefault(tuple(labels), Histogram())
            if place == ["sum"]:
                histogram.sum = float(amount)
            else:
                histogram.counts[place[0]] = int(amount)
                histogram.count += int(amount)
        else:
            found[name].append([labels, int(amount)])
    found["tokens"] = [[list(labels), counts] for labels, counts in tokens.items()]
    found["first"] = [[list(labels), histogram.dumped()] for labels, histogram in histograms.items()]
    return found


def _field(name: str, labels: Labels, *place: object) -> bytes:
    shown = list(labels)
    if name == "tokens":  # clients choose the names of models
        shown[1] = redacted(shown[1][:MAX_LABEL])
    elif name == "faults":
        shown[0] = redacted(shown[0][:MAX_LABEL])
    return orjson.dumps([name, shown, *place])
