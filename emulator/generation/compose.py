"""Completes a reply template: renders templates, generates texts, JSON and tool calls, and calls code.

The result depends on the question and the seed, never on the attempt or on whether it is streamed.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from importlib import import_module
from itertools import takewhile
from typing import Any

import orjson

from emulator import seeded
from emulator.errors import EmulatorError
from emulator.generation import prose, templates
from emulator.generation.answers import Result
from emulator.generation.instances import Fuel, instance
from emulator.generation.needs import LENGTH, RenderContext, SchemaError, ScriptedError, WritingError, searches
from emulator.generation.prompted import schema_in, wants_code_block
from emulator.offload import never
from emulator.reply import Block, Refusal, Reply, ReplyTemplate, Search, Source, Text, Thought
from emulator.request import Controls, ModelRequest, Tool, ToolCall

REASONING_LENGTH = (20, 60)


def write(
    template: ReplyTemplate, request: ModelRequest, render_context: RenderContext, has_left: Callable[[], bool] = never
) -> list[Reply]:
    """Returns the replies of all choices. Raises WritingError, or Abandoned soon after the client `has_left`."""
    question = _question(request)
    fuel = Fuel(has_left=has_left)  # shared by all choices
    return [_choice(template, request, render_context, question, index, fuel) for index in range(request.controls.n)]


def _choice(
    template: ReplyTemplate,
    request: ModelRequest,
    render_context: RenderContext,
    question: bytes,
    index: int,
    fuel: Fuel,
) -> Reply:
    said = seeded.roll(render_context.seed, "said", question, index)
    reply = template.reply
    if index and template.alternatives:
        reply = replace(reply, content=template.alternatives[(index - 1) % len(template.alternatives)])
    if template.is_templated:
        reply = _rendered(
            reply,
            template.arguments,
            request,
            replace(render_context, locale=template.locale or render_context.locale),
            said,
        )
    if template.code is not None:
        reply = _called(template.code, reply, request, render_context)
    if template.writes_content:
        reply = _generated(template, reply, request, render_context, said, fuel)
    thinks = request.controls.thinking is True and template.writes_content and template.writes_reasoning is not False
    if reply.reasoning is None and (template.writes_reasoning or thinks):
        locale = template.locale or render_context.locale
        thought = prose.reasoning(
            said, about=request.prompt, locale=locale, length=REASONING_LENGTH, results=_results(request)
        )
        reply = replace(reply, reasoning=thought)
    if searches(template, reply, request):
        reply = replace(reply, sources=prose.sources(said, request.prompt, locale=render_context.locale))
    return reply


def _question(request: ModelRequest) -> bytes:
    """Returns what identifies a question, whatever format of answer the request asks for."""
    parts = [f"{message.role}:{message.content}" for message in request.messages]
    controls = request.controls
    asked = _as_bytes([controls.schema, controls.response_format, controls.tool_choice])
    return seeded.digest(
        request.http_request.provider, request.model, asked, *(tool.name for tool in controls.tools), "", *parts
    )


def _as_bytes(value: Any) -> bytes:
    try:
        return orjson.dumps(value, default=dict)
    except TypeError:  # nested too deeply for orjson, or with a number beyond 64 bits
        parts, waiting = [], [value]
        while waiting:
            part = waiting.pop()
            if isinstance(part, Mapping):
                parts.append(f"{{{len(part)}")
                waiting += [each for pair in part.items() for each in pair]
            elif isinstance(part, list | tuple):
                parts.append(f"[{len(part)}")
                waiting += part
            else:
                parts.append(repr(part))
        return "\0".join(parts).encode("utf-8", "surrogatepass")


def _results(request: ModelRequest) -> tuple[Result, ...]:
    """Returns the results of the model's last tool calls."""
    found = [*takewhile(lambda message: message.role in ("tool", "function"), reversed(request.messages))]
    before = len(request.messages) - len(found)
    asking = request.messages[max(0, before - 1) : before]
    calls = {call.id: call.name for message in asking for call in message.tool_calls}
    named = [(message.name or message.tool_call_id or "", message) for message in reversed(found)]
    return tuple([Result(calls.get(name) or name or "the tool", each.content, each.is_error) for name, each in named])


# Templates


