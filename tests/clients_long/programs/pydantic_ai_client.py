"""pydantic-ai: agents over OpenAI, Anthropic and Google."""

from collections.abc import Callable
from typing import Any

from anthropic import AsyncAnthropic
from common import KEY, Cases, base, broken, failure, joined, report
from google.genai import Client
from google.genai.types import HttpOptions, HttpRetryOptions
from openai import AsyncOpenAI
from pydantic import BaseModel
from pydantic_ai import Agent, NativeOutput, PromptedOutput, ThinkingPart
from pydantic_ai.models.anthropic import AnthropicModel
from pydantic_ai.models.google import GoogleModel
from pydantic_ai.models.openai import OpenAIChatModel, OpenAIResponsesModel
from pydantic_ai.providers.anthropic import AnthropicProvider
from pydantic_ai.providers.deepseek import DeepSeekProvider
from pydantic_ai.providers.google import GoogleProvider
from pydantic_ai.providers.openai import OpenAIProvider


class Trip(BaseModel):
    city: str
    days: int


def agents(model: Any, settings: dict[str, Any], forms: tuple[Callable[[Any], Any], ...]) -> Cases:
    agent = Agent(model, model_settings=settings)

    def stream(prompt: str) -> Any:
        answer = agent.run_stream_sync(prompt)
        yield from answer.stream_text(delta=True, debounce_by=None)

    def tools() -> Any:
        calls: list[Any] = []

        def get_weather(city: str) -> str:
            calls.append({"name": "get_weather", "arguments": {"city": city}})
            return "sunny"

        able = Agent(model, model_settings=settings, tools=[get_weather])
        streamed = able.run_stream_sync("How is the weather?").get_output()
        whole = able.run_sync("How is the weather?").output
        assert streamed == whole
        assert calls == calls[:1] * 2
        return {"calls": calls[:1], "answer": whole}

    def structured() -> Any:
        found = [
            Agent(model, model_settings=settings, output_type=form(Trip)).run_sync("Plan a trip, as JSON").output
            for form in forms
        ]
        assert found == found[:1] * len(forms)
        return found[0].model_dump()

    def reasoning() -> Any:
        messages = agent.run_sync("Hi").all_messages()
        thoughts = [part.content for part in messages[-1].parts if isinstance(part, ThinkingPart) and part.content]
        return thoughts[0] if thoughts else None

    return {
        "chat": lambda: agent.run_sync("Hi").output,
        "stream": lambda: joined(stream("Count")),
        "tools": tools,
        "structured": structured,
        "reasoning": reasoning,
        "errors": lambda: {
            "refused": failure(lambda: agent.run_sync("Bad")),
            "broken": broken(lambda: stream("Break")),
        },
        "retries": lambda: agent.run_sync("Fail once").output,
    }


def openai(row: str, path: str) -> AsyncOpenAI:
    return AsyncOpenAI(base_url=base(row, path), api_key=KEY, max_retries=2)


def google(row: str) -> GoogleProvider:
    options = HttpOptions(base_url=base(row, "/gemini"), retry_options=HttpRetryOptions(attempts=3, initial_delay=0.1))
    return GoogleProvider(client=Client(api_key=KEY, http_options=options))


def by_tool(kind: Any) -> Any:
    return kind


def rows() -> dict[str, Cases]:
    chat, responses = "pydantic-ai.openai-chat", "pydantic-ai.openai-responses"
    deepseek, anthropic, gemini = "pydantic-ai.deepseek", "pydantic-ai.anthropic", "pydantic-ai.google"
    claude = AsyncAnthropic(base_url=base(anthropic, "/anthropic"), api_key=KEY, max_retries=2)
    thinks = {"anthropic_thinking": {"type": "enabled", "budget_tokens": 1024}, "max_tokens": 2048}
    shows = {"google_thinking_config": {"include_thoughts": True}}
    return {
        chat: agents(
            OpenAIChatModel("gpt-5-mini", provider=OpenAIProvider(openai_client=openai(chat, "/openai/v1"))),
            {},
            (by_tool, NativeOutput, PromptedOutput),
        ),
        responses: agents(
            OpenAIResponsesModel("gpt-5-mini", provider=OpenAIProvider(openai_client=openai(responses, "/openai/v1"))),
            {"openai_reasoning_summary": "auto", "openai_reasoning_effort": "low"},
            (by_tool, NativeOutput, PromptedOutput),
        ),
        deepseek: agents(
            OpenAIChatModel("deepseek-flash", provider=DeepSeekProvider(openai_client=openai(deepseek, "/deepseek"))),
            {},
            (PromptedOutput,),
        ),
        anthropic: agents(
            AnthropicModel("claude-haiku-4-5-20251001", provider=AnthropicProvider(anthropic_client=claude)),
            thinks,
            (NativeOutput, PromptedOutput),
        ),
        gemini: agents(
            GoogleModel("gemini-2.5-flash", provider=google(gemini)), shows, (by_tool, NativeOutput, PromptedOutput)
        ),
    }


if __name__ == "__main__":
    report(rows())
