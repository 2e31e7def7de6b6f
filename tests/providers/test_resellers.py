"""What resellers serve besides chat: Claude's messages, images, embeddings, responses, models, plans."""

import base64
import json
from decimal import Decimal
from typing import Any

import anthropic
import httpx
import pytest
from talk import KEYS, Serving

from emulator import Emulator

Json = dict[str, Any]
BEARER = {"authorization": "Bearer sk-test"}
HI: list[Json] = [{"role": "user", "content": "Hi"}]
RULES: list[Json] = [
    {"match": {"operation": "images", "prompt": "fox"}, "reply": {"content": "A red fox, in oil"}},
    {"match": {"operation": "images", "prompt": "plain"}, "reply": {"content": "iVBORw0KGgo="}},
    {"match": {"operation": "images", "prompt": "drawn"}, "reply": {"content": "data:image/png;base64,iVBORw0KGgo="}},
    {"match": {"operation": "images", "prompt": "linked"}, "reply": {"content": "https://a.example/fox.png"}},
    {"match": {"prompt": "Hi"}, "reply": {"reasoning": "Hm.", "content": "Hello there"}},
]


class Reseller:
    def __init__(self, emulator: Emulator, http: httpx.Client) -> None:
        self.emulator = emulator
        self.http = http

    def post(self, provider: str, path: str, body: Any, headers: Json | None = None) -> httpx.Response:
        url = self.emulator.url(provider) + path
        given = {"content-type": "application/json", **(BEARER if headers is None else headers)}
        return self.http.post(url, content=body if isinstance(body, bytes) else json.dumps(body), headers=given)

    def get(self, provider: str, path: str) -> httpx.Response:
        return self.http.get(self.emulator.url(provider) + path, headers=BEARER)


@pytest.fixture
def made(serving: Serving, http: httpx.Client) -> Any:
    """`made(provider, **settings)`: a reseller with these settings."""

    def make(provider: str = "serevix", **settings: Any) -> Reseller:
        scenario = {"rules": RULES, "unmatched": "generate", "providers": {provider: settings}}
        return Reseller(serving(scenario), http)

    return make


CLAUDE: Json = {"model": "claude-haiku-4-5-20251001", "messages": HI}


