"""Runs the mailboxes of a wave: a thread a mailbox, each under a lease, each ending in a state with a cause.

    PLANNED ─► SEEDING ─► SYNCING ⇄ READY   by clean passes, as ``migrator.waves.ready`` decides; a cutover moves it on
    Unavailable, a stop, the rails      PAUSED     3     run again
    MailboxBlocked                      HELD       4     a person acts; the others go on
    Halt                                PAUSED     5     nobody can proceed: the whole wave stops
    anything else                       FAILED    70     a bug; the others go on

Which mailboxes there are says the ledger. A wave that is PAUSED or STOPPED there does not run, whoever said so: what is under way
ends at its next lot.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field, replace
from typing import Literal, Protocol

from connectors.base import Destination, Source
from connectors.errors import Halt, MailboxBlocked, Unavailable
from connectors.pacer import Stopped
from migrator import logs
from migrator.config import PassSettings
from migrator.cutover.arrivals import Look, Lookout, note, observe
from migrator.cutover.positions import advance, flip_of
from migrator.cutover.table import AFTER_FLIP, UNDER_WAY, kind_of_pass
from migrator.engine import stamps
from migrator.engine.conservation import off_by, told_by
from migrator.engine.crew import keep_nothing
from migrator.engine.inflight import Pool
from migrator.engine.passes import Job, PassReport, rebuild, run_pass
from migrator.engine.tenure import Tenure
from migrator.errors.vault import Vault
from migrator.status import sentences
from migrator.waves import match
from migrator.waves.pauses import Asked, Pauses, why_not
from migrator.waves.ready import Found, state_after
from migrator.waves.schedule import minutes_each, plan_of
from state.model import (
    ASIDE,
    PENDING,
    Fenced,
    ItemState,
    LeaseHeld,
    LedgerAway,
    MailboxRow,
    MailboxState,
    PassKind,
    PassState,
)
from state.store import Ledger

PATIENCE = 1800.0
"""Seconds without anything done after which a lease is no longer renewed: a thread that hangs must not keep its mailbox."""

UNACCOUNTED = "The source counts {n:,} items more or less than its listings show; `migrator status --folders` says where."

_LOOKED_AT = frozenset({PassKind.DELTA, PassKind.FINAL, PassKind.SWEEP})
"""Passes that note what arrives; a seed reads years of mail and proves nothing."""

CLEAN, REFUSED, PAUSED, HELD, HALTED, BUG = 0, 2, 3, 4, 5, 70


class Watcher(Protocol):
    """Whoever wants to see a run go on. Called from the mailboxes' threads."""

    def began(self, mailbox: MailboxRow, kind: PassKind) -> None: ...

    def did(self, mailbox: MailboxRow, word: str, items: int, size: int) -> None: ...

    def ended(self, ending: Ending) -> None: ...


class Connectors(Protocol):
    """Opens the two sides of one mailbox; the caller closes them."""

    def source(self, mailbox: MailboxRow, stop: threading.Event) -> Source: ...

    def destination(self, mailbox: MailboxRow, stop: threading.Event) -> Destination: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """How one mailbox came out of a run. Counts are the ledger's, over all passes; ``figures`` are this pass's.
    ``approved`` are those of the refused and withheld ones that a person let stay behind.

    ``code`` is the exit code that this mailbox alone would give; ``error`` is set for a bug only.
    """

    mailbox: MailboxRow
    kind: PassKind | None
    code: int
    cause: str
    listed: int = 0
    done: int = 0
    refused: int = 0
    withheld: int = 0
    approved: int = 0
    pending: int = 0
    bytes: int = 0
    figures: dict[str, float] = field(default_factory=dict)
    error: BaseException | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What a run works with. ``stop`` ends every pass at its next batch; ``owner`` names this process in the leases."""

    ledger: Ledger
    connectors: Connectors
    settings: PassSettings
    at_once: int
    owner: str
    stop: threading.Event
    watcher: Watcher
    clock: Callable[[], float] = time.time
    no_room: Callable[[], str] = lambda: ""
    """Says in a sentence that the disk is nearly full; asked twice a second."""
    vault: Vault | None = None
    pool: Pool = field(default_factory=Pool)
    """The bytes that all mailboxes of the run hold in memory together."""
    look: Callable[[MailboxRow], Look] | None = None
    """Opens a target mailbox to see what arrives there, once its mail goes there."""
    blackouts: bool = False
    """Whether it goes by the waves' schedules: a blackout that begins stops those that it holds back, and sweeps make room for
    one another; a run that a person began goes on."""
    parts: int = 1
    """How many processes share this run."""
    rebuild: Literal["", "behind", "take-over"] = ""
    """Not a pass, but learning from the target what an earlier ledger knew; ``take-over``: whosever claim it carries."""


def run_wave(run: Run, mailboxes: Sequence[MailboxRow]) -> list[Ending]:
    """Run one pass over each mailbox and return how each ended, in their order. Raises nothing of a mailbox's own."""
    with Wave(run) as wave:
        tasks = [wave.begin(mailbox) for mailbox in mailboxes]
        left = set(tasks)
        while left:
            # A wait without an end can't be interrupted from the keyboard on every system.
            _, left = wait(left, timeout=0.5, return_when=FIRST_COMPLETED)
            wave.look_for_room()
    return [task.result() for task in tasks]


