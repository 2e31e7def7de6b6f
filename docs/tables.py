"""Writes everything that is generated, the tables in the documents and the JSON Schema of scenarios: `python
docs/tables.py`.

`--check` reports whether it is current, `--print` shows a table. A table is between `<!-- table: NAME -->` and
`<!-- /table -->`; NAME is a key of TABLES.
"""

import json
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from pydantic import BaseModel
from scale import scale, sizing, stored

from emulator import docstrings
from emulator.cli.faults import fault_facts
from emulator.cli.providers import described
from emulator.dialects.parameters import ECHOED, SAMPLING, Effect
from emulator.dialects.parameters import parameters as parameters_of
from emulator.exam.cases import PROGRAMME
from emulator.faults import FAULTS
from emulator.providers import PROVIDERS
from emulator.providers.base import Provider
from emulator.providers.deepseek_profiles import PROFILES, Rates
from emulator.scenario import json_schema
from emulator.scenario.models import Match, RuleModel, Scenario
from emulator.scenario.replies import BlockModel, ReplyModel
from emulator.verdict import CHECKS

ROOT = Path(__file__).parent.parent
CLIENTS = ROOT / "tests" / "clients_long" / "results.json"
GRADES = CLIENTS.with_name("grades.json")
PROGRAMS = "../tests/clients_long/programs"
CASES = ("chat", "stream", "tools", "structured", "reasoning", "errors", "retries", "embeddings")
SECTION = re.compile(r"(<!-- table: ([\w-]+) -->\n).*?(<!-- /table -->)", re.DOTALL)
COMMON = ("probability", "times", "skip", "window")


def cell(text: str) -> str:
    """Returns a text as the cell of a table."""
    return " ".join(text.split()).replace("|", "\\|")


def faults() -> Iterator[str]:
    """Every fault: what it does, what it tests, its parameters."""
    family = ""
    for kind in FAULTS:
        facts = fault_facts(kind)
        if facts["family"] != family:
            family = facts["family"]
            yield f"\n**{family}**\n\n| kind | on the wire | tests in a client | parameters |\n|---|---|---|---|\n"
        parameters = ", ".join(f"`{name}`" for name in facts["parameters"] if name not in COMMON)
        yield f"| `{kind}` | {cell(facts['effect'])} | {cell(facts['tests'])} | {parameters} |\n"
    yield "\n"


def kinds() -> Iterator[str]:
    """The kinds of faults by family."""
    families: dict[str, list[str]] = {}
    for kind, fault in FAULTS.items():
        families.setdefault(fault.family, []).append(f"`{kind}`")
    yield "| what breaks | kinds |\n|---|---|\n"
    for family, names in families.items():
        yield f"| {family} | {' '.join(names)} |\n"


def exam() -> Iterator[str]:
    """Every case of the exam."""
    for group in PROGRAMME:
        yield f"\n**{group.title}**\n\n| case | | fault | the client |\n|---|---|---|---|\n"
        for case in group.cases:
            yield f"| `{case.name}` | {case.level} | `{case.fault}` | {cell(case.why)} It {case.expected}. |\n"
    yield "\n"


def providers() -> Iterator[str]:
    """Every provider: how to reach it."""
    yield "| provider | base URL | documented host | auth | operations |\n|---|---|---|---|---|\n"
    for name, provider in PROVIDERS.items():
        operations = "<br>".join(f"`{o.method} {o.path}`" for o in provider.operations)
        hosts = ", ".join(provider.hosts)
        yield f"| {provider.title} | `/{name}` | {hosts} | `{provider.auth_header}` | {operations} |\n"


def errors() -> Iterator[str]:
    """Every error by name and provider: its status, and its source."""
    names = list(dict.fromkeys(name for provider in PROVIDERS.values() for name in provider.errors))
    yield f"| error | {' | '.join(PROVIDERS)} |\n|---|{'---|' * len(PROVIDERS)}\n"
    for name in names:
        cells = []
        for provider in PROVIDERS.values():
            row = described(provider)["errors"].get(name)
            cells.append("" if row is None else f"{row['status']} {row['mark']}")
        yield f"| `{name}` | {' | '.join(cells)} |\n"


def settings() -> Iterator[str]:
    """Every setting of every provider."""
    yield "| provider | setting | default | what it does |\n|---|---|---|---|\n"
    for name, provider in PROVIDERS.items():
        for setting, facts in described(provider)["settings"].items():
            default = json.dumps(facts["default"], default=str, ensure_ascii=False)
            yield f"| {name} | `{setting}` | `{cell(default)}` | {cell(facts['description'])} |\n"


