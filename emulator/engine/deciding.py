"""The steps that depend on other requests, for several processes that share a store.

Matching, quotas, limits and faults are one step here: whatever depends on the request alone is determined first, the
rest goes to the store as a plan, and from its decision follow the same stages as from the steps of a single server."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from emulator import large
from emulator.engine.arrival import entropy_of
from emulator.engine.explanations import why_of
from emulator.engine.faults import StruckFaults, fault_context, faults_of, faults_of_rule
from emulator.engine.prefixes import Prefixes, prefixes_of
from emulator.engine.stages import Admitted, Arrived, Matched, Parsed, RequestContext
from emulator.errors import StoreGone
from emulator.faults.selection import BY_REQUEST, ActiveFault, hits, is_in_window
from emulator.matching.conditions import MatchContext
from emulator.matching.residual import Left, Residual, left_of, residuals
from emulator.matching.rules import Rule, RuleMatch
from emulator.providers.base import Limits, ProviderError
from emulator.reply import ErrorReply
from emulator.state.leases import (
    SharedLease,
    account_plan,
    next_lease,
    quota_plans,
    rate_plan,
    refusal_of,
)
from emulator.state.namespace import Namespace
from emulator.state.quotas import Quota
from emulator.state.rate_limits import Used, allowance, seconds_until_next
from emulator.state.store import (
    OTHER_STATE,
    Counting,
    Decision,
    FaultPlan,
    Plan,
    QuotaPlan,
    RulePlan,
    Store,
    undecided,
)

ATTEMPTS = 16
"""The number of attempts for which a plan is made, if they matter."""
MAX_PLANS = 8
"""The most plans for one request. Another one is needed only if many equal requests arrive in the meantime."""
FOR_ALL = range(0, 1)
NOTED = "answered without the store, which is gone"


class Decided(NamedTuple):
    """The progress of a request after the store's decision."""

    stage: Arrived
    struck: StruckFaults
    error: ProviderError | None = None
    """The provider's error, if it refuses the request."""


class Faults(NamedTuple):
    """The faults that may apply to a request, whichever rule answers."""

    before: Sequence[ActiveFault]
    after: Sequence[ActiveFault]

    def with_rule(self, rule: Rule | None) -> list[ActiveFault]:
        return [*self.before, *(faults_of_rule(rule) if rule is not None else ()), *self.after]


class Question(NamedTuple):
    """Everything that a plan contains, except for the attempts."""

    context: RequestContext
    ask: MatchContext | None
    left: Sequence[Left]
    faults: Faults
    quotas: Sequence[tuple[Quota | None, QuotaPlan]]
    limits: Limits | None
    prefixes: Prefixes | None
    base: Plan

    def is_counted(self, active: ActiveFault) -> bool:
        """Whether the store must count a fault. Others apply according to their probability."""
        fault = active.fault
        if fault.times is not None or fault.skip or active.source == "live":
            return True
        return self.prefixes is not None and fault.probability < 1 and self.refuses(active)

    def refuses(self, active: ActiveFault) -> bool:
        return active.fault.refuse(fault_context(Arrived(self.context))) is not None

    @property
    def all_faults(self) -> list[ActiveFault]:
        return [*self.faults.with_rule(None), *(fault for left in self.left for fault in faults_of_rule(left.rule))]

    @property
    def needs_attempt(self) -> bool:
        """Whether the plan depends on the attempt."""
        return any(left.reads_attempt for left in self.left) or any(
            active.fault.probability < 1 and self.is_counted(active) for active in self.all_faults
        )

    @property
    def needs_store(self) -> bool:
        """Whether the answer depends on other requests."""
        quotas, request = self.context.namespace.quotas, None if self.ask is None else self.ask.request
        account = request is not None and quotas.balance(request.http_request.provider, request.key) is not None
        is_counted = any(each.fault.times is not None or each.fault.skip for each in self.all_faults)
        is_limited = any(quota is not None for quota, _ in self.quotas) or (
            self.limits is not None and self.limits.is_enforced
        )
        return account or is_counted or is_limited or any(_counts(left) for left in self.left)


def _counts(left: Left) -> bool:
    rule = left.rule
    is_in_turn = len(rule.answers) > 1 and not left.is_drawn
    sets = any(answer.set_state is not None for answer in rule.answers)
    return bool(left.conditions) or rule.times is not None or is_in_turn or sets


