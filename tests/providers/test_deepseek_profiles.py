"""DeepSeek's own API as it was on a day: models, aliases, bills that follow the clock, images, efforts, responses."""

import base64
import itertools
import struct
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import httpx
import pytest
from talk import KEYS, Serving, question

from emulator import Emulator
from emulator.client import NamespaceClient
from emulator.clock import VIRTUAL_START
from emulator.providers.deepseek_profiles import PROFILES

Json = dict[str, Any]
RULES = [{"reply": {"content": "Hello there!", "usage": {"prompt": 1_000_000, "completion": 1_000_000}}}]
NUMBERS = itertools.count()


@pytest.fixture(scope="module")
def emulator(serving: Serving) -> Emulator:
    return serving({"rules": [], "unmatched": "error"})


class World:
    """A namespace with settings of its own, and a clock that a test moves."""

    def __init__(self, emulator: Emulator, http: httpx.Client, rules: Any = RULES, **settings: Any) -> None:
        scenario = {"clock": "manual", "rules": rules, "providers": {"deepseek": settings}}
        self.namespace: NamespaceClient = emulator.namespace(f"day-{next(NUMBERS)}", scenario)
        self.http, self.moment = http, VIRTUAL_START

    def go_to(self, when: str) -> None:
        moment = datetime.fromisoformat(when).replace(tzinfo=UTC).timestamp()
        self.namespace.advance(moment - self.moment)
        self.moment = moment

    def request(self, method: str, path: str, body: Any = None) -> httpx.Response:
        return self.http.request(method, self.namespace.url("deepseek") + path, json=body, headers=KEYS["deepseek"])

    def chat(self, model: str = "deepseek-v4-pro", prompt: Any = "Hi", **members: Any) -> httpx.Response:
        return self.request("POST", "/chat/completions", question("deepseek", prompt, **{"model": model, **members}))

    def cost(self, **members: Any) -> Decimal:
        assert self.chat(**members).status_code == 200
        found: Decimal = self.namespace.journal[-1].cost
        return found


Made = Callable[..., World]


@pytest.fixture
def world(emulator: Emulator, http: httpx.Client) -> Made:
    return lambda rules=RULES, **settings: World(emulator, http, rules, **settings)


# Bills

CACHED = [{"reply": {"content": "Hi", "usage": {"prompt": 1_000_003, "completion": 7, "cached": 1_000_000}}}]
UNCACHED = [{"reply": {"content": "Hi", "usage": {"prompt": 1_000_003, "completion": 7, "cached": 0}}}]
QUIET, BUSY = "2026-11-25T05:59:59", "2026-11-25T06:00:00"  # a Wednesday
BILLS = [
    # 1,000,003 tokens of prompt and 7 of answer; of the prompt nothing or 1,000,000 were cached
    ("deepseek-flash", UNCACHED, QUIET, "0.15000465"),
    ("deepseek-flash", UNCACHED, BUSY, "0.3000093"),
    ("deepseek-flash", CACHED, QUIET, "0.00300465"),
    ("deepseek-flash", CACHED, BUSY, "0.0060093"),
    ("deepseek-v4-flash", CACHED, BUSY, "0.0060093"),
    ("deepseek-v4-pro", UNCACHED, QUIET, "0.66001584"),
    ("deepseek-v4-pro", UNCACHED, BUSY, "1.32003168"),
    ("deepseek-v4-pro", CACHED, QUIET, "0.02201584"),
    ("deepseek-v4-pro", CACHED, BUSY, "0.04403168"),
]


@pytest.mark.parametrize(("model", "rules", "when", "bill"), BILLS)
def test_a_bill_follows_the_clock_exactly(world: Made, model: str, rules: Any, when: str, bill: str) -> None:
    here = world(rules)
    here.go_to(when)
    assert here.cost(model=model) == Decimal(bill)


def test_the_same_question_costs_more_in_peak_hours_also_from_the_cache_of_answers(world: Made) -> None:
    here = world([{"reply": {"content": "Hello there!"}}])
    costs = []
    for when in ("2026-11-25T00:59:59", "2026-11-25T01:00:00", "2026-11-25T03:59:59", "2026-11-25T04:00:00"):
        here.go_to(when)
        costs += [here.cost() for _ in range(4)]
    quiet = costs[0]
    assert costs == [quiet] * 4 + [2 * quiet] * 8 + [quiet] * 4


