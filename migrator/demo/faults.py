"""The engine between two hostile wires: a share of all requests fails, in every way that the lab knows, until all is there once.

    lab up ─► faults on ─► passes until clean ─► users change things ─► passes until clean ─► faults off ─► verify

Half of the mailboxes travel by the import lane and half by the compose lane, unless one lane is asked for. What is lost and what
came twice is counted from the lab's own truths, not from the ledger.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from connectors.lab.control import Control
from migrator.demo.run import DemoFailed, DemoPlan, Stage, idle_cost, lab_for, ledger_of
from state.model import ItemState

_MOST_PASSES = 60
_UPLOADS = 6
_GOOD = (0, 2, 3, 5)
"""Exit codes that a pass may have: clean, refusals, paused; and 5, if the very first sign-in of its process is refused.

That can't be told from a wrong password, and trying again could lock the account, so it is left to a person, who runs it again.
"""


@dataclass(slots=True)
class _Lane:
    """The mailboxes that travel by one lane, in a wave of their own, and how their passes ended."""

    lane: str
    mailboxes: list[str]
    passes: int = 0
    clean: bool = False
    causes: Counter[str] = field(default_factory=Counter)
    figures: Counter[str] = field(default_factory=Counter)

    def carry(self, stage: Stage) -> None:
        """One pass; two lanes may do that at a time."""
        answer = stage.run(f"pass {self.lane}", "run", self.lane, "--lane", self.lane, good=_GOOD)
        self.passes += 1
        self.clean = answer["exit_code"] in (0, 2)
        for mailbox in answer["mailboxes"]:
            for word, value in mailbox["figures"].items():
                self.figures[word] += value
            if mailbox["exit_code"] not in (0, 2):
                self.causes[mailbox["cause"]] += 1


def run_fault_demo(plan: DemoPlan, *, say: Callable[[str], None]) -> dict[str, Any]:
    """Carry everything over hostile wires and return the figures.

    Raises DemoFailed if something is lost, came twice or is refused without a name, or if it does not come to an end.
    """
    folder = plan.keep or Path(tempfile.mkdtemp(prefix="migrator-demo-"))
    folder.mkdir(parents=True, exist_ok=True)
    begun = time.perf_counter()
    stage = Stage(folder, say, plan.lane)
    with lab_for(plan, folder) as control:
        say(f"A simulated Exchange and a simulated tenant are up; everything of this demo is in {folder}")
        lanes = _waves(control, folder, plan.lane)
        control.arm(share=plan.faults, seed=plan.seed)
        say(f"{plan.faults:.0%} of all requests fail from now on, in every way that the lab knows")
        rounds = _until_clean(stage, lanes)
        changed = _let_users_work(control, plan, lanes)
        say(f"clean after {rounds} rounds of passes; users went on working: {changed} changes")
        rounds += _until_clean(stage, lanes)
        told = control.faults()
        control.disarm()
        asked, struck = sum(told["asked"].values()), sum(told["struck"].values())
        say(f"clean after {rounds} rounds in all: {struck:,} of {asked:,} requests failed, in {len(told['struck'])} ways")
        before = control.stats()
        _carry(stage, lanes)
        idle = idle_cost(before, control.stats())
        say(f"faults off, run again: nothing to do, {int(idle['writes'])} writes")
        verdict = stage.run("verify", "verify", good=(0, 3, 4))
        differences = [one for mailbox in verdict["mailboxes"] for one in mailbox["differences"]]
        refused, withheld, unnamed = _not_carried(stage.config)
        lost, twice = _compare(control, lanes, refused.total(), withheld.total())
        say(f"the truths of both servers: {lost} lost, {twice} twice, {sum(refused.values())} refused by name")
        stats = control.stats()
    figures = sum((lane.figures for lane in lanes), Counter[str]())
    result = {
        "mailboxes": plan.mailboxes,
        "items": sum(one["items"] for one in stats["source"].values()),
        "share": plan.faults,
        "requests": asked,
        "faults": struck,
        "faults_by_kind": dict(sorted(told["struck"].items())),
        "passes": {lane.lane: lane.passes for lane in lanes},
        "rounds": rounds,
        "paused_by": {lane.lane: dict(lane.causes.most_common()) for lane in lanes},
        "in_doubt": int(figures["healed"]),
        "lost": lost,
        "twice": twice,
        "refused": dict(refused),
        "withheld": dict(withheld),
        "unnamed": unnamed,
        "differences": sum(one["items"] for one in differences),
        "sent_to_people": stats["sent"],
        "idle": idle,
        "seconds": round(time.perf_counter() - begun, 1),
        "seconds_by_step": {name: round(value, 1) for name, value in stage.seconds.items()},
        "waited": {
            word.partition("waited.")[2]: int(value) for word, value in figures.items() if "waited." in word and value >= 1
        },
    }
    say(f"done in {result['seconds']:.0f} s")
    _judge(result, differences)
    if plan.keep is None:
        shutil.rmtree(folder, ignore_errors=True)
    return result


def _waves(control: Control, folder: Path, lane: str) -> list[_Lane]:
    """Part the mailboxes over the lanes, a wave each, in the waves file that the lab wrote."""
    path = folder / "waves.csv"
    head, *lines = path.read_text("utf-8").splitlines()
    pairs = [line.split(",")[1:] for line in lines]
    shared = {"import": pairs[::2], "compose": pairs[1::2]} if lane == "auto" else {lane: pairs}
    waves = [(name, source, target) for name, mine in shared.items() for source, target in mine]
    path.write_text("\n".join([head, *map(",".join, waves)]) + "\n", "utf-8")
    return [_Lane(name, [source for source, _ in mine]) for name, mine in shared.items() if mine]


def _let_users_work(control: Control, plan: DemoPlan, lanes: list[_Lane]) -> int:
    """Change some items of every mailbox; returns how many. Real mail is left as it is."""
    changed = Counter[str]()
    if plan.mail is None:
        for lane in lanes:
            lane.clean = False
            for address in lane.mailboxes:
                changed.update(control.churn(address, new=20, edit=10, move=10, delete=10, read=20, seed=plan.seed))
            if lane.lane == "compose":
                # Uploads in parts have ways to fail of their own.
                for _ in range(_UPLOADS):
                    control.new(lane.mailboxes[0], attach=5_000_000)
                    changed["new"] += 1
    return changed.total()


def _carry(stage: Stage, lanes: list[_Lane]) -> None:
    with ThreadPoolExecutor(len(lanes)) as threads:
        for done in [threads.submit(lane.carry, stage) for lane in lanes]:
            done.result()


def _until_clean(stage: Stage, lanes: list[_Lane]) -> int:
    for rounds in range(1, _MOST_PASSES + 1):
        _carry(stage, [lane for lane in lanes if not lane.clean])
        if all(lane.clean for lane in lanes):
            return rounds
    causes = "; ".join(cause for lane in lanes for cause in lane.causes)
    raise DemoFailed(f"{_MOST_PASSES} passes did not come to an end: {causes}")


def _not_carried(config: Path) -> tuple[Counter[str], Counter[str], int]:
    """What the ledger says can't go: refusals and withheld items by reason, and how many have none or are neither."""
    refused, withheld, unnamed = Counter[str](), Counter[str](), 0
    ledger = ledger_of(config)
    if ledger is None:
        raise DemoFailed("there is no ledger")
    with ledger:
        for mailbox in ledger.mailboxes():
            for row, opened in ledger.open_rows(mailbox.id, set(ItemState)):
                if row.state is ItemState.REFUSED and opened.reason:
                    refused[opened.reason] += 1
                elif row.state is ItemState.WITHHELD and opened.reason:
                    withheld[opened.reason] += 1
                else:
                    unnamed += 1
    return refused, withheld, unnamed


