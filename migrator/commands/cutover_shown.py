"""How the commands of a cutover tell what they found: for people, and as JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from migrator.cutover.dns_hints import Hint
    from migrator.cutover.readiness import Readiness
    from migrator.cutover.table import Position
    from state.model import MailboxRow
    from state.store import Ledger


def hints_of(ledger: Ledger, rows: Sequence[MailboxRow], asked: bool, internal: str, public: str) -> list[Hint]:
    """What DNS says of the domains that flip; the largest TTL seen is remembered for as long as they have not."""
    from migrator.cutover.dns_hints import look_up
    from migrator.cutover.table import AFTER_FLIP, route_of
    from migrator.cutover.work import keep_ttls

    if not asked:
        return []
    details = ledger.plans.details()
    flipping = [row for row in rows if route_of(details.get(row.id, {})) == "domain"]
    domains = sorted({row.source.rpartition("@")[2].casefold() for row in flipping})
    hints = look_up(domains, internal=internal, public=public)
    ttls: dict[str, int] = {}
    for hint in hints:
        ttls[hint.domain] = max(ttls.get(hint.domain, 0), hint.ttl or 0)
    keep_ttls(ledger, [row for row in flipping if row.state not in AFTER_FLIP], ttls)
    return hints


def page_lines(told: Readiness) -> list[str]:
    """The page before a cutover, for people."""
    from migrator.forecast import duration, span
    from migrator.status import WIDTH, lay_out

    lines = [f"{told.verdict.value.upper()}: {told.sentence}", *told.remarks]
    if told.takes is not None:
        lines.append(f"Final passes take {span(told.takes)} together.")
    heading = ("MAILBOX", "STATE", "BEHIND", "FINAL", "REFUSED", "OPEN", "GO", "NOT CONFIRMED")
    cells = [
        (
            one.position.address,
            one.position.state.value,
            "-" if one.position.behind is None else duration(one.position.behind),
            span(one.position.takes),
            f"{one.position.refused:,}",
            f"{one.position.pending:,}",
            "yes" if one.goes else "NO",
            " ".join(one.unconfirmed) or "-",
        )
        for one in told.candidates
    ]
    if cells:
        lines += lay_out(heading, cells, WIDTH, left=frozenset({0, 1, 6, 7}), limits={0: 30})
    return lines + [f"{one.position.address}: {' '.join(one.hindrances)}" for one in told.candidates if not one.goes]


def page_as_json(told: Readiness) -> dict[str, Any]:
    """The same as JSON."""
    return {
        "wave": told.wave,
        "verdict": told.verdict.value,
        "sentence": told.sentence,
        "remarks": list(told.remarks),
        "final_seconds": None if told.takes is None else [told.takes.least, told.takes.most],
        "mailboxes": [
            {
                **position_as_json(one.position),
                "goes": one.goes,
                "hindrances": list(one.hindrances),
                "unconfirmed": list(one.unconfirmed),
            }
            for one in told.candidates
        ],
    }


def position_as_json(one: Position) -> dict[str, Any]:
    """One mailbox on its way over."""
    return {
        "mailbox": one.address,
        "state": one.state.value,
        "cause": one.cause,
        "behind_seconds": one.behind,
        "final_seconds": None if one.takes is None else [one.takes.least, one.takes.most],
        "pending": one.pending,
        "backfill": one.backfill,
        "refused": one.refused,
        "route": one.route,
        "confirmed": sorted(one.confirmed),
        "withdrawn": one.withdrawn,
        "sweep_until": one.sweep_until,
    }


def steps_table(where: Sequence[Position]) -> list[str]:
    """Where each mailbox is, and what keeps it there."""
    from migrator.status import WIDTH, lay_out

    cells = [(one.address, one.state.value, "withdrawn" if one.withdrawn else one.cause or "-") for one in where]
    return lay_out(("MAILBOX", "STATE", "WAITING FOR"), cells, WIDTH, left=frozenset({0, 1, 2}), limits={0: 36})


def arrivals_table(where: Sequence[Position], seen: Mapping[int, Mapping[str, Any]]) -> list[str]:
    """The same with what arrived last on either side."""
    from migrator.cutover.table import hindrances, next_edge
    from migrator.status import WIDTH, lay_out

    heading = ("MAILBOX", "STATE", "LAST-IN-SOURCE", "LAST-IN-TARGET", "LATE", "FROM-OLD", "WAITING FOR")
    cells = []
    for one in where:
        about = seen.get(one.mailbox_id, {})
        way = next_edge(one)
        waits = "withdrawn" if one.withdrawn else " ".join(hindrances(way, one)) if way else one.cause
        cells.append(
            (
                one.address,
                one.state.value,
                _minute(about.get("last_in_source")),
                _minute(about.get("last_in_target")),
                f"{about.get('late_items', 0):,}",
                f"{about.get('sent_from_old', 0):,}",
                waits or "-",
            )
        )
    return lay_out(heading, cells, WIDTH, left=frozenset({0, 1, 2, 3, 6}), limits={0: 26})


def _minute(told: str | None) -> str:
    return told[5:16].replace("T", " ") if told else "-"


def hint_as_json(hint: Hint) -> dict[str, Any]:
    """What one resolver said."""
    return {"domain": hint.domain, "view": hint.view, "hosts": list(hint.hosts), "ttl": hint.ttl, "trouble": hint.trouble}
