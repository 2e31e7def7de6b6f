"""Cases that are checked within one test: none is left out, and each that fails is named."""

import pytest
from tables import check_each, each_of

TRIED: list[tuple[str, int]] = []


@each_of(("letter", "number"), [("a", 1), ("b", 2), ("c", 3)])
def count(letter: str, number: int, *, odd: bool) -> None:
    TRIED.append((letter, number))
    assert bool(number % 2) is odd, "is not"
    if letter == "c":
        pytest.fail("a C")


def test_each_case_is_tried_and_each_that_fails_is_named() -> None:
    with pytest.raises(BaseExceptionGroup, match="2 of 3 cases") as found:
        count(odd=True)
    assert TRIED == [("a", 1), ("b", 2), ("c", 3)]
    assert [(str(each).partition("\n")[0], each.__notes__) for each in found.value.exceptions] == [
        ("is not", ["in the case ('b', 2)"]),
        ("a C", ["in the case ('c', 3)"]),
    ]


class TestInAClass:
    @pytest.mark.parametrize("start", [10, 20])
    @each_of("number", range(3), ids=hex)
    def test_fixtures_and_parameters_are_those_of_the_test(self, number: int, start: int, tmp_path: object) -> None:
        assert start <= start + number < start + 3
        assert tmp_path


def test_a_table_without_rows_is_a_mistake() -> None:
    with pytest.raises(AssertionError, match="without cases"):
        check_each([], print)
