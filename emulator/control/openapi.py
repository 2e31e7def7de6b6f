"""The OpenAPI 3.1 document of the control API, generated from its routes and the models that validate input."""

import re
from collections.abc import Mapping, Sequence
from typing import Any, cast

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from emulator import docstrings
from emulator.control.models import ErrorAnswer, ScenarioText
from emulator.control.routes import PREFIX, ControlRoute
from emulator.scenario.json_schema import json_schema as scenario_schema
from emulator.scenario.models import RuleModel, Scenario
from emulator.state.namespace import NAME

JsonObject = dict[str, Any]

REFERENCE = "#/components/schemas/{model}"
REFUSALS: Mapping[int, str] = {
    400: "The request is malformed.",
    401: "The token is missing or wrong.",
    403: "Pages of other sites may not use this.",
    404: "No such resource.",
    405: "The method is not allowed.",
    408: "The exchanges to wait for didn't arrive in time.",
    409: "Not possible in the current state.",
    413: "The body is too large.",
    415: "The body is not JSON.",
    421: "The host is not one of this server's names.",
    422: "The input is invalid; `problems` says why, with positions.",
    503: "It is not ready, and `problems` says why; or a worker did not answer in time.",
}
OF_ANY = (401, 403, 421, 422)
OF_WRITES = (413, 415)


def document(routes: Sequence[ControlRoute], version: str) -> JsonObject:
    """The whole document."""
    models = {model for route in routes for model in (route.answer, route.body) if model is not None}
    models |= {ErrorAnswer, ScenarioText}
    own = sorted(models - {RuleModel, Scenario}, key=lambda model: model.__name__)
    _, made = models_json_schema(
        [(model, "validation") for model in own],
        ref_template=REFERENCE,
    )
    schemas = {**made["$defs"], **_of_scenarios()}
    for model in own:
        _describe(schemas, model)
    schemas["NamespaceBody"]["properties"]["scenario"]["anyOf"][0] = {"$ref": REFERENCE.format(model="Scenario")}
    schemas["FaultBody"]["properties"]["fault"] = {"$ref": REFERENCE.format(model="Fault")}
    paths: dict[str, JsonObject] = {}
    for route in routes:
        paths.setdefault(f"{PREFIX}/{route.path}", {})[route.method.lower()] = _operation(route, schemas)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Control API of llm-provider-emulator",
            "version": version,
            "description": "Inspects and changes a running emulator. Every route also works behind `/@NAMESPACE`.",
        },
        "servers": [{"url": "/"}],
        "security": [{}, {"token": []}],
        "paths": paths,
        "components": {
            "schemas": _bounded(schemas),
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


def _of_scenarios() -> JsonObject:
    """The parts of a scenario, as in its own schema."""
    schema = scenario_schema()
    definitions: JsonObject = schema.pop("$defs")
    schema.pop("$schema")
    required = [name for name in schema.get("required", ()) if name != "version"]
    whole = {**schema, "required": required} if required else {k: v for k, v in schema.items() if k != "required"}
    return cast(JsonObject, _moved({**definitions, "Scenario": whole}))


def _bounded(value: Any) -> Any:
    """Limits integers to 64 bits: the JSON parser rejects larger ones."""
    if isinstance(value, list):
        return [_bounded(item) for item in value]
    if not isinstance(value, Mapping):
        return value
    if value.get("type") == "integer" and "enum" not in value:
        return {"minimum": -(2**63), "maximum": 2**64 - 1, **value}
    return {key: _bounded(item) for key, item in value.items()}


def _moved(value: Any) -> Any:
    if isinstance(value, list):
        return [_moved(item) for item in value]
    if not isinstance(value, Mapping):
        return value
    return {
        key: item.replace("#/$defs/", "#/components/schemas/")
        if key == "$ref" and isinstance(item, str)
        else _moved(item)
        for key, item in value.items()
    }


def _describe(schemas: JsonObject, model: type[BaseModel]) -> None:
    """Gives each property the docstring of its field as its description."""
    properties = schemas[model.__name__]["properties"]
    for name, text in docstrings.of(model).items():
        properties[name]["description"] = text


def _operation(route: ControlRoute, schemas: JsonObject) -> JsonObject:
    operation: JsonObject = {
        "operationId": re.sub(r"\W+", "_", f"{route.method.lower()}_{route.path}").strip("_"),
        "summary": route.summary,
        "parameters": [*_path_parameters(route), *_query_parameters(route)],
        "responses": _responses(route),
    }
    if route.body is not None:
        schema: JsonObject = {"$ref": REFERENCE.format(model=route.body.__name__)}
        if route.body is Scenario:
            schema = {"anyOf": [schema, {"$ref": REFERENCE.format(model="ScenarioText")}]}
        operation["requestBody"] = {"required": True, "content": {"application/json": {"schema": schema}}}
    return operation


def _path_parameters(route: ControlRoute) -> list[JsonObject]:
    names = re.findall(r"\{(\w+)\}", route.path)
    shapes: dict[str, JsonObject] = {
        "name": {"type": "string", "pattern": f"^{NAME.pattern}$"},
        "number": {"type": "integer", "minimum": 1, "maximum": 10**15 - 1},
    }
    rest: JsonObject = {"type": "string", "minLength": 1}
    return [{"name": name, "in": "path", "required": True, "schema": shapes.get(name, rest)} for name in names]


def _query_parameters(route: ControlRoute) -> list[JsonObject]:
    words = docstrings.of(route.query)
    schema = route.query.model_json_schema()
    rows = []
    for name, shape in schema["properties"].items():
        kinds = [each for each in shape.get("anyOf", [shape]) if each.get("type") != "null"]
        kept = {key: value for key, value in kinds[0].items() if key not in ("title", "default")}
        rows.append({"name": name, "in": "query", "description": words.get(name, ""), "schema": kept})
    return rows


def _responses(route: ControlRoute) -> JsonObject:
    answer = {"schema": {"$ref": REFERENCE.format(model=route.answer.__name__)}}
    text = {"schema": {"type": "string"}}
    content = {kind: answer if kind == "application/json" else text for kind in route.media_types}
    of_workers = () if route.is_local else (503,)
    statuses = {*route.errors, *of_workers, *OF_ANY, *(OF_WRITES if route.body is not None else ())}
    error = {"application/json": {"schema": {"$ref": REFERENCE.format(model="ErrorAnswer")}}}
    refusals: JsonObject = {
        str(status): {"description": REFUSALS[status], "content": error} for status in sorted(statuses)
    }
    if route.path == "ready":
        refusals["503"]["content"] = {"application/json": answer}
    return {str(route.status): {"description": route.summary, "content": content}, **refusals}
