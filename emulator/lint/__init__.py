"""What is valid in a scenario but probably a mistake: rules that never answer, keys without effect, slow patterns.

Every warning is certain, as far as the files alone can show; undecidable cases get none.
"""

import ast
import sys
from collections.abc import Iterable, Iterator, Sequence
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from typing import Any

from emulator.errors import Problem, did_you_mean
from emulator.faults.selection import KEY
from emulator.generation import templates
from emulator.lint.overlap import compiled as conditions_of
from emulator.lint.overlap import contradiction, covers
from emulator.lint.slow import doubt_about
from emulator.matching.conditions.base import KeyPath
from emulator.matching.conditions.texts import texts_in
from emulator.matching.conditions.values import glob_pattern
from emulator.patterns import compiled
from emulator.providers import COMPLETIONS, PROVIDERS
from emulator.records import record
from emulator.scenario.document import Document, quote, spell
from emulator.scenario.fields import HEADER_NAME, texts_of
from emulator.scenario.models import Match, RuleModel, Scenario
from emulator.scenario.sources import Loaded

MAX_COMPARED = 300_000
"""The most pairs of rules that are compared; this many take a few seconds."""
START = "start"
"""The state in which every namespace starts."""


@record
class LintWarning:
    """A probable mistake in a rule: its path within the rule, and a sentence."""

    key_path: KeyPath
    message: str


def warnings(loaded: Loaded) -> list[Problem]:
    """All probable mistakes in a scenario, in the order of its files. Runs and imports nothing."""
    scenario = loaded.scenario
    found = [
        loaded.problem(number, lint_warning.key_path, f"{_name(rule, number)}: {lint_warning.message}")
        for number, rule in enumerate(scenario.rules)
        for lint_warning in _in_rule(rule, scenario)
    ]
    for lint_warnings in (_never_reached, _same_names, _states):
        found += [
            loaded.problem(number, lint_warning.key_path, lint_warning.message)
            for number, lint_warning in lint_warnings(loaded)
        ]
    for part, document in loaded.parts:
        found += _accounts(part, scenario, document)
    order = {str(path): place for place, path in enumerate(loaded.files)}
    unique = dict.fromkeys(found)
    return sorted(unique, key=lambda problem: (order.get(problem.path, 0), problem.line, problem.column))


def _name(rule: RuleModel, number: int) -> str:
    return f"rule '{rule.name}'" if rule.name else f"rules[{number}]"


def _in_rule(rule: RuleModel, scenario: Scenario) -> Iterator[LintWarning]:
    yield from _matches_nothing(rule.match, scenario)
    yield from _without_effect(rule)
    yield from _slow_patterns(rule.match)
    yield from _code(rule)
    yield from _headers(rule)
    yield from _groups(rule)


# Rules that never answer


def _matches_nothing(match: Match, scenario: Scenario) -> Iterator[LintWarning]:
    wrong = contradiction(conditions_of(match, scenario.defaults.normalize))
    if wrong is not None:
        key_path, reason = wrong
        yield LintWarning(("match", *key_path), f"no request can match: {reason}")
        return
    asked = match.provider or tuple(PROVIDERS)
    operations = {operation.name for name in asked for operation in PROVIDERS[name].operations}
    for name in match.operation or ():
        if name not in operations:
            whose = f"{' and '.join(asked)} have" if len(asked) > 1 else f"{asked[0]} has"
            known = f"{did_you_mean(name, sorted(operations))} Operations: {', '.join(sorted(operations))}"
            where = "no provider has" if match.provider is None else f"{whose} no"
            yield LintWarning(("match", "operation"), f"{where} operation '{name}'.{known}")
    yield from _model_not_served(match, asked, scenario)
    if match.key is not None and match.key.equals is not None and scenario.accounts:
        keys = {account.key for account in scenario.accounts if account.provider in (None, *asked)}
        if match.key.equals not in keys and not match.key.equals.startswith(KEY):
            yield LintWarning(
                ("match", "key"), f"no request can match: no account has the key {quote(match.key.equals)}"
            )


def _model_not_served(match: Match, asked: Sequence[str], scenario: Scenario) -> Iterator[LintWarning]:
    if match.provider is None or match.model is None or set(match.operation or ()) - set(COMPLETIONS):
        return
    served: list[str] = []
    for name in asked:
        models = PROVIDERS[name](getattr(scenario.providers, name)).served_names()
        if models is None:
            return  # any name is valid
        served += models
    pattern = glob_pattern(match.model)
    if not any(pattern.match(model) for model in served):
        wanted = " or ".join(map(quote, match.model))
        where = " and ".join(asked)
        yield LintWarning(
            ("match", "model"),
            f"no request can match: {where} rejects the model {wanted}. Models, set under providers.{asked[0]}.models: "
            f"{', '.join(served)}",
        )


