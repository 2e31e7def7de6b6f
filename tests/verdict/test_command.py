"""`emulator verdict`: sources, formats, exit codes."""

import json
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest
from click.testing import CliRunner
from little_client import Client, assistant, user
from served import run

from emulator.cli import cli

pytest_plugins = ["judging"]


def sin(client: Client) -> None:
    """A MUST, and something that is unknown."""
    client.namespace.faults.next("error:status=429,retry_after=30")
    client.post()
    client.post()
    client.namespace.faults.next("truncate:after_tokens=2")
    client.post("Something else")


def test_text(client: Client) -> None:
    sin(client)
    code, out, err = run("verdict", client.namespace.origin)
    lines = out.splitlines()
    assert (code, err) == (1, "")
    assert lines[0] == "✗ MUST    retry_after_ignored  Tries again sooner than the provider's Retry-After allows."
    assert lines[1] == "          #1 429 → #2 200"
    assert lines[-1] == "1 MUST, 1 unknown in 3 exchanges"
    assert max(map(len, lines)) <= 100


def test_nothing_to_say(client: Client) -> None:
    client.post()
    sentence = "✓ no findings about the client in 1 exchange\n"
    assert run("verdict", client.namespace.origin) == (0, sentence, "")


def test_a_should_is_no_failure(client: Client) -> None:
    client.namespace.faults.next("error:status=503")
    client.post("First")
    client.post("Second")
    code, out, _ = run("verdict", client.namespace.origin)
    assert (code, out.splitlines()[-1]) == (0, "1 SHOULD in 2 exchanges")


def test_json_of_a_namespace_is_what_the_api_gives(client: Client) -> None:
    sin(client)
    answer = client.http.get(f"{client.namespace.origin}/__emulator/verdict").json()
    origin, _, name = client.namespace.origin.partition("/@")
    for arguments in ([client.namespace.origin, "--json"], [origin, "--namespace", name, "--format", "json"]):
        code, out, err = run("verdict", *arguments)
        assert (code, json.loads(out), err) == (1, answer, "")


def test_an_export_of_the_journal(client: Client, tmp_path: Path) -> None:
    sin(client)
    file = tmp_path / "journal.jsonl"
    file.write_bytes(client.http.get(f"{client.namespace.origin}/__emulator/journal/export").content)
    code, out, _ = run("verdict", str(file), "--json")
    assert (code, json.loads(out)) == (1, client.verdict().to_dict())
    for name, expected in ((client.namespace.name, 1), ("other", 0)):
        assert CliRunner().invoke(cli, ["verdict", str(file), "--namespace", name]).exit_code == expected


def test_a_saved_run_holds_scenario_seed_and_journal(client: Client, tmp_path: Path) -> None:
    sin(client)
    file = tmp_path / "run.json"
    code, _, err = run("verdict", client.namespace.origin, "--save", str(file))
    saved = json.loads(file.read_text())
    assert (code, err.startswith(f"Saved to {file}.")) == (1, True)
    assert (saved["namespace"], saved["seed"], len(saved["exchanges"])) == (client.namespace.name, 0, 3)
    assert saved["scenario"]["rules"][-1]["reply"] == {"content": "one two three four five six"}
    assert json.loads(run("verdict", str(file), "--json")[1]) == client.verdict().to_dict()


def test_a_baseline_hides_what_is_known(client: Client, tmp_path: Path) -> None:
    sin(client)
    file = tmp_path / "known.json"
    file.write_text(run("verdict", client.namespace.origin, "--json")[1])
    code, out, _ = run("verdict", client.namespace.origin, "--baseline", str(file))
    assert (code, "1 omitted: in the baseline" in out) == (0, True)
    client.namespace.faults.next("truncate:after_tokens=2")
    piece = client.text(client.post("New"))
    client.post([user("New"), assistant(piece), user("Go on")])
    code, out, _ = run("verdict", client.namespace.origin, "--baseline", str(file))
    assert (code, "truncated_stream_accepted" in out, "retry_after_ignored" in out) == (1, True, False)


