"""The content of an answer, parsed from its bytes as a client would."""

from emulator.dialects.base import Meaning, WireShape
from emulator.records import record
from emulator.state.redaction import events_of

MEANINGS: tuple[Meaning, ...] = ("content", "reasoning", "id", "finish")


@record
class Said:
    """The texts of an answer; those of several choices or blocks are separated by blank lines."""

    text: str
    reasoning: str
    id: str = ""
    """The id of the answer."""
    finishes: tuple[str, ...] = ()
    """The finish reason of each choice, as on the wire."""


def said(body: bytes, shape: WireShape, *, is_stream: bool) -> Said | None:
    """Returns the content of a body; None if it is not a model's answer."""
    natives = []
    if is_stream:
        natives = [event.native for _, _, event in events_of(body, shape) if event is not None]
    elif (native := shape.read_body(body)) is not None:
        natives = [native]
    texts: dict[str, dict[object, list[str]]] = {"content": {}, "reasoning": {}, "id": {}, "finish": {}}
    for native in natives:
        for place in shape.places(native, *MEANINGS):
            if isinstance(place.value, str):
                texts[place.meaning].setdefault(place.key, []).append(place.value)
    if not any(texts.values()):
        return None
    content, reasoning = (
        "\n\n".join(filter(None, ("".join(parts) for parts in texts[meaning].values())))
        for meaning in ("content", "reasoning")
    )
    ids = [id for found in texts["id"].values() for id in found]
    finishes = tuple(words[-1] for words in texts["finish"].values())
    return Said(content, reasoning, ids[0] if ids else "", finishes)
