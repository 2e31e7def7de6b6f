"""The cost of many streams, computed from the figures in performance.md; docs/tables.py writes it into the documents.

Nothing is measured here: a new `make bench` changes the tables."""

import re
from collections.abc import Iterator
from functools import cache
from math import ceil
from pathlib import Path

from simulation import Costs, simulate

PERFORMANCE = Path(__file__).parent / "performance.md"
RATE = 50
"""Tokens per second of one stream."""
EVENT = 240
"""The bytes of one token's event with its chunk; tests/test_scale.py compares this with a real stream."""
HEADERS = 14 + 20 + 32
"""The bytes of Ethernet, IPv4 and TCP with a timestamp, for each token and each acknowledgment."""
EXACT, DENSE = 1000, 2000
"""The measured number of streams of a replica."""
FLEETS = (10_000, 100_000, 1_000_000)
STORED = Costs(request=34, packet=32, step=1.4, store_packet=15)
"""With a store, for the same whole answer again and again: fitted to one replica with 1 and with 8 clients, as
tests/soak/test_soak_scale.py does."""
STREAM_SECONDS = 10
"""The duration of a stream, which determines how often a new one needs the store."""


@cache
def measured(row: str, figure: str) -> float:
    """The emulator's figure in a row of performance.md. Raises KeyError if there is none."""
    current = ""
    for line in PERFORMANCE.read_text().splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if not line.startswith("|") or len(cells) < 3:
            continue
        current = cells[0] or current
        if (current, cells[1]) == (row, figure):
            return float(re.sub(r"[^\d.]", "", cells[2]))
    raise KeyError(f"{row}: {figure}")


def paced(streams: int, figure: str) -> float:
    """Returns a figure for this many concurrent paced streams."""
    return measured(f"{streams:,} streams x {RATE} tokens/s", figure)


def rounded(value: float) -> str:
    """Formats a number with two or three significant digits."""
    digits = max(0, len(str(int(value))) - (3 if value >= 100 else 2))
    return f"{round(value, -digits):,.0f}" if value >= 10 else f"{value:.1f}"


def idle() -> float:
    """Returns the MB of a replica after its first answer."""
    return measured("Memory", "idle MB after the first answer")


def sizing() -> Iterator[str]:
    """Returns the table of what one replica on one core can do."""
    known, new = (
        measured(f"JSON, 32 connections, {which}", "requests/s") for which in ("one prompt", "every prompt new")
    )
    streams = "schedule error p99 ms"
    yield "| one replica | figure | |\n|---|---:|---|\n"
    yield f"| whole answers a second, questions seen before | {rounded(known)} | measured |\n"
    yield f"| whole answers a second, every question new | {rounded(new)} | measured |\n"
    for count in (EXACT, DENSE):
        late = f"{paced(count, streams):.0f} ms"
        yield f"| {count:,} streams of {RATE} tokens/s: 99 % of tokens within | {late} | measured |\n"
    yield f"| memory when idle | {idle():.0f} MB | measured |\n"
    yield f"| memory for each 1,000 open streams | {paced(EXACT, 'MB per 1,000 streams'):.1f} MB | measured |\n"
    yield f"| network, {EXACT:,} streams of {RATE} tokens/s | {EXACT * bits() / 1e6:.0f} Mbit/s | computed |\n"


def bits() -> float:
    """Returns the bits per second of one stream."""
    return RATE * (EVENT + HEADERS) * 8


def scale() -> Iterator[str]:
    """Returns the table of what fleets of streams need."""
    yield f"| open streams of {RATE} tokens/s | {' | '.join(f'{each:,}' for each in FLEETS)} |\n"
    yield f"|---|{'---:|' * len(FLEETS)}\n"
    rows: list[tuple[str, list[str]]] = [("tokens a second", [f"{each * RATE:,}" for each in FLEETS])]
    for count in (EXACT, DENSE):
        cores = [each * RATE * paced(count, "CPU µs per token") / 1e6 for each in FLEETS]
        memory = [ceil(each / count) * idle() + each * memory_per_stream() for each in FLEETS]
        rows += [
            (f"**{count:,} on each replica**: replicas, a core each", [f"{ceil(each / count):,}" for each in FLEETS]),
            ("cores' worth of CPU time", [rounded(each) for each in cores]),
            ("memory, GB", [rounded(each / 1000) for each in memory]),
        ]
    rows += [
        ("**either way**: sent, Gbit/s", [rounded(each * bits() / 1e9) for each in FLEETS]),
        (
            "received, Gbit/s, if every token is acknowledged",
            [rounded(each * RATE * HEADERS * 8 / 1e9) for each in FLEETS],
        ),
        ("packets a second, sent", [f"{each * RATE:,}" for each in FLEETS]),
    ]
    for name, cells in rows:
        yield f"| {name} | {' | '.join(cells)} |\n"


def memory_per_stream() -> float:
    """Returns the MB of an open stream."""
    return paced(EXACT, "MB per 1,000 streams") / 1000


def stored() -> Iterator[str]:
    """Returns the table of what a store costs fleets of streams, if each request has its own packet."""
    alone = simulate(1, 1, STORED)
    yield f"| open streams, each for {STREAM_SECONDS} s | {' | '.join(f'{each:,}' for each in FLEETS)} |\n"
    yield f"|---|{'---:|' * len(FLEETS)}\n"
    begun = [each / STREAM_SECONDS for each in FLEETS]
    rows = [
        ("streams that begin in a second", [f"{each:,.0f}" for each in begun]),
        ("the store's CPU time, cores", [rounded(each * alone.store / 1e6) for each in begun]),
        ("**stores**, each half busy", [f"{ceil(each * alone.store / 1e6 / 0.5):,}" for each in begun]),
        ("CPU time of all replicas to begin them, cores", [rounded(each * alone.replicas / 1e6) for each in begun]),
    ]
    for name, cells in rows:
        yield f"| {name} | {' | '.join(cells)} |\n"
