"""`emulator init`."""

import json
import sys
from pathlib import Path

import click

from emulator.cli import BAD_USE
from emulator.cli.output import fail

SCENARIO = """\
# yaml-language-server: $schema=./scenario.schema.json
# The emulator's answers. Try them:
#
#   emulator serve --scenario scenarios/scenario.yaml
#   emulator check scenarios/scenario.yaml
version: 1
name: starter
rules:
  # The first rule that matches answers.
  - name: greeting
    match:
      prompt: {contains: hello}
    reply:
      content: Hello! How can I help you?

  # Several answers in turn: the client must retry.
  - name: busy-then-fine
    match:
      prompt: {contains: busy}
    replies:
      - error: rate_limited
      - reply: {content: "Now it works."}

  # A fault on the wire: the connection is reset after five tokens.
  - name: broken-stream
    match:
      stream: true
      prompt: {contains: break}
    reply:
      content: No client receives the end of this sentence, because the connection is reset.
    faults:
      - {kind: reset, after_tokens: 5}

# A request that no rule matches gets a generated answer. With `error`, it gets an error that explains each mismatch.
unmatched: generate
"""
TEST = '''\
"""Tests against the emulator: `pytest {name}`. The package provides the fixture `emulator`."""

import json
import urllib.request

import pytest


@pytest.mark.emulator(scenario="{scenario}")
def test_a_greeting_is_answered(emulator):
    body = {{"model": "deepseek-v3", "messages": [{{"role": "user", "content": "hello"}}]}}
    request = urllib.request.Request(
        emulator.url("serevix") + "/v1/chat/completions",
        data=json.dumps(body).encode(),
        headers={{"Authorization": "Bearer sk-any", "Content-Type": "application/json"}},
    )
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({{}}))
    with opener.open(request) as answer:
        reply = json.load(answer)
    assert reply["choices"][0]["message"]["content"] == "Hello! How can I help you?"
    assert [exchange.rule for exchange in emulator.journal] == ["greeting"]
'''
COMPOSE = """\
# docker compose up; your application reaches the emulator at http://emulator:8080/<provider>
services:
  emulator:
    image: python:3.12-slim
    command: >-
      sh -c "pip install --quiet llm-provider-emulator &&
      exec emulator serve --host 0.0.0.0 --scenario /scenarios/scenario.yaml"
    volumes:
      - ./scenarios:/scenarios:ro
    ports:
      - "127.0.0.1:8080:8080"
    healthcheck:
      test: ["CMD", "emulator", "health"]
      interval: 2s
      retries: 30
"""
CI = """\
# A GitHub workflow that needs no secrets: clients in the tests talk to the emulator.
name: LLM tests
on: [push, pull_request]
jobs:
  test:
    runs-on: ubuntu-latest
    steps:
      - uses: actions/checkout@v4
      - uses: actions/setup-python@v5
        with: {python-version: "3.12"}
      - run: pip install llm-provider-emulator pytest
      - run: emulator check scenarios/scenario.yaml
      - run: emulator run --scenario scenarios/scenario.yaml -- python -m pytest
"""
FOLDER = "scenarios"


@click.command("init")
@click.argument("folder", type=click.Path(file_okay=False), default=".")
@click.option("--json", "as_json", is_flag=True, help="Print what was done as JSON.")
def command(folder: str, as_json: bool) -> None:
    """Write starter files to FOLDER (by default, the current one): a commented scenario with its schema for editors, a
    pytest test, a compose file and a CI workflow. Existing files are never changed."""
    from emulator.scenario.json_schema import as_text

    root = Path(folder)
    contents = {
        f"{FOLDER}/scenario.yaml": SCENARIO,
        f"{FOLDER}/scenario.schema.json": as_text(),
        "tests/test_llm.py": TEST.format(name="tests/test_llm.py", scenario=f"{FOLDER}/scenario.yaml"),
        "compose.emulator.yaml": COMPOSE,
        ".github/workflows/llm-tests.yaml": CI,
    }
    done = {name: _write(root / name, text) for name, text in contents.items()}
    written = [name for name, is_new in done.items() if is_new]
    kept = [name for name, is_new in done.items() if not is_new]
    if as_json:
        click.echo(json.dumps({"folder": str(root), "written": written, "kept": kept}, indent=2))
        return
    for name, is_new in done.items():
        click.echo(f"{'wrote' if is_new else 'kept '}  {root / name}")
    if kept:
        click.echo("Existing files were kept. To replace one, remove it and run `emulator init` again.")
    click.echo(
        f"\nNext{f', in {root}' if folder != '.' else ''}:\n\n  emulator serve --scenario {FOLDER}/scenario.yaml"
    )
    click.echo(f"  {Path(sys.executable).name} -m pytest tests/test_llm.py")


def _write(path: Path, text: str) -> bool:
    """Writes a file unless it exists; returns whether it did."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(path, "x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        if path.exists():
            return False
        fail(f"{path.parent}: not a folder. Choose another one: emulator init FOLDER", BAD_USE)
    except OSError as error:
        fail(f"{path}: {error.strerror or error}. Choose a writable folder: emulator init FOLDER", BAD_USE)
    return True
