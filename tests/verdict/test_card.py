"""The findings on the page, in a real Chromium."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest
from browser import running_browser
from little_client import Client

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytest_plugins = ["judging"]
pytestmark = pytest.mark.timeout(180)


@pytest.fixture
def page(client: Client) -> Iterator["Page"]:
    """The page with the findings of one namespace; nothing may go wrong in it."""
    with running_browser() as browser:
        page = browser.new_page(viewport={"width": 1280, "height": 800}, reduced_motion="reduce")
        page.set_default_timeout(20_000)
        errors: list[str] = []
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto(f"{client.namespace.origin}/__emulator/")
        page.click("#nav a[data-view='verdict']")
        yield page
        assert errors == []


def test_findings_are_cards_that_lead_to_their_exchanges(page: "Page", client: Client) -> None:
    page.get_by_text("No findings about the client so far.").wait_for()
    client.namespace.faults.next("error:status=402")
    client.post()
    client.post()
    page.get_by_text("retried_non_retryable").wait_for()
    card = page.locator(".verdict-cards .card")
    page.get_by_text("1 MUST", exact=True).wait_for()
    assert card.count() == 1
    card.get_by_role("link", name="#2").click()
    page.wait_for_selector(".detail")
    assert page.url.endswith("#/exchanges/2")
