"""Environments in a cache outside the checkout: one for each set of pinned packages, made when first needed."""

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from clients_table import PUBLISHED_BEFORE, Client

CACHE = Path(
    os.environ.get("EMULATOR_CLIENTS_CACHE")
    or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "llm-provider-emulator", "clients")
)
FETCH_TIMEOUT = 900.0
UNWANTED = ("_API_KEY", "_BASE_URL", "_API_BASE", "_AUTH_TOKEN", "_PROXY", "_proxy")
"""The ends of variables that would lead a client elsewhere."""


def missing(reason: str) -> None:
    """Skips, or fails where everything has to run."""
    if os.environ.get("EMULATOR_REQUIRE_ALL") == "1":
        pytest.fail(reason)
    pytest.skip(reason)


def environment(name: str, client: Client) -> Path:
    """The folder of a client's environment; skips if a package cannot be fetched."""
    wanted = " ".join((*client.packages, client.runtime, PUBLISHED_BEFORE, sys.version if not client.is_node else ""))
    place = CACHE / f"{name}-{hashlib.sha256(wanted.encode()).hexdigest()[:12]}"
    if (place / ".complete").exists():
        return place
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    for command in _node(client, place) if client.is_node else _python(client, place):
        _fetch(command, name, client)
    (place / ".complete").touch()
    return place


def _node(client: Client, place: Path) -> list[list[str]]:
    npm = shutil.which("npm")
    if npm is None:
        missing("npm is not installed, which fetches the clients for Node.")
    install = [str(npm), "install", "--no-audit", "--no-fund", "--loglevel=error", f"--before={PUBLISHED_BEFORE}"]
    runtime = [f"node@{client.runtime}"] if client.runtime else []
    # The scripts of packages are not run, but for those that put Node or an agent in its place.
    scripts = [] if client.runs_itself else ["--ignore-scripts"]
    commands = [[*install, "--prefix", str(place), *scripts, *client.packages]]
    return commands + [[*install, "--prefix", str(place), *runtime] for _ in runtime]


def _python(client: Client, place: Path) -> list[list[str]]:
    uv = [sys.executable, "-m", "uv"]
    fetch = [
        *uv,
        "pip",
        "install",
        "--quiet",
        "--compile-bytecode",
        "--exclude-newer",
        PUBLISHED_BEFORE,
        "--python",
        str(place),
    ]
    return [[*uv, "venv", "--quiet", "--clear", "--python", sys.executable, str(place)], [*fetch, *client.packages]]


def _fetch(command: list[str], name: str, client: Client) -> None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=FETCH_TIMEOUT, check=False)
    except subprocess.TimeoutExpired:
        missing(f"{name}: {', '.join(client.packages)} did not come within {FETCH_TIMEOUT:.0f} s.")
        raise
    if done.returncode:
        last = (done.stderr or done.stdout).strip()[-600:]
        missing(f"{name}: {', '.join(client.packages)} could not be fetched: {last}")


def executable(place: Path, client: Client) -> list[str]:
    """What runs the client's program."""
    if not client.is_node:
        return [str(place / "bin" / "python")]
    own = place / "node_modules" / "node" / "bin" / "node"
    return [str(own) if client.runtime else "node"]


def variables() -> dict[str, str]:
    """The environment of a client: nothing in it leads it away from the emulator."""
    kept = {name: value for name, value in os.environ.items() if not name.endswith(UNWANTED)}
    return kept | {"NO_PROXY": "*", "PYTHONDONTWRITEBYTECODE": "1"}
