"""Replays: one greedy episode as one compact JSON document, for people to watch.

The document itself is built in `simverse.replay_document` and checked in
`simverse.replay_reading`; here episodes are played, and their frames become tensors.
"""

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from simverse import replay_document
from simverse.core.checks import StepResult, num_actions
from simverse.core.layers import has_layers, layers_of
from simverse.play import Player, greedy
from simverse.replay_document import SCHEMA, VERSION, dumps
from simverse.replay_reading import ReplayError, check_replay, decoded
from simverse.worlds.observed import ObservedWorld

__all__ = ["SCHEMA", "VERSION", "ReplayError", "check_replay", "dumps", "frames", "record"]

# -- recording -----------------------------------------------------------------------------------


@torch.no_grad()
def record(
    env: Any,
    policy: nn.Module,
    *,
    max_steps: int,
    name: str | None = None,
    seed: int | None = None,
) -> dict[str, Any]:
    """Play sub-environment 0 greedily from `reset` and return its first episode as a document.

    `env` is any environment that keeps the contract; `max_steps` is the horizon, `seed` the one it
    was made with. Raises `PolicyError` and `EnvironmentContractError`, also for actions that are
    not `Discrete`: a replay has no place for them.
    """
    actions = num_actions(env)
    shape = tuple(int(size) for size in env.observation_space.shape)
    player = Player(env, greedy(policy, actions))
    frames, last, steps = [_values(player.reset()[0])], None, []
    inner, drawings = getattr(env, "unwrapped", env), []
    drawn = inner.world if isinstance(inner, ObservedWorld) else inner
    for _ in range(max_steps):
        drawings += [layers_of(drawn, 0)] if has_layers(drawn) else []
        taken, result = player.step()
        steps.append(_step(int(taken[0]), result))
        last = _outcome(result)
        if steps[-1]["done"]:
            break
        frames.append(_values(result.obs[0]))
    return replay_document.build(
        env=name or type(env).__name__,
        description=_description(env),
        channels=_channels(env, shape[0]),
        observation_shape=shape,
        num_actions=actions,
        horizon=max_steps,
        seed=seed,
        frames=frames[: len(steps)],
        steps=steps,
        last_frame=last,
        layers=_layers(drawings),
    )


def _layers(drawings: Sequence[tuple[list[str], Tensor]]) -> dict[str, Any] | None:
    if not drawings:
        return None
    names, first = drawings[0]
    return replay_document.layers(names, first.shape, [_values(grids) for _, grids in drawings])


def _step(action: int, result: StepResult) -> dict[str, Any]:
    return replay_document.step(
        action=action,
        reward=float(result.earned[0]),
        done=bool(result.done[0]),
        success=result.success is not None and bool(result.success[0]),
    )


def _outcome(result: StepResult) -> list[float] | None:
    """Return the observation a step led to, None if a reset has already replaced it."""
    if result.final_obs is not None:
        return _values(result.final_obs[0])
    frozen = result.marked is not None and bool(result.marked[0])
    return None if bool(result.done[0]) and not frozen else _values(result.obs[0])


def _description(env: Any) -> str:
    describe = getattr(env, "describe", None)
    return str(describe()) if callable(describe) else type(env).__name__


def _channels(env: Any, count: int) -> list[str] | None:
    channels = getattr(env, "CHANNELS", None)
    return [str(channel) for channel in channels] if channels and len(channels) == count else None


def _values(obs: Tensor) -> list[float]:
    """Return a copy of an observation's values as they are written."""
    return replay_document.values(obs.detach().flatten().double().tolist())


# -- reading -------------------------------------------------------------------------------------


def frames(document: dict[str, Any]) -> Tensor:
    """Return the frames `[T, C, H, W]`, and the last one if there is one, of a valid replay."""
    encoded = [step["frame"] for step in document["steps"]]
    if document["last_frame"] is not None:
        encoded.append(document["last_frame"])
    values = decoded(encoded, math.prod(document["observation_shape"]))
    return torch.tensor(values, dtype=torch.float32).view(-1, *document["observation_shape"])
