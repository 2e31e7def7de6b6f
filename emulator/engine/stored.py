"""Stored responses that several processes share: fetched for each request that names some, and written back before it
is answered."""

from dataclasses import asdict
from typing import Any

import orjson

from emulator import large
from emulator.engine.stages import RequestContext
from emulator.errors import StoreGone
from emulator.request import Message, ToolCall
from emulator.state.store import Store
from emulator.stored import ResponseStore, StoredResponse

MAX_NAMED = 1000
"""The most ids of one request that are looked up."""
NOT_KEPT = "the response is not stored, as the store is gone"


async def fetch(context: RequestContext, store: Store) -> None:
    """Gives the request those stored responses that it names. Raises StoreGone."""
    http_request, find = context.http_request, context.dialect.stored_ids
    is_large = len(http_request.body) > large.LARGE
    ids = await large.elsewhere(find, http_request) if is_large else find(http_request)
    found: ResponseStore | None = http_request.store
    if ids and found is not None:
        for document in dict.fromkeys(await store.load(context.namespace.name, ids[:MAX_NAMED])):
            if document:
                found.put(_read(document))
        found.changed = {}


async def keep(context: RequestContext, store: Store) -> None:
    """Writes down what the request has changed. Raises StoreGone, unless the answer itself is good without it."""
    found: ResponseStore | None = context.http_request.store
    if found is None or not found.changed:
        return
    changes = [(id, "" if stored is None else _written(stored)) for id in found.changed for stored in (found.get(id),)]
    try:
        await store.save(context.namespace.name, changes)
    except StoreGone:
        if context.http_request.parameters:  # it was about a stored response
            raise
        context.exchange.notes += (NOT_KEPT,)


def _written(stored: StoredResponse) -> str:
    """The first line says which items are found by their own ids."""
    return " ".join([item["id"] for item in stored.body["output"]]) + "\n" + orjson.dumps(asdict(stored)).decode()


def _read(document: str) -> StoredResponse:
    fields: dict[str, Any] = orjson.loads(document.partition("\n")[2])
    messages = tuple([_message(each) for each in fields.pop("messages")])
    return StoredResponse(messages=messages, items=tuple(fields.pop("items")), **fields)


def _message(fields: dict[str, Any]) -> Message:
    return Message(tool_calls=tuple([ToolCall(**each) for each in fields.pop("tool_calls")]), **fields)
