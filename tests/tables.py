"""Tables of cases that are checked within one test, where a test for each would mostly run the test framework."""

import inspect
from collections.abc import Callable, Iterable, Sequence
from functools import wraps
from typing import Any, TypeAlias

import pytest

Test: TypeAlias = Callable[..., None]


def shown(row: object) -> str:
    return repr(row)[:200]


def check_each(rows: Iterable[Any], check: Callable[[Any], object], ids: Callable[[Any], object] = shown) -> None:
    """Checks all cases, also behind one that fails, and reports each that fails with its name."""
    cases = list(rows)
    assert cases, "a test without cases passes whatever happens"
    failures: list[BaseException] = []
    for row in cases:
        try:
            check(row)
        except (Exception, pytest.fail.Exception) as error:
            error.add_note(f"in the case {ids(row)}")
            failures.append(error)
    if failures:
        raise BaseExceptionGroup(f"{len(failures)} of {len(cases)} cases", failures)


def each_of(
    names: str | Sequence[str], rows: Iterable[Any], ids: Callable[[Any], object] = shown
) -> Callable[[Test], Test]:
    """Like `pytest.mark.parametrize`, but all cases are one test. Fixtures are set up once, so the cases must not
    change what they share."""
    cases = list(rows)

    def decorate(test: Test) -> Test:
        @wraps(test)
        def check_all(*args: Any, **fixtures: Any) -> None:
            def check(row: Any) -> None:
                values = {names: row} if isinstance(names, str) else dict(zip(names, row, strict=True))
                test(*args, **fixtures, **values)

            check_each(cases, check, ids)

        whole = inspect.signature(test)
        taken = [names] if isinstance(names, str) else names
        left = [parameter for name, parameter in whole.parameters.items() if name not in taken]
        check_all.__signature__ = whole.replace(parameters=left)  # type: ignore[attr-defined]
        return check_all

    return decorate