def context(request: ModelRequest, render_context: RenderContext, said: int) -> dict[str, Any]:
    """Returns everything that a template can refer to."""
    messages = [{"role": message.role, "content": message.content} for message in request.messages]
    known = {
        "messages": messages,
        "model": request.model,
        "prompt": request.prompt,
        "provider": request.http_request.provider,
        "path": request.http_request.path,
        "headers": dict(request.http_request.headers),
        "stream": request.stream,
        "body": dict(request.body),
    }
    return {
        "request": {**request.body, **known},
        "turn": request.turn,
        "groups": dict(render_context.groups),
        "now": render_context.now,
        "timestamp": render_context.timestamp,
        "state": render_context.state,
        "attempt": render_context.attempt,
        "fake": templates.Faked(prose.fake(render_context.locale or "en_US", said)),
    }


def _rendered(
    reply: Reply,
    arguments: Sequence[Mapping[str, Any] | str],
    request: ModelRequest,
    render_context: RenderContext,
    said: int,
) -> Reply:
    names = context(request, render_context, said)

    def render(part: str) -> str:
        try:
            return templates.render(part, names)
        except templates.TemplateError as error:
            raise WritingError(f"a template failed: {error}") from None

    given = iter(arguments)
    return replace(
        reply,
        content=render(reply.content),
        reasoning=reply.reasoning and render(reply.reasoning),
        tool_calls=tuple(
            [replace(call, arguments=_rendered_arguments(next(given), render)) for call in reply.tool_calls]
        ),
        blocks=tuple([_rendered_block(block, given, render) for block in reply.blocks]),
        sources=reply.sources and _rendered_sources(reply.sources, render),
    )


def _rendered_block(block: Block, arguments: Iterator[Mapping[str, Any] | str], render: Callable[[str], str]) -> Block:
    match block:
        case Thought():
            return replace(block, text=render(block.text), summary=block.summary and render(block.summary))
        case Text():
            cited = [
                replace(each, url=render(each.url), title=render(each.title), cited_text=render(each.cited_text))
                for each in block.citations
            ]
            return replace(block, text=render(block.text), citations=tuple(cited))
        case Refusal():
            return replace(block, text=render(block.text))
        case ToolCall():
            return replace(block, arguments=_rendered_arguments(next(arguments), render))
        case Search():  # pragma: no branch - all kinds of blocks are listed
            return replace(block, query=render(block.query), results=_rendered_sources(block.results, render))


def _rendered_sources(sources: Sequence[Source], render: Callable[[str], str]) -> tuple[Source, ...]:
    return tuple([replace(row, url=render(row.url), summary=row.summary and render(row.summary)) for row in sources])


def _rendered_arguments(given: Mapping[str, Any] | str, render: Callable[[str], str]) -> str:
    """Renders a string, or each string in data, so that the data stays valid JSON."""
    return render(given) if isinstance(given, str) else orjson.dumps(_rendered_data(given, render)).decode()


def _rendered_data(value: Any, render: Callable[[str], str]) -> Any:
    if isinstance(value, str):
        return render(value)
    if isinstance(value, Mapping):
        return {key: _rendered_data(item, render) for key, item in value.items()}
    return [_rendered_data(item, render) for item in value] if isinstance(value, list | tuple) else value


# Code


def _called(
    code: str | Callable[[ModelRequest], Any], reply: Reply, request: ModelRequest, render_context: RenderContext
) -> Reply:
    name = code if isinstance(code, str) else getattr(code, "__qualname__", type(code).__qualname__)
    if isinstance(code, str) and not render_context.allows_code:
        raise WritingError(f"{name} is not called: start the server with --allow-code")
    try:
        answer = (function_of(code) if isinstance(code, str) else code)(request)
    except ScriptedError:
        raise
    except EmulatorError as error:
        raise WritingError(f"{name} {error}") from error
    except Exception as error:
        raise WritingError(f"{name} failed: {type(error).__name__}: {error}") from error
    if isinstance(answer, Reply):
        return answer
    if isinstance(answer, str):
        return replace(reply, content=answer)
    raise WritingError(f"{name} returned {type(answer).__name__}; expected a string or an emulator.reply.Reply")


def function_of(code: str) -> Callable[[ModelRequest], Any]:
    """Returns the function that `python:module:function` names."""
    _, module, name = code.split(":")
    function: Callable[[ModelRequest], Any] = getattr(import_module(module), name)
    return function


