"""langchain with its packages for OpenAI, DeepSeek, Anthropic and Google."""

from collections.abc import Callable
from typing import Any

from common import EMBEDDED, KEY, Cases, base, broken, failure, joined, report, vectors
from langchain_anthropic import ChatAnthropic
from langchain_core.messages import HumanMessage, ToolMessage
from langchain_core.tools import tool
from langchain_deepseek import ChatDeepSeek
from langchain_google_genai import ChatGoogleGenerativeAI, GoogleGenerativeAIEmbeddings
from langchain_openai import ChatOpenAI, OpenAIEmbeddings
from pydantic import BaseModel


class Trip(BaseModel):
    """A trip."""

    city: str
    days: int


@tool
def get_weather(city: str) -> str:
    """The weather at a place."""
    return "sunny"


def chats(make: Callable[..., Any], forms: tuple[str, ...], **for_tools: Any) -> Cases:
    model = make()

    def stream(prompt: str) -> Any:
        for chunk in model.stream(prompt):
            yield chunk.text

    def tools() -> Any:
        able = make(**for_tools).bind_tools([get_weather])
        said: list[Any] = [HumanMessage("How is the weather?")]
        message = None
        for chunk in able.stream(said):
            message = chunk if message is None else message + chunk
        (call,) = message.tool_calls
        said += [message, ToolMessage(get_weather.invoke(call["args"]), tool_call_id=call["id"], name=call["name"])]
        return {"calls": [{"name": call["name"], "arguments": call["args"]}], "answer": able.invoke(said).text}

    def structured() -> Any:
        able = make(**for_tools)
        found = [able.with_structured_output(Trip, method=form).invoke("Plan a trip, as JSON") for form in forms]
        assert found == found[:1] * len(forms)
        return found[0].model_dump()

    def reasoning() -> Any:
        blocks = [block for block in model.invoke("Hi").content_blocks if block["type"] == "reasoning"]
        return blocks[0].get("reasoning") if blocks else None

    return {
        "chat": lambda: model.invoke("Hi").text,
        "stream": lambda: joined(stream("Count")),
        "tools": tools,
        "structured": structured,
        "reasoning": reasoning,
        "errors": lambda: {
            "refused": failure(lambda: model.invoke("Bad")),
            "broken": broken(lambda: stream("Break")),
        },
        "retries": lambda: model.invoke("Fail once").text,
    }


def maker(kind: Any, **common: Any) -> Callable[..., Any]:
    return lambda **more: kind(**{**common, **more})


def rows() -> dict[str, Cases]:
    def at(row: str, path: str) -> dict[str, Any]:
        return {"base_url": base(f"langchain.{row}", path), "api_key": KEY, "max_retries": 2}

    openai, thinks = {"model": "gpt-5-mini"}, {"type": "enabled", "budget_tokens": 1024}
    by_schema = ("json_schema", "function_calling")
    deepseek = {"model": "deepseek-flash", "api_key": KEY, "max_retries": 2}
    # It does not give reasoning back with the results of tools, which DeepSeek wants when it thinks.
    no_thoughts = {"extra_body": {"thinking": {"type": "disabled"}}}
    return {
        "langchain.openai-chat": chats(maker(ChatOpenAI, **openai, **at("openai-chat", "/openai/v1")), by_schema),
        "langchain.openai-responses": chats(
            maker(
                ChatOpenAI,
                use_responses_api=True,
                reasoning={"effort": "low", "summary": "auto"},
                **openai,
                **at("openai-responses", "/openai/v1"),
            ),
            by_schema,
        ),
        "langchain.deepseek": chats(
            maker(ChatDeepSeek, api_base=base("langchain.deepseek", "/deepseek"), **deepseek),
            ("function_calling", "json_mode"),
            **no_thoughts,
        ),
        "langchain.anthropic": chats(
            maker(
                ChatAnthropic,
                model="claude-haiku-4-5-20251001",
                max_tokens=2048,
                thinking=thinks,
                **at("anthropic", "/anthropic"),
            ),
            ("json_schema",),
        ),
        "langchain.google": chats(
            maker(ChatGoogleGenerativeAI, model="gemini-2.5-flash", include_thoughts=True, **at("google", "/gemini")),
            by_schema,
        ),
        "langchain.openai-embeddings": {
            "embeddings": lambda: vectors(
                OpenAIEmbeddings(
                    model="text-embedding-3-small",
                    dimensions=64,
                    check_embedding_ctx_length=False,  # else it fetches a vocabulary from the network
                    **at("openai-embeddings", "/openai/v1"),
                ).embed_documents(EMBEDDED)
            )
        },
        "langchain.google-embeddings": {
            "embeddings": lambda: vectors(
                GoogleGenerativeAIEmbeddings(
                    model="gemini-embedding-001",
                    google_api_key=KEY,
                    base_url=base("langchain.google-embeddings", "/gemini"),
                ).embed_documents(EMBEDDED, output_dimensionality=64)
            )
        },
    }


if __name__ == "__main__":
    report(rows())
