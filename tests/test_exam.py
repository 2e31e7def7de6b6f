"""`emulator exam`: clients get the right grades, and the reports show them to people and programs."""

import json
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import processes
import pytest
from click.testing import CliRunner
from runner import ENVIRONMENT
from tables import each_of

from emulator.cli.exam import command
from emulator.exam import report
from emulator.exam.cases import CASES, MUST, SHOULD, Case, Expected
from emulator.exam.grading import ANSWER, CITIES, Grade, Request, Run, grade, is_doubled, is_whole, last_line
from emulator.exam.grading import Verdict as Graded
from emulator.exam.running import Exam, Result
from emulator.faults import fault_of

pytestmark = pytest.mark.timeout(300)
CLIENT = (sys.executable, "-S", str(Path(__file__).parent / "exam_clients.py"))


def exam(
    *arguments: str, client: tuple[str, ...] = CLIENT, code: int | None = None
) -> subprocess.CompletedProcess[str]:
    done = processes.run(
        [*processes.COMMAND, "exam", *arguments, *(("--", *client) if client else ())],
        capture_output=True,
        text=True,
        timeout=170,
        env=ENVIRONMENT,
    )
    assert code is None or done.returncode == code, done.stdout + done.stderr
    return done


def facts(*only: str, client: tuple[str, ...] = CLIENT, **options: str) -> dict[str, Any]:
    chosen = [part for name in only for part in ("--only", name)]
    given = [f"--{name}={value}" for name, value in options.items()]
    found: dict[str, Any] = json.loads(exam("--json", *chosen, *given, client=client).stdout)
    return found


def grades(found: Mapping[str, Any]) -> dict[str, str]:
    return {each["name"]: each["grade"] for each in found["cases"]}


# The cases


def test_every_case_is_complete() -> None:
    assert len(CASES) >= 40
    assert sum(case.level == MUST for case in CASES.values()) >= 20
    for case in CASES.values():
        for fault in case.faults:
            fault_of(fault)
        assert case.why.endswith((".", "`.")), case.name
        assert case.fix.endswith("."), case.name
        assert bool(case.wait) == (case.expected is Expected.WAIT), case.name


def test_the_cases_can_be_listed() -> None:
    listed = exam("--list", client=(), code=0).stdout
    assert [name for name in CASES if f" {name} " not in listed] == []
    assert "MUST    truncated" in listed


# Grades


def run(code: int | None = 0, out: str = ANSWER, err: str = "", requests: int = 1, gap: float = 0.5) -> Run:
    return Run(code, out, err, tuple(Request(gap * number, 200) for number in range(requests)), 1.0)


HALF = ", ".join(CITIES[:9])
TRACE = "Traceback (most recent call last):\n  File x\nIndexError: list index out of range\n"
SAID = "Traceback (most recent call last):\n  File x\nopenai.APIError: busy\n"


def case_for(expected: Expected, **facts: Any) -> Case:
    return Case("name", "usage", MUST, expected, "Why.", "Fix.", **facts)


