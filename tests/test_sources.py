"""The sources of scenarios: several files, folders, globs and includes become one, and conflicts are reported."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from emulator.errors import Problem, ScenarioError
from emulator.matching.rules import compile_rules
from emulator.pace import Pace
from emulator.scenario.loading import parse
from emulator.scenario.models import Scenario
from emulator.scenario.sources import MAX_FILES, Loaded, files_of, load
from emulator.state.compiled import compile_document

Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """`write(name, text)` writes a file into the current folder, which is empty at first."""
    monkeypatch.chdir(tmp_path)

    def write(name: str, text: str = "") -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    return write


def file_of(*names: str, **more: Any) -> str:
    """A scenario with a rule of each name, in YAML."""
    rules = "".join(f"  - name: {name}\n    reply: {{content: {name}}}\n" for name in names)
    head = "".join(f"{key}: {value}\n" for key, value in more.items())
    return f"version: 1\n{head}" + (f"rules:\n{rules}" if names else "")


def names(loaded: Loaded) -> list[str | None]:
    return [rule.name for rule in loaded.scenario.rules]


def problems(*sources: Any) -> list[str]:
    with pytest.raises(ScenarioError) as error:
        load(*sources)
    return [str(problem) for problem in error.value.problems]


# One of them


def test_a_file_is_loaded_with_the_places_of_its_rules(write: Write) -> None:
    write("a.yaml", file_of("one", "two", seed=3))
    loaded = load("a.yaml")
    assert names(loaded) == ["one", "two"]
    assert loaded.origins == ("a.yaml:4:5", "a.yaml:6:5")
    assert loaded.files == (Path("a.yaml"),)
    assert loaded.scenario.seed == 3


def test_a_mapping_needs_no_version(write: Write) -> None:
    loaded = load({"rules": [{"name": "one", "error": "timeout"}]})
    assert (names(loaded), loaded.origins, loaded.files) == (["one"], ("rules[0]",), ())
    assert load(loaded.scenario).scenario == loaded.scenario
    assert load().scenario == load({}).scenario == Scenario(version=1)


def test_a_mapping_cannot_include(write: Write) -> None:
    write("a.yaml", file_of("one"))
    assert problems({"include": "a.yaml"}) == [
        "scenario: include works only in a file: it is relative to the file's folder"
    ]


def test_yaml_json_and_toml_say_the_same(write: Write) -> None:
    write("a.yaml", file_of("one"))
    write("a.json", '{"version": 1, "rules": [{"name": "one", "reply": {"content": "one"}}]}')
    write("a.toml", 'version = 1\n[[rules]]\nname = "one"\nreply.content = "one"\n')
    loaded = [load(name) for name in ("a.yaml", "a.json", "a.toml")]
    assert loaded[0].scenario == loaded[1].scenario == loaded[2].scenario
    assert [each.origins for each in loaded] == [("a.yaml:3:5",), ("a.json:1:26",), ("a.toml:2:3",)]


# Several


def test_rules_of_several_files_follow_each_other_in_the_order_given(write: Write) -> None:
    write("b.yaml", file_of("b1", "b2"))
    write("a.yaml", file_of("a1"))
    loaded = load("b.yaml", {"rules": [{"name": "m", "reply": {}}]}, "a.yaml", "b.yaml")
    assert names(loaded) == ["b1", "b2", "m", "a1"]
    assert loaded.origins == ("b.yaml:3:5", "b.yaml:5:5", "rules[0]", "a.yaml:3:5")
    assert loaded.files == (Path("b.yaml"), Path("a.yaml"))


def test_accounts_quotas_and_faults_are_those_of_all_files(write: Write) -> None:
    first = {"accounts": [{"key": "a"}], "quotas": [{"requests": 1}], "faults": ["reset"]}
    second = {"accounts": [{"key": "b"}], "quotas": [{"requests": 2}], "faults": ["stall"]}
    scenario = load(first, second).scenario
    assert [account.key for account in scenario.accounts] == ["a", "b"]
    assert [quota.requests for quota in scenario.quotas] == [1, 2]
    assert [fault.kind for fault in scenario.faults] == ["reset", "stall"]


def test_a_folder_stands_for_its_scenarios_in_the_order_of_their_names(write: Write) -> None:
    for name in ("b.yml", "a.yaml", "c.json", "sub/d.yaml", "notes.txt", "x.schema.json"):
        write(name, file_of(name[0]) if name != "c.json" else '{"version": 1}')
    assert files_of(".") == [Path("a.yaml"), Path("b.yml"), Path("c.json")]
    assert names(load(".")) == ["a", "b"]
    os.mkdir("empty")
    assert problems("empty") == ["empty: no scenarios in this folder (.yaml, .yml, .json, .toml)"]


def test_a_glob_stands_for_what_fits(write: Write) -> None:
    for name in ("a1.yaml", "a2.yaml", "b.yaml", "sub/a3.yaml"):
        write(name, file_of(name.rpartition("/")[2][:2]))
    assert names(load("a*.yaml")) == ["a1", "a2"]
    assert names(load("**/a*.yaml")) == ["a1", "a2", "a3"]
    assert problems("x*.yaml") == ["x*.yaml: no file matches this pattern"]


def test_a_file_may_have_the_name_of_a_glob(write: Write) -> None:
    write("a[1].yaml", file_of("brackets", include="a2.yaml"))
    write("a2.yaml", file_of("two"))
    write("sub[x]/main.yaml", file_of("main", include='"*.yaml"'))
    write("sub[x]/other.yaml", file_of("other"))
    assert names(load("a[1].yaml")) == ["brackets", "two"]
    assert names(load("sub[x]/main.yaml")) == ["main", "other"]


def test_a_missing_file_is_reported_with_its_neighbour(write: Write) -> None:
    write("weather.yaml", file_of("one"))
    assert problems("wether.yaml") == ["wether.yaml: no such file. Did you mean 'weather.yaml'?"]


def test_everything_wrong_in_all_of_them_is_reported_at_once(write: Write) -> None:
    write("a.yaml", "version: 1\nrules: [{}]\n")
    write("b.yaml", "version: 1\nsed: 1\n")
    reported = problems("a.yaml", "b.yaml", "c.yaml")
    assert [line.partition(" ")[0] for line in reported] == ["a.yaml:2:9:", "b.yaml:2:1:", "c.yaml:"]


# Conflicts


def test_what_two_files_say_differently_is_reported_where_it_stands(write: Write) -> None:
    write("a.yaml", file_of("a", seed=1, locale="de_DE", clock="virtual", unmatched="error", name="first"))
    write("b.yaml", file_of("b", seed=2, locale="fr_FR", clock="real", unmatched="generate", name="second"))
    assert problems("a.yaml", "b.yaml") == [
        "b.yaml:2:1: seed is 2 here and 1 in a.yaml: set it only once",
        "b.yaml:3:1: locale is 'fr_FR' here and 'de_DE' in a.yaml: set it only once",
        "b.yaml:4:1: clock is 'real' here and 'virtual' in a.yaml: set it only once",
        "b.yaml:5:1: unmatched is 'generate' here and 'error' in a.yaml: set it only once",
    ]


def test_what_is_said_once_or_twice_the_same_holds_for_all(write: Write) -> None:
    write("a.yaml", file_of("a", name="first"))
    write("b.yaml", file_of("b", seed=2, name="second"))
    write("c.yaml", file_of("c", seed=2))
    scenario = load("a.yaml", "b.yaml", "c.yaml").scenario
    assert (scenario.name, scenario.seed, scenario.clock) == ("first", 2, "real")


def test_settings_of_a_provider_are_joined_one_by_one(write: Write) -> None:
    write("a.yaml", "version: 1\nproviders:\n  nadles: {summaries: scripted}\n")
    write("b.yaml", "version: 1\nproviders:\n  nadles: {inline_think: false}\n  cloudsway: {lenient: true}\n")
    write("c.yaml", "version: 1\nproviders:\n  nadles: {summaries: searched}\n")
    settings: Any = load("a.yaml", "b.yaml").scenario.providers
    assert (settings.nadles.summaries, settings.nadles.inline_think) == ("scripted", False)
    assert settings.cloudsway.lenient is True
    assert settings.serevix == type(settings.serevix)()
    assert problems("a.yaml", "c.yaml") == [
        "c.yaml:3:12: providers.nadles.summaries is 'searched' here and 'scripted' in a.yaml: set it only once"
    ]


# Defaults


def test_defaults_hold_for_the_rules_of_their_own_file(write: Write) -> None:
    slow = "{pace: {ttft: 9}, normalize: [case]}"
    write("slow.yaml", file_of("slow", defaults=slow, include="[quick.yaml, silent.yaml, other.yaml]"))
    write("quick.yaml", file_of("quick", defaults="{pace: {ttft: 1}}"))
    write("silent.yaml", file_of("silent"))
    write("other.yaml", file_of("other", defaults="{normalize: []}"))
    loaded = load("slow.yaml")
    rules = compile_rules(loaded.scenario, loaded.origins).rules
    assert [(rule.name, rule.pace, rule.normalize) for rule in rules] == [
        ("slow", Pace(9, float("inf"), 0), ("case",)),
        ("quick", Pace(1, float("inf"), 0), ("case",)),
        ("silent", Pace(9, float("inf"), 0), ("case",)),
        ("other", Pace(9, float("inf"), 0), ()),
    ]


def test_defaults_of_an_included_file_do_not_reach_back(write: Write) -> None:
    write("main.yaml", file_of("main", include="part.yaml"))
    write("part.yaml", file_of("part", defaults="{pace: {ttft: 1}, normalize: [case]}"))
    loaded = load("main.yaml")
    assert [(rule.pace, rule.normalize) for rule in compile_rules(loaded.scenario).rules] == [
        (None, ()),
        (Pace(1, float("inf"), 0), ("case",)),
    ]
    assert loaded.scenario.defaults.pace is None


def test_a_rule_has_the_last_word(write: Write) -> None:
    rule = "  - {name: a, reply: {}, pace: {ttft: 2}, match: {normalize: [dates]}}\n"
    write("a.yaml", "version: 1\ndefaults: {pace: {ttft: 9}, normalize: [case]}\nrules:\n" + rule)
    (compiled,) = compile_rules(load("a.yaml").scenario).rules
    assert (compiled.pace, compiled.normalize) == (Pace(2, float("inf"), 0), ("dates",))


# Includes


def test_included_rules_come_after_those_of_the_file(write: Write) -> None:
    write("main.yaml", file_of("main", include='[parts/a.yaml, "parts/b*", more]'))
    write("parts/a.yaml", file_of("a", include="deeper/c.yaml"))
    write("parts/deeper/c.yaml", file_of("c", include="../../last.yaml"))
    write("parts/b1.yaml", file_of("b1"))
    write("parts/b2.yaml", file_of("b2"))
    write("more/x.yaml", file_of("x"))
    write("last.yaml", file_of("last"))
    loaded = load("main.yaml")
    assert names(loaded) == ["main", "a", "c", "last", "b1", "b2", "x"]
    assert loaded.origins[3] == "parts/deeper/../../last.yaml:3:5"


def test_a_circle_of_includes_ends(write: Write) -> None:
    write("a.yaml", file_of("a", include="sub/../b.yaml"))
    write("b.yaml", file_of("b", include="[./a.yaml, sub/../sub/../b.yaml, sub]"))
    write("sub/c.yaml", file_of("c", include="../a.yaml"))
    assert names(load("a.yaml")) == ["a", "b", "c"]
    assert names(load("a.yaml", "b.yaml", "sub/../a.yaml")) == ["a", "b", "c"]


def test_a_link_to_a_file_is_that_file(write: Write) -> None:
    write("a.yaml", file_of("a", include="b.yaml"))
    os.symlink("a.yaml", "b.yaml")
    assert names(load("a.yaml")) == ["a"]


def test_a_long_chain_of_includes_is_followed_and_an_endless_one_is_not(write: Write) -> None:
    for number in range(MAX_FILES + 5):
        write(f"{number}.yaml", file_of(f"r{number}", include=f"{number + 1}.yaml"))
    write(f"{MAX_FILES + 5}.yaml", file_of("last"))
    assert len(names(load("10.yaml"))) == MAX_FILES - 4
    assert problems("0.yaml") == [f"{MAX_FILES}.yaml: more than {MAX_FILES} included files"]


def test_an_include_that_is_not_there_is_reported_where_it_stands(write: Write) -> None:
    write("main.yaml", "version: 1\ninclude:\n  - a.yaml\n  - nope.yaml\n  - x*.yaml\n  - empty\n")
    write("a.yaml", file_of("a"))
    os.mkdir("empty")
    assert problems("main.yaml") == [
        "main.yaml:4:5: include 'nope.yaml': no such file",
        "main.yaml:5:5: include 'x*.yaml': no file matches this pattern",
        "main.yaml:6:5: include 'empty': no scenarios in this folder (.yaml, .yml, .json, .toml)",
    ]


def test_what_is_wrong_in_an_included_file_is_reported_there(write: Write) -> None:
    write("main.yaml", file_of("main", include="part.yaml"))
    write("part.yaml", "version: 1\nrules:\n  - {reply: {contnt: x}}\n")
    (reported,) = problems("main.yaml")
    assert reported.startswith("part.yaml:3:14: rules[0].reply.contnt is not a valid key. Did you mean 'content'?")


@pytest.mark.parametrize("included", ["../outside.yaml", "sub/../../outside.yaml", "../*.yaml", ".."])
def test_an_include_may_not_leave_the_folder(write: Write, included: str, monkeypatch: pytest.MonkeyPatch) -> None:
    write("outside.yaml", file_of("secret"))
    write("here/main.yaml", file_of("main", include=f'"{included}"'))
    os.mkdir("here/sub")
    monkeypatch.chdir("here")
    assert problems("main.yaml") == [f"main.yaml:2:1: include '{included}' leaves the folder here/"]


def test_an_include_may_not_leave_the_folder_by_a_link(write: Write) -> None:
    outside = write("outside.yaml", file_of("secret"))
    main = write("here/main.yaml", file_of("main", include="[link.yaml, folder, folder/outside.yaml]"))
    os.symlink(outside, "here/link.yaml")
    os.symlink(outside.parent, "here/folder")
    assert problems(main) == [
        f"{main}:2:{column}: include '{included}' leaves the folder here/"
        for column, included in ((11, "link.yaml"), (22, "folder"), (30, "folder/outside.yaml"))
    ]


@pytest.mark.parametrize("included", ["/etc/passwd", '"\\0"'])
def test_an_include_is_relative(write: Write, included: str) -> None:
    write("main.yaml", file_of("main", include=included))
    (reported,) = problems("main.yaml")
    assert reported.startswith("main.yaml:2:1: include '")
    assert reported.endswith("' must be relative to this file")


def test_the_folder_is_that_of_the_file_asked_for_also_through_a_link(write: Write) -> None:
    write("real/main.yaml", file_of("main", include="part.yaml"))
    write("real/part.yaml", file_of("part"))
    write("part.yaml", file_of("other"))
    os.symlink("real/main.yaml", "link.yaml")
    assert names(load("link.yaml")) == ["main", "other"]  # relative to where it was asked for
    assert names(load("real/main.yaml")) == ["main", "part"]


@pytest.mark.parametrize("source", ["a\0b.yaml", "x" * 5000 + ".yaml", "loop.yaml", "dir/x.yaml/y.yaml"])
def test_a_strange_path_is_reported_like_any_other(write: Write, source: str) -> None:
    os.symlink("loop.yaml", "loop.yaml")
    write("dir/x.yaml", file_of("x"))
    with pytest.raises(ScenarioError):
        load(source)


# Places in rules, for whoever has more to say about them


def test_a_problem_in_a_rule_is_placed_in_its_own_file(write: Write) -> None:
    write("a.yaml", file_of("one"))
    write("b.yaml", "version: 1\nrules:\n  - match:\n      prompt: {contains: x}\n    reply: {}\n")
    loaded = load("a.yaml", "b.yaml", {"rules": [{"error": "timeout"}]})
    reported = [
        loaded.problem(0, ("reply",), "m"),
        loaded.problem(1, ("match", "prompt", "contains"), "m"),
        loaded.problem(1, ("match", "prompt", "equals"), "m"),
        loaded.problem(2, ("error",), "m"),
        loaded.problem(9, (), "m"),
    ]
    assert reported == [
        Problem("a.yaml", 4, 5, "m"),
        Problem("b.yaml", 4, 16, "m"),
        Problem("b.yaml", 4, 7, "m"),
        Problem("scenario", 0, 0, "m"),
        Problem("a.yaml", 0, 0, "m"),
    ]


def test_a_document_without_a_file_cannot_include() -> None:
    with pytest.raises(ScenarioError) as caught:
        compile_document(parse("include: a.yaml", "scenario", "yaml"))
    (problem,) = caught.value.problems
    assert (problem.line, problem.message) == (1, "include works only in a file: it is relative to the file's folder")


def test_a_folder_that_is_gone_has_no_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    with pytest.raises(ScenarioError) as caught:
        load("a.yaml")
    assert str(caught.value) == "a.yaml: no such file"
