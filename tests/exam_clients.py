"""Clients for exams. Run as a program, it does everything right, except for what its argument names."""

import json
import os
import sys
import time
from collections.abc import Iterator
from email.utils import parsedate_to_datetime
from urllib.parse import urlsplit

if __name__ == "__main__":
    sys.modules["ssl"] = None  # type: ignore[assignment]  # not needed, and slow to load for each of many cases

import http.client

RETRYABLE = (408, 409, 429, 500, 502, 503, 504)
TIMEOUT = 2.0 if "impatient" in sys.argv else 5.0
MISTAKES = frozenset(sys.argv[1:])
POOL: list[http.client.HTTPConnection] = []
"""Open connections, of clients that keep them."""


class LlmError(Exception):
    """There is no whole answer."""


class LostError(LlmError):
    """The connection was lost before anything came."""


def main(prompt: str, *, streams: bool) -> None:
    for attempt in range(30 if "storm" in MISTAKES else 3):
        try:
            for text in ask(prompt, streams=streams):
                sys.stdout.write(text)
                sys.stdout.flush()
            return
        except Later as later:
            if attempt == (29 if "storm" in MISTAKES else 2) or later.seconds > 10:
                raise LlmError(f"status {later.status}") from None
            time.sleep(0 if {"hasty", "storm"} & MISTAKES else later.seconds)
        except LostError:
            if attempt == 2:
                raise


class Later(Exception):
    """An error that may pass."""

    def __init__(self, status: int, seconds: float) -> None:
        super().__init__(status)
        self.status, self.seconds = status, seconds


def ask(prompt: str, *, streams: bool) -> Iterator[str]:
    url = urlsplit(os.environ["EMULATOR_BASE_URL"])
    is_reused = bool(POOL)
    connection = POOL.pop() if POOL else http.client.HTTPConnection(url.hostname or "", url.port, timeout=TIMEOUT)
    body = {"model": "gpt-4o-mini", "stream": streams, "messages": [{"role": "user", "content": prompt}]}
    headers = {"authorization": f"Bearer {os.environ['OPENAI_API_KEY']}", "content-type": "application/json"}
    has_begun = False
    try:
        connection.request("POST", f"{url.path}/chat/completions", json.dumps(body), headers)
        response = connection.getresponse()
        if response.status != 200:
            if {"pooled", "brittle"} & MISTAKES and response.read():
                POOL.append(connection)
            raise refused(response)
        kind = response.getheader("content-type", "")
        if "event-stream" not in kind and "json" not in kind and "lax" not in MISTAKES:
            raise LlmError(f"an answer of type {kind}")
        pieces = events(response) if "event-stream" in kind else iter([response.read().decode()])
        for text in texts(pieces, streams="event-stream" in kind):
            has_begun = True
            yield text
    except TimeoutError:
        raise LlmError("timeout") from None
    except (OSError, http.client.HTTPException) as error:
        is_given_up = is_reused and "brittle" in MISTAKES
        if has_begun or is_given_up or isinstance(error, http.client.IncompleteRead):
            raise LlmError("the connection was lost in the middle") from error
        raise LostError("the connection was lost") from error
    finally:
        if connection not in POOL:
            connection.close()


def refused(response: http.client.HTTPResponse) -> Exception:
    no = response.getheader("x-should-retry") == "false"
    if (response.status not in RETRYABLE or no) and "stubborn" not in MISTAKES:
        return LlmError(f"status {response.status}")
    milliseconds, after = response.getheader("retry-after-ms"), response.getheader("retry-after")
    if milliseconds is not None:
        seconds = float(milliseconds) / 1000
    elif after is None:
        seconds = 0.05
    elif after.isdecimal():
        seconds = float(after)
    else:
        seconds = max(0.0, parsedate_to_datetime(after).timestamp() - time.time())
    return Later(response.status, seconds)


def events(response: http.client.HTTPResponse) -> Iterator[str]:
    """The data of each event, as the specification of server-sent events has it."""
    left, data = b"", []
    while True:
        piece = response.read1(65536)
        left += piece
        if left.endswith(b"\r") and piece:
            continue
        *lines, left = left.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
        for line in lines:
            line = line.removeprefix(b"\xef\xbb\xbf")
            if line.startswith(b"data:"):
                data.append(line.removeprefix(b"data:").removeprefix(b" ").decode())
            elif not line and data:
                yield "\n".join(data)
                data = []
            elif line.startswith(b":") and "comments" in MISTAKES:
                yield json.dumps({"choices": [{"delta": {"content": line[1:].decode()}}]})
        if not piece:
            return


def texts(pieces: Iterator[str], *, streams: bool) -> Iterator[str]:
    """The texts of an answer. Raises LlmError when it is not whole."""
    reason, ended = None, False
    for piece in pieces:
        if piece == "[DONE]":
            ended = True
            break
        try:
            found = json.loads(piece, strict=False)
        except ValueError:
            if "raw" in MISTAKES:
                raise
            raise LlmError("an event that is no JSON") from None
        if "error" in found and "lax" not in MISTAKES:
            raise LlmError(str(found["error"]))
        for choice in found.get("choices") or []:
            part = choice.get("delta") or choice.get("message") or {}
            if part.get("content"):
                yield part["content"]
            reason = choice.get("finish_reason") or reason
    if "lax" in MISTAKES:
        return
    if reason is None:
        raise LlmError("the answer ends too soon" if not ended else "an answer without an end")
    if reason in ("length", "content_filter"):
        raise LlmError(f"the answer is cut: {reason}")


if __name__ == "__main__":
    try:
        main(sys.stdin.read(), streams="whole" not in MISTAKES)
    except LlmError as error:
        sys.exit(f"error: {error}")
