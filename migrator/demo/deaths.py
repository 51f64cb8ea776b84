"""A ``serve`` that dies at random moments and is started again, as long as a demo wants it; each death is a real kill."""

from __future__ import annotations

import random
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

from migrator.config import load
from migrator.demo.run import DemoFailed
from state.store import Ledger

PATIENCE = 400.0
"""Seconds that anything may take to come about between the deaths."""


class Deaths:
    """Keeps ``serve`` alive in a process of its own, kills it at random moments, and starts it again; a context.

    A life is counted from the first word of the process, so that a slow machine's processes get something done too, and lives
    grow longer with every death. ``number`` counts the deaths, ``under_way`` how many passes they cut off. May be entered again.
    """

    def __init__(self, config: Path, seed: int) -> None:
        self._config = config
        self._draw = random.Random(seed)  # noqa: S311 - moments to die at
        self._said = config.parent / "serve.jsonl"
        self._over = threading.Event()
        self._thread: threading.Thread | None = None
        self._trouble = ""
        self.number = 0
        self.under_way = 0

    def __enter__(self) -> Deaths:
        self._over.clear()
        self._thread = threading.Thread(target=self._live_and_die, name="deaths", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        assert self._thread is not None
        self._thread.join()

    def until(self, what: str, seen: Callable[[Ledger], bool], *, deaths: int = 0) -> None:
        """Wait until the ledger shows it, and until there were so many more deaths. Raises DemoFailed."""
        wanted, end = self.number + deaths, time.monotonic() + PATIENCE
        while True:
            with Ledger.open(load(self._config).ledger.url) as ledger:
                if self.number >= wanted and seen(ledger):
                    return
            if self._trouble:
                raise DemoFailed(self._trouble)
            if time.monotonic() > end:
                raise DemoFailed(f"in {PATIENCE:.0f} s and {self.number} deaths of serve it did not come about that {what}")
            time.sleep(0.1)

    def _live_and_die(self) -> None:
        while not self._over.is_set() and not self._trouble:
            self._live()

    def _live(self) -> None:
        before = self._said.stat().st_size if self._said.exists() else 0
        words = [sys.executable, "-m", "migrator", "-c", str(self._config), "--json", "serve", "--tick", "0.2"]
        with self._said.open("ab") as out:
            process = subprocess.Popen(words, stdout=out, stderr=out)  # noqa: S603
            try:
                end = time.monotonic() + PATIENCE
                while process.poll() is None and not self._over.is_set() and self._said.stat().st_size == before:
                    if time.monotonic() > end:
                        break
                    self._over.wait(0.05)
                self._over.wait(self._draw.uniform(0.1, 1.0 + 0.3 * self.number))
                if process.poll() is not None:
                    said = self._said.read_text("utf-8", errors="replace").strip().splitlines()[-3:]
                    self._trouble = f"serve ended by itself with exit code {process.returncode}: {' '.join(said)}"
                    return
                under_way = self._held_by(process.pid)
            finally:
                process.kill()
                process.wait()
        self.number += 1
        self.under_way += under_way

    def _held_by(self, process: int) -> int:
        with Ledger.open(load(self._config).ledger.url) as ledger:
            return sum(f":{process}:" in (row.owner or "") for row in ledger.mailboxes())
