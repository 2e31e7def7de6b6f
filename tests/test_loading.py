"""Files become data with positions, data becomes models, and every mistake becomes one clear sentence."""

import json
import random
import subprocess
import sys
from decimal import Decimal
from enum import Enum
from itertools import pairwise
from pathlib import Path
from textwrap import dedent
from time import process_time
from typing import Annotated, Any, Literal

import pytest
import yaml
from hits import examples
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import (
    AliasChoices,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    RootModel,
    Tag,
    field_validator,
    model_validator,
)
from pydantic.dataclasses import dataclass
from pydantic_core import PydanticCustomError
from tables import each_of

from emulator.errors import Problem, ScenarioError
from emulator.scenario import formats, loading
from emulator.scenario.formats import Format
from emulator.scenario.loading import Document, build, parse, read


class Model(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Reset(Model):
    kind: Literal["reset"]
    after_tokens: Annotated[int, Field(ge=0)] = 0
    probability: Annotated[float, Field(gt=0, le=1)] = 1


class Stall(Model):
    kind: Literal["stall"]
    seconds: Annotated[float, Field(lt=60)] = 1


class ErrorEvent(Model):
    kind: Literal["error_event"]
    message: str = ""


def spelled_out(value: Any) -> Any:
    return {"kind": value} if isinstance(value, str) else value


Fault = Annotated[Reset | Stall | ErrorEvent, Field(discriminator="kind")]


class Condition(Model):
    contains: str | None = None
    any_of: list["Condition"] | None = None

    @model_validator(mode="after")
    def says_something(self) -> "Condition":
        if not self.model_fields_set:
            raise ValueError("is empty: give contains or any_of")
        return self


class Match(Model):
    provider: str | list[str] = ""
    model: Annotated[str, Field(min_length=2, max_length=5, pattern="^[a-z]")] = "any"
    prompt: str | Condition | None = None
    stream: bool | None = None


class Color(Enum):
    RED = "red"
    BLUE = "blue"


class Rule(Model):
    name: str = ""
    match: Match = Match()
    faults: list[Fault] = []
    weight: Annotated[float, Field(ge=0)] | Literal["auto"] = "auto"
    then: Literal["repeat_last", "cycle", "next_rule"] | None = None
    balance: Decimal = Decimal(1)
    color: Color | None = None
    headers: dict[Annotated[str, Field(max_length=12)], str | int] = {}
    shorthand: Annotated[Fault, BeforeValidator(spelled_out)] | None = None
    top_p: float | None = Field(None, validation_alias=AliasChoices("top_p", "topP"))
    pair: tuple[int, str] | None = None
    turns: Annotated[list[int], Field(min_length=1, max_length=2)] | None = None

    @field_validator("name")
    @classmethod
    def is_tidy(cls, name: str) -> str:
        if name.strip() != name:
            raise ValueError(f"The name '{name}' has blanks around it")
        if name == "custom":
            raise PydanticCustomError("taken", "is taken: {name}", {"name": name})
        if name == "bug":
            raise TypeError("not\n  \x1b[1m hashable")
        if name == "assert":
            raise AssertionError
        return name


class Scenario(Model):
    version: Literal[1]
    rules: list[Rule] = []


def messages(text: str, model: type[BaseModel] = Scenario) -> list[str]:
    """What is wrong with a text, or nothing."""
    try:
        build(model, parse(dedent(text), "x.yaml"))
    except ScenarioError as error:
        return str(error).split("\n")
    return []


def in_rule(text: str) -> list[str]:
    """What is wrong with one rule, without the place that is always the same."""
    found = messages(f"version: 1\nrules:\n- {text}\n")
    return [message.removeprefix("x.yaml:3:3: ") for message in found]


def error_spec(text: str | bytes, kind: Format = "yaml") -> str:
    """Why a text is no document."""
    with pytest.raises(ScenarioError) as caught:
        parse(text, "x", kind)
    return str(caught.value)


def value_of(text: str, kind: Format = "yaml") -> Any:
    return parse(text, "x", kind).data


def short(value: object) -> str:
    """The name of a case: some of these texts have millions of characters."""
    return ascii(value)[:40]


# Reading values


@each_of(
    ("text", "value"),
    [
        ("NO", "NO"),
        ("yes", "yes"),
        ("off", "off"),
        ("true", True),
        ("False", False),
        ("~", None),
        ("", None),
        ("null", None),
        ("1:20", "1:20"),
        ("2024-01-01", "2024-01-01"),
        ("2024-01-01T00:00:00Z", "2024-01-01T00:00:00Z"),
        ("12", 12),
        ("-0x1f", "-0x1f"),
        ("0x1F", 31),
        ("0o17", 15),
        ("017", 17),
        ("0b1", "0b1"),
        ("1_000", "1_000"),
        ("1e3", 1000.0),
        ("-.5", -0.5),
        ("1.", 1.0),
        ("1.2.3", "1.2.3"),
        ("٣", "٣"),
        ("=", "="),
        ("'12'", "12"),
        ("!!str 12", "12"),
        ("! 12", "12"),
        ("!!float 12", 12.0),
        ("!!map {a: !!seq [!!int 1]}", {"a": [1]}),
        ('"\\x07\\u00e9\\U0001F600"', "\x07é😀"),
        ("{'<<': 1}", {"<<": 1}),
        ("\ufeffa", "a"),
        ("|\n a\n  b\n", "a\n b\n"),
    ],
)
def test_yaml_values_are_those_of_yaml_1_2(text: str, value: object) -> None:
    found = value_of(text)
    assert (found, type(found)) == (value, type(value))


@pytest.mark.parametrize("loader", [yaml.SafeLoader, formats._LOADER])
def test_both_yaml_parsers_give_the_same_data_and_places(loader: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(formats, "_LOADER", loader)
    document = parse("a: &b\n- {c: 1, 'd e': [x]}\n-   y\nf: *b\n", "x")
    assert document.data == {"a": [{"c": 1, "d e": ["x"]}, "y"], "f": [{"c": 1, "d e": ["x"]}, "y"]}
    inside = {(0,): (2, 3), (0, "c"): (2, 4), (0, "d e"): (2, 10), (0, "d e", 0): (2, 18), (1,): (3, 5)}
    assert dict(document.marks) == {
        (): (1, 1),
        ("a",): (1, 1),
        **{("a", *key_path): mark for key_path, mark in inside.items()},
        ("f",): (4, 1),
        **{("f", *key_path): mark for key_path, mark in inside.items()},
    }
    assert len(document.marks) == 13
    assert ("nowhere", 1) not in document.marks


def test_json_has_places_too_even_indented_with_tabs() -> None:
    text = '{\n\t"a": [1, -2.5e3, true, null, "\\ud83d\\ude00\\/"],\n\t"' + "k" * 2000 + '": {}\n}'
    document = parse(text, "x", "json")
    assert document.data == json.loads(text)
    assert document.marks["a", 2] == (2, 19)
    assert document.marks["k" * 2000,] == (3, 2)


def test_toml_has_the_places_of_its_lines() -> None:
    text = dedent('''\
        version = 1
        when = 2024-01-01
        "a b".c = """
        d = 1
        """
        [[rules]]
        name = "one"
          [rules.match]
          model = {x = 1}
        [[rules]]
        name = "two"
        ''')
    document = parse(text, "x", "toml")
    assert document.data == {
        "version": 1,
        "when": "2024-01-01",
        "a b": {"c": "d = 1\n"},
        "rules": [{"name": "one", "match": {"model": {"x": 1}}}, {"name": "two"}],
    }
    places = [("version",), ("a b", "c"), ("rules", 0), ("rules", 0, "match", "model"), ("rules", 1, "name")]
    assert [document.marks[place] for place in places] == [(1, 1), (3, 1), (6, 3), (9, 3), (11, 1)]


# Refusing texts


@each_of(
    ("text", "message"),
    [
        ("a: 1\nb:\n  c: 1\n  c: 2", "x:4:3: b.c is given twice, first on line 3"),
        ("- {a: 1}\n- {a: 1, b: 2, a: 3}", "x:2:16: [1].a is given twice, first on line 2"),
        ("a:\n  200: x", "x:2:3: a: the key 200 is not a string; put it in quotes"),
        ("true: x", "x:1:1: the key true is not a string; put it in quotes"),
        ("? [a]\n: x", "x:1:3: a list cannot be a key; keys are strings"),
        ("a: &a [b]\n*a : c", "x:2:1: the key a list is not a string; put it in quotes"),
        ("a: &a {}\nb:\n  <<: *a", "x:3:3: the merge key '<<' is not part of YAML 1.2; repeat the keys instead"),
        (
            "a: !!python/object/apply:os.system [ls]",
            "x:1:4: the tag '!!python/object/apply:os.system' is not supported."
            " Tags: !!str, !!int, !!float, !!bool, !!null, !!map, !!seq",
        ),
        ("a: !!int b", "x:1:4: 'b' is not a valid '!!int'"),
        ("a: !e!b c", "x:1:4: unknown tag; put a string that starts with '!' in quotes"),
        ("a: 1\n--- \nb: 2", "x:2:1: a second document starts here; a file can contain only one"),
        ("a: *b", "x:1:4: the alias '*b' has no anchor above"),
        ("a: &name 1\nb: *nam", "x:2:4: the alias '*nam' has no anchor above. Did you mean 'name'?"),
        ("a: &b [*b]", "x:1:8: the alias '*b' is inside the value it repeats"),
        ("a: &a 1\nb: [" + "*a," * 101 + "]", "x:2:305: more than 100 aliases"),
        ("[" * 101, "x:1:101: this is nested more than 100 levels deep"),
        ("{a: " * 50_000, "x:1:401: this is nested more than 100 levels deep"),
        (
            "a: &a " + "[" * 60 + "]" * 60 + "\nb: " + "[" * 60 + "*a" + "]" * 60,
            "x:2:64: this is nested more than 100 levels deep",
        ),
        (
            "a: 99999999999999999999",
            "x:1:4: this number does not fit into 64 bits; put it in quotes to make it a string",
        ),
        ("a: " + "9" * 5000, "x:1:4: this number does not fit into 64 bits; put it in quotes to make it a string"),
        ("a: .inf", "x:1:4: this number is not finite, and JSON cannot represent it; put it in quotes"),
        ("a: 1e999", "x:1:4: this number is not finite, and JSON cannot represent it; put it in quotes"),
        ("a:\n - b\x00", "x:2:5: the character U+0000 is not allowed here; use an escape in double quotes"),
        ("a: \x1b[1m", "x:1:4: the character U+001B is not allowed here; use an escape in double quotes"),
        ("a: b\u2028c", "x:1:5: the character U+2028 is not allowed here; use an escape in double quotes"),
        ("a: \ud800", "x:1:4: the character U+D800 is not allowed here; use an escape in double quotes"),
        (b"a: 1\nb: \xff", "x:2:4: the byte 0xff is not UTF-8; save the file as UTF-8"),
        ("a".encode("utf-16"), "x:1:1: the byte 0xff is not UTF-8; save the file as UTF-8"),
        (b"a" * (10 * 2**20 + 1), "x: this file is larger than 10 MiB"),
        ('a: "\\ud800"', "x:1:7: this escape is not a character; write the character itself"),
        ("a:\n\t- b", "x:2:1: a tab cannot indent YAML; use spaces"),
        ("a: @b", "x:1:4: a string that starts with this character needs quotes"),
        ("a: b: c", "x:1:5: unexpected ':'; quote a string that contains one, or fix the indentation"),
        ("a: - b", "x:1:4: a list cannot start here; put its first '-' on a new line"),
        ("a: 1\nb\nc: 2", "x:2:1: expected a ':' after this key"),
        ("a: 'b\n\nc", "x:1:4: this quote is never closed"),
        ("a: [1, 2\nb: 3", "x:2:2: expected a ',' or the ']' of a list"),
        ("a: {b: 1]", "x:1:9: expected a ',' or the '}' of a mapping"),
        ("a: {b: 1\nc: [2, {d: 3}\n", "x:2:2: expected a ',' or the '}' of a mapping"),
        ("a:\n- [b, {c: 1}\n", "x:2:3: this bracket is never closed"),
        ("a: [\n\n", "x:1:5: expected a value here; look for a missing or extra bracket"),
        ("a:\n  b: 1\n c: 2", "x:3:2: expected a key here; check the indentation, and look for quotes inside quotes"),
        ("- a\nb: 1", "x:2:1: expected a '- ' here; check the indentation, and look for quotes inside quotes"),
        (
            "[a] b",
            "x:1:5: this does not continue the lines above; check the indentation, and look for quotes inside quotes",
        ),
        ('a: "\\q"', "x:1:5: not a valid escape; in double quotes, write a backslash twice"),
        ("a: *", "x:1:5: not valid YAML: did not find expected alphabetic or numeric character"),
    ],
)
def test_a_yaml_text_is_refused_with_its_reason(text: str | bytes, message: str) -> None:
    assert error_spec(text) == message


@pytest.mark.parametrize("loader", [yaml.SafeLoader, formats._LOADER])
@pytest.mark.parametrize("escape", ["\\U00110000", "\\UFFFFFFFF"])
def test_an_escape_beyond_unicode_is_refused(escape: str, loader: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(formats, "_LOADER", loader)
    with pytest.raises(ScenarioError) as caught:
        parse(f'version: 1\nname: "{escape}"', "x.yaml")
    assert str(caught.value).endswith(" is not a character; write the character itself")


def test_a_bomb_of_aliases_is_refused_before_it_expands() -> None:
    lines = [
        "a: &a [x,x,x,x,x,x,x,x,x]",
        *(f"{b}: &{b} [{','.join([f'*{a}'] * 9)}]" for a, b in pairwise("abcdefghi")),
    ]
    assert error_spec("\n".join(lines)) == "x:7:8: the document exceeds 32 MiB once its aliases are expanded"


def test_one_reading_finds_all_that_there_is_to_find() -> None:
    assert error_spec("a: 1\na: 2\n3: 4\nb: !x y\nc: [") == (
        "x:2:1: a is given twice, first on line 1\n"
        "x:3:1: the key 3 is not a string; put it in quotes\n"
        "x:4:4: the tag '!x' is not supported. Tags: !!str, !!int, !!float, !!bool, !!null, !!map, !!seq\n"
        "x:5:5: expected a value here; look for a missing or extra bracket"
    )
    assert error_spec("1: 1\n" * 1000).count("\n") == 99


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "x:1:1: not valid JSON: expecting value"),
        ("{'a': 1}", "x:1:2: not valid JSON: expecting property name enclosed in double quotes"),
        ('{\n"a": 1 "b": 2}', "x:2:8: not valid JSON: expecting ',' delimiter"),
        ("[1] # no", "x:1:5: not valid JSON: extra data"),
        ('{"a": {\n"b": 1, "b": 2}}', "x:2:9: a.b is given twice, first on line 2"),
        ('["\\ud800"]', "x:1:2: half of a surrogate pair is not a character; write the character itself"),
        ('{"\\udfff": 1}', "x:1:2: half of a surrogate pair is not a character; write the character itself"),
        ("[-Infinity]", "x:1:2: this number is not finite, and JSON cannot represent it; put it in quotes"),
        ("9" * 5000, "x:1:1: this number does not fit into 64 bits; put it in quotes to make it a string"),
        ("[" * 101 + "]" * 101, "x:1:101: this is nested more than 100 levels deep"),
        ("[" * 100_000, "x: this is nested more than 100 levels deep"),
    ],
    ids=short,
)
def test_a_json_text_is_refused_with_its_reason(text: str, message: str) -> None:
    assert error_spec(text, "json") == message


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a = 1\nb = \n", "x:2:5: not valid TOML: invalid value"),
        ("a = 1\na = 2\n", "x:2:6: not valid TOML: cannot overwrite a value"),
        ("a = [1,\n", "x:2:1: not valid TOML: invalid value"),
        ("a = nan", "x:1:1: this number is not finite, and JSON cannot represent it; put it in quotes"),
        ("a = 1" + "0" * 5000, "x: a number here has too many digits; put it in quotes to make it a string"),
        ("a = " + "[" * 5000, "x: this is nested more than 100 levels deep"),
        ("a" + " . a" * 1_000_000 + " = 1", "x: this is nested more than 100 levels deep"),
        ("\n[a" + ".b" * 99 + "]\nc = {}", "x:2:2: this is nested more than 100 levels deep"),
    ],
    ids=short,
)
def test_a_toml_text_is_refused_with_its_reason(text: str, message: str) -> None:
    assert error_spec(text, "toml") == message


