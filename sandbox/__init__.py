"""Workers: processes that may run a candidate's code, started quickly and always ended.

A *server* process imports what every worker needs (torch takes seconds), stays single-threaded and
never sees a candidate; each *worker* is forked from it on request, with limits, its own session and
one socket to its owner. This package imports nothing else of the project and knows nothing of what
the workers do.

What it does today is process isolation: separate processes, a scrubbed environment, resource
limits, and the certain end of everything a worker started. It does not yet confine file access or
the network (`CONFINEMENT` says so, and every status shows it).
"""

from sandbox.channel import Channel, ChannelClosedError, ChannelError
from sandbox.launcher import ENVIRONMENT_KEPT, Worker, WorkerExit, WorkerServer
from sandbox.prctl import adopt_orphans, die_with_parent, end_children

CONFINEMENT = "processes"
"""The tier in force: separate processes and limits, no file or network confinement."""

__all__ = [
    "CONFINEMENT",
    "ENVIRONMENT_KEPT",
    "Channel",
    "ChannelClosedError",
    "ChannelError",
    "Worker",
    "WorkerExit",
    "WorkerServer",
    "adopt_orphans",
    "die_with_parent",
    "end_children",
]
