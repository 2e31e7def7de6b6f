"""The programme: each case is a fault, what a client should make of it, and what to change where it does not."""

from enum import StrEnum
from typing import Literal, NamedTuple

Level = Literal["MUST", "SHOULD"]


class Expected(StrEnum):
    """What a client is to do in a case."""

    ANSWER = "prints the whole answer"
    RETRY = "tries again and prints the whole answer"
    WAIT = "gives up, or waits at least as long as requested"
    REFUSE = "reports the error after one request"
    LIMIT = "reports the error after a few requests"
    REPORT = "reports that there is no whole answer"
    EITHER = "prints the whole answer, or reports an error"
    GIVE_UP = "reports a timeout"


class Case(NamedTuple):
    """One case."""

    name: str
    fault: str
    """As for `serve --fault`; several are separated by `;`."""
    level: Level
    expected: Expected
    why: str
    """What the case is about, in one sentence."""
    fix: str
    """What to change in a client that fails, in one sentence."""
    streams: bool | None = None
    """Whether the client has to stream for it, or not to."""
    wait: float = 0.0
    """Seconds that have to pass before the second request."""
    foreign: tuple[str, ...] = ()
    """Texts of the fault that are no part of the answer."""

    @property
    def faults(self) -> tuple[str, ...]:
        """Its faults, one by one."""
        return tuple(self.fault.split(";"))


class Group(NamedTuple):
    """Cases that belong together."""

    title: str
    cases: tuple[Case, ...]


ANSWER, RETRY, WAIT, REFUSE, LIMIT, REPORT, EITHER, GIVE_UP = Expected
MUST: Level = "MUST"
SHOULD: Level = "SHOULD"

NOT_AGAIN = "Retry only 408, 409, 429 and 5xx; report every other status at once."
AGAIN = "Retry 429, 5xx and lost connections two or three times, with growing, jittered delays."
HEED = "Read Retry-After (seconds or a date) and retry-after-ms; wait that long, or give up if it is too long."
CHECK_END = "Treat a stream as whole only after its finish reason or its last event; otherwise raise."
CHECK_BODY = "Check the content type, and that the body holds a choice; raise an error of the client's own if not."
CHECK_ERROR = "Look for an error object in every event and every body, whatever the status says, and raise it."
SSE = "Use a parser that follows the SSE specification: any line end, comments, several data lines, unknown fields."
TOLERANT = "Read the members that are needed and ignore all others; have a default for each that may be missing."
TIMEOUTS = "Set a timeout for the connection, for the first token and for the gap between two events."

