"""One contestant: this program's engine, in its own words: it does what it is told and says what that cost.

    engine.py FOLDER LANE seed|delta|unchanged|crowd|verify [AT_ONCE]

The first mailbox is there to warm up on. Where something has to happen in the lab, it asks for that by a line, and goes on when
it is answered by one.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from migrator import app
from migrator.checking.verify import verify_mailbox
from migrator.config import Config, load
from migrator.footprint import few_arenas
from migrator.waves.file import read_waves
from migrator.waves.wave import Ending, Run, run_wave
from state.model import ItemState, Lease, MailboxRow, PassKind, Row, Step
from state.store import Ledger


class Quiet:
    """Whoever watches a run sees nothing here."""

    def began(self, mailbox: MailboxRow, kind: PassKind) -> None: ...

    def did(self, mailbox: MailboxRow, word: str, items: int, size: int) -> None: ...

    def ended(self, ending: object) -> None: ...


class LedgerShare:
    """How much CPU the ledger takes, by method: of the calling threads, and of the writer's own where there is one.

    A commit, which several units may share, is split among them by what they took themselves.
    """

    def __init__(self, ledger: Ledger) -> None:
        self.taken: Counter[str] = Counter()
        self._lock = threading.Lock()
        self._own = threading.local()
        self._ledger: Any = ledger
        for name in ("record_page", "intend", "settle", "open_rows", "rows", "opens"):
            setattr(ledger, name, self._timed(name, getattr(ledger, name)))
        writer = self._ledger._writer
        writer.run = self._handed(writer.run)
        self._thread: threading.Thread | None = getattr(writer, "_thread", None)
        self._began = self._of_writer()

    def _of_writer(self) -> float:
        if self._thread is None or self._thread.ident is None or not hasattr(time, "pthread_getcpuclockid"):
            return 0.0
        return time.clock_gettime(time.pthread_getcpuclockid(self._thread.ident))

    def _add(self, name: str, seconds: float) -> None:
        with self._lock:
            self.taken[name] += seconds

    def _timed(self, name: str, method: Callable[..., Any]) -> Callable[..., Any]:
        def timed(*words: Any, **named: Any) -> Any:
            self._own.name, began = name, time.thread_time()
            try:
                return method(*words, **named)
            finally:
                self._add(name, time.thread_time() - began)
                self._own.name = ""

        return timed

    def _handed(self, run: Callable[..., Any]) -> Callable[..., Any]:
        def handed(unit: Callable[[Any], Any], **named: Any) -> Any:
            name, caller = getattr(self._own, "name", "") or "other", threading.get_ident()

            def timed(connection: Any) -> Any:
                began = time.thread_time()
                try:
                    return unit(connection)
                finally:
                    if threading.get_ident() != caller:
                        self._add(f"unit {name}", time.thread_time() - began)

            return run(timed, **named)

        return handed

    def seconds(self) -> dict[str, float]:
        """CPU seconds so far by method, the writer's included."""
        units = {name.removeprefix("unit "): spent for name, spent in self.taken.items() if name.startswith("unit ")}
        whole = self._of_writer() - self._began
        scale = whole / sum(units.values()) if sum(units.values()) else 0.0
        told = Counter({name: spent for name, spent in self.taken.items() if not name.startswith("unit ")})
        for name, spent in units.items():
            told[name] += spent * scale
        return dict(told)


@contextmanager
def measured(share: LedgerShare) -> Iterator[dict[str, Any]]:
    told: dict[str, Any] = {}
    before, began, wall = share.seconds(), time.process_time(), time.perf_counter()
    yield told
    told |= {"cpu": time.process_time() - began, "seconds": time.perf_counter() - wall}
    told["ledger"] = {name: max(0.0, spent - before.get(name, 0.0)) for name, spent in share.seconds().items()}


