"""OpenAI's error messages; each error has a code and names the member."""

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic_core import ErrorDetails

from emulator.dialects.base import ProviderError, provider_error
from emulator.dialects.serde import place
from emulator.records import record

NOT_JSON = (
    "We could not parse the JSON body of your request. (HINT: This likely means you aren't using your HTTP library "
    "correctly. The OpenAI API expects a JSON payload, but what was sent was not valid JSON. If you have trouble "
    "figuring out how to fix this, please contact us through our help center at help.openai.com.)"
)
EXPECTED = {
    "string_type": "a string",
    "int_type": "an integer",
    "int_from_float": "an integer",
    "float_type": "a decimal",
    "bool_type": "a boolean",
    "list_type": "an array",
    "dict_type": "an object",
    "model_type": "an object",
    "model_attributes_type": "an object",
}


def wrong(message: str, code: str | None = None, param: str | None = None) -> ProviderError:
    """Returns an error."""
    return provider_error("bad_request", message, code=code, param=param)


def missing(param: str) -> ProviderError:
    return wrong(f"Missing required parameter: '{param}'.", "missing_required_parameter", param)


def unsupported(param: str, instead: str = "") -> ProviderError:
    """Returns the error for a member that the model doesn't support."""
    hint = f" Use '{instead}' instead." if instead else ""
    return wrong(
        f"Unsupported parameter: '{param}' is not supported with this model.{hint}", "unsupported_parameter", param
    )


def not_default(param: str, value: Any, default: Any) -> ProviderError:
    """Returns the error for a value other than the default, if the model supports only that."""
    return wrong(
        f"Unsupported value: '{param}' does not support {shown(value)} with this model. Only the default "
        f"({shown(default)}) value is supported.",
        "unsupported_value",
        param,
    )


def not_one_of(param: str, value: Any, known: Sequence[str]) -> ProviderError:
    *others, last = [f"'{each}'" for each in known]
    supported = f"{', '.join(others)}{',' * (len(others) > 1)} and {last}" if others else last
    return wrong(f"Invalid value: '{value}'. Supported values are: {supported}.", "invalid_value", param)


def too_many(param: str, count: int, most: int) -> ProviderError:
    return wrong(
        f"Invalid '{param}': array too long. Expected an array with maximum length {most}, but got an array with "
        f"length {count} instead.",
        "array_above_max_length",
        param,
    )


def empty(param: str) -> ProviderError:
    return wrong(
        f"Invalid '{param}': empty array. Expected an array with minimum length 1, but got an empty array instead.",
        "empty_array",
        param,
    )


def shown(value: Any) -> str:
    """Formats a value for an error message."""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return f"'{value}'" if isinstance(value, str) else str(value)


def described(value: Any) -> str:
    """Describes the type of a value."""
    match value:
        case None:
            return "null"
        case bool():
            return "a boolean"
        case int():
            return "an integer"
        case float():
            return "a decimal"
        case str():
            return "a string"
        case list():
            return "an array"
        case _:
            return "an object"


def misfit(error: ErrorDetails) -> ProviderError:
    """Converts a validation error."""
    kind, path = error["type"], place(error["loc"])
    if kind == "missing":
        return missing(path)
    if kind == "literal_error":
        known = [each.strip(" '") for each in str(error["ctx"]["expected"]).replace(" or ", ", ").split(",")]
        if isinstance(error["input"], str):
            return not_one_of(path, error["input"], known)
    expected = EXPECTED.get(kind, "another value")
    if path in ("messages", "tools"):
        expected = "an array of objects"
    return wrong(
        f"Invalid type for '{path}': expected {expected}, but got {described(error['input'])} instead.",
        "invalid_type",
        path,
    )


@record
class Bounds:
    """The range of a number."""

    name: str
    low: float
    high: float
    kind: str = "decimal"

    def complaint(self, body: Any) -> ProviderError | None:
        value = getattr(body, self.name, None)
        if value is None or self.low <= value <= self.high:
            return None
        is_high = value > self.high
        word, sign, bound = ("above maximum", "<=", self.high) if is_high else ("below minimum", ">=", self.low)
        code = f"{self.kind}_{'above_max' if is_high else 'below_min'}_value"
        return wrong(
            f"Invalid '{self.name}': {self.kind} {word} value. Expected a value {sign} {shown(float(bound))}, but got "
            f"{shown(value)} instead.",
            code,
            self.name,
        )


def complaint_of_schema(schema: Any, param: str, name: str) -> ProviderError | None:
    """Returns the error for a schema that breaks strict mode: objects must be closed and require all their members."""
    found = _open_object(schema, ())
    if found is None:
        return None
    context, reason = found
    where = "(" + "".join(f"'{part}', " for part in context).strip() + ")"
    return wrong(
        f"Invalid schema for {name}: In context={where}, {reason}",
        "invalid_function_parameters" if "tools" in param else None,
        param,
    )


def _open_object(schema: Any, context: tuple[str, ...]) -> tuple[tuple[str, ...], str] | None:
    if not isinstance(schema, Mapping):
        return None
    if schema.get("type") == "object" or "properties" in schema:
        if schema.get("additionalProperties") is not False:
            return context, "'additionalProperties' is required to be supplied and to be false."
        properties = schema.get("properties") or {}
        lacking = [name for name in properties if name not in (schema.get("required") or ())]
        if lacking:
            return (
                (*context, "required"),
                "'required' is required to be supplied and to be an array including every key in properties. "
                f"Missing '{lacking[0]}'.",
            )
        for name, each in properties.items():
            found = _open_object(each, (*context, "properties", name))
            if found is not None:
                return found
    for key in ("$defs", "definitions"):
        for name, each in (schema.get(key) or {}).items() if isinstance(schema.get(key), Mapping) else ():
            found = _open_object(each, (*context, key, name))
            if found is not None:
                return found
    if "items" in schema:
        return _open_object(schema["items"], (*context, "items"))
    for number, each in enumerate(schema.get("anyOf") or ()):
        found = _open_object(each, (*context, "anyOf", str(number)))
        if found is not None:
            return found
    return None
