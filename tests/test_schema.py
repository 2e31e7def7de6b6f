"""The JSON Schema of scenario files agrees with the models, and the file in the repository is current."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator
from pydantic import ValidationError
from tables import each_of

from emulator.faults import FAULTS, OLD_NAMES
from emulator.faults.base import known_errors
from emulator.providers import PROVIDERS
from emulator.resources import folder
from emulator.scenario.json_schema import DIALECT, as_text, json_schema
from emulator.scenario.models import Match, RuleModel, Scenario
from emulator.scenario.replies import ReplyModel

SCENARIOS = sorted(folder("scenarios").rglob("*.yaml"))


@pytest.fixture(scope="module")
def schema() -> dict[str, Any]:
    return json_schema()


@pytest.fixture(scope="module")
def validator(schema: dict[str, Any]) -> Draft202012Validator:
    return Draft202012Validator(schema)


def test_the_file_in_the_repository_is_the_newest() -> None:
    path = folder("scenarios") / "scenario.schema.json"
    assert path.read_text(encoding="utf-8") == as_text(), "scenarios/scenario.schema.json is stale: make docs"


def test_it_is_a_schema_of_the_draft_that_it_names(schema: dict[str, Any]) -> None:
    Draft202012Validator.check_schema(schema)
    assert list(schema)[:2] == ["$schema", "title"]
    assert schema["$schema"] == DIALECT == Draft202012Validator.META_SCHEMA["$id"]


@pytest.mark.parametrize("path", SCENARIOS, ids=lambda path: path.stem)
def test_every_shipped_scenario_is_valid(path: Path, validator: Draft202012Validator) -> None:
    document = yaml.safe_load(path.read_text())
    assert [error.message for error in validator.iter_errors(document)] == []


def test_every_key_is_described(schema: dict[str, Any]) -> None:
    faults = {model.__name__ for model in FAULTS.values()}
    for name, definition in (("Scenario", schema), *schema["$defs"].items()):
        if name in faults or name in ("Fault", "OnePlace", "ProviderSettings", "Price", "Balance"):
            continue
        assert definition["description"], name
        for key, value in definition["properties"].items():
            assert value.get("description") or "$ref" in value, f"{name}.{key}"


def test_every_mapping_refuses_unknown_keys(schema: dict[str, Any]) -> None:
    for name, definition in (("Scenario", schema), *schema["$defs"].items()):
        if "properties" in definition:
            assert definition["additionalProperties"] is False, name


def test_titles_and_empty_defaults_are_left_out(schema: dict[str, Any]) -> None:
    def walk(value: Any) -> None:
        if isinstance(value, dict):
            assert not isinstance(value.get("title"), str)
            assert "discriminator" not in value
            assert value.get("default") is not None or "default" not in value
            for item in value.values():
                walk(item)
        elif isinstance(value, list):
            for item in value:
                walk(item)

    walk({key: value for key, value in schema.items() if key != "title"})


def test_keys_providers_errors_and_faults_are_those_of_the_code(schema: dict[str, Any]) -> None:
    definitions = schema["$defs"]

    def aliases(model: Any) -> list[str]:
        return [field.alias or name for name, field in model.model_fields.items()]

    assert list(schema["properties"]) == aliases(Scenario)
    assert list(definitions["Match"]["properties"]) == aliases(Match)
    assert list(definitions["RuleModel"]["properties"]) == aliases(RuleModel)
    assert list(definitions["ReplyModel"]["properties"]) == aliases(ReplyModel)
    assert definitions["ErrorModel"]["properties"]["name"]["anyOf"][0]["enum"] == known_errors()
    assert definitions["Match"]["properties"]["provider"]["anyOf"][0]["enum"] == list(PROVIDERS)
    settings = definitions["ProviderSettings"]["properties"]
    for name, provider in PROVIDERS.items():
        own = definitions[settings[name]["$ref"].rpartition("/")[2]]
        assert list(own["properties"]) == list(provider.Settings.model_fields)
    for kind, model in FAULTS.items():
        fault = definitions[model.__name__]
        old = [name for name, new in OLD_NAMES.items() if new == kind]
        assert fault["properties"]["kind"].get("enum", [fault["properties"]["kind"].get("const")]) == [kind, *old]
        assert "kind" in fault["required"]
        assert fault["description"] == f"{model.effect}\n\nTests: {model.tests}"


GOOD: list[dict[str, Any]] = [
    {},
    {"name": "a", "seed": -1, "locale": "de", "clock": "manual", "unmatched": "error"},
    {"include": "a.yaml"},
    {"include": ["a.yaml", "b/*.yaml"]},
    {"defaults": {"pace": {"ttft": 1, "tokens_per_second": 0.5, "jitter": 1}, "normalize": ["case", "dates"]}},
    {"providers": {"nadles": {"summaries": "scripted", "models": ["a"]}, "serevix": {"models": None}}},
    {"providers": {"cloudsway": {"heartbeat": None, "context_length": 5}, "maxtoken": {"stream_default": False}}},
    {"accounts": [{"key": "a", "provider": "nadles", "balance": "0.01"}, {"key": "b", "balance": 1.5}, {"key": "c"}]},
    {"quotas": [{"requests": 1}, {"tokens": 5, "per": "hour", "key": "a*"}, {"concurrency": 1, "per": 2.5}]},
    {"quotas": [{"requests": 0, "per": "month", "provider": ["nadles"]}]},
    {"faults": "reset"},
    {"faults": ["reset:after_tokens=5", "overloaded", "503", 503, {"kind": "stall"}]},
    {"faults": {"kind": "reset", "after_tokens": 5, "probability": 0.5, "times": 2, "window": {"after": 1, "for": 2}}},
    {"rules": []},
    {"rules": [{"reply": {}}]},
    {"rules": [{"error": "overloaded"}]},
    {"rules": [{"error": {"name": "overloaded", "headers": {"retry-after": "1"}, "body": {"a": [1]}}}]},
    {"rules": [{"error": {"status": 500, "message": "m", "type": "t", "code": "c", "param": "p", "body": "text"}}]},
    {"rules": [{"replies": [{"reply": {}, "chance": 2, "set_state": "a"}, {"error": "timeout"}], "then": "cycle"}]},
    {"rules": [{"reply": {}, "error": None, "replies": None, "then": None}]},
    {"rules": [{"reply": {}, "name": "a", "priority": -3, "times": 1, "chance": 0.5, "set_state": "b", "faults": 503}]},
    {"rules": [{"reply": {"length": 80}}, {"reply": {"length": "40..120 tokens", "style": "code", "locale": "fr"}}]},
    {"rules": [{"reply": {"content": "a", "id": "x", "created": 1, "finish_reason": "stop"}}]},
    {"rules": [{"reply": {"reasoning": True}}, {"reply": {"reasoning": "a {{ turn }}"}}]},
    {"rules": [{"reply": {"from": "python:a.b:c"}}]},
    {"rules": [{"reply": {"tool_calls": [{"name": "f", "arguments": {"a": 1}}, {"name": "g", "arguments": "{"}]}}]},
    {"rules": [{"reply": {"summaries": [{"url": "u", "summary": None, "status": 500, "error": "e"}], "content": ""}}]},
    {"rules": [{"reply": {"usage": {"prompt": 1, "cached": 0}, "headers": {"x-a": "b"}, "alternatives": ["a"]}}]},
    {"rules": [{"match": {"provider": "nadles", "operation": ["chat"], "model": "a*", "stream": True}, "reply": {}}]},
    {"rules": [{"match": {"prompt": "a", "system": {"contains": "b"}, "key": {"not": "c"}}, "reply": {}}]},
    {"rules": [{"match": {"prompt": {"any_of": ["a", {"regex": "b", "glob": "c"}]}}, "reply": {}}]},
    {"rules": [{"match": {"turn": 1, "messages": {"gt": 1, "lt": 5}, "attempt": {"in": [1, 2]}}, "reply": {}}]},
    {"rules": [{"match": {"header": {"x": "a", "y": None, "z": {"glob": "*"}}, "tools": "f"}, "reply": {}}]},
    {"rules": [{"match": {"body": {"path": "$.a", "equals": None}, "tool_result": {"name": "f"}}, "reply": {}}]},
    {"rules": [{"match": {"body": [{"path": "$.a", "in": [1, "b"], "exists": True}]}, "reply": {}}]},
    {"rules": [{"match": {"any_of": [{"turn": 1}], "all_of": [{}], "not": {"state": "a"}}, "reply": {}}]},
]
BAD: list[dict[str, Any]] = [
    {"sed": 1},
    {"version": 2},
    {"seed": "1"},
    {"seed": 1.5},
    {"clock": "fast"},
    {"include": 3},
    {"defaults": {"pace": {"jitter": 2}}},
    {"defaults": {"pace": {"tokens_per_second": 0}}},
    {"defaults": {"normalize": ["capitals"]}},
    {"defaults": {"normalize": "case"}},
    {"providers": {"nobody": {}}},
    {"providers": {"nadles": {"summaris": "x"}}},
    {"providers": {"nadles": {"summaries": "sometimes"}}},
    {"accounts": [{"provider": "nadles"}]},
    {"accounts": [{"key": "a", "provider": "x"}]},
    {"accounts": [{"key": ""}]},
    {"quotas": [{"per": "hour"}]},
    {"quotas": [{"requests": -1}]},
    {"quotas": [{"requests": 1, "per": "fortnight"}]},
    {"faults": "resett"},
    {"faults": [{"kind": "resett"}]},
    {"faults": [{"after_tokens": 5}]},
    {"faults": [{"kind": "reset", "after_tokens": 5, "after_bytes": 5}]},
    {"faults": [{"kind": "reset", "probability": 2}]},
    {"rules": {}},
    {"rules": [{}]},
    {"rules": [{"reply": {}, "error": "timeout"}]},
    {"rules": [{"reply": None}]},
    {"rules": [{"reply": {}, "then": "cycle"}]},
    {"rules": [{"replies": []}]},
    {"rules": [{"replies": [{}]}]},
    {"rules": [{"replies": [{"reply": {}, "error": "timeout"}]}]},
    {"rules": [{"error": "overlode"}]},
    {"rules": [{"error": {"message": "m"}}]},
    {"rules": [{"error": {"status": 99}}]},
    {"rules": [{"reply": {}, "times": 0}]},
    {"rules": [{"reply": {}, "chance": 0}]},
    {"rules": [{"reply": {}, "priority": "high"}]},
    {"rules": [{"reply": {"contnt": "a"}}]},
    {"rules": [{"reply": {"content": 5}}]},
    {"rules": [{"reply": {"content": "a", "length": 5}}]},
    {"rules": [{"reply": {"content": "a", "style": "code"}}]},
    {"rules": [{"reply": {"length": "long"}}]},
    {"rules": [{"reply": {"length": 0}}]},
    {"rules": [{"reply": {"length": True}}]},
    {"rules": [{"reply": {"from": "a:b"}}]},
    {"rules": [{"reply": {"tool_calls": [{"arguments": {}}]}}]},
    {"rules": [{"reply": {"usage": {"prompt": -1}}}]},
    {"rules": [{"reply": {"headers": {"a b": "c"}}}]},
    {"rules": [{"reply": {"headers": {"a": "b\nc"}}}]},
    {"rules": [{"error": {"status": 500, "headers": {"Content-Length": "1"}}}]},
    {"rules": [{"match": {"provider": "x"}, "reply": {}}]},
    {"rules": [{"match": {"provider": ["nadles", "x"]}, "reply": {}}]},
    {"rules": [{"match": {"prompt": {}}, "reply": {}}]},
    {"rules": [{"match": {"prompt": 5}, "reply": {}}]},
    {"rules": [{"match": {"prompt": {"any_of": "a"}}, "reply": {}}]},
    {"rules": [{"match": {"turn": {}}, "reply": {}}]},
    {"rules": [{"match": {"turn": "1"}, "reply": {}}]},
    {"rules": [{"match": {"turn": True}, "reply": {}}]},
    {"rules": [{"match": {"stream": "yes"}, "reply": {}}]},
    {"rules": [{"match": {"body": {"path": "$.a"}}, "reply": {}}]},
    {"rules": [{"match": {"body": {"equals": 1}}, "reply": {}}]},
    {"rules": [{"match": {"header": {"x": 5}}, "reply": {}}]},
    {"rules": [{"match": {"any_of": {"turn": 1}}, "reply": {}}]},
]


def names(documents: list[dict[str, Any]]) -> list[str]:
    return [json.dumps(document)[:70] for document in documents]


@each_of("document", GOOD)
def test_what_the_models_take_is_valid(document: dict[str, Any], validator: Draft202012Validator) -> None:
    whole = {"version": 1, **document}
    Scenario.model_validate(whole)
    assert [error.message for error in validator.iter_errors(whole)] == []


@each_of("document", BAD)
def test_what_the_models_refuse_is_not_valid(document: dict[str, Any], validator: Draft202012Validator) -> None:
    whole = {"version": 1, **document}
    with pytest.raises(ValidationError):
        Scenario.model_validate(whole)
    assert not validator.is_valid(whole)


def test_a_file_without_its_version_is_not_valid(validator: Draft202012Validator) -> None:
    assert not validator.is_valid({})


@pytest.mark.parametrize("kind", FAULTS)
def test_every_fault_is_found_by_its_kind(kind: str, validator: Draft202012Validator) -> None:
    """As far as it needs no more than that."""
    required = {name for name, field in FAULTS[kind].model_fields.items() if field.is_required()}
    for written in ({"kind": kind}, kind):
        assert validator.is_valid({"version": 1, "faults": [written]}) is (not required or isinstance(written, str))
    assert not validator.is_valid({"version": 1, "faults": [{"kind": kind, "no_such_parameter": 1}]})
