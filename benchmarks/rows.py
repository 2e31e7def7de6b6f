"""The rows of the table: what is measured, on which servers, and which figure has to reach what."""

import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from benchmarks.scenario import PROMPT, SYSTEM, TOKENS, TTFT, Kind, scenario
from benchmarks.servers import (
    CLIENT_CORES,
    CORES,
    HERE,
    SCENARIO,
    SERVER_CORES,
    Load,
    Server,
    Target,
    Unavailable,
    load,
    on_cores,
    request_body,
    warm_up,
)

Figures = dict[str, float]
Level = Literal["required", "moonshot"]

OURS = "emulator"
MIB = 1024 * 1024

FLOORS = ("C floor", "empty ASGI", "Starlette")
PEERS = ("aimock", "fakellm", "stubllm", "mocktopus", "llmock")
EVERYBODY = (OURS, *FLOORS, *PEERS)
A_FEW = (OURS, *FLOORS, "aimock")


@dataclass(frozen=True, slots=True)
class Effort:
    """How long to measure, and where to write files."""

    is_quick: bool
    directory: Path
    notes: dict[str, str]
    """Remarks about a row, by the row's name."""

    @property
    def seconds(self) -> float:
        return 1.2 if self.is_quick else 3.0

    @property
    def warm_up(self) -> float:
        return 0.4 if self.is_quick else 1.0


@dataclass(frozen=True, slots=True)
class Judgement:
    """A bound on our figure, or on its ratio to another server's figure in the same round."""

    level: Level
    at_least: float | None = None
    at_most: float | None = None
    against: str = ""
    needs_cores: int = 1

    def text(self) -> str:
        sign, bound = ("≥", self.at_least) if self.at_least is not None else ("≤", self.at_most)
        return f"{sign} {bound:g}" + (f" x {self.against}" if self.against else "")

    def value(self, ours: Sequence[float], theirs: Sequence[float]) -> float | None:
        """Returns the median of the rounds that have both figures; None if there is none."""
        if not self.against:
            return statistics.median(ours) if ours else None
        ratios = [mine / other for mine, other in zip(ours, theirs, strict=False) if other]
        return statistics.median(ratios) if ratios else None

    def holds(self, value: float) -> bool:
        # As printed: 0.004 % meets a bound of 0.0 %.
        if self.at_least is not None:
            return value >= self.at_least
        return self.at_most is not None and value <= self.at_most


@dataclass(frozen=True, slots=True)
class Line:
    """One figure of a row."""

    key: str
    title: str
    digits: int = 0
    judgements: tuple[Judgement, ...] = ()


@dataclass(frozen=True, slots=True)
class Row:
    name: str
    title: str
    measure: Callable[[Target, Effort], Figures]
    lines: tuple[Line, ...]
    servers: tuple[str, ...] = (OURS,)
    quick_servers: tuple[str, ...] = (OURS,)
    slow_servers: tuple[str, ...] = ()
    """Servers measured only in the first round, because they are slow and no bound refers to them."""
    quick_rounds: int = 1
    is_quick: bool = True
    """Whether the row is part of the quick run."""


def required(
    *, at_least: float | None = None, at_most: float | None = None, against: str = "", needs_cores: int = 1
) -> Judgement:
    return Judgement("required", at_least, at_most, against, needs_cores)


def moonshot(*, at_least: float | None = None, at_most: float | None = None, against: str = "") -> Judgement:
    return Judgement("moonshot", at_least, at_most, against)


# -------------------------------------------------------------------------------------------- throughput


def _json(target: Target, effort: Effort, *, is_new: bool, head_first: bool = False) -> Figures:
    with Server(target, effort.directory) as server:
        warm_up(server, effort.warm_up)
        body = request_body(stream=False, is_new=is_new)
        # The counter starts after the warm-up's, so that the prompts really are new.
        way: dict[str, Any] = {"head_first": True} if head_first else {}
        figures = load(server, "json", body, connections=32, seconds=effort.seconds, counter=100_000_000, **way)
    _refuse_failures(figures)
    return {
        "per_second": figures["per_second"],
        "cpu": figures["server_cpu_seconds"] / figures["answers"] * 1e6,
        "latency": figures["latency_ms"]["p99"],
        "client": figures["client_cpu"] * 100,
        "others": figures["others_cpu"] * 100,
    }


