"""Workers: confined processes that run a candidate's code, quick to start, certain to end.

A *server* process imports what every worker needs (torch takes seconds), stays single-threaded and
never sees a candidate; each *worker* is forked from it on request, with limits, its own session and
one socket to its owner. This package imports nothing else of the project and does not depend on
what the workers do.

How strongly a worker is confined is its `Tier`; `sandbox.probe.examine` finds the strongest one
of this system and tries to escape from it.
"""

from sandbox.channel import Channel, ChannelClosedError, ChannelError
from sandbox.confinement import Tier, gpu_devices
from sandbox.cores import usable_cores
from sandbox.ending import WorkerExit
from sandbox.inherited import settle
from sandbox.launcher import (
    ENVIRONMENT_KEPT,
    ConfinementError,
    ServerFailedError,
    Worker,
    WorkerServer,
)
from sandbox.memory import demand_memory
from sandbox.prctl import adopt_orphans, die_with_parent, end_children
from sandbox.spares import Spares
from sandbox.worker_pool import WorkerPool

__all__ = [
    "ENVIRONMENT_KEPT",
    "Channel",
    "ChannelClosedError",
    "ChannelError",
    "ConfinementError",
    "ServerFailedError",
    "Spares",
    "Tier",
    "Worker",
    "WorkerExit",
    "WorkerPool",
    "WorkerServer",
    "adopt_orphans",
    "demand_memory",
    "die_with_parent",
    "end_children",
    "gpu_devices",
    "settle",
    "usable_cores",
]
