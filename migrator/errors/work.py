"""What did not go, as work for a person: found, grouped, tried again or approved, with who decided it and why.

    gather    refused and withheld items of some mailboxes, from the ledger alone
    choose    those that a person named: by key, by reason, or all
    retry     back on the work list, as if they had never been tried
    approve   they stay behind, and that is all right: a run no longer ends with 2 because of them
    skip      they stay behind for good, whatever becomes of them; also what is still on the work list, and fails again and again

A key may be cut short as long as it names one item only. Nothing here asks a server.
"""

from __future__ import annotations

import getpass
import socket
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from msgspec.structs import replace

from migrator.config import BadInput
from migrator.engine import plan
from migrator.engine.conservation import path_of
from migrator.errors.advice import advice
from state.approvals import SKIPPED, STAYED
from state.model import Choice, Decision, ItemState, Kept, MailboxRow, Mark, Open, Row, Step, Work
from state.store import Ledger

SHORT = 8
"""Letters of a key that are shown, more where two items would look alike."""

_LEASE = 60.0
_AT_ONCE = 500
_UNKNOWN = "unknown"
_WHOLE = 32
"""Letters of a whole key."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stayed:
    """One item that did not go. ``when`` is its own date as ISO 8601 in UTC, empty if the source named none; ``size`` in bytes.

    ``key`` is the whole key in hex; ``kept`` the file that holds its content, empty if none does.
    """

    wave: str
    mailbox: str
    folder: str
    item_class: str
    when: str
    size: int
    state: str
    reason: str
    detail: str
    code: str
    work: str
    lane: str
    key: str
    approved: bool
    kept: str
    mailbox_id: int
    item_id: str

    @property
    def again(self) -> bool:
        """Whether trying it again is safe."""
        return advice(self.reason).again


def gather(ledger: Ledger, mailboxes: Iterable[MailboxRow], reason: str = "") -> list[Stayed]:
    """What did not go, by mailbox and folder; ``reason`` narrows it to that reason or code."""
    found: list[Stayed] = []
    for mailbox in mailboxes:
        approved = ledger.approvals.approved(mailbox.id).get(mailbox.id, frozenset())
        kept = {one.key: one for one in ledger.approvals.kept(mailbox.id)}
        folders = ledger.folders(mailbox.id)
        named = {folder.source_id: folder for folder in folders}
        paths = {folder.id: path_of(folder, named) for folder in folders}
        for row, opened in ledger.open_rows(mailbox.id, STAYED):
            if reason and reason not in (opened.reason, opened.code):
                continue
            path = paths.get(row.folder_id, "")
            found.append(_stayed(mailbox, row, opened, path, row.key in approved, kept.get(row.key)))
    return found


def _stayed(
    mailbox: MailboxRow, row: Row, opened: Open, path: str, approved: bool, kept: Kept | None, *, known: bool = True
) -> Stayed:
    facts = plan.unpack_facts(opened.facts)
    when = facts.start or facts.submitted or facts.received or facts.created
    return Stayed(
        wave=mailbox.wave,
        mailbox=mailbox.source,
        folder=path,
        item_class=facts.item_class if known else "",
        when=when.astimezone(UTC).isoformat(timespec="seconds") if when else "",
        size=row.size,
        state=row.state.name,
        reason=opened.reason,
        detail=opened.detail,
        code=opened.code,
        work=opened.work.value if known else "",
        lane=row.lane,
        key=row.key.hex(),
        approved=approved,
        kept=kept.file if kept else "",
        mailbox_id=mailbox.id,
        item_id=opened.item_id,
    )


def find(ledger: Ledger, mailboxes: Iterable[MailboxRow], key: str) -> Stayed:
    """One item by its key: one that did not go, or, by its whole key, any that the ledger knows. Raises BadInput."""
    mailboxes = list(mailboxes)
    wanted = key.strip().lower()
    try:
        [found] = choose(gather(ledger, mailboxes), [wanted])
        return found
    except BadInput:
        if len(wanted) != _WHOLE or set(wanted) - set("0123456789abcdef"):
            raise
        whole = bytes.fromhex(wanted)
        for mailbox in mailboxes:
            if (row := ledger.rows(mailbox.id, [whole]).get(whole)) is not None:
                folders = ledger.folders(mailbox.id)
                named = {folder.source_id: folder for folder in folders}
                path = next((path_of(folder, named) for folder in folders if folder.id == row.folder_id), "")
                opened = ledger.opens(mailbox.id, [whole]).get(whole)
                return _stayed(
                    mailbox, row, opened or Open(item_id="", work=Work.CREATE), path, False, None, known=opened is not None
                )
        raise


def by_reason(items: Iterable[Stayed]) -> list[tuple[str, list[Stayed]]]:
    """The items in groups by reason, the largest group first."""
    groups: dict[str, list[Stayed]] = defaultdict(list)
    for one in items:
        groups[one.reason].append(one)
    return sorted(groups.items(), key=lambda group: (-len(group[1]), group[0]))


def short_keys(items: Sequence[Stayed]) -> dict[str, str]:
    """The beginning of each key that names it among these."""
    ordered = sorted({one.key for one in items})
    short: dict[str, str] = {}
    for at, key in enumerate(ordered):
        size = SHORT
        for near in ordered[max(0, at - 1) : at] + ordered[at + 1 : at + 2]:
            same = next((place for place in range(len(key)) if key[place] != near[place : place + 1]), len(key))
            size = max(size, same + 1)
        short[key] = key[:size]
    return short


def choose(items: Sequence[Stayed], keys: Sequence[str]) -> list[Stayed]:
    """The items that these keys, or beginnings of keys, name. Raises BadInput for one that names none, or several."""
    chosen: dict[tuple[int, str], Stayed] = {}
    for asked in keys:
        wanted = asked.strip().lower()
        if not wanted or set(wanted) - set("0123456789abcdef"):
            raise BadInput(f"{asked!r} is no key of an item; take one from `migrator errors list`.")
        hits = [one for one in items if one.key.startswith(wanted)]
        if not hits:
            raise BadInput(f"No item that did not go has a key that begins with {wanted}; see `migrator errors list`.")
        if len(hits) > 1:
            raise BadInput(f"{wanted} is the beginning of {len(hits)} keys; write more of it.")
        chosen[hits[0].mailbox_id, hits[0].key] = hits[0]
    return list(chosen.values())


def approve(ledger: Ledger, items: Sequence[Stayed], who: str, why: str, *, clock: Callable[[], float] = time.time) -> int:
    """Write down that these may stay behind; how many those are. What changed since it was gathered is left out."""
    now = clock()
    decided: list[Decision] = []
    for mailbox_id, mine in _by_mailbox(items):
        for row, opened in _as_now(ledger, mailbox_id, mine):
            decided.append(_decision(mailbox_id, row, opened, Choice.APPROVED, who, why, now))
    ledger.approvals.decide(decided)
    return len(decided)


def unskippable(row: Row | None, opened: Open | None) -> str:
    """Why an item can't be skipped, in a few words; empty if it can."""
    if row is None or opened is None or row.state in (ItemState.GONE, ItemState.DONE):
        return "it has arrived, or has left the source"
    if row.target is not None or opened.work is not Work.CREATE:
        return "its copy is in the target; `migrator errors approve` leaves a change to it behind"
    if row.state is ItemState.INTENDED or row.marks & Mark.REWRITTEN:
        return "a write of it is in doubt; let a pass end first"
    if row.state is ItemState.FILTERED:
        return "a rule keeps it back already"
    if row.state is ItemState.WITHHELD:
        return "it is withheld for somebody's sake; `migrator errors approve` lets it stay so"
    return ""