def test_a_baseline_names_what_is_gone(client: Client, tmp_path: Path) -> None:
    sin(client)
    file = tmp_path / "known.json"
    file.write_text(run("verdict", client.namespace.origin, "--json")[1])
    client.http.delete(f"{client.namespace.origin}/__emulator/journal")
    code, out, _ = run("verdict", client.namespace.origin, "--baseline", str(file))
    assert (code, "no longer found since the baseline: retry_after_ignored" in out) == (0, True)


def test_junit(client: Client) -> None:
    sin(client)
    _, out, _ = run("verdict", client.namespace.origin, "--format", "junit")
    suite = ElementTree.fromstring(out).find("testsuite")
    assert suite is not None
    assert {name: suite.get(name) for name in ("tests", "failures", "skipped")} == {
        "tests": "26",
        "failures": "1",
        "skipped": "1",
    }
    (failure,) = suite.iter("failure")
    assert (failure.get("message") or "").startswith("Exchange 1 said to wait 30 s")


def test_sarif(client: Client) -> None:
    sin(client)
    run_of_it = json.loads(run("verdict", client.namespace.origin, "--format", "sarif")[1])["runs"][0]
    (result,) = run_of_it["results"]
    assert (result["ruleId"], result["level"]) == ("retry_after_ignored", "error")
    assert result["ruleId"] in [rule["id"] for rule in run_of_it["tool"]["driver"]["rules"]]


def test_github(client: Client) -> None:
    sin(client)
    first, last = run("verdict", client.namespace.origin, "--format", "github")[1].splitlines()
    assert first.startswith("::error title=MUST retry_after_ignored::Exchange 1 said to wait 30 s; ")
    assert last == "::notice title=Verdict::1 MUST, 1 unknown in 3 exchanges"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "journal.jsonl:1: this is not JSON."),
        ('{"number": 1}', "journal.jsonl:1: this is not a complete exchange: path is missing."),
        ("[]", "journal.jsonl:1: this is not a complete exchange"),
        ("\n \n{", "journal.jsonl:3: this is not JSON."),
    ],
)
def test_what_is_no_journal(text: str, message: str, tmp_path: Path) -> None:
    file = tmp_path / "journal.jsonl"
    file.write_text(text)
    code, out, err = run("verdict", str(file))
    assert (code, out, message in err, err.count("\n")) == (2, "", True, 1)


def test_no_server_and_no_file(tmp_path: Path) -> None:
    code, _, err = run("verdict", "http://127.0.0.1:9")
    assert (code, err.startswith("There is no server at http://127.0.0.1:9: ")) == (2, True)
    code, _, err = run("verdict", str(tmp_path / "gone.jsonl"))
    assert (code, "can't be read: No such file" in err) == (2, True)


RETRIES = """
import json, os, urllib.error, urllib.request
url = os.environ["OPENAI_BASE_URL"] + "/chat/completions"
headers = {"Authorization": "Bearer sk-test", "Content-Type": "application/json"}
body = json.dumps({"model": "deepseek-v3", "messages": [{"role": "user", "content": "Hi"}]}).encode()
for _ in range(2):
    try:
        urllib.request.urlopen(urllib.request.Request(url, body, headers))
    except urllib.error.HTTPError:
        pass
"""


def test_at_the_end_of_a_run() -> None:
    options = ("--fault", "error:status=402,times=1", "--", sys.executable, "-c", RETRIES)
    code, _, err = run("run", *options)
    assert code == 0
    assert "  MUST retried_non_retryable: Exchange 1 was refused with status 402; exchange 2 sent the same again" in err
    code, _, err = run("run", "--json", *options)
    (finding,) = json.loads(err.splitlines()[-1])["verdict"]["findings"]
    assert (code, finding["code"], finding["exchanges"]) == (0, "retried_non_retryable", [1, 2])


def test_a_strict_run_fails_for_it(tmp_path: Path) -> None:
    scenario = tmp_path / "hello.yaml"
    scenario.write_text("version: 1\nrules:\n- {name: all, match: {}, reply: {content: Hi}}\n")
    options = ("-s", str(scenario), "--strict")
    fault = ("--fault", "error:status=402,times=1")
    assert run("run", *options, "--", sys.executable, "-c", RETRIES)[0] == 0
    assert run("run", *options, *fault, "--", sys.executable, "-c", RETRIES)[0] == 1
