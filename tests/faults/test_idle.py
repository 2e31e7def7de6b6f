"""A fault that leaves an answer as it is says so, whatever its kind."""

import asyncio
import json
from collections.abc import Sequence

import pytest
from talk import KEYS, PATHS, question
from test_pairs import SPELLED
from virtual import MAXTOKEN, SCENARIO

from emulator.clock import VirtualClock
from emulator.engine import Options, answer
from emulator.request import HttpRequest
from emulator.state.compiled import compile_scenario
from emulator.state.namespace import Namespace
from emulator.wire import PlannedBody, Step


def planned(faults: Sequence[str], prompt: str, *, streamed: bool) -> tuple[list[Step], int]:
    """An answer as it is planned with these faults, and how many notes say that one of them was skipped."""

    async def plan() -> tuple[list[Step], int]:
        namespace = Namespace("skipped", compile_scenario(SCENARIO), VirtualClock())
        body = json.dumps(question(MAXTOKEN, prompt, stream=streamed)).encode()
        http_request = HttpRequest(
            MAXTOKEN, "POST", PATHS[MAXTOKEN], KEYS[MAXTOKEN], "", body, key="k", faults=tuple(faults)
        )
        plan = await answer(http_request, namespace, Options())
        steps = plan.answer.steps() if isinstance(plan.answer, PlannedBody) else list(plan.answer)
        return steps, sum("was skipped" in note for note in plan.exchange.notes)

    return asyncio.run(plan())


@pytest.mark.parametrize("streamed", [True, False], ids=["stream", "whole"])
@pytest.mark.parametrize("prompt", ["Hi", "Call", "Silence", "Refuse"])
def test_no_fault_of_any_kind_does_nothing_in_silence(prompt: str, streamed: bool) -> None:
    healthy, _ = planned((), prompt, streamed=streamed)
    silent = []
    idle = 0
    for fault in SPELLED:
        once, notes = planned((fault,), prompt, streamed=streamed)
        twice, more = planned((fault, fault), prompt, streamed=streamed)
        idle += (once == healthy) + (twice == once)
        if (once == healthy and not notes) or (twice == once and more <= notes):
            silent.append(fault)
    assert silent == []
    assert idle > 20  # there were many that had nothing to do
