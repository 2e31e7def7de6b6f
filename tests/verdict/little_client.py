"""A client of a few lines with which tests make mistakes."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import httpx

from emulator.client import NamespaceClient
from emulator.verdict import Verdict

Message = dict[str, Any]
PATHS = {
    "serevix": "/v1/chat/completions",
    "deepseek": "/chat/completions",
    "beta": "/beta/chat/completions",
    "messages": "/anthropic/v1/messages",
    "responses": "/responses",
}
MODELS = {"serevix": "deepseek-v3"}
WEATHER_CALL = {"name": "get_weather", "arguments": {"city": "Bern"}}
RULES: list[dict[str, Any]] = [
    {"match": {"tool_result": {"name": "get_weather"}}, "reply": {"content": "It is sunny in Bern."}},
    {
        "match": {"prompt": {"contains": "weather"}},
        "reply": {"reasoning": "I need the weather.", "content": "Let me look.", "tool_calls": [WEATHER_CALL]},
    },
    {"match": {"prompt": "Say keep-alive"}, "reply": {"content": "Comments say keep-alive now and then."}},
    {"match": {}, "reply": {"content": "one two three four five six"}},
]


class Client:
    """Sends requests, reads answers, and does with them what a test wants."""

    def __init__(self, namespace: NamespaceClient, http: httpx.Client) -> None:
        self.namespace = namespace
        self.http = http
        self.key = "sk-test-of-verdict"

    def url(self, place: str) -> str:
        provider = place if place == "serevix" else "deepseek"
        return self.namespace.url(provider) + PATHS[place]

    def post(
        self,
        prompt: str | Sequence[Message] = "Hi",
        *,
        place: str = "serevix",
        headers: Mapping[str, str] | None = None,
        timeout: float = 20.0,
        **members: Any,
    ) -> httpx.Response | None:
        """The answer; None when there is none: the connection broke, or it took too long."""
        with self.opened(prompt, place=place, headers=headers, timeout=timeout, **members) as response:
            pieces: list[bytes] = []
            try:
                pieces.extend(response.iter_raw())
            except httpx.TransportError:
                if not pieces:
                    return None
            return httpx.Response(response.status_code, headers=response.headers, content=b"".join(pieces))

    def post_or_none(self, *arguments: Any, **members: Any) -> httpx.Response | None:
        """The same, or None when no answer begins."""
        try:
            return self.post(*arguments, **members)
        except httpx.TransportError:
            return None

    def opened(
        self,
        prompt: str | Sequence[Message] = "Hi",
        *,
        place: str = "serevix",
        headers: Mapping[str, str] | None = None,
        timeout: float = 20.0,
        **members: Any,
    ) -> Any:
        """The same while it comes."""
        turns: Any = [{"role": "user", "content": prompt}] if isinstance(prompt, str) else list(prompt)
        body: dict[str, Any] = {"model": MODELS.get(place, "deepseek-v4-pro"), "stream": True}
        body |= {"input": turns} if place == "responses" else {"messages": turns}
        if place == "messages":
            body["max_tokens"] = 500
        sent = {"authorization": f"Bearer {self.key}", "user-agent": "little-client", **(headers or {})}
        return self.http.stream("POST", self.url(place), json=body | members, headers=sent, timeout=timeout)

    def text(self, response: httpx.Response | None, *, takes_comments: bool = False) -> str:
        """The text that came."""
        assert response is not None
        found = ""
        for line in response.text.splitlines():
            data = line.removeprefix("data: ")
            if line.startswith(":") and takes_comments:
                found += line
            if line.startswith("data: {"):
                event = json.loads(data)
                for choice in event.get("choices", ()):
                    found += choice["delta"].get("content") or ""
                if isinstance(event.get("delta"), dict):
                    found += event["delta"].get("text") or ""
                elif event.get("type") == "response.output_text.delta":
                    found += event["delta"]
        return found

    def verdict(self, **limits: float) -> Verdict:
        return self.namespace.verdict(**limits)

    def found(self, **limits: float) -> dict[str, list[int]]:
        """The codes of all findings, each with the exchanges of the first."""
        found: dict[str, list[int]] = {}
        for finding in self.verdict(**limits).findings:
            found.setdefault(finding.code, list(finding.exchanges))
        return found

    def unknown(self) -> dict[str, list[int]]:
        return {each.code: list(each.exchanges) for each in self.verdict().unknown}


def user(text: str) -> Message:
    return {"role": "user", "content": text}


def assistant(text: str, **members: Any) -> Message:
    return {"role": "assistant", "content": text, **members}
