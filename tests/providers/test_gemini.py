"""Google's own API: contents and what they mean, refusals in Google's form, keys, limits that count, prices, models."""

import json
from decimal import Decimal
from typing import Any

import httpx
import pytest
from talk import Serving

from emulator import Emulator

Json = dict[str, Any]
KEY = "AIzaSyA-Secret-Key-0123456789"
RULES: list[Json] = [
    {"match": {"tool_result": {"name": "look", "content": {"contains": "broken"}}}, "reply": {"content": "It failed."}},
    {"match": {"tool_result": {"name": "look"}}, "reply": {"content": "Seen."}},
    {"match": {"prompt": "greet", "system": {"contains": "pirate"}}, "reply": {"content": "Ahoy"}},
    {"match": {"prompt": "greet", "turn": 2}, "reply": {"content": "Again."}},
    {"match": {"prompt": "greet"}, "reply": {"content": "Hello", "id": "r1"}},
    {"match": {"prompt": "look"}, "reply": {"tool_calls": [{"name": "look", "arguments": {"at": "it"}}]}},
    {"match": {"prompt": "few"}, "reply": {"content": "one two three"}},
    {
        "match": {"prompt": "slow"},
        "reply": {"content": "one two three"},
        "pace": {"ttft": 10, "tokens_per_second": 1},
    },
    {
        "match": {"prompt": "news"},
        "reply": {"content": "Rain.", "summaries": [{"url": "https://a.example/x", "summary": "It rains."}]},
    },
    {"match": {"prompt": "broken"}, "reply": {"tool_calls": [{"name": "look", "arguments": "at it"}]}},
    {
        "match": {"prompt": "signed"},
        "reply": {"blocks": [{"thought": "Hm.", "signature": "c2ln"}, {"tool_call": {"name": "look"}}]},
    },
    {
        "match": {"prompt": "found"},
        "reply": {"blocks": [{"text": "It "}, {"search": {"query": "weather"}}, {"text": "rains."}]},
    },
    {"match": {"prompt": "limited"}, "error": "rate_limited"},
]
BASE = "/v1beta/models/"


def asking(prompt: str = "greet", **members: Any) -> Json:
    return {"contents": [{"role": "user", "parts": [{"text": prompt}]}], **members}


class Endpoint:
    def __init__(self, emulator: Emulator, http: httpx.Client) -> None:
        self.emulator = emulator
        self.http = http

    def send(
        self,
        body: Any = None,
        method: str = "generateContent",
        model: str = "gemini-2.5-flash",
        headers: dict[str, str] | None = None,
        base: str = BASE,
    ) -> httpx.Response:
        shown = {"x-goog-api-key": KEY} if headers is None else headers
        url = f"{self.emulator.url('gemini')}{base}{model}:{method}"
        return self.http.post(url, json=asking() if body is None else body, headers=shown)

    def get(self, path: str) -> httpx.Response:
        return self.http.get(self.emulator.url("gemini") + path, headers={"x-goog-api-key": KEY})


@pytest.fixture
def endpoint(http: httpx.Client) -> Any:
    with Emulator({"rules": RULES, "clock": "manual", "unmatched": "generate"}) as emulator:
        yield Endpoint(emulator, http)


@pytest.fixture
def configured(serving: Serving, http: httpx.Client) -> Any:
    """`configured(**settings)`: the provider with these settings, which writes its answers itself."""

    def make(**settings: Any) -> Endpoint:
        return Endpoint(serving({"rules": RULES, "unmatched": "generate", "providers": {"gemini": settings}}), http)

    return make


def said(response: httpx.Response) -> str:
    assert response.status_code == 200, response.text
    (candidate,) = response.json()["candidates"]
    return "".join(part.get("text", "") for part in candidate["content"]["parts"])


def complaint(response: httpx.Response) -> tuple[int, str, str]:
    error = response.json()["error"]
    assert list(error)[:3] == ["code", "message", "status"]
    assert error["code"] == response.status_code
    return response.status_code, error["message"], error["status"]


def refused(message: str) -> tuple[int, str, str]:
    return 400, message, "INVALID_ARGUMENT"


