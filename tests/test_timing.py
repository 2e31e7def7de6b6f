"""The server reports how late it was, from the loop's lag to the duration of whole streams."""

from talk import single

from emulator import Emulator
from emulator.state.timing import Histogram, Timing
from emulator.wire import Playback


def test_quantiles_are_right_to_a_quarter_and_never_above_the_most() -> None:
    histogram = Histogram()
    for number in range(1, 1001):
        histogram.add(number / 1000)
    assert 0.5 <= histogram.quantile(0.5) <= 0.5 * 1.25
    assert 0.99 <= histogram.quantile(0.99) <= 1.0
    assert histogram.to_dict()["count"] == 1000
    assert histogram.to_dict()["max"] == 1000.0
    assert Histogram().to_dict() == {"count": 0, "p50": 0.0, "p99": 0.0, "max": 0.0}


def test_paced_answers_are_counted_with_their_lateness_and_length() -> None:
    scenario = {"defaults": {"pace": {"tokens_per_second": 200}}, "rules": [{"reply": {"content": "one two three"}}]}
    body = {"model": "m", "stream": True, "messages": [{"role": "user", "content": "hi"}]}
    with Emulator(scenario) as emulator:
        url = emulator.url("serevix") + "/v1/chat/completions"
        for _ in range(3):
            single.post(url, json=body, headers={"authorization": "Bearer k"})
        emulator.wait_until_idle()
        reported = single.get(f"{emulator.origin}/__emulator/timing").json()
    assert set(reported) == {"lateness_ms", "stream_too_long_ms", "loop_lag_ms"}
    assert reported["lateness_ms"]["count"] == 3
    assert reported["stream_too_long_ms"]["count"] == 3
    assert (
        0 <= reported["lateness_ms"]["p50"] <= reported["lateness_ms"]["p99"] <= reported["lateness_ms"]["max"] < 2000
    )


def test_an_answer_of_which_nothing_was_sent_has_no_length() -> None:
    timing = Timing()
    timing.note(Playback(late=0.25), 1.0)
    assert (timing.late.to_dict()["count"], timing.too_long.to_dict()["count"]) == (1, 0)
