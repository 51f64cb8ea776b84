"""What stands at the edges of a run and only looks on: notifications to the team and the endpoint for Prometheus.

Put around whatever shows a run (``waves.Watcher``). Nothing here ever fails a run, and nothing is told twice by one process.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from migrator import logs
from migrator.notify import Event, Notifier, channels
from migrator.status import headline, standings
from migrator.waves.status import BEFORE_READY
from state.model import MailboxRow, MailboxState, PassKind

if TYPE_CHECKING:
    from migrator.config import Config
    from migrator.waves.wave import Ending, Watcher
    from state.store import Ledger

DIGEST = "notify.digest"
"""Scope of the hint that says until when the digest counts as sent."""

_ASIDE = frozenset({MailboxState.HELD, MailboxState.FAILED, MailboxState.PAUSED})
_UNBEGUN = frozenset({MailboxState.PLANNED, MailboxState.SEEDING})


class Edges:
    """A watcher that hands on everything, and tells the team what it should know. Thread-safe."""

    def __init__(self, inner: Watcher, ledger: Ledger, notifier: Notifier, count: Callable[[str, int, int], None]) -> None:
        self._inner = inner
        self._ledger = ledger
        self._notifier = notifier
        self._count = count
        self._lock = threading.Lock()
        self._told: set[tuple[Any, ...]] = set()
        self._log = logs.logger("migrator.notify")

    def began(self, mailbox: MailboxRow, kind: PassKind) -> None:
        self._inner.began(mailbox, kind)
        if self._notifier.wanted and kind is PassKind.SEED and self._once("started", mailbox.wave):
            self._quietly(lambda: self._started(mailbox))

    def did(self, mailbox: MailboxRow, word: str, items: int, size: int) -> None:
        self._inner.did(mailbox, word, items, size)
        self._count(word, items, size)

    def ended(self, ending: Ending) -> None:
        self._inner.ended(ending)
        if self._notifier.wanted:
            self._quietly(lambda: self._ended(ending))

    def _started(self, mailbox: MailboxRow) -> None:
        rows = self._ledger.mailboxes(mailbox.wave)
        if all((row.came_from or row.state) in _UNBEGUN for row in rows):
            line = f"{mailbox.wave} has started: {len(rows)} mailboxes."
            self._notifier.tell(Event("started", line, {"wave": mailbox.wave, "mailboxes": len(rows)}))

    def _ended(self, ending: Ending) -> None:
        row = ending.mailbox
        about = {"wave": row.wave, "mailbox": row.source, "state": row.state.value}
        if row.state in (MailboxState.HELD, MailboxState.FAILED) and self._once("held", row.id, row.cause):
            self._notifier.tell(Event("held", f"{row.source} ({row.wave}) is {row.state.value}: {row.cause}", about))
        left = ending.refused + ending.withheld - ending.approved
        if left > 0 and self._once("approval", row.id, left):
            line = f"{row.source} ({row.wave}): {left:,} items did not go; see `migrator errors list {row.source}`."
            self._notifier.tell(Event("approval", line, {**about, "items": left}))
        if row.state is MailboxState.READY and not self._is_told("finished", row.wave):
            rows = self._ledger.mailboxes(row.wave)
            if all(one.state not in BEFORE_READY | _ASIDE for one in rows) and self._once("finished", row.wave):
                line = f"{row.wave} is ready: all of its {len(rows)} mailboxes may be cut over."
                self._notifier.tell(Event("finished", line, {"wave": row.wave, "mailboxes": len(rows)}))

    def _is_told(self, *what: Any) -> bool:
        with self._lock:
            return what in self._told

    def _once(self, *what: Any) -> bool:
        with self._lock:
            if what in self._told:
                return False
            self._told.add(what)
            return True

    def _quietly(self, act: Callable[[], None]) -> None:
        try:
            act()
        except Exception as error:
            # The ledger may be away just now; the run meets that where it can be told.
            self._log.warning("not notified", why=type(error).__name__)


def digest(ledger: Ledger) -> Event:
    """The day in a few sentences, from the ledger's sums."""
    rows = standings(ledger)
    states: dict[str, int] = {}
    for row in rows:
        states[row.state.value] = states.get(row.state.value, 0) + 1
    items, size = sum(row.items - row.pending for row in rows), sum(row.gigabytes for row in rows)
    told = ", ".join(f"{number} {state}" for state, number in states.items()) or "no mailbox is planned"
    return Event(
        "digest", f"{headline(rows)} {told}; {items:,} items, {size:,.1f} GB so far.", {"states": states, "items": items}
    )


class Digests:
    """Sends the digest once a day, in whichever process is up then; the ledger remembers that it was sent."""

    def __init__(self, ledger: Ledger, notifier: Notifier, at: str, clock: Callable[[], float] = time.time) -> None:
        self._ledger = ledger
        self._notifier = notifier
        self._at = at
        self._clock = clock

    def look(self) -> bool:
        """Send it if it is due; whether it was."""
        now = self._clock()
        if not self._at or self._ledger.hints().get(DIGEST, 0.0) > now:
            return False
        first = DIGEST not in self._ledger.hints()
        self._ledger.hint(DIGEST, next_time(self._at, now))
        if first:
            return False  # nobody was up at that time yet: from now on
        self._notifier.tell(digest(self._ledger))
        return True

    @contextmanager
    def kept(self, every: float = 30.0) -> Iterator[None]:
        """Look again and again in a thread of its own."""
        done = threading.Event()

        def work() -> None:
            while True:
                try:
                    self.look()
                except Exception as error:
                    logs.logger("migrator.notify").warning("no digest", why=type(error).__name__)
                if done.wait(every):
                    return

        thread = threading.Thread(target=work, name="digest", daemon=True)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()


def next_time(at: str, now: float) -> float:
    """When it is that time of day next, in the zone of this machine. Wall-clock seconds."""
    hours, minutes = map(int, at.split(":"))
    today = datetime.fromtimestamp(now).astimezone()
    then = today.replace(hour=hours, minute=minutes, second=0, microsecond=0, tzinfo=None)
    if then.timestamp() <= now:
        then += timedelta(days=1)
    return then.timestamp()


@contextmanager
def at_the_edges(
    config: Config, ledger: Ledger, inner: Watcher, *, say: Callable[[str], None], metrics: str = "", real: bool = True
) -> Iterator[Watcher]:
    """The watcher of a run with everything around it. ``metrics`` is a port or ADDRESS:PORT; ``say`` is told what a person should
    see at the end. Without ``real`` (a dry run) nobody is notified. Raises BadInput for a config or port that can't be used."""
    with ExitStack() as stack:
        count: Callable[[str, int, int], None] = lambda word, items, size: None  # noqa: E731
        if metrics:
            from migrator.metrics import Counters, serving

            counters = Counters()
            count = counters.count
            where = stack.enter_context(serving(metrics, ledger, counters))
            say(f"Metrics are at {where}")
        to = channels(config) if real else []
        if not to and not metrics:
            yield inner
            return
        notifier = stack.enter_context(Notifier(to, config.notify.events))
        if to and "digest" in config.notify.events:
            stack.enter_context(Digests(ledger, notifier, config.notify.digest_at).kept())
        yield Edges(inner, ledger, notifier, count)
        notifier.__exit__()
        for failure in notifier.failures[-5:]:
            say(failure)
