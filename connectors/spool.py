"""Content too large for memory: temporary files of this process, and slices of them that read like bytes.

A file has no name that anybody else could open, belongs to this account alone, and is gone when its last slice is and it is not
kept for the next item, or when this process is, however it ends: the system sees to that. Thread-safe.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, TypeAlias

import xxhash

from connectors.errors import Halt

PIECE = 256 * 1024
"""Bytes that are read or written at once."""

SPOOL_FROM = 4_000_000
"""Bytes from which an item is kept in a file instead of in memory."""

KEPT = 64_000_000
"""The most bytes of a file that is kept for the next item: what the system has set aside for it need not be set aside again,
which takes twice as long as writing."""

_PREFIX = "spool-"
_OLD = 3600.0
_WINDOW, _WIDEST = 4096, 1 << 20


class Spool:
    """A folder for temporary files; made when first needed. ``spare`` bytes of its disk are left alone.

    ``private`` is called once with the folder, to keep others out of it.
    """

    def __init__(self, folder: Path, *, spare: int = 0, private: Callable[[Path], None] | None = None) -> None:
        self._folder = folder
        self._spare = spare
        self._private = private
        self._lock = threading.Lock()
        self._ready = False
        self._kept: deque[IO[bytes]] = deque()
        weakref.finalize(self, _close_all, self._kept)

    def open(self, size: int = 0) -> SpoolFile:
        """A new, empty file that is to take about ``size`` bytes. Raises Halt if there is no room for them."""
        try:
            self._prepare()
            if shutil.disk_usage(self._folder).free < self._spare + size:
                raise self.full()
            with contextlib.suppress(IndexError):
                return SpoolFile(self._kept.pop(), self)
            # Without a name on most systems, deleted with the last handle on Windows: nothing is left behind by a kill.
            return SpoolFile(tempfile.TemporaryFile(prefix=_PREFIX, dir=self._folder, buffering=0), self)
        except OSError as error:
            raise Halt(
                f"A large item can't be kept in {self._folder} ({error.strerror or type(error).__name__}).",
                code="spool",
                side="source",
                mend="Make that folder writable, or name another one in run.spool.",
            ) from error

    def put_by(self, file: IO[bytes]) -> None:
        """Keep one file for the next item, unless it is a very large one."""
        # Called by whichever thread lets go of the last slice, so nothing here may wait.
        if self._kept or os.fstat(file.fileno()).st_size > KEPT:
            file.close()
        else:
            self._kept.append(file)

    def full(self) -> Halt:
        """What to raise when the disk is full."""
        return Halt(
            f"The disk under {self._folder} has too little room for a large item on its way.",
            code="no-room",
            side="source",
            mend="Make room there, or name a folder on another disk in run.spool.",
        )

    def _prepare(self) -> None:
        with self._lock:
            if self._ready and self._folder.is_dir():
                return
            if not self._folder.is_dir():
                self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
                if self._private is not None:
                    self._private(self._folder)
            for left in self._folder.glob(f"{_PREFIX}*"):
                # Only a system that lost its power leaves one; what another process holds open is younger, or can't be removed.
                with contextlib.suppress(OSError):
                    if time.time() - left.stat().st_mtime > _OLD:
                        left.unlink()
            self._ready = True


def _close_all(files: Iterable[IO[bytes]]) -> None:
    for file in files:
        file.close()


class SpoolFile:
    """One temporary file, written at its end and read anywhere. Given back with the last reference to it."""

    __slots__ = ("__weakref__", "_digest", "_file", "_lock", "_spool", "size")

    def __init__(self, file: IO[bytes], spool: Spool) -> None:
        self._file: Any = file
        self._spool = spool
        self._lock = threading.Lock()
        self._digest = xxhash.xxh3_64()
        self.size = 0
        weakref.finalize(self, spool.put_by, file)

    def write(self, data: bytes) -> None:
        """Add to the end. Raises Halt if the disk is full."""
        view = memoryview(data)
        try:
            with self._lock:
                self._file.seek(self.size)
                while view:
                    written = self._file.write(view)
                    self.size += written
                    view = view[written:]
        except OSError as error:
            raise self._spool.full() from error
        self._digest.update(data)

    def digest(self) -> bytes:
        """Eight bytes over all that was written (XXH3, 64 bits)."""
        return self._digest.digest()

    def read(self, start: int, stop: int) -> bytes:
        """The bytes ``start:stop``. Raises Halt if they can't be read back."""
        try:
            with self._lock:
                self._file.seek(start)
                found: bytes = self._file.read(stop - start)
                while len(found) < stop - start:
                    more = self._file.read(stop - start - len(found))
                    if not more:
                        raise OSError("cut short")
                    found += more
            return found
        except OSError as error:
            raise Halt("A large item on its way can't be read back from the disk.", code="spool", side="source") from error

    def blob(self, start: int = 0, stop: int | None = None) -> Blob:
        """What was written between two places, by default all so far."""
        return Blob(self, start, self.size if stop is None else stop)


class Blob:
    """A slice of a spooled file. Has the length, slices and ``find`` of bytes; a slice of it is bytes, so take small ones."""

    __slots__ = ("_file", "_start", "_stop")

    def __init__(self, file: SpoolFile, start: int, stop: int) -> None:
        self._file, self._start, self._stop = file, start, stop

    @property
    def file(self) -> SpoolFile:
        """Where it lies."""
        return self._file

    def __len__(self) -> int:
        return self._stop - self._start

    def __getitem__(self, part: slice) -> bytes:
        start, stop, step = part.indices(len(self))
        if step != 1:
            raise ValueError("only plain slices")
        return self._file.read(self._start + start, self._start + stop) if start < stop else b""

    def __bytes__(self) -> bytes:
        return self[:]

    def cut(self, start: int, stop: int) -> Blob:
        """A slice that stays in the file."""
        return Blob(self._file, self._start + start, self._start + stop)

    def find(self, mark: bytes, start: int = 0, stop: int | None = None) -> int:
        """Where the mark begins at or after ``start`` and ends before ``stop``; -1 if nowhere."""
        stop = len(self) if stop is None else min(stop, len(self))
        window = _WINDOW
        while start < stop:
            at = self[start : min(stop, start + window + len(mark) - 1)].find(mark)
            if at >= 0:
                return start + at
            start += window
            window = min(window * 8, _WIDEST)
        return -1

    def pieces(self, size: int = PIECE) -> Iterator[bytes]:
        """All of it, in order."""
        for at in range(0, len(self), size):
            yield self[at : at + size]

    def digest(self) -> bytes:
        """Eight bytes over all of it (XXH3, 64 bits); read again only if it is a part of what was written."""
        if not self._start and self._stop == self._file.size:
            return self._file.digest()
        found = xxhash.xxh3_64()
        for piece in self.pieces():
            found.update(piece)
        return found.digest()


if TYPE_CHECKING:
    Content: TypeAlias = bytes | Blob
    """Bytes, in memory or in a file."""
else:
    # Who makes an item of JSON, as the doubles do, needs a type that JSON can hold: only a connector puts content into a file.
    Content = bytes