class TestSerevix:
    @pytest.mark.parametrize("headers", [BEARER, {"x-api-key": "sk-test"}])
    def test_messages_need_either_key_no_version_and_no_limit(self, made: Any, headers: Json) -> None:
        response = made().post("serevix", "/v1/messages", CLAUDE, headers)
        body = response.json()
        assert (body["content"], body["stop_reason"]) == ([{"type": "text", "text": "Hello there"}], "end_turn")
        assert "x-oneapi-request-id" in response.headers

    def test_a_chat_wants_a_bearer(self, made: Any) -> None:
        body = {"model": "deepseek-v3", "messages": HI}
        assert made().post("serevix", "/v1/chat/completions", body, {"x-api-key": "k"}).status_code == 401

    def test_temperatures_go_up_to_two(self, made: Any) -> None:
        reseller = made()
        assert reseller.post("serevix", "/v1/messages", {**CLAUDE, "temperature": 2}).status_code == 200
        hot = reseller.post("serevix", "/v1/messages", {**CLAUDE, "temperature": 2.5}).json()
        assert hot == {
            "type": "error",
            "error": {"type": "invalid_request_error", "message": "temperature: range: 0..2"},
        }

    @pytest.mark.parametrize(
        ("body", "message"),
        [
            ({"messages": HI}, "Model name not specified, model name cannot be empty"),
            ({"model": "claude-haiku-4-5"}, "field messages is required"),
            (b"{", "Invalid request: invalid JSON request body"),
        ],
    )
    def test_the_gateway_refuses_in_claudes_envelope_with_its_own_type(
        self, made: Any, body: Json | bytes, message: str
    ) -> None:
        error = made().post("serevix", "/v1/messages", body).json()
        assert (error["type"], error["error"]["type"]) == ("error", "new_api_error")
        assert error["error"]["message"].startswith(f"{message} (request id: ")

    def test_a_missing_key_is_refused_in_claudes_envelope(self, made: Any) -> None:
        error = made().post("serevix", "/v1/messages", CLAUDE, {})
        assert (error.status_code, error.json()["error"]["type"]) == (401, "new_api_error")

    def test_claude_costs_what_it_costs_at_anthropic(self, made: Any) -> None:
        reseller = made()
        usage = reseller.post("serevix", "/v1/messages", CLAUDE).json()["usage"]
        expected = (usage["input_tokens"] * Decimal(1) + usage["output_tokens"] * Decimal(5)) / 1_000_000
        assert reseller.emulator.journal[-1].cost == expected

    def test_a_scripted_overload_has_claudes_type(self, made: Any) -> None:
        header = {**BEARER, "x-emulator-fault": "error:name=overloaded"}
        error = made().post("serevix", "/v1/messages", CLAUDE, header)
        assert (error.status_code, error.json()["error"]["type"]) == (503, "overloaded_error")

    def test_the_list_says_what_each_model_speaks(self, made: Any) -> None:
        names = ["deepseek-v3", "claude-haiku-4-5", "gemini-2.5-flash-image", "text-embedding-3-small"]
        rows = made(models=names).get("serevix", "/v1/models").json()["data"]
        spoken = {row["id"]: row["supported_endpoint_types"] for row in rows}
        assert (spoken["deepseek-v3"], spoken["claude-haiku-4-5"]) == (["openai"], ["anthropic", "openai"])
        assert spoken["gemini-2.5-flash-image"][0] == "image-generation"
        assert spoken["text-embedding-3-small"] == ["embeddings"]

    def test_texts_become_vectors(self, made: Any) -> None:
        reseller, asked = made(), {"model": "text-embedding-3-small", "input": ["a", "b"], "dimensions": 8}
        body = reseller.post("serevix", "/v1/embeddings", asked).json()
        assert [len(row["embedding"]) for row in body["data"]] == [8, 8]
        packed = reseller.post("serevix", "/v1/embeddings", {**asked, "encoding_format": "base64"}).json()
        assert len(base64.b64decode(packed["data"][0]["embedding"])) == 32
        assert reseller.post("serevix", "/v1/embeddings", {"model": "m", "input": ""}).status_code == 400


IMAGE: Json = {"model": "gemini-2.5-flash-image", "prompt": "cat"}
PNG = b"\x89PNG\r\n\x1a\n"
PLACES = [("serevix", "/v1/images/generations"), ("cloudsway", "/v1/ai/one/images/generations")]


@pytest.mark.parametrize(("provider", "path"), PLACES)
class TestPictures:
    def test_a_picture_is_a_png_that_goes_with_the_prompt(self, made: Any, provider: str, path: str) -> None:
        reseller = made(provider)
        first, again, other = [
            reseller.post(provider, path, {**IMAGE, "prompt": prompt}).json() for prompt in ("cat", "cat", "dog")
        ]
        (row,) = first["data"]
        assert (list(first), list(row)) == (["created", "data"], ["b64_json"])
        assert base64.b64decode(row["b64_json"]).startswith(PNG)
        assert again["data"] == first["data"] != other["data"]
        assert len(reseller.post(provider, path, {**IMAGE, "n": 3}).json()["data"]) == 3

    def test_a_rule_says_which(self, made: Any, provider: str, path: str) -> None:
        reseller = made(provider)
        fox, drawn, linked = [
            reseller.post(provider, path, {**IMAGE, "prompt": prompt}).json()["data"][0]
            for prompt in ("fox", "drawn", "linked")
        ]
        assert fox["revised_prompt"] == "A red fox, in oil"
        assert (drawn, linked) == ({"b64_json": "iVBORw0KGgo="}, {"url": "https://a.example/fox.png"})

        (plain,) = reseller.post(provider, path, {**IMAGE, "prompt": "plain"}).json()["data"]
        assert plain == {"b64_json": "iVBORw0KGgo="}

    def test_what_cannot_be_drawn_is_refused(self, made: Any, provider: str, path: str) -> None:
        reseller = made(provider)
        wrong = {"aspect_ratio": "7:1"} if provider == "serevix" else {"size": "1x1"}
        for body in ({**IMAGE, "prompt": ""}, {**IMAGE, "n": 11}, {**IMAGE, **wrong}):
            assert reseller.post(provider, path, body).status_code == 400


