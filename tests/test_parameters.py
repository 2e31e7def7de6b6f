"""The table of parameters is correct: each one is sent, at every operation of every vendor, and has the stated
effect."""

import json
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import httpx
import pytest
from pydantic import BaseModel
from tables import check_each, each_of
from talk import KEYS, Serving

from emulator import Emulator
from emulator.dialects.parameters import Parameter, ignored_in, parameters
from emulator.logs import line, line_of
from emulator.providers import PROVIDERS
from emulator.providers.base import Operation
from emulator.state import exchanges

Json = dict[str, Any]
TOOL = {
    "name": "look",
    "description": "Looks at something.",
    "parameters": {"type": "object", "properties": {"at": {"type": "string"}}, "required": ["at"]},
}
FUNCTION = {"type": "function", "function": TOOL}
FLAT_FUNCTION = {"type": "function", **TOOL}
NAMED_FUNCTION = {"name": "look", "description": "Looks.", "input_schema": TOOL["parameters"]}
SCHEMA = {
    "type": "object",
    "properties": {"height": {"type": "integer"}},
    "required": ["height"],
    "additionalProperties": False,
}
NAMED_SCHEMA = {"name": "mountain", "strict": True, "schema": SCHEMA}
OFF = {"thinking": {"type": "disabled"}}
SCENARIO: Json = {
    "rules": [
        {
            "match": {"prompt": {"contains": "count"}},
            "reply": {
                "content": "One two three, four five six; seven.",
                "reasoning": "They count.",
                "summaries": [{"url": "https://a.example", "summary": "A wide sea."}],
            },
        }
    ],
    "unmatched": "generate",
    "providers": {
        "maxtoken": {"models": None},
        "deepseek": {"models": None, "count_tokens": True},
        "cloudsway": {"effort": "deepseek", "models": ["gpt-4o", "gpt-4o-mini"]},
        "openrouter": {"models": None},
        "openai": {"models": None},
        "anthropic": {"models": None},
    },
}


class Probe(NamedTuple):
    """Two requests that differ in one parameter: what both say, and what only the second one says."""

    changed: Json
    base: Mapping[str, Any] = MappingProxyType({})


COUNT, ASK = "Please count", "Tell me of the sea as json"


def chat(prompt: str) -> Json:
    return {"messages": [{"role": "user", "content": prompt}]}


def said(prompt: str) -> Json:
    return {"input": prompt}


