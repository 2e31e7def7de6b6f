"""The least that an exam asks for: the prompt on stdin, the answer on stdout."""

import os
import sys

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"  # else it fetches prices when it is imported

import litellm

question = [{"role": "user", "content": sys.stdin.read()}]
for part in litellm.completion(model="openai/gpt-4o-mini", messages=question, stream=True):
    print(part.choices[0].delta.content or "", end="", flush=True)
