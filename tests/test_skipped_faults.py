"""A fault that can't be applied is reported in the journal and in the log, never silently lost."""

import threading
from typing import Any

import httpx
import pytest
from talk import single

from emulator import Emulator
from emulator.faults.base import FaultContext
from emulator.faults.keepalive_comments import KeepaliveComments
from emulator.wire import Step

NO_CHANGE = "it leaves this answer as it is"


def ask(emulator: Emulator, fault: str, key: str | None = "k", **members: Any) -> httpx.Response:
    body = {"model": "m", "messages": [{"role": "user", "content": "hi"}], **members}
    headers = {"x-emulator-fault": fault} | ({"authorization": f"Bearer {key}"} if key else {})
    return single.post(emulator.url("serevix") + "/v1/chat/completions", json=body, headers=headers)


@pytest.mark.parametrize(
    ("fault", "key", "members", "status", "note"),
    [
        ("no_done", "k", {}, 200, "fault no_done (header) was skipped: the answer is not a stream"),
        ("overloaded", None, {}, 401, "fault error (header) was skipped: another error came first"),
        ("no_done; no_done", "k", {"stream": True}, 200, "fault no_done (header) was skipped: " + NO_CHANGE),
        ("latency:seconds=0", "k", {}, 200, "fault latency (header) was skipped: " + NO_CHANGE),
        ("finish_reason:value=stop", "k", {}, 200, "fault finish_reason (header) was skipped: " + NO_CHANGE),
        ("429; overloaded", "k", {}, 429, "fault error (header) was skipped: another error came first"),
    ],
)
def test_what_could_not_be_broken_is_reported(
    fault: str, key: str | None, members: dict[str, Any], status: int, note: str, caplog: pytest.LogCaptureFixture
) -> None:
    with Emulator({"rules": [{"reply": {"content": "Hi"}}]}) as emulator:
        assert ask(emulator, fault, key, **members).status_code == status
        emulator.wait_until_idle()
        assert emulator.journal[-1].notes == (note,)
    assert note in caplog.messages


def test_each_of_three_that_do_the_same_is_reported_by_itself() -> None:
    with Emulator({"rules": [{"reply": {"content": "Hi"}}]}) as emulator:
        ask(emulator, "no_done; no_done; no_done", stream=True)
        emulator.wait_until_idle()
        assert emulator.journal[-1].notes == (f"fault no_done (header) was skipped: {NO_CHANGE}",) * 2


def test_what_takes_long_is_done_beside_the_event_loop_and_has_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    threads = []
    transform_steps = KeepaliveComments.transform_steps

    def watched(fault: KeepaliveComments, steps: list[Step], scene: FaultContext) -> list[Step]:
        threads.append(threading.current_thread().name)
        return transform_steps(fault, steps, scene)

    monkeypatch.setattr(KeepaliveComments, "transform_steps", watched)
    monkeypatch.setattr("emulator.engine.faults.MAX_STEPS", 20_000)
    many = "keepalive_comments:count=9000,interval=0.001"
    with Emulator({"clock": "virtual", "rules": [{"reply": {"content": "Hi"}}]}) as emulator:
        few = ask(emulator, "keepalive_comments:count=2", stream=True)
        response = ask(emulator, f"{many}; {many}; {many}", stream=True)
        emulator.wait_until_idle()
        notes = emulator.journal[-1].notes
    assert threads[0] == "emulator"
    assert "emulator" not in threads[1:]
    assert [answer.text.count(": PING\n\n") for answer in (few, response)] == [2, 18_000]
    assert notes == ("fault keepalive_comments (header) was skipped: the answer would have more than 20000 pieces",)
