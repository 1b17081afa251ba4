"""The confinement of a program by bubblewrap (`bwrap`), where that is installed and works.

A confined program sees the system's libraries, its own installation, and the folders of its turn;
nothing else of the user's: no repository, no ledger, no home. It has process numbers of its own, so
that nothing it starts outlives it. The network stays open: the model's endpoint is out there.
"""

import functools
import shutil
import subprocess
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from orchestrator.agents.installation import SYSTEM, Installation

_BASE = (
    "--unshare-all", "--share-net", "--die-with-parent", "--cap-drop", "ALL",
    "--proc", "/proc", "--dev", "/dev", "--tmpfs", "/run",
)  # fmt: skip
_TEMPORARY = ("/tmp", "/var/tmp")  # noqa: S108 - its own
_PROBE_S = 10.0


@dataclass(frozen=True)
class Confinement:
    """Whether programs are confined here."""

    is_on: bool
    says: str
    """By what, or why not; in a few words."""


@functools.cache
def examine() -> Confinement:
    """Find out, by trying, whether bubblewrap works here; once a process."""
    bwrap = shutil.which("bwrap")
    if bwrap is None:
        return Confinement(False, "unconfined: bubblewrap (bwrap) is not installed")
    try:
        subprocess.run(
            [bwrap, *_BASE, *_system(), "/bin/sh", "-c", "exit 0"],
            stdin=subprocess.DEVNULL, capture_output=True, timeout=_PROBE_S, check=True,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError) as error:
        said = (getattr(error, "stderr", None) or b"").decode(errors="replace").strip()
        last = (said or str(error)).splitlines()[-1]
        return Confinement(False, f"unconfined: bubblewrap does not work here ({last:.200})")
    return Confinement(True, "confined by bubblewrap; the network is open")


def confined(
    argv: Sequence[str],
    installation: Installation,
    *,
    hidden: Path,
    folder: Path,
    temporary: Path,
    read_only: Iterable[Path],
    writable: Sequence[Path],
) -> list[str]:
    """Return the call of a program in its confinement.

    Args:
        argv: the program's call.
        installation: what it is installed as.
        hidden: the user's workspace, wherever it lies.
        folder: where it starts.
        temporary: its temporary files, on the disk: what it writes there takes no memory.
        read_only: what it may read of what it could write otherwise.
        writable: the folders and files that it may change.
    """
    # Outer ones first, as later mounts lie on former ones.
    readable = sorted(installation.readable, key=_depth)
    options = [*_BASE, *_system()]
    for path in _TEMPORARY:
        options += ["--bind", str(temporary), path]
    options += _bound("--ro-bind-try", readable)
    outer = [path for path in writable if hidden.is_relative_to(path)]
    options += _bound("--bind-try", outer)
    if any(hidden.is_relative_to(path) for path in (*readable, *outer)):
        within = [path for path in readable if path.is_relative_to(hidden)]
        options += ["--tmpfs", str(hidden), *_bound("--ro-bind-try", within)]
    inner = sorted((path for path in writable if path not in outer), key=_depth)
    options += [*_bound("--bind-try", inner), *_bound("--ro-bind-try", read_only)]
    for link, says in installation.links:
        options += ["--symlink", says, str(link)]
    bwrap = shutil.which("bwrap") or "bwrap"
    return [bwrap, *options, "--chdir", str(folder), "--", *argv]


def _system() -> list[str]:
    """Return how the system is mounted; `/bin` is a link to `usr/bin` on most."""
    options: list[str] = []
    for path in SYSTEM:
        is_link = path.is_symlink() and path.parent == Path("/")
        if is_link and not (target := path.readlink()).is_absolute():
            options += ["--symlink", str(target), str(path)]
        else:
            options += _bound("--ro-bind-try", [path])
    return options


def _bound(kind: str, paths: Iterable[Path]) -> list[str]:
    return [word for path in paths for word in (kind, str(path), str(path))]


def _depth(path: Path) -> int:
    return len(path.parts)
