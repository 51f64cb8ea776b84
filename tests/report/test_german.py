"""A report in German is German: what a page says in English and in another language alike is a name, a number or an address."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from dataclasses import replace
from html.parser import HTMLParser

import pytest
from openpyxl import load_workbook

from connectors.base import Lane
from connectors.ews import classify as ews
from connectors.graph import classify as graph
from migrator import fidelity
from migrator.cutover import table
from migrator.cutover.table import EDGES, Position, too_early
from migrator.engine.plan import too_large
from migrator.errors.advice import REASONS
from migrator.reporting.behind import ALWAYS, TREES
from migrator.reporting.facts import Detail, Event, Facts, Ran, ReasonLine, Saying, Stayed
from migrator.reporting.gathering import gather, gather_folders
from migrator.reporting.pages import card_page, page, protocol_page, report_page
from migrator.reporting.words import Language, codes, language
from migrator.reporting.workbook import workbook
from migrator.scoring import Measured, hindrance, read_rule, score
from state.model import MailboxState
from state.store import Ledger

OTHERS = [code for code in codes() if code != "en"]
ACTS = [word.removeprefix("act.") for word in language("en").words if word.startswith("act.")]
TYPED = "Its owner has a copy of each of them."
"""What a person typed stays as it was typed."""


class Texts(HTMLParser):
    """The texts of a page, and what is read aloud."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self._skip = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._skip = tag in ("style", "script")
        self.found += [value for name, value in attrs if value and name in ("aria-label", "title", "placeholder", "data-stale")]

    def handle_endtag(self, tag: str) -> None:
        self._skip = False

    def handle_data(self, data: str) -> None:
        if not self._skip and data.strip():
            self.found.append(" ".join(data.split()))


def texts(html: str) -> list[str]:
    parser = Texts()
    parser.feed(html)
    return parser.found


def said(text: str) -> list[str]:
    """The words of a text without commands, names of keys and reasons, addresses and numbers."""
    bare = re.sub(r"`[^`]*`|\S*[@./:#\d_]\S+|#\S+|\b[a-z]+(-[a-z]+)+\b", " ", text)
    return re.findall(r"[^\W\d_]{2,}", bare)


def alike(english: list[str], other: list[str]) -> list[str]:
    """What both say alike although it is a sentence: three words at least."""
    assert len(english) == len(other)
    return [one for one in {*english} & {*other} if len(said(one)) > 2 and one != TYPED]


def by_score() -> list[str]:
    """Why the scoring rule keeps a mailbox back, for each of its reasons."""
    rule = read_rule("")
    some = [
        Measured(items=100, unaccounted=off, refused={"corrupt": stayed}) for stayed, off in ((1, 0), (90, 0), (0, 1), (400, 0))
    ]
    return [sentence for one in some if (sentence := hindrance(score(one, rule)))]


def everything_said() -> list[str]:
    """Every sentence of the tables by which connectors and cutover tell what happened."""
    found = [f"{row.sentence} (ErrorSomething)" for row in [*graph.CODES.values(), *graph.STATUSES.values()]]
    found += [row.mend for row in [*graph.CODES.values(), *graph.STATUSES.values()] if row.mend]
    for verdict, _ in ews._GROUPS:
        found += [f"{verdict.sentence} (ErrorSomething)", *([verdict.mend] if verdict.mend else [])]
    for sentence, mend in (*ews._STATUSES.values(), ews._MOVED):
        found += [sentence, mend]
    day = 86_400.0
    base = Position(mailbox_id=1, address="anna@contoso.test", target="anna@cloud.test", state=MailboxState.READY, now=9 * day)
    steps = frozenset(table.STEPS)
    for one in (
        replace(base, pending=3, refused=1, backfill=1200),
        replace(base, failed=steps),
        *(replace(base, score=one) for one in by_score()),
        replace(base, confirmed=steps, sweep_until=12 * day, locked=day, routed=day),
        replace(base, confirmed=steps, sweep_until=8 * day, locked=day, routed=day),
        replace(base, state=MailboxState.HELD, came_from=MailboxState.READY, cause="The target mailbox is full (Quota)."),
    ):
        found += [sentence for edge in EDGES for test in edge.tests if (sentence := test(one))]
    found.append(too_early(replace(base, complete_after=10 * day, complete_says="2026-12-04 18:00 Europe/Berlin")))
    found.append(too_large(90_000_000, list(Lane), dict.fromkeys(Lane, 36e6)).detail)
    return list(dict.fromkeys(found))


