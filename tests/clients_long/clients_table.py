"""The clients that `make clients` runs: their packages, the program that drives each, and what every row of it sees.

A row is a client at one API. What a program prints of a row is compared whole with `Row.expected`.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

PUBLISHED_BEFORE = "2026-11-27"
"""What the pinned packages need is taken as it was on this day."""
NUMBERS = (
    "one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
    "eighteen nineteen twenty twenty-one twenty-two twenty-three twenty-four twenty-five twenty-six twenty-seven "
    "twenty-eight twenty-nine"
)
CHAT: Mapping[str, Any] = {
    "chat": "Hé, you 😊",
    "stream": {"text": NUMBERS, "comes_in_pieces": True},
    "tools": {"calls": [{"name": "get_weather", "arguments": {"city": "Bern"}}], "answer": "It is sunny in Bern."},
    "structured": {"city": "Bern", "days": 3},
    "reasoning": "They greet.",
    "errors": {
        "refused": {"status": 400, "message": "This is refused."},
        "broken": {"begins": "one two three", "raises": True},
    },
    "retries": "There.",
}
"""What a client of a chat sees of what the scenario says."""
EMBEDDINGS: Mapping[str, Any] = {"embeddings": {"lengths": [64, 64, 64], "same": True}}
HIDDEN: Mapping[str, Any] = {**CHAT, "reasoning": None}
"""OpenAI's chat completions have no reasoning to show."""
NO_STATUS: Mapping[str, Any] = {
    **CHAT,
    "errors": {**CHAT["errors"], "refused": {"status": None, "message": "This is refused."}},
}
"""The error that is raised has no status of its own."""
UNNOTICED: Mapping[str, Any] = {
    **CHAT,
    "errors": {**CHAT["errors"], "broken": {"begins": "one two three", "raises": False}},
}
"""A stream that breaks is taken for a whole one."""
TASK: Mapping[str, Any] = {"task": {"written": "4", "says": True, "requests": ["count", "tell-the-result"]}}
"""What an agent does with the scenarios that are shipped for it."""


def standard(**counts: int) -> Mapping[str, Any]:
    """How many tests of langchain's suite pass, fail as the provider documents it, and don't apply."""
    return {"standard": counts}


STANDARD = standard(passed=38, not_applicable=12)


class Row(NamedTuple):
    """A client at one API."""

    api: str
    base_url: str
    """What the client is given, behind the origin."""
    expected: Mapping[str, Any] = CHAT
    note: str = ""
    """What its users need to know, for docs/clients.md."""


class Client(NamedTuple):
    """Packages in an environment of their own, and a program that uses them."""

    title: str
    packages: tuple[str, ...]
    """Pinned: `name==version` of PyPI, `name@version` of npm."""
    program: str
    """Empty where other tests run it."""
    rows: Mapping[str, Row]
    runtime: str = ""
    """The version of Node that they need, if not the one that is there: of npm's package `node`."""

    runs_itself: bool = False
    """Whether the program is the packages' own."""

    @property
    def has_own_test(self) -> bool:
        """Whether it is not a program that prints what it sees."""
        return self.runs_itself or "/" in self.program

    @property
    def is_node(self) -> bool:
        return self.runs_itself or self.program.endswith(".mjs")


