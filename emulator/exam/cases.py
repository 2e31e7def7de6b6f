"""The cases of the exam: each is a fault, the behavior expected of the client, and how to fix a client that fails."""

from enum import StrEnum
from typing import Literal, NamedTuple

Level = Literal["MUST", "SHOULD"]


class Expected(StrEnum):
    """The behavior expected of a client in a case."""

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
    """The situation, in one sentence."""
    fix: str
    """What to change in a client that fails, in one sentence."""
    streams: bool | None = None
    """Whether the client must stream, or must not; None: both."""
    wait: float = 0.0
    """The minimum seconds before the second request."""
    foreign: tuple[str, ...] = ()
    """Texts of the fault that aren't part of the answer."""

    @property
    def faults(self) -> tuple[str, ...]:
        """Its faults, separately."""
        return tuple(self.fault.split(";"))


class Group(NamedTuple):
    """A group of cases."""

    title: str
    cases: tuple[Case, ...]


ANSWER, RETRY, WAIT, REFUSE, LIMIT, REPORT, EITHER, GIVE_UP = Expected
MUST: Level = "MUST"
SHOULD: Level = "SHOULD"

NOT_AGAIN = "Retry only 408, 409, 429 and 5xx; report every other status at once."
AGAIN = "Retry 429, 5xx and lost connections two or three times, with growing, jittered delays."
HEED = "Read Retry-After (seconds or a date) and retry-after-ms; wait that long, or give up if it is too long."
CHECK_END = "Treat a stream as complete only after its finish reason or last event; otherwise, raise an error."
CHECK_BODY = (
    "Check the content type and that the body contains a choice; otherwise, raise one of the client's own errors."
)
CHECK_ERROR = "Check every event and every body for an error object, whatever the status, and raise it."
SSE = "Use a parser that follows the SSE specification: any line end, comments, several data lines, unknown fields."
TOLERANT = "Read only the members that you need, and have a default for each one that may be missing."
TIMEOUTS = "Set a timeout for the connection, for the first token and for the gap between two events."