def skip(
    ledger: Ledger, items: Sequence[Stayed], who: str, why: str, owner: str, *, clock: Callable[[], float] = time.time
) -> int:
    """Leave these behind for good: refused under that name, and kept so whatever is new about them; how many those are.

    What can't be skipped (``unskippable``) is left out. Raises LeaseHeld as ``retry`` does.
    """

    def pairs(mailbox_id: int, some: Sequence[Stayed]) -> list[tuple[Row, Open]]:
        keys = [bytes.fromhex(one.key) for one in some]
        rows, opens = ledger.rows(mailbox_id, keys), ledger.opens(mailbox_id, keys)
        return [(rows[key], opens[key]) for key in keys if not unskippable(rows.get(key), opens.get(key))]

    return _decide_under_lease(ledger, items, owner, clock, pairs, as_skipped, Choice.SKIPPED, who, why)


def as_skipped(row: Row, opened: Open) -> Step:
    """The step that leaves it behind, refused by a person."""
    return Step(row, replace(row, state=ItemState.REFUSED), replace(opened, reason=SKIPPED, detail="", code=""))


def retry(
    ledger: Ledger, items: Sequence[Stayed], who: str, why: str, owner: str, *, clock: Callable[[], float] = time.time
) -> int:
    """Put these back on the work list, so that the next pass tries them again; how many those are.

    Nothing is retried that could e-mail somebody or make a further copy: the caller leaves those out, and so does this. Raises
    LeaseHeld while a pass runs over one of the mailboxes; the mailboxes before it are done then.
    """
    again = [one for one in items if one.again]
    pairs = lambda mailbox_id, some: _as_now(ledger, mailbox_id, some)  # noqa: E731
    return _decide_under_lease(ledger, again, owner, clock, pairs, as_new, Choice.RETRIED, who, why)


