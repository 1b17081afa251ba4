"""Make a workspace from the shipped templates, or turn an existing checkout into one."""

import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path

from orchestrator.core.errors import UserError
from orchestrator.evaluation.framework_file import check_framework

IGNORED = ("logs/", "results.tsv", ".autorl/")
STARTER = ("framework.py", "train.py", "program.md", "config.yaml")
OWN_FRAMEWORK = "autorl_framework.py"
"""Name of the evaluator's file in a checkout that has a `framework.py` of its own."""


def template_root() -> Path:
    """Return the folder of the templates: in the wheel, or at the top of a checkout."""
    packaged = Path(__file__).parent.parent / "_template"
    return packaged if packaged.is_dir() else Path(__file__).parent.parent.parent


def examples() -> list[str]:
    """Return the names of the shipped examples."""
    return sorted(
        p.name for p in (template_root() / "examples").iterdir() if (p / "config.yaml").is_file()
    )


def initialise(folder: Path, example: str | None) -> list[str]:
    """Make a workspace, or turn an existing checkout into one without touching its files.

    Returns one line for each thing done.

    Raises:
        UserError: an unknown example, a folder that is not empty and in no repository, no git.
    """
    if example is not None and example not in examples():
        raise UserError(f"unknown example {example!r}: there are {', '.join(examples())}")
    if folder.exists() and not folder.is_dir():
        raise UserError(f"{folder} is not a folder")
    # A new or empty folder gets a repository of its own, even inside another one.
    in_use = folder.is_dir() and any(folder.iterdir())
    if in_use and not _is_in_repository(folder):
        raise UserError(
            f"{folder} is neither empty nor in a git repository: run `git init` and commit there "
            "first, or name an empty folder"
        )
    if (folder / "config.yaml").exists():
        raise UserError(f"{folder} is a workspace already (it has a config.yaml)")
    folder.mkdir(parents=True, exist_ok=True)
    done = [f"wrote {name}" for name in _copy_templates(folder, example)]
    if in_use:
        done += _exclude(folder)
        done.append("existing files were left as they are; nothing was committed")
    else:
        done += _first_commit(folder)
    (folder / "logs").mkdir(exist_ok=True)
    (folder / ".autorl").mkdir(mode=0o700, exist_ok=True)
    return done


def _copy_templates(folder: Path, example: str | None) -> Iterable[str]:
    """Copy the files that do not exist yet; return their names."""
    root = template_root()
    sources = {name: root / name for name in STARTER}
    layers = [root / "candidate"]
    if example is not None:
        layers = [root / "examples" / example / "candidate"]
        sources |= {
            name: root / "examples" / example / name for name in ("program.md", "config.yaml")
        }
    written = []
    for name, source in sources.items():
        if not (folder / name).exists():
            shutil.copyfile(source, folder / name)
            written.append(name)
    if not (folder / "candidate").exists():
        shutil.copytree(
            layers[0], folder / "candidate", ignore=shutil.ignore_patterns("__pycache__")
        )
        written.append("candidate/")
    if "framework.py" not in written and not _is_ours(folder / "framework.py"):
        # A public autoRL checkout has an evaluator of its own, with another protocol.
        shutil.copyfile(root / "framework.py", folder / OWN_FRAMEWORK)
        config = folder / "config.yaml"
        text = config.read_text(encoding="utf-8")
        config.write_text(
            text.replace("framework: framework.py", f"framework: {OWN_FRAMEWORK}"), encoding="utf-8"
        )
        written.append(f"{OWN_FRAMEWORK} (framework.py here is another evaluator; it stays)")
    return written


def _is_ours(framework: Path) -> bool:
    try:
        check_framework(framework)
    except UserError:
        return False
    return True


def _is_in_repository(folder: Path) -> bool:
    return _git(folder, "rev-parse", "--is-inside-work-tree").returncode == 0


def _exclude(folder: Path) -> list[str]:
    """Ignore the daemon's files in `.git/info/exclude`; `.gitignore` is the user's."""
    path = Path(_git(folder, "rev-parse", "--git-path", "info/exclude").stdout.strip())
    path = path if path.is_absolute() else folder / path
    prefix = _git(folder, "rev-parse", "--show-prefix").stdout.strip()
    old = path.read_text(encoding="utf-8") if path.exists() else ""
    missing = [f"/{prefix}{name}" for name in IGNORED if f"/{prefix}{name}" not in old.split()]
    if not missing:
        return []
    path.parent.mkdir(parents=True, exist_ok=True)
    newline = "" if not old or old.endswith("\n") else "\n"
    with path.open("a", encoding="utf-8") as file:
        file.write(newline + "\n".join(missing) + "\n")
    return [f"ignored {', '.join(IGNORED)} in .git/info/exclude"]


def _first_commit(folder: Path) -> list[str]:
    (folder / ".gitignore").write_text("\n".join((*IGNORED, "__pycache__/", "")), encoding="utf-8")
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
    try:
        return subprocess.run(
            ["git", *arguments], cwd=folder, capture_output=True, text=True, check=False, timeout=60
        )
    except FileNotFoundError:
        raise UserError("git is not installed, or not on PATH") from None
