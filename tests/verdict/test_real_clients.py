"""Official SDKs with their defaults, on a healthy server: none of them gives a finding."""

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import anthropic
import httpx
import openai
import pytest
from little_client import RULES

from emulator import Emulator
from emulator.client import NamespaceClient

TOOL = {"name": "get_weather", "description": "The weather", "parameters": {"type": "object", "properties": {}}}
QUESTION = "What is the weather in Bern?"
Run = Callable[[NamespaceClient], None]


@pytest.fixture(scope="module")
def server() -> Iterator[Emulator]:
    with Emulator({"rules": RULES}) as running:
        yield running


def chat(where: NamespaceClient, provider: str = "serevix", path: str = "/v1") -> openai.OpenAI:
    return openai.OpenAI(base_url=where.url(provider) + path, api_key="sk-test-of-sdks")


def messages(where: NamespaceClient, provider: str) -> anthropic.Anthropic:
    base_url = where.url(provider) + ("/anthropic" if provider == "deepseek" else "")
    return anthropic.Anthropic(base_url=base_url, api_key="sk-test-of-sdks")


def whole(where: NamespaceClient, provider: str = "serevix", path: str = "/v1", model: str = "deepseek-v3") -> None:
    with chat(where, provider, path) as client:
        for prompt in ("Hi", "Hi", "Something else"):
            client.chat.completions.create(model=model, messages=[{"role": "user", "content": prompt}])


def streamed(where: NamespaceClient, provider: str = "serevix", path: str = "/v1", model: str = "deepseek-v3") -> None:
    with chat(where, provider, path) as client:
        turns: list[Any] = []
        for prompt in ("Hi", "Go on", "And on"):
            turns.append({"role": "user", "content": prompt})
            text = ""
            for chunk in client.chat.completions.create(model=model, messages=turns, stream=True):
                text += (chunk.choices[0].delta.content or "") if chunk.choices else ""
            turns.append({"role": "assistant", "content": text})


def with_tools(where: NamespaceClient) -> None:
    with chat(where) as client:
        tools: Any = [{"type": "function", "function": TOOL}]
        turns: list[Any] = [{"role": "user", "content": QUESTION}]
        answer = client.chat.completions.create(model="deepseek-v3", messages=turns, tools=tools).choices[0].message
        assert answer.tool_calls
        turns.append(answer.model_dump(exclude_none=True))
        turns.append({"role": "tool", "tool_call_id": answer.tool_calls[0].id, "content": "sunny"})
        client.chat.completions.create(model="deepseek-v3", messages=turns, tools=tools)


def side_by_side(where: NamespaceClient) -> None:
    async def ask() -> None:
        async with openai.AsyncOpenAI(base_url=where.url("serevix") + "/v1", api_key="sk-test-of-sdks") as client:
            question: Any = [{"role": "user", "content": "Hi"}]
            create = client.chat.completions.create
            await asyncio.gather(*[create(model="deepseek-v3", messages=question) for _ in range(12)])

    asyncio.run(ask())


def stream_that_is_left(where: NamespaceClient) -> None:
    with chat(where) as client:
        question: Any = [{"role": "user", "content": "Hi"}]
        with client.chat.completions.create(model="deepseek-v3", messages=question, stream=True) as stream:
            next(iter(stream))
        client.chat.completions.create(model="deepseek-v3", messages=question)


def responses(where: NamespaceClient, *, stream: bool) -> None:
    with chat(where, "deepseek", "") as client:
        for prompt in ("Hi", "Something else"):
            answer: Any = client.responses.create(model="deepseek-v4-pro", input=prompt, stream=stream)
            list(answer) if stream else answer.output_text


MODELS = {"deepseek": "deepseek-v4-pro", "anthropic": "claude-sonnet-5-5"}


def blocks(where: NamespaceClient, provider: str, *, stream: bool) -> None:
    with messages(where, provider) as client:
        turns: list[Any] = []
        for prompt in ("Hi", "Go on"):
            turns.append({"role": "user", "content": prompt})
            asked: Any = {"model": MODELS[provider], "max_tokens": 500, "messages": turns}
            if stream:
                with client.messages.stream(**asked) as events:
                    answer = events.get_final_message()
            else:
                answer = client.messages.create(**asked)
            turns.append(
                {"role": "assistant", "content": [each.model_dump(exclude_none=True) for each in answer.content]}
            )


def blocks_with_tools(where: NamespaceClient, provider: str) -> None:
    tool: Any = {"name": "get_weather", "description": "The weather", "input_schema": TOOL["parameters"]}
    with messages(where, provider) as client:
        turns: list[Any] = [{"role": "user", "content": QUESTION}]
        asked: Any = {"model": MODELS[provider], "max_tokens": 500, "tools": [tool]}
        answer = client.messages.create(messages=turns, **asked)
        call = next(block for block in answer.content if block.type == "tool_use")
        turns.append({"role": "assistant", "content": answer.content})
        result = {"type": "tool_result", "tool_use_id": call.id, "content": "sunny"}
        turns.append({"role": "user", "content": [result]})
        client.messages.create(messages=turns, **asked)


def embeddings(where: NamespaceClient) -> None:
    with chat(where, "openai") as client:
        for _ in range(2):
            client.embeddings.create(model="text-embedding-3-small", input=["one", "two"])


def models(where: NamespaceClient) -> None:
    with chat(where, "openai") as client:
        for _ in range(12):
            client.models.list()


def plain(where: NamespaceClient) -> None:
    with httpx.Client(trust_env=False, verify=False) as client:
        for _ in range(3):
            body = {"model": "deepseek-v3", "messages": [{"role": "user", "content": "Hi"}]}
            headers = {"authorization": "Bearer sk-test-of-sdks"}
            client.post(where.url("serevix") + "/v1/chat/completions", json=body, headers=headers)


RUNS: dict[str, Run] = {
    "chat": whole,
    "chat-streamed": streamed,
    "chat-deepseek": lambda where: whole(where, "deepseek", "", "deepseek-v4-pro"),
    "chat-deepseek-streamed": lambda where: streamed(where, "deepseek", "", "deepseek-v4-pro"),
    "chat-cloudsway": lambda where: whole(where, "cloudsway", "/v1/ai/abc", "MaaS_Deepseek_V4_pro_20260424"),
    "chat-openai": lambda where: whole(where, "openai", "/v1", "gpt-4o"),
    "chat-openai-streamed": lambda where: streamed(where, "openai", "/v1", "gpt-4o"),
    "chat-with-tools": with_tools,
    "chat-side-by-side": side_by_side,
    "chat-left": stream_that_is_left,
    "responses": lambda where: responses(where, stream=False),
    "responses-streamed": lambda where: responses(where, stream=True),
    "messages": lambda where: blocks(where, "anthropic", stream=False),
    "messages-streamed": lambda where: blocks(where, "anthropic", stream=True),
    "messages-with-tools": lambda where: blocks_with_tools(where, "anthropic"),
    "messages-deepseek": lambda where: blocks(where, "deepseek", stream=False),
    "messages-deepseek-streamed": lambda where: blocks(where, "deepseek", stream=True),
    "messages-deepseek-with-tools": lambda where: blocks_with_tools(where, "deepseek"),
    "embeddings": embeddings,
    "models": models,
    "httpx": plain,
}


@pytest.mark.parametrize("name", RUNS)
def test_defaults_on_a_healthy_server_give_no_finding(server: Emulator, name: str) -> None:
    where = server.namespace(f"sdk-{name}")
    RUNS[name](where)
    assert len(where.journal) >= 2
    where.assert_no_findings()
