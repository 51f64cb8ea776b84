"""A whole project in miniature: forty mailboxes in three waves, from a spreadsheet to a signed-off report, on this machine.

    lab up ─► wave import ─► pilot: seed, approve, kit, cutover, late mail, sweeps, close
                         ├─► wave2: one mailbox held because its target is full, one held and tried again
                         └─► wave3: paused
                         ─► reports, workbook, protocol, cards, kit

Every step is the real command, as an operator would type it; in this process, because nearly all of a small command is its start.
``migrator.demo.served`` lets a `serve` that dies again and again do what `run` does here.
"""

from __future__ import annotations

import json
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from connectors.lab.control import Control
from migrator.config import load
from migrator.cutover.positions import positions
from migrator.demo.run import DemoFailed, DemoPlan, lab_for
from migrator.sheets import write_csv
from state.model import MailboxState
from state.store import Ledger

SIZES = {"pilot": 6, "wave2": 22, "wave3": 12}
PARTNER = "mx7.partner.example"

_RESULT = "Wave,Mailbox,Step,Result,Detail,Was,At,Who\r\n"
_ANSWERS = {
    "forwards": "none were set", "holds": "all taken off", "rights": "taken away with the last wave",
    "readers": "handed to the owner", "old-side": f"{PARTNER} was told", "ledger": "kept by the office, deleted on 2027-12-31",
}  # fmt: skip


Type = Callable[[Sequence[str]], tuple[int, str]]
"""Runs one command line; its exit code and what it said."""


