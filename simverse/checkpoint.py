"""Checkpoints: plain tensors in plain dictionaries, read without running anything in the file."""

import os
import pickle
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from simverse.core.distributions import action_distribution
from simverse.errors import SimverseError

FORMAT = "simverse.checkpoint"
VERSION, VERSION_WITH_WRAPPERS = 1, 2
"""The second where a policy is to be played with wrappers, which older programs would leave out."""
MAX_BYTES = 2**31
"""Most bytes that a file holds unpacked, and a tensor."""


class CheckpointError(SimverseError):
    """The file is not a checkpoint of ours, or not of this environment and policy."""


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """A trained policy's weights and what they fit."""

    env: str
    """A name of the registry, `gym:ID`, or a candidate's environment class."""
    observation_shape: tuple[int, ...]
    """`(C, H, W)`."""
    num_actions: int
    """Numbers in a row of the policy's first output: the actions, where they are discrete."""
    weights: Mapping[str, Tensor]
    """The policy's `state_dict`, on the CPU."""
    training: Mapping[str, Any] = field(default_factory=dict)
    """How it was trained: plain numbers, strings and booleans."""
    files: Mapping[str, str] = field(default_factory=dict)
    """The code that builds it, by path below a workspace; nobody runs it without being told to."""
    wrappers: tuple[str, ...] = ()
    """The wrappers that its observations came through (`simverse.wrappers.named`)."""
    statistics: Mapping[str, Tensor] = field(default_factory=dict)
    """What these had learnt of the observations (`statistics_of`)."""
    resume: Mapping[str, Any] | None = None
    """What a training needs to go on (`simverse.training.checkpoints`), None if it can't."""


def save(path: Path, checkpoint: Checkpoint) -> None:
    """Write a checkpoint, whole or not at all; parents of `path` are made."""
    weights, statistics = (
        {name: value.detach().cpu() for name, value in tensors.items()}
        for tensors in (checkpoint.weights, checkpoint.statistics)
    )
    document = {
        "format": FORMAT,
        "version": VERSION_WITH_WRAPPERS if checkpoint.wrappers else VERSION,
        "env": checkpoint.env,
        "observation_shape": list(checkpoint.observation_shape),
        "num_actions": checkpoint.num_actions,
        "training": dict(checkpoint.training),
        "files": dict(checkpoint.files),
        "weights": weights,
        "wrappers": list(checkpoint.wrappers),
        "statistics": statistics,
        "resume": checkpoint.resume,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
    try:
        torch.save(document, partial)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def load(path: Path) -> Checkpoint:
    """Read a checkpoint, with nothing in it executed; `CheckpointError` says what is wrong."""
    if not path.is_file():
        raise CheckpointError(f"no checkpoint {path}")
    if not zipfile.is_zipfile(path):
        raise CheckpointError(f"{path} is no checkpoint: not a file that torch.save wrote")
    if problem := _bomb(path):
        raise CheckpointError(f"{path} is no checkpoint: {problem}")
    try:
        document = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise CheckpointError(
            f"{path} is no checkpoint: it holds more than tensors, numbers and text"
        ) from error
    except (RuntimeError, EOFError, OSError, ValueError, KeyError) as error:
        first_line = (str(error).splitlines() or [type(error).__name__])[0]
        raise CheckpointError(f"{path} is damaged: {first_line}") from error
    problem = _problem(document)
    if problem:
        raise CheckpointError(f"{path} is no checkpoint of simverse: {problem}")
    return Checkpoint(
        env=document["env"],
        observation_shape=tuple(document["observation_shape"]),
        num_actions=document["num_actions"],
        weights=document["weights"],
        training=document["training"],
        files=document.get("files", {}),
        wrappers=tuple(document.get("wrappers", ())),
        statistics=document.get("statistics", {}),
        resume=document.get("resume"),
    )


def restore(policy: nn.Module, checkpoint: Checkpoint, env: Any) -> None:
    """Load the weights into a policy built for `env`, and the statistics into its wrappers.

    Raises `CheckpointError` if they do not fit.
    """
    from simverse.wrappers.named import load_statistics  # imports Gymnasium, which takes time

    shape = observation_shape(env)
    actions = action_distribution(env.action_space).width
    if (checkpoint.observation_shape, checkpoint.num_actions) != (shape, actions):
        raise CheckpointError(
            f"the checkpoint is of {checkpoint.env}, with observations "
            f"{checkpoint.observation_shape} and {checkpoint.num_actions} actions; "
            f"here they are {shape} and {actions}"
        )
    own = policy.state_dict()
    misfits = [
        name
        for name in sorted({*own, *checkpoint.weights})
        if name not in own
        or name not in checkpoint.weights
        or own[name].shape != checkpoint.weights[name].shape
    ]
    if misfits:
        raise CheckpointError(f"the checkpoint is of another policy: {misfits[0]} does not fit")
    try:
        load_statistics(env, checkpoint.statistics)
    except ValueError as error:
        raise CheckpointError(f"the checkpoint is of another environment: {error}") from error
    policy.load_state_dict(dict(checkpoint.weights))


def observation_shape(env: Any) -> tuple[int, ...]:
    """Return the shape of an environment's observations; of `obs` where there are others too."""
    space = env.observation_space
    box = space["obs"] if hasattr(space, "spaces") else space
    return tuple(int(size) for size in box.shape)


def _problem(document: Any) -> str | None:
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        return f"its format is not {FORMAT!r}"
    if document.get("version") not in {VERSION, VERSION_WITH_WRAPPERS}:
        return (
            f"version {document.get('version')!r}, this program reads {VERSION} and "
            f"{VERSION_WITH_WRAPPERS}"
        )
    kinds = {
        "env": str,
        "observation_shape": list,
        "num_actions": int,
        "training": dict,
        "weights": dict,
    }
    for key, kind in kinds.items():
        if not isinstance(document.get(key), kind):
            return f"{key} is not a {kind.__name__}"
    files, wrappers = document.get("files", {}), document.get("wrappers", [])
    if not isinstance(files, dict) or not all(isinstance(text, str) for text in files.values()):
        return "files are not all texts"
    if not isinstance(wrappers, list) or not all(isinstance(text, str) for text in wrappers):
        return "wrappers are not all texts"
    if not isinstance(document.get("resume"), dict | None):
        return "resume is not a dict"
    return _tensor_problem("weights", document["weights"]) or _tensor_problem(
        "statistics", document.get("statistics", {})
    )


def _tensor_problem(what: str, tensors: Any) -> str | None:
    if not isinstance(tensors, dict):
        return f"{what} are not a dict"
    for name, value in tensors.items():
        if not isinstance(name, str) or not isinstance(value, Tensor):
            return f"{what} are not all tensors with names"
        if value.layout != torch.strided or value.numel() * value.element_size() > MAX_BYTES:
            return f"{name!r:.60} is no plain tensor of at most {MAX_BYTES >> 20} MiB"
        if value.is_floating_point() and bool(value.isnan().any()):
            return f"{name!r:.60} has values that are no numbers (NaN)"
    return None


def _bomb(path: Path) -> str | None:
    """Return why a zip file is not unpacked: `torch.save` compresses nothing."""
    try:
        with zipfile.ZipFile(path) as archive:
            parts = archive.infolist()
    except (zipfile.BadZipFile, OSError, ValueError) as error:
        return f"it is damaged: {error}"
    if any(part.compress_type != zipfile.ZIP_STORED for part in parts):
        return "it is compressed, and torch.save compresses nothing"
    if sum(part.file_size for part in parts) > MAX_BYTES:
        return f"it unpacks to more than {MAX_BYTES >> 20} MiB"
    return None