class Bench:
    """An engine that is set up, with its mailboxes."""

    def __init__(self, config: Config, ledger: Ledger, lane: str, at_once: int) -> None:
        self.config, self.ledger, self.lane, self.at_once = config, ledger, lane, at_once
        self.stop = threading.Event()
        self.rows = list(app.plan_mailboxes(config, ledger, read_waves(Path(config.waves.file))).values())
        self.share = LedgerShare(ledger)

    def run(self, rows: Sequence[MailboxRow]) -> dict[str, Any]:
        """One pass over each; what it cost, once a pass over the first mailbox has signed in and loaded what is loaded late."""
        settings: Any = self.config.pass_settings(lane=self.lane)  # type: ignore[arg-type]
        with app.Connected(self.config, self.stop, memory=app.Hints(self.ledger)) as connectors:
            run = Run(
                ledger=self.ledger, connectors=connectors, settings=settings,
                at_once=self.at_once, owner="bench", stop=self.stop, watcher=Quiet(),
            )  # fmt: skip
            summed(run_wave(run, [self.ledger.mailbox(self.rows[0].id)]))
            with measured(self.share) as told:
                endings = run_wave(run, [self.ledger.mailbox(row.id) for row in rows])
        return told | summed(endings)

    def fill(self, row: MailboxRow, each: int) -> None:
        """As if so many items of each of the further folders had been carried."""
        lease = self.ledger.lease(row.id, "bench", 3600)
        for folder in self.ledger.folders(row.id):
            if folder.name.startswith("Folder "):
                self._fill_folder(lease, folder, each)
        self.ledger.release(lease)

    def _fill_folder(self, lease: Lease, folder: Any, each: int) -> None:
        steps = [Step(None, synthetic(folder.id, number, folder.generation), None) for number in range(each)]
        self.ledger.record_page(
            lease, folder.id, steps, cursor=folder.cursor, fingerprint=folder.fingerprint, complete=folder.complete,
            generation=folder.generation,
        )  # fmt: skip

    def verify(self, row: MailboxRow) -> dict[str, Any]:
        with (
            app.Connected(self.config, self.stop, memory=app.Hints(self.ledger)) as connectors,
            closing(connectors.source(row, self.stop)) as source,
            closing(connectors.destination(row, self.stop)) as destination,
            measured(self.share) as told,
        ):
            verdict = verify_mailbox(self.ledger, row.id, source, destination)
            figures = {f"source.{word}": value for word, value in source.figures().items()}
            figures |= {f"target.{word}": value for word, value in destination.figures().items()}
        if verdict.differences:
            raise SystemExit(f"verify found differences: {verdict.differences[0].sentence}")
        return told | {"items": verdict.figures["matched"]} | requests_of(figures)


def synthetic(folder_id: int, number: int, generation: int) -> Row:
    mark = f"{folder_id:08d}{number:08d}".encode()
    return Row(
        key=mark, folder_id=folder_id, state=ItemState.DONE, version=mark[8:], identity=mark[8:], size=30_000,
        modified=1_700_000_000, generation=generation, lane="import", target="AAMk" + mark.decode() * 9, target_version=mark[8:],
    )  # fmt: skip


def summed(endings: Sequence[Ending]) -> dict[str, Any]:
    for ending in endings:
        if ending.code:
            raise SystemExit(f"the engine ended with {ending.code}: {ending.cause} {ending.error or ''}")
    figures: Counter[str] = Counter()
    for ending in endings:
        figures.update(ending.figures)
    return {"items": sum(ending.done for ending in endings), "sent": figures["target.bytes.sent"], **requests_of(figures)}


def requests_of(figures: dict[str, float]) -> dict[str, Any]:
    told: dict[str, Any] = {}
    for side in ("source", "target"):
        kinds = {
            word.removeprefix(f"{side}.requests."): int(value)
            for word, value in figures.items()
            if word.startswith(f"{side}.requests.")
        }
        told |= {f"{side} requests": sum(kinds.values()), f"{side} by kind": kinds}
    return told


def ask(line: str) -> None:
    print(f"lab: {line}", flush=True)
    if not sys.stdin.readline():
        raise SystemExit("nobody answered")


def memory_peak() -> float | None:
    """Megabytes that this process ever had in memory; None where the system does not say."""
    try:
        import resource
    except ImportError:
        return None
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1024 * 1024 if sys.platform == "darwin" else 1024)


def main(folder: Path, lane: str, what: str, at_once: int = 1) -> int:
    few_arenas()
    config = load(folder / "lab.toml")
    with app.open_ledger(config) as ledger:
        app.bind(config, ledger)
        bench = Bench(config, ledger, lane, at_once)
        rows = bench.rows[1:]
        told = bench.run(rows)
        if what == "verify":
            told = bench.verify(rows[0])
        elif what in ("delta", "unchanged"):
            bench.run(rows)
            if what == "delta":
                ask("churn 0.01")
            told = bench.run(rows)
        elif what == "crowd":
            bench.fill(rows[0], 1000)
            ask("crowd 1000")
            bench.run(rows)
            told = bench.run(rows)
        told |= {"mailboxes": len(rows), "folders": len(ledger.folders(rows[0].id)), "peak_mb": memory_peak()}
    print(json.dumps(told))
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2], sys.argv[3], *map(int, sys.argv[4:])))
