"""A ledger as a migration in its third week leaves it, made up and written straight into the tables; nothing in it is real.

    python tests/report/made_ledger.py FILE --mailboxes 10000 --items 500

The same figures give the same ledger. Times are relative to ``now``.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
import sqlite3
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from state.migrate import upgrade
from state.model import ItemState, MailboxState, PassKind, PassState

FIRST = (
    "anna",
    "bernard",
    "chihiro",
    "dilek",
    "erik",
    "fatima",
    "georg",
    "helene",
    "ivan",
    "julia",
    "karim",
    "lena",
    "marek",
    "nora",
)
LAST = (
    "becker",
    "lefevre",
    "tanaka",
    "yilmaz",
    "olsen",
    "haddad",
    "huber",
    "martin",
    "petrov",
    "costa",
    "benali",
    "schulz",
    "novak",
)
FOLDERS = (("Inbox", "IPF.Note", "inbox"), ("Sent Items", "IPF.Note", "sent"), ("Calendar", "IPF.Appointment", "calendar"),
           ("Contacts", "IPF.Contact", "contacts"), ("Projects", "IPF.Note", None))  # fmt: skip
REASONS = ("too-large", "corrupt", "no-lane", "recurrence", "virus")
DAY = 86_400.0
LATE_HOSTS = ("scanner-2.contoso.test", "erp.contoso.test", "relay.partner.test")


def make(file: Path, mailboxes: int = 40, items: int = 50, *, now: float | None = None) -> Path:
    """Write the ledger to a new file. Five waves: done, sweeping, ready, running, planned."""
    now = time.time() if now is None else now
    upgrade(f"sqlite:///{file.as_posix()}")
    chance = random.Random(6)
    with closing(sqlite3.connect(file)) as db:
        db.execute("PRAGMA synchronous=OFF")
        with db:
            for number in range(mailboxes):
                _mailbox(db, chance, number + 1, number * 5 // mailboxes, items, now)
            _waves(db, now)
        db.execute("ANALYZE")
    return file


def _waves(db: sqlite3.Connection, now: float) -> None:
    for wave, days in enumerate((-14, -2, 3, 10, 24)):
        after = datetime.fromtimestamp(now + days * DAY, UTC).replace(minute=0, second=0, microsecond=0)
        details = {"complete_after": after.isoformat(), "pilot": wave == 0}
        state = "PAUSED" if wave == 4 else "OPEN"
        db.execute("INSERT INTO waves VALUES (?, ?, ?, ?)", (f"wave {wave + 1}", now - 20 * DAY, state, json.dumps(details)))


def _state(chance: random.Random, wave: int, number: int) -> tuple[MailboxState, MailboxState | None, str]:
    if number % 97 == 41:
        return (
            MailboxState.HELD,
            MailboxState.SYNCING,
            "The target mailbox is over its quota: give it a larger licence, then run again.",
        )
    if number % 211 == 80:
        return MailboxState.FAILED, MailboxState.SEEDING, "A bug stopped it (KeyError); the log has the details."
    return (
        (MailboxState.CLOSED, None, ""),
        (chance.choice((MailboxState.SWEEPING, MailboxState.ROUTED, MailboxState.BACKFILLING)), None, ""),
        (chance.choice((MailboxState.READY, MailboxState.READY, MailboxState.SYNCING)), None, ""),
        (chance.choice((MailboxState.SEEDING, MailboxState.SYNCING)), None, ""),
        (MailboxState.PLANNED, None, ""),
    )[wave]


def _mailbox(db: sqlite3.Connection, chance: random.Random, number: int, wave: int, items: int, now: float) -> None:
    name = f"{chance.choice(FIRST)}.{chance.choice(LAST)}{number}"
    state, came_from, cause = _state(chance, wave, number)
    details = {"kind": "user", "owner": chance.choice(("K. Weber", "M. Rossi", "")), "ticket": f"CHG{1000 + number}"}
    source = f"{name}@contoso.test"
    db.execute(
        "INSERT INTO mailboxes (id, wave, source, source_folded, target, state, came_from, cause, epoch, lease_until, sequence,"
        " generation, claimed, trusts_stamps, details) VALUES (?,?,?,?,?,?,?,?,1,0,1,1,1,1,?)",
        (number, f"wave {wave + 1}", source, source, f"{name}@contoso-cloud.test", state.value, came_from and came_from.value,
         cause, json.dumps(details)),
    )  # fmt: skip
    if wave == 4 and state is MailboxState.PLANNED:
        return
    folders = []
    for at, (title, kind, role) in enumerate(FOLDERS):
        folders.append(number * 10 + at)
        db.execute(
            "INSERT INTO folders (id, mailbox_id, source_id, name, kind, role, fingerprint, complete, generation, total, absent,"
            " told) VALUES (?,?,?,?,?,?,'',1,1,?,0,0)",
            (folders[-1], number, f"f{folders[-1]}", title, kind, role, items // len(FOLDERS)),
        )
    share = (1.0, 1.0, 0.995, 0.6, 0.0)[wave]
    tallies: Counter[tuple[int, ItemState]] = Counter()
    sizes: Counter[tuple[int, ItemState]] = Counter()
    db.executemany(
        "INSERT INTO items (id, size, modified, mailbox_id, folder_id, generation, state, marks, key, version, identity, lane,"
        " target, target_version, digest) VALUES (?,?,?,?,?,1,?,0,?,x'0102030405060708',x'0102030405060708','import',"
        "x'00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff',x'',x'')",
        _items(db, chance, number, folders, items, share, tallies, sizes),
    )
    db.executemany(
        "INSERT INTO tallies VALUES (?,?,?,?,?)",
        [(number, folder, int(one), count, sizes[folder, one]) for (folder, one), count in tallies.items()],
    )
    _passes(db, chance, number, wave, tallies, sizes, now)
    _seen(db, chance, number, wave, now)


def _items(
    db: sqlite3.Connection, chance: random.Random, number: int, folders: list[int], items: int, share: float,
    tallies: Counter[tuple[int, ItemState]], sizes: Counter[tuple[int, ItemState]],
) -> Iterator[tuple[Any, ...]]:  # fmt: skip
    opened = []
    for at in range(items):
        folder = folders[at * len(folders) // items]
        size = 2_000 + chance.randrange(120_000) * (20 if at % 50 == 0 else 1)
        state = ItemState.DONE if chance.random() < share else ItemState.LISTED
        reason = ""
        if at % 180 == 7 and number % 3 == 0:
            state, reason = ItemState.REFUSED, REASONS[number % len(REASONS)]
        elif at % 200 == 11 and number % 7 == 0:
            state, reason = ItemState.FILTERED, "older than 2016"
        item = number * 100_000 + at
        tallies[folder, state] += 1
        sizes[folder, state] += size
        if state is not ItemState.DONE:
            opened.append(
                (item, number, folder, int(state), f"i{item}".encode(), reason, "It is 180 MB." if reason == "too-large" else "")
            )
        yield item, size, 1_700_000_000, number, folder, int(state), hashlib.blake2b(b"%d" % item, digest_size=16).digest()
    db.executemany(
        "INSERT INTO open_items (item, intended_at, mailbox_id, folder_id, epoch, batch, state, item_id, source_version, work,"
        " facts, reason, detail, code) VALUES (?,0,?,?,1,0,?,?,x'','create',x'',?,?,'')",
        opened,
    )
    if number % 15 == 0:
        for item, _, _, state, _, reason, _ in opened:
            if state == ItemState.REFUSED:
                key = hashlib.blake2b(b"%d" % item, digest_size=16).digest()
                db.execute(
                    "INSERT INTO decisions (at, mailbox_id, key, version, reason, decision, who, why) VALUES (?,?,?,?,?,?,?,?)",
                    (time.time(), number, key, bytes(range(1, 9)), reason, "approved", "j.krueger", "Its owner has a copy."),
                )


def _passes(
    db: sqlite3.Connection, chance: random.Random, number: int, wave: int,
    tallies: Counter[tuple[int, ItemState]], sizes: Counter[tuple[int, ItemState]], now: float,
) -> None:  # fmt: skip
    done = sum(count for (_, state), count in tallies.items() if state is ItemState.DONE)
    size = sum(count for (_, state), count in sizes.items() if state is ItemState.DONE)
    begin = now - (20, 13, 8, 2.5, 0)[wave] * DAY + (number % 40) * 1800
    for at, (kind, part, hours) in enumerate(
        ((PassKind.SEED, 0.9, 9.0), (PassKind.DELTA, 0.08, 1.0), (PassKind.DELTA, 0.02, 0.3))
    ):
        started = begin + at * (20 * 3600)
        figures = {
            "listed": done * part, "created": done * part, "bytes": size * part, "target.requests.create": done * part,
            "target.waited.slots": 40_000 * part, "target.waited.upload_bytes": chance.randrange(5_000) * part,
            "target.waited.requests": chance.randrange(600) * part, "source.waited.source": 0.0,
            "source.waited.server connections": chance.randrange(900) * part,
            "degraded.attendees": done * part // 40, "degraded.flag-dates": done * part // 300,
        }  # fmt: skip
        db.execute(
            "INSERT INTO passes (mailbox_id, kind, state, started, ended, cause, figures) VALUES (?,?,?,?,?,'',?)",
            (number, kind.value, PassState.DONE.value, started, started + hours * 3600, json.dumps(figures)),
        )


def _seen(db: sqlite3.Connection, chance: random.Random, number: int, wave: int, now: float) -> None:
    if wave == 1:
        moment = datetime.fromtimestamp(now, UTC)
        late = {host: chance.randrange(1, 9) for host in LATE_HOSTS if chance.random() < 0.3}
        about = {
            "last_in_source": (moment - timedelta(hours=chance.randrange(1, 60))).isoformat(timespec="seconds"),
            "last_in_target": (moment - timedelta(minutes=chance.randrange(1, 200))).isoformat(timespec="seconds"),
            "late": late,
            "sent_from_old": int(chance.random() < 0.1),
        }
        db.execute("INSERT INTO observations VALUES (?, 'arrivals', ?, ?)", (number, now, json.dumps(about)))
    if wave == 2 and number % 50 == 0:
        about = {"source_name": "Anna Becker", "target_name": "Anton Becker", "ok": False, "why": "the names differ"}
        db.execute("INSERT INTO observations VALUES (?, 'match', ?, ?)", (number, now, json.dumps(about)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", type=Path)
    parser.add_argument("--mailboxes", type=int, default=10_000)
    parser.add_argument("--items", type=int, default=500, help="items of each mailbox")
    asked = parser.parse_args()
    begun = time.perf_counter()
    make(asked.file, asked.mailboxes, asked.items)
    print(f"{asked.file}: {asked.mailboxes:,} mailboxes in {time.perf_counter() - begun:.0f} s")


if __name__ == "__main__":
    main()
