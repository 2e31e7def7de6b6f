"""Citations of the documents in a request: the model cites the sentence of each document, page or block that shares the
most words with the answer.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import islice
from typing import Any

from emulator.dialects.embeddings import words_of
from emulator.providers.claude_prompt import blocks_of
from emulator.records import record
from emulator.reply import Citation, Passage, Reply, Text, Thought

SENTENCE = re.compile(r"[^.!?。！？\n]+[.!?。！？]*\s*")
MAX_SENTENCES = 2_000
"""The maximum number of sentences of a document that are considered."""
Json = Mapping[str, Any]


@record
class Quotable:
    """A part of a document that can be cited."""

    text: str
    passage: Passage
    title: str
    source: str = ""


def with_citations(reply: Reply, body: Json) -> Reply:
    """Adds citations of the request's documents to a reply, if the request allows them."""
    if reply.blocks or not reply.content:
        return reply
    cited = tuple(_cited(reply.content, body))
    if not cited:
        return reply
    thought = (Thought(reply.reasoning),) if reply.reasoning is not None else ()
    return replace(reply, blocks=(*thought, Text(reply.content, cited), *reply.tool_calls))


def may_cite(body: Json) -> bool:
    """Whether the request allows citations."""
    return any(_is_citable(block) for block in _sources(body))


def _cited(answer: str, body: Json) -> Iterator[Citation]:
    """Yields the best part of each document and each search result."""
    words = set(words_of(answer))
    documents = results = 0
    for block in _sources(body):
        is_document = block.get("type") == "document"
        index = documents if is_document else results
        if is_document:
            documents += 1
        else:
            results += 1
        pieces = list(_pieces(block, index)) if _is_citable(block) else []
        if pieces:
            best = max(pieces, key=lambda piece: len(words & set(words_of(piece.text))))
            yield Citation(best.source, best.title, best.text, passage=best.passage)


def _sources(body: Json) -> Iterator[Json]:
    """Yields every document and search result, in order."""
    for message in body.get("messages") or ():
        content = message.get("content") if message.get("role") == "user" else None
        for block in content if isinstance(content, list) else ():
            inner = block.get("content") if block.get("type") == "tool_result" else None
            for each in (block, *(inner if isinstance(inner, list) else ())):
                if each.get("type") in ("document", "search_result"):
                    yield each


def _is_citable(block: Json) -> bool:
    return bool((block.get("citations") or {}).get("enabled"))


def _pieces(block: Json, index: int) -> Iterator[Quotable]:
    title = block.get("title") or ""
    if block.get("type") == "search_result":
        for number, (text, _) in enumerate(blocks_of(block.get("content"))):
            place = Passage("results", index, number, number + 1)
            yield Quotable(text, place, title, str(block.get("source") or ""))
        return
    source = block.get("source") or {}
    match source.get("type"):
        case "text":
            for found in islice(SENTENCE.finditer(str(source.get("data") or "")), MAX_SENTENCES):
                yield Quotable(found[0], Passage("characters", index, found.start(), found.end()), title)
        case "content":
            for number, (text, _) in enumerate(blocks_of(source.get("content"))):
                yield Quotable(text, Passage("blocks", index, number, number + 1), title)
        case _:
            yield Quotable("", Passage("pages", index, 1, 2), title)
