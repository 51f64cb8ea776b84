"""Found by every Python process of a measured run: how long its writers waited for their turn on a SQLite ledger.

At its end a process adds a line to the file that BENCH_LOCK_WAIT names: its module, seconds of its life, seconds of waiting.
"""

from __future__ import annotations

import atexit
import json
import os
import sqlite3
import sqlite3.dbapi2
import sys
import time
from typing import Any

_BEGAN = time.monotonic()
_waited = 0.0


class _Timed(sqlite3.Connection):
    """A transaction that begins IMMEDIATE waits there and nowhere else for writers of other processes."""

    def execute(self, statement: str, *words: Any) -> Any:
        if statement != "BEGIN IMMEDIATE":
            return super().execute(statement, *words)
        global _waited
        began = time.monotonic()
        try:
            return super().execute(statement, *words)
        finally:
            _waited += time.monotonic() - began


def _connect(*words: Any, **named: Any) -> Any:
    return _plain(*words, **{"factory": _Timed, **named})


def _tell(file: str) -> None:
    line = {"words": sys.orig_argv[1:3], "seconds": time.monotonic() - _BEGAN, "waited": _waited}
    with open(file, "a", encoding="utf-8") as told:
        told.write(json.dumps(line) + "\n")


_plain = sqlite3.dbapi2.connect
if "BENCH_LOCK_WAIT" in os.environ:
    sqlite3.dbapi2.connect = _connect
    atexit.register(_tell, os.environ["BENCH_LOCK_WAIT"])