# Reading files


@pytest.mark.parametrize(
    ("name", "text"),
    [("a.yaml", "b: [1]"), ("a.YML", "b: [1]"), ("a.json", '{"b": [1]}'), ("a.toml", "b = [1]")],
)
def test_the_ending_of_a_file_names_its_notation(name: str, text: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(text)
    document = read(tmp_path / name, shown=name)
    assert (document.path, document.data, document.marks["b",][0]) == (name, {"b": [1]}, 1)


def test_a_file_is_called_by_its_path_unless_a_name_is_given(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_bytes(b"a: [")
    for shown, name in [(None, str(path)), ("b", "b")]:
        with pytest.raises(ScenarioError) as caught:
            read(path, shown=shown)
        assert caught.value.problems == (
            Problem(name, 1, 5, "expected a value here; look for a missing or extra bracket"),
        )


def test_a_file_that_cannot_be_read_is_one_problem(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "retry.yaml").touch()
    (tmp_path / "a.txt").touch()
    (tmp_path / "large.json").write_bytes(b" " * (loading.MAX_BYTES + 1))

    def reported(name: str) -> str:
        with pytest.raises(ScenarioError) as caught:
            read(tmp_path / name, shown="x")
        return str(caught.value)

    assert reported("retri.yaml") == "x: no such file. Did you mean 'retry.yaml'?"
    assert reported("no/such.yaml") == "x: no such file"
    assert reported(".") == "x: this is a folder; expected a file"
    assert reported("a.txt") == "x: unknown file extension '.txt'. Extensions: .yaml, .yml, .json, .toml"
    assert reported("large.json") == "x: this file is larger than 10 MiB"
    assert reported("a\0.yaml").startswith("x: cannot read this file: ")  # Python's own words differ by version
    assert reported("a" * 300 + ".yaml") == "x: cannot read this file: File name too long"
    assert reported("/dev/null") == "x: this is not a regular file"

    def forbidden(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", forbidden)
    assert reported("retry.yaml") == "x: cannot read this file: permission denied"


# Building models


def test_a_valid_document_becomes_the_model() -> None:
    text = """
        version: 1
        rules:
        - name: a
          match: {provider: [b, c], prompt: {any_of: [{contains: d}]}}
          faults: [{kind: reset, probability: 0.5}]
          shorthand: stall
          balance: "0.10"
    """
    assert build(Scenario, parse(dedent(text), "x")) == Scenario(
        version=1,
        rules=[
            Rule(
                name="a",
                match=Match(provider=["b", "c"], prompt=Condition(any_of=[Condition(contains="d")])),
                faults=[Reset(kind="reset", probability=0.5)],
                shorthand=Stall(kind="stall"),
                balance=Decimal("0.10"),
            )
        ],
    )


def test_every_problem_is_reported_in_the_order_of_the_file() -> None:
    text = """\
        rules:
        - faults:
          - kind: resett
            after_tokens: 1
          mach: {}
        - match:
            stream: maybe
          weight: -1
        - name: " x"
          faults: [{kind: stall, seconds: fast}, {}]
        version: 2
        rule: []
    """
    assert messages(text) == [
        "x.yaml:3:5: rules[0].faults[0].kind is 'resett'. Did you mean 'reset'? Kinds: error_event, reset, stall",
        "x.yaml:5:3: rules[0].mach is not a valid key. Did you mean 'match'?"
        " Keys: name, match, faults, weight, then, balance, color, headers, shorthand, top_p, pair, turns",
        "x.yaml:7:5: rules[1].match.stream is 'maybe'; expected true or false",
        "x.yaml:8:3: rules[1].weight is -1; expected at least 0",
        "x.yaml:9:3: rules[2].name: The name ' x' has blanks around it",
        "x.yaml:10:26: rules[2].faults[0].seconds is 'fast'; expected a number",
        "x.yaml:10:42: rules[2].faults[1].kind is missing. Kinds: error_event, reset, stall",
        "x.yaml:11:1: version is 2. Write: version: 1",
        "x.yaml:12:1: rule is not a valid key. Did you mean 'rules'? Keys: version, rules",
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "x.yaml:1:1: the document is empty; expected a mapping. Keys: version, rules"),
        (
            "[1]",
            "x.yaml:1:1: the document is a list; expected a mapping. "
            "Write the line `version: 1`, then `rules:` with the list under it",
        ),
        ("just words", "x.yaml:1:1: the document is 'just words'; expected a mapping. Keys: version, rules"),
        ("rules: []", "x.yaml:1:1: version is missing: start the scenario with the line `version: 1`"),
        ("version: 1\nrules: {}", "x.yaml:2:1: rules is a mapping; expected a list"),
        ("version: 1\nrules:", "x.yaml:2:1: rules is empty; expected a list"),
        (
            "version: 1\nrules: [3]",
            "x.yaml:2:9: rules[0] is 3; expected a mapping. Keys: name, match, faults, weight, then, "
            "balance, color, headers, shorthand, top_p, pair, turns",
        ),
        ("version: 1\n'a b': 2", "x.yaml:2:1: ['a b'] is not a valid key. Keys: version, rules"),
    ],
)
def test_the_frame_of_a_document_is_checked(text: str, message: str) -> None:
    assert messages(text) == [message]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("then: cycel", "rules[0].then is 'cycel'. Did you mean 'cycle'? Allowed: repeat_last, cycle, next_rule"),
        ("then: [a]", "rules[0].then is a list. Allowed: repeat_last, cycle, next_rule"),
        ("color: reed", "rules[0].color is 'reed'. Did you mean 'red'? Allowed: red, blue"),
        ("name: 3", "rules[0].name is 3; expected a string"),
        ("name: true", "rules[0].name is true; expected a string"),
        ("name: custom", "rules[0].name is taken: custom"),
        ("name: 'a\\ \n'", "rules[0].name: The name 'a\\ ' has blanks around it"),
        ('name: "\\x1b "', "rules[0].name: The name '\\x1b ' has blanks around it"),
        ("balance: much", "rules[0].balance is 'much'; expected a number"),
        ("turns: []", "rules[0].turns has 0 items; expected at least 1"),
        ("turns: [1, 2, 3]", "rules[0].turns has 3 items; expected at most 2"),
        ("topp: 1", None),
        ("pair: [1]", "rules[0].pair[1] is missing"),
    ],
)
def test_a_value_is_judged_in_plain_words(text: str, message: str | None) -> None:
    found = in_rule(text)
    if message is None:
        assert found[0].startswith("rules[0].topp is not a valid key. Did you mean 'top_p'? Keys: ")
    else:
        assert found == [message]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("faults: [{kind: reset, after_tokens: 1.5}]", "faults[0].after_tokens is 1.5; expected a whole number"),
        ("faults: [{kind: reset, probability: 0}]", "faults[0].probability is 0; expected more than 0"),
        ("faults: [{kind: reset, probability: 1.5}]", "faults[0].probability is 1.5; expected at most 1"),
        ("faults: [{kind: stall, seconds: 60}]", "faults[0].seconds is 60; expected less than 60"),
        (
            "faults: [{kind: stall, secs: 1}]",
            "faults[0].secs is not a valid key. Did you mean 'seconds'? Keys: kind, seconds",
        ),
        ("faults: [{kind: 3}]", "faults[0].kind is 3. Kinds: error_event, reset, stall"),
        ("faults: [{kind: [a]}]", "faults[0].kind is a list. Kinds: error_event, reset, stall"),
        ("faults: [{kind: }]", "faults[0].kind is empty. Kinds: error_event, reset, stall"),
        ("match: {model: a}", "match.model is 'a'; expected a string of at least 2 characters"),
        ("match: {model: abcdef}", "match.model is 'abcdef'; expected a string of at most 5 characters"),
        ("match: {model: ABC}", "match.model is 'ABC'; expected a string that matches ^[a-z]"),
    ],
)
def test_places_deeper_down_point_at_the_key(text: str, message: str) -> None:
    (found,) = messages(f"version: 1\nrules:\n- {text}\n")
    where, _, what = found.partition(": ")
    assert what == f"rules[0].{message}"
    column = int(where.rpartition(":")[2])
    key = message.partition(" ")[0].rpartition(".")[2]
    assert f"- {text}"[column - 1 :].startswith(key)


