"""Many streams at once, on connections of their own, without the cost of a client library."""

import asyncio
import json
import re
from dataclasses import dataclass

CHUNK = re.compile(rb"[0-9a-f]+\r\n(.*?)\r\n", re.DOTALL)


@dataclass(frozen=True)
class Streamed:
    """A stream as it arrived: its text, whether it ended properly, and its seconds."""

    text: str
    is_whole: bool
    seconds: float


async def stream(port: int, prompt: str, path: str = "/serevix/v1/chat/completions") -> Streamed:
    """One streamed answer."""
    messages = [{"role": "user", "content": prompt}]
    body = json.dumps({"model": "deepseek-v3", "stream": True, "messages": messages}).encode()
    loop = asyncio.get_running_loop()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    started = loop.time()
    head = f"POST {path} HTTP/1.1\r\nhost: 127.0.0.1\r\nauthorization: Bearer k\r\ncontent-type: application/json\r\n"
    writer.write(f"{head}content-length: {len(body)}\r\nconnection: close\r\n\r\n".encode() + body)
    try:
        raw = await reader.read(-1)
    except ConnectionError:
        raw = b""
    taken = loop.time() - started
    writer.close()
    data = b"".join(CHUNK.findall(raw.partition(b"\r\n\r\n")[2]))
    events = [json.loads(line[6:]) for line in data.decode().splitlines() if line.startswith("data: {")]
    text = "".join(choice["delta"].get("content") or "" for event in events for choice in event["choices"])
    return Streamed(text, data.endswith(b"data: [DONE]\n\n") and raw.endswith(b"0\r\n\r\n"), taken)


async def streams(port: int, count: int, prompt: str = "Hi") -> list[Streamed]:
    """Runs this many at once."""
    return await asyncio.gather(*(stream(port, f"{prompt} {number}") for number in range(count)))