GRADED = [
    (Expected.ANSWER, run(), Grade.PASS),
    (Expected.ANSWER, run(out=f"Assistant:\n{ANSWER}\n"), Grade.PASS),
    (Expected.ANSWER, run(out=json.dumps(ANSWER)), Grade.PASS),
    (Expected.ANSWER, run(out=ANSWER.replace(" ", "\n\x1b[0m")), Grade.PASS),
    (Expected.ANSWER, run(out=HALF), Grade.LOSSY),
    (Expected.ANSWER, run(out=ANSWER + ANSWER), Grade.WRONG),
    (Expected.ANSWER, run(code=1, err=SAID), Grade.LOSSY),
    (Expected.ANSWER, run(code=1, err=TRACE), Grade.CRASH),
    (Expected.ANSWER, run(code=-11), Grade.CRASH),
    (Expected.ANSWER, run(code=None), Grade.HANG),
    (Expected.ANSWER, run(code=1, requests=0), Grade.CRASH),
    (Expected.RETRY, run(requests=2), Grade.PASS),
    (Expected.RETRY, run(code=1, out="", err=SAID), Grade.LOSSY),
    (Expected.RETRY, run(out=""), Grade.WRONG),
    (Expected.REFUSE, run(code=1, out="", err=SAID), Grade.PASS),
    (Expected.REFUSE, run(code=1, out="", err=SAID, requests=2), Grade.WRONG),
    (Expected.REFUSE, run(out=""), Grade.WRONG),
    (Expected.REFUSE, run(out="", err="error: status 401"), Grade.PASS),
    (Expected.REFUSE, run(out="", err="error: status 401", requests=2), Grade.WRONG),
    (Expected.RETRY, run(out="", err="error: status 503"), Grade.LOSSY),
    (Expected.ANSWER, run(err="an error on the way, which passed"), Grade.PASS),
    (Expected.REPORT, run(out=HALF, err=f"logged: {TRACE}"), Grade.PASS),
    (Expected.LIMIT, run(code=1, out="", requests=3), Grade.PASS),
    (Expected.LIMIT, run(code=1, out="", requests=11), Grade.WRONG),
    (Expected.LIMIT, run(code=None, out="", requests=51), Grade.WRONG),
    (Expected.REPORT, run(code=1, out=HALF, err=SAID), Grade.PASS),
    (Expected.REPORT, run(out=HALF), Grade.WRONG),
    (Expected.REPORT, run(out=HALF, err="warning: the answer was truncated"), Grade.PASS),
    (Expected.REPORT, run(out=HALF, err="took 3 s"), Grade.WRONG),
    (Expected.REPORT, run(out=""), Grade.WRONG),
    (Expected.REPORT, run(), Grade.PASS),
    (Expected.REPORT, run(code=1, out=HALF + HALF, err=SAID, requests=2), Grade.WRONG),
    (Expected.REPORT, run(code=1, out=HALF, err="TypeError: terminated"), Grade.PASS),
    (Expected.REPORT, run(code=1, out=HALF, err="TypeError: Cannot read properties of undefined"), Grade.CRASH),
    (Expected.REPORT, run(code=1, out=HALF, err="panic: runtime error: index out of range"), Grade.CRASH),
    (Expected.REPORT, Run(0, HALF, "", (Request(0.0, 200, "partial"),), 1.0), Grade.PASS),
    (Expected.REPORT, Run(0, HALF, "", (Request(0.0, 200, "complete"),), 1.0), Grade.WRONG),
    (Expected.EITHER, run(), Grade.PASS),
    (Expected.EITHER, run(code=1, out="", err=SAID), Grade.PASS),
    (Expected.EITHER, run(out=""), Grade.WRONG),
    (Expected.GIVE_UP, run(code=1, out=HALF, err=SAID), Grade.PASS),
    (Expected.GIVE_UP, run(code=None, out=HALF), Grade.HANG),
    (Expected.GIVE_UP, run(out=HALF), Grade.WRONG),
]


@each_of(("expected", "result", "wanted"), GRADED)
def test_grades(expected: Expected, result: Run, wanted: Grade) -> None:
    assert grade(case_for(expected), result, ANSWER).grade is wanted


@pytest.mark.parametrize(
    ("result", "wanted", "said"),
    [
        (run(requests=2, gap=1.0), Grade.PASS, "2 requests"),
        (run(requests=2, gap=0.9), Grade.WRONG, "came back after 0.90 s"),
        (run(code=1, out="", requests=2, gap=0.2), Grade.WRONG, "came back after 0.20 s"),
        (run(code=1, out=""), Grade.PASS, "1 request, exit 1"),
        (run(code=None, out=""), Grade.PASS, "still waiting, as requested, when it was stopped"),
        (run(code=None, out="", requests=3, gap=0.1), Grade.WRONG, "came back after 0.10 s"),
    ],
)
def test_grades_of_waiting(result: Run, wanted: Grade, said: str) -> None:
    verdict = grade(case_for(Expected.WAIT, wait=0.95), result, ANSWER)
    assert (verdict.grade, verdict.said) == (wanted, said)


@pytest.mark.parametrize(
    ("err", "said"),
    [
        ("", ""),
        ("it failed\n", "it failed"),
        ("SyntaxError: Unexpected end\n    at parse (x.js:1)\n\nNode.js v20.20.2\n", "SyntaxError: Unexpected end"),
        ("AI_APICallError [AI_APICallError]: busy\n  cause: undefined\n}\n", "AI_APICallError [AI_APICallError]: busy"),
        (SAID, "openai.APIError: busy"),
        ("error: busy\nsee the log", "error: busy"),
    ],
)
def test_what_a_client_says_of_its_end(err: str, said: str) -> None:
    assert last_line(err) == said


def test_text_of_a_fault_is_no_answer() -> None:
    case = case_for(Expected.ANSWER, foreign=("keep-alive",))
    assert grade(case, run(out=f" keep-alive{ANSWER}"), ANSWER).grade is Grade.WRONG
    page = case_for(Expected.REPORT, foreign=("<html",))
    assert grade(page, run(out="<html>log in</html>", err="error: odd"), ANSWER).grade is Grade.WRONG
    assert grade(case, run(out=f"[keep-alive on] {ANSWER}"), f"[keep-alive on] {ANSWER}").grade is Grade.PASS