class TestCloudsway:
    @pytest.mark.parametrize("path", ["/one/v1/messages", "/v2/ai/one/claude/chat/completions"])
    def test_messages_at_both_paths_with_the_model_of_the_endpoint(self, made: Any, path: str) -> None:
        body = made("cloudsway").post("cloudsway", path, {"max_tokens": 100, "messages": HI}).json()
        assert (body["model"], body["content"][0]["text"]) == ("claude-opus-4-6", "Hello there")

    @pytest.mark.parametrize(
        ("members", "message"),
        [
            ({"max_tokens": ...}, "max_tokens: Field required"),
            ({"model": "claude-opus-4-8", "temperature": 0.5}, "temperature: only 1 is supported by this model"),
            ({"model": "claude-opus-4-8", "top_p": 0.9}, "top_p: only 0.99 is supported by this model"),
            ({"model": "claude-opus-4-8", "top_k": 5}, "top_k: is not supported by this model"),
            (
                {"model": "claude-opus-4-7", "output_config": {"effort": "max"}},
                "output_config.effort: max is not supported by claude-opus-4-7",
            ),
            (
                {"model": "claude-opus-4-6", "output_config": {"effort": "xhigh"}},
                "output_config.effort: xhigh is not supported by claude-opus-4-6",
            ),
            ({"temperature": 1.5}, "temperature: range: 0..1"),
        ],
    )
    def test_violations_come_in_its_own_envelope(self, made: Any, members: Json, message: str) -> None:
        body = {"max_tokens": 100, "messages": HI, **members}
        given = {name: value for name, value in body.items() if value is not ...}
        response = made("cloudsway").post("cloudsway", "/one/v1/messages", given)
        error = {"message": message, "type": "invalid_request_error", "param": None, "code": "400"}
        assert (response.status_code, response.json()) == (400, {"error": error})

    def test_the_one_sampling_that_is_allowed(self, made: Any) -> None:
        body = {"model": "claude-opus-4-8", "max_tokens": 100, "messages": HI, "temperature": 1, "top_p": 0.99}
        assert made("cloudsway").post("cloudsway", "/one/v1/messages", body).status_code == 200

    def test_an_endpoint_speaks_what_its_model_speaks(self, made: Any) -> None:
        reseller = made("cloudsway", endpoints={"chatty": ["chat"], "open": []})
        chat = {"model": "m", "messages": HI}
        assert reseller.post("cloudsway", "/v1/ai/chatty/chat/completions", chat).status_code == 200
        assert reseller.post("cloudsway", "/v1/ai/chatty/responses", {"input": "Hi"}).status_code == 404
        assert reseller.post("cloudsway", "/v1/ai/open/responses", {"input": "Hi"}).status_code == 200
        unknown = reseller.post("cloudsway", "/nobody/v1/messages", {"max_tokens": 9, "messages": HI})
        assert unknown.json()["error"]["code"] == "NO_ENDPOINT"

    def test_models_are_listed_and_named(self, made: Any) -> None:
        reseller = made("cloudsway")
        body = reseller.get("cloudsway", "/v1/models").json()
        assert list(body) == ["data", "object"]
        assert body["data"][3] == {
            "id": "MaaS 1.5 Pro",
            "created": "1720089491",
            "object": "model",
            "owned_by": "system",
        }
        for path, asked in (("/v1/chat/completions", {"messages": HI}), ("/v1/responses", {"input": "Hi"})):
            assert reseller.post("cloudsway", path, {**asked, "model": "MaaS 1.5 Pro"}).status_code == 200
            assert reseller.post("cloudsway", path, {**asked, "model": "MaaS 1.5"}).status_code == 404

    def test_a_response_in_the_background_is_fetched(self, made: Any) -> None:
        reseller = made("cloudsway")
        asked = {"input": [{"role": "developer", "content": "Be brief."}, *HI], "background": True}
        queued = reseller.post("cloudsway", "/v1/ai/one/responses", asked).json()
        done = reseller.get("cloudsway", f"/v1/ai/one/responses/{queued['id']}").json()
        assert (queued["status"], done["status"], done["output"][-1]["content"][0]["text"]) == (
            "queued",
            "completed",
            "Hello there",
        )
        stream = reseller.post("cloudsway", "/v1/ai/one/responses", {"input": "Hi", "stream": True}).text
        assert "event: response.completed" in stream

    @pytest.mark.parametrize(
        ("members", "message"),
        [
            (
                {"tools": [{"type": "function", "function": {"name": "f"}}]},
                "deepseek-reasoner does not support Function Calling",
            ),
            ({"response_format": {"type": "json_object"}}, "This response_format type is unavailable now"),
            ({"logprobs": True}, "deepseek-reasoner does not support logprobs"),
        ],
    )
    def test_models_of_2025_do_less(self, made: Any, members: Json, message: str) -> None:
        path, body = "/v1/ai/one/chat/completions", {"model": "MaaS-DS-R1", "messages": HI}
        reseller = made("cloudsway")
        assert reseller.post("cloudsway", path, {**body, **members}).json()["error"]["message"] == message
        plain = reseller.post("cloudsway", path, {**body, "temperature": 2}).json()["choices"][0]["message"]
        assert plain["reasoning_content"] == "Hm."
        long = reseller.post("cloudsway", path, {**body, "max_tokens": 65_536})
        assert "maximum context length is 65536 tokens" in long.json()["error"]["message"]


