"""Whether mail really takes its new way, by what arrives: the only proof that routing works.

Every pass reads the source's changes anyway; ``Lookout`` looks over their shoulder. What came in after the flip is
late mail, and its headers say which host still delivers to the old side. The target is asked for the newest of its inbox; what no
row of the ledger owns there came natively.

The sight ``arrivals`` holds ``last_in_source`` and ``last_in_target`` (ISO 8601 in UTC), ``late`` (host: count), ``late_items``,
``sent_from_old``, and ``seen``: short keys of what was counted, so that a listing read again counts nothing twice. Hosts only: no
address, no subject, no name of a person. ``noted`` holds the refs of late mail that a pass met and did not count yet, and of what
was sent from the old side: they are written down before the page's cursor moves, or a killed pass would have them forgotten.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Protocol

from connectors.base import Entry, Folder, Item, Lane, Page, Put, Ref, Role, Source, item_key
from connectors.wrappers import AroundSource
from migrator.cutover.positions import flip_of
from state.model import MailboxRow
from state.store import Ledger

SIGHT = "arrivals"
UNKNOWN = "unknown"
"""The host of late mail whose headers name none."""

_NOT_RECEIVED = frozenset({Role.SENT, Role.DRAFTS, Role.OUTBOX, Role.DELETED})
_MAIL = ("ipm.note", "ipm.schedule", "report")
_SEEN = 2000
_HEADERS = 200
_NEWEST = 50


class Look(Protocol):
    """What a cutover wants to see of a target mailbox; never writes."""

    def newest(self, limit: int) -> Sequence[Entry]:
        """The newest messages of the inbox, newest first."""
        ...

    def everything(self) -> Iterator[tuple[str, Entry]]:
        """Every item of every folder, with the folder's path."""
        ...

    def content(self, item_id: str) -> bytes | None:
        """The MIME of a message; None for what has none or is gone."""
        ...


Note = Callable[[Sequence[Ref], Sequence[str]], None]
"""Takes late mail, and the ids of what was sent from the old side, before the page that shows them counts as read."""


class Lookout(AroundSource):
    """A Source that notes what came in since the flip (wall-clock seconds), while a pass reads it."""

    def __init__(self, inner: Source, flip: float | None, note: Note = lambda late, sent: None) -> None:
        super().__init__(inner)
        self._keep = note
        # Servers tell times in whole seconds.
        self._flip = None if flip is None else datetime.fromtimestamp(int(flip), UTC)
        self.last: datetime | None = None
        self.late: dict[str, Ref] = {}
        self.sent: set[str] = set()

    def changes(self, folder: Folder, cursor: str | None) -> Page:
        page = super().changes(folder, cursor)
        before = len(self.late), len(self.sent)
        for change in page.changes:
            if isinstance(change, Put) and change.facts.item_class.casefold().startswith(_MAIL):
                self._note(folder, change)
        if (len(self.late), len(self.sent)) != before:
            self._keep(list(self.late.values())[before[0] :], sorted(self.sent))
        return page

    def _note(self, folder: Folder, put: Put) -> None:
        facts = put.facts
        if folder.role is Role.SENT:
            when = facts.submitted or facts.received
            if self._flip is not None and when is not None and when >= self._flip:
                self.sent.add(put.ref.id)
            return
        if folder.role in _NOT_RECEIVED or facts.received is None:
            return
        if self.last is None or facts.received > self.last:
            self.last = facts.received
        if self._flip is not None and facts.received >= self._flip:
            self.late[put.ref.id] = put.ref


def note(ledger: Ledger, row: MailboxRow, late: Sequence[Ref], sent: Sequence[str]) -> None:
    """Write down what a pass meets and will count at its end, or the next one if this one dies before."""
    before = next((sight.about for sight in ledger.plans.observed(SIGHT, row.id)), {})
    kept = dict(_noted(before))
    noted_late = {**dict(kept["late"]), **{ref.id: ref.version for ref in late}}
    noted_sent = dict.fromkeys([*kept["sent"], *sent])
    noted = {"late": list(noted_late.items())[-_SEEN:], "sent": list(noted_sent)[-_SEEN:]}
    ledger.plans.observe(row.id, SIGHT, {**before, "noted": noted})


def _noted(about: Mapping[str, Any]) -> Mapping[str, Any]:
    return {"late": [], "sent": [], **about.get("noted", {})}


