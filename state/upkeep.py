"""Keeping a ledger: copies of it while it is in use, a check of what it says, and bringing a copy back.

A ledger on Postgres is copied and brought back with the server's own tools; it is only checked here.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

from state.engines import address
from state.model import LedgerError
from state.store import Ledger


def backup(url: str, file: Path) -> int:
    """Copy the ledger into a file, while others may go on using it; returns the bytes of the copy, which was read to its end.

    Its folder is made. A copy that is there is replaced, by a whole one only; any other file is left alone. Raises LedgerError.
    """
    source = _file_of(url, "copied with pg_dump")
    if not source.is_file():
        raise LedgerError(f"There is no ledger at {source} to copy.")
    if file.is_file() and file.samefile(source):
        raise LedgerError(f"{file} is the ledger itself; name another file for the copy.")
    if file.is_file() and (other := _integrity(file, whole=False)):
        raise LedgerError(f"{file} is there and no copy of a ledger ({other[0]}); name another file, it would be lost.")
    part = file.with_name(file.name + ".part")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        _copy(source, part)
        if faults := _integrity(part):
            raise LedgerError(f"The copy of {source} is damaged ({faults[0]}); run `migrator db check`.")
        os.replace(part, file)
    except (OSError, sqlite3.Error) as error:
        raise LedgerError(f"{file} can't be written ({error}); name another place with enough room.") from None
    finally:
        with suppress(OSError):  # whatever kept it from being written may keep it from being removed
            part.unlink()
    return file.stat().st_size


def restore(url: str, file: Path) -> Path | None:
    """Put a copy in the ledger's place; returns where the ledger that was there is kept, None if there was none.

    The copy is checked first. Raises LedgerError, also while a process holds a mailbox in the ledger that is there.
    """
    place = _file_of(url, "brought back with pg_restore")
    if not file.is_file():
        raise LedgerError(f"{file} is not there; name a copy that `migrator db backup` wrote.")
    if file.resolve() == place.resolve():
        raise LedgerError(f"{file} is the ledger itself; name a copy.")
    if faults := _integrity(file):
        raise LedgerError(f"{file} can't be brought back: {faults[0]}; name a copy that `migrator db backup` wrote.")
    kept: Path | None = None
    part = place.with_name(place.name + ".part")
    try:
        _copy(file, part)
        if place.is_file():
            _need_rest(url)
            kept = place.with_name(f"{place.name}.before-{time.strftime('%Y%m%d-%H%M%S')}")
            _copy(place, kept)
            for tail in ("-wal", "-shm"):
                Path(f"{place}{tail}").unlink(missing_ok=True)
        os.replace(part, place)
    except (OSError, sqlite3.Error) as error:
        raise LedgerError(f"{place} can't be replaced ({error}); see that nothing uses it, then try again.") from None
    finally:
        with suppress(OSError):  # whatever kept it from being written may keep it from being removed
            part.unlink()
    return kept


def check(url: str) -> list[str]:
    """What is wrong with the ledger, a sentence each; nothing if all is well. Reads everything once. Raises LedgerError."""
    where = address(url)
    if where.get_backend_name() == "sqlite" and (faults := _integrity(Path(where.database or ""))):
        return [f"The file is damaged: {fault}." for fault in faults]
    with Ledger.open(url) as ledger:
        return list(_contradictions(ledger))


def _contradictions(ledger: Ledger) -> Iterator[str]:
    for mailbox in ledger.mailboxes():
        if wrong := ledger.uneven(mailbox.id):
            yield f"{mailbox.source}: {wrong} of the sums that are kept differ from the rows."
        bare, lost = ledger.loose_ends(mailbox.id)
        if bare:
            yield f"{mailbox.source}: {bare} items want something done, but what is not written down."
        if lost:
            yield f"{mailbox.source}: {lost} open parts belong to no item."


def _file_of(url: str, how: str) -> Path:
    where = address(url)
    if where.get_backend_name() != "sqlite":
        raise LedgerError(f"A ledger on Postgres is {how}, the server's own tool.")
    return Path(where.database or "")


def _need_rest(url: str) -> None:
    with Ledger.open(url, migrate=True) as ledger:
        now = time.time()
        busy = [row for row in ledger.mailboxes() if row.owner and row.lease_until > now]
    if busy:
        left = max(1, round(max(row.lease_until for row in busy) - now))
        raise LedgerError(f"{busy[0].owner} works with the ledger, or did until now; stop it, or wait {left} s if it is dead.")


def _copy(source: Path, target: Path) -> None:
    target.unlink(missing_ok=True)
    with closing(sqlite3.connect(source)) as old, closing(sqlite3.connect(target)) as new:
        old.backup(new)


def _integrity(file: Path, *, whole: bool = True) -> list[str]:
    """What is wrong with a file as a ledger; read to its end unless only its kind is asked for."""
    try:
        with closing(sqlite3.connect(file.absolute().as_uri() + "?mode=ro", uri=True)) as db:
            if not db.execute("SELECT 1 FROM sqlite_master WHERE name = 'alembic_version'").fetchone():
                return ["it is no ledger"]
            return [str(row[0]) for row in db.execute("PRAGMA integrity_check(5)") if row[0] != "ok"] if whole else []
    except sqlite3.Error as error:
        return [str(error)]
