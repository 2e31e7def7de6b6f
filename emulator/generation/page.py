"""Builds a text of a given length: sentences are measured one by one, and short ones fill the rest."""

from collections.abc import Callable, Sequence
from random import Random

from emulator.generation.phrases import Phrases

TokenCounter = Callable[[str], int]
PARAGRAPH = "\n\n"


class Page:
    """A text that grows up to a limit."""

    def __init__(self, phrases: Phrases, count: TokenCounter, low: int, high: int, target: int) -> None:
        self.phrases, self.count = phrases, count
        self.low, self.high, self.space = low, high, target
        self.spare = high - target
        self.parts: list[str] = []
        self.breaks = False
        """Whether a new paragraph must begin."""

    def add(self, text: str, *, alone: bool = False) -> bool:
        """Adds a sentence, or a separate block, if it still fits."""
        border = "" if not self.parts else PARAGRAPH if alone or self.breaks else self.phrases.gap
        size = self.count(border + text)
        if size > self.space:
            return False
        self.parts.append(border + text)
        self.space -= size
        self.breaks = alone
        return True

    def add_one_of(self, texts: Sequence[str], random: Random, *, alone: bool = False) -> bool:
        """Adds a random one of them, or the shortest, if that still fits."""
        return bool(texts) and (
            self.add(random.choice(texts), alone=alone) or self.add(min(texts, key=len), alone=alone)
        )

    def finished(self, note: str) -> str:
        """The text with the required length and a note at its end."""
        while self.parts and self.count(self._joined("".join(self.parts), note)) > self.high:
            self._drop()
        whole = self._joined("".join(self.parts), note)
        if self.low <= self.count(whole):
            return whole
        filled = None
        # A text that can't be filled exactly may fit with one sentence less.
        for _ in range(4):  # pragma: no branch - no text is known that needs all rounds
            filled = self._filled("".join(self.parts), note)
            if filled is not None or not self.parts:
                break
            self._drop()
        if filled is not None:
            return filled
        bare = (whole, self.phrases.short[-1], self.phrases.short[0].rstrip(".!。！"), "OK")
        return next((text for text in bare if self.count(text) <= self.high and text), "")

    def _drop(self) -> None:
        self.parts.pop()
        self.breaks = bool(self.parts) and any(
            mark in self.parts[-1] for mark in ("\n```", "\n- ", "\n2. ", "\n| ", "\n> ")
        )

    def _joined(self, text: str, note: str) -> str:
        if not text:
            return note.lstrip()
        return text + (PARAGRAPH + note.lstrip() if self.breaks and note else note)

    def _filled(self, text: str, note: str) -> str | None:
        """Adds as few short sentences as possible before the note to reach the required length."""
        phrases, count = self.phrases, self.count
        size = count(self._joined(text, note))
        while self.low - size > 60:  # far from the goal: whole sentences first
            for sentence in phrases.points:
                if self.low - size > 40:
                    text = self._joined(text, phrases.gap + sentence)
                    self.breaks = False
                    size += count(phrases.gap + sentence)
        ways: dict[int, tuple[str, ...]] = {0: ()}
        for short in reversed(phrases.short):  # prefer one longer sentence
            weight = count(phrases.gap + short)
            for total, so_far in list(ways.items()):
                longer = total + weight
                if longer <= self.high - size + 3 and (longer not in ways or len(ways[longer]) > len(so_far) + 1):
                    ways[longer] = (*so_far, short)
        near = [(total, way) for total, way in ways.items() if total >= self.low - size - 3]
        for _, way in sorted(near, key=lambda each: len(each[1])):
            whole = self._joined(text, note)
            if way:
                more = phrases.gap.join(way)
                # After a block, the note continues the paragraph that begins here.
                whole = (self._joined(text, phrases.gap + more) if text else more) + note
            if self.low <= count(whole) <= self.high:
                return whole
        return None
