"""The same with everything mended that a program can mend."""

import sys

from pydantic_ai import Agent, ModelSettings
from pydantic_ai.models.openai import OpenAIChatModel


def main(prompt: str) -> None:
    agent = Agent(OpenAIChatModel("gpt-4o-mini"), model_settings=ModelSettings(timeout=8))  # the default is ten minutes
    answer = agent.run_stream_sync(prompt)
    for text in answer.stream_text(delta=True):
        print(text, end="", flush=True)
    reason = (answer.response.provider_details or {}).get("finish_reason")
    if reason in (None, "length", "content_filter"):  # None: it broke off
        sys.exit(f"error: the answer is incomplete: {reason}")


try:
    main(sys.stdin.read())
except Exception as error:  # those of openai, httpx and json come through
    sys.exit(f"error: {error}")
