"""Runs a program, and ends all that it started: `python -P -m orchestrator.agents.keeper FD`.

The descriptor holds a JSON object: `argv`, `environment` and `folder` of the program, and `parent`,
who started this. The program is ended, with all its descendants, whatever sessions they are in:
when it exits, on SIGTERM, and when the parent dies.
"""

import contextlib
import json
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path
from types import FrameType
from typing import Any

from sandbox import adopt_orphans, die_with_parent, end_children, settle

NOT_STARTED = 127
STARTED = b"S"
"""Written over the beginning of the call, once the program runs."""
_BY_SIGNAL = 128
_FIRST_TO_GO = Path("/proc/self/oom_score_adj")
MOST_FILE_BYTES = 2**32
"""Size of a file that a program may write."""


def keep(call: dict[str, Any], told: int) -> int:
    """Run the program to its end; return its exit code, 128 and more where a signal ended it.

    Args:
        call: the program.
        told: the descriptor from which the call was read.
    """
    try:
        program = subprocess.Popen(
            call["argv"],
            env=call["environment"],
            cwd=call["folder"],
            start_new_session=True,
            preexec_fn=_bound,  # noqa: PLW1509 - this process has one thread
        )
    except OSError as error:
        print(f"{call['argv'][0]} can't be started: {error}", file=sys.stderr, flush=True)
        return NOT_STARTED
    os.pwrite(told, STARTED, 0)
    os.close(told)
    code = program.wait()
    end_children()
    return code if code >= 0 else _BY_SIGNAL - code


def _bound() -> None:
    """Bound the process that becomes the program: it ends with this one, and fills no disk.

    Where memory runs out, it goes before the daemon and what is being evaluated.
    """
    die_with_parent()
    with contextlib.suppress(OSError):
        _FIRST_TO_GO.write_text("1000")
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _, most = resource.getrlimit(resource.RLIMIT_FSIZE)
    limit = MOST_FILE_BYTES if most == resource.RLIM_INFINITY else min(most, MOST_FILE_BYTES)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, most))


def _end(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 - a handler's
    end_children()
    os._exit(_BY_SIGNAL + number)


def main() -> None:
    """Run one program."""
    settle()
    told = int(sys.argv[1])
    os.set_inheritable(told, False)
    with os.fdopen(told, "rb", closefd=False) as file:
        file.seek(0)
        call = json.load(file)
    adopt_orphans()
    signal.signal(signal.SIGTERM, _end)
    die_with_parent(signal.SIGTERM)
    if os.getppid() != call["parent"]:  # it died before it could be asked to tell us
        return
    sys.exit(keep(call, told))


if __name__ == "__main__":
    main()