class TestWhatARequestMeans:
    @pytest.mark.parametrize("name", ["systemInstruction", "system_instruction"])
    @pytest.mark.parametrize("value", [{"parts": [{"text": "a pirate"}]}, {"parts": {"text": "a pirate"}}, "a pirate"])
    def test_the_system_speaks_in_any_of_googles_spellings(self, name: str, value: Any, endpoint: Endpoint) -> None:
        assert said(endpoint.send(asking(**{name: value}))) == "Ahoy"

    def test_names_in_snake_case_count_at_any_depth_and_numbers_may_be_texts(self, endpoint: Endpoint) -> None:
        body = asking("few", generation_config={"max_output_tokens": "2", "thinking_config": {"thinking_budget": 0}})
        response = endpoint.send(body)
        assert said(response) == "one two"
        assert response.json()["candidates"][0]["finishReason"] == "MAX_TOKENS"

    def test_one_object_stands_for_a_list(self, endpoint: Endpoint) -> None:
        assert said(endpoint.send({"contents": {"parts": {"text": "greet"}}})) == "Hello"

    def test_what_the_model_said_before_is_a_turn(self, endpoint: Endpoint) -> None:
        before = [{"role": "user", "parts": [{"text": "Hi"}]}, {"role": "model", "parts": [{"text": "Hello"}]}]
        assert said(endpoint.send({"contents": [*before, *asking()["contents"]]})) == "Again."

    @pytest.mark.parametrize(
        ("response", "answer"),
        [({"result": "fine"}, "Seen."), ({"error": "it is broken"}, "It failed."), ({"state": "broken"}, "It failed.")],
    )
    def test_a_result_belongs_to_the_call_of_its_name(self, response: Json, answer: str, endpoint: Endpoint) -> None:
        contents = [
            *asking("look")["contents"],
            {"role": "model", "parts": [{"functionCall": {"name": "look", "args": {}}}]},
            {"role": "user", "parts": [{"functionResponse": {"name": "look", "response": response}}]},
        ]
        assert said(endpoint.send({"contents": contents})) == answer

    def test_a_result_of_several_members_is_one_text(self, endpoint: Endpoint) -> None:
        result = {"functionResponse": {"name": "look", "response": {"result": "sun", "state": "broken"}}}
        call = {"role": "model", "parts": [{"functionCall": {"name": "look", "args": {}}}]}
        turns = [*asking("look")["contents"], call, {"role": "user", "parts": [result]}]
        answer = endpoint.send({"contents": turns})
        assert said(answer) == "It failed."

    def test_images_cost_258_tokens_each(self, endpoint: Endpoint) -> None:
        parts = [{"text": "greet"}, {"inlineData": {"mimeType": "image/png", "data": "AAAA"}}]
        usage = endpoint.send({"contents": [{"parts": parts}]}).json()["usageMetadata"]
        assert usage["promptTokensDetails"] == [
            {"modality": "TEXT", "tokenCount": 2},
            {"modality": "IMAGE", "tokenCount": 258},
        ]
        assert usage["promptTokenCount"] == 260

    def test_a_search_is_reported_with_its_sources(self, endpoint: Endpoint) -> None:
        searching = asking("news", tools=[{"googleSearch": {}}])
        (whole,) = endpoint.send(searching).json()["candidates"]
        assert whole["groundingMetadata"] == {
            "webSearchQueries": ["news"],
            "searchEntryPoint": {"renderedContent": "<div></div>"},
            "groundingChunks": [{"web": {"uri": "https://a.example/x", "title": "a.example"}}],
            "groundingSupports": [{"segment": {"endIndex": 5, "text": "Rain."}, "groundingChunkIndices": [0]}],
        }
        events = endpoint.send(searching, "streamGenerateContent").json()
        assert events[-1]["candidates"][0]["groundingMetadata"] == whole["groundingMetadata"]

    def test_a_word_that_a_rule_gives_need_not_be_json(self, endpoint: Endpoint) -> None:
        words = {"type": "STRING", "enum": ["Hello", "Bye"]}
        config = {"responseMimeType": "text/x.enum", "responseSchema": words}
        assert said(endpoint.send(asking(generationConfig=config))) == "Hello"

    def test_arguments_that_are_no_json_make_a_malformed_call(self, endpoint: Endpoint) -> None:
        (candidate,) = endpoint.send(asking("broken")).json()["candidates"]
        assert candidate == {
            "content": {},
            "finishReason": "MALFORMED_FUNCTION_CALL",
            "index": 0,
            "finishMessage": "Malformed function call: look(at it)",
        }

    def test_a_thought_may_have_its_signature_from_a_rule(self, endpoint: Endpoint) -> None:
        (candidate,) = endpoint.send(asking("signed")).json()["candidates"]
        assert [part.get("thoughtSignature") for part in candidate["content"]["parts"]] == ["c2ln"]

    def test_a_search_has_no_part(self, endpoint: Endpoint) -> None:
        (candidate,) = endpoint.send(asking("found")).json()["candidates"]
        assert candidate["content"]["parts"] == [{"text": "It "}, {"text": "rains."}]
        assert candidate["groundingMetadata"]["webSearchQueries"] == ["weather"]


