"""What commands say about wrong arguments, files that can't be used, and servers that aren't emulators."""

import json
import logging
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from served import run

from emulator import Emulator
from emulator.cli.app import cli
from emulator.resources import scenario_names


def invoke(*arguments: str, **environment: str) -> tuple[int, str, str]:
    """A command inside this process: exit code, output, errors."""
    root, own = logging.getLogger(), logging.getLogger("emulator")
    handlers, level = list(root.handlers), own.level
    result = CliRunner(env=environment).invoke(cli, arguments, prog_name="emulator")
    root.handlers[:] = handlers  # what a server logs goes elsewhere from its start on
    own.setLevel(level)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.stdout, result.stderr


@pytest.fixture(scope="module")
def stranger() -> Iterator[str]:
    """The URL of a server that is no emulator: it answers everything with 418 and no JSON, or with a
    stream that has no events."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if self.path.startswith("/ending/") else 418)
            self.send_header("content-length", "2")
            self.end_headers()
            self.wfile.write(b"no")

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize("command", ["tail", "verdict"])
def test_a_server_that_is_no_emulator_is_said(stranger: str, command: str) -> None:
    words = "This is not an emulator, or an old one: it responded with 418.\n"
    assert invoke(command, stranger) == (2, "", words)


def test_a_server_whose_events_end_has_stopped(stranger: str) -> None:
    assert invoke("tail", f"{stranger}/ending") == (1, "", "The server has stopped.\n")


def test_the_health_of_a_server_that_is_no_emulator(stranger: str) -> None:
    words = f"{stranger}: this is not an emulator, or an old one: it responded with 418\n"
    assert invoke("health", stranger) == (1, "", words)


@pytest.mark.parametrize("command", ["tail", "verdict"])
@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("ftp://127.0.0.1", "'ftp://127.0.0.1' is not the URL of a server. Use one such as http://127.0.0.1:8080."),
        ("http://127.0.0.1:x", "'http://127.0.0.1:x' is not the URL of a server: "),
        ("http://127.0.0.1:1", "There is no server at http://127.0.0.1:1: Connection refused. Start one with "),
    ],
)
def test_what_is_no_server_is_said(command: str, url: str, words: str) -> None:
    code, out, err = invoke(command, url)
    assert (code, out, err[: len(words)]) == (2, "", words)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("verdict", "nothing"), "There is no file 'nothing'. Give a file, or the URL of a server."),
        (
            ("verdict", "{}/run.json", "--save", "{}/x"),
            "--save needs the scenario of a running server: give its URL, not a file.",
        ),
        (
            ("verdict", "{}/gone.json"),
            "{}/gone.json can't be read: No such file or directory. Give a file, or the URL of a server.",
        ),
        (("verdict", "{}/binary"), "{}/binary is not UTF-8, so it is not a journal."),
        (
            ("verdict", "{}/empty", "--baseline", "{}/gone"),
            "{}/gone can't be read: No such file or directory. Write one with: emulator verdict --json > {}/gone",
        ),
        (
            ("verdict", "{}/empty", "--baseline", "{}/run.json"),
            "{}/run.json is not a verdict. Write one with: emulator verdict --json > {}/run.json",
        ),
        (("replay", "{}/gone"), "{}/gone can't be read: No such file or directory."),
        (("replay", "{}/binary"), "{}/binary can't be read: it is not UTF-8."),
        (("replay", "{}/empty"), "{}/empty is not a saved run. Save one with: emulator verdict --save {}/empty"),
        (
            ("replay", "{}/run.json"),
            "{}/run.json is not a complete saved run. Save one with: emulator verdict --save {}/run.json",
        ),
        (("diff", "a", "b", "c"), "3 paths given: give two recordings, the older one first."),
        (("diff", "{}/gone", "{}"), "{}/gone: there is no such file or folder."),
        (("export", "{}/gone", "--to", "aimock"), "{}/gone: "),
        (("import", "{}/gone"), "{}/gone can't be used: No such file or directory."),
        (("import", "{}/binary"), "{}/binary can't be used: it is not UTF-8."),
        (
            ("scenarios", "nothing/at/all"),
            "There is no shipped scenario 'nothing/at/all'. `emulator scenarios` lists them.",
        ),
        (("init", "{}/empty/sub"), "{}/empty/sub"),
        (
            ("run", "--upstream", "openai", "--", "true"),
            "--upstream openai: expected a provider and its URL, such as openai=https://…",
        ),
        (
            ("run", "--upstream", "openai=http://x", "--", "true"),
            "--upstream needs --record: without it, nothing is forwarded.",
        ),
        (
            ("run", "--record", "{}/r", "--scenario", "{}/run.json", "--", "true"),
            "--record and --scenario can't be used together: the recording is the scenario.",
        ),
        (("exam",), "Give a command: emulator exam -- python client.py"),
        (("import", "{}/gone", "--provider", "openia"), "There is no provider 'openia'. Did you mean 'openai'? "),
        (("replay", "{}/wrong.json"), "scenario: rules is 5; expected a list"),
    ],
    ids=lambda value: " ".join(value[:2]) if isinstance(value, tuple) else "",
)
def test_wrong_use_is_one_sentence(tmp_path: Path, arguments: tuple[str, ...], words: str) -> None:
    (tmp_path / "binary").write_bytes(b"\xff\xfe\xff")
    (tmp_path / "empty").write_bytes(b"")
    (tmp_path / "run.json").write_text('{"run": 1, "exchanges": []}')
    (tmp_path / "wrong.json").write_text('{"run": 1, "exchanges": [], "seed": 1, "scenario": {"rules": 5}}')
    code, out, err = invoke(*(each.replace("{}", str(tmp_path)) for each in arguments))
    expected = words.replace("{}", str(tmp_path))
    assert (code, out, err[: len(expected)]) == (2, "", expected)
    assert "Traceback" not in err


def test_a_run_that_cannot_be_saved_is_said(tmp_path: Path) -> None:
    with Emulator() as server:
        code, _, err = invoke("verdict", server.origin, "--save", str(tmp_path / "gone" / "run.json"))
    assert (code, err) == (2, f"{tmp_path}/gone/run.json can't be written: No such file or directory.\n")


def test_a_port_in_use_is_said_by_every_command_that_needs_one(tmp_path: Path) -> None:
    with Emulator() as server:
        port = str(server.port)
        recorded = run("record", "--provider", "openai", "--into", str(tmp_path), "--port", port)
        for code, out, err in (recorded, invoke("run", "--port", port, "--", "true")):
            assert (code, out) == (3, "")
            assert err.startswith(f"Cannot listen on 127.0.0.1:{port}: Address already in use. ")


def test_a_host_that_is_no_name_is_said() -> None:
    long = "ä" * 70
    assert invoke("serve", "--host", long, "--port", "0") == (
        3,
        "",
        f"Cannot listen on {long}:0: no such host. Check --host.\n",
    )


def test_a_server_that_cannot_start_ends_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("no connections today")

    monkeypatch.setattr("emulator.server.http_server.import_module", fail)
    assert invoke("run", "--", "true") == (2, "", "The emulator did not start: no connections today\n")


def test_a_replay_on_a_port_in_use_is_said(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    with Emulator({"rules": [{"reply": {"content": "a"}}]}) as server:
        assert invoke("verdict", server.origin, "--save", str(path))[0] == 0
        saved = json.loads(path.read_text())
        saved["exchanges"] = [{"number": 3, "provider": None, "response": {}, "ended": None}]
        path.write_text(json.dumps(saved))
        code, out, err = invoke("replay", str(path), "--port", str(server.port))
    incomplete, sentence = err.splitlines()
    assert (code, out) == (3, "")
    assert incomplete == "Exchanges 3 are incomplete, so the scenario answers them."
    assert f"127.0.0.1:{server.port}" in sentence or str(server.port) in sentence


def test_the_environment_is_printed_as_json_and_what_was_kept_is_said() -> None:
    with Emulator({"rules": []}) as server:
        own = {"OPENAI_BASE_URL": "http://mine", "EMULATOR_URL": ""}
        code, out, err = invoke("env", "--url", server.origin, "--json", **own)
        changes = json.loads(out)
        assert (code, err, changes["kept"]) == (0, "", ["OPENAI_BASE_URL"])
        assert changes["set"]["ANTHROPIC_BASE_URL"] == f"{server.origin}/anthropic"
        code, out, err = invoke("env", "--url", server.origin, "--shell", "dotenv", **own)
        assert (code, err) == (0, "Unchanged, because you have set them: OPENAI_BASE_URL\n")
        assert "OPENAI_BASE_URL" not in out


def test_shipped_scenarios_are_listed_as_json() -> None:
    code, out, err = invoke("scenarios", "--json")
    rows = json.loads(out)
    assert (code, err, list(rows)) == (0, "", list(scenario_names()))
    assert all(rows.values())


def test_starter_files_are_written_once_and_then_kept(tmp_path: Path) -> None:
    names = [
        "scenarios/scenario.yaml",
        "scenarios/scenario.schema.json",
        "tests/test_llm.py",
        "compose.emulator.yaml",
        ".github/workflows/llm-tests.yaml",
    ]
    assert json.loads(invoke("init", str(tmp_path), "--json")[1]) == {
        "folder": str(tmp_path),
        "written": names,
        "kept": [],
    }
    (tmp_path / names[0]).unlink()
    code, out, err = invoke("init", str(tmp_path))
    assert (code, err) == (0, "")
    assert out.splitlines()[:6] == [
        *(f"{'wrote' if name == names[0] else 'kept '}  {tmp_path / name}" for name in names),
        "Existing files were kept. To replace one, remove it and run `emulator init` again.",
    ]


def test_files_are_written_into_the_current_folder_by_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    code, out, _ = invoke("init")
    assert (code, out.splitlines()[0]) == (0, "wrote  scenarios/scenario.yaml")
    assert "\nNext:\n" in out
