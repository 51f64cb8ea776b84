"""Hours of passes in one process: does the engine stay as small as it began?

    uv run python tests/soak/soak.py --hours 2 --out soak.json

Three processes: this one, which writes down; the lab; and the engine, which runs pass after pass over all mailboxes while users
go on changing them. The engine's process is looked at every ten seconds: memory, open files, threads, tasks. At the end the
first hour after the warm-up is compared with the last one, by medians. Exit codes: 0 steady, 1 not (one sentence says what).

A real ``migrator run`` is a new process each time and can't leak for long; this holds for whoever calls the engine in a loop.
A run that is killed tells what it saw so far: the file is written anew with every sample. ``--judge FILE`` judges such a file.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gc
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from steadiness import judge, sentence, table

from connectors.lab.control import Control, ControlRefused

FRESH_EVERY = 20
"""Rounds after which the engine signs in anew with fresh connections, so that opening and closing is soaked too."""


def options(argv: list[str] | None = None) -> argparse.Namespace:
    reader = argparse.ArgumentParser(description="Run passes for hours and judge whether the engine's process stays flat.")
    reader.add_argument("--hours", type=float, default=2.0)
    reader.add_argument("--out", type=Path, default=Path("soak.json"), help="the figures, as JSON")
    reader.add_argument("--mailboxes", type=int, default=6)
    reader.add_argument("--items", type=int, default=150, help="items a mailbox begins with")
    reader.add_argument("--churn", type=int, default=4, help="changes of each of five kinds, a mailbox and round")
    reader.add_argument("--pace", type=float, default=12.0, help="seconds of rest between two rounds")
    reader.add_argument("--every", type=float, default=10.0, help="seconds between two samples")
    reader.add_argument("--faults", type=float, default=0.0, help="share of requests that the lab lets fail, such as 0.01")
    reader.add_argument("--judge", type=Path, metavar="FILE", help="only judge the figures of an earlier run")
    reader.add_argument("--drive", type=Path, help=argparse.SUPPRESS)
    return reader.parse_args(argv)


# ---- this process: start the others, write down what they say, judge


def main() -> int:
    asked = options()
    if asked.drive is not None:
        return drive(asked)
    if asked.judge is not None:
        return tell(json.loads(asked.judge.read_text("utf-8")))
    with tempfile.TemporaryDirectory(prefix="soak-", ignore_cleanup_errors=True) as name, lab(asked, Path(name)) as folder:
        figures = watch(asked, folder)
        if not figures["troubles"]:
            figures |= compare(folder)
    code = tell(figures)
    write(asked.out, figures)
    return code


@contextlib.contextmanager
def lab(asked: argparse.Namespace, folder: Path) -> Iterator[Path]:
    words = ["--dir", str(folder), "--mailboxes", str(asked.mailboxes), "--items", str(asked.items)]
    words += ["--faults", str(asked.faults)] if asked.faults else []
    process = subprocess.Popen([sys.executable, "-m", "connectors.lab", *words], stdout=subprocess.DEVNULL)
    try:
        while not (folder / "lab.json").exists():
            if process.poll() is not None:
                raise SystemExit("The lab did not start; its words are above.")
            time.sleep(0.1)
        yield folder
        with contextlib.suppress(ControlRefused):
            Control(folder).stop()
            process.wait(30)
    finally:
        process.kill()
        process.wait()


def watch(asked: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Let the engine run and keep what it tells, on the disk too; returns all of it."""
    figures: dict[str, Any] = {
        "hours": asked.hours, "mailboxes": asked.mailboxes, "items": asked.items, "churn": asked.churn, "pace": asked.pace,
        "faults": asked.faults, "python": sys.version.split()[0], "system": sys.platform, "finished": False,
        "samples": [], "rounds": 0, "done": 0, "troubles": [],
    }  # fmt: skip
    words = [word for name in ("hours", "churn", "pace", "every") for word in (f"--{name}", str(getattr(asked, name)))]
    engine = subprocess.Popen(
        [sys.executable, __file__, "--drive", str(folder), *words], stdout=subprocess.PIPE, text=True, encoding="utf-8"
    )
    assert engine.stdout is not None
    try:
        for line in engine.stdout:
            said = json.loads(line)
            if "at" in said:
                figures["samples"].append(said)
            else:
                figures |= said
            write(asked.out, figures)
        if engine.wait():
            figures["troubles"].append(f"the engine's process ended with {engine.returncode}")
    except KeyboardInterrupt:
        figures["troubles"].append("stopped from the keyboard before its time")
    finally:
        engine.kill()
        engine.wait()
        engine.stdout.close()
    return figures