def test_what_was_heard() -> None:
    assert is_whole(ANSWER)
    assert not is_whole(ANSWER.replace("東京", "?"))
    assert not is_doubled(ANSWER)
    assert is_doubled(ANSWER + HALF)


# Clients


@pytest.mark.long
def test_a_client_that_does_everything_right_is_never_blamed() -> None:
    found = facts(timeout="30")
    assert {name: grade for name, grade in grades(found).items() if grade not in ("PASS", "SKIP")} == {}
    assert sum(grade == "PASS" for grade in grades(found).values()) >= 50
    assert found["MUST"]["passed"] == found["MUST"]["held"]


@pytest.mark.long
def test_a_client_that_does_not_stream_is_never_blamed() -> None:
    found = facts(client=(*CLIENT, "whole"), timeout="30")
    assert {name: grade for name, grade in grades(found).items() if grade not in ("PASS", "SKIP")} == {}
    assert grades(found)["truncated_json"] == "PASS"
    assert grades(found)["crlf"] == "SKIP"
    assert not found["streams"]


@pytest.mark.parametrize(
    ("mistake", "failed"),
    [
        ("lax", {"error_200": "WRONG", "truncated": "WRONG", "cut_by_length": "WRONG"}),
        ("stubborn", {"wrong_key": "WRONG", "no_retry": "WRONG"}),
        ("hasty", {"retry_after": "WRONG", "retry_after_ms": "WRONG"}),
        ("storm", {"stays_overloaded": "WRONG"}),
        ("comments", {"comments": "WRONG"}),
        ("raw", {"bad_event": "CRASH"}),
        ("brittle", {"stale_keepalive": "LOSSY"}),
    ],
)
def test_one_mistake_is_found(mistake: str, failed: dict[str, str]) -> None:
    only = (*failed, "crlf", "bad_request" if mistake != "stubborn" else "rate_limited")
    found = grades(facts(*only, client=(*CLIENT, mistake)))
    assert {name: grade for name, grade in found.items() if grade != "PASS"} == failed


def test_a_connection_that_is_kept_dies_and_is_replaced() -> None:
    found = facts("stale_keepalive", client=(*CLIENT, "pooled"))
    (case,) = found["cases"]
    assert (case["grade"], case["findings"]) == ("PASS", [])
    assert [request["status"] for request in case["run"]["requests"]] == [503, 200]


def test_each_case_tells_what_the_verdict_finds() -> None:
    found = facts("wrong_key", "retry_after", "crlf", client=(*CLIENT, "stubborn", "hasty"))
    assert {each["name"]: each["findings"] for each in found["cases"]} == {
        "wrong_key": ["retried_non_retryable"],
        "retry_after": ["retry_after_ignored"],
        "crlf": [],
    }


@pytest.mark.long
def test_a_client_that_hangs_is_stopped_with_all_its_children() -> None:
    program = (
        "import os, subprocess, sys, urllib.request\n"
        "url = os.environ['EMULATOR_BASE_URL'] + '/chat/completions'\n"
        'body = b\'{"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Hi"}]}\'\n'
        "headers = {'authorization': 'Bearer k', 'content-type': 'application/json'}\n"
        "if os.environ['EMULATOR_CASE'] == 'hang': subprocess.Popen(['sleep', '600'])\n"
        "import json\n"
        "answer = json.load(urllib.request.urlopen(urllib.request.Request(url, body, headers)))\n"
        "print(answer['choices'][0]['message']['content'])\n"
    )
    found = facts("hang", client=(sys.executable, "-S", "-c", program), timeout="8")
    assert grades(found) == {"hang": "HANG"}
    (case,) = found["cases"]
    assert case["run"]["exit"] is None
    assert "no_read_timeout" in case["findings"]
    assert len(case["run"]["requests"]) == 1


@pytest.mark.parametrize(
    ("program", "sentence"),
    [
        ("print('hello')", "The client sent no request to the emulator (exit 0)."),
        ("import sys; sys.exit('no key')", "its last words: no key"),
    ],
)
def test_a_client_that_cannot_sit_learns_why(program: str, sentence: str) -> None:
    done = exam(client=(sys.executable, "-S", "-c", program), code=2)
    assert sentence in done.stderr
    assert "Traceback" not in done.stderr


