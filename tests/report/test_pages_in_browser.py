"""The report in a real Chromium, opened from a file as a person would: wide and narrow, light and dark, on paper."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from looking import look, opened, violations

from migrator.reporting.gathering import gather, gather_reasons
from migrator.reporting.words import codes, language
from migrator.reporting.writing import write_cards, write_html, write_protocol
from state.store import Ledger


@pytest.mark.timeout(300)
@pytest.mark.parametrize("code", codes())
def test_the_report_is_fit_to_be_seen(
    chromium: Any, axe: str, pictures: Path, made: Callable[..., Path], tell: Callable[[str], None], tmp_path: Path, code: str
) -> None:
    # Few mailboxes: the checks look at every cell, and one row is as good as another.
    with Ledger.open(f"sqlite:///{made(15, 200).as_posix()}") as ledger:
        file = write_html(gather(ledger), tmp_path / "report.html", language(code))
    # The words alone differ, so one language is looked at with all checks.
    taken = look(chromium, axe if code == "en" else "", file.as_uri(), f"report-{code}", pictures)
    assert all(picture.stat().st_size > 20_000 for picture in taken)
    tell(f"screenshots of the report: {pictures}")


def test_the_colours_follow_the_system(chromium: Any, forty: Ledger, tmp_path: Path) -> None:
    file = write_html(gather(forty), tmp_path / "report.html", language("en"))
    paper = []
    for scheme in ("light", "dark"):
        with opened(chromium, file.as_uri(), 1280, scheme) as page:
            paper.append(page.evaluate("getComputedStyle(document.documentElement).backgroundColor"))
    assert paper == ["rgb(255, 255, 255)", "rgb(20, 24, 31)"]


def test_on_paper_it_is_a4_and_the_board_has_pages_of_its_own(chromium: Any, forty: Ledger, tmp_path: Path) -> None:
    file = write_html(gather(forty), tmp_path / "report.html", language("en"))
    with opened(chromium, file.as_uri(), 1280, "dark") as page:
        printed = page.pdf(prefer_css_page_size=True)
        page.emulate_media(media="print")
        assert page.evaluate("getComputedStyle(document.documentElement).backgroundColor") == "rgb(255, 255, 255)"
        page.set_viewport_size({"width": 700, "height": 1000})
        assert page.evaluate("document.documentElement.scrollWidth") <= 700, "nothing runs off the sheet"
    boxes = {tuple(round(float(value)) for value in box.split()) for box in re.findall(rb"/MediaBox\s*\[([\d. ]+)\]", printed)}
    assert boxes == {(0, 0, 595, 842)}
    assert len(re.findall(rb"/Type\s*/Page\b", printed)) >= 2


def test_the_protocol_and_a_card_are_fit_to_be_seen(
    chromium: Any, axe: str, pictures: Path, forty: Ledger, tmp_path: Path
) -> None:
    facts = gather(forty)
    protocol = write_protocol(facts, tmp_path / "protocol.html", language("en"))
    with opened(chromium, protocol.as_uri(), 1280, "light") as page:
        page.screenshot(path=pictures / "protocol-en-1280-light.png", full_page=True)
        assert violations(page, axe) == []
    card = write_cards(facts, *gather_reasons(forty), tmp_path / "cards", language("de"))[2]
    with opened(chromium, card.as_uri(), 390, "dark") as page:
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
        assert violations(page, axe) == []
        page.screenshot(path=pictures / "card-de-390-dark.png", full_page=True)
