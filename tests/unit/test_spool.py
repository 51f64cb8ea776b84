"""What is too large for memory lies in a file that is nobody else's, reads like bytes, and is gone with its last slice."""

from __future__ import annotations

import gc
import os
import stat
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import connectors.spool
from connectors.base import digest_of
from connectors.errors import Halt
from connectors.spool import Blob, Spool

PLACES = st.none() | st.integers(-300, 300)


def spooled(folder: Path, content: bytes) -> Blob:
    file = Spool(folder).open()
    file.write(content)
    return file.blob()


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("spool")


@given(content=st.binary(max_size=300), first=PLACES, last=PLACES)
def test_a_slice_is_the_slice_of_the_bytes(place: Path, content: bytes, first: int | None, last: int | None) -> None:
    blob = spooled(place, content)
    assert (len(blob), bytes(blob), blob[first:last]) == (len(content), content, content[first:last])


@given(content=st.text("ab", max_size=60).map(str.encode), mark=st.text("ab", min_size=1, max_size=5).map(str.encode),
       first=st.integers(0, 70), last=st.integers(0, 70))  # fmt: skip
def test_a_mark_is_found_where_the_bytes_have_it(place: Path, content: bytes, mark: bytes, first: int, last: int) -> None:
    whole = b"x" * 4090 + content
    assert spooled(place, whole).find(mark, 4090 + first, 4090 + last) == whole.find(mark, 4090 + first, 4090 + last)


def test_pieces_and_cuts_make_up_the_whole(tmp_path: Path) -> None:
    content = os.urandom(1_000_003)
    blob = spooled(tmp_path, content)
    assert b"".join(blob.pieces(4096)) == content
    assert bytes(blob.cut(10, 20)) == content[10:20]


@given(parts=st.lists(st.binary(max_size=100), max_size=6), start=st.integers(0, 20))
def test_its_digest_is_that_of_the_bytes(place: Path, parts: list[bytes], start: int) -> None:
    content = b"".join(parts)
    file = Spool(place).open()
    for part in parts:
        file.write(part)
    assert digest_of(file.blob()) == digest_of(content)
    assert digest_of(file.blob(min(start, len(content)))) == digest_of(content[start:])


def test_what_is_written_later_does_not_change_an_earlier_slice(tmp_path: Path) -> None:
    file = Spool(tmp_path).open()
    file.write(b"first")
    earlier = file.blob()
    file.write(b"second")
    assert (bytes(earlier), bytes(file.blob(5))) == (b"first", b"second")


def handles() -> int:
    return len(os.listdir("/proc/self/fd"))


def test_a_file_that_is_used_again_shows_nothing_of_the_item_before(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    file = spool.open()
    file.write(b"the first one, and longer")
    del file
    gc.collect()
    again = spool.open()
    again.write(b"second")
    assert (bytes(again.blob()), again.blob()[:100], again.blob().find(b"longer")) == (b"second", b"second", -1)
    assert digest_of(again.blob()) == digest_of(b"second")


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="only Linux shows the open files")
def test_one_file_is_kept_for_the_next_item_and_never_a_very_large_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connectors.spool, "KEPT", 10)
    gc.collect()
    before, spool = handles(), Spool(tmp_path)
    files = [spool.open() for _ in range(3)]
    files[0].write(b"a very large one")
    assert handles() == before + 3
    del files[0]
    assert handles() == before + 2
    files.clear()
    gc.collect()
    assert handles() == before + 1
    again = spool.open()
    assert handles() == before + 1
    del again, spool
    gc.collect()
    assert handles() == before


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="only Linux shows the open files")
def test_the_file_is_closed_with_its_last_slice_and_leaves_no_name(tmp_path: Path) -> None:
    gc.collect()
    before = handles()
    blob = spooled(tmp_path, b"private")
    assert handles() == before + 1
    part = blob.cut(0, 3)
    del blob
    gc.collect()
    assert bytes(part) == b"pri"
    del part
    gc.collect()
    assert handles() == before
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(sys.platform == "win32", reason="Windows keeps the name until the file is closed, and has no modes")
def test_nobody_else_can_open_it(tmp_path: Path) -> None:
    folder = tmp_path / "spool"
    file = Spool(folder, private=lambda made: made.chmod(0o700)).open()
    assert list(folder.iterdir()) == [], "a file without a name is gone whatever ends the process"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert stat.S_IMODE(os.fstat(file._file.fileno()).st_mode) & 0o077 == 0


def test_what_a_power_cut_left_is_removed_and_nothing_else(tmp_path: Path) -> None:
    old, young, other = (tmp_path / name for name in ("spool-old", "spool-young", "notes"))
    for one in (old, young, other):
        one.write_bytes(b"x")
    for one in (old, other):
        os.utime(one, (time.time() - 7200, time.time() - 7200))
    Spool(tmp_path).open()
    assert sorted(one.name for one in tmp_path.iterdir()) == ["notes", "spool-young"]


def test_no_room_stops_the_run_with_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(Halt, match="too little room") as caught:
        Spool(tmp_path, spare=10**18).open(1)
    assert "run.spool" in caught.value.mend


def test_a_folder_that_can_not_be_made_stops_the_run_with_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(Halt, match="can't be kept in"):
        Spool(tmp_path / "file" / "spool").open()
