"""What `run --processes` costs: CPU an item beside one process, and how long the processes wait for each other at the ledger.

    uv run python tests/bench/processes.py sqlite|postgres [--processes 2] [--mailboxes 4] [--few 50] [--many 800] [--rounds 3]

The real command over the lab, 30 KB items in the import lane. What a process costs by its start falls out: CPU an item is the
difference between a run over many items and one over few. A start is some seconds of CPU where the machine is busy, and never
the same: if the ratio is far from 1, or below, take more items or a quieter hour. CPU is that of all processes of the run,
Postgres's own not among them.

The share of waiting is of the workers' time: on SQLite what beginning a transaction took, which holds the few microseconds of
the statement too; on Postgres how often a session was seen waiting for a lock of another one, asked 50 times a second. Aims: at
most 1.1 times the CPU of one process, at most 3 % of waiting.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import resource
import statistics
import subprocess
import sys
import tempfile
import threading
from dataclasses import replace
from pathlib import Path

from bench import HERE, LabProcess
from cases import CASES, Case
from ledger import database
from sqlalchemy import create_engine, make_url, text

from state.store import Ledger

CASE = "import-30k"


def main() -> int:
    reader = argparse.ArgumentParser()
    reader.add_argument("ledger", choices=["sqlite", "postgres"])
    reader.add_argument("--processes", type=int, default=2)
    reader.add_argument("--mailboxes", type=int, default=4)
    reader.add_argument("--few", type=int, default=50, help="items of a mailbox in a small run")
    reader.add_argument("--many", type=int, default=800, help="items of a mailbox in a large run")
    reader.add_argument("--rounds", type=int, default=3)
    asked = reader.parse_args()
    case = case_of(asked.mailboxes)
    turns = [(number, items) for number in (1, asked.processes) for items in (asked.few, asked.many)]
    turns = [turn for one in range(asked.rounds) for turn in (turns if one % 2 == 0 else turns[::-1])]
    found: dict[tuple[int, int], list[dict[str, float]]] = {}
    with LabProcess(case, [items for _, items in turns]) as lab:
        for number, (processes, items) in enumerate(turns):
            told = one_run(asked.ledger, lab.papers(number), processes)
            if any(count != items for count, _ in lab.gather(number)):
                raise SystemExit("not every item arrived once")
            print(json.dumps({"processes": processes, "items": items, **told}), file=sys.stderr)
            found.setdefault((processes, items), []).append(told)

    def cpu_an_item(processes: int) -> float:
        few, many = (statistics.median(one["cpu"] for one in found[processes, items]) for items in (asked.few, asked.many))
        return (many - few) / float((asked.many - asked.few) * asked.mailboxes)

    alone, spread = cpu_an_item(1), cpu_an_item(asked.processes)
    large = {str(processes): found[processes, asked.many] for processes in (1, asked.processes)}
    figures = {
        "ms_an_item": {"1": alone * 1e3, str(asked.processes): spread * 1e3},
        "ratio": spread / alone,
        "waiting": {name: max(one["waiting"] for one in runs) for name, runs in large.items()},
        "seconds": {name: min(one["seconds"] for one in runs) for name, runs in large.items()},
    }
    print(json.dumps(figures))
    return 0


def case_of(mailboxes: int) -> Case:
    return replace(CASES[CASE], mailboxes=mailboxes)


def one_run(kind: str, folder: Path, processes: int) -> dict[str, float]:
    """CPU of one run and its share of waiting."""
    with tempfile.TemporaryDirectory(prefix="bench-") as place, database(kind, Path(place)) as url:
        config = folder / "lab.toml"
        head, ledger = config.read_text("utf-8").split("[ledger]")
        ledger, times = re.subn(r"(?m)^url = .*$", lambda _: f"url = {json.dumps(url)}", ledger, count=1)
        assert times == 1
        config.write_text(f"{head}[ledger]{ledger}", "utf-8")
        Ledger.open(url, migrate=True).close()
        waits = Path(place) / "waits"
        known = {**os.environ, "BENCH_LOCK_WAIT": str(waits)}
        known["PYTHONPATH"] = os.pathsep.join([str(HERE / "lockwait"), *filter(None, [os.environ.get("PYTHONPATH")])])
        command = [sys.executable, "-m", "migrator", "-c", str(config), "--json", "run", "--processes", str(processes)]
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        with Sessions(url if kind == "postgres" else "") as sessions:
            ended = subprocess.run(command, env=known, capture_output=True, text=True, cwd=HERE.parents[1], check=False)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        if ended.returncode:
            raise SystemExit(f"the run ended with {ended.returncode}: {ended.stdout[-1000:]} {ended.stderr[-1000:]}")
        lives = [json.loads(line) for line in waits.read_text("utf-8").splitlines()]
    # The process that hands out writes nothing while the others do.
    carriers = [one for one in lives if processes == 1 or "migrator.workers.worker" in one["words"]]
    assert len(carriers) == processes, lives
    seconds = sum(one["seconds"] for one in carriers)
    waited = sessions.waited / processes if kind == "postgres" else sum(one["waited"] for one in carriers) / seconds
    cpu = after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
    return {"cpu": cpu, "waiting": waited, "seconds": seconds / processes}


class Sessions:
    """Looks 50 times a second how many sessions of a Postgres ledger wait for a lock. ``waited`` is how many did on average."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._looks = self._seen = 0
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    @property
    def waited(self) -> float:
        return self._seen / max(1, self._looks)

    def __enter__(self) -> Sessions:
        if self._url:
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        if self._url:
            self._thread.join()

    def _look(self) -> None:
        asked = text("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'")
        engine = create_engine(make_url(self._url).set(drivername="postgresql+psycopg"), isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            while not self._done.wait(0.02):
                self._seen += connection.scalar(asked) or 0
                self._looks += 1
        engine.dispose()


if __name__ == "__main__":
    sys.exit(main())