def test_a_key_is_judged_like_a_value() -> None:
    assert messages("version: 1\nrules: [headers: {a-long-long-name: x}]") == [
        "x.yaml:2:19: the key rules[0].headers.a-long-long-name is 'a-long-long-name';"
        " expected a string of at most 12 characters"
    ]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("match: {provider: 3}", ["match.provider is 3; expected a string"]),
        ("match: {provider: {a: 1}}", ["match.provider is a mapping; expected a string or a list"]),
        ("match: {provider: }", ["match.provider is empty; expected a string or a list"]),
        (
            "match: {provider: [1, a, {}]}",
            ["match.provider[0] is 1; expected a string", "match.provider[2] is a mapping; expected a string"],
        ),
        ("match: {prompt: [a]}", ["match.prompt is a list; expected a string or a mapping"]),
        (
            "match: {prompt: {contain: a}}",
            ["match.prompt.contain is not a valid key. Did you mean 'contains'? Keys: contains, any_of"],
        ),
        ("match: {prompt: {}}", ["match.prompt is empty: give contains or any_of"]),
        ("match: {prompt: {any_of: [{}]}}", ["match.prompt.any_of[0] is empty: give contains or any_of"]),
        ("weight: autoo", ["weight is 'autoo'; expected a number or 'auto'. Did you mean 'auto'?"]),
        ("weight: -0.5", ["weight is -0.5; expected at least 0"]),
        ("headers: {a: [x]}", ["headers.a is a list; expected a string or a whole number"]),
        ("headers: {str: [x]}", ["headers.str is a list; expected a string or a whole number"]),
    ],
)
def test_a_union_complains_once_for_the_branch_that_was_meant(text: str, found: list[str]) -> None:
    messages_without_place = [each.partition(": ")[2] for each in messages(f"version: 1\nrules:\n- {text}\n")]
    assert messages_without_place == [f"rules[0].{each}" for each in found]