class Project:
    """The steps, each with the commands that an operator would type."""

    since = "2020-01-01"
    """The pilot's mail from then on is what its cutover waits for; the rest follows."""

    def __init__(self, config: Path, control: Control, say: Callable[[str], None], type_it: Type) -> None:
        self._config = config
        self._type = type_it
        self._control = control
        self._say = say
        self._people: dict[str, list[str]] = {}
        self._targets: dict[str, str] = {}

    def run(self) -> dict[str, Any]:
        """All of it, in order; what came of it. Raises DemoFailed when a promise does not hold."""
        self._plan()
        held, retried = self._troubles()
        self._pilot()
        late, withdrawn = self._cutover()
        reports = self._reports()
        states = self._states()
        backfill = self._check(states, held, retried)
        return {
            "mailboxes": sum(states.values()),
            "states": dict(sorted(states.items())),
            "paused_wave": "wave3",
            "held": held,
            "retried": retried,
            "withdrawn": withdrawn,
            "late": late,
            "backfill": backfill,
            "reports": reports,
            "sent_to_people": self._control.stats()["sent"],
        }

    def _run(self, *words: str, good: tuple[int, ...] = (0, 2)) -> dict[str, Any]:
        """Run one command to its end and read its answer."""
        code, said = self._type(["-c", str(self._config), "--json", *words])
        if code not in good:
            raise DemoFailed(f"`{' '.join(words)}` ended with exit code {code}: {' '.join(said.strip().splitlines()[-5:])}")
        answer: dict[str, Any] = json.loads(said[said.index("{") :])
        return answer

    # -- the plan

    def _plan(self) -> None:
        """From a spreadsheet; one wave is paused before anything runs."""
        sources, targets = self._control.mailboxes("source"), self._control.mailboxes("target")
        by_name = {target.partition("@")[0]: target for target in targets}
        rows, at = [], 0
        for wave, size in SIZES.items():
            self._people[wave] = sources[at : at + size]
            at += size
            for number, source in enumerate(self._people[wave]):
                target = self._targets[source] = by_name.get(source.partition("@")[0], source)
                route = "forward" if number % 2 else "domain"
                since = self.since if wave == "pilot" else ""
                rows.append((wave, source, target, "user", route, since, f"Team {number % 3 + 1}", f"CHG-{at + number:04}"))
        config = self._config
        # What the lab writes is for passes of seconds; a machine that also does other things needs a longer lease.
        text = config.read_text("utf-8").replace("lease = 5.0", "lease = 60.0\nbackfill_minutes = 0")
        config.write_text(text, "utf-8")
        sheet = self._config.parent / "waves.csv"
        write_csv(sheet, ("wave", "source", "target", "kind", "route", "since", "owner", "ticket"), rows)
        planned = self._run("wave", "import", str(sheet))
        self._say(f"wave import: {len(planned['mailboxes'])} mailboxes in {len(SIZES)} waves, from a spreadsheet")
        self._run("wave", "pause", "wave3", "--why", "their building moves this week")
        self._say("wave pause wave3: nothing of it runs until somebody resumes it")

    def _troubles(self) -> tuple[str, str]:
        """Two targets are full: one is given room and tried again, the other one stays held until somebody acts."""
        held, retried = self._people["wave2"][:2]
        for address in (held, retried):
            self._control.arm(script=[{"kind": "graph-quota", "times": 4}])
            self._run("run", address, good=(4,))
        self._control.disarm()
        self._say(f"run: the targets of {held} and {retried} are full, so both are held, with what to do")
        self._run("wave", "retry", retried, "--why", "its quota was raised")
        self._others([address for address in self._people["wave2"] if address != held])
        self._say(f"and of wave2 all others are carried, one of them tried again; {held} is still held")
        return held, retried

    def _others(self, addresses: Sequence[str]) -> None:
        """Carry those of wave2 that can be carried."""
        self._run("run", *addresses)

    def _pilot(self) -> None:
        self._run("run", "pilot")
        self._approve()
        self._churn()
        self._run("run", "pilot")
        self._say("run pilot: carried, users went on working, and a delta brought it in step")

    def _approve(self) -> None:
        """Let what can't go of the pilot stay behind."""
        for reason in {one["reason"] for one in self._run("errors", "list", "pilot")["items"]}:
            self._run("errors", "approve", "--reason", reason, "--why", "their owners know")

    def _churn(self) -> None:
        """Let the pilot's people go on working."""
        for address in self._people["pilot"]:
            self._control.churn(address, new=2, read=2)

    # -- the weekend

    def _cutover(self) -> tuple[dict[str, int], str]:
        run, people = self._run, self._people["pilot"]
        ready = run("cutover", "ready", "pilot", "--no-dns", good=(0,))
        self._say(f"cutover ready pilot: {ready['verdict']}; {ready['sentence']}")
        kit = self._config.parent / "kit-pilot"
        run("kit", "pilot", "--to", str(kit))
        withdrawn, going = people[-1], people[:-1]
        run("kit", "import", str(self._by_script(kit, "01-lock-source", "lock", going)))
        self._control.new(going[0], subject="in the last minute")
        run("cutover", "start", "pilot", "--no-dns", "--without", withdrawn, "--why", "on a business trip")
        run("cutover", "confirm", "pilot", "route", *going)
        for script, step in (("03-permissions", "permissions"), ("04-rules", "rules"), ("05-addresses", "addresses")):
            run("kit", "import", str(self._by_script(kit, script, step, going)))
        self._say(f"cutover start pilot: {len(going)} locked, final passes run, routed; {withdrawn} was withdrawn")
        for address in going:
            self._control.new(self._targets[address], side="target", subject="arrived the new way")
        for address in going[:2]:
            self._control.new(address, host=PARTNER, subject="late")
        self._sweep(going)
        seen = run("cutover", "status", "pilot", "--no-dns")
        late = {host: int(number) for host, number in seen["late"].items()}
        left = sum(one["backfill"] for one in seen["mailboxes"])
        self._say(f"a sweep finds late mail, by the host that still delivers to the old side: {late}; {left} older items follow")
        return late, withdrawn

    def _sweep(self, going: Sequence[str]) -> None:
        """Collect what came late."""
        self._run("run", *going)

    def _by_script(self, kit: Path, script: str, step: str, addresses: list[str]) -> Path:
        """The result file that a script of the kit would write; there is no PowerShell in this demo."""
        file = kit / f"{script}.result.csv"
        rows = "".join(f"pilot,{address},{step},done,,{{}},2026-11-06T18:00:00Z,DEMO/operator\r\n" for address in addresses)
        file.write_bytes(b"\xef\xbb\xbf" + (_RESULT + rows).encode())
        return file

    # -- the reports

    def _reports(self) -> list[str]:
        run, folder = self._run, self._config.parent / "reports"
        run("cutover", "close", "pilot", *(w for k, v in _ANSWERS.items() for w in ("--answer", f"{k}={v}")), good=(4,))
        self._say("cutover close pilot: answered, and open until the time for late mail is over")
        run("report", "--to", str(folder), "--cards", str(folder / "cards"))
        run("status", "--waves")
        files = sorted(str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file())
        self._say(f"report: {len(files)} files, with a workbook, the protocol, and a card for each owner")
        return files

    def _states(self) -> Counter[str]:
        with Ledger.open(load(self._config).ledger.url) as ledger:
            return Counter(row.state.value for row in ledger.mailboxes())

    def _check(self, states: Counter[str], held: str, retried: str) -> int:
        """Every promise of this demo, held against the ledger and the servers; how much older mail is left to follow."""
        with Ledger.open(load(self._config).ledger.url) as ledger:
            where = {one.address: one for one in positions(ledger, ledger.mailboxes())}
        going = self._people["pilot"][:-1]
        backfill = sum(where[address].backfill for address in going)
        wrong = [
            *(
                f"{address} is {where[address].state.value}"
                for address in going
                if where[address].state is not MailboxState.SWEEPING
            ),
            *(
                f"{one} is {where[one].state.value}"
                for one in self._people["wave3"]
                if where[one].state is not MailboxState.PLANNED
            ),
        ]
        if where[held].state is not MailboxState.HELD:
            wrong.append(f"{held} is {where[held].state.value}, not HELD")
        if where[retried].state is MailboxState.HELD:
            wrong.append(f"{retried} is HELD still")
        if sum(states.values()) != sum(SIZES.values()):
            wrong.append(f"{sum(states.values())} mailboxes")
        if not backfill or any(where[address].pending for address in going):
            wrong.append(f"{backfill} older items are left, and the required part is not at zero")
        if self._control.stats()["sent"]:
            wrong.append("something would have been e-mailed to people")
        if wrong:
            raise DemoFailed("; ".join(wrong))
        return backfill


def run_wave_demo(
    plan: DemoPlan, *, say: Callable[[str], None], type_it: Type, project: Callable[..., Project] = Project
) -> dict[str, Any]:  # fmt: skip
    """Show the life of three waves and return what came of it; raises DemoFailed when a promise does not hold."""
    folder = plan.keep or Path(tempfile.mkdtemp(prefix="migrator-demo-"))
    folder.mkdir(parents=True, exist_ok=True)
    begun = time.perf_counter()
    with lab_for(plan, folder) as control:
        told = project(folder / "lab.toml", control, say, type_it).run()
    told |= {"seconds": round(time.perf_counter() - begun, 1), "folder": str(folder)}
    say(
        f"done in {told['seconds']:.0f} s; {'everything is in ' + str(folder) if plan.keep else 'nothing is kept without --keep'}"
    )
    if plan.keep is None:
        shutil.rmtree(folder, ignore_errors=True)
    return told
