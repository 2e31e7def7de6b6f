"""Whatever arrives, the answer is the provider's own error, never a failure, and the next request is answered."""

import copy
import json
import logging
import socket
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from hits import examples, sampled
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from talk import EVERY_PROVIDER, KEYS, PATHS, Ask, Serving, events, question, single

from emulator import Emulator
from emulator.providers import PROVIDERS
from emulator.resources import folder

MEBIBYTE = 2**20
PLAIN_TEXTS = {"Authentication Fails (governor)", "", "Expected request with `Content-Type: application/json`"}
"""What DeepSeek itself says where its resellers say JSON."""


def assert_refused(response: httpx.Response, provider: str, *statuses: int) -> None:
    """The status is one of these, and the body has exactly the members of that provider's errors."""
    assert response.status_code in (statuses or (400,)), response.text[:500]
    if provider == "deepseek" and response.text in PLAIN_TEXTS:
        return
    body = response.json()
    if provider == "nadles":
        assert list(body) == ["message"]
        assert body["message"]
        return
    assert list(body) == ["error"]
    error = body["error"]
    assert error["message"]
    if provider == "maxtoken":
        assert list(error) == ["message", "type"]
        assert error["type"] == str(response.status_code)
    elif error["type"] == "new_api_error":
        assert list(error) == ["code", "message", "type"]
        assert error["message"].endswith(f" (request id: {response.headers['x-oneapi-request-id']})")
    else:
        assert list(error) == ["message", "type", "param", "code"]


def assert_answered(response: httpx.Response, provider: str) -> None:
    """A whole answer or a whole stream, or the refusal of what was asked."""
    if response.status_code != 200:
        assert response.status_code < 500 or error_code(response) == "model_not_found", response.text[:500]
        assert_refused(response, provider, response.status_code)
    elif response.headers["content-type"].startswith("text/event-stream"):
        assert events(response)
    else:
        assert response.json()


def error_code(response: httpx.Response) -> Any:
    return response.json().get("error", {}).get("code")


@pytest.fixture(autouse=True)
def _nothing_failed(
    caplog: pytest.LogCaptureFixture, documented: Emulator, ask: Ask, request: pytest.FixtureRequest
) -> Iterator[None]:
    """After each test: no traceback in the log, and the provider still answers."""
    yield
    assert [record for record in caplog.records if record.exc_info or record.levelno >= logging.ERROR] == []
    provider = request.node.callspec.params["provider"]
    response = ask(documented, provider, question(provider))
    assert response.status_code == 200
    assert "x-emulator-error" not in response.headers


def with_prompt(provider: str, json_text: str) -> bytes:
    """A body whose prompt is written in JSON as given."""
    return json.dumps(question(provider, "PROMPT")).replace('"PROMPT"', json_text).encode("utf-8", "surrogatepass")


def with_member(provider: str, name: str, json_text: str) -> bytes:
    return json.dumps({**question(provider), name: "VALUE"}).replace('"VALUE"', json_text).encode()


NOT_JSON = {
    "empty": b"",
    "blank": b"   \n",
    "cut": b'{"model": "x", "messages": [',
    "a word": b"nonsense",
    "python": b"{'model': 'x'}",
    "form": b"model=x&messages=y",
    "trailing comma": b'{"model": "x",}',
    "two objects": b"{}{}",
    "bom": b"\xef\xbb\xbf{}",
    "utf-16": '{"model": "x"}'.encode("utf-16"),
    "invalid utf-8": b'{"model": "\xff\xfe"}',
    "nul": b"\x00",
}
DEEP = {
    "deep lists": b"[" * 100_000,
    "deep closed lists": b"[" * 100_000 + b"]" * 100_000,
    "deep objects": b'{"a":' * 100_000,
    "deep closed objects": b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
}
NOT_AN_OBJECT = {
    "list": b"[]",
    "null": b"null",
    "number": b"5",
    "text": b'"x"',
    "true": b"true",
    "list of one": b"[{}]",
}
ODD_PROMPTS = {
    "lone high surrogate": '"\\ud800"',
    "lone low surrogate": '"\\udc00 x"',
    "surrogates swapped": '"\\udc00\\ud800"',
    "surrogate in utf-8": '"\ud800"',
    "raw control character": '"a\nb"',
    "bad escape": '"\\x41"',
    "unclosed": '"abc',
}
ODD_NUMBERS = {
    "NaN": "NaN",
    "Infinity": "Infinity",
    "minus Infinity": "-Infinity",
    "5000 digits": "9" * 5000,
    "minus 5000 digits": "-" + "9" * 5000,
    "1e999": "1e999",
    "leading zero": "007",
    "plus": "+1",
    "hex": "0x10",
    "bare point": "1.",
}


