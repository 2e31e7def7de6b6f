"""Randomness is hashed: the same seed and a frozen clock give the same bytes, however often, in any order or in
parallel.
"""

import json
import random
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import local
from typing import Any

import pytest
from rawhttp import Connection, request
from served import ENVIRONMENT, served
from talk import KEYS, PATHS, Serving, question

from emulator import Emulator, seeded

RUNS = 100
AT_ONCE = 32
SCHEMA = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "degrees": {"type": "number"}},
    "required": ["city", "degrees"],
}
TOOL = {
    "type": "function",
    "function": {"name": "get_weather", "parameters": SCHEMA},
}
SCENARIO: dict[str, Any] = {
    "version": 1,
    "seed": 11,
    "clock": "manual",
    "unmatched": "generate",
    "rules": [
        {
            "match": {"prompt": {"contains": "perhaps"}},
            "chance": 0.5,
            "reply": {"content": "It was drawn."},
        },
        {
            "match": {"prompt": {"contains": "either"}},
            "replies": [
                {"reply": {"content": "Heads."}, "chance": 1},
                {"reply": {"content": "Tails."}, "chance": 2},
                {"error": "overloaded", "chance": 1},
            ],
        },
        {
            "match": {"prompt": {"contains": "name"}},
            "reply": {"content": "{{ fake.name() }} of {{ fake.city() }}, try {{ attempt }} at {{ timestamp }}"},
        },
        {
            "match": {"prompt": {"contains": "broken"}},
            "reply": {"content": "It may come to nothing."},
            "faults": [{"kind": "error", "status": 503, "probability": 0.5}],
        },
        {"match": {"prompt": {"contains": "plain"}}, "reply": {"content": "As it stands.", "reasoning": "Hm."}},
    ],
}
ASKED: Sequence[tuple[str, dict[str, Any]]] = [
    ("maxtoken", question("maxtoken", "Tell me of the sea")),
    ("maxtoken", question("maxtoken", "plain", stream=True)),
    ("nadles", question("nadles", "Search for the sea", search_web=True)),
    ("nadles", question("nadles", "Search for the sky", search_web=True, stream=True)),
    ("serevix", question("serevix", "Three of them", n=3, max_tokens=30)),
    ("serevix", question("serevix", "Three of them", n=3, stream=True)),
    ("serevix", question("serevix", "perhaps")),
    ("serevix", question("serevix", "either")),
    ("serevix", question("serevix", "broken")),
    ("cloudsway", question("cloudsway", "a name", stream=True)),
    ("cloudsway", question("cloudsway", "Some json", response_format={"type": "json_object"})),
    ("cloudsway", question("cloudsway", "Likely", logprobs=True, top_logprobs=5, stream=True)),
    ("deepseek", question("deepseek", "The weather", tools=[TOOL], stream=True)),
    (
        "deepseek",
        question(
            "deepseek",
            "The weather",
            response_format={"type": "json_schema", "json_schema": {"name": "w", "schema": SCHEMA}},
        ),
    ),
    ("deepseek", {"model": "nonsense", "messages": []}),
]
"""One of everything that is random or generated."""

Answer = tuple[int, tuple[tuple[str, str], ...], bytes]
_connections = local()


@pytest.fixture(scope="module")
def emulator(serving: Serving) -> Emulator:
    return serving(SCENARIO)


def send(port: int, provider: str, body: Any, *, world: str = "", **headers: str) -> Answer:
    """One request on this thread's connection: everything that came back, but for the date."""
    known: dict[int, Connection] = _connections.__dict__.setdefault("known", {})
    if port not in known:
        known[port] = Connection(port)
    prefix = f"/@{world}" if world else ""
    given = {name.replace("-", "_"): value for name, value in {**KEYS[provider], **headers}.items()}
    data = json.dumps(body).encode()
    known[port].send(request(f"{prefix}/{provider}{PATHS[provider]}", data, content_type="application/json", **given))
    response = known[port].response()
    reported = sorted((name, value) for name, value in response.headers.items() if name != "date")
    return response.status, tuple(reported), response.body


