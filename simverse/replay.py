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

__all__ = [
    "SCHEMA",
    "VERSION",
    "EpisodeRecorder",
    "ReplayError",
    "check_replay",
    "dumps",
    "frames",
    "record",
]

# -- recording -----------------------------------------------------------------------------------


class EpisodeRecorder:
    """Collects an episode of sub-environment 0: `begin`, then `draw` and `add` for each step."""

    def __init__(self, env: Any, shape: tuple[int, ...]) -> None:
        """Prepare for an environment whose observations have this shape `(C, H, W)`."""
        self._env = env
        self._shape = shape
        inner = getattr(env, "unwrapped", env)
        self._drawn = inner.world if isinstance(inner, ObservedWorld) else inner
        self._frames: list[list[float]] = []
        self._steps: list[dict[str, Any]] = []
        self._drawings: list[tuple[list[str], Tensor]] = []
        self._last: list[float] | None = None

    def begin(self, obs: Tensor) -> None:
        """Begin anew, with the first observation `[C, H, W]`."""
        self._frames, self._steps, self._drawings, self._last = [_values(obs)], [], [], None

    def draw(self) -> None:
        """Let the environment draw itself, before a step."""
        if has_layers(self._drawn):
            self._drawings.append(layers_of(self._drawn, 0))

    def add(self, action: int, result: StepResult) -> None:
        """Add a step."""
        self._steps.append(_step(action, result))
        self._last = _outcome(result)
        if not self.is_over:
            self._frames.append(_values(result.obs[0]))

    def __len__(self) -> int:
        """Return how many steps were collected."""
        return len(self._steps)

    @property
    def is_over(self) -> bool:
        """Whether the episode ended by itself."""
        return bool(self._steps and self._steps[-1]["done"])

    def document(self, *, horizon: int, name: str | None, seed: int | None) -> dict[str, Any]:
        """Return what was collected as a document."""
        return replay_document.build(
            env=name or type(self._env).__name__,
            description=_description(self._env),
            channels=_channels(self._env, self._shape[0]),
            observation_shape=self._shape,
            num_actions=num_actions(self._env),
            horizon=horizon,
            seed=seed,
            frames=self._frames[: len(self._steps)],
            steps=self._steps,
            last_frame=self._last,
            layers=_layers(self._drawings),
        )


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
    recorder = EpisodeRecorder(env, tuple(int(size) for size in env.observation_space.shape))
    player = Player(env, greedy(policy, actions))
    recorder.begin(player.reset()[0])
    for _ in range(max_steps):
        recorder.draw()
        taken, result = player.step()
        recorder.add(int(taken[0]), result)
        if recorder.is_over:
            break
    return recorder.document(horizon=max_steps, name=name, seed=seed)


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
