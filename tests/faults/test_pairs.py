"""Every fault together with every other: on steps, all of them; on the wire, a sample."""

import asyncio
import gc
import json
import logging
import random
from functools import partial
from itertools import product
from zlib import crc32

import pytest
from raw import SERVERS
from rawhttp import eventually
from tables import each_of
from talk import KEYS, PATHS, Serving, question
from virtual import MAXTOKEN, PARTS, SCENARIO, Virtual, is_described, of_family

from emulator.clock import VirtualClock
from emulator.engine import Options, answer
from emulator.faults import FAULTS, fault_of
from emulator.faults.base import ENDS
from emulator.request import HttpRequest
from emulator.state.compiled import compile_scenario
from emulator.state.namespace import Namespace
from emulator.wire import Close, Data, Hang, Head, PlannedBody, Raw, Refuse, Reset, ResetAccepts, Step

PARAMETERS = {
    "error": "status=503,retry_after=1",
    "reset": "after_events=2",
    "close": "after_tokens=2",
    "stall": "seconds=60",
    "random_data": "after_bytes=300",
    "large_event": "size=4096",
    "refuse_connections": "seconds=0.01",
    "dribble": "pieces=7,seconds=3",
    "split": "into=pieces,size=50",
}
"""What a kind is asked for with, where it does little by itself or takes real time."""
SPELLED = [f"{kind}:{PARAMETERS[kind]}" if kind in PARAMETERS else kind for kind in FAULTS]
SENT = (Head, Data, Raw, Refuse, ResetAccepts)
Pair = tuple[str, str]
ANSWERS = (("Slow", True), ("Call", True), ("Slow", False))
"""Prompts, and whether the answer is streamed."""


def composed(pairs: list[Pair], prompt: str, *, streamed: bool) -> list[list[Step]]:
    """An answer with each of these pairs, as the engine plans it."""

    async def plan() -> list[list[Step]]:
        namespace = Namespace("pairs", compile_scenario(SCENARIO), VirtualClock())
        body = json.dumps(question(MAXTOKEN, prompt, stream=streamed)).encode()
        planned: list[list[Step]] = []
        for pair in pairs:
            http_request = HttpRequest(
                MAXTOKEN, "POST", PATHS[MAXTOKEN], KEYS[MAXTOKEN], "", body, key="k", faults=pair
            )
            plan = await answer(http_request, namespace, Options())
            planned.append(plan.answer.steps() if isinstance(plan.answer, PlannedBody) else list(plan.answer))
        return planned

    return asyncio.run(plan())


@pytest.mark.parametrize(("prompt", "streamed"), ANSWERS, ids=["text", "tools", "whole"])
@pytest.mark.parametrize("first", SPELLED)
@pytest.mark.parametrize("part", PARTS)
def test_any_two_faults_make_an_answer_that_can_be_played(
    first: str, prompt: str, streamed: bool, part: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A sample has each pair once: a hash chooses one of the answers for it."""
    caplog.set_level(logging.ERROR, "emulator")  # each skipped fault is logged
    pairs = [
        (first, second)
        for second in SPELLED
        if part == "all" or ANSWERS[crc32(f"{first}; {second}".encode()) % len(ANSWERS)] == (prompt, streamed)
    ]
    for pair, steps in zip(pairs, composed(pairs, prompt, streamed=streamed), strict=True):
        assert is_playable(steps), f"{pair}: {steps}"


def is_playable(steps: list[Step]) -> bool:
    """Moments never fall, there is one head at most, and nothing follows the end that would be sent."""
    moments = [step.at for step in steps]
    end = next((index for index, step in enumerate(steps) if isinstance(step, ENDS)), len(steps))
    return (
        bool(steps)
        and moments == sorted(moments)
        and sum(isinstance(step, Head) for step in steps) <= 1
        and not any(isinstance(step, SENT) for step in steps[end:])
    )


EVERY_PAIR = list(product(SPELLED, SPELLED))
SAMPLE = random.Random(11).sample(EVERY_PAIR, 60)


@pytest.mark.parametrize(("http", "loop"), SERVERS)
def test_pairs_end_on_the_wire_as_their_steps_say(
    serving: Serving, caplog: pytest.LogCaptureFixture, http: str, loop: str
) -> None:
    on = Virtual(serving({**SCENARIO, "name": "pairs"}, http=http, loop=loop))
    listener_control = on.emulator._server.listener_control
    assert listener_control is not None
    mine = SAMPLE[SERVERS.index((http, loop)) :: len(SERVERS)]
    for number, pair in enumerate(mine):
        streamed = number % 2 == 0
        (steps,) = composed([pair], "Hi", streamed=streamed)
        end = next((step for step in steps if isinstance(step, ENDS)), None)
        expected = {Reset: "reset", Hang: "timeout", Close: "eof"}.get(type(end), "eof")
        timeout = 0.05 if expected == "timeout" else 10.0
        _, ending = on.get("; ".join(pair), streamed=streamed, timeout=timeout)
        assert ending == expected, f"{pair}: {steps}"
        eventually(lambda: listener_control.is_open)
        on.emulator._server.call(partial(setattr, listener_control, "resets", 0))
    eventually(on.is_alone)
    gc.collect()  # an exception that nobody fetched is reported when it is forgotten
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR] == []


def test_every_kind_can_be_asked_for() -> None:
    assert [fault_of(spelled).kind for spelled in SPELLED] == list(FAULTS)


@each_of("kind", [*of_family("framing"), *of_family("connection")])
def test_every_fault_says_what_it_does_and_what_it_tests(kind: str) -> None:
    assert is_described(FAULTS[kind])
