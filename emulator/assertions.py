"""Assertions about the requests in a namespace. A failed one shows the actual requests."""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from emulator.errors import UsageError, did_you_mean
from emulator.journal_text import MAX_LINES, counted, is_unmatched, lines, outcome, place, reasons, shown
from emulator.records import record
from emulator.state.exchanges import Exchange

MAX_VALUE = 80
"""The maximum characters of a value in a message."""


@record
class RuleUse:
    """A rule of a namespace, and how often it has answered."""

    name: str
    origin: str
    used: int


class Assertions:
    """The assertions. Each raises AssertionError, whose traceback ends in the test."""

    if TYPE_CHECKING:

        @property
        def journal(self) -> tuple[Exchange, ...]: ...

        def rules_used(self) -> list[RuleUse]: ...

    def assert_called(
        self, times: int | None = None, *, body_contains: str | Mapping[str, Any] | None = None, **wanted: Any
    ) -> tuple[Exchange, ...]:
        """Asserts that matching requests arrived, exactly `times` if given, and returns them.

        body_contains: a text in the body, or a part of its JSON. Others: `provider`, `operation`, `model`, `rule`,
        `status`, `outcome` and `stream` as in the journal, and `prompt`, a text in the user's last message."""
        __tracebackhide__ = True
        _check(times, wanted)
        exchanges = self.journal
        differences = {each.number: _differences(each, body_contains, wanted) for each in exchanges}
        found = tuple(each for each in exchanges if not differences[each.number])
        if len(found) == times or (times is None and found):
            return found
        said = "at least 1 request" if times is None else counted(times, "request")
        asked = [f"{name}={value!r}" for name, value in wanted.items()]
        asked += [f"body_contains={body_contains!r}"] if body_contains is not None else []
        with_what = f" with {', '.join(asked)}" if asked else ""
        message = [f"{said}{with_what} expected, {len(found)} of {len(exchanges)} fit:"]
        for exchange in exchanges[-MAX_LINES:]:
            message.append(f"  {' ' if differences[exchange.number] else '*'} {_row(exchange)}")
            message += [f"        {difference}" for difference in differences[exchange.number]]
        raise AssertionError("\n".join(message) if exchanges else f"{said}{with_what} expected, none came")

    def assert_not_called(self, **wanted: Any) -> None:
        """Asserts that no matching request arrived."""
        __tracebackhide__ = True
        self.assert_called(0, **wanted)

    def assert_all_rules_used(self) -> None:
        """Asserts that every rule has answered at least once."""
        __tracebackhide__ = True
        rules = self.rules_used()
        unused = [each for each in rules if not each.used]
        if not unused:
            return
        message = [f"{len(unused)} of {counted(len(rules), 'rule')} never answered:"]
        message += [f"    {each.name}  ({each.origin})" for each in unused]
        message += ["Requests:", *(lines(self.journal, indent="    ") or ["    none"])]
        for exchange in self.journal:
            names = [each.name for each in unused]
            near = [reason for reason in exchange.misses if reason.partition(": ")[0] in names]
            message += [f"      #{exchange.number}: {reason}" for reason in near[:3]] if exchange.rule else []
        raise AssertionError("\n".join(message))

    def assert_no_unmatched(self, *, also_generated: bool = False) -> None:
        """Asserts that every request matched a rule and reached an endpoint. Generated answers count as matched if
        the scenario allows them, unless `also_generated` is True.
        """
        __tracebackhide__ = True
        unmatched = [each for each in self.journal if is_unmatched(each, also_generated=also_generated)]
        if not unmatched:
            return
        message = [f"{counted(len(unmatched), 'request')} matched no rule:"]
        for exchange in unmatched:
            message.append(f"    {_row(exchange)}")
            message += [f"        {reason}" for reason in reasons(exchange) or ["there are no rules"]]
        raise AssertionError("\n".join(message))

    def assert_spend(self, max: Decimal | float | str, *, provider: str | None = None) -> Decimal:
        """Asserts that all requests together cost at most `max` USD, and returns their cost."""
        __tracebackhide__ = True
        limit = _amount(max)
        exchanges = [each for each in self.journal if provider is None or each.place[0] == provider]
        spent = sum((each.cost for each in exchanges), Decimal(0))
        if spent <= limit:
            return spent
        costs: dict[tuple[str, str], list[Decimal]] = {}
        for each in exchanges:
            costs.setdefault((place(each), each.model), []).append(each.cost)
        message = [f"{_money(spent)} was spent, more than the limit of {_money(limit)}:"]
        for (where, model), items in sorted(costs.items(), key=lambda row: -sum(row[1])):
            amount = _money(sum(items, Decimal(0)))
            message.append(f"    {where}  {model or '-'}  {counted(len(items), 'request')}  {amount}")
        raise AssertionError("\n".join(message))


