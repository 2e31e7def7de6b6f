"""Every fault on a dialect that says nothing about its wire but how it writes events: each applies or says why not."""

from typing import Any, ClassVar

from emulator import tokens
from emulator.dialects.base import Dialect
from emulator.faults import FAULTS, fault_of
from emulator.faults.base import FaultContext, NotApplicable
from emulator.providers.anthropic import Anthropic
from emulator.providers.base import Operation, Provider
from emulator.reply import Choice, Completion, Text, Usage
from emulator.request import Controls, HttpRequest, Message, ModelRequest
from emulator.wire import Step


class Sentences(Dialect[Any]):
    """The least that a dialect must state."""

    dialect = "sentences"

    def body(self, completion: Completion, request: ModelRequest) -> Any:
        return {"says": completion.choices[0].content}

    def stream(self, completion: Completion, request: ModelRequest) -> Any:
        pieces = tokens.pieces(completion.choices[0].content)
        for text, count in zip(pieces.texts, pieces.counts, strict=True):
            yield self.event("content", {"says": text}, tokens=count)
        yield self.event("finish", {"ends": True}, also=frozenset(["usage", "done"]))


class Speaker(Provider):
    name = "speaker"
    title = "Speaker"
    document = "none"
    operations = (Operation("say", "POST", "/say", "one sentence after another", dialect="sentences"),)
    dialects: ClassVar = {"sentences": Sentences}
    errors: ClassVar = Anthropic.errors

    def error_body(self, row: Any, request_id: str) -> Any:
        return {"wrong": row.message}


HTTP = HttpRequest("speaker", "POST", "/say", {}, "", b'{"ask":"Hi"}', operation="say", dialect="sentences")
COMPLETION = Completion("one", 1, "m", (Choice(0, (Text("Hé you"),), "stop"),), Usage(1, 3, 4))


def outcome(kind: str, *, stream: bool) -> list[Step] | str:
    """What a fault makes of an answer, or why it can't."""
    fault = fault_of("error:status=503" if kind == "error" else kind)
    parsed = ModelRequest(HTTP, "m", (Message("user", "Hi"),), stream, Controls(), "key", {"ask": "Hi"})
    request = fault.mutate_request(parsed)
    provider = Speaker()
    context = FaultContext(provider, parsed, request.stream, bytes(32), speaks_tls=True)
    try:
        completion = fault.mutate_completion(COMPLETION, context)
        return fault.transform_steps(provider.speaking("sentences").render(completion, request).steps(), context)
    except NotApplicable as reason:
        return str(reason)


BY_ERROR = {"error", "spend_limit", "error_200", "html_gateway", "captive_portal"}
"""They replace the answer, so they say something about it only when another error came first."""
NOT_STREAMED = "the answer is not a stream"
WHY_NOT = {
    "cumulative": "the answer has no text",
    "data_after_done": "this dialect has no event to send late",
    "done_text_differs": "no event repeats the text",
    "empty_choices_chunk": "this dialect has no event without choices, or another fault removed them",
    "failed_after_text": "this dialect has no event for a failed answer",
    "id_changes": "the last events have no id",
    "missing_block_start": "this dialect has no events that begin or end a part of the answer",
    "missing_block_stop": "this dialect has no events that begin or end a part of the answer",
    "no_created": "this dialect has no event that opens the stream",
    "no_done": "the event with the finish reason is the end: use truncate to remove both",
    "no_event_lines": "the events have no `event:` lines",
    "odd_separators": "no event has text",
    "only_final": "the last event doesn't contain the answer",
    "sequence_gap": "the events have no numbers, or there are too few events",
    "unknown_event": "the events have no types",
    "wrong_event_name": "the events have no `event:` lines",
}
"""Why faults of streams don't apply."""
WHY_NEVER = {
    "missing_fields": "this dialect has no members that describe an answer",
    "no_signature": "the answer has no signed reasoning",
    "null_content": "there is no text that could be null",
    "tool_arguments": "the answer calls no tool",
    "tool_index": "the answer calls no tool, or too few to make a difference",
    "unknown_block": "the answer is not made of blocks",
    "unknown_item": "the answer is not made of items",
    "unknown_tool": "the answer calls no tool",
    "wrong_signature": "the answer has no signed reasoning",
}


def test_a_fault_that_finds_nothing_in_a_stream_says_why() -> None:
    said = {kind: made for kind in FAULTS if isinstance(made := outcome(kind, stream=True), str)}
    of_whole_answers = {"truncated_json": "the answer is a stream", "blank_lines": "the answer is a stream"}
    usage = {"usage": "the stream doesn't report the usage"}
    assert {kind: words for kind, words in said.items() if kind not in BY_ERROR} == {
        **WHY_NOT,
        **WHY_NEVER,
        **of_whole_answers,
        **usage,
    }


def test_a_body_is_not_taken_apart_by_a_dialect_that_does_not_know_how() -> None:
    assert Speaker().speaking("sentences").plain({"ask": "Hi"}) is None


def test_a_fault_that_finds_nothing_in_a_whole_answer_says_why() -> None:
    said = {kind: made for kind in FAULTS if isinstance(made := outcome(kind, stream=False), str)}
    others = {kind: words for kind, words in said.items() if words != NOT_STREAMED and kind not in BY_ERROR}
    assert others == {**WHY_NEVER, "usage": "the answer has no usage"}
    assert said.keys() >= WHY_NOT.keys()
