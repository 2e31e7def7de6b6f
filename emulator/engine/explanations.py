"""Explains why a rule answered or didn't, computed only on demand."""

from collections.abc import Callable
from typing import Any

from emulator.dialects.base import Dialect
from emulator.engine.stages import POOL, Matched, RequestContext
from emulator.matching.conditions import MatchContext
from emulator.matching.rules import RuleMatch, RuleSet, explained, misses
from emulator.providers.base import ProviderError
from emulator.records import record
from emulator.request import HttpRequest, ModelRequest
from emulator.state.namespace import Namespace
from emulator.state.recorded import MAX_REQUEST_BYTES, Why

FEW_RULES = 50
"""The most rules to explain on the event loop; more are explained in a thread, so that no stream has to wait."""


@record
class Explanation(Why):
    """Why the rules before the answering one, or all of them, did not match. The request is parsed again to find
    out, since this is rarely needed.
    """

    rules: RuleSet
    read: Callable[[HttpRequest, str], ModelRequest]
    http_request: HttpRequest
    key: str
    state: str
    attempt: int
    identity: bytes
    seed: int
    before: int
    """The number of rules that were tried and didn't match."""

    @property
    def body(self) -> bytes:
        return self.http_request.body

    @property
    def tried(self) -> int:
        return self.before

    def find(self) -> list[str]:
        try:
            return misses(self.rules, self._question(), before=self.before)
        except ProviderError:  # the response that it continues has been deleted in the meantime
            return []

    def explain(self) -> list[dict[str, Any]]:
        try:
            return explained(self.rules, self._question(), self.before)
        except ProviderError:
            return []

    def _question(self) -> MatchContext:
        """Returns the request as it was matched. Raises ProviderError."""
        request = self.read(self.http_request, self.key)
        return MatchContext(request, self.state, self.attempt, self.identity, self.seed)


def why_of(question: MatchContext, match: RuleMatch | None, context: RequestContext) -> Why | None:
    """Returns what can later explain why the rules before the answering one, or all of them, did not match."""
    return asked_later(question, match, context.namespace, context.dialect)


def asked_later(question: MatchContext, match: RuleMatch | None, namespace: Namespace, dialect: Dialect) -> Why | None:
    """Returns the same for a request without a context."""
    compiled, request = namespace.compiled, question.request
    http_request = request.http_request
    before = len(compiled.rules.rules) if match is None else match.rule.position
    if match is None and (not before or compiled.is_default):
        return None
    read = dialect.parse if http_request.body else compiled.providers[http_request.provider].listed
    state, attempt, identity, seed = question.state, question.attempt, question.identity, question.seed
    return Explanation(compiled.rules, read, http_request, request.key, state, attempt, identity, seed, before)


async def misses_of(matched: Matched) -> list[str]:
    """Returns the reasons why none of the rules matches."""
    context, rules = matched.context, matched.context.namespace.compiled.rules
    if len(rules.rules) > FEW_RULES or len(context.http_request.body) > MAX_REQUEST_BYTES:
        return await POOL.run(misses, rules, matched.question, has_left=context.has_left)
    return misses(rules, matched.question)