class Wave:
    """The mailboxes that this process has under way: a thread each, their leases, and why all were stopped. Leaving waits."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self.halted = Halted()
        self._leases = _Leases(run.settings.lease)
        self._pauses = Pauses(run.ledger, blackouts=run.blackouts, clock=run.clock)
        self._threads = ThreadPoolExecutor(max_workers=run.at_once, thread_name_prefix="mailbox")

    def __enter__(self) -> Wave:
        self._leases.__enter__()
        self._pauses.__enter__()
        self.look_for_room()
        return self

    def __exit__(self, *about: object) -> None:
        self._threads.shutdown()
        self._pauses.__exit__(*about)
        self._leases.__exit__(*about)

    def begin(self, mailbox: MailboxRow) -> Future[Ending]:
        """Run one pass over a mailbox, as soon as one of the threads is free."""
        return self._threads.submit(_Mailbox(self._run, self._leases, self._pauses, self.halted, mailbox).run)

    def halt(self, sentence: str, code: int) -> None:
        """Stop everything at its next batch; ``sentence`` says why nobody can proceed, and is empty if somebody asked for it."""
        if sentence and not self.halted.sentence:
            self.halted.sentence, self.halted.code = sentence, code
        self._run.stop.set()

    def look_for_room(self) -> None:
        """Stop everything while there still is room to write down where it stopped."""
        if not self.halted.sentence and (sentence := self._run.no_room()):
            self.halt(sentence, HALTED)


def tally(ledger: Ledger, mailbox_id: int) -> dict[str, int]:
    """Items of one mailbox by where they stand, and the bytes that arrived."""
    totals = ledger.totals(mailbox_id)
    counts = {state: items for state, (items, _) in totals.items()}
    return {
        "listed": sum(counts.values()),
        "done": counts[ItemState.DONE],
        "refused": counts[ItemState.REFUSED],
        "withheld": counts[ItemState.WITHHELD],
        "approved": ledger.approvals.approved_counts(mailbox_id)[mailbox_id],
        "pending": sum(counts[state] for state in PENDING),
        "bytes": totals[ItemState.DONE][1],
    }


class Halted:
    """Remembers why nobody can proceed, so that the mailboxes stopped for it can say so."""

    def __init__(self) -> None:
        self.sentence = ""
        self.code = PAUSED
        """What a mailbox that was stopped for it ends with."""


class _Leases:
    """One thread that renews the leases of all running mailboxes, as long as each gets something done."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._lock = threading.Lock()
        self._held: dict[int, tuple[Tenure, float]] = {}
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._renew, name="leases", daemon=True)

    def __enter__(self) -> _Leases:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def hold(self, tenure: Tenure) -> None:
        """Keep this lease alive; called again whenever its mailbox got something done."""
        with self._lock:
            self._held[tenure.lease.mailbox_id] = (tenure, time.monotonic())

    def let_go(self, tenure: Tenure) -> None:
        with self._lock:
            self._held.pop(tenure.lease.mailbox_id, None)

    def _renew(self) -> None:
        while not self._done.wait(self._seconds / 3):
            with self._lock:
                alive = [tenure for tenure, moved in self._held.values() if time.monotonic() - moved < PATIENCE]
            for tenure in alive:
                try:
                    tenure.renew()
                except Fenced:
                    self.let_go(tenure)  # its own thread meets the same at its next commit, and ends there
                except Exception:  # noqa: S112 - the pass meets the same trouble where it can be told
                    continue