# Generation


def _generated(
    template: ReplyTemplate, reply: Reply, request: ModelRequest, render_context: RenderContext, said: int, fuel: Fuel
) -> Reply:
    controls = request.controls
    tool = wanted_tool(request, said)
    if tool is not None:
        arguments = as_json(_instance(tool.parameters or {"type": "object"}, request, said, fuel))
        return replace(reply, tool_calls=(ToolCall(tool.name, arguments, is_data=True),))
    locale = template.locale or render_context.locale
    if controls.response_format != "text":
        return replace(reply, content=as_json(_json(controls, request, locale, said, fuel)))
    if wants_code_block(request.messages) and (shown := schema_in(request.messages)) is not None:
        with suppress(EmulatorError):
            return replace(reply, content=f"```json\n{as_json(instance(shown, said, fuel))}\n```")
    length = template.length or LENGTH
    content = prose.prose(
        said,
        about=request.prompt,
        locale=locale,
        length=length,
        style=template.style,
        turn=request.turn,
        results=_results(request),
    )
    return replace(reply, content=content)


def _json(controls: Controls, request: ModelRequest, locale: str | None, said: int, fuel: Fuel) -> Any:
    if controls.schema is not None:
        return _instance(controls.schema, request, said, fuel)
    shown = schema_in(request.messages)
    if shown is not None:
        with suppress(EmulatorError):  # text that only looks like a schema
            return instance(shown, said, fuel)
    answer = prose.prose(said, locale=locale, length=(10, 30), about=request.prompt)
    return {"answer": answer, "confidence": round(0.5 + seeded.fraction(said, "confidence") / 2, 2)}


def _instance(schema: Mapping[str, Any], request: ModelRequest, said: int, fuel: Fuel) -> Any:
    try:
        return instance(_exact(schema, request), said, fuel)
    except EmulatorError as error:
        raise SchemaError(f"no JSON fits the schema of the request: {error}") from None


def _exact(schema: Mapping[str, Any], request: ModelRequest) -> Mapping[str, Any]:
    """Returns the schema with the client's exact integers: orjson reads integers over 64 bits as floats."""
    if not any(isinstance(part, float) and abs(part) >= 2**63 for part in _parts(schema)):
        return schema
    try:
        waiting = [(request.body, json.loads(request.http_request.body))]
    except (ValueError, RecursionError):  # orjson reads deeper nesting
        return schema
    while waiting:
        part, exact = waiting.pop()
        if part == schema and isinstance(exact, Mapping):
            return exact
        if isinstance(part, Mapping):
            waiting += ((part[key], exact[key]) for key in part)
        elif isinstance(part, list):
            waiting += zip(part, exact, strict=True)
    return schema


def _parts(value: Any) -> Iterator[Any]:
    """Yields a JSON value and every value in it."""
    waiting = [value]
    while waiting:
        part = waiting.pop()
        yield part
        if isinstance(part, Mapping):
            waiting += part.values()
        elif isinstance(part, list):
            waiting += part


def as_json(value: Any) -> str:
    """Returns compact JSON, even for integers over 64 bits, which orjson can't write."""
    try:
        return orjson.dumps(value).decode()
    except TypeError:
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def wanted_tool(request: ModelRequest, said: int) -> Tool | None:
    """Returns the tool that a generated answer calls, if any: a required one, or one whose name or description
    mentions what the user has just asked for.
    """
    controls = request.controls
    tools = controls.tools
    if not tools or controls.tool_choice == "none":
        return None
    kind, _, name = controls.tool_choice.partition(":")
    if kind == "name":
        return next((tool for tool in tools if tool.name == name), None)
    asked = _words(request.prompt)
    scores = [len(asked & _words(f"{tool.name} {tool.description}")) for tool in tools]
    best = max(scores)
    if kind == "required":
        return tools[scores.index(best)] if best else tools[said % len(tools)]
    is_asked_now = bool(request.messages) and request.messages[-1].role == "user"
    return tools[scores.index(best)] if best and is_asked_now else None


_COMMON = frozenset(
    ["an", "and", "are", "for", "get", "in", "is", "it", "of", "on", "or", "the", "this", "to", "what", "with", "you"]
)


def _words(words: str) -> frozenset[str]:
    return frozenset(re.findall(r"[^\W_]{2,}", words.lower())) - _COMMON
