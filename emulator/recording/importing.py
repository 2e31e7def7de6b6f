"""Imports files of other tools: cassettes and archives as recordings, fixtures and JSON lines as rules."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import field
from pathlib import Path
from typing import Any

import yaml

from emulator.dialects.base import ProviderError
from emulator.errors import UsageError
from emulator.providers import PROVIDERS
from emulator.recording.capture import captured, cleaned
from emulator.recording.exchanges import Exchange, Unreadable, in_cassette, in_har
from emulator.recording.files import write_whole
from emulator.recording.folder import Recordings, dumped, slug
from emulator.recording.keys import digest_of
from emulator.recording.readable import MARKUP
from emulator.recording.redaction import Redaction, redacted_json
from emulator.records import struct

FORMS = ("vcr", "har", "aimock", "jsonl")
LOST = {
    "latency": "seconds between chunks",
    "chunkSize": "the size of chunks",
    "truncateAfterChunks": "where the stream is interrupted",
    "disconnectAfterMs": "when the connection ends",
    "chaos": "random failures",
    "recordedTimings": "recorded times",
    "replaySpeed": "the speed of a replay",
    "metadata": "hashes of prompts and tools",
}
"""The members of a fixture that can't be imported, with their descriptions."""


@struct
class Imported:
    """The result of importing a file."""

    form: str
    answers: int = 0
    left_out: list[str] = field(default_factory=list)
    """A sentence for each thing that can't be imported."""


def form_of(path: Path, text: str) -> str:
    """Detects the format of a file. Raises UsageError."""
    start = text.lstrip()[:1]
    try:
        if path.suffix == ".har":
            return "har"
        if path.suffix in (".yaml", ".yml"):
            return "vcr"
        if path.suffix == ".jsonl":
            return "jsonl"
        document = json.loads(text)
        if isinstance(document, dict):
            for key, form in (("interactions", "vcr"), ("log", "har"), ("fixtures", "aimock")):
                if key in document:
                    return form
    except ValueError:
        if start == "{":
            return "jsonl"
    raise UsageError(f"{path}: the format of this file is not recognized. Name it with --from: {', '.join(FORMS)}.")


def imported(path: Path, into: Path, form: str | None, provider: str | None) -> Imported:
    """Imports a file into a folder. Raises UsageError if it can't be parsed, or OSError."""
    text = path.read_text(encoding="utf-8")
    form = form or form_of(path, text)
    result = Imported(form)
    try:
        if form in ("vcr", "har"):
            read = in_cassette if form == "vcr" else in_har
            _record(read(text, provider), into, result)
        else:
            rules = list((_fixture_rules if form == "aimock" else _line_rules)(text, provider, result))
            _write_rules(rules, path, into, result)
    except json.JSONDecodeError as error:
        raise UsageError(f"{path}:{error.lineno}:{error.colno}: this is not JSON: {error.msg}.") from None
    except (ValueError, KeyError, TypeError, AttributeError, yaml.YAMLError) as error:
        raise UsageError(f"{path}: this is not a complete {form} file: {type(error).__name__}: {error}.") from None
    return result


def _record(exchanges: Iterator[Exchange | Unreadable], into: Path, result: Imported) -> None:
    recordings = Recordings(into)
    recordings.prepare()
    for exchange in exchanges:
        if isinstance(exchange, Unreadable):
            result.left_out.append(str(exchange))
            continue
        provider = PROVIDERS[exchange.request.provider]()
        try:
            operation, parameters = provider.route(exchange.request.method, exchange.request.path)
        except ProviderError:
            words = f"{exchange.request.provider} documents no {exchange.request.method} {exchange.request.path}"
            result.left_out.append(words)
            continue
        dialect = provider.dialect_of(operation, exchange.request)
        routed = exchange.request.routed(operation.name, dialect, parameters)
        wire = cleaned(captured(routed, exchange.response, exchange.url.partition("?")[0], ""), routed, Redaction())
        recordings.add(digest_of(routed, Redaction()), wire, is_completion=operation.is_completion)
        result.answers += 1


def _write_rules(rules: list[dict[str, Any]], path: Path, into: Path, result: Imported) -> None:
    if not rules:
        return
    into.mkdir(parents=True, exist_ok=True, mode=0o700)
    clean = redacted_json(rules, Redaction(), None)
    document = {"version": 1, "name": path.stem, "rules": clean}
    text = f"# Imported from {path.name}.\n{dumped(document)}"
    write_whole(into / f"{slug(path.stem)}.yaml", text.encode("utf-8", "backslashreplace"))
    result.answers = len(rules)


# Fixtures of aimock


