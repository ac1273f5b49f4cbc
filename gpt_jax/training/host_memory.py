"""Keeps the memory that XLA's CPU programs free, so that the next step can use it again, and has it in huge pages."""

from __future__ import annotations

import ctypes
import mmap
import os

M_TRIM_THRESHOLD, M_MMAP_MAX, M_ARENA_MAX = -1, -4, -8  # malloc.h
NEVER = -1  # as a limit of M_TRIM_THRESHOLD: memory is not given back, however much is free
HUGE = 2**21  # bytes of a huge page


def keep_freed_memory() -> bool:
    """Tells glibc's malloc to hold on to freed memory; False where there is no glibc. Call this before JAX is used, and
    before there is a second thread.

    A compiled CPU program allocates its temporaries at each call. By default malloc gives large blocks back to the
    kernel, and the kernel hands them out again page by page, zeroed. This took a third of the quickstart's processor
    time. There is one arena, because the arenas of other threads would still give memory back.

    The heap is told to have huge pages, where the kernel gives them to those who ask. With pages of 4 KiB, a step or a
    token that reads hundreds of MB took 1 to 5 % longer (docs/PERFORMANCE.md).
    """
    try:
        libc = ctypes.CDLL("libc.so.6")
        kept = all(libc.mallopt(*option) for option in ((M_MMAP_MAX, 0), (M_TRIM_THRESHOLD, NEVER), (M_ARENA_MAX, 1)))
    except (OSError, AttributeError):
        return False
    if kept:
        _advise_huge_pages(libc)
    return kept


def _advise_huge_pages(libc: ctypes.CDLL) -> None:
    """Half of the machine's memory as addresses of malloc's heap, to be filled with huge pages when they are used.

    The block is freed at once, and stays in the heap. Nothing is written to it, so no memory is taken. Where the block
    is refused, and where the kernel has no huge pages, all stays as it was.
    """
    libc.malloc.restype, libc.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
    libc.madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    libc.free.argtypes = [ctypes.c_void_p]
    size = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2
    if start := libc.malloc(size):
        first = -(-start // HUGE) * HUGE
        libc.madvise(first, (start + size - first) // HUGE * HUGE, mmap.MADV_HUGEPAGE)
        libc.free(start)