@pytest.fixture(autouse=True)
def no_connection_is_left_open() -> Iterator[None]:
    yield
    for connection in _connections.__dict__.pop("known", {}).values():
        connection.socket.close()


def in_series(port: int, world: str) -> list[Answer]:
    """One run: every request in turn, in its own namespace."""
    return [send(port, provider, body, world=world) for provider, body in ASKED]


def pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(AT_ONCE)


def closing(work: Callable[[], list[Answer]]) -> list[Answer]:
    """Work on a thread of a pool, whose connections end with it."""
    try:
        return work()
    finally:
        for connection in _connections.__dict__.pop("known", {}).values():
            connection.socket.close()


def test_a_hundred_runs_in_series_are_the_same_bytes(emulator: Emulator) -> None:
    first = in_series(emulator.port, "series-0")
    assert [status for status, _, _ in first][-1] == 400
    assert {status for status, _, _ in first} <= {200, 400, 503}
    for number in range(1, RUNS):
        assert in_series(emulator.port, f"series-{number}") == first


def test_a_hundred_runs_at_once_are_the_same_bytes(emulator: Emulator) -> None:
    first = in_series(emulator.port, "pattern")
    with pool() as threads:
        runs = threads.map(lambda number: closing(lambda: in_series(emulator.port, f"at-once-{number}")), range(RUNS))
        assert all(run == first for run in runs)


def test_the_order_of_requests_does_not_matter(emulator: Emulator) -> None:
    first = in_series(emulator.port, "order")
    order = list(range(len(ASKED)))
    for seed in range(10):
        random.Random(seed).shuffle(order)
        answers = {place: send(emulator.port, *ASKED[place], world=f"order-{seed}") for place in order}
        assert [answers[place] for place in range(len(ASKED))] == first


def test_requests_of_one_world_at_once_are_the_same_bytes(emulator: Emulator) -> None:
    first = in_series(emulator.port, "within")
    with pool() as threads:
        for number in range(5):
            answers = threads.map(
                lambda asked, number=number: closing(lambda: [send(emulator.port, *asked, world=f"within-{number}")]),
                ASKED,
            )
            assert [answer for (answer,) in answers] == first


def test_the_same_request_at_once_gets_the_same_answers_in_some_order(emulator: Emulator) -> None:
    asked = [ASKED[place] for place in (0, 6, 7, 8, 9, 12)]
    for place, (provider, body) in enumerate(asked):
        in_turn = [send(emulator.port, provider, body, world=f"turn-{place}") for _ in range(AT_ONCE)]
        with pool() as threads:
            answers = threads.map(
                lambda _, provider=provider, body=body, place=place: closing(
                    lambda: [send(emulator.port, provider, body, world=f"rush-{place}")]
                ),
                range(AT_ONCE),
            )
            assert sorted(answer for (answer,) in answers) == sorted(in_turn)


def test_another_process_gives_the_same_bytes(emulator: Emulator, tmp_path: Path) -> None:
    first = in_series(emulator.port, "other-process")
    file = tmp_path / "scenario.json"
    file.write_text(json.dumps(SCENARIO))
    for hash_seed in ("0", "4711"):
        environment = {**ENVIRONMENT, "PYTHONHASHSEED": hash_seed}
        with served("--scenario", str(file), "--speed", "max", environment=environment) as server:
            assert in_series(server.port, "elsewhere") == first


def test_another_server_gives_the_same_bytes(emulator: Emulator) -> None:
    first = in_series(emulator.port, "other-server")
    with Emulator(SCENARIO, loop="asyncio", http="h11") as other:
        answers = in_series(other.port, "")
    assert [(status, body) for status, _, body in answers] == [(status, body) for status, _, body in first]


def test_the_name_of_a_world_is_never_hashed(emulator: Emulator) -> None:
    provider, body = "serevix", question("serevix", "What is in a name")
    by_path = send(emulator.port, provider, body, world="hashed-by-path")
    by_key = send(emulator.port, provider, body, authorization="Bearer sk-emu-hashed-by-key")
    by_header = send(emulator.port, provider, body, x_emulator_namespace="hashed-by-header")
    assert by_path == by_key == by_header
    assert send(emulator.port, provider, body, world="default-1") == by_path


