"""The evaluator's file: its protocol, and hashes of everything that scores depend on.

More than a hundred files are checked twice an experiment: what did not change is not read again,
and paths are texts here, since `pathlib` takes as long again.
"""

# ruff: noqa: PTH116, PTH118, PTH119, PTH120, PTH206 (see above)

import functools
import hashlib
import importlib.util
import os
import re
import stat
import time
from collections.abc import Iterable, Mapping
from pathlib import Path

from orchestrator.core.errors import UserError

PROTOCOL = 3
_PACKAGES = ("simverse", "sandbox", "referee")
"""Installed packages that scores depend on."""
WORLD = "task/world.py"
"""Names the user's own world, with the modules beside it, among the parts."""
_CHUNK_BYTES = 2**16
_SETTLED_NS = 1_000_000_000
"""A file that changed less than this ago may change again at what the file system takes for the
same time, so its hash is not remembered (as in git's index)."""
_PROTOCOL_LINE = re.compile(r"^EVALUATOR_PROTOCOL\s*=\s*(\d+)\s*$", re.MULTILINE)


def hashes(framework: Path, task: Path) -> dict[str, str | None]:
    """Return the SHA-256 of each part that scores depend on.

    A file that is not there has None; a package that is not installed, and a world where the user
    has none, are left out.

    Args:
        framework: the evaluator's file.
        task: the folder of the user's own world, which need not be there.
    """
    parts = {
        framework.name: [str(framework)],
        "train.py": [str(framework.with_name("train.py"))],
    }
    if os.path.lexists(task / "world.py"):
        # `world.py` in any case: it may be away the next moment.
        parts[WORLD] = sorted({str(task / "world.py"), *map(str, modules_in(task))})
    for name in _PACKAGES:
        if (folder := _package_folder(name)) is not None:
            parts[name] = _python_files(folder)
    return {name: _sha256(paths) for name, paths in parts.items()}


def world_hash(world: Mapping[str, str]) -> str:
    """Return what `hashes` gives for a folder with these modules: of what was read, not of now."""
    digest = hashlib.sha256()
    for name, text in sorted(world.items()):
        digest.update(name.encode() + b"\0" + text.encode() + b"\0")
    return digest.hexdigest()


def modules_in(task: Path) -> list[Path]:
    """Return the modules in the folder of a user's world: no editor's lock or leftover is one."""
    return sorted(path for path in task.glob("*.py") if path.stem.isidentifier())


def _package_folder(name: str) -> str | None:
    """Return a package's folder, without importing it; None if it is not installed."""
    spec = importlib.util.find_spec(name)
    return None if spec is None or spec.origin is None else os.path.dirname(spec.origin)


def _python_files(folder: str) -> list[str]:
    """Return the Python files in a folder and below it, in a fixed order."""
    found = [
        os.path.join(path, name)
        for path, folders, files in os.walk(folder)
        for name in (*folders, *files)
        if name.endswith(".py")
    ]
    return sorted(found, key=lambda path: path.split(os.sep))


def _sha256(paths: Iterable[str]) -> str | None:
    try:
        states = tuple(map(_state, paths))
        newest_ns = max(state[-1] for state in states)
        is_settled = time.time_ns() - newest_ns > _SETTLED_NS
        return (_kept_sha256 if is_settled else _read_sha256)(states)
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError, PermissionError):
        return None  # any other error (no free descriptor, say) is no change of the file


def _state(path: str) -> tuple[str, int, int, int, int]:
    """Return what differs after any change of a file: a program can't set the time of change."""
    facts = os.stat(path)
    return path, facts.st_dev, facts.st_ino, facts.st_size, facts.st_ctime_ns


def _read_sha256(states: tuple[tuple[str, int, int, int, int], ...]) -> str | None:
    digest = hashlib.sha256()
    for path, *_ in states:
        content = _content(path)
        if content is None:
            return None
        digest.update(os.path.basename(path).encode() + b"\0" + content + b"\0")
    return digest.hexdigest()


_kept_sha256 = functools.lru_cache(maxsize=16)(_read_sha256)


def _content(path: str) -> bytes | None:
    """Return the bytes of a regular file, None of anything else: a pipe would be waited for."""
    facts = os.stat(path)
    if not stat.S_ISREG(facts.st_mode):
        return None
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        content = os.read(descriptor, facts.st_size + 1)
        while chunk := os.read(descriptor, _CHUNK_BYTES):  # it has grown, or is a large one
            content += chunk
        return content
    finally:
        os.close(descriptor)


def check_knows_worlds(file: Path) -> None:
    """Check that an evaluator's file is none of a version that would leave a world unread.

    Raises:
        UserError: it is.
    """
    if "read_world" not in file.read_text(encoding="utf-8", errors="replace"):
        raise UserError(
            f"there is a task/world.py, and {file} is of a version that knows no worlds: replace "
            "it by the one that `autorl-daemon init` writes into a new folder"
        )


def check_framework(file: Path) -> None:
    """Check that a file is an evaluator with this daemon's protocol, without running it.

    Raises:
        UserError: it is missing or speaks another protocol.
    """
    if not file.is_file():
        raise UserError(
            f"{file} is missing: put it back, or set evaluator.framework in config.yaml"
        )
    found = _PROTOCOL_LINE.search(file.read_text(encoding="utf-8", errors="replace"))
    if found is None:
        raise UserError(
            f"{file} is not an evaluator of autorl-daemon (no EVALUATOR_PROTOCOL): point "
            "evaluator.framework in config.yaml to one; `autorl-daemon init` writes one"
        )
    if int(found[1]) != PROTOCOL:
        raise UserError(
            f"{file} speaks evaluator protocol {found[1]}, this daemon speaks {PROTOCOL}: "
            "use the version of autorl-daemon that made this workspace, or a new workspace"
        )
