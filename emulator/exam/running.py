"""Runs the cases, several at a time, each with its own namespace and process."""

import asyncio
import contextlib
import os
import signal
from asyncio.subprocess import PIPE, Process
from collections.abc import Callable, Mapping, Sequence

from emulator.client import NamespaceClient
from emulator.clock import WallClock
from emulator.embedded import Emulator
from emulator.errors import UsageError
from emulator.exam.cases import CASES, Case
from emulator.exam.grading import ANSWER, PROMPT, Grade, Request, Run, Verdict, grade, is_whole, last_line
from emulator.interception.environment import isolated
from emulator.providers import PROVIDERS
from emulator.records import record
from emulator.state.exchanges import Exchange

HEALTHY = "healthy"
PLACE_OF_PROMPT = "{prompt}"
MAX_OUTPUT = 1 << 20
"""The characters of an output that are read."""
LOOK = 0.1
"""Seconds between checks of a client."""
START = 60.0
"""Seconds that a client may take before its first request."""
PATIENCE = 0.9
"""The fraction of the time limit after which silence counts as endless."""
STORM = 50
"""A client is stopped after this many requests."""
LONG = ("hang", "stall", "retry_after_long", "open_after_done")
"""Cases that may take the whole time limit start first."""


class CannotSit(UsageError):
    """The client doesn't work even with a healthy server."""


@record
class Options:
    """The options of an exam."""

    command: tuple[str, ...]
    provider: str = "openai"
    """The provider that OPENAI_BASE_URL points to."""
    timeout: float = 15.0
    """Seconds of silence after which a client counts as hanging."""
    jobs: int = 4
    cases: tuple[str, ...] = tuple(CASES)


@record
class Result:
    """The result of one case."""

    case: Case
    verdict: Verdict
    run: Run | None = None
    findings: tuple[str, ...] = ()
    """The codes of the verdict's findings in its requests."""


@record
class Exam:
    """A whole exam: the client, and its results in the order of the cases."""

    command: tuple[str, ...]
    provider: str
    operation: str
    streams: bool
    results: tuple[Result, ...]
    seconds: float


def hold(options: Options, on_result: Callable[[Result], None] = lambda result: None) -> Exam:
    """Runs an exam. `on_result` receives each result. Raises CannotSit or UsageError."""

    async def run() -> Exam:
        clock = WallClock()
        try:
            return await _Sitting(options, server, clock, on_result).hold()
        finally:
            clock.close()

    with Emulator({"unmatched": "error"}) as server:
        return asyncio.run(run())