def _decide_under_lease(
    ledger: Ledger,
    items: Iterable[Stayed],
    owner: str,
    clock: Callable[[], float],
    pairs_of: Callable[[int, Sequence[Stayed]], list[tuple[Row, Open]]],
    step_of: Callable[[Row, Open], Step],
    choice: Choice,
    who: str,
    why: str,
) -> int:
    """Move rows and write down who wanted that, mailbox by mailbox; how many were moved."""
    total = 0
    for mailbox_id, mine in _by_mailbox(items):
        lease = ledger.lease(mailbox_id, owner, _LEASE)
        try:
            for at in range(0, len(mine), _AT_ONCE):
                pairs = pairs_of(mailbox_id, mine[at : at + _AT_ONCE])
                if not pairs:
                    continue
                ledger.renew(lease, _LEASE)
                now = clock()
                ledger.approvals.retry(
                    lease,
                    [step_of(row, opened) for row, opened in pairs],
                    [_decision(mailbox_id, row, opened, choice, who, why, now) for row, opened in pairs],
                )
                total += len(pairs)
        finally:
            ledger.release(lease)
    return total


def as_new(row: Row, opened: Open) -> Step:
    """The step that lets the next pass do it as if it had never been tried: judged anew, and in the lane that comes first.

    A refusal is a server's word that it did nothing, so nothing has to be looked for first.
    """
    state = ItemState.DOOMED if opened.work is Work.REMOVE else ItemState.LISTED
    clean = replace(opened, reason="", detail="", code="", epoch=0, batch=0, intended_at=0.0, old_target=None)
    return Step(row, replace(row, state=state, lane=row.lane if row.target else ""), clean)


def _by_mailbox(items: Iterable[Stayed]) -> Iterator[tuple[int, list[Stayed]]]:
    groups: dict[int, list[Stayed]] = defaultdict(list)
    for one in items:
        groups[one.mailbox_id].append(one)
    yield from sorted(groups.items())


def _as_now(ledger: Ledger, mailbox_id: int, items: Sequence[Stayed]) -> list[tuple[Row, Open]]:
    """The rows of these items as they are now, without those that a pass has settled or refused otherwise in the meantime."""
    reasons = {bytes.fromhex(one.key): one.reason for one in items}
    rows = ledger.rows(mailbox_id, list(reasons))
    opens = ledger.opens(mailbox_id, list(reasons))
    return [
        (row, opens[key])
        for key, reason in reasons.items()
        if (row := rows.get(key)) is not None and row.state in STAYED and key in opens and opens[key].reason == reason
    ]


def _decision(mailbox_id: int, row: Row, opened: Open, choice: Choice, who: str, why: str, now: float) -> Decision:
    return Decision(
        mailbox_id=mailbox_id,
        key=row.key,
        version=row.version,
        reason=opened.reason,
        decision=choice,
        who=who,
        why=why,
        at=now,
    )


def who_am_i() -> str:
    """The account that runs this, and on which host."""
    try:
        user = getpass.getuser()
    except (OSError, KeyError, ImportError):  # an account without a name
        user = _UNKNOWN
    return f"{user}@{socket.gethostname() or _UNKNOWN}"


def moment(seconds: float) -> str:
    """Wall-clock seconds for people."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M UTC")
