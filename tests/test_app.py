"""Which provider a request reaches, and the answers to requests that reach none."""

from typing import Any

import httpx
import pytest
from rawhttp import Connection, request
from talk import KEYS, PATHS, Ask, Serving, question

from emulator import Emulator
from emulator.providers import PROVIDERS
from emulator.server.heads import HOSTS

RULES: dict[str, Any] = {
    "rules": [{"name": name, "match": {"provider": name}, "reply": {"content": f"I am {name}."}} for name in PROVIDERS],
    "providers": {"nadles": {"models": ["deepseek-r1-distill-llama-70b-websearch"]}},
}


@pytest.fixture(scope="module")
def all_of_them(serving: Serving) -> Emulator:
    return serving(RULES)


def said(response: httpx.Response) -> str:
    assert response.status_code == 200, response.text
    body = response.json()
    if "candidates" in body:
        return "".join(part["text"] for part in body["candidates"][0]["content"]["parts"])
    if isinstance(body.get("content"), list):
        return "".join(block["text"] for block in body["content"])
    content: str = body.get("model_response", body)["choices"][0]["message"]["content"]
    return content


def post(http: httpx.Client, url: str, provider: str, *, host: str | None = None, **headers: str) -> httpx.Response:
    given = {**KEYS[provider], **({"host": host} if host else {}), **headers}
    return http.post(url, json=question(provider), headers=given)


# Routing


@pytest.mark.parametrize("provider", PROVIDERS)
def test_the_first_segment_of_the_path_names_the_provider(
    all_of_them: Emulator, http: httpx.Client, provider: str
) -> None:
    url = f"{all_of_them.origin}/{provider}{PATHS[provider]}"
    assert said(post(http, url, provider)) == f"I am {provider}."


@pytest.mark.parametrize(("host", "provider"), HOSTS.items())
def test_the_documented_hosts_serve_the_documented_paths(
    all_of_them: Emulator, http: httpx.Client, host: str, provider: str
) -> None:
    url = all_of_them.origin + PATHS[provider]
    assert said(post(http, url, provider, host=host)) == f"I am {provider}."
    assert said(post(http, url, provider, host=f"{host.upper()}:8080")) == f"I am {provider}."


def test_every_provider_has_its_documented_hosts_and_one_below_localhost() -> None:
    expected = {host: name for name, provider in PROVIDERS.items() for host in [*provider.hosts, f"{name}.localhost"]}
    assert expected == HOSTS
    assert HOSTS["api.maxtoken.io"] == "maxtoken"
    assert HOSTS["deadlock.p.nadles.com"] == "nadles"
    assert HOSTS["gateway.serevixai.ai"] == "serevix"
    assert HOSTS["genaiapi.cloudsway.net"] == "cloudsway"


def test_a_provider_served_alone_has_the_root_and_the_hosts_keep_theirs(serving: Serving, http: httpx.Client) -> None:
    alone = serving(RULES, provider="serevix")
    assert said(post(http, alone.origin + PATHS["serevix"], "serevix")) == "I am serevix."
    assert said(post(http, alone.origin + PATHS["maxtoken"], "maxtoken", host="api.maxtoken.io")) == "I am maxtoken."
    assert http.get(f"{alone.origin}/__emulator/health").json() == {"status": "ok"}


def test_a_namespace_may_stand_before_everything(all_of_them: Emulator, http: httpx.Client) -> None:
    origin = f"{all_of_them.origin}/@one"
    before = len(all_of_them.journal)
    assert said(post(http, f"{origin}/serevix{PATHS['serevix']}", "serevix")) == "I am serevix."
    assert said(post(http, origin + PATHS["serevix"], "serevix", host="serevix.localhost")) == "I am serevix."
    assert len(all_of_them.journal) == before


@pytest.mark.parametrize(
    "path", ["/", "/v1/chat/completions", "/nobody/v1/chat/completions", "/serevixx", "/@one/nobody"]
)
@pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS"])
def test_a_path_of_no_provider_is_answered_with_those_there_are(
    all_of_them: Emulator, http: httpx.Client, path: str, method: str
) -> None:
    origin = all_of_them.origin
    response = http.request(method, origin + path)
    prefix = "/@one" if path.startswith("/@one") else ""
    where = {name: f"{origin}{prefix}/{name}" for name in PROVIDERS}
    if (method, path) == ("GET", "/"):
        assert (response.status_code, response.json()) == (200, {"providers": where})
    elif path == "/":
        assert response.status_code == 405
    else:
        assert (response.status_code, response.json()["providers"]) == (404, where)
        assert response.json()["error"].startswith(f"There is no provider at {path}. ")


def test_a_path_that_a_provider_does_not_have_is_refused_in_its_own_words(all_of_them: Emulator, ask: Ask) -> None:
    for provider in PROVIDERS:
        response = ask(all_of_them, provider, {}, path="/there/is/no/such/path")
        assert response.status_code == PROVIDERS[provider].errors["not_found"].status
        assert "There is no provider" not in response.text


