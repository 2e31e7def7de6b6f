"""The control API against what its own OpenAPI document allows, by schemathesis."""

import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from served import served

pytestmark = [pytest.mark.soak, pytest.mark.timeout(900)]
CONFIG = Path(__file__).parent / "schemathesis.toml"
ENDLESS = "events|journal/wait"
"""A stream has no end, and a wait takes as long as it is asked to."""
LARGE = "scenario|rules|namespaces/.name."
"""Bodies whose schema is that of a whole scenario."""
ALWAYS = ("--checks", "all", "--continue-on-failure", "--no-color", "--request-timeout", "20")


def found_by_schemathesis(port: int, *options: str) -> str:
    """What it complains of; empty when it is content."""
    command = [str(Path(sys.executable).with_name("schemathesis")), "--config-file", str(CONFIG), "run"]
    url = f"http://127.0.0.1:{port}/__emulator/openapi.json"
    done = subprocess.run([*command, url, *ALWAYS, *options], capture_output=True, text=True, timeout=800, check=False)
    return "" if done.returncode == 0 else done.stdout[-20_000:] + done.stderr


@pytest.mark.parametrize(
    "options",
    [
        ("--exclude-path-regex", f"/({ENDLESS}|{LARGE})$", "--max-examples", "60"),
        ("--include-path-regex", f"/({LARGE})$", "--phases", "fuzzing", "--max-examples", "15"),
    ],
    ids=["all routes", "whole scenarios"],
)
def test_every_answer_fits_the_description(options: tuple[str, ...]) -> None:
    with served("--speed", "max", "--log", "off") as server:
        body = {"model": "deepseek-v3", "messages": [{"role": "user", "content": "Hi"}]}
        url = f"http://127.0.0.1:{server.port}/serevix/v1/chat/completions"
        assert httpx.post(url, json=body, headers={"authorization": "Bearer k"}).status_code == 200
        if complaint := found_by_schemathesis(server.port, *options):
            pytest.fail(complaint)
