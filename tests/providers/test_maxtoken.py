"""MaxToken as its document and the contract say: keys, parameters, answers, streams, errors, settings."""

import re
from typing import Any

import pytest
from talk import Ask, Serving, events, ordered, question, refusing, script, sse

from emulator import Emulator
from emulator.providers.base import ERROR_NAMES

HEAD: dict[str, Any] = {
    "id": "chatcmpl-1",
    "object": "chat.completion.chunk",
    "created": 1700000000,
    "model": "deepseek-r1",
}
SAID: dict[str, Any] = {
    "reply": {
        "reasoning": "They greet.",
        "content": "Hello there!",
        "id": "chatcmpl-1",
        "created": 1700000000,
    }
}
SILENT: dict[str, Any] = {
    "match": {"prompt": "no thoughts"},
    "reply": {"content": "Plain.", "id": "chatcmpl-1", "created": 1700000000},
}
SCRIPT = script("maxtoken", SILENT, SAID)
INVALID_SIGNATURE = {"error": {"message": "Invalid signature", "type": "401"}}


def usage(prompt: int, completion: int, reasoning: int) -> dict[str, Any]:
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        "completion_tokens_details": {"reasoning_tokens": reasoning},
    }


def chunk(delta: dict[str, Any], finish_reason: str | None = None, **more: Any) -> dict[str, Any]:
    return {
        **HEAD,
        "choices": [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}],
        **more,
    }


@pytest.fixture
def scripted(serving: Serving) -> Emulator:
    return serving(SCRIPT)


class TestAnAnswer:
    def test_has_reasoning_beside_the_content(self, scripted: Emulator, ask: Ask) -> None:
        response = ask(scripted, "maxtoken", question("maxtoken"))
        assert (response.status_code, response.headers["content-type"]) == (200, "application/json")
        assert ordered(response.json()) == ordered(
            {
                "id": "chatcmpl-1",
                "object": "chat.completion",
                "created": 1700000000,
                "model": "deepseek-r1",
                "choices": [
                    {
                        "index": 0,
                        "message": {
                            "role": "assistant",
                            "content": "Hello there!",
                            "reasoning_content": "They greet.",
                        },
                        "finish_reason": "stop",
                    }
                ],
                "usage": usage(5, 7, 3),
            }
        )

    def test_without_reasoning_has_no_word_of_it_but_in_the_usage(self, scripted: Emulator, ask: Ask) -> None:
        body = ask(scripted, "maxtoken", question("maxtoken", "no thoughts")).json()
        assert body["choices"][0]["message"] == {"role": "assistant", "content": "Plain."}
        assert body["usage"] == usage(6, 2, 0)

    def test_is_generated_with_reasoning_when_nothing_is_scripted(self, documented: Emulator, ask: Ask) -> None:
        body = ask(documented, "maxtoken", question("maxtoken", "Tell me about the sea.")).json()
        assert re.fullmatch(r"chatcmpl-[0-9A-Za-z]{24}", body["id"])
        message = body["choices"][0]["message"]
        assert list(message) == ["role", "content", "reasoning_content"]
        assert message["content"]
        assert message["reasoning_content"]

    def test_has_no_headers_but_those_of_http(self, scripted: Emulator, ask: Ask) -> None:
        response = ask(scripted, "maxtoken", question("maxtoken"))
        assert set(response.headers) == {"date", "content-type", "content-length"}


