"""Whatever a request gives for a fault's parameter, the result is the fault or an error that names the parameter."""

import asyncio
import json
import math
import time
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from hits import examples
from hypothesis import given, settings
from hypothesis import strategies as st
from tables import each_of
from talk import KEYS, PATHS, Ask, question
from virtual import MAXTOKEN, SCENARIO

from emulator import Emulator
from emulator.clock import VirtualClock
from emulator.engine import Options, PlannedResponse, answer
from emulator.errors import UsageError
from emulator.faults import FAULTS, fault_of
from emulator.faults.scalars import scalar
from emulator.request import HttpRequest
from emulator.state.compiled import compile_scenario
from emulator.state.namespace import Namespace
from emulator.wire import PlannedBody

NEEDED = {"error": "status=503,"}
"""What a kind cannot be asked for without."""
HOSTILE = (
    ".inf", "-.inf", ".nan", "inf", "nan", "NaN", "1e308", "-1e308", "5e-324", "1e-320", "0.0", "-0.0", "0", "-1", "1",
    "2", "3", "0.001", "86400", "86401", "100000", "2147483648", "9223372036854775808", "9" * 310, "9" * 5000, "0x10",
    "0x", "0b1", "1_000", "1__", "_", "1e", "1e999", "1:30", "true", "no", "~", "null", "", "[", "[[[[", "[" * 5000,
    "{" * 5000, "{a: b}", "- a", "&a", "*a", "!!python/name:os.system", "|", ">", "%", "@", "`", "'", '"', "''", '""',
    "'a", '"\\ud800"', '"\\u0000"', "\0", "\t", "é", "𝒳", "\u2028", "²", "١٢", "a+b", "+", "=", "a=b", ":", "/",
    "first", "event", "whole", "half", "gzip", "cloudsway", "524", "overloaded", "invalid_token",
)  # fmt: skip
VALUES = st.one_of(
    st.sampled_from(HOSTILE),
    st.text(st.characters(exclude_characters=",;", exclude_categories=["Cs"]), max_size=30),
    st.integers().map(str),
    st.floats().map(repr),
)
PLACES = [
    (kind, name)
    for kind, fault in FAULTS.items()
    for name in [*fault.model_fields, "no_such_parameter"]
    if name != "window"
]


def planned(fault: str, *, streamed: bool) -> PlannedResponse:
    """The answer with this fault in the URL. Whatever is raised would have reached the last net."""

    async def plan() -> PlannedResponse:
        namespace = Namespace("hostile", compile_scenario(SCENARIO), VirtualClock())
        body = json.dumps(question(MAXTOKEN, "Call", stream=streamed)).encode()
        http_request = HttpRequest(
            MAXTOKEN, "POST", PATHS[MAXTOKEN], KEYS[MAXTOKEN], "", body, key="k", faults=(fault,)
        )
        return await answer(http_request, namespace, Options())

    return asyncio.run(plan())


