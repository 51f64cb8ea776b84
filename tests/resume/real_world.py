"""The real program in processes of its own, between the two simulated servers; and what a hand from outside does to it."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from connectors.lab.server import Lab
from connectors.lab.truth import Box, Item, Mailbox
from state.model import ItemState
from state.store import Ledger

WRITES = ("created", "updated", "moved", "removed", "flagged")


class Real:
    """One mailbox between a running lab's servers. Every command is a process, and so is everything that is killed."""

    def __init__(self, lab: Lab, lane: str = "import", **keys: object) -> None:
        """``keys`` replace lines of the lab's config: ``lease=2.0``, ``url="…"`` (the ledger's)."""
        self.lab = lab
        self.lane = lane
        self.folder: Path = lab.folder
        self.config: Path = lab.config_file
        self.configure(lane=lane, **keys)
        [self.source] = lab.source.mailboxes.values()
        [self.target] = lab.target.mailboxes.values()

    def configure(self, **keys: object) -> None:
        """Replace keys below [ledger] and after it."""
        head, ledger = self.config.read_text("utf-8").split("[ledger]")
        for key, value in keys.items():
            ledger, number = re.subn(rf"(?m)^{key} = .*$", lambda _, k=key, v=value: f"{k} = {json.dumps(v)}", ledger)
            assert number == 1, f"the config has no key {key}"
        self.config.write_text(f"{head}[ledger]{ledger}", "utf-8")

    @property
    def url(self) -> str:
        """The ledger's."""
        from migrator.config import load

        return load(self.config).ledger.url

    def command(self, *words: str) -> list[str]:
        return [sys.executable, "-m", "migrator", "-c", str(self.config), "--json", *words]

    def start(self, *words: str, **options: Any) -> subprocess.Popen[str]:
        """A process that goes on by itself; ``finish`` or a kill ends it."""
        return subprocess.Popen(
            self.command(*words), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, encoding="utf-8", **options
        )

    def finish(self, process: subprocess.Popen[str], patience: float = 90.0) -> Ended:
        """Wait for its end and read what it said."""
        out, err = process.communicate(timeout=patience)
        return Ended(process.returncode, out, err)

    def kill(self, process: subprocess.Popen[str]) -> None:
        process.kill()
        process.communicate(timeout=30)

    def run(self, *words: str, **options: Any) -> Ended:
        return self.finish(self.start(*words, **options))

    def run_on(self, *words: str, patience: float = 60.0) -> Ended:
        """Run it again until it is through; a lease that a dead process left behind is waited for."""
        until = time.monotonic() + patience
        while True:
            ended = self.run("run", *words)
            if ended.code in (0, 2) or time.monotonic() > until:
                return ended
            assert ended.code == 3, ended
            held = re.search(r"for another (\d+) s", ended.cause)
            time.sleep(int(held[1]) if held else 0.1)

    def states(self) -> Counter[ItemState]:
        """Rows by state, as the sums say."""
        counts: Counter[ItemState] = Counter()
        if not (self.folder / "migrator.db").exists() and self.url.startswith("sqlite"):
            return counts
        try:
            with Ledger.open(self.url) as ledger:
                for _, tally in ledger.tallies():
                    counts[tally.state] += tally.items
        except Exception:  # it is being made at this moment
            return Counter()
        return counts

    def wait_for(self, seen: Callable[[], bool], process: subprocess.Popen[str], patience: float = 60.0) -> None:
        """Wait until the process has come so far; it must not end before."""
        until = time.monotonic() + patience
        while not seen():
            assert process.poll() is None, f"it ended before it came so far: {process.communicate()}"
            assert time.monotonic() < until, "it does not come so far"
            time.sleep(0.01)

    def arrived(self) -> int:
        """Items that the target holds."""
        with self.target.lock:
            return len(self.target.items)

    def differences(self) -> dict[str, list[tuple[object, ...]]]:
        """What the two servers hold differently, by their own truth. What can't go by the compose lane is left out."""
        ours, theirs = (
            Counter({one: number for one, number in contents(side).items() if self.lane == "import" or one[1] == "IPM.Note"})
            for side in (self.source, self.target)
        )
        return {
            "lost": sorted((ours - theirs).elements(), key=repr),
            "twice": sorted((theirs - ours).elements(), key=repr),
        }


class Ended:
    """How a command ended: its exit code and what it said."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err

    def __repr__(self) -> str:
        return f"exit code {self.code}\n{self.out[-3000:]}\n{self.err[-3000:]}"

    @property
    def mailbox(self) -> dict[str, Any]:
        [mailbox] = json.loads(self.out)["mailboxes"]
        return dict(mailbox)

    @property
    def cause(self) -> str:
        return str(self.mailbox["cause"])

    @property
    def written(self) -> int:
        """Items that were touched in the target."""
        figures = self.mailbox["figures"]
        return int(sum(figures.get(word, 0) for word in WRITES))


def contents(mailbox: Mailbox) -> Counter[tuple[object, ...]]:
    """What lies in a mailbox of the lab: place, class, message id, subject, read flag. Special folders go by their roles."""
    with mailbox.lock:
        return Counter(
            (_place(mailbox, box), item.item_class, _own_id(item), item.subject[:200], item.is_read or _asks_for_receipt(item))
            for box in mailbox.walk()
            if not box.hidden
            for item in mailbox.items_in(box.id)
        )


def _own_id(item: Item) -> str | None:
    """The tenant gives an id to what has none."""
    return None if item.message_id is None or item.message_id.endswith("@lab.invalid>") else item.message_id


def _asks_for_receipt(item: Item) -> bool:
    """What asks for a receipt is not marked as read, and its flag says nothing here."""
    return bool(item.wants_read_receipt or item.wants_delivery_receipt)


def _place(mailbox: Mailbox, box: Box) -> str:
    if box.role:
        return box.role
    above = mailbox.boxes.get(box.parent_id or "")
    return f"{_place(mailbox, above)}/{box.name}" if above else box.name
