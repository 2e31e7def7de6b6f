"""Exports a scenario to the formats of aimock and WireMock, with a list of what these can't express."""

from base64 import b64encode
from collections.abc import Iterator, Mapping
from dataclasses import field
from pathlib import Path
from typing import Any

import orjson

from emulator.generation.templates import is_template
from emulator.providers import PROVIDERS
from emulator.recording.readable import prompt_of
from emulator.recording.redaction import REDACTED
from emulator.recording.wire_file import WireRecord, read
from emulator.records import struct
from emulator.scenario.models import AnswerModel, Match, RuleModel, Scenario
from emulator.scenario.replies import ReplyModel

FORMS = ("aimock", "wiremock")
SAID_FOR_AIMOCK = frozenset({"prompt", "system", "model", "turn", "attempt", "recorded", "provider", "operation"})
NOT_SAID = ("priority", "times", "chance", "set_state", "faults", "then")
"""The keys of a rule that neither can express."""


@struct
class Exported:
    """The exported document, and a sentence for each thing that is not in it."""

    document: dict[str, Any]
    unsaid: list[str] = field(default_factory=list)


def as_aimock(scenario: Scenario) -> Exported:
    """Exports fixtures for aimock."""
    fixtures: list[dict[str, Any]] = []
    result = Exported({"fixtures": fixtures})
    for number, rule in enumerate(scenario.rules):
        name = rule.name or f"rules[{number}]"
        unsaid = list(_unsaid_of(rule))
        for place, answer in enumerate(rule.answers()):
            match = _aimock_match(rule.match, answer, unsaid)
            if len(rule.answers()) > 1:
                match["sequenceIndex"] = place
            response = _aimock_response(answer, unsaid)
            if rule.match.recorded is not None and "userMessage" not in match:
                unsaid.append("a recorded request without a prompt")
            elif response is not None:
                fixture: dict[str, Any] = {"match": match, "response": response}
                if rule.pace is not None:
                    pace = rule.pace
                    profile = {"ttft": pace.ttft * 1000, "tps": pace.tokens_per_second, "jitter": pace.jitter}
                    fixture["streamingProfile"] = {key: value for key, value in profile.items() if value}
                fixtures.append(fixture)
        _note(result, name, unsaid)
    return result