async def decide(parsed: Parsed, store: Store) -> Decided:
    """Matches the request, uses quotas and limits, and finds the faults that apply to it. Raises StoreGone."""
    context, request = parsed.context, parsed.request
    namespace = context.namespace
    rules = namespace.compiled.rules
    ask = MatchContext(request, namespace.state, context.attempt, context.identity, namespace.seed)
    is_large = len(context.http_request.body) > large.LARGE
    left = await large.elsewhere(left_of, rules, ask) if is_large else left_of(rules, ask)
    faults = Faults(*faults_of(context))
    prefixes = await prefixes_of(parsed) if parsed.operation.is_completion else None
    if prefixes is not None and any(_surely_refuses(each, context) for each in faults.with_rule(None)):
        prefixes = None
    question = _question(parsed, ask, left, faults, prefixes, store)
    decision = await _decision(question, store)
    context = numbered(context, decision)
    ask = MatchContext(request, decision["state"], context.attempt, context.identity, ask.seed)
    found = None
    if decision["rule"] >= 0:
        rule = left[decision["rule"]].rule
        found = RuleMatch(rule, rule.answers[decision["reply"]])
    exchange = context.exchange
    exchange.rule = found.rule.name if found is not None else None
    exchange.why = why_of(ask, found, context) if found is not None or parsed.operation.is_completion else None
    matched = Matched(context, parsed.operation, request, parsed.form, ask, found)
    struck = _struck(question, decision, found, context)
    return _admitted(matched, question, decision, struck, store)


async def decide_early(stage: Arrived, store: Store) -> Decided:
    """Returns the number of the attempt and the faults of a request that is refused before matching. It needs
    no store."""
    question = _early(stage.context, Faults(*faults_of(stage.context)))
    decision = await _decision(question, store, is_optional=True)
    context = numbered(stage.context, decision)
    return Decided(replace(stage, context=context), _struck(question, decision, None, context))


async def decide_recalled(context: RequestContext, match: RuleMatch | None, store: Store) -> RequestContext:
    """Returns the number of the attempt of a request whose answer is known."""
    rule = "" if match is None else counter_of(context.namespace, match.rule)
    question = _early(context, Faults((), ()))
    return numbered(context, await _counted_alone(question, Counting(question.base["identity"], rule, ""), store))


def numbered(context: RequestContext, decision: Decision) -> RequestContext:
    """Returns the request with the number of its attempt in all processes, and the ids that a single server would
    give it.
    """
    attempt = decision["attempt"]
    context.exchange.attempt = attempt
    context.namespace.learn(context.identity, attempt)
    entropy = entropy_of(context.namespace.seed, context.identity, attempt, decision.get("salt", 0))
    return context.numbered(attempt, entropy, context.provider.request_id(context.exchange.received, entropy))


# The plan


def _early(context: RequestContext, faults: Faults) -> Question:
    return Question(context, None, (), faults, (), None, None, _base(context))


def _base(context: RequestContext) -> Plan:
    return Plan(
        now=context.exchange.received, identity=context.identity.hex()[:32], first=0, last=0, rules=[], account=None,
        quotas=[], lease="", rate=None, faults=[], prefixes=None,
    )  # fmt: skip


def _question(
    parsed: Parsed, ask: MatchContext, left: Sequence[Left], faults: Faults, prefixes: Prefixes | None, store: Store
) -> Question:
    context, request = parsed.context, parsed.request
    provider, quotas, now = context.provider, context.namespace.quotas, context.exchange.received
    limits = provider.limits(request)
    base = _base(context)
    counting: Sequence[tuple[Quota | None, QuotaPlan]] = ()
    is_completion = parsed.operation.is_completion
    base["account"] = account_plan(quotas, provider.name, request.key, guards=is_completion)
    if is_completion:
        most = provider.concurrency_of(request.model)
        counting = quota_plans(quotas, provider.name, request.key, request.model, most, now)
        base["quotas"] = [plan for _, plan in counting]
        if any(plan["concurrency"] >= 0 for plan in base["quotas"]):
            base["lease"] = next_lease(store)
    if limits is not None:
        base["rate"] = rate_plan((provider.name, request.key, request.model), limits)
    if prefixes is not None:
        base["prefixes"] = prefixes.plan
    return Question(context, ask, left, faults, counting, limits, prefixes, base)


def _surely_refuses(active: ActiveFault, context: RequestContext) -> bool:
    """Whether an uncounted fault certainly responds with an error, so that no prompt is cached."""
    fault, namespace = active.fault, context.namespace
    if fault.times is not None or fault.skip or fault.probability < 1:
        return False
    is_in_time = is_in_window(fault, namespace.clock.now() - namespace.fault_registry.started)
    return is_in_time and fault.refuse(fault_context(Arrived(context))) is not None