@pytest.mark.parametrize(("kind", "provider"), sampled(DEEP, EVERY_PROVIDER))
def test_a_body_is_refused_that_is_deep_and_not_json(kind: str, provider: str, documented: Emulator, ask: Ask) -> None:
    assert_refused(ask(documented, provider, DEEP[kind]), provider)


@pytest.mark.parametrize("provider", EVERY_PROVIDER)
class TestABodyIsRefused:
    @pytest.mark.parametrize("body", NOT_JSON.values(), ids=NOT_JSON)
    def test_that_is_not_json(self, provider: str, body: bytes, documented: Emulator, ask: Ask) -> None:
        assert_refused(ask(documented, provider, body), provider)

    @pytest.mark.parametrize("body", NOT_AN_OBJECT.values(), ids=NOT_AN_OBJECT)
    def test_that_is_no_object(self, provider: str, body: bytes, documented: Emulator, ask: Ask) -> None:
        assert_refused(ask(documented, provider, body), provider)

    def test_that_is_empty(self, provider: str, documented: Emulator, ask: Ask) -> None:
        assert_refused(ask(documented, provider, {}), provider)

    def test_without_messages(self, provider: str, documented: Emulator, ask: Ask) -> None:
        assert_refused(ask(documented, provider, question(provider, messages=[])), provider)

    @pytest.mark.parametrize("prompt", ODD_PROMPTS.values(), ids=ODD_PROMPTS)
    def test_with_a_text_that_is_none(self, provider: str, prompt: str, documented: Emulator, ask: Ask) -> None:
        assert_refused(ask(documented, provider, with_prompt(provider, prompt)), provider)

    @pytest.mark.parametrize("number", ODD_NUMBERS.values(), ids=ODD_NUMBERS)
    def test_with_a_number_that_is_none(self, provider: str, number: str, documented: Emulator, ask: Ask) -> None:
        assert_refused(ask(documented, provider, with_member(provider, "temperature", number)), provider)

    def test_that_is_too_large(self, provider: str, documented: Emulator, ask: Ask) -> None:
        assert_refused(ask(documented, provider, b" " * (33 * MEBIBYTE)), provider, 413)

    def test_that_is_too_large_and_comes_in_chunks(
        self, provider: str, documented: Emulator, http: httpx.Client
    ) -> None:
        chunks = (b" " * MEBIBYTE for _ in range(33))
        response = http.post(documented.url(provider) + PATHS[provider], content=chunks, headers=KEYS[provider])
        assert_refused(response, provider, 413)

    def test_with_a_million_wrong_messages(self, provider: str, documented: Emulator, ask: Ask) -> None:
        response = ask(documented, provider, question(provider, messages=[0] * 1_000_000))
        assert_refused(response, provider)
        assert len(response.content) < 1000


