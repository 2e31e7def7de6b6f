"""Property tests that assert only under a condition count how often it was met, so that none passes for nothing."""

from collections import Counter
from collections.abc import Callable
from functools import wraps
from typing import ParamSpec

Parameters = ParamSpec("Parameters")
_hits: Counter[str] = Counter()


def hit(test: str) -> None:
    """The condition of the running test is met by this example."""
    _hits[test] += 1


def counted(least: int) -> Callable[[Callable[Parameters, None]], Callable[Parameters, None]]:
    """The test fails unless at least so many of its examples call `hit` with its name. Stands above `@given`."""

    def around(test: Callable[Parameters, None]) -> Callable[Parameters, None]:
        @wraps(test)
        def run(*arguments: Parameters.args, **named: Parameters.kwargs) -> None:
            _hits[test.__name__] = 0
            test(*arguments, **named)
            assert _hits[test.__name__] >= least, f"only {_hits[test.__name__]} examples met the condition"

        return run

    return around