class TestStreams:
    def test_an_event_has_as_many_tokens_as_the_setting_says(self, configured: Any) -> None:
        for size, number in ((1, 3), (2, 2), (32, 1)):
            response = configured(chunk_tokens=size).send(asking("few"), "streamGenerateContent?alt=sse")
            assert response.text.count("data: ") == number

    def test_candidates_come_in_turn_and_end_together(self, configured: Any) -> None:
        body = asking("greet", generationConfig={"candidateCount": 2})
        events = configured(chunk_tokens=32).send(body, "streamGenerateContent").json()
        reported = [[(each["index"], each.get("finishReason")) for each in event["candidates"]] for event in events]
        assert reported == [[(0, None)], [(1, None)], [(0, "STOP"), (1, "STOP")]]
        totals = [event["usageMetadata"]["candidatesTokenCount"] for event in events]
        assert totals == [1, 2, 2]

    def test_nothing_is_said_while_the_client_waits_as_sdks_take_comments_for_json(self, http: httpx.Client) -> None:
        with Emulator({"rules": RULES, "clock": "virtual", "providers": {"gemini": {"chunk_tokens": 1}}}) as emulator:
            response = Endpoint(emulator, http).send(asking("slow"), "streamGenerateContent?alt=sse")
            assert {line[:6] for line in response.text.splitlines()} == {"data: ", ""}
            assert [frame["planned"] for frame in emulator.journal[-1].frames] == [10.0, 11.0, 12.0]

    def test_the_journal_reads_back_what_either_form_said(self, endpoint: Endpoint) -> None:
        body = asking("greet", generationConfig={"thinkingConfig": {"includeThoughts": True}})
        for method in ("generateContent", "streamGenerateContent", "streamGenerateContent?alt=sse"):
            endpoint.send(body, method)
            assert endpoint.emulator.journal[-1].response.content == "Hello"


