"""What is known of a request after each step of its way. A stage never changes: each step makes the next one."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from emulator.dialects.base import Dialect
from emulator.encodings import EncodingName
from emulator.engine.options import Options
from emulator.matching.conditions import MatchContext
from emulator.matching.rules import RuleMatch
from emulator.offload import Pool
from emulator.providers.base import Limits, Operation, Provider
from emulator.records import record
from emulator.request import Controls, HttpRequest, ModelRequest
from emulator.state.exchanges import Exchange
from emulator.state.namespace import Namespace
from emulator.state.quotas import Lease
from emulator.wire import PlannedBody, Step

POOL = Pool("work", 2)
"""For what would hold up the loop. Its threads take turns with the loop, so there are few of them."""
CODE_POOL = Pool("code", 16)
"""For the user's own functions, which may wait for something."""


@record
class RequestContext:
    """A request and everything around it."""

    http_request: HttpRequest
    namespace: Namespace
    options: Options
    provider: Provider
    dialect: Dialect
    """The provider's own until the endpoint is known."""
    exchange: Exchange
    """The record of it, which is filled in on the way."""
    identity: bytes
    attempt: int
    entropy: bytes
    """Entropy for ids and random choices; differs per attempt."""
    request_id: str
    has_left: Callable[[], bool]
    """Whether the client has gone, so that slow work for it may end."""
    is_stateless: bool
    """Whether nothing but the request and the scenario bears on the answer."""

    def routed(self, http_request: HttpRequest, dialect: Dialect) -> "RequestContext":
        """The same at an endpoint that is known; from here on the record too goes by the routed request."""
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


@record
class Arrived:
    """Nothing is known but the request itself."""

    context: RequestContext


@record
class Routed(Arrived):
    """The endpoint is known."""

    operation: Operation


@dataclass(slots=True, eq=False)
class Form:
    """What a provider has made of all of a request but its words."""

    dialect: Dialect
    model: str
    stream: bool
    controls: Controls
    served: str
    """As in `ModelRequest`."""
    encoding: EncodingName | None
    """What its answers are counted and cut by; None: the tokens of `tokens` itself."""
    is_estimate: bool
    """Whether the model counts in another way."""


@record
class Parsed(Routed):
    """The provider accepts the request."""

    request: ModelRequest
    form: Form | None
    """What it has in common with others; None: nobody knows."""


@record
class Matched(Parsed):
    """The rule that answers is known; without one, the answer is generated."""

    question: MatchContext
    """The request as rules see it."""
    match: RuleMatch | None


@record
class Admitted(Matched):
    """The key may ask."""

    lease: Lease | None
    """What the request took of the key's quotas; `PlannedResponse.end` gives it back."""
    limits: Limits | None
    """What the key may use in a minute, where the provider reports that."""


@record
class PlannedResponse:
    """What will be sent, and the record of it."""

    answer: PlannedBody | Sequence[Step]
    exchange: Exchange
    lease: Lease | None = None

    def end(self) -> None:
        """The answer is over, however it went: what it took of quotas is given back, and its record is complete."""
        if self.lease is not None:
            self.lease.close()
        self.exchange.end(self.answer)
