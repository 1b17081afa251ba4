"""Runs git commands: isolated from the user's configuration, in a session of their own, in time.

The only importer of GitPython, and of it only the command wrapper: its `Repo` objects are not meant
for long-lived processes.
"""

import contextlib
import os
import re
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

from git.cmd import Git
from git.exc import GitCommandNotFound

from orchestrator.core.errors import StoreError

_ISOLATED = {
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_NO_LAZY_FETCH": "1",
    "GIT_OPTIONAL_LOCKS": "0",
    "GIT_TERMINAL_PROMPT": "0",
    "LC_ALL": "C",
}
_SETTINGS = {
    "core.hooksPath": "/dev/null",
    "gc.auto": "0",
    "i18n.commitEncoding": "utf-8",
    "core.fsync": "reference",  # objects: `_hardened`
    "core.fsyncMethod": "fsync",
}
_OPTIONS = tuple(word for item in _SETTINGS.items() for word in ("-c", "=".join(item)))
# A file, for before git 2.38 safe.directory on the command line had no effect.
_TRUSTING = {"GIT_CONFIG_GLOBAL": str(Path(__file__).with_name("trusted.gitconfig"))}
_USERS = {"GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C"}
_NO_REPOSITORY = re.compile(r"not a git repository \(or any (of the )?parent")
_DISTRUST = ("dubious ownership", "unsafe repository")
_PATIENCE_S, _HURRIED_S = 20.0, 2.0
_POLL_S = 0.25


class GitMissingError(StoreError):
    """There is no git to run."""


class GitError(StoreError):
    """A git command failed; only queries expect that."""

    def __init__(self, command: str, status: int, stderr: str) -> None:
        super().__init__(f"git {command} failed (exit code {status}): {stderr}")
        self.status = status
        self.stderr = stderr

    @property
    def says_no_repository(self) -> bool:
        """Is there no repository at all, rather than one that git can't use?"""
        return _NO_REPOSITORY.search(self.stderr) is not None

    @property
    def says_distrusted(self) -> bool:
        """Does another user own the repository?"""
        return any(words in self.stderr for words in _DISTRUST)


class GitCommand:
    """Runs git in one folder."""

    def __init__(self, folder: Path, *, as_the_user: bool = False) -> None:
        """Set up; `as_the_user`: with the user's own configuration."""
        # The folder is an argument: GitPython would expand `$NAME` and `~` in a working folder.
        self._git = Git()
        self._folder = str(folder)
        self._git.update_environment(**(_USERS if as_the_user else _ISOLATED))
        self._patience_s = _PATIENCE_S

    def trust(self) -> None:
        """From now on use repositories that another user owns."""
        self._git.update_environment(**_TRUSTING)

    def hurry(self) -> None:
        """Kill what hangs after seconds from now on; safe in a signal handler."""
        self._patience_s = _HURRIED_S

    def environment(self, **variables: str) -> contextlib.AbstractContextManager[None]:
        """Set variables for the commands run within a block."""
        block: contextlib.AbstractContextManager[None] = self._git.custom_environment(**variables)
        return block

    def run(self, *arguments: str, stdin: str | None = None) -> str:
        """Run one git command within a time limit; return its output.

        Raises:
            StoreError: it failed (`GitError`), hung, or is not there (`GitMissingError`).
        """
        with tempfile.TemporaryFile() as file:
            file.write((stdin or "").encode(errors="surrogateescape"))
            file.seek(0)
            try:
                process: Any = self._git.execute(
                    ["git", "-C", self._folder, *_OPTIONS, *arguments],
                    istream=file,
                    as_process=True,
                    start_new_session=True,
                )
            except GitCommandNotFound:
                raise GitMissingError("git is not installed, or not on PATH") from None
            started = time.monotonic()
            while True:
                try:
                    stdout, stderr = process.communicate(timeout=_POLL_S)
                    break
                except subprocess.TimeoutExpired:
                    waited_s = time.monotonic() - started
                    if waited_s > self._patience_s:
                        _kill(process)
                        raise StoreError(
                            f"git {arguments[0]} hung and was killed after {waited_s:.0f} s"
                        ) from None
        if process.returncode != 0:
            said = stderr.decode(errors="replace").strip()
            raise GitError(arguments[0], process.returncode, said)
        return str(stdout.decode(errors="surrogateescape"))


def _kill(process: Any) -> None:
    """Kill a git command's whole session, without waiting for its pipes to close."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.stdout.close()
    process.stderr.close()
    process.proc.wait()