@pytest.mark.parametrize(
    ("settings", "when", "is_dear"),
    [
        ({}, "2026-11-28T06:30:00", False),  # a Saturday
        ({"peak_days": "every_day"}, "2026-11-28T06:30:00", True),
        ({"peak_days": "never"}, "2026-11-25T06:30:00", False),
        ({"holidays": ["2026-11-25"]}, "2026-11-25T06:30:00", False),
        ({"holidays": ["2026-11-25"]}, "2026-11-26T06:30:00", True),
        ({}, "2026-11-25T09:59:59", True),
        ({}, "2026-11-25T10:00:00", False),
        ({"profile": "2026-07-31"}, "2026-11-25T06:30:00", False),
    ],
)
def test_peak_days_are_those_of_the_settings(world: Made, settings: Json, when: str, is_dear: bool) -> None:
    here = world(**settings)
    here.go_to("2026-11-25T05:00:00")
    quiet = here.cost()
    here.go_to(when)
    assert here.cost() == (2 * quiet if is_dear else quiet)


PRICES = {
    "2026-04-24": ("0.42", "1.305"),
    "2026-04-26": ("0.42", "1.305"),
    "2026-07-24": ("0.42", "1.305"),
    "2026-07-31": ("0.42", "1.305"),
    "2026-08-13": ("0.42", "1.305"),
    "2026-08-16": ("0.88", "2.64"),
    "2026-08-21": ("0.88", "2.64"),
    "2026-09-10": ("0.75", "2.64"),
    "2026-10-17": ("0.75", "2.64"),
    "2026-11": ("0.75", "2.64"),
}
"""What a million tokens in and a million out cost, flash and pro, off-peak."""


@pytest.mark.parametrize("profile", PROFILES)
def test_every_profile_has_its_models_and_prices(world: Made, profile: str) -> None:
    here = world(profile=profile)
    flash, pro = PROFILES[profile].flash.id, "deepseek-v4-pro"
    assert (here.cost(model=flash), here.cost(model=pro)) == tuple(map(Decimal, PRICES[profile]))
    rows = here.request("GET", "/models").json()["data"]
    assert {row["id"] for row in rows} >= {flash, pro}
    assert all(set(row) == {"id", "object", "owned_by"} for row in rows) == (profile < "2026-09-10")


def test_an_account_is_charged_what_the_answer_costs(emulator: Emulator, http: httpx.Client) -> None:
    accounts = [{"key": "sk-demo", "provider": "deepseek", "balance": "1.00"}]
    scenario = {"clock": "manual", "rules": UNCACHED, "accounts": accounts}
    namespace = emulator.namespace(f"day-{next(NUMBERS)}", scenario)
    namespace.advance(datetime(2026, 11, 25, 7, tzinfo=UTC).timestamp() - VIRTUAL_START)
    body = question("deepseek", model="deepseek-flash")
    url = namespace.url("deepseek")
    http.post(f"{url}/chat/completions", json=body, headers=KEYS["deepseek"])
    (row,) = http.get(f"{url}/user/balance", headers=KEYS["deepseek"]).json()["balance_infos"]
    assert row["total_balance"] == "0.70"


# Models


def test_the_list_tells_what_each_model_can_do(world: Made) -> None:
    flash, pro = world().request("GET", "/models").json()["data"]
    shared = {
        "object": "model",
        "owned_by": "deepseek",
        "context_window": 1048576,
        "max_output_tokens": 393216,
        "output_modalities": ["text"],
        "effort": {"supported_levels": ["low", "high", "max"], "default_level": "high"},
        "api_capabilities": {"anthropic_messages": {"system_prompt_update": "in-history"}},
    }
    assert flash == {
        "id": "deepseek-flash", "name": "DeepSeek-V4.1-Flash", "input_modalities": ["text", "image"], **shared,
    }  # fmt: skip
    assert pro == {"id": "deepseek-v4-pro", "name": "DeepSeek-V4-Pro", "input_modalities": ["text"], **shared}


@pytest.mark.parametrize(
    ("settings", "asked", "served"),
    [
        ({}, "deepseek-flash", "deepseek-flash"),
        ({}, "deepseek-v4-flash", "deepseek-flash"),
        ({}, "deepseek-v4-flash-vision-exp", "deepseek-flash"),
        ({"echo_model": "sent"}, "deepseek-v4-flash", "deepseek-v4-flash"),
        ({"profile": "2026-04-26"}, "deepseek-chat", "deepseek-v4-flash"),
        ({"profile": "2026-04-26"}, "deepseek-reasoner", "deepseek-v4-flash"),
        ({"pro_retired": True}, "deepseek-v4-pro", "deepseek-flash"),
        ({"models": None}, "anything", "anything"),
    ],
)
def test_an_alias_is_answered_under_the_name_of_the_model_that_serves_it(
    world: Made, settings: Json, asked: str, served: str
) -> None:
    here = world(**settings)
    assert here.chat(asked).json()["model"] == served
    assert here.namespace.journal[-1].model == asked


