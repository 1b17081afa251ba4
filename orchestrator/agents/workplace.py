"""Where coding agents work: the places of a run, and the private folder of one turn."""

import contextlib
import fcntl
import itertools
import os
import re
import secrets
import stat
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from orchestrator.agents.safe_files import open_folder, opened, read_beginning, read_text
from orchestrator.core.experiments import Experiment
from orchestrator.core.records import CANDIDATE_PATHS, ENV_PATH, TRAIN_PATH, Files, Status
from orchestrator.core.text import clean
from orchestrator.proposals.brief import Brief
from orchestrator.proposals.candidate_code import MAX_FILE_BYTES
from orchestrator.proposals.conformance import CheckSettings
from orchestrator.proposals.program_prompt import NOTEBOOK

_RECENT = 100
_RECORD_FILE = re.compile(r"patch\.diff|evaluator\.log|reply[\w.-]{0,20}\.md")
_RECORD_FILES = 8
_RECORD_CHARS = 30_000
_RECORD_BYTES = 8 * 2**20
_MOST_SEEN = 5000
_OURS = (".check",)
_TO_WRITE = ("candidate", *_OURS)

Listing = Mapping[str, tuple[int, int, int]]
"""Files below a folder: size, number and time of change by path."""


@dataclass(frozen=True)
class Workplace:
    """Where a run's programs work, and how what they make is checked."""

    workspace: str
    """The user's workspace: out of reach of a program that is confined."""
    state: str
    """The daemon's state, below which the turns have their folders."""
    experiments: str
    """The folder of all experiments' files."""
    checker: tuple[str, ...] = ()
    """The command that checks a candidate (`proposals.conformance`); empty: its syntax alone is."""
    check: CheckSettings | None = None
    must_confine: bool = False
    """A confinement works here, as the daemon has found: no turn goes without because it fails."""


class TurnFolder:
    """The private folder of one turn: `work`, `home` and `tmp`; it is gone afterwards."""

    def __init__(self, state: Path) -> None:
        """Make it, and remove those of turns that were killed. Raises `OSError`."""
        parent = state / "agents"
        parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with (parent / "lock").open("w") as guard:  # makers and sweepers take turns
            fcntl.flock(guard, fcntl.LOCK_EX)
            _sweep(parent)
            self.root = Path(tempfile.mkdtemp(prefix="turn-", dir=parent))
            self._lock = _locked(self.root)
        self.work, self.home, self.tmp = (self.root / name for name in ("work", "home", "tmp"))
        for folder in (self.work, self.home, self.tmp):
            folder.mkdir(mode=0o700)
        self._descriptor = open_folder(self.work)
        self._before: Listing = {}

    def __enter__(self) -> "TurnFolder":
        """Return it."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Remove it."""
        os.close(self._descriptor)
        _remove(self.root)
        if self._lock is not None:
            os.close(self._lock)

    def fill(self, brief: Brief, files: Files, notebook: str, experiments: Path) -> None:
        """Write what the program works with. Raises `OSError`."""
        for path, text in files.by_path().items():
            (self.work / path).parent.mkdir(exist_ok=True)
            _write(self.work / path, text, 0o644)
        _write(self.work / "program.md", brief.program, 0o444)
        _write(self.work / NOTEBOOK, notebook, 0o444)
        for name, text in (brief.world or {}).items():
            (self.work / "task").mkdir(exist_ok=True)
            _write(self.work / "task" / name, text, 0o444)
        _copy_record(brief, experiments, self.work / "experiments")

    def remember(self) -> None:
        """Take note of all that is there, before the program starts."""
        self._before = _listing(self.work)

    def to_read(self) -> list[Path]:
        """Return what is there to be read only."""
        return [path for path in self.work.iterdir() if path.name not in _TO_WRITE]

    def read(self) -> Files:
        """Return the two files as they stand. Raises `EditError` if one is no text file."""
        texts = {
            path: read_text(self._descriptor, path, MAX_FILE_BYTES) for path in CANDIDATE_PATHS
        }
        return Files(env=texts[ENV_PATH], train=texts[TRAIN_PATH])

    def touched(self) -> list[str]:
        """Return what else was changed, made or taken away, in order of name."""
        after = _listing(self.work)
        names = self._before.keys() | after.keys()
        changed = {name for name in names if self._before.get(name) != after.get(name)}
        return sorted(changed - set(CANDIDATE_PATHS))


