"""A hundred runs in a row leave nothing behind: no process, no port, no file."""

import time
from pathlib import Path

import pytest
from test_run import ENDS, run_and_end


@pytest.mark.soak
@pytest.mark.timeout(900)
def test_a_hundred_runs_leave_nothing_behind(tmp_path: Path) -> None:
    seconds = []
    for number in range(100):
        start = time.perf_counter()
        _, _, left = run_and_end(list(ENDS)[number % len(ENDS)], tmp_path)
        assert left == []
        seconds.append(time.perf_counter() - start)
    assert list(tmp_path.iterdir()) == []
    assert sorted(seconds)[50] < 5
