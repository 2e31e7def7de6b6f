"""Files are reloaded while the server runs: valid versions are used, broken ones are reported, and no request
notices."""

import asyncio
import itertools
import json
import logging
import os
import random
import shutil
import threading
import time
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import watchfiles
from rawhttp import Connection, eventually, request
from stores import OwnStore, with_store
from talk import KEYS, PATHS, question

from emulator import Emulator
from emulator.client import NamespaceClient
from emulator.errors import ScenarioError
from emulator.state import reloading
from emulator.state.compiled import CompiledScenario, compile_scenario
from emulator.state.reloading import fingerprint, watch

BROKEN = "version: 1\nrules:\n  - reply: {content: Hi}\n    macth: {prompt: Hi}\n"
"""Its problem stands in line 4, column 5."""


def says(text: str, **more: Any) -> str:
    """A valid file whose every prefix is invalid."""
    return json.dumps({"version": 1, **more, "rules": [{"name": text, "reply": {"content": text}}]})


@contextmanager
def serving_files(source: Path | str, **options: Any) -> Iterator[Emulator]:
    with Emulator(str(source), reload=True, **options) as emulator:
        yield emulator


@pytest.fixture(name="ask")
def asking(http: httpx.Client) -> Callable[..., str]:
    """`ask(namespace)` returns the current answer."""

    def ask(world: NamespaceClient, prompt: str = "Hi") -> str:
        response = http.post(
            world.url("serevix") + PATHS["serevix"], json=question("serevix", prompt), headers=KEYS["serevix"]
        )
        assert response.status_code == 200, response.text
        content: str = response.json()["choices"][0]["message"]["content"]
        return content

    return ask


def replace(path: Path, text: str) -> None:
    """As editors and deployments do it: a new file takes the name of the old one."""
    other = path.with_name(f".{path.name}.new")
    other.write_text(text)
    os.replace(other, path)


def transform_steps(path: Path, text: str) -> None:
    """In place: emptied first, then written in pieces."""
    with path.open("w") as file:
        for start in range(0, len(text), 37):
            file.write(text[start : start + 37])
            file.flush()


def move_aside(path: Path, text: str) -> None:
    """Like vim: the old file becomes a backup, which goes when the new one is there."""
    backup = path.with_name(path.name + "~")
    os.replace(path, backup)
    path.write_text(text)
    backup.unlink()


def delete_first(path: Path, text: str) -> None:
    path.unlink(missing_ok=True)
    path.write_text(text)


MANNERS = (replace, transform_steps, move_aside, delete_first)


# What is sound is taken up


@pytest.mark.parametrize("manner", MANNERS)
def test_a_changed_file_is_taken_up(tmp_path: Path, ask: Callable[..., str], manner: Callable[..., None]) -> None:
    file = tmp_path / "scenario.json"
    file.write_text(says("one"))
    with serving_files(file) as emulator:
        assert ask(emulator) == "one"
        for text in ("two", "three"):
            manner(file, says(text))
            eventually(lambda text=text: ask(emulator) == text)  # type: ignore[misc]


def test_a_link_that_is_turned_is_taken_up(tmp_path: Path, ask: Callable[..., str]) -> None:
    for text in ("one", "two"):
        (tmp_path / "elsewhere" / text).mkdir(parents=True)
        (tmp_path / "elsewhere" / text / "file.json").write_text(says(text))
    folder = tmp_path / "config"
    folder.mkdir()
    link = folder / "scenario.json"
    link.symlink_to(tmp_path / "elsewhere" / "one" / "file.json")
    with serving_files(link) as emulator:
        assert ask(emulator) == "one"
        turn(link, tmp_path / "elsewhere" / "two" / "file.json")
        eventually(lambda: ask(emulator) == "two")
        transform_steps(tmp_path / "elsewhere" / "two" / "file.json", says("three"))
        eventually(lambda: ask(emulator) == "three")


def turn(link: Path, target: Path | str) -> None:
    """Let a link point elsewhere, at one stroke."""
    other = link.with_name(f"{link.name}.turning")
    other.symlink_to(target)
    os.replace(other, link)