def json_same(target: Target, effort: Effort) -> Figures:
    return _json(target, effort, is_new=False)


def json_new(target: Target, effort: Effort) -> Figures:
    return _json(target, effort, is_new=True)


def json_new_head_first(target: Target, effort: Effort) -> Figures:
    return _json(target, effort, is_new=True, head_first=True)


def _unpaced(target: Target, effort: Effort, *, is_new: bool) -> Figures:
    if not target.can_hurry:
        raise Unavailable("always pauses between tokens")
    with Server(target, effort.directory) as server:
        warm_up(server, effort.warm_up)
        body = request_body(stream=True, is_new=is_new)
        figures = load(
            server, "stream", body, connections=32, seconds=effort.seconds, tokens=TOKENS, counter=100_000_000
        )
    _refuse_failures(figures)
    return {
        "per_second": figures["per_second"],
        "tokens": figures["per_second"] * figures["tokens_per_stream"],
        "cpu": figures["server_cpu_seconds"] / figures["answers"] * 1e6,
        "client": figures["client_cpu"] * 100,
        "others": figures["others_cpu"] * 100,
    }


def unpaced_same(target: Target, effort: Effort) -> Figures:
    return _unpaced(target, effort, is_new=False)


def unpaced_new(target: Target, effort: Effort) -> Figures:
    return _unpaced(target, effort, is_new=True)


KINDS: dict[str, tuple[str, dict[str, Any]]] = {
    "chat": ("/serevix/v1/chat/completions", {}),
    "messages": ("/anthropic/v1/messages", {"model": "claude-sonnet-4-5", "max_tokens": 1024, "temperature": None}),
    "responses": (
        "/deepseek/v1/responses",
        {"model": "deepseek-flash", "instructions": SYSTEM, "input": PROMPT.format(number="%d"), "messages": None},
    ),
}
"""The dialects to compare: the path, and the members of the body that differ."""


def dialects(target: Target, effort: Effort) -> Figures:
    """Measures the cost of new questions in each dialect, relative to chat completions."""
    figures: Figures = {}
    with Server(target, effort.directory) as server:
        for stream in (False, True):
            for name, (path, members) in KINDS.items():
                body = {**json.loads(request_body(stream=stream, is_new=True)), **members}
                if name == "messages":
                    body["system"] = body["messages"].pop(0)["content"]
                data = json.dumps({key: value for key, value in body.items() if value is not None}).encode()
                mode = "stream" if stream else "json"
                options: dict[str, Any] = {"path": path, "connections": 32}
                options |= {"any_end": True, "tokens": 0} if stream else {}
                load(server, mode, data, seconds=effort.warm_up, counter=0, **options)
                result = load(server, mode, data, seconds=effort.seconds, counter=100_000_000, **options)
                _refuse_failures(result)
                cpu = result["server_cpu_seconds"] / result["answers"] * 1e6
                figures[f"{name}_{'stream' if stream else 'json'}"] = cpu
    for kind in ("json", "stream"):
        for name in ("messages", "responses"):
            figures[f"{name}_{kind}_share"] = figures[f"chat_{kind}"] / figures[f"{name}_{kind}"]
    return figures


def sdk(target: Target, effort: Effort) -> Figures:
    """Measures the server's cost per call while eight programs with an SDK stream answers to new prompts."""
    calls = 20 if effort.is_quick else 60
    with Server(target, effort.directory) as server:
        warm_up(server, effort.warm_up)
        base = f"http://127.0.0.1:{server.port}{target.path_of_streams.removesuffix('/chat/completions')}"
        before = server.cpu_seconds()
        command = [sys.executable, "-m", "benchmarks.sdk", base, str(calls)]
        with on_cores(CLIENT_CORES):
            programs = [subprocess.Popen([*command, str(number)], cwd=HERE.parent) for number in range(8)]
        codes = [program.wait() for program in programs]
        used = server.cpu_seconds() - before
    if any(codes):
        raise Unavailable(f"the programs ended with {codes}")
    return {"cpu": used / (8 * calls) * 1e6}


