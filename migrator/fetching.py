"""Reads lots of items from the source, one lot ahead of whoever writes them, in a thread that never touches the ledger."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

from connectors.base import Fetched, Item, Lane, Ref, Refusal, Source
from connectors.errors import Unavailable, UnknownAnswer, WireError
from connectors.pacer import Stopped
from migrator import plan
from state.model import Open, Work


class Fetcher:
    """One object a pass, with one thread: a source may keep a signed-in connection a thread."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._good: Ref | None = None
        """An item that the source did deliver; tells a poisoned item from a server that is away."""
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="fetch")

    def close(self) -> None:
        """End the thread."""
        self._thread.shutdown(wait=True, cancel_futures=True)

    def ahead(self, lots: Iterable[plan.Lot]) -> Iterator[tuple[plan.Lot, Sequence[Fetched]]]:
        """Each lot with its items, the next one being fetched while the caller works on this one."""
        waiting: deque[tuple[plan.Lot, Future[list[Fetched]]]] = deque()
        for lot in lots:
            waiting.append((lot, self._thread.submit(self._fetch, lot)))
            if len(waiting) > 1:
                first, items = waiting.popleft()
                yield first, items.result()
        while waiting:
            first, items = waiting.popleft()
            yield first, items.result()

    def _fetch(self, lot: plan.Lot) -> list[Fetched]:
        """All items of a lot, read whole. Runs on the fetch thread, which never touches the ledger."""
        if lot.work not in (Work.CREATE, Work.UPDATE):
            return []
        refs = [
            Ref(opened.item_id, opened.source_version, row.size, "" if lot.lane is Lane.IMPORT else class_of(opened))
            for row, opened in lot.rows
        ]
        return self._fetch_refs(refs, lot.lane)

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


def class_of(opened: Open) -> str:
    """The item class that the listing told; mail if it told none."""
    return plan.class_in(opened.facts)