class _Mailbox:
    """One mailbox's part in a run; ``run`` is what its thread does."""

    def __init__(self, run: Run, leases: _Leases, pauses: Pauses, halted: Halted, mailbox: MailboxRow) -> None:
        self._run = run
        self._leases = leases
        self._pauses = pauses
        self._asked = Asked(run.stop)
        self._halted = halted
        self._row = mailbox
        self._kind: PassKind | None = None
        self._figures: dict[str, float] = {}

    def run(self) -> Ending:
        try:
            ending = self._under_lease()
        except LedgerAway as error:
            # Nobody can write it down now; what is not written down is looked up by the next pass.
            sentence = sentences(str(error), error.mend)
            if error.mend:
                self._halted.sentence = self._halted.sentence or sentence
                self._run.stop.set()
            ending = Ending(mailbox=self._row, kind=self._kind, code=HALTED if error.mend else PAUSED, cause=sentence)
        except Exception as error:
            # Not even the ledger takes the news; the others still go on.
            ending = Ending(mailbox=self._row, kind=self._kind, code=BUG, cause=_bug(error), error=error)
        self._run.watcher.ended(ending)
        return ending

    def _under_lease(self) -> Ending:
        run = self._run
        if run.stop.is_set():
            return self._end(self._halted.code, f"Not begun: {self._halted.sentence or 'stopped before its turn; run again.'}")
        if why := why_not(run.ledger.plans.waves().get(self._row.wave)):
            return self._end(PAUSED, f"Not begun: {why}")
        began = run.clock()
        try:
            lease = run.ledger.lease(self._row.id, run.owner, run.settings.lease)
        except LeaseHeld as held:
            # An expired moment reads oddly, but the holder's clock may be another one.
            seconds = max(0, round(held.until - run.clock()))
            return self._end(PAUSED, f"Another process ({held.owner}) has it for another {seconds} s at most; run again later.")
        tenure = Tenure(run.ledger, lease, run.settings.lease, run.settings.answer, began, run.clock)
        self._leases.hold(tenure)
        self._pauses.watch(self._row, self._asked)
        try:
            return self._pass(tenure)
        finally:
            self._pauses.let_go(self._row)
            self._leases.let_go(tenure)
            run.ledger.release(lease)

    def _pass(self, tenure: Tenure) -> Ending:
        run = self._run
        self._row = row = run.ledger.mailbox(self._row.id)
        if row.state in ASIDE and row.came_from is not None:
            # Running it again is how a person says that it may go on.
            self._row = row = run.ledger.move_mailbox(row.id, row.came_from, "")
        self._kind = kind_of_pass(row.state)
        if self._kind is None:
            return self._end(CLEAN, f"Not run: it is {row.state.value}.")
        try:
            self._is_one_person()
            if row.state is MailboxState.PLANNED:
                self._row = run.ledger.move_mailbox(row.id, MailboxState.SEEDING, "")
            run.watcher.began(self._row, self._kind)
            report = self._carry(tenure)
            self._figures = report.figures
            if run.vault:
                run.vault.tidy(row)
            if report.state is not PassState.DONE:
                return self._aside(MailboxState.PAUSED, self._halted.code, self._stopped_by(report.cause))
            if run.rebuild:
                return self._end(CLEAN, report.cause)
            off = off_by(told_by(report.figures))
            lied = int(report.figures.get(stamps.LIED, 0))
            cause = sentences(UNACCOUNTED.format(n=off) if off else "", stamps.SENTENCE.format(n=lied) if lied else "")
            self._stand(cause, off)
            return self._end(REFUSED if off else CLEAN, cause)
        except Unavailable as error:
            return self._aside(MailboxState.PAUSED, self._halted.code, self._stopped_by(str(error)))
        except MailboxBlocked as error:
            return self._aside(MailboxState.HELD, HELD, sentences(str(error), error.mend))
        except Halt as error:
            sentence = sentences(str(error), error.mend)
            self._halted.sentence = sentence
            run.stop.set()
            return self._aside(MailboxState.PAUSED, HALTED, sentence)
        except Fenced:
            return self._end(PAUSED, "Another process took the mailbox over while this one was not heard of; it goes on there.")
        except LedgerAway:
            raise
        except Exception as error:
            return self._aside(MailboxState.FAILED, BUG, _bug(error), error)

    def _is_one_person(self) -> None:
        """Raise MailboxBlocked if somebody looked at both ends, found two people, and nobody said that it is right."""
        seen = self._run.ledger.plans.observed(match.KIND, self._row.id)
        if why := match.held_by(seen[0].about if seen else None, self._row.target):
            mend = f"Correct the pair, or say that it is right: `migrator wave check --accept {self._row.source} --why …`."
            raise MailboxBlocked(why, code=match.CODE, side="target", mend=mend)

    def _stand(self, cause: str, off: int) -> None:
        """Put the mailbox where a pass that ran to its end leaves it."""
        ledger, state = self._run.ledger, self._row.state
        counts = tally(ledger, self._row.id)
        stayed = counts["refused"] + counts["withheld"]
        after = state_after(state, Found(pending=counts["pending"], stayed=stayed, approved=counts["approved"], off=off))
        if state is MailboxState.SEEDING:
            self._row = ledger.move_mailbox(self._row.id, MailboxState.SYNCING, cause)
        self._row = ledger.move_mailbox(self._row.id, after, cause)
        if after in UNDER_WAY:
            self._row, why = advance(ledger, self._row)
            self._row = ledger.move_mailbox(self._row.id, self._row.state, sentences(cause, why))

    def _carry(self, tenure: Tenure) -> PassReport:
        run, row = self._run, self._row
        source = run.connectors.source(row, self._asked)
        keep = lambda late, sent: note(run.ledger, row, late, sent)  # noqa: E731
        lookout = Lookout(source, flip_of(run.ledger, row.id), keep) if self._kind in _LOOKED_AT else None
        try:
            destination = run.connectors.destination(row, self._asked)
            try:
                job = Job(
                    ledger=run.ledger,
                    tenure=tenure,
                    source=lookout or source,
                    destination=destination,
                    kind=self._kind or PassKind.DELTA,
                    settings=replace(run.settings, sweep_minutes=self._sweep_minutes()),
                    stop=self._asked,
                    watch=lambda word, items, size: self._watch(tenure, word, items, size),
                    clock=run.clock,
                    keep=run.vault.keeper(row) if run.vault else keep_nothing,
                    pool=run.pool,
                )
                if run.rebuild:
                    return _rebuilt(job, run.rebuild == "take-over")
                report = run_pass(job)
                if lookout is not None and report.state is PassState.DONE:
                    self._see_arrivals(lookout)
                return report
            finally:
                destination.close()
        finally:
            source.close()

    def _sweep_minutes(self) -> float:
        """After how many minutes a sweep has to let go of old mail: when its own next one is due, or another's turn has come."""
        run = self._run
        minutes = plan_of(self._row.wave, run.ledger.plans.waves().get(self._row.wave)).sweep_minutes
        if self._kind is not PassKind.SWEEP or not run.blackouts:
            return minutes
        # By the schedule all are swept again and again, by as many as go at once.
        flipped = sum((row.came_from or row.state) in AFTER_FLIP for row in run.ledger.mailboxes())
        return minutes_each(minutes, run.at_once * run.parts, flipped)

    def _see_arrivals(self, lookout: Lookout) -> None:
        look = self._run.look
        try:
            observe(self._run.ledger, self._row, lookout, look(self._row) if look else None)
        except (Unavailable, Stopped) as error:
            # The pass is done whatever was seen; the next one looks again.
            about = {"wave": self._row.wave, "mailbox": self._row.source, "cause": str(error)}
            logs.logger("migrator.run").warning("what arrives could not be seen", **about)

    def _watch(self, tenure: Tenure, word: str, items: int, size: int) -> None:
        self._leases.hold(tenure)
        self._run.watcher.did(self._row, word, items, size)

    def _stopped_by(self, cause: str) -> str:
        if self._asked.why:
            return self._asked.why
        return f"Stopped with all others: {self._halted.sentence}" if self._halted.sentence else sentences(cause)

    def _aside(self, state: MailboxState, code: int, cause: str, error: BaseException | None = None) -> Ending:
        self._row = self._run.ledger.move_mailbox(self._row.id, state, cause)
        return self._end(code, cause, error)

    def _end(self, code: int, cause: str, error: BaseException | None = None) -> Ending:
        counts = tally(self._run.ledger, self._row.id)
        if code == CLEAN and counts["refused"] + counts["withheld"] > counts["approved"]:
            code = REFUSED
        return Ending(mailbox=self._row, kind=self._kind, code=code, cause=cause, figures=self._figures, error=error, **counts)


def _rebuilt(job: Job, take_over: bool) -> PassReport:
    found = rebuild(job, take_over=take_over)
    figures = {"adopted": float(found.rows), "elsewhere": float(found.elsewhere), "strangers": float(found.strangers)}
    elsewhere = f" ({found.elsewhere:,} of them in another folder)" if found.elsewhere else ""
    cause = f"{found.rows:,} items were found in the target{elsewhere}; {found.strangers:,} there belong to nothing we know."
    return PassReport(PassState.DONE, cause, figures)


def _bug(error: BaseException) -> str:
    return f"This is a bug ({type(error).__name__}); the log file has the details."
