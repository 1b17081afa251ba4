"""A check for free memory, before work whose threads may hang without it."""

import mmap

_MIB = 1024 * 1024


def demand_memory(size_mb: int) -> None:
    """Allocate so much private memory, untouched, and free it again.

    Raises:
        OSError: the system, or a limit of this process, refuses it.
    """
    mmap.mmap(-1, size_mb * _MIB, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS).close()