@pytest.mark.parametrize("provider", EVERY_PROVIDER)
class TestABodyIsTaken:
    def test_that_is_large(self, provider: str, documented: Emulator, ask: Ask) -> None:
        body = json.dumps(question(provider)).encode()
        assert ask(documented, provider, body + b" " * (31 * MEBIBYTE)).status_code == 200

    @pytest.mark.parametrize("depth", [100, 900])
    def test_with_something_deep_that_nobody_reads(
        self, provider: str, depth: int, documented: Emulator, ask: Ask
    ) -> None:
        response = ask(documented, provider, with_member(provider, "unknown", "[" * depth + "]" * depth))
        assert_answered(response, provider)

    @pytest.mark.parametrize("prompt", ['"\\u0000"', '"\\ud83d\\ude0a"', '"\\u2028"', '""', '"\\/"'])
    def test_with_an_odd_text(self, provider: str, prompt: str, documented: Emulator, ask: Ask) -> None:
        assert ask(documented, provider, with_prompt(provider, prompt)).status_code == 200

    def test_with_a_member_twice(self, provider: str, documented: Emulator, ask: Ask) -> None:
        body = json.dumps(question(provider)).encode()
        assert_answered(ask(documented, provider, b'{"stream": 5, ' + body[1:]), provider)


ROLE, CONTENT = "messages[0].role", "messages[0].content"
TEXT, FLAG, WHOLE, NUMBER = (str,), (bool,), (int,), (int, float)
LIST, MAP, ANYTHING = (list,), (dict,), (object,)
FIELDS: dict[str, dict[str, tuple[type, ...]]] = {
    "maxtoken": {"model": TEXT, "messages": LIST, ROLE: TEXT, CONTENT: (str, list), "stream": FLAG},
    "nadles": {
        **{"messages": LIST, ROLE: TEXT, CONTENT: TEXT, "max_tokens": WHOLE, "temperature": NUMBER},
        **{"top_p": NUMBER, "stream": FLAG, "search_web": FLAG},
    },
    "serevix": {
        **{"model": TEXT, "messages": LIST, ROLE: TEXT, CONTENT: (str, list), "temperature": NUMBER, "top_p": NUMBER},
        **{"n": WHOLE, "stream": FLAG, "stop": (str, list), "max_tokens": WHOLE, "presence_penalty": NUMBER},
        **{"frequency_penalty": NUMBER, "tools": LIST, "tool_choice": (str, dict), "stream_options": MAP},
    },
    "cloudsway": {
        **{"model": TEXT, "messages": LIST, ROLE: TEXT, CONTENT: (str, list), "thinking": MAP},
        **{"thinking.type": TEXT, "thinking.reasoning_effort": TEXT, "reasoning_effort": TEXT, "max_tokens": WHOLE},
        **{"response_format": MAP, "response_format.type": TEXT, "stop": (str, list), "stream": FLAG},
        **{"stream_options": MAP, "temperature": NUMBER, "top_p": NUMBER, "tools": LIST, "tool_choice": (str, dict)},
        **{"logprobs": FLAG, "top_logprobs": WHOLE, "user_id": TEXT},
        **{"frequency_penalty": ANYTHING, "presence_penalty": ANYTHING},
    },
}
VALUES: tuple[Any, ...] = ("x", 5, -1, 0, 2**63, 1.5, 1e300, True, [], [5], ["x"], {}, {"a": 1}, [[]], [{}])


def is_of(value: Any, types: tuple[type, ...]) -> bool:
    if isinstance(value, bool):
        return bool in types or object in types
    return isinstance(value, types)


def with_value(provider: str, field: str, value: Any) -> dict[str, Any]:
    body = question(provider)
    if field.startswith("messages[0]."):
        body["messages"][0][field.removeprefix("messages[0].")] = value
    elif "." in field:
        outer, inner = field.split(".")
        body[outer] = {"type": "enabled" if outer == "thinking" else "text", inner: value}
    else:
        body[field] = value
    return body