def compare(folder: Path) -> dict[str, Any]:
    """What ``verify`` says of all the changes, and whether somebody would have been e-mailed."""
    command = [sys.executable, "-m", "migrator", "-c", str(folder / "lab.toml"), "--json", "verify"]
    done = subprocess.run(command, capture_output=True, text=True, encoding="utf-8", check=False)
    troubles = [f"verify ended with exit code {done.returncode}"] if done.returncode not in (0, 2) else []
    with contextlib.suppress(ValueError):
        for mailbox in json.loads(done.stdout)["mailboxes"]:
            found = [f"{one['items']} in {one['folder']}: {one['sentence']}" for one in mailbox["differences"]]
            troubles += [f"{mailbox['source']}: {'; '.join(found)}"] if found else []
    if sent := Control(folder).stats()["sent"]:
        troubles.append(f"{sent} messages would have been e-mailed to people")
    return {"verify": done.returncode, "sent_to_people": sent, "troubles": troubles}


def tell(figures: dict[str, Any]) -> int:
    """Print the table and the sentence, put the judgement into the figures, and return the exit code."""
    findings = judge(figures["samples"])
    wrong = sentence(findings, figures["troubles"])
    figures |= {"findings": [one.as_json() for one in findings], "steady": not wrong}
    hours = figures["samples"][-1]["at"] / 3600 if figures["samples"] else 0.0
    print(table(findings))
    print(
        f"{hours:.2f} hours, {figures['rounds']:,} rounds, {figures['done']:,} items brought or changed, "
        f"{len(figures['samples']):,} samples; CPU of the engine {figures.get('cpu_share', 0.0):.1%} of one core."
    )
    print(wrong or "Steady.")
    return 1 if wrong else 0


def write(out: Path, figures: dict[str, Any]) -> None:
    """At once or not at all: whoever reads the file while this runs finds it whole."""
    fresh = out.with_name(out.name + ".new")
    fresh.write_text(json.dumps(figures, indent=1), "utf-8")
    os.replace(fresh, out)


# ---- the engine's process: rounds of passes, and a thread that looks at itself


class Sampler:
    """Prints one line of JSON every so many seconds, from a thread of its own."""

    def __init__(self, every: float, ledger: Path, control: Control) -> None:
        self.begun, self.every, self.ledger, self.control = time.monotonic(), every, ledger, control
        self.done, self.rounds = 0, 0
        self.loop: Any = None
        self._end = threading.Event()
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._run, name="sampler", daemon=True)

    def __enter__(self) -> Sampler:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()

    def say(self, words: dict[str, Any]) -> None:
        with self._lock:
            try:
                print(json.dumps(words), flush=True)
            except OSError:  # nobody listens any more, so nobody would end the lab either
                with contextlib.suppress(ControlRefused):
                    self.control.stop()
                os._exit(3)

    def _run(self) -> None:
        while not self._end.wait(self.every):
            self.say(self.sample())

    def sample(self) -> dict[str, Any]:
        status = Path("/proc/self/status")
        lines = status.read_text().splitlines() if status.exists() else []
        kernel = dict(line.split(":", 1) for line in lines if ":" in line)
        rss = int(kernel["VmRSS"].split()[0]) * 1024 if "VmRSS" in kernel else None
        # The one that reads the folder is open only while it is read.
        handles = len(os.listdir("/proc/self/fd")) - 1 if lines else None
        files = (self.ledger, Path(f"{self.ledger}-wal"))
        return {
            "at": round(time.monotonic() - self.begun, 1),
            "rss": rss,
            "handles": handles,
            "threads": int(kernel["Threads"]) if "Threads" in kernel else threading.active_count(),
            "tasks": self._tasks(),
            "blocks": sys.getallocatedblocks(),
            "ledger": sum(file.stat().st_size for file in files if file.exists()),
            "done": self.done,
            "round": self.rounds,
            "cpu": round(time.process_time(), 2),
        }

    def _tasks(self) -> int | None:
        loop = self.loop
        if loop is None or loop.is_closed():
            return None
        with contextlib.suppress(RuntimeError):  # the set changed while it was read
            return len(asyncio.all_tasks(loop))
        return None


