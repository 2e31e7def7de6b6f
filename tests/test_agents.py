"""The shipped scenarios for agents, with requests as agents send them. `make clients` runs the agents themselves."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from emulator import Emulator
from emulator.resources import folder

AGENTS = Path(str(folder("scenarios"))) / "agents"
TASK = "Count the words of notes.txt"
SHELL = {"type": "object", "properties": {"cmd": {"type": "string"}}, "required": ["cmd"]}
CODEX: dict[str, Any] = {
    "model": "gpt-5-mini",
    "stream": False,
    "tools": [
        {"type": "function", "name": "exec_command", "strict": False, "parameters": SHELL},
        {"type": "web_search", "external_web_access": True},
    ],
    "tool_choice": "auto",
    "parallel_tool_calls": True,
    "reasoning": {"summary": "auto"},
    "store": False,
    "include": ["reasoning.encrypted_content"],
    "prompt_cache_key": "01a21800",
    "client_metadata": {"x-codex-installation-id": "1"},
}
CLAUDE_CODE: dict[str, Any] = {
    "model": "claude-opus-5-5",
    "max_tokens": 32000,
    "thinking": {"type": "adaptive"},
    "context_management": {"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]},
    "output_config": {"effort": "medium"},
    "metadata": {"user_id": "u"},
    "tools": [
        {"name": "Bash", "input_schema": {"type": "object", "properties": {"command": {"type": "string"}}}},
        {"type": "web_search_20250305", "name": "web_search"},
    ],
}
REMINDER = {"type": "text", "text": "<system-reminder>\nToday's date is 2026-11-26.\n</system-reminder>"}


@pytest.fixture
def post(http: httpx.Client) -> Iterator[Any]:
    with Emulator(AGENTS) as emulator:

        def send(provider: str, path: str, body: dict[str, Any]) -> Any:
            headers = {"authorization": "Bearer sk-demo", "anthropic-version": "2023-06-01"}
            response = http.post(emulator.url(provider) + path, json=body, headers=headers)
            assert response.status_code == 200, response.text
            return response.json()

        yield send


def test_codex_runs_a_command_and_searches_for_nothing(post: Any) -> None:
    asked = [{"type": "message", "role": "user", "content": [{"type": "input_text", "text": TASK}]}]
    output = post("openai", "/v1/responses", {**CODEX, "input": asked})["output"]
    assert [item["type"] for item in output] == ["reasoning", "message", "function_call"]
    call = output[-1]
    assert (call["name"], call["arguments"]) == ("exec_command", '{"cmd":"wc -w < notes.txt | tee count.txt"}')
    result = {"type": "function_call_output", "call_id": call["call_id"], "output": "Process exited with code 0\n4\n"}
    said = post("openai", "/v1/responses", {**CODEX, "input": [*asked, *output, result]})["output"]
    assert [item["type"] for item in said] == ["reasoning", "message"]
    answer = said[-1]
    assert answer["content"][0]["text"] == "I counted the words and wrote the number to count.txt."


def test_claude_code_runs_a_command_and_tells_its_result(post: Any) -> None:
    asked = [{"role": "user", "content": [REMINDER, {"type": "text", "text": TASK}]}]
    content = post("anthropic", "/v1/messages", {**CLAUDE_CODE, "messages": asked})["content"]
    assert [block["type"] for block in content] == ["thinking", "text", "tool_use"]
    call = content[-1]
    assert (call["name"], call["input"]) == (
        "Bash",
        {"command": "wc -w < notes.txt | tee count.txt", "description": "Count the words"},
    )
    result = {"role": "user", "content": [{"type": "tool_result", "tool_use_id": call["id"], "content": "4"}]}
    said = [*asked, {"role": "assistant", "content": content}, result]
    (answer,) = post("anthropic", "/v1/messages", {**CLAUDE_CODE, "messages": said})["content"]
    assert answer["text"] == "notes.txt has 4 words. I wrote the number to count.txt."