STREAM = Probe({"stream": True})
SAMPLED = {
    "temperature": Probe({"temperature": 0.5}),
    "top_p": Probe({"top_p": 0.5}),
    "frequency_penalty": Probe({"frequency_penalty": 0.5}),
    "presence_penalty": Probe({"presence_penalty": 0.5}),
    "seed": Probe({"seed": 3}),
    "logit_bias": Probe({"logit_bias": {"50256": -100}}),
}
USAGE = Probe({"stream_options": {"include_usage": True}}, {"stream": True})
CHAT: Mapping[str, Probe] = {
    **SAMPLED,
    "model": Probe({"model": "another-model"}),
    "messages": Probe(chat("Please count to seven")),
    "stream": STREAM,
    "stream_options.include_usage": USAGE,
    "max_tokens": Probe({"max_tokens": 2}),
    "max_completion_tokens": Probe({"max_completion_tokens": 2}),
    "stop": Probe({"stop": ","}),
    "n": Probe({"n": 2}),
    "logprobs": Probe({"logprobs": True}),
    "top_logprobs": Probe({"top_logprobs": 2}, {"logprobs": True}),
    "response_format.type": Probe({"response_format": {"type": "json_object"}}, chat(ASK)),
    "response_format.json_schema": Probe(
        {"response_format": {"type": "json_schema", "json_schema": NAMED_SCHEMA}},
        {**chat(ASK), "response_format": {"type": "json_object"}},
    ),
    "tools": Probe({"tools": [FUNCTION]}),
    "tool_choice": Probe({"tool_choice": "required"}, {**chat(ASK), "tools": [FUNCTION]}),
    "thinking.type": Probe(OFF),
    "thinking.reasoning_effort": Probe({"thinking": {"type": "enabled", "reasoning_effort": "max"}}),
    "reasoning_effort": Probe({"reasoning_effort": "max"}, {"thinking": {"type": "enabled"}}),
    "user_id": Probe({"user_id": "somebody"}),
    "search_web": Probe({"search_web": True}),
}
THOUGHTLESS = {**CHAT["tool_choice"].base, **OFF}
RESPONSES: Mapping[str, Probe] = {
    **SAMPLED,
    "model": Probe({"model": "deepseek-v4-flash"}),
    "input": Probe(said("Please count to seven")),
    "instructions": Probe({"instructions": "Be brief."}),
    "stream": STREAM,
    "max_output_tokens": Probe({"max_output_tokens": 16}, said("Please count on")),
    "top_logprobs": Probe({"top_logprobs": 2}),
    "tools": Probe({"tools": [FLAT_FUNCTION]}),
    "tool_choice": Probe(
        {"tool_choice": "required"}, {**said(ASK), "tools": [FLAT_FUNCTION], "reasoning": {"effort": "none"}}
    ),
    "reasoning.effort": Probe({"reasoning": {"effort": "none"}}),
    "reasoning.summary": Probe({"reasoning": {"summary": "auto"}}),
    "text.format": Probe({"text": {"format": {"type": "json_object"}}}, said(ASK)),
    "text.verbosity": Probe({"text": {"verbosity": "low"}}),
    "user": Probe({"user": "somebody"}),
    "text": Probe({"text": {"verbosity": "low"}}),
    "reasoning": Probe({"reasoning": {"effort": "none"}}, {"model": "gpt-5"}),
    "parallel_tool_calls": Probe({"parallel_tool_calls": False}),
    "max_tool_calls": Probe({"max_tool_calls": 3}),
    "previous_response_id": Probe({"previous_response_id": "resp_1"}),
    "conversation": Probe({"conversation": "conv_1"}),
    "store": Probe({"store": False}),
    "background": Probe({"background": True}),
    "metadata": Probe({"metadata": {"a": "b"}}),
    "include": Probe({"include": ["message.output_text.logprobs"]}),
    "prompt": Probe({"prompt": {"id": "pmpt_1"}}),
    "truncation": Probe({"truncation": "auto"}),
    "service_tier": Probe({"service_tier": "flex"}),
    "safety_identifier": Probe({"safety_identifier": "somebody"}),
    "client_metadata": Probe({"client_metadata": {"x-codex-installation-id": "1"}}),
    "prompt_cache_key": Probe({"prompt_cache_key": "mine"}),
    "prompt_cache_retention": Probe({"prompt_cache_retention": "24h"}),
    "prompt_cache_options": Probe({"prompt_cache_options": {}}),
    "context_management": Probe({"context_management": []}),
    "moderation": Probe({"moderation": {}}),
    "stream_options": Probe({"stream_options": {"include_obfuscation": False}}, {"stream": True}),
}
MESSAGES: Mapping[str, Probe] = {
    **SAMPLED,
    "model": Probe({"model": "deepseek-v4-flash"}),
    "messages": CHAT["messages"],
    "max_tokens": Probe({"max_tokens": 2}),
    "system": Probe({"system": "Be brief."}),
    "stop_sequences": Probe({"stop_sequences": [","]}),
    "stream": STREAM,
    "tools": Probe({"tools": [NAMED_FUNCTION]}),
    "tool_choice": Probe({"tool_choice": {"type": "any"}}, {**chat(ASK), "tools": [NAMED_FUNCTION], **OFF}),
    "thinking.type": Probe(OFF),
    "thinking.budget_tokens": Probe(
        {"thinking": {"type": "enabled", "budget_tokens": 2000}}, {"thinking": {"type": "enabled"}}
    ),
    "output_config.effort": Probe({"output_config": {"effort": "max"}}),
    "container": Probe({"container": "c"}),
    "mcp_servers": Probe({"mcp_servers": []}),
    "metadata": Probe({"metadata": {"user_id": "somebody"}}),
    "service_tier": Probe({"service_tier": "auto"}),
    "top_k": Probe({"top_k": 5}),
}