def test_what_a_validator_spelled_out_is_named_though_it_is_not_in_the_file() -> None:
    assert in_rule("shorthand: resett") == [
        "rules[0].shorthand.kind is 'resett'. Did you mean 'reset'? Kinds: error_event, reset, stall"
    ]


def test_long_lists_and_long_values_are_cut() -> None:
    class Choice(Model):
        one: Literal["a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l", "m"]

    assert messages(f"one: {'x' * 100}", Choice) == [
        f"x.yaml:1:1: one is '{'x' * 59}…'. Allowed: a, b, c, d, e, f, g, h, i, j, k, l, …"
    ]


def test_a_tag_by_function_lists_its_forms() -> None:
    class One(Model):
        a: int

    class Two(Model):
        b: int

    def form(value: Any) -> str | None:
        return next((key for key in ("a", "b") if key in value), None)

    class Outer(Model):
        it: Annotated[Annotated[One, Tag("a")] | Annotated[Two, Tag("b")], Discriminator(form)]

    assert messages("it: {c: 1}", Outer) == ["x.yaml:1:1: it has none of the possible forms. Forms: a, b"]
    assert messages("it: {b: x}", Outer) == ["x.yaml:1:6: it.b is 'x'; expected a whole number"]
    assert messages("it: {a: 1, b: 2}", Outer) == ["x.yaml:1:12: it.b is not a valid key. Keys: a"]


