"""A workspace: the paths of its files, and how one is found."""

from dataclasses import dataclass
from pathlib import Path

from orchestrator.core.errors import UserError
from orchestrator.core.records import ENV_PATH, TRAIN_PATH, Files
from orchestrator.proposals.candidate_code import MAX_FILE_BYTES
from orchestrator.store.user_files import (
    NotRegularError,
    folder_fault,
    make_folder,
    read_regular,
)

MAX_WORLD_CHARS = 1_000_000
"""Longest world, all of its modules together; the evaluator takes none that is longer."""


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
    def task(self) -> Path:
        """The folder of the user's own world."""
        return self.root / "task"

    @property
    def has_world(self) -> bool:
        """Whether the task is a world of the user's own, be it one that can't be read."""
        try:
            (self.task / "world.py").lstat()
        except (FileNotFoundError, NotADirectoryError):
            return False
        except OSError:
            return True
        return True

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

    def check_folders(self) -> None:
        """Check that what is written stays in the workspace: its folders are no links.

        Raises:
            UserError: one is a link, or no folder.
        """
        for folder in (
            self.state,
            self.state / "work",
            self.state / "agents",
            self.logs,
            self.logs / "experiments",
        ):
            if fault := folder_fault(folder):
                raise UserError(fault)

    def make_folders(self) -> None:
        """Make the folders of the state, which nobody else may read, and of the logs.

        Raises:
            NotRegularError: one is a link, or no folder.
        """
        make_folder(self.state, private=True)
        make_folder(self.logs)

    def candidate(self) -> Files:
        """Read the working tree's candidate.

        Raises:
            UserError: a file is missing, too large, not a regular file or not text.
        """
        return Files(*(_regular_text(self.root / path, path) for path in (ENV_PATH, TRAIN_PATH)))

    def world(self) -> dict[str, str] | None:
        """Read the modules of the user's own world, by file name; None if there is none.

        Raises:
            UserError: a file is missing, too large, not a regular file or not text.
        """
        if not self.has_world:
            return None
        # The world first: where nothing in the folder can be read, `glob` finds nothing.
        modules = (file for file in sorted(self.task.glob("*.py")) if file.stem.isidentifier())
        names = {"world.py": None} | {file.name: None for file in modules}
        files = {name: _regular_text(self.task / name, f"task/{name}") for name in names}
        if (length := sum(map(len, files.values()))) > MAX_WORLD_CHARS:
            raise UserError(
                f"the modules in {self.task} have {length:,} characters, and at most "
                f"{MAX_WORLD_CHARS:,} are allowed: make them smaller"
            )
        return files


def _regular_text(file: Path, path: str) -> str:
    """Read a small regular file; links, pipes and devices are refused."""
    if file.is_symlink() or file.parent.is_symlink():
        raise UserError(f"{file} is reached by a link: put the file itself there")
    try:
        return read_regular(file, MAX_FILE_BYTES).decode()
    except FileNotFoundError:
        raise UserError(f"{file} is missing: put it back (`git checkout -- {path}`)") from None
    except NotRegularError:
        raise UserError(f"{file} is not a regular file: put one there") from None
    except UnicodeDecodeError as error:
        raise UserError(f"{file} is not UTF-8 (byte {error.start}): save it as UTF-8") from None
    except OSError as error:
        raise UserError(f"{file} can't be read: {error}") from None


def find_workspace(start: Path | None) -> Workspace:
    """Return the workspace at `start`, or at the nearest parent of the current folder.

    With another branch checked out `config.yaml` may be away; where a run is recorded, it can
    still be watched and stopped. Another tool's `config.yaml`, here or above, makes no workspace.

    Raises:
        UserError: there is none.
    """
    if start is not None:
        named = Workspace(start)
        if not (named.config.is_file() or named.ledger.is_file()):
            raise UserError(
                f"{start} holds no config.yaml: make a workspace with `autorl-daemon init`"
            )
        return Workspace(start.resolve())
    here = Path.cwd()
    for folder in (here, *here.parents):
        if _is_workspace(folder):
            return Workspace(folder)
    raise UserError(
        f"no workspace (config.yaml, program.md and candidate/) in {here} or above it: make one "
        "with `autorl-daemon init DIR`, or name one with --workspace"
    )


def _is_workspace(folder: Path) -> bool:
    workspace = Workspace(folder)
    has_files = workspace.config.is_file() and workspace.program.is_file()
    return workspace.state.is_dir() or (has_files and (folder / "candidate").is_dir())