def parameters() -> Iterator[str]:
    """The effect of every parameter at every operation that reads a body."""
    for name, provider in PROVIDERS.items():
        rows = list(operations(provider))
        if rows:
            yield f"\n**{provider.title}** (`{name}`)\n\n"
            yield "| operation | honored | ignored | refused |\n|---|---|---|---|\n"
            for paths, kinds in rows:
                yield f"| {paths} | {' | '.join(kinds.values())} |\n"
    yield "\n"


def operations(provider: type[Provider]) -> Iterator[tuple[str, Mapping[str, str]]]:
    """Returns the paths of each operation that reads a body, and its parameters by effect."""
    vendor = provider()
    paths: dict[tuple[str, str], list[str]] = {}
    for each in provider.operations:
        if each.has_body:
            paths.setdefault((each.name, each.dialect), []).append(f"`{each.path}`")
    for (name, dialect), shown in paths.items():
        spoken = vendor.speaking(dialect)
        body = spoken.body_of(name)
        if body is None:
            continue
        kinds: dict[str, list[str]] = {"honored": [], "ignored": [], "refused": []}
        for each in parameters_of(body):
            kinds[each.effect.kind].append(f"`{each.name}`{mark_of(each.effect)}")
        kinds["refused" if spoken.refuses_unknown_members else "ignored"].append("any other")
        yield "<br>".join(shown), {kind: ", ".join(names) for kind, names in kinds.items()}


def mark_of(effect: Effect) -> str:
    """Returns a sign for a frequent note on a parameter, or the note itself."""
    signs = {SAMPLING: "†", ECHOED: "‡"}
    return signs.get(effect) or (f" ({cell(effect.note)})" if effect.note else "")


def profiles() -> Iterator[str]:
    """DeepSeek's states, each with its models, aliases and prices."""
    yield "| profile | models | aliases | cache hit / miss / output, in USD per million tokens |\n|---|---|---|---|\n"
    for profile in PROFILES.values():
        prices = "<br>".join(f"`{model.id}` {priced(model.rates)}" for model in profile.models)
        aliases = ", ".join(f"`{name}`" for name in profile.aliases)
        yield f"| `{profile.name}` | {', '.join(f'`{name}`' for name in profile.names)} | {aliases} | {prices} |\n"


def priced(rates: Rates) -> str:
    """Returns prices in the format of DeepSeek's pages, off-peak and in peak hours."""
    shown = []
    for price in (rates.off_peak, rates.peak):
        if price is not None:
            amounts = [f"{amount * 1_000_000:f}" for amount in (price.cached, price.prompt, price.completion)]
            shown.append(" / ".join(amount.rstrip("0").rstrip(".") for amount in amounts))
    return ", in peak hours ".join(shown)


def keys_of(model: type[BaseModel]) -> Callable[[], Iterator[str]]:
    """A table of the keys of one mapping in a scenario."""

    def table() -> Iterator[str]:
        words = docstrings.of(model)
        yield "| key | meaning |\n|---|---|\n"
        for name, field in model.model_fields.items():
            yield f"| `{field.alias or name}` | {cell(words.get(name) or field.description or '')} |\n"

    return table


def clients() -> Iterator[str]:
    """What works with each client at each API, according to `make clients`."""
    yield f"| client | API | base URL | {' | '.join(CASES)} |\n|---|---|---|{':-:|' * len(CASES)}\n"
    before = ""
    for result in json.loads(CLIENTS.read_text()).values():
        if not {"task", "standard"} & result["works"].keys():
            title = "" if result["client"] == before else result["client"]
            before = result["client"]
            marks = " | ".join(result["works"].get(case, "") for case in CASES)
            yield f"| {title} | {result['api']} | `{result['base_url']}` | {marks} |\n"


def agents() -> Iterator[str]:
    """The same for agents."""
    yield "| agent | API | base URL | one-tool task |\n|---|---|---|:-:|\n"
    for result in json.loads(CLIENTS.read_text()).values():
        if "task" in result["works"]:
            yield f"| {result['client']} | {result['api']} | `{result['base_url']}` | {result['works']['task']} |\n"


def standard() -> Iterator[str]:
    """The results of langchain's standard tests at each API."""
    yield "| API | base URL | tests |\n|---|---|---|\n"
    for result in json.loads(CLIENTS.read_text()).values():
        if "standard" in result["works"]:
            yield f"| {result['api']} | `{result['base_url']}` | {result['works']['standard']} |\n"


