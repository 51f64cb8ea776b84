"""What people plan and do around the items: waves and what their spreadsheet said, acts of operators, confirmed steps, what was
observed about a mailbox, and what a probe was answered.

Nothing here is fenced: none of it says that an item was carried. Whatever is told as a dict is kept as JSON.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol, TypeVar

from sqlalchemy import Connection, insert, select, text, update

from state import places
from state.model import MailboxRow, PassRow
from state.records import cleaned, mailbox_of, pass_of
from state.schema import acts, answers, confirmations, folders, installation, mailboxes, observations, waves

T = TypeVar("T")


class WaveState(StrEnum):
    """Whether the mailboxes of a wave may run."""

    OPEN = "OPEN"
    PAUSED = "PAUSED"  # the operator stopped it for a while; what is under way ends at its next lot
    STOPPED = "STOPPED"  # the operator gave it up


@dataclass(frozen=True, slots=True, kw_only=True)
class WaveRow:
    """One wave. ``details`` hold its schedule and whatever else belongs to all its mailboxes."""

    name: str
    at: float
    state: WaveState
    details: dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Act:
    """One thing that an operator did: who, when (wall-clock seconds), what, to which wave or mailbox, and why."""

    at: float
    who: str
    what: str
    wave: str
    mailbox_id: int | None
    why: str
    about: dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Confirmation:
    """One step outside of this program, done by a person for one mailbox. ``result``: done, failed or undone."""

    mailbox_id: int
    step: str
    at: float
    who: str
    result: str
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """The last thing seen of one kind about one mailbox."""

    mailbox_id: int
    kind: str
    at: float
    about: dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a probe found out. ``question`` and ``subject`` name it (``lane import`` of ``IPM.Appointment``); ``build`` is the
    source server's version. The last answer counts."""

    question: str
    subject: str
    build: str
    at: float
    answer: str
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Intended:
    """What a spreadsheet wants of one mailbox. ``said`` is kept as its observation of the kind ``file``."""

    wave: str
    source: str
    target: str
    details: dict[str, Any]
    said: dict[str, Any]


class _Reading(Protocol):
    def __call__(self, unit: Callable[[Connection], T]) -> T: ...


class _Writing(Protocol):
    def __call__(self, unit: Callable[[Connection], T], *, durable: bool = True) -> T: ...


_KEEP_WAVE = text(
    "INSERT INTO waves (name, at, state, details) VALUES (:name, :at, :state, :details)"
    " ON CONFLICT (name) DO UPDATE SET state = excluded.state, details = excluded.details"
)
_CONFIRM = text(
    "INSERT INTO confirmations (mailbox_id, step, at, who, result, detail) VALUES"
    " (:mailbox_id, :step, :at, :who, :result, :detail)"
    " ON CONFLICT (mailbox_id, step) DO UPDATE SET at = excluded.at, who = excluded.who, result = excluded.result,"
    " detail = excluded.detail"
)
_OBSERVE = text(
    "INSERT INTO observations (mailbox_id, kind, at, about) VALUES (:mailbox_id, :kind, :at, :about)"
    " ON CONFLICT (mailbox_id, kind) DO UPDATE SET at = excluded.at, about = excluded.about"
)
_WANTED = text("UPDATE mailboxes SET wave = :wave, target = :target, details = :details WHERE id = :mailbox_id")
_LAST_PASSES = text(
    "SELECT p.*, (SELECT COUNT(*) FROM passes t WHERE t.mailbox_id = p.mailbox_id AND t.id >"
    "  COALESCE((SELECT MAX(d.id) FROM passes d WHERE d.mailbox_id = p.mailbox_id AND d.state = 'DONE'), 0)) AS tries"
    " FROM passes p WHERE p.id IN (SELECT MAX(id) FROM passes GROUP BY mailbox_id)"
)
_ANSWER = text(
    "INSERT INTO answers (question, subject, build, at, answer, detail) VALUES"
    " (:question, :subject, :build, :at, :answer, :detail)"
    " ON CONFLICT (question, subject, build) DO UPDATE SET at = excluded.at, answer = excluded.answer, detail = excluded.detail"
)


