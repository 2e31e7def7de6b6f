"""Grades a client's behavior in a case by its output, exit code and requests, with pure functions."""

import re
from collections.abc import Sequence
from enum import StrEnum

from emulator.exam.cases import Case, Expected
from emulator.records import record

PROMPT = "Name one city for each letter of the alphabet, in order."
CITIES = (
    "Amsterdam", "Bogotá", "Cairo", "Dakar", "Edinburgh", "Florence", "Genève", "Helsinki", "İzmir", "Jakarta",
    "Kraków", "Lisbon", "Málaga", "Nairobi", "Oslo", "Prague", "Quito", "Reykjavík", "São Paulo", "東京 (Tokyo)",
    "Utrecht", "Venice", "Warsaw", "Xi'an", "Yerevan", "Zürich",
)  # fmt: skip
ANSWER = f"{', '.join(CITIES)}."
"""The model's answer, in which missing, doubled or foreign parts can be recognized."""
MAX_ATTEMPTS = 10
"""The maximum requests for one prompt; more of them are a storm."""
MAX_SHOWN = 160

INTERNAL = re.compile(
    r"^(?:Uncaught )?(?:[\w.]+\.)?(?:IndexError|KeyError|TypeError|AttributeError|UnboundLocalError|NameError|"
    r"RecursionError|AssertionError|JSONDecodeError|UnicodeDecodeError|ValidationError|StopIteration|RangeError|"
    r"ReferenceError|SyntaxError|NullPointerException|ClassCastException|IndexOutOfBoundsException)\b(?!: "
    r"(?:terminated|fetch failed))|^panic: |panicked at ",
    re.MULTILINE,
)
"""Matches errors of a program that doesn't handle a case: callers don't catch these on purpose."""
NAMED = re.compile(r"(?:Uncaught )?[\w.]*(?:Error|Exception|Warning|Timeout)\b(?: \[[^\]]*\])?: ?\S|(?:error|panic): ")
"""Matches a line that names an error; the last line may be part of its details, or come from the runtime."""
SAYS_CUT = re.compile(r"length|truncat|cut|incomplete|partial|filter|unfinished|max.?tokens|error|fail", re.IGNORECASE)


class Grade(StrEnum):
    """The grade of a client in one case."""

    PASS = "PASS"
    LOSSY = "LOSSY"
    """It lost an answer, or a part of one, that it could have kept."""
    WRONG = "WRONG"
    """It did something forbidden: took a part for the whole, or an error for an answer, or broke the rules for retries.
    """
    CRASH = "CRASH"
    """It crashed with an error of its own."""
    HANG = "HANG"
    """It was silent for longer than the time limit."""
    SKIP = "SKIP"
    """The case does not apply to this client."""


@record
class Request:
    """One request of the client. `at` is in seconds after its first one."""

    at: float
    status: int
    outcome: str | None = None
    """The outcome that the client has acknowledged: complete, partial or failed."""


@record
class Run:
    """One run of the client. `code` is None if it had to be stopped."""

    code: int | None
    out: str
    err: str
    requests: tuple[Request, ...]
    seconds: float


@record
class Verdict:
    """A grade and why."""

    grade: Grade
    said: str


def squeezed(text: str) -> str:
    """Returns a text without whitespace, control characters and terminal escape sequences."""
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text)
    text = re.sub(r"\\u([0-9a-fA-F]{4})", lambda found: chr(int(found[1], 16)), text)
    return "".join(letter for letter in text if not letter.isspace() and letter.isprintable())


_ANSWER = squeezed(ANSWER)


def is_whole(out: str) -> bool:
    """Whether an output contains the whole answer in one piece."""
    return _ANSWER in squeezed(out)


def heard(out: str) -> list[str]:
    """Returns the cities in an output."""
    text = squeezed(out)
    return [city for city in CITIES if squeezed(city) in text]


def is_doubled(out: str) -> bool:
    """Whether parts of the answer appear twice."""
    text = squeezed(out)
    return sum(text.count(squeezed(city)) > 1 for city in CITIES) > 1


def foreign(case: Case, out: str, usual: str) -> str | None:
    """Returns a text in an output that comes from the fault rather than from the answer."""
    rest, before = squeezed(out).replace(_ANSWER, ""), squeezed(usual).replace(_ANSWER, "")
    return next((each for each in case.foreign if squeezed(each) in rest and squeezed(each) not in before), None)


def last_line(err: str) -> str:
    """Returns the last message of a program in one line: the error, if it names one."""
    lines = [line.strip() for line in err.splitlines() if line.strip()]
    named = [line for line in lines[-12:] if NAMED.match(line)]
    return _cut([*lines, *named[-1:]][-1]) if lines else ""


def _cut(line: str) -> str:
    return line if len(line) <= MAX_SHOWN else f"{line[: MAX_SHOWN - 1]}…"