def _compare(control: Control, lanes: list[_Lane], refused: int, withheld: int) -> tuple[int, int]:
    """How many items are lost and how many came twice, by what both truths hold.

    What is refused is not there, by name; a change or removal that is withheld leaves the copy there as it was.
    """
    targets = {address.partition("@")[0]: address for address in control.mailboxes("target")}
    missing = surplus = 0
    for lane in lanes:
        for source in lane.mailboxes:
            here = Counter(_shown(row, lane.lane) for row in control.items(source))
            there = Counter(_shown(row, lane.lane) for row in control.items(targets[source.partition("@")[0]], "target"))
            missing += (here - there).total()
            surplus += (there - here).total()
    return max(0, missing - refused - withheld), max(0, surplus - withheld)


def _shown(row: dict[str, Any], lane: str) -> tuple[object, ...]:
    """An item as both sides show it. The compose lane makes up a message id where there is none, and the target cuts subjects."""
    sizes = tuple(sorted(part["sha256"] for part in row["attachments"]))
    if lane == "compose":
        return row["item_class"], row["subject"][:200], len(sizes)
    return row["item_class"], row["subject"], row["message_id"], sizes


def _judge(result: dict[str, Any], differences: list[dict[str, Any]]) -> None:
    if result["lost"] or result["twice"]:
        raise DemoFailed(f"{result['lost']} items are lost and {result['twice']} came twice")
    if result["unnamed"]:
        raise DemoFailed(f"{result['unnamed']} items did not arrive and have no reason")
    if differences:
        raise DemoFailed("the two servers differ: " + "; ".join(f"{one['folder']}: {one['sentence']}" for one in differences))
    if result["sent_to_people"]:
        raise DemoFailed(f"{result['sent_to_people']} messages would have been e-mailed to people")
    if result["idle"]["writes"]:
        raise DemoFailed(f"a pass with nothing to do wrote {result['idle']['writes']} times")
