"""Answers with wrong or missing content."""

import json
from typing import Any
from zlib import crc32

import pytest
from rawhttp import HEAD_TIMEOUT
from tables import each_of
from talk import EVERY_PROVIDER
from virtual import (
    BODY,
    CHOICE,
    CHUNK,
    COUNTS,
    DONE,
    EVENTS,
    FINISH,
    PARTS,
    ROLE,
    SILENCE,
    STREAM_HEADERS,
    TEXTS,
    TYPED,
    USAGE,
    Case,
    Virtual,
    chunks,
    content,
    event,
    framed,
    head,
    is_described,
    of_family,
    seen,
    stream,
    sweep,
    unchunked,
    whole,
    whole_case,
)

from emulator.errors import UsageError
from emulator.faults import fault_of

pytest_plugins = ["leaping"]

ERROR = '{"error":{"message":"%s","type":"%s"}}'
BUSY = framed(ERROR % ("Service Unavailable", "503"))
ZEROS = '{"prompt_tokens":0,"completion_tokens":0,"total_tokens":0,"completion_tokens_details":{"reasoning_tokens":0}}'


def said(*texts: str) -> list[bytes]:
    return [event(content(text)) for text in texts]


def finish(reason: str, counts: str = COUNTS, text: str = '""') -> bytes:
    return event(f'{{"content":{text}}}', reason, f',"usage":{counts}')


def counts(completion: int) -> str:
    reported = COUNTS.replace('"completion_tokens":4', f'"completion_tokens":{completion}')
    return reported.replace('"total_tokens":9', f'"total_tokens":{5 + completion}')


def empty(more: str = "") -> bytes:
    return framed(CHUNK % ("", more))


# Tool calls

CALLS_USED = counts(55)


def call(index: str, name: str, *, id: str, arguments: str = "") -> str:
    """The first piece of a tool call; `index` is the member, with its comma."""
    return f'{index}"id":"{id}","type":"function","function":{{"name":"{name}","arguments":"{arguments}"}}'


def piece(index: str, arguments: str) -> str:
    return f'{index}"function":{{"arguments":"{arguments}"}}'


def called(*calls: str) -> list[bytes]:
    return [event(f'{{"tool_calls":[{{{each}}}]}}') for each in calls]


def tools(*calls: str, reason: str = '"tool_calls"') -> bytes:
    return stream(ROLE, *called(*calls), finish(reason, CALLS_USED), DONE)


def tools_body(*calls: str, reason: str = '"tool_calls"') -> bytes:
    listed = ",".join(f"{{{each}}}" for each in calls)
    return whole(
        '{"id":"one","object":"chat.completion","created":1,"model":"deepseek-r1","choices":[{"index":0,"message":'
        f'{{"role":"assistant","content":"","tool_calls":[{listed}]}},"finish_reason":{reason}}}],"usage":{CALLS_USED}}}'
    )


PIECES = ('{\\"', "city", '\\":\\"', "Bern", '\\"}')
"""The arguments of the first call as they are streamed."""
ARGUMENTS = "".join(PIECES)


def numbered(first: str, second: str) -> bytes:
    """Both calls of `HttpRequest`, with these members for their index."""
    return tools(
        call(first, "weather", id="call_1"),
        *[piece(first, text) for text in PIECES],
        call(second, "time", id="call_2"),
        piece(second, "{}"),
    )


def numbered_body(first: str, second: str) -> bytes:
    return tools_body(
        call(first, "weather", id="call_1", arguments=ARGUMENTS), call(second, "time", id="call_2", arguments="{}")
    )


ZERO, ONE, TWO = (f'"index":{number},' for number in range(3))
UNKNOWN = '"x_unknown":{"list":[1,null,"é"],"deep":{"er":true}}'


