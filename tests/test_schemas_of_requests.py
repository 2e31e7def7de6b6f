"""Schemas in requests: whatever they ask for, the answer is valid or an error that says why, and arrives soon."""

import json
import random
import select
import signal
import time
from contextlib import suppress
from typing import Any

import httpx
import pytest
from jsonschema import Draft202012Validator
from rawhttp import Connection, eventually
from schemas import COSTLY, UNWRITABLE, random_schema
from served import served
from talk import KEYS, PATHS, Serving, question

from emulator import Emulator
from emulator.generation.instances import Fuel, UnsatisfiableSchema, instance
from emulator.generation.instances.search import LIMIT
from emulator.offload import Abandoned

HEADERS = {**KEYS["deepseek"], "content-type": "application/json"}


def body_with(schema: str, *, tool: bool = False) -> bytes:
    """A request whose answer has to follow a schema, given as JSON text."""
    members: dict[str, Any]
    if tool:
        members = {"tools": [{"type": "function", "function": {"name": "f", "parameters": "SCHEMA"}}],
                   "tool_choice": {"type": "function", "function": {"name": "f"}}}  # fmt: skip
    else:
        members = {"response_format": {"type": "json_schema", "json_schema": {"name": "s", "schema": "SCHEMA"}}}
    return (
        json.dumps(question("deepseek", "Fill it in", thinking={"type": "disabled"}, **members))
        .replace('"SCHEMA"', schema)
        .encode()
    )


def ask(http: httpx.Client, emulator: Emulator, schema: str, *, tool: bool = False) -> httpx.Response:
    url = emulator.url("deepseek") + PATHS["deepseek"]
    return http.post(url, content=body_with(schema, tool=tool), headers=HEADERS)


def said(response: httpx.Response) -> str:
    message = response.json()["choices"][0]["message"]
    text: str = message["tool_calls"][0]["function"]["arguments"] if message.get("tool_calls") else message["content"]
    return text


@pytest.mark.parametrize("tool", [False, True], ids=["format", "tool"])
@pytest.mark.parametrize("name", UNWRITABLE)
def test_a_hostile_schema_is_followed_or_refused(serving: Serving, http: httpx.Client, name: str, tool: bool) -> None:
    response = ask(http, serving(), UNWRITABLE[name], tool=tool)

    if response.status_code == 200:
        assert Draft202012Validator(json.loads(UNWRITABLE[name])).is_valid(json.loads(said(response)))
    else:
        assert (response.status_code, response.headers["x-emulator-error"]) == (400, "schema")
        assert response.headers["x-should-retry"] == "false"
        assert response.json()["error"]["message"].startswith("no JSON fits the schema of the request: ")


def test_whole_numbers_beyond_64_bits_are_exact(serving: Serving, http: httpx.Client) -> None:
    big = 2**80 + 1
    range_of_one = {"type": "integer", "minimum": big, "maximum": big}
    schema = {
        "type": "object",
        "properties": {"a": {"const": big}, "b": {"enum": [-big]}, "c": range_of_one},
        "required": ["a", "b", "c"],
    }

    for tool in (False, True):
        answer = said(ask(http, serving(), json.dumps(schema), tool=tool))
        assert answer.replace(" ", "") == f'{{"a":{big},"b":{-big},"c":{big}}}'  # arguments have blanks


def test_whole_numbers_in_a_schema_of_googles_are_as_exact_as_floats(serving: Serving, http: httpx.Client) -> None:
    schema = {"type": "INTEGER", "minimum": 2**70, "maximum": 2**70}
    config = {"responseMimeType": "application/json", "responseSchema": schema}
    body = {"contents": [{"role": "user", "parts": [{"text": "Fill it in"}]}], "generationConfig": config}
    url = serving().url("gemini") + "/v1beta/models/gemini-2.5-flash:generateContent"
    answer = http.post(url, json=body, headers={"x-goog-api-key": "AIza-a-key-of-tests"}).json()
    assert json.loads(answer["candidates"][0]["content"]["parts"][0]["text"]) == 2**70