def _plan(question: Question, guess: int) -> Plan:
    attempts = range(guess, guess + ATTEMPTS) if question.needs_attempt else FOR_ALL
    plan = question.base.copy()
    if question.needs_attempt:
        plan["first"], plan["last"] = attempts[0], attempts[-1]
    plan["faults"] = [
        _fault_plan(question, each, attempts) for each in _counted(question, question.faults.with_rule(None))
    ]
    if question.ask is not None:
        rules = question.context.namespace.compiled.rules
        rows = residuals(question.left, rules, question.ask, attempts)
        plan["rules"] = [_rule_plan(question.context, row, question, attempts) for row in rows]
    return plan


def _counted(question: Question, faults: Sequence[ActiveFault]) -> list[ActiveFault]:
    """Returns those that the store counts."""
    namespace = question.context.namespace
    since = namespace.clock.now() - namespace.fault_registry.started
    return [each for each in faults if question.is_counted(each) and is_in_window(each.fault, since)]


def _fault_plan(question: Question, active: ActiveFault, attempts: range) -> FaultPlan:
    fault, context = active.fault, question.context
    seed, identity = context.namespace.seed, context.identity
    mask = ""
    if fault.probability < 1:
        mask = "".join("1" if hits(active, seed, identity, attempt) else "0" for attempt in attempts)
    return FaultPlan(
        key=active.id,
        is_loose=active.source in BY_REQUEST,
        skip=fault.skip,
        times=-1 if fault.times is None else fault.times,
        hits=mask,
        refuses=question.prefixes is not None and question.refuses(active),
    )


def _rule_plan(context: RequestContext, row: Residual, question: Question, attempts: range) -> RulePlan:
    rule, answers = row.rule, row.rule.answers
    states = [answer.set_state for answer in answers]
    faults = _counted(question, faults_of_rule(rule))
    return RulePlan(
        key=context.namespace.rule_key(rule.position),
        when={OTHER_STATE if state is None else f"={state}": mask for state, mask in row.when.items()},
        drawn=row.drawn,
        replies=len(answers),
        then=rule.then,
        times=-1 if rule.times is None else rule.times,
        sets=states if any(state is not None for state in states) else [],
        errors=[place for place, answer in enumerate(answers) if _is_error(answer)],
        faults=[_fault_plan(question, each, attempts) for each in faults],
    )


def _is_error(answer: Any) -> bool:
    return isinstance(answer.content, ErrorReply) or answer.wire is not None


# The decision


async def _decision(question: Question, store: Store, *, is_optional: bool = False) -> Decision:
    """Executes plans until one fits the attempt. Raises StoreGone if the store is gone and the request needs it."""
    if (counting := _counting(question)) is not None:
        decision = await _counted_alone(question, counting, store)
        if decision["attempt"]:
            return decision
    guess = question.context.attempt
    is_needed = not is_optional and question.needs_store
    for _ in range(MAX_PLANS):
        plan = _plan(question, guess) if question.ask is not None or question.faults.with_rule(None) else question.base
        try:
            decision = await store.decide(question.context.namespace.name, plan, is_needed=is_needed)
        except StoreGone:
            if is_needed:
                raise
            decision = _without(question, store)
        if not decision["again"]:
            return decision
        guess = decision["attempt"]
    raise StoreGone(
        f"The {store.name} could not number this request: too many equal requests arrive at once. Try again."
    )


def _counting(question: Question) -> Counting | None:
    """Returns what to count, if that is only the attempt and a use of the only rule that can answer, as for most
    requests; all others need a plan.
    """
    base, left, account = question.base, question.left, question.base["account"]
    has_balance = account is not None and (account["spent"] or account["balance"] is not None)
    if has_balance or base["quotas"] or base["rate"] is not None or base["prefixes"] is not None or len(left) > 1:
        return None
    rule = ""
    if left:
        if not is_plain(left[0]):
            return None
        rule = counter_of(question.context.namespace, left[0].rule)
    if any(map(question.is_counted, question.all_faults)):
        return None
    return Counting(base["identity"], rule, account["given"] if account is not None else "")


def is_plain(left: Left) -> bool:
    """Whether a rule surely gives its one answer and changes nothing but its counter."""
    answers = left.rule.answers
    return left.is_certain and len(answers) == 1 and answers[0].set_state is None