def test_bad_usage_is_one_sentence() -> None:
    for arguments, sentence in [
        (["--only", "trunkated", "--", "true"], "There is no case 'trunkated'. Did you mean 'truncated'?"),
        (["--report", "x.pdf", "--", "true"], "--report x.pdf: the name must end in one of .json, .xml, .md, .html."),
        (["--provider", "opnai", "--", "true"], "There is no provider 'opnai'. Did you mean 'openai'?"),
        ([], "Give a command: emulator exam -- python client.py"),
        (["--", "no-such-command"], "There is no command 'no-such-command'."),
    ]:
        done = CliRunner().invoke(command, arguments)
        assert (done.exit_code, done.stdout) == (2, "")
        assert done.stderr.startswith(sentence)


def test_the_reports(tmp_path: Path) -> None:
    paths = {suffix: tmp_path / f"report{suffix}" for suffix in (".json", ".xml", ".md", ".html")}
    reports = [part for path in paths.values() for part in ("--report", str(path))]
    only = ("--only", "truncated", "--only", "cut_by_length", "--only", "crlf", "--only", "truncated_json")
    done = exam(*only, "--only", "wrong_key", *reports, client=(*CLIENT, "lax", "stubborn"), code=1)
    lines = done.stdout.splitlines()
    truncated = r"  ✗ WRONG  MUST    truncated            exit 0 with [1-9] of 26 parts of the answer; 1 request"
    assert any(re.fullmatch(truncated, line) for line in lines)
    assert "  ✓ PASS   MUST    crlf                 1 request" in lines
    assert "1 case does not concern this client: truncated_json" in lines
    assert f"{' ' * 40}verdict: retried_non_retryable" in lines
    assert "MUST    ████████░░░░░░░░░░░░░░░░  1 of 3  (2 WRONG)" in lines
    assert (
        "      repeat with emulator serve, base URL http://127.0.0.1:8080/~truncate:after_tokens=12/openai/v1" in lines
    )
    assert "\x1b" not in done.stdout

    found = json.loads(paths[".json"].read_text())
    failed = dict.fromkeys(("wrong_key", "cut_by_length", "truncated"), "WRONG")
    assert grades(found) == failed | {"truncated_json": "SKIP", "crlf": "PASS"}
    assert list(grades(found)) == [name for name in CASES if name in grades(found)]
    assert found[MUST] == {"passed": 1, "held": 3}
    assert found[SHOULD] == {"passed": 0, "held": 1}
    suites = ElementTree.parse(paths[".xml"]).getroot()
    assert sum(int(suite.get("failures", "0")) for suite in suites) == 2
    assert sum(int(suite.get("skipped", "0")) for suite in suites) == 2
    assert "| ❌ | WRONG | MUST `truncated` |" in paths[".md"].read_text()
    assert " | `retried_non_retryable` |" in paths[".md"].read_text()
    assert "Verdict: retried_non_retryable" in paths[".xml"].read_text()
    page = paths[".html"].read_text()
    assert "✗ WRONG</td><td>MUST</td>" in page
    assert "<small>Verdict: retried_non_retryable</small>" in page
    assert "http" not in page.replace("http://127.0.0.1:8080", "")  # nothing comes from elsewhere


def result(name: str, grade: Grade, said: str = "1 request", **facts: Any) -> Result:
    return Result(CASES[name]._replace(**facts), Graded(grade, said))


def sat(*results: Result) -> Exam:
    return Exam(("python", "client.py"), "openai", "chat", True, results, 2.0)


def test_a_report_of_an_exam_without_mistakes_has_nothing_to_change() -> None:
    lines = report.text(sat(result("wrong_key", Grade.PASS)), is_colored=False).splitlines()
    assert lines[:6] == [
        "Exam of python client.py",
        "chat at openai, streamed",
        "",
        "Errors that will not pass",
        "  ✓ PASS   MUST    wrong_key            1 request",
        "",
    ]
    assert (lines[6][:24], len(lines)) == ("MUST    ████████████████", 9)


def test_cases_that_do_not_concern_a_client_are_named_below_the_others() -> None:
    exam_ = sat(
        result("wrong_key", Grade.SKIP), result("truncated", Grade.LOSSY, fix="Mend it. " * 20, why="Cut. " * 30)
    )
    text = report.text(exam_, is_colored=False)
    assert "Errors that will not pass" not in text
    assert "1 case does not concern this client: wrong_key" in text
    assert "Errors that will not pass" not in report.html(exam_)
    changes = text.splitlines()[text.splitlines().index("What to change") + 1 :]
    assert changes[:5] == [
        "  ● " + "Mend it. " * 11 + "Mend",
        "    it. " + " ".join(["Mend it."] * 8),
        "      truncated            " + " ".join(["Cut."] * 16),
        " " * 27 + " ".join(["Cut."] * 14),
        "      repeat with emulator serve, base URL http://127.0.0.1:8080/~truncate:after_tokens=12/openai/v1",
    ]
