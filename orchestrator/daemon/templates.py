"""Where the files of a new workspace come from: the empty canvas, an example, or a world."""

import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from orchestrator.core.errors import UserError
from orchestrator.core.text import did_you_mean, one_line

BLANK_WORLD, GYM_WORLD = "blank-world", "gym-world"
GYM_PREFIX = "gym:"
_GYM_PLACEHOLDER = "gym:CartPole-v1"


@dataclass(frozen=True)
class Template:
    """The folder of a workspace's program.md, config.yaml, candidate/ and, with a world, task/."""

    folder: Path
    replaced: Mapping[str, str] = field(default_factory=dict)
    """Texts in its files that are replaced by others."""


def template_root() -> Path:
    """Return the folder of the templates: in the wheel, or at the top of a checkout."""
    packaged = Path(__file__).parent.parent / "_template"
    return packaged if packaged.is_dir() else Path(__file__).parent.parent.parent


def examples() -> list[str]:
    """Return the names of the shipped examples."""
    found = (p.name for p in _examples().iterdir() if (p / "config.yaml").is_file())
    return sorted(name for name in found if name not in {BLANK_WORLD, GYM_WORLD})


def examples_with_candidates() -> list[str]:
    """Return those with a candidate in the open form: others are a brief or a world alone."""
    folders = ((name, _examples() / name) for name in examples())
    return [
        name
        for name, folder in folders
        if (folder / "candidate").is_dir() and not (folder / "task").is_dir()
    ]


def examples_with_worlds() -> list[str]:
    """Return those that have a world, beside their open form or alone."""
    return [name for name in examples() if _world_folder(name) is not None]


def find_template(example: str | None, world: str | None) -> Template:
    """Return the template of a workspace.

    Args:
        example: an example in its open form, or one that has no other than its world's.
        world: an example whose world it shall have, `gym:ID`, or empty for a world to be written
            (where `example` is given, for that example's); None for the open form.

    Raises:
        UserError: there is no such example, world or environment, or two are named.
    """
    if example is not None and world and world != example:
        raise UserError(f"--example {example} and --world {world}: name one of them")
    if world is not None and world.startswith(GYM_PREFIX):
        _check_gym(world)
        return Template(_examples() / GYM_WORLD, {_GYM_PLACEHOLDER: world})
    if world == "" and example is None:
        return Template(_examples() / BLANK_WORLD)
    if world is not None:
        name = world or str(example)
        folder = _world_folder(name) if name in examples() else None
        if folder is None:
            raise UserError(_unknown("example with a world", name, examples_with_worlds()))
        return Template(folder)
    if example is None:
        return Template(template_root())
    if example not in examples():
        raise UserError(_unknown("example", example, examples()))
    return Template(_examples() / example)


def _examples() -> Path:
    return template_root() / "examples"


def _world_folder(name: str) -> Path | None:
    folders = (_examples() / name / "world", _examples() / name)
    return next((path for path in folders if (path / "task" / "world.py").is_file()), None)


def _unknown(what: str, name: str, known: list[str]) -> str:
    hint = did_you_mean(name, known)
    return f"unknown {what} {name!r}: there are {', '.join(known)}{hint and '; '}{hint}"


_MAKE_GYM = """
import sys
from simverse.core.config import EnvConfig
from simverse.worlds import from_env
from_env(sys.argv[1], EnvConfig(num_envs=1)).close()
"""


def _check_gym(world: str) -> None:
    """Check that a world can be made of an environment, in a process that may import it."""
    done = subprocess.run(
        [sys.executable, "-P", "-c", _MAKE_GYM, world],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace",
        check=False,
    )  # fmt: skip
    if done.returncode:
        said = (done.stderr.strip().splitlines() or ["it can't be made"])[-1]
        raise UserError(f"--world {world}: {one_line(said.partition('Error: ')[2] or said, 300)}")