class TestRefusals:
    def test_a_request_without_a_key_is_forbidden(self, endpoint: Endpoint) -> None:
        status, message, name = complaint(endpoint.send(headers={}))
        assert (status, name) == (403, "PERMISSION_DENIED")
        assert message.startswith("Method doesn't allow unregistered callers")

    def test_a_key_that_is_unknown_is_an_invalid_argument(self, http: httpx.Client) -> None:
        accounts = [{"provider": "gemini", "key": "right-key"}]
        with Emulator({"rules": RULES, "accounts": accounts}) as emulator:
            on = Endpoint(emulator, http)
            response = on.send(headers={"x-goog-api-key": "wrong-key"})
            assert complaint(response) == refused("API key not valid. Please pass a valid API key.")
            info, localized = response.json()["error"]["details"]
            assert info == {
                "@type": "type.googleapis.com/google.rpc.ErrorInfo",
                "reason": "API_KEY_INVALID",
                "domain": "googleapis.com",
                "metadata": {"service": "generativelanguage.googleapis.com"},
            }
            assert localized["locale"] == "en-US"
            assert said(on.send(headers={"x-goog-api-key": "right-key"})) == "Hello"
            assert said(on.send(method="generateContent?key=right-key", headers={})) == "Hello"

    def test_members_that_google_does_not_know_are_named_with_their_place(self, endpoint: Endpoint) -> None:
        body = asking(generationConfig={"topP": 0.5, "top_q": 1}, foo=1)
        response = endpoint.send(body)
        place = "Invalid JSON payload received. Unknown name \"top_q\" at 'generation_config': Cannot find field."
        root = 'Invalid JSON payload received. Unknown name "foo": Cannot find field.'
        assert complaint(response) == refused(f"{place}\n{root}")
        assert response.json()["error"]["details"] == [
            {
                "@type": "type.googleapis.com/google.rpc.BadRequest",
                "fieldViolations": [
                    {"field": "generation_config", "description": place},
                    {"description": root},
                ],
            }
        ]

    def test_they_are_ignored_where_the_setting_says_so(self, configured: Any) -> None:
        assert said(configured(strict_members=False).send(asking(foo=1, generationConfig={"bar": 2}))) == "Hello"

    @pytest.mark.parametrize(
        ("members", "message"),
        [
            ({"contents": []}, "* GenerateContentRequest.contents: contents is not specified\n"),
            ({"contents": [{"role": "user", "parts": []}]}, "* GenerateContentRequest.contents[0].parts: "
             "contents.parts must not be empty.\n"),
            ({"contents": [{"role": "user", "parts": [{}]}]}, "* GenerateContentRequest.contents[0].parts[0].data: "
             "required oneof field 'data' must have one initialized field\n"),
            ({"contents": [{"role": "assistant", "parts": [{"text": "x"}]}]}, "Please use a valid role: user, model."),
            ({"contents": [{"parts": [{"text": 5}]}]}, "Invalid value at 'contents[0].parts[0].text' (TYPE_STRING), 5"),
            ({"systemInstruction": 5}, "Invalid value at 'system_instruction', 5"),
            ({"systemInstruction": {"parts": [{"text": 5}]}}, "Invalid value at "
             "'system_instruction.parts[0].text' (TYPE_STRING), 5"),
            ({"generationConfig": {"temperature": 3}}, "* GenerateContentRequest.generation_config.temperature: "
             "temperature must be in the range [0.0, 2.0].\n"),
            ({"generationConfig": {"maxOutputTokens": 0}}, "* GenerateContentRequest.generation_config."
             "max_output_tokens: max_output_tokens must be positive.\n"),
            ({"generationConfig": {"maxOutputTokens": 70000}}, "Unable to submit request because it has a "
             "maxOutputTokens value of 70000 but the supported range is from 1 (inclusive) to 65537 (exclusive). "
             "Update the value and try again."),
            ({"generationConfig": {"thinkingConfig": {"thinkingLevel": "LOW"}}}, "Thinking level is not supported for "
             "this model."),
            ({"generationConfig": {"thinkingConfig": {"thinkingBudget": 99999}}}, "The thinking budget 99999 is "
             "invalid. Please choose a value between 1 and 24576."),
            ({"generationConfig": {"responseMimeType": "text/html"}}, "* GenerateContentRequest.generation_config."
             "response_mime_type: allowed mimetypes are `text/plain`, `application/json`, `text/x.enum`.\n"),
            ({"toolConfig": {"functionCallingConfig": {"mode": "ANY"}}}, "Function calling config is set without "
             "function_declarations."),
            ({"tools": [{"functionDeclarations": [{"name": "f"}]}], "generationConfig": {"responseMimeType":
              "application/json"}}, "Function calling with a response mime type: 'application/json' is unsupported"),
            ({"contents": [{"role": "user", "parts": [{"functionResponse": {"name": "f", "response": {}}}]}]},
             "Please ensure that function response turn comes immediately after a function call turn."),
        ],
    )  # fmt: skip
    def test_what_google_refuses_is_refused_in_its_words(self, members: Json, message: str, endpoint: Endpoint) -> None:
        assert complaint(endpoint.send({**asking(), **members})) == refused(message)

    def test_a_pro_model_always_thinks(self, endpoint: Endpoint) -> None:
        body = asking(generationConfig={"thinkingConfig": {"thinkingBudget": 0}})
        wanted = refused("Budget 0 is invalid. This model only works in thinking mode.")
        assert complaint(endpoint.send(body, model="gemini-2.5-pro")) == wanted

    @pytest.mark.parametrize(("data", "reason"), [(b"{", "Unexpected end of string."), (b"{x}", "Unexpected token.")])
    def test_a_body_that_is_not_json_is_shown_where_it_breaks(
        self, data: bytes, reason: str, endpoint: Endpoint
    ) -> None:
        url = f"{endpoint.emulator.url('gemini')}{BASE}gemini-2.5-flash:generateContent?key={KEY}"
        status, message, name = complaint(endpoint.http.post(url, content=data))
        assert (status, name) == (400, "INVALID_ARGUMENT")
        assert message.startswith(f"Invalid JSON payload received. {reason}\n{data.decode()}\n")

    def test_an_unknown_model_or_method_is_not_found(self, endpoint: Endpoint) -> None:
        status, message, name = complaint(endpoint.send(model="gemini-9"))
        assert (status, name) == (404, "NOT_FOUND")
        assert message.startswith("models/gemini-9 is not found for API version v1beta, or is not supported for gen")
        assert complaint(endpoint.send(method="predict"))[0] == 404
        assert complaint(endpoint.send(model="gemini-embedding-001"))[0] == 404
        assert complaint(endpoint.get("/v1beta/models/gemini-9"))[0] == 404

    def test_a_stream_without_alt_is_refused_in_an_array(self, endpoint: Endpoint) -> None:
        (native,) = endpoint.send(asking("limited"), "streamGenerateContent").json()
        one = endpoint.send(asking("limited"), "streamGenerateContent?alt=sse").json()
        assert native == one == endpoint.send(asking("limited")).json()

    def test_errors_are_laid_out_on_lines(self, endpoint: Endpoint) -> None:
        response = endpoint.send(model="gemini-9")
        assert response.text == json.dumps(response.json(), indent=2) + "\n"
        assert response.headers["content-type"] == "application/json; charset=UTF-8"


