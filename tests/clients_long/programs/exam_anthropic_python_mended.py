"""The same with everything mended that a program can mend."""

import sys

from anthropic import Anthropic, APIError


def main(prompt: str) -> None:
    reason, has_text = None, False
    client = Anthropic(timeout=8)  # seconds without a byte; the default is ten minutes
    # The events themselves: the helper fails for usage or text that is missing, and reads on after the end.
    with client.messages.create(
        model="claude-haiku-4-5-20251001",
        max_tokens=1000,
        messages=[{"role": "user", "content": prompt}],
        stream=True,
    ) as events:
        for event in events:
            if event.type == "content_block_delta" and event.delta.type == "text_delta":
                print(event.delta.text or "", end="", flush=True)
                has_text = True
            elif event.type == "message_delta":
                reason = event.delta.stop_reason or reason
            elif event.type == "message_stop":
                break
    if reason in (None, "max_tokens", "model_context_window_exceeded", "refusal"):  # None: broken off, or no answer
        sys.exit(f"error: the answer is incomplete: {reason}")
    if not has_text:
        sys.exit("error: there is no text in the answer")


try:
    main(sys.stdin.read())
except APIError as error:
    sys.exit(f"error: {error}")
except ValueError as error:  # the SDK passes on the error of JSON that it cannot read
    sys.exit(f"error: an event is no JSON: {error}")
