"""The guard of the benchmarks: it notices when a request costs more."""

import asyncio
from typing import Any

import pytest

from emulator import tokens
from emulator.engine import forms

guard: Any = pytest.importorskip("benchmarks.guard")
CASE = "chat, new"


def costs() -> dict[str, float]:
    found: dict[str, float] = asyncio.run(guard.costs_of(guard.KEPT.with_name("scenario.yaml")))
    return found


def test_it_counts_the_same_each_time_and_notices_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "CASES", {CASE: guard.CASES[CASE]})
    for group in range(1000):  # the words of its new prompts; what other tests have counted before costs less
        tokens.count(f"{group:03d}")
    kept = guard.ratios(costs())
    now = guard.ratios(costs())
    assert now[CASE] == pytest.approx(kept[CASE], rel=0.1)
    assert guard.grown(now, kept) == []
    known = forms.known

    def slower(*given: Any) -> Any:
        for _ in range(2000):
            pass
        return known(*given)

    monkeypatch.setattr("emulator.engine.short_way.known", slower)
    assert guard.grown(guard.ratios(costs()), kept) == [CASE]