def _fixture_rules(text: str, provider: str | None, result: Imported) -> Iterator[dict[str, Any]]:
    for number, row in enumerate(json.loads(text)["fixtures"], 1):
        name = f"fixture {number}"
        match, lost = _fixture_match(row.get("match") or {})
        answer, also_lost = _fixture_answer(row["response"])
        lost += also_lost
        lost += [f"{key} ({words})" for key, words in LOST.items() if key in row]
        profile = row.get("streamingProfile")
        if isinstance(profile, dict):
            answer["pace"] = _pace(profile)
        if lost:
            result.left_out.append(f"{name}: {', '.join(lost)}")
        if "reply" in answer or "error" in answer:
            if provider is not None:
                match["provider"] = provider
            yield {"name": str(row.get("match", {}).get("userMessage") or name), "match": match, **answer}


def _fixture_match(match: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    found: dict[str, Any] = {}
    lost: list[str] = []
    for key, value in match.items():
        match key:
            case "userMessage":
                found["prompt"] = {"contains": value}
            case "systemMessage":
                found["system"] = {"contains": value}
            case "model":
                found["model"] = value
            case "toolName":
                found["tools"] = value
            case "toolResultContains":
                found["tool_result"] = {"content": {"contains": value}}
            case "turnIndex":
                found["turn"] = value + 1
            case "hasToolResult" if value is True:
                found["tool_result"] = found.get("tool_result", {})
            case "sequenceIndex":
                found["attempt"] = value + 1
            case _:
                lost.append(f"match.{key}")
    return found, lost


def _fixture_answer(response: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    if isinstance(response.get("error"), dict):
        error = {key: response["error"][key] for key in ("message", "type", "code") if response["error"].get(key)}
        return {"error": {"status": response.get("status", 500), **error}}, []
    reply: dict[str, Any] = {}
    lost: list[str] = []
    for key, value in response.items():
        match key:
            case "content" if isinstance(value, str):
                reply["content"] = value
            case "content":
                reply["content"] = json.dumps(value)
            case "reasoning":
                reply["reasoning"] = value
            case "toolCalls":
                reply["tool_calls"] = [
                    {name: call[name] for name in ("name", "arguments", "id") if call.get(name)} for call in value
                ]
            case "finishReason":
                reply["finish_reason"] = value
            case "model" | "id":
                reply[key] = value
            case "role":
                pass
            case _:
                lost.append(f"response.{key}")
    if not reply or any(mark in json.dumps(reply) for mark in MARKUP):
        return {}, [*lost, "an answer that a scenario can't express"]
    return {"reply": reply}, lost


def _pace(profile: Mapping[str, Any]) -> dict[str, Any]:
    pace: dict[str, Any] = {}
    if profile.get("ttft"):
        pace["ttft"] = profile["ttft"] / 1000
    if profile.get("tps"):
        pace["tokens_per_second"] = float(profile["tps"])
    if profile.get("jitter"):
        pace["jitter"] = min(float(profile["jitter"]), 1.0)
    return pace


# JSON lines with messages, as for fine-tuning


def _line_rules(text: str, provider: str | None, result: Imported) -> Iterator[dict[str, Any]]:
    start = 0
    for number, line in enumerate(text.split("\n"), 1):  # no other line end: JSON may hold those
        row = _row_at(text, start, start + len(line))
        start += len(line) + 1
        messages = row.get("messages") if isinstance(row, dict) else None
        if not line.strip():
            continue
        if not messages:
            result.left_out.append(f"line {number}: it has no `messages`")
            continue
        asked = [turn for turn in messages if turn["role"] == "user"]
        last = messages[-1]
        if last["role"] != "assistant" or not asked or not isinstance(asked[-1]["content"], str):
            result.left_out.append(f"line {number}: it does not end with an answer to a text")
            continue
        reply: dict[str, Any] = {"content": last["content"]} if last.get("content") else {}
        calls = [each["function"] for each in last.get("tool_calls") or ()]
        if calls:
            reply["tool_calls"] = [{"name": call["name"], "arguments": call["arguments"]} for call in calls]
        if not reply or any(mark in json.dumps(reply) for mark in MARKUP):
            result.left_out.append(f"line {number}: a scenario can't express its answer")
            continue
        match: dict[str, Any] = {"prompt": {"equals": asked[-1]["content"]}}
        system = [turn["content"] for turn in messages if turn["role"] in ("system", "developer")]
        if system and isinstance(system[0], str):
            match["system"] = "\n".join(system)
        if len(messages) > len(system) + 2:
            match["turn"] = 1 + sum(turn["role"] == "assistant" for turn in messages[:-1])
        if provider is not None:
            match["provider"] = provider
        yield {"name": asked[-1]["content"][:72], "match": match, "reply": reply}


def _row_at(text: str, start: int, end: int) -> Any:
    """The JSON on a line. Raises JSONDecodeError, with its place in the whole text."""
    try:
        return json.loads(text[start:end] or "null")
    except json.JSONDecodeError as error:
        raise json.JSONDecodeError(error.msg, text, start + error.pos) from None