@settings(max_examples=examples(1000), deadline=None)
@given(place=st.sampled_from(PLACES), value=VALUES, streamed=st.booleans())
def test_every_value_of_every_parameter_is_used_or_refused(place: tuple[str, str], value: str, streamed: bool) -> None:
    kind, name = place
    plan = planned(f"{kind}:{NEEDED.get(kind, '')}{name}={value}", streamed=streamed)
    if isinstance(plan.answer, PlannedBody) and (b"x-emulator-error", b"fault") in plan.answer.headers:
        message = json.loads(plan.answer.body())["error"]["message"]
        assert plan.answer.status == 400
        assert name in message
        assert len(message) < 2000
        return
    steps = plan.answer.steps() if isinstance(plan.answer, PlannedBody) else plan.answer
    assert all(math.isfinite(step.at) for step in steps)


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (
            "bandwidth:bytes_per_second=.inf",
            "The fault 'bandwidth': bytes_per_second is 'inf'; expected a finite number",
        ),
        ("latency:seconds=.nan", "The fault 'latency': seconds is 'nan'; expected a finite number"),
        ("latency:seconds=1e6", "The fault 'latency': seconds is 1000000.0; expected at most 86400"),
        ("latency:window=1", "The fault 'latency': window is '1'; expected a mapping"),
        ("gzip:form=5", "The fault 'gzip': form is '5'; expected 'whole' or 'truncated'"),
        ("missing_fields:fields=5", "The fault 'missing_fields': fields is '5'; expected a list"),
        (
            "missing_fields:fields=a++b",
            "The fault 'missing_fields': fields.1 is ''; expected a string of at least 1 character",
        ),
        (
            "unknown_event:name=a b",
            "The fault 'unknown_event': name is 'a b'; expected a string that matches ^[!-~]+$",
        ),
        (
            f"finish_reason:native={'a' * 1001}",
            f"The fault 'finish_reason': native is '{'a' * 79}…'; expected a string of at most 1000 characters",
        ),
        ("latency:seconds=1,seconds=2", "The fault 'latency' has the parameter 'seconds' twice: remove one"),
        ("latency:kind=reset", "The fault 'latency' has the parameter 'kind' twice: remove one"),
        ("error:" + "a" * 9000, f"The fault 'error:{'a' * 73}…' has 9006 characters; the limit is 8192."),
    ],
    ids=[
        "infinite",
        "not a number",
        "too large",
        "a mapping",
        "a word",
        "a list",
        "empty",
        "a pattern",
        "long text",
        "twice",
        "kind",
        "long",
    ],
)
def test_a_request_gets_one_sentence_that_names_the_parameter(
    documented: Emulator, ask: Ask, fault: str, message: str
) -> None:
    response = ask(documented, "serevix", question("serevix"), headers={**KEYS["serevix"], "x-emulator-fault": fault})
    assert (response.status_code, response.headers["x-emulator-error"]) == (400, "fault")
    assert response.json()["error"]["message"].startswith(message)


def test_brackets_in_a_url_are_a_name_that_there_is_not(documented: Emulator, http: httpx.Client) -> None:
    url = f"{documented.origin}/~error:name={quote('[' * 5000)}/serevix{PATHS['serevix']}"
    response = http.post(url, json=question("serevix"), headers=KEYS["serevix"])
    assert (response.status_code, response.headers["x-emulator-error"]) == (400, "fault")
    message = response.json()["error"]["message"]
    assert message.startswith(f"The fault 'error': name is '{'[' * 79}…'. Errors: unauthorized, forbidden, ")


def test_the_time_to_read_a_value_grows_with_its_length() -> None:
    def seconds(text: str) -> float:
        taken = []
        for _ in range(5):
            started = time.process_time()
            scalar(text)
            taken.append(time.process_time() - started)
        return min(taken)

    for character in "[{-_9\"' .e":
        assert seconds(character * 1_000_000) < 0.1


@each_of(
    ("text", "value"),
    [
        ("5", 5), ("-5", -5), ("+5", 5), ("1_000", 1000), ("0x1f", 31), ("0.5", 0.5), (".5", 0.5), ("5.", 5.0),
        ("1e3", 1000.0), ("1.5e-3", 0.0015), ("true", True), ("No", False), ("ON", True), ("hello", "hello"),
        ("'5'", "5"), ('"5"', "5"), ('"a\\nb"', "a\nb"), ("'it''s'", "it's"), ("", ""), ("a b", "a b"),
        ("1.2.3", "1.2.3"), ("2026-11-26", "2026-11-26"), ("null", "null"), ("[a]", "[a]"), ('"a', '"a'),
    ],
)  # fmt: skip
def test_honest_values_are_read_as_in_yaml(text: str, value: object) -> None:
    assert (type(scalar(text)), scalar(text)) == (type(value), value)


def test_parameters_of_one_line_are_those_of_a_mapping() -> None:
    line = fault_of("error:status=503,retry_after=1.5,should_retry=false,message='42'")
    assert line == fault_of(
        {"kind": "error", "status": 503, "retry_after": 1.5, "should_retry": False, "message": "42"}
    )


def test_a_list_of_no_members_is_refused() -> None:
    with pytest.raises(UsageError) as caught:
        fault_of({"kind": "missing_fields", "fields": []})
    assert str(caught.value) == "The fault 'missing_fields': fields has 0 items; expected at least 1"


@each_of("kind", FAULTS)
def test_a_parameter_that_may_be_absent_may_be_null(kind: str) -> None:
    usual = {"kind": kind, "status": 503} if kind == "error" else {"kind": kind}
    fields = {name: field for name, field in FAULTS[kind].model_fields.items() if name not in usual}
    absent: dict[str, Any] = {name: None for name, field in fields.items() if field.default is None}
    assert absent
    assert fault_of(usual | absent) == fault_of(usual)