def test_a_tag_that_is_also_a_key_is_not_taken_for_it() -> None:
    class Box(Model):
        kind: Literal["size"]
        size: dict[str, int] = {}

    class Bag(Model):
        kind: Literal["bag"]

    class Outer(Model):
        it: Annotated[Box | Bag, Field(discriminator="kind")]

    assert messages("it: {kind: size, size: {size: x}}", Outer) == [
        "x.yaml:1:25: it.size.size is 'x'; expected a whole number"
    ]


def test_of_two_mappings_the_one_with_fewer_mistakes_was_meant() -> None:
    class Point(Model):
        x: int
        y: int

    class Circle(Model):
        radius: int

    class Outer(Model):
        it: Point | Circle | list[Point]

    assert messages("it: {x: 1, z: 2, y: 3}", Outer) == ["x.yaml:1:12: it.z is not a valid key. Keys: x, y"]
    assert messages("it: {radius: big}", Outer) == ["x.yaml:1:6: it.radius is 'big'; expected a whole number"]
    assert messages("it: [{x: 1}]", Outer) == ["x.yaml:1:6: it[0].y is missing"]


def test_a_root_model_and_an_alias_leave_no_trace_in_places() -> None:
    class Item(Model):
        in_: int = Field(alias="in")

    class Items(RootModel[list[Item]]):
        pass

    assert messages("- in: x\n- {in_: 1}", Items) == [
        "x.yaml:1:3: [0].in is 'x'; expected a whole number",
        "x.yaml:2:3: [1].in is missing",
        "x.yaml:2:4: [1].in_ is not a valid key. Did you mean 'in'? Keys: in",
    ]


