"""In JSON mode the answer follows the schema, or the example, that the prompt shows: as libraries write it there."""

import json
from typing import Any

import httpx
import jsonschema
import pytest
from talk import KEYS, Serving, question

from emulator import Emulator
from emulator.generation.prompted import is_schema, schema_in
from emulator.request import Message

SCHEMA = {
    "$schema": "http://json-schema.org/draft-07/schema#",
    "type": "object",
    "properties": {
        "recipe": {
            "type": "object",
            "properties": {"name": {"type": "string"}, "minutes": {"type": "integer", "minimum": 5, "maximum": 50}},
            "required": ["name", "minutes"],
            "additionalProperties": False,
        },
        "kind": {"enum": ["soup", "cake"]},
    },
    "required": ["recipe", "kind"],
    "additionalProperties": False,
}
COMPACT = json.dumps(SCHEMA, separators=(",", ":"))
INDENTED = json.dumps(SCHEMA, indent=2)
MODE = {"response_format": {"type": "json_object"}}
USER = {"role": "user", "content": "Generate a lasagna recipe as JSON."}
PROMPTS: dict[str, list[dict[str, str]]] = {
    "AI SDK, generateObject": [
        {
            "role": "system",
            "content": f"JSON schema:\n{COMPACT}\nYou MUST answer with a JSON object that matches the JSON schema "
            "above.",
        },
        USER,
    ],
    "pydantic-ai, PromptedOutput": [
        {
            "role": "system",
            "content": f"\nAlways respond with a JSON object that's compatible with this schema:\n\n{COMPACT}\n\n"
            "Don't include any text or Markdown fencing before or after.\n",
        },
        USER,
    ],
    "instructor, JSON": [
        {
            "role": "system",
            "content": "\n        As a genius expert, your task is to understand the content and provide\n        "
            f"the parsed objects in json that match the following json_schema:\n\n\n        {INDENTED}\n\n"
            "        Make sure to return an instance of the JSON, not the schema itself\n",
        },
        USER,
    ],
    "in the question": [
        {"role": "user", "content": f'Here are data: {{"a": 1}}. Answer as JSON by {COMPACT}, please.'}
    ],
}


@pytest.fixture(scope="module")
def emulator(serving: Serving) -> Emulator:
    return serving({"rules": [], "unmatched": "generate"}, seed=7)


def said(emulator: Emulator, http: httpx.Client, messages: Any, **members: Any) -> str:
    body = question("deepseek", messages=messages, **members)
    response = http.post(emulator.url("deepseek") + "/chat/completions", json=body, headers=KEYS["deepseek"])
    content: str = response.json()["choices"][0]["message"]["content"]
    return content


@pytest.mark.parametrize("messages", PROMPTS.values(), ids=list(PROMPTS))
def test_the_answer_follows_the_schema_in_the_prompt(emulator: Emulator, http: httpx.Client, messages: Any) -> None:
    content = said(emulator, http, messages, **MODE)
    jsonschema.validate(json.loads(content), SCHEMA)
    assert said(emulator, http, messages, **MODE) == content


def test_it_stands_in_a_code_block_where_the_prompt_asks_for_one(emulator: Emulator, http: httpx.Client) -> None:
    asked = "Return the correct JSON response within a ```json codeblock. not the JSON_SCHEMA"
    messages = [*PROMPTS["instructor, JSON"], {"role": "user", "content": asked}]
    content = said(emulator, http, messages)
    assert (content[:8], content[-4:]) == ("```json\n", "\n```")
    jsonschema.validate(json.loads(content[8:-4]), SCHEMA)


def test_it_follows_an_example_where_there_is_no_schema(emulator: Emulator, http: httpx.Client) -> None:
    example = 'EXAMPLE JSON OUTPUT:\n{"question": "Which is it?", "answer": "Mount Everest", "metres": 8849}'
    messages = [{"role": "system", "content": f"Parse the question and output JSON.\n\n{example}"}, USER]
    answer = json.loads(said(emulator, http, messages, **MODE))
    assert {name: type(value) for name, value in answer.items()} == {"question": str, "answer": str, "metres": int}


@pytest.mark.parametrize(
    "text",
    [
        "Answer in JSON",
        'These are JSON data: {"type": "object", "name": "x"}',
        'A JSON schema that nothing fits: {"type": "object", "properties": {"a": false}, "required": ["a"]}',
        'Broken JSON: {"properties": {"a": ',
        "JSON " + "{" * 5000,
    ],
)
def test_what_is_no_schema_changes_nothing(emulator: Emulator, http: httpx.Client, text: str) -> None:
    answer = json.loads(said(emulator, http, [{"role": "user", "content": text}], **MODE))
    assert list(answer) == ["answer", "confidence"]


def test_a_scripted_answer_stays_as_it_is(serving: Serving, http: httpx.Client) -> None:
    emulator = serving({"rules": [{"reply": {"content": "{}"}}]})
    assert said(emulator, http, PROMPTS["AI SDK, generateObject"], **MODE) == "{}"


def test_the_last_schema_counts_and_what_the_model_said_does_not() -> None:
    first, last = {"type": "object", "properties": {"a": {}}}, {"type": "array", "items": {"type": "string"}}
    messages = [Message("system", json.dumps(first)), Message("user", json.dumps(last)), Message("assistant", COMPACT)]
    assert schema_in(messages) == last
    assert schema_in(messages[:1]) == first
    assert schema_in(messages[2:]) is None


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"type": "object", "properties": {}}, True),
        ({"$ref": "#/$defs/a", "$defs": {"a": {"type": "string"}}}, True),
        ({"type": "array", "items": {}}, True),
        ({"properties": "of the house"}, False),
        ({"type": "object"}, False),
        ({"type": "circle", "items": []}, False),
        ({"items": [1, 2]}, False),
    ],
)
def test_a_schema_is_distinguished_from_data(value: Any, expected: bool) -> None:
    assert is_schema(value) is expected


def test_an_example_gives_the_types_of_its_values() -> None:
    example = {"list": [1], "empty": [], "yes": True, "share": 1.5, "nothing": None, "name": "x", "rows": [{"n": 1}]}
    asked = Message("user", f"Answer with JSON. For example:\n{json.dumps(example)}")

    def many(items: dict[str, Any]) -> dict[str, Any]:
        return {"type": "array", "minItems": 1, "maxItems": 3, "items": items}

    def whole(properties: dict[str, Any]) -> dict[str, Any]:
        closed = {"required": list(properties), "additionalProperties": False}
        return {"type": "object", "properties": properties, **closed}

    assert schema_in((asked,)) == whole(
        {
            "list": many({"type": "integer"}),
            "empty": many({}),
            "yes": {"type": "boolean"},
            "share": {"type": "number"},
            "nothing": {"type": "null"},
            "name": {"type": "string"},
            "rows": many(whole({"n": {"type": "integer"}})),
        }
    )


def test_an_example_among_empty_and_broken_objects_is_found() -> None:
    asked = Message("user", 'Not {} and not {this}, but for example {"n": 1} please.')
    found = schema_in((asked,))
    assert found is not None
    assert found["properties"] == {"n": {"type": "integer"}}