PROGRAMME = (
    Group("Errors that will not pass", (
        Case("bad_request", "400", MUST, REFUSE, "A request that is wrong stays wrong.", NOT_AGAIN),
        Case("wrong_key", "401", MUST, REFUSE, "A wrong key stays wrong; retrying can get it blocked.", NOT_AGAIN),
        Case("no_balance", "402", MUST, REFUSE, "An empty account does not refill itself.", NOT_AGAIN),
        Case("forbidden", "403", MUST, REFUSE, "What is forbidden stays forbidden.", NOT_AGAIN),
        Case("not_found", "404", MUST, REFUSE, "A model that does not exist will not appear.", NOT_AGAIN),
        Case("unprocessable", "422", MUST, REFUSE, "Invalid parameters stay invalid.", NOT_AGAIN),
        Case("no_retry", "error:status=500,should_retry=false", SHOULD, REFUSE,
             "The provider itself says that a retry is useless: `x-should-retry: false`.",
             "Let the header x-should-retry take precedence over the status."),
    )),
    Group("Errors that pass", (
        Case("rate_limited", "error:status=429,times=1", SHOULD, RETRY, "One 429, then everything works.", AGAIN),
        Case("overloaded", "error:status=503,times=1", SHOULD, RETRY, "One 503, then everything works.", AGAIN),
        Case("server_error", "error:status=500,times=1", SHOULD, RETRY, "One 500, then everything works.", AGAIN),
        Case("gateway_page", "html_gateway:status=502,times=1", SHOULD, RETRY,
             "A gateway answers with an HTML page once; it is an error like any other.",
             "Check the status before reading the body; the body of an error need not be JSON."),
        Case("retry_after", "error:status=429,retry_after=1,times=1", MUST, WAIT,
             "The provider says when to retry: `Retry-After: 1`.", HEED, wait=0.95),
        Case("retry_after_date", "error:status=429,retry_after=3,retry_form=date,times=1", SHOULD, WAIT,
             "The same as a date, which RFC 9110 allows.", HEED, wait=1.5),
        Case("retry_after_ms", "error:status=429,retry_after=1.2,retry_form=ms,times=1", SHOULD, WAIT,
             "The same in milliseconds: `retry-after-ms`.", HEED, wait=1.1),
        Case("retry_after_long", "error:status=429,retry_after=120,times=1", SHOULD, WAIT,
             "Two minutes: a client may wait or give up, but must not retry immediately.", HEED, wait=110.0),
        Case("stays_overloaded", "503", MUST, LIMIT, "A provider that stays down must not be flooded.",
             "Limit the attempts for one request to at most ten across all layers; then report the error."),
    )),
    Group("Answers that aren't answers", (
        Case("captive_portal", "captive_portal", MUST, REPORT,
             "A login page with status 200 is not an answer.", CHECK_BODY,
             foreign=("<html", "<HTML")),
        Case("error_200", "error_200", MUST, REPORT, "Some gateways send errors with status 200.", CHECK_ERROR),
        Case("empty_200", "empty_200", MUST, REPORT, "An empty body is not an empty answer.", CHECK_BODY),
        Case("empty_choices", "empty_choices", MUST, REPORT, "`choices: []` holds no answer.", CHECK_BODY),
        Case("truncated_json", "truncated_json", MUST, REPORT, "Half a JSON document is not an answer.",
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
             "Raise an error if the connection ends early, and do not request again what has been shown.",
             streams=True),
        Case("closed", "close:after_tokens=12", MUST, REPORT, "The connection closes in the middle.",
             "Raise an error if the body ends before its last chunk.", streams=True),
        Case("error_event", "error_event:after_tokens=12", MUST, REPORT, "An error arrives in the middle.", CHECK_ERROR,
             streams=True),
        Case("error_first", "error_event:form=first", MUST, REPORT, "An error is the first event.", CHECK_ERROR,
             streams=True),
        Case("failed_at_end", "failed_after_text", MUST, REPORT, "The last event says that it failed.", CHECK_ERROR,
             streams=True),
        Case("bad_event", "bad_json_event:nth=4", SHOULD, REPORT, "One event is half a JSON document.",
             "Catch the JSON error of an event and raise one of the client's own; skipping the event loses text.",
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
             "The finish reason is unknown to the client; the text is complete.",
             "Accept any finish reason; keep the text."),
        Case("unknown_event", "unknown_event", MUST, ANSWER, "An event has an unknown type.", TOLERANT, streams=True),
        Case("no_done", "no_done", SHOULD, ANSWER, "The finish reason arrives, but `[DONE]` does not.",
             "A finish reason ends an answer; do not insist on [DONE].", streams=True),
        Case("text_after_done", "data_after_done", SHOULD, ANSWER, "Something follows `[DONE]`.",
             "Stop reading at [DONE].", streams=True, foreign=("(after the end)",)),
        Case("open_after_done", "done_then_open", SHOULD, ANSWER, "After `[DONE]` the socket stays open.",
             "Stop reading at [DONE]; do not wait for the end of the body.", streams=True),
        Case("empty_choices_event", "empty_choices_chunk", MUST, ANSWER, "An event has `choices: []`.",
             "Skip events without choices.", streams=True),
        Case("content_type", "wrong_content_type", SHOULD, EITHER, "The body is right, but its content type is not.",
             CHECK_BODY),
        Case("other_form", "ignored_stream_flag", MUST, EITHER,
             "A stream was requested but a document arrives, or vice versa.", CHECK_BODY),
    )),
    Group("Framing", (
        Case("comments", "keepalive_comments:count=3,interval=0.05", MUST, ANSWER,
             "Comments keep a waiting connection open.", SSE, streams=True, foreign=("keep-alive", "keepalive")),
        Case("crlf", "line_ends:ends=crlf", MUST, ANSWER, "Lines end with CRLF.", SSE, streams=True),
        Case("cut_characters", "split:into=characters", MUST, ANSWER, "Segments end inside characters.",
             "Decode with an incremental decoder, or after joining whole events.", streams=True, foreign=("\ufffd",)),
        Case("single_bytes", "split:into=bytes,gap=0", MUST, ANSWER, "Every byte arrives separately.",
             "Buffer until an event is complete.", streams=True),
        Case("one_segment", "coalesce", MUST, ANSWER, "All events arrive in one segment.",
             "Process all events of each read.", streams=True),
        Case("no_space", "data_space", SHOULD, ANSWER, "`data:` without a space.", SSE, streams=True),
        Case("many_data_lines", "multi_line_data", SHOULD, ANSWER, "One event has several data lines.", SSE,
             streams=True),
        Case("ids_and_pings", "id_lines", SHOULD, ANSWER, "Events have ids; comments stand between them.", SSE,
             streams=True, foreign=("ping",)),
        Case("event_blocks", "event_lines", SHOULD, ANSWER, "A block has an event line and no data.", SSE,
             streams=True),
        Case("bom", "bom", SHOULD, ANSWER, "The stream begins with a byte order mark.", SSE, streams=True),
        Case("separators", "odd_separators", SHOULD, ANSWER, "The text contains U+2028 and similar characters.",
             "Split lines at CR and LF only; str.splitlines splits at others.", streams=True),
        Case("large_event", "large_event:size=300000", SHOULD, ANSWER, "One event is 300 kB large.",
             "Raise the limits of line buffers to at least a few MiB.", streams=True),
        Case("blank_lines", "blank_lines:interval=0.1", SHOULD, ANSWER, "Blank lines come before the JSON.",
             "Ignore whitespace around JSON.", streams=False),
    )),
    Group("Connections and waiting", (
        Case("lost_connection", "reset:times=1", SHOULD, RETRY, "The connection is reset before the answer, once.",
             AGAIN),
        Case("stale_keepalive", "error:status=503,times=1;stale_keepalive:times=1", SHOULD, RETRY,
             "After a 503, the connection closes without a byte when it is reused.",
             "If a reused connection closes before the first byte of the answer, retry on a new one."),
        Case("cut_body", "content_length:too=long", MUST, REPORT, "The body is shorter than it says.",
             "Compare the length of a body with its Content-Length, or raise an error if it does not parse.",
             streams=False),
        Case("slow_first_token", "slow_first_token:seconds=3", SHOULD, ANSWER, "The first token takes 3 seconds.",
             "Allow more time for the first token than for the gap between two."),
        Case("hang", "hang", SHOULD, GIVE_UP, "No byte ever arrives.", TIMEOUTS),
        Case("stall", "stall:after_tokens=12", SHOULD, GIVE_UP,
             "The stream stops in the middle and never resumes.", TIMEOUTS,
             streams=True),
    )),
)  # fmt: skip
"""All cases, in the order of reports."""

CASES: dict[str, Case] = {case.name: case for group in PROGRAMME for case in group.cases}
