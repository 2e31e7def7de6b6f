"""A verdict as SARIF 2.1.0, for code scanning."""

import json
from typing import Any

from emulator.verdict import CHECKS
from emulator.verdict.base import Check, Finding, Verdict

LEVELS = {"MUST": "error", "SHOULD": "warning"}
SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"


def as_sarif(verdict: Verdict, source: str) -> str:
    """Returns all rules, and a result for each finding; exchanges are logical locations."""
    driver = {
        "name": "emulator verdict",
        "informationUri": "https://pypi.org/project/llm-provider-emulator/",
        "rules": [_rule(check) for check in CHECKS.values()],
    }
    run = {"tool": {"driver": driver}, "results": [_result(finding, source) for finding in verdict.findings]}
    return json.dumps({"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}, indent=2, ensure_ascii=False)


def _rule(check: Check) -> dict[str, Any]:
    return {
        "id": check.code,
        "shortDescription": {"text": check.meaning},
        "fullDescription": {"text": check.rule},
        "help": {"text": check.fix},
        "defaultConfiguration": {"level": LEVELS[check.severity]},
    }


def _result(finding: Finding, source: str) -> dict[str, Any]:
    place = {
        "physicalLocation": {"artifactLocation": {"uri": source}},
        "logicalLocations": [
            {"name": f"exchange {number}", "fullyQualifiedName": f"{source}#{number}"} for number in finding.exchanges
        ],
    }
    return {
        "ruleId": finding.code,
        "level": LEVELS[finding.severity],
        "message": {"text": f"{finding.explanation} {finding.fix}"},
        "locations": [place],
    }