PROGRAMME = (
    Group("Errors that will not pass", (
        Case("bad_request", "400", MUST, REFUSE, "A request that is wrong stays wrong.", NOT_AGAIN),
        Case("wrong_key", "401", MUST, REFUSE, "A wrong key stays wrong; to try again can get it blocked.", NOT_AGAIN),
        Case("no_balance", "402", MUST, REFUSE, "An empty account does not fill itself.", NOT_AGAIN),
        Case("forbidden", "403", MUST, REFUSE, "What is forbidden stays forbidden.", NOT_AGAIN),
        Case("not_found", "404", MUST, REFUSE, "A model that does not exist will not appear.", NOT_AGAIN),
        Case("unprocessable", "422", MUST, REFUSE, "Invalid parameters stay invalid.", NOT_AGAIN),
        Case("no_retry", "error:status=500,should_retry=false", SHOULD, REFUSE,
             "The provider says itself that a retry is useless: `x-should-retry: false`.",
             "Obey the header x-should-retry before the status."),
    )),
    Group("Errors that pass", (
        Case("rate_limited", "error:status=429,times=1", SHOULD, RETRY, "One 429, then all is well.", AGAIN),
        Case("overloaded", "error:status=503,times=1", SHOULD, RETRY, "One 503, then all is well.", AGAIN),
        Case("server_error", "error:status=500,times=1", SHOULD, RETRY, "One 500, then all is well.", AGAIN),
        Case("gateway_page", "html_gateway:status=502,times=1", SHOULD, RETRY,
             "A gateway answers with an HTML page once; it is an error like any other.",
             "Decide by the status before reading the body; the body of an error need not be JSON."),
        Case("retry_after", "error:status=429,retry_after=1,times=1", MUST, WAIT,
             "The provider says when to come back: `Retry-After: 1`.", HEED, wait=0.95),
        Case("retry_after_date", "error:status=429,retry_after=3,retry_form=date,times=1", SHOULD, WAIT,
             "The same as a date, which RFC 9110 allows.", HEED, wait=1.5),
        Case("retry_after_ms", "error:status=429,retry_after=1.2,retry_form=ms,times=1", SHOULD, WAIT,
             "The same in milliseconds: `retry-after-ms`.", HEED, wait=1.1),
        Case("retry_after_long", "error:status=429,retry_after=120,times=1", SHOULD, WAIT,
             "Two minutes: a client may wait or give up, but not come back at once.", HEED, wait=110.0),
        Case("stays_overloaded", "503", MUST, LIMIT, "A provider that stays down must not be flooded.",
             "Limit the attempts of one request, all layers together, to at most ten; then report the error."),
    )),
    Group("Answers that are none", (
        Case("captive_portal", "captive_portal", MUST, REPORT, "A login page with status 200 is no answer.", CHECK_BODY,
             foreign=("<html", "<HTML")),
        Case("error_200", "error_200", MUST, REPORT, "Some gateways send errors with status 200.", CHECK_ERROR),
        Case("empty_200", "empty_200", MUST, REPORT, "An empty body is no empty answer.", CHECK_BODY),
        Case("empty_choices", "empty_choices", MUST, REPORT, "`choices: []` holds no answer.", CHECK_BODY),
        Case("truncated_json", "truncated_json", MUST, REPORT, "Half a JSON document is no answer.",
             "Catch the JSON error and raise one of the client's own.", streams=False),
        Case("blank_then_close", "blank_then_close:interval=0.05", MUST, REPORT,
             "A busy DeepSeek sends blank lines, then closes.", CHECK_BODY),
        Case("content_filter", "finish_reason:value=content_filter,content=none", SHOULD, REPORT,
             "The provider withheld the answer and says so in the finish reason.",
             "Report every finish reason other than stop and tool calls."),
        Case("cut_by_length", "finish_reason:value=length,content=half", SHOULD, REPORT,
             "The answer ends at the token limit, and the finish reason says so.",
             "Report every finish reason other than stop and tool calls."),
    )),
    Group("Streams that break", (
        Case("truncated", "truncate:after_tokens=12", MUST, REPORT,
             "The stream ends cleanly in the middle: no finish reason, no last event.", CHECK_END, streams=True),
        Case("reset", "reset:after_tokens=12", MUST, REPORT, "The connection is reset in the middle.",
             "Raise when the connection ends early, and do not ask again for what has been shown.", streams=True),
        Case("closed", "close:after_tokens=12", MUST, REPORT, "The connection closes in the middle.",
             "Raise when the body ends before its last chunk.", streams=True),
        Case("error_event", "error_event:after_tokens=12", MUST, REPORT, "An error arrives in the middle.", CHECK_ERROR,
             streams=True),
        Case("error_first", "error_event:form=first", MUST, REPORT, "An error is the first event.", CHECK_ERROR,
             streams=True),
        Case("failed_at_end", "failed_after_text", MUST, REPORT, "The last event says that it failed.", CHECK_ERROR,
             streams=True),
        Case("bad_event", "bad_json_event:nth=4", SHOULD, REPORT, "One event is half a JSON document.",
             "Catch the JSON error of an event and raise one of the client's own; skipping it loses text.",
             streams=True),
        Case("random_bytes", "random_data:after_tokens=12", SHOULD, REPORT, "Garbage in place of the next chunk.",
             "Map errors of the HTTP library to errors of the client.", streams=True),
    )),
    Group("Answers that are whole", (
        Case("unknown_members", "unknown_fields", MUST, ANSWER, "Providers add members at any time.", TOLERANT),
        Case("missing_members", "missing_fields", SHOULD, ANSWER, "`id`, `object`, `created` and `model` are missing.",
             TOLERANT),
        Case("no_usage", "usage", MUST, ANSWER, "The usage is missing.", TOLERANT),
        Case("null_content", "null_content", MUST, ANSWER, "The content of a delta is null.",
             "Treat null as no text.", streams=True, foreign=("None", "null", "undefined")),
        Case("unknown_finish", "finish_reason:value=insufficient_system_resource", SHOULD, ANSWER,
             "The finish reason is one that this client has never heard of; the text is whole.",
             "Accept any finish reason; keep the text."),
        Case("unknown_event", "unknown_event", MUST, ANSWER, "An event of an unknown type.", TOLERANT, streams=True),
        Case("no_done", "no_done", SHOULD, ANSWER, "The finish reason arrives, `[DONE]` does not.",
             "A finish reason ends an answer; do not insist on [DONE].", streams=True),
        Case("text_after_done", "data_after_done", SHOULD, ANSWER, "Something follows `[DONE]`.",
             "Stop reading at [DONE].", streams=True, foreign=("(after the end)",)),
        Case("open_after_done", "done_then_open", SHOULD, ANSWER, "After `[DONE]` the socket stays open.",
             "Stop reading at [DONE]; do not wait for the end of the body.", streams=True),
        Case("empty_choices_event", "empty_choices_chunk", MUST, ANSWER, "An event has `choices: []`.",
             "Skip events without choices.", streams=True),
        Case("content_type", "wrong_content_type", SHOULD, EITHER, "The body is right, its content type is not.",
             CHECK_BODY),
        Case("other_form", "ignored_stream_flag", MUST, EITHER, "A stream was asked for and a document comes, or the "
             "other way round.", CHECK_BODY),
    )),
    Group("Framing", (
        Case("comments", "keepalive_comments:count=3,interval=0.05", MUST, ANSWER,
             "Comments keep a waiting connection open.", SSE, streams=True, foreign=("keep-alive", "keepalive")),
        Case("crlf", "line_ends:ends=crlf", MUST, ANSWER, "Lines end with CRLF.", SSE, streams=True),
        Case("cut_characters", "split:into=characters", MUST, ANSWER, "Segments end inside characters.",
             "Decode with an incremental decoder, or after joining whole events.", streams=True, foreign=("\ufffd",)),
        Case("single_bytes", "split:into=bytes,gap=0", MUST, ANSWER, "Every byte comes alone.",
             "Buffer until an event is whole.", streams=True),
        Case("one_segment", "coalesce", MUST, ANSWER, "All events come in one segment.",
             "Loop over all events of a read.", streams=True),
        Case("no_space", "data_space", SHOULD, ANSWER, "`data:` without a space.", SSE, streams=True),
        Case("many_data_lines", "multi_line_data", SHOULD, ANSWER, "One event has several data lines.", SSE,
             streams=True),
        Case("ids_and_pings", "id_lines", SHOULD, ANSWER, "Events have ids; comments stand between them.", SSE,
             streams=True, foreign=("ping",)),
        Case("event_blocks", "event_lines", SHOULD, ANSWER, "A block has an event line and no data.", SSE,
             streams=True),
        Case("bom", "bom", SHOULD, ANSWER, "The stream begins with a byte order mark.", SSE, streams=True),
        Case("separators", "odd_separators", SHOULD, ANSWER, "U+2028 and the like stand inside the text.",
             "Split lines at CR and LF only; str.splitlines splits at others.", streams=True),
        Case("large_event", "large_event:size=300000", SHOULD, ANSWER, "One event is 300 kB large.",
             "Raise the limits of line buffers to at least a few MiB.", streams=True),
        Case("blank_lines", "blank_lines:interval=0.1", SHOULD, ANSWER, "Blank lines come before the JSON.",
             "Ignore white space around JSON.", streams=False),
    )),
    Group("Connections and waiting", (
        Case("lost_connection", "reset:times=1", SHOULD, RETRY, "The connection is reset before the answer, once.",
             AGAIN),
        Case("stale_keepalive", "error:status=503,times=1;stale_keepalive:times=1", SHOULD, RETRY,
             "After a 503, the connection dies without a byte when it is used again.",
             "Send a request again on a new connection when a reused one ends before a byte of the answer."),
        Case("cut_body", "content_length:too=long", MUST, REPORT, "The body is shorter than it says.",
             "Compare the length of a body with its Content-Length, or parse it and raise.", streams=False),
        Case("slow_first_token", "slow_first_token:seconds=3", SHOULD, ANSWER, "The first token takes 3 seconds.",
             "Allow more time for the first token than for the gap between two."),
        Case("hang", "hang", SHOULD, GIVE_UP, "No byte ever comes.", TIMEOUTS),
        Case("stall", "stall:after_tokens=12", SHOULD, GIVE_UP, "The stream stops in the middle, for good.", TIMEOUTS,
             streams=True),
    )),
)  # fmt: skip
"""All cases, in the order of reports."""

CASES: dict[str, Case] = {case.name: case for group in PROGRAMME for case in group.cases}