def _refuse_failures(figures: dict[str, float]) -> None:
    if figures["failures"] or not figures["answers"]:
        count, status = figures["failures"], figures["bad_status"]
        raise Unavailable(f"{count} failed answers of {figures['answers'] + count} (status {status or 200})")


def workers(target: Target, effort: Effort) -> Figures:
    # Two workers need a core each and the client one more; with fewer cores, the figures mean nothing.
    has_cores = len(CORES) >= 3
    server_cores, client_cores = (set(CORES[:2]), set(CORES[2:])) if has_cores else (set(CORES), set(CORES))
    if not has_cores:
        effort.notes["workers"] = f"{len(CORES)} cores for two workers and the client: nothing pinned, not judged"
    rates = []
    for count in (1, 2):
        with Server(target, effort.directory, workers=count, cores=server_cores) as server:
            warm_up(server, effort.warm_up)
            body = request_body(stream=True, is_new=True)
            figures = load(server, "stream", body, client_cores, connections=64, seconds=effort.seconds, tokens=TOKENS)
        _refuse_failures(figures)
        rates.append(figures["per_second"])
    return {"one": rates[0], "two": rates[1], "gain": rates[1] / rates[0]}


# -------------------------------------------------------------------------------------------- paced streams


def _paced(
    target: Target, effort: Effort, streams: int, *, hold: float = 0, disturb: Callable[[Server], None] | None = None
) -> Figures:
    scenario_file = SCENARIO
    if disturb:
        # A copy, because the file is rewritten during the measurement.
        scenario_file = effort.directory / "disturbed.yaml"
        shutil.copy(SCENARIO, scenario_file)
    with Server(target, effort.directory, paced=True, scenario=scenario_file) as server:
        warm_up(server, effort.warm_up / 2)
        before = server.resident_bytes()
        body = request_body(stream=True, is_new=True)
        at_work = Load(
            server,
            "paced",
            body,
            streams=streams,
            # Streams that are replaced start evenly over a stream's length, so that their replacements do too.
            ramp=4 if hold else 1 if streams > 1 else 0,
            hold=hold,
            limit=60 + hold,
            gap=target.gap,
            tokens=TOKENS,
            counter=100_000_000,
        )
        if disturb:
            disturb(server)
        figures = at_work.wait()
    if not figures["answers"]:
        raise Unavailable(f"no stream was complete (status {figures['bad_status'] or 200})")
    return {
        "complete": figures["answers"] / figures["started"] * 100,
        "ttft_p50": figures["ttft_ms"]["p50"],
        "ttft_p99": figures["ttft_ms"]["p99"],
        "interval": figures["interval_ms"],
        "interval_p50": figures["interval_error_ms"]["p50"],
        "interval_p99": figures["interval_error_ms"]["p99"],
        "schedule_p50": figures["schedule_error_ms"]["p50"],
        "schedule_p99": figures["schedule_error_ms"]["p99"],
        "length": figures["length_error_percent"]["mean"],
        "length_signed": figures["length_error_percent"]["signed"],
        "length_worst": figures["length_error_percent"]["max"],
        "cpu": figures["server_cpu_seconds"] / (figures["started"] * TOKENS) * 1e6,
        "memory": max(0.0, figures["most_resident"] - before) / MIB / streams * 1000,
        "client": figures["client_cpu"] * 100,
        "others": figures["others_cpu"] * 100,
        "batch": figures["batch_ms"]["p99"],
    }


def paced_1000(target: Target, effort: Effort) -> Figures:
    return _paced(target, effort, 1000)