_FACTS = ("provider", "operation", "model", "rule", "status", "outcome", "stream", "prompt")


def _check(times: int | None, wanted: Mapping[str, Any]) -> None:
    if times is not None and (not isinstance(times, int) or isinstance(times, bool) or times < 0):
        raise UsageError(f"times is {times!r}. Give a whole number, 0 or more.")
    for name in wanted:
        if name not in _FACTS:
            known = ["times", "body_contains", *_FACTS]
            raise UsageError(
                f"assert_called() has no argument '{name}'.{did_you_mean(name, known)} Arguments: {', '.join(known)}"
            )


def _amount(value: Decimal | float | str) -> Decimal:
    try:
        return Decimal(str(value).removeprefix("$"))
    except ArithmeticError:
        raise UsageError(f"max is {value!r}. Give an amount in USD, such as 0.05.") from None


def _money(amount: Decimal) -> str:
    return f"${amount.normalize():f}"


def _row(exchange: Exchange) -> str:
    prompt = exchange.prompt
    asked = f"  {shown(prompt)}" if prompt else ""
    return f"#{exchange.number}  {place(exchange)}  {exchange.model or '-'}{asked}  {outcome(exchange)}"


def _differences(
    exchange: Exchange, body_contains: str | Mapping[str, Any] | None, wanted: Mapping[str, Any]
) -> list[str]:
    """Returns the differences between an exchange and the expectation; none if it matches."""
    provider, _, _ = exchange.place
    facts = {
        "provider": provider or None,
        "operation": exchange.operation,
        "model": exchange.model,
        "rule": exchange.rule,
        "status": exchange.status,
        "outcome": exchange.outcome,
        "stream": exchange.stream,
    }
    found = [
        f"{name}: {_value(facts[name])}, expected {_value(value)}"
        for name, value in wanted.items()
        if name != "prompt" and facts[name] != value
    ]
    if "prompt" in wanted and str(wanted["prompt"]) not in exchange.prompt:
        found.append(f"prompt: {_value(exchange.prompt)} does not contain {_value(wanted['prompt'])}")
    if isinstance(body_contains, str):
        found += _text_missing(exchange, body_contains)
    elif body_contains is not None:
        found += _missing("body", exchange.request.json, body_contains)
    return found


def _text_missing(exchange: Exchange, wanted: str) -> list[str]:
    body = exchange.request.json
    texts = [exchange.request.text, *_texts(body)]
    if any(wanted in text for text in texts):
        return []
    words = {word.strip(".,;:!?\"'()") for text in texts[1:] for word in text.split()} - {""}
    near = get_close_matches(wanted, sorted(words), n=1) or [
        word for word in sorted(words) if word.casefold() == wanted.casefold()
    ]
    hint = f"; it contains {_value(near[0])}" if near else ""
    cut = ", as far as it was kept" if exchange.request.truncated else ""
    return [f"body: does not contain {_value(wanted)}{cut}{hint}"]


def _texts(value: Any) -> list[str]:
    """Returns all texts in JSON: keys and values."""
    if isinstance(value, str):
        return [value]
    if isinstance(value, Mapping):
        return [text for name, item in value.items() for text in (name, *_texts(item))]
    return [text for item in value for text in _texts(item)] if isinstance(value, list) else []


def _missing(path: str, found: Any, wanted: Any) -> list[str]:
    """Returns where JSON doesn't contain the expected data: mappings may have more members, lists may not have more
    items.
    """
    if isinstance(wanted, Mapping):
        if not isinstance(found, Mapping):
            return [f"{path}: {_value(found)}, expected a mapping"]
        made = []
        for name, value in wanted.items():
            if name in found:
                made += _missing(f"{path}.{name}", found[name], value)
            else:
                made.append(f"{path}.{name}: missing.{did_you_mean(str(name), [str(key) for key in found])}")
        return made
    if isinstance(wanted, Sequence) and not isinstance(wanted, str):
        if not isinstance(found, list):
            return [f"{path}: {_value(found)}, expected a list"]
        if len(found) != len(wanted):
            return [f"{path}: {len(found)} items, expected {len(wanted)}"]
        pairs = enumerate(zip(found, wanted, strict=True))
        return [each for place, (item, value) in pairs for each in _missing(f"{path}[{place}]", item, value)]
    return [] if found == wanted else [f"{path}: {_value(found)}, expected {_value(wanted)}"]


def _value(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= MAX_VALUE else f"{text[: MAX_VALUE - 1]}…"