class TestAStream:
    def test_brings_reasoning_then_content_then_usage_on_the_finish(self, scripted: Emulator, ask: Ask) -> None:
        response = ask(scripted, "maxtoken", question("maxtoken", stream=True))
        assert response.text == sse(
            chunk({"role": "assistant", "content": None, "reasoning_content": ""}),
            chunk({"content": None, "reasoning_content": "They"}),
            chunk({"content": None, "reasoning_content": " greet"}),
            chunk({"content": None, "reasoning_content": "."}),
            chunk({"content": "Hello", "reasoning_content": None}),
            chunk({"content": " there", "reasoning_content": None}),
            chunk({"content": "!", "reasoning_content": None}),
            chunk({"content": "", "reasoning_content": None}, "stop", usage=usage(5, 7, 3)),
        )

    def test_without_reasoning_never_mentions_it(self, scripted: Emulator, ask: Ask) -> None:
        response = ask(scripted, "maxtoken", question("maxtoken", "no thoughts", stream=True))
        assert response.text == sse(
            chunk({"role": "assistant", "content": ""}),
            chunk({"content": "Plain"}),
            chunk({"content": "."}),
            chunk({"content": ""}, "stop", usage=usage(6, 2, 0)),
        )

    def test_has_the_headers_of_an_event_stream(self, scripted: Emulator, ask: Ask) -> None:
        headers = ask(scripted, "maxtoken", question("maxtoken", stream=True)).headers
        assert {name: value for name, value in headers.items() if name != "date"} == {
            "content-type": "text/event-stream; charset=utf-8",
            "cache-control": "no-cache",
            "transfer-encoding": "chunked",
        }

    @pytest.mark.parametrize("members", [{}, {"stream": None}], ids=["omitted", "null"])
    def test_comes_unasked_as_documented(self, scripted: Emulator, ask: Ask, members: dict[str, Any]) -> None:
        body = question("maxtoken", **members)
        if not members:
            del body["stream"]
        assert len(events(ask(scripted, "maxtoken", body))) == 8

    def test_comes_only_when_asked_for_if_the_setting_says_so(self, serving: Serving, ask: Ask) -> None:
        emulator = serving(script("maxtoken", SAID, stream_default=False))
        body = question("maxtoken")
        del body["stream"]
        assert ask(emulator, "maxtoken", body).json()["object"] == "chat.completion"
        assert len(events(ask(emulator, "maxtoken", question("maxtoken", stream=True)))) == 8

    def test_does_not_come_against_an_explicit_false(self, scripted: Emulator, ask: Ask) -> None:
        response = ask(scripted, "maxtoken", question("maxtoken", stream=False))
        assert response.headers["content-type"] == "application/json"


KEY_FORMS = {
    "x-api-key": {"x-api-key": "sk-a"},
    "bearer": {"authorization": "Bearer sk-a"},
    "bearer in lower case": {"authorization": "bearer sk-a"},
    "bare": {"authorization": "sk-a"},
}
NO_KEYS: dict[str, dict[str, str]] = {
    "none": {},
    "empty": {"x-api-key": ""},
    "bearer without a key": {"authorization": "Bearer"},
    "another scheme": {"authorization": "Basic c2stYTo="},
    "another provider's": {"x-billing-token": "sk-a"},
}


class TestAKey:
    @pytest.mark.parametrize("headers", KEY_FORMS.values(), ids=KEY_FORMS)
    def test_is_taken_in_each_known_form(self, scripted: Emulator, ask: Ask, headers: dict[str, str]) -> None:
        assert ask(scripted, "maxtoken", question("maxtoken"), headers=headers).status_code == 200

    @pytest.mark.parametrize("headers", NO_KEYS.values(), ids=NO_KEYS)
    def test_that_is_missing_is_an_invalid_signature(
        self, scripted: Emulator, ask: Ask, headers: dict[str, str]
    ) -> None:
        response = ask(scripted, "maxtoken", question("maxtoken"), headers=headers)
        assert (response.status_code, response.json()) == (401, INVALID_SIGNATURE)

    @pytest.mark.parametrize("form", KEY_FORMS)
    def test_is_taken_only_as_documented_when_strict(self, serving: Serving, ask: Ask, form: str) -> None:
        response = ask(
            serving(script("maxtoken", SAID, auth="strict")), "maxtoken", question("maxtoken"), headers=KEY_FORMS[form]
        )
        assert response.status_code == (200 if form == "x-api-key" else 401)
        if form != "x-api-key":
            assert response.json() == INVALID_SIGNATURE

    def test_in_x_api_key_goes_before_others(self, serving: Serving, ask: Ask) -> None:
        emulator = serving(
            script(
                "maxtoken",
                {"match": {"key": "sk-first"}, "reply": {"content": "first"}},
                {"match": {"key": "sk-second"}, "reply": {"content": "second"}},
            )
        )
        headers = {"x-api-key": "sk-first", "authorization": "Bearer sk-second"}
        body = ask(emulator, "maxtoken", question("maxtoken"), headers=headers).json()
        assert body["choices"][0]["message"]["content"] == "first"

    def test_that_no_account_has_is_an_invalid_signature(self, serving: Serving, ask: Ask) -> None:
        emulator = serving(script("maxtoken", SAID, accounts=[{"key": "sk-known", "provider": "maxtoken"}]))
        known = ask(emulator, "maxtoken", question("maxtoken"), headers={"x-api-key": "sk-known"})
        unknown = ask(emulator, "maxtoken", question("maxtoken"), headers={"x-api-key": "sk-unknown"})
        assert known.status_code == 200
        assert (unknown.status_code, unknown.json()) == (401, INVALID_SIGNATURE)