@pytest.fixture
def rich(forty: Ledger) -> Facts:
    """A report in which everything happens that the program has words for."""
    facts = gather(forty)
    told = everything_said()
    less = dict.fromkeys(sorted(fidelity.names()), 7)
    lines = [
        replace(line, cause=f"{told[at % len(told)].rstrip('.')}.", owner="", degraded=less, meetings_called=1, meetings=2)
        for at, line in enumerate(facts.mailboxes * (1 + len(told) // len(facts.mailboxes)))
    ]
    stayed = [
        Stayed(mailbox=lines[0].source, folder="Inbox", state="REFUSED", size=9, reason=reason, detail=detail, code="", key="ab",
               approved=False)
        for reason, detail in zip([*REASONS] * 9, told, strict=False)
    ]  # fmt: skip
    reasons = [ReasonLine(state="REFUSED", reason=reason, items=3, bytes=9, mailboxes=2) for reason in REASONS]
    events = [Event(at=facts.made, who="ops", what=act, wave="wave 1", mailbox="", why=TYPED) for act in ACTS]
    values = {"build": "15.1", "classes": "IPM.Note", "mb": 36, "item_mb": 27, "n": 4, "question": "x", "answer": "y"}
    probed = [Saying(word, values) for word in language("en").words if word.startswith("probe.") and not word.endswith(".one")]
    approvals = [replace(one, why=TYPED) for one in facts.approvals]
    return replace(
        facts, mailboxes=lines, stayed=stayed, left_alone=stayed[:90], reasons=reasons, events=events, approvals=approvals,
        degraded=less, left_behind=dict.fromkeys((*ALWAYS, *TREES), 5), probed=probed,
    )  # fmt: skip


def pages(facts: Facts, t: Language) -> Iterator[str]:
    yield report_page(facts, t, facts.snapshot)
    yield report_page(facts, t, anonymous=True)
    yield protocol_page(facts, t)
    for line in (facts.mailboxes[0], facts.mailboxes[-1]):
        yield card_page(line, facts, dict.fromkeys(REASONS, 2), {"old": 3}, t)
    ran = [
        Ran(kind=kind, state=state, began=1.0, ended=2.0, items=3, bytes=4, cause=line.cause)
        for kind, state, line in zip(
            ("seed", "delta", "final", "sweep") * 9, ("DONE", "PAUSED", "FAILED") * 12, facts.mailboxes, strict=False
        )
    ]
    detail = Detail(passes=ran, folders=[], stayed=facts.stayed, events=facts.events)
    yield page("dashboard_mailbox.html", t, line=facts.mailboxes[0], detail=detail, made=facts.made)
    yield page("dashboard_rows.html", t, lines=facts.mailboxes, linked=True)


@pytest.mark.parametrize("code", OTHERS)
def test_no_page_says_a_sentence_in_english(rich: Facts, code: str) -> None:
    for english, other in zip(pages(rich, language("en")), pages(rich, language(code)), strict=True):
        assert alike(texts(english), texts(other)) == []


@pytest.mark.parametrize("code", OTHERS)
def test_no_cell_of_the_workbook_says_a_sentence_in_english(rich: Facts, forty: Ledger, code: str) -> None:
    def cells(t: Language) -> list[str]:
        book = load_workbook(io.BytesIO(workbook(rich, gather_folders(forty, gather(forty)), t)))
        return [str(cell.value) for sheet in book for row in sheet.iter_rows() for cell in row]

    assert alike(cells(language("en")), cells(language(code))) == []


@pytest.mark.parametrize("code", OTHERS)
def test_no_word_of_a_language_is_the_english_one(code: str) -> None:
    english, other = language("en").words, language(code).words
    assert [key for key, form in english.items() if len(said(re.sub(r"\{\w+\}", " ", form))) > 2 and other[key] == form] == []


def test_every_reason_and_every_shortfall_has_a_word() -> None:
    words = language("en").words
    assert {f"reason.{reason}" for reason in REASONS} <= words.keys()
    assert {f"degraded.{name}" for name in fidelity.names()} <= words.keys()


def test_what_stands_in_a_sentence_is_put_into_the_language_too() -> None:
    de = language("de")
    held = "It is HELD: The target mailbox is full (ErrorQuotaExceeded). Raise its quota or assign a larger plan, then run again."
    assert de.told(held) == (
        "Es ist festgehalten: Das Zielpostfach ist voll (ErrorQuotaExceeded). Das Kontingent erhöhen oder einen größeren Plan"
        " zuweisen, dann erneut starten."
    )
    assert de.told("Late mail is collected for another 1.5 h.") == "Verspätete Post wird noch 1,5\u00a0h lang gesammelt."
    open_ = (
        "1,200 items of its older part still to carry; `migrator run a@b.c` goes on with them."
        " 1 item still to carry; `x` carries them."
    )
    assert de.told(open_).startswith("1.200 Elemente des älteren Teils noch zu übertragen; `migrator run a@b.c` macht")
    assert de.told(open_).endswith("1 Element noch zu übertragen; `x` überträgt sie.")


def test_whose_word_the_scoring_rule_waits_for_is_told_in_the_language() -> None:
    told = [language("de").told(sentence) for sentence in by_score()]
    assert len(told) == 4
    assert told[0] == (
        "Nach der Bewertungsregel 1 ist es „zu prüfen“: 1 Element nicht übertragen, und noch niemand hat zugestimmt;"
        " zustimmen muss die Leitung der Migration (`migrator errors approve --who …`)."
    )


def test_what_nobody_has_a_row_for_stays_as_it_was_said() -> None:
    assert language("de").told("Something new. The names differ.") == "Something new. Die Namen sind verschieden."
    assert language("en").told("The names differ.") == "The names differ."
