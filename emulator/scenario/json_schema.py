"""The JSON Schema of scenario files, for editors, generated from the models.

`emulator check` also checks what no schema can: whether a template, regex or path is valid and whether a locale exists.
Where null means the same as omitting a key, the schema allows null.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from itertools import combinations
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema

from emulator import docstrings
from emulator.faults import FAULTS, OLD_NAMES
from emulator.faults.base import STAGES, known_errors
from emulator.providers import PROVIDERS
from emulator.scenario.models import Scenario

DIALECT = "https://json-schema.org/draft/2020-12/schema"

Schema = dict[str, Any]


def json_schema() -> Schema:
    """The schema of a whole file, in draft 2020-12."""
    schema = Scenario.model_json_schema(by_alias=True, schema_generator=_Untitled)
    definitions = schema.pop("$defs")
    brought = [*FAULTS.values(), *(provider.Settings for provider in PROVIDERS.values())]
    models = {model.__name__: model for model in (*_models(BaseModel), *brought)}
    for name, definition in [*definitions.items(), (Scenario.__name__, schema)]:
        if name in models:
            _describe(definition, models[name])
    for name, more in _rules().items():
        definitions[name].update(more)
    for model in FAULTS.values():
        definition = definitions[model.__name__]
        definition["description"] = f"{model.effect}\n\nTests: {model.tests}"
        kind = definition["properties"]["kind"]["const"]
        if names := [name for name, new in OLD_NAMES.items() if new == kind]:
            definition["properties"]["kind"] = {"enum": [kind, *names]}
        definition["required"] = sorted({"kind", *definition.get("required", ())})
        if STAGES[0] in definition["properties"]:
            definition["allOf"] = [_reference("OnePlace")]
    definitions["OnePlace"] = {"allOf": [_not_both(one, other) for one, other in combinations(STAGES, 2)]}
    for name, provider in PROVIDERS.items():
        own = definitions["ProviderSettings"]["properties"][name]
        own["description"] = f"Settings of {provider.title}."
        definitions[own["$ref"].rpartition("/")[2]].setdefault("description", own["description"])
    definitions["Fault"] = _fault({kind: model.__name__ for kind, model in FAULTS.items()})
    tidied: Schema = _tidied({**schema, "$defs": dict(sorted(definitions.items()))})
    title = {"$schema": DIALECT, "title": "A scenario of llm-provider-emulator"}
    return {**title, **tidied}


def as_text() -> str:
    """The schema as in `scenarios/scenario.schema.json` and as `emulator schema` prints it."""
    return json.dumps(json_schema(), indent=2, ensure_ascii=False) + "\n"


class _Untitled(GenerateJsonSchema):
    """Omits titles, which would only repeat the keys."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False

    def decimal_schema(self, schema: Any) -> Schema:
        written = super().decimal_schema(schema)
        for branch in written.get("anyOf", ()):
            branch.pop("pattern", None)  # pydantic before 2.14 adds one, whose look-ahead not every validator knows
        return written

    def encode_default(self, dft: Any) -> Any:
        if isinstance(dft, BaseModel):
            dft.__class__.model_rebuild()  # before pydantic 2.14, a default is not written unless its class is built
        return super().encode_default(dft)


def _models(base: type[BaseModel]) -> Iterator[type[BaseModel]]:
    for model in base.__subclasses__():
        if model.__module__.startswith("emulator."):
            yield model
        yield from _models(model)


def _describe(definition: Schema, model: type[BaseModel]) -> None:
    """Gives each property the docstring of its field as its description."""
    for name, text in docstrings.of(model).items():
        shown = model.model_fields[name].alias or name
        definition["properties"][shown]["description"] = text


def _rules() -> Mapping[str, Schema]:
    """Adds what the models check beyond the types of their fields."""
    shaped = {"anyOf": [{"required": ["length"]}, {"required": ["style"]}]}
    return {
        "RuleModel": {**_one_of("reply", "error", "replies"), "if": _given("then"), "then": _given("replies")},
        "AnswerModel": _one_of("reply", "error"),
        "ErrorModel": {"anyOf": [_given("name"), _given("status")]},
        "QuotaModel": {"anyOf": [_given("requests"), _given("tokens"), _given("concurrency")]},
        "ReplyModel": {"not": {"allOf": [_given("content"), shaped]}},
        "TextCondition": {"minProperties": 1},
        "NumberCondition": {"minProperties": 1},
        "BodyCondition": {"minProperties": 2},
    }


def _given(key: str) -> Schema:
    """The key is present and not null."""
    return {"required": [key], "properties": {key: {"not": {"type": "null"}}}}


def _one_of(*keys: str) -> Schema:
    return {"oneOf": [_given(key) for key in keys]}


def _not_both(one: str, other: str) -> Schema:
    return {"not": {"allOf": [_given(one), _given(other)]}}


def _fault(definitions: Mapping[str, str]) -> Schema:
    """A mapping with a kind, or one line: `reset:after_tokens=5`, an error name, a status."""
    words = "|".join([*definitions, *OLD_NAMES, *known_errors()])
    return {
        "description": "A fault to inject: a mapping with its `kind`, or one line such as `reset:after_tokens=5`; "
        "the name of an error or a status also works.",
        "anyOf": [
            {"oneOf": [_reference(name) for name in definitions.values()]},
            {"type": "string", "pattern": rf"^\s*({words}|[0-9]+)\s*(:.*)?$"},
            {"type": "integer", "minimum": 100, "maximum": 599},
        ],
    }


def _reference(name: str) -> Schema:
    return {"$ref": f"#/$defs/{name}"}


def _tidied(value: Any) -> Any:
    """Removes empty defaults and the titles of classes, and describes every fault only once."""
    if isinstance(value, list):
        return [_tidied(item) for item in value]
    if not isinstance(value, Mapping):
        return value
    if "discriminator" in value:
        return _reference("Fault")
    kept = {key: item for key, item in value.items() if not _is_noise(key, item, value)}
    if "properties" in value:  # a mapping may have any keys, even `default` and `title`
        properties = {name: _tidied(item) for name, item in value["properties"].items()}
        return {key: properties if key == "properties" else _tidied(item) for key, item in kept.items()}
    return {key: _tidied(item) for key, item in kept.items()}


def _is_noise(key: str, item: Any, around: Iterable[str]) -> bool:
    if key == "title":
        return isinstance(item, str)
    return key == "default" and (item is None or isinstance(item, dict | list))
