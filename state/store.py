"""The ledger: what we know of every item. One method is one transaction is one sentence.

Every method that takes a lease begins with the fence: an update that finds the mailbox still at the lease's epoch, or raises
Fenced with nothing kept. It may be shared by all threads of a process, and a database by many processes.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from types import TracebackType
from typing import Any, Final, TypeVar

from sqlalchemy import Connection, Engine, insert, select, text, update
from sqlalchemy.exc import DBAPIError

from state import leases, places, views
from state.approvals import Approvals
from state.engines import address, connect, connect_to_look, plainly, unbegun
from state.glance import Glance
from state.migrate import make_ready, see_ready
from state.model import (
    PASS_MOVES,
    BoundElsewhere,
    FolderRow,
    IllegalMove,
    ItemState,
    Lease,
    MailboxRow,
    MailboxState,
    Open,
    PassKind,
    PassRow,
    PassState,
    Row,
    Step,
    Tally,
    Work,
)
from state.overview import Overview
from state.plans import Plans
from state.records import Statements, Writes, cleaned, mailbox_of, pass_of, rekey_of, writes_of
from state.schema import hints, installation, mailboxes, notes, passes
from state.settings import SettingRows
from state.views import KeptBack, Note, Refused
from state.writer import GroupWriter, NoWriter, PlainWriter, Writer

T = TypeVar("T")

_STREAMED: Final = 1000


class Ledger:
    """The memory of a migration. Open it with ``Ledger.open``; a context manager."""

    def __init__(self, engine: Engine, *, reads_only: bool = False) -> None:
        self._engine = engine
        self._reader = unbegun(engine)
        sqlite = engine.dialect.name == "sqlite"
        self._writer: Writer = NoWriter() if reads_only else GroupWriter(engine) if sqlite else PlainWriter(engine)
        self._words = Statements(sqlite=sqlite)
        self._token: str | None = None

    @classmethod
    def open(cls, url: str, *, migrate: bool = False) -> Ledger:
        """Open the ledger at ``sqlite:///FILE`` or ``postgresql://…``.

        A file that is not there is made. ``migrate`` brings an older one to this version's schema first; without it NotMigrated
        is raised. Raises ValueError for a URL that names no ledger, LedgerError for a file that is none, and what SQLAlchemy
        raises for a server that does not answer.
        """
        engine = connect(address(url))
        try:
            make_ready(engine, migrate=migrate)
            return cls(engine)
        except BaseException:
            engine.dispose()
            raise

    @classmethod
    def look(cls, url: str) -> Ledger:
        """Open the ledger at an address to read only, beside whoever writes to it. Raises what ``open`` raises; makes nothing."""
        engine = connect_to_look(address(url))
        try:
            see_ready(engine)
            return cls(engine, reads_only=True)
        except BaseException:
            engine.dispose()
            raise

    @property
    def url(self) -> str:
        """Where it lies, as ``open`` takes it: another process can open the same one."""
        where = self._engine.url
        return where.set(drivername=where.get_backend_name()).render_as_string(hide_password=False)

    def close(self) -> None:
        """Finish what is being written and let go of the database."""
        self._writer.close()
        self._engine.dispose()

    def __enter__(self) -> Ledger:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    # -- installation

    def installation(self) -> str:
        """The random name that this ledger was given when it was made."""
        if self._token is None:
            self._token = self._read(lambda db: str(db.scalar(select(installation.c.token))))
        return self._token

    def bind(self, tenant: str, source: str) -> None:
        """Tie the ledger to a tenant and a source organisation; raises BoundElsewhere if it is tied to others."""

        def unit(db: Connection) -> None:
            free = installation.c.tenant.is_(None)
            db.execute(update(installation).where(free).values(tenant=tenant, source=source))
            bound = db.execute(select(installation.c.tenant, installation.c.source)).one()
            if (bound.tenant.casefold(), bound.source.casefold()) != (tenant.casefold(), source.casefold()):
                raise BoundElsewhere(
                    f"This ledger belongs to tenant {bound.tenant} and source {bound.source},"
                    f" but the config names tenant {tenant} and source {source}; give each project a ledger of its own."
                )

        self._write(unit)

    # -- mailboxes

    def plan_mailbox(self, wave: str, source: str, target: str) -> MailboxRow:
        """The row of a source address, made if there is none; addresses are compared without regard to case.

        The wave is the one named last. Raises ValueError if the mailbox is on its way to another target.
        """

        return self._write(lambda db: places.plan_mailbox(db, wave, source, target))

    def mailboxes(self, wave: str | None = None) -> list[MailboxRow]:
        """All mailboxes, or those of one wave, in the order in which they were planned."""
        query = select(mailboxes).order_by(mailboxes.c.id)
        if wave is not None:
            query = query.where(mailboxes.c.wave == wave)
        return self._read(lambda db: [mailbox_of(found) for found in db.execute(query)])

    def mailbox(self, mailbox_id: int) -> MailboxRow:
        """One mailbox; raises LookupError if there is none."""
        return self._read(lambda db: places.mailbox(db, mailbox_id))

    def move_mailbox(self, mailbox_id: int, state: MailboxState, cause: str) -> MailboxRow:
        """Put a mailbox into a state, and say why; raises IllegalMove.

        PAUSED, HELD and FAILED remember the state before, and only that one follows on them. The same state again changes the
        cause only.
        """

        return self._write(lambda db: places.move_mailbox(db, mailbox_id, state, cause))

    def claimed(self, lease: Lease) -> None:
        """Remember that the target mailbox carries our claim."""
        self._fenced(lease, lambda db: leases.change(db, lease, claimed=True))

    def distrust_stamps(self, lease: Lease) -> None:
        """Remember that this mailbox's change stamps are not to be trusted, for good."""
        self._fenced(lease, lambda db: leases.change(db, lease, trusts_stamps=False))

    # -- leases

    def lease(self, mailbox_id: int, owner: str, seconds: float, *, now: float | None = None) -> Lease:
        """Take a mailbox for so many seconds; every lease has an epoch of its own, and fences off those before it.

        Raises LeaseHeld while another owner's lease runs. Without ``now`` the clock is the database's on Postgres.
        """
        return self._write(lambda db: leases.take(db, mailbox_id, owner, seconds, now))

    def renew(self, lease: Lease, seconds: float) -> None:
        """Hold a lease for so many seconds from now; raises Fenced."""
        self._fenced(lease, lambda db: leases.extend(db, lease, seconds), durable=False)

    def release(self, lease: Lease) -> None:
        """Give a lease back; nothing happens if it is lost already."""
        self._write(lambda db: leases.give_back(db, lease), durable=False)

    # -- passes

    def begin_pass(self, lease: Lease, kind: PassKind) -> int:
        """Begin a pass and return its number. Passes that a crash left RUNNING become PAUSED."""

        def unit(db: Connection) -> int:
            table = passes.c
            left = (table.mailbox_id == lease.mailbox_id) & (table.state == PassState.RUNNING.value)
            now = time.time()
            db.execute(update(passes).where(left).values(state=PassState.PAUSED.value, ended=now, cause="superseded"))
            new = {"kind": kind.value, "state": PassState.RUNNING.value, "started": now, "cause": "", "figures": "{}"}
            made = db.execute(insert(passes).values(mailbox_id=lease.mailbox_id, **new)).inserted_primary_key
            return int(made[0]) if made else 0

        return self._fenced(lease, unit)

    def end_pass(self, lease: Lease, pass_id: int, state: PassState, cause: str, figures: dict[str, float]) -> None:
        """End a pass, say why and with what figures. Raises IllegalMove if it has ended already."""

        def unit(db: Connection) -> None:
            mine = (passes.c.id == pass_id) & (passes.c.mailbox_id == lease.mailbox_id)
            now = db.scalar(select(passes.c.state).where(mine))
            if now is None:
                raise LookupError(f"mailbox {lease.mailbox_id} has no pass {pass_id}")
            if state not in PASS_MOVES[PassState(now)]:
                raise IllegalMove(f"pass {pass_id}: {now} can't become {state}")
            values = {"state": state.value, "ended": time.time(), "cause": cleaned(cause), "figures": json.dumps(figures)}
            db.execute(update(passes).where(mine).values(values))

        self._fenced(lease, unit)

    def passes(self, mailbox_id: int | None = None, last: int | None = None) -> list[PassRow]:
        """Passes, newest first: of one mailbox or all, all of them or the ``last`` ones."""
        query = select(passes).order_by(passes.c.id.desc()).limit(last)
        if mailbox_id is not None:
            query = query.where(passes.c.mailbox_id == mailbox_id)
        return self._read(lambda db: [pass_of(found) for found in db.execute(query)])

    # -- folders

    def next_round(self, lease: Lease) -> int:
        """Begin a listing round: the number that rows met in it will carry."""

        def unit(db: Connection) -> int:
            leases.change(db, lease, generation=mailboxes.c.generation + 1)
            return places.mailbox(db, lease.mailbox_id).generation

        return self._fenced(lease, unit)

    def record_folders(self, lease: Lease, listed: Sequence[places.Listed], generation: int) -> list[FolderRow]:
        """Record the whole tree as listed in a round, and return all folders ever seen, also those now absent.

        A folder not met has its ``absent`` raised by one, once a round; one met is at 0 again.
        """

        return self._fenced(lease, lambda db: places.record_folders(db, lease.mailbox_id, listed, generation))

    def folders(self, mailbox_id: int) -> list[FolderRow]:
        """All folders of a mailbox, in the order in which they were first met."""
        return self._read(lambda db: places.folders_of(db, mailbox_id))

    def place_folder(self, lease: Lease, folder_id: int, target_id: str | None) -> None:
        """Remember which target folder stands for a source folder."""
        self._fenced(lease, lambda db: places.change_folder(db, lease.mailbox_id, folder_id, target_id=target_id))

    # -- rows

    def rows(self, mailbox_id: int, keys: Sequence[bytes]) -> dict[bytes, Row]:
        """The rows of these keys; unknown keys are missing."""
        return self._read(lambda db: views.rows(db, mailbox_id, keys))

    def opens(self, mailbox_id: int, keys: Sequence[bytes]) -> dict[bytes, Open]:
        """The open parts of these keys' rows; keys that have none are missing."""
        return self._read(lambda db: views.opens(db, mailbox_id, keys))

    def record_page(
        self,
        lease: Lease,
        folder_id: int,
        steps: Sequence[Step],
        *,
        cursor: str | None,
        fingerprint: str,
        complete: bool,
        generation: int,
        stamp: str | None = None,
        read_at: float | None = None,
    ) -> None:
        """Take in a page of a folder's feed: its rows and the cursor behind it, together or not at all.

        ``complete``: this page was the folder's last, and ``generation`` is the round in which that was so. ``stamp`` is the
        change stamp that all of the feed was read after, ``read_at`` when its end was reached (wall-clock seconds).
        """
        writes = writes_of(lease.mailbox_id, steps)
        values: dict[str, Any] = {"cursor": cursor, "fingerprint": fingerprint, "complete": complete, "change_stamp": stamp}
        if read_at is not None:
            values["read_at"] = read_at
        if complete:
            values["generation"] = generation

        def unit(db: Connection) -> None:
            writes.run(db, self._words)
            places.change_folder(db, lease.mailbox_id, folder_id, **values)

        self._fenced(lease, unit, durable=False)

    def intend(self, lease: Lease, steps: Sequence[Step]) -> None:
        """Write down what is about to be sent. It outlives a loss of power before this returns."""
        self._step(lease, writes_of(lease.mailbox_id, steps), durable=True)

    def settle(self, lease: Lease, steps: Sequence[Step]) -> None:
        """Write down what became of it. After a loss of power the newest may be INTENDED again, and is looked up."""
        self._step(lease, writes_of(lease.mailbox_id, steps), durable=False)

    def rekey(self, lease: Lease, left: Row, came: Row | None, new: Row, open: Open | None) -> None:
        """Let ``new`` take over from ``left``, an item that moved and so got a new key; ``left`` goes.

        ``came`` is the row that stands at the new key already, or None.
        """
        self._step(lease, rekey_of(lease.mailbox_id, left, came, new, open), durable=True)

    def open_rows(
        self,
        mailbox_id: int,
        states: Iterable[ItemState],
        *,
        folder_id: int | None = None,
        works: Iterable[Work] | None = None,
        limit: int | None = None,
    ) -> list[tuple[Row, Open]]:
        """What is to be done, by folder and then in the order in which rows were first met: newest first, as pages list."""
        numbers = sorted(int(state) for state in states)
        kinds = None if works is None else sorted(str(work) for work in works)
        if not numbers or kinds == []:
            return []
        return self._read(lambda db: views.open_rows(db, mailbox_id, numbers, folder_id, kinds, limit))

    def waiting(self, mailbox_id: int, state: ItemState, work: Work) -> Iterator[tuple[Row, Open]]:
        """The same for one state and one kind of work, as a stream; rows may be changed meanwhile."""
        after = (0, 0)
        while True:
            found = self._read(
                lambda db, after=after: views.waiting(db, mailbox_id, int(state), str(work), after, _STREAMED)  # type: ignore[misc]
            )
            yield from (pair for _, pair in found)
            if len(found) < _STREAMED:
                return
            after = found[-1][0]

    def owners(self, mailbox_id: int, targets: Sequence[str]) -> dict[str, bytes]:
        """Which keys hold these target ids, in any state. Scans the mailbox's rows."""
        return self._read(lambda db: views.owners(db, mailbox_id, targets))

    def folder_rows(self, mailbox_id: int, folder_id: int | None, *, missed_before: int | None = None) -> Iterator[Row]:
        """The rows of a folder (None: of all), by key; with ``missed_before`` those last met in an earlier round.

        A stream: rows may be changed meanwhile, and each is met once, as it is when its turn comes.
        """
        after = b""
        while True:
            found = self._read(
                lambda db, after=after: views.folder_rows(db, mailbox_id, after, folder_id, missed_before, _STREAMED)  # type: ignore[misc]
            )
            yield from found
            if len(found) < _STREAMED:
                return
            after = found[-1].key

    # -- sums and lists

    def tallies(self, mailbox_id: int | None = None, states: Collection[ItemState] | None = None) -> list[tuple[int, Tally]]:
        """Rows and bytes by mailbox, folder and state, as kept in the same transactions as the rows; without empty ones."""
        return self._read(lambda db: views.sums(db, mailbox_id, states))

    def totals(self, mailbox_id: int) -> dict[ItemState, tuple[int, int]]:
        """Rows and bytes of one mailbox by state, every one of them: the same sums over all folders."""
        return self._read(lambda db: views.totals(db, mailbox_id))

    def recount(self, mailbox_id: int) -> list[Tally]:
        """The same sums of one mailbox, counted from the rows themselves."""
        return self._read(lambda db: views.recount(db, mailbox_id))

    def uneven(self, mailbox_id: int) -> int:
        """How many of the sums that are kept differ from the same sums counted from the rows: 0."""
        kept = {(one.folder_id, one.state): (one.items, one.bytes) for _, one in self.tallies(mailbox_id) if one.items}
        counted = {(one.folder_id, one.state): (one.items, one.bytes) for one in self.recount(mailbox_id) if one.items}
        return sum(kept.get(place) != counted.get(place) for place in kept.keys() | counted.keys())

    def loose_ends(self, mailbox_id: int) -> tuple[int, int]:
        """How many rows want something done that is not written down, and how many open parts belong to no row: 0 and 0."""
        return self._read(lambda db: views.loose_ends(db, mailbox_id))

    def kept_back(self, mailbox_id: int | None = None) -> list[KeptBack]:
        """What the operator's rules keep back, by mailbox, folder and rule; nothing is read where the sums show none."""
        if not self.tallies(mailbox_id, {ItemState.FILTERED}):
            return []
        return self._read(lambda db: views.kept_back(db, mailbox_id))

    def refusals(self, mailbox_id: int | None = None, limit: int | None = None) -> list[Refused]:
        """What was REFUSED or WITHHELD, and why, by mailbox and folder."""
        return self._read(lambda db: views.refusals(db, mailbox_id, limit))

    def glance(self) -> Glance:
        """Sums and last words of all mailboxes, for views that have to answer at once."""
        return Glance(
            lambda text, values: self._read(lambda db: db.exec_driver_sql(text, values).all()),
            sqlite=self._engine.dialect.name == "sqlite",
        )

    @property
    def approvals(self) -> Approvals:
        """What a person decided about what did not go, and where its content is kept."""
        return Approvals(self._read, self._write, self._fenced, self._words)

    @property
    def settings(self) -> SettingRows:
        """What became of the settings of each mailbox."""
        return SettingRows(self._read, self._fenced)

    @property
    def overview(self) -> Overview:
        """Sums over all mailboxes."""
        return Overview(self._read)

    @property
    def plans(self) -> Plans:
        """What people plan and do around the items."""
        return Plans(self._read, self._write)

    def left_alone(self, mailbox_id: int | None = None, limit: int | None = None) -> list[Refused]:
        """What the target's user changed, and is left so though its source changed too; DONE, or GONE if it left the source."""
        return self._read(lambda db: views.left_alone(db, mailbox_id, limit))

    # -- hints and notes

    def hint(self, scope: str, until: float) -> None:
        """Remember until when (wall-clock seconds) a server asked to be left alone. The last word counts."""

        upsert = text(
            "INSERT INTO hints (scope, until) VALUES (:scope, :until) ON CONFLICT (scope) DO UPDATE SET until = excluded.until"
        )
        self._write(lambda db: db.execute(upsert, {"scope": scope, "until": until}), durable=False)

    def hints(self) -> dict[str, float]:
        """All hints by scope, also those of the past."""
        return self._read(lambda db: {found.scope: found.until for found in db.execute(select(hints))})

    def note(self, mailbox_id: int | None, kind: str, text: str) -> None:
        """Write down that something happened."""
        values = {"at": time.time(), "mailbox_id": mailbox_id, "kind": kind, "text": cleaned(text)}
        self._write(lambda db: db.execute(insert(notes).values(values)), durable=False)

    def notes(self, mailbox_id: int | None = None, last: int | None = 100) -> list[Note]:
        """The last notes, newest first."""
        return self._read(lambda db: views.notes_of(db, mailbox_id, last))

    # -- transactions

    def _read(self, unit: Callable[[Connection], T]) -> T:
        # No BEGIN: on SQLite that would be a writer's, and one statement sees one state of the ledger anyway.
        try:
            with self._reader.connect() as connection:
                return unit(connection)
        except DBAPIError as error:
            raise plainly(error) from error

    def _write(self, unit: Callable[[Connection], T], *, durable: bool = True) -> T:
        return self._writer.run(unit, durable=durable)

    def _fenced(self, lease: Lease, unit: Callable[[Connection], T], *, durable: bool = True) -> T:
        def behind_the_fence(db: Connection) -> T:
            leases.fence(db, lease, self._words.fence)
            return unit(db)

        return self._writer.run(behind_the_fence, durable=durable)

    def _step(self, lease: Lease, writes: Writes, *, durable: bool) -> None:
        self._fenced(lease, lambda db: writes.run(db, self._words), durable=durable)