def content(prompt: str) -> Json:
    return {"contents": [{"role": "user", "parts": [{"text": prompt}]}]}


def config(base: Json = MappingProxyType({}), /, **members: Any) -> Probe:  # type: ignore[assignment]
    """A probe of one member of `generationConfig`, beside those of `base`."""
    given = {"generationConfig": base["generationConfig"]} if "generationConfig" in base else {}
    return Probe({"generationConfig": {**given.get("generationConfig", {}), **members}}, {**base})


DECLARED = {"tools": [{"functionDeclarations": [TOOL, {**TOOL, "name": "listen"}]}]}
CALLING = {"functionCallingConfig": {"mode": "ANY"}}
AS_JSON = {**content(ASK), "generationConfig": {"responseMimeType": "application/json"}}
MOUNTAIN = {"type": "OBJECT", "properties": {"height": {"type": "INTEGER"}}, "required": ["height"]}
GENERATE: Mapping[str, Probe] = {
    "model": Probe({"model": "models/another-model"}),
    "contents": Probe(content("Please count to seven")),
    "systemInstruction": Probe({"systemInstruction": {"parts": [{"text": "Be brief."}]}}),
    "tools": Probe(DECLARED),
    "toolConfig.functionCallingConfig.mode": Probe({"toolConfig": CALLING}, {**content(ASK), **DECLARED}),
    "toolConfig.functionCallingConfig.allowedFunctionNames": Probe(
        {"toolConfig": {"functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": ["listen"]}}},
        {**content(ASK), **DECLARED, "toolConfig": CALLING},
    ),
    "toolConfig.functionCallingConfig.streamFunctionCallArguments": Probe(
        {"toolConfig": {"functionCallingConfig": {"mode": "AUTO", "streamFunctionCallArguments": True}}},
    ),
    "toolConfig.retrievalConfig": Probe({"toolConfig": {"retrievalConfig": {}}}),
    "toolConfig.includeServerSideToolInvocations": Probe({"toolConfig": {"includeServerSideToolInvocations": True}}),
    "safetySettings": Probe({"safetySettings": []}),
    "cachedContent": Probe({"cachedContent": "cachedContents/one"}),
    "serviceTier": Probe({"serviceTier": "flex"}),
    "store": Probe({"store": True}),
    "generationConfig.candidateCount": config(candidateCount=2),
    "generationConfig.stopSequences": config(stopSequences=[","]),
    "generationConfig.maxOutputTokens": config(maxOutputTokens=2),
    "generationConfig.responseMimeType": config(content(ASK), responseMimeType="application/json"),
    "generationConfig.responseSchema": config(AS_JSON, responseSchema=MOUNTAIN),
    "generationConfig.responseJsonSchema": config(AS_JSON, responseJsonSchema=SCHEMA),
    "generationConfig._responseJsonSchema": config(AS_JSON, _responseJsonSchema=SCHEMA),
    "generationConfig.responseLogprobs": config(responseLogprobs=True),
    "generationConfig.logprobs": config({"generationConfig": {"responseLogprobs": True}}, logprobs=2),
    "generationConfig.thinkingConfig.includeThoughts": config(thinkingConfig={"includeThoughts": True}),
    "generationConfig.thinkingConfig.thinkingBudget": config(thinkingConfig={"thinkingBudget": 0}),
    "generationConfig.thinkingConfig.thinkingLevel": config(thinkingConfig={"thinkingLevel": "MINIMAL"}),
    **{
        f"generationConfig.{name}": config(**{name: value})
        for name, value in {
            "temperature": 0.5,
            "topP": 0.5,
            "topK": 5,
            "seed": 3,
            "presencePenalty": 0.5,
            "frequencyPenalty": 0.5,
            "responseModalities": ["TEXT"],
            "speechConfig": {},
            "imageConfig": {},
            "audioTranscriptionConfig": {},
            "mediaResolution": "MEDIA_RESOLUTION_LOW",
            "enableEnhancedCivicAnswers": True,
            "audioTimestamp": True,
        }.items()
    },
    "generateContentRequest": Probe({"generateContentRequest": content("Please count to seven")}),
}
EMBED: Mapping[str, Probe] = {
    "model": Probe({"model": "models/gemini-embedding-001"}),
    "content": Probe({"content": {"parts": [{"text": "something else"}]}}),
    "taskType": Probe({"taskType": "RETRIEVAL_QUERY"}),
    "title": Probe({"title": "A title"}),
    "outputDimensionality": Probe({"outputDimensionality": 8}),
    "embedContentConfig": Probe({"embedContentConfig": {}}),
    "requests": Probe({"requests": [{"content": {"parts": [{"text": "something else"}]}}]}),
}
PROBES: Mapping[str, Mapping[str, Probe]] = {
    "generate_content": GENERATE,
    "embed_content": EMBED,
    "chat_completions": CHAT,
    "responses": RESPONSES,
    "messages": MESSAGES,
    "gap": {
        **CHAT,
        "prompt": Probe({"prompt": "Please count to seven"}),
        "suffix": Probe({"suffix": "the end"}),
        "echo": Probe({"echo": True}),
        "logprobs": Probe({"logprobs": 2}),
    },
    "embeddings": {
        "model": Probe({"model": "text-embedding-3-large"}),
        "input": Probe(said("something else")),
        "dimensions": Probe({"dimensions": 8}),
        "encoding_format": Probe({"encoding_format": "base64"}),
        "user": Probe({"user": "somebody"}),
    },
    "images": {
        "model": Probe({"model": "another-model"}),
        "prompt": Probe({"prompt": "something else"}),
        "n": Probe({"n": 2}),
        "aspect_ratio": Probe({"aspect_ratio": "16:9"}),
        "image_size": Probe({"image_size": "2K"}),
        "size": Probe({"size": "1024x1024"}),
        "quality": Probe({"quality": "low"}),
        "background": Probe({"background": "opaque"}),
        "moderation": Probe({"moderation": "low"}),
        "output_format": Probe({"output_format": "webp"}),
        "output_compression": Probe({"output_compression": 50}),
        "stream": Probe({"stream": True}),
        "partial_images": Probe({"partial_images": 2}),
        "user": Probe({"user": "somebody"}),
    },
    "moderations": {
        "model": Probe({"model": "text-moderation-latest"}),
        "input": Probe(said("something else")),
    },
}
"""Every parameter by dialect."""
OPENAI_CHAT = {
    **{
        name: Probe({name: value})
        for name, value in {
            "audio": {},
            "function_call": "auto",
            "functions": [],
            "metadata": {"a": "b"},
            "modalities": ["text"],
            "moderation": {},
            "prediction": {},
            "prompt_cache_key": "mine",
            "prompt_cache_options": {},
            "prompt_cache_retention": "24h",
            "safety_identifier": "somebody",
            "service_tier": "flex",
            "store": True,
            "user": "somebody",
            "verbosity": "low",
            "web_search_options": {},
        }.items()
    },
    "parallel_tool_calls": Probe({"parallel_tool_calls": False}, {"tools": [FUNCTION]}),
    "reasoning_effort": Probe({"reasoning_effort": "none"}, {"model": "gpt-5"}),
    "stream_options.include_obfuscation": Probe({"stream_options": {"include_obfuscation": False}}, {"stream": True}),
}
REMEMBERED = [
    {"role": "user", "content": "Hello"},
    {"role": "assistant", "content": [{"type": "thinking", "thinking": "They greet."}, {"type": "text", "text": "Hi"}]},
    {"role": "user", "content": COUNT},
]
ADAPTIVE = {"thinking": {"type": "adaptive"}}
CLAUDE = {
    **{
        name: Probe({name: value})
        for name, value in {
            "container": "c",
            "context_management": {},
            "mcp_servers": [],
            "inference_geo": "eu",
            "speed": "standard",
            "diagnostics": {},
            "fallbacks": [],
            "fallback_credit_token": "t",
            "billing_policy": {},
            "compaction": {},
            "thread": {},
        }.items()
    },
    "model": Probe({"model": "claude-haiku-4-5"}),
    "tool_choice": Probe({"tool_choice": {"type": "any"}}, {**chat(ASK), "tools": [NAMED_FUNCTION]}),
    "thinking.type": Probe(ADAPTIVE),
    "thinking.display": Probe({"thinking": {"type": "adaptive", "display": "omitted"}}, ADAPTIVE),
    "thinking.budget_tokens": Probe(
        {"thinking": {"type": "enabled", "budget_tokens": 2000}},
        {"thinking": {"type": "enabled", "budget_tokens": 1024}, "max_tokens": 3000},
    ),
    "output_config.effort": Probe({"output_config": {"effort": "low"}}),
    "output_config.format": Probe({"output_config": {"format": {"type": "json_schema", "schema": SCHEMA}}}, chat(ASK)),
    "output_format": Probe({"output_format": {"type": "json_schema", "schema": SCHEMA}}, chat(ASK)),
    "cache_control": Probe({"cache_control": {"type": "ephemeral"}}, chat("Please count. " * 1000)),
}
OF_RESPONSES = {
    "reasoning.effort": Probe({"reasoning": {"effort": "none"}}, {"model": "gpt-5"}),
    "reasoning.summary": Probe({"reasoning": {"summary": "auto"}}, {"model": "gpt-5"}),
    "reasoning.generate_summary": Probe({"reasoning": {"generate_summary": "auto"}}, {"model": "gpt-5"}),
    "tool_choice": Probe({"tool_choice": "required"}, {**said(ASK), "tools": [FLAT_FUNCTION]}),
    "top_logprobs": Probe({"top_logprobs": 2}, {"include": ["message.output_text.logprobs"]}),
    "previous_response_id": Probe({"previous_response_id": "PREVIOUS"}),
}
ROUTED = {
    **{
        name: Probe({name: value})
        for name, value in {
            "route": "fallback",
            "transforms": ["middle-out"],
            "plugins": [],
            "usage": {"include": True},
            "parallel_tool_calls": False,
            "user": "somebody",
            "session_id": "s",
            "metadata": {"a": "b"},
            "top_k": 5,
            "min_p": 0.1,
            "top_a": 0.1,
            "repetition_penalty": 1.1,
            "stream_options": {"include_usage": False},
            "include_reasoning": False,
        }.items()
    },
    "models": Probe({"models": ["openai/gpt-4o-mini"]}, {"model": "openrouter/auto"}),
    "n": Probe({"n": 2}),
    "reasoning.enabled": Probe({"reasoning": {"enabled": False}}),
    "reasoning.effort": Probe({"reasoning": {"effort": "none"}}),
    "reasoning.max_tokens": Probe(
        {"reasoning": {"enabled": True, "max_tokens": 100}}, {"reasoning": {"enabled": True}}
    ),
    "reasoning.exclude": Probe({"reasoning": {"exclude": True}}),
    "reasoning.summary": Probe({"reasoning": {"enabled": True, "summary": "auto"}}, {"reasoning": {"enabled": True}}),
    **{
        f"provider.{name}": Probe({"provider": {name: value}})
        for name, value in {
            "order": ["azure"],
            "only": ["azure"],
            "ignore": ["azure"],
            "allow_fallbacks": False,
            "require_parameters": True,
            "data_collection": "deny",
            "zdr": True,
            "quantizations": ["fp8"],
            "sort": "price",
            "max_price": {"prompt": 1},
        }.items()
    },
}
THOUGHTS = {"google": {"thinking_config": {"include_thoughts": True}}}
GOOGLE_CHAT: Mapping[str, Probe] = {
    **{name: probe for name, probe in CHAT.items() if "." not in name or name.split(".")[0] != "thinking"},
    "model": Probe({"model": "gemini-2.5-pro"}),
    "reasoning_effort": Probe({"reasoning_effort": "none"}),
    "tool_choice": Probe({"tool_choice": "required"}, {**chat(ASK), "tools": [FUNCTION]}),
    "extra_body.google.thinking_config.thinking_budget": Probe(
        {"extra_body": {"google": {"thinking_config": {"thinking_budget": 0}}}}
    ),
    "extra_body.google.thinking_config.thinking_level": Probe(
        {"extra_body": {"google": {"thinking_config": {"thinking_level": "MINIMAL"}}}}
    ),
    "extra_body.google.thinking_config.include_thoughts": Probe({"extra_body": THOUGHTS}),
    "extra_body.google.cached_content": Probe({"extra_body": {"google": {"cached_content": "cachedContents/one"}}}),
    "extra_body.google.safety_settings": Probe({"extra_body": {"google": {"safety_settings": []}}}),
    **{
        name: Probe({name: value})
        for name, value in {
            "audio": {"voice": "x"},
            "metadata": {"a": "b"},
            "modalities": ["text"],
            "parallel_tool_calls": True,
            "service_tier": "auto",
            "store": True,
            "user": "somebody",
        }.items()
    },
}
SPECIAL: Mapping[tuple[str, str], Mapping[str, Probe]] = {
    ("gemini", "chat"): GOOGLE_CHAT,
    ("gemini", "embeddings"): {"model": Probe({"model": "gemini-embedding-2"})},
    ("openai", "chat"): OPENAI_CHAT,
    ("openai", "responses"): OF_RESPONSES,
    ("openai", "input_tokens"): {
        "tool_choice": Probe({"tool_choice": "required"}, {"tools": [FLAT_FUNCTION]}),
        "previous_response_id": Probe({"previous_response_id": "PREVIOUS"}),
    },
    ("anthropic", "messages"): CLAUDE,
    ("anthropic", "count_tokens"): {
        **CLAUDE,
        "thinking": Probe(ADAPTIVE),
        "output_config": Probe({"output_config": {"effort": "low"}}),
        "tool_choice": Probe({"tool_choice": {"type": "any"}}, {"tools": [NAMED_FUNCTION]}),
    },
    ("serevix", "messages"): CLAUDE,
    ("cloudsway", "messages"): {
        **CLAUDE,
        "output_config.effort": Probe({"output_config": {"effort": "max"}}, {"model": "claude-opus-4-6"}),
    },
    ("cloudsway", "responses"): {
        **OF_RESPONSES,
        "model": Probe({"model": "gpt-4o-mini"}),
        "stream_options": Probe({"stream_options": {"include_obfuscation": False}}, {"stream": True}),
    },
    ("maxtoken", "chat"): {"max_tokens": Probe({"max_tokens": 2}, {"model": "gpt-4o-2024-08-06"})},
    ("openrouter", "chat"): ROUTED,
    ("deepseek", "count_tokens"): {
        "thinking.type": Probe(OFF, {"messages": REMEMBERED, "tools": [NAMED_FUNCTION]}),
        "tool_choice": Probe({"tool_choice": {"type": "none"}}, {"tools": [NAMED_FUNCTION]}),
    },
    ("deepseek", "chat"): {"tool_choice": Probe({"tool_choice": "required"}, THOUGHTLESS)},
    ("cloudsway", "chat"): {"tool_choice": Probe({"tool_choice": "required"}, THOUGHTLESS)},
    ("cloudsway", "google_chat"): GOOGLE_CHAT,
}
"""Where a vendor needs another."""
CLAUDES = ("anthropic", "serevix", "cloudsway")
MODELS = {
    "openrouter": "openai/gpt-4o",
    "anthropic": "claude-sonnet-4-6",
    "openai": "gpt-4o",
    "deepseek": "deepseek-v4-pro",
    "maxtoken": "deepseek-r1",
    "gemini": "gemini-2.5-flash",
}
BASES: Mapping[str, Json] = {
    "chat_completions": chat(COUNT),
    "google_chat": chat(COUNT),
    "responses": said(COUNT),
    "messages": {**chat(COUNT), "max_tokens": 100},
    "gap": {"prompt": COUNT},
    "embeddings": said(COUNT),
    "images": {"prompt": COUNT},
    "moderations": said(COUNT),
    "generate_content": content(COUNT),
    "embed_content": {"content": {"parts": [{"text": COUNT}]}},
}
VOLATILE = frozenset(["id", "responseId", "created", "created_at", "completed_at", "item_id", "call_id", "signature"])


