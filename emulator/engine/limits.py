"""Rate limits per key, model and minute, for providers that report them with every answer."""

from emulator.engine.stages import Admitted, Arrived
from emulator.providers.base import Allowance, Limits, Provider, ProviderError
from emulator.request import ModelRequest
from emulator.state.forms import Spent
from emulator.state.leases import nothing_used, rate_plan
from emulator.state.namespace import Namespace
from emulator.state.rate_limits import Used, added, allowance
from emulator.state.store import Decision
from emulator.wire import Header, PlannedBody


def count(admitted: Admitted) -> None:
    """Counts a request against the limits of its key. Raises ProviderError if they are exceeded."""
    limits, request, context = admitted.limits, admitted.request, admitted.context
    if limits is None:
        return
    rates, place, now = context.namespace.rate_limits, _place(request), context.exchange.received
    if limits.is_enforced and (left := rates.remaining(place, limits, now)).is_used_up:
        raise ProviderError(context.provider.over_limit(request, left, rates.until_next(place, limits, now)))
    rates.take(place, limits, now, Used(requests=1))


def headers_after(
    limits: Limits, request: ModelRequest, spent: Spent, now: float, provider: Provider, namespace: Namespace
) -> tuple[Header, ...]:
    """Counts a request that is allowed and what its answer uses, and returns the headers that report what remains."""
    used = namespace.rate_limits.take(_place(request), limits, now, Used(1, spent.tokens, 0.0, spent.output))
    return provider.limit_headers(allowance(limits, used), now)


def allows(limits: Limits, request: ModelRequest, namespace: Namespace) -> bool:
    """Whether the limits of the key allow a request now."""
    if not limits.is_enforced:
        return True
    return not namespace.rate_limits.remaining(_place(request), limits, namespace.clock.time()).is_used_up


def with_limits(planned: PlannedBody, stage: Arrived) -> PlannedBody:
    """Adds the headers that report what remains of the limits."""
    if not isinstance(stage, Admitted) or stage.limits is None:
        return planned
    limits, context, place = stage.limits, stage.context, _place(stage.request)
    rates, exchange = context.namespace.rate_limits, context.exchange
    if stage.decision is not None:
        left = _left_in_store(stage, stage.decision, limits)
    else:
        if exchange.usage is not None:
            tokens, output = context.provider.counted(exchange.usage)
            rates.take(place, limits, exchange.received, Used(tokens=tokens, output=output))
        left = rates.remaining(place, limits, exchange.received)
    headers = context.provider.limit_headers(left, exchange.received)
    return PlannedBody(
        planned.status, planned.headers + headers, planned.runs, planned.streamed, planned.at, planned.exact
    )


def _left_in_store(stage: Admitted, decision: Decision, limits: Limits) -> Allowance:
    """What is left of limits that a store counts; the store gets the answer's usage."""
    context, store, now = stage.context, stage.context.namespace.store, stage.context.exchange.received
    used = Used(decision["used"][0], decision["used"][1], now, decision["used"][2])
    if context.exchange.usage is not None and store is not None:
        tokens, output = context.provider.counted(context.exchange.usage)
        used = added(limits, used, Used(tokens=tokens, output=output))
        settlement = nothing_used(store, now)
        settlement["rate"], settlement["used"] = (
            rate_plan(_place(stage.request), limits),
            [float(tokens), float(output)],
        )
        store.settle(context.namespace.name, settlement)
    return allowance(limits, used)


def _place(request: ModelRequest) -> tuple[str, str, str]:
    return request.http_request.provider, request.key, request.model