def drive(asked: argparse.Namespace) -> int:
    """Round after round until the time is over: users change things, then one pass over every mailbox."""
    from migrator import app, logs
    from migrator.config import load
    from migrator.progress import Silent
    from migrator.waves.file import read_waves
    from migrator.waves.wave import Run, run_wave

    folder: Path = asked.drive
    config, control = load(folder / "lab.toml"), Control(folder)
    logs.set_up(folder / "soak.log", quiet=True)
    until = time.monotonic() + asked.hours * 3600
    troubles: Counter[str] = Counter()
    codes: Counter[str] = Counter()
    ledger_file = config.ledger_file
    assert ledger_file is not None
    with app.open_ledger(config) as ledger, Sampler(asked.every, ledger_file, control) as sampler:
        app.bind(config, ledger)
        lines = read_waves(Path(config.waves.file))
        rows = [app.plan_mailboxes(config, ledger, lines)[line.source.lower()] for line in lines]
        while time.monotonic() < until:
            stop = threading.Event()
            with app.Connected(config, stop, memory=app.Hints(ledger)) as connectors:
                for _ in range(FRESH_EVERY):
                    for lane, share in (("import", rows[::2]), ("compose", rows[1::2])):
                        endings = run_wave(
                            Run(
                                ledger=ledger, connectors=connectors, settings=config.pass_settings(lane=lane), at_once=2,
                                owner=app.owner(), stop=stop, watcher=Silent(),
                            ),
                            share,
                        )  # fmt: skip
                        sampler.loop = connectors.client._loop
                        for ending in endings:
                            codes[str(ending.code)] += 1
                            sampler.done += int(sum(ending.figures.get(word, 0) for word in WORDS))
                            # With faults a pass may end early and go on in the next round; nothing else may go wrong.
                            if ending.code not in (0, 2) and not (asked.faults and ending.code == 3):
                                troubles[f"a pass ended with {ending.code}: {ending.cause}"] += 1
                    sampler.rounds += 1
                    told = {
                        "rounds": sampler.rounds, "done": sampler.done, "codes": dict(codes),
                        "troubles": [f"{cause} ({times} times)" for cause, times in troubles.items()],
                        "cpu_share": time.process_time() / (time.monotonic() - sampler.begun),
                    }  # fmt: skip
                    sampler.say(told)
                    if time.monotonic() > until:
                        break
                    time.sleep(asked.pace)
                    # The last round only carries, so that both sides are equal at the end.
                    if time.monotonic() < until:
                        each = dict.fromkeys(("new", "edit", "move", "delete", "read"), asked.churn)
                        for row in rows:
                            control.churn(row.source, **each, seed=sampler.rounds)
                sampler.loop = None
            # What a closed client leaves in cycles is garbage, not a leak; it would go a little later by itself.
            gc.collect()
        sampler.say(sampler.sample())
        sampler.say({"finished": True})
    return 0


WORDS = ("created", "updated", "flagged", "moved", "removed", "adopted")

if __name__ == "__main__":
    sys.exit(main())
