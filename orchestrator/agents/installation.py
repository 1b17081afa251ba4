"""What a program needs of the file system to start: itself, its interpreter, what came with them.

A script that `npm` or `pipx` installed is a link to a file elsewhere, whose first line names an
interpreter, perhaps in another place again.
"""

import contextlib
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

SYSTEM = tuple(map(Path, (
    "/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/etc/alternatives", "/etc/ssl",
    "/etc/pki", "/etc/ca-certificates", "/etc/ca-certificates.conf", "/etc/crypto-policies",
    "/etc/resolv.conf", "/etc/hosts", "/etc/nsswitch.conf", "/etc/host.conf", "/etc/services",
    "/etc/protocols", "/etc/localtime", "/etc/timezone", "/etc/passwd", "/etc/group",
    "/etc/ld.so.cache", "/etc/ld.so.conf", "/etc/ld.so.conf.d", "/etc/os-release", "/nix/store",
)))  # fmt: skip
"""What every program may read: libraries, certificates, the names of hosts and users."""
_FOLDERS = {"bin", "shims"}
"""Folders of programs, beside what these need; managers of versions keep theirs in `shims`."""
_LINKS = 10
_SHEBANG_BYTES = 300


@dataclass(frozen=True)
class Installation:
    """What a program sees besides the system."""

    readable: tuple[Path, ...] = ()
    links: tuple[tuple[Path, str], ...] = ()
    """Symbolic links on the way to it: path and what it says."""


def installation_of(
    argv: Sequence[str], *, workspace: Path, home: Path, search: str
) -> Installation:
    """Return what a program's call needs: what it names, and the interpreters of that.

    Args:
        argv: its call; the first word is found on `search`.
        workspace: of which nothing but files that the call names are readable.
        home: the user's; it is no installation, nor is what is above it.
        search: the PATH.
    """
    found = _Search(workspace, home, search)
    found.add_program(argv[0])
    for path in map(Path, argv[1:]):
        with contextlib.suppress(OSError):  # a script for a shell, say, is too long for a name
            if path.is_absolute() and path.exists():
                found.add_named(path)
    return Installation(tuple(found.readable), tuple(found.links.items()))


class _Search:
    """Collects the files of a program."""

    def __init__(self, workspace: Path, home: Path, search: str) -> None:
        self.readable: dict[Path, None] = {}
        self.links: dict[Path, str] = {}
        self._search = search
        kept_out = (workspace, home, home / ".local", home / ".cache")
        self._kept_out = {*kept_out, *(path.resolve() for path in kept_out)}

    def add_program(self, name: str, depth: int = 0) -> None:
        """Add a program with all links to it, and what its first line names."""
        found = shutil.which(name, path=self._search)
        if found is None or depth > _LINKS:
            return
        path = _plain(Path.cwd() / found)
        for _ in range(_LINKS):
            self._add_with_folder(path)
            if not path.is_symlink():
                break
            says = str(path.readlink())
            if not self._is_seen(path):
                self.links[path] = says
            path = _plain(path.parent / says)
        real = path.resolve()
        self._add_with_folder(real)
        for interpreter in _interpreters(real):
            self.add_program(interpreter, depth + 1)

    def add_named(self, path: Path) -> None:
        """Add a file or folder that the call names; no folder that holds what is kept out."""
        real = path.resolve()
        if real.is_file() or self._is_installation(real):
            self._add(real)
            self._add(_plain(path))

    def _add_with_folder(self, path: Path) -> None:
        """Add a program and what was installed with it: the prefix of a `bin`, a `node_modules`."""
        if "node_modules" in path.parts:
            self._add(Path(*path.parts[: path.parts.index("node_modules") + 1]))
        prefix = path.parent.parent
        if path.parent.name in _FOLDERS and self._is_installation(prefix):
            self._add(prefix)
        elif not path.is_symlink():
            self._add(path)

    def _add(self, path: Path) -> None:
        if not self._is_seen(path):
            self.readable[path] = None

    def _is_installation(self, folder: Path) -> bool:
        """May a folder be read as a whole? None that is, or is above, what is kept out."""
        return not any(out.is_relative_to(folder) for out in self._kept_out)

    def _is_seen(self, path: Path) -> bool:
        return any(path.is_relative_to(seen) for seen in (*SYSTEM, *self.readable))


def _plain(path: Path) -> Path:
    """Return a path without `..`; links on it stay."""
    return Path(os.path.normpath(path))


def _interpreters(path: Path) -> list[str]:
    """Return the programs of a script's first line: `#!/usr/bin/env node` has two."""
    try:
        with path.open("rb") as file:
            first = file.read(_SHEBANG_BYTES).split(b"\n")[0]
    except OSError:
        return []
    if not first.startswith(b"#!"):
        return []
    words = first[2:].decode(errors="replace").split()
    if words and Path(words[0]).name == "env":
        return words[:1] + [word for word in words[1:] if not word.startswith("-")][:1]
    return words[:1]
