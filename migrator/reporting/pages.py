"""The pages: the report, the acceptance protocol, the cards of mailbox owners. Each is one file that needs nothing else."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from functools import cache
from typing import Any, Final

import jinja2
from markupsafe import Markup

from migrator.reporting import charts
from migrator.reporting.facts import Facts, MailboxLine, Snapshot
from migrator.reporting.verdict import SHOWN
from migrator.reporting.words import Language
from state.model import ASIDE, MailboxState

ROWS: Final = 2_000
"""Mailboxes that a page shows, and rows of any of its other tables at the most; the workbook has them all."""

ATTENTION: Final = 100
ONE_BY_ONE: Final = 200

COLOURS: Final[Mapping[MailboxState, str]] = {
    MailboxState.PLANNED: "grey",
    MailboxState.SEEDING: "sky",
    MailboxState.SYNCING: "sky",
    MailboxState.READY: "blue",
    MailboxState.LOCKED: "blue",
    MailboxState.FINAL: "blue",
    MailboxState.ROUTED: "teal",
    MailboxState.SWEEPING: "teal",
    MailboxState.BACKFILLING: "teal",
    MailboxState.CLOSED: "green",
    MailboxState.PAUSED: "amber",
    MailboxState.HELD: "red",
    MailboxState.FAILED: "red",
}

NEVER: Final = ("signatures", "autocomplete", "views", "rules-client", "delegates", "archives", "tracking")
TO_DO: Final = ("signatures", "autocomplete", "views", "rules", "phone", "profile", "help")


@cache
def _environment() -> jinja2.Environment:
    return jinja2.Environment(
        loader=jinja2.PackageLoader("migrator", "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def page(name: str, language: Language, **values: Any) -> str:
    """A template filled in; ``t`` is the language, ``style`` the common style sheet."""
    environment = _environment()
    style = Markup(environment.get_template("base.css").render())  # noqa: S704
    return environment.get_template(name).render(t=language, style=style, **values)


def report_page(facts: Facts, language: Language, before: Snapshot | None = None, *, anonymous: bool = False) -> str:
    """The report: a page for a board, then everything for the team. ``before`` is what the last one said."""
    attention = [line for line in facts.mailboxes if needs_attention(line)]
    degraded = sorted((line for line in facts.mailboxes if line.degraded), key=lambda line: -sum(line.degraded.values()))
    behind = sorted((line for line in facts.mailboxes if line.left_behind), key=lambda line: -sum(line.left_behind.values()))
    kept = {"now": asdict(facts.snapshot), "before": asdict(before) if before else None}
    return page(
        "report.html",
        language,
        facts=facts,
        live=False,
        anonymous=anonymous,
        scope=language("head.scope", wave=facts.wave) if facts.wave else language("head.scope-all"),
        changes=list(changes(facts.snapshot, before, language)) if before else [],
        before=before,
        never=NEVER,
        wanted=facts.wanted[:SHOWN],
        wanted_more=len(facts.wanted) - SHOWN,
        wanted_rest=facts.wanted[SHOWN:ROWS],
        degraded=degraded[:ATTENTION],
        degraded_more=len(degraded) - ATTENTION,
        behind=behind[:ATTENTION],
        behind_more=len(behind) - ATTENTION,
        attention=attention[:ATTENTION],
        attention_more=len(attention) - ATTENTION,
        rows=facts.mailboxes[:ROWS],
        rows_more=len(facts.mailboxes) - ROWS,
        stayed=facts.stayed[:ONE_BY_ONE],
        stayed_more=facts.stayed_not_shown + max(0, len(facts.stayed) - ONE_BY_ONE),
        moved_share=facts.total("moved") / len(facts.mailboxes) if facts.mailboxes else None,
        charts=charts,
        states=state_bars(facts, language),
        waits=[
            charts.Bar(language(f"budget.{name}"), seconds, language.length(seconds))
            for name, seconds in list(facts.waits.items())[:8]
        ],
        figures=Markup(json.dumps(kept).replace("<", "\\u003c")),  # noqa: S704
    )


def needs_attention(line: MailboxLine) -> bool:
    """Whether a person should look at this mailbox."""
    return bool(line.state in ASIDE or line.balance or line.unaccounted or line.unapproved or line.late or line.sent_from_old)


def state_bars(facts: Facts, language: Language) -> list[charts.Bar]:
    """Mailboxes by state, in the order in which a mailbox meets them."""
    counts = Counter(line.state for line in facts.mailboxes)
    return [
        charts.Bar(language(f"state.{state.value}"), counts[state], language.number(counts[state]), COLOURS[state])
        for state in MailboxState
        if counts[state]
    ]


def changes(now: Snapshot, before: Snapshot, language: Language) -> Iterator[tuple[str, str]]:
    """What changed since another report: what, and by how much."""
    for word in ("moved", "done", "bytes", "pending", "stayed", "aside"):
        by = getattr(now, word) - getattr(before, word)
        if by:
            shown = language.size(abs(by)) if word == "bytes" else language.number(abs(by))
            yield language(f"change.{word}"), f"{'+' if by > 0 else '−'}{shown}"


_FIGURES: Final = re.compile(r'<script type="application/json" id="figures">(.*?)</script>', re.DOTALL)

APART: Final = 12 * 3600.0
"""Seconds that two reports lie apart at least for the older one to count as the last one: a report that is written anew every few
minutes would otherwise say that nothing changed."""


def last_report(html: str, now: float) -> Snapshot | None:
    """What a report written before says of itself, or, if it is quite new, of the one before it; None if it tells nothing."""
    found = _FIGURES.search(html)
    try:
        kept = json.loads(found[1]) if found else {}
        own = Snapshot(**kept["now"])
        older = Snapshot(**kept["before"]) if kept.get("before") else None
    except (ValueError, KeyError, TypeError):
        return None
    return own if older is None or now - own.made >= APART else older


def protocol_page(facts: Facts, language: Language, *, anonymous: bool = False) -> str:
    """The acceptance protocol: scope, counts, exceptions with who approved them, what is not carried, open points, signatures."""
    return page(
        "protocol.html",
        language,
        facts=facts,
        anonymous=anonymous,
        scope=language("head.scope", wave=facts.wave) if facts.wave else language("head.scope-all"),
        never=NEVER,
        approved=facts.total("approved"),
    )


def card_page(line: MailboxLine, facts: Facts, reasons: Mapping[str, int], rules: Mapping[str, int], language: Language) -> str:
    """What the owner of one mailbox gets: what comes along, what can't and why (``reasons``, ``rules``), what to do."""
    waves = {wave.name: wave.forecast.due for wave in facts.waves}
    return page(
        "card.html",
        language,
        line=line,
        day=line.complete_after or waves.get(line.wave),
        reasons=reasons,
        rules=rules,
        degraded=bool(line.degraded),
        never=NEVER,
        to_do=TO_DO,
    )