def grades() -> Iterator[str]:
    """The clients' results in the exam, by default and with the fixes."""
    levels = ("MUST", "SHOULD")
    results = json.loads(GRADES.read_text())
    yield "| client | MUST | SHOULD | MUST, fixed | SHOULD, fixed |\n|---|:-:|:-:|:-:|:-:|\n"
    for name, result in results.items():
        scores = " | ".join(score(result[run][level]) for run in ("plain", "with_fixes") for level in levels)
        yield f"| [{name}](#{name}) | {scores} |\n"
    for name, result in results.items():
        plain, mended = (f"{PROGRAMS}/{result[key]}" for key in ("program", "mended"))
        yield f"\n### {name}\n\n{result['packages']}: [the program]({plain}), [with the fixes]({mended}).\n\n"
        yield "| fix | MUST cases | SHOULD cases |\n|---|---|---|\n"
        for fix in dict.fromkeys(case["fix"] for case in sorted(result["failed"], key=lambda case: case["level"])):
            cases = [case for case in result["failed"] if case["fix"] == fix]
            lead = "" if all(case["then"] == "PASS" for case in cases) else "*Not fixed:* "
            yield f"| {lead}{cell(fix)} | {' | '.join(graded(cases, level) for level in levels)} |\n"
    yield "\n"


def score(level: Mapping[str, int]) -> str:
    """Formats a fraction; a complete one is bold."""
    shown = f"{level['passed']} of {level['held']}"
    return f"**{shown}**" if level["passed"] == level["held"] else shown


def graded(cases: Sequence[Mapping[str, str]], level: str) -> str:
    """Returns the cases of a level by grade, with the fix for those that are not PASS."""
    names: dict[str, list[str]] = {}
    for case in cases:
        if case["level"] == level:
            then = "" if case["then"] in ("PASS", case["grade"]) else f" → {case['then']}"
            names.setdefault(f"{case['grade']}{then}", []).append(f"`{case['name']}`")
    return "<br>".join(f"{grade}: {' '.join(shown)}" for grade, shown in names.items())


def versions() -> Iterator[str]:
    """The packages of each client, and notes for its users."""
    results = list(json.loads(CLIENTS.read_text()).values())
    yield "| client | packages | to know |\n|---|---|---|\n"
    for client in dict.fromkeys(result["client"] for result in results):
        rows = [result for result in results if result["client"] == client]
        notes = [f"{row['api']}: {row['note']}" for row in rows if row["note"]]
        yield f"| {client} | {rows[0]['packages']} | {cell('<br>'.join(notes))} |\n"


def findings() -> Iterator[str]:
    """Every finding: its meaning, the rule and its source, what to change."""
    yield "| code | what the client does | the rule | the fix |\n|---|---|---|---|\n"
    for code, check in CHECKS.items():
        rule = f"“{cell(check.sentence)}” ({cell(check.source)})"
        yield f"| `{code}` {check.severity} | {cell(check.meaning)} | {rule} | {cell(check.fix)} |\n"


TABLES: Mapping[str, Callable[[], Iterator[str]]] = {
    "faults": faults,
    "kinds": kinds,
    "exam": exam,
    "providers": providers,
    "errors": errors,
    "settings": settings,
    "parameters": parameters,
    "profiles": profiles,
    "match": keys_of(Match),
    "reply": keys_of(ReplyModel),
    "block": keys_of(BlockModel),
    "rule": keys_of(RuleModel),
    "scenario": keys_of(Scenario),
    "findings": findings,
    "clients": clients,
    "agents": agents,
    "standard": standard,
    "grades": grades,
    "client-versions": versions,
    "sizing": sizing,
    "scale": scale,
    "stored": stored,
}


def current(text: str) -> str:
    """Returns a document with its tables renewed."""
    return SECTION.sub(lambda found: found[1] + "".join(TABLES[found[2]]()) + found[3], text)


def generated() -> Iterator[tuple[Path, str]]:
    """Yields every file that is generated or has a table, with its current text."""
    for path in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]:
        yield path, current(path.read_text())
    yield ROOT / "scenarios" / "scenario.schema.json", json_schema.as_text()


def main() -> None:
    """Rewrites what is stale, reports it, or shows a table: `--print NAME`."""
    if "--print" in sys.argv:
        sys.stdout.writelines(TABLES[sys.argv[-1]]())
        return
    stale = []
    for path, after in generated():
        if after != path.read_text():
            stale.append(path.relative_to(ROOT))
            if "--check" not in sys.argv:
                path.write_text(after)
    if stale and "--check" in sys.argv:
        sys.exit(f"Stale: {', '.join(map(str, stale))}. Renew with: make docs")


if __name__ == "__main__":
    main()
