"""``status`` over 10,000 mailboxes: how much CPU it takes, beside what it takes over none. Only with --full."""

from __future__ import annotations

import json
import os
import random
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from state.model import MailboxState
from state.store import Ledger

MAILBOXES = 10_000
CONFIG = """
[source]
url = "https://ex.example"
username = "u"
password = "env:PASSWORD"
[target]
tenant_id = "t"
client_id = "c"
secret = "env:PASSWORD"
"""


def fill(file: Path) -> None:
    """10,000 mailboxes of 20 folders and 500 items each, after six passes; sums only, because nothing else is read."""
    chance, now = random.Random(7), time.time()
    states = [state.value for state in (MailboxState.PLANNED, MailboxState.SYNCING, MailboxState.READY, MailboxState.SWEEPING)]
    figures = {"created": 40.0, "bytes": 5e6, **{f"source.requests.w{n}": n for n in range(15)}}
    figures |= {f"target.waited.b{n}": 1.5 for n in range(10)}
    with closing(sqlite3.connect(file)) as db, db:
        db.executemany(
            "INSERT INTO mailboxes (id, wave, source, source_folded, target, state, cause, epoch, lease_until, sequence,"
            " generation, claimed) VALUES (?, ?, ?, ?, ?, ?, '', 1, 0, 1, 1, 1)",
            [
                (n, f"wave{n // 250}", f"u{n}@old.example", f"u{n}@old.example", f"u{n}@new.example", chance.choice(states))
                for n in range(1, MAILBOXES + 1)
            ],
        )
        db.executemany(
            "INSERT INTO tallies (mailbox_id, folder_id, state, items, bytes) VALUES (?, ?, ?, ?, ?)",
            [
                (n, n * 20 + f, state, 25, 10**6)
                for n in range(1, MAILBOXES + 1)
                for f in range(20)
                for state in ((3, 1) if f < 2 else (3,))
            ],
        )
        db.executemany(
            "INSERT INTO passes (mailbox_id, kind, state, started, ended, cause, figures) VALUES (?, ?, 'DONE', ?, ?, '', ?)",
            [
                (n, "seed" if k == 0 else "delta", now - 3600 * (8 - k), now - 3600 * (8 - k) + 90, json.dumps(figures))
                for k in range(6)
                for n in range(1, MAILBOXES + 1)
            ],
        )


def cpu(folder: Path) -> float:
    """CPU seconds of one ``status``, the least of three."""
    script = (
        "import os, sys\nfrom migrator.cli import run\ncode = run(['status'])\n"
        "sys.stderr.write(repr(sum(os.times()[:2])))\nsys.exit(code)"
    )
    found = []
    for _ in range(3):
        done = subprocess.run(
            [sys.executable, "-c", script],
            cwd=folder,
            capture_output=True,
            text=True,
            check=True,
            env={**os.environ, "PASSWORD": "x"},
        )
        found.append(float(done.stderr))
    return min(found)


@pytest.mark.full
def test_ten_thousand_mailboxes_take_a_few_times_of_what_none_take(tmp_path: Path, tell: Callable[[str], None]) -> None:
    took = {}
    for name in ("none", "many"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "migrator.toml").write_text(CONFIG, "utf-8")
        Ledger.open(f"sqlite:///{tmp_path / name / 'migrator.db'}").close()
    fill(tmp_path / "many" / "migrator.db")
    for name in ("none", "many"):
        took[name] = cpu(tmp_path / name)
    tell(f"status over {MAILBOXES:,} mailboxes: {took['many']:.2f} s of CPU, over none {took['none']:.2f} s")
    assert took["many"] < 12 * took["none"]