def mounted(folder: Path, version: int, **files: str) -> None:
    """A ConfigMap as Kubernetes mounts it: names are links into `..data`, itself a link that is turned."""
    real = folder / f"..2026_01_0{version}"
    real.mkdir(parents=True)
    for name, text in files.items():
        (real / f"{name}.json").write_text(text)
        if not (folder / f"{name}.json").is_symlink():
            (folder / f"{name}.json").symlink_to(f"..data/{name}.json")
    turn(folder / "..data", real.name)
    if version > 1:
        shutil.rmtree(folder / f"..2026_01_0{version - 1}")


def test_a_swapped_config_map_is_taken_up(tmp_path: Path, ask: Callable[..., str]) -> None:
    folder = tmp_path / "config"
    mounted(folder, 1, scenario=says("one"))
    with serving_files(folder / "scenario.json") as emulator:
        assert ask(emulator) == "one"
        for version, text in enumerate(("two", "three", "four"), 2):
            mounted(folder, version, scenario=says(text))
            eventually(lambda text=text: ask(emulator) == text)  # type: ignore[misc]


def test_a_mounted_folder_of_several_files_is_taken_up(tmp_path: Path, ask: Callable[..., str]) -> None:
    folder = tmp_path / "config"
    mounted(folder, 1, a=says("one"))
    with serving_files(folder) as emulator:
        assert ask(emulator) == "one"
        mounted(folder, 2, a=says("two"), b=says("never"))
        eventually(lambda: ask(emulator) == "two")


def test_a_link_further_up_that_is_turned_is_taken_up(tmp_path: Path, ask: Callable[..., str]) -> None:
    for text in ("one", "two"):
        (tmp_path / "releases" / text / "config").mkdir(parents=True)
        (tmp_path / "releases" / text / "config" / "scenario.json").write_text(says(text))
    current = tmp_path / "current"
    current.symlink_to("releases/one")
    with serving_files(current / "config" / "scenario.json") as emulator:
        assert ask(emulator) == "one"
        turn(current, "releases/two")
        eventually(lambda: ask(emulator) == "two")
        transform_steps(current / "config" / "scenario.json", says("three"))
        eventually(lambda: ask(emulator) == "three")


def test_a_folder_that_goes_and_comes_again_is_taken_up(tmp_path: Path, ask: Callable[..., str]) -> None:
    folder = tmp_path / "config"
    folder.mkdir()
    (folder / "scenario.json").write_text(says("one"))
    with serving_files(folder / "scenario.json") as emulator:
        assert ask(emulator) == "one"
        shutil.rmtree(folder)
        eventually(lambda: bool(problems(emulator)))
        assert ask(emulator) == "one"
        folder.mkdir()
        (folder / "scenario.json").write_text(says("two"))
        eventually(lambda: ask(emulator) == "two")
        transform_steps(folder / "scenario.json", says("three"))
        eventually(lambda: ask(emulator) == "three")


def test_a_change_before_the_start_is_taken_up(tmp_path: Path, ask: Callable[..., str]) -> None:
    file = tmp_path / "scenario.json"
    file.write_text(says("one"))
    emulator = Emulator(str(file), reload=True)
    file.write_text(says("two"))
    with emulator:
        eventually(lambda: ask(emulator) == "two")


def test_without_reload_nothing_is_taken_up(tmp_path: Path, ask: Callable[..., str]) -> None:
    file = tmp_path / "scenario.json"
    file.write_text(says("one"))
    with Emulator(str(file)) as still, serving_files(file) as emulator:
        file.write_text(says("two"))
        eventually(lambda: ask(emulator) == "two")
        assert ask(still) == "one"


# Folders, globs, includes


def test_a_new_file_in_a_folder_is_taken_up(tmp_path: Path, ask: Callable[..., str]) -> None:
    (tmp_path / "b.json").write_text(says("b"))
    with serving_files(tmp_path) as emulator:
        assert ask(emulator) == "b"
        (tmp_path / "a.json").write_text(says("a"))
        eventually(lambda: ask(emulator) == "a")
        (tmp_path / "a.json").unlink()
        eventually(lambda: ask(emulator) == "b")


