"""Keeps the memory that XLA's CPU programs free, so that the next step can use it again."""

from __future__ import annotations

import ctypes

M_TRIM_THRESHOLD, M_MMAP_MAX, M_ARENA_MAX = -1, -4, -8  # malloc.h


def keep_freed_memory() -> bool:
    """Tells glibc's malloc to hold on to freed memory; False where there is no glibc. Call this before JAX is used, and
    before there is a second thread.

    A compiled CPU program allocates its temporaries at each call. By default malloc gives large blocks back to the
    kernel, and the kernel hands them out again page by page, zeroed. This took a third of the quickstart's processor
    time. There is one arena, because the arenas of other threads would still give memory back.
    """
    try:
        mallopt = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):
        return False
    return all(mallopt(*option) for option in ((M_MMAP_MAX, 0), (M_TRIM_THRESHOLD, 2**31 - 1), (M_ARENA_MAX, 1)))
