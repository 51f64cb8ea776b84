"""A mailbox's history by folder, and the sync states that point into it.

A sync state is text that looks like Exchange's and holds all that the server needs: mailbox, folder, how far the history
was told, and how far the first listing got. It can be used twice, and by another server over the same truth.
"""

from __future__ import annotations

import base64
import gzip
import json
import zlib
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime

from .exchange_call import Call, Refused
from .truth import Event, Mailbox


@dataclass(slots=True)
class Track:
    """What happened in one folder, in order."""

    numbers: list[int] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    deleted: int = 0
    last: int = 0


class Feed:
    """The history of one mailbox, sorted by folder as far as it was read; ``catch_up`` reads on."""

    def __init__(self, mailbox: Mailbox) -> None:
        self.mailbox = mailbox
        self.read = 0
        self.tracks: dict[str, Track] = {}
        self.arrivals: dict[str, int] = {}
        self.folders: list[Event] = []

    def catch_up(self) -> Feed:
        """Reads what was written since."""
        history = self.mailbox.history
        for event in history[self.read :]:
            if event.what.startswith("folder-"):
                self.folders.append(event)
                continue
            track = self.tracks.setdefault(event.folder_id, Track())
            track.numbers.append(event.number)
            track.events.append(event)
            if event.what == "gone":
                track.deleted += 1
            else:
                track.last = event.number
            if event.what == "new":
                self.arrivals[event.item_id] = event.number
        self.read = len(history)
        return self

    def track(self, folder_id: str) -> Track:
        """The folder's own history; empty if nothing ever happened in it."""
        return self.tracks.get(folder_id) or Track()

    def since(self, folder_id: str, number: int) -> list[Event]:
        """The folder's events after that number."""
        track = self.track(folder_id)
        return track.events[bisect_right(track.numbers, number) :]

    def arrived(self, folder_id: str, told: int, start: int | None, *, newest_first: bool) -> Iterator[Event]:
        """Arrivals up to ``told``, beyond the one numbered ``start``, in the order of a listing."""
        track = self.track(folder_id)
        if newest_first:
            at = bisect_right(track.numbers, told) if start is None else bisect_left(track.numbers, start)
            places = range(at - 1, -1, -1)
        else:
            places = range(0 if start is None else bisect_right(track.numbers, start), bisect_right(track.numbers, told))
        return (track.events[place] for place in places if track.events[place].what == "new")

    def committed(self, folder_id: str, hides: frozenset[str], clock: Callable[[int], datetime]) -> datetime:
        """When something in the folder was last made or changed (0x670A), as far as the server does not hide it."""
        track = self.track(folder_id)
        if not hides:
            return clock(track.last)
        return clock(next((event.number for event in reversed(track.events) if event.what not in {"gone", *hides}), 0))


def feed_of(call: Call) -> Feed:
    """The feed of the call's mailbox, read up to now."""
    mailbox = call.box_of()
    feed = call.feeds.get(mailbox.guid)
    if not isinstance(feed, Feed) or feed.mailbox is not mailbox:
        feed = call.feeds[mailbox.guid] = Feed(mailbox)
    return feed.catch_up()


@dataclass(frozen=True, slots=True)
class State:
    """How far a client was told: ``told`` is a number of the history, ``left`` the arrival where the first listing goes on."""

    told: int
    left: int | None = None


def write_state(call: Call, scope: str, state: State) -> str:
    """The state as text for one scope: a folder's items, or the folders below one."""
    fields = [call.box_of().guid, call.options.sync_epoch, scope, state.told, state.left]
    payload = json.dumps(fields, separators=(",", ":")).encode()
    packed = gzip.compress(payload + zlib.crc32(payload).to_bytes(4, "little"), 1, mtime=0)
    return base64.b64encode(packed).decode("ascii")


def read_state(call: Call, scope: str, wire: str | None) -> State | None:
    """The state in a text; None if there is none; ErrorInvalidSyncStateData if it is broken or belongs elsewhere."""
    if not wire:
        return None
    try:
        unpacked = gzip.decompress(base64.b64decode(wire, validate=True))
        payload, check = unpacked[:-4], unpacked[-4:]
        guid, epoch, own_scope, told, left = json.loads(payload)
    except (ValueError, OSError, EOFError, zlib.error):
        raise _bad() from None
    mailbox = call.box_of()
    fits = (guid, epoch, own_scope) == (mailbox.guid, call.options.sync_epoch, scope)
    if not fits or zlib.crc32(payload).to_bytes(4, "little") != check or told > mailbox.clock:
        raise _bad()
    return State(told, left)


def _bad() -> Refused:
    return Refused("ErrorInvalidSyncStateData", "Synchronization state data is corrupt or otherwise invalid.")