NADLES = {"x-billing-token": "k"}


class TestNadles:
    def ask(self, emulator: Emulator, http: httpx.Client, model: str = "deepseek-v3", **members: Any) -> httpx.Response:
        url = f"{emulator.url('nadles')}/{model}/completion"
        return http.post(url, json={"messages": HI, **members}, headers=NADLES)

    def test_each_product_has_its_models_and_its_price(self, http: httpx.Client) -> None:
        costs, answers = {}, {}
        for plan in ("metered", "one_off", "free"):
            with Emulator({"rules": RULES, "providers": {"nadles": {"plan": plan}}}) as emulator:
                answers[plan] = self.ask(emulator, http)
                costs[plan] = (answers[plan].status_code, emulator.journal[-1].cost)
        response = answers["free"]
        tokens = response.json()["token_info"]["total_tokens"]
        assert costs == {
            "metered": (403, Decimal(0)),
            "one_off": (200, tokens * Decimal("0.000003938")),
            "free": (200, Decimal(0)),
        }
        assert response.json()["model_response"]["model"] == "deepseek-ai/DeepSeek-V3"
        assert (
            response.json()["model_response"]["choices"][0]["message"]["content"] == "Hello there"
        )  # it doesn't think

    @pytest.mark.parametrize(("crossing", "statuses"), [("serve", [200, 200, 429]), ("refuse", [200, 429, 429])])
    def test_what_is_paid_for_runs_out(self, http: httpx.Client, crossing: str, statuses: list[int]) -> None:
        settings = {"plan": "one_off", "plan_tokens": 10, "quota_crossing": crossing}
        scenario = {"rules": RULES, "clock": "manual", "providers": {"nadles": settings}}
        with Emulator(scenario) as emulator:
            answers = [self.ask(emulator, http) for _ in range(2)]
            emulator.advance(40 * 86_400)  # what was paid once does not come back
            answers.append(self.ask(emulator, http))
        assert [answer.status_code for answer in answers] == statuses
        assert answers[-1].json() == {"message": "Too Many Requests"}
        assert "retry-after" not in answers[-1].headers

    def test_the_free_tokens_come_back_each_month(self, http: httpx.Client) -> None:
        settings = {"plan": "free", "plan_tokens": 5}
        with Emulator({"rules": RULES, "clock": "manual", "providers": {"nadles": settings}}) as emulator:
            statuses = [self.ask(emulator, http).status_code for _ in range(2)]
            emulator.advance(32 * 86_400)
            statuses.append(self.ask(emulator, http).status_code)
        assert statuses == [200, 429, 200]

    def test_a_refused_call_takes_the_time_of_its_answer(self, http: httpx.Client) -> None:
        settings = {"plan": "one_off", "plan_tokens": 1, "quota_crossing": "refuse"}
        scenario = {
            "rules": RULES,
            "defaults": {"pace": {"ttft": 3}},
            "clock": "virtual",
            "providers": {"nadles": settings},
        }
        with Emulator(scenario) as emulator:
            assert self.ask(emulator, http).status_code == 429
            exchange = emulator.journal[-1]
            assert (exchange.cost, exchange.row()["last_sent"] >= 3) == (Decimal(0), True)

    def test_a_gateway_that_buffers_sends_the_stream_at_its_end(self, http: httpx.Client) -> None:
        settings = {"plan": "free", "gateway_buffers": True}
        scenario = {"rules": RULES, "defaults": {"pace": {"ttft": 2, "tokens_per_second": 1}}, "clock": "virtual"}
        with Emulator({**scenario, "providers": {"nadles": settings}}) as emulator:
            answer = self.ask(emulator, http, stream=True)
            assert answer.text.endswith("data: [DONE]\n\n")
            row = emulator.journal[-1].row()
            assert (row["first_sent"] >= 3, row["last_sent"] - row["first_sent"] < 0.5) == (True, True)


