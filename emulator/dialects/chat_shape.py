"""The wire shape of chat completions: where values are in an event or a whole body, and how faults change them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar

import orjson

from emulator.dialects.base import DONE, Meaning, Place, WireShape
from emulator.dialects.turns import Answer, Turn, chat_answer, chat_turns

TEXTS: tuple[tuple[Meaning, tuple[str, ...]], ...] = (
    ("content", ("content", "text", "refusal")),
    ("reasoning", ("reasoning_content", "reasoning")),
)


class ChatShape(WireShape):
    """Reads and changes one event or one whole body."""

    terminator = DONE
    facts = ("id", "object", "created", "model")
    counts: ClassVar[tuple[str, ...]] = ("usage",)
    """The members that hold the usage."""
    counted_as: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "prompt": ("prompt_tokens",),
        "completion": ("completion_tokens", "response_tokens"),
        "total": ("total_tokens",),
        "reasoning": ("completion_tokens_details.reasoning_tokens",),
        "cached": ("prompt_tokens_details.cached_tokens",),
    }

    def turns(self, body: Mapping[str, Any]) -> list[Turn]:
        return chat_turns(body) or super().turns(body)

    def answer_of(self, natives: Sequence[dict[str, Any]]) -> Answer:
        usages = [place.value for native in natives for place in self.places(native, "usage")]
        return replace(chat_answer([choices_in(self.core(native)) for native in natives]), has_usage=any(usages))

    def core(self, native: dict[str, Any]) -> dict[str, Any]:
        """The object that holds the choices: the event or body itself, unless a vendor wraps it."""
        return native

    def places(self, native: dict[str, Any], *meanings: Meaning) -> Iterator[Place]:
        for choice in choices_in(self.core(native)):
            index, words = choice.get("index", 0), words_of(choice)
            for meaning, names in TEXTS:
                if meaning in meanings:
                    yield from [Place(words, name, meaning, index) for name in names if has_text(words, name)]
            if "call_index" in meanings:
                for call in words.get("tool_calls") or ():
                    yield Place(call, "index", "call_index", (index, call.get("index", 0)))
            if "finish" in meanings and "finish_reason" in choice:
                yield Place(choice, "finish_reason", "finish", index)
        if "id" in meanings and "id" in self.core(native):
            yield Place(self.core(native), "id", "id")
        if "usage" in meanings:
            core = self.core(native)
            for holder in [native] if core is native else [native, core]:
                yield from [Place(holder, name, "usage") for name in self.counts if name in holder]

    def objects(self, native: dict[str, Any]) -> Iterator[dict[str, Any]]:
        yield native
        if self.core(native) is not native:
            yield self.core(native)
        for choice in choices_in(self.core(native)):
            yield choice
            if words_of(choice) is not choice:
                yield words_of(choice)

    def call_objects(self, native: dict[str, Any]) -> Iterator[tuple[Any, dict[str, Any]]]:
        for place in self.places(native, "call_index"):
            yield place.key, place.holder

    def without_facts(self, native: dict[str, Any]) -> dict[str, Any]:
        return dict(without(native, self.facts))

    def without_text(self, native: dict[str, Any]) -> None:
        for choice in choices_in(self.core(native)):
            words_of(choice)["text" if "text" in choice else "content"] = None

    def without_answer(self, native: dict[str, Any], value: Any) -> bool:
        core = self.core(native)
        if "choices" in core:
            core["choices"] = value
        return True

    def without_answers(self, native: dict[str, Any]) -> dict[str, Any] | None:
        if not choices_in(self.core(native)):
            return None
        self.core(native)["choices"] = []
        return native

    def is_only_usage(self, native: dict[str, Any]) -> bool:
        return self.core(native).get("choices") == []

    def usage_again(self, native: dict[str, Any]) -> dict[str, Any] | None:
        core = self.core(native)
        if "choices" in core:
            core["choices"] = []
        return native

    def late_text(self, native: dict[str, Any], text: str) -> dict[str, Any] | None:
        for choice in choices_in(self.core(native)):
            choice.update({"text": text} if "text" in choice else {"delta": {"content": text}})
        return native

    def with_text_so_far(self, native: dict[str, Any], said: Mapping[Any, str]) -> bool:
        for choice in choices_in(self.core(native)):
            choice["message"] = {"role": "assistant", "content": said.get(choice.get("index", 0), "")}
        return True

    def with_split_name(self, native: dict[str, Any]) -> list[dict[str, Any]]:
        calls = [place.holder for place in self.places(native, "call_index")]
        if not calls or not all(halves(call)[0] for call in calls):
            return []
        rest: dict[str, Any] = orjson.loads(orjson.dumps(native))
        for call in calls:
            call["function"] = {**call["function"], "name": halves(call)[0]}
        for place in self.places(rest, "call_index"):
            call = place.holder
            second = {"index": call.get("index", 0), "function": {"name": halves(call)[1], "arguments": ""}}
            call.clear()
            call.update(second)
        return [native, rest]


def choices_in(core: dict[str, Any]) -> list[dict[str, Any]]:
    """The choices of an event or a body."""
    found = core.get("choices")
    return [choice for choice in found if isinstance(choice, dict)] if isinstance(found, list) else []


def has_text(words: dict[str, Any], name: str) -> bool:
    """Whether this member holds a text, or could. Refusals are rare, and null everywhere else."""
    return name in words and (name != "refusal" or bool(words[name]))


def words_of(choice: dict[str, Any]) -> dict[str, Any]:
    """The object that holds the text of a choice: its delta, its message or (text completions) the choice itself."""
    for name in ("delta", "message"):
        if isinstance(choice.get(name), dict):
            found: dict[str, Any] = choice[name]
            return found
    return choice


def without(value: Any, names: Sequence[str]) -> Any:
    """Returns JSON without the members with these names, at any depth."""
    if isinstance(value, dict):
        return {name: without(member, names) for name, member in value.items() if name not in names}
    return [without(item, names) for item in value] if isinstance(value, list) else value


def halves(call: dict[str, Any]) -> tuple[str, str]:
    """The two halves of a function's name; empty where there is no name."""
    function = call.get("function")
    name = str(function.get("name") or "") if isinstance(function, dict) else ""
    half = (len(name) + 1) // 2
    return name[:half], name[half:]
