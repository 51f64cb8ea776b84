"""Everything of one mailbox on one screen, from the ledger alone: for whoever picks up the phone on Monday."""

from __future__ import annotations

import textwrap
import time
from collections import Counter
from dataclasses import asdict
from typing import Any

from migrator import forecast
from migrator.engine.conservation import LOOKED_AT, last_told, off_by
from migrator.errors.advice import advice
from migrator.reporting.probed import sayings
from migrator.reporting.words import language
from migrator.scoring import Rule, measure, score
from migrator.status import WIDTH, cut, moment, percent, seconds, standings
from state.model import ItemState, MailboxRow
from state.store import Ledger

PASSES = 5
ACTS = 8
NOTES = 5
_PROBED = frozenset({"probe.composed", "probe.cap", "probe.at-once", "probe.mailboxes-yes"})
"""What probes were answered that changes how this mailbox is carried."""


def gather(ledger: Ledger, mailbox: MailboxRow, rule: Rule, *, now: float | None = None) -> dict[str, Any]:
    """The whole screen as plain values; what ``show`` prints and ``--json`` tells. Times are wall-clock seconds."""
    now = time.time() if now is None else now
    row = next(one for one in standings(ledger, mailbox.wave, now=now) if one.source == mailbox.source)
    counts: Counter[str] = Counter()
    for _, tally in ledger.tallies(mailbox.id):
        counts[tally.state.name] += tally.items
    passes = ledger.passes(mailbox.id, LOOKED_AT)
    reasons = Counter((one.reason, one.state) for one in ledger.refusals(mailbox.id))
    acts = ledger.plans.acts(mailbox.id, last=ACTS)
    about_wave = [one for one in ledger.plans.acts(wave=mailbox.wave, last=ACTS) if one.mailbox_id is None]
    graded = score(measure(ledger, [mailbox.id])[mailbox.id], rule)
    return {
        "mailbox": asdict(row),
        "came_from": mailbox.came_from.value if mailbox.came_from else None,
        "details": ledger.plans.details().get(mailbox.id, {}),
        "counts": dict(counts),
        "unaccounted": off_by(last_told(passes)),
        "folders": len(ledger.folders(mailbox.id)),
        "left_alone": len(ledger.left_alone(mailbox.id)),
        "score": asdict(graded),
        "refusals": [
            {"reason": reason, "state": state.name, "items": number, "what_to_do": advice(reason).operator}
            for (reason, state), number in reasons.most_common()
        ],
        "passes": [
            {
                "kind": one.kind.value,
                "state": one.state.value,
                "started": one.started,
                "ended": one.ended,
                "cause": one.cause,
                "carried": int(sum(one.figures.get(word, 0) for word in ("created", "updated", "flagged", "moved", "removed"))),
                "bytes": int(one.figures.get("bytes", 0)),
            }
            for one in passes[:PASSES]
        ],
        "probed": [language("en").say(one) for one in sayings(ledger.plans.answers()) if one.key in _PROBED],
        "settings": ledger.settings.counts().get(mailbox.id, {}),
        "confirmations": [asdict(one) for one in ledger.plans.confirmations(mailbox.id)],
        "observations": {one.kind: {"at": one.at, **one.about} for one in ledger.plans.observed(mailbox_id=mailbox.id)},
        "acts": [asdict(one) for one in sorted([*acts, *about_wave], key=lambda one: -one.at)[:ACTS]],
        "notes": [{"at": one.at, "text": one.text} for one in ledger.notes(mailbox.id, NOTES)],
        "now": now,
    }


