"""The page at `/__emulator/`, in a real Chromium."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from browser import running_browser
from rawhttp import Connection, request
from talk import KEYS, PATHS, question, single

from emulator import Emulator

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

SIZE: Any = {"width": 1280, "height": 800}
PATIENT = 20_000
"""Milliseconds that a loaded machine may take for anything."""
SCENARIO = {
    "unmatched": "generate",
    "rules": [
        {
            "name": "greeting",
            "match": {"provider": ["serevix"], "prompt": {"contains": "hello"}},
            "reply": {"content": "Good day from the rule, in several tokens.", "reasoning": "A greeting, so I greet."},
            "pace": {"ttft": 0.1, "tokens_per_second": 60},
        },
        {"name": "other", "match": {"model": ["never-asked-for"]}, "reply": {"content": "no"}},
    ],
}
pytestmark = pytest.mark.timeout(180)


@pytest.fixture(scope="module")
def browser() -> Iterator["Browser"]:
    with running_browser() as browser:
        yield browser


@pytest.fixture
def emulator() -> Iterator[Emulator]:
    with Emulator(SCENARIO) as running:
        yield running


@pytest.fixture(scope="module")
def tab(browser: "Browser") -> Iterator["Page"]:
    """Shared, since each starts a process of its own. What is stored in it belongs to the port of an emulator."""
    context = browser.new_context(viewport=SIZE)
    context.set_default_timeout(PATIENT)
    yield context.new_page()
    context.close()


@pytest.fixture
def page(tab: "Page", emulator: Emulator) -> Iterator["Page"]:
    """The page, loaded and live; nothing may go wrong in it, and nothing may come from elsewhere."""
    faults: list[str] = []
    watched: dict[Any, Any] = {
        "pageerror": lambda error: faults.append(str(error)),
        "console": lambda message: faults.append(message.text) if "Content Security" in message.text else None,
        "request": lambda request: None if request.url.startswith(origin(emulator)) else faults.append(request.url),
    }
    tab.goto("about:blank")  # nothing of the test before may still run
    tab.set_viewport_size(SIZE)
    tab.emulate_media(color_scheme="light", reduced_motion="reduce")
    for event, noted in watched.items():
        tab.on(event, noted)
    tab.goto(f"{origin(emulator)}/__emulator/")
    tab.wait_for_selector("#live.live.live:has-text('live')")
    yield tab
    for event, noted in watched.items():
        tab.remove_listener(event, noted)
    assert faults == []


def origin(emulator: Emulator) -> str:
    return f"http://127.0.0.1:{httpx.URL(emulator.url('serevix')).port}"


def ask(emulator: Emulator, prompt: str, provider: str = "serevix", **members: Any) -> httpx.Response:
    url = emulator.url(provider) + PATHS[provider]
    return single.post(url, json=question(provider, prompt, **members), headers=KEYS[provider], timeout=30)


def open_exchange(page: "Page", number: int) -> None:
    page.click(f"#row-{number}")
    page.wait_for_selector(f".detail[aria-label='Exchange {number}'] .tiles")


def test_page_is_served_with_its_own_policy_and_nothing_from_elsewhere(emulator: Emulator) -> None:
    answer = single.get(f"{origin(emulator)}/__emulator/")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert answer.headers["content-security-policy"].startswith("default-src 'self';")
    assert re.findall(r"https?://", answer.text) == []


def test_address_without_its_slash_leads_to_the_page(emulator: Emulator) -> None:
    answer = single.get(f"{origin(emulator)}/@team/__emulator?x=1", follow_redirects=True)
    assert (str(answer.url), answer.status_code) == (f"{origin(emulator)}/@team/__emulator/?x=1", 200)


@pytest.mark.parametrize(
    "path", ["assets/../__init__.py", "assets/%2e%2e/__init__.py", "assets/js/../../__init__.py", "assets/js/"]
)
def test_only_files_of_the_page_are_served(emulator: Emulator, path: str) -> None:
    with httpx.Client(verify=False) as client:
        request = client.build_request("GET", origin(emulator))
        request.url = request.url.copy_with(raw_path=f"/__emulator/{path}".encode())
        assert client.send(request).status_code == 404


def test_front_page_links_to_the_page_for_browsers_and_stays_json_for_programs(emulator: Emulator) -> None:
    html = single.get(origin(emulator), headers={"accept": "text/html,*/*"})
    assert 'href="/__emulator/"' in html.text
    assert set(single.get(origin(emulator)).json()["providers"]) >= {"serevix", "deepseek"}


def test_page_of_a_server_with_a_token_keeps_it_out_of_the_address(browser: "Browser", emulator: Emulator) -> None:
    context = browser.new_context()
    page = context.new_page()
    page.goto(f"{origin(emulator)}/__emulator/?token=abc&namespace=team")
    page.wait_for_selector("#live:has-text('live')", timeout=PATIENT)
    assert page.url == f"{origin(emulator)}/__emulator/?namespace=team"
    assert page.evaluate("sessionStorage.getItem('emulator-token')") == "abc"
    assert page.input_value("#namespace") == "team"
    context.close()


def test_exchange_appears_in_the_list_as_it_happens(page: "Page", emulator: Emulator) -> None:
    assert page.locator(".row").count() == 0
    ask(emulator, "hello there")
    page.wait_for_selector(".row .status:text-is('200')")  # the row is there as soon as the request is
    row = page.locator(".row")
    assert "rule greeting · hello there" in row.inner_text()


def test_filter_keeps_what_fits(page: "Page", emulator: Emulator) -> None:
    ask(emulator, "hello")
    ask(emulator, "hello", "deepseek", model="no-such-model")
    page.wait_for_selector("#row-2")
    page.fill("#filter", "status:4xx")
    page.wait_for_selector("#row-1", state="detached")
    assert page.locator(".row").evaluate_all("rows => rows.map(row => row.dataset.number)") == ["2"]
    page.fill("#filter", "-provider:deepseek")
    page.wait_for_selector("#row-2", state="detached")
    assert page.locator(".row").evaluate_all("rows => rows.map(row => row.dataset.number)") == ["1"]
    ask(emulator, "good evening")
    page.fill("#filter", "evening")
    page.wait_for_selector("#row-3")
    assert page.locator(".row").evaluate_all("rows => rows.map(row => row.dataset.number)") == ["3"]


def test_opened_exchange_shows_answer_reasons_bytes_and_timeline(page: "Page", emulator: Emulator) -> None:
    ask(emulator, "hello", stream=True)
    page.wait_for_selector("#row-1")
    open_exchange(page, 1)
    page.wait_for_selector(".timeline svg")
    details = single.get(f"{origin(emulator)}/__emulator/journal/1").json()
    sent = [frame for frame in details["frames"] if frame["sent"] is not None]
    assert page.locator(".timeline .tick.hollow").count() == len(details["frames"])
    assert page.locator(".timeline .tick:not(.hollow)").count() == len(sent)
    assert page.locator(".ttft text").inner_html().startswith("TTFT ")
    assert page.locator(".bubble.answer p").inner_text() == "Good day from the rule, in several tokens."
    assert page.locator(".bubble.thought p").inner_text() == "A greeting, so I greet."
    assert "✓ matched greeting" in page.locator(".rule.hit summary").inner_text()
    assert page.locator(".rule.hit .holds").count() == 2
    page.click("#tab-raw")
    shown = page.locator(".frames pre").all_inner_texts()
    assert "".join(shown).replace("↵\n", "\n").replace("↵", "\n") == details["response"]["text"]


def test_missed_condition_is_marked_with_its_reason(page: "Page", emulator: Emulator) -> None:
    ask(emulator, "good evening")
    page.wait_for_selector("#row-1")
    open_exchange(page, 1)
    page.wait_for_selector(".fails")
    assert page.locator(".rule.hit").count() == 0
    assert page.locator(".fails .mark").first.inner_text() == "✗"


def test_fault_is_armed_acts_and_is_marked_in_the_timeline(page: "Page", emulator: Emulator) -> None:
    page.goto(f"{origin(emulator)}/__emulator/#/faults")
    page.click(".fault-card[data-kind=stall]")
    page.get_by_label("after_tokens").fill("3")
    page.locator(".fault-form input[name=seconds]").fill("0.6")
    page.click("#arm-once")
    page.wait_for_selector(".armed-row[data-fault=stall]")
    ask(emulator, "hello", stream=True)
    page.wait_for_selector(".armed-row[data-fault=stall]", state="detached")
    page.goto(f"{origin(emulator)}/__emulator/#/exchanges/1")
    page.wait_for_selector(".fault-mark")
    assert page.locator(".fault-mark text").inner_html() == "⚡ stall"
    assert single.get(f"{origin(emulator)}/__emulator/journal/1").json()["applied"][0].startswith("stall")


def test_fault_is_armed_for_a_window_of_time(page: "Page", emulator: Emulator) -> None:
    page.goto(f"{origin(emulator)}/__emulator/#/faults")
    page.click("[data-kind='latency']")
    page.fill("input[name='seconds']", "2")
    page.fill("input[name='window.after']", "30")
    page.fill("input[name='window.for']", "60")
    page.click("#arm")
    page.wait_for_selector(".armed-row:has-text('window')")
    (row,) = single.get(f"{origin(emulator)}/__emulator/faults").json()["faults"]
    assert row["fault"] == {"kind": "latency", "seconds": 2.0, "window": {"after": 30.0, "for": 60.0}}


def test_armed_fault_can_be_removed(page: "Page", emulator: Emulator) -> None:
    page.goto(f"{origin(emulator)}/__emulator/#/faults")
    page.click(".fault-card[data-kind=error]")
    page.locator(".fault-form input[name=status]").fill("503")
    page.click("#arm")
    page.click("button[aria-label='Remove error']")
    page.wait_for_selector(".armed-row", state="detached")
    assert ask(emulator, "hello").status_code == 200


def test_wrong_parameter_of_a_fault_is_explained(page: "Page", emulator: Emulator) -> None:
    page.goto(f"{origin(emulator)}/__emulator/#/faults")
    page.click(".fault-card[data-kind=stall]")
    page.get_by_label("after_tokens").fill("soon")
    page.click("#arm")
    assert "after_tokens" in page.locator(".toast.bad").inner_text()
    assert page.locator(".armed-row").count() == 0


def test_every_fault_of_the_server_can_be_chosen(page: "Page", emulator: Emulator) -> None:
    from emulator.faults import FAULTS

    page.goto(f"{origin(emulator)}/__emulator/#/faults")
    page.wait_for_selector(".fault-card")
    kinds = page.locator(".fault-card").evaluate_all("cards => cards.map(card => card.dataset.kind)")
    assert sorted(kinds) == sorted(FAULTS)


def test_prompt_that_is_tried_streams_reasoning_and_answer(page: "Page", emulator: Emulator) -> None:
    page.goto(f"{origin(emulator)}/__emulator/#/try")
    page.select_option("#try-provider", "serevix")
    page.fill("#try-prompt", "hello from the page")
    page.click("#try-send")
    page.wait_for_selector(".try-status:has-text('done after')")
    assert page.inner_text("#try-answer") == "Good day from the rule, in several tokens."
    assert page.inner_text(".output .thought p") == "A greeting, so I greet."
    assert page.inner_text(".code-card pre").startswith(f"curl -N '{origin(emulator)}/serevix/v1/chat/completions'")
    page.click("text=Python")
    assert f'OpenAI(base_url="{origin(emulator)}/serevix/v1"' in page.inner_text(".code-card pre")


def operations() -> list[tuple[str, int]]:
    from emulator.providers import PROVIDERS

    return [
        (name, index)
        for name, vendor in PROVIDERS.items()
        for index, each in enumerate(vendor.operations)
        if each.is_completion
    ]


def test_every_operation_answers_what_the_page_composes_for_it(page: "Page", emulator: Emulator) -> None:
    single.put(f"{origin(emulator)}/__emulator/speed", json={"speed": 1000}).raise_for_status()
    page.goto(f"{origin(emulator)}/__emulator/#/try")
    answers = {}
    for provider, index in operations():
        page.select_option("#try-provider", provider)
        page.select_option("#try-operation", str(index))
        page.fill("#try-prompt", "Name a color")
        page.click("#try-send")
        page.wait_for_selector(".try-status:has-text('done after')")
        status = page.inner_text(".try-status")[:3]
        answers[provider, index] = (status, bool(page.inner_text("#try-answer")))
    assert answers == dict.fromkeys(operations(), ("200", True))


def test_exchange_that_is_saved_as_a_rule_answers_from_then_on(page: "Page", emulator: Emulator) -> None:
    said = ask(emulator, "tell me about bees").json()["choices"][0]["message"]["content"]
    page.wait_for_selector("#row-1")
    open_exchange(page, 1)
    page.click("text=Save as rule")
    text = page.input_value("#rule-text")
    page.fill("#rule-text", text.replace('"content": "', '"content": "SAVED '))
    page.click("#rule-save")
    page.wait_for_selector("dialog", state="detached")
    again = ask(emulator, "tell me about bees")
    assert again.json()["choices"][0]["message"]["content"] == f"SAVED {said}"
    page.wait_for_selector("#row-2:has-text('rule saved-1')")


def test_rule_that_is_wrong_is_refused_with_the_reason(page: "Page", emulator: Emulator) -> None:
    ask(emulator, "tell me about bees")
    page.wait_for_selector("#row-1")
    open_exchange(page, 1)
    page.click("text=Save as rule")
    page.fill("#rule-text", '{"name": "x", "repl": {"content": "y"}}')
    page.click("#rule-save")
    assert "reply" in page.locator("dialog .problems p").first.inner_text()


def test_exchange_is_edited_and_sent_again(page: "Page", emulator: Emulator) -> None:
    ask(emulator, "good evening", stream=True)
    page.wait_for_selector("#row-1")
    open_exchange(page, 1)
    page.click("text=Edit & resend")
    body = page.locator("#try-body")
    body.fill(body.input_value().replace("good evening", "hello again"))
    page.click("#try-send")
    page.wait_for_selector(".try-status:has-text('done after')")
    assert page.inner_text("#try-answer") == "Good day from the rule, in several tokens."
    assert single.get(f"{origin(emulator)}/__emulator/journal/2").json()["rule"] == "greeting"


def test_exports_of_one_exchange_hold_that_exchange_alone(page: "Page", emulator: Emulator) -> None:
    for _ in range(3):
        ask(emulator, "hello")
    page.wait_for_selector("#row-3")
    open_exchange(page, 2)
    with page.expect_download() as saved:
        page.click("text=HAR")
    har = Path(saved.value.path()).read_text(encoding="utf-8")
    assert har.count('"startedDateTime"') == 1
    assert saved.value.suggested_filename == "exchange-2.har"


def test_scenario_with_a_mistake_shows_the_place_and_a_good_one_applies(page: "Page", emulator: Emulator) -> None:
    page.goto(f"{origin(emulator)}/__emulator/#/scenario")
    page.wait_for_selector(".rule-row:has-text('greeting')")
    page.select_option("[aria-label=Format]", "yaml")
    page.fill("#scenario-text", "version: 1\nrules:\n  - nam: x\n    reply: {content: hi}\n")
    page.click("#scenario-apply")
    assert "3:5" in page.locator(".problem").first.inner_text()
    assert page.inner_text(".gutter .at-fault").strip() == "3"
    page.fill("#scenario-text", "version: 1\nrules:\n  - name: x\n    reply: {content: from the page}\n")
    page.click("#scenario-apply")
    page.wait_for_selector(".rule-row:has-text('every request')")
    assert ask(emulator, "hello").json()["choices"][0]["message"]["content"] == "from the page"


def test_scenario_that_is_being_edited_stays_and_yaml_needs_no_choice(page: "Page", emulator: Emulator) -> None:
    page.goto(f"{origin(emulator)}/__emulator/#/scenario")
    page.wait_for_selector(".rule-row:has-text('greeting')")
    page.fill("#scenario-text", "version: 1\nrules:\n  - name: x\n    reply: {content: from the draft}\n")
    page.click("#nav a[data-view=faults]")
    page.wait_for_selector(".fault-card")
    page.click("#nav a[data-view=scenario]")
    page.wait_for_selector("#scenario-text")
    page.wait_for_function("document.querySelector('#scenario-text').value.includes('from the draft')")
    page.click("#scenario-apply")
    page.wait_for_selector(".rule-row:has-text('every request')")
    assert page.input_value("[aria-label=Format]") == "yaml"
    assert ask(emulator, "hello").json()["choices"][0]["message"]["content"] == "from the draft"


def test_why_something_was_not_done_stays_in_its_card(page: "Page", emulator: Emulator) -> None:
    page.goto(f"{origin(emulator)}/__emulator/#/control")
    page.fill("#account-key", "sk-poor")
    page.fill("#account-balance", "much")
    page.click("text=Set balance")
    note = page.locator(".card:has(#account-key) .why-not")
    note.wait_for()
    assert "balance" in note.inner_text()
    page.fill("#account-balance", "1.50")
    page.click("text=Set balance")
    page.wait_for_selector("td:has-text('$1.50')")
    note.wait_for(state="detached")


def test_accounts_clock_and_reset_work_from_the_page(page: "Page", emulator: Emulator) -> None:
    page.goto(f"{origin(emulator)}/__emulator/#/control")
    page.select_option("#account-provider", "serevix")
    page.fill("#account-key", "sk-poor")
    page.fill("#account-balance", "1.50")
    page.click("text=Set balance")
    page.wait_for_selector("td:has-text('$1.50')")
    page.click("text=+ $1")
    page.wait_for_selector("td:has-text('$2.50')")
    page.click("text=manual")
    page.wait_for_selector("text=Advance seconds")
    before = single.get(f"{origin(emulator)}/__emulator/clock").json()
    page.get_by_label("Seconds to advance").fill("90")
    with page.expect_response(lambda response: response.url.endswith("clock?namespace=default")):
        page.click("text=Advance seconds")
    after = single.get(f"{origin(emulator)}/__emulator/clock").json()
    assert (before["mode"], round(after["now"] - before["now"])) == ("manual", 90)


HOSTILE = '<img src=x onerror="window.hit=1"><script>window.hit=1</script> hello {{ 7 * 7 }} ${7*7} \u202e\u0000 &lt;'


def test_what_a_client_sent_is_shown_as_text_only(page: "Page", emulator: Emulator) -> None:
    ask(emulator, HOSTILE, user="<b>user</b>")
    ask(emulator, HOSTILE, model="<img src=x onerror='window.hit=1'>")
    single.post(
        f"{origin(emulator)}/<svg onload=window.hit=1>",
        json={"a": "<b>"},
        headers={"x-hostile": "<script>window.hit=1</script>"},
    )
    page.wait_for_selector("#row-3")
    for number in (1, 2, 3):
        open_exchange(page, number)
        for tab in ("request", "response", "raw", "overview"):
            page.click(f"#tab-{tab}")
    open_exchange(page, 1)
    assert HOSTILE.replace("\0", "") in page.inner_text(".bubble.user p").replace("\0", "").replace("\ufffd", "")
    for view in ("waterfall", "scenario", "try"):
        page.goto(f"{origin(emulator)}/__emulator/#/{view}")
        page.wait_for_selector("main h1")
    assert page.evaluate("window.hit") is None
    assert page.locator("main img, main script, main b:has-text('user')").count() == 0


def test_no_secret_reaches_the_page(page: "Page", emulator: Emulator) -> None:
    secrets = [f"sk-canary-{place}-abcdef" for place in ("key", "query", "prompt", "reply")]
    key, query, prompt, reply = secrets
    rule = {"match": {"prompt": {"contains": "canary"}}, "reply": {"content": f"It is {' '.join(['so', reply])}."}}
    single.post(f"{origin(emulator)}/__emulator/rules", json=rule).raise_for_status()
    url = f"{emulator.url('serevix')}{PATHS['serevix']}?api_key={query}"
    body = question("serevix", f"Remember {prompt}", stream=True)
    single.post(url, json=body, headers={"authorization": f"Bearer {key}"}, timeout=30)
    seen = ""
    open_exchange(page, 1)
    for tab in ("Overview", "Request", "Response", "Raw bytes"):
        page.click(f".tabs :text-is('{tab}')")
        seen += page.content()
    assert "Remember" in seen
    assert [secret for secret in secrets if secret in seen] == []


def test_a_thousand_exchanges_keep_few_elements_and_the_newest_in_sight(page: "Page", emulator: Emulator) -> None:
    with Connection(httpx.URL(origin(emulator)).port or 0) as connection:
        for start in range(0, 1000, 50):
            asked = [request(f"/nowhere/{start + each}", b"{}") for each in range(50)]
            connection.send(b"".join(asked))
            assert [connection.response().status for _ in range(50)] == [404] * 50
    page.wait_for_selector("#row-1000", timeout=60_000)
    assert page.locator(".count").inner_text() == "1,000"
    assert page.locator(".row").count() < 40
    elapsed = page.evaluate("""async () => {
        const box = document.querySelector('.scroller'), start = performance.now();
        for (let step = 0; step < 30; step++) {
            box.scrollTop += 2000;
            await new Promise(requestAnimationFrame);
        }
        return performance.now() - start;
    }""")
    page.locator(".scroller").evaluate("box => { box.scrollTop = box.scrollHeight; }")
    page.wait_for_selector("#row-1")
    assert elapsed < 5000


def test_waterfall_shows_exchanges_beside_each_other(page: "Page", emulator: Emulator) -> None:
    ask(emulator, "hello", stream=True)
    ask(emulator, "hello", "deepseek")
    page.goto(f"{origin(emulator)}/__emulator/#/waterfall")
    page.wait_for_selector(".wf-row >> nth=1")
    names = page.locator(".wf-name").all_text_contents()
    assert [name.split(" · ")[0] for name in names] == ["#1 serevix", "#2 deepseek"]


def test_keys_move_open_filter_and_go_back(page: "Page", emulator: Emulator) -> None:
    ask(emulator, "hello")
    ask(emulator, "hello")
    page.wait_for_selector("#row-2")
    page.keyboard.press("j")
    page.wait_for_selector("#row-2[aria-selected=true]")
    page.keyboard.press("j")
    page.wait_for_selector("#row-1[aria-selected=true]")
    page.keyboard.press("k")
    page.wait_for_selector("#row-2[aria-selected=true]")
    page.keyboard.press("/")
    assert page.evaluate("document.activeElement.id") == "filter"
    page.keyboard.press("Escape")
    page.keyboard.press("Escape")
    page.wait_for_selector(".side-empty")
    page.keyboard.press("g")
    page.keyboard.press("f")
    page.wait_for_selector(".fault-card")


def test_nothing_moves_for_whoever_prefers_that(page: "Page", emulator: Emulator) -> None:
    ask(emulator, "hello there")
    page.wait_for_selector("#row-1:not(.open)")  # an open one breathes
    moving = "document.getAnimations().map(each => each.animationName)"
    assert page.evaluate(moving) == []
    page.emulate_media(reduced_motion="no-preference")
    assert page.evaluate(moving) == ["pulse"]


def test_dark_mode_follows_the_system_and_the_button(page: "Page", emulator: Emulator) -> None:
    theme = "document.documentElement.dataset.theme"
    assert page.evaluate(theme) == "light"
    page.emulate_media(color_scheme="dark")
    page.wait_for_selector("html[data-theme=dark]")
    page.click("#theme")
    assert page.evaluate(theme) == "light"
    page.reload()
    assert page.evaluate(theme) == "light"


OUTSIDE = """() => [...document.querySelectorAll("main :is(button, input, select, textarea)")].filter((each) => {
  const box = each.getBoundingClientRect();
  return box.width && !each.closest(".tabs") && (box.right > innerWidth || box.left < 0);
}).map((each) => each.outerHTML)"""
VIOLATIONS = """async () => {
  const { violations } = await axe.run({ resultTypes: ["violations"] });
  return violations.filter((each) => ["serious", "critical"].includes(each.impact))
    .map((each) => [each.id, each.nodes[0].html]);
}"""
VIEWS = ("", "exchanges/1", "waterfall", "try", "faults", "scenario", "verdict", "control")


@pytest.mark.parametrize(
    ("width", "scheme"),
    [
        (1280, "light"),
        (390, "dark"),
        pytest.param(1280, "dark", marks=pytest.mark.soak),
        pytest.param(390, "light", marks=pytest.mark.soak),
    ],
)
def test_no_view_has_a_serious_violation_or_is_wider_than_the_screen(
    page: "Page", emulator: Emulator, width: int, scheme: Any
) -> None:
    from axe_playwright_python.sync_playwright import Axe

    page.evaluate(Axe().axe_script)
    ask(emulator, "hello", stream=True)
    ask(emulator, "good evening")
    ask(emulator, "hello", "deepseek", model="no-such-model")
    page.set_viewport_size({"width": width, "height": 800})
    page.emulate_media(color_scheme=scheme)
    found = []
    for view in VIEWS:
        page.goto(f"{origin(emulator)}/__emulator/#/{view}")
        page.wait_for_selector({"": ".row", "exchanges/1": ".timeline svg"}.get(view, "main h1"))
        found += [(view, *each) for each in page.evaluate(VIOLATIONS)]
        assert page.evaluate("document.documentElement.scrollWidth") <= width, view
        assert page.evaluate(OUTSIDE) == [], view
    assert found == []


def test_speed_is_changed_from_the_page_for_answers_that_were_kept_too(page: "Page", emulator: Emulator) -> None:
    def planned() -> float:
        ask(emulator, "hello", stream=True)
        frames = single.get(f"{origin(emulator)}/__emulator/journal?limit=1").json()["exchanges"]
        number = frames[0]["number"]
        found = single.get(f"{origin(emulator)}/__emulator/journal/{number}").json()["frames"]
        return round(float(found[0]["planned"]), 3)

    page.goto(f"{origin(emulator)}/__emulator/#/control")
    moments = [planned()]
    for name in ("at once", "½×", "1×"):
        page.click(f".segmented button:text-is('{name}')")
        page.wait_for_selector(f".segmented button[aria-pressed=true]:text-is('{name}')")
        moments.append(planned())
    assert moments == [0.1, 0.0, 0.2, 0.1]
