"""Large bodies are parsed like small ones, and no stream waits for them."""

import asyncio
import gc
import http.client
import json
import random
import threading
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import orjson
import pytest
from rawhttp import eventually
from served import served
from talk import single
from test_matching import request_of

from emulator import Emulator, large
from emulator.clock import VirtualClock
from emulator.matching.conditions import MatchContext
from emulator.matching.rules import RuleMatch
from emulator.state.compiled import compile_scenario
from emulator.state.namespace import Namespace

KEY = {"authorization": "Bearer k", "content-type": "application/json"}
STREAM = {"model": "m", "stream": True, "messages": [{"role": "user", "content": "Tell me a story"}]}


def deepseek(*messages: Any, **members: Any) -> bytes:
    return orjson.dumps({"model": "deepseek-v4-pro", "messages": messages, **members})


MANY_MESSAGES = deepseek(*[{"role": ("user", "assistant")[n % 2], "content": "hi"} for n in range(60_001)])
MANY_PARTS = deepseek({"role": "user", "content": [{"type": "text", "text": "a"}] * 200_000})
MUCH_CHINESE = deepseek({"role": "user", "content": "中文字符测试" * 300_000})
MANY_LISTS = b'{"x":[%b1],%b' % (b"[]," * 1_000_000, deepseek({"role": "user", "content": "Hi"})[1:])


def outcome(read: Callable[[bytes], Any], data: bytes) -> Any:
    try:
        return read(data)
    except orjson.JSONDecodeError as error:
        return str(error)


def anything(chance: random.Random, depth: int = 0) -> Any:
    if depth > 4 or chance.random() < 0.3:
        texts = ["", 'a,b]}{["', '\\"\n中' * chance.randint(0, 30), "x" * chance.randint(0, 300)]
        return chance.choice([1, -2.5e3, True, None, [], {}, *texts])
    size = chance.randint(0, 6)
    if chance.random() < 0.5:
        return [anything(chance, depth + 1) for _ in range(size)]
    return {chance.choice(["a", "b", '"', "\\", "ü", ",", "}"]): anything(chance, depth + 1) for _ in range(size)}


