"""Worlds in files: `task/world.py` of a workspace, and the candidate that plays it."""

import ast
import importlib
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import torch

from simverse.core.config import EnvConfig
from simverse.envs.candidate_files import load_candidate
from simverse.errors import EnvironmentContractError
from simverse.worlds.observed import ObservedWorld
from simverse.worlds.perception import Perception

_PLACE = Path("task") / "world.py"
_CREATE = "create_world"


@dataclass(frozen=True)
class WorldPlace:
    """Where a world lies, and the candidate beside it."""

    file: Path
    candidate: Path | None
    """The folder with `env.py`, None if there is none."""


def find_world(path: Path) -> WorldPlace | None:
    """Return the world that a path names, None if it names none.

    Args:
        path: a workspace's folder with `task/world.py` in it; its `candidate/` or a file of that;
            or any file that defines `create_world`.
    """
    if path.is_file() and path.suffix == ".py" and _defines_world(path):
        is_usual = path.resolve().parts[-2:] == _PLACE.parts
        return _place(path, path.resolve().parents[1] if is_usual else None)
    folder = path.parent if path.is_file() else path
    for root in (path, folder.resolve().parent):
        is_candidate = folder.resolve().name == "candidate"
        if (root is path or is_candidate) and (root / _PLACE).is_file():
            return _place(root / _PLACE, root)
    return None


def _place(file: Path, root: Path | None) -> WorldPlace:
    candidate = None if root is None else root / "candidate"
    has_one = candidate is not None and (candidate / "env.py").is_file()
    return WorldPlace(file, candidate if has_one else None)


def _defines_world(path: Path) -> bool:
    """Does a file define `create_world` at its top level? Its code is not run."""
    try:
        tree = ast.parse(path.read_text(encoding="utf-8"))
    except (SyntaxError, ValueError):
        return False
    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and node.name == _CREATE:
            return True
        if isinstance(node, ast.ImportFrom | ast.Import):
            names = [alias.asname or alias.name for alias in node.names]
        elif isinstance(node, ast.Assign):
            names = [target.id for target in node.targets if isinstance(target, ast.Name)]
        else:
            continue
        if _CREATE in names:
            return True
    return False


def load_world(file: Path) -> Callable[..., Any]:
    """Import a world's file as `task.world` and return its `create_world`.

    A file of another name is imported as `task.<name>`. Raises `EnvironmentContractError` if it
    lacks `create_world` or imports the candidate, and whatever its code raises.
    """
    home = str(file.parent.resolve())
    package = sys.modules.get("task")
    if package is None or list(getattr(package, "__path__", ())) != [home]:
        for name in [name for name in sys.modules if name.partition(".")[0] == "task"]:
            del sys.modules[name]
        package = ModuleType("task")
        package.__path__ = [home]
        sys.modules["task"] = package
    create = getattr(_without_candidate(f"task.{file.stem}", file), _CREATE, None)
    if not callable(create):
        raise EnvironmentContractError(f"{_shown(file)} lacks create_world()")
    found: Callable[..., Any] = create
    return found


def _shown(file: Path) -> str:
    """Return a world's file as people call it: `task/world.py`, wherever the folder lies."""
    return "/".join(file.parts[-2:]) if file.parent.name == _PLACE.parts[0] else str(file)


def _without_candidate(name: str, file: Path) -> ModuleType:
    """Import a module while there is no package `candidate`."""
    hidden = {key: sys.modules[key] for key in sys.modules if key.partition(".")[0] == "candidate"}
    for key in hidden:
        del sys.modules[key]
    # None makes the import fail, whatever lies in the current folder.
    sys.modules["candidate"] = None  # type: ignore[assignment]
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "candidate":
            raise
        raise EnvironmentContractError(
            f"{_shown(file)} imports the candidate: no code of a candidate's may run in a world"
        ) from error
    finally:
        del sys.modules["candidate"]
        sys.modules.update(hidden)


def make_world(file: Path, config: Any, **options: Any) -> Any:
    """Return the world of a file; raises as `load_world`, and whatever `create_world` raises."""
    return load_world(file)(config, **options)


def make_observed(
    place: WorldPlace,
    config: Any = None,
    *,
    num_envs: int | None = None,
    device: str | torch.device = "cpu",
    dtype: torch.dtype = torch.float32,
    **fields: Any,
) -> ObservedWorld:
    """Return a workspace's world as its candidate sees it.

    Args:
        place: of the world and its candidate.
        config: what `create_world` is given; without it an `EnvConfig` of `num_envs` and `fields`.
        num_envs: sub-environments.
        device: of the world.
        dtype: of the world.
        fields: of `EnvConfig`.

    Raises:
        ValueError: there is no candidate.
        EnvironmentContractError: world or candidate breaks its contract.
    """
    perception = load_perception(place)
    if config is None:
        count = EnvConfig.num_envs if num_envs is None else num_envs
        config = EnvConfig(num_envs=count, **fields)
    world = make_world(place.file, config, num_envs=num_envs, device=device, dtype=dtype)
    return ObservedWorld(world, perception)


def load_perception(place: WorldPlace) -> Perception:
    """Return what the candidate makes of views; raises as `make_observed`."""
    if place.candidate is None:
        raise ValueError(
            f"there is no candidate/env.py beside {place.file}: a world by itself can be checked, "
            "not trained in"
        )
    return Perception.of(load_candidate(place.candidate, "env"))
