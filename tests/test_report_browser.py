"""The page of a run in a real browser: no errors, the graph moves, a phone shows it all, a keyboard reaches it all."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import pytest

from studyhall import report, rollout
from tests.report_pages import TINY

pytestmark = pytest.mark.slow  # eight seconds of a processor: `.ci/run` runs it all the same

PATIENCE = 240_000  # milliseconds: the machine may be busy


@pytest.fixture(scope="module")
def browser() -> Iterator:
    """A Chromium that is on this machine; nothing is downloaded."""
    pytest.importorskip("plotly", reason="reports need the extra `report`")
    driver = pytest.importorskip("playwright.sync_api", reason="the browser is driven by playwright")
    found = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if found is None:
        pytest.skip("no Chromium here: apt-get install chromium")
    with driver.sync_playwright() as playwright:
        made = playwright.chromium.launch(executable_path=found, args=["--no-sandbox", "--disable-gpu"])
        yield made
        made.close()


@pytest.fixture(scope="module")
def page(browser, tmp_path_factory) -> Iterator:
    """The page of a small class beside another run of it; what it complains of is in ``page.complaints``."""
    file = report(rollout(TINY), rollout(TINY, seeds=1), out=tmp_path_factory.mktemp("page") / "report.html")
    page = browser.new_page(viewport={"width": 1200, "height": 900}, reduced_motion="reduce")
    page.set_default_timeout(PATIENCE)
    page.complaints = []
    page.on("console", lambda said: page.complaints.append(said.text) if said.type != "log" else None)
    page.on("pageerror", lambda fault: page.complaints.append(str(fault)))
    page.on(
        "request", lambda asked: page.complaints.append(asked.url) if asked.url.startswith("http") else None
    )
    page.goto(file.as_uri(), wait_until="commit")
    page.wait_for_selector("html[data-ready]")
    yield page
    assert page.complaints == []
    page.close()


@pytest.fixture(autouse=True)
def _wide(page) -> None:
    page.set_viewport_size({"width": 1200, "height": 900})


def until(page, said: str) -> None:
    """Wait for something that the page's own policy keeps playwright's waiting from asking."""
    for _ in range(PATIENCE // 50):
        if page.evaluate(said):
            return
        page.wait_for_timeout(50)
    pytest.fail(f"in vain waited for {said}")


def edges(page) -> str:
    """The lines of the first graph, as drawn."""
    drawn = page.locator("#listening .graph").first.locator(".scatterlayer path.js-line")
    return "".join(drawn.evaluate_all("lines => lines.map(line => line.getAttribute('d'))"))


def test_the_slider_moves_the_graph_and_play_goes_on_by_itself(page):
    slider = page.locator("#listening input[type=range]").first
    slider.focus()
    page.keyboard.press("Home")
    first, told = edges(page), page.locator("#listening output").first
    assert told.inner_text() == "1 of 6"
    page.keyboard.press("End")
    assert told.inner_text() == "6 of 6"
    assert edges(page) != first
    page.keyboard.press("Home")
    page.keyboard.press("Shift+Tab")  # to the button
    page.keyboard.press("Enter")
    until(page, "() => document.querySelector('#listening output').textContent === '6 of 6'")
    assert page.locator("#listening button").first.inner_text() == "Play"


def test_what_is_chosen_is_drawn(page):
    curves = page.locator("#curves article").first
    curves.locator("select").nth(0).select_option("bytes")
    captions = curves.locator("figcaption").all_inner_texts()
    assert captions[1] == "open: bytes sent of each student"
    curves.locator("select").nth(2).select_option(label="student_1")
    curves.locator("summary").nth(1).click()
    cells = curves.locator("table").first.locator("tr").last.locator("th, td").all_inner_texts()
    assert cells[0] == "6"
    assert [cell.replace(",", "") for cell in cells[1:]] != ["0", "0", "0"]


def test_a_phone_shows_everything_without_scrolling_sideways(page):
    page.set_viewport_size({"width": 390, "height": 844})
    drawn = (
        "() => [...document.querySelectorAll('.main-svg')].every(s => s.getBoundingClientRect().right <= 390)"
    )
    until(page, drawn)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    beyond = """() => [...document.querySelectorAll('main *')].filter(element =>
        element.getBoundingClientRect().right > 391 && !element.closest('.rolls')).map(element => element.outerHTML)"""
    assert page.evaluate(beyond) == []
    told = "main p, main td, main th, main label, main summary, .main-svg text"
    small = """told => [...document.querySelectorAll(told)].filter(element =>
        element.textContent && parseFloat(getComputedStyle(element).fontSize) < 11).map(element => element.outerHTML)"""
    assert page.evaluate(small, told) == []


def test_a_keyboard_reaches_all_that_can_be_set_and_sees_where_it_is(page):
    wanted = page.locator("a, button, select, input, summary, [tabindex='0']").filter(visible=True).count()
    page.evaluate("document.activeElement.blur()")
    page.evaluate("window.scrollTo(0, 0)")
    reached = set()
    outlined = """() => { const e = document.activeElement, all = [...document.querySelectorAll('*')];
        return [all.indexOf(e), e === document.body || getComputedStyle(e).outlineStyle !== 'none']; }"""
    for _ in range(wanted + 2):
        page.keyboard.press("Tab")
        place, seen = page.evaluate(outlined)
        assert seen, place
        reached.add(place)
    assert len(reached) >= wanted
    for control in page.locator("select, input").all():
        assert control.evaluate("element => element.labels.length") == 1
