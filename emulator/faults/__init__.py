"""The faults, one per file, and the table of them."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Union

from pydantic import BeforeValidator, Discriminator, TypeAdapter, ValidationError

from emulator.errors import UsageError, did_you_mean, shortened
from emulator.faults.bad_json_event import BadJsonEvent
from emulator.faults.bandwidth import Bandwidth
from emulator.faults.base import Fault
from emulator.faults.blank_lines import BlankLines
from emulator.faults.blank_then_close import BlankThenClose
from emulator.faults.bom import Bom
from emulator.faults.captive_portal import CaptivePortal
from emulator.faults.close import CloseConnection
from emulator.faults.coalesce import Coalesce
from emulator.faults.comments import Comments
from emulator.faults.content_length import ContentLength
from emulator.faults.cumulative import Cumulative
from emulator.faults.data_after_done import DataAfterDone
from emulator.faults.data_space import DataSpace
from emulator.faults.done_added import DoneAdded
from emulator.faults.done_no_finish import DoneNoFinish
from emulator.faults.done_text_differs import DoneTextDiffers
from emulator.faults.done_then_open import DoneThenOpen
from emulator.faults.dribble import Dribble
from emulator.faults.duplicate_chunk import DuplicateChunk
from emulator.faults.empty_200 import Empty200
from emulator.faults.empty_choices import EmptyChoices
from emulator.faults.empty_choices_chunk import EmptyChoicesChunk
from emulator.faults.empty_data import EmptyData
from emulator.faults.error import Error
from emulator.faults.error_200 import Error200
from emulator.faults.error_event import ErrorEvent
from emulator.faults.event_lines import EventLines
from emulator.faults.failed_after_text import FailedAfterText
from emulator.faults.finish_reason import FinishReason
from emulator.faults.gzip import Gzip
from emulator.faults.half_status import HalfStatus
from emulator.faults.hang import HangBeforeHeaders
from emulator.faults.html_gateway import HtmlGateway
from emulator.faults.id_changes import IdChanges
from emulator.faults.id_lines import IdLines
from emulator.faults.idle_close import IdleClose
from emulator.faults.ignored_stream_flag import IgnoredStreamFlag
from emulator.faults.keepalive_comments import KeepaliveComments
from emulator.faults.large_event import LargeEvent
from emulator.faults.latency import Latency
from emulator.faults.line_ends import LineEnds
from emulator.faults.malformed_chunk import MalformedChunk
from emulator.faults.missing_block_start import MissingBlockStart
from emulator.faults.missing_block_stop import MissingBlockStop
from emulator.faults.missing_fields import MissingFields
from emulator.faults.multi_line_data import MultiLineData
from emulator.faults.no_created import NoCreated
from emulator.faults.no_done import NoDone
from emulator.faults.no_event_lines import NoEventLines
from emulator.faults.no_length_close import NoLengthClose
from emulator.faults.no_signature import NoSignature
from emulator.faults.no_trailing_blank import NoTrailingBlank
from emulator.faults.null_content import NullContent
from emulator.faults.odd_separators import OddSeparators
from emulator.faults.only_final import OnlyFinal
from emulator.faults.other_dialect import OtherDialect
from emulator.faults.plugins import with_plugins
from emulator.faults.random_data import RandomData
from emulator.faults.refuse_connections import RefuseConnections
from emulator.faults.reset import ResetConnection
from emulator.faults.reset_on_accept import ResetOnAccept
from emulator.faults.retry_lines import RetryLines
from emulator.faults.scalars import MAX_DIGITS, scalar
from emulator.faults.sequence_gap import SequenceGap
from emulator.faults.slow_close import SlowClose
from emulator.faults.slow_first_token import SlowFirstToken
from emulator.faults.slow_headers import SlowHeaders
from emulator.faults.spend_limit import SpendLimit
from emulator.faults.split import Split
from emulator.faults.stale_keepalive import StaleKeepalive
from emulator.faults.stall import Stall
from emulator.faults.tls_expired import TlsExpired
from emulator.faults.tls_refused import TlsRefused
from emulator.faults.tls_reset import TlsReset
from emulator.faults.tls_unknown_ca import TlsUnknownCa
from emulator.faults.tls_wrong_host import TlsWrongHost
from emulator.faults.tool_arguments import ToolArguments
from emulator.faults.tool_index import ToolIndex
from emulator.faults.truncate import Truncate
from emulator.faults.truncated_json import TruncatedJson
from emulator.faults.unknown_block import UnknownBlock
from emulator.faults.unknown_event import UnknownEvent
from emulator.faults.unknown_fields import UnknownFields
from emulator.faults.unknown_item import UnknownItem
from emulator.faults.unknown_sse_fields import UnknownSseFields
from emulator.faults.unknown_tool import UnknownTool
from emulator.faults.usage import WrongUsage
from emulator.faults.wait_then_close import WaitThenClose
from emulator.faults.wrong_content_type import WrongContentType
from emulator.faults.wrong_event_name import WrongEventName
from emulator.faults.wrong_signature import WrongSignature

OWN: tuple[type[Fault], ...] = (
    Error,
    SpendLimit,
    HtmlGateway,
    CaptivePortal,
    Error200,
    Empty200,
    TruncatedJson,
    WrongContentType,
    IgnoredStreamFlag,
    EmptyChoices,
    KeepaliveComments,
    BlankLines,
    BlankThenClose,
    WaitThenClose,
    SlowFirstToken,
    Stall,
    HangBeforeHeaders,
    NoDone,
    DoneNoFinish,
    Truncate,
    ErrorEvent,
    NoTrailingBlank,
    DataAfterDone,
    DoneThenOpen,
    EmptyChoicesChunk,
    WrongUsage,
    DuplicateChunk,
    Cumulative,
    FinishReason,
    ToolArguments,
    ToolIndex,
    UnknownTool,
    UnknownFields,
    MissingFields,
    BadJsonEvent,
    NullContent,
    OddSeparators,
    UnknownBlock,
    UnknownItem,
    MissingBlockStart,
    MissingBlockStop,
    NoCreated,
    DoneTextDiffers,
    OnlyFinal,
    IdChanges,
    SequenceGap,
    NoSignature,
    WrongSignature,
    UnknownEvent,
    FailedAfterText,
    OtherDialect,
    DoneAdded,
    LargeEvent,
    NoEventLines,
    WrongEventName,
    DataSpace,
    MultiLineData,
    IdLines,
    RetryLines,
    EmptyData,
    EventLines,
    UnknownSseFields,
    Comments,
    LineEnds,
    Bom,
    Coalesce,
    Gzip,
    Split,
    ResetConnection,
    CloseConnection,
    HalfStatus,
    RandomData,
    MalformedChunk,
    ContentLength,
    NoLengthClose,
    StaleKeepalive,
    IdleClose,
    SlowClose,
    SlowHeaders,
    Dribble,
    Bandwidth,
    Latency,
    RefuseConnections,
    ResetOnAccept,
    TlsRefused,
    TlsReset,
    TlsExpired,
    TlsWrongHost,
    TlsUnknownCa,
)

KINDS: tuple[type[Fault], ...] = with_plugins(OWN)
"""Built-in faults and those from installed packages."""

FAULTS: Mapping[str, type[Fault]] = {kind.model_fields["kind"].default: kind for kind in KINDS}
"""Every kind by its name."""

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


if TYPE_CHECKING:
    AnyFault = Fault  # type checkers can't read a union of a tuple's members
else:
    AnyFault = Annotated[Union[KINDS], Discriminator("kind"), BeforeValidator(spelled)]  # noqa: UP007
_ADAPTER: TypeAdapter[Fault] = TypeAdapter(AnyFault)


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
        return _ADAPTER.validate_python(data)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(shortened(str(part)) for part in first["loc"][1:])
        said = _said(first)
        known = [name for name in FAULTS[kind].model_fields if name != "kind"]
        if first["type"] == "extra_forbidden":
            said = f"there is no such parameter.{did_you_mean(where, known)} Parameters: {', '.join(known)}"
        detail = f"{where} {said}" if said.startswith("is ") else f"{where}: {said}" if where else said
        raise UsageError(f"The fault '{kind}': {detail}") from None
    except ValueError as error:
        raise UsageError(f"The fault {error}") from None


EXPECTED = {"int": "a whole number", "float": "a number", "bool": "true or false", "string": "a string"}
BOUNDS = {
    "greater_than": ("gt", "more than"),
    "greater_than_equal": ("ge", "at least"),
    "less_than": ("lt", "less than"),
    "less_than_equal": ("le", "at most"),
}


def _said(error: Any) -> str:
    """What is wrong with a parameter, for the author of `kind:name=value`."""
    kind, value = error["type"], shortened(str(error["input"]))
    noun = EXPECTED.get(kind.partition("_")[0])
    if noun is not None and kind.endswith(("_type", "_parsing", "_from_float")):
        return f"is '{value}'; expected {noun}"
    if kind in BOUNDS:
        name, words = BOUNDS[kind]
        return f"is {value}; expected {words} {error['ctx'][name]:g}"
    message: str = error["msg"]
    return message.removeprefix("Value error, ")
