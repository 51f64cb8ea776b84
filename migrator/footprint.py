"""Keeps the process small and quick: how memory is set aside for threads, and what is looked through for garbage."""

from __future__ import annotations

import contextlib
import gc
import os
import sys
from functools import lru_cache

_M_ARENA_MAX = -8
ARENAS = 2
"""Places in which free memory is kept; measured over hours of passes, more of them give no speed and never shrink again."""


def few_arenas() -> None:
    """Let threads share ARENAS places of free memory, for the whole process; may be said again.

    The GNU C library otherwise makes up to eight a core, each of which keeps what its busiest thread ever needed: a process
    that runs pass after pass crept up by a third in half an hour, without any leak [man7.org/linux/man-pages/man3/mallopt.3].
    Does nothing on other systems and libraries, nor where MALLOC_ARENA_MAX says what the user wants.
    """
    if not sys.platform.startswith("linux") or "MALLOC_ARENA_MAX" in os.environ:
        return
    import ctypes  # late: nobody needs it on the way to `--help`

    with contextlib.suppress(OSError, AttributeError):  # another C library
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, ARENAS)


SWITCH = 0.0005
"""Seconds after which a thread that computes lets another one go on."""


def prompt_threads() -> None:
    """Let no thread that waits for an answer stand behind one that computes for longer than SWITCH, in the whole process.

    Python's own 5 ms are waited for again at each step of an exchange, since the network lets go of the interpreter each time: a
    hundred mailboxes lost a tenth of their slots to one another.
    """
    sys.setswitchinterval(SWITCH)


@lru_cache(maxsize=1)
def loaded_for_good() -> None:
    """Look for no garbage in what is loaded by now; once a process, when everything that a pass needs is there.

    Code and tables of libraries stay until the end. Looking through all of them took 0.1 s of CPU each time, a third of a pass in
    which nothing changed.
    """
    gc.freeze()