def grade(case: Case, run: Run, usual: str) -> Verdict:
    """Returns the grade of a run. usual: the output of a healthy run."""
    count = len(run.requests)
    if count > MAX_ATTEMPTS:
        return Verdict(Grade.WRONG, f"{count} requests: a storm")
    if run.code is None:
        return _unfinished(case, run)
    if not count:
        return Verdict(Grade.CRASH, f"no request came; {_ending(run)}")
    if run.code != 0:
        return _failed(case, run)
    if (odd := foreign(case, run.out, usual)) is not None:
        return Verdict(Grade.WRONG, f"took {odd!r} for text of the answer")
    return _failed(case, run) if _is_reported(run) else _succeeded(case, run)


def _is_reported(run: Run) -> bool:
    """Whether a client that exits with 0 still reports that the answer is incomplete."""
    if is_whole(run.out):
        return False
    is_acknowledged = any(each.outcome in ("partial", "failed") for each in run.requests)
    return is_acknowledged or SAYS_CUT.search(run.err) is not None


def _unfinished(case: Case, run: Run) -> Verdict:
    if case.expected is Expected.WAIT and len(run.requests) == 1:
        return Verdict(Grade.PASS, "still waiting, as requested, when it was stopped")
    if case.expected is Expected.WAIT and (early := _early(case, run.requests)):
        return Verdict(Grade.WRONG, early)
    after = " after the whole answer" if is_whole(run.out) else ""
    return Verdict(Grade.HANG, f"was silent{after} until it was stopped, after {run.seconds:.0f} s; {_requests(run)}")


def _failed(case: Case, run: Run) -> Verdict:
    """Grades a client that exited with an error, or reported one."""
    expected, said = case.expected, f"{_requests(run)}, {_ending(run)}"
    assert run.code is not None
    if run.code < 0 or (run.code > 0 and INTERNAL.search(_tail(run.err))):
        return Verdict(Grade.CRASH, said)
    if expected is Expected.ANSWER:
        kept = " after the whole answer" if is_whole(run.out) else ""
        return Verdict(Grade.LOSSY, f"refused a good answer{kept}: {_ending(run)}")
    if expected is Expected.RETRY:
        return Verdict(Grade.LOSSY, f"gave up on an error that passes: {said}")
    if expected is Expected.REFUSE and len(run.requests) > 1:
        return Verdict(Grade.WRONG, f"tried again: {said}")
    if expected is Expected.WAIT and (early := _early(case, run.requests)):
        return Verdict(Grade.WRONG, early)
    if is_doubled(run.out):
        return Verdict(Grade.WRONG, f"asked again after output, so that text is doubled: {said}")
    if run.code:
        return Verdict(Grade.PASS, f"{_requests(run)}, exit {run.code}")
    is_said = SAYS_CUT.search(run.err) is not None
    how = f"said on stderr: {last_line(run.err)}" if is_said else "acknowledged that the answer is not whole"
    return Verdict(Grade.PASS, how)


def _succeeded(case: Case, run: Run) -> Verdict:
    """Grades a client that exited as if all were well."""
    expected, whole = case.expected, is_whole(run.out)
    if is_doubled(run.out):
        return Verdict(Grade.WRONG, f"text is doubled; {_requests(run)}")
    if expected in (Expected.ANSWER, Expected.EITHER, Expected.RETRY, Expected.WAIT):
        if whole:
            early = _early(case, run.requests)
            return Verdict(Grade.WRONG, early) if early else Verdict(Grade.PASS, _requests(run))
        is_lossy = expected is Expected.ANSWER
        return Verdict(Grade.LOSSY if is_lossy else Grade.WRONG, f"exit 0 with {_share(run.out)}")
    if whole:
        return Verdict(Grade.PASS, f"got the whole answer all the same; {_requests(run)}")
    return Verdict(Grade.WRONG, f"exit 0 with {_share(run.out)}; {_requests(run)}")


def _early(case: Case, requests: Sequence[Request]) -> str:
    """Returns how the client retried too early; None if it didn't."""
    if not case.wait or len(requests) < 2 or requests[1].at >= case.wait:
        return ""
    return f"came back after {requests[1].at:.2f} s"


def _share(out: str) -> str:
    cities = heard(out)
    return f"{len(cities)} of {len(CITIES)} parts of the answer" if cities else "no answer"


def _requests(run: Run) -> str:
    return f"{len(run.requests)} request{'' if len(run.requests) == 1 else 's'}"


def _ending(run: Run) -> str:
    assert run.code is not None
    how = f"signal {-run.code}" if run.code < 0 else f"exit {run.code}"
    last = last_line(run.err)
    return f"{how}: {last}" if last else how


def _tail(err: str) -> str:
    """Describes how a program ended, without its earlier output."""
    return "\n".join(err.splitlines()[-12:])
