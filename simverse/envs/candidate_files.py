"""A candidate's two files: found, imported, and what they define."""

import importlib
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from simverse.core.config import EnvConfig
from simverse.errors import EnvironmentContractError


def candidate_create_env(folder: Path, part: str = "env") -> Callable[..., Any]:
    """Return a candidate's `create_env`.

    Raises `EnvironmentContractError` if it has none, with what it may have mixed up.
    """
    module = load_candidate(folder, part)
    create: Callable[..., Any] | None = getattr(module, "create_env", None)
    if create is None:
        is_for_worlds = hasattr(module, "observe") or hasattr(module, "Observer")
        hint = (
            ": observe() is for workspaces with a world of their own (task/world.py), and there is "
            "none here"
            if is_for_worlds
            else ""
        )
        raise EnvironmentContractError(f"{part}.py lacks create_env(){hint}")
    return create


def candidate_overrides(folder: Path, *, num_envs: int, device: str = "cpu") -> dict[str, Any]:
    """Return what a candidate's `training_overrides` asks for; nothing without a `train.py`."""
    if not has_part(folder, "train"):
        return {}
    overrides = load_candidate(folder, "train").training_overrides
    return dict(overrides(num_envs=num_envs, max_steps=EnvConfig.max_steps, device=device) or {})


def has_part(folder: Path, part: str) -> bool:
    """Return whether a candidate's folder has `<part>.py`."""
    return (_candidate_folder(folder, part) / f"{part}.py").is_file()


def load_candidate(folder: Path, part: str) -> ModuleType:
    """Import `candidate.<part>` from a folder, whatever that folder is called.

    Raises `ValueError` if there is no such file.
    """
    home = str(_candidate_folder(folder, part).resolve())
    if not has_part(folder, part):
        raise ValueError(f"no {part}.py in {folder} or {folder / 'candidate'}")
    package = sys.modules.get("candidate")
    if package is None or list(package.__path__) != [home]:
        for name in [name for name in sys.modules if name.partition(".")[0] == "candidate"]:
            del sys.modules[name]
        package = ModuleType("candidate")
        package.__path__ = [home]
        sys.modules["candidate"] = package
    return importlib.import_module(f"candidate.{part}")


def _candidate_folder(folder: Path, part: str) -> Path:
    is_above = part in {"env", "train"} and (folder / "candidate" / "env.py").is_file()
    return folder / "candidate" if is_above else folder