def test_a_member_that_nests_deeply_makes_them_floats_at_worst(serving: Serving, http: httpx.Client) -> None:
    body = json.loads(body_with(json.dumps({"const": 2**80 + 1})))
    deep = b"[" * 1010 + b"]" * 1010
    content = json.dumps({"unknown": "DEEP", **body}).encode().replace(b'"DEEP"', deep)
    response = http.post(serving().url("deepseek") + PATHS["deepseek"], content=content, headers=HEADERS)
    assert json.loads(said(response)) in (2**80 + 1, float(2**80))


def test_what_cannot_be_written_is_not_said(serving: Serving, http: httpx.Client) -> None:
    for name in ("half a character", "a class of halves"):
        assert ask(http, serving(), UNWRITABLE[name]).status_code == 400
    for name in ("a step of 1e308", "a bound beyond 64 bits", "a bound below 64 bits"):
        assert ask(http, serving(), UNWRITABLE[name]).status_code == 200, name


def test_random_schemas_reach_no_internal_error(serving: Serving, http: httpx.Client) -> None:
    chance = random.Random(9)
    statuses = []
    for number in range(150):
        schema = {"type": "object", "properties": {"a": random_schema(chance)}, "required": ["a"]}
        response = ask(http, serving(), json.dumps(schema), tool=number % 2 == 0)
        assert response.headers.get("x-emulator-error") in (None, "schema"), (schema, response.text)
        statuses.append(response.status_code)
        if response.status_code == 200:
            json.loads(said(response))
    assert set(statuses) == {200, 400}
    assert statuses.count(200) > 60


@pytest.mark.parametrize("name", COSTLY)
def test_a_costly_schema_ends_at_the_same_step_and_soon(name: str) -> None:
    spent = []
    started = time.thread_time()
    for _ in range(2):
        fuel = Fuel()
        with suppress(UnsatisfiableSchema):
            instance(COSTLY[name], 1, fuel)
        spent.append(fuel.left)
    taken = time.thread_time() - started

    assert spent[0] == spent[1] < LIMIT
    assert taken < 4  # a tenth of that as a rule; the limit allows for a slow machine


def test_work_for_a_client_that_left_ends() -> None:
    fuel = Fuel(has_left=lambda: True)
    with pytest.raises(Abandoned):
        instance(COSTLY["conditions"], 1, fuel)

    assert fuel.left > 0.65 * LIMIT  # a part is kept for a second try, which nobody wants either


def wire(schema: str) -> bytes:
    body = body_with(schema)
    head = (
        f"POST /deepseek{PATHS['deepseek']} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer sk-x\r\n"
        f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def test_clients_that_leave_free_the_threads(http: httpx.Client) -> None:
    request = wire(json.dumps(COSTLY["conditions"]))
    with Emulator() as emulator:
        for number in range(60):
            client = Connection(emulator.port)
            client.send(request)
            client.leave(reset=number % 2 == 0)
        app = emulator._server.app
        assert app is not None
        eventually(lambda: len(emulator.journal) == 60 and not app._open, 30)
        endings = [(each.status, each.playback.ended) for each in emulator.journal if each.playback is not None]

    assert len(endings) == 60
    assert endings.count((499, "client_closed")) > 30  # the rest had been worked for before the end was seen


@pytest.mark.long
def test_a_stop_waits_for_no_schema() -> None:
    request = wire(json.dumps(COSTLY["conditions"]))
    with served() as server:
        clients = [Connection(server.port) for _ in range(100)]
        for client in clients:
            client.send(request)
        ready, _, _ = select.select([client.socket for client in clients], [], [], 60)
        assert ready  # on a busy machine, even one takes a while; the others wait for their turn
        started = time.monotonic()
        server.signal(signal.SIGTERM)
        code, _, errors = server.finish()
        taken = time.monotonic() - started
        for client in clients:
            client.leave()

    assert code == 0
    assert "Traceback" not in errors
    assert taken < 8  # to work for all of them takes twice as long
