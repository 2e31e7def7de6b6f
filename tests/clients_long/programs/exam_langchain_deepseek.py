"""The least that an exam asks for: the prompt on stdin, the answer on stdout."""

import sys

from langchain_deepseek import ChatDeepSeek

for chunk in ChatDeepSeek(model="deepseek-flash").stream(sys.stdin.read()):
    print(chunk.text, end="", flush=True)