def test_a_dataclass_and_a_strict_tuple_are_distinguished_from_their_likes() -> None:
    @dataclass(config=ConfigDict(extra="forbid"))
    class Point:
        left: int

    class Outer(Model):
        model_config = ConfigDict(strict=True)
        point: Point | None = None
        pair: tuple[int, ...] = ()

    assert messages("point: {lift: 1}\npair: [1]", Outer) == [
        "x.yaml:1:1: point.left is missing",
        "x.yaml:1:9: point.lift is not a valid key. Did you mean 'left'? Keys: left",
        "x.yaml:2:1: pair is a list: input should be a valid tuple",
    ]


def test_an_error_inside_of_a_validator_stays_at_its_place() -> None:
    class Outer(Model):
        settings: dict[str, Any]

        @field_validator("settings")
        @classmethod
        def fit(cls, value: dict[str, Any]) -> dict[str, Any]:
            Match.model_validate(value)
            return value

    assert messages("settings:\n  stream: 7", Outer) == ["x.yaml:2:3: settings.stream is 7; expected true or false"]


def test_a_document_without_marks_has_problems_without_positions() -> None:
    with pytest.raises(ScenarioError) as caught:
        build(Scenario, Document("<dict>", {"version": 1, "rules": [{"then": object(), "name": 10**5000}]}))
    assert str(caught.value) == (
        "<dict>: rules[0].name is a very long number; expected a string\n"
        "<dict>: rules[0].then is of the Python type object. Allowed: repeat_last, cycle, next_rule"
    )


