"""litellm: one function for every provider."""

import json
import os
from typing import Any

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"  # else it fetches prices when it is imported
os.environ["LITELLM_LOCAL_ANTHROPIC_BETA_HEADERS"] = "True"

import litellm
from common import CITY, EMBEDDED, KEY, TRIP, Cases, base, broken, failure, joined, report, vectors

TOOLS = [{"type": "function", "function": {"name": "get_weather", "parameters": CITY}}]
litellm.suppress_debug_info = True


def chats(row: str, path: str, model: str, **more: Any) -> Cases:
    common: dict[str, Any] = {"model": model, "api_base": base(row, path), "api_key": KEY, "num_retries": 0, **more}

    def ask(content: str | list[Any], **options: Any) -> Any:
        messages = content if isinstance(content, list) else [{"role": "user", "content": content}]
        return litellm.completion(messages=messages, **{**common, **options})

    def text(content: str, **options: Any) -> Any:
        return ask(content, **options).choices[0].message.content

    def pieces(content: str) -> Any:
        for chunk in ask(content, stream=True):
            yield chunk.choices[0].delta.content if chunk.choices else None

    def tools() -> Any:
        said: list[Any] = [{"role": "user", "content": "How is the weather?"}]
        chunks = list(ask(said, tools=TOOLS, stream=True))
        message = litellm.stream_chunk_builder(chunks, messages=said).choices[0].message
        (call,) = message.tool_calls
        said += [message.model_dump(), {"role": "tool", "tool_call_id": call.id, "content": "sunny"}]
        called = {"name": call.function.name, "arguments": json.loads(call.function.arguments)}
        return {"calls": [called], "answer": ask(said, tools=TOOLS).choices[0].message.content}

    def structured() -> Any:
        form = {"type": "json_schema", "json_schema": {"name": "Trip", "schema": TRIP, "strict": True}}
        if "deepseek" in model:
            form = {"type": "json_object"}
        return json.loads(text("Plan a trip, as JSON", response_format=form))

    return {
        "chat": lambda: text("Hi"),
        "stream": lambda: joined(pieces("Count")),
        "tools": tools,
        "structured": structured,
        "reasoning": lambda: getattr(ask("Hi").choices[0].message, "reasoning_content", None),
        "errors": lambda: {"refused": failure(lambda: text("Bad")), "broken": broken(lambda: pieces("Break"))},
        "retries": lambda: text("Fail once", num_retries=2),
    }


def responses(row: str, path: str, model: str) -> Cases:
    common: dict[str, Any] = {"model": model, "api_base": base(row, path), "api_key": KEY}

    def text(content: str) -> str:
        answer: Any = litellm.responses(input=content, **common)
        return "".join(
            part.text for item in answer.output if item.type == "message" for part in item.content if part.text
        )

    def pieces(content: str) -> Any:
        for event in litellm.responses(input=content, stream=True, **common):
            if getattr(event, "type", None) == "response.output_text.delta":
                yield event.delta

    return {"chat": lambda: text("Hi"), "stream": lambda: joined(pieces("Count"))}


def embeddings(row: str, path: str, model: str, **more: Any) -> Cases:
    def find() -> Any:
        found = litellm.embedding(
            model=model, input=EMBEDDED, dimensions=64, api_base=base(row, path), api_key=KEY, **more
        )
        return vectors(each["embedding"] for each in found.data)

    return {"embeddings": find}


THINKING = {"thinking": {"type": "enabled", "budget_tokens": 1024}}
report(
    {
        "litellm.openai": chats("litellm.openai", "/openai/v1", "openai/gpt-5-mini"),
        "litellm.openai-responses": responses("litellm.openai-responses", "/openai/v1", "openai/gpt-5-mini"),
        "litellm.deepseek": chats("litellm.deepseek", "/deepseek", "deepseek/deepseek-flash"),
        "litellm.anthropic": chats(
            "litellm.anthropic", "/anthropic", "anthropic/claude-haiku-4-5-20251001", max_tokens=2048, **THINKING
        ),
        "litellm.gemini": chats("litellm.gemini", "/gemini/v1beta", "gemini/gemini-2.5-flash", reasoning_effort="low"),
        "litellm.openai-embeddings": embeddings(
            "litellm.openai-embeddings", "/openai/v1", "openai/text-embedding-3-small"
        ),
    }
)
