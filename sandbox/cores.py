"""How many CPUs this process may use: its affinity and the quotas of its control groups.

The machine may have many more. Where a container's or a service's quota is less than the affinity,
more processes than that only take turns.
"""

import contextlib
import math
import os
import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

_ESCAPE = re.compile(r"\\([0-7]{3})")


def usable_cores(proc: Path = Path("/proc/self")) -> int:
    """Return how many processes can compute at once, at least 1; part of a CPU counts as one.

    Args:
        proc: the folder of this process below `/proc`.
    """
    quotas = [quota for folder in _groups(proc) if (quota := _quota(folder)) is not None]
    return max(1, min([_affinity(), *(math.ceil(quota) for quota in quotas)]))


def _affinity() -> int:
    with contextlib.suppress(AttributeError, OSError):  # not on macOS
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _groups(proc: Path) -> Iterator[Path]:
    """Return the folders of the control groups that limit this process: its own, and all above."""
    try:
        lines = (proc / "cgroup").read_text().splitlines()
        mounts = list(map(_mount, (proc / "mountinfo").read_text().splitlines()))
    except (OSError, ValueError):
        return
    for line in lines:
        _, controllers, group = (*line.split(":", 2), "", "")[:3]
        kind = "cgroup" if controllers else "cgroup2"
        if controllers and "cpu" not in controllers.split(","):
            continue
        for mounted_kind, options, root, folder in mounts:
            if mounted_kind != kind or (controllers and "cpu" not in options):
                continue
            # The mount may show a part of the tree only, as it does in a container.
            try:
                inner = PurePosixPath(group).relative_to(root)
            except ValueError:
                inner = PurePosixPath()
            yield folder
            for size in range(1, len(inner.parts) + 1):
                yield folder.joinpath(*inner.parts[:size])


def _mount(line: str) -> tuple[str, list[str], str, Path]:
    """Return kind, options, root and mount point of a line of `mountinfo`."""
    front, _, back = line.partition(" - ")
    root, folder = (_ESCAPE.sub(_character, word) for word in front.split(" ")[3:5])
    kind, _, options = (*back.split(" ", 2), "", "")[:3]
    return kind, options.split(","), root, Path(folder)


def _character(match: re.Match[str]) -> str:
    return chr(int(match[1], 8))


def _quota(folder: Path) -> float | None:
    """Return the CPUs that a control group may use, None for no limit."""
    with contextlib.suppress(OSError, ValueError, ZeroDivisionError):
        quota, period = (folder / "cpu.max").read_text().split()
        return None if quota == "max" else int(quota) / int(period)
    with contextlib.suppress(OSError, ValueError, ZeroDivisionError):
        allowed = int((folder / "cpu.cfs_quota_us").read_text())
        return allowed / int((folder / "cpu.cfs_period_us").read_text()) if allowed > 0 else None
    return None