def test_a_new_file_of_a_glob_is_taken_up_also_in_a_new_folder(tmp_path: Path, ask: Callable[..., str]) -> None:
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "one.json").write_text(says("b"))
    with serving_files(f"{tmp_path}/**/*.json") as emulator:
        assert ask(emulator) == "b"
        (tmp_path / "a").mkdir()
        (tmp_path / "a" / "one.json").write_text(says("a"))
        eventually(lambda: ask(emulator) == "a")
        transform_steps(tmp_path / "a" / "one.json", says("another"))
        eventually(lambda: ask(emulator) == "another")


def includes(*names: str) -> str:
    return json.dumps({"version": 1, "include": list(names)})


def test_what_is_included_is_taken_up(tmp_path: Path, ask: Callable[..., str]) -> None:
    (tmp_path / "parts" / "deep").mkdir(parents=True)
    (tmp_path / "parts" / "b.json").write_text(says("b"))
    (tmp_path / "parts" / "deep" / "c.json").write_text(says("c"))
    main = tmp_path / "main.json"
    main.write_text(includes("parts/*.json"))
    with serving_files(main) as emulator:
        assert ask(emulator) == "b"
        transform_steps(tmp_path / "parts" / "b.json", says("b2"))
        eventually(lambda: ask(emulator) == "b2")
        (tmp_path / "parts" / "a.json").write_text(says("a"))  # the glob takes it in
        eventually(lambda: ask(emulator) == "a")
        transform_steps(main, includes("parts/deep/c.json"))
        eventually(lambda: ask(emulator) == "c")
        transform_steps(tmp_path / "parts" / "deep" / "c.json", says("c2"))  # in a folder that was not looked at before
        eventually(lambda: ask(emulator) == "c2")


def test_an_included_file_that_is_broken_or_missing_is_waited_for(tmp_path: Path, ask: Callable[..., str]) -> None:
    (tmp_path / "parts").mkdir()
    (tmp_path / "parts" / "broken.yaml").write_text(BROKEN)
    main = tmp_path / "main.json"
    main.write_text(says("main"))
    with serving_files(main) as emulator:
        transform_steps(main, includes("parts/broken.yaml"))
        eventually(lambda: bool(problems(emulator)))
        assert ask(emulator) == "main"
        transform_steps(tmp_path / "parts" / "broken.yaml", says("mended"))
        eventually(lambda: ask(emulator) == "mended")
        transform_steps(main, includes("parts/missing.yaml"))
        eventually(lambda: "no such file" in "".join(problems(emulator)))
        assert ask(emulator) == "mended"
        (tmp_path / "parts" / "missing.yaml").write_text(says("found"))
        eventually(lambda: ask(emulator) == "found")
        assert not problems(emulator)


# What is broken is reported


def problems(emulator: Emulator) -> list[str]:
    app = emulator._server.app
    assert app is not None
    return [str(problem) for problem in app.problems]