def _never_reached(loaded: Loaded) -> Iterator[tuple[int, LintWarning]]:
    scenario = loaded.scenario
    numbers = sorted(range(len(scenario.rules)), key=lambda number: -scenario.rules[number].priority)
    matches = [conditions_of(rule.match, scenario.defaults.normalize) for rule in scenario.rules]
    takers: list[int] = []
    by_prompt: dict[str, list[int]] = {}
    compared = 0
    for number in numbers:
        match = matches[number]
        if contradiction(match) is not None:
            continue  # already reported
        prompt = scenario.rules[number].match.prompt
        exact = prompt.equals if prompt else None
        for earlier in [*by_prompt.get(exact or "", ()), *takers] if exact is not None else takers:
            compared += 1
            if compared > MAX_COMPARED:
                return
            if covers(matches[earlier], match):
                name, where = _name(scenario.rules[earlier], earlier), _where(loaded, earlier)
                rule = _name(scenario.rules[number], number)
                message = f"{rule} never answers: {name}{where} matches the same requests first"
                yield number, LintWarning((), message)
                break
        if _always_answers(scenario.rules[number]):
            (takers if exact is None else by_prompt.setdefault(exact, [])).append(number)


def _where(loaded: Loaded, number: int) -> str:
    problem = loaded.problem(number, (), "")
    return f" ({problem.path}:{problem.line})" if problem.line else ""


def _always_answers(rule: RuleModel) -> bool:
    is_drawn = any(item.chance is not None for item in rule.answers())
    return rule.times is None and rule.chance in (None, 1.0) and (rule.then != "next_rule" or is_drawn)


# Names and states


def _same_names(loaded: Loaded) -> Iterator[tuple[int, LintWarning]]:
    first: dict[str, int] = {}
    for number, rule in enumerate(loaded.scenario.rules):
        if rule.name is None:
            continue
        if rule.name in first:
            where = _where(loaded, first[rule.name]) or f" (rules[{first[rule.name]}])"
            message = f"there is a rule '{rule.name}' already{where}: the journal can't show which of them answered"
            yield number, LintWarning(("name",), message)
        first.setdefault(rule.name, number)


def _states(loaded: Loaded) -> Iterator[tuple[int, LintWarning]]:
    rules = loaded.scenario.rules
    wanted = [(number, key_path, state) for number, rule in enumerate(rules) for key_path, state in _wanted(rule.match)]
    reached = [(number, key_path, state) for number, rule in enumerate(rules) for key_path, state in _reached(rule)]
    known = {state for _, _, state in reached} | {START}
    for number, key_path, state in wanted:
        if state not in known:
            hint = did_you_mean(state, sorted(known))
            yield number, LintWarning(("match", *key_path), f"no rule sets the state '{state}'.{hint}")
    asked = {state for _, _, state in wanted}
    is_in_a_template = any("state" in text for rule in rules for text in _templates(rule))
    for number, key_path, state in reached:
        if state in asked or is_in_a_template or (asked and not did_you_mean(state, sorted(asked - known))):
            continue  # it may serve to leave another state
        hint = did_you_mean(state, sorted(asked))
        yield number, LintWarning(key_path, f"no rule matches the state '{state}'.{hint}")


def _wanted(match: Match) -> Iterator[tuple[KeyPath, str]]:
    for key_path, part in _parts(match):
        if part.state is not None:
            yield (*key_path, "state"), part.state


def _reached(rule: RuleModel) -> Iterator[tuple[KeyPath, str]]:
    if rule.set_state is not None:
        yield ("set_state",), rule.set_state
    for number, item in enumerate(rule.replies or ()):
        if item.set_state is not None:
            yield ("replies", number, "set_state"), item.set_state


def _parts(match: Match, key_path: KeyPath = ()) -> Iterator[tuple[KeyPath, Match]]:
    """A match and every match in it."""
    yield key_path, match
    for key, parts in (("any_of", match.any_of), ("all_of", match.all_of)):
        for number, part in enumerate(parts or ()):
            yield from _parts(part, (*key_path, key, number))
    if match.not_ is not None:
        yield from _parts(match.not_, (*key_path, "not"))


# Keys without effect


def _without_effect(rule: RuleModel) -> Iterator[LintWarning]:
    answers = rule.answers()
    is_drawn = any(item.chance is not None for item in answers)
    if rule.chance == 1:
        yield LintWarning(("chance",), "chance is 1, so the rule never skips a request")
    if len(answers) == 1 and is_drawn:
        yield LintWarning(("replies", 0, "chance"), "chance has no effect on the only reply")
    elif is_drawn and rule.then is not None:
        yield LintWarning(
            ("then",), f"then: {rule.then} has no effect: replies with a chance are drawn at random and never run out"
        )
    elif rule.times is not None and rule.times < len(answers) and not is_drawn:
        key_path: KeyPath = ("replies", rule.times)
        yield LintWarning(key_path, f"{spell(key_path)} is never sent: times: {rule.times} uses up the rule before it")
    elif rule.times is not None and rule.then is not None and rule.times <= len(answers):
        yield LintWarning(
            ("then",), f"then: {rule.then} has no effect: with times: {rule.times}, nothing follows the last reply"
        )
    if rule.pace is not None and all(item.error is not None for item in answers):
        yield LintWarning(("pace",), "pace has no effect: errors are sent at once")
    for key_path, reply in _replies(rule):
        is_written = reply.content is None and not reply.tool_calls and not reply.blocks and reply.from_ is None
        for name in ("length", "style"):
            if name in reply.model_fields_set and not is_written:
                yield LintWarning((*key_path, name), f"{name} has no effect: no text is generated")
    for key_path, part in _parts(rule.match):
        for number, wanted in enumerate(part.body or ()):
            idle = wanted.model_fields_set - {"path", "exists"}
            if wanted.exists is False and idle:
                message = f"{', '.join(sorted(idle))} has no effect with exists: false"
                yield LintWarning(("match", *key_path, "body", number, "exists"), message)