def counter_of(namespace: Namespace, rule: Rule) -> str:
    """The counter of a rule's uses."""
    return f"u:{namespace.rule_key(rule.position)}"


async def _counted_alone(question: Question, counting: Counting, store: Store) -> Decision:
    """Returns the decision for a request that doesn't need the store. Attempt 0: it needs a plan."""
    try:
        attempt, state = await store.count(question.context.namespace.name, counting)
    except StoreGone:
        return _without(question, store)
    decision = undecided(attempt, state)
    decision["rule"] = 0 if question.left else -1
    return decision


def _without(question: Question, store: Store) -> Decision:
    """Returns the decision of this process alone. Its ids must differ from those of other processes."""
    fallback, name = store.fallback, question.context.namespace.name
    question.base["quotas"] = []  # only the provider's own limit on a model, for the whole account
    plan = _plan(question, 1) if question.ask is not None or question.faults.with_rule(None) else question.base
    decision = fallback.decide(name, plan)
    if decision["again"]:
        decision = fallback.decide(name, _plan(question, decision["attempt"]))
    decision["salt"] = question.context.options.salt
    exchange = question.context.exchange
    exchange.notes += (NOTED,)
    return decision


def _struck(question: Question, decision: Decision, found: RuleMatch | None, context: RequestContext) -> StruckFaults:
    """Returns the faults that apply, in order."""
    namespace, rule = context.namespace, None if found is None else found.rule
    registry, now, exchange = namespace.fault_registry, namespace.clock.now(), context.exchange
    of_rule = faults_of_rule(rule) if rule is not None else []
    actives = [*question.faults.before, *of_rule, *question.faults.after]
    if not actives:
        return StruckFaults((), exchange)
    counted = [*_counted(question, question.faults.with_rule(None)), *_counted(question, of_rule)]
    rows = {id(each): row for each, row in zip(counted, decision["faults"], strict=True)}
    struck = []
    for active in actives:
        row = rows.get(id(active))
        if row is not None:
            if row[2]:
                struck.append(active)
            if active.source == "live" and active.fault.times is not None and row[1] >= active.fault.times:
                registry.spend(active.id)
        elif is_in_window(active.fault, now - registry.started) and hits(
            active, namespace.seed, context.identity, context.attempt
        ):
            struck.append(active)
    exchange.faults = tuple(f"{each.fault.kind} ({each.source})" for each in struck)
    return StruckFaults(struck, exchange)


def _admitted(matched: Matched, question: Question, decision: Decision, struck: StruckFaults, store: Store) -> Decided:
    context, request = matched.context, matched.request
    provider, now = context.provider, context.exchange.received
    error = refusal_of(decision, provider, question.quotas, now)
    if error is not None:
        return Decided(matched, struck, error)
    lease = _lease(matched, question, decision, store) if matched.operation.is_completion else None
    admitted = Admitted(
        context, matched.operation, request, matched.form, matched.question, matched.match, lease, question.limits,
        decision, question.prefixes,
    )  # fmt: skip
    if decision["refused"] == "rate":
        assert question.limits is not None
        used = used_of(decision, now)
        left, wait = allowance(question.limits, used), seconds_until_next(question.limits, used)
        return Decided(admitted, struck, ProviderError(provider.over_limit(request, left, wait)))
    return Decided(admitted, struck)


def used_of(decision: Decision, now: float) -> Used:
    """Returns what a key has used of its limits per minute."""
    requests, tokens, output = decision["used"]
    return Used(requests, tokens, now, output)


def _lease(matched: Matched, question: Question, decision: Decision, store: Store) -> SharedLease | None:
    context, request, account = matched.context, matched.request, question.base["account"]
    is_alone = "salt" in decision
    namespace, provider, quotas = context.namespace, context.provider, () if is_alone else question.quotas
    if account is not None and decision["balance"] is None and not account["spent"]:
        account = None  # not charged
    if not quotas and account is None:
        return None
    most = provider.concurrency_of(request.model)
    return SharedLease(
        store=store,
        namespace=namespace.name,
        name=question.base["lease"],
        account=account,
        plan=lambda now: [
            plan for _, plan in quota_plans(namespace.quotas, provider.name, request.key, request.model, most, now)
        ],
        waits=not is_alone,
        leased=[plan["key"] for _, plan in quotas if plan["concurrency"] >= 0],
        hard=[
            (quota.tokens, used)
            for (quota, _), used in zip(quotas, decision["tokens"], strict=True)
            if quota is not None and quota.refuses_crossing and quota.tokens is not None
        ],
    )
