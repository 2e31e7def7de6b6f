"""The full numbers of tests/test_hardening.py: `make soak`. Each test prints its figures."""

import gc
import logging
import threading
import time
from collections.abc import Iterator
from typing import get_args

import pytest
from hostile import (
    NASTIES,
    Http,
    Watched,
    abort_streams,
    descriptors,
    half_sent,
    latencies,
    meet,
    mutations,
    percentile,
    reset_idle,
    resident,
    retained,
)
from rawhttp import eventually

from emulator.server.protocol import HEAD_TIMEOUT

pytestmark = [pytest.mark.soak, pytest.mark.timeout(600)]
MEBIBYTE = 2**20


@pytest.fixture(params=get_args(Http))
def server(request: pytest.FixtureRequest, caplog: pytest.LogCaptureFixture) -> Iterator[Watched]:
    """A fresh server. Nothing may be logged, and nobody and nothing may be left behind."""
    on = Watched(request.param)
    with caplog.at_level(logging.WARNING):
        yield on
        on.assert_at_rest()
        on.assert_answers()
        gc.collect()
        on.emulator.stop()
    assert [record.getMessage() for record in caplog.get_records("call")] == []


def tell(server: Watched, words: str) -> None:
    print(f"{server.emulator._server.options.http}: {words}")


def test_five_thousand_malformed_requests(server: Watched) -> None:
    started = time.monotonic()
    met = meet(server.port, [*NASTIES.values(), *mutations(seed=20260731, count=5000)])
    took = time.monotonic() - started
    for each in met:
        each.assert_in_order()
    server.assert_at_rest()
    server.assert_answers()
    answered = sum(bool(each.statuses) for each in met)
    kinds = sorted({status for each in met for status in each.statuses})
    tell(server, f"{len(met)} malformed requests in {took:.0f} s, {answered} answered, statuses {kinds}")


def test_two_thousand_aborted_streams(server: Watched) -> None:
    abort_streams(server.port, 1500)  # now the journal is full
    server.assert_at_rest()
    memory, files = resident(), descriptors()
    started = time.monotonic()
    abort_streams(server.port, 2000)
    took = time.monotonic() - started
    server.assert_at_rest(within=1)
    eventually(lambda: descriptors() <= files, 1)
    grown = (resident() - memory) / MEBIBYTE
    playbacks = [each.playback for each in server.emulator.journal]
    assert {playback.ended for playback in playbacks if playback is not None} == {"client_closed"}
    tell(server, f"2000 aborted streams in {took:.1f} s, grown by {grown:.2f} MiB, descriptors {files}")
    assert grown < 5


def test_a_thousand_half_sent_heads(server: Watched) -> None:
    before = latencies(server.port, _after(2))
    with half_sent(server.port, 1000) as endings:
        last = time.monotonic()
        closed: list[float] = []

        def watch() -> None:
            while any(end is None for end in endings()):
                time.sleep(0.1)
            closed.append(time.monotonic() - last)

        watcher = threading.Thread(target=watch)
        watcher.start()
        taken = latencies(server.port, lambda: not watcher.is_alive())
        watcher.join()
        assert all(end is not None and end[:12] == b"HTTP/1.1 408" for end in endings())
    p99, p99_before = percentile(taken, 0.99) * 1000, percentile(before, 0.99) * 1000
    tell(
        server,
        f"1000 half-sent heads, the last closed after {closed[0]:.1f} s, "
        f"p99 of {len(taken)} others {p99:.1f} ms (alone {p99_before:.1f} ms)",
    )
    assert closed[0] < HEAD_TIMEOUT + 1
    assert p99 < 50


def test_ten_thousand_reset_connections(server: Watched) -> None:
    reset_idle(server.port, 500)
    eventually(server.is_alone)
    memory, started = resident(), time.monotonic()
    reset_idle(server.port, 10_000)
    eventually(server.is_alone)
    cycles, protocols = retained(), retained("HttpProtocol")
    grown = (resident() - memory) / MEBIBYTE
    took = time.monotonic() - started
    tell(server, f"10000 reset in {took:.0f} s, retained {cycles} cycles, {protocols} protocols, {grown:.2f} MiB more")
    assert cycles <= 10
    assert protocols <= 10


def _after(seconds: float) -> "Timer":
    return Timer(time.monotonic() + seconds)


class Timer:
    """True once the moment has come."""

    def __init__(self, end: float) -> None:
        self.end = end

    def __call__(self) -> bool:
        return time.monotonic() >= self.end
