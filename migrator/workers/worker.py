"""One of several processes of a run: carries the mailboxes that it is told to, and tells what becomes of them.

``processes`` starts it, with orders on its input and news on its output (``orders``). It ends when it has had enough, and soon
after the run is gone.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import IO

from migrator import app, logs
from migrator.config import load
from migrator.engine.inflight import Pool
from migrator.parts import Share as Part
from migrator.waves.wave import BUG, PAUSED, Ending, Run, Wave
from migrator.workers.orders import (
    Began,
    Begin,
    Carry,
    Did,
    Enough,
    Halted,
    Heed,
    Hinted,
    Order,
    Ready,
    Said,
    Share,
    Speaker,
    Stop,
    ended,
    orders,
)
from state.model import MailboxRow, PassKind
from state.store import Ledger

TOLD_EVERY = 0.25
"""Seconds over which what was done is summed up before it is told."""

GRACE = 30.0
"""Seconds that a worker whose run is gone takes at most to stop in good order; then it just ends, which loses nothing either."""


class Teller:
    """Passes on what happens to the mailboxes. A ``waves.Watcher``."""

    def __init__(self, speaker: Speaker) -> None:
        self._speaker = speaker
        self._lock = threading.Lock()
        self._items: Counter[tuple[int, str]] = Counter()
        self._bytes: Counter[tuple[int, str]] = Counter()
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._tell, name="teller", daemon=True)
        self.wave: Wave | None = None

    def __enter__(self) -> Teller:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def began(self, mailbox: MailboxRow, kind: PassKind) -> None:
        """Told when a mailbox's pass begins."""
        self._speaker.say(Began(mailbox, kind))

    def did(self, mailbox: MailboxRow, word: str, items: int, size: int) -> None:
        """Told whenever something was done."""
        with self._lock:
            self._items[mailbox.id, word] += items
            self._bytes[mailbox.id, word] += size

    def ended(self, ending: Ending) -> None:
        """Told when a mailbox is through, one way or the other."""
        self._flush()
        if ending.error is not None:
            about = {"wave": ending.mailbox.wave, "mailbox": ending.mailbox.source, "exit_code": ending.code}
            logs.logger("migrator.run").error("mailbox failed", exc_info=ending.error, **about)
        # Why everybody stops comes before the ending, so that no other mailbox is handed out in between.
        if self.wave is not None and self.wave.halted.sentence:
            self._speaker.say(Halted(self.wave.halted.sentence, self.wave.halted.code))
        self._speaker.say(ended(ending))

    def _tell(self) -> None:
        while not self._done.wait(TOLD_EVERY):
            self._flush()

    def _flush(self) -> None:
        with self._lock:
            items, sizes = self._items, self._bytes
            self._items, self._bytes = Counter(), Counter()
        for place, number in items.items():
            self._speaker.say(Did(*place, number, sizes[place]))


class _Hints(app.Hints):
    """Hints go into the ledger, and to the other workers at once."""

    def __init__(self, ledger: Ledger, speaker: Speaker) -> None:
        super().__init__(ledger)
        self._speaker = speaker

    def hint(self, scope: str, until_wall: float) -> None:
        super().hint(scope, until_wall)
        self._speaker.say(Hinted(scope, until_wall))


def work(begin: Begin, told: Iterable[Order], speaker: Speaker, stop: threading.Event) -> int:
    """Obey orders until there are no more; returns this process's exit code, which says nothing about the mailboxes."""
    config = load(Path(begin.config))
    share = Part(begin.part, begin.parts)
    with ExitStack() as stack:
        ledger = stack.enter_context(Ledger.open(begin.ledger))
        config = app.measured(config, ledger)
        guard = None
        if begin.dry_run:
            from connectors.wrappers import DryRun

            guard = DryRun
        connectors = stack.enter_context(app.Connected(config, stop, guard=guard, memory=_Hints(ledger, speaker), share=share))
        teller = stack.enter_context(Teller(speaker))
        owner = app.owner()
        run = Run(
            ledger=ledger,
            connectors=connectors,
            settings=config.pass_settings(lane=begin.lane, approve_deletes=begin.approve_deletes, backfill=begin.backfill),
            at_once=begin.at_once,
            owner=owner,
            stop=stop,
            watcher=teller,
            pool=Pool(share.of_number(config.run.in_flight_mb) * 1_000_000, begin.at_once),
            vault=None if begin.dry_run or begin.rebuild else app.open_vault(config, ledger),
            look=connectors.look,
            rebuild=begin.rebuild,
            blackouts=begin.blackouts,
            parts=begin.parts,
        )
        wave = teller.wave = stack.enter_context(Wave(run))
        speaker.say(Ready(owner))
        for order in told:
            match order:
                case Carry(mailbox):
                    wave.begin(mailbox)
                case Share(part, parts):
                    share.become(part, parts)
                case Heed(scope, until):
                    connectors.heed(scope, until)
                case Stop(sentence, code):
                    wave.halt(sentence, code)
                case Enough():
                    return 0
                case Begin():
                    raise AssertionError("a worker begins once")
        # The run is gone, and with it whoever could be told.
        wave.halt("", PAUSED)
        _end_soon()
    return PAUSED


def _end_soon() -> None:
    def end() -> None:
        threading.Event().wait(GRACE)
        os._exit(PAUSED)

    threading.Thread(target=end, name="end", daemon=True).start()


@contextlib.contextmanager
def _own_output() -> Iterator[IO[bytes]]:
    """The output for news alone: what anything else prints goes to stderr."""
    with os.fdopen(os.dup(1), "wb") as pipe:
        os.dup2(2, 1)
        yield pipe


def main() -> int:
    """The process."""
    stop = threading.Event()
    # Ctrl-C goes to all processes of a terminal; who decides what it means is the run, which passes it on.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda _number, _frame: stop.set())
    with _own_output() as pipe:
        speaker = Speaker(pipe)
        logs.relay(lambda level, line: speaker.say(Said(level, line)))
        try:
            told = orders(sys.stdin.buffer)
            begin = next(told, None)
            if not isinstance(begin, Begin):
                return PAUSED
            return work(begin, told, speaker, stop)
        except Exception as error:
            logs.logger("migrator.workers.worker").error("a worker process could not go on", exc_info=error)
            return BUG
        finally:
            logs.take_down()


if __name__ == "__main__":
    sys.exit(main())