class TestContent:
    def test_may_be_a_text_or_parts_and_counts_the_same(self, scripted: Emulator, ask: Ask) -> None:
        parts = [{"type": "text", "text": "no "}, {"type": "text", "text": "thoughts"}]
        as_text = ask(scripted, "maxtoken", question("maxtoken", "no thoughts")).content
        as_parts = ask(
            scripted, "maxtoken", question("maxtoken", messages=[{"role": "user", "content": parts}])
        ).content
        assert as_parts == as_text

    def test_may_have_an_image_beside_the_text(self, scripted: Emulator, ask: Ask) -> None:
        parts = [{"type": "image_url", "image_url": {"url": "https://a.test/b.png"}}, {"type": "text", "text": "Hi"}]
        response = ask(scripted, "maxtoken", question("maxtoken", messages=[{"role": "user", "content": parts}]))
        assert response.json()["usage"] == usage(5, 7, 3)

    def test_may_follow_earlier_turns(self, scripted: Emulator, ask: Ask) -> None:
        turns = [
            {"role": "system", "content": "Be kind."},
            {"role": "user", "content": "Hi"},
            {"role": "assistant", "content": "Hello"},
            {"role": "user", "content": "no thoughts"},
        ]
        body = ask(scripted, "maxtoken", question("maxtoken", messages=turns)).json()
        assert body["choices"][0]["message"] == {"role": "assistant", "content": "Plain."}


def test_parameters_that_the_document_does_not_know_are_ignored(scripted: Emulator, ask: Ask) -> None:
    extra: dict[str, Any] = {
        "temperature": "hot",
        "max_tokens": 1,
        "stop": ["there"],
        "n": 3,
        "tools": 5,
        "anything": {"a": [None]},
    }
    plain = ask(scripted, "maxtoken", question("maxtoken")).content
    assert ask(scripted, "maxtoken", question("maxtoken", **extra)).content == plain


BAD_TYPE = "Failed to deserialize the JSON body into the target type: "
BAD = {
    "model missing": ({"model": ...}, BAD_TYPE + "missing field `model`"),
    "model null": ({"model": None}, BAD_TYPE + "model: invalid type: null, expected a string"),
    "model a number": ({"model": 5}, BAD_TYPE + "model: invalid type: integer `5`, expected a string"),
    "messages missing": ({"messages": ...}, BAD_TYPE + "missing field `messages`"),
    "messages empty": ({"messages": []}, "messages must not be empty"),
    "messages a text": ({"messages": "Hi"}, BAD_TYPE + 'messages: invalid type: string "Hi", expected a sequence'),
    "a message a text": (
        {"messages": ["Hi"]},
        BAD_TYPE + 'messages[0]: invalid type: string "Hi", expected struct',
    ),
    "role missing": ({"messages": [{"content": "Hi"}]}, BAD_TYPE + "messages[0]: missing field `role`"),
    "role unknown": (
        {"messages": [{"role": "tool", "content": "Hi"}]},
        BAD_TYPE + "messages[0].role: unknown variant `tool`, expected one of `user`, `assistant`, `system`",
    ),
    "content missing": ({"messages": [{"role": "user"}]}, BAD_TYPE + "messages[0]: missing field `content`"),
    "content null": (
        {"messages": [{"role": "user", "content": None}]},
        BAD_TYPE + "messages[0].content: invalid type: null, expected a string",
    ),
    "text missing": (
        {"messages": [{"role": "user", "content": [{"type": "text"}]}]},
        BAD_TYPE + "messages[0].content[0]: missing field `text`",
    ),
    "type missing": (
        {"messages": [{"role": "user", "content": [{"text": "Hi"}]}]},
        BAD_TYPE + "messages[0].content[0]: missing field `type`",
    ),
    "text a number": (
        {"messages": [{"role": "user", "content": [{"type": "text", "text": 5}]}]},
        BAD_TYPE + "messages[0].content[0].text: invalid type: integer `5`, expected a string",
    ),
    "stream a text": ({"stream": "true"}, BAD_TYPE + 'stream: invalid type: string "true", expected a boolean'),
}