class TestMaxToken:
    def test_siblings_do_not_think_and_honour_a_limit(self, made: Any) -> None:
        reseller = made("maxtoken")
        parts = [{"type": "text", "text": "Hi"}, {"type": "image_url", "image_url": {"url": "https://a.example/x.png"}}]
        for model in ("gpt-4o-2024-08-06", "gemini-2.0-flash", "qwen3-max", "claude-opus-4-5-20251101"):
            body = {"model": model, "messages": [{"role": "user", "content": parts}], "stream": False, "max_tokens": 1}
            choice = reseller.post("maxtoken", "/v1/chat/completions", body).json()["choices"][0]
            assert choice == {
                "index": 0,
                "message": {"role": "assistant", "content": "Hello"},
                "finish_reason": "length",
            }
        r1 = {"model": "deepseek-r1", "messages": HI, "stream": False, "max_tokens": 1}
        message = reseller.post("maxtoken", "/v1/chat/completions", r1).json()["choices"][0]["message"]
        assert (message["reasoning_content"], message["content"]) == ("Hm.", "Hello there")


@pytest.mark.parametrize("provider", ["serevix", "cloudsway"])
def test_thoughts_of_claude_are_verified_behind_a_gateway_too(made: Any, provider: str) -> None:
    base = made(provider).emulator.url(provider) + ("" if provider == "serevix" else "/one")
    thinking: Any = {"type": "enabled", "budget_tokens": 1024}
    with anthropic.Anthropic(base_url=base, api_key="k", max_retries=0) as client:
        asked: Json = {"model": "claude-haiku-4-5", "max_tokens": 2000, "thinking": thinking}
        first: Any = HI
        content = client.messages.create(messages=first, **asked).content
        turns: Any = [*HI, {"role": "assistant", "content": content}, *HI]
        assert client.messages.create(messages=turns, **asked).stop_reason == "end_turn"
        forged = json.loads(json.dumps([block.model_dump(exclude_none=True) for block in content]))
        forged[0]["signature"] = "bm90LXNpZ25lZA=="
        turns[1] = {"role": "assistant", "content": forged}
        with pytest.raises(anthropic.BadRequestError, match="Invalid `signature` in `thinking` block"):
            client.messages.create(messages=turns, **asked)


def test_each_reseller_shows_its_key_as_before() -> None:
    assert KEYS["serevix"] == KEYS["cloudsway"] == {"Authorization": "Bearer sk-demo"}
