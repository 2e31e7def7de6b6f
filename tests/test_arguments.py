"""What a Python program passes is checked at once: a wrong type is one clear sentence, never a failure later on."""

import re
from typing import Any

import pytest
from tables import each_of
from talk import PATHS, question, single

from emulator import Emulator, UsageError

HELLO = {"rules": [{"reply": {"content": "Hello!"}}]}


@each_of(
    ("options", "reported"),
    [
        ({"pace": 5}, "pace is 5; expected Pace(ttft=SECONDS, tokens_per_second=NUMBER) or None."),
        ({"seed": "a"}, "seed is 'a'; expected a whole number."),
        ({"seed": True}, "seed is True; expected a whole number."),
        ({"seed": 1.5}, "seed is 1.5; expected a whole number."),
        ({"speed": "2"}, "speed is '2'; expected a number."),
        ({"speed": 1e-320}, "speed is 1e-320; expected a number from 0.000001 to 1000000, such as 2, or inf."),
        ({"faults": 5}, "faults is 5; expected a fault such as 'reset:after_tokens=5', or a list of faults."),
        ({"faults": [None]}, "A fault is a string such as 'reset:after_tokens=5' or a mapping with a kind, not None."),
        ({"scenario": 5}, "scenario is 5; expected a path, or the scenario itself as a mapping."),
        ({"host": 5}, "host is 5; expected a string."),
        ({"port": "80"}, "port is '80'; expected a whole number from 0 to 65535."),
        ({"port": 65536}, "port is 65536; expected a whole number from 0 to 65535."),
        ({"provider": 5}, "provider is 5; expected a string."),
        ({"unmatched": "eror"}, "unmatched is 'eror'. Did you mean 'error'? Allowed: generate, error."),
        ({"loop": "trio"}, "loop is 'trio'. Allowed: auto, uvloop, asyncio."),
        ({"http": None}, "http is None. Allowed: httptools, h11."),
        ({"allow_code": 1}, "allow_code is 1; expected True or False."),
        ({"request_faults": 0}, "request_faults is 0; expected True or False."),
        ({"reload": "yes"}, "reload is 'yes'; expected True or False."),
    ],
)
def test_a_wrong_argument_is_refused_before_anything_starts(options: dict[str, Any], reported: str) -> None:
    with pytest.raises(UsageError, match=f"^{re.escape(reported)}$"):
        Emulator(**options)


def test_a_wrong_argument_of_a_method_is_refused_too() -> None:
    with Emulator(HELLO) as emulator:
        calls: list[tuple[Any, str]] = [
            (lambda: emulator.namespace(5), "The name of a namespace is 5; expected a string."),  # type: ignore[arg-type]
            (lambda: emulator.namespace("a", seed="b"), "seed is 'b'; expected a whole number."),  # type: ignore[arg-type]
            (
                lambda: emulator.namespace("a", 5),  # type: ignore[arg-type]
                "scenario is 5; expected a path, or the scenario itself as a mapping.",
            ),
            (lambda: emulator.load(None), "scenario is None; expected a path, or the scenario itself as a mapping."),  # type: ignore[arg-type]
            (lambda: emulator.url(None), "provider is None; expected a string."),  # type: ignore[arg-type]
            (lambda: emulator.advance("1"), "seconds is '1'; expected a number."),  # type: ignore[arg-type]
            (lambda: emulator.wait_until_idle("1"), "timeout is '1'; expected a number."),  # type: ignore[arg-type]
        ]
        for call, reported in calls:
            with pytest.raises(UsageError, match=f"^{re.escape(reported)}$"):
                call()


@pytest.mark.parametrize("faults", ["429", {"kind": "error", "status": 429}, ["429"]])
def test_one_fault_needs_no_list(faults: Any) -> None:
    with Emulator(HELLO, faults=faults) as emulator:
        url, headers = emulator.url("serevix") + PATHS["serevix"], {"authorization": "Bearer k"}
        assert single.post(url, json=question("serevix"), headers=headers).status_code == 429
