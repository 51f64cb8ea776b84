"""The report while things go on: gathered again and again, and its mailboxes searched, filtered, sorted and cut into pages.

One thread gathers; everybody else reads what it gathered last, so that a page never waits for the ledger.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from migrator.reporting import charts
from migrator.reporting.facts import Detail, Facts, MailboxLine
from migrator.reporting.pages import NEVER, needs_attention, page, state_bars
from migrator.reporting.verdict import SHOWN
from migrator.reporting.words import Language

SHARE: Final = 4.0
"""Gathering rests at least so many times as long as it took: a large ledger costs a fifth of a core and no more."""

PAGE: Final = 50

SORTS: Final[Mapping[str, Callable[[MailboxLine], tuple[object, ...]]]] = {
    "mailbox": lambda line: (line.source.casefold(),),
    "wave": lambda line: (line.wave.casefold(), line.source.casefold()),
    "state": lambda line: (line.state.value, line.source.casefold()),
    "done": lambda line: (-1.0 if line.share is None else line.share, line.source.casefold()),
    "items": lambda line: (line.done,),
    "open": lambda line: (line.pending,),
    "cannot": lambda line: (line.refused + line.withheld,),
    "size": lambda line: (line.bytes,),
    "last-pass": lambda line: (line.last_pass_at or 0.0,),
}
"""Columns that mailboxes can be put in order by."""

NUMBERS: Final = ("done", "items", "open", "cannot", "size")


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """Which mailboxes are asked for. Empty texts ask for all; a page that there is not is the last one."""

    text: str = ""
    wave: str = ""
    state: str = ""
    attention: bool = False
    sort: str = ""
    down: bool = False
    number: int = 1

    @classmethod
    def of(cls, values: Mapping[str, str]) -> Query:
        """What an address asks for; what makes no sense in it is left out."""
        number = values.get("to") or values.get("page", "")
        sort, down = values.get("sort", ""), values.get("dir") == "down"
        if by := values.get("by"):  # a heading was pressed on a page whose script does not run
            sort, down, number = by, by == sort and not down, "1"
        return cls(
            text=values.get("q", "").strip()[:200],
            wave=values.get("wave", ""),
            state=values.get("state", ""),
            attention=bool(values.get("attention")),
            sort=sort if sort in SORTS else "",
            down=down,
            number=int(number) if number.isascii() and number.isdigit() and len(number) < 8 else 1,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """One page of mailboxes. ``first`` and ``last`` count from 1; ``of`` is how many fit in all."""

    lines: Sequence[MailboxLine]
    first: int
    last: int
    of: int
    number: int
    pages: int


def find(lines: Sequence[MailboxLine], query: Query, size: int = PAGE) -> Found:
    """The mailboxes that fit: every word of the text is in an address, the wave, the owner, the ticket or the cause."""
    words = query.text.casefold().split()
    some = [
        line
        for line in lines
        if (not query.wave or line.wave == query.wave)
        and (not query.state or line.state.value == query.state)
        and (not query.attention or needs_attention(line))
        and (not words or _holds(line, words))
    ]
    if query.sort in SORTS:
        some.sort(key=SORTS[query.sort], reverse=query.down)
    pages = max(1, -(-len(some) // size))
    number = min(max(1, query.number), pages)
    start = (number - 1) * size
    shown = some[start : start + size]
    return Found(
        lines=shown, first=start + 1 if shown else 0, last=start + len(shown), of=len(some), number=number, pages=pages
    )  # fmt: skip


def _holds(line: MailboxLine, words: Sequence[str]) -> bool:
    text = f"{line.source} {line.target} {line.wave} {line.owner} {line.ticket} {line.cause}".casefold()
    return all(word in text for word in words)


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """What was gathered last, and its parts as they are shown. ``trouble`` is why nothing newer could be gathered."""

    version: int
    facts: Facts
    parts: Mapping[str, str]
    trouble: str = ""


class Live:
    """Keeps a view fresh. ``gather`` is called in a thread of its own; what it raises is shown and tried again.

    ``detail`` tells everything of one mailbox, from any thread; without it there is no page for one.
    """

    def __init__(
        self,
        gather: Callable[[], Facts],
        language: Language,
        every: float,
        detail: Callable[[MailboxLine], Detail] | None = None,
    ) -> None:
        self.language = language
        self.detail = detail
        self._gather = gather
        self._every = every
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="dashboard-gathering", daemon=True)
        begun = time.monotonic()
        self.view = self._seen(gather(), 1)
        self._took = time.monotonic() - begun

    def __enter__(self) -> Live:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(max(self._every, self._took * SHARE)):
            begun = time.monotonic()
            view = self.view
            try:
                self.view = self._seen(self._gather(), view.version + 1)
            except Exception as error:  # whatever it is, the last view stands and says so
                trouble = str(error) or type(error).__name__
                self.view = View(version=view.version + 1, facts=view.facts, parts=view.parts, trouble=trouble)
            self._took = time.monotonic() - begun

    def _seen(self, facts: Facts, version: int) -> View:
        language = self.language
        values = {
            "facts": facts,
            "live": True,
            "charts": charts,
            "states": state_bars(facts, language),
            "never": NEVER,
            "wanted": facts.wanted[:SHOWN],
            "wanted_more": 0,
            "moved_share": facts.total("moved") / len(facts.mailboxes) if facts.mailboxes else None,
            "before": None,
            "changes": [],
            "waits": [
                charts.Bar(language(f"budget.{name}"), seconds, language.length(seconds))
                for name, seconds in list(facts.waits.items())[:6]
            ],
        }
        parts = {name: page(f"{name}.html", language, **values) for name in ("board", "waves", "progress")}
        return View(version=version, facts=facts, parts=parts)
