"""This program's engine over a lab's mailboxes, all at once; says how much memory it held at most."""

from __future__ import annotations

import json
import re
import sys
import threading
import time
from pathlib import Path

from migrator import app
from migrator.config import load
from migrator.engine.inflight import Pool
from migrator.waves.file import read_waves
from migrator.waves.wave import Run, run_wave
from state.model import MailboxRow, PassKind


class Quiet:
    """Whoever watches a run sees nothing here."""

    def began(self, mailbox: MailboxRow, kind: PassKind) -> None: ...

    def did(self, mailbox: MailboxRow, word: str, items: int, size: int) -> None: ...

    def ended(self, ending: object) -> None: ...


def peak() -> int:
    """Bytes of memory that this process held at most, as Linux tells; a figure of this program image alone, unlike getrusage's,
    which starts at the size of whoever started it."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text("ascii"))
    return int(found[1]) * 1024 if found else 0


def main(folder: Path, lane: str) -> int:
    config = load(folder / "lab.toml")
    stop = threading.Event()
    with app.open_ledger(config) as ledger:
        app.bind(config, ledger)
        rows = list(app.plan_mailboxes(config, ledger, read_waves(Path(config.waves.file))).values())
        with app.Connected(config, stop, memory=app.Hints(ledger)) as connectors:
            began = time.perf_counter()
            run = Run(
                ledger=ledger, connectors=connectors, settings=config.pass_settings(lane=lane),  # type: ignore[arg-type]
                at_once=len(rows), owner="memory", stop=stop, watcher=Quiet(),
                pool=Pool(config.run.in_flight_mb * 1_000_000, len(rows)),
            )  # fmt: skip
            endings = run_wave(run, rows)
            seconds = time.perf_counter() - began
    for ending in endings:
        if ending.code:
            raise SystemExit(f"the engine ended with {ending.code}: {ending.cause} {ending.error!r}")
    done, size = sum(one.done for one in endings), sum(one.bytes for one in endings)
    print(json.dumps({"peak": peak(), "items": done, "bytes": size, "seconds": seconds}))
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2]))
