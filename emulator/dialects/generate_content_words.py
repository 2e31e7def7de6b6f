"""The smaller objects in an answer of generate content: usage, sources, log probabilities, signatures."""

import base64
import binascii
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

from emulator import seeded
from emulator.dialects.generate_content_input import IMAGE_TOKENS
from emulator.reply import Choice, Completion, Search, Text, TokenLogprob, Usage
from emulator.request import ModelRequest

VOCABULARY = 262_144
UNSIGNED = ("skip_thought_signature_validator", "context_engineering_is_the_way_to_go")
"""What a client may send in place of a signature that it does not have (public)."""


# Usage


def usage_metadata(usage: Usage, thought: int, spoken: int, request: ModelRequest) -> dict[str, Any]:
    """Returns the usage after this many tokens of reasoning and output, without zeros, as in all of Google's JSON."""
    is_whole = (thought, spoken) == (usage.reasoning, usage.completion - usage.reasoning)
    images = min(usage.prompt, IMAGE_TOKENS * sum(message.images for message in request.messages))
    counts = {
        "promptTokenCount": usage.prompt,
        "candidatesTokenCount": spoken,
        "totalTokenCount": usage.total if is_whole else usage.prompt + thought + spoken,
        "cachedContentTokenCount": usage.cached,
    }
    metadata: dict[str, Any] = {name: count for name, count in counts.items() if count}
    modalities = (("TEXT", usage.prompt - images), ("IMAGE", images))
    metadata["promptTokensDetails"] = [{"modality": name, "tokenCount": count} for name, count in modalities if count]
    if usage.cached:
        metadata["cacheTokensDetails"] = [{"modality": "TEXT", "tokenCount": usage.cached}]
    if thought:
        metadata["thoughtsTokenCount"] = thought
    return metadata


# Sources


def grounding(choice: Choice, completion: Completion, request: ModelRequest) -> dict[str, Any] | None:
    """Returns the search results, and which parts of the answer cite them; None if there was no search."""
    searches = [block for block in choice.blocks if isinstance(block, Search)]
    found = [*completion.sources, *[source for search in searches for source in search.results]]
    cited = [(text, citation) for text in choice.blocks if isinstance(text, Text) for citation in text.citations]
    if not found and not cited and not searches:
        return None
    titles = {source.url: "" for source in found if source.error is None}
    titles |= {citation.url: citation.title for _, citation in cited}
    urls = list(titles)
    metadata: dict[str, Any] = {
        "webSearchQueries": [search.query for search in searches] or [request.prompt[:200]],
        "searchEntryPoint": {"renderedContent": "<div></div>"},
        "groundingChunks": [
            {"web": {"uri": url, "title": title or urlsplit(url).netloc}} for url, title in titles.items()
        ],
    }
    supports = [
        _support(text.text[citation.start or 0 : citation.end], choice.content, [urls.index(citation.url)])
        for text, citation in cited
    ]
    if not cited and urls and choice.content:
        supports = [_support(choice.content, choice.content, list(range(len(urls))))]
    return {**metadata, "groundingSupports": supports} if supports else metadata


def _support(text: str, content: str, places: list[int]) -> dict[str, Any]:
    start = len(content[: max(0, content.find(text))].encode())
    segment: dict[str, Any] = {"startIndex": start} if start else {}
    return {
        "segment": {**segment, "endIndex": start + len(text.encode()), "text": text},
        "groundingChunkIndices": places,
    }


# Log probabilities


def logprob_rows(rows: Sequence[TokenLogprob]) -> dict[str, Any]:
    """Returns log probabilities in wire format."""
    chosen = [_token(row.token, row.logprob) for row in rows]
    if not any(row.top for row in rows):
        return {"chosenCandidates": chosen}
    top = [{"candidates": [_token(token, logprob) for token, logprob in row.top]} for row in rows]
    return {"topCandidates": top, "chosenCandidates": chosen}


def _token(token: str, logprob: float) -> dict[str, Any]:
    return {"token": token, "tokenId": seeded.roll("token", token) % VOCABULARY, "logProbability": logprob}


def average(rows: Sequence[TokenLogprob]) -> float:
    """Returns the mean of the chosen tokens' log probabilities."""
    return sum([row.logprob for row in rows]) / len(rows)


# Signatures


def made_signature(*what: str) -> str:
    """Makes a signature in Google's format: a protobuf message in base64."""
    content = seeded.digest("signature", *what) + seeded.digest("signature", "more", *what)
    return base64.b64encode(bytes([0x0A, len(content)]) + content).decode()


def is_signature(text: str) -> bool:
    """Whether a text can be a signature, either Google's or the emulator's."""
    if text in UNSIGNED:
        return True
    try:
        data = base64.b64decode(text.replace("-", "+").replace("_", "/"), validate=True)
    except (binascii.Error, ValueError):
        return False
    place = 0
    while place < len(data):
        tag, place = _varint(data, place)
        match tag & 7:
            case 0:
                _, place = _varint(data, place)
            case 1:
                place += 8
            case 2:
                length, place = _varint(data, place)
                place += length
            case 5:
                place += 4
            case _:
                return False
        if not tag >> 3:
            return False
    return bool(data) and place == len(data)


def _varint(data: bytes, place: int) -> tuple[int, int]:
    """Reads a variable-length integer (a protobuf varint), and returns it and where it ends."""
    value = shift = 0
    while place < len(data):
        byte = data[place]
        value |= (byte & 0x7F) << shift
        place, shift = place + 1, shift + 7
        if byte < 0x80:
            return value, place
        if shift > 63:
            break
    return value, len(data) + 1
