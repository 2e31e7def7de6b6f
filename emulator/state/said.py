"""What an answer says, read back from its bytes as a client would read it."""

from dataclasses import dataclass

from emulator.dialects.base import WireShape
from emulator.providers import PROVIDERS
from emulator.state.redaction import events_of


@dataclass(frozen=True, slots=True)
class Said:
    """The texts of an answer: of several choices or blocks one after the other, with a blank line between."""

    text: str
    reasoning: str


def shape_of(provider: str, dialect: str) -> WireShape | None:
    """What reads the wire of an endpoint; None for one that is not known."""
    vendor = PROVIDERS.get(provider)
    return vendor().speaking(dialect) if vendor is not None and dialect else None


def said(body: bytes, shape: WireShape, *, is_stream: bool) -> Said | None:
    """What a body says; None when it is nothing that a model says."""
    natives = []
    if is_stream:
        natives = [event.native for _, _, event in events_of(body, shape) if event is not None]
    elif (native := shape.read_body(body)) is not None:
        natives = [native]
    texts: dict[str, dict[object, list[str]]] = {"content": {}, "reasoning": {}}
    for native in natives:
        for place in shape.places(native, "content", "reasoning"):
            if isinstance(place.value, str):
                texts[place.meaning].setdefault(place.key, []).append(place.value)
    if not texts["content"] and not texts["reasoning"]:
        return None
    content, reasoning = (
        "\n\n".join(filter(None, ("".join(parts) for parts in texts[meaning].values())))
        for meaning in ("content", "reasoning")
    )
    return Said(content, reasoning)
