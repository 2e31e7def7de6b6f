"""`check` rejects extreme values in a scenario file, with their position and a fix."""

from pathlib import Path

import pytest
from served import run
from talk import single

from emulator import Emulator, ScenarioError

AMOUNT = "give an amount in USD from -1000000000000 to 1000000000000, with at most 30 decimal places"
WIDE = "this number does not fit into 64 bits"


@pytest.mark.parametrize(
    ("text", "line", "reported"),
    [
        ('accounts:\n  - {key: k, balance: "1e999999999"}', 3, AMOUNT),
        ('accounts:\n  - {key: k, balance: "1e-999999999"}', 3, AMOUNT),
        ("accounts:\n  - {key: k, balance: .inf}", 3, "finite"),
        ("defaults:\n  pace: {tokens_per_second: 5e-324}", 3, "expected at least 1e-06"),
        ("rules:\n  - {pace: {tokens_per_second: 5.0e-324}, reply: {content: a}}", 3, "expected at least 1e-06"),
        ("quotas:\n  - {requests: 1, per: .inf}", 3, "this number is not finite"),
        ("quotas:\n  - {requests: 1, per: 1.0e-320}", 3, "expected at least 0.001"),
        (f"quotas:\n  - {{tokens: 1{'0' * 30}}}", 3, WIDE),
        (f"rules:\n  - {{reply: {{content: a, usage: {{prompt: 1{'0' * 30}}}}}}}", 3, WIDE),
        (f"rules:\n  - {{reply: {{content: a, created: 1{'0' * 30}}}}}", 3, WIDE),
        (f"rules:\n  - {{error: {{status: 400, body: {{a: 1{'0' * 30}}}}}}}", 3, WIDE),
        (
            f"rules:\n  - {{reply: {{tool_calls: [{{name: f, arguments: {{a: 1{'0' * 30}}}}}]}}}}",
            3,
            WIDE,
        ),
        (
            f"rules:\n  - {{match: {{body: {{path: '${'.a' * 30_000}', exists: true}}}}, reply: {{content: a}}}}",
            3,
            "is a JSONPath of 60001 characters; expected at most 4096",
        ),
        (
            f"rules:\n  - {{match: {{body: {{path: '${'.a' * 2_000}', exists: true}}}}, reply: {{content: a}}}}",
            3,
            "is a JSONPath of 2000 segments; expected at most 100",
        ),
        (
            f"rules:\n  - {{match: {{body: {{path: '$[?{'(' * 1500}@.a{')' * 1500}]', exists: true}}}}, reply: {{}}}}",
            3,
            "JSONPath",
        ),
    ],
)
def test_a_value_out_of_all_bounds_is_refused_where_it_stands(
    tmp_path: Path, text: str, line: int, reported: str
) -> None:
    path = tmp_path / "extreme.yaml"
    path.write_text(f"version: 1\n{text}\n")
    with pytest.raises(ScenarioError) as caught:
        Emulator(path)
    (problem,) = caught.value.problems
    assert str(problem).startswith(f"{path}:{line}:")
    assert reported in str(problem)


@pytest.mark.parametrize(
    "reply",
    [
        {"reply": {"content": "a", "usage": {"prompt": 2**70}}},
        {"reply": {"content": "a", "created": 2**70}},
        {"reply": {"tool_calls": [{"name": "f", "arguments": {"a": 2**70}}]}},
        {"error": {"status": 400, "body": {"a": 2**70}}},
    ],
)
def test_a_number_that_no_json_can_carry_is_refused_in_a_mapping_too(reply: dict[str, object]) -> None:
    with pytest.raises(ScenarioError, match=r"^scenario: rules\[0\]"):
        Emulator({"rules": [reply]})


def test_check_says_so_without_a_traceback(tmp_path: Path) -> None:
    path = tmp_path / "extreme.yaml"
    path.write_text('version: 1\naccounts:\n  - {key: k, balance: "1e999999999"}\n')
    code, out, errors = run("check", str(path))
    assert (code, errors) == (2, "")
    assert out.splitlines()[0] == f"{path}:3:14: accounts[0].balance is 1E+999999999: {AMOUNT}"


@pytest.mark.parametrize("balance", ["1.5", "0.000001", "1e12", "-3", 0.1, 5])
def test_every_sensible_balance_is_taken(balance: object) -> None:
    with Emulator({"accounts": [{"key": "k", "balance": balance}], "rules": []}) as emulator:
        response = single.get(emulator.url("deepseek") + "/user/balance", headers={"authorization": "Bearer k"})
    assert response.status_code == 200
