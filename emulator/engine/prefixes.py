"""The prefixes of a prompt that a store looks up and caches, and the usage that follows."""

from collections.abc import Callable
from itertools import accumulate
from typing import NamedTuple

from emulator import seeded
from emulator.completion import NO_CACHE
from emulator.engine.stages import Parsed
from emulator.engine.writing import Prompt, count_prompt, loaded
from emulator.providers.base import ProviderError
from emulator.reply import CacheUse
from emulator.state.prefixes import MAX_PREFIXES, ends_of
from emulator.state.prompt_cache import cache_use, is_near, kept_at, marks_of
from emulator.state.store import FOREVER, PrefixPlan


class Prefixes(NamedTuple):
    """The prefixes of one prompt."""

    plan: PrefixPlan
    use: Callable[[int], CacheUse]
    """Returns the cache use of the prompt if this many of its prefixes were found."""


async def prefixes_of(parsed: Parsed) -> Prefixes | None:
    """Returns the prefixes that the provider may have cached; None if it doesn't report them for this prompt."""
    context, request = parsed.context, parsed.request
    provider, points = context.provider, context.dialect.cache_points(request)
    least = max(provider.cache_unit, provider.cache_from)
    if points is None and not (provider.shows_cache and len(context.http_request.body) >= least):
        return None  # a token has at least one byte
    prompt = await count_prompt(request, context, await loaded(provider.encoding_of(request.model), context))
    try:
        context.dialect.check_prompt(request, prompt.total)
    except ProviderError:
        return None  # it will be refused
    place = f"{provider.name} {request.model} {request.key}"
    if points is None:
        return _automatic(place, prompt, provider.cache_unit) if prompt.total >= least else None
    marks = [mark.hex() for mark in marks_of(place, prompt.parts, points)]
    looked = [number for number in range(1, len(marks)) if is_near(number, points)]
    now = context.exchange.received
    keep = [(marks[number], now + seconds) for number, seconds in kept_at(prompt.parts, points)]
    plan = PrefixPlan(look=[marks[number] for number in looked], keep=keep)
    return Prefixes(plan, lambda found: cache_use(looked[found - 1] if found else 0, prompt.parts, points))


def _automatic(place: str, prompt: Prompt, unit: int) -> Prefixes:
    """The prefixes that a provider caches automatically: all of them, in units of tokens."""
    mark, parts = seeded.digest("beginning", place), prompt.parts[:MAX_PREFIXES]
    before = list(accumulate([count for _, count in parts], initial=0))
    marks: list[str] = []
    tokens: list[int] = []
    for number, (text, count) in enumerate(parts):
        start, size = 0, len(text)
        for end in ends_of(size):
            mark = seeded.digest(mark, text[start:end])
            marks.append(mark[:12].hex())
            tokens.append(before[number] + (count * end // size if size else count))
            start = end
    marks, tokens = marks[:MAX_PREFIXES], tokens[:MAX_PREFIXES]

    def use(found: int) -> CacheUse:
        cached = tokens[found - 1] if found else 0
        return CacheUse(min(cached - cached % unit, prompt.total)) if found else NO_CACHE

    return Prefixes(PrefixPlan(look=marks, keep=[(mark, FOREVER) for mark in marks]), use)
