"""The whole mailbox, not only its mail: everything that a mailbox can hold, by both lanes, with what it is set up with.

    lab up ─► check ─► first pass ─► settings ─► users change things ─► delta ─► nothing to do ─► verify all of it, deep ─► report

Each lane has two servers of its own and both go on at the same time. A difference that the report does not explain fails. What
the compose lane has no resource for is carried as a message that holds it.
"""

from __future__ import annotations

import json
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from connectors.lab.control import Control
from migrator import fidelity
from migrator.demo.run import DemoFailed, DemoPlan, Stage, idle_cost, lab_for, states_in

LANES = ("import", "compose")


@dataclass(frozen=True, slots=True)
class _Found:
    """What became of one lane's mailboxes; ``broken`` says what does not hold, empty if all does."""

    told: dict[str, Any]
    broken: list[str]


def run_whole_demo(plan: DemoPlan, *, say: Callable[[str], None]) -> dict[str, Any]:
    """Carry everything by each lane and return the figures; raises DemoFailed when something is not explained."""
    folder = plan.keep or Path(tempfile.mkdtemp(prefix="migrator-demo-"))
    begun = time.perf_counter()
    lanes = LANES if plan.lane == "auto" else (plan.lane,)
    say(f"Two simulated servers for each lane; everything of this demo is in {folder}")
    with ThreadPoolExecutor(len(lanes)) as threads:
        waiting = [threads.submit(_carry, plan, lane, folder / lane, say) for lane in lanes]
        found = [one.result() for one in waiting]
    result = {
        "mailboxes": plan.mailboxes,
        "lanes": {lane: one.told for lane, one in zip(lanes, found, strict=True)},
        "unexplained": sum(len(one.broken) for one in found),
        "seconds": round(time.perf_counter() - begun, 1),
    }
    (folder / "whole.json").write_text(json.dumps(result, indent=2), "utf-8")
    broken = [f"{lane}: {sentence}" for lane, one in zip(lanes, found, strict=True) for sentence in one.broken]
    if broken:
        raise DemoFailed("; ".join(broken))
    if plan.keep is None:
        for lane in lanes:
            for entry in (folder / lane).iterdir():
                if entry.name != "report.html":
                    shutil.rmtree(entry, ignore_errors=True) if entry.is_dir() else entry.unlink(missing_ok=True)
    return result


def _carry(plan: DemoPlan, lane: str, folder: Path, say: Callable[[str], None]) -> _Found:
    """Everything by one lane, between two servers of its own."""
    folder.mkdir(parents=True, exist_ok=True)
    log = plan.log.with_name(f"{plan.log.stem}-{lane}{plan.log.suffix}") if plan.log else None
    plan = replace(plan, lane=lane, keep=folder, log=log)
    stage = Stage(folder, say, lane)
    with lab_for(plan, folder, everything=True) as control:
        if lane == "compose":
            config = stage.config.read_text("utf-8")
            stage.config.write_text(config.replace("[run]\n", '[run]\nothers_as = "attachment"\n', 1), "utf-8")
        stage.run("check", "check", good=(0,))
        classes = Counter(row["item_class"] for address in control.mailboxes("source") for row in control.items(address))
        seed = stage.run_pass("seed")
        say(f"{lane}: {int(seed['created']):,} items of {len(classes)} classes have arrived, {int(seed['refused'])} can't go")
        settings = stage.run("settings", "settings", "--apply", good=(0, 2))
        written = sum(one["written"] for one in settings["mailboxes"])
        changed = _let_users_work(control, plan)
        delta = stage.run_pass("delta")
        say(f"{lane}: {written} settings carried; users went on working: {changed} changes, {int(delta['refused'])} can't go")
        before = control.stats()
        stage.run_pass("idle")
        again = stage.run("settings again", "settings", "--apply", good=(0, 2))
        idle = idle_cost(before, control.stats())
        verdict = stage.run("verify", "verify", "--deep", good=(0, 3, 4))
        report = stage.run("report", "report", "--out", str(folder / "report.html"))
        sent = control.stats()["sent"]
        states = states_in(stage.config)
    found = [one for mailbox in verdict["mailboxes"] for side in (mailbox, mailbox["content"]) for one in side["differences"]]
    read = _add_up(mailbox["content"]["figures"] for mailbox in verdict["mailboxes"])
    times = _add_up(mailbox["calendar"]["figures"] for mailbox in verdict["mailboxes"])
    series = [one for mailbox in verdict["mailboxes"] for one in mailbox["calendar"]["differences"] if one["verdict"] == "fail"]
    strangers = sum(mailbox["figures"].get("own", 0) for mailbox in verdict["mailboxes"])
    lessened = dict(report["degraded"])
    told = {
        "classes": dict(sorted(classes.items())),
        "items": sum(states.values()),
        "states": {state.name: number for state, number in sorted(states.items())},
        "refused": dict(report["reasons"]),
        "degraded": lessened,
        "degraded_by_mailbox": {one["source"]: one["degraded"] for one in report["mailboxes"]},
        "compared": read["compared"],
        "explained": {word.partition(".")[2]: number for word, number in read.items() if word.startswith("explained.")},
        "unseen": {word.partition(".")[2]: number for word, number in read.items() if word.startswith("unseen.")},
        "series": {word: times[word] for word in ("series", "pass", "degraded", "fail", "occurrences")},
        "differences": sum(one["items"] for one in found) + len(series),
        "settings": {"written": written, "again": sum(one["written"] for one in again["mailboxes"])},
        "sent_to_people": sent,
        "idle": idle,
        "seconds_by_step": {name: round(value, 1) for name, value in stage.seconds.items()},
        "report": str(folder / "report.html"),
    }
    say(f"{lane}: {told['compared']:,} items read back whole, {told['differences']} unexplained differences")
    less = f", {times['degraded']} less well, by name" if times["degraded"] else ""
    say(f"{lane}: {times['pass']:,} of {times['series']:,} appointments and series take place as they did{less}")
    return _Found(told, [*_broken(told, found, strangers), *(f"{one['folder']}: {one['sentence']}" for one in series)])


def _let_users_work(control: Control, plan: DemoPlan) -> int:
    changed: Counter[str] = Counter()
    for address in control.mailboxes("source"):
        changed.update(control.churn(address, new=5, edit=4, move=4, delete=4, read=5, seed=plan.seed))
    return changed.total()


def _add_up(figures: Any) -> Counter[str]:
    total: Counter[str] = Counter()
    for one in figures:
        total.update(one)
    return total


def _broken(told: dict[str, Any], found: list[dict[str, Any]], strangers: int) -> Any:
    """A sentence for each promise that does not hold."""
    for one in found:
        yield f"the two servers differ in {one['folder']}: {one['sentence']} ({', '.join(one['keys'])})"
    if strangers:
        yield f"the target holds {strangers} items that no row of the ledger owns"
    if told["sent_to_people"]:
        yield f"{told['sent_to_people']} messages would have been e-mailed to people"
    if told["idle"]["writes"]:
        yield f"with nothing to do it wrote {told['idle']['writes']} times"
    if told["settings"]["again"]:
        yield f"settings that were there already were written {told['settings']['again']} times"
    open_ = {name: number for name, number in told["states"].items() if name not in ("DONE", "REFUSED", "WITHHELD", "GONE")}
    if open_:
        yield f"not carried and not named: {open_}"
    for name in told["degraded"].keys() - fidelity.names():
        yield f"{name} arrived with something less, and the fidelity table does not know it"
    if told["compared"] != told["states"].get("DONE", 0):
        yield f"{told['states'].get('DONE', 0)} items arrived, and {told['compared']} could be read back"
