"""Selects the faults for a request and applies them to its answer."""

import logging
from collections.abc import Sequence

from emulator import seeded
from emulator.engine.options import Options
from emulator.engine.stages import POOL, Arrived, Matched, Parsed, RequestContext
from emulator.errors import shortened
from emulator.faults import ORDER
from emulator.faults.base import MAX_LIGHT, FaultContext, HandshakeFault, NotApplicable
from emulator.faults.selection import ActiveFault, asked_by, count_together, from_request
from emulator.matching.rules import Rule
from emulator.reply import Completion, ErrorReply
from emulator.request import ModelRequest
from emulator.state.exchanges import IN_EXCHANGE, Exchange
from emulator.state.namespace import Namespace
from emulator.wire import Handshake, PlannedBody, Step

logger = logging.getLogger("emulator")
MAX_STEPS = 200_000
"""The most pieces into which faults may divide an answer."""
NO_CHANGE = "it leaves this answer as it is"


class StruckFaults:
    """The faults that apply to one request, and what each has done so far."""

    __slots__ = ("_acted", "_exchange", "_refusing", "faults")

    def __init__(self, faults: Sequence[ActiveFault], exchange: Exchange) -> None:
        self.faults = faults
        self._exchange = exchange
        self._acted: set[int] = set()  # by identity: those that acted, or whose reason not to has been noted
        self._refusing: ActiveFault | None = None

    def refusal(self, stage: Arrived) -> ErrorReply | None:
        """Returns the error of the first fault that replaces the answer with one."""
        for active in self.faults:
            error = active.fault.refuse(fault_context(stage))
            if error is not None:
                self._refusing = active
                return error
        return None

    def mutated(self, completion: Completion, parsed: Parsed) -> tuple[ModelRequest, Completion]:
        """Applies the faults that change the request and the content of the answer."""
        request = parsed.request
        if not self.faults:
            return request, completion
        for active in self.faults:
            changed = active.fault.mutate_request(request)
            self._note(active, is_changed=changed != request)
            request = changed
        context = fault_context(parsed, streamed=request.stream)
        for active in self.faults:
            try:
                mutated = active.fault.mutate_completion(completion, context)
            except NotApplicable as reason:
                self._skip(active, reason)
                continue
            self._note(active, is_changed=mutated != completion)
            completion = mutated
        return request, completion

    def transformed(self, planned: PlannedBody, stage: Arrived) -> list[Step]:
        """Applies the faults that change the steps. May run in any thread."""
        is_whole = any(run.part == "body" for run in planned.runs)  # after heartbeats, it is also sent like a stream
        context = fault_context(stage, streamed=planned.streamed and not is_whole)
        steps = planned.steps()
        # From content to bytes to connections, in the order of the fault table: content faults need intact text.
        for active in sorted(self.faults, key=lambda each: ORDER[each.fault.kind]):
            is_refusing = active is self._refusing
            if not is_refusing and active.fault.refuse(context) is not None:
                self._skip(active, "another error came first")
                continue
            try:
                changed = active.fault.transform_steps(steps, context)
            except NotApplicable as reason:
                self._skip(active, reason)
                continue
            if len(changed) > MAX_STEPS:
                self._skip(active, f"the answer would have more than {MAX_STEPS} pieces")
                continue
            if changed == steps and not is_refusing and id(active) not in self._acted:
                self._skip(active, NO_CHANGE)
            steps = changed
        return steps

    def _note(self, active: ActiveFault, *, is_changed: bool) -> None:
        if is_changed:
            self._acted.add(id(active))

    def _skip(self, active: ActiveFault, reason: NotApplicable | str) -> None:
        self._acted.add(id(active))  # one reason suffices
        _note_skipped(f"{active.fault.kind} ({active.source})", str(reason), self._exchange)


def strike(stage: Arrived) -> StruckFaults:
    """Returns the faults that apply to this request, and counts them, so call it once. Raises UsageError if the
    request asks for an unknown fault.
    """
    context, match = stage.context, stage.match if isinstance(stage, Matched) else None
    namespace, options, exchange = context.namespace, context.options, context.exchange
    of_the_scenario = namespace.compiled.scenario.faults or (match is not None and match.rule.faults)
    if context.is_stateless and not of_the_scenario and not options.faults:
        return StruckFaults((), exchange)
    before, after = faults_of(context)
    active = [*before, *(faults_of_rule(match.rule) if match is not None else ()), *after]
    if not active:
        return StruckFaults((), exchange)
    registry, now = namespace.fault_registry, namespace.clock.now()
    selected = registry.select(active, now, namespace.seed, context.identity, context.attempt)
    exchange.faults = tuple(f"{each.fault.kind} ({each.source})" for each in selected)
    return StruckFaults(selected, exchange)


