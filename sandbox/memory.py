"""Is there memory? Asked before work begins whose threads might hang for want of it."""

import mmap

_MIB = 1024 * 1024


def demand_memory(size_mb: int) -> None:
    """Take so much private memory, touch none of it, and give it back.

    Raises:
        OSError: the system, or a limit of this process, refuses it.
    """
    mmap.mmap(-1, size_mb * _MIB, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS).close()