def paced_1000_beside(target: Target, effort: Effort) -> Figures:
    """Measures streams while another program uses a quarter of the server's core."""
    program = "import time\nwhile True:\n    t = time.perf_counter()\n    while time.perf_counter() < t + 0.005: pass\n"
    with on_cores(SERVER_CORES):
        other = subprocess.Popen([sys.executable, "-c", program + "    time.sleep(0.015)"])
    try:
        return _paced(target, effort, 1000)
    finally:
        other.kill()
        other.wait()


def paced_2000(target: Target, effort: Effort) -> Figures:
    return _paced(target, effort, 2000)


def paced_2000_renewed(target: Target, effort: Effort) -> Figures:
    return _paced(target, effort, 2000, hold=10)


def one_stream(target: Target, effort: Effort) -> Figures:
    return _paced(target, effort, 1)


def disturbance(target: Target, effort: Effort) -> Figures:
    def disturb(server: Server) -> None:
        time.sleep(1.5)
        effort.notes["disturbance"] = "; ".join(done(server) for done in DISTURBANCES)

    return _paced(target, effort, 1000, disturb=disturb)


def _ask_for_a_big_count(server: Server) -> str:
    text = "The quick brown fox jumps over 13 lazy dogs; ça va, 你好! " * (MIB // 60)
    began = time.monotonic()
    status, _ = server.ask("POST", server.target.path, request_body(stream=False, max_tokens=1, prompt=text[:MIB]))
    return f"1 MiB prompt: {status} after {time.monotonic() - began:.2f} s"


def _reload(server: Server) -> str:
    # Replaced as a whole, the way editors and deployments do it; the sleep lets a poll of once a second see it.
    changed = server.wish.scenario.with_suffix(".new")
    changed.write_text(scenario(101))
    changed.replace(server.wish.scenario)
    time.sleep(1.1)
    return "scenario file replaced"


def _arm_a_fault(server: Server) -> str:
    # By URL and in its own namespace, so that it doesn't hit the measured streams.
    path = f"/@disturbance/~error:name=overloaded{server.target.path}"
    status, _ = server.ask("POST", path, request_body(stream=False))
    return f"fault armed: {status}"


DISTURBANCES = (_ask_for_a_big_count, _reload, _arm_a_fault)


# -------------------------------------------------------------------------------------------- the rest


def memory(target: Target, effort: Effort) -> Figures:
    figures: Figures = {}
    # With a pace, readiness is checked without a chat request, so the tokenizer isn't loaded yet.
    with Server(target, effort.directory, paced=True) as server:
        time.sleep(0.5)
        if target.health_path:
            figures["idle"] = server.resident_bytes() / MIB
        server.ask("POST", target.path, request_body(stream=False, max_tokens=8 if target.is_shortened else 0))
        time.sleep(0.2)
        figures["after"] = server.resident_bytes() / MIB
        if "idle" not in figures:
            figures["idle"] = figures["after"]
    return figures


def cold_start(target: Target, effort: Effort) -> Figures:
    seconds = []
    # The first start of a run compiles and reads from disk; it isn't counted.
    for number in range(4 if effort.is_quick else 6):
        with Server(target, effort.directory) as server:
            if number:
                seconds.append(server.seconds_to_first_answer)
    return {"seconds": statistics.median(seconds)}


def embedded(target: Target, effort: Effort) -> Figures:
    """Measures, in a Python program, the time from the import to a running server, further starts, and the stop."""
    program = """
import json, time
start = time.perf_counter()
from emulator import Emulator
first = Emulator().start()
times = [time.perf_counter() - start]
for _ in range(9):
    start = time.perf_counter()
    later = Emulator().start()
    times.append(time.perf_counter() - start)
    start = time.perf_counter()
    later.stop()
    times.append(time.perf_counter() - start)
print(json.dumps([times[0], sorted(times[1::2])[4], sorted(times[2::2])[4]]))
"""
    runs = []
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    for _ in range(4 if effort.is_quick else 6):
        with on_cores(SERVER_CORES):
            command = [sys.executable, "-c", program]
            done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
        runs.append(json.loads(done.stdout))
    first, later, stop = (statistics.median([run[place] for run in runs[1:]]) for place in range(3))
    return {"first": first, "later": later * 1000, "stop": stop * 1000}


def rules(target: Target, effort: Effort) -> Figures:
    figures: Figures = {}
    kinds: tuple[Kind, ...] = ("equals", "contains")
    for kind in kinds:
        for count in (10, 1000):
            file = effort.directory / f"{kind}-{count}.yaml"
            file.write_text(scenario(count, kind))
            with Server(target, effort.directory, scenario=file) as server:
                warm_up(server, effort.warm_up)
                # No cache helps: `equals` needs the same prompt, so the system message varies.
                system = f"{SYSTEM} Case %d." if kind == "equals" else SYSTEM
                body = request_body(stream=False, is_new=kind == "contains", system=system)
                result = load(server, "json", body, connections=32, seconds=effort.seconds, counter=100_000_000)
            _refuse_failures(result)
            figures[f"{kind}_{count}"] = result["server_cpu_seconds"] / result["answers"] * 1e6
        figures[f"{kind}_ratio"] = figures[f"{kind}_1000"] / figures[f"{kind}_10"]
    return figures


# -------------------------------------------------------------------------------------------- the table

_SHARES = (required(at_least=0.8), moonshot(at_least=0.95))
_CLIENT = Line("client", "client CPU %")
_ASKED_TTFT = TTFT * 1000

_JSON_GOALS = (
    required(at_least=2, against="aimock"),
    required(at_least=0.6, against="empty ASGI"),
    moonshot(at_least=6, against="aimock"),
    moonshot(at_least=1.5, against="empty ASGI"),
)


def _json_lines(*judgements: Judgement) -> tuple[Line, ...]:
    return (
        Line("per_second", "requests/s", 0, judgements),
        Line("cpu", "CPU µs per request", 1),
        Line("latency", "latency p99 ms", 2),
        _CLIENT,
    )


def _unpaced_lines(*judgements: Judgement) -> tuple[Line, ...]:
    return (
        Line("per_second", "streams/s", 0, judgements),
        Line("tokens", "tokens/s"),
        Line("cpu", "CPU µs per stream"),
        _CLIENT,
    )


_PACED_LINES = {
    "complete": Line("complete", "complete %", 1, (required(at_least=100),)),
    "ttft_p50": Line("ttft_p50", f"TTFT p50 ms (asked {_ASKED_TTFT:.0f})", 1),
    "ttft_p99": Line("ttft_p99", f"TTFT p99 ms (asked {_ASKED_TTFT:.0f})", 1),
    "interval_p50": Line("interval_p50", "interval error p50 ms", 3),
    "interval_p99": Line("interval_p99", "interval error p99 ms", 2),
    "schedule_p50": Line("schedule_p50", "schedule error p50 ms", 2),
    "schedule_p99": Line("schedule_p99", "schedule error p99 ms", 2),
    "length": Line("length", "length error %", 3),
    "length_worst": Line("length_worst", "length error of the worst stream %", 2),
    "cpu": Line("cpu", "CPU µs per token", 1),
    "memory": Line("memory", "MB per 1,000 streams", 1),
    "client": _CLIENT,
    "batch": Line("batch", "lateness of the client itself, p99 ms", 3),
}


def _paced_lines(*keys: str, **judgements: tuple[Judgement, ...]) -> tuple[Line, ...]:
    lines = [_PACED_LINES[key] for key in keys]
    return tuple(Line(line.key, line.title, line.digits, judgements.get(line.key, line.judgements)) for line in lines)


_ALL_PACED = tuple(_PACED_LINES)

ROWS = (
    Row(
        "json",
        "JSON, 32 connections, one prompt",
        json_same,
        _json_lines(*_JSON_GOALS),
        EVERYBODY,
        A_FEW,
        quick_rounds=2,
    ),
    Row(
        "json-new",
        "JSON, 32 connections, every prompt new",
        json_new,
        _json_lines(
            required(at_least=0.45, against="empty ASGI"),
            moonshot(at_least=0.7, against="empty ASGI"),
            moonshot(at_least=2, against="aimock"),
        ),
        A_FEW,
        (OURS, "empty ASGI", "aimock"),
        quick_rounds=2,
    ),
    Row(
        "json-new-head-first",
        "JSON, every prompt new, the head written before the body",
        json_new_head_first,
        _json_lines(required(at_least=0.45, against="empty ASGI"), moonshot(at_least=0.7, against="empty ASGI")),
        (OURS, "empty ASGI"),
        is_quick=False,
    ),
    Row(
        "dialects",
        "New questions in other dialects",
        dialects,
        (
            Line("chat_json", "CPU µs per request, chat completions", 1),
            Line("messages_json", "CPU µs per request, messages", 1),
            Line("responses_json", "CPU µs per request, responses", 1),
            Line("messages_json_share", "chat completions : messages", 2, _SHARES),
            Line("responses_json_share", "chat completions : responses", 2, _SHARES),
            Line("chat_stream", "CPU µs per stream, chat completions", 1),
            Line("messages_stream", "CPU µs per stream, messages", 1),
            Line("responses_stream", "CPU µs per stream, responses", 1),
            Line("messages_stream_share", "chat completions : messages, streams", 2, _SHARES),
            Line("responses_stream_share", "chat completions : responses, streams", 2, _SHARES),
        ),
        is_quick=False,
    ),
    Row(
        "sdk",
        "Eight programs with openai-python, each streaming new prompts",
        sdk,
        (
            Line(
                "cpu", "server CPU µs per call", 0,
                (required(at_most=0.7, against="aimock"), moonshot(at_most=0.4, against="aimock")),
            ),
        ),
        (OURS, "aimock"),
        is_quick=False,
    ),
    Row(
        "unpaced",
        "Unpaced streams of 200 tokens, 32 connections, one prompt",
        unpaced_same,
        _unpaced_lines(required(at_least=6, against="aimock"), moonshot(at_least=10, against="aimock")),
        (OURS, *FLOORS, "aimock", "stubllm", "llmock"),
        A_FEW,
        quick_rounds=2,
    ),
    Row(
        "unpaced-new",
        "Unpaced streams of 200 tokens, 32 connections, every prompt new",
        unpaced_new,
        _unpaced_lines(required(at_least=7, against="aimock"), moonshot(at_least=10, against="aimock")),
        (OURS, "empty ASGI", "aimock"),
        (OURS, "aimock"),
    ),
    Row(
        "paced-1000",
        "1,000 streams x 50 tokens/s",
        paced_1000,
        _paced_lines(
            *_ALL_PACED,
            interval_p50=(required(at_most=0.1),),
            interval_p99=(required(at_most=2, against="C floor"),),
            length=(required(at_most=0.1),),
            schedule_p99=(required(at_most=20),),
            ttft_p99=(required(at_most=_ASKED_TTFT + 15), moonshot(at_most=_ASKED_TTFT + 10)),
            cpu=(required(at_most=0.8, against="aimock"), moonshot(at_most=1.4, against="C floor")),
            memory=(required(at_most=16),),
        ),
        EVERYBODY,
        (OURS, "C floor", "aimock"),
        slow_servers=("fakellm", "stubllm", "mocktopus", "llmock"),
    ),
    Row(
        "paced-1000-beside",
        "1,000 streams x 50 tokens/s, another program takes a quarter of the core",
        paced_1000_beside,
        _paced_lines(
            "complete", "ttft_p50", "ttft_p99", "interval_p50", "schedule_p99",
            ttft_p99=(required(at_most=60), moonshot(at_most=35)),
            schedule_p99=(),
        ),
        (OURS, "C floor"),
        is_quick=False,
    ),
    Row(
        "paced-2000",
        "2,000 streams x 50 tokens/s",
        paced_2000,
        _paced_lines(
            "complete", "ttft_p99", "interval_p50", "schedule_p99", "length", "length_worst", "cpu", "client",
            ttft_p99=(required(at_most=150), moonshot(at_most=60)),
            interval_p50=(required(at_most=0.1), moonshot(at_most=0.05)),
            length=(required(at_most=1),),
        ),
        (OURS, *FLOORS, "aimock"),
        (OURS, "C floor"),
        slow_servers=("empty ASGI", "Starlette", "aimock"),
    ),
    Row(
        "paced-2000-renewed",
        "2,000 streams x 50 tokens/s, each replaced when it ends, for 10 s",
        paced_2000_renewed,
        _paced_lines(
            "complete", "ttft_p99", "interval_p50", "schedule_p99", "length", "length_worst", "cpu", "client",
            complete=(moonshot(at_least=100),),
            ttft_p99=(required(at_most=50), moonshot(at_most=30)),
            length=(moonshot(at_most=1),),
        ),
        (OURS, "C floor"),
        is_quick=False,
    ),
    Row(
        "one-stream",
        "One stream x 50 tokens/s",
        one_stream,
        _paced_lines(
            "complete", "ttft_p50", "interval_p50", "interval_p99", "length",
            interval_p50=(required(at_most=0.1),),
            # 0.0 % as printed with one digit.
            length=(required(at_most=0.05),),
        ),
        (OURS, *FLOORS, "aimock"),
        (OURS, "C floor"),
        slow_servers=("Starlette",),
    ),
    Row(
        "disturbance",
        "1,000 streams x 50 tokens/s, disturbed",
        disturbance,
        _paced_lines("complete", "schedule_p50", "schedule_p99", "length", schedule_p99=(required(at_most=50),)),
    ),
    Row(
        "memory",
        "Memory",
        memory,
        (
            Line("idle", "idle MB, tokenizer not needed yet", 0, (required(at_most=80),)),
            Line("after", "idle MB after the first answer", 0, (required(at_most=180),)),
        ),
        EVERYBODY,
        A_FEW,
        slow_servers=(*FLOORS, *PEERS),
    ),
    Row(
        "cold-start",
        "Cold start",
        cold_start,
        (
            Line(
                "seconds", "seconds to the first answer", 3,
                (required(at_most=0.3), moonshot(at_most=0.2)),
            ),
        ),
        EVERYBODY,
        (OURS, "Starlette"),
        slow_servers=("C floor", *PEERS),
    ),
    Row(
        "embedded",
        "In a Python program",
        embedded,
        (
            Line("first", "seconds from the import to the start", 3, (required(at_most=0.25), moonshot(at_most=0.15))),
            Line("later", "ms for another start", 1, (required(at_most=5), moonshot(at_most=2))),
            Line("stop", "ms for the stop", 1, (required(at_most=10), moonshot(at_most=3))),
        ),
    ),
    Row(
        "rules",
        "Rules",
        rules,
        (
            Line("equals_10", "CPU µs per request, 10 rules with equals", 1),
            Line("equals_1000", "CPU µs per request, 1,000 rules with equals", 1),
            Line("equals_ratio", "1,000 : 10 rules with equals", 2, (required(at_most=2), moonshot(at_most=1.2))),
            Line("contains_10", "CPU µs per request, 10 rules with contains", 1),
            Line("contains_1000", "CPU µs per request, 1,000 rules with contains", 1),
            Line("contains_ratio", "1,000 : 10 rules with contains", 2, (required(at_most=2), moonshot(at_most=1.2))),
        ),
    ),
    Row(
        "workers",
        "Workers",
        workers,
        (
            Line("one", "unpaced streams/s, 1 worker"),
            Line("two", "unpaced streams/s, 2 workers"),
            Line("gain", "2 workers : 1 worker", 2, (required(at_least=1.6, needs_cores=3),)),
        ),
    ),
)  # fmt: skip