def test_a_percent_encoded_path_is_the_same_path(all_of_them: Emulator, http: httpx.Client) -> None:
    url = f"{all_of_them.origin}/serevix/v1/%63hat/completions"
    assert said(post(http, url, "serevix")) == "I am serevix."


# Bodies


@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_over_the_limit_is_refused_and_nothing_follows_it(
    all_of_them: Emulator, monkeypatch: pytest.MonkeyPatch, chunked: bool
) -> None:
    app = all_of_them._server.app
    assert app is not None
    monkeypatch.setattr(app, "max_body_bytes", 100_000)
    path = "/serevix" + PATHS["serevix"]
    large = b"x" * 300_000
    with Connection(all_of_them.port) as client:
        if chunked:
            whole = request(path, b"", transfer_encoding="chunked", **KEYS["serevix"])
            whole = whole.replace(b"content-length: 0\r\n", b"")
            client.send(whole + b"%x\r\n%b\r\n0\r\n\r\n" % (len(large), large))
        else:
            client.send(request(path, large, **KEYS["serevix"]))
        response = client.response()
        assert (response.status, response.headers["connection"]) == (413, "close")
        assert client.read_rest() == (b"", "eof")


# Pages in a browser


@pytest.mark.parametrize("provider", PROVIDERS)
def test_a_browser_may_ask_a_provider_from_any_page(all_of_them: Emulator, http: httpx.Client, provider: str) -> None:
    url = all_of_them.url(provider) + PATHS[provider]
    headers = {
        "origin": "https://app.example",
        "access-control-request-method": "POST",
        "access-control-request-headers": "authorization,content-type",
    }
    preflight = http.options(url, headers=headers)
    assert (preflight.status_code, preflight.content, cors(preflight)) == (
        204,
        b"",
        {
            "access-control-allow-origin": "*",
            "access-control-allow-methods": "GET, POST, OPTIONS",
            "access-control-allow-headers": "authorization,content-type",
            "access-control-max-age": "600",
        },
    )
    simple = {"access-control-allow-origin": "*", "access-control-expose-headers": "*"}
    answer = post(http, url, provider, origin="https://app.example")
    assert (said(answer), cors(answer)) == (f"I am {provider}.", simple)
    refused = http.post(url, json={}, headers={"origin": "https://app.example"})
    assert (refused.status_code >= 400, cors(refused)) == (True, simple)
    assert cors(post(http, url, provider)) == {}  # nobody asked


def test_a_stream_may_be_read_from_any_page(all_of_them: Emulator, http: httpx.Client) -> None:
    body = question("serevix", stream=True)
    url = all_of_them.url("serevix") + PATHS["serevix"]
    response = http.post(url, json=body, headers={**KEYS["serevix"], "origin": "null"})
    assert cors(response) == {"access-control-allow-origin": "*", "access-control-expose-headers": "*"}
    assert response.content.endswith(b"data: [DONE]\n\n")


def test_a_preflight_without_wishes_names_the_headers_of_all_providers(
    all_of_them: Emulator, http: httpx.Client
) -> None:
    response = http.options(all_of_them.url("nadles") + PATHS["nadles"], headers={"origin": "https://app.example"})
    allowed = response.headers["access-control-allow-headers"].split(", ")
    assert allowed == ["authorization", "content-type", "x-api-key", "x-billing-token", "x-goog-api-key"]


@pytest.mark.parametrize("path", ["/", "/__emulator/health", "/__emulator/ready", "/__emulator/providers", "/nobody"])
@pytest.mark.parametrize("method", ["GET", "OPTIONS"])
def test_no_page_of_another_origin_may_read_what_is_not_a_providers(
    all_of_them: Emulator, http: httpx.Client, path: str, method: str
) -> None:
    headers = {"origin": "https://evil.example", "access-control-request-method": "GET"}
    assert cors(http.request(method, all_of_them.origin + path, headers=headers)) == {}


def cors(response: httpx.Response) -> dict[str, str]:
    """What lets a page of another origin read a response; DeepSeek itself adds that credentials may be sent."""
    found = {name: value for name, value in response.headers.items() if name.startswith("access-control-")}
    found.pop("access-control-allow-credentials", None)
    return found


# Control


def test_the_control_routes_tell_that_it_is_well_and_where_the_providers_are(
    all_of_them: Emulator, http: httpx.Client
) -> None:
    origin = all_of_them.origin
    where = {"providers": {name: f"{origin}/{name}" for name in PROVIDERS}}
    assert http.get(f"{origin}/__emulator/health").json() == {"status": "ok"}
    assert http.get(f"{origin}/__emulator/ready").json() == {"status": "ok"}
    assert http.get(f"{origin}/__emulator/providers").json() == where
    nothing = http.get(f"{origin}/__emulator/nothing")
    assert nothing.status_code == 404
    assert nothing.json() == {
        "error": "Nothing at /__emulator/nothing. Did you mean 'timing'?",
    }
