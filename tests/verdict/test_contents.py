"""The verdict on generate content: turns, answers, and keys in the URL, which its documents allow."""

import json
from typing import Any

import httpx
import pytest
from little_client import Client

pytest_plugins = ["judging"]
both = pytest.mark.parametrize("is_guilty", [True, False], ids=["guilty", "innocent"])


def post(client: Client, *turns: tuple[str, str], stream: bool = True) -> httpx.Response:
    method = "streamGenerateContent?alt=sse" if stream else "generateContent"
    url = f"{client.namespace.url('gemini')}/v1beta/models/gemini-2.5-flash:{method}"
    contents = [{"role": role, "parts": [{"text": text}]} for role, text in turns]
    return client.http.post(url, json={"contents": contents}, headers={"x-goog-api-key": client.key})


def text(response: httpx.Response) -> str:
    found = ""
    for line in response.text.splitlines():
        if line.startswith("data: "):
            event: dict[str, Any] = json.loads(line[6:])
            found += "".join(part.get("text", "") for part in event["candidates"][0]["content"].get("parts", ()))
    return found


@both
def test_truncated_streams(client: Client, is_guilty: bool) -> None:
    client.namespace.faults.next("truncate:after_tokens=3")
    piece = text(post(client, ("user", "Hi")))
    history = [("user", "Hi"), ("model", piece)] if is_guilty else []
    post(client, *history, ("user", "Go on"))
    assert piece
    assert client.found() == ({"truncated_stream_accepted": [1, 2]} if is_guilty else {})


@pytest.mark.parametrize("stream", [True, False])
def test_samples_are_no_attempts(client: Client, stream: bool) -> None:
    for _ in range(12):
        post(client, ("user", "Hi"), stream=stream)
    assert (client.found(), client.unknown()) == ({}, {})


def test_a_key_in_the_url_is_as_documented(client: Client) -> None:
    url = f"{client.namespace.url('gemini')}/v1beta/models/gemini-2.5-flash:generateContent"
    body = {"contents": [{"parts": [{"text": "Hi"}]}]}
    assert client.http.post(url, params={"key": client.key}, json=body).status_code == 200
    assert client.found() == {}


@both
def test_signatures_in_the_base64_of_urls_are_the_same(client: Client, is_guilty: bool) -> None:
    url = f"{client.namespace.url('gemini')}/v1beta/models/gemini-2.5-flash:generateContent"
    contents: list[Any] = [{"role": "user", "parts": [{"text": "How is the weather?"}]}]
    tools = [{"functionDeclarations": [{"name": "get_weather", "parameters": {"type": "OBJECT"}}]}]

    def ask() -> dict[str, Any]:
        body = {"contents": contents, "tools": tools}
        response = client.http.post(url, json=body, headers={"x-goog-api-key": client.key})
        content: dict[str, Any] = response.json()["candidates"][0]["content"]
        return content

    answer = ask()
    (signed,) = [part for part in answer["parts"] if "thoughtSignature" in part]
    signature = signed["thoughtSignature"].translate(str.maketrans("+/", "-_"))
    signed["thoughtSignature"] = signature[::-1] if is_guilty else signature
    (call,) = [part["functionCall"] for part in answer["parts"] if "functionCall" in part]
    result = {"name": call["name"], "id": call.get("id"), "response": {"output": "sunny"}}
    contents += [answer, {"role": "user", "parts": [{"functionResponse": result}]}]
    ask()
    assert client.found() == ({"signature_dropped": [1, 2]} if is_guilty else {})
