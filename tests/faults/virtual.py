"""Answers on a virtual clock, where an hour of waiting takes no time, and what they are made of while healthy."""

import gc
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar
from zlib import crc32

import pytest
from raw import Live
from rawhttp import HEAD_TIMEOUT, Connection, Ending, eventually, request, undated
from talk import KEYS, PATHS, question

from emulator import Emulator, docstrings
from emulator.faults import FAULTS
from emulator.faults.base import Fault
from emulator.state.exchanges import Exchange

SCENARIO: dict[str, Any] = {
    "clock": "virtual",
    "rules": [
        {"name": "text", "match": {"prompt": "Hi"}, "reply": {"content": "Hé, you", "id": "one", "created": 1}},
        {
            "name": "thought",
            "match": {"prompt": "Think"},
            "reply": {"reasoning": "So.", "content": "Hé, you", "id": "one", "created": 1},
        },
        {
            "name": "tools",
            "match": {"prompt": "Call"},
            "reply": {
                "tool_calls": [
                    {"name": "weather", "arguments": '{"city":"Bern"}', "id": "call_1"},
                    {"name": "time", "arguments": "{}", "id": "call_2"},
                ],
                "id": "one",
                "created": 1,
            },
        },
        {
            "name": "slow",
            "match": {"prompt": "Slow"},
            "pace": {"ttft": 25, "tokens_per_second": 1},
            "reply": {"content": "Hé, you", "id": "one", "created": 1},
        },
        {"name": "nothing", "match": {"prompt": "Silence"}, "reply": {"content": "", "id": "one", "created": 1}},
        {"name": "refused", "match": {"prompt": "Refuse"}, "error": "overloaded"},
    ],
}
PROMPTS = ("Hi", "Think", "Call", "Slow", "Silence", "Refuse")
MAXTOKEN = "maxtoken"
SILENCE = 0.1
"""Seconds after which a connection that has sent everything counts as silent forever."""

# What maxtoken says

CHUNK = '{"id":"one","object":"chat.completion.chunk","created":1,"model":"deepseek-r1","choices":[%s]%s}'
CHOICE = '{"index":0,"delta":%s,"logprobs":null,"finish_reason":%s}'
COUNTS = '{"prompt_tokens":5,"completion_tokens":4,"total_tokens":9,"completion_tokens_details":{"reasoning_tokens":0}}'
USAGE = f',"usage":{COUNTS}'


def event(delta: str, finish: str = "null", more: str = "") -> bytes:
    return framed(CHUNK % (CHOICE % (delta, finish), more))


def content(text: str) -> str:
    """A delta with a piece of the text."""
    return f'{{"content":"{text}"}}'


def framed(text: str) -> bytes:
    return f"data: {text}\n\n".encode()


ROLE = event('{"role":"assistant","content":""}')
TEXTS = [event(content(text)) for text in ("H", "é", ",", " you")]
FINISH = event('{"content":""}', '"stop"', USAGE)
DONE = b"data: [DONE]\n\n"
EVENTS = [ROLE, *TEXTS, FINISH, DONE]
STREAM_HEADERS = b"content-type: text/event-stream; charset=utf-8\r\ncache-control: no-cache\r\n"
BODY = (
    '{"id":"one","object":"chat.completion","created":1,"model":"deepseek-r1","choices":[{"index":0,"message":'
    f'{{"role":"assistant","content":"Hé, you"}},"finish_reason":"stop"}}],"usage":{COUNTS}}}'
)


def head(headers: bytes, *, chunked: bool = True, status: bytes = b"200 OK") -> bytes:
    framing = b"transfer-encoding: chunked\r\n" if chunked else b""
    return b"HTTP/1.1 %b\r\n%bconnection: close\r\n%b\r\n" % (status, headers, framing)


def chunks(frames: Sequence[bytes]) -> bytes:
    return b"".join(b"%x\r\n%b\r\n" % (len(frame), frame) for frame in frames)


def stream(*frames: bytes) -> bytes:
    """A whole stream with these events."""
    return head(STREAM_HEADERS) + chunks(frames) + b"0\r\n\r\n"


