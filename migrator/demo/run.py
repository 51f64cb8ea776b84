"""The whole job on this machine: a simulated Exchange, a simulated tenant, and this program between them over real HTTPS.

    lab up ─► first pass, killed in the middle ─► run again ─► users change things ─► delta ─► nothing to do ─► verify ─► report

Every step is the real command in a process of its own, as an operator would type it; the kill is a real kill.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from connectors.lab.control import Control
from state.model import ItemState
from state.store import Ledger

DEEPEST = 300
"""Folders within folders that a mailbox may have at most [service description of Exchange Online]."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoPlan:
    """What to show. ``mail`` replaces the seeded mailboxes by real mail from files; ``keep`` keeps everything in that folder."""

    mailboxes: int = 3
    items: int = 1000
    seed: int = 1
    lane: str = "auto"
    mail: Path | None = None
    keep: Path | None = None
    log: Path | None = None
    latency: float = 0.0
    kill: bool = True
    faults: float = 0.0
    """The share of all requests that fail; more than 0 is another demo, see ``demo_faults``."""


class DemoFailed(Exception):
    """A step did not do what the demo promises; the message says which and how."""


@dataclass(slots=True)
class Stage:
    """The folder of a demo, and the commands that it runs there; ``seconds`` by step, figures of passes added up."""

    folder: Path
    say: Callable[[str], None]
    lane: str
    requests: Counter[str] = field(default_factory=Counter)
    figures: Counter[str] = field(default_factory=Counter)
    seconds: dict[str, float] = field(default_factory=dict)

    @property
    def config(self) -> Path:
        return self.folder / "lab.toml"

    def command(self, *words: str) -> list[str]:
        return [sys.executable, "-m", "migrator", "-c", str(self.config), "--json", *words]

    def run(self, name: str, *words: str, good: tuple[int, ...] = (0, 2)) -> dict[str, Any]:
        """Run one command to its end and read its JSON; figures of a pass are added up."""
        begun = time.perf_counter()
        done = subprocess.run(self.command(*words), capture_output=True, text=True, encoding="utf-8", check=False)  # noqa: S603
        self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - begun
        if done.returncode not in good:
            said = (done.stdout + done.stderr).strip().splitlines()
            raise DemoFailed(f"`{' '.join(words)}` ended with exit code {done.returncode}: {' '.join(said[-5:])}")
        answer: dict[str, Any] = json.loads(done.stdout)
        return answer

    def run_pass(self, name: str, *, patience: float = 60.0) -> Counter[str]:
        """One pass over all mailboxes. A lease that a killed process left behind is waited for."""
        until = time.monotonic() + patience
        while True:
            answer = self.run(name, "run", "--lane", self.lane, good=(0, 2, 3))
            figures: Counter[str] = Counter()
            for mailbox in answer["mailboxes"]:
                for word, value in mailbox["figures"].items():
                    figures[word] += value
            for word, value in figures.items():
                (self.requests if ".requests." in word else self.figures)[word] += value
            if answer["exit_code"] != 3:
                return figures
            if time.monotonic() > until:
                raise DemoFailed(f"the pass `{name}` does not get on: {[mailbox['cause'] for mailbox in answer['mailboxes']]}")
            time.sleep(0.2)


def run_demo(plan: DemoPlan, *, say: Callable[[str], None]) -> dict[str, Any]:
    """Show everything once and return the figures; raises DemoFailed when a promise does not hold."""
    folder = plan.keep or Path(tempfile.mkdtemp(prefix="migrator-demo-"))
    folder.mkdir(parents=True, exist_ok=True)
    begun = time.perf_counter()
    stage = Stage(folder, say, plan.lane)
    with lab_for(plan, folder) as control:
        say(f"A simulated Exchange and a simulated tenant are up; everything of this demo is in {folder}")
        stage.run("check", "check", good=(0,))
        say("check: both sides answer, let us in and let us read")
        killed_at = _kill_in_the_middle(stage) if plan.kill else 0
        if killed_at:
            say(f"first pass: killed after {killed_at} items had arrived, in the middle of writing")
        seed = stage.run_pass("seed")
        arrived = _arrived(stage.config)
        say(f"run again: {arrived:,} items have arrived, {int(seed['refused'])} can't go, {int(seed['healed'])} were in doubt")
        changed: Counter[str] = Counter()
        if plan.mail is None:
            for address in control.mailboxes("source"):
                changed.update(control.churn(address, new=20, edit=10, move=10, delete=10, read=20, seed=plan.seed))
            say("users went on working: " + ", ".join(f"{number} {word}" for word, number in changed.items()))
            delta = stage.run_pass("delta")
            words = ("created", "updated", "moved", "removed", "flagged")
            say("delta pass: " + ", ".join(f"{int(delta[word])} {word}" for word in words))
        before = control.stats()
        stage.run_pass("idle")
        idle = idle_cost(before, control.stats())
        say(f"a pass with nothing to do: {idle['writes']} writes, {idle['requests_per_folder']:.2f} requests a folder")
        verdict = stage.run("verify", "verify", "--deep", "--sample", "50", good=(0, 3, 4))
        sides = [side for mailbox in verdict["mailboxes"] for side in (mailbox, mailbox["content"])]
        found = [difference for side in sides for difference in side["differences"]]
        differences = sum(difference["items"] for difference in found)
        strangers = sum(mailbox["figures"].get("own", 0) for mailbox in verdict["mailboxes"])
        read = sum(mailbox["content"]["figures"].get("compared", 0) for mailbox in verdict["mailboxes"])
        say(f"verify: {differences} differences between the two servers, item by item; {read} of them read back whole")
        report = stage.run("report", "report", "--out", str(folder))["report"]
        say(f"report: {report}")
        told = control.stats()
        states = states_in(stage.config)
    seconds = time.perf_counter() - begun
    result = {
        "mailboxes": plan.mailboxes,
        "items": sum(states.values()),
        "states": {state.name: number for state, number in sorted(states.items())},
        "killed_after": killed_at,
        "changes": dict(changed),
        "figures": {word: int(value) for word, value in sorted(stage.figures.items())},
        "requests": {word: int(value) for word, value in sorted(stage.requests.items())},
        "idle": idle,
        "sent_to_people": told["sent"],
        "differences": differences,
        "seconds": round(seconds, 1),
        "seconds_by_step": {name: round(value, 1) for name, value in stage.seconds.items()},
        "report": str(report),
    }
    say(f"done in {seconds:.0f} s")
    if found:
        named = "; ".join(f"{one['folder']}: {one['sentence']} ({', '.join(one['keys'])})" for one in found)
        raise DemoFailed(f"the two servers differ: {named}")
    if strangers:
        # The demo's target mailboxes began empty, so whatever nobody owns there was brought twice.
        raise DemoFailed(f"the target holds {strangers} items that no row of the ledger owns")
    if told["sent"]:
        raise DemoFailed(f"{told['sent']} messages would have been e-mailed to people")
    if idle["writes"]:
        raise DemoFailed(f"a pass with nothing to do wrote {idle['writes']} times")
    if plan.keep is None:
        _keep_report_only(folder, Path(report))
    return result


