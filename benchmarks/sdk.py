"""A program with openai-python that streams answers to new prompts: `python -m benchmarks.sdk URL CALLS NUMBER`."""

import sys
from typing import Any

from openai import OpenAI

from benchmarks.scenario import PROMPT, SYSTEM, TOKENS


def main() -> int:
    base, calls, number = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    client = OpenAI(base_url=base, api_key="sk-bench", max_retries=0)
    for call in range(calls):
        prompt = PROMPT.format(number=200_000_000 + number * 1_000_000 + call)
        turns: Any = [{"role": "system", "content": SYSTEM}, {"role": "user", "content": prompt}]
        stream: Any = client.chat.completions.create(model="deepseek-v3", messages=turns, stream=True)
        pieces = [choice.delta.content for chunk in stream for choice in chunk.choices if choice.delta.content]
        if len(pieces) != TOKENS:
            print(f"{len(pieces)} pieces instead of {TOKENS}", file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
