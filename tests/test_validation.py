"""Mistakes in models whose schemas are wrapped in one of pydantic's ways, and the fixes that are offered."""

from enum import Enum
from textwrap import dedent
from typing import Annotated, Any, Literal

import pytest
from pydantic import (
    AfterValidator,
    AnyUrl,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    create_model,
)
from pydantic_core import core_schema

from emulator.errors import ScenarioError
from emulator.scenario.loading import Document, build, parse
from emulator.scenario.models import Scenario


class Model(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Made:
    """A type whose core schema is given."""

    schema: core_schema.CoreSchema

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:
        return cls.schema


class LaxOrStrict(Made):
    schema = core_schema.lax_or_strict_schema(core_schema.int_schema(gt=3), core_schema.int_schema(strict=True, gt=3))


class JsonOrPython(Made):
    schema = core_schema.json_or_python_schema(core_schema.int_schema(), core_schema.int_schema(gt=3))


class Chain(Made):
    schema = core_schema.chain_schema([core_schema.int_schema(gt=3), core_schema.int_schema()])


class Alone(Made):
    schema = core_schema.union_schema([core_schema.int_schema(gt=3)], mode="left_to_right")


class Color(Enum):
    RED = "red"
    BLUE = "blue"


def messages(text: str, model: type[BaseModel]) -> list[str]:
    with pytest.raises(ScenarioError) as caught:
        build(model, parse(text, "x.yaml"))
    return [problem.message for problem in caught.value.problems]


@pytest.mark.parametrize("kind", [LaxOrStrict, JsonOrPython, Chain, Alone])
def test_a_wrapper_leaves_no_trace(kind: type) -> None:
    class Outer(Model):
        it: kind  # type: ignore[valid-type]
        either: kind | list[str] = []  # type: ignore[valid-type]

    assert messages("it: 2", Outer) == ["it is 2; expected more than 3"]
    assert messages("it: 4\neither: 1", Outer) == ["either is 1; expected more than 3"]


class Inner(Model):
    a: int


class Deep(Model):
    it: Annotated[int | list[int], AfterValidator(lambda value: value)] | dict[str, int] | str | None = None
    color: Color = Color.RED
    short: Annotated[list[int], Field(max_length=1)] = []
    many: Annotated[list[int], Field(min_length=1)] = [1]
    code: Annotated[str, Field(pattern="^a+$")] = "a"
    step: Annotated[int, Field(multiple_of=5)] = 5
    low: Annotated[float, Field(le=1)] = 1


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("it: {a: b}", "it.a is 'b'; expected a whole number"),
        ("it: [b]", "it[0] is 'b'; expected a whole number"),
        ("color: green", "color is 'green'. Allowed: red, blue"),
        ("color: rde", "color is 'rde'. Did you mean 'red'? Allowed: red, blue"),
        ("short: [1, 2]", "short has 2 items; expected at most 1"),
        ("many: []", "many has 0 items; expected at least 1"),
        ("code: b", "code is 'b'; expected a string that matches ^a+$"),
        ("step: 7", "step is 7; expected a multiple of 5"),
        ("low: 2", "low is 2; expected at most 1"),
    ],
)
def test_each_kind_of_mistake_is_said_in_words(text: str, found: str) -> None:
    assert messages(text, Deep) == [found]


def test_an_unknown_key_inside_of_a_validator_is_named() -> None:
    def check(value: Any) -> Any:
        return Inner.model_validate(value)

    class Outer(Model):
        it: Annotated[Any, BeforeValidator(check)]

    assert messages("it: {a: 1, b: 2}", Outer) == ["it.b is not a valid key"]


def test_a_literal_that_a_validator_expects_is_said() -> None:
    class Word(BaseModel):
        word: Literal["a", "b"]

    class Outer(Model):
        it: Annotated[Any, BeforeValidator(lambda value: Word.model_validate(value))]

    assert messages("it: {word: c}", Outer) == ["it.word is 'c'; expected 'a' or 'b'"]


MENDS = [
    ("- reply: {content: a}", "Write the line `version: 1`, then `rules:` with the list under it"),
    (
        "version: 1\nrules: [{error: 429}]",
        "Write: error: {status: 429}, or the name of an error, such as error: rate_limited",
    ),
    (
        "version: 1\nrules: [{reply: [{content: a}]}]",
        "For several answers in turn, write: replies: [{reply: …}, {reply: …}]",
    ),
    ("version: 1\nrules: [{reply: Hello}]", "Write: reply: {content: 'Hello'}"),
    (
        "version: 1\nrules: [{replies: Hello}]",
        "Write: replies: [{reply: {content: 'Hello'}}], or reply: {content: 'Hello'}",
    ),
    (
        "version: 1\nrules: [{match: Hi, reply: {content: a}}]",
        "To match what a prompt contains, write: match: {prompt: {contains: 'Hi'}}",
    ),
    (
        "version: 1\nrules: [{match: {prompt: {contains: 5}}, reply: {content: a}}]",
        "Put it in quotes to make it a string: contains: '5'",
    ),
    (
        "version: 1\nrules: [{match: {body: Hi}, reply: {content: a}}]",
        "Give a path in the body and the expected value, such as body: {path: $.user, equals: ada}",
    ),
    ("version: 1\nrules: [{match: {turn: [1, 2]}, reply: {content: a}}]", "Write: turn: {in: [1, 2]}"),
    (
        "version: 1\nrules: [{match: {turn: first}, reply: {content: a}}]",
        "Write a number, such as turn: 1, or a comparison, such as turn: {gt: 1}",
    ),
]


@pytest.mark.parametrize(("text", "mend"), MENDS, ids=[mend[:30] for _, mend in MENDS])
def test_a_common_mistake_comes_with_what_to_write(text: str, mend: str) -> None:
    (message,) = messages(dedent(text), Scenario)
    assert message.endswith(f". {mend}")


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        (
            "{match: {provider: [openai, maxtoken]}, error: spend_limit}",
            "rules[0] has error 'spend_limit', which maxtoken doesn't have.",
        ),
        (
            "{wire: a.wire, replies: [{reply: {content: A}}]}",
            "rules[0] has both `wire` and `replies`: put `wire` into the items of `replies`",
        ),
    ],
)
def test_parts_of_a_rule_that_do_not_go_together_are_named(rule: str, message: str) -> None:
    (found,) = messages(f"version: 1\nrules: [{rule}]", Scenario)
    assert found.startswith(message)


def test_a_version_in_quotes_is_a_mistake() -> None:
    with pytest.raises(ScenarioError) as caught:
        build(Scenario, Document("x", {"version": "1", "rules": []}))
    assert [problem.message for problem in caught.value.problems] == ["version is the string '1'. Write: version: 1"]


def test_branches_of_one_name_are_known_by_their_errors_alone() -> None:
    def inner(kind: Any) -> Any:
        return create_model("Inner", __base__=Model, a=(kind, ...))

    class Outer(Model):
        it: inner(int) | inner(list[int])  # type: ignore[valid-type]

    assert messages("it: {a: x}", Outer) == [
        "it.a is 'x'; expected a whole number",
        "it.a is 'x'; expected a list",
    ]
    assert messages("it: 5", Outer) == ["it is 5; expected a mapping"]


def test_a_branch_of_another_kind_takes_any_shape() -> None:
    class Outer(Model):
        it: AnyUrl | list[int]

    assert messages("it: 5", Outer) == ["it is 5: URL input should be a string or URL"]
    assert messages("it: 'x y'", Outer) == ["it is 'x y': input should be a valid URL, relative URL without a base"]