class TestLimits:
    def test_requests_are_counted_and_the_wait_is_reported(self, http: httpx.Client) -> None:
        scenario = {"rules": RULES, "clock": "manual", "providers": {"gemini": {"requests_per_minute": 2}}}
        with Emulator(scenario) as emulator:
            on = Endpoint(emulator, http)
            assert [on.send().status_code for _ in range(3)] == [200, 200, 429]
            error = on.send().json()["error"]
            assert error["status"] == "RESOURCE_EXHAUSTED"
            assert error["message"].startswith("You exceeded your current quota, please check your plan and billing")
            assert "limit: 2, model: gemini-2.5-flash" in error["message"]
            failure, _, retry = error["details"]
            assert failure["violations"] == [
                {
                    "quotaMetric": "generativelanguage.googleapis.com/generate_content_free_tier_requests",
                    "quotaId": "GenerateRequestsPerMinutePerProjectPerModel-FreeTier",
                    "quotaDimensions": {"location": "global", "model": "gemini-2.5-flash"},
                    "quotaValue": "2",
                }
            ]
            assert retry == {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "30s"}
            emulator.advance(30)
            assert on.send().status_code == 200

    def test_a_scripted_429_names_a_quota_and_a_delay(self, endpoint: Endpoint) -> None:
        details = endpoint.send(asking("limited")).json()["error"]["details"]
        assert [each["@type"].rpartition(".")[2] for each in details] == ["QuotaFailure", "Help", "RetryInfo"]


