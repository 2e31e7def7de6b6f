"""Clients take the exam, unmodified and with everything fixed that a program can fix; docs/clients.md shows the
results.
"""

import json
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from clients_environments import environment, executable, variables
from clients_table import CLIENTS, Client

HERE = Path(__file__).parent
GRADES = HERE / "grades.json"
EXAM_TIMEOUT = 1200.0
FAILED = ("LOSSY", "WRONG", "CRASH", "HANG")
LEVELS = ("MUST", "SHOULD")
NO_ANSWER = ("captive_portal", "error_200", "empty_200", "empty_choices", "blank_then_close", "truncated", "other_form")
CUT = ("content_filter", "cut_by_length")
SILENT = ("hang", "stall")


class Sitting(NamedTuple):
    """A client that sits the exam."""

    client: str
    """Whose environment it is, in CLIENTS."""
    program: str
    """The least that an exam asks for; with `_mended` before its suffix, the program in which the fixes are made."""
    fixes: Mapping[str, tuple[str, ...]]
    """What to change, for which cases."""
    left: Mapping[str, tuple[str, ...]] = {}
    """What no program can change, for which cases."""
    operation: str = "chat"

    @property
    def mended(self) -> str:
        """The program in which the fixes are made."""
        path = Path(self.program)
        return f"{path.stem}_mended{path.suffix}"


def check(reason: str, cut: str) -> str:
    """The fix that helps most."""
    return (
        f"Look at {reason} at the end. Without it, the stream broke off or was no answer at all; {cut} say that "
        "the answer is not whole."
    )


WAITS = "seconds without a byte; the default is ten minutes"
OPENAI_CUT = "`length` and `content_filter`"
SITTING: Mapping[str, Sitting] = {
    "openai-python": Sitting(
        "openai-python",
        "exam_openai_python.py",
        {
            check("`finish_reason`", OPENAI_CUT): (*NO_ANSWER, *CUT),
            f"Set `OpenAI(timeout=8)`: {WAITS}.": SILENT,
            "Catch `ValueError` in addition to `APIError`: JSON errors are not wrapped.": ("bad_event",),
        },
        {"The SDK takes an event without data for JSON, and fails.": ("ids_and_pings", "event_blocks")},
    ),
    "openai-node": Sitting(
        "openai-node",
        "exam_openai_node.mjs",
        {
            check("`finish_reason`", OPENAI_CUT): (*NO_ANSWER, *CUT),
            "Set `timeout: 8000` for the head of the answer, and abort `stream.controller` after as long without an "
            "event; the default is ten minutes, and none within a stream.": SILENT,
            "Catch `SyntaxError` in addition to `APIError`: JSON errors are not wrapped.": ("bad_event",),
            "The SDK heeds Retry-After up to a minute. Give it a `fetch` that sets `x-should-retry: false` for "
            "longer ones.": ("retry_after_long",),
        },
        {"The SDK takes an event without data for JSON, and fails.": ("event_blocks",)},
    ),
    "anthropic-python": Sitting(
        "anthropic-python",
        "exam_anthropic_python.py",
        {
            check("`stop_reason`", "`max_tokens`, `refusal` and `model_context_window_exceeded`"): (*NO_ANSWER, *CUT),
            "Read the events of `create(stream=True)`, not those of the helper `stream()`, which fails for usage or "
            "text that is missing.": ("no_usage", "null_content"),
            "Stop reading at `message_stop`.": ("text_after_done", "open_after_done"),
            f"Set `Anthropic(timeout=8)`: {WAITS}.": SILENT,
            "Catch `ValueError` in addition to `APIError`: JSON errors are not wrapped.": ("bad_event",),
        },
        operation="messages",
    ),
    "langchain-deepseek": Sitting(
        "langchain",
        "exam_langchain_deepseek.py",
        {
            check('`response_metadata["finish_reason"]`', OPENAI_CUT): ("empty_choices", "truncated", *CUT),
            f"Set `ChatDeepSeek(timeout=8)`: {WAITS}.": SILENT,
            "Catch `ValueError` and the errors of openai and httpx: they come through.": ("bad_event",),
        },
        {"The SDK below takes an event without data for JSON, and fails.": ("ids_and_pings", "event_blocks")},
    ),
    "litellm": Sitting(
        "litellm",
        "exam_litellm.py",
        {
            "Check that there is text: litellm reports `stop` for an answer that never came.": (
                *("captive_portal", "error_200", "empty_200", "blank_then_close", "other_form"),
            ),
            f"Look at `finish_reason`: {OPENAI_CUT} say that the answer is not whole.": CUT,
            "Catch `Exception`: errors of litellm, openai and httpx come through.": (
                *("truncated", "empty_choices", "bad_event"),
            ),
            f"Set `timeout=8`: {WAITS}.": SILENT,
        },
        {"The SDK below takes an event without data for JSON, and fails.": ("ids_and_pings", "event_blocks")},
    ),
    "pydantic-ai": Sitting(
        "pydantic-ai",
        "exam_pydantic_ai.py",
        {
            check('`response.provider_details["finish_reason"]`', OPENAI_CUT): ("truncated", *CUT),
            f"Set `ModelSettings(timeout=8)`: {WAITS}.": SILENT,
        },
        {"The SDK below takes an event without data for JSON, and fails.": ("ids_and_pings", "event_blocks")},
    ),
    "ai-sdk": Sitting(
        "ai-sdk",
        "exam_ai_sdk.mjs",
        {
            check("`rawFinishReason` in `fullStream`", OPENAI_CUT): (*NO_ANSWER, *CUT),
            "Set `timeout: { firstChunkMs: 8000, chunkMs: 8000 }`, and give the provider a `fetch` with a timeout for "
            "the head of the answer; by default, it waits without a limit.": SILENT,
            "The SDK heeds Retry-After up to a minute, and `x-should-retry` not at all. Give the provider a `fetch` "
            "that throws for both.": ("retry_after_long", "no_retry"),
        },
        {"The SDK reads on after `[DONE]`.": ("text_after_done", "open_after_done")},
    ),
}