class TestAField:
    @pytest.mark.parametrize(
        ("provider", "field"), [(provider, field) for provider, fields in FIELDS.items() for field in fields]
    )
    def test_of_another_type_is_refused(self, provider: str, field: str, documented: Emulator, ask: Ask) -> None:
        types = FIELDS[provider][field]
        for value in VALUES:
            response = ask(documented, provider, with_value(provider, field, value))
            if is_of(value, types):
                assert_answered(response, provider)
            else:
                assert_refused(response, provider)

    @pytest.mark.parametrize("provider", EVERY_PROVIDER)
    def test_that_nobody_knows_may_be_anything(self, provider: str, documented: Emulator, ask: Ask) -> None:
        for value in VALUES:
            expected = 400 if provider == "openai" else 200  # the one that refuses what it does not know
            assert ask(documented, provider, question(provider, unknown=value)).status_code == expected


@pytest.mark.parametrize("provider", EVERY_PROVIDER)
class TestARequestIsRefused:
    def test_without_a_key(self, provider: str, documented: Emulator, ask: Ask) -> None:
        assert_refused(ask(documented, provider, question(provider), headers={}), provider, 401)

    @pytest.mark.parametrize(
        "header", ["authorization: Bearer", "authorization: Digest x", "authorization: Bearer\tx", "x-api: key"]
    )
    def test_with_a_key_in_no_known_form(self, provider: str, header: str, documented: Emulator, ask: Ask) -> None:
        headers = dict([header.split(": ")])
        assert_refused(ask(documented, provider, question(provider), headers=headers), provider, 401)

    def test_without_a_key_whatever_the_body(self, provider: str, documented: Emulator, ask: Ask) -> None:
        assert_refused(ask(documented, provider, b"nonsense", headers={}), provider, 401)

    @pytest.mark.parametrize("method", ["GET", "PUT", "PATCH", "DELETE"])
    def test_with_a_wrong_method(self, provider: str, method: str, documented: Emulator, ask: Ask) -> None:
        response = ask(documented, provider, b"", method=method)
        assert_refused(response, provider, 404 if provider == "serevix" else 405)

    @pytest.mark.parametrize("path", ["/", "", "/v2", "/v1/chat/completions/x/y", "/%00", "/%ff", "//", "/é"])
    def test_at_an_unknown_path(self, provider: str, path: str, documented: Emulator, ask: Ask) -> None:
        assert_refused(ask(documented, provider, question(provider), path=path), provider, 404)

    def test_of_a_method_that_http_does_not_know(self, provider: str, documented: Emulator) -> None:
        head = f"BREW /{provider}{PATHS[provider]} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"
        with socket.create_connection(("127.0.0.1", documented.port)) as connection:
            connection.sendall(head.encode())
            status = connection.makefile("rb").readline()
        assert status.split()[1] in (b"400", b"404", b"405")


@pytest.mark.parametrize("provider", EVERY_PROVIDER)
def test_others_are_answered_while_one_is_still_sending(provider: str, documented: Emulator, ask: Ask) -> None:
    body = json.dumps(question(provider)).encode()
    head = (
        f"POST /{provider}{PATHS[provider]} HTTP/1.1\r\nhost: x\r\ncontent-length: {len(body)}\r\nconnection: close\r\n"
    )
    head += "".join(f"{name}: {value}\r\n" for name, value in KEYS[provider].items())
    with socket.create_connection(("127.0.0.1", documented.port)) as connection:
        connection.sendall(f"{head}content-type: application/json\r\n\r\n".encode() + body[:10])
        assert ask(documented, provider, question(provider)).status_code == 200
        connection.sendall(body[10:])
        assert connection.makefile("rb").readline() == b"HTTP/1.1 200 OK\r\n"


# Mutations of the documented requests


def documented_bodies(provider: str) -> list[Any]:
    """The bodies that the documents show, and the provider's own example."""
    found = [json.loads(path.read_text()).get("body") for path in folder("fixtures").glob(f"{provider}/*/request.json")]
    return [body for body in found if body] + [dict(PROVIDERS[provider].example[1])]


