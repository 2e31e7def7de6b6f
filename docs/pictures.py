"""Takes the pictures of the page in docs/images: `python docs/pictures.py`, with Chromium and Playwright installed."""

import shutil
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx

from emulator import Emulator, tokens
from emulator.providers import PROVIDERS

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

IMAGES = Path(__file__).parent / "images"
WIDE, NARROW = (1280, 800), (390, 844)
SCENARIO: dict[str, Any] = {
    "rules": [
        {
            "name": "weather",
            "match": {"prompt": {"contains": "weather"}},
            "reply": {
                "content": "It is sunny in Lisbon today, 24 degrees, with a light wind from the north-west.",
                "reasoning": "They ask about the weather in Lisbon.",
            },
        },
        {"name": "busy", "match": {"prompt": {"contains": "busy"}}, "error": "overloaded"},
    ],
    "defaults": {"pace": {"ttft": 0.3, "tokens_per_second": 30}},
}
STALLED = 7
"""The number of the exchange that the pictures open."""


def ask(emulator: Emulator, provider: str, prompt: str, *, fault: str = "", **members: Any) -> None:
    """Sends one request, as a client that does not give up."""
    vendor = PROVIDERS[provider]
    path, example = vendor.example
    name, _, key = vendor.auth_header.partition(": ")
    headers = {name: key, **vendor.example_headers, **({"x-emulator-fault": fault} if fault else {})}
    body = {**{key: value for key, value in example.items() if key in ("model", "max_tokens")}, **members}
    if provider == "gemini":
        path, body = path.replace("generateContent", "streamGenerateContent?alt=sse"), {}
        body["contents"] = [{"role": "user", "parts": [{"text": prompt}]}]
    else:
        body["messages"] = [{"role": "user", "content": prompt}]
    with suppress(httpx.TransportError):
        httpx.post(emulator.url(provider) + path, json=body, headers=headers, timeout=60)


def play(emulator: Emulator) -> None:
    """Sends the requests that the pictures show."""
    calls: list[Callable[[], None]] = [
        lambda: ask(emulator, "serevix", "How is the weather in Lisbon?", stream=True),
        lambda: ask(
            emulator, "deepseek", "Explain recursion in two short paragraphs.", stream=True, model="deepseek-v4-pro"
        ),
        lambda: ask(emulator, "anthropic", "Name three uses of a hash table.", stream=True),
        lambda: ask(emulator, "openai", "Write a haiku about queues.", stream=True, model="gpt-4o"),
    ]
    threads = [threading.Thread(target=call) for call in calls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    ask(emulator, "serevix", "Are you busy?")
    ask(emulator, "deepseek", "Hello", model="deepseek-v9")
    ask(emulator, "serevix", "And the weather in Porto?", fault="stall:after_tokens=4,seconds=1.5", stream=True)
    ask(emulator, "serevix", "And the weather in Faro?", fault="reset:after_tokens=6", stream=True)
    ask(emulator, "deepseek", "Hello", model="deepseek-v9")
    ask(emulator, "gemini", "What is a monad?")
    httpx.put(f"{emulator.origin}/__emulator/accounts/deepseek/sk-demo", json={"balance": "1.50"}).raise_for_status()
    httpx.get(f"{emulator.origin}/nowhere/v1/models")


def opened(browser: "Browser", emulator: Emulator, size: tuple[int, int], scheme: Any) -> "Page":
    width, height = size
    context = browser.new_context(
        viewport={"width": width, "height": height}, color_scheme=scheme, reduced_motion="reduce"
    )
    page = context.new_page()
    page.goto(f"{emulator.origin}/__emulator/")
    page.wait_for_selector("#live.live.live:has-text('live')")
    return page


def see(page: "Page", view: str, ready: str) -> None:
    page.goto(page.url.partition("#")[0] + f"#/{view}")
    page.wait_for_selector(ready)
    page.wait_for_timeout(300)


def take(page: "Page", name: str) -> None:
    page.screenshot(path=IMAGES / f"page-{name}.png")
    sys.stdout.write(f"page-{name}.png\n")


def take_all(browser: "Browser", emulator: Emulator) -> None:
    for name, size in (("1280", WIDE), ("390", NARROW)):
        for scheme in ("light", "dark"):
            page = opened(browser, emulator, size, scheme)
            see(page, f"exchanges/{STALLED}", ".timeline svg")
            take(page, f"{name}-{scheme}")
            page.context.close()
    page = opened(browser, emulator, NARROW, "light")
    see(page, "", ".row")
    take(page, "390-list")
    page.context.close()
    page = opened(browser, emulator, WIDE, "light")
    see(page, "verdict", ".verdict-cards .card")
    take(page, "verdict")
    see(page, "waterfall", ".wf-row")
    take(page, "waterfall")
    see(page, "control", "text=Set balance")
    take(page, "control")
    httpx.post(f"{emulator.origin}/__emulator/faults", json={"fault": "latency:seconds=2", "times": 3})
    see(page, "faults", ".armed-row")
    page.get_by_label("Search faults").fill("silence")
    page.click(".fault-card[data-kind=stall]")
    take(page, "faults")
    httpx.delete(f"{emulator.origin}/__emulator/faults")
    see(page, "try", "#try-send")
    page.select_option("#try-provider", "serevix")
    page.fill("#try-prompt", "What will the weather be like tomorrow?")
    page.click("#try-send")
    page.wait_for_selector("#try-answer:has-text('24 degrees')")
    take(page, "try")


def main() -> None:
    from playwright.sync_api import sync_playwright

    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        sys.exit("Chromium is not installed.")
    tokens.count("what takes its time the first time")
    with Emulator(SCENARIO, unmatched="generate") as warm:
        play(warm)
    with Emulator(SCENARIO, unmatched="generate") as emulator, sync_playwright() as playwright:
        play(emulator)
        browser = playwright.chromium.launch(
            executable_path=chromium, args=["--headless", "--no-sandbox", "--disable-gpu"]
        )
        take_all(browser, emulator)
        browser.close()


if __name__ == "__main__":
    main()