@contextmanager
def lab_for(plan: DemoPlan, folder: Path, *, everything: bool = False) -> Iterator[Control]:
    """A lab in a process of its own, up as long as the context lasts. Raises DemoFailed if it does not start.

    With ``everything`` its mailboxes hold one of all that a mailbox can hold, beside their mail.
    """
    words = ["--dir", str(folder), "--mailboxes", str(plan.mailboxes), "--items", str(plan.items), "--seed", str(plan.seed)]
    words += ["--latency", str(plan.latency)] if plan.latency else []
    words += ["--mail", str(plan.mail)] if plan.mail else []
    words += ["--log", str(plan.log)] if plan.log else []
    words += ["--everything", "--deep", str(DEEPEST)] if everything else []
    for stale in ("lab.json", "migrator.db", "migrator.db-wal", "migrator.db-shm"):
        (folder / stale).unlink(missing_ok=True)
    lab = subprocess.Popen(  # noqa: S603
        [sys.executable, "-m", "connectors.lab", *words], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    assert lab.stderr is not None
    try:
        until = time.monotonic() + 60
        while not (folder / "lab.json").exists():
            if lab.poll() is not None or time.monotonic() > until:
                lab.kill()
                raise DemoFailed(f"the lab did not start: {lab.stderr.read().strip()[-500:]}")
            time.sleep(0.05)
        control = Control(folder)
        yield control
        control.stop()
        lab.wait(20)
    finally:
        if lab.poll() is None:
            lab.kill()
        lab.wait(20)
        lab.stderr.close()


def _kill_in_the_middle(stage: Stage) -> int:
    """Start the first pass and kill its process once a third of the items has arrived; returns how many had."""
    begun = time.perf_counter()
    with (stage.folder / "killed.out").open("wb") as out:
        first = subprocess.Popen(stage.command("run", "--lane", stage.lane), stdout=out, stderr=out)  # noqa: S603
        try:
            while first.poll() is None:
                states = states_in(stage.config)
                if states[ItemState.DONE] >= 50 and states[ItemState.DONE] * 3 >= sum(states.values()):
                    break
                time.sleep(0.02)
        finally:
            first.kill()
            first.wait()
    stage.seconds["seed"] = time.perf_counter() - begun
    return states_in(stage.config)[ItemState.DONE]


def ledger_of(config: Path) -> Ledger | None:
    """The ledger of a config, open; None if there is none yet."""
    from migrator.config import load

    url = load(config).ledger.url
    path = Path(url.removeprefix("sqlite:///"))
    return Ledger.open(url) if not url.startswith("sqlite") or path.exists() else None


def states_in(config: Path) -> Counter[ItemState]:
    """How many items are in which state; nothing as long as there is no ledger to read."""
    counts: Counter[ItemState] = Counter()
    try:
        ledger = ledger_of(config)
    except Exception:
        return counts
    if ledger is not None:
        with ledger:
            for _, tally in ledger.tallies():
                counts[tally.state] += tally.items
    return counts


def _arrived(config: Path) -> int:
    return states_in(config)[ItemState.DONE]


def idle_cost(before: dict[str, Any], after: dict[str, Any]) -> dict[str, float]:
    """What one pass cost the two servers: requests, and how many of them wrote to a mailbox."""
    spent = Counter(after["requests"])
    spent.subtract(before["requests"])
    writes = after["writes"] - before["writes"]
    return {"requests": sum(spent.values()), "writes": writes, "requests_per_folder": sum(spent.values()) / after["folders"]}


def _keep_report_only(folder: Path, report: Path) -> None:
    for entry in folder.iterdir():
        if entry != report:
            shutil.rmtree(entry, ignore_errors=True) if entry.is_dir() else _unlink(entry)


def _unlink(entry: Path) -> None:
    try:
        os.unlink(entry)
    except OSError:  # another system's virus scanner may hold it for a moment; the folder is temporary anyway
        pass