def test_a_broken_file_is_reported_and_the_last_good_version_stays(
    tmp_path: Path, ask: Callable[..., str], caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "scenario.yaml"
    file.write_text(says("good"))
    with serving_files(file) as emulator, caplog.at_level(logging.INFO, "emulator"):
        file.write_text(BROKEN)
        eventually(lambda: bool(problems(emulator)))
        assert ask(emulator) == "good"
        (problem,) = problems(emulator)
        assert problem.startswith(f"{file}:4:5: ")
        assert "macth" in problem
        assert "match" in problem
        reported = [record for record in caplog.records if record.levelno == logging.ERROR]
        assert [problem in record.getMessage() for record in reported] == [True]
        assert "the last valid version stays active" in reported[0].getMessage()
        file.write_text(says("better"))
        eventually(lambda: ask(emulator) == "better")
        assert not problems(emulator)
        assert "reloaded: 1 rules" in caplog.text


@pytest.mark.parametrize(
    "content",
    [b"", b"version: 1\nrules: [", b"\xff\xfe\x00", b"version: 2\n", b"rules: []\n", b"- 1\n", b"null", b"{}" * 99],
)
def test_no_broken_content_ends_the_watching(tmp_path: Path, ask: Callable[..., str], content: bytes) -> None:
    file = tmp_path / "scenario.yaml"
    file.write_text(says("good"))
    with serving_files(file) as emulator:
        file.write_bytes(content)
        eventually(lambda: bool(problems(emulator)))
        assert ask(emulator) == "good"
        file.write_text(says("better"))
        eventually(lambda: ask(emulator) == "better")


def test_a_deleted_file_is_reported_and_the_last_good_version_stays(tmp_path: Path, ask: Callable[..., str]) -> None:
    file = tmp_path / "scenario.json"
    file.write_text(says("good"))
    with serving_files(file) as emulator:
        file.unlink()
        eventually(lambda: bool(problems(emulator)))
        assert problems(emulator) == [f"{file}: no such file"]
        assert ask(emulator) == "good"
        file.write_text(says("good"))  # just as it was before
        eventually(lambda: not problems(emulator))
        file.write_text(says("better"))
        eventually(lambda: ask(emulator) == "better")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes to name here")
def test_what_could_be_waited_for_is_not_read(tmp_path: Path, ask: Callable[..., str]) -> None:
    file = tmp_path / "scenario.json"
    file.write_text(says("good"))
    with serving_files(file) as emulator:
        file.unlink()
        os.mkfifo(file)
        eventually(lambda: any("not a regular file" in problem for problem in problems(emulator)))
        assert ask(emulator) == "good"
        replace(file, says("better"))
        eventually(lambda: ask(emulator) == "better")
    with serving_files(file) as emulator:
        file.unlink()
        os.mkfifo(file)
        eventually(lambda: bool(problems(emulator)))  # and it can be stopped


# What a new version leaves alone


def counting(then: str = "repeat_last") -> str:
    replies = [{"reply": {"content": str(number)}} for number in range(1, 10)]
    return json.dumps({"version": 1, "rules": [{"replies": replies, "then": then}]}, indent=1)


def test_what_changes_nothing_counts_nothing_anew(tmp_path: Path, ask: Callable[..., str]) -> None:
    file, other = tmp_path / "scenario.json", tmp_path / "other.json"
    file.write_text(counting())
    other.write_text(says("one"))
    with serving_files(file) as emulator, serving_files(other) as witness:
        assert [ask(emulator), ask(emulator)] == ["1", "2"]
        os.utime(file)
        (tmp_path / "notes.txt").write_text("not a scenario")
        (tmp_path / "third.json").write_text(says("third"))
        replace(file, counting())
        transform_steps(other, says("two"))
        eventually(lambda: ask(witness) == "two")  # whoever watches the same folder has seen all of that
        assert ask(emulator) == "3"
        replace(file, counting(then="cycle"))
        eventually(lambda: int(ask(emulator)) < 3)


def test_what_processes_count_together_begins_again_with_a_new_version(
    tmp_path: Path, ask: Callable[..., str], caplog: pytest.LogCaptureFixture
) -> None:
    def turns(*texts: str) -> str:
        return json.dumps(
            {"version": 1, "rules": [{"name": "t", "replies": [{"reply": {"content": t}} for t in texts]}]}
        )

    path, store = tmp_path / "scenario.json", OwnStore()
    path.write_text(turns("a", "b", "c"))
    with with_store(str(path), store, reload=True) as emulator:
        assert [ask(emulator), ask(emulator)] == ["a", "b"]
        replace(path, turns("d", "e", "f"))
        eventually(lambda: [change["kind"] for change in store.changes] == ["restart"])
        assert [ask(emulator), ask(emulator)] == ["d", "e"]
        store.gone = frozenset({"change"})
        replace(path, turns("g", "h", "i"))
        eventually(lambda: "keep their counts" in caplog.text)
        assert ask(emulator) == "i"
    assert [each.getMessage() for each in caplog.records if each.levelname == "ERROR"] == [
        "The rules of namespace default keep their counts after the reload: The store is gone."
    ]


def test_states_journals_and_faults_stay(tmp_path: Path, ask: Callable[..., str], http: httpx.Client) -> None:
    file = tmp_path / "scenario.json"
    file.write_text(json.dumps({"version": 1, "rules": [{"set_state": "moved", "reply": {"content": "one"}}]}))
    with serving_files(file) as emulator:
        assert ask(emulator) == "one"
        replace(file, says("two"))
        eventually(lambda: ask(emulator) == "two")
        assert emulator.state == "moved"
        assert emulator.journal[0].rule == "rules[0]"
        emulator.faults.add("error", status=503)
        replace(file, says("three"))
        url = emulator.url("serevix") + PATHS["serevix"]
        assert http.post(url, json=question("serevix"), headers=KEYS["serevix"]).status_code == 503


def test_open_streams_keep_their_version(tmp_path: Path, ask: Callable[..., str]) -> None:
    def version(text: str) -> str:
        return says(" ".join([text] * 50), clock="manual", defaults={"pace": {"tokens_per_second": 1}})

    file = tmp_path / "scenario.json"
    file.write_text(version("old"))
    with serving_files(file) as emulator, Connection(emulator.port) as stream, Connection(emulator.port) as later:
        body = json.dumps(question("serevix", stream=True)).encode()
        asked = request(f"/serevix{PATHS['serevix']}", body, authorization="Bearer k", content_type="application/json")
        stream.send(asked)
        stream.read_until(b"old")
        emulator.advance(10)
        replace(file, version("new"))
        eventually(lambda: emulator._server.call(lambda: rule_names(emulator)) == [" ".join(["new"] * 50)])
        later.send(asked)
        later.read_until(b"new")
        emulator.advance(100)
        rest, new = stream.read_until(b"[DONE]"), later.read_until(b"[DONE]")
        assert (rest.count(b'" old"'), rest.count(b"new")) == (49, 0)
        assert (new.count(b'" new"'), new.count(b"old")) == (49, 0)


def rule_names(emulator: Emulator) -> list[str]:
    app = emulator._server.app
    assert app is not None
    return [rule.name for rule in app.namespaces.default.compiled.rules.rules]


def test_only_worlds_that_answer_from_the_files_get_the_new_version(tmp_path: Path, ask: Callable[..., str]) -> None:
    file = tmp_path / "scenario.json"
    file.write_text(says("one"))
    with serving_files(file) as emulator:
        follows = emulator.namespace("follows")
        seeded = emulator.namespace("seeded", seed=3)
        own = emulator.namespace("own", {"rules": [{"reply": {"content": "own"}}]})
        assert [ask(world) for world in (follows, seeded, own)] == ["one", "one", "own"]
        replace(file, says("two"))
        eventually(lambda: ask(emulator) == "two")
        assert [ask(world) for world in (follows, seeded, own)] == ["two", "two", "own"]
        assert ask(emulator.namespace("new")) == "two"
        emulator.load({"rules": [{"reply": {"content": "loaded"}}]})
        replace(file, says("three"))
        eventually(lambda: ask(follows) == "three")
        assert [ask(world) for world in (emulator, seeded, own)] == ["loaded", "three", "own"]
        replace(file, says("four"))
        eventually(lambda: ask(follows) == "four")
        assert ask(emulator) == "loaded"


def test_settings_and_the_kind_of_clock_are_taken_up_too(tmp_path: Path, http: httpx.Client) -> None:
    file = tmp_path / "scenario.json"
    file.write_text(says("one"))
    with serving_files(file) as emulator:
        url = emulator.url("serevix") + PATHS["serevix"]

        def answer() -> Any:
            return http.post(url, json=question("serevix"), headers=KEYS["serevix"]).json()

        assert "index" not in answer()["choices"][0]
        replace(file, says("two", clock="manual", providers={"serevix": {"choice_index": "include"}}))
        eventually(lambda: "index" in answer()["choices"][0])
        before = answer()["created"]
        emulator.advance(1000)
        assert answer()["created"] == before + 1000


# Under load

VALID = [says(f"version {number}") for number in range(20)]
INVALID = [BROKEN, "", VALID[0][:-20], "version: 1\nrules: 7\n", "\0", "{", "version: 1\nclock: sideways\n"]


def swaps_under_load(folder: Path, number: int, per_second: float) -> tuple[list[str], str]:
    """Swap a file `number` times while requests come; what they were answered, and what was right at the end."""
    folder.mkdir()
    chance = random.Random(number)
    mounted(folder, 1, scenario=VALID[0])
    file = folder / "scenario.json"
    answers: list[str] = []
    stop = threading.Event()

    def requests(port: int) -> None:
        body = json.dumps(question("serevix")).encode()
        asked = request(f"/serevix{PATHS['serevix']}", body, authorization="Bearer k", content_type="application/json")
        with Connection(port) as client:
            for turn in itertools.count():
                client.send(asked)
                response = client.response()
                content = (
                    json.loads(response.body)["choices"][0]["message"]["content"] if response.status == 200 else ""
                )
                answers.append(content or f"{response.status} {response.body!r}")
                if stop.wait(max(0.0, began + (turn + 1) / per_second - time.monotonic())):
                    return

    with serving_files(file) as emulator:
        began = time.monotonic()
        thread = threading.Thread(target=requests, args=(emulator.port,))
        thread.start()
        try:
            last = VALID[0]
            for turn_number in range(number):
                is_last = turn_number == number - 1
                text = chance.choice(VALID if is_last or chance.random() < 0.5 else INVALID)
                manner = chance.choice((*MANNERS, "mount"))
                if callable(manner):
                    if file.is_symlink():
                        file.unlink()
                        file.write_text(last)
                    manner(file, text)
                else:
                    shutil.rmtree(folder / "..elsewhere", ignore_errors=True)
                    (folder / "..elsewhere").mkdir()
                    (folder / "..elsewhere" / "scenario.json").write_text(text)
                    turn(file, "..elsewhere/scenario.json")
                last = text
                due = began + (turn_number + 1) * chance.uniform(0.8, 1.2) / 50
                stop.wait(max(0.0, due - time.monotonic()))
            right: str = json.loads(last)["rules"][0]["name"]
            eventually(lambda: rule_names(emulator) == [right], timeout=20)
            before = len(answers)
            eventually(lambda: len(answers) > before + 1)
            assert not problems(emulator)
        finally:
            stop.set()
            thread.join()
        assert len(emulator.journal) == min(1000, len(answers))
    return answers, right


@pytest.mark.long
def test_two_hundred_swaps_under_load_lose_no_request(tmp_path: Path) -> None:
    answers, right = swaps_under_load(tmp_path / "config", 200, 50)
    good = {json.loads(text)["rules"][0]["name"] for text in VALID}
    assert [answer for answer in answers if answer not in good] == []
    assert len(answers) >= 50
    assert len(set(answers)) > 3
    assert answers[-1] == right


@pytest.mark.soak
@pytest.mark.timeout(300)
@pytest.mark.parametrize("number", [2000, 2001])
def test_two_thousand_swaps_under_load_lose_no_request(tmp_path: Path, number: int) -> None:
    answers, right = swaps_under_load(tmp_path / "config", number, 200)
    good = {json.loads(text)["rules"][0]["name"] for text in VALID}
    assert [answer for answer in answers if answer not in good] == []
    assert answers[-1] == right


# The watching itself


class Watched:
    """What a watcher delivered."""

    def __init__(self) -> None:
        self.scripts: list[CompiledScenario] = []
        self.errors: list[ScenarioError] = []

    def said(self) -> list[str]:
        return [script.rules.rules[0].name for script in self.scripts]


def watching(source: Path, steps: Callable[[Watched], Any]) -> Watched:
    """Watch a file while `steps`, a coroutine function, is run."""

    async def main() -> Watched:
        stop, seen = asyncio.Event(), Watched()
        sources, script = (str(source),), compile_scenario(str(source))
        taken = fingerprint(sources, script.files)
        task = asyncio.create_task(watch(sources, script, seen.scripts.append, seen.errors.append, stop, taken))
        try:
            await asyncio.wait_for(steps(seen), 20)
        finally:
            stop.set()
            await asyncio.wait_for(task, 5)
        return seen

    return asyncio.run(main())


async def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline, "it never came to that"
        await asyncio.sleep(0.005)


def test_each_version_is_delivered_once(tmp_path: Path) -> None:
    file = tmp_path / "scenario.json"
    file.write_text(says("zero"))

    async def steps(seen: Watched) -> None:
        for number in range(5):
            replace(file, says(str(number)))
            await until(lambda number=number: seen.said()[-1:] == [str(number)])  # type: ignore[misc]

    assert watching(file, steps).said() == ["0", "1", "2", "3", "4"]


def test_files_that_take_long_to_look_at_are_looked_at_less_often(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "scenario.json"
    file.write_text(says("one"))
    looks: list[str] = []

    async def ticks(folders: object, stop: asyncio.Event) -> AsyncGenerator[bool, None]:
        yield True
        replace(file, says("two"))
        for _ in range(3):
            looks.append("idle")
            yield False
        looks.append("notified")
        yield True
        await stop.wait()

    async def steps(seen: Watched) -> None:
        await until(lambda: bool(seen.scripts))
        looks.append("delivered")

    monkeypatch.setattr(reloading, "_ticks", ticks)
    monkeypatch.setattr(reloading, "REST", 1e9)
    assert watching(file, steps).said() == ["two"]
    assert looks == ["idle", "idle", "idle", "notified", "delivered"]


def test_a_broken_part_in_a_new_folder_is_read_again_and_reported_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "parts").mkdir()
    (tmp_path / "parts" / "broken.yaml").write_text(BROKEN)
    file = tmp_path / "scenario.json"
    file.write_text(says("one"))
    loads: list[object] = []

    def counted(*sources: Any) -> CompiledScenario:
        loads.append(sources)
        return compile_scenario(*sources)

    async def steps(seen: Watched) -> None:
        monkeypatch.setattr("emulator.state.reloading.compile_scenario", counted)
        replace(file, includes("parts/broken.yaml"))
        await until(lambda: len(loads) == 2)
        replace(tmp_path / "parts" / "broken.yaml", says("mended"))
        await until(lambda: seen.said() == ["mended"])

    seen = watching(file, steps)
    assert len(seen.errors) == 1


@pytest.mark.parametrize("error", [OSError("no more watches"), RuntimeError("it failed"), FileNotFoundError()])
def test_where_the_system_cannot_watch_files_are_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def unable(*_: object, **__: object) -> Any:
        raise error

    monkeypatch.setattr(watchfiles, "awatch", unable)
    file = tmp_path / "scenario.json"
    file.write_text(says("one"))

    async def steps(seen: Watched) -> None:
        await asyncio.sleep(0)
        file.write_text(says("two"))
        await until(lambda: seen.said() == ["two"])
        file.write_text(BROKEN)
        await until(lambda: bool(seen.errors))

    assert watching(file, steps).said() == ["two"]


def test_a_loader_that_fails_in_its_own_way_is_reported_and_watching_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "scenario.json"
    file.write_text(says("one"))

    async def steps(seen: Watched) -> None:
        def fails(*_: object) -> CompiledScenario:
            raise ZeroDivisionError("of its own")

        with monkeypatch.context() as patched:
            patched.setattr("emulator.state.reloading.compile_scenario", fails)
            file.write_text(says("two"))
            await until(lambda: bool(seen.errors))
            assert "it can't be loaded: ZeroDivisionError: of its own" in str(seen.errors[0])
        file.write_text(says("three"))
        await until(lambda: seen.said() == ["three"])

    watching(file, steps)


def test_a_fingerprint_tells_what_matters(tmp_path: Path) -> None:
    file, beside = tmp_path / "a.json", tmp_path / "b.json"
    file.write_text("1")

    def taken() -> bytes:
        return fingerprint((str(file),), (file,))

    first = taken()
    os.utime(file, (1, 1))
    (tmp_path / "notes.txt").write_text("x")
    assert taken() == first
    states = [first]
    file.write_text("2")
    states.append(taken())
    beside.write_text("x")  # an include may take it in
    states.append(taken())
    file.unlink()
    states.append(taken())
    file.mkdir()
    states.append(taken())
    assert len(set(states)) == 5
    assert fingerprint((), (Path("/dev/zero"),))
    assert fingerprint(("\0",), (Path("a\0b"),))


def test_without_files_there_is_nothing_to_watch() -> None:
    stop = asyncio.Event()
    asyncio.run(asyncio.wait_for(watch(({"rules": []},), compile_scenario({"rules": []}), print, print, stop, b""), 5))
    assert not stop.is_set()


def test_a_file_that_can_be_opened_and_not_read_is_like_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unreadable(*_: object, **__: object) -> Any:
        raise OSError(5, "Input/output error")

    file = tmp_path / "a.json"
    file.write_text("{}")
    assert fingerprint(({"rules": []}, str(file)), [file]) == fingerprint((str(file),), [file])
    monkeypatch.setattr(reloading, "open", unreadable, raising=False)
    found = [reloading._content(path) for path in (file, tmp_path, tmp_path / "gone")]
    assert found == [b"unreadable", b"no file", b"gone"]