def content(answer: Answer) -> str:
    return str(json.loads(answer[2])["choices"][0]["message"]["content"])


def test_attempts_have_the_same_words_and_ids_of_their_own(emulator: Emulator) -> None:
    for place in (0, 4, 10, 13):
        provider, body = ASKED[place]
        if provider == "maxtoken":
            body = {**body, "stream": False}
        answers = [json.loads(send(emulator.port, provider, body, world="attempts")[2]) for _ in range(12)]
        assert len({answer["id"] for answer in answers}) == 12
        assert len({json.dumps(answer["choices"]) for answer in answers}) == 1
        assert len({answer["created"] for answer in answers}) == 1


def test_each_attempt_draws_anew(emulator: Emulator) -> None:
    for place, expected in ((6, (0.25, 0.75)), (8, (0.25, 0.75))):
        provider, body = ASKED[place]
        answers = [send(emulator.port, provider, body, world=f"draw-{place}") for _ in range(80)]
        again = [send(emulator.port, provider, body, world=f"draw-{place}-again") for _ in range(80)]
        assert answers == again
        share = sum(b"It was drawn" in body or status == 503 for status, _, body in answers) / 80
        assert expected[0] < share < expected[1]
    provider, body = ASKED[7]
    kinds = [
        content(answer) if answer[0] == 200 else str(answer[0])
        for answer in (send(emulator.port, provider, body, world="weights") for _ in range(120))
    ]
    counts = {kind: kinds.count(kind) for kind in kinds}
    assert set(counts) == {"Heads.", "Tails.", "503"}
    assert counts["Tails."] == max(counts.values())


def test_the_seed_decides(emulator: Emulator) -> None:
    provider, body = "serevix", question("serevix", "Tell me of the sky")
    reported: dict[int | None, Answer] = {}
    for seed in (None, 1, 2, 11):
        emulator.namespace(f"seed-{seed}", seed=seed)
        reported[seed] = send(emulator.port, provider, body, world=f"seed-{seed}")
    assert reported[None] == reported[11]
    assert len({content(answer) for answer in reported.values()}) == 3
    assert len({json.loads(answer[2])["id"] for answer in reported.values()}) == 3
    scripted = emulator.namespace("seed-scripted", {**SCENARIO, "seed": 2})
    assert send(emulator.port, provider, body, world=scripted.name) == reported[2]
    given = emulator.namespace("seed-given", {**SCENARIO, "seed": 3}, seed=2)
    assert send(emulator.port, provider, body, world=given.name) == reported[2]
    with Emulator(SCENARIO, seed=2) as other:
        assert send(other.port, provider, body) == reported[2]
        assert send(other.port, provider, body, world="any") == reported[2]


def test_after_a_reset_everything_comes_again(emulator: Emulator) -> None:
    world = emulator.namespace("reset")
    first = [in_series(emulator.port, world.name) for _ in range(3)]
    assert first[0] != first[1] != first[2]
    world.reset()
    assert [in_series(emulator.port, world.name) for _ in range(3)] == first


def test_what_is_remembered_is_what_would_be_made_anew(emulator: Emulator) -> None:
    """The second namespace has quotas, so that none of its answers can be cached."""
    emulator.namespace("remembered", SCENARIO)
    emulator.namespace("made-anew", {**SCENARIO, "quotas": [{"requests": 100_000}]})
    for provider, body in ASKED:
        for _ in range(5):
            cached_response = send(emulator.port, provider, body, world="remembered")
            assert cached_response == send(emulator.port, provider, body, world="made-anew")


class Word(str):
    """A text of a user's own kind."""


class Data(bytes):
    """Bytes of a user's own kind."""


def test_a_value_of_an_own_kind_mixes_like_its_base() -> None:
    assert seeded.mixed(Word("é\ud800"), Data(b"x"), True) == seeded.mixed("é\ud800", b"x", "True")