def no_faults(context: RequestContext) -> StruckFaults:
    """Shared by requests without faults."""
    return StruckFaults((), context.exchange)


def faults_of(context: RequestContext) -> tuple[list[ActiveFault], list[ActiveFault]]:
    """Returns the faults that may apply to this request: those before the rule's, and those after. Call it once,
    since one-shot faults leave their queue. Raises UsageError.
    """
    namespace, options = context.namespace, context.options
    armed = namespace.fault_registry.armed(of_handshake=False if options.speaks_tls else None)
    standing = _standing(namespace, options)
    after = [each for each in standing if not (options.speaks_tls and isinstance(each.fault, HandshakeFault))]
    return [*_asked_for(context), *armed], after


async def transformed(planned: PlannedBody, struck: StruckFaults, stage: Arrived) -> PlannedBody | Sequence[Step]:
    """Returns the answer after its faults. Slow ones run in a thread."""
    if not struck.faults:
        return planned.steps() if planned.exact else planned
    is_heavy = any(each.fault.is_heavy for each in struck.faults)
    if is_heavy or sum(len(run.pieces) for run in planned.runs) > MAX_LIGHT:
        return await POOL.run(struck.transformed, planned, stage)
    return struck.transformed(planned, stage)


def handshake_fault(host: str, namespace: Namespace, options: Options) -> Handshake | None:
    """Returns the fault of a TLS handshake for a host. A handshake can't ask for a fault, so the first one set for a
    namespace, its scenario or the server applies.
    """
    active = [*namespace.fault_registry.armed(of_handshake=True), *_standing(namespace, options)]
    active = [each for each in active if isinstance(each.fault, HandshakeFault)]
    if not active:
        return None
    for each in active:
        if each.source in ("scenario", "server"):
            count_together(namespace.fault_registry, each)
    identity = seeded.hashed(seeded.mixed_before("handshake", host))
    attempt = namespace.attempt(identity)
    selected = namespace.fault_registry.select(active, namespace.clock.now(), namespace.seed, identity, attempt)
    fault = selected[0].fault if selected else None
    return fault.how if isinstance(fault, HandshakeFault) else None


def fault_context(stage: Arrived, *, streamed: bool = False) -> FaultContext:
    """Returns what faults may know about the answer at this stage."""
    context = stage.context
    return FaultContext(
        context.provider,
        stage.request if isinstance(stage, Parsed) else None,
        streamed,
        context.entropy,
        context.exchange.received,
        context.exchange.outcome in ("reply", "generated"),
        context.options.speaks_tls,
    )


def faults_of_rule(rule: Rule) -> list[ActiveFault]:
    """Returns the faults of a rule that answers."""
    return [ActiveFault(f"{rule.name} {number}", fault, "rule") for number, fault in enumerate(rule.faults)]


def _standing(namespace: Namespace, options: Options) -> list[ActiveFault]:
    """Returns the faults of the scenario and of the server."""
    faults = namespace.compiled.scenario.faults
    return [
        *(ActiveFault(f"scenario {number}", fault, "scenario") for number, fault in enumerate(faults)),
        *(ActiveFault(f"server {number}", fault, "server") for number, fault in enumerate(options.faults)),
    ]


def _asked_for(context: RequestContext) -> list[ActiveFault]:
    """Returns the faults that the request asks for. Those that are not allowed are noted as skipped."""
    http_request, options = context.http_request, context.options
    asked = asked_by(http_request.headers, http_request.key, http_request.faults)
    for source, text in asked:
        if source not in options.request_faults:
            reason = "the server doesn't let requests ask for it that way"
            _note_skipped(f"{shortened(text)} ({source})", reason, context.exchange)
    permitted = [each for each in asked if each[0] in options.request_faults]
    return from_request(permitted, http_request.headers, sends_key=bool(http_request.key))


def _note_skipped(fault: str, reason: str, exchange: Exchange) -> None:
    exchange.skipped += ((fault, reason),)
    note = f"fault {fault} was skipped: {reason}"
    exchange.notes += (note,)
    logger.warning("%s", note, extra=IN_EXCHANGE)
