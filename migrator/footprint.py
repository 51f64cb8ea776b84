"""Keeps the process small: how the C library of Linux sets memory aside for threads."""

from __future__ import annotations

import contextlib
import os
import sys

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
