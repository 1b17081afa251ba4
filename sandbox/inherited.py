"""What a process inherits from its starter, put right where it would harm: call `settle` first.

An ignored or blocked signal, a closed standard stream and a umask survive `exec`.
"""

import os
import signal
import sys


def settle() -> None:
    """Make this process fit to start others and to wait for them; in the main thread."""
    # With SIGCHLD ignored, the kernel reaps children itself: nobody learns how they ended.
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    occupy_standard_streams()
    # What this process makes must be its own to use.
    os.umask(os.umask(0o077) & 0o077)


def replace_standard_input() -> None:
    """Open /dev/null anew as descriptor 0.

    A fork shares the open file with its parent and all siblings, its flags above all: with `fcntl`
    one of them could tell the others something.
    """
    fresh = os.open(os.devnull, os.O_RDWR)
    if fresh:  # else 0 was closed
        os.dup2(fresh, 0)
        os.close(fresh)


def occupy_standard_streams() -> None:
    """Open descriptors 0 to 2 on /dev/null where they are closed.

    Otherwise the next pipe gets one of these numbers, and a child's standard stream replaces it.
    """
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest number that is free: this one
            os.set_inheritable(descriptor, True)
    for name, descriptor in (("stdout", 1), ("stderr", 2)):
        if getattr(sys, name) is None:
            setattr(sys, name, open(descriptor, "w", closefd=False))  # noqa: SIM115
