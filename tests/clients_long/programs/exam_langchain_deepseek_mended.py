"""The same with everything mended that a program can mend."""

import sys

from langchain_deepseek import ChatDeepSeek


def main(prompt: str) -> None:
    reason = None
    model = ChatDeepSeek(model="deepseek-flash", timeout=8)  # seconds without a byte; the default is ten minutes
    for chunk in model.stream(prompt):
        print(chunk.text, end="", flush=True)
        reason = chunk.response_metadata.get("finish_reason", reason)
    if reason in (None, "length", "content_filter"):  # None: it broke off, or it was no answer at all
        sys.exit(f"error: the answer is incomplete: {reason}")


try:
    main(sys.stdin.read())
except Exception as error:  # those of openai, httpx and json come through
    sys.exit(f"error: {error}")