class Case(NamedTuple):
    provider: str
    operation: Operation
    parameter: Parameter


def operations() -> Iterator[tuple[str, Operation, Any]]:
    """Each operation that reads a body, by one of its paths."""
    for name, provider in PROVIDERS.items():
        seen = set()
        for operation in provider.operations:
            body = provider().speaking(operation.dialect).body_of(operation.name) if operation.has_body else None
            if body is not None and (operation.name, operation.dialect) not in seen:
                seen.add((operation.name, operation.dialect))
                yield name, operation, body


CASES = [Case(name, operation, parameter) for name, operation, body in operations() for parameter in parameters(body)]
WHERE = [(name, operation) for name, operation, _ in operations()]


def identified(value: Any) -> str:
    operation = value.operation
    name = operation.name if operation.dialect != "google_chat" else operation.dialect
    return "-".join([value.provider, name, value.parameter.name])


@pytest.fixture(scope="module")
def emulator(serving: Serving) -> Emulator:
    return serving(SCENARIO, seed=7)


def request_of(provider: str, operation: Operation, probe: Probe, members: Json) -> tuple[str, Json]:
    path = operation.path.replace("{model_name}", "deepseek-r1-distill-llama-70b-websearch")
    body = {"model": MODELS.get(provider, "deepseek-v4-pro"), **BASES[operation.dialect]}
    if operation.dialect in ("generate_content", "embed_content"):  # whose path names the model
        model = "gemini-embedding-001" if operation.dialect == "embed_content" else "gemini-3.8-flash"
        path = path.replace("{model}", model)
        del body["model"]
        if operation.name == "batch_embed_contents":
            body = {"requests": [body]}
    if operation.dialect == "chat_completions":
        body["stream"] = False
    if operation.dialect == "embeddings":
        body["model"] = "text-embedding-3-small" if provider != "gemini" else "gemini-embedding-001"
    if operation.dialect == "google_chat":
        body["model"] = MODELS["gemini"]
    if operation.dialect == "messages" and provider in CLAUDES:
        body["model"] = "claude-sonnet-4-6"
    if operation.dialect == "responses" and provider == "cloudsway":
        body["model"] = "gpt-4o"
    return path.replace("{endpointPath}", "one"), {**body, **probe.base, **members}