CLIENTS: Mapping[str, Client] = {
    "openai-python": Client("openai-python", ("openai==3.57.0",), "", {}),
    "anthropic-python": Client("anthropic-python", ("anthropic==2.14.0",), "", {}),
    "openai-node": Client(
        "openai-node",
        ("openai@7.57.0",),
        "openai_node.mjs",
        {
            "chat": Row("OpenAI chat completions", "/openai/v1", HIDDEN),
            "responses": Row("OpenAI responses", "/openai/v1"),
            "embeddings": Row("OpenAI embeddings", "/openai/v1", EMBEDDINGS),
            "deepseek-chat": Row(
                "DeepSeek chat completions",
                "/deepseek",
                note="`stream()` loses `reasoning_content`, which DeepSeek wants back with the results of tools: "
                "take `create()` there.",
            ),
            "deepseek-responses": Row("DeepSeek responses", "/deepseek"),
        },
    ),
    "anthropic-node": Client(
        "Anthropic's SDK for Node",
        ("@anthropic-ai/sdk@1.14.0",),
        "anthropic_node.mjs",
        {
            "messages": Row("Anthropic messages", "/anthropic"),
            "deepseek-messages": Row("DeepSeek messages", "/deepseek/anthropic"),
        },
    ),
    "google-node": Client(
        "Google's Gen AI SDK for Node",
        ("@google/genai@3.3.0",),
        "google_node.mjs",
        {"gemini": Row("Gemini generate content, embeddings", "/gemini", {**CHAT, **EMBEDDINGS})},
    ),
    "ai-sdk": Client(
        "Vercel AI SDK",
        (
            "ai@7.0.173",
            "@ai-sdk/openai@4.0.118",
            "@ai-sdk/deepseek@3.0.56",
            "@ai-sdk/anthropic@4.0.105",
            "@ai-sdk/google@4.0.121",
            "zod@4.6.7",
        ),
        "ai_sdk.mjs",
        {
            "deepseek": Row("DeepSeek chat completions", "/deepseek"),
            "openai": Row("OpenAI responses", "/openai/v1"),
            "openai-chat": Row("OpenAI chat completions", "/openai/v1", HIDDEN),
            "anthropic": Row("Anthropic messages", "/anthropic/v1"),
            "google": Row("Gemini generate content", "/gemini/v1beta"),
            "openai-embeddings": Row("OpenAI embeddings", "/openai/v1", EMBEDDINGS),
            "google-embeddings": Row("Gemini embeddings", "/gemini/v1beta", EMBEDDINGS),
        },
        runtime="22.23.3",
    ),
    "litellm": Client(
        "litellm",
        ("litellm==1.110.2", "tenacity==9.2.1"),
        "litellm_client.py",
        {
            "openai": Row("OpenAI chat completions", "/openai/v1", HIDDEN),
            "openai-responses": Row(
                "OpenAI responses", "/openai/v1", {case: CHAT[case] for case in ("chat", "stream")}
            ),
            "deepseek": Row("DeepSeek chat completions", "/deepseek"),
            "anthropic": Row("Anthropic messages", "/anthropic"),
            "gemini": Row("Gemini generate content", "/gemini/v1beta"),
            "openai-embeddings": Row("OpenAI embeddings", "/openai/v1", EMBEDDINGS),
        },
    ),
    "pydantic-ai": Client(
        "pydantic-ai",
        ("pydantic-ai-slim[openai,anthropic,google]==2.68.0",),
        "pydantic_ai_client.py",
        {
            "openai-chat": Row("OpenAI chat completions", "/openai/v1", HIDDEN),
            "openai-responses": Row("OpenAI responses", "/openai/v1"),
            "deepseek": Row("DeepSeek chat completions", "/deepseek"),
            "anthropic": Row("Anthropic messages", "/anthropic"),
            "google": Row("Gemini generate content", "/gemini"),
        },
    ),
    "langchain": Client(
        "LangChain",
        (
            "langchain-openai==1.7.4",
            "langchain-deepseek==1.1.1",
            "langchain-anthropic==1.7.10",
            "langchain-google-genai==4.4.3",
            "langchain-core==1.8.3",
        ),
        "langchain_client.py",
        {
            "openai-chat": Row("OpenAI chat completions", "/openai/v1", HIDDEN),
            "openai-responses": Row("OpenAI responses", "/openai/v1"),
            "deepseek": Row(
                "DeepSeek chat completions",
                "/deepseek",
                note="`ChatDeepSeek` does not send `reasoning_content` back, which DeepSeek wants with the results of "
                "tools: turn thinking off for tools (`extra_body`).",
            ),
            "anthropic": Row("Anthropic messages", "/anthropic"),
            "google": Row(
                "Gemini generate content",
                "/gemini",
                NO_STATUS,
                note="The error that `ChatGoogleGenerativeAI` raises has the status in its text only.",
            ),
            "openai-embeddings": Row(
                "OpenAI embeddings",
                "/openai/v1",
                EMBEDDINGS,
                note="`OpenAIEmbeddings` fetches a vocabulary of tiktoken from the network; "
                "`check_embedding_ctx_length=False` keeps it from that.",
            ),
            "google-embeddings": Row("Gemini embeddings", "/gemini", EMBEDDINGS),
        },
    ),
    "llama-index": Client(
        "LlamaIndex",
        (
            "llama-index-core==0.14.25",
            "llama-index-llms-openai==0.8.3",
            "llama-index-llms-deepseek==0.4.1",
            "llama-index-llms-anthropic==0.12.3",
            "llama-index-llms-google-genai==0.11.3",
            "llama-index-embeddings-openai==0.7.0",
            "anthropic==0.125.0",
        ),
        "llama_index_client.py",
        {
            "openai-chat": Row("OpenAI chat completions", "/openai/v1", HIDDEN),
            "openai-responses": Row(
                "OpenAI responses",
                "/openai/v1",
                UNNOTICED,
                note="`OpenAIResponses` takes a stream that breaks off with an error event for a whole one.",
            ),
            "deepseek": Row(
                "DeepSeek chat completions",
                "/deepseek",
                note="`DeepSeek` does not send `reasoning_content` back, and forces a tool for structured output: turn "
                "thinking off for tools and structured output (`additional_kwargs`).",
            ),
            "anthropic": Row(
                "Anthropic messages",
                "/anthropic",
                note="It fails with anthropic 2.x (“Cannot instantiate typing.Union”), which its package allows.",
            ),
            "google": Row("Gemini generate content", "/gemini"),
            "openai-embeddings": Row("OpenAI embeddings", "/openai/v1", EMBEDDINGS),
        },
    ),
    "langchain-tests": Client(
        "LangChain's standard tests",
        (
            "langchain-tests==1.1.9",
            "langchain-openai==1.7.4",
            "langchain-deepseek==1.1.1",
            "langchain-anthropic==1.7.10",
            "langchain-google-genai==4.4.3",
            "langchain-core==1.8.3",
            "pytest-asyncio==1.5.0",
        ),
        "standard/standard_suite.py",
        {
            "OpenAI": Row("OpenAI chat completions", "/openai/v1", STANDARD),
            "OpenAIResponses": Row("OpenAI responses", "/openai/v1", STANDARD),
            "DeepSeek": Row("DeepSeek chat completions", "/deepseek", STANDARD),
            "Anthropic": Row("Anthropic messages", "/anthropic", STANDARD),
            "Gemini": Row("Gemini generate content", "/gemini", STANDARD),
            "MaxToken": Row(
                "MaxToken chat completions",
                "/maxtoken/v1",
                standard(passed=17, otherwise=21, not_applicable=12),
                note="MaxToken documents neither tools nor `response_format`; it streams by default, so set "
                "`stream_default: false`.",
            ),
            "Serevix": Row("Serevix chat completions", "/serevix/v1", STANDARD),
            "Cloudsway": Row("Cloudsway chat completions", "/cloudsway/v1/ai/demo", STANDARD),
        },
    ),
    "claude-code": Client(
        "Claude Code",
        ("@anthropic-ai/claude-code@2.1.332",),
        "node_modules/.bin/claude",
        {"messages": Row("Anthropic messages", "/anthropic", TASK)},
        runs_itself=True,
    ),
    "codex": Client(
        "Codex CLI",
        ("@openai/codex@0.171.0",),
        "node_modules/.bin/codex",
        {"responses": Row("OpenAI responses", "/openai/v1", TASK)},
        runs_itself=True,
    ),
}
