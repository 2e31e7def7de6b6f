"""When frames are due: pure numbers."""

import re
from itertools import accumulate, pairwise
from math import inf, isfinite, nan

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emulator.errors import UsageError
from emulator.pace import AT_ONCE, FASTEST, MAX_TTFT, SLOWEST, Pace, schedule


def moments(tokens: list[int], pace: Pace, *entropy: str) -> list[float]:
    return list(schedule(tokens, pace, *entropy))


def test_the_first_token_is_due_at_ttft_and_each_further_one_a_gap_later() -> None:
    assert moments([1] * 5, Pace(ttft=0.2, tokens_per_second=50)) == pytest.approx([0.2, 0.22, 0.24, 0.26, 0.28])


def test_moments_are_absolute_so_that_no_error_adds_up() -> None:
    tokens = [1] * 10_000
    assert moments(tokens, Pace(0.35, 60)) == [0.35 + k * (1 / 60) for k in range(10_000)]


def test_a_frame_of_several_tokens_is_due_with_its_last_one() -> None:
    assert moments([3, 1, 2], Pace(1, 10)) == pytest.approx([1.2, 1.3, 1.5])


def test_a_frame_without_tokens_comes_with_the_one_before_it_and_the_first_ones_with_the_first_token() -> None:
    assert moments([0, 0, 1, 0, 1, 0, 0], Pace(1, 10)) == pytest.approx([1, 1, 1, 1, 1.1, 1.1, 1.1])


def test_an_answer_without_tokens_is_due_at_ttft() -> None:
    assert moments([0, 0], Pace(1, 10)) == [1, 1]


def test_without_a_rate_everything_follows_the_first_token_at_once() -> None:
    assert moments([0, 1, 1, 1], Pace(ttft=0.5)) == [0.5] * 4
    assert moments([0, 1, 1, 1], Pace(ttft=0.5, jitter=1)) == [0.5] * 4


@pytest.mark.parametrize("pace", [AT_ONCE, Pace(jitter=0.5), Pace(1, 10).at_speed(inf)])
def test_what_is_due_at_once_has_no_moments(pace: Pace) -> None:
    assert schedule([1, 1, 1], pace) == ()


def test_a_speed_divides_every_moment() -> None:
    tokens = [0, 1, 2, 1, 0]
    slow = moments(tokens, Pace(0.4, 20, 0.3), "seed")
    assert moments(tokens, Pace(0.4, 20, 0.3).at_speed(4), "seed") == pytest.approx([at / 4 for at in slow])
    assert Pace(0.4, 20, 0.3).at_speed(1) == Pace(0.4, 20, 0.3)
    assert Pace(0.4, 20, 0.3).at_speed(0.5) == Pace(0.8, 10, 0.3)


def test_jitter_is_drawn_from_the_seed() -> None:
    pace = Pace(0.1, 50, 0.5)
    assert moments([1] * 20, pace, "a") == moments([1] * 20, pace, "a")
    assert moments([1] * 20, pace, "a") != moments([1] * 20, pace, "b")
    assert moments([1] * 20, pace, "a") == moments([1] * 30, pace, "a")[:20]


def test_jitter_keeps_the_first_token_and_the_mean_and_stays_in_its_bounds() -> None:
    at = moments([1] * 20_001, Pace(0.1, 50, 0.3), "mean")
    gaps = [b - a for a, b in pairwise(at)]
    assert at[0] == 0.1
    assert min(gaps) >= 0.02 * 0.7 - 1e-9
    assert max(gaps) <= 0.02 * 1.3 + 1e-9
    assert max(gaps) - min(gaps) > 0.02 * 0.55
    assert sum(gaps) / len(gaps) == pytest.approx(0.02, rel=0.01)


@settings(deadline=None)
@given(
    st.lists(st.integers(0, 4), max_size=60),
    st.builds(
        Pace,
        st.floats(0, 1e6),
        st.one_of(st.just(inf), st.floats(1e-3, 1e6)),
        st.floats(0, 1),
    ),
    st.floats(1e-3, 1e3),
)
def test_moments_never_fall_and_never_come_before_ttft(tokens: list[int], pace: Pace, speed: float) -> None:
    pace = pace.at_speed(speed)
    at = schedule(tokens, pace, "any")
    assert len(at) == (0 if pace.ttft == 0 and pace.tokens_per_second == inf else len(tokens))
    assert all(a <= b for a, b in pairwise(at))
    assert all(moment >= pace.ttft for moment in at)


@settings(deadline=None)
@given(st.lists(st.integers(0, 4), max_size=60), st.floats(0, 10), st.floats(0.1, 1e4))
def test_without_jitter_each_frame_is_due_with_its_last_token(tokens: list[int], ttft: float, rate: float) -> None:
    expected = [ttft + max(0, count - 1) / rate for count in accumulate(tokens)]
    assert moments(tokens, Pace(ttft, rate)) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("ttft", "rate", "jitter", "reported"),
    [
        (-0.1, 10, 0, "ttft is -0.1; expected a number from 0 to 3.16224e+07."),
        (inf, 10, 0, "ttft is inf; expected a number from 0 to 3.16224e+07."),
        (nan, 10, 0, "ttft is nan; expected a number from 0 to 3.16224e+07."),
        (0, 0, 0, "tokens_per_second is 0; expected a number from 1e-06 to inf."),
        (0, 5e-324, 0, "tokens_per_second is 5e-324; expected a number from 1e-06 to inf."),
        (0, "9", 0, "tokens_per_second is '9'; expected a number from 1e-06 to inf."),
        (0, 10, 1.5, "jitter is 1.5; expected a number from 0 to 1."),
    ],
)
def test_what_is_no_pace_is_refused(ttft: float, rate: float, jitter: float, reported: str) -> None:
    with pytest.raises(UsageError, match=f"^{re.escape(reported)}$"):
        Pace(ttft, rate, jitter)


@pytest.mark.parametrize("speed", [SLOWEST, 1e-3, 1e3, FASTEST])
def test_no_speed_makes_moments_that_are_no_numbers(speed: float) -> None:
    for pace in (Pace(MAX_TTFT, SLOWEST, 1), Pace(1, 1e6), Pace(0, SLOWEST)):
        assert all(map(isfinite, moments([1] * 100, pace.at_speed(speed))))
