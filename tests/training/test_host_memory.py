"""Freed memory stays with the process, and the heap asks for huge pages: each in a process of its own."""

import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
import ctypes, os, re, sys
from gpt_jax.training.host_memory import keep_freed_memory

def resident():
    return os.sysconf("SC_PAGE_SIZE") * int(open("/proc/self/statm").read().split()[1])

def flags(address):
    inside = False
    for line in open("/proc/self/smaps"):
        if found := re.match("([0-9a-f]+)-([0-9a-f]+) ", line):
            inside = int(found[1], 16) <= address < int(found[2], 16)
        elif inside and line.startswith("VmFlags:"):
            return line.split()[1:]

libc = ctypes.CDLL("libc.so.6")
libc.malloc.restype, libc.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
libc.free.argtypes, libc.memset.argtypes = [ctypes.c_void_p], [ctypes.c_void_p, ctypes.c_int, ctypes.c_size_t]
before = resident()
told = sys.argv[1] == "told" and keep_freed_memory()
taken = resident() - before
block, size = libc.malloc(2**27), 2**27
libc.memset(block, 1, size)
huge = "hg" in flags(block + size // 2)
full = resident()
libc.free(block)
print(told, taken, huge, full - resident())
"""


def measured(how: str) -> tuple[bool, int, bool, int]:
    """(told, bytes taken by telling, whether a block of 128 MiB asks for huge pages, bytes given back when freed)."""
    done = subprocess.run([sys.executable, "-c", PROGRAM, how], capture_output=True, encoding="utf-8", check=True)
    told, taken, huge, back = done.stdout.split()
    return told == "True", int(taken), huge == "True", int(back)


@pytest.fixture(scope="module")
def told() -> tuple[bool, int, bool, int]:
    if not sys.platform.startswith("linux"):
        pytest.skip("glibc's malloc is Linux's")
    found = measured("told")
    if not found[0]:
        pytest.skip("there is no glibc")
    return found


def test_freed_memory_stays_with_the_process_once_malloc_is_told(told):
    assert told[3] < 2**20
    assert measured("not told")[3] > 2**26


@pytest.mark.skipif(not Path("/sys/kernel/mm/transparent_hugepage").exists(), reason="the kernel has no huge pages")
def test_the_heap_asks_for_huge_pages_once_malloc_is_told(told):
    assert told[2]
    assert not measured("not told")[2]


def test_telling_malloc_takes_no_memory(told):
    assert told[1] < 2**24