def observe(ledger: Ledger, row: MailboxRow, lookout: Lookout, look: Look | None) -> None:
    """Write down what a pass saw arrive. Raises what the connectors raise."""
    before = next((sight.about for sight in ledger.plans.observed(SIGHT, row.id)), {})
    flip = flip_of(ledger, row.id)
    seen = list(before.get("seen", ()))
    known = set(seen)
    noted = _noted(before)
    late = {ref_id: Ref(ref_id, version) for ref_id, version in noted["late"]} | lookout.late
    fresh = [ref for ref in late.values() if _short(ref.id) not in known]
    sent = [each for each in {*noted["sent"], *lookout.sent} if _short(each) not in known]
    hosts = Counter(before.get("late", {}))
    hosts.update(read_hosts(lookout.inner, fresh))
    native = None if look is None or flip is None else newest_native(ledger, row.id, look, flip)
    about: dict[str, Any] = {
        "last_in_source": _later(before.get("last_in_source"), lookout.last),
        "last_in_target": _later(before.get("last_in_target"), native),
        "late": dict(hosts),
        "late_items": int(before.get("late_items", 0)) + len(fresh),
        "sent_from_old": int(before.get("sent_from_old", 0)) + len(sent),
        "seen": (seen + [_short(ref.id) for ref in fresh] + [_short(each) for each in sent])[-_SEEN:],
    }
    if about != before:
        ledger.plans.observe(row.id, SIGHT, about)


def newest_native(ledger: Ledger, mailbox_id: int, look: Look, since: float) -> datetime | None:
    """When the last message came into the target's inbox that we did not bring; None if none did since then."""
    entries = [
        entry
        for entry in look.newest(_NEWEST)
        if entry.facts.received is not None and entry.facts.received.timestamp() >= int(since)
    ]  # fmt: skip
    owned = ledger.owners(mailbox_id, [entry.id for entry in entries]) if entries else {}
    return max((entry.facts.received for entry in entries if entry.id not in owned and entry.facts.received), default=None)


def read_hosts(source: Source, refs: Sequence[Ref]) -> Counter[str]:
    """Late mail by the host that still delivers to the old side; of many, only the first are read, the others are ``unknown``."""
    counts: Counter[str] = Counter()
    if not refs:
        return counts
    asked = list(refs[:_HEADERS]) if Lane.COMPOSE in source.offers else []
    for at in range(0, len(asked), 20):
        for found in source.fetch(asked[at : at + 20], Lane.COMPOSE):
            headers = found.message.headers if isinstance(found, Item) and found.message else None
            counts[host_of(headers or "")] += 1
    if len(refs) > sum(counts.values()):
        counts[UNKNOWN] += len(refs) - sum(counts.values())
    return counts


_FOLDED = re.compile(r"\r?\n[ \t]+")
_HOP = re.compile(r"^received:\s*from\s+(\S+)(?:.*?\sby\s+(\S+))?", re.IGNORECASE)
_HOST = re.compile(r"^(?=.{1,253}$)[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)+$")


def host_of(headers: str) -> str:
    """The host that handed a message over to the old side: the newest hop that came from another domain than it came to.

    ``Received`` headers stand newest first [RFC 5321 4.4]. A hop that names no host, or an address only, counts for nothing.
    """
    inside = ""
    for line in _FOLDED.sub(" ", headers).splitlines():
        hop = _HOP.match(line)
        if hop is None:
            continue
        came, to = _host(hop[1]), _host(hop[2] or "")
        if came and (not to or _domain(came) != _domain(to)):
            return came
        inside = inside or came
    return inside or UNKNOWN


def _host(word: str) -> str:
    name = word.strip("()[];,").rstrip(".").casefold()
    # An address of four numbers looks like a name, and is none.
    return name if _HOST.match(name) and not name.rpartition(".")[2].isdigit() else ""


def _domain(host: str) -> str:
    return ".".join(host.split(".")[-2:])


def _short(item_id: str) -> str:
    return item_key(item_id)[:6].hex()


def _later(before: str | None, now: datetime | None) -> str | None:
    told = now.astimezone(UTC).isoformat(timespec="seconds") if now else None
    return max(filter(None, (before, told)), default=None)


def seen_of(about: Mapping[str, Any]) -> dict[str, Any]:
    """A sight without its keys, as people and reports want it."""
    return {name: value for name, value in about.items() if name not in ("seen", "noted")}