def send(
    emulator: Emulator, http: httpx.Client, provider: str, operation: Operation, probe: Probe, members: Json
) -> httpx.Response:
    path, body = request_of(provider, operation, probe, members)
    return http.post(emulator.url(provider) + path, json=body, headers=KEYS[provider])


def steady(value: Any) -> Any:
    """JSON without what is new each time."""
    if isinstance(value, dict):
        return {name: steady(item) for name, item in value.items() if name not in VOLATILE}
    return [steady(item) for item in value] if isinstance(value, list) else value


def answer_of(response: httpx.Response) -> Any:
    """What an answer says; of a stream every event."""
    assert response.status_code == 200, response.text
    if response.headers["content-type"].startswith("text/event-stream"):
        lines = [line[6:] for line in response.text.splitlines() if line.startswith("data: {")]
        return [steady(json.loads(line)) for line in lines]
    return steady(response.json())


def probe_of(case: Case) -> Probe:
    name = case.operation.name if case.operation.dialect != "google_chat" else case.operation.dialect
    special = SPECIAL.get((case.provider, name), {})
    return special.get(case.parameter.name) or PROBES[case.operation.dialect][case.parameter.name]


@pytest.mark.parametrize("provider", dict.fromkeys(case.provider for case in CASES))
def test_a_parameter_does_what_the_table_says(provider: str, emulator: Emulator, http: httpx.Client) -> None:
    mine = [case for case in CASES if case.provider == provider]
    check_each(mine, lambda case: does_what_the_table_says(case, emulator, http), identified)