def _replies(rule: RuleModel) -> Iterator[tuple[KeyPath, Any]]:
    if rule.reply is not None:
        yield ("reply",), rule.reply
    for number, item in enumerate(rule.replies or ()):
        if item.reply is not None:
            yield ("replies", number, "reply"), item.reply


def _templates(rule: RuleModel) -> Iterator[str]:
    for _, reply in _replies(rule):
        yield from filter(templates.is_template, texts_of(reply.model_dump()))


def _groups(rule: RuleModel) -> Iterator[LintWarning]:
    patterns = [text.regex for _, part in _parts(rule.match) if part.prompt for _, text in texts_in(part.prompt)]
    if not any(pattern and compiled(pattern).group_count for pattern in patterns):
        for key_path, reply in _replies(rule):
            if any(templates.is_template(text) and "groups" in text for text in texts_of(reply.model_dump())):
                yield LintWarning(key_path, "groups is empty in its templates: no regex on the prompt has groups")


# Patterns, code, headers


def _slow_patterns(match: Match) -> Iterator[LintWarning]:
    regexes = {regex: None for condition in conditions_of(match) for regex in condition.regexes()}
    for key_path, pattern in regexes:
        lint_warning = doubt_about(pattern)
        if lint_warning is not None:
            yield LintWarning(("match", *key_path), f"the regex {quote(pattern)} {lint_warning}")


def _code(rule: RuleModel) -> Iterator[LintWarning]:
    for key_path, reply in _replies(rule):
        if reply.from_ is not None:
            _, module, function = reply.from_.split(":")
            missing = _missing(module, function)
            if missing is not None:
                yield LintWarning((*key_path, "from"), missing)


def _missing(module: str, function: str) -> str | None:
    """Why a function can't be found. Looks for packages and reads files, but imports nothing."""
    path: Sequence[str] | None = [str(Path.cwd()), *sys.path]
    spec: ModuleSpec | None = None
    names = module.split(".")
    if names[0] in sys.builtin_module_names:
        return None
    for depth in range(len(names)):
        name = ".".join(names[: depth + 1])
        spec = PathFinder.find_spec(name, path) if path is not None else None
        if spec is None:
            return f"there is no module '{name}' on Python's module path"
        path = spec.submodule_search_locations
    defined = _defined(spec)
    if defined is None or function in defined:
        return None
    return f"there is no '{function}' in {module}.{did_you_mean(function, sorted(defined))}"


def _defined(spec: ModuleSpec | None) -> set[str] | None:
    """The top-level names of a module; None if they can't be determined."""
    if spec is None or spec.origin is None or not spec.origin.endswith(".py"):
        return None
    try:
        tree = ast.parse(Path(spec.origin).read_bytes())
    except (OSError, SyntaxError, ValueError):
        return None
    names: set[str] = set()
    for node in ast.walk(tree):
        match node:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                names.add(name)
            case ast.Name(id=name, ctx=ast.Store()):
                names.add(name)
            case ast.alias(name=name, asname=other):
                names.add(other or name.partition(".")[0])
    return None if {"*", "__getattr__"} & names else names


def _headers(rule: RuleModel) -> Iterator[LintWarning]:
    for key_path, part in _parts(rule.match):
        for name in part.header or {}:
            if not HEADER_NAME.fullmatch(name):
                message = f"no request has a header {quote(name)}: not a valid header name"
                yield LintWarning(("match", *key_path, "header", name), message)


# Accounts


def _accounts(part: Scenario, scenario: Scenario, document: Document) -> Iterable[Problem]:
    if not scenario.accounts:
        return
    open_to = {account.provider for account in scenario.accounts}
    if None not in open_to:
        for number, rule in enumerate(part.rules):
            closed = [name for name in rule.match.provider or () if name not in open_to]
            if closed:
                message = f"no account is for {' or '.join(closed)}, so every request there is rejected"
                yield document.problem(("rules", number, "match", "provider"), f"{_name(rule, number)}: {message}")
    seen: set[tuple[str, str | None]] = set()
    for number, account in enumerate(part.accounts):
        if (account.key, account.provider) in seen:
            message = f"accounts[{number}]: the key {quote(account.key)} is listed twice"
            yield document.problem(("accounts", number), message)
        seen.add((account.key, account.provider))