def _aimock_match(match: Match, answer: AnswerModel, unsaid: list[str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, key in (("prompt", "userMessage"), ("system", "systemMessage")):
        condition = getattr(match, name)
        if condition is not None:
            text = condition.contains if condition.equals is None else condition.equals
            if text is None or condition.model_fields_set - {"equals", "contains"}:
                unsaid.append(f"match.{name}: only `contains` can be exported")
            else:
                found[key] = text
    if match.recorded is not None and answer.wire is not None:
        prompt = prompt_of(read(Path(answer.wire)))
        if prompt:
            found["userMessage"] = prompt
        unsaid.append("match.recorded: only the prompt is matched, not the whole request")
    if match.model is not None:
        if len(match.model) == 1 and not set(match.model[0]) & set("*?["):
            found["model"] = match.model[0]
        else:
            unsaid.append("match.model: only one name can be exported")
    if match.turn is not None:
        if match.turn.equals is not None:
            found["turnIndex"] = int(match.turn.equals) - 1
        else:
            unsaid.append("match.turn: only one number can be exported")
    if match.attempt is not None and match.attempt.equals is not None:
        found["sequenceIndex"] = int(match.attempt.equals) - 1
    unsaid += [f"match.{name}" for name in sorted(match.model_fields_set - SAID_FOR_AIMOCK)]
    return found


def _aimock_response(answer: AnswerModel, unsaid: list[str]) -> dict[str, Any] | None:
    if answer.error is not None:
        error = answer.error
        said = {key: getattr(error, key) for key in ("message", "type", "code") if getattr(error, key) is not None}
        inner = error.body.get("error") if isinstance(error.body, Mapping) else None
        if isinstance(inner, Mapping):
            said = {key: str(inner[key]) for key in ("message", "type", "code") if inner.get(key)} | said
        if error.headers:
            unsaid.append("error.headers")
        return {"error": {"message": error.name or "error", **said}, "status": error.status or 500}
    if answer.reply is None:
        unsaid.append("an answer that exists only in its wire file")
        return None
    if answer.wire is not None:
        unsaid.append("wire: the exact bytes and times")
    return _aimock_reply(answer.reply, unsaid)


def _aimock_reply(reply: ReplyModel, unsaid: list[str]) -> dict[str, Any] | None:
    said: dict[str, Any] = {}
    if reply.content is not None:
        said["content"] = reply.content
    if isinstance(reply.reasoning, str):
        said["reasoning"] = reply.reasoning
    if reply.tool_calls:
        said["toolCalls"] = [
            {
                "name": call.name,
                "arguments": call.arguments
                if isinstance(call.arguments, str)
                else orjson.dumps(call.arguments).decode(),
                **({"id": call.id} if call.id else {}),
            }
            for call in reply.tool_calls
        ]
    if reply.finish_reason is not None:
        said["finishReason"] = reply.finish_reason
    known = {"content", "reasoning", "tool_calls", "finish_reason"}
    unsaid += [f"reply.{name.rstrip('_')}" for name in sorted(reply.model_fields_set - known)]
    if not said:
        unsaid.append("a generated reply")
        return None
    if any(isinstance(text, str) and is_template(text) for text in said.values()):
        unsaid.append("templates in a reply")
    return said


def as_wiremock(scenario: Scenario) -> Exported:
    """Exports mappings for WireMock: the bytes of each recorded answer, and explicit errors."""
    mappings: list[dict[str, Any]] = []
    result = Exported({"mappings": mappings})
    for number, rule in enumerate(scenario.rules):
        name = rule.name or f"rules[{number}]"
        unsaid = list(_unsaid_of(rule))
        answers = rule.answers()
        found = [(place, _mapping(name, rule, answer, unsaid)) for place, answer in enumerate(answers, 1)]
        chain = [(place, mapping) for place, mapping in found if mapping is not None]
        following = [place for place, _ in chain[1:]] + [place + 1 for place, _ in chain[-1:]]
        for (place, mapping), next_place in zip(chain, following, strict=True):
            if len(answers) > 1:
                mapping["scenarioName"] = name
                mapping["requiredScenarioState"] = "Started" if mapping is chain[0][1] else f"answer {place}"
                if place < len(answers):
                    mapping["newScenarioState"] = f"answer {next_place}"
            mappings.append(mapping)
        _note(result, name, unsaid)
    return result


def _mapping(name: str, rule: RuleModel, answer: AnswerModel, unsaid: list[str]) -> dict[str, Any] | None:
    if answer.wire is not None:
        wire = read(Path(answer.wire))
        return {"name": name, "request": _asked(wire, unsaid), "response": _sent(wire, unsaid)}
    if answer.error is None or answer.error.status is None or answer.error.body is None:
        unsaid.append("an answer that is rendered for each request: record it to export its bytes")
        return None
    paths = [
        path for provider in rule.match.provider or () for path in _paths(provider, rule.match.operation or ("chat",))
    ]
    unsaid += [f"match.{each}" for each in sorted(rule.match.model_fields_set - {"provider", "operation"})]
    body = answer.error.body
    response: dict[str, Any] = {"status": answer.error.status, "headers": dict(answer.error.headers)}
    response |= {"body": body} if isinstance(body, str) else {"jsonBody": body}
    request: dict[str, Any] = {"method": "ANY"}
    request |= {"urlPathPattern": "|".join(paths)} if paths else {"urlPathPattern": ".*"}
    return {"name": name, "request": request, "response": response}


def _paths(provider: str, operations: tuple[str, ...]) -> Iterator[str]:
    for operation in PROVIDERS[provider].operations:
        if operation.name in operations:
            yield operation.pattern.pattern.replace("(?P<", "(?<")


def _asked(wire: WireRecord, unsaid: list[str]) -> dict[str, Any]:
    request: dict[str, Any] = {"method": wire.request["method"], "urlPath": wire.request["path"]}
    body = wire.request.get("body")
    if isinstance(body, dict | list):
        if REDACTED in orjson.dumps(body).decode():
            unsaid.append("a request with redacted parts: any body at its path matches")
        else:
            request["bodyPatterns"] = [{"equalToJson": body}]
    return request


def _sent(wire: WireRecord, unsaid: list[str]) -> dict[str, Any]:
    headers = {name: value for name, value in wire.headers if name.lower() not in ("date", "connection")}
    response: dict[str, Any] = {"status": wire.status, "headers": headers}
    try:
        response["body"] = wire.body.decode("utf-8")
    except UnicodeDecodeError:
        response["base64Body"] = b64encode(wire.body).decode()
    if wire.ended != "complete":
        response["fault"] = "CONNECTION_RESET_BY_PEER"
        unsaid.append("the bytes before the connection broke")
    elif len(wire.segments) > 1:
        seconds = wire.segments[-1].at - wire.head_at
        response["chunkedDribbleDelay"] = {
            "numberOfChunks": len(wire.segments),
            "totalDuration": max(round(seconds * 1000), 1),
        }
        unsaid.append("the times and sizes of segments: chunks have equal sizes and gaps")
    if wire.trailers:
        unsaid.append("trailers")
    return response


def _unsaid_of(rule: RuleModel) -> Iterator[str]:
    for name in NOT_SAID:
        if name in rule.model_fields_set:
            yield name


def _note(result: Exported, name: str, unsaid: list[str]) -> None:
    if unsaid:
        result.unsaid.append(f"{name}: {'; '.join(dict.fromkeys(unsaid))}")