def does_what_the_table_says(case: Case, emulator: Emulator, http: httpx.Client) -> None:
    probe = probe_of(case)
    name, effect = case.parameter.name, case.parameter.effect
    plain = answer_of(send(emulator, http, case.provider, case.operation, probe, {}))
    changed = dict(probe.changed)
    if changed.get("previous_response_id") == "PREVIOUS":
        url = emulator.url(case.provider) + "/v1/responses"
        kept = http.post(url, json={"model": "gpt-4o", "input": COUNT}, headers=KEYS[case.provider])
        changed["previous_response_id"] = kept.json()["id"]
    after = send(emulator, http, case.provider, case.operation, probe, changed)
    if effect.kind == "refused":
        value = str(changed[name])
        assert after.status_code >= 400
        assert effect.message.replace("{name}", name).replace("{value}", value) in after.text
        return
    ignored = [each for each in emulator.journal[-1].ignored if each.partition(".")[0] == name.partition(".")[0]]
    if effect.kind == "honored":
        assert answer_of(after) != plain
        assert name not in ignored
    else:
        assert answer_of(after) == plain
        assert name in ignored


@each_of(("provider", "operation"), WHERE)
def test_a_parameter_that_nobody_knows_is_ignored_or_refused_as_the_table_says(
    provider: str, operation: Operation, emulator: Emulator, http: httpx.Client
) -> None:
    dialect = PROVIDERS[provider]().speaking(operation.dialect)
    plain = send(emulator, http, provider, operation, Probe({}), {})
    response = send(emulator, http, provider, operation, Probe({}), {"made_up": 1})
    if dialect.refuses_unknown_members:
        assert response.status_code == 400
        assert "made_up" in response.text
    else:
        assert answer_of(response) == answer_of(plain)
        assert "made_up" in emulator.journal[-1].ignored


