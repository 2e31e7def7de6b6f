"""Tests of a client with unittest: one server for the module, a namespace for each test.

python -m unittest docs/examples/test_with_unittest.py
"""

import json
import unittest
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from emulator import Emulator

server = Emulator()
setUpModule, tearDownModule = server.start, server.stop


def weather(base_url: str, city: str) -> str:
    """The client: it tries again when the provider is busy."""
    question = {"role": "user", "content": f"Weather in {city}?"}
    body = json.dumps({"model": "gpt-4o-mini", "messages": [question]}).encode()
    headers = {"authorization": "Bearer sk-any", "content-type": "application/json"}
    for attempt in (1, 2, 3):
        try:
            with urlopen(Request(f"{base_url}/chat/completions", body, headers)) as response:
                answer: str = json.load(response)["choices"][0]["message"]["content"]
                return answer
        except HTTPError as error:
            if error.code not in (429, 503) or attempt == 3:
                raise
    raise AssertionError("unreachable")


class TestWeather(unittest.TestCase):
    def setUp(self) -> None:
        self.emulator = server.namespace(self.id(), {"unmatched": "error"})
        self.addCleanup(self.emulator.assert_no_unmatched)
        self.base_url = self.emulator.url("openai") + "/v1"

    def test_an_answer(self) -> None:
        self.emulator.rule("Paris", reply="Sunny.")
        self.assertEqual(weather(self.base_url, "Paris"), "Sunny.")
        self.emulator.assert_called(1, provider="openai", body_contains="Paris")

    def test_a_busy_provider(self) -> None:
        self.emulator.rule("Oslo", replies=[429, {"error": "overloaded"}, "Snow."])
        self.assertEqual(weather(self.base_url, "Oslo"), "Snow.")
        self.emulator.assert_called(3)

    def test_a_provider_that_stays_busy(self) -> None:
        self.emulator.rule(error=429)
        with self.assertRaises(HTTPError):
            weather(self.base_url, "Rome")
        self.emulator.assert_called(3, status=429)


if __name__ == "__main__":
    unittest.main()
