"""The two floors in Python, on uvicorn, uvloop and httptools: an empty ASGI app, and Starlette written the usual way.

`python -m benchmarks.floors asgi|starlette --port PORT [--ttft SECONDS] [--gap SECONDS]`
"""

import argparse
import asyncio
import json
import time
import uuid
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

import uvicorn

from benchmarks.scenario import ANSWER, TOKENS

if TYPE_CHECKING:
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import Response

PIECES = [(" " if index else "") + word for index, word in enumerate(ANSWER.split(" "))]


def completion() -> dict[str, Any]:
    return {
        "id": f"chatcmpl-{uuid.uuid4().hex}",
        "object": "chat.completion",
        "created": int(time.time()),
        "model": "deepseek-v3",
        "choices": [{"message": {"role": "assistant", "content": ANSWER}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 10, "completion_tokens": TOKENS, "total_tokens": TOKENS + 10},
    }


def event(identity: str, created: int, delta: dict[str, str], finish_reason: str | None = None) -> str:
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
    chunk = {
        "id": identity,
        "object": "chat.completion.chunk",
        "created": created,
        "model": "deepseek-v3",
        "choices": [choice],
    }
    return f"data: {json.dumps(chunk, separators=(',', ':'))}\n\n"


def empty_app(ttft: float, gap: float) -> Any:
    """Answers with precomputed bytes and reads only the path; a stream is one send per token."""
    identity, created = f"chatcmpl-{uuid.uuid4().hex}", int(time.time())
    body = json.dumps(completion(), separators=(",", ":")).encode()
    head = {
        "type": "http.response.start",
        "status": 200,
        "headers": [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())],
    }
    stream_head = {
        "type": "http.response.start",
        "status": 200,
        "headers": [(b"content-type", b"text/event-stream"), (b"cache-control", b"no-cache")],
    }
    whole = {"type": "http.response.body", "body": body}
    events = [
        {"type": "http.response.body", "body": event(identity, created, {"content": piece}).encode(), "more_body": True}
        for piece in PIECES
    ]
    end = (event(identity, created, {}, "stop") + "data: [DONE]\n\n").encode()
    last = {"type": "http.response.body", "body": end}

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        while (await receive()).get("more_body"):
            pass
        if scope["path"] != "/stream":
            await send(head)
            await send(whole)
            return
        await send(stream_head)
        if ttft:
            await asyncio.sleep(ttft)
        for index, message in enumerate(events):
            if gap and index:
                await asyncio.sleep(gap)
            await send(message)
        await send(last)

    return app


def starlette_app(ttft: float, gap: float) -> "Starlette":
    """A mock that takes ten minutes to write: it parses and dumps JSON, and streams with a StreamingResponse."""
    # Imported here, so that the empty app starts faster and needs less memory.
    from starlette.applications import Starlette
    from starlette.responses import JSONResponse, StreamingResponse
    from starlette.routing import Route

    async def events() -> AsyncIterator[str]:
        identity, created = f"chatcmpl-{uuid.uuid4().hex}", int(time.time())
        if ttft:
            await asyncio.sleep(ttft)
        for index, piece in enumerate(PIECES):
            if gap and index:
                await asyncio.sleep(gap)
            yield event(identity, created, {"content": piece})
        yield event(identity, created, {}, "stop")
        yield "data: [DONE]\n\n"

    async def answer(request: "Request") -> "Response":
        body = await request.json()
        if body.get("stream"):
            return StreamingResponse(events(), media_type="text/event-stream")
        return JSONResponse(completion())

    return Starlette(routes=[Route("/v1/chat/completions", answer, methods=["POST"])])


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.floors", description=__doc__)
    parser.add_argument("floor", choices=["asgi", "starlette"])
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--ttft", type=float, default=0.0)
    parser.add_argument("--gap", type=float, default=0.0)
    options = parser.parse_args()
    make = empty_app if options.floor == "asgi" else starlette_app
    app = make(options.ttft, options.gap)
    uvicorn.run(
        app,
        host="127.0.0.1",
        port=options.port,
        loop="uvloop",
        http="httptools",
        lifespan="off",
        access_log=False,
        log_level="warning",
    )


if __name__ == "__main__":
    main()
