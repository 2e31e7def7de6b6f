"""The same with everything mended that a program can mend."""

import os
import sys

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"  # else it fetches prices when it is imported

import litellm


def main(prompt: str) -> None:
    reason, has_text = None, False
    question = [{"role": "user", "content": prompt}]
    # The timeout: seconds without a byte; the default is ten minutes.
    for part in litellm.completion(model="openai/gpt-4o-mini", messages=question, stream=True, timeout=8):
        print(part.choices[0].delta.content or "", end="", flush=True)
        has_text = has_text or bool(part.choices[0].delta.content)
        reason = part.choices[0].finish_reason or reason
    if reason in ("length", "content_filter"):
        sys.exit(f"error: the answer is incomplete: {reason}")
    if not has_text:  # then, too, litellm reports the reason `stop`
        sys.exit("error: there is no text in the answer")


try:
    main(sys.stdin.read())
except Exception as error:  # those of litellm, openai and httpx come through
    sys.exit(f"error: {error}")
