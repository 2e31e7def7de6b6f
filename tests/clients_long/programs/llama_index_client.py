"""LlamaIndex with its packages for OpenAI, DeepSeek, Anthropic and Google."""

from typing import Any

from common import EMBEDDED, KEY, Cases, base, broken, failure, joined, report, vectors
from google.genai.types import GenerateContentConfig, ThinkingConfig
from llama_index.core.base.llms.types import ChatMessage, ThinkingBlock
from llama_index.core.tools import FunctionTool
from llama_index.embeddings.openai import OpenAIEmbedding
from llama_index.llms.anthropic import Anthropic
from llama_index.llms.deepseek import DeepSeek
from llama_index.llms.google_genai import GoogleGenAI
from llama_index.llms.openai import OpenAI, OpenAIResponses
from pydantic import BaseModel


class Trip(BaseModel):
    """A trip."""

    city: str
    days: int


def get_weather(city: str) -> str:
    """The weather at a place."""
    return "sunny"


def chats(llm: Any, llm_for_tools: Any = None) -> Cases:
    able = llm_for_tools or llm

    def ask(prompt: str) -> Any:
        return llm.chat([ChatMessage(role="user", content=prompt)])

    def stream(prompt: str) -> Any:
        for chunk in llm.stream_chat([ChatMessage(role="user", content=prompt)]):
            yield chunk.delta

    def tools() -> Any:
        offered = [FunctionTool.from_defaults(get_weather)]
        said = [ChatMessage(role="user", content="How is the weather?")]
        answer = list(able.stream_chat_with_tools(offered, chat_history=said))[-1]
        (call,) = able.get_tool_calls_from_response(answer)
        named = {"tool_call_id": call.tool_id, "name": call.tool_name}
        result = ChatMessage(role="tool", content=get_weather(**call.tool_kwargs), additional_kwargs=named)
        said += [answer.message, result]
        again = able.chat_with_tools(offered, chat_history=said)
        called = {"name": call.tool_name, "arguments": call.tool_kwargs}
        return {"calls": [called], "answer": again.message.content}

    def structured() -> Any:
        found = able.as_structured_llm(Trip).complete("Plan a trip, as JSON").raw
        return found.model_dump()

    def reasoning() -> Any:
        message = ask("Hi").message
        blocks = [block.content for block in message.blocks if isinstance(block, ThinkingBlock) and block.content]
        return blocks[0] if blocks else message.additional_kwargs.get("reasoning_content")

    return {
        "chat": lambda: ask("Hi").message.content,
        "stream": lambda: joined(stream("Count")),
        "tools": tools,
        "structured": structured,
        "reasoning": reasoning,
        "errors": lambda: {"refused": failure(lambda: ask("Bad")), "broken": broken(lambda: stream("Break"))},
        "retries": lambda: ask("Fail once").message.content,
    }


def rows() -> dict[str, Cases]:
    def at(row: str, path: str) -> str:
        return base(f"llama-index.{row}", path)

    thinks = {"type": "enabled", "budget_tokens": 1024}
    common: dict[str, Any] = {"api_key": KEY, "max_retries": 2}
    deepseek = {"model": "deepseek-flash", "api_base": at("deepseek", "/deepseek"), **common}
    return {
        "llama-index.openai-chat": chats(
            OpenAI(model="gpt-5-mini", api_base=at("openai-chat", "/openai/v1"), **common)
        ),
        "llama-index.openai-responses": chats(
            OpenAIResponses(
                model="gpt-5-mini",
                reasoning_options={"effort": "low", "summary": "auto"},
                api_base=at("openai-responses", "/openai/v1"),
                **common,
            )
        ),
        "llama-index.deepseek": chats(
            DeepSeek(**deepseek),
            # It does not give reasoning back with the results of tools, and forces a tool for structured output.
            DeepSeek(additional_kwargs={"extra_body": {"thinking": {"type": "disabled"}}}, **deepseek),
        ),
        "llama-index.anthropic": chats(
            Anthropic(
                model="claude-haiku-4-5-20251001",
                max_tokens=2048,
                temperature=1,
                thinking_dict=thinks,
                base_url=at("anthropic", "/anthropic"),
                **common,
            )
        ),
        "llama-index.google": chats(
            GoogleGenAI(
                model="gemini-2.5-flash",
                context_window=1_000_000,
                http_options={"base_url": at("google", "/gemini")},
                generation_config=GenerateContentConfig(thinking_config=ThinkingConfig(include_thoughts=True)),
                **common,
            )
        ),
        "llama-index.openai-embeddings": {
            "embeddings": lambda: vectors(
                OpenAIEmbedding(
                    model="text-embedding-3-small",
                    dimensions=64,
                    api_base=at("openai-embeddings", "/openai/v1"),
                    **common,
                ).get_text_embedding_batch(EMBEDDED)
            )
        },
    }


if __name__ == "__main__":
    report(rows())
