"""Rules defined in Python: their short forms, and functions that return the reply."""

import asyncio
import inspect
import os
import re
import sys
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from concurrent.futures import Future
from dataclasses import replace
from functools import partial
from types import FrameType
from typing import Any, TypeVar

import orjson
from pydantic import BaseModel

from emulator.errors import ScenarioError, UsageError, did_you_mean, shortened
from emulator.generation.needs import ScriptedError
from emulator.records import record
from emulator.reply import ErrorReply, Reply
from emulator.request import ModelRequest
from emulator.scenario.document import Document
from emulator.scenario.loading import build
from emulator.scenario.models import AnswerModel, Match, RuleModel
from emulator.scenario.replies import ReplyModel

M = TypeVar("M", bound=BaseModel)
Function = Callable[[ModelRequest], Any]
BUSY = 0.5
"""Seconds within which the test's own event loop must start an async reply; otherwise it counts as blocked."""
STAND_IN = "python:emulator:function"
"""A placeholder in the rule for a function that has no importable name."""
NAMED = re.compile(r"[A-Za-z_][\w.]*")
RULE_KEYS = tuple(RuleModel.model_fields)
MATCH_KEYS = tuple(field.alias or name for name, field in Match.model_fields.items())


@record
class WrittenRule:
    """A rule, and the functions that return its answers, by position."""

    model: RuleModel
    functions: Mapping[int, Function]


def written(given: str | Mapping[str, Any] | None, options: Mapping[str, Any]) -> WrittenRule:
    """Builds the rule for a call of `NamespaceClient.rule`. Raises UsageError or ScenarioError."""
    data: dict[str, Any] = {}
    if isinstance(given, Mapping):
        data |= given
    elif isinstance(given, str):
        data |= {"name": shortened(given), "match": {"prompt": {"contains": given}}}
    elif given is not None:
        raise UsageError(f"rule() got {given!r}. Give a text that the prompt contains, or a rule as a mapping.")
    conditions = {name: value for name, value in options.items() if name in MATCH_KEYS}
    for name, value in options.items():
        if name not in RULE_KEYS and name not in conditions:
            known = [*RULE_KEYS, *MATCH_KEYS]
            raise UsageError(
                f"rule() has no argument '{name}'.{did_you_mean(name, known)} Arguments: {', '.join(known)}"
            )
        if name != "match" and name not in conditions:
            data[name] = value
    matches = [each["match"] for each in (data, options) if "match" in each] + [conditions] * bool(conditions)
    if matches:
        wrong = [each for each in matches if not isinstance(each, Mapping)]
        data["match"] = wrong[0] if wrong else {name: value for each in matches for name, value in each.items()}
    functions: dict[int, Function] = {}
    _spell_out(data, functions)
    return WrittenRule(build(RuleModel, Document("rule", data)), functions)


def caller() -> str:
    """Returns the position of the caller in the user's program, as `path:line`."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and str(frame.f_globals.get("__name__", "")).partition(".")[0] == "emulator":
        frame = frame.f_back
    if frame is None:  # pragma: no cover - threads that C code starts are not measured
        return "python"
    path = frame.f_code.co_filename
    inside = os.path.relpath(path) if os.path.isabs(path) and os.path.splitdrive(path)[0] == "" else path
    return f"{path if inside.startswith('..') else inside}:{frame.f_lineno}"


def _spell_out(data: dict[str, Any], functions: dict[int, Function]) -> None:
    """Expands the short forms of a rule's answers into a scenario's form."""
    if "reply" in data:
        answer = _answer(data["reply"], 0, functions)
        del data["reply"]
        data |= answer
    if "error" in data:
        data["error"] = _error(data["error"])
    if isinstance(data.get("replies"), list | tuple):
        data["replies"] = [_answer(each, place, functions) for place, each in enumerate(data["replies"])]


def _answer(given: Any, place: int, functions: dict[int, Function]) -> dict[str, Any]:
    """Returns one answer as an item of `replies`."""
    if isinstance(given, str):
        return {"reply": {"content": given}}
    if isinstance(given, int) and not isinstance(given, bool):
        return {"error": _error(given)}
    if isinstance(given, Reply):
        functions[place] = lambda request: given
        return {"reply": {"from": STAND_IN}}
    if isinstance(given, ErrorReply):
        functions[place] = partial(_as_answer, given)
        return {"reply": {"from": STAND_IN}}
    if callable(given):
        functions[place] = _function(given)
        return {"reply": {"from": _name_of(given)}}
    if isinstance(given, Mapping) and ("reply" in given or "error" in given):
        inner = {"error": _error(given["error"])} if "error" in given else _answer(given["reply"], place, functions)
        return {**given, **inner}
    return {"reply": given}


def _error(given: Any) -> Any:
    return {"status": given} if isinstance(given, int) and not isinstance(given, bool) else given


def _name_of(function: Any) -> str:
    """Returns the function's name in a scenario, or the placeholder."""
    module, name = getattr(function, "__module__", None), getattr(function, "__qualname__", None)
    is_named = isinstance(module, str) and isinstance(name, str) and NAMED.fullmatch(module) and name.isidentifier()
    return f"python:{module}:{name}" if is_named else STAND_IN


