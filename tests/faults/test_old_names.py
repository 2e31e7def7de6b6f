"""Earlier names of kinds work wherever a kind is named."""

import contextlib
import json
from typing import Any

import httpx
import pytest
from click.testing import CliRunner
from jsonschema import Draft202012Validator
from talk import single

from emulator import Emulator
from emulator.cli.app import cli
from emulator.faults import fault_of
from emulator.scenario.json_schema import json_schema

OLD = {"garbage": "random_data", "html_200": "captive_portal"}
BODY = {"model": "deepseek-r1", "messages": [{"role": "user", "content": "Hi"}], "stream": False}
CHAT = "/maxtoken/v1/chat/completions"


def faults_of(emulator: Emulator, path: str = CHAT, key: str = "sk-any", header: str | None = None) -> tuple[str, ...]:
    """The faults that the journal names for one request."""
    headers = {"x-api-key": key} | ({"x-emulator-fault": header} if header else {})
    with contextlib.suppress(httpx.RemoteProtocolError):  # as random data makes it
        single.post(emulator.origin + path, headers=headers, json=BODY)
    emulator.wait_until_idle()
    return tuple(fault.partition(" (")[0] for fault in emulator.journal[-1].faults)


@pytest.mark.parametrize(("old", "new"), OLD.items())
def test_an_old_name_works_in_every_way_to_ask_for_a_fault(old: str, new: str) -> None:
    with Emulator() as emulator:
        assert faults_of(emulator, f"/~{old}{CHAT}") == (new,)
        assert faults_of(emulator, key=f"sk-fault-{old}") == (new,)
        assert faults_of(emulator, header=old) == (new,)
        emulator.faults.next(old)
        assert faults_of(emulator) == (new,)
        emulator.faults.next({"kind": old})
        assert faults_of(emulator) == (new,)
    with Emulator(faults=[old]) as emulator:
        assert faults_of(emulator) == (new,)


@pytest.mark.parametrize("written", ["old", "mapping"])
@pytest.mark.parametrize(("old", "new"), OLD.items())
def test_an_old_name_works_in_a_scenario_and_in_its_schema(old: str, new: str, written: str) -> None:
    fault: Any = old if written == "old" else {"kind": old, "times": 1}
    scenario = {"version": 1, "faults": [fault], "rules": [{"reply": {"content": "Hi"}}]}
    assert Draft202012Validator(json_schema()).is_valid(scenario)
    with Emulator(scenario=scenario) as emulator:
        assert faults_of(emulator) == (new,)


@pytest.mark.parametrize(("old", "new"), OLD.items())
def test_an_old_name_takes_parameters_and_is_described_by_its_new_name(old: str, new: str) -> None:
    assert fault_of(f"{old}:times=2") == fault_of({"kind": new, "times": 2})
    shown = CliRunner().invoke(cli, ["faults", old, "--json"])
    assert json.loads(shown.stdout)["kind"] == new
