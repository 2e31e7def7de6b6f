"""A hundred runs in a row leave nothing behind: no process, no port, no file."""

import time
from pathlib import Path

import psutil
import pytest
from test_run import ENDS, run_and_end


@pytest.mark.soak
@pytest.mark.timeout(900)
def test_a_hundred_runs_leave_nothing_behind(tmp_path: Path) -> None:
    before = {process.pid for process in psutil.Process().children(recursive=True)}
    seconds = []
    for number in range(100):
        start = time.perf_counter()
        run_and_end(list(ENDS)[number % len(ENDS)], tmp_path)
        seconds.append(time.perf_counter() - start)
    assert list(tmp_path.iterdir()) == []
    assert {process.pid for process in psutil.Process().children(recursive=True)} <= before
    assert sorted(seconds)[50] < 5
