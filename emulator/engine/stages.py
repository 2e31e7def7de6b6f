"""What is known about a request after each step. Stages are immutable: each step returns the next one."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypeAlias

from emulator.dialects.base import Dialect
from emulator.engine.options import Options
from emulator.matching.conditions import MatchContext
from emulator.matching.rules import RuleMatch
from emulator.offload import Pool
from emulator.providers.base import Limits, Operation, Provider
from emulator.records import record
from emulator.request import HttpRequest, ModelRequest
from emulator.state.exchanges import Exchange
from emulator.state.forms import Form
from emulator.state.namespace import Namespace
from emulator.state.quotas import Lease
from emulator.wire import PlannedBody, Step

if TYPE_CHECKING:
    from emulator.engine.prefixes import Prefixes
    from emulator.state.leases import SharedLease
    from emulator.state.store import Decision

AnyLease: TypeAlias = "Lease | SharedLease"
POOL = Pool("work", 2)
"""Runs work that would block the event loop. It has few threads, since they compete with the loop for the GIL."""
CODE_POOL = Pool("code", 16)
"""Runs users' functions, which may block."""


@record
class RequestContext:
    """A request and its environment."""

    http_request: HttpRequest
    namespace: Namespace
    options: Options
    provider: Provider
    dialect: Dialect
    """The provider's default dialect until the endpoint is known."""
    exchange: Exchange
    """Its journal record, which the steps fill in."""
    identity: bytes
    attempt: int
    entropy: bytes
    """Entropy for ids and random choices; differs for each attempt."""
    request_id: str
    has_left: Callable[[], bool]
    """Whether the client has disconnected, so that slow work for it can stop."""
    is_stateless: bool
    """Whether the answer depends only on the request and the scenario."""

    def routed(self, http_request: HttpRequest, dialect: Dialect) -> "RequestContext":
        """Returns the context of a known endpoint. From here on, the journal record uses the routed request, too."""
        self.exchange.reached(http_request)
        return RequestContext(
            http_request,
            self.namespace,
            self.options,
            self.provider,
            dialect,
            self.exchange,
            self.identity,
            self.attempt,
            self.entropy,
            self.request_id,
            self.has_left,
            self.is_stateless,
        )

    def numbered(self, attempt: int, entropy: bytes, request_id: str) -> "RequestContext":
        """Returns the context with another number of its attempt, and everything that depends on it."""
        return RequestContext(
            self.http_request,
            self.namespace,
            self.options,
            self.provider,
            self.dialect,
            self.exchange,
            self.identity,
            attempt,
            entropy,
            request_id,
            self.has_left,
            self.is_stateless,
        )


@record
class Arrived:
    """The first stage: only the request itself is known."""

    context: RequestContext


@record
class Routed(Arrived):
    """The endpoint is known."""

    operation: Operation


@record
class Parsed(Routed):
    """The provider has accepted the request."""

    request: ModelRequest
    form: Form | None
    """What it has in common with other requests; None if unknown."""


@record
class Matched(Parsed):
    """The rule that answers is known; if there is none, the answer is generated."""

    question: MatchContext
    """The request as rules see it."""
    match: RuleMatch | None


@record
class Admitted(Matched):
    """The key has enough quota."""

    lease: "AnyLease | None"
    """What the request reserved of the key's quotas; `PlannedResponse.end` releases it."""
    limits: Limits | None
    """What remains of the key's rate limits, if the provider reports it."""
    decision: "Decision | None" = None
    """A store's decision; None: this process counts alone."""
    prefixes: "Prefixes | None" = None
    """The prefixes of the prompt that the store looked up."""


@record
class PlannedResponse:
    """What will be sent, and the record of it."""

    answer: PlannedBody | Sequence[Step]
    exchange: Exchange
    lease: "AnyLease | None" = None

    def end(self) -> None:
        """Ends the answer in any case: releases its quotas and completes its journal record."""
        if self.lease is not None:
            self.lease.close()
        self.exchange.end(self.answer)
