"""The tables of docs/scale.md rest on figures that are there, and on events of the size that is sent."""

import re
import subprocess
import sys
from pathlib import Path

from rawhttp import Connection, request

from emulator import Emulator

DOCS = Path(__file__).parent.parent / "docs"


def printed(code: str) -> str:
    """What a script says beside docs/scale.py."""
    command = [sys.executable, "-c", f"import scale; {code}"]
    return subprocess.run(command, capture_output=True, text=True, check=True, cwd=DOCS).stdout.strip()


def test_the_assumed_size_of_an_event_is_that_of_a_stream() -> None:
    """Within a fifth, framing included: models and words differ."""
    body = (
        b'{"model": "deepseek-v3", "stream": true, "messages": [{"role": "user", "content": "Tell me about rivers"}]}'
    )
    headers = {"authorization": "Bearer sk-any", "content_type": "application/json"}
    with Emulator(speed=1000) as emulator, Connection(emulator.port) as connection:
        connection.send(request("/serevix/v1/chat/completions", body, **headers))
        response = connection.response()
    sizes = [len(event) + 2 for event in b"".join(response.chunks).split(b"\n\n") if b'"content":"' in event]
    mean = sum(sizes) / len(sizes) + len("f0\r\n\r\n")
    assert len(sizes) > 20
    assert 0.8 * mean < float(printed("print(scale.EVENT)")) < 1.2 * mean


def test_a_fleet_is_computed_from_the_measured_row() -> None:
    """Each thousand of streams needs a replica; CPU and memory grow with the number of streams."""
    text = (DOCS / "performance.md").read_text()
    row = text[text.index("| 1,000 streams x 50 tokens/s |") :]
    found = re.search(r"\| CPU µs per token \| ([\d.]+) \|", row)
    assert found is not None
    cores = 10_000 * 50 * float(found[1]) / 1e6
    table = (DOCS / "scale.md").read_text()
    assert "| **1,000 on each replica**: replicas, a core each | 10 | 100 | 1,000 |" in table
    assert f"| cores' worth of CPU time | {cores:.1f} | {cores * 10:.0f} |" in table