@pytest.mark.parametrize(
    ("settings", "model", "names"),
    [
        ({}, "deepseek-chat", "deepseek-flash or deepseek-v4-pro"),
        ({"profile": "2026-07-24"}, "deepseek-chat", "deepseek-v4-flash or deepseek-v4-pro"),
        (
            {"profile": "2026-08-21"},
            "deepseek-flash",
            "deepseek-v4-flash, deepseek-v4-pro, and deepseek-v4-flash-vision-exp",
        ),
        ({"profile": "2026-07-24", "pro_retired": True}, "deepseek-chat", "deepseek-v4-flash or deepseek-v4-pro"),
        ({"models": ["mine"]}, "deepseek-flash", "mine"),
    ],
)
def test_a_model_that_is_not_served_is_refused(world: Made, settings: Json, model: str, names: str) -> None:
    error = world(**settings).chat(model)
    message = f"The supported API model names are {names}, but you passed {model}."
    assert (error.status_code, error.json()["error"]["message"]) == (400, message)


def test_old_names_decide_whether_the_model_thinks(world: Made) -> None:
    here = world(profile="2026-04-26")
    thinks = ["reasoning_content" in here.chat(f"deepseek-{name}").json()["choices"][0]["message"]
              for name in ("chat", "reasoner")]  # fmt: skip
    assert thinks == [False, True]
    assert here.chat("deepseek-chat", max_tokens=393_216).status_code == 200


def test_the_clock_can_choose_the_profile(world: Made) -> None:
    here = world(profile="clock")
    seen = []
    for when in ("2026-04-24", "2026-07-24T15:58", "2026-07-24T16:00", "2026-08-21", "2026-09-10T04:00"):
        here.go_to(when)
        listed = [row["id"] for row in here.request("GET", "/models").json()["data"]]
        seen.append((len(listed), listed[0], here.chat("deepseek-chat").status_code))
    old = "deepseek-v4-flash"
    assert seen == [(2, old, 200), (2, old, 200), (2, old, 400), (3, old, 400), (2, "deepseek-flash", 400)]


def test_resellers_keep_the_time_of_their_documents(world: Made, http: httpx.Client) -> None:
    here = world()
    here.go_to("2026-11-25T06:30:00")
    path = "/v1/ai/one/chat/completions"
    body = question("cloudsway")
    http.post(here.namespace.url("cloudsway") + path, json=body, headers=KEYS["cloudsway"])
    assert here.namespace.journal[-1].cost == Decimal("1.305")


# What came later


def test_responses_open_when_they_did(world: Made) -> None:
    def status(profile: str, model: str) -> int:
        body = {"model": model, "input": "Hi"}
        return world(profile=profile).request("POST", "/responses", body).status_code

    asked = ("2026-07-24", "2026-07-31", "2026-08-13", "2026-11")
    assert [status(profile, "deepseek-v4-pro") for profile in asked] == [404, 400, 200, 200]
    assert [status(profile, "deepseek-v4-flash") for profile in asked] == [404, 200, 200, 200]


def test_the_vision_model_fills_no_gaps(world: Made) -> None:
    body = {"model": "deepseek-v4-flash-vision-exp", "prompt": "a"}
    assert world(profile="2026-08-21").request("POST", "/beta/completions", body).status_code == 400
    assert world().request("POST", "/beta/completions", body).status_code == 200


@pytest.mark.parametrize(
    ("settings", "model", "effort", "is_max"),
    [
        ({}, "deepseek-v4-pro", "xhigh", False),
        ({}, "deepseek-v4-pro", "ultra", True),
        ({"profile": "2026-07-31"}, "deepseek-v4-pro", "xhigh", True),
        ({"profile": "2026-07-31"}, "deepseek-v4-flash", "xhigh", False),
        ({"profile": "2026-08-13"}, "deepseek-v4-pro", "xhigh", False),
        ({"effort": "earlier"}, "deepseek-flash", "xhigh", True),
    ],
)
def test_efforts_mean_what_they_meant(world: Made, settings: Json, model: str, effort: str, is_max: bool) -> None:
    here = world([{"reply": {"content": "Hi"}}], **settings)
    plain = here.chat(model).json()["usage"]["prompt_tokens"]
    asked = here.chat(model, reasoning_effort=effort).json()["usage"]["prompt_tokens"]
    assert (asked > plain) == is_max


