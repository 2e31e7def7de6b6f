"""The faults that requests may ask for: nothing that affects other clients from a page of another site, or for long."""

from typing import Any, ClassVar

import httpx
import pytest
from served import served
from talk import KEYS, PATHS, question, single

from emulator import Emulator

PATH = f"/serevix{PATHS['serevix']}"
OFF = "the server doesn't let requests ask for it that way"
KEY = KEYS["serevix"]
FOREIGN: dict[str, dict[str, str]] = {
    "Origin: https://evil.example": {"origin": "https://evil.example", **KEY},
    "Origin: null": {"origin": "null", **KEY},
    "Referer: https://evil.example/page": {"referer": "https://evil.example/page", **KEY},
    "Sec-Fetch-Site: cross-site": {"sec-fetch-site": "cross-site", **KEY},
    "Sec-Fetch-Site: same-site": {"sec-fetch-site": "same-site", **KEY},
}


def error_spec(kind: str, why: str) -> str:
    return (
        f"The fault '{kind}' affects every client, so a page of another site can't ask for it: {why}. Send a key, from "
        "a program or from the emulator's own origin."
    )


def message(response: httpx.Response) -> str:
    assert (response.status_code, response.headers["x-emulator-error"]) == (400, "fault")
    text: str = response.json()["error"]["message"]
    return text


@pytest.fixture
def emulator() -> Any:
    with Emulator({"rules": [{"reply": {"content": "Hi"}}]}) as running:
        yield running


class TestAPageOfAnotherSite:
    @pytest.mark.parametrize("kind", ["refuse_connections", "reset_on_accept"])
    @pytest.mark.parametrize("said", FOREIGN)
    def test_cannot_reach_other_clients(self, emulator: Emulator, kind: str, said: str) -> None:
        response = single.get(f"{emulator.origin}/~{kind}/serevix/v1/models", headers=FOREIGN[said])
        assert message(response) == error_spec(kind, f"the request has '{said}'")
        assert single.post(emulator.origin + PATH, json=question("serevix"), headers=KEY).status_code == 200

    def test_cannot_as_an_image_either(self, emulator: Emulator) -> None:
        response = single.get(f"{emulator.origin}/~refuse_connections:seconds=86400/serevix/v1/models")
        assert message(response) == error_spec("refuse_connections", "this request carries no key")
        assert single.post(emulator.origin + PATH, json=question("serevix"), headers=KEY).status_code == 200

    def test_may_break_its_own_answer(self, emulator: Emulator) -> None:
        url = f"{emulator.origin}/~429{PATH}"
        response = single.post(url, json=question("serevix"), headers=FOREIGN["Origin: null"])
        assert response.status_code == 429


class TestAProgramOrTheOwnOrigin:
    @pytest.mark.parametrize("said", ["nothing", "origin", "none"])
    def test_may_reach_other_clients(self, emulator: Emulator, said: str) -> None:
        more = {
            "nothing": {},
            "origin": {"origin": emulator.origin, "referer": f"{emulator.origin}/", "sec-fetch-site": "same-origin"},
            "none": {"sec-fetch-site": "none"},
        }[said]
        url = f"{emulator.origin}/~reset_on_accept:count=1{PATH}"
        for asked in (url, emulator.origin + PATH):  # the request itself, then the next connection
            with pytest.raises(httpx.TransportError):
                single.post(asked, json=question("serevix"), headers={**KEY, **more})
        assert single.post(emulator.origin + PATH, json=question("serevix"), headers=KEY).status_code == 200

    @pytest.mark.parametrize("kind", ["refuse_connections", "reset_on_accept"])
    @pytest.mark.parametrize("way", ["url", "header", "key"])
    def test_may_for_a_minute(self, emulator: Emulator, kind: str, way: str) -> None:
        fault = f"{kind}:seconds=60.5"
        url = f"{emulator.origin}{f'/~{fault}' if way == 'url' else ''}{PATH}"
        headers = {
            "url": KEY,
            "header": {**KEY, "x-emulator-fault": fault},
            "key": {"authorization": f"Bearer sk-fault-{fault}"},
        }[way]
        assert message(single.post(url, json=question("serevix"), headers=headers)) == (
            f"The fault '{kind}': seconds: it affects every client, so a request may ask for at most 60. Scenarios, "
            "Python and serve --fault may set more."
        )
        emulator.faults.next(kind, seconds=60.5)  # from Python, it may be more


class TestAServerThatTakesNoFaultsFromRequests:
    ACCOUNTS: ClassVar[dict[str, Any]] = {"rules": [{"reply": {"content": "Hi"}}], "accounts": [{"key": "sk-demo"}]}

    @pytest.mark.parametrize("way", ["url", "header"])
    def test_answers_as_if_none_was_asked_for_and_says_so(self, way: str) -> None:
        with Emulator(self.ACCOUNTS, request_faults=False) as emulator:
            url = f"{emulator.origin}{'/~nonsense' if way == 'url' else ''}{PATH}"
            headers = {**KEY, **({"x-emulator-fault": "nonsense"} if way == "header" else {})}
            assert single.post(url, json=question("serevix"), headers=headers).status_code == 200
            emulator.wait_until_idle()
            assert emulator.journal[-1].notes == (f"fault nonsense ({way}) was skipped: {OFF}",)

    def test_takes_the_key_of_a_fault_for_a_key(self) -> None:
        with Emulator(self.ACCOUNTS, request_faults=False) as emulator:
            headers = {"authorization": "Bearer sk-fault-429"}
            response = single.post(emulator.origin + PATH, json=question("serevix"), headers=headers)
            assert (response.status_code, response.json()["error"]["type"]) == (401, "new_api_error")

    def test_has_still_its_own(self) -> None:
        with Emulator(self.ACCOUNTS, request_faults=False, faults=["503"]) as emulator:
            response = single.post(emulator.origin + PATH, json=question("serevix"), headers=KEY)
            assert response.status_code == 503

    @pytest.mark.parametrize(
        ("option", "statuses"), [("--no-request-faults", (200, 200)), ("--no-fault-header", (429, 200))]
    )
    def test_is_an_option_of_the_command(self, option: str, statuses: tuple[int, int]) -> None:
        with served(option, "--speed", "max") as server:
            origin = f"http://127.0.0.1:{server.port}"
            by_url = single.post(f"{origin}/~429{PATH}", json=question("serevix"), headers=KEY)
            by_header = single.post(origin + PATH, json=question("serevix"), headers={**KEY, "x-emulator-fault": "429"})
            assert (by_url.status_code, by_header.status_code) == statuses


def test_the_counts_of_a_fault_that_requests_ask_for_are_those_of_all_workers() -> None:
    with served("--workers", "3", "--speed", "max") as server:
        statuses = [
            httpx.post(
                f"http://127.0.0.1:{server.port}{PATH}",
                json=question("serevix"),
                headers={**KEY, "x-emulator-fault": "error:name=overloaded,skip=1,times=2"},
            ).status_code
            for _ in range(8)
        ]
    assert statuses == [200, 503, 503, 200, 200, 200, 200, 200]
