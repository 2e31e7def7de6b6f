"""The least that an exam asks for: the prompt on stdin, the answer on stdout."""

import sys

from pydantic_ai import Agent
from pydantic_ai.models.openai import OpenAIChatModel

answer = Agent(OpenAIChatModel("gpt-4o-mini")).run_stream_sync(sys.stdin.read())
for text in answer.stream_text(delta=True):
    print(text, end="", flush=True)