def whole(
    body: str | bytes, status: bytes = b"200 OK", headers: bytes = b"content-type: application/json\r\n"
) -> bytes:
    """A whole answer with this body."""
    data = body.encode() if isinstance(body, str) else body
    return head(headers + b"content-length: %d\r\n" % len(data), chunked=False, status=status) + data


# Asking


@dataclass(frozen=True)
class Case:
    """A fault, and exactly what it makes of an answer of maxtoken."""

    fault: str
    expected: bytes
    ending: Ending = "eof"
    prompt: str = "Hi"
    streamed: bool = True
    waits: float = 0.0
    """Seconds until the last byte."""
    __test__: ClassVar[bool] = False

    @property
    def until(self) -> bytes | None:
        """What comes before the connection falls silent, if it does."""
        return self.expected if self.ending == "timeout" else None

    @property
    def is_clean(self) -> bool:
        """Whether HTTP is kept, whatever it carries."""
        return self.ending == "eof" and (self.expected.endswith(b"0\r\n\r\n") or b"content-length: " in self.expected)

    def __str__(self) -> str:
        return f"{self.fault} {self.prompt} {'stream' if self.streamed else 'whole'}"


def whole_case(fault: str, expected: bytes, ending: Ending = "eof", prompt: str = "Hi", waits: float = 0.0) -> Case:
    return Case(fault, expected, ending, prompt, False, waits)


class Virtual(Live):
    """A running emulator with `SCENARIO`. Faults are chosen by header, answers by prompt."""

    def __init__(self, emulator: Emulator) -> None:
        super().__init__(emulator)
        self._before = 0

    def get(
        self,
        fault: str = "",
        saying: str = "Hi",
        *,
        streamed: bool = True,
        provider: str = MAXTOKEN,
        path: str | None = None,
        timeout: float = HEAD_TIMEOUT,
        until: bytes | None = None,
        **members: Any,
    ) -> tuple[bytes, Ending]:
        """The answer and how the connection ended. The client asks for it to be closed; it gives up after `timeout`
        seconds of silence, or after a short one behind what it waits `until`."""
        self._before = max((each.number for each in self.emulator.journal), default=0)
        body = json.dumps(question(provider, saying, stream=streamed, **members)).encode()
        headers = {"content_type": "application/json", "connection": "close", **KEYS[provider]}
        if fault:
            headers["x_emulator_fault"] = fault
        asked = request(f"/{provider}{path or PATHS[provider]}", body, **headers)
        with Connection(self.address[1]) as client:
            client.send(asked)
            if until is None:
                data, ending = client.read_rest(timeout)
                return undated(data), ending
            data, ending = client.read_rest(SILENCE)
            waited = SILENCE
            while ending == "timeout" and undated(data) != until and waited < HEAD_TIMEOUT:
                more, ending = client.read_rest(SILENCE)
                data += more
                waited += SILENCE
            return undated(data), ending

    def record(self) -> Exchange:
        """The journal's record of the last answer."""

        def after() -> list[Exchange]:
            return [each for each in self.emulator.journal if each.number > self._before]

        eventually(lambda: bool(after()))
        return after()[-1]

    def waited(self) -> float:
        """How long the last answer took until its last byte, on its own clock."""
        exchange = self.record()
        eventually(lambda: exchange.playback is not None)
        assert exchange.playback is not None
        return (exchange.playback.last_sent or exchange.started) - exchange.started

    def body(self, fault: str = "", saying: str = "Hi", **how: Any) -> Any:
        """The JSON of a whole answer, whose Content-Length is right."""
        data, ending = self.get(fault, saying, streamed=False, **how)
        head, _, body = data.partition(b"\r\n\r\n")
        assert ending == "eof"
        assert b"\r\ncontent-length: %d" % len(body) in head
        return json.loads(body)

    def events(self, fault: str = "", saying: str = "Hi", **how: Any) -> list[Any]:
        """The JSON of every event of a stream, without `[DONE]`."""
        data, ending = self.get(fault, saying, **how)
        assert ending == "eof"
        frames = unchunked(data).split(b"\n\n")
        return [json.loads(frame.removeprefix(b"data: ")) for frame in frames if frame.startswith(b"data: {")]


