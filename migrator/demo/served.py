"""The demo of waves, driven by a ``serve`` that is killed at random moments and started again.

    deaths │ the pilot is carried ─► users work, items are approved ─► wave2 is paused with work due ─► the pilot is READY
           │ ─► deaths over a pause ─► wave2 goes on
           ▼ cutover, by hand ─► deaths │ sweeps, late mail ─► both servers compared; schedules, pauses, approvals as given

What is typed here is typed while serve lives and dies beside it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from connectors.lab.control import Control
from migrator.config import load
from migrator.demo.deaths import Deaths
from migrator.demo.run import DemoFailed, DemoPlan
from migrator.demo.waves import Project, Type, run_wave_demo
from state.model import MailboxState, PassKind, PassState
from state.plans import WaveState
from state.store import Ledger

_CARRIED = frozenset({MailboxState.SYNCING, MailboxState.READY})
_FEW = 3
"""Deaths that whatever stands has to outlive."""


def run_served_demo(plan: DemoPlan, *, say: Callable[[str], None], type_it: Type, seed: int) -> dict[str, Any]:
    """Show the life of three waves with a `serve` that dies again and again; ``seed`` draws when. Raises DemoFailed."""
    return run_wave_demo(plan, say=say, type_it=type_it, project=partial(Served, seed=seed))


class Served(Project):
    """The same steps; passes before and after the cutover are those of a `serve` that is killed."""

    since = "2023-01-01"

    def __init__(self, config: Path, control: Control, say: Callable[[str], None], type_it: Type, *, seed: int) -> None:
        super().__init__(config, control, say, type_it)
        self._deaths = Deaths(config, seed)
        self._decided: list[dict[str, Any]] = []
        self._schedules: dict[str, tuple[WaveState, dict[str, Any]]] = {}

    def run(self) -> dict[str, Any]:
        """All of it, in order; what came of it. Raises DemoFailed when a promise does not hold."""
        told = super().run()
        self._nothing_lost_nothing_twice(told["held"], told["withdrawn"])
        self._all_stands()
        deaths = self._deaths
        self._say(
            f"serve was killed {deaths.number} times, in the middle of {deaths.under_way} passes; all stands as it was given"
        )
        return told | {"deaths": deaths.number, "cut_off": deaths.under_way, "approvals": len(self._decided)}

    def _plan(self) -> None:
        super()._plan()
        text = self._config.read_text("utf-8")
        text = text.replace("lease = 60.0", "lease = 5.0")  # the dead should not be waited for long
        text = text.replace('lane = "auto"', 'lane = "compose"')  # which can't carry everything, so there is something to approve
        self._config.write_text(text, "utf-8")
        self._run("wave", "start", "pilot", "--pilot", "--every-hours", "9", "--why", "they asked for it")
        self._run("wave", "start", "wave2", "--complete-after", "2037-06-01 18:00", "--time-zone", "Europe/Berlin")
        self._say("wave start: the pilot goes first, a delta every 9 hours; wave2 follows it")

    def _others(self, addresses: Sequence[str]) -> None:
        people, deaths = self._people["pilot"], self._deaths
        with deaths:
            deaths.until("the pilot was carried", lambda ledger: self._stand(ledger, people, _CARRIED), deaths=_FEW)
            began = self._passes("wave2")
            self._churn()
            self._run("wave", "pause", "wave2", "--why", "a change freeze")
            self._approve()
            self._decided = self._decisions()
            if not self._decided:
                raise DemoFailed("everything of the pilot could be carried, so there was nothing to approve")
            ready = frozenset({MailboxState.READY})
            deaths.until("the pilot was READY", lambda ledger: self._stand(ledger, people, ready), deaths=_FEW)
            passes = self._passes("pilot")
            deaths.until("serve died a few times more", lambda _: True, deaths=_FEW)
            if self._passes("wave2") != began:
                raise DemoFailed("passes of wave2 began although the pilot goes first, and wave2 is paused")
            self._say("serve, killed again and again: the pilot is carried and READY; wave2 is paused, and nothing of it began")
            self._run("wave", "resume", "wave2")
            deaths.until("wave2 was carried", lambda ledger: self._stand(ledger, addresses, _CARRIED), deaths=_FEW)
            if self._passes("pilot") != passes:
                raise DemoFailed("the pilot got a pass that was not due for hours")
        self._idle()
        self._remember()

    def _pilot(self) -> None:
        """Carried already."""

    def _sweep(self, going: Sequence[str]) -> None:
        self._run("wave", "start", "pilot", "--sweep-minutes", "0.05")
        begun = time.time()
        with self._deaths:
            self._deaths.until(
                "all were swept again and again",
                lambda ledger: all(number > 1 for number in self._swept(ledger, going, begun)),
                deaths=2 * _FEW,
            )
        self._idle()
        self._remember()

    # -- what the ledger says

    def _stand(self, ledger: Ledger, addresses: Sequence[str], states: frozenset[MailboxState]) -> bool:
        """Whether all of these stand there, and no pass has one of them."""
        rows = {row.source: row for row in ledger.mailboxes()}
        now = time.time()
        return all(rows[one].state in states and rows[one].lease_until <= now for one in addresses)

    def _swept(self, ledger: Ledger, addresses: Sequence[str], since: float) -> list[int]:
        """How many sweeps of each came to their end since then."""
        rows = [row for row in ledger.mailboxes() if row.source in addresses]
        return [
            sum(
                (one.kind, one.state) == (PassKind.SWEEP, PassState.DONE) and one.started >= since
                for one in ledger.passes(row.id)
            )
            for row in rows
        ]  # fmt: skip

    def _passes(self, wave: str) -> set[int]:
        """Passes that ever began in a wave, by number."""
        with self._ledger() as ledger:
            return {one.id for row in ledger.mailboxes(wave) for one in ledger.passes(row.id)}

    def _decisions(self) -> list[dict[str, Any]]:
        with self._ledger() as ledger:
            return [asdict(one) for one in ledger.approvals.decisions()]

    def _idle(self) -> None:
        """Wait until no lease of the dead is left."""
        until = time.monotonic() + 60
        while True:
            with self._ledger() as ledger:
                if not any(row.lease_until > time.time() for row in ledger.mailboxes()):
                    return
            if time.monotonic() > until:
                raise DemoFailed("a lease of a process that was killed never ended")
            time.sleep(0.2)

    def _remember(self) -> None:
        """What people said of the waves until now; whoever dies from now on must not change it."""
        with self._ledger() as ledger:
            self._schedules = {name: (row.state, row.details) for name, row in ledger.plans.waves().items()}

    def _ledger(self) -> Ledger:
        return Ledger.open(load(self._config).ledger.url)

    # -- what must hold

    def _nothing_lost_nothing_twice(self, held: str, withdrawn: str) -> None:
        going = [one for one in self._people["pilot"] if one != withdrawn]
        names = [*self._people["pilot"], *(one for one in self._people["wave2"] if one != held)]
        verdict = self._run("verify", *names, good=(0, 3, 4))
        wrong = [f"{one['mailbox']}: {said['sentence']}" for one in verdict["mailboxes"] for said in one["differences"]]
        own = sum(one["figures"].get("own", 0) for one in verdict["mailboxes"])
        if own != len(going):
            wrong.append(f"{own} items of the targets belong to no row, and {len(going)} arrived there the new way")
        if wrong:
            raise DemoFailed("; ".join(wrong[:10]))
        self._say(
            f"verify: {len(names)} mailboxes compared item by item on both servers; nothing is lost, nothing is there twice"
        )

    def _all_stands(self) -> None:
        before = self._schedules
        self._remember()
        wrong = []
        closing = {"close"}  # the answers of the close came after
        for name, (state, details) in self._schedules.items():
            was, said = before[name]
            if (was, said) != (state, {word: value for word, value in details.items() if word not in closing}):
                wrong.append(f"wave {name} is {state.value} with {details}, and was {was.value} with {said}")
        if self._schedules["wave3"][0] is not WaveState.PAUSED or self._passes("wave3"):
            wrong.append("wave3 is not paused any more, or something of it ran")
        if not self._decided or self._decisions() != self._decided:
            wrong.append("the approvals are not those that were given")
        with self._ledger() as ledger:
            fit = ledger.approvals.approved_counts()
            if sum(fit.values()) != len({(one["mailbox_id"], one["key"]) for one in self._decided}):
                wrong.append(f"of {len(self._decided)} approvals {sum(fit.values())} count still")
        if wrong:
            raise DemoFailed("; ".join(wrong))
