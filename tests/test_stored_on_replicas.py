"""Stored responses belong to all workers and replicas of a server: any of them continues, shows, cancels and deletes
what another one has made."""

import json
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from typing import Any

import httpx
import pytest
from redis_server import RedisServer, running_redis
from served import served
from talk import Alone

pytestmark = pytest.mark.timeout(120)
SCENARIO = {
    "version": 1,
    "rules": [
        {"match": {"prompt": {"contains": "slow"}}, "pace": {"ttft": 1000}, "reply": {"content": "At last."}},
        {"match": {"prompt": {"contains": "second"}}, "reply": {"content": "turn {{ turn }}"}},
        {"reply": {"content": "The first."}},
    ],
}
CLIENT = httpx.Client(trust_env=False, transport=Alone(), timeout=20)
"""Each request has a connection of its own, so that the kernel spreads them over workers."""


class Origins:
    """The ports of one server, asked in turn."""

    def __init__(self, ports: Sequence[int]) -> None:
        self._ports = ports
        self._next = 0

    def ask(self, method: str, path: str = "", body: Any = None, namespace: str = "default") -> httpx.Response:
        self._next += 1
        url = f"http://127.0.0.1:{self._ports[self._next % len(self._ports)]}/@{namespace}/openai/v1/responses{path}"
        content = None if body is None else json.dumps(body)
        headers = {"authorization": "Bearer sk-any", "content-type": "application/json"}
        return CLIENT.request(method, url, content=content, headers=headers)

    def make(self, input: Any, **more: Any) -> dict[str, Any]:
        response = self.ask("POST", body={"model": "gpt-4o", "input": input, **more})
        assert response.status_code == 200, response.text
        made: dict[str, Any] = response.json()
        return made

    def reset(self) -> None:
        url = f"http://127.0.0.1:{self._ports[0]}/__emulator/reset"
        assert CLIENT.post(url, json={}).status_code == 200


@pytest.fixture(scope="module")
def redis_of_module() -> Iterator[RedisServer]:
    with running_redis() as server:
        yield server


@pytest.fixture(scope="module", params=["workers", "replicas", "replicas with workers"])
def origins(
    request: pytest.FixtureRequest, redis_of_module: RedisServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Origins]:
    path = tmp_path_factory.mktemp("stored") / "scenario.json"
    path.write_text(json.dumps(SCENARIO))
    options = ["--port", "0", "--log", "off", "--scenario", str(path)]
    store = ["--store", f"{redis_of_module.url}?prefix={request.param.replace(' ', '-')}"]
    kinds = {
        "workers": [[*options, "--workers", "3"]],
        "replicas": [[*options, *store]] * 3,
        "replicas with workers": [[*options, *store, "--workers", "2"]] * 2,
    }
    with ExitStack() as stack:
        yield Origins([stack.enter_context(served(*each)).port for each in kinds[request.param]])


def test_an_id_of_a_wrong_type_is_refused_as_it_is_without_a_store(origins: Origins) -> None:
    refused = origins.ask("POST", body={"model": "gpt-4o", "input": "Hi", "previous_response_id": 5})
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, "previous_response_id")


def test_a_conversation_goes_on_wherever_it_is_asked(origins: Origins) -> None:
    first = origins.make("the first")
    seconds = [origins.make("the second", previous_response_id=first["id"]) for _ in range(6)]
    assert [each["output"][0]["content"][0]["text"] for each in seconds] == ["turn 2"] * 6
    third = origins.make("second again", previous_response_id=seconds[0]["id"])
    assert third["output"][0]["content"][0]["text"] == "turn 3"
    by_item = origins.make([{"type": "item_reference", "id": first["output"][0]["id"]}, message("the second")])
    assert by_item["output"][0]["content"][0]["text"] == "turn 2"


def message(text: str) -> dict[str, Any]:
    return {"role": "user", "content": text}


def test_any_shows_it_and_its_input(origins: Origins) -> None:
    made = origins.make("the first", metadata={"of": "mine"})
    for _ in range(6):
        assert origins.ask("GET", f"/{made['id']}").json() == made
        items = origins.ask("GET", f"/{made['id']}/input_items").json()["data"]
        assert [item["content"][0]["text"] for item in items] == ["the first"]
    assert origins.ask("GET", f"/{made['id']}", namespace="other").status_code == 404


def test_what_one_has_deleted_is_gone_for_all(origins: Origins) -> None:
    made = origins.make("the first")
    assert origins.ask("DELETE", f"/{made['id']}").json()["deleted"] is True
    for _ in range(6):
        assert origins.ask("GET", f"/{made['id']}").status_code == 404
    body = {"model": "gpt-4o", "input": "on", "previous_response_id": made["id"]}
    refused = origins.ask("POST", body=body)
    assert (refused.status_code, refused.json()["error"]["code"]) == (400, "previous_response_not_found")


def test_what_one_has_canceled_is_canceled_for_all(origins: Origins) -> None:
    made = origins.make("slow", background=True)
    assert [origins.ask("GET", f"/{made['id']}").json()["status"] for _ in range(4)] == ["queued"] * 4
    assert origins.ask("POST", f"/{made['id']}/cancel").json()["status"] == "cancelled"
    assert [origins.ask("GET", f"/{made['id']}").json()["status"] for _ in range(6)] == ["cancelled"] * 6


def test_what_is_not_to_be_stored_is_found_by_none(origins: Origins) -> None:
    made = origins.make("the first", store=False)
    assert [origins.ask("GET", f"/{made['id']}").status_code for _ in range(4)] == [404] * 4


def test_a_reset_forgets_it_everywhere(origins: Origins) -> None:
    made = origins.make("the first")
    origins.reset()
    assert [origins.ask("GET", f"/{made['id']}").status_code for _ in range(6)] == [404] * 6
