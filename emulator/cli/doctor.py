"""`emulator doctor`."""

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib import metadata
from typing import Literal, NamedTuple

import click

from emulator.cli import FINDINGS
from emulator.cli.options import Option

Level = Literal["ok", "warning", "error"]
MIN_FILES = 1024
CLIENT_TIMEOUT = 30.0
MAX_REASON = 200
PYTHON_CLIENTS = ("openai", "anthropic", "httpx", "requests", "aiohttp")
HOST = "https://gateway.serevixai.ai/v1"
GET = f"{HOST}/models"
TRIES = {
    "openai": f"from openai import OpenAI\nOpenAI(api_key='x', base_url={HOST!r}, max_retries=0).models.list()",
    "anthropic": "from anthropic import Anthropic\n"
    "client = Anthropic(api_key='x', base_url='https://api.deepseek.com/anthropic', max_retries=0)\n"
    "client.messages.create(model='deepseek-v4-flash', max_tokens=8, messages=[{'role': 'user', 'content': 'Hi'}])",
    "httpx": "import httpx\nhttpx.get(URL, headers=KEY).raise_for_status()",
    "requests": "import requests\nrequests.get(URL, headers=KEY).raise_for_status()",
    "aiohttp": "import aiohttp, asyncio\nasync def go():\n  async with aiohttp.ClientSession(trust_env=True) as s:\n"
    "    async with s.get(URL, headers=KEY) as r: r.raise_for_status()\nasyncio.run(go())",
}


class Finding(NamedTuple):
    """One check, its result, and how to fix it."""

    name: str
    level: Level
    message: str
    mend: str = ""


@click.command("doctor")
@click.option("--port", "-p", type=click.IntRange(1, 65535), default=8080, show_default=True, cls=Option,
              help="The port that `serve` will use.")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
def command(port: int, as_json: bool) -> None:
    """Find what keeps clients from reaching the emulator, and how to fix it.

    Each installed client makes a real request that never leaves this machine. Exit code 0: no problems; 1: something
    needs a fix."""
    findings: list[Finding] = []
    for check in CHECKS:
        for finding in check(port):
            findings.append(finding)
            if not as_json:
                click.echo(f"{MARKS[finding.level]}  {finding.name:<12} {finding.message}")
                if finding.mend:
                    click.echo(f"{'':<17} {finding.mend}")
    is_sound = all(finding.level != "error" for finding in findings)
    if as_json:
        click.echo(json.dumps({"ok": is_sound, "findings": [each._asdict() for each in findings]}, indent=2))
    sys.exit(0 if is_sound else FINDINGS)


MARKS = {"ok": "ok ", "warning": "!  ", "error": "NO "}


def _python(port: int) -> Iterator[Finding]:
    version = ".".join(map(str, sys.version_info[:3]))
    yield Finding("python", "ok", f"{version} at {sys.executable}")


def _versions(port: int) -> Iterator[Finding]:
    from importlib.metadata import requires

    wrong = []
    for text in requires("llm-provider-emulator") or ():
        requirement, _, marker = text.partition(";")
        if "extra ==" in marker:
            continue
        name, low, high = _range(requirement)
        try:
            found = _numbers(metadata.version(name))
        except metadata.PackageNotFoundError:
            if not marker:
                wrong.append(f"{name} is missing")
            continue
        if (low and found < low) or (high and found >= high):
            wrong.append(
                f"{name} is {metadata.version(name)}, but only {requirement.removeprefix(name).strip()} is tested"
            )
    if wrong:
        yield Finding("versions", "error", "; ".join(wrong), "Reinstall: pip install --upgrade llm-provider-emulator")
    else:
        yield Finding("versions", "ok", "all dependencies are within their tested ranges")


