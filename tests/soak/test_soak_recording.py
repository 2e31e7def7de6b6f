"""The recorder under load: what it adds to an answer, and that nothing is lost. Each test prints its figures."""

import asyncio
import json
import os
import re
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from crowd import stream, streams
from recording_server import Command, command
from served import COMMAND, served
from stamped import delays, stamped_upstream

pytestmark = [pytest.mark.soak, pytest.mark.timeout(1800)]
WORDS = "word " * 100
PATH = "/serevix/v1/chat/completions"
ROUNDS, PAIRS, QUIET = 16, 250, 5
"""Each round asks so many times on either way; those rounds count in which the upstream itself was quickest."""
MAX_ADDED = 2.0
"""Milliseconds."""
STREAMS = 200


def question(text: str, *, is_stream: bool) -> bytes:
    body = {"model": "deepseek-v3", "stream": is_stream, "messages": [{"role": "user", "content": text}]}
    return json.dumps(body).encode()


class Line:
    """A connection that stays open."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def ask(self, body: bytes) -> float:
        """The milliseconds to the last byte of the answer."""
        head = f"POST {PATH} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer k\r\ncontent-type: application/json\r\n"
        request = f"{head}content-length: {len(body)}\r\n\r\n".encode() + body
        start = time.perf_counter()
        self.socket.sendall(request)
        data = self.socket.recv(1 << 20)
        while not is_whole(data):
            data += self.socket.recv(1 << 20)
        return (time.perf_counter() - start) * 1000


def is_whole(data: bytes) -> bool:
    head, end, body = data.partition(b"\r\n\r\n")
    length = re.search(rb"content-length: (\d+)", head)
    return bool(end) and (body.endswith(b"0\r\n\r\n") if length is None else len(body) >= int(length[1]))


async def keep_streaming(port: int, count: int, stop: threading.Event, *, is_whole: bool = True) -> None:
    """So many paced streams at any time, each on a connection of its own."""

    async def one(number: int) -> None:
        while not stop.is_set():
            number += count
            try:
                assert (await stream(port, f"slowly {number}")).is_whole or not is_whole
            except ConnectionError:
                assert not is_whole
                return

    await asyncio.gather(*(one(number) for number in range(count)))


def percentile(values: list[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]


@contextmanager
def upstream(folder: Path) -> Iterator[int]:
    """The port of an emulator that is recorded: it answers at once, and who asks for it slowly."""
    scenario = folder / "upstream.yaml"
    slow = "match: {prompt: {contains: slowly}}, pace: {ttft: 0.2, tokens_per_second: 40}"
    answer = f"reply: {{content: '{WORDS}'}}"
    fast = "pace: {ttft: 0, tokens_per_second: 100000}"
    scenario.write_text(f"version: 1\nrules:\n- {{{slow}, {answer}}}\n- {{{fast}, {answer}}}\n")
    with served("--log", "off", "--scenario", str(scenario)) as running:
        yield running.port


@contextmanager
def recorder(folder: Path, url: str) -> Iterator[Command]:
    """`emulator record`, which ends well."""
    running = command("--provider", "serevix", "--upstream", url, "--into", str(folder / "out"), "--log", "off")
    try:
        yield running
    finally:
        running.process.send_signal(signal.SIGINT)
        _, running.errors = running.process.communicate(timeout=120)
    assert running.process.returncode == 0, running.errors


@contextmanager
def undisturbed() -> Iterator[None]:
    """Upstream, recorder with its writer, and client share the machine's cores with nothing else, where the system
    allows that: the delays are those of the recorder, not those of whatever else is running here."""
    before, usual = os.sched_getscheduler(0), os.sched_getparam(0)
    try:
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(10))
    except PermissionError:
        print("no real-time priority: other programs count, too")
        yield
        return
    try:
        yield
    finally:
        os.sched_setscheduler(0, before, usual)


@pytest.mark.parametrize("background", [0, 50], ids=["alone", "beside 50 streams"])
def test_the_recorder_adds_less_than_two_milliseconds_to_a_whole_answer(background: int, tmp_path: Path) -> None:
    url = "http://127.0.0.1:{}/serevix"
    with undisturbed(), upstream(tmp_path) as port, recorder(tmp_path, url.format(port)) as recording:
        lines = {"direct": Line(port), "through": Line(recording.port)}
        stop = threading.Event()
        crowd = threading.Thread(target=lambda: asyncio.run(keep_streaming(recording.port, background, stop)))
        crowd.start()
        rounds: list[dict[str, list[float]]] = []
        try:
            for number in range(-1, ROUNDS):  # the first warms everything up
                taken: dict[str, list[float]] = {"direct": [], "through": []}
                for pair in range(PAIRS):
                    body = question(f"{number} {pair}", is_stream=False)
                    for name in sorted(lines, reverse=bool(pair % 2)):
                        taken[name].append(lines[name].ask(body))
                rounds += [taken] if number >= 0 else []
        finally:
            stop.set()
            crowd.join(60)
            for line in lines.values():
                line.socket.close()
    rounds.sort(key=lambda taken: percentile(taken["direct"], 0.99))
    direct, through = ([each for taken in rounds[:QUIET] for each in taken[name]] for name in ("direct", "through"))
    assert added("whole answers", direct, through) < MAX_ADDED


@pytest.mark.parametrize("count", [1, 50])
def test_the_recorder_adds_less_than_two_milliseconds_to_each_event_of_a_stream(count: int, tmp_path: Path) -> None:
    """From the moment at which the upstream's socket got an event to the one at which the client had read it, over the
    recorder and without it, in the same seconds; the recordings are written meanwhile."""
    with undisturbed(), stamped_upstream() as port, recorder(tmp_path, f"http://127.0.0.1:{port}") as recording:
        rounds = [delays({"direct": port, "through": recording.port}, count, 4.0) for _ in range(1 + QUIET)][1:]
    direct, through = ([each for taken in rounds for each in taken[name]] for name in ("direct", "through"))
    assert added(f"events of {count} streams of 50 tokens/s", direct, through) < MAX_ADDED


def added(what: str, direct: list[float], through: list[float]) -> float:
    """The milliseconds by which one of a hundred is later over the recorder than one is usually without it."""
    shown = [percentile(times, share) for times in (direct, through) for share in (0.5, 0.99, 0.999)]
    print(
        "{}: direct p50 {:.2f} p99 {:.2f} p99.9 {:.2f} ms, through the recorder {:.2f}, {:.2f} and {:.2f} ms".format(
            what, *shown
        )
    )
    found = percentile(through, 0.99) - percentile(direct, 0.5)
    print(f"  p99 less the direct p50: {found:.2f} ms, less the direct p99: {shown[4] - shown[1]:.2f} ms")
    return found


def test_two_hundred_streams_at_once_are_recorded_without_loss(tmp_path: Path) -> None:
    with upstream(tmp_path) as port:
        with recorder(tmp_path, f"http://127.0.0.1:{port}/serevix") as recording:
            answers = asyncio.run(streams(recording.port, STREAMS, "slowly"))
        assert f"{STREAMS} recorded." in recording.errors
        direct = asyncio.run(streams(port, STREAMS, "slowly"))
    longest = [max(answer.seconds for answer in each) for each in (answers, direct)]
    print(f"{STREAMS} streams at once: {longest[0]:.2f} s through the recorder, {longest[1]:.2f} s without it")
    assert {(answer.text, answer.is_whole) for answer in answers} == {(WORDS, True)}
    with served("--strict", "--log", "off", "--speed", "max", "--scenario", str(tmp_path / "out")) as replay:
        again = asyncio.run(streams(replay.port, STREAMS, "slowly"))
    assert {(answer.text, answer.is_whole) for answer in again} == {(WORDS, True)}


def test_a_recorder_that_is_killed_under_load_keeps_every_whole_answer(tmp_path: Path) -> None:
    """What a client had all of half a second before is there, and nothing is there in part."""
    with upstream(tmp_path) as port:
        url = f"http://127.0.0.1:{port}/serevix"
        recording = command("--provider", "serevix", "--upstream", url, "--into", str(tmp_path / "out"), "--log", "off")
        line = Line(recording.port)
        stop = threading.Event()
        crowd = threading.Thread(target=lambda: asyncio.run(keep_streaming(recording.port, 40, stop, is_whole=False)))
        crowd.start()
        moments = []
        for number in range(100):
            line.ask(question(f"whole {number}", is_stream=bool(number % 2)))
            moments.append(time.monotonic())
        killed = time.monotonic()
        recording.process.kill()
        recording.process.communicate()
        stop.set()
        crowd.join(60)
        line.socket.close()
    names = [path.name for path in (tmp_path / "out").glob("*.yaml")]
    kept = [number for number in range(100) if any(f"whole-{number}-" in name for name in names)]
    lost = [number for number in range(100) if number not in kept]
    latest = max((killed - moments[number] for number in lost), default=0.0)
    print(f"{len(names)} answers on the disk, {len(lost)} not yet: the oldest of these {latest * 1000:.0f} ms old")
    assert subprocess.run([*COMMAND, "check", str(tmp_path / "out")], check=False).returncode == 0
    assert list((tmp_path / "out").rglob(".new-*")) == []
    assert latest < 0.5
