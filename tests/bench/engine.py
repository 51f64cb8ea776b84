"""One contestant: this program's engine. Carries the first mailbox to warm up, then the second, and says what that one cost."""

from __future__ import annotations

import json
import sys
import threading
import time
from pathlib import Path

from migrator import app
from migrator.config import load
from migrator.waves import Run, run_wave
from state.model import MailboxRow, PassKind


class Quiet:
    """Whoever watches a run sees nothing here."""

    def began(self, mailbox: MailboxRow, kind: PassKind) -> None: ...

    def did(self, mailbox: MailboxRow, word: str, items: int, size: int) -> None: ...

    def ended(self, ending: object) -> None: ...


def main(folder: Path, lane: str) -> int:
    config = load(folder / "lab.toml")
    stop = threading.Event()
    from migrator.wavefile import read_waves

    with app.open_ledger(config) as ledger:
        app.bind(config, ledger)
        rows = list(app.plan_mailboxes(config, ledger, read_waves(Path(config.waves.file))).values())
        with app.Connected(config, stop, memory=app.Hints(ledger)) as connectors:
            for row in rows:
                began, wall = time.process_time(), time.perf_counter()
                run = Run(
                    ledger=ledger, connectors=connectors, settings=config.pass_settings(lane=lane),  # type: ignore[arg-type]
                    at_once=1, owner="bench", stop=stop, watcher=Quiet(),
                )  # fmt: skip
                [ending] = run_wave(run, [row])
                cpu, seconds = time.process_time() - began, time.perf_counter() - wall
                if ending.code:
                    raise SystemExit(f"the engine ended with {ending.code}: {ending.cause}")
    figures = ending.figures
    told = {"items": ending.done, "cpu": cpu, "seconds": seconds, "sent": figures["target.bytes.sent"]}
    for side in ("source", "target"):
        told[f"{side} requests"] = sum(value for word, value in figures.items() if word.startswith(f"{side}.requests."))
    print(json.dumps(told))
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2]))