class _Sitting:
    """A running exam."""

    def __init__(
        self, options: Options, server: Emulator, clock: WallClock, on_result: Callable[[Result], None]
    ) -> None:
        self._options = options
        self._server = server
        self._clock = clock
        self._on_result = on_result
        self._free = asyncio.Semaphore(options.jobs)

    async def hold(self) -> Exam:
        """Runs the client with a healthy server, then all cases."""
        started = self._clock.now()
        usual, first = await self._healthy()
        wanted = [CASES[name] for name in self._options.cases]
        order = sorted(wanted, key=lambda case: case.name not in LONG)
        tasks = {case.name: asyncio.create_task(self._sit(case, usual, first)) for case in order}
        try:
            await asyncio.gather(*tasks.values())
        finally:
            for task in tasks.values():
                task.cancel()
        return Exam(
            self._options.command,
            first.request.provider,
            first.operation,
            first.stream,
            tuple(tasks[case.name].result() for case in wanted),
            self._clock.now() - started,
        )

    async def _healthy(self) -> tuple[Run, Exchange]:
        """Runs the client with a healthy server. Raises CannotSit."""
        namespace = self._namespace(HEALTHY, ())
        run = await self._run(HEALTHY, namespace)
        said = f"its last words: {last_line(run.err) or last_line(run.out) or 'none'}"
        if run.code is None:
            raise CannotSit(f"With a healthy server, the client did not exit within {run.seconds:.0f} s; {said}")
        exchanges = namespace.journal
        if not exchanges:
            raise CannotSit(
                f"The client sent no request to the emulator (exit {run.code}). Let it take its base URL from "
                "OPENAI_BASE_URL (or that of its SDK) and the prompt from stdin, or from an argument '{prompt}'; "
                f"{said}"
            )
        answered = next((each for each in exchanges if each.outcome == "reply"), None)
        if answered is None:
            first = exchanges[0]
            why = first.message or "; ".join(first.notes) or first.error or f"status {first.status}"
            raise CannotSit(f"The client got no answer from a healthy server: {first.request.path}: {why}")
        if run.code != 0:
            raise CannotSit(f"The client got a whole answer from a healthy server, and ended with {run.code}; {said}")
        if not is_whole(run.out):
            raise CannotSit(
                "The client got a whole answer from a healthy server, and did not print all of it on stdout."
            )
        return run, answered

    async def _sit(self, case: Case, usual: Run, first: Exchange) -> Result:
        result = await self._graded(case, usual, first)
        self._on_result(result)
        return result

    async def _graded(self, case: Case, usual: Run, first: Exchange) -> Result:
        if case.streams is not None and case.streams is not first.stream:
            why = "streams no answers" if case.streams else "streams its answers"
            return Result(case, Verdict(Grade.SKIP, f"the client {why}"))
        async with self._free:
            namespace = self._namespace(case.name, case.faults)
            run = await self._run(case.name, namespace)
            findings = await asyncio.to_thread(self._findings, namespace)
        exchanges = namespace.journal
        skipped = [reason for each in exchanges for _, reason in each.skipped]
        if exchanges and skipped and not any(each.applied for each in exchanges):
            return Result(case, Verdict(Grade.SKIP, skipped[0]))
        return Result(case, grade(case, run, usual.out), run, findings)

    def _findings(self, namespace: NamespaceClient) -> tuple[str, ...]:
        """Returns the codes of the verdict's findings, each once. A client that was stopped has waited for too long."""
        limit = PATIENCE * self._options.timeout
        verdict = namespace.verdict(silence=limit, first_token=limit)
        return tuple(dict.fromkeys(finding.code for finding in verdict.findings))

    def _namespace(self, name: str, faults: Sequence[str]) -> NamespaceClient:
        scenario = {"rules": [{"name": "answer", "reply": {"content": ANSWER}}], "faults": list(faults)}
        return self._server.namespace(name, scenario)

    async def _run(self, name: str, namespace: NamespaceClient) -> Run:
        silence = self._options.timeout
        command = [part.replace(PLACE_OF_PROMPT, PROMPT) for part in self._options.command]
        started = self._clock.now()
        try:
            process = await asyncio.create_subprocess_exec(
                *command,
                stdin=PIPE,
                stdout=PIPE,
                stderr=PIPE,
                env=self._environment(name, namespace),
                start_new_session=True,
            )
        except FileNotFoundError:
            raise UsageError(f"There is no command '{command[0]}'.") from None
        except OSError as error:
            raise UsageError(f"'{command[0]}' cannot be run: {error.strerror or error}.") from None
        out, err, code = await _ended(process, self._clock, silence, lambda: len(namespace.journal))
        seconds = self._clock.now() - started
        return Run(code, out, err, requests_of(namespace.journal), seconds)

    def _environment(self, name: str, namespace: NamespaceClient) -> Mapping[str, str]:
        base_url = namespace.url(self._options.provider) + (PROVIDERS[self._options.provider].sdk_base_path() or "")
        variables = isolated(namespace.origin, list(PROVIDERS), None, base_url, os.environ)
        own = {"EMULATOR_BASE_URL": base_url, "EMULATOR_CASE": name, "PYTHONUNBUFFERED": "1"}
        return {**os.environ, **variables, **own}


async def _ended(
    process: Process, clock: WallClock, silence: float, requests: Callable[[], int]
) -> tuple[str, str, int | None]:
    """Returns the output of a process and its exit code; None if it had to be stopped because it was silent for too
    long or sent too many requests. The time before its first request does not count, since machines can be busy.
    """
    out, err = bytearray(), bytearray()

    async def read(stream: asyncio.StreamReader | None, into: bytearray) -> None:
        assert stream is not None
        while piece := await stream.read(65536):
            into += piece[: MAX_OUTPUT - len(into)]

    async def feed() -> None:
        assert process.stdin is not None
        with contextlib.suppress(ConnectionError):
            process.stdin.write(PROMPT.encode() + b"\n")
            await process.stdin.drain()
        process.stdin.close()

    async def whole() -> int:
        await asyncio.gather(feed(), read(process.stdout, out), read(process.stderr, err))
        return await process.wait()

    ending = asyncio.ensure_future(whole())
    try:
        seen, since = (0, 0, 0), clock.now()
        while not (await asyncio.wait({ending}, timeout=LOOK))[0]:
            now, before, seen = clock.now(), seen, (len(out), len(err), requests())
            since = now if seen != before else since
            if now - since > (silence if seen[2] else max(silence, START)) or seen[2] > STORM:
                break
        code = ending.result() if ending.done() else None
    finally:
        ending.cancel()
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()
    return out.decode("utf-8", "replace"), err.decode("utf-8", "replace"), code


def requests_of(exchanges: Sequence[Exchange]) -> tuple[Request, ...]:
    """Returns the requests for answers, each with its time after the first."""
    asked = [each for each in exchanges if each.request.method == "POST"]
    return tuple(
        Request(
            each.received - asked[0].received,
            each.status,
            None if each.acknowledged is None else each.acknowledged.get("outcome"),
        )
        for each in asked
    )