WORDS = ["", "x", "stream", "user", "tool", "enabled", "json_object", "\ud800", "\x00", "😊", "a" * 3000]
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 30),
    st.sampled_from([2**31, 2**63, 2**64, 10**400, -(2**63) - 1]),
    st.floats(),
    st.sampled_from(WORDS),
    st.text(max_size=8),
)
JSON = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(WORDS) | st.text(max_size=8), inner, max_size=4)
    ),
    max_leaves=6,
)
KNOWN_MEMBERS = sorted({name for fields in FIELDS.values() for name in fields if "." not in name})


def places(value: Any) -> list[tuple[Any, Any]]:
    """Every (container, key) in a JSON value."""
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [place for key, inner in list(inside) for place in [(value, key), *places(inner)]]


@st.composite
def mutated(draw: st.DrawFn, provider: str) -> bytes:
    """A documented body with some of its values replaced, removed, added or doubled, or with some bytes changed."""
    body = copy.deepcopy(draw(st.sampled_from(documented_bodies(provider))))
    for _ in range(draw(st.integers(0, 4))):
        action = draw(st.sampled_from(["replace", "remove", "add", "double"]))
        spots = places(body)
        if action == "add" or not spots:
            if isinstance(body, dict):
                body[draw(st.sampled_from(KNOWN_MEMBERS) | st.text(max_size=5))] = draw(JSON)
            continue
        container, key = draw(st.sampled_from(spots))
        if action == "replace":
            container[key] = draw(JSON)
        elif action == "remove":
            del container[key]
        elif isinstance(container, list):
            container.append(copy.deepcopy(container[key]))
    data = json.dumps(body).encode()
    if draw(st.integers(0, 4)) == 0:
        start = draw(st.integers(0, len(data)))
        data = data[:start] + draw(st.binary(max_size=4)) + data[start + draw(st.integers(0, 4)) :]
    return data


@pytest.mark.parametrize("provider", EVERY_PROVIDER)
@settings(max_examples=examples(300), deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_a_mutated_request_is_answered_or_refused(
    provider: str, serving: Serving, ask: Ask, data: st.DataObject
) -> None:
    response = ask(serving(), provider, data.draw(mutated(provider)))
    assert_answered(response, provider)


@pytest.mark.parametrize("provider", ["serevix"])
@pytest.mark.parametrize("depth", [100, 500, 900])
@pytest.mark.parametrize("shape", [('{"a":', "1", "}"), ("[", "", "]")])
def test_a_deep_body_disturbs_neither_templates_nor_conditions(
    serving: Serving, provider: str, depth: int, shape: tuple[str, str, str]
) -> None:
    rules: list[dict[str, Any]] = [
        {"match": {"prompt": "template"}, "reply": {"content": "{{ request.model }} {{ request.deep | length }}"}},
        {"match": {"body": {"path": "$.deep", "equals": {"b": 1}}}, "reply": {"content": "no"}},
        {"match": {"body": {"path": "$.deep", "contains": "b"}}, "reply": {"content": "no"}},
        {"match": {"body": {"path": "$..nowhere", "exists": True}}, "reply": {"content": "no"}},
        {"match": {"prompt": "plain"}, "reply": {"content": "yes"}},
    ]
    before, middle, after = shape
    deep = before * depth + middle + after * depth
    emulator = serving({"rules": rules})
    said = []
    for prompt in ("template", "plain", "unmatched"):
        body = json.dumps(question(provider, prompt))[:-1] + f', "deep": {deep}}}'
        response = single.post(
            emulator.url(provider) + PATHS[provider],
            content=body.encode(),
            headers={**KEYS[provider], "content-type": "application/json"},
        )
        said.append((response.status_code, response.headers.get("x-emulator-error")))
    assert said == [(200, None), (200, None), (404, "unmatched")]