def lines(told: dict[str, Any], width: int = WIDTH) -> list[str]:
    """The screen, none of its lines longer than ``width``."""
    row, now = told["mailbox"], told["now"]
    final = forecast.Span(**row["final"]) if row["final"] else None
    found = [
        ("", f"{row['source']} -> {row['target']}, wave {row['wave']}"),
        ("state", row["state"] + (f", was {told['came_from']}" if told["came_from"] else "")),
        ("waits for", row["waiting_for"]),
        ("items", _counts(told["counts"])),
        (
            "so far",
            f"{percent(row['share'])} % of {row['items']:,} items, {row['gigabytes']:,.2f} GB, {told['folders']} folders"
            + (f"; {told['unaccounted']:,} not accounted for" if told["unaccounted"] else ""),
        ),
        ("grade", f"{told['score']['grade']}: {told['score']['why']}" + _by(told["score"])),
    ]
    if not row["flipped"]:
        behind = "-" if row["behind"] is None else forecast.duration(row["behind"])
        found.append(("behind", f"{behind}; a final pass would take {forecast.span(final)} now"))
    if told["left_alone"]:
        found.append(("theirs", f"{told['left_alone']:,} items are left as the target's user has them"))
    for one in told["refusals"]:
        found.append(("did not go", f"{one['items']:,} {one['state'].lower()}: {one['reason']}. {one['what_to_do']}"))
    for one in told["passes"]:
        found.append(("pass", _pass(one, now)))
    found += [("probe", one) for one in told["probed"]]
    if told["settings"]:
        found.append(("settings", ", ".join(f"{number} {word}" for word, number in told["settings"].items())))
    for one in told["confirmations"]:
        found.append(("step", f"{one['step']}: {one['result']} {moment(one['at'], now)} by {one['who']} {one['detail']}"))
    for kind, about in told["observations"].items():
        found.append(("seen", f"{kind}, {moment(about['at'], now)}: {_about(about, now)}"))
    found += [("said", f"{name}: {value}") for name, value in told["details"].items() if not isinstance(value, dict)]
    for one in told["acts"]:
        why = f": {one['why']}" if one["why"] else ""
        found.append(("act", f"{moment(one['at'], now)} {one['who']} {one['what']}{why}"))
    found += [("note", f"{moment(one['at'], now)} {one['text']}") for one in told["notes"]]
    return [line for name, value in found for line in (_lines(name, value, width) if name else [cut(value, width)])]


_DEEP = 11
_MOST = 3
"""Lines that one fact may take, so that all of them stay on a screen."""


def _lines(name: str, value: str, width: int) -> list[str]:
    parts = textwrap.wrap(" ".join(value.split()), width - _DEEP) or [""]
    if len(parts) > _MOST:
        parts = [*parts[: _MOST - 1], cut(" ".join(parts[_MOST - 1 :]), width - _DEEP)]
    return [f"{name if at == 0 else '':<{_DEEP}}{part}" for at, part in enumerate(parts)]


def _counts(counts: dict[str, int]) -> str:
    order = [state.name for state in ItemState]
    return ", ".join(f"{counts[name]:,} {name}" for name in order if counts.get(name)) or "none listed yet"


def _by(graded: dict[str, Any]) -> str:
    return f"; {graded['by']} has to approve" if graded["by"] else ""


def _pass(one: dict[str, Any], now: float) -> str:
    spent = forecast.duration(one["ended"] - one["started"]) if one["ended"] else "still going"
    cause = f": {one['cause']}" if one["cause"] else ""
    return f"{moment(one['started'], now)} {one['kind']} {one['state']}, {spent}, {one['carried']:,} items carried{cause}"


def _about(about: dict[str, Any], now: float) -> str:
    parts = []
    for name, value in about.items():
        if name == "at" or isinstance(value, list) or value in (None, "", {}):
            continue
        if isinstance(value, dict):
            parts += [f"{key} {_number(number)}" for key, number in value.items()]
        elif isinstance(value, str) and (when := seconds(value)) is not None:
            parts.append(f"{name.replace('_', ' ')} {moment(when, now)}")
        else:
            parts.append(f"{name.replace('_', ' ')} {value}")
    return ", ".join(parts)


def _number(value: Any) -> str:
    """What stands behind a name; of a class's figures its items are told."""
    return f"{value.get('items', ''):,}" if isinstance(value, dict) and isinstance(value.get("items"), int) else str(value)
