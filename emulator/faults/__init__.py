"""The faults, one per file, and the table of them."""

from collections.abc import Mapping
from contextlib import suppress
from functools import cache
from typing import TYPE_CHECKING, Annotated, Any, Union

from pydantic import (
    BeforeValidator,
    Discriminator,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    TypeAdapter,
    ValidationError,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

from emulator.errors import UsageError, did_you_mean, shortened
from emulator.faults.base import Fault
from emulator.faults.plugins import with_plugins
from emulator.faults.scalars import MAX_DIGITS, scalar
from emulator.plugins import LAZY
from emulator.wording import BOUNDS, NOUNS, counted

OWN: Mapping[str, str] = {
    "error": "emulator.faults.error:Error",
    "spend_limit": "emulator.faults.spend_limit:SpendLimit",
    "html_gateway": "emulator.faults.html_gateway:HtmlGateway",
    "captive_portal": "emulator.faults.captive_portal:CaptivePortal",
    "error_200": "emulator.faults.error_200:Error200",
    "empty_200": "emulator.faults.empty_200:Empty200",
    "truncated_json": "emulator.faults.truncated_json:TruncatedJson",
    "wrong_content_type": "emulator.faults.wrong_content_type:WrongContentType",
    "ignored_stream_flag": "emulator.faults.ignored_stream_flag:IgnoredStreamFlag",
    "empty_choices": "emulator.faults.empty_choices:EmptyChoices",
    "keepalive_comments": "emulator.faults.keepalive_comments:KeepaliveComments",
    "blank_lines": "emulator.faults.blank_lines:BlankLines",
    "blank_then_close": "emulator.faults.blank_then_close:BlankThenClose",
    "wait_then_close": "emulator.faults.wait_then_close:WaitThenClose",
    "slow_first_token": "emulator.faults.slow_first_token:SlowFirstToken",
    "stall": "emulator.faults.stall:Stall",
    "hang": "emulator.faults.hang:HangBeforeHeaders",
    "no_done": "emulator.faults.no_done:NoDone",
    "done_no_finish": "emulator.faults.done_no_finish:DoneNoFinish",
    "truncate": "emulator.faults.truncate:Truncate",
    "error_event": "emulator.faults.error_event:ErrorEvent",
    "no_trailing_blank": "emulator.faults.no_trailing_blank:NoTrailingBlank",
    "data_after_done": "emulator.faults.data_after_done:DataAfterDone",
    "done_then_open": "emulator.faults.done_then_open:DoneThenOpen",
    "empty_choices_chunk": "emulator.faults.empty_choices_chunk:EmptyChoicesChunk",
    "usage": "emulator.faults.usage:WrongUsage",
    "duplicate_chunk": "emulator.faults.duplicate_chunk:DuplicateChunk",
    "cumulative": "emulator.faults.cumulative:Cumulative",
    "finish_reason": "emulator.faults.finish_reason:FinishReason",
    "tool_arguments": "emulator.faults.tool_arguments:ToolArguments",
    "tool_index": "emulator.faults.tool_index:ToolIndex",
    "unknown_tool": "emulator.faults.unknown_tool:UnknownTool",
    "unknown_fields": "emulator.faults.unknown_fields:UnknownFields",
    "missing_fields": "emulator.faults.missing_fields:MissingFields",
    "bad_json_event": "emulator.faults.bad_json_event:BadJsonEvent",
    "null_content": "emulator.faults.null_content:NullContent",
    "odd_separators": "emulator.faults.odd_separators:OddSeparators",
    "unknown_block": "emulator.faults.unknown_block:UnknownBlock",
    "unknown_item": "emulator.faults.unknown_item:UnknownItem",
    "missing_block_start": "emulator.faults.missing_block_start:MissingBlockStart",
    "missing_block_stop": "emulator.faults.missing_block_stop:MissingBlockStop",
    "no_created": "emulator.faults.no_created:NoCreated",
    "done_text_differs": "emulator.faults.done_text_differs:DoneTextDiffers",
    "only_final": "emulator.faults.only_final:OnlyFinal",
    "id_changes": "emulator.faults.id_changes:IdChanges",
    "sequence_gap": "emulator.faults.sequence_gap:SequenceGap",
    "no_signature": "emulator.faults.no_signature:NoSignature",
    "wrong_signature": "emulator.faults.wrong_signature:WrongSignature",
    "unknown_event": "emulator.faults.unknown_event:UnknownEvent",
    "failed_after_text": "emulator.faults.failed_after_text:FailedAfterText",
    "other_dialect": "emulator.faults.other_dialect:OtherDialect",
    "done_added": "emulator.faults.done_added:DoneAdded",
    "large_event": "emulator.faults.large_event:LargeEvent",
    "no_event_lines": "emulator.faults.no_event_lines:NoEventLines",
    "wrong_event_name": "emulator.faults.wrong_event_name:WrongEventName",
    "data_space": "emulator.faults.data_space:DataSpace",
    "multi_line_data": "emulator.faults.multi_line_data:MultiLineData",
    "id_lines": "emulator.faults.id_lines:IdLines",
    "retry_lines": "emulator.faults.retry_lines:RetryLines",
    "empty_data": "emulator.faults.empty_data:EmptyData",
    "event_lines": "emulator.faults.event_lines:EventLines",
    "unknown_sse_fields": "emulator.faults.unknown_sse_fields:UnknownSseFields",
    "comments": "emulator.faults.comments:Comments",
    "line_ends": "emulator.faults.line_ends:LineEnds",
    "bom": "emulator.faults.bom:Bom",
    "coalesce": "emulator.faults.coalesce:Coalesce",
    "gzip": "emulator.faults.gzip:Gzip",
    "split": "emulator.faults.split:Split",
    "reset": "emulator.faults.reset:ResetConnection",
    "close": "emulator.faults.close:CloseConnection",
    "half_status": "emulator.faults.half_status:HalfStatus",
    "random_data": "emulator.faults.random_data:RandomData",
    "malformed_chunk": "emulator.faults.malformed_chunk:MalformedChunk",
    "content_length": "emulator.faults.content_length:ContentLength",
    "no_length_close": "emulator.faults.no_length_close:NoLengthClose",
    "stale_keepalive": "emulator.faults.stale_keepalive:StaleKeepalive",
    "idle_close": "emulator.faults.idle_close:IdleClose",
    "slow_close": "emulator.faults.slow_close:SlowClose",
    "slow_headers": "emulator.faults.slow_headers:SlowHeaders",
    "dribble": "emulator.faults.dribble:Dribble",
    "bandwidth": "emulator.faults.bandwidth:Bandwidth",
    "latency": "emulator.faults.latency:Latency",
    "refuse_connections": "emulator.faults.refuse_connections:RefuseConnections",
    "reset_on_accept": "emulator.faults.reset_on_accept:ResetOnAccept",
    "tls_refused": "emulator.faults.tls_refused:TlsRefused",
    "tls_reset": "emulator.faults.tls_reset:TlsReset",
    "tls_expired": "emulator.faults.tls_expired:TlsExpired",
    "tls_wrong_host": "emulator.faults.tls_wrong_host:TlsWrongHost",
    "tls_unknown_ca": "emulator.faults.tls_unknown_ca:TlsUnknownCa",
}
"""The built-in faults by kind, each with the location of its class, which is imported on first use."""

FAULTS: Mapping[str, type[Fault]] = with_plugins(OWN)
"""Every kind by its name: built-in faults and those from installed packages."""

OLD_NAMES: Mapping[str, str] = {"garbage": "random_data", "html_200": "captive_portal"}
"""Earlier names of kinds, accepted wherever a kind is named."""

ORDER: Mapping[str, int] = {kind: place for place, kind in enumerate(FAULTS)}
"""The order in which faults apply to an answer: first content, then framing, then transport."""


def spelled(value: Any) -> Any:
    """Parses a fault in one line, such as `reset:after_tokens=5,probability=0.5`, an error name or a status."""
    if isinstance(value, Mapping) and isinstance(value.get("kind"), str):
        return {**value, "kind": OLD_NAMES.get(value["kind"], value["kind"])}
    if not isinstance(value, str | int) or isinstance(value, bool):
        return value
    kind, _, rest = str(value).partition(":")
    parameters: dict[str, Any] = {}
    for pair in filter(None, rest.split(",")):
        name, equals, text = pair.partition("=")
        name = name.strip()
        if not equals:
            raise ValueError(f"is '{shortened(value)}': write parameters after the kind, as in reset:after_tokens=5")
        if name in parameters or name == "kind":
            raise ValueError(f"'{shortened(kind)}' has the parameter '{shortened(name)}' twice: remove one")
        parameters[name] = scalar(text.strip())
    kind = kind.strip()
    if kind.isascii() and kind.isdecimal() and len(kind) <= MAX_DIGITS:
        return {"kind": "error", "status": int(kind), **parameters}
    if kind not in FAULTS and kind in error_names():
        return {"kind": "error", "name": kind, **parameters}
    return {"kind": OLD_NAMES.get(kind, kind), **parameters}


def error_names() -> list[str]:
    """Every documented or inferred error name that works as a fault."""
    from emulator.providers import PROVIDERS

    return list({name: None for provider in PROVIDERS.values() for name in provider.errors})


@cache
def _every() -> TypeAdapter[Fault]:
    """Validates any fault, and says what is wrong with one. It loads them all."""
    kinds: Any = tuple(FAULTS.values())
    return TypeAdapter(Annotated[Union[kinds], Discriminator("kind"), BeforeValidator(spelled)])  # noqa: UP007


def _validated(value: Any) -> Fault:
    """A fault of a scenario. Raises ValueError."""
    with suppress(ValueError):
        data = spelled(value)
        if isinstance(data, Mapping) and data.get("kind") in FAULTS:
            return FAULTS[data["kind"]].model_validate(data)  # loads no other
    return _every().validate_python(value)


class _AnyFault:
    """Gives pydantic all kinds without loading them before they are used."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        whole = {LAZY: lambda: _every().core_schema}
        return core_schema.no_info_plain_validator_function(_validated, metadata=whole)

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return handler(_every().core_schema)


if TYPE_CHECKING:
    AnyFault = Fault  # type checkers can't read a union of a tuple's members
else:
    AnyFault = Annotated[Any, _AnyFault()]


def fault_of(value: Any) -> Fault:
    """Makes a fault from a mapping or from one line. Raises UsageError with one clear sentence."""
    if isinstance(value, Fault):
        return value
    if isinstance(value, bool) or not isinstance(value, str | int | Mapping):
        raise UsageError(f"A fault is a string such as 'reset:after_tokens=5' or a mapping with a kind, not {value!r}.")
    kind = ""
    try:
        data = spelled(value)
        kind = str(data.get("kind")) if isinstance(data, Mapping) else ""
        if kind not in FAULTS:
            known = [*FAULTS, *error_names()]
            hint = did_you_mean(kind, known) or f" `emulator faults` lists all {len(FAULTS)}."
            raise UsageError(f"There is no fault '{shortened(kind)}'.{hint}")
        return FAULTS[kind].model_validate(data)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(shortened(str(part)) for part in first["loc"])
        said = _said(first)
        known = [name for name in FAULTS[kind].model_fields if name != "kind"]
        if first["type"] == "extra_forbidden":
            said = f"there is no such parameter.{did_you_mean(where, known)} Parameters: {', '.join(known)}"
        detail = f"{where} {said}" if said.startswith(("is ", "has ")) else f"{where}: {said}" if where else said
        raise UsageError(f"The fault '{kind}': {detail}") from None
    except ValueError as error:
        raise UsageError(f"The fault {error}") from None


def _said(error: Any) -> str:
    """What is wrong with a parameter, for the author of `kind:name=value`."""
    kind, context, value = error["type"], error.get("ctx", {}), shortened(error["input"])
    if kind in BOUNDS:
        name, words = BOUNDS[kind]
        return f"is {value}; expected {words} {context[name]:g}"
    if kind == "too_short":
        return f"has {counted(context['actual_length'], 'item')}; expected at least {context['min_length']}"
    if kind in NOUNS:
        return f"is '{value}'; expected {NOUNS[kind]}"
    if kind == "string_too_short":
        return f"is '{value}'; expected a string of at least {counted(context['min_length'], 'character')}"
    expected = {
        "literal_error": "{expected}",
        "string_pattern_mismatch": "a string that matches {pattern}",
        "string_too_long": "a string of at most {max_length} characters",
    }.get(kind)
    if expected is not None:
        return f"is '{value}'; expected {expected.format_map(context)}"
    message: str = error["msg"]
    return message.removeprefix("Value error, ")