def test_the_log_names_what_was_ignored_but_for_what_shapes_chance_alone(
    emulator: Emulator, http: httpx.Client
) -> None:
    url = emulator.url("nadles") + "/deepseek-r1-distill-llama-70b-websearch/completion"
    body = {**chat(COUNT), "temperature": 0.5, "response_format": {"type": "json_object"}}
    for _ in range(3):  # the third comes from the cache of answers
        http.post(url, json=body, headers=KEYS["nadles"])
        exchange = emulator.journal[-1]
        assert exchange.ignored == ["temperature", "response_format"]
        assert line(exchange).endswith("rule rules[0]  ignored: response_format")
        assert line_of(exchange.row()).endswith("rule rules[0]  ignored: response_format")


def test_what_was_ignored_is_found_out_only_when_somebody_asks(
    emulator: Emulator, http: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Mapping[str, Any]] = []

    def watched(body: type[BaseModel], native: Mapping[str, Any]) -> tuple[str, ...]:
        asked.append(native)
        return ignored_in(body, native)

    monkeypatch.setattr(exchanges, "ignored_in", watched)
    body = {**chat(COUNT), "made_up": 1}
    url = emulator.url("nadles") + "/deepseek-r1-distill-llama-70b-websearch/completion"
    assert http.post(url, json=body, headers=KEYS["nadles"]).status_code == 200
    assert asked == []
    assert emulator.journal[-1].ignored == ["made_up"]
    assert asked == [body]


def test_what_a_body_too_large_to_keep_had_ignored_counts_in_the_journal(
    emulator: Emulator, http: httpx.Client
) -> None:
    names = [f"made_up_{number:092}" for number in range(1000)]
    body = {**chat(COUNT), **dict.fromkeys(names, 1)}
    url = emulator.url("nadles") + "/deepseek-r1-distill-llama-70b-websearch/completion"
    assert http.post(url, json=body, headers=KEYS["nadles"]).status_code == 200
    exchange = emulator.journal[-1]
    assert exchange.ignored == names[:655]  # as many as a body may have bytes that is kept
    assert exchange.size > 65_536 + 65_500
