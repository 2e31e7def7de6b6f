"""Several processes on one port, each with an accept queue of its own: for load that one core cannot bear.

They share nothing. A scenario whose answers depend on what came before would give different answers from process to
process, so it is refused, with the reasons.
"""

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from types import FrameType

from emulator.errors import UsageError
from emulator.faults.base import Fault
from emulator.scenario.models import Match, RuleModel, Scenario


def needs_shared_state(
    scenario: Scenario, origins: tuple[str, ...] = (), server_faults: Sequence[Fault] = ()
) -> list[str]:
    """Why a scenario, and the faults of the server beside it, cannot be answered by processes that share nothing;
    empty when they can."""
    reasons = []
    if scenario.quotas:
        reasons.append("quotas count over all requests")
    if any(account.balance is not None for account in scenario.accounts):
        reasons.append("balances are spent by all requests")
    if scenario.clock != "real":
        reasons.append(f"the clock is {scenario.clock}, and each process would have its own")
    if any(map(_counts, scenario.faults)):
        reasons.append("faults with times or skip count over all requests")
    reasons += [
        f"the server's fault '{fault.kind}' has times or skip, which count over all requests"
        for fault in server_faults
        if _counts(fault)
    ]
    everywhere = [*server_faults, *scenario.faults, *(fault for rule in scenario.rules for fault in rule.faults)]
    if any(fault.reaches_beyond_exchange for fault in everywhere):
        reasons.append("faults that stop listening would stop one process, and the others would go on")
    for number, rule in enumerate(scenario.rules):
        name = rule.name or f"rules[{number}]"
        where = f"{origins[number]}: " if number < len(origins) else ""
        reasons += [f"{where}rule '{name}' {why}" for why in _reasons(rule)]
    return reasons


def _reasons(rule: RuleModel) -> Iterator[str]:
    if rule.replies is not None and len(rule.replies) > 1 and not any(item.chance for item in rule.replies):
        yield "answers in turn"
    if rule.times is not None:
        yield "is used up after a number of times"
    if rule.set_state is not None or any(item.set_state is not None for item in rule.replies or ()):
        yield "moves the state"
    if _looks_back(rule.match):
        yield "looks at the state or at the attempt"
    if any(map(_counts, rule.faults)):
        yield "has faults that count"


def _counts(fault: Fault) -> bool:
    return fault.times is not None or fault.skip > 0


def _looks_back(match: Match) -> bool:
    parts = [*(match.any_of or ()), *(match.all_of or ()), *([match.not_] if match.not_ is not None else [])]
    return match.state is not None or match.attempt is not None or any(map(_looks_back, parts))


def run(number: int, serve: Callable[[int, Callable[[], None]], None], on_ready: Callable[[], None]) -> int:
    """Fork `number` processes that each run `serve(index, ready)`, and wait for them; `on_ready` is called once all of
    them listen. The answer is an exit code. Signals to the parent end all; should one process die, all end."""
    if not hasattr(os, "fork"):
        raise UsageError("Several workers need a system that can fork; run several servers on ports of their own.")
    reader, writer = os.pipe()
    lifeline = os.pipe()  # its end tells the children that their parent is gone, however it went
    children = {_forked(index, serve, reader, writer, lifeline) for index in range(1, number + 1)}
    os.close(writer)

    def forward(signum: int, frame: FrameType | None) -> None:
        _signal(children, signum)

    for name in (signal.SIGINT, signal.SIGTERM):
        signal.signal(name, forward)
    with os.fdopen(reader, "rb") as pipe:
        if len(pipe.read(number)) == number:
            on_ready()
    return _wait_for_all(children)


def _forked(
    index: int,
    serve: Callable[[int, Callable[[], None]], None],
    reader: int,
    writer: int,
    lifeline: tuple[int, int],
) -> int:
    pid = os.fork()
    if pid:
        return pid
    os.close(reader)
    os.close(lifeline[1])
    code = 1
    try:
        # The terminal sends Ctrl-C to every process; the parent passes on what it gets, once.
        os.setpgid(0, 0)
        threading.Thread(target=_end_with, args=(lifeline[0],), daemon=True).start()
        serve(index, lambda: _tell(writer))
        code = 0
    except BaseException as error:
        print(f"worker {index}: {type(error).__name__}: {error}", file=sys.stderr)  # noqa: T201 - the last word
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _end_with(lifeline: int) -> None:
    os.read(lifeline, 1)
    os.kill(os.getpid(), signal.SIGTERM)


def _tell(writer: int) -> None:
    os.write(writer, b".")
    os.close(writer)


def _wait_for_all(children: set[int]) -> int:
    code = 0
    while children:
        pid, status = os.wait()
        children.discard(pid)
        # One that is told to end before it can listen to signals dies of them, which is an orderly end as well.
        was_told = os.WIFSIGNALED(status) and os.WTERMSIG(status) in (signal.SIGINT, signal.SIGTERM)
        if status and not was_told:
            code = 1
        _signal(children, signal.SIGTERM)
    return code


def _signal(children: set[int], signum: int) -> None:
    for pid in tuple(children):
        try:
            os.kill(pid, signum)
        except ProcessLookupError:
            children.discard(pid)
