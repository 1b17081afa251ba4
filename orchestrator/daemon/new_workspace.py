"""Make a workspace from the shipped templates, or turn an existing checkout into one."""

import contextlib
import os
import re
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path

from orchestrator.core.errors import CommandFailedError, UserError
from orchestrator.daemon.templates import Template, find_template, template_root
from orchestrator.evaluation.framework_file import check_framework
from orchestrator.store.git import unusable
from orchestrator.store.git_command import GitError
from orchestrator.store.user_files import folder_fault, oddity, open_regular
from orchestrator.store.workspace import Workspace

IGNORED = ("logs/", "results.tsv", ".autorl/")
STARTER = ("framework.py", "train.py", "program.md", "config.yaml")
OWN_FRAMEWORK = "autorl_framework.py"
"""Name of the evaluator's file in a checkout that has a `framework.py` of its own."""


_OURS = {*STARTER, OWN_FRAMEWORK, "candidate", "task", "logs", ".autorl", ".git", ".gitignore"}


def initialise(folder: Path, example: str | None, world: str | None = None) -> list[str]:
    """Make a workspace, or turn an existing checkout into one without touching its files.

    Returns one line for each thing done. What fails half-way leaves nothing of ours behind.

    Args:
        folder: of the workspace; it need not exist.
        example: a shipped example, if any.
        world: the world that it shall have, as `find_template` takes it.

    Raises:
        UserError: an unknown example, no git, a folder that is not empty and in no repository with
            a commit, or a link or the like where something of ours goes.
    """
    template = find_template(example, world)
    folder = _real(folder)
    # A new or empty folder gets a repository of its own, even inside another one.
    in_use = folder.is_dir() and any(folder.iterdir())
    if in_use:
        _check_repository(folder)
    _check_targets(folder)
    if (template.folder / "task").is_dir():
        _check_world_place(folder)
    before = {folder, *folder.iterdir()} if folder.is_dir() else set()
    folder.mkdir(parents=True, exist_ok=True)
    try:
        done = [f"wrote {name}" for name in _copy_templates(folder, template)]
        if in_use:
            done += _exclude(folder)
            done.append("existing files were left as they are; nothing was committed")
        else:
            done += _first_commit(folder)
        Workspace(folder).make_folders()
    except BaseException:
        made = {path for path in folder.iterdir() if path.name in _OURS} - before
        _remove(made, folder if folder not in before else None)
        raise
    return done


def repository_around(folder: Path) -> str | None:
    """Return the repository that a new workspace would lie in, None without one that tracks it."""
    folder = _real(folder)
    if folder.is_dir() and any(folder.iterdir()):
        return None
    above = next(path for path in (folder, *folder.parents) if path.is_dir())
    found = _git(above, "rev-parse", "--show-toplevel")
    if (
        found.returncode != 0
        or _git(above, "check-ignore", "--quiet", f"{folder}/").returncode == 0
    ):
        return None
    return found.stdout.removesuffix("\n")


def _real(folder: Path) -> Path:
    """Return the folder's path without links; one that leads nowhere is no place to write to."""
    for path in (folder, *folder.parents):
        if path.is_symlink() and not path.exists():
            raise UserError(f"{path} is a link to nothing: remove it, or name another folder")
    if folder.exists() and not folder.is_dir():
        raise UserError(f"{folder} is not a folder")
    return folder.resolve()


def _check_repository(folder: Path) -> None:
    """Check that an existing folder is in a repository with a commit, as `start` needs it."""
    found = _git(folder, "rev-parse", "--is-inside-work-tree")
    if found.returncode != 0:
        error = GitError("rev-parse", found.returncode, found.stderr.strip())
        if not error.says_no_repository:
            raise unusable(folder, error)
        raise UserError(
            f"{folder} is neither empty nor in a git repository: run `git init` and commit there "
            "first, or name an empty folder"
        )
    if _git(folder, "rev-parse", "--verify", "--quiet", "HEAD^{commit}").returncode != 0:
        raise UserError(
            f"the repository of {folder} has no commit yet: make one (`git commit`) and retry"
        )


def _check_targets(folder: Path) -> None:
    """Check that everything that is there already is what it should be."""
    for name in (*STARTER, OWN_FRAMEWORK, ".gitignore"):
        path = folder / name
        if (path.is_symlink() and not path.exists()) or oddity(path, follow=True):
            kind = oddity(path) or "a link"
            raise UserError(f"{path} is {kind} where a file of the workspace goes: move it away")
    if (folder / "config.yaml").exists():
        raise UserError(f"{folder} is a workspace already (it has a config.yaml)")
    for name in ("candidate", "logs", ".autorl"):
        if fault := folder_fault(folder / name):
            raise UserError(fault)


def _check_world_place(folder: Path) -> None:
    """Check that a world and the candidate that observes it can be written to a folder."""
    for name in ("task", "candidate"):
        if os.path.lexists(folder / name):
            raise UserError(
                f"{folder / name} is there already, and a workspace with a world has its own: name "
                "an empty folder, or leave out --world and write task/world.py yourself"
            )


