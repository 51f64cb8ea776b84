"""A report as plain values: what ``report --json`` prints and report.json holds. Its sentences are in English."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from datetime import date
from enum import Enum
from typing import Any

from migrator.counts import iso
from migrator.reporting.facts import Facts, MailboxLine, Saying
from migrator.reporting.words import language

_SUMS = (
    "listed", "done", "pending", "refused", "withheld", "approved", "filtered", "backfill", "left", "bytes", "bytes_pending",
    "moved", "counted", "unlisted", "unaccounted", "late",
)  # fmt: skip


def told(facts: Facts) -> dict[str, Any]:
    """The whole report; moments are ISO 8601 in UTC."""
    say = language("en")
    return {
        "made": iso(facts.made),
        "wave": facts.wave or "all waves",
        "installation": facts.installation,
        "light": facts.light.value,
        "sentence": say.say(facts.sentence),
        "date": say.say(facts.why_date),
        "forecast": _plain(facts.forecast),
        "totals": {
            "mailboxes": len(facts.mailboxes),
            **{word: facts.total(word) for word in _SUMS},
            "balance": sum(abs(line.balance) for line in facts.mailboxes),
        },
        "wanted": [
            {"what": say.say(one.saying), "who": one.who, "until": iso(one.until), "urgent": one.urgent} for one in facts.wanted
        ],
        "waves": [_plain(wave) for wave in facts.waves],
        "mailboxes": [_mailbox(line) for line in facts.mailboxes],
        "reasons": _by_reason(facts),
        "reasons_by_state": [_plain(one) for one in facts.reasons],
        "filtered": [_plain(one) for one in facts.filtered],
        "degraded": facts.degraded,
        "left_behind": facts.left_behind,
        "probed": [say.say(one) for one in facts.probed],
        "approvals": [_plain(one) for one in facts.approvals],
        "waited": facts.waits,
        "late": [_plain(one) for one in facts.late],
        "days": [_plain(one) for one in facts.days],
        "refusals": [_plain(one) for one in facts.stayed],
        "refusals_not_shown": facts.stayed_not_shown,
        "left_alone": [_plain(one) for one in facts.left_alone],
        "left_alone_not_shown": facts.left_alone_not_shown,
    }


def _by_reason(facts: Facts) -> dict[str, int]:
    reasons: dict[str, int] = {}
    for one in facts.reasons:
        reasons[one.reason] = reasons.get(one.reason, 0) + one.items
    return reasons


def _mailbox(line: MailboxLine) -> dict[str, Any]:
    plain = _plain(line)
    last = " ".join(part for part in (line.last_pass, line.last_pass_state) if part)
    return {**plain, "last_pass": last or "none yet", "moved": line.moved, "share": line.share}


_MOMENTS = frozenset({"made", "early", "late", "due", "at", "last_pass_at", "complete_after", "oldest_pass"})


def _plain(value: Any, name: str = "") -> Any:
    if isinstance(value, Saying):
        return language("en").say(value)
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, float) and name in _MOMENTS:
        return iso(value)
    if hasattr(value, "__dataclass_fields__"):
        return {word: _plain(one, word) for word, one in asdict(value).items()}
    if isinstance(value, Mapping):
        return {word: _plain(one, str(word)) for word, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    return value