@pytest.mark.parametrize(("changes", "message"), BAD.values(), ids=BAD)
def test_a_request_against_the_document_is_refused_in_the_documented_shape(
    scripted: Emulator, ask: Ask, changes: dict[str, Any], message: str
) -> None:
    body = {name: value for name, value in question("maxtoken", **changes).items() if value is not ...}
    response = ask(scripted, "maxtoken", body)
    assert (response.status_code, response.headers["content-type"]) == (400, "application/json")
    assert response.json() == {"error": {"message": message, "type": "400"}}


ERRORS: dict[str, Any] = {
    "unauthorized": (401, "Invalid signature", "401"),
    "forbidden": (403, "Forbidden", "403"),
    "insufficient_balance": (403, "Insufficient balance", "403"),
    "invalid_token": (403, "Invalid Token", "403"),
    "content_policy": (503, "Input may not meet the guidelines. Please adjust and try again.", "503"),
    "rate_limited": (429, "Too Many Requests", "429"),
    "server_error": (500, "Internal server error", "500"),
    "overloaded": (503, "Service Unavailable", "503"),
    "timeout": (504, "Gateway Timeout", "504"),
    "bad_request": (400, "Bad Request", "400"),
    "model_not_found": (404, "Model not found", "404"),
    "not_found": (404, "Not Found", "404"),
}


class TestAnError:
    def test_is_known_for_every_name_of_the_vocabulary(self) -> None:
        assert set(ERRORS) - {"invalid_token"} == set(ERROR_NAMES)

    @pytest.mark.parametrize("name", ERRORS)
    def test_has_a_message_and_the_status_as_text(self, serving: Serving, ask: Ask, name: str) -> None:
        status, message, kind = ERRORS[name]
        emulator = serving(refusing("maxtoken", ERRORS))
        response = ask(emulator, "maxtoken", question("maxtoken", name, stream=True))
        assert (response.status_code, response.headers["content-type"]) == (status, "application/json")
        assert ordered(response.json()) == ordered({"error": {"message": message, "type": kind}})

    def test_of_the_content_policy_may_come_with_status_400(self, serving: Serving, ask: Ask) -> None:
        emulator = serving(script("maxtoken", {"error": "content_policy"}, content_policy_http_status=400))
        response = ask(emulator, "maxtoken", question("maxtoken"))
        message = "Input may not meet the guidelines. Please adjust and try again."
        assert (response.status_code, response.json()) == (400, {"error": {"message": message, "type": "503"}})

    def test_may_be_spelled_out(self, serving: Serving, ask: Ask) -> None:
        error = {"status": 418, "message": "Short and stout", "headers": {"Retry-After": "2", "content-type": "text/x"}}
        response = ask(serving(script("maxtoken", {"error": error})), "maxtoken", question("maxtoken"))
        assert (response.status_code, response.headers["retry-after"], response.headers["content-type"]) == (
            418,
            "2",
            "text/x",
        )
        assert response.json() == {"error": {"message": "Short and stout", "type": "418"}}

    def test_may_have_any_body(self, serving: Serving, ask: Ask) -> None:
        emulator = serving(script("maxtoken", {"error": {"status": 500, "body": "<html>"}}))
        assert ask(emulator, "maxtoken", question("maxtoken")).text == "<html>"

    def test_names_an_unknown_path(self, scripted: Emulator, ask: Ask) -> None:
        response = ask(scripted, "maxtoken", question("maxtoken"), path="/v1/completions")
        assert (response.status_code, response.json()) == (404, {"error": {"message": "Not Found", "type": "404"}})

    def test_names_a_wrong_method(self, scripted: Emulator, ask: Ask) -> None:
        response = ask(scripted, "maxtoken", b"", method="GET")
        assert (response.status_code, response.headers["allow"]) == (405, "POST")
        assert response.json() == {"error": {"message": "Method Not Allowed", "type": "405"}}


class TestAModelThatTheDocumentDoesNotList:
    def test_is_not_found(self, scripted: Emulator, ask: Ask) -> None:
        response = ask(scripted, "maxtoken", question("maxtoken", model="gpt-4o"))
        assert (response.status_code, response.json()) == (
            404,
            {"error": {"message": "Model not found", "type": "404"}},
        )

    @pytest.mark.parametrize("models", [["gpt-4o", "qwen3-max"], None], ids=["listed", "any"])
    def test_is_served_if_the_setting_says_so(self, serving: Serving, ask: Ask, models: Any) -> None:
        emulator = serving(script("maxtoken", SAID, models=models))
        response = ask(emulator, "maxtoken", question("maxtoken", model="gpt-4o", stream=False))
        assert (response.status_code, response.json()["model"]) == (200, "gpt-4o")
