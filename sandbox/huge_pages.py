"""Huge pages for a process that is forked often: a fork has far fewer table entries to copy.

Most of a fork's cost is copying the page tables of what torch and its like have allocated, and
giving the copies back. A huge page takes one entry where small ones take 512. The children still
copy only the small pages that they write to.

Source: Linux, madvise(2): MADV_HUGEPAGE, MADV_COLLAPSE (6.1 and newer).
"""

import ctypes
import os
from pathlib import Path

_SIZE = 2 * 1024 * 1024
_HUGEPAGE, _COLLAPSE = 14, 25


def use_huge_pages() -> int:
    """Move this process's private memory to huge pages where the kernel does it; return the bytes.

    It takes half a second for 250 MB. Refusals (an older kernel, short memory) change nothing.
    """
    libc = ctypes.CDLL(None)
    if os.name != "posix" or not hasattr(libc, "madvise"):
        return 0
    libc.madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    moved = 0
    for start, end in _private_memory():
        first, last = -(-start // _SIZE) * _SIZE, end // _SIZE * _SIZE
        if first >= last or libc.madvise(first, last - first, _HUGEPAGE) != 0:
            continue
        if libc.madvise(first, last - first, _COLLAPSE) == 0:
            moved += last - first
    return moved


def _private_memory() -> list[tuple[int, int]]:
    """Return the heap and the anonymous private mappings that may be written, from and to."""
    try:
        lines = Path("/proc/self/maps").read_text().splitlines()
    except OSError:
        return []
    found = []
    for line in lines:
        span, mode, *rest = line.split()
        if mode == "rw-p" and (len(rest) == 3 or rest[3] == "[heap]"):
            start, _, end = span.partition("-")
            found.append((int(start, 16), int(end, 16)))
    return found