@pytest.mark.parametrize("seed", range(8))
def test_json_read_in_slices_is_what_it_is_read_at_once(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    chance = random.Random(seed)
    monkeypatch.setattr(large, "LARGE", 0)
    for _ in range(40):
        monkeypatch.setattr(large, "_SLICE", chance.choice([4, 16, 40, 100, 500]))
        text = json.dumps(anything(chance), indent=chance.choice([None, 1]), ensure_ascii=chance.random() < 0.5)
        whole = text.encode()
        at = chance.randrange(len(whole) + 1)
        broken = whole[:at] + chance.choice([b'"', b",", b"[", b"]", b"{", b"}", b":", b"\\", b"0", b"\x80", b""])
        for data in (whole, broken, broken + whole[at:], broken + whole[at + 1 :], whole + b"]"):
            assert outcome(large.loads, data) == outcome(orjson.loads, data), data


DEEP = b'{"a":' * 1023
"""As deep as orjson reads, but for one level."""


@pytest.mark.parametrize(
    "data",
    [
        b"[" * 100_000,
        DEEP + b'{"%b":[1]}' % (b"k" * 70_000) + b"}" * 1023,
        b"[" * 600 + b"1," * 50_000 + b"1" + b"]" * 600,
        b'{"a":' * 90_000,
    ],
)
def test_deep_json_is_read_or_refused_in_good_time(data: bytes) -> None:
    started = time.process_time()
    assert outcome(large.loads, data) == outcome(orjson.loads, data)
    assert time.process_time() - started < 10


@pytest.mark.parametrize(
    "data", [b"[" * 100_000, b'{"a":' * 90_000, b'{"x":1,"a":[[' + b"[" * 100_000 + b"]" * 100_002]
)
def test_json_that_is_too_deep_costs_no_more_than_other_json(data: bytes) -> None:
    def cost(of: bytes) -> float:
        started = time.process_time()
        outcome(large.loads, of)
        return time.process_time() - started

    flat = b"[" + b"0," * 50_000 + b"0]"
    assert min(cost(data) for _ in range(3)) < 10 * min(cost(flat) for _ in range(3))


@pytest.mark.parametrize("depth", [1022, 1023, 1024, 1025, 1026])
@pytest.mark.parametrize("padding", [b"", b"0," * 50_000], ids=["at once", "after much"])
def test_as_deep_json_is_read_as_at_once(depth: int, padding: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(large, "LARGE", 0)

    def read(reader: Callable[[bytes], Any], data: bytes) -> tuple[list[int], Any]:
        """The size of each level, as comparing lists that deep would go too deep itself; and what is left or wrong."""
        sizes, value = [], outcome(reader, data)
        while isinstance(value, list) and value:
            sizes.append(len(value))
            value = value[-1]
        return sizes, value

    for data in (b"[" + padding + b"[" * (depth - 1) + b"]" * closed for closed in (depth, depth - 2)):
        assert read(large.loads, data) == read(orjson.loads, data)


def test_what_is_wrong_far_inside_a_long_list_is_reported_with_its_place() -> None:
    messages: list[Any] = [{"role": "user", "content": "hi"}] * 5_000
    messages[4_321] = {"role": "nobody", "content": "hi"}
    with Emulator() as emulator:
        url = f"{emulator.origin}/deepseek/chat/completions"
        answer = single.post(url, content=deepseek(*messages), headers=KEY, timeout=60)
    assert answer.status_code == 400
    assert "messages[4321].role: unknown variant `nobody`" in answer.json()["error"]["message"]


def test_a_large_body_is_answered_by_the_rule_that_it_matches() -> None:
    rule = {"match": {"prompt": "last words"}, "reply": {"content": "Heard."}, "times": 1}
    messages = [{"role": ("user", "assistant")[n % 2], "content": "x" * 50} for n in range(4_000)]
    body = deepseek(*messages, {"role": "user", "content": "last words"}, thinking={"type": "disabled"})
    with Emulator({"rules": [rule, {"reply": {"content": "Too late."}}]}) as emulator:
        url = f"{emulator.origin}/deepseek/chat/completions"
        said = [
            single.post(url, content=body, headers=KEY, timeout=60).json()["choices"][0]["message"]["content"]
            for _ in range(2)
        ]
    assert said == ["Heard.", "Too late."]


def is_at_rest() -> bool:
    """Whether the thread for large bodies has nothing to do."""
    return not large._POOL._busy


def test_what_a_large_body_held_is_let_go_and_garbage_is_collected_again() -> None:
    eventually(is_at_rest)  # an earlier test's body may still be on its way out
    threshold = gc.get_threshold()
    values = large.LargeDict({"a": [{"b": [1, 2]}] * 2_000})
    assert gc.get_freeze_count() > 0
    taken = values["a"]
    del values
    eventually(is_at_rest)
    assert gc.get_freeze_count() == 0
    assert gc.get_threshold() == threshold
    assert taken == [{"b": [1, 2]}] * 2_000  # what others still hold stays whole


def gaps(port: int, meanwhile: Callable[[], None]) -> list[float]:
    """Seconds between the frames of a paced stream, while something else is done."""
    client = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    client.request("POST", "/serevix/v1/chat/completions", json.dumps(STREAM), KEY)
    lines = client.getresponse()
    lines.readline()
    thread = threading.Thread(target=meanwhile)
    thread.start()
    moments = []
    while thread.is_alive():
        assert lines.readline(), "the stream was over too early"
        moments.append(time.perf_counter())
    thread.join()
    client.close()
    return [later - earlier for earlier, later in pairwise(moments)]


@pytest.mark.parametrize(
    "body",
    [MANY_MESSAGES, MANY_PARTS, MUCH_CHINESE, MANY_LISTS],
    ids=["60,001 messages", "200,000 parts", "5 MiB of Chinese", "a million lists"],
)
def test_no_stream_waits_for_a_large_body(body: bytes, tmp_path: Path) -> None:
    """Best of some tries, as the machine may have other work; what blocks the loop does so in each of them."""
    worst = []
    pace = {"tokens_per_second": 100}
    rule = {"match": {"prompt": "Tell me a story"}, "reply": {"content": "On and on. " * 20_000}, "pace": pace}
    scenario = tmp_path / "long.json"
    scenario.write_text(json.dumps({"version": 1, "rules": [rule]}))
    with served("--scenario", str(scenario)) as server:

        def post() -> None:
            single.post(
                f"http://127.0.0.1:{server.port}/deepseek/chat/completions", content=body, headers=KEY, timeout=60
            )

        for _ in range(6):
            usual = gaps(server.port, lambda: time.sleep(1.5))
            worst.append(max(gaps(server.port, post)) - max(usual))
            if worst[-1] < 0.05:
                break
    assert min(worst) < 0.05, worst


def test_a_large_request_is_matched_again_if_its_rule_was_used_up_meanwhile(monkeypatch: pytest.MonkeyPatch) -> None:
    rules = [{"reply": {"content": "once"}, "times": 1}, {"reply": {"content": "else"}}]
    asked = MatchContext(request_of())
    tried: list[str] = []

    async def matched() -> RuleMatch | None:
        one = Namespace("one", compile_scenario({"rules": rules}), VirtualClock())

        async def elsewhere(work: Any, *arguments: Any) -> Any:
            found = work(*arguments)
            tried.append(found.rule.name)
            if len(tried) == 1:
                assert one.find(asked) is not None  # another request
            return found

        monkeypatch.setattr("emulator.large.elsewhere", elsewhere)
        return await one.find_in_large(asked)

    found = asyncio.run(matched())
    assert (tried, found is not None and found.rule.name) == (["rules[0]", "rules[1]"], "rules[1]")