def unchunked(answer: bytes) -> bytes:
    """The body of an answer in chunks that is complete."""
    _, _, rest = answer.partition(b"\r\n\r\n")
    body = b""
    while True:
        size, _, rest = rest.partition(b"\r\n")
        length = int(size, 16)
        if not length:
            assert rest == b"\r\n"
            return body
        body += rest[:length]
        assert rest[length : length + 2] == b"\r\n"
        rest = rest[length + 2 :]


OWN_HEADERS = {
    *(b"x-oneapi-request-id", b"x-ds-trace-id", b"x-request-id", b"openai-processing-ms"),
    *(b"transfer-encoding", b"content-length"),
}
TYPED = {
    *("unknown_block", "unknown_item", "missing_block_start", "missing_block_stop", "no_created", "done_text_differs"),
    *("only_final", "id_changes", "sequence_gap", "no_signature", "wrong_signature", "unknown_event"),
    *("failed_after_text", "other_dialect", "done_added", "no_event_lines", "wrong_event_name", "spend_limit"),
}
"""The faults of typed streams, shown in test_typed_streams.py."""


def seen(answer: bytes) -> tuple[bytes, dict[bytes, bytes], bytes]:
    """An answer as a client sees it: status, headers but for those that are its own or tell the framing, and body."""
    top, _, body = answer.partition(b"\r\n\r\n")
    first, *lines = top.split(b"\r\n")
    headers = {name.lower(): value for name, value in (line.split(b": ", 1) for line in lines)}
    if b"transfer-encoding" in headers:
        body = unchunked(answer)
    for name in list(headers):
        if name in OWN_HEADERS or name.startswith(b"x-ratelimit-"):
            del headers[name]
    return first.split(b" ")[1], headers, body


# Sweeping


def of_family(family: str) -> dict[str, type[Fault]]:
    """Every fault of a family by its kind."""
    return {kind.model_fields["kind"].default: kind for kind in FAULTS.values() if kind.family == family}


def is_described(kind: type[Fault]) -> bool:
    """Whether a fault says in a sentence what it does and what it tests, and what each parameter means."""
    texts = [kind.effect, kind.tests]
    own = kind.model_fields.keys() - Fault.model_fields.keys() - {"message", "status"}
    named = all(docstrings.of(kind).get(name) for name in own)
    return named and all(text[0].isupper() or text[0] == "`" for text in texts) and all(t.endswith(".") for t in texts)


PARTS = ("a sample", pytest.param("all", marks=pytest.mark.soak))
"""How much a sweep asks for: of the kinds of answers, a hash chooses two for each fault and provider."""


def sweep(on: Virtual, provider: str, cases: Sequence[Case], part: str) -> None:
    """Requests each fault with kinds of answers, streamed and not: it applies, or the journal says why it could not."""
    for case in cases:
        for streamed in (True, False):
            prompts: Sequence[str] = PROMPTS if case.ending != "timeout" else ("Hi", "Refuse")
            if part == "a sample":
                prompts = (prompts[crc32(f"{provider} {case.fault} {streamed}".encode()) % len(prompts)],)
            for prompt in prompts:
                timeout = SILENCE / 4 if case.ending == "timeout" else HEAD_TIMEOUT
                data, _ = on.get(case.fault, prompt, streamed=streamed, provider=provider, timeout=timeout)
                where = f"{provider}, {case.fault}, {prompt}, streamed: {streamed}: {data[:300]!r}"
                assert b"x-emulator-error" not in data, where
                head, _, body = data.partition(b"\r\n\r\n")
                assert head.startswith(b"HTTP/1.1 ") or case.ending == "timeout", where
                if b"\r\ncontent-length: " in head and case.ending == "eof":
                    assert b"\r\ncontent-length: %d" % len(body) in head, where
                elif case.is_clean:
                    unchunked(data)
                for note in on.record().notes:
                    assert note.startswith(f"fault {case.fault.partition(':')[0]} (header) was skipped: "), where
    gc.collect()  # an exception that nobody fetched is reported when it is forgotten
