"""What clients see of each fault: openai-python, and what people write with httpx alone.

Each row was seen; none says what a client ought to do. A row that changes with a new version of a client is news for
docs, not a bug here: change the row.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any

import httpx
import openai
import pytest
from openai.types.chat import ChatCompletion
from talk import Serving

from emulator import Emulator

SCENARIO: dict[str, Any] = {
    "rules": [{"name": "hello", "reply": {"content": "Hello, world", "id": "one", "created": 1}}],
}
"""Five events: the role, three tokens, the finish."""
PATIENT = 5.0
HURRIED = 0.3
"""Seconds after which the clients give up, where that is the point."""
WELL = "Hello, world [stop]"


@pytest.fixture
def emulator(serving: Serving) -> Emulator:
    running: Emulator = serving(SCENARIO)
    return running


@pytest.fixture(autouse=True)
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    """Retries come at once."""
    monkeypatch.setattr("openai._base_client.INITIAL_RETRY_DELAY", 0.001)
    monkeypatch.setattr("openai._base_client.MAX_RETRY_DELAY", 0.001)


@pytest.fixture
def sdk(emulator: Emulator) -> Iterator[openai.OpenAI]:
    with openai.DefaultHttpxClient(trust_env=False, verify=False) as pool:
        yield openai.OpenAI(base_url=f"{emulator.origin}/serevix/v1", api_key="k", max_retries=1, http_client=pool)


@pytest.fixture
def plain() -> Iterator[httpx.Client]:
    with httpx.Client(trust_env=False, verify=False, headers={"authorization": "Bearer k"}) as client:
        yield client


class Heard:
    """What a client made of an answer: its text, finish reason and events, up to the error if there was one."""

    def __init__(self, events: int | None = None) -> None:
        self.text = ""
        self.finish: str | None = None
        self.events = 0
        self._usual = events
        self.error = ""
        self.more = ""

    def hear(self, chunk: Mapping[str, Any], member: str = "delta") -> None:
        self.events += 1
        for choice in chunk["choices"]:
            self.text += choice[member].get("content") or ""
            self.finish = choice["finish_reason"] or self.finish

    def __str__(self) -> str:
        finish = self.error or f"[{self.finish}]"
        events = f" ({self.events} events)" if self.events != self._usual and not self.error else ""
        return f"{self.text} {finish}{events}{self.more}".strip()


def requests_of(emulator: Emulator) -> int:
    return max((exchange.number for exchange in emulator.journal), default=0)


def by_openai(sdk: openai.OpenAI, emulator: Emulator, fault: str, *, stream: bool, timeout: float = PATIENT) -> str:
    """What openai-python sees; ` x2` means two requests."""
    heard = Heard(5 if stream else 1)
    client = sdk.with_options(base_url=f"{emulator.origin}/~{fault}/serevix/v1", timeout=timeout)
    before = requests_of(emulator)
    question: Any = {"model": "deepseek-v3", "messages": [{"role": "user", "content": "Hi"}]}
    try:
        if stream:
            for chunk in client.chat.completions.create(**question, stream=True):
                heard.hear({**chunk.model_dump(), "choices": chunk.model_dump()["choices"] or []})
        else:
            completion: Any = client.chat.completions.create(**question)
            if not isinstance(completion, ChatCompletion):
                return f"a {type(completion).__name__}: {completion[:14]}"
            if not completion.choices:
                return f"choices: {completion.choices}"
            heard.hear(completion.model_dump(), "message")
    except (openai.OpenAIError, json.JSONDecodeError) as error:
        heard.error = type(error).__name__
    tries = requests_of(emulator) - before
    return str(heard) if tries == 1 else f"{heard} x{tries}"


def by_httpx(plain: httpx.Client, emulator: Emulator, fault: str, *, stream: bool, timeout: float = PATIENT) -> str:
    """What the usual thirty lines around httpx see: lines that begin with `data:`, up to `[DONE]`; or `.json()`."""
    heard = Heard(5 if stream else 1)
    url = f"{emulator.origin}/~{fault}/serevix/v1/chat/completions"
    body = {"model": "deepseek-v3", "messages": [{"role": "user", "content": "Hi"}], "stream": stream}
    try:
        if stream:
            heard.more = ", no [DONE]"
            with plain.stream("POST", url, json=body, timeout=timeout) as response:
                for line in response.iter_lines():
                    data = line.removeprefix("data:").strip()
                    if line.startswith("data:") and data == "[DONE]":
                        heard.more = ""
                        break
                    if line.startswith("data:"):
                        heard.hear(json.loads(data))
        else:
            heard.hear(plain.post(url, json=body, timeout=timeout).json(), "message")
    except (httpx.HTTPError, json.JSONDecodeError, LookupError, TypeError) as error:
        heard.error, heard.more = type(error).__name__, ""
    return str(heard)


# Streams: what openai-python sees, and httpx

CUT = "Hello, APIConnectionError"
STREAMS: dict[str, tuple[str, str]] = {
    # How it ends
    "no_done": (WELL, f"{WELL}, no [DONE]"),
    "truncate": ("Hello, world [None] (4 events)", "Hello, world [None] (4 events), no [DONE]"),
    "done_no_finish": ("Hello, world [None] (4 events)", "Hello, world [None] (4 events)"),
    "data_after_done": (WELL, WELL),
    "done_then_open": (WELL, WELL),
    "no_trailing_blank": ("Hello, world [None] (4 events)", f"{WELL}, no [DONE]"),
    "empty_200": ("[None] (0 events)", "[None] (0 events), no [DONE]"),
    # The connection
    "close": ("APIConnectionError x2", "RemoteProtocolError"),
    "reset": ("APIConnectionError x2", "ReadError"),
    "half_status": ("APIConnectionError x2", "RemoteProtocolError"),
    "random_data": ("APIConnectionError x2", "RemoteProtocolError"),
    "close:after_events=3": (CUT, "Hello, RemoteProtocolError"),
    "close:after_events=3,announce=true": (CUT, "Hello, RemoteProtocolError"),
    "reset:after_events=3": (CUT, "Hello, ReadError"),
    "malformed_chunk:after_events=3": (CUT, "Hello, RemoteProtocolError"),
    "content_length": (WELL, WELL),  # nobody reads on after [DONE]
    "content_length:too=short,by=30": ("Hello, world [None] (4 events)", "Hello, world JSONDecodeError"),
    "no_length_close": (WELL, WELL),
    "no_length_close:after_events=3": ("Hello, [None] (3 events)", "Hello, [None] (3 events), no [DONE]"),
    "slow_close:seconds=60": (WELL, WELL),
    "dribble:seconds=0.1": (WELL, WELL),
    # What it says
    "error_event:after_tokens=2": ("Hello, APIError", "Hello, KeyError"),
    "bad_json_event": ("JSONDecodeError", "JSONDecodeError"),
    "finish_reason": (
        "Hello, world [insufficient_system_resource]",
        "Hello, world [insufficient_system_resource]",
    ),
    "empty_choices_chunk": (f"{WELL} (6 events)", f"{WELL} (6 events)"),
    "usage:form=null": (WELL, WELL),
    "null_content": (WELL, WELL),
    "unknown_fields": (WELL, WELL),
    "missing_fields": (WELL, WELL),
    "keepalive_comments:interval=0.02": (WELL, WELL),
    # How it is framed
    "line_ends": (WELL, WELL),
    "line_ends:ends=cr": (WELL, WELL),
    "line_ends:ends=mixed": (WELL, WELL),
    "line_ends:ends=split": (WELL, WELL),
    "data_space": (WELL, WELL),
    "data_space:spaces=two": ("Hello, world JSONDecodeError", WELL),  # ` [DONE]` is read as JSON
    "coalesce": (WELL, WELL),
    "split:gap=0": (WELL, WELL),
    "multi_line_data": (WELL, "JSONDecodeError"),
    "id_lines": ("JSONDecodeError", WELL),
    "id_lines:pings=false": (WELL, WELL),
    "retry_lines": ("JSONDecodeError", WELL),
    "event_lines": ("JSONDecodeError", WELL),
    "empty_data": ("JSONDecodeError", "JSONDecodeError"),
    "unknown_sse_fields": (WELL, WELL),
    "comments:length=1000000": (WELL, WELL),
    "comments:place=inside": (WELL, "JSONDecodeError"),
    "odd_separators": ("Hello\u2028\u2029\x85, world [stop]", "JSONDecodeError"),
    "odd_separators:characters=control": ("JSONDecodeError", "JSONDecodeError"),
    "bom": (f"{WELL} (4 events)", f"{WELL} (4 events)"),  # the first is lost
    "large_event:size=1048576": (WELL, WELL),
    "gzip": (WELL, WELL),
    "wrong_content_type": (WELL, WELL),
    "captive_portal": ("[None] (0 events)", "[None] (0 events), no [DONE]"),
    "ignored_stream_flag": ("[None] (0 events)", "[None] (0 events), no [DONE]"),
}


@pytest.mark.parametrize("fault", STREAMS)
def test_what_clients_see_of_a_stream(sdk: openai.OpenAI, plain: httpx.Client, emulator: Emulator, fault: str) -> None:
    seen = by_openai(sdk, emulator, fault, stream=True), by_httpx(plain, emulator, fault, stream=True)
    assert seen == STREAMS[fault]


def test_a_stream_whose_compression_ends_early_passes_for_an_answer(
    sdk: openai.OpenAI, plain: httpx.Client, emulator: Emulator
) -> None:
    fault = "gzip:form=truncated"
    assert by_openai(sdk, emulator, fault, stream=True) == "Hello, [None] (3 events)"
    assert by_httpx(plain, emulator, fault, stream=True).startswith("Hello,")


LATE: dict[str, tuple[str, str]] = {
    "stall": ("APITimeoutError", "ReadTimeout"),
    "stall:after_tokens=2": ("Hello, APITimeoutError", "Hello, ReadTimeout"),
    "hang": ("APITimeoutError x2", "ReadTimeout"),
    "latency:seconds=60": ("APITimeoutError x2", "ReadTimeout"),
    "slow_headers:seconds=0.6": (WELL, WELL),  # a timeout is for each read, not for all of them
    "dribble:seconds=0.6,pieces=12": (WELL, WELL),
}


@pytest.mark.parametrize("fault", LATE)
def test_what_clients_see_of_a_late_stream(
    sdk: openai.OpenAI, plain: httpx.Client, emulator: Emulator, fault: str
) -> None:
    assert LATE[fault] == (
        by_openai(sdk, emulator, fault, stream=True, timeout=HURRIED),
        by_httpx(plain, emulator, fault, stream=True, timeout=HURRIED),
    )


# Whole answers

BODIES: dict[str, tuple[str, str]] = {
    "close": ("APIConnectionError x2", "RemoteProtocolError"),
    "reset": ("APIConnectionError x2", "ReadError"),
    "close:after_bytes=20": ("APIConnectionError x2", "RemoteProtocolError"),
    "reset:after_bytes=20": ("APIConnectionError x2", "ReadError"),
    "malformed_chunk": ("APIConnectionError x2", "RemoteProtocolError"),
    "content_length": ("APIConnectionError x2", "RemoteProtocolError"),
    "content_length:too=short": ("JSONDecodeError", "JSONDecodeError"),
    "no_length_close": (WELL, WELL),
    "no_length_close:after_bytes=30": ("JSONDecodeError", "JSONDecodeError"),
    "slow_close:seconds=60": (WELL, WELL),
    "empty_200": ("JSONDecodeError", "JSONDecodeError"),
    "error_200": ("choices: None", "KeyError"),
    "captive_portal": ("a str: <!DOCTYPE html", "JSONDecodeError"),
    "truncated_json": ("JSONDecodeError", "JSONDecodeError"),
    "empty_choices": ("choices: []", "[None]"),
    "empty_choices:value=null": ("choices: None", "TypeError"),
    "finish_reason": (
        "Hello, world [insufficient_system_resource]",
        "Hello, world [insufficient_system_resource]",
    ),
    "bom": (WELL, WELL),
    "blank_lines:interval=0.02": (WELL, WELL),
    "blank_then_close:interval=0.02": ("JSONDecodeError", "JSONDecodeError"),
    "gzip": (WELL, WELL),
    "gzip:form=truncated": ("JSONDecodeError", "JSONDecodeError"),
    "split:gap=0": (WELL, WELL),
    "ignored_stream_flag": ('a str: data: {"id":"o', "JSONDecodeError"),
    "wrong_content_type": (WELL, WELL),
}


@pytest.mark.parametrize("fault", BODIES)
def test_what_clients_see_of_a_whole_answer(
    sdk: openai.OpenAI, plain: httpx.Client, emulator: Emulator, fault: str
) -> None:
    seen = by_openai(sdk, emulator, fault, stream=False), by_httpx(plain, emulator, fault, stream=False)
    assert seen == BODIES[fault]


ERRORS: dict[str, str] = {
    "400": "BadRequestError",
    "401": "AuthenticationError",
    "402": "APIStatusError",
    "403": "PermissionDeniedError",
    "404": "NotFoundError",
    "408": "APIStatusError x2",
    "409": "ConflictError x2",
    "413": "APIStatusError",
    "415": "APIStatusError",
    "422": "UnprocessableEntityError",
    "429": "RateLimitError x2",
    "500": "InternalServerError x2",
    "502": "InternalServerError x2",
    "503": "InternalServerError x2",
    "504": "InternalServerError x2",
    "529": "InternalServerError x2",
    "html_gateway": "InternalServerError x2",
    "error:status=503,should_retry=false": "InternalServerError",
    "error:status=400,should_retry=true": "BadRequestError x2",
    "error:status=429,retry_after=0.01": "RateLimitError x2",
    "error:status=429,retry_after=0.01,retry_form=ms": "RateLimitError x2",
    "error:status=429,retry_form=zero": "RateLimitError x2",
    "error:status=429,retry_form=negative": "RateLimitError x2",
    "error:status=429,retry_form=garbage": "RateLimitError x2",
    "error:status=429,retry_after=200": "RateLimitError",  # longer than it is ready to wait, so not at all
    "error:status=429,retry_form=huge": "RateLimitError",
}


@pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])
@pytest.mark.parametrize("fault", ERRORS)
def test_which_errors_are_tried_again(sdk: openai.OpenAI, emulator: Emulator, fault: str, stream: bool) -> None:
    assert by_openai(sdk, emulator, fault, stream=stream) == ERRORS[fault]


# More than one request


@pytest.mark.parametrize("end", ["close", "reset"])
def test_a_stale_connection_is_survived_by_retries_only(
    sdk: openai.OpenAI, plain: httpx.Client, emulator: Emulator, end: str
) -> None:
    fault = f"stale_keepalive:end={end}"
    assert [by_openai(sdk, emulator, fault, stream=False) for _ in range(3)] == [WELL] * 3
    once = sdk.with_options(max_retries=0)
    assert by_openai(once, emulator, "idle_close:seconds=60", stream=False) == "APIConnectionError x0"
    first, lost, last = [by_httpx(plain, emulator, fault, stream=False) for _ in range(3)]
    assert (first, last) == (WELL, WELL)
    # A reset can come between two writes; then httpx finds the connection closed when it reads.
    assert lost in (["RemoteProtocolError"] if end == "close" else ["RemoteProtocolError", "ReadError"])


def test_an_outage_is_a_connection_error_and_then_over(
    sdk: openai.OpenAI, plain: httpx.Client, emulator: Emulator
) -> None:
    assert by_openai(sdk, emulator, "refuse_connections:seconds=0.5", stream=True) == "APIConnectionError"
    assert by_httpx(plain, emulator, "no_done", stream=True) == "ConnectError"
    listener_control = emulator._server.listener_control
    assert listener_control is not None
    while not listener_control.is_open:
        assert by_httpx(plain, emulator, "no_done", stream=False) in ("ConnectError", WELL)
    assert by_httpx(plain, emulator, "data_after_done", stream=True) == WELL


def test_a_reset_on_accept_is_tried_again(sdk: openai.OpenAI, emulator: Emulator) -> None:
    fault = "reset_on_accept:count=1"
    assert by_openai(sdk, emulator, fault, stream=True) == "APIConnectionError"
    assert by_openai(sdk.with_options(max_retries=2), emulator, "400", stream=True) == "BadRequestError"
