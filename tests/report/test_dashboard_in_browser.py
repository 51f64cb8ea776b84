"""The dashboard in a real Chromium: it keeps itself fresh, finds and sorts mailboxes, and is fit to be seen at every width."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from looking import look, opened, violations
from test_dashboard import watched

from migrator.dashboard import Place, serving
from migrator.reporting.gathering import gather
from migrator.reporting.live import Live
from migrator.reporting.words import language
from state.model import MailboxState
from state.store import Ledger


def until(page: Any, selector: str, text: str) -> None:
    """Wait for a text to be in a part of the page; the page's own policy lets no script be made out of a string."""
    from playwright.sync_api import expect

    expect(page.locator(selector)).to_contain_text(text, timeout=30_000)


@pytest.fixture
def board(made: Callable[..., Path], tmp_path: Path) -> Iterator[tuple[Ledger, str]]:
    """A ledger of a hundred and twenty mailboxes that may be written to, and the address of its dashboard."""
    url = f"sqlite:///{Path(shutil.copy(made(120, 40), tmp_path / 'ledger.db')).as_posix()}"
    with (
        Ledger.open(url) as writing,
        Ledger.look(url) as looking,
        watched(looking) as live,
        serving(Place(), live) as address,
    ):
        yield writing, address


@pytest.mark.timeout(300)
def test_it_is_fit_to_be_seen(
    chromium: Any, axe: str, pictures: Path, board: tuple[Ledger, str], tell: Callable[[str], None]
) -> None:
    narrow = f"{board[1]}?wave=wave+3"
    taken = look(chromium, axe, narrow, "dashboard", pictures, lambda page: page.wait_for_selector("body.scripted"))
    assert all(picture.stat().st_size > 20_000 for picture in taken)
    tell(f"screenshots of the dashboard: {pictures}")


def test_it_keeps_itself_fresh_without_being_loaded_again(chromium: Any, board: tuple[Ledger, str]) -> None:
    writing, url = board
    with opened(chromium, url, 1280, "light") as page:
        page.evaluate("window.same = true")
        page.fill("[name=q]", "fresh.mailbox")
        until(page, "#found", "Nothing fits.")
        row = writing.plan_mailbox("wave 6", "fresh.mailbox@contoso.test", "fresh.mailbox@contoso-cloud.test")
        writing.move_mailbox(row.id, MailboxState.HELD, "The target mailbox is full.")
        until(page, "#rows", "The target mailbox is full.")
        assert "wave 6" in page.inner_text("#waves")
        assert page.evaluate("window.same") is True
        assert page.input_value("[name=q]") == "fresh.mailbox"


def test_mailboxes_are_searched_sorted_and_leafed_through(chromium: Any, board: tuple[Ledger, str]) -> None:
    with opened(chromium, board[1], 1280, "light") as page:
        assert page.inner_text("#found") == "1 to 50 of 120"
        page.click("#next")
        until(page, "#found", "51 to 100 of 120")
        page.click("#next")
        until(page, "#found", "101 to 120 of 120")
        assert page.is_disabled("#next")
        page.click("[data-sort=size]")
        page.wait_for_selector("th[aria-sort=ascending] [data-sort=size]")
        assert page.inner_text("#found") == "1 to 50 of 120"
        page.click("[data-sort=size]")
        page.wait_for_selector("th[aria-sort=descending] [data-sort=size]")
        sizes = page.eval_on_selector_all("#rows td:nth-child(8)", "cells => cells.map(cell => parseFloat(cell.textContent))")
        assert sizes == sorted(sizes, reverse=True)
        page.select_option("[name=state]", "HELD")
        until(page, "#found", "1 to 1 of 1")
        assert re.search(r"quota", page.inner_text("#rows"))
        page.reload()
        assert page.inner_text("#found") == "1 to 1 of 1", "the address keeps what was asked for"


def test_one_mailbox_is_a_click_away(chromium: Any, axe: str, pictures: Path, board: tuple[Ledger, str]) -> None:
    with opened(chromium, f"{board[1]}?state=HELD", 390, "light") as page:
        page.click("#rows a")
        page.wait_for_selector("h1:has-text('@contoso.test')")
        assert "over its quota" in page.inner_text("main")
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
        page.screenshot(path=pictures / "mailbox-390-light.png", full_page=True)
        assert violations(page, axe) == []
        page.click("header a")
        page.wait_for_selector("#find")


def test_it_works_without_a_script(chromium: Any, board: tuple[Ledger, str]) -> None:
    context = chromium.new_context(java_script_enabled=False)
    try:
        page = context.new_page()
        page.goto(board[1])
        page.select_option("[name=wave]", "wave 2")
        page.click(".plain")
        assert page.inner_text("#found") == "1 to 24 of 24"
        page.click("[data-sort=open]")
        assert page.get_attribute("th:has([data-sort=open])", "aria-sort") == "ascending"
    finally:
        context.close()


def test_a_dashboard_that_is_gone_says_so_on_the_page(chromium: Any, forty: Ledger) -> None:
    context = chromium.new_context()
    try:
        page = context.new_page()
        with Live(lambda: gather(forty, recount=False), language("en"), 60) as live, serving(Place(), live) as url:
            page.goto(url)
            page.wait_for_selector("body.scripted")
        until(page, "#trouble", "The dashboard does not answer")
    finally:
        context.close()
