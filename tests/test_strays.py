"""Requests that reach no endpoint are answered, logged and journaled with a suggestion."""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from served import served
from talk import KEYS, question

from emulator import Emulator
from emulator.logs import line
from emulator.providers import PROVIDERS
from emulator.state.exchanges import Exchange


@pytest.fixture
def emulator() -> Iterator[Emulator]:
    with Emulator() as running:
        yield running


def post(emulator: Emulator, http: httpx.Client, path: str, method: str = "POST") -> httpx.Response:
    return http.request(method, emulator.origin + path, json=question("serevix"), headers=KEYS["serevix"])


def shown(exchange: Exchange) -> dict[str, Any]:
    record = exchange.record()
    return {name: record[name] for name in ("provider", "method", "path", "status", "outcome", "rule", "notes")}


NO_PROVIDER = {
    "/v1/chat/completions": "There is no provider at /v1/chat/completions. A provider's name comes first in the path: "
    "try /maxtoken/v1/chat/completions or /serevix/v1/chat/completions or /cloudsway/v1/chat/completions.",
    "/chat/completions": "There is no provider at /chat/completions. A provider's name comes first in the path: "
    "try /deepseek/chat/completions.",
    "/serevx/v1/chat/completions": "There is no provider at /serevx/v1/chat/completions. Did you mean 'serevix'?",
    "/Serevix/v1/chat/completions": "There is no provider at /Serevix/v1/chat/completions. Did you mean 'serevix'?",
    "/nothing/here": "There is no provider at /nothing/here. A provider's name comes first in the path: "
    f"one of {', '.join(PROVIDERS)}.",
}


@pytest.mark.parametrize("path", NO_PROVIDER)
def test_a_request_that_reaches_no_provider_is_in_the_journal(
    emulator: Emulator, http: httpx.Client, path: str
) -> None:
    response = post(emulator, http, path)
    assert (response.status_code, response.json()["error"]) == (404, NO_PROVIDER[path])
    assert response.json()["providers"]["serevix"] == emulator.url("serevix")
    (exchange,) = emulator.journal
    assert shown(exchange) == {
        "provider": None,
        "method": "POST",
        "path": path,
        "status": 404,
        "outcome": "error",
        "rule": None,
        "notes": [NO_PROVIDER[path]],
    }
    assert exchange.record()["body"].startswith('{"')
    assert NO_PROVIDER[path] in line(exchange)


def test_it_is_in_the_journal_of_its_namespace(emulator: Emulator, http: httpx.Client) -> None:
    response = post(emulator, http, "/@mine/v1/chat/completions")
    assert "try /@mine/maxtoken/v1/chat/completions or" in response.json()["error"]
    assert response.json()["providers"]["serevix"] == emulator.namespace("mine").url("serevix")
    assert [exchange.call.path for exchange in emulator.namespace("mine").journal] == ["/v1/chat/completions"]
    assert not emulator.journal


SEREVIX_PATHS = dict.fromkeys(operation.path for operation in PROVIDERS["serevix"].operations)
WRONG_BASE = {
    "/serevix/chat/completions": "serevix has no /chat/completions, but /v1/chat/completions: "
    "as the base URL, try …/serevix/v1",
    "/serevix/v1/v1/chat/completions": "serevix has no /v1/v1/chat/completions, but /v1/chat/completions: "
    "as the base URL, try …/serevix/v1",
    "/serevix/nothing": f"serevix has no /nothing; its paths are {', '.join(SEREVIX_PATHS)}",
}


@pytest.mark.parametrize("path", WRONG_BASE)
def test_a_wrong_base_url_is_logged_with_the_right_one(emulator: Emulator, http: httpx.Client, path: str) -> None:
    response = post(emulator, http, path)
    assert response.status_code == 404
    assert response.json()["error"]["type"] == "invalid_request_error"  # the provider's own words
    (exchange,) = emulator.journal
    assert (exchange.record()["provider"], exchange.notes) == ("serevix", (WRONG_BASE[path],))
    assert WRONG_BASE[path] in line(exchange)


def test_the_log_of_a_server_shows_both() -> None:
    with served() as server, httpx.Client(trust_env=False, verify=False) as http:
        http.post(f"http://127.0.0.1:{server.port}/v1/chat/completions", json={})
        http.post(f"http://127.0.0.1:{server.port}/serevix/chat/completions", json={})
        lines = server.lines("try …/serevix/v1")
        assert any("try /maxtoken/v1/chat/completions" in each and " 404 " in each for each in lines)


@pytest.mark.parametrize("rest", ["", "serevix/v1/chat/completions", "__emulator/health", "nothing"])
@pytest.mark.parametrize("name", ["bad%20name", "b%C3%A4d", "a" * 129, ""])
def test_what_cannot_be_a_namespace_is_a_400(emulator: Emulator, http: httpx.Client, name: str, rest: str) -> None:
    response = post(emulator, http, f"/@{name}/{rest}")
    assert (response.status_code, "is not the name of a namespace" in response.text) == (400, True)
    assert [exchange.status for exchange in emulator.journal] == [400]


def test_a_bad_name_is_a_400_also_where_one_provider_stands_alone(http: httpx.Client) -> None:
    with Emulator(provider="serevix") as emulator:
        assert post(emulator, http, "/@bad%20name/v1/chat/completions").status_code == 400
        assert post(emulator, http, "/@good/v1/chat/completions").status_code == 200


def test_the_front_page_and_the_control_api_are_no_strays(emulator: Emulator, http: httpx.Client) -> None:
    for path in ("/", "/__emulator/health", "/__emulator/nothing"):
        post(emulator, http, path, "GET")
    assert not emulator.journal


def test_the_base_url_to_try_is_the_one_that_the_dialects_own_client_takes(
    emulator: Emulator, http: httpx.Client
) -> None:
    assert post(emulator, http, "/deepseek/v1/messages").status_code == 404
    (exchange,) = emulator.journal
    assert exchange.notes == (
        "deepseek has no /v1/messages, but /anthropic/v1/messages: as the base URL, try …/deepseek/anthropic",
    )
