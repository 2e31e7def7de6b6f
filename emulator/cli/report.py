"""The final report of `emulator run`: the requests, and what went unused, unmatched or refused."""

import json
from collections import Counter, defaultdict
from decimal import Decimal
from itertools import islice
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from emulator.interception.front import Sightings
    from emulator.server.server import Server
    from emulator.state.exchanges import Exchange
    from emulator.verdict import Finding, Verdict

MAX_LISTED = 10
"""The most rules or hosts in a line; JSON lists them all."""
MAX_RULES = 1000
"""The most answers that are counted separately."""


class Report:
    """Counts the exchanges of a run, in the server's thread.

    is_scripted: whether the rules are the user's own, so that unused ones are reported.
    seen: what the proxy saw."""

    def __init__(self, *, is_scripted: bool, seen: "Sightings | None" = None) -> None:
        self.kept: list[str] = []
        """The user's own variables, which were not changed."""
        self._is_scripted = is_scripted
        self._seen = seen
        self._requests = self._unmatched = 0
        self._cost = Decimal(0)
        self._by_provider: defaultdict[str, Counter[str]] = defaultdict(Counter)
        self._used: set[str] = set()
        self._verdict: Verdict | None = None

    def add(self, exchange: "Exchange") -> None:
        """Counts an exchange."""
        self._requests += 1
        self._cost += exchange.cost
        if exchange.rule is not None:
            self._used.add(exchange.rule)
            answer = f"rule {exchange.rule}"
        elif exchange.outcome == "error":
            answer = f"{exchange.status} {exchange.error or 'error'}"
        else:
            answer = exchange.outcome
        if exchange.rule is None and (exchange.outcome == "generated" or exchange.error == "unmatched"):
            self._unmatched += 1
        answers = self._by_provider[exchange.place[0] or "no provider"]
        answers[answer if answer in answers or len(answers) < MAX_RULES else "more"] += 1

    def unused(self, server: "Server") -> list[str]:
        """The rules that were never used."""
        if not self._is_scripted or server.app is None:
            return []
        rules = server.app.namespaces.default.compiled.rules.rules
        return [rule.name for rule in rules if rule.name not in self._used]

    def verdict(self, server: "Server") -> "Verdict | None":
        """The verdict on the clients of all namespaces; None if there were no requests."""
        if self._verdict is None and self._requests and server.app is not None:
            from emulator.verdict import joined, judge

            journals = [namespace.journal for namespace in server.app.namespaces]
            self._verdict = joined([judge([each.details() for each in journal]) for journal in journals])
        return self._verdict

    def has_findings(self, server: "Server") -> bool:
        """Whether the run fails with --strict."""
        verdict = self.verdict(server)
        return bool(self._unmatched or self.unused(server) or (verdict is not None and verdict.has_failed))

    def as_json(self, server: "Server", code: int) -> str:
        """The whole report as plain data."""
        seen, verdict = self._seen, self.verdict(server)
        facts: dict[str, Any] = {
            "requests": self._requests,
            "unmatched": self._unmatched,
            "unused_rules": self.unused(server),
            "refused_hosts": list(seen.refused) if seen is not None else [],
            "kept_variables": self.kept,
            "cost": str(self._cost),
            "verdict": verdict.to_dict() if verdict is not None else {"findings": [], "unknown": []},
            "exit": code,
            "providers": {name: dict(answers) for name, answers in self._by_provider.items()},
            "distrusting": dict(seen.distrusted) if seen is not None else {},
            "broken_handshakes": dict(seen.broken) if seen is not None else {},
        }
        return json.dumps(facts)

    def as_text(self, server: "Server") -> str:
        """Returns the report as text, one line per topic."""
        lines = [f"emulator: {_counted(self._requests, 'request')}"]
        if self._unmatched and self._is_scripted:
            lines[0] += f", {self._unmatched} matched no rule"
        if self._cost:
            lines[0] += f", cost ${self._cost}"
        width = max(map(len, self._by_provider), default=0)
        for name, answers in self._by_provider.items():
            lines.append(f"  {name:<{width}}  {_listed([f'{answer} {n}x' for answer, n in answers.most_common()])}")
        unused = self.unused(server)
        if unused:
            lines.append(f"  never used: {_listed([f'rule {name}' for name in unused])}")
        seen = self._seen
        if seen is not None and seen.refused:
            lines.append(f"  refused: {_listed([f'{host} {n}x' for host, n in seen.refused.items()])}")
        if seen is not None and seen.broken:
            lines.append(f"  broken handshakes: {_listed([f'{kind} {n}x' for kind, n in seen.broken.items()])}")
        if seen is not None:
            lines += [f"  {host}: a client aborted the handshake: {why}" for host, why in seen.distrusted.items()]
        if self.kept:
            lines.append(f"  unchanged, because you have set them: {', '.join(self.kept)}")
        lines += self._judged(server)
        return "\n".join(lines)

    def _judged(self, server: "Server") -> list[str]:
        """Returns a line for each finding's code, the worst first."""
        verdict = self.verdict(server)
        by_code: dict[str, list[Finding]] = {}
        for finding in verdict.findings if verdict is not None else ():
            by_code.setdefault(finding.code, []).append(finding)
        lines = []
        for code, (first, *others) in islice(by_code.items(), MAX_LISTED):
            more = f" ({len(others) + 1}x)" if others else ""
            lines.append(f"  {first.severity} {code}{more}: {first.explanation}")
        return lines


def _counted(number: int, noun: str) -> str:
    return f"{number or 'no'} {noun}{'' if number == 1 else 's'}"


def _listed(items: list[str]) -> str:
    more = [f"and {len(items) - MAX_LISTED} more"] if len(items) > MAX_LISTED else []
    return ", ".join([*items[:MAX_LISTED], *more])