def _range(requirement: str) -> tuple[str, tuple[int, ...], tuple[int, ...]]:
    """The name, the lowest allowed version and the first that is too high, from `name>=1.2,<2`."""
    for place, character in enumerate(requirement):
        if character in "<>=!~ ":
            name, bounds = requirement[:place], requirement[place:]
            break
    else:
        return requirement.strip(), (), ()
    low = high = ()
    for bound in bounds.replace(" ", "").split(","):
        if bound.startswith(">="):
            low = _numbers(bound[2:])  # type: ignore[assignment]
        elif bound.startswith("<"):
            high = _numbers(bound[1:])  # type: ignore[assignment]
    return name.strip(), low, high


def _numbers(version: str) -> tuple[int, ...]:
    numbers = []
    for part in version.split("."):
        digits = "".join(character for character in part if character.isdigit())
        if not digits:
            break
        numbers.append(int(digits))
    return tuple(numbers)


def _port(port: int) -> Iterator[Finding]:
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            sock.bind(("127.0.0.1", port))
        except OSError as error:
            reason = error.strerror or str(error)
            mend = "Use a free port: emulator serve --port 0. `emulator run` always does."
            yield Finding("port", "warning", f"cannot listen on {port}: {reason}", mend)
        else:
            yield Finding("port", "ok", f"{port} is free")


def _files(port: int) -> Iterator[Finding]:
    try:
        import resource
    except ImportError:  # pragma: no cover - only Windows lacks it
        return
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if 0 <= limit < MIN_FILES:
        mend = "Raise the limit for load tests: ulimit -n 65536"
        yield Finding("files", "warning", f"at most {limit} files and connections may be open at once", mend)
    else:
        yield Finding("files", "ok", f"up to {limit} files and connections may be open at once")


def _localhost(port: int) -> Iterator[Finding]:
    try:
        addresses = sorted({str(row[4][0]) for row in socket.getaddrinfo("localhost", port, type=socket.SOCK_STREAM)})
    except OSError as error:
        yield Finding("localhost", "error", f"cannot be resolved: {error}", "Add `127.0.0.1 localhost` to /etc/hosts.")
        return
    if "::1" in addresses:
        words = "resolves to ::1 and 127.0.0.1, but `serve` listens only on 127.0.0.1"
        yield Finding("localhost", "ok", words, "Clients that try only ::1 need 127.0.0.1 in their URL.")
    else:
        yield Finding("localhost", "ok", f"resolves to {', '.join(addresses)}")


def _proxies(port: int) -> Iterator[Finding]:
    names = [n for n in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy")
             if os.environ.get(n)]  # fmt: skip
    direct = {each.strip() for each in (os.environ.get("NO_PROXY") or os.environ.get("no_proxy") or "").split(",")}
    if names and not direct & {"*", "127.0.0.1", "localhost"}:
        mend = "Set NO_PROXY=localhost,127.0.0.1,::1 so that clients reach the emulator directly."
        yield Finding(
            "proxies",
            "warning",
            f"NO_PROXY doesn't list 127.0.0.1, and these are set: {', '.join(names)}",
            mend,
        )
    else:
        yield Finding("proxies", "ok", "no proxy is between clients and 127.0.0.1")


def _certificates(port: int) -> Iterator[Finding]:
    from emulator.interception.environment import BUNDLES

    missing = [f"{name}={os.environ[name]}" for name in BUNDLES
               if os.environ.get(name) and not os.path.exists(os.environ[name])]  # fmt: skip
    for text in missing:
        yield Finding("certificates", "error", f"{text}: no such file", f"unset {text.partition('=')[0]}")
    if not missing:
        yield Finding(
            "certificates", "ok", "every variable that names root certificates is unset or names an existing file"
        )


