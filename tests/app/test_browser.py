"""The dashboard in a real Chromium: every page opens, says what failed, and moves by itself."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, ViewportSize, expect

from settings import load_workspace
from store.engine import connect
from tests.app.browser import PATIENCE_SECONDS, chromium, complaints, launched, served, settle
from tests.app.story import MARKUP, REASON, SUITES, N, Skill, Story, answers, derive
from tests.conftest import Demo
from tests.logs import complete, questions, record
from views.pages.contents import SECTIONS

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(
        chromium() is None and os.environ.get("CI") != "true",
        reason="Chromium is missing: apt-get install chromium",
    ),
]
TITLES = [page.title for pages in SECTIONS.values() for page in pages]
PATHS = [page.path for pages in SECTIONS.values() for page in pages]
DESK: ViewportSize = {"width": 1280, "height": 900}
PHONE: ViewportSize = {"width": 390, "height": 844}
PATIENCE = 1000 * PATIENCE_SECONDS
CHART = '[data-testid="stVegaLiteChart"] svg'


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with launched() as browser:
        yield browser


@pytest.fixture(scope="module")
def desk(browser: Browser) -> Iterator[BrowserContext]:
    with browser.new_context(viewport=DESK) as context:
        yield context


@pytest.fixture(scope="module")
def phone(browser: Browser) -> Iterator[BrowserContext]:
    with browser.new_context(viewport=PHONE) as context:
        yield context


@pytest.fixture(scope="module")
def address(told: Story, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    log = tmp_path_factory.mktemp("dashboard") / "log"
    with served(told.workspace, log) as address:
        yield address
    said = log.read_text()
    assert not re.search("warning|deprecated|traceback", said, re.IGNORECASE), said


def opened(context: BrowserContext, address: str, path: str = "") -> Page:
    page = context.new_page()
    page.set_default_timeout(PATIENCE)
    page.goto(f"{address}/{path}")
    settle(page)
    return page


def visit_every_page(context: BrowserContext, address: str) -> None:
    """Opens each page from the navigation; none may lack its title or chart, or complain."""
    page = context.new_page()
    page.set_default_timeout(PATIENCE)
    errors = complaints(page)
    page.goto(address)
    for title in TITLES:
        page.get_by_test_id("stSidebarNav").get_by_role("link", name=title, exact=True).click()
        expect(page.get_by_role("heading", level=1)).to_have_text(title, timeout=PATIENCE)
        settle(page)
        expect(page.locator(CHART).first).to_be_visible(timeout=PATIENCE)
        assert page.locator(f"{CHART} .role-mark path").count() > 0, title
        expect(page.get_by_test_id("stException")).to_have_count(0)
        assert page.title() == f"{title} · Milepost"
    page.close()
    assert errors == []


def test_every_page_opens_with_its_title_and_a_chart(desk: BrowserContext, address: str) -> None:
    visit_every_page(desk, address)


@pytest.mark.demo
@pytest.mark.timeout(900)
def test_every_page_opens_on_the_demos_database(
    desk: BrowserContext, demo: Demo, tmp_path: Path
) -> None:
    with served(demo.workspace, tmp_path / "dashboard.log") as address:
        visit_every_page(desk, address)
        page = opened(desk, address, "regression")
        expect(page.get_by_text("REGRESSED").first).to_be_visible()
        page.close()


@pytest.mark.parametrize("path", PATHS)
def test_every_page_fits_a_phone(phone: BrowserContext, address: str, path: str) -> None:
    page = opened(phone, address, "" if path == "overview" else path)
    expect(page.locator(CHART).first).to_be_visible(timeout=PATIENCE)
    widest = page.evaluate("document.querySelector('[data-testid=stMain]').scrollWidth")
    assert widest <= PHONE["width"]
    page.close()


def test_a_failed_evaluation_is_shown_with_its_reason(desk: BrowserContext, address: str) -> None:
    page = opened(desk, address, "results")
    expect(page.get_by_text("FAILED", exact=True).first).to_be_visible()
    expect(page.get_by_text(f"NothingScored: {REASON}").first).to_be_visible()
    page.close()


def test_the_address_remembers_the_run_and_the_step(desk: BrowserContext, address: str) -> None:
    page = opened(desk, address, "checkpoints?run=first&step=200")
    expect(page.get_by_text("/checkpoints/first/checkpoint-200").first).to_be_visible()
    page.close()


def test_markup_in_an_answer_is_no_markup_on_the_page(desk: BrowserContext, address: str) -> None:
    page = opened(desk, address, "corrections")
    page.get_by_text("Wrong answer: 1 of 40 answers, easy").click()
    expect(page.get_by_text(MARKUP, exact=True).first).to_be_visible()
    page.close()


def test_a_click_on_the_map_opens_that_example(desk: BrowserContext, address: str) -> None:
    page = opened(desk, address, "curriculum")
    expect(page.get_by_text("Should say", exact=True)).to_have_count(0)
    # Points lie on each other: whichever is on top is what a click finds.
    point = page.locator(f"{CHART} .mark-symbol path[aria-roledescription=point]").last
    point.scroll_into_view_if_needed()
    settle(page)
    point.click(force=True)
    expect(page.get_by_text("Should say", exact=True)).to_be_visible(timeout=PATIENCE)
    settle(page)
    page.close()


def test_progress_moves_and_the_verdict_follows(
    desk: BrowserContext, story: Story, tmp_path: Path
) -> None:
    engine = connect(load_workspace(story.workspace).database_url)
    examples = {suite: questions(suite, N) for suite in SUITES}
    seen = answers(examples, Skill(39, 38, 20))[N:]
    with served(story.workspace, tmp_path / "dashboard.log") as address:
        page = opened(desk, address)
        errors = complaints(page)
        expect(page.get_by_text("40 of 120 examples")).to_be_visible()
        expect(page.get_by_text("Step 640 is worse than 560 on easy")).to_be_visible()

        record(engine, story.evaluation_id, seen[:N], batch="2")
        derive(story.workspace, engine)
        expect(page.get_by_text("80 of 120 examples")).to_be_visible(timeout=PATIENCE)

        record(engine, story.evaluation_id, seen[N:], batch="3")
        complete(engine, story.evaluation_id, story.checkpoint_id, scored=3 * N)
        derive(story.workspace, engine)
        expect(page.get_by_text("Step 720 is the best so far")).to_be_visible(timeout=PATIENCE)
        expect(page.get_by_text("of 120 examples")).to_have_count(0, timeout=PATIENCE)
        expect(page.get_by_test_id("stException")).to_have_count(0)
        page.close()
    engine.dispose()
    assert errors == []


def test_a_page_without_a_database_goes_on_when_there_is_one(
    desk: BrowserContext, story: Story, tmp_path: Path
) -> None:
    root = tmp_path / "late"
    with served(root, tmp_path / "dashboard.log") as address:
        page = opened(desk, address)
        expect(page.get_by_text("Not ready")).to_be_visible()
        story.workspace.rename(root)
        expect(page.get_by_text("Step 640 is worse than 560 on easy")).to_be_visible(
            timeout=PATIENCE
        )
        page.close()