@pytest.mark.parametrize(
    ("profile", "model", "effort", "tokens"),
    [
        ("2026-07-24", "deepseek-v4-flash", "high", 6),
        ("2026-07-31", "deepseek-v4-flash", "high", 85),  # as captured on 5 August
        ("2026-07-31", "deepseek-v4-flash", "low", 6),
        ("2026-07-31", "deepseek-v4-pro", "none", 6),
        ("2026-08-13", "deepseek-v4-pro", "high", 85),
        ("2026-11", "deepseek-v4-pro", "max", 85),
        ("2026-11", "deepseek-flash", "high", 32),
        ("2026-11", "deepseek-flash", "none", 6),
    ],
)
def test_thinking_puts_a_text_into_the_prompt(world: Made, profile: str, model: str, effort: str, tokens: int) -> None:
    here = world([{"reply": {"content": "Hi"}}], profile=profile, hidden_prompt=True)
    question = [{"role": "user", "content": "Say hi"}]
    assert here.chat(model, messages=question, reasoning_effort=effort).json()["usage"]["prompt_tokens"] == tokens
    if effort == "high":  # which is the usual one
        assert here.chat(model, messages=question).json()["usage"]["prompt_tokens"] == tokens


def test_without_the_setting_thinking_costs_nothing(world: Made) -> None:
    here = world([{"reply": {"content": "Hi"}}])
    question = [{"role": "user", "content": "Say hi"}]
    for model in ("deepseek-flash", "deepseek-v4-pro"):
        assert here.chat(model, messages=question).json()["usage"]["prompt_tokens"] == 6


def test_the_prompts_of_captured_answers_cost_what_they_did(world: Made) -> None:
    def cost(profile: str, model: str, text: str) -> int:
        here = world([{"reply": {"content": "Hi"}}], profile=profile, hidden_prompt=True)
        answer = here.chat(model, messages=[{"role": "user", "content": text}]).json()
        count: int = answer["usage"]["prompt_tokens"]
        return count

    assert cost("2026-08-21", "deepseek-v4-pro", "从 1 数到 10") == 91
    assert cost("2026-08-21", "deepseek-v4-pro", "用一句话介绍你自己") == 87
    assert cost("2026-09-10", "deepseek-flash", "Reply with exactly: hi") == 35


@pytest.mark.parametrize(
    ("profile", "flash", "pro"),
    [
        ("2026-04-26", "fp_8b330d02d0_prod0820_fp8_kvcache_20260402", "fp_9954b31ca7_prod0820_fp8_kvcache_20260402"),
        ("2026-07-31", "fp_a18b46594c_prod0820_fp8_kvcache_20260402", "fp_9954b31ca7_prod0820_fp8_kvcache_20260402"),
        ("2026-08-16", "a26a7955944dc5c60445bff77fac9c8e", "a307abda487cd1b463329ccb945ce396"),
        ("2026-11", "aeb56401ca74e127821c4f9126dcb669", "a307abda487cd1b463329ccb945ce396"),
    ],
)
def test_each_build_signs_its_answers(world: Made, profile: str, flash: str, pro: str) -> None:
    here = world(profile=profile)
    names = ("deepseek-v4-flash", "deepseek-v4-pro")
    assert [here.chat(name).json()["system_fingerprint"] for name in names] == [flash, pro]


def test_ultra_is_no_effort_before_september(world: Made) -> None:
    assert world(profile="2026-08-21").chat(reasoning_effort="ultra").status_code == 400


def test_unknown_names_at_anthropic_are_flash_until_september(world: Made) -> None:
    body = {"model": "gpt-4", "max_tokens": 9, "messages": [{"role": "user", "content": "Hi"}]}
    old = world(profile="2026-08-21").request("POST", "/anthropic/v1/messages", body)
    assert (old.status_code, old.json()["model"]) == (200, "deepseek-v4-flash")
    assert world().request("POST", "/anthropic/v1/messages", body).status_code == 400


