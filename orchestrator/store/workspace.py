"""A workspace: the paths of its files, and how one is found."""

import os
import stat
from dataclasses import dataclass
from pathlib import Path

from orchestrator.core.errors import UserError
from orchestrator.core.records import ENV_PATH, TRAIN_PATH, Files
from orchestrator.proposals.candidate_code import MAX_FILE_BYTES


@dataclass(frozen=True)
class Workspace:
    """Paths of one workspace."""

    root: Path

    @property
    def config(self) -> Path:
        """The configuration."""
        return self.root / "config.yaml"

    @property
    def program(self) -> Path:
        """The brief for the agent."""
        return self.root / "program.md"

    @property
    def state(self) -> Path:
        """The daemon's state."""
        return self.root / ".autorl"

    @property
    def ledger(self) -> Path:
        """The ledger."""
        return self.state / "ledger.sqlite"

    @property
    def lock(self) -> Path:
        """The running daemon's lock."""
        return self.state / "lock"

    @property
    def live(self) -> Path:
        """The running daemon's heartbeat."""
        return self.state / "live.json"

    @property
    def logs(self) -> Path:
        """The folder of logs."""
        return self.root / "logs"

    @property
    def daemon_log(self) -> Path:
        """The structured log."""
        return self.logs / "daemon.jsonl"

    def candidate(self) -> Files:
        """Read the working tree's candidate.

        Raises:
            UserError: a file is missing, too large, not a regular file or not text.
        """
        return Files(*(_regular_text(self.root / path, path) for path in (ENV_PATH, TRAIN_PATH)))


def _regular_text(file: Path, path: str) -> str:
    """Read a small regular file; links, pipes and devices are refused."""
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK
    try:
        if file.is_symlink() or file.parent.is_symlink():
            raise UserError(f"{file} is reached by a link: put the file itself there")
        with os.fdopen(os.open(file, flags), "rb") as stream:
            if not stat.S_ISREG(os.fstat(stream.fileno()).st_mode):
                raise UserError(f"{file} is not a regular file: put one there")
            content = stream.read(MAX_FILE_BYTES + 1)
        if len(content) > MAX_FILE_BYTES:
            raise UserError(f"{file} is larger than {MAX_FILE_BYTES // 1024} KiB: make it smaller")
        return content.decode()
    except FileNotFoundError:
        raise UserError(f"{file} is missing: put it back (`git checkout -- {path}`)") from None
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{file} can't be read: {error}") from None


def find_workspace(start: Path | None) -> Workspace:
    """Return the workspace at `start`, or at the nearest parent of the current folder.

    Raises:
        UserError: there is none.
    """
    if start is not None:
        if not (start / "config.yaml").is_file():
            raise UserError(
                f"{start} holds no config.yaml: make a workspace with `autorl-daemon init`"
            )
        return Workspace(start.resolve())
    here = Path.cwd()
    for folder in (here, *here.parents):
        if (folder / "config.yaml").is_file():
            return Workspace(folder)
    raise UserError(
        f"no config.yaml in {here} or above it: make a workspace with `autorl-daemon init DIR`, "
        "or name one with --workspace"
    )
