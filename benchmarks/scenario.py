"""Writes the benchmark's scenario: any number of rules, of which the benchmark's prompt matches the last.

`python -m benchmarks.scenario > benchmarks/scenario.yaml` writes the one in the repository.
"""

import argparse
import json
from collections.abc import Iterator
from typing import Literal

Kind = Literal["mixed", "equals", "contains"]

TOKENS = 200
TTFT = 0.02
TOKENS_PER_SECOND = 50

# Words of three letters: one token each for the emulator's tokenizer, and one chunk each for every peer.
SENTENCE = "the sun was out and she had one big red car but his dog did not see who ran off"
WORDS = SENTENCE.split()

SYSTEM = "You are a careful assistant. Answer in plain words."
PROMPT = "Benchmark question {number}: what did the dog see when the sun was out?"
SAME_NUMBER = "000000000"


def words(count: int, source: list[str]) -> str:
    """Returns `count` words, separated by spaces, cycling through the list."""
    return " ".join(source[index % len(source)] for index in range(count))


ANSWER = words(TOKENS, WORDS)


def scenario(rules: int = 100, kind: Kind = "mixed") -> str:
    """Returns the YAML text. Mixed rules match by equals (two fifths), contains (two fifths) and regex (one fifth)."""
    return "\n".join(_lines(rules, kind)) + "\n"


def _lines(rules: int, kind: Kind) -> Iterator[str]:
    yield "# Written by `python -m benchmarks.scenario`: the benchmark's prompt matches the last rule only."
    yield "version: 1"
    yield "name: benchmark"
    yield "seed: 1"
    yield "defaults:"
    yield f"  pace: {{ttft: {TTFT}, tokens_per_second: {TOKENS_PER_SECOND}, jitter: 0}}"
    yield "rules:"
    for number in range(1, rules):
        yield f"  - name: rule-{number:04}"
        yield f"    match: {{prompt: {_matcher(number, kind)}}}"
        yield f"    reply: {{content: Answer number {number}.}}"
    yield f"  - name: rule-{rules:04}"
    yield f"    match: {{prompt: {_last_matcher(kind)}}}"
    yield f"    reply: {{content: {ANSWER}}}"


def _matcher(number: int, kind: Kind) -> str:
    way = {"mixed": ("equals", "contains", "regex", "equals", "contains")[number % 5]}.get(kind, kind)
    match way:
        case "regex":
            return "{regex: " + json.dumps(rf"(?i)\bcancel +(my|the) order {number:04}\b") + "}"
        case "contains":
            return "{contains: " + json.dumps(f"order number {number:04}") + "}"
        case _:
            return "{equals: " + json.dumps(f"Where is order number {number:04} now?") + "}"


def _last_matcher(kind: Kind) -> str:
    if kind == "equals":
        return "{equals: " + json.dumps(PROMPT.format(number=SAME_NUMBER)) + "}"
    return "{contains: Benchmark question}"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scenario", description=__doc__)
    parser.add_argument("--rules", type=int, default=100)
    parser.add_argument("--kind", choices=["mixed", "equals", "contains"], default="mixed")
    options = parser.parse_args()
    print(scenario(options.rules, options.kind), end="")


if __name__ == "__main__":
    main()