pytestmark = [pytest.mark.clients, pytest.mark.timeout(2 * EXAM_TIMEOUT + 900)]


@pytest.mark.parametrize("name", SITTING)
def test_a_client_sits_the_exam(name: str, tmp_path: Path) -> None:
    sitting = SITTING[name]
    client = CLIENTS[sitting.client]
    place = environment(sitting.client, client)
    plain, mended = [
        held(place, client, program, tmp_path / f"{program}.json") for program in (sitting.program, sitting.mended)
    ]
    for found in (plain, mended):
        assert found["operation"] == sitting.operation
        assert found["streams"]
    keep(name, sitting, plain, mended)
    fixed = {case for cases in sitting.fixes.values() for case in cases}
    left = {case for cases in sitting.left.values() for case in cases}
    assert failed(plain).keys() <= fixed | left
    assert failed(mended).keys() <= left


def held(place: Path, client: Client, program: str, report: Path) -> dict[str, Any]:
    """The report of an exam."""
    copied = shutil.copy(HERE / "programs" / program, place)
    exam = [sys.executable, "-m", "emulator", "exam", "--jobs", "2", "--report", str(report)]
    done = subprocess.run(
        [*exam, "--", *executable(place, client), str(copied)],
        capture_output=True,
        text=True,
        timeout=EXAM_TIMEOUT,
        check=False,
        env=variables(),
    )
    assert done.returncode in (0, 1), done.stderr[-2000:]  # 1: a case that is a MUST failed
    found: dict[str, Any] = json.loads(report.read_text())
    return found


def failed(found: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The cases that were not passed, by name."""
    return {case["name"]: case for case in found["cases"] if case["grade"] in FAILED}


def keep(name: str, sitting: Sitting, plain: Mapping[str, Any], mended: Mapping[str, Any]) -> None:
    """Writes down how a client did, in the order of SITTING."""
    grades = json.loads(GRADES.read_text()) if GRADES.exists() else {}
    words = {case: fix for found in (sitting.fixes, sitting.left) for fix, cases in found.items() for case in cases}
    still = failed(mended)
    grades[name] = {
        "packages": ", ".join(CLIENTS[sitting.client].packages),
        "program": sitting.program,
        "mended": sitting.mended,
        "plain": {level: plain[level] for level in LEVELS},
        "with_fixes": {level: mended[level] for level in LEVELS},
        "failed": [
            {
                **{key: case[key] for key in ("name", "level", "grade", "findings")},
                "fix": words.get(each, case["fix"]),
                "then": still[each]["grade"] if each in still else "PASS",
            }
            for each, case in failed(plain).items()
        ],
    }
    ordered = {each: grades[each] for each in SITTING if each in grades}
    GRADES.write_text(json.dumps(ordered, indent=1, ensure_ascii=False) + "\n")