def _copy_record(brief: Brief, source: Path, target: Path) -> None:
    """Copy the files of recent experiments, and of all that led, as far as they are kept."""
    target.mkdir()
    left = _RECORD_BYTES
    recent = {experiment.n for experiment in brief.history[-_RECENT:]}
    for experiment in reversed(brief.history):
        if experiment.n in recent or _led(experiment):
            left -= _copy_one(source / str(experiment.n), target / f"{experiment.n:03d}", left)
    target.chmod(0o555)


def _led(experiment: Experiment) -> bool:
    return experiment.took_lead or experiment.status is Status.KEEP


def _copy_one(source: Path, target: Path, room: int) -> int:
    """Copy one experiment's files; return the bytes written, at most `room`."""
    written = 0
    with contextlib.suppress(OSError), opened(source) as folder:  # people may tidy up there
        names = sorted(path.name for path in source.iterdir())
        kept = [name for name in names if _RECORD_FILE.fullmatch(name)]
        for name in kept[:_RECORD_FILES]:
            content = read_beginning(folder, name, 4 * _RECORD_CHARS)
            text = clean(content.decode(errors="replace"), _RECORD_CHARS)
            size = len(text.encode())
            if written + size > room:
                break
            target.mkdir(exist_ok=True)
            _write(target / name, text, 0o444)
            written += size
    return written


def _write(path: Path, text: str, mode: int) -> None:
    with path.open("w", encoding="utf-8", errors="replace", newline="") as file:
        file.write(text)
    path.chmod(mode)


def _listing(folder: Path) -> Listing:
    """Return the files below a folder, a bounded number; folders that are empty are none.

    Without recursion, which a program's folders within folders would bring to its end.
    """
    found: dict[str, tuple[int, int, int]] = {}
    waiting, seen = [""], 0
    while waiting and seen <= _MOST_SEEN:
        above = waiting.pop()
        with contextlib.suppress(OSError), os.scandir(folder / above) as entries:
            folders = []
            for entry in itertools.islice(entries, _MOST_SEEN):
                seen += 1
                relative = f"{above}/{entry.name}" if above else entry.name
                if entry.is_dir(follow_symlinks=False):
                    folders += [] if entry.name in _OURS else [relative]
                    continue
                with contextlib.suppress(OSError):
                    facts = entry.stat(follow_symlinks=False)
                    found[relative] = (facts.st_size, facts.st_ino, facts.st_mtime_ns)
            waiting += sorted(folders, reverse=True)
    return found


def _locked(folder: Path) -> int | None:
    """Lock a turn's folder; return the lock's descriptor, None if somebody works there."""
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
    descriptor = os.open(folder / "lock", flags, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        return None
    return descriptor


def sweep_turns(state: Path) -> None:
    """Remove what turns left behind that were killed with their process. Raises `OSError`."""
    if (parent := state / "agents").is_dir() and not parent.is_symlink():
        with (parent / "lock").open("w") as guard:
            fcntl.flock(guard, fcntl.LOCK_EX)
            _sweep(parent)


def _sweep(parent: Path) -> None:
    """Remove the folders of turns whose process is gone."""
    for folder in parent.glob("turn-*"):
        with contextlib.suppress(OSError):
            if (lock := _locked(folder)) is not None:
                _remove(folder)
                os.close(lock)


def _remove(folder: Path) -> None:
    """Remove a folder, whatever modes a program gave to what is in it, and however deep that is.

    Folders within folders are moved up first: no path is too long, and nothing recurses.
    """
    with contextlib.suppress(OSError):
        folder.chmod(stat.S_IRWXU)
        with opened(folder) as top:
            waiting = [path.name for path in folder.iterdir()]
            while waiting:
                with contextlib.suppress(OSError):
                    waiting += _emptied(top, waiting.pop())
        folder.rmdir()


def _emptied(top: int, name: str) -> list[str]:
    """Remove what stands in an open folder; return the names of the folders now moved there."""
    if not stat.S_ISDIR(os.stat(name, dir_fd=top, follow_symlinks=False).st_mode):
        os.unlink(name, dir_fd=top)
        return []
    os.chmod(name, stat.S_IRWXU, dir_fd=top)
    moved = []
    inner = open_folder(name, top)
    try:
        with os.scandir(inner) as entries:
            found = list(entries)
        for entry in found:
            with contextlib.suppress(OSError):
                if entry.is_dir(follow_symlinks=False):
                    os.chmod(entry.name, stat.S_IRWXU, dir_fd=inner)  # else it can't be moved
                    new = secrets.token_hex(8)
                    os.rename(entry.name, new, src_dir_fd=inner, dst_dir_fd=top)
                    moved.append(new)
                else:
                    os.unlink(entry.name, dir_fd=inner)
    finally:
        os.close(inner)
    with contextlib.suppress(OSError):
        os.rmdir(name, dir_fd=top)
    return moved
