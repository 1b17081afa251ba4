"""A candidate's folder, as text: what the workers get copies of."""

import re
from collections.abc import Mapping
from pathlib import Path

from referee.records import MAX_CANDIDATE_CHARS, CandidateError

_NAMES_TRAIN = re.compile(r"\btrain\b")
"""As in `orchestrator.judging.rulers`, which compares train.py too where env.py has this word."""
_UNREADABLE = (FileNotFoundError, PermissionError, IsADirectoryError, NotADirectoryError)


def read_candidate(folder: Path) -> dict[str, str]:
    """Return the texts of `env.py` and `train.py`, and of modules beside them, by file name.

    The workers get copies because they can't see the folder.

    Raises:
        CandidateError: `invalid`, for a file that is missing, unreadable or too long.
        OSError: the system has no descriptor or memory to give, which is not the candidate's fault.
    """
    files = {}
    for path in sorted(folder.glob("*.py")):
        if path.is_file() and not path.is_symlink():
            try:
                files[path.name] = path.read_text(encoding="utf-8")
            except (*_UNREADABLE, UnicodeDecodeError) as error:
                raise CandidateError("invalid", f"candidate/{path.name}: {error}") from error
    for name in ("env.py", "train.py"):
        if name not in files:
            raise CandidateError("invalid", f"candidate/{name} is missing")
    if sum(map(len, files.values())) > MAX_CANDIDATE_CHARS:
        raise CandidateError("invalid", f"candidate/ holds over {MAX_CANDIDATE_CHARS} characters")
    return files


def environment_files(files: Mapping[str, str]) -> dict[str, str]:
    """Return the files that an environment gets in evaluation: train.py where env.py names it.

    An environment that reads train.py unseen could pay what train.py says: with env.py unchanged
    its reward would be another one, and nobody would compare the two.
    """
    if _NAMES_TRAIN.search(files["env.py"]):
        return dict(files)
    return {name: text for name, text in files.items() if name != "train.py"}
