"""The least that an exam asks for: the prompt on stdin, the answer on stdout."""

import sys
from typing import Any

from openai import OpenAI

question: Any = [{"role": "user", "content": sys.stdin.read()}]
for part in OpenAI().chat.completions.create(model="gpt-4o-mini", messages=question, stream=True):
    if part.choices:
        print(part.choices[0].delta.content or "", end="", flush=True)
