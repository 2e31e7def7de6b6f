"""Every kind of fault at every vendor that serves Claude's messages: it acts, or says why it could not."""

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from talk import single
from test_messages import BROKEN, SILENT

from emulator import Emulator
from emulator.faults import FAULTS

FIXED: dict[str, Any] = {"id": "msg_1", "created": 1}
SCENARIO: dict[str, Any] = {
    "clock": "virtual",
    "rules": [
        {"match": {"prompt": "Hi"}, "reply": {"reasoning": "So.", "content": "Hé, you", **FIXED}},
        {
            "match": {"prompt": "Call"},
            "reply": {"content": "I see.", "tool_calls": [{"name": "f", "arguments": '{"a":1}', "id": "c"}], **FIXED},
        },
        {"match": {"prompt": "Slow"}, "reply": {"content": "Hi", **FIXED}, "pace": {"ttft": 35}},
        {"match": {"prompt": "Refuse"}, "error": "overloaded"},
    ],
}
PATHS = {"anthropic": "/v1/messages", "serevix": "/v1/messages", "cloudsway": "/one/v1/messages"}
THINKING = {"type": "enabled", "budget_tokens": 1024}


class Vendor:
    def __init__(self, emulator: Emulator, name: str) -> None:
        self.emulator, self.name = emulator, name

    def post(self, fault: str, prompt: str = "Hi", *, stream: bool = True) -> httpx.Response:
        body = {"model": "claude-haiku-4-5", "max_tokens": 2000, "thinking": THINKING, "stream": stream}
        asked = {**body, "messages": [{"role": "user", "content": prompt}]}
        headers = {"authorization": "Bearer k", "anthropic-version": "2023-06-01"}
        shown = {**headers, **({"x-emulator-fault": fault} if fault else {})}
        return single.post(self.emulator.url(self.name) + PATHS[self.name], json=asked, headers=shown, timeout=20)


@pytest.fixture(scope="module")
def emulator() -> Iterator[Emulator]:
    with Emulator(SCENARIO) as running:
        yield running


@pytest.fixture(params=PATHS)
def vendor(emulator: Emulator, request: pytest.FixtureRequest) -> Vendor:
    return Vendor(emulator, str(request.param))


@pytest.mark.parametrize("kind", sorted(FAULTS.keys() - SILENT - BROKEN))
def test_a_fault_acts_or_says_why_it_could_not(kind: str, vendor: Vendor) -> None:
    fault = f"{kind}:name=overloaded" if kind == "error" else kind
    acted = 0
    for prompt in ("Hi", "Call", "Slow", "Refuse"):
        for stream in (True, False):
            try:
                answer = vendor.post(fault, prompt, stream=stream)
            except httpx.DecodingError:
                continue  # compressed, and cut
            where = f"{prompt}, streamed: {stream}: {answer.text[:300]}"
            exchange = vendor.emulator.journal[-1]
            assert "x-emulator-error" not in answer.headers, where
            assert exchange.faults == (f"{kind} (header)",), where
            for note in exchange.notes:
                assert note.startswith(f"fault {kind} (header) was skipped: "), where
            acted += not exchange.notes
    assert acted or kind in NOWHERE


NOWHERE = {
    "done_text_differs", "empty_choices_chunk", "failed_after_text", "id_changes", "only_final",
    "sequence_gap", "unknown_item",
    "tls_expired", "tls_refused", "tls_reset", "tls_unknown_ca", "tls_wrong_host",
}  # fmt: skip
"""What there is not in this dialect, or without TLS."""


def events(response: httpx.Response) -> list[dict[str, Any]]:
    return [
        json.loads(line.removeprefix("data: ")) for line in response.text.splitlines() if line.startswith("data: {")
    ]


def test_faults_that_only_typed_streams_know_act_on_claude(vendor: Vendor) -> None:
    healthy = [event["type"] for event in events(vendor.post(""))]
    assert "event: " not in vendor.post("no_event_lines").text
    assert {line for line in vendor.post("wrong_event_name:name=odd").text.splitlines() if "event: " in line} == {
        "event: odd"
    }
    for fault, gone in (
        ("missing_block_start", "content_block_start"),
        ("missing_block_stop", "content_block_stop"),
        ("no_created", "message_start"),
        ("no_done", "message_stop"),
        ("done_no_finish", "message_delta"),
    ):
        assert [event["type"] for event in events(vendor.post(fault))] == [kind for kind in healthy if kind != gone]
    assert vendor.post("done_added").text.endswith("data: [DONE]\n\n")
    signed = [event for event in events(vendor.post("no_signature")) if "signature_delta" in json.dumps(event)]
    assert signed == []
    assert '"signature":"bm90LXNpZ25lZA=="' in vendor.post("wrong_signature").text