def _function(given: Callable[..., Any]) -> Function:
    """Wraps a function for the emulator, which calls it in a thread. Async functions run in the caller's loop,
    if any."""
    try:
        loop: asyncio.AbstractEventLoop | None = asyncio.get_running_loop()
    except RuntimeError:
        loop = None

    def answer(request: ModelRequest) -> Reply:
        said = given(request)
        if inspect.isawaitable(said):
            said = _awaited(said, loop)
        return _as_answer(said)

    answer.__qualname__ = getattr(given, "__qualname__", type(given).__qualname__)
    return answer


def _awaited(said: Awaitable[Any], loop: asyncio.AbstractEventLoop | None) -> Any:
    """Returns the result of an awaitable. It runs in the test's loop, which owns the test's objects, or in a new
    loop if that one is blocked or closed.
    """
    if loop is not None and loop.is_running():
        begun: Future[None] = Future()

        async def run() -> Any:
            if begun.set_running_or_notify_cancel():
                begun.set_result(None)
                return await said
            return None

        running = asyncio.run_coroutine_threadsafe(run(), loop)
        try:
            begun.result(BUSY)
        except TimeoutError:
            # If it has not started, it will not.
            if begun.cancel():  # pragma: no branch - to start at this very moment can't be forced
                return asyncio.run(_whole(said))
        return running.result()
    return asyncio.run(_whole(said))


def _whole(said: Awaitable[Any]) -> Coroutine[Any, Any, Any]:
    async def wait() -> Any:
        return await said

    return wait()


def _as_answer(said: Any, request: ModelRequest | None = None) -> Reply:
    """Converts a function's result to a literal reply. Raises ScriptedError for an error, and UsageError."""
    if isinstance(said, str):
        return Reply(content=said)
    if isinstance(said, Reply):
        return said
    if isinstance(said, ErrorReply):
        raise ScriptedError(said)
    is_status = isinstance(said, int) and not isinstance(said, bool)
    if not is_status and not isinstance(said, Mapping):
        raise UsageError(
            f"returned {type(said).__name__}; expected a text, a mapping as under `reply:` in a scenario, or a Reply"
        )
    if isinstance(said, Mapping) and "error" not in said:
        inner = said.get("reply", said)
        return Reply(content=inner) if isinstance(inner, str) else _as_reply(inner)
    model = _checked(AnswerModel, {"error": _error(said["error"] if isinstance(said, Mapping) else said)})
    assert model.error is not None
    raise ScriptedError(model.error.to_reply())


def _as_reply(said: Mapping[str, Any]) -> Reply:
    """Converts a mapping to a reply. Its texts are not templates, since they may contain text from clients."""
    texts = {name: said[name] for name in ("content", "reasoning") if isinstance(said.get(name), str)}
    rest = {name: value for name, value in said.items() if name not in texts}
    calls = rest.get("tool_calls")
    arguments: list[Any] = []
    if isinstance(calls, list | tuple) and all(isinstance(each, Mapping) for each in calls):
        arguments = [each.get("arguments", {}) for each in calls]
        rest["tool_calls"] = [{**each, "arguments": {}} for each in calls]
    reply = _checked(ReplyModel, rest).to_draft().reply
    exact = [each if isinstance(each, str) else _json(each) for each in arguments]
    made = tuple(replace(call, arguments=text) for call, text in zip(reply.tool_calls, exact, strict=True))
    return replace(reply, tool_calls=made, **texts)


def _json(value: Any) -> str:
    try:
        return orjson.dumps(value).decode()
    except TypeError as error:
        raise UsageError(f"returned tool call arguments that can't be written as JSON: {error}") from None


def _checked(model: type[M], data: Any) -> M:
    try:
        return build(model, Document("the reply", data))
    except ScenarioError as error:
        raise UsageError(
            f"returned an invalid reply: {'; '.join(problem.message for problem in error.problems)}"
        ) from None