@pytest.mark.parametrize(("concurrency", "model"), [(1, "deepseek-v4-pro"), (1, "deepseek-flash")])
def test_so_many_answers_may_be_open(serving: Serving, http: httpx.Client, concurrency: int, model: str) -> None:
    rules = [{"reply": {"content": "One two three"}, "pace": {"ttft": 0, "tokens_per_second": 0.05}}]
    emulator = serving({"rules": rules, "providers": {"deepseek": {"concurrency": concurrency}}})
    url = emulator.url("deepseek") + "/chat/completions"
    body = question("deepseek", model=model, stream=True)
    with http.stream("POST", url, json=body, headers=KEYS["deepseek"]) as first:
        lines = first.iter_lines()  # kept: whoever drops it closes the stream
        next(lines)
        other_key = {"authorization": "Bearer sk-other"}
        second = http.post(url, json=body, headers=other_key)
        assert second.status_code == 429
        assert second.json()["error"]["message"].startswith(
            "Your current concurrency is 2, which exceeds your concurrency limit of 1"
        )


def test_a_profile_says_how_many_answers_may_be_open(world: Made) -> None:
    here = world(concurrency="profile")
    assert here.chat("deepseek-v4-pro").status_code == 200


# Images

PNG = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + struct.pack(">II", 400, 500)
GIF = b"GIF89a" + struct.pack("<HH", 4000, 3000)
JPEG = b"\xff\xd8\xff\xe0\0\x04ab\xff\xc0\0\x11\x08" + struct.pack(">HH", 600, 700) + b"\x03"
WEBP = b"RIFF\0\0\0\0WEBPVP8X\n\0\0\0\0\0\0\0" + (9).to_bytes(3, "little") + (19).to_bytes(3, "little")


def data_url(data: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(data).decode()


def seen(part: Json) -> list[Json]:
    return [{"type": "text", "text": "Hi"}, part]


def image(url: str, **more: str) -> Json:
    return {"type": "image_url", "image_url": {"url": url, **more}}


@pytest.mark.parametrize(
    ("part", "tokens"),
    [
        (image(data_url(PNG)), 120),
        (image(data_url(GIF)), 384),
        (image(data_url(JPEG)), 252),
        (image(data_url(WEBP)), 88),
        (image(data_url(b"who knows")), 384),
        (image("https://example.test/a.png"), 384),
        (image("https://example.test/a.png", detail="low"), 157),
        ({"type": "file", "file_id": "file-api-1"}, 384),
        ({"type": "file", "file": {"file_data": data_url(PNG), "filename": "a.png"}}, 120),
        ({"type": "file", "file_data": base64.b64encode(PNG).decode()}, 120),
    ],
)
def test_an_image_costs_tokens_by_its_size(world: Made, part: Json, tokens: int) -> None:
    here = world([{"reply": {"content": "I see."}}])
    plain = here.chat("deepseek-flash", [{"type": "text", "text": "Hi"}]).json()["usage"]["prompt_tokens"]
    answer = here.chat("deepseek-flash", seen(part)).json()
    assert (answer["choices"][0]["message"]["content"], answer["usage"]["prompt_tokens"]) == ("I see.", plain + tokens)


@pytest.mark.parametrize(
    ("model", "messages", "message"),
    [
        ("deepseek-v4-pro", [{"role": "user", "content": seen(image("https://a.test"))}],
         "This model does not support image"),
        ("deepseek-flash", [{"role": "system", "content": seen(image("https://a.test"))}],
         "Images are only supported in user messages"),
        ("deepseek-flash", [{"role": "user", "content": seen({"type": "file"})}],
         "file must have file_id or file_data"),
        ("deepseek-flash", [{"role": "user", "content": seen({"type": "file", "file_id": "a", "file_data": "b"})}],
         "file cannot have both file_id and file_data"),
        ("deepseek-flash", [{"role": "user", "content": [image("https://a.test")] * 601}],
         "Too many images: 601, the limit is 600"),
    ],
)  # fmt: skip
def test_images_that_may_not_stand_there_are_refused(world: Made, model: str, messages: Any, message: str) -> None:
    response = world().chat(model, messages=messages)
    assert (response.status_code, response.json()["error"]["message"]) == (400, message)


def test_responses_replace_images_that_the_model_cannot_see(world: Made) -> None:
    content = [{"type": "input_text", "text": "Hi"}, {"type": "input_image", "image_url": "https://a.test"}]
    here = world([{"reply": {"content": "I see."}}])
    counts = []
    for model in ("deepseek-v4-pro", "deepseek-flash"):
        body = {"model": model, "input": [{"role": "user", "content": content}]}
        counts.append(here.request("POST", "/responses", body).json()["usage"]["input_tokens"])
    assert counts[0] < 20 < 384 < counts[1]