class TestKeysAndCosts:
    def test_no_key_is_shown_in_the_journal(self, endpoint: Endpoint) -> None:
        endpoint.send(method=f"generateContent?key={KEY}", headers={})
        endpoint.send()
        shown = json.dumps([exchange.details() for exchange in endpoint.emulator.journal])
        assert "key=[redacted]" in shown
        assert KEY not in shown

    @pytest.mark.parametrize("where", ["header", "query"])
    def test_a_key_chooses_the_namespace(self, where: str, endpoint: Endpoint) -> None:
        key = "sk-emu-mine"
        if where == "header":
            endpoint.send(headers={"x-goog-api-key": key})
        else:
            endpoint.send(method=f"generateContent?key={key}", headers={})
        assert len(endpoint.emulator.journal) == 0
        assert len(endpoint.emulator.namespace("mine").journal) == 1

    @pytest.mark.parametrize(
        ("model", "cost"),
        [
            ("gemini-2.5-flash", "0.0000031"),
            ("gemini-2.5-pro", "0.0000125"),
            ("gemini-3.8-flash", "0.00000525"),
            ("gemini-flash-latest", "0.00000525"),
        ],
    )
    def test_an_answer_costs_what_the_model_costs_exactly(self, model: str, cost: str, endpoint: Endpoint) -> None:
        body = endpoint.send(model=model).json()
        assert body["modelVersion"] == ("gemini-3.8-flash" if model == "gemini-flash-latest" else model)
        assert (body["usageMetadata"]["promptTokenCount"], body["usageMetadata"]["candidatesTokenCount"]) == (2, 1)
        assert endpoint.emulator.journal[-1].cost == Decimal(cost)

    def test_long_prompts_cost_more_where_the_model_says_so(self, endpoint: Endpoint) -> None:
        parts = [{"inlineData": {"mimeType": "image/png", "data": ""}} for _ in range(776)]
        body = {"contents": [{"parts": [{"text": "greet"}, *parts]}]}
        endpoint.send(body, model="gemini-2.5-pro")
        exchange = endpoint.emulator.journal[-1]
        assert exchange.usage is not None
        assert exchange.usage.prompt == 200_210
        assert exchange.cost == 200_210 * Decimal("0.0000025") + Decimal("0.000015")

    def test_embedded_tokens_cost_too(self, endpoint: Endpoint) -> None:
        body = {"content": {"parts": [{"text": "one two three"}]}}
        endpoint.send(body, "embedContent", "gemini-embedding-001")
        assert endpoint.emulator.journal[-1].cost == 3 * Decimal("0.00000015")

    def test_a_long_prompt_that_came_before_is_cached(self, endpoint: Endpoint) -> None:
        body = asking("greet", systemInstruction={"parts": [{"text": "word " * 3000}]})
        first, second = (endpoint.send(body).json()["usageMetadata"] for _ in range(2))
        assert "cachedContentTokenCount" not in first
        assert second["cachedContentTokenCount"] % 256 == 0
        assert second["cachedContentTokenCount"] > 1024
        assert second["cacheTokensDetails"] == [{"modality": "TEXT", "tokenCount": second["cachedContentTokenCount"]}]
        assert second["totalTokenCount"] == first["totalTokenCount"]


class TestEmbeddings:
    def test_several_are_embedded_at_once_each_with_its_own_size(self, endpoint: Endpoint) -> None:
        def request(text: str, size: int) -> Json:
            model = "models/gemini-embedding-001"
            return {"model": model, "content": {"parts": [{"text": text}]}, "outputDimensionality": size}

        body = {"requests": [request("one", 4), request("two", 6)]}
        answer = endpoint.send(body, "batchEmbedContents", "gemini-embedding-001").json()
        assert [len(each["values"]) for each in answer["embeddings"]] == [4, 6]
        alone = endpoint.send(request("one", 4), "embedContent", "gemini-embedding-001").json()
        assert alone["embedding"] == answer["embeddings"][0]

    @pytest.mark.parametrize(
        ("body", "message"),
        [
            ({}, "* EmbedContentRequest.content: content is not specified\n"),
            (
                {"content": {"parts": [{"text": "x"}]}, "outputDimensionality": 9999},
                "* EmbedContentRequest.output_dimensionality: must be in the range [1, 3072].\n",
            ),
        ],
    )
    def test_what_cannot_be_embedded_is_refused(self, body: Json, message: str, endpoint: Endpoint) -> None:
        assert complaint(endpoint.send(body, "embedContent", "gemini-embedding-001")) == refused(message)


def test_the_same_question_again_is_answered_from_memory_with_another_id(endpoint: Endpoint) -> None:
    bodies = [endpoint.send(asking("tell me")).json() for _ in range(4)]
    assert len({body.pop("responseId") for body in bodies}) == 4
    assert bodies[1:] == bodies[:-1]