def test_a_validator_with_a_bug_does_not_show_a_traceback() -> None:
    assert in_rule("name: bug") == ["x.yaml:1:1: cannot check the document: TypeError: not \\x1b[1m hashable"]
    assert in_rule("name: assert") == ["rules[0].name is 'assert', which is invalid"]


# Holding out

VALID = dedent("""\
    version: 1   # a comment
    rules:
    - &rule
      name: one
      match: {provider: [a, "b\\u00e9"], prompt: {any_of: [{contains: 'c'}]}}
      faults:
      - kind: reset
        after_tokens: 3
      - {kind: stall, seconds: 1e1}
      weight: 0.5
    - name: >-
        two
         lines
      headers: {x-a: "1", "x b": 2}
      balance: 0.01
    - *rule
    """)
PIECES = [
    *"\t\n :-[]{},&*!|>'\"#%@`?=.\\\0\x07\r\x85\u2028\ufeff\ud800",
    *("- ", ": ", "&a ", "*a", "*rule", "!!str ", "!x ", "<<: *rule\n", "---\n", "...\n", "%TAG ! x\n", '"""', "'''"),
    *("\\ud800", "\\U00110000", "9" * 30, "9" * 5000, "1e999", ".nan", "NaN", "0x", "[" * 120, "{a: " * 120, "😀"),
]


