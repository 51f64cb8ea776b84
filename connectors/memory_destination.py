"""The destination of the contract's readable reference: it writes to a ``MemoryTarget``.

Its switches are what is not known of the real service; the defaults are the bad case.
"""

from __future__ import annotations

import hashlib
import itertools
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import replace
from datetime import datetime

from connectors.base import (
    Claim,
    Entry,
    Folder,
    Identity,
    Lane,
    Limits,
    Outcome,
    Receipt,
    Refusal,
    Role,
    TargetRef,
    Unsent,
    Write,
    WriteKind,
    identify,
)
from connectors.errors import Unavailable
from connectors.memory_target import COMPOSE_CLASSES, Box, Content, Kept, MemoryTarget, covers, descendants, unpack
from connectors.pacer import LEASE_OVER, Stopped


class MemoryDestination:
    """``connectors.base.Destination`` over a ``MemoryTarget``. Every write is done when ``write`` returns.

    Switches, each for something that is not known of the real service:
    ``keep_search_key``  an imported item keeps its search key; else it gets a new one
    ``immutable_ids``    a moved item keeps its id; else it gets a new one
    ``whole_seconds``    times lose their fractions
    ``size_factor``      the target counts sizes its own way
    ``lag``              seconds until ``find`` sees a new item
    ``refuse``           gives the refusal of a write that can never go
    """

    def __init__(
        self,
        target: MemoryTarget,
        *,
        keep_search_key: bool = False,
        immutable_ids: bool = True,
        whole_seconds: bool = True,
        size_factor: float = 1.1,
        lag: float = 0.0,
        refuse: Callable[[Write], Refusal | None] = lambda _: None,
        limits: Limits | None = None,
        accepts: Mapping[Lane, tuple[str, ...]] | None = None,
        movable: tuple[str, ...] = COMPOSE_CLASSES,
        largest: Mapping[Lane, int] | None = None,
    ) -> None:
        self.target = target
        self._keep_search_key = keep_search_key
        self._immutable_ids = immutable_ids
        self._whole_seconds = whole_seconds
        self._size_factor = size_factor
        self._lag = lag
        self._refuse = refuse
        self._limits = limits or Limits(settle_horizon=lag)
        self._accepts = accepts or {Lane.IMPORT: ("",), Lane.COMPOSE: COMPOSE_CLASSES}
        self._movable = movable
        self._largest = largest or {}
        self._placed: dict[str, str] = {}  # target id: the source folder that names it
        self._figures: Counter[str] = Counter()
        self._may_leave: Callable[[], bool] = lambda: True

    @property
    def limits(self) -> Limits:
        return self._limits

    @property
    def accepts(self) -> Mapping[Lane, tuple[str, ...]]:
        return self._accepts

    @property
    def largest(self) -> Mapping[Lane, int]:
        return self._largest

    @property
    def movable(self) -> tuple[str, ...]:
        return self._movable

    @property
    def aside(self) -> tuple[str, ...]:
        return ()

    def guard(self, may_leave: Callable[[], bool]) -> None:
        self._may_leave = may_leave

    # ---- folders

    def place_folder(self, folder: Folder, parent: str | None, known: str | None, *, keep: bool = False) -> str:
        target = self.target
        with target.lock:
            self._figures["requests.folders"] += 1
            if folder.role is Role.ROOT:
                raise ValueError("the top has no place below itself")
            if folder.role is not None:
                return target.special(folder.role)
            if parent is not None and parent not in target.boxes:
                raise Unavailable("the parent folder is gone", code="memory", did_nothing=True)
            box = target.boxes.get(known or "")
            if box is not None and keep:
                return box.id
            if box is not None and self._placed.setdefault(box.id, folder.id) == folder.id and box.role is None:
                box.parent_id, box.name = parent, self._free_name(folder.name, parent, box)
            elif box is None:
                box = self._sibling(folder, parent)
            if box is None:
                name = self._free_name(folder.name, parent, None)
                box = Box(target.new_id("folder"), parent, name, folder.kind, hidden=folder.hidden)
                target.boxes[box.id] = box
            self._placed.setdefault(box.id, folder.id)
            return box.id

    def held(self, target_id: str) -> int:
        with self.target.lock:
            return len(self.target.in_folder(target_id))

    def remove_folder(self, target_id: str) -> bool:
        target = self.target
        with target.lock:
            self._figures["requests.folders"] += 1
            box = target.boxes.get(target_id)
            if box is None:
                return True
            if box.role is not None or target.in_folder(target_id) or len(descendants(target.boxes, target_id)) > 1:
                return False
            del target.boxes[target_id]
            return True

    def _children(self, parent: str | None) -> list[Box]:
        return [box for box in self.target.boxes.values() if box.parent_id == parent]

    def _sibling(self, folder: Folder, parent: str | None) -> Box | None:
        """The ordinary folder of that name and kind. Case does not tell names apart, so two source folders can share it."""
        for box in self._children(parent):
            if box.name.casefold() == folder.name.casefold() and box.kind == folder.kind and box.role is None:
                return box
        return None

    def _free_name(self, name: str, parent: str | None, own: Box | None) -> str:
        taken = {box.name.casefold() for box in self._children(parent) if box is not own}
        names = (name if n == 1 else f"{name} ({n})" for n in itertools.count(1))
        return next(each for each in names if each.casefold() not in taken)

    # ---- items

    def write(self, writes: Sequence[Write]) -> Future[list[Outcome]]:
        future: Future[list[Outcome]] = Future()
        with self.target.lock:
            future.set_result([self._one(write) for write in writes])
        return future

    def _one(self, write: Write) -> Outcome:
        if not self._may_leave():
            return Unsent(Stopped(LEASE_OVER, code="lease"))
        self._figures[f"requests.{write.kind}"] += 1
        refusal = self._refuse(write)
        if refusal is not None:
            return refusal
        if write.folder_id is not None and write.folder_id not in self.target.boxes:
            return Unsent(Unavailable("the target folder is gone", code="memory", did_nothing=True))
        if write.kind is WriteKind.CREATE:
            return self._create(write)
        item = self.target.items.get(write.target_id or "")
        if write.kind is WriteKind.REMOVE:
            self.target.items.pop(write.target_id or "", None)
            return Receipt(write.target_id or "")
        if item is None:
            reason = "target-changed" if write.kind is WriteKind.UPDATE else "target-gone"
            return Refusal(reason, "the target item is not there any more")
        if write.kind is WriteKind.FLAG:
            self.target.mark_read(item.id, bool(write.is_read))
            return Receipt(item.id, item.change_key)
        if write.kind is WriteKind.MOVE:
            return self._move(write, item)
        return self._update(write, item)

    def _create(self, write: Write) -> Outcome:
        if write.item is None or write.folder_id is None:
            raise ValueError("a creation needs a folder and an item")
        content = self._content(write)
        if isinstance(content, Refusal):
            return content
        # An import stream is opaque, so it can't be made to carry a stamp.
        stamp = write.stamp if write.lane is Lane.COMPOSE else None
        size = int(content.size * self._size_factor)
        item = self.target.add(write.folder_id, content, stamp=stamp, lag=self._lag, size=size)
        return Receipt(item.id, item.change_key)

    def _update(self, write: Write, item: Kept) -> Outcome:
        if write.version != item.change_key:
            return Refusal("target-changed", "the target item was changed since")
        if write.lane is not Lane.IMPORT:
            raise ValueError("only the import lane can update")
        content = self._content(write)
        if isinstance(content, Refusal):
            return content
        self.target.change(item, replace(content, search_key=item.content.search_key))
        item.size = int(content.size * self._size_factor)
        return Receipt(item.id, item.change_key)

    def _move(self, write: Write, item: Kept) -> Outcome:
        if write.folder_id is None:
            raise ValueError("a move needs a folder")
        if not covers(self._movable, item.content.item_class):
            return Refusal("not-movable", "items of this class can't be moved")
        if not self._immutable_ids:
            del self.target.items[item.id]
            item.id = self.target.new_id("item")
            self.target.items[item.id] = item
        if write.lane is Lane.COMPOSE and write.stamp:
            item.stamp = write.stamp
        self.target.move(item.id, write.folder_id)
        return Receipt(item.id, item.change_key)

    def _content(self, write: Write) -> Content | Refusal:
        item = write.item
        assert item is not None
        if not covers(self._accepts.get(write.lane, ()), item.item_class):
            return Refusal("no-lane", "this lane does not take the class")
        new_key = hashlib.blake2b(self.target.new_id("key").encode(), digest_size=16).digest()
        if write.lane is Lane.COMPOSE:
            if item.message is None:
                raise ValueError("composing needs a message")
            content = Content(item_class=item.item_class, message=item.message, search_key=new_key)
        else:
            try:
                content = unpack(bytes(item.stream or b""))
            except ValueError:
                return Refusal("corrupt", "the stream can't be read", "ErrorCorruptData")
            if not self._keep_search_key:
                content = replace(content, search_key=new_key)
        self._figures["bytes.sent"] += len(item.stream or b"")
        return self._rounded(content) if self._whole_seconds else content

    @staticmethod
    def _rounded(content: Content) -> Content:
        def cut(moment: datetime | None) -> datetime | None:
            return moment and moment.replace(microsecond=0)

        message = replace(content.message, submitted=cut(content.message.submitted), received=cut(content.message.received))
        return replace(content, message=message, start=cut(content.start))

    # ---- looking

    def find(self, identities: Sequence[Identity]) -> dict[Identity, list[TargetRef]]:
        with self.target.lock:
            self._figures["requests.find"] += 1
            now = self.target.clock()
            there = [_ref(item) for item in self.target.items.values() if item.visible_from <= now]
        return {identity: [ref for ref in there if _fits(ref, identity)] for identity in identities}

    def peek(self, target_ids: Sequence[str], left_in: Sequence[str | None] = ()) -> list[TargetRef | None]:
        with self.target.lock:
            self._figures["requests.peek"] += 1
            return [_ref(self.target.items[each]) if each in self.target.items else None for each in target_ids]

    def inventory(self, folder_id: str) -> Iterator[Entry]:
        with self.target.lock:
            self._figures["requests.inventory"] += 1
            items = self.target.in_folder(folder_id)
            return iter([Entry(item.id, item.facts, item.change_key, item.stamp) for item in items])

    def claim(self) -> Claim | None:
        self._figures["requests.claim"] += 1
        return self.target.claim

    def stake(self, claim: Claim) -> None:
        self._figures["requests.claim"] += 1
        self.target.claim = claim

    def figures(self) -> dict[str, float]:
        return {"bytes.sent": 0.0, "bytes.received": 0.0, **self._figures}

    def close(self) -> None:
        """Nothing is held."""


def _ref(item: Kept) -> TargetRef:
    return TargetRef(
        id=item.id,
        folder_id=item.folder_id,
        version=item.change_key,
        stamp=item.stamp,
        rungs=identify(item.facts).rungs,
        size=item.size,
        modified=item.modified,
        subject_hash=item.facts.subject_hash,
    )


def _fits(ref: TargetRef, identity: Identity) -> bool:
    stamped = bool(ref.stamp and identity.stamp) and (ref.stamp or "").casefold() == (identity.stamp or "").casefold()
    return stamped or bool(set(ref.rungs) & set(identity.rungs))