class TestResellers:
    """Gemini's form at Serevix and at Cloudsway: their keys, their errors."""

    @pytest.fixture
    def emulator(self) -> Any:
        with Emulator({"rules": [*RULES, {"match": {"prompt": "busy"}, "error": "overloaded"}]}) as running:
            yield running

    @pytest.mark.parametrize("base", ["/v1/v1beta/models/", "/v1beta/models/", "/v1/models/"])
    @pytest.mark.parametrize(
        "headers", [{"x-goog-api-key": "k"}, {"authorization": "Bearer k"}], ids=["google", "bearer"]
    )
    def test_serevix_takes_either_key(self, base: str, headers: Json, emulator: Emulator, http: httpx.Client) -> None:
        url = f"{emulator.url('serevix')}{base}gemini-2.5-flash"
        assert said(http.post(f"{url}:generateContent", json=asking(), headers=headers)) == "Hello"
        stream = http.post(f"{url}:streamGenerateContent", json=asking(), headers=headers)
        assert stream.headers["content-type"] == "text/event-stream"
        assert stream.text.startswith('data: {"candidates":[')

    def test_serevix_refuses_in_its_own_form(self, emulator: Emulator, http: httpx.Client) -> None:
        url = f"{emulator.url('serevix')}/v1/v1beta/models/gemini-2.5-flash:generateContent"
        nobody = http.post(url, json=asking())
        assert (nobody.status_code, nobody.json()["error"]["type"]) == (401, "new_api_error")
        busy = http.post(url, json=asking("busy"), headers={"x-goog-api-key": "k"})
        assert (busy.status_code, list(busy.json()["error"])) == (503, ["message", "type", "param", "code"])

    def test_serevix_can_stream_an_array(self, serving: Serving, http: httpx.Client) -> None:
        emulator = serving({"rules": RULES, "providers": {"serevix": {"gemini_alt": "array"}}})
        url = f"{emulator.url('serevix')}/v1/v1beta/models/gemini-2.5-flash:streamGenerateContent"
        headers = {"x-goog-api-key": "k"}
        (native,) = http.post(url, json=asking(), headers=headers).json()
        assert native["candidates"][0]["content"]["parts"] == [{"text": "Hello"}]
        assert http.post(f"{url}?alt=sse", json=asking(), headers=headers).text.startswith("data: ")

    def test_serevix_lists_what_a_model_speaks(self, serving: Serving, http: httpx.Client) -> None:
        emulator = serving({"providers": {"serevix": {"models": ["deepseek-v3", "gemini-2.5-flash"]}}})
        url = f"{emulator.url('serevix')}/v1/v1beta/models/gemini-2.5-pro:generateContent"
        refused = http.post(url, json=asking(), headers={"x-goog-api-key": "k"})
        assert (refused.status_code, refused.json()["error"]["code"]) == (503, "model_not_found")
        rows = http.get(f"{emulator.url('serevix')}/v1/models", headers={"authorization": "Bearer k"}).json()["data"]
        assert [row["supported_endpoint_types"] for row in rows] == [["openai"], ["gemini", "openai"]]

    def test_cloudsway_implies_the_model_and_wants_its_own_key(self, emulator: Emulator, http: httpx.Client) -> None:
        base = f"{emulator.url('cloudsway')}/v1/ai/sVUARttwSjilLOZY"
        headers = {"authorization": "Bearer k"}
        answer = http.post(f"{base}/generateContent", json=asking(), headers=headers)
        assert (said(answer), answer.json()["modelVersion"]) == ("Hello", "gemini-2.5-flash")
        assert http.post(f"{base}/generateContent", json=asking(), headers={"x-goog-api-key": "k"}).status_code == 401
        assert http.post(f"{base}/streamGenerateContent?alt=sse", json=asking(), headers=headers).text.startswith(
            "data"
        )
        assert isinstance(http.post(f"{base}/streamGenerateContent", json=asking(), headers=headers).json(), list)
        busy = http.post(f"{base}/generateContent", json=asking("busy"), headers=headers)
        assert (busy.status_code, busy.json()["error"]["code"]) == (503, "503")
