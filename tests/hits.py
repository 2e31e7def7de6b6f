"""How often property tests try, and which pairs of a sweep are tested: a part by default, everything with `make soak`.

Property tests that assert only under a condition count how often it was met, so that none passes for nothing."""

import os
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from functools import wraps
from typing import Any, ParamSpec
from zlib import crc32

import pytest

PART = float(os.environ.get("EMULATOR_EXAMPLES", "0.25"))
Parameters = ParamSpec("Parameters")
_hits: Counter[str] = Counter()


def examples(number: int) -> int:
    """Returns how many of the examples are tried in this run."""
    return max(int(number * PART), 5)


def hit(test: str) -> None:
    """The condition of the running test is met by this example."""
    _hits[test] += 1


def counted(least: int) -> Callable[[Callable[Parameters, None]], Callable[Parameters, None]]:
    """Fails the test unless at least this many of its examples call `hit` with its name. Put it above `@given`."""

    def around(test: Callable[Parameters, None]) -> Callable[Parameters, None]:
        @wraps(test)
        def run(*arguments: Parameters.args, **named: Parameters.kwargs) -> None:
            _hits[test.__name__] = 0
            test(*arguments, **named)
            assert _hits[test.__name__] >= max(1, int(least * PART)), (
                f"only {_hits[test.__name__]} examples met the condition"
            )

        return run

    return around


def sampled(rows: Collection[str], columns: Sequence[str]) -> list[Any]:
    """All pairs of a sweep; those that are not in the sample run only with `make soak`. In the sample, a hash chooses a
    column for each row, and each column that got no row gets one."""
    chosen = {(row, columns[crc32(row.encode()) % len(columns)]) for row in rows}
    ordered = list(rows)
    missing = [column for column in columns if all(column != each for _, each in chosen)]
    chosen |= {(ordered[crc32(column.encode()) % len(ordered)], column) for column in missing}
    return [
        pytest.param(row, column, marks=() if (row, column) in chosen else pytest.mark.soak)
        for row in rows
        for column in columns
    ]
