"""The recorder's first requests, which may come together."""

import asyncio
import signal
from pathlib import Path

import pytest
from crowd import streams
from recording_server import command
from served import served


@pytest.mark.long
def test_first_requests_that_come_together_are_all_recorded(tmp_path: Path) -> None:
    with served("--log", "off", "--speed", "max") as upstream:
        url = f"http://127.0.0.1:{upstream.port}/serevix"
        recording = command("--provider", "serevix", "--upstream", url, "--into", str(tmp_path / "out"), "--log", "off")
        answers = asyncio.run(streams(recording.port, 20))
        recording.process.send_signal(signal.SIGINT)
        _, errors = recording.process.communicate(timeout=60)
    assert [answer.is_whole for answer in answers] == [True] * 20
    assert (recording.process.returncode, "20 recorded." in errors) == (0, True)
