"""The same with everything mended that a program can mend."""

import sys
from typing import Any

from openai import APIError, OpenAI


def main(question: Any) -> None:
    reason = None
    client = OpenAI(timeout=8)  # seconds without a byte; the default is ten minutes
    for part in client.chat.completions.create(model="gpt-4o-mini", messages=question, stream=True):
        for choice in part.choices:
            print(choice.delta.content or "", end="", flush=True)
            reason = choice.finish_reason or reason
    if reason in (None, "length", "content_filter"):  # None: it broke off, or it was no answer at all
        sys.exit(f"error: the answer is incomplete: {reason}")


try:
    main([{"role": "user", "content": sys.stdin.read()}])
except APIError as error:
    sys.exit(f"error: {error}")
except ValueError as error:  # the SDK passes on the error of JSON that it cannot read
    sys.exit(f"error: an event is no JSON: {error}")
