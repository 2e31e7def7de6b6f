"""Where each fact that the emulator renders is known from: its document, another public source, or nowhere."""

import json
import tomllib
from functools import cache

from emulator.dialects.base import Mark
from emulator.engine.endings import error_message
from emulator.providers import PROVIDERS
from emulator.providers.base import Provider, ProviderError
from emulator.recording.drift import Drift, Member, note
from emulator.recording.wire_file import WireRecord
from emulator.resources import folder

PUBLIC = "public"
"""The `document` of examples that no document of the provider shows."""


def mark_of(drift: Drift, wire: WireRecord) -> Mark:
    """Returns the source of the fact that a recorded answer contradicts.

    What the provider's document shows in an example is documented; nothing else in that answer is, such as a stream or
    a header. Where there is no such example, the mark of the endpoint or of the error counts."""
    provider = PROVIDERS[wire.provider]()
    if wire.status >= 400:
        return _of_error(wire, provider)
    shown = shown_members(wire.provider, wire.operation)
    if shown is None:
        return _of_endpoint(wire, provider)
    if wire.is_stream or not drift.path.startswith("$"):
        return "inferred"
    is_new = drift.message == "is new"  # then the fact is that its parent has no such member
    path = drift.path.rpartition(".")[0] if is_new else drift.path
    if path not in shown:
        return "inferred"
    return "documented" if not drift.known or drift.known & shown[path].values else "inferred"


def _of_error(wire: WireRecord, provider: Provider) -> Mark:
    rows = [row for row in provider.table.values() if row.status == wire.status]
    same = [row.mark for row in rows if row.message == error_message(wire.body)]
    return min(same or [row.mark for row in rows] or ["inferred"], key=("documented", "public", "inferred").index)


def _of_endpoint(wire: WireRecord, provider: Provider) -> Mark:
    try:
        operation, _ = provider.route(wire.request.get("method", ""), wire.request.get("path", ""))
    except ProviderError:
        return "inferred"
    return operation.mark


@cache
def shown_members(provider: str, operation: str) -> dict[str, Member] | None:
    """Returns all members in the answers that a provider's own document shows for an operation, by their paths; None if
    it doesn't have an example of that operation."""
    found: dict[str, Member] = {}
    is_there = False
    for file in sorted((folder("fixtures") / provider).glob("*/about.toml")):
        about = tomllib.loads(file.read_text(encoding="utf-8"))
        if about["operation"] != operation or about["document"] == PUBLIC or about["status"] >= 400:
            continue
        is_there = True
        response = file.with_name("response.json")
        if response.exists():
            note(json.loads(response.read_text(encoding="utf-8")), found)
    return found if is_there else None
