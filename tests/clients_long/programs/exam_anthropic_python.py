"""The least that an exam asks for: the prompt on stdin, the answer on stdout."""

import sys

from anthropic import Anthropic

prompt = sys.stdin.read()
with Anthropic().messages.stream(
    model="claude-haiku-4-5-20251001", max_tokens=1000, messages=[{"role": "user", "content": prompt}]
) as stream:
    for text in stream.text_stream:
        print(text, end="", flush=True)
