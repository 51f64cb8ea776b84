"""Threads share few places of free memory, and what is loaded for good is not looked through for garbage."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

COUNT = """
import ctypes, sys, threading
if sys.argv[2] == "few":
    from migrator.footprint import few_arenas
    few_arenas()
start, end = threading.Barrier(9), threading.Barrier(9)
def work():
    start.wait()
    held = [bytearray(50_000) for _ in range(20)]
    end.wait()
threads = [threading.Thread(target=work) for _ in range(8)]
for thread in threads: thread.start()
start.wait(); end.wait()
for thread in threads: thread.join()
libc = ctypes.CDLL(None)
libc.fopen.restype = ctypes.c_void_p
file = ctypes.c_void_p(libc.fopen(sys.argv[1].encode(), b"w"))
libc.malloc_info(0, file)
libc.fclose(file)
"""


def arenas(told: Path, how: str, **environment: str) -> int:
    # What glibc shows about itself is XML with a heap for each arena.
    kept = {name: value for name, value in os.environ.items() if name != "MALLOC_ARENA_MAX"} | environment
    subprocess.run([sys.executable, "-c", COUNT, str(told), how], env=kept, check=True)
    return told.read_text().count("<heap ")


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="arenas are a thing of the GNU C library")
def test_many_threads_share_few_arenas(tmp_path: Path) -> None:
    assert arenas(tmp_path / "few", "few") == 2
    assert arenas(tmp_path / "as usual", "as usual") > 2
    assert arenas(tmp_path / "as the user wants", "few", MALLOC_ARENA_MAX="5") == 5


FROZEN = """
import gc
from migrator.footprint import loaded_for_good
loaded_for_good()
first, later = gc.get_freeze_count(), [object(), []]
loaded_for_good()
print(first > 1_000, gc.get_freeze_count() <= first, gc.is_tracked(later), gc.isenabled())
"""


def test_only_what_was_loaded_the_first_time_is_kept_from_the_collector() -> None:
    told = subprocess.run([sys.executable, "-c", FROZEN], check=True, capture_output=True, text=True).stdout
    assert told.split() == ["True"] * 4


PROMPT = """
import sys
from migrator.footprint import SWITCH, prompt_threads
usual = sys.getswitchinterval()
prompt_threads()
print(abs(sys.getswitchinterval() - SWITCH) < 1e-6, SWITCH < usual)
"""


def test_a_thread_that_waits_for_an_answer_does_not_stand_long_behind_one_that_computes() -> None:
    told = subprocess.run([sys.executable, "-c", PROMPT], check=True, capture_output=True, text=True).stdout
    assert told.split() == ["True"] * 2
