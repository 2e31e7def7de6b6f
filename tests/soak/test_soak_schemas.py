"""Random schemas and bodies against a live server: `make soak`. It prints how many got which answer."""

import copy
import json
import random
import time
from collections import Counter
from typing import Any

import httpx
import pytest
from schemas import VALUES, nested, random_schema, required
from talk import KEYS, PATHS, question

from emulator import Emulator

HEADERS = {**KEYS["deepseek"], "content-type": "application/json"}
pytestmark = [pytest.mark.soak, pytest.mark.timeout(900)]


def random_body(chance: random.Random) -> dict[str, Any]:
    """A body with one or two members replaced, at any depth, by what does not belong there."""
    body = question("deepseek", "Fill it in", tools=[{"type": "function", "function": {"name": "f", "parameters": {}}}])
    for _ in range(chance.randint(1, 2)):
        part: Any = body
        while True:
            key = chance.choice(list(part) if isinstance(part, dict) else range(len(part)))
            if isinstance(part[key], dict | list) and part[key] and chance.random() < 0.7:
                part = part[key]
                continue
            part[key] = copy.deepcopy(chance.choice([*VALUES, nested(chance.randint(1, 200), required)]))
            break
    return body


@pytest.mark.parametrize("seed", range(4))
def test_two_thousand_schemas_and_bodies(seed: int) -> None:
    chance = random.Random(seed)
    seen: Counter[str] = Counter()
    slowest = 0.0
    with Emulator() as emulator, httpx.Client(trust_env=False, timeout=60, headers=HEADERS) as client:
        url = emulator.url("deepseek") + PATHS["deepseek"]
        for number in range(2000):
            body = random_body(chance)
            if number % 4:
                schema = {"type": "object", "properties": {"a": random_schema(chance)}, "required": ["a"]}
                form = {"type": "json_schema", "json_schema": {"name": "s", "schema": schema}}
                body = question("deepseek", "Fill it in", thinking={"type": "disabled"}, response_format=form)
            started = time.perf_counter()
            response = client.post(url, content=json.dumps(body))
            slowest = max(slowest, time.perf_counter() - started)
            marked = response.headers.get("x-emulator-error")
            seen[f"{response.status_code} {marked or ''}".strip()] += 1
            assert marked in (None, "schema"), (body, response.text)
            assert response.status_code < 500, (body, response.text)
            if response.headers["content-type"] == "application/json":
                json.loads(response.content.decode())
    print(f"seed {seed}: {dict(seen)}, the slowest {slowest * 1000:.0f} ms")
    assert slowest < 5
