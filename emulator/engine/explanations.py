"""Explains why a rule answered or didn't, computed only on demand."""

from collections.abc import Callable
from functools import partial
from typing import Any

from emulator.engine.stages import POOL, Matched, RequestContext
from emulator.matching.conditions import MatchContext
from emulator.matching.rules import RuleMatch, RuleSet, explained, misses
from emulator.providers.base import ProviderError
from emulator.records import record
from emulator.request import HttpRequest, ModelRequest
from emulator.state.recorded import MAX_REQUEST_BYTES, Why

FEW_RULES = 50
"""The most rules to explain on the event loop; more are explained in a thread, so that no stream has to wait."""


@record
class Asked:
    """The data for explaining why a rule matched or not. The request is parsed again for that, since it is rarely
    needed.
    """

    rules: RuleSet
    read: Callable[[HttpRequest, str], ModelRequest]
    http_request: HttpRequest
    key: str
    seen: tuple[str, int, bytes, int]
    """The state, attempt, identity and seed at that time."""
    before: int
    """The number of rules that were tried and didn't match."""

    def question(self) -> MatchContext:
        """Returns the request as it was matched. Raises ProviderError."""
        return MatchContext(self.read(self.http_request, self.key), *self.seen)


def why_of(question: MatchContext, match: RuleMatch | None, context: RequestContext) -> Why | None:
    """Returns what can later explain why the rules before the answering one, or all of them, did not match."""
    compiled, http_request = context.namespace.compiled, context.http_request
    before = len(compiled.rules.rules) if match is None else match.rule.position
    if match is None and (not before or compiled.is_default):
        return None
    seen = (question.state, question.attempt, question.identity, question.seed)
    read = context.dialect.parse if http_request.body else context.provider.listed
    asked = Asked(compiled.rules, read, http_request, question.request.key, seen, before)
    return Why(partial(_misses, asked), http_request.body, before, partial(_explained, asked))


async def misses_of(matched: Matched) -> list[str]:
    """Returns the reasons why none of the rules matches."""
    context, rules = matched.context, matched.context.namespace.compiled.rules
    if len(rules.rules) > FEW_RULES or len(context.http_request.body) > MAX_REQUEST_BYTES:
        return await POOL.run(misses, rules, matched.question, has_left=context.has_left)
    return misses(rules, matched.question)


def _misses(asked: Asked) -> list[str]:
    """Returns why the rules before the one that answered didn't match; if none answered, why none matched."""
    try:
        return misses(asked.rules, asked.question(), before=asked.before)
    except ProviderError:  # the response that it continues has been deleted in the meantime
        return []


def _explained(asked: Asked) -> list[dict[str, Any]]:
    """Returns the same, condition by condition, ending with the rule that answered."""
    try:
        return explained(asked.rules, asked.question(), asked.before)
    except ProviderError:
        return []