def mutated(text: str, seeded: random.Random) -> str:
    for _ in range(seeded.randint(1, 3)):
        at, to = sorted((seeded.randint(0, len(text)), seeded.randint(0, len(text))))
        text = seeded.choice(
            [
                text[:at] + seeded.choice(PIECES) + text[at:],
                text[:at] + text[min(to, at + 8) :],
                text[:at] + text[to : to + 30] + text[at:],
                text[:at] + chr(seeded.randint(0, 0x10FFFF)) + text[at + 1 :],
            ]
        )
    return text


def problems_of_text(text: str | bytes, kind: Format) -> tuple[Problem, ...]:
    """What is wrong with a text; what is accepted must be fit for JSON."""
    try:
        document = parse(text, "x", kind)
    except ScenarioError as error:
        return error.problems
    json.dumps(document.data, allow_nan=False).encode()
    return problems_of_data(document)


def problems_of_data(document: Document) -> tuple[Problem, ...]:
    try:
        build(Scenario, document)
    except ScenarioError as error:
        return error.problems
    return ()


def outlives(text: str | bytes, kind: Format) -> bool:
    """Whether a text is accepted. Anything but a ScenarioError with fit messages fails."""
    problems = problems_of_text(text, kind)
    assert all(problem.message.isprintable() for problem in problems)
    assert all("cannot be checked" not in problem.message for problem in problems)
    return not problems


@pytest.mark.parametrize("loader", [yaml.SafeLoader, formats._LOADER])
def test_mutations_of_a_valid_file_raise_nothing_else(loader: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(formats, "_LOADER", loader)
    seeded = random.Random(7)
    assert outlives(VALID, "yaml")
    assert {outlives(mutated(VALID, seeded), "yaml") for _ in range(700)} == {True, False}


@pytest.mark.parametrize("kind", ["json", "toml"])
def test_mutations_of_json_and_toml_raise_nothing_else(kind: Format) -> None:
    valid = {
        "json": json.dumps(value_of(VALID), indent="\t"),
        "toml": 'version = 1\n[[rules]]\nfaults = [{kind = "stall"}]\nmatch.model = "ab"\n[rules.headers]\n"x b" = 2\n',
    }[kind]
    seeded = random.Random(8)
    assert outlives(valid, kind)
    assert {outlives(mutated(valid, seeded), kind) for _ in range(700)} == {True, False}


@settings(max_examples=examples(500), deadline=None)
@given(
    raw=st.binary(max_size=200) | st.text(st.characters(), max_size=200), kind=st.sampled_from(["yaml", "json", "toml"])
)
def test_random_bytes_and_texts_raise_nothing_else(raw: str | bytes, kind: Format) -> None:
    outlives(raw, kind)


WORDS = st.sampled_from(["", "a", "reset", "stall", "kind", "str", "contains", "auto", "list[str]"]) | st.text(
    max_size=5
)
KEYS = (
    st.sampled_from(["version", "rules", *Rule.model_fields, "kind", "contains", "any_of", "provider", "prompt"])
    | WORDS
)
DATA = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=30,
)


@settings(max_examples=examples(300), deadline=None)
@given(rule=st.fixed_dictionaries({}, optional=dict.fromkeys(Rule.model_fields, DATA)))
def test_any_data_is_built_or_refused_in_words(rule: dict[str, Any]) -> None:
    for problem in problems_of_data(Document("x", {"version": 1, "rules": [rule]})):
        assert problem.message.startswith(("rules[0]", "the key rules[0]"))
        assert problem.message.isprintable()


def test_a_thousand_rules_load_well_under_a_second() -> None:
    rule = VALID[VALID.index("- &rule") : VALID.index("- *rule")].replace("&rule", "")
    text = "version: 1\nrules:\n" + rule * 500
    start = process_time()
    scenario = build(Scenario, parse(text, "x"))
    assert process_time() - start < 0.8
    assert len(scenario.rules) == 1000


def test_importing_needs_little_beyond_pydantic_and_yaml() -> None:
    code = """if True:
        import sys, pydantic.main, yaml
        before = set(sys.modules)
        import emulator.scenario.loading
        print(*set(sys.modules) - before)
    """
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    packages = {name.partition(".")[0] for name in found} - set(sys.stdlib_module_names)
    assert packages <= {"emulator", "pydantic", "pydantic_core"}