class Plans:
    """The ledger's part for people's plans and acts. Made by ``Ledger.plans``; one method is one transaction."""

    def __init__(self, read: _Reading, write: _Writing) -> None:
        self._read = read
        self._write = write

    def details(self) -> dict[int, dict[str, Any]]:
        """What the spreadsheet said of each mailbox beyond wave, source and target, by the mailbox's number."""
        query = select(mailboxes.c.id, mailboxes.c.details).order_by(mailboxes.c.id)
        return self._read(lambda db: {found.id: json.loads(found.details) for found in db.execute(query)})

    def details_of(self, mailbox_id: int) -> dict[str, Any]:
        """The same of one mailbox alone."""
        query = select(mailboxes.c.details).where(mailboxes.c.id == mailbox_id)
        return self._read(lambda db: json.loads(db.execute(query).scalar() or "{}"))

    def describe(self, mailbox_id: int, details: Mapping[str, Any]) -> None:
        """Replace what is kept of the spreadsheet for one mailbox."""
        mine = update(mailboxes).where(mailboxes.c.id == mailbox_id)
        self._write(lambda db: db.execute(mine.values(details=_packed(details))))

    def take_in(self, intended: Sequence[Intended]) -> None:
        """Put mailboxes into the ledger as a spreadsheet wants them, all or none: new ones are planned, known ones get its wave,
        target and details. Whoever calls has made sure that a target that changes holds nothing of ours."""

        def known(db: Connection) -> dict[str, tuple[int, str]]:
            table = mailboxes.c
            found = db.execute(select(table.source_folded, table.id, table.target))
            return {one.source_folded: (one.id, one.target.casefold()) for one in found}

        def unit(db: Connection) -> None:
            db.execute(select(installation.c.id).with_for_update())  # as whoever plans does
            before = known(db)
            new = [one for one in intended if one.source.casefold() not in before]
            if new:
                rows = [
                    {"source": one.source, "target": one.target, "wave": one.wave, **places.new_mailbox(one.source)}
                    for one in new
                ]
                db.execute(insert(mailboxes), rows)
            numbers = known(db)
            for one in intended:
                number, target = before.get(one.source.casefold(), (0, ""))
                if number and target != one.target.casefold():
                    db.execute(update(folders).where(folders.c.mailbox_id == number).values(target_id=None))
            now = time.time()
            values = [
                {
                    "mailbox_id": numbers[one.source.casefold()][0], "wave": one.wave, "target": one.target,
                    "details": _packed(one.details), "kind": "file", "at": now, "about": _packed(one.said),
                }
                for one in intended
            ]  # fmt: skip
            if values:
                db.execute(_WANTED, values)
                db.execute(_OBSERVE, values)

        self._write(unit)

    def regroup(self, mailbox_id: int, wave: str) -> MailboxRow:
        """Put a mailbox into another wave."""

        def unit(db: Connection) -> MailboxRow:
            db.execute(update(mailboxes).where(mailboxes.c.id == mailbox_id).values(wave=wave))
            return mailbox_of(db.execute(select(mailboxes).where(mailboxes.c.id == mailbox_id)).one())

        return self._write(unit)

    def waves(self) -> dict[str, WaveRow]:
        """The waves that somebody said something about, by name; any other one is OPEN and without details."""

        def unit(db: Connection) -> dict[str, WaveRow]:
            return {
                found.name: WaveRow(
                    name=found.name, at=found.at, state=WaveState(found.state), details=json.loads(found.details)
                )
                for found in db.execute(select(waves).order_by(waves.c.name))
            }  # fmt: skip

        return self._read(unit)

    def keep_wave(self, name: str, state: WaveState, details: Mapping[str, Any]) -> None:
        """Write down how a wave stands; the last word counts."""
        values = {"name": name, "at": time.time(), "state": state.value, "details": _packed(details)}
        self._write(lambda db: db.execute(_KEEP_WAVE, values))

    def act(
        self, who: str, what: str, *, wave: str = "", mailbox_id: int | None = None, why: str = "", **about: object
    ) -> None:  # fmt: skip
        """Add one line to the trail of what operators did. ``about`` never holds a subject, an address of a third person or a
        secret."""
        values = {
            "at": time.time(), "who": cleaned(who), "what": what, "wave": wave, "mailbox_id": mailbox_id,
            "why": cleaned(why), "about": _packed(about),
        }  # fmt: skip
        self._write(lambda db: db.execute(insert(acts).values(values)))

    def acts(
        self, mailbox_id: int | None = None, wave: str | None = None, last: int | None = None, what: str | None = None
    ) -> list[Act]:
        """What operators did, newest first; of one mailbox or one wave, or one kind of act, if that is named."""
        query = select(acts).order_by(acts.c.id.desc())
        query = query if mailbox_id is None else query.where(acts.c.mailbox_id == mailbox_id)
        query = query if wave is None else query.where(acts.c.wave == wave)
        query = query if what is None else query.where(acts.c.what == what)
        query = query if last is None else query.limit(last)

        def unit(db: Connection) -> list[Act]:
            return [
                Act(
                    at=found.at, who=found.who, what=found.what, wave=found.wave, mailbox_id=found.mailbox_id,
                    why=found.why, about=json.loads(found.about),
                )
                for found in db.execute(query)
            ]  # fmt: skip

        return self._read(unit)

    def confirm(self, mailbox_id: int, step: str, who: str, result: str, detail: str = "") -> None:
        """Write down that a step outside of this program was done, or was not; the last word counts."""
        values = {
            "mailbox_id": mailbox_id, "step": step, "at": time.time(), "who": cleaned(who),
            "result": result, "detail": cleaned(detail),
        }  # fmt: skip
        self._write(lambda db: db.execute(_CONFIRM, values))

    def confirmations(self, mailbox_id: int | None = None) -> list[Confirmation]:
        """What was confirmed, by mailbox and step."""
        query = select(confirmations).order_by(confirmations.c.mailbox_id, confirmations.c.step)
        query = query if mailbox_id is None else query.where(confirmations.c.mailbox_id == mailbox_id)
        return self._read(lambda db: [Confirmation(**found._mapping) for found in db.execute(query)])

    def observe(self, mailbox_id: int, kind: str, about: Mapping[str, Any]) -> None:
        """Write down what was seen of a mailbox; the last sight of each kind is kept."""
        values = {"mailbox_id": mailbox_id, "kind": kind, "at": time.time(), "about": _packed(about)}
        self._write(lambda db: db.execute(_OBSERVE, values), durable=False)

    def observe_all(self, kind: str, about: Mapping[int, Mapping[str, Any]]) -> None:
        """The same for many mailboxes at once."""
        now = time.time()
        values = [{"mailbox_id": one, "kind": kind, "at": now, "about": _packed(seen)} for one, seen in about.items()]
        if values:
            self._write(lambda db: db.execute(_OBSERVE, values), durable=False)

    def last_passes(self) -> dict[int, tuple[PassRow, int]]:
        """The last pass of each mailbox, and how many passes in a row did not come to their end, that one included."""

        def unit(db: Connection) -> dict[int, tuple[PassRow, int]]:
            return {
                found.mailbox_id: (pass_of(found), int(found.tries)) for found in db.execute(_LAST_PASSES)
            }  # fmt: skip

        return self._read(unit)

    def observed(self, kind: str | None = None, mailbox_id: int | None = None) -> list[Observation]:
        """What was seen, of one kind or mailbox if that is named; by mailbox and kind."""
        query = select(observations).order_by(observations.c.mailbox_id, observations.c.kind)
        query = query if kind is None else query.where(observations.c.kind == kind)
        query = query if mailbox_id is None else query.where(observations.c.mailbox_id == mailbox_id)

        def unit(db: Connection) -> list[Observation]:
            return [
                Observation(mailbox_id=found.mailbox_id, kind=found.kind, at=found.at, about=json.loads(found.about))
                for found in db.execute(query)
            ]

        return self._read(unit)

    def answer(self, question: str, subject: str, build: str, answer: str, detail: str = "") -> None:
        """Write down what a probe was answered; the last word counts."""
        values = {
            "question": question, "subject": subject, "build": build, "at": time.time(),
            "answer": answer, "detail": cleaned(detail),
        }  # fmt: skip
        self._write(lambda db: db.execute(_ANSWER, values))

    def answers(self) -> list[Answer]:
        """What probes were answered, by question, subject and build."""
        query = select(answers).order_by(answers.c.question, answers.c.subject, answers.c.build)
        return self._read(lambda db: [Answer(**found._mapping) for found in db.execute(query)])


def _packed(about: Mapping[str, Any]) -> str:
    return cleaned(json.dumps(about, ensure_ascii=False, sort_keys=True, separators=(",", ":")))