def _remove(paths: Iterable[Path], folder: Path | None) -> None:
    """Remove what was made before something failed."""
    for path in paths:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
    if folder is not None:
        with contextlib.suppress(OSError):
            folder.rmdir()


def _copy_templates(folder: Path, template: Template) -> Iterable[str]:
    """Copy the files that do not exist yet; return their names."""
    root = template_root()
    sources = {name: root / name for name in STARTER}
    sources |= {name: template.folder / name for name in ("program.md", "config.yaml")}
    has_framework = (folder / "framework.py").exists()
    is_anothers = has_framework and not _is_ours(folder / "framework.py")
    written = []
    for name, source in sources.items():
        text = _text(source, template)
        if name == "config.yaml" and is_anothers:
            text = text.replace("framework: framework.py", f"framework: {OWN_FRAMEWORK}")
        if not (folder / name).exists():
            _write_new(folder / name, text)
            written.append(name)
    for part in ("candidate", "task"):
        has_part = (template.folder / part).is_dir()
        place = template.folder if has_part or part == "task" else root
        if (folder / part).exists() or not (place / part).is_dir():
            continue
        for source in sorted((place / part).rglob("*")):
            if source.is_file() and "__pycache__" not in source.parts:
                _write_new(folder / source.relative_to(place), _text(source, template))
        written.append(f"{part}/")
    if is_anothers:
        # A public autoRL checkout has an evaluator of its own, with another protocol.
        if not (folder / OWN_FRAMEWORK).exists():
            text = (root / "framework.py").read_text(encoding="utf-8")
            _write_new(folder / OWN_FRAMEWORK, text)
        written.append(f"{OWN_FRAMEWORK} (framework.py here is another evaluator; it stays)")
    return written


def _text(source: Path, template: Template) -> str:
    text = source.read_text(encoding="utf-8")
    for old, new in template.replaced.items():
        text = text.replace(old, new)
    return text


def _write_new(path: Path, text: str) -> None:
    path.parent.mkdir(exist_ok=True)
    with open_regular(path, "x", newline="") as file:
        file.write(text)


def _is_ours(framework: Path) -> bool:
    try:
        check_framework(framework)
    except UserError:
        return False
    return True


def _exclude(folder: Path) -> list[str]:
    """Ignore the daemon's files in `.git/info/exclude`; `.gitignore` is the user's."""
    path = Path(_git(folder, "rev-parse", "--git-path", "info/exclude").stdout.removesuffix("\n"))
    path = path if path.is_absolute() else folder / path
    prefix = _git(folder, "rev-parse", "--show-prefix").stdout.removesuffix("\n")
    plain = re.sub(r"([*?\[\\])", r"\\\1", prefix)
    wanted = [f"/{plain}{name}" for name in IGNORED]
    if kind := oddity(path):
        return [f"{path} is {kind} and stays as it is: have git ignore {', '.join(wanted)}"]
    old = path.read_bytes() if path.exists() else b""
    missing = [line for line in wanted if os.fsencode(line) not in old.splitlines()]
    if not missing:
        return []
    path.parent.mkdir(parents=True, exist_ok=True)
    newline = b"" if not old or old.endswith(b"\n") else b"\n"
    with open_regular(path, "ab") as file:
        file.write(newline + b"".join(os.fsencode(f"{line}\n") for line in missing))
    return [f"ignored {', '.join(IGNORED)} in .git/info/exclude"]


def _first_commit(folder: Path) -> list[str]:
    _write_new(folder / ".gitignore", "\n".join((*IGNORED, "__pycache__/", "")))
    # The user's hooks and signing key are for the user's own commits.
    plain = ["-c", "commit.gpgsign=false", "-c", "core.hooksPath=/dev/null"]
    if _git(folder, "config", "user.email").returncode != 0:
        plain += ["-c", "user.name=autorl-daemon", "-c", "user.email=autorl-daemon@localhost"]
    for arguments in (
        ["init", "--quiet", "--initial-branch=main"],
        ["add", "--all"],
        [*plain, "commit", "--quiet", "--message", "A workspace for autorl-daemon"],
    ):
        done = _git(folder, *arguments)
        if done.returncode != 0:
            raise UserError(f"git {arguments[0]} failed in {folder}: {done.stderr.strip()}")
    return ["made a git repository with one commit"]


def _git(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run git as the user would, but in English."""
    try:
        return subprocess.run(
            ["git", *arguments], cwd=folder, capture_output=True, check=False, timeout=60,
            env=os.environ | {"LC_ALL": "C"}, encoding="utf-8", errors="surrogateescape",
        )  # fmt: skip
    except FileNotFoundError:
        raise UserError("git is not installed, or not on PATH") from None
    except subprocess.TimeoutExpired:
        raise CommandFailedError(f"git {arguments[0]} hung and was killed after 60 s") from None