def _base_urls(port: int) -> Iterator[Finding]:
    from urllib.parse import urlsplit

    from emulator.interception.environment import BASE_URLS
    from emulator.providers import PROVIDERS

    found = {name: os.environ[name] for name in BASE_URLS if os.environ.get(name)}
    for name, url in found.items():
        parts = urlsplit(url)
        first = parts.path.strip("/").partition("/")[0]
        if parts.hostname not in ("127.0.0.1", "localhost", "::1"):
            words, mend = f"{name}={url} doesn't lead to the emulator", f"unset {name}; then `emulator run` sets it."
            yield Finding("base URLs", "warning", words, mend)
        elif name.startswith("OPENAI") and first in PROVIDERS:
            path = PROVIDERS[first].sdk_base_path()
            if path is not None and parts.path.rstrip("/") != f"/{first}{path}":
                words = f"{name}={url}: the path for {first} is /{first}{path}"
                mend = f"export {name}={parts.scheme}://{parts.netloc}/{first}{path}"
                yield Finding("base URLs", "error", words, mend)
    if not found:
        yield Finding("base URLs", "ok", "none are set; `emulator run` and `emulator env` set them")


def _clients(port: int) -> Iterator[Finding]:
    """Tries every installed client, all in parallel under one `run --intercept`."""
    tries: dict[str, tuple[str, list[str]]] = {}
    for name in PYTHON_CLIENTS:
        with contextlib.suppress(metadata.PackageNotFoundError):
            code = f"URL, KEY = {GET!r}, {{'Authorization': 'Bearer x'}}\n{TRIES[name]}"
            tries[name] = (f"{name} {metadata.version(name)} (Python)", [sys.executable, "-c", code])
    node = shutil.which("node")
    if node is not None:
        code = f"fetch('{GET}', {{headers: {{authorization: 'Bearer x'}}}}).then((r) => process.exit(r.ok ? 0 : 1), "
        code += "(e) => { console.error(String(e.cause || e)); process.exit(1); });"
        tries["node"] = (f"node at {node}", [node, "-e", code])
    curl = shutil.which("curl")
    if curl is not None:
        words = [curl, "-sSf", "-o", os.devnull, "-H", "Authorization: Bearer x", GET]
        tries["curl"] = (f"curl at {curl}", words)
    reasons = _tried({name: words for name, (_, words) in tries.items()})
    for name, (title, _) in tries.items():
        if reasons.get(name) == "":
            yield Finding(name, "ok", f"{title} reaches the emulator with `run --intercept`")
        else:
            reason = reasons.get(name, reasons.get("", "the check could not run"))
            yield Finding(name, "error", f"{title}: {reason}", "See docs/running.md, “Clients”.")


DRIVER = f"""
import json, subprocess, sys
quiet = {{'stdin': subprocess.DEVNULL, 'stdout': subprocess.DEVNULL, 'stderr': subprocess.PIPE, 'text': True}}
started = {{
    name: subprocess.Popen(words, **quiet)
    for name, words in json.loads(sys.argv[1]).items()
}}
reasons = {{}}
for name, process in started.items():
    try:
        said = process.communicate(timeout={CLIENT_TIMEOUT})[1].strip().splitlines() or ["it failed without a message"]
        reasons[name] = said[-1][:{MAX_REASON}] if process.returncode else ""
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        reasons[name] = "no answer within {CLIENT_TIMEOUT:.0f} s"
print(json.dumps(reasons))
"""
"""Runs clients in parallel and prints why each one failed; empty for those that succeeded."""


def _tried(commands: dict[str, list[str]]) -> dict[str, str]:
    """Returns why each client failed, by name; under the empty name, why none could be tried."""
    run = [sys.executable, "-m", "emulator", "run", "--intercept", "--", sys.executable, "-c", DRIVER]
    environment = {key: value for key, value in os.environ.items() if not key.startswith("EMULATOR_")}
    done = subprocess.run([*run, json.dumps(commands)], capture_output=True, text=True, check=False, env=environment)
    try:
        reasons: dict[str, str] = json.loads(done.stdout)
    except ValueError:
        said = done.stderr.strip().splitlines() or ["`emulator run` failed without a message"]
        return {"": said[-1][:MAX_REASON]}
    return reasons


CHECKS: tuple[Callable[[int], Iterator[Finding]], ...] = (
    _python,
    _versions,
    _port,
    _files,
    _localhost,
    _proxies,
    _certificates,
    _base_urls,
    _clients,
)
"""The checks, in order."""
