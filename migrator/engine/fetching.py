"""Reads lots of items from the source, one lot ahead of whoever writes them, in a thread that never touches the ledger.

No lot is fetched before its bytes are taken from the process's pool; whoever has written it gives them back.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Generator, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from typing import TypeAlias

from connectors.base import Fetched, Item, Lane, Limits, Ref, Refusal, Source
from connectors.errors import Unavailable, UnknownAnswer, WireError
from connectors.pacer import Stopped
from migrator.engine import plan
from migrator.engine.inflight import NOTHING, Pool, Share
from state.model import Work

_FETCHING, _HOLDING = 2.25, {Lane.IMPORT: 1.25, Lane.COMPOSE: 2.0}
"""Bytes held for each byte of base64 of a lot: while the answer is cut into items, and afterwards until it is written."""

_SPOOLED = 4_000_000
"""Bytes held for an item that lies in a file: the pieces that are on their way, and its text."""

_UNKNOWN = 50_000


def weight(lot: plan.Lot, spool_from: int | None) -> int:
    """Bytes of base64 that a lot will hold in memory."""
    most = spool_from or float("inf")
    return sum(_SPOOLED if row.size >= most else (row.size or _UNKNOWN) * 4 // 3 + 2000 for row, _ in lot.rows)


_Ahead: TypeAlias = tuple[plan.Lot, Future[tuple[list[Fetched], Share]]]


def _taken(waiting: deque[_Ahead]) -> tuple[plan.Lot, list[Fetched], Share]:
    # Nothing here may outlive the call: a future that is kept keeps the items.
    lot, answer = waiting.popleft()
    return lot, *answer.result()


def _give_back(answer: Future[tuple[list[Fetched], Share]]) -> None:
    if not answer.cancelled() and answer.exception() is None:
        answer.result()[1].give_back()


class Fetcher:
    """One object a pass, with one thread: a source may keep a signed-in connection a thread."""

    def __init__(self, source: Source, pool: Pool, stop: threading.Event) -> None:
        self._source = source
        self._pool = pool
        self._stop = stop
        self._good: Ref | None = None
        """An item that the source did deliver; tells a poisoned item from a server that is away."""
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="fetch")

    @property
    def limits(self) -> Limits:
        """What the source wants to be asked for at once, and the pool has room for."""
        limits = self._source.limits
        return replace(limits, fetch_bytes=min(limits.fetch_bytes, self._pool.lot))

    def close(self) -> None:
        """End the thread."""
        self._pool.give_up(self)
        self._thread.shutdown(wait=True, cancel_futures=True)

    def ahead(self, lots: Iterable[plan.Lot]) -> Generator[tuple[plan.Lot, list[Fetched], Share]]:
        """Each lot with its items, the next one being fetched while the caller works on this one. To be closed.

        The list is the caller's, to be emptied when it has taken the items; so is the share of the pool, to be given back.
        """
        waiting: deque[_Ahead] = deque()
        try:
            for lot in lots:
                waiting.append((lot, self._thread.submit(self._fetch, lot)))
                if len(waiting) > 1:
                    yield _taken(waiting)
            while waiting:
                yield _taken(waiting)
        finally:
            if waiting:
                self._pool.give_up(self)
                for _, answer in waiting:
                    answer.add_done_callback(_give_back)

    def _fetch(self, lot: plan.Lot) -> tuple[list[Fetched], Share]:
        """All items of a lot, read whole. Runs on the fetch thread, which never touches the ledger."""
        if lot.work not in (Work.CREATE, Work.UPDATE):
            return [], NOTHING
        refs = [
            Ref(opened.item_id, opened.source_version, row.size, "" if lot.lane is Lane.IMPORT else plan.class_in(opened.facts))
            for row, opened in lot.rows
        ]
        bytes_ = weight(lot, self._source.limits.spool_from)
        share = self._pool.take(int(bytes_ * _FETCHING), self._stop, self)
        try:
            items = self._fetch_refs(refs, lot.lane)
        except BaseException:
            share.give_back()
            raise
        share.shrink(int(bytes_ * _HOLDING[lot.lane]))
        return items, share

    def _fetch_refs(self, refs: Sequence[Ref], lane: Lane) -> list[Fetched]:
        """One answer a ref. A failing lot is halved until the poisoned item stands alone, so that it can't fail its neighbours.

        An item that alone can't be delivered while another one can is refused by name; when nothing can be delivered it is the
        server that is away, and that is no item's fault.
        """
        try:
            return self._delivered(refs, lane)
        except (Unavailable, UnknownAnswer) as trouble:
            if isinstance(trouble, Stopped):
                raise
            if len(refs) == 1:
                if self._good is None or self._good.id == refs[0].id:
                    raise
                self._delivered([self._good], lane)  # raises when it is the server
                return [Refusal("source-cannot-deliver", str(trouble), trouble.code)]
            half = len(refs) // 2
            parts: list[list[Fetched] | WireError] = []
            for part in (refs[:half], refs[half:]):
                try:
                    parts.append(self._fetch_refs(part, lane))
                except (Unavailable, UnknownAnswer) as deeper:
                    parts.append(deeper)
            if all(isinstance(part, WireError) for part in parts):
                raise trouble
            answers: list[Fetched] = []
            for asked, told in zip((refs[:half], refs[half:]), parts, strict=True):
                if isinstance(told, WireError):
                    answers.extend(Refusal("source-cannot-deliver", str(told), told.code) for _ in asked)
                else:
                    answers.extend(told)
            return answers

    def _delivered(self, refs: Sequence[Ref], lane: Lane) -> list[Fetched]:
        answers = list(self._source.fetch(refs, lane))
        self._good = next((answer.ref for answer in answers if isinstance(answer, Item)), self._good)
        return answers
