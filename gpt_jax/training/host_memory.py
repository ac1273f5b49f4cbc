"""Keeps the memory that XLA's CPU programs free, for the next step to use again."""

from __future__ import annotations

import ctypes

M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_MAX = -1, -2, -4  # malloc.h


def keep_freed_memory() -> bool:
    """Tells glibc's malloc to hold on to freed memory; False where there is no glibc. Call before the first step.

    A compiled CPU program allocates its temporaries anew at each call. By default malloc gives large blocks back
    to the kernel, which hands them out again page by page, zeroed: a fifth of a small model's training step.
    """
    try:
        mallopt = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):
        return False
    return all(mallopt(*option) for option in ((M_MMAP_MAX, 0), (M_TRIM_THRESHOLD, 2**31 - 1), (M_TOP_PAD, 2**27)))
