"""The pages without a browser: their size, their words in every language, what they ask for and what they never show."""

from __future__ import annotations

import re
import string
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from migrator.config import BadInput
from migrator.reporting import pages
from migrator.reporting.facts import Saying
from migrator.reporting.gathering import gather
from migrator.reporting.pages import APART, last_report, report_page
from migrator.reporting.sentences import SECTION
from migrator.reporting.words import codes, language
from migrator.reporting.writing import put, write_html
from state.store import Ledger


def fields(form: str) -> list[str]:
    return sorted(name for _, name, _, _ in string.Formatter().parse(form) if name)


@pytest.mark.parametrize("code", codes())
def test_every_language_has_every_word_with_the_same_gaps(code: str) -> None:
    english, other = language("en").words, language(code).words
    assert english.keys() == other.keys()
    gaps = {key: (fields(form), fields(other[key])) for key, form in english.items()}
    assert [key for key, (one, two) in gaps.items() if one != two and not key.startswith(SECTION)] == []
    # What varies in a sentence of the ledger may be left out where another language has no place for it.
    assert [key for key, (one, two) in gaps.items() if not {*two} <= {*one}] == []


def test_every_word_that_a_page_asks_for_is_there() -> None:
    asked = set()
    for file in (Path(pages.__file__).parents[1] / "templates").glob("*.html"):
        asked |= set(re.findall(r'\bt\("([\w.-]+)"[,)]', file.read_text("utf-8")))
    for file in Path(pages.__file__).parent.glob("*.py"):
        asked |= set(re.findall(r'Saying\("([\w.-]+)"', file.read_text("utf-8")))
    assert len(asked) > 80
    assert asked <= language("en").words.keys()


def test_a_language_that_nobody_wrote_is_a_plain_no() -> None:
    with pytest.raises(BadInput, match="there are: de, en"):
        language("fr")


def test_numbers_and_days_are_written_as_people_there_write_them() -> None:
    en, de = language("en"), language("de")
    assert (en.number(1234567), de.number(1234567)) == ("1,234,567", "1.234.567")
    assert (en.size(12_100_000_000), de.size(12_100_000_000)) == ("12.1\u00a0GB", "12,1\u00a0GB")
    assert (en.day(1796403600.0), de.day(1796403600.0)) == ("4 Dec 2026", "4. Dez. 2026")
    assert (en.percent(0.99999), en.percent(1.0), de.percent(None)) == ("99.9\u00a0%", "100\u00a0%", "–")
    assert (en.length(41 * 60), en.length(7_260), de.length(200_000)) == (
        "41\u00a0min",
        "2\u00a0h 01\u00a0min",
        "2\u00a0Tage 7\u00a0h",
    )
    assert (de.planned(1796342400.0), de.planned(1796403600.0)) == ("4. Dez. 2026", "4. Dez. 2026 17:00")
    assert en.between(1796403600.0, 1796403700.0) == "4 Dec 2026"
    assert en.say(Saying("verdict.pending", {"n": 1})) == "One item is still to be carried; nothing is lost."
    spread = {"early": 1796403600.0, "late": 1796403700.0}
    assert en.say(Saying("date.none-range", spread)).endswith("will be carried on 4 Dec 2026.")
    assert de.say(Saying("wanted.reason", {"n": 2, "mailboxes": 1, "reason": "virus"})).endswith(
        "Virenscanner der Quelle festgehalten“."
    )


def test_a_thousand_mailboxes_are_less_than_500_kilobytes(made: Callable[..., Path]) -> None:
    with Ledger.open(f"sqlite:///{made(1000, 30).as_posix()}") as ledger:
        facts = gather(ledger)
    # All of them with everything that a line can have, and long names.
    less = {f"some-property-{number}": number for number in range(20)}
    moved = {"carried": 12, "waiting": 1, "listed": 3, "scripted": 9}
    lines = [replace(line, degraded=less, settings=moved, source=f"firstname.{line.source}") for line in facts.mailboxes]
    facts = replace(facts, mailboxes=lines)
    for code in codes():
        assert len(report_page(facts, language(code)).encode()) < 500_000


def test_a_page_asks_for_nothing_and_runs_nothing(forty: Ledger) -> None:
    page = report_page(gather(forty), language("en"))
    assert not re.search(r"""(src|href)\s*=\s*["'](?!#)""", page)
    assert not re.search(r"url\(|@import|\son\w+\s*=|javascript:", page)
    assert re.findall(r"<script(?P<kind>[^>]*)>", page) == [' type="application/json" id="figures"']
    assert "default-src 'none'" in page


def test_what_people_wrote_is_text_and_never_markup(forty: Ledger) -> None:
    facts = gather(forty)
    evil = "<script>alert(1)</script></script><img src=x>"
    lines = [replace(line, source=evil, cause=evil, wave=evil, owner=evil) for line in facts.mailboxes]
    waves = [replace(wave, name=evil) for wave in facts.waves]
    late = [replace(one, host=evil) for one in facts.late]
    page = report_page(replace(facts, mailboxes=lines, waves=waves, late=late, degraded={evil: 1}, wave=evil), language("en"))
    assert "<img" not in page
    assert page.count("<script") == 1


def test_a_report_tells_what_changed_since_the_one_in_its_place(forty: Ledger, tmp_path: Path) -> None:
    file, en = tmp_path / "report.html", language("en")
    facts = gather(forty)
    first = facts.mailboxes[0]
    earlier = replace(facts, made=facts.made - 2 * APART, mailboxes=[replace(first, done=first.done - 7), *facts.mailboxes[1:]])
    assert "This is the first report." in write_html(earlier, file, en).read_text("utf-8")
    assert "items arrived: <b>+7</b>" in write_html(facts, file, en).read_text("utf-8")
    soon = replace(facts, made=facts.made + 900)
    assert "items arrived: <b>+7</b>" in write_html(soon, file, en).read_text("utf-8"), (
        "one of a quarter of an hour ago is not the last"
    )
    assert last_report("<html>something else</html>", 0) is None
    assert last_report('<script type="application/json" id="figures">{"now": {"x": 1}}</script>', 0) is None


def test_a_file_is_put_in_place_whole_or_not_at_all(tmp_path: Path) -> None:
    file = put(tmp_path / "new" / "report.html", "old")
    assert put(file, "new").read_text("utf-8") == "new"
    assert [one.name for one in file.parent.iterdir()] == ["report.html"]
    with pytest.raises(BadInput, match="can't be written"):
        put(tmp_path / "new" / "report.html" / "x.html", "no folder")