def strange(delta: str, reason: str = "null", more: str = "") -> bytes:
    delta = f"{delta[:-1]},{UNKNOWN}}}"
    choice = f'{{"index":0,"delta":{delta},"logprobs":null,"finish_reason":{reason},{UNKNOWN}}}'
    return framed(CHUNK.replace("%s}", f"%s,{UNKNOWN}}}") % (choice, more))


def bare(delta: str, reason: str = "null", more: str = "") -> bytes:
    return framed(f'{{"choices":[{CHOICE % (delta, reason)}]{more}}}')


def with_message(text: str, delta: str, reason: str = "null", more: str = "") -> bytes:
    message = f',"message":{{"role":"assistant","content":"{text}"}}}}'
    return framed(CHUNK % ((CHOICE % (delta, reason))[:-1] + message, more))


HALF = TEXTS[0][: len(TEXTS[0]) // 2] + b"\n\n"

CASES = [
    Case("no_done", stream(*EVENTS[:-1])),
    Case("done_no_finish", stream(ROLE, *TEXTS, DONE)),
    Case("truncate", stream(ROLE, *TEXTS)),
    Case("truncate:after_tokens=2", stream(ROLE, *TEXTS[:2])),
    Case("truncate:after_tokens=99", stream(ROLE, *TEXTS)),
    Case("truncate:after_events=0", stream()),
    Case("truncate:after_bytes=8", stream(ROLE[:8])),
    Case("error_event", stream(ROLE, *TEXTS, BUSY)),
    Case("error_event:after_tokens=1", stream(ROLE, TEXTS[0], BUSY)),
    Case("error_event:form=first", stream(BUSY)),
    Case("error_event:form=event,after_tokens=3", stream(ROLE, *TEXTS[:3], b"event: error\n" + BUSY)),
    Case(
        "error_event:form=with_done,name=server_error,message=Oh",
        stream(ROLE, *TEXTS, framed(ERROR % ("Oh", "500")), DONE),
    ),
    Case("no_trailing_blank", stream(ROLE, *TEXTS, FINISH[:-1])),
    Case("no_trailing_blank:line_ends=0", stream(ROLE, *TEXTS, FINISH[:-2])),
    Case("no_trailing_blank:done=true,line_ends=0", stream(*EVENTS[:-1], DONE[:-2])),
    Case("data_after_done", stream(*EVENTS, *said(" (after the end)"))),
    Case("data_after_done:text=late", stream(*EVENTS, *said("late"))),
    Case("done_then_open", head(STREAM_HEADERS) + chunks(EVENTS), "timeout"),
    Case("done_then_open:seconds=900", stream(*EVENTS)),
    Case("empty_choices_chunk", stream(empty(), *EVENTS)),
    Case("empty_choices_chunk:where=last", stream(*EVENTS[:-1], empty(USAGE), DONE)),
    Case("usage", stream(ROLE, *TEXTS, event('{"content":""}', '"stop"'), DONE)),
    Case("usage:form=null", stream(ROLE, *TEXTS, finish('"stop"', "null"), DONE)),
    Case("usage:form=zeros", stream(ROLE, *TEXTS, finish('"stop"', ZEROS), DONE)),
    Case("usage:form=twice", stream(*EVENTS[:-1], empty(USAGE), DONE)),
    whole_case("usage", whole(BODY.replace(USAGE, ""))),
    whole_case("usage:form=null", whole(BODY.replace(COUNTS, "null"))),
    whole_case("usage:form=zeros", whole(BODY.replace(COUNTS, ZEROS))),
    Case("duplicate_chunk", stream(ROLE, *[text for text in TEXTS for _ in range(2)], FINISH, DONE)),
    Case("duplicate_chunk:nth=2", stream(ROLE, *TEXTS[:2], *TEXTS[1:], FINISH, DONE)),
    Case("cumulative", stream(ROLE, *said("H", "Hé", "Hé,", "Hé, you"), FINISH, DONE)),
    Case(
        "cumulative:where=message",
        stream(
            with_message("", '{"role":"assistant","content":""}'),
            with_message("H", '{"content":"H"}'),
            with_message("Hé", '{"content":"é"}'),
            with_message("Hé,", '{"content":","}'),
            with_message("Hé, you", '{"content":" you"}'),
            with_message("Hé, you", '{"content":""}', '"stop"', USAGE),
            DONE,
        ),
    ),
    Case("finish_reason", stream(ROLE, *TEXTS, finish('"insufficient_system_resource"'), DONE)),
    Case("finish_reason:value=", stream(ROLE, *TEXTS, finish('""'), DONE)),
    Case("finish_reason:value=length,content=half", stream(ROLE, *TEXTS[:2], finish('"length"', counts(2)), DONE)),
    Case("finish_reason:value=content_filter,content=none", stream(ROLE, finish('"content_filter"', counts(0)), DONE)),
    whole_case("finish_reason:value=a new one", whole(BODY.replace('"stop"', '"a new one"'))),
    whole_case(
        "finish_reason:value=length,content=half",
        whole(BODY.replace('"stop"', '"length"').replace("Hé, you", "Hé").replace(COUNTS, counts(2))),
    ),
    Case(
        "tool_arguments",
        tools(
            call(ZERO, "weather", id="call_1"),
            *[piece(ZERO, text) for text in ('{\\"', "city", '\\"')],
            call(ONE, "time", id="call_2"),
            piece(ONE, "{"),
        ),
        prompt="Call",
    ),
    Case(
        "tool_arguments:form=empty,finish_reason=length",
        tools(call(ZERO, "weather", id="call_1"), call(ONE, "time", id="call_2"), reason='"length"'),
        prompt="Call",
    ),
    whole_case(
        "tool_arguments:form=invalid",
        tools_body(
            call(ZERO, "weather", id="call_1", arguments="{'city':'Bern'}"),
            call(ONE, "time", id="call_2", arguments="{}}"),
        ),
        prompt="Call",
    ),
    whole_case(
        "tool_arguments:form=truncated,finish_reason=length",
        tools_body(
            call(ZERO, "weather", id="call_1", arguments='{\\"city\\"'),
            call(ONE, "time", id="call_2", arguments="{"),
            reason='"length"',
        ),
        prompt="Call",
    ),
    Case("tool_index", numbered("", ""), prompt="Call"),
    Case("tool_index:form=zero", numbered(ZERO, ZERO), prompt="Call"),
    Case("tool_index:form=from_one", numbered(ONE, TWO), prompt="Call"),
    whole_case("tool_index:form=missing", numbered_body("", ""), prompt="Call"),
    whole_case("tool_index:form=zero", numbered_body(ZERO, ZERO), prompt="Call"),
    whole_case("tool_index:form=from_one", numbered_body(ONE, TWO), prompt="Call"),
    Case(
        "tool_index:form=id_repeated",
        tools(
            call(ZERO, "weather", id="call_1"),
            *[piece(ZERO, text) + ',"id":"call_1"' for text in PIECES],
            call(ONE, "time", id="call_2"),
            piece(ONE, "{}") + ',"id":"call_2"',
        ),
        prompt="Call",
    ),
    Case(
        "tool_index:form=name_split",
        tools(
            call(ZERO, "weat", id="call_1"),
            ZERO + '"function":{"name":"her","arguments":""}',
            *[piece(ZERO, text) for text in PIECES],
            call(ONE, "ti", id="call_2"),
            ONE + '"function":{"name":"me","arguments":""}',
            piece(ONE, "{}"),
        ),
        prompt="Call",
    ),
    Case(
        "unknown_tool",
        tools(
            call(ZERO, "no_such_tool", id="call_1"),
            *[piece(ZERO, text) for text in PIECES],
            call(ONE, "no_such_tool", id="call_2"),
            piece(ONE, "{}"),
        ),
        prompt="Call",
    ),
    whole_case(
        "unknown_tool:name=rm",
        tools_body(call(ZERO, "rm", id="call_1", arguments=ARGUMENTS), call(ONE, "rm", id="call_2", arguments="{}")),
        prompt="Call",
    ),
    Case(
        "unknown_fields",
        stream(
            strange('{"role":"assistant","content":""}'),
            *[strange(content(text)) for text in ("H", "é", ",", " you")],
            strange('{"content":""}', '"stop"', USAGE),
            DONE,
        ),
    ),
    whole_case(
        "unknown_fields",
        whole(
            '{"id":"one","object":"chat.completion","created":1,"model":"deepseek-r1","choices":[{"index":0,"message":'
            f'{{"role":"assistant","content":"Hé, you",{UNKNOWN}}},"finish_reason":"stop",{UNKNOWN}}}],'
            f'"usage":{COUNTS},{UNKNOWN}}}'
        ),
    ),
    Case(
        "missing_fields",
        stream(
            bare('{"role":"assistant","content":""}'),
            *[bare(content(text)) for text in ("H", "é", ",", " you")],
            bare('{"content":""}', '"stop"', USAGE),
            DONE,
        ),
    ),
    whole_case(
        "missing_fields:fields=object+index+total_tokens",
        whole(
            BODY.replace('"object":"chat.completion",', "").replace('"index":0,', "").replace('"total_tokens":9,', "")
        ),
    ),
    Case("bad_json_event", stream(ROLE, HALF, *TEXTS[1:], FINISH, DONE)),
    Case("bad_json_event:nth=4", stream(ROLE, *TEXTS[:3], TEXTS[3][: len(TEXTS[3]) // 2] + b"\n\n", FINISH, DONE)),
    Case(
        "null_content",
        stream(event('{"role":"assistant","content":null}'), *TEXTS, finish('"stop"', text="null"), DONE),
    ),
    Case(
        "null_content:where=all",
        stream(
            event('{"role":"assistant","content":null}'),
            *[event('{"content":null}')] * 4,
            finish('"stop"', text="null"),
            DONE,
        ),
    ),
    whole_case("null_content", whole(BODY.replace('"Hé, you"', "null"))),
]
SWEPT = {case.fault: case for case in CASES}


@each_of("case", CASES, ids=str)
def test_the_wire_shows_exactly_this(each: Virtual, case: Case) -> None:
    data, ending = each.get(case.fault, case.prompt, streamed=case.streamed, until=case.until)
    assert data.decode() == case.expected.decode()
    assert ending == case.ending
    assert each.record().notes == ()


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("provider", EVERY_PROVIDER)
def test_each_fault_suits_each_provider(virtual: Virtual, provider: str, part: str) -> None:
    sweep(virtual, provider, list(SWEPT.values()), part)


def test_each_fault_is_described_and_shown() -> None:
    kinds = of_family("content")
    assert all(is_described(kind) for kind in kinds.values())
    assert {case.fault.partition(":")[0] for case in CASES} == kinds.keys() - TYPED


# In the words of each provider


def choices_in(chunk: Any) -> list[Any]:
    core = chunk.get("model_response", chunk)
    found: list[Any] = core.get("choices", [])
    return found


def text_of(chunks: list[Any]) -> str:
    return "".join(choice["delta"].get("content") or "" for chunk in chunks for choice in choices_in(chunk))


@pytest.mark.parametrize("name", ["overloaded", "server_error", "content_policy"])
@pytest.mark.parametrize("provider", EVERY_PROVIDER)
def test_an_error_event_is_the_error_of_the_provider(virtual: Virtual, provider: str, name: str) -> None:
    refused, _ = virtual.get(f"error:name={name}", provider=provider)
    reported = json.loads(seen(refused)[2])
    assert virtual.events(f"error_event:name={name},form=first", provider=provider) == [reported]
    *healthy, last = virtual.events(f"error_event:name={name}", provider=provider)
    assert (text_of(healthy), last) == ("Hé, you", reported)


def test_separators_stand_behind_texts_only(virtual: Virtual) -> None:
    _, thought, *_ = virtual.events("odd_separators", "Think", provider="serevix")
    assert choices_in(thought)[0]["delta"] == {"content": None, "reasoning_content": "So\u2028\u2029\x85"}


@pytest.mark.parametrize("provider", EVERY_PROVIDER)
def test_a_truncated_stream_has_no_finish_reason_and_no_usage(virtual: Virtual, provider: str) -> None:
    chunks = virtual.events("truncate:after_tokens=3", provider=provider)
    assert text_of(chunks) == "Hé,"
    assert all(choice["finish_reason"] is None for chunk in chunks for choice in choices_in(chunk))
    assert not any(chunk.get("usage") or chunk.get("token_info") for chunk in chunks)


@pytest.mark.parametrize("streamed", [True, False])
@pytest.mark.parametrize("provider", EVERY_PROVIDER)
def test_the_finish_reason_is_reported_in_each_place(virtual: Virtual, provider: str, streamed: bool) -> None:
    if streamed:
        chunks = virtual.events("finish_reason:value=odd,native=odder", provider=provider)
        choice = next(c for chunk in chunks for c in choices_in(chunk) if c["finish_reason"] is not None)
    else:
        (choice,) = choices_in(virtual.body("finish_reason:value=odd,native=odder", provider=provider))
    assert choice["finish_reason"] == "odd"
    assert choice.get("native_finish_reason") == ("odder" if provider == "cloudsway" else None)


MEMBER = {"nadles": "token_info"}


@pytest.mark.parametrize("provider", EVERY_PROVIDER)
def test_the_usage_of_each_provider_is_found(virtual: Virtual, provider: str) -> None:
    name = MEMBER.get(provider, "usage")
    assert name not in virtual.body("usage", provider=provider)
    assert virtual.body("usage:form=null", provider=provider)[name] is None
    assert set(numbers(virtual.body("usage:form=zeros", provider=provider)[name])) == {0}
    asked: dict[str, Any] = {"stream_options": {"include_usage": True}}

    def reported(fault: str) -> list[Any]:
        return [chunk[name] for chunk in virtual.events(fault, provider=provider, **asked) if name in chunk]

    used = [usage for usage in reported("latency:seconds=0") if usage]
    assert len(used) == 1
    assert reported("usage") == []
    assert set(reported("usage:form=null")) == {None}
    assert [usage for usage in reported("usage:form=twice") if usage] == used * 2
    zeros = [usage for usage in reported("usage:form=zeros") if usage]
    assert [set(numbers(usage)) for usage in zeros] == [{0}]


def numbers(value: Any) -> list[float]:
    return [n for member in value.values() for n in numbers(member)] if isinstance(value, dict) else [value]


def test_an_event_that_was_only_there_for_the_usage_goes_with_it(virtual: Virtual) -> None:
    asked: dict[str, Any] = {"stream_options": {"include_usage": True}}
    healthy = virtual.events("latency:seconds=0", provider="serevix", **asked)
    assert virtual.events("usage", provider="serevix", **asked) == healthy[:-1]
    assert healthy[-1]["choices"] == []


def test_the_envelope_of_nadles_is_looked_into(serving: Any) -> None:
    on = Virtual(serving({"rules": [{"reply": {"content": "Hé, you"}}],
                          "providers": {"nadles": {"stream_envelope": "model_response"}}}))  # fmt: skip
    first, *_ = on.events("empty_choices_chunk", provider="nadles")
    assert first["model_response"]["choices"] == []
    chunks = on.events("unknown_fields", provider="nadles")
    assert all("x_unknown" in chunk for chunk in chunks)
    assert all("x_unknown" in chunk["model_response"] for chunk in chunks if "model_response" in chunk)
    assert text_of(on.events("cumulative", provider="nadles")) == "HHéHé,Hé, you"


def test_nadles_keeps_its_keys_sorted(virtual: Virtual) -> None:
    data, _ = virtual.get("unknown_fields", provider="nadles", streamed=False)
    body = seen(data)[2]
    assert json.dumps(json.loads(body), sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode() == body


@pytest.mark.parametrize("provider", EVERY_PROVIDER)
def test_the_arguments_of_each_provider_are_broken(virtual: Virtual, provider: str) -> None:
    for form in ("truncated", "invalid"):
        (choice,) = choices_in(virtual.body(f"tool_arguments:form={form}", "Call", provider=provider))
        broken = [call["function"]["arguments"] for call in choice["message"]["tool_calls"]]
        pieces: dict[int, str] = {}
        for chunk in virtual.events(f"tool_arguments:form={form}", "Call", provider=provider):
            for each in choices_in(chunk):
                for call in each["delta"].get("tool_calls") or ():
                    pieces[call["index"]] = pieces.get(call["index"], "") + call["function"]["arguments"]
        assert list(pieces.values()) == broken
        for arguments in broken:
            with pytest.raises(json.JSONDecodeError):
                json.loads(arguments)


def test_several_choices_are_kept_apart(virtual: Virtual) -> None:
    chunks = virtual.events("cumulative", provider="serevix", n=2)
    said = {(c["index"], c["delta"].get("content")) for chunk in chunks for c in choices_in(chunk)}
    assert {(0, "Hé, you"), (1, "Hé, you")} <= said


def test_a_text_with_a_gap_is_no_chat_and_breaks_all_the_same(virtual: Virtual) -> None:
    how: dict[str, Any] = {"provider": "deepseek", "path": "/beta/completions", "prompt": "Hi"}

    def texts(fault: str) -> list[str]:
        return [choice["text"] for chunk in virtual.events(fault, **how) for choice in choices_in(chunk)]

    assert texts("latency:seconds=0") == ["H", "é", ",", " you", ""]
    assert texts("truncate") == ["H", "é", ",", " you"]
    assert texts("cumulative") == ["H", "Hé", "Hé,", "Hé, you", ""]
    assert texts("data_after_done:text=late") == ["H", "é", ",", " you", "", "late"]
    assert texts("null_content:where=all") == [None] * 5
    (choice,) = choices_in(virtual.body("null_content", **how))
    assert choice["text"] is None
    (choice,) = choices_in(virtual.body("finish_reason:value=length,content=half", **how))
    assert (choice["text"], choice["finish_reason"]) == ("Hé", "length")


def test_every_fault_of_content_suits_a_text_with_a_gap(virtual: Virtual) -> None:
    for case in SWEPT.values():
        for streamed in (True, False):
            timeout = SILENCE if case.ending == "timeout" else HEAD_TIMEOUT
            data, _ = virtual.get(
                case.fault, "", streamed=streamed, timeout=timeout, provider="deepseek", path="/beta/completions",
                prompt="Hi",
            )  # fmt: skip
            assert data.startswith(b"HTTP/1.1 200 OK\r\n")


@pytest.mark.parametrize("content", ["half", "none"])
def test_log_probabilities_are_cut_with_the_text(virtual: Virtual, content: str) -> None:
    body = virtual.body(f"finish_reason:content={content}", provider="deepseek", logprobs=True)
    (choice,) = choices_in(body)
    reported = "".join(row["token"] for row in choice["logprobs"]["content"] or ())
    assert reported == choice["message"]["content"] == ("Hé" if content == "half" else "")
    chunks = virtual.events(f"finish_reason:content={content}", provider="deepseek", logprobs=True)
    assert text_of(chunks) == reported


# Together


def test_faults_of_content_can_be_combined(virtual: Virtual) -> None:
    data, _ = virtual.get("finish_reason:value=length,content=half; usage; no_done; duplicate_chunk:nth=1")
    assert unchunked(data) == b"".join([ROLE, TEXTS[0], TEXTS[0], TEXTS[1], event('{"content":""}', '"length"')])
    assert virtual.record().notes == ()


def test_faults_are_applied_in_the_order_of_the_table_however_they_are_named(virtual: Virtual) -> None:
    """What one leaves unreadable comes after what others change in it."""
    one, _ = virtual.get("bad_json_event; unknown_fields")
    other, _ = virtual.get("unknown_fields; bad_json_event")
    assert one == other
    assert virtual.record().notes == ()


@pytest.mark.parametrize("part", PARTS)
def test_every_two_faults_of_content_get_along(virtual: Virtual, part: str) -> None:
    """Some undo others, and say so; none brings the emulator down."""
    kinds = [fault for fault in of_family("content") if fault != "done_then_open"]
    for first in kinds:
        for second in kinds:
            pair = f"{first}; {second}"
            for prompt in ("Hi", "Call") if part == "all" else [("Hi", "Call")[crc32(pair.encode()) % 2]]:
                data, ending = virtual.get(pair, prompt)
                assert b"x-emulator-error" not in data, (first, second)
                assert ending == "eof"


# What cannot be done


@pytest.mark.parametrize(
    ("fault", "prompt", "streamed", "reason"),
    [
        ("no_done", "Hi", False, "the answer is not a stream"),
        ("truncate", "Hi", False, "the answer is not a stream"),
        ("duplicate_chunk:nth=9", "Hi", True, "the stream has 4 deltas"),
        ("duplicate_chunk:renumber=true", "Hi", True, "the events have no numbers"),
        ("bad_json_event", "Silence", True, "the stream has 0 deltas"),
        ("cumulative", "Call", True, "the answer has no text"),
        ("tool_arguments", "Hi", True, "the answer calls no tool"),
        ("unknown_tool", "Hi", False, "the answer calls no tool"),
        ("tool_index", "Hi", True, "the answer calls no tool, or too few to make a difference"),
        ("tool_index:form=name_split", "Call", False, "a whole answer has each tool call in one piece"),
        ("usage:form=twice", "Hi", False, "a whole answer has only one place for usage"),
        ("usage", "Refuse", False, "the answer has no usage"),
        ("missing_fields:fields=nothing", "Hi", True, "there is no nothing"),
        ("finish_reason", "Refuse", True, "the answer doesn't come from a model"),
        ("tool_arguments", "Refuse", True, "the answer doesn't come from a model"),
        ("unknown_tool", "Refuse", False, "the answer doesn't come from a model"),
        ("null_content", "Refuse", False, "there is no text that could be null"),
    ],
)
def test_a_fault_that_cannot_be_applied_is_reported(
    virtual: Virtual, fault: str, prompt: str, streamed: bool, reason: str
) -> None:
    healthy, _ = virtual.get("", prompt, streamed=streamed)
    data, ending = virtual.get(fault, prompt, streamed=streamed)
    assert (seen(data), ending) == (seen(healthy), "eof")
    kind = fault.partition(":")[0]
    assert virtual.record().notes == (f"fault {kind} (header) was skipped: {reason}",)


@pytest.mark.parametrize(
    ("fault", "complaint"),
    [
        ("error_event:form=first,after_tokens=1", "form=first already sets the place: remove after_tokens"),
        ("error_event:name=overlooded", "Did you mean 'overloaded'?"),
        ("duplicate_chunk:nth=0", "nth"),
        ("no_trailing_blank:line_ends=2", "line_ends"),
        ("usage:form=half", "form"),
        ("tool_index:from_one=1", "there is no such parameter. Parameters: "),
    ],
)
def test_nonsense_is_refused_with_a_reason(fault: str, complaint: str) -> None:
    with pytest.raises(UsageError) as caught:
        fault_of(fault)
    assert complaint in str(caught.value)


def test_a_list_of_fields_can_be_written_as_a_list() -> None:
    assert fault_of({"kind": "missing_fields", "fields": ["id", "model"]}) == fault_of("missing_fields:fields=id+model")
