"""A world together with a candidate's perception, as an environment to train in."""

import copy
from typing import Any

import torch
from torch import Tensor

from simverse.core.checks import WORLD_REWARD, num_actions, observation_shape
from simverse.core.env import SimEnv
from simverse.core.views import DONE, View, ViewLayout
from simverse.core.world import (
    EpisodeStarts,
    World,
    WorldStep,
    check_world_step,
    checked_horizon,
)
from simverse.worlds.perception import Perception, observed, observed_with_mask, shaped


class ObservedWorld(SimEnv):
    """What training sees of a world: observations, and the reward as the candidate shapes it.

    The `done` that `shape_reward` is given is terminal: an episode that is cut short goes on as far
    as values are concerned, and a potential must not be taken for 0 where they bootstrap.
    `info[WORLD_REWARD]` is the world's own reward `[N]`, where training sees another one. The
    candidate gets copies of views, which may alias the world's live buffers: as in evaluation, what
    it keeps stays as it was, and what it writes changes nothing.
    """

    def __init__(self, world: World, perception: Perception) -> None:
        """Look at a world. Raises `EnvironmentContractError` if it can't be played."""
        super().__init__(device=getattr(world, "device", "cpu"))
        self.num_agents, self.num_envs = 1, int(world.num_envs)
        self.max_steps = checked_horizon(world, self.num_envs)
        self.world = world
        # Only a view tells the fields; the first `reset` gives it out, so that none is drawn in
        # vain and the world's course is that of the world alone.
        self._first: View | None = world.reset()
        self.layout = ViewLayout.of(self._first, self.num_envs)
        self.perception = perception
        self._space = perception.space(world, self.layout)
        self._shape, self._num_actions = observation_shape(self), num_actions(world)
        self._observer = perception.new_observer()
        self._starts = EpisodeStarts()
        self._view: View = {}

    @property
    def action_space(self) -> Any:
        """The world's."""
        return self.world.action_space

    @property
    def observation_space(self) -> Any:
        """The candidate's."""
        return self._space

    def describe(self) -> str:
        """Say what the world is."""
        return str(self.world.describe())

    def close(self) -> None:
        """Close the world."""
        self.world.close()

    def reset(self) -> dict[str, Tensor]:
        """Start a fresh episode everywhere."""
        found = self.world.reset() if self._first is None else self._first
        self._first = None
        view = _copy(self.layout.check(found, self.num_envs))
        self._starts.reset(view)
        everywhere = torch.ones(self.num_envs, dtype=torch.bool, device=self.device)
        self._observer.reset(view, everywhere)
        return self._seen(view)

    def step(self, actions: Any) -> tuple[dict[str, Tensor], Tensor, Tensor, dict[str, Any]]:
        """Step the world; observe its view, and shape its reward."""
        actions = torch.as_tensor(actions, device=self.device).reshape(self.num_envs)
        before = self._view
        step = check_world_step(self.world.step(actions), self.layout, self.num_envs)
        view = _copy(step.view)
        final = None if step.final_view is None else _copy(step.final_view)
        info: dict[Any, Any] = {"success": step.success}
        reward = step.reward
        if (shape := self.perception.shape_reward) is not None:
            # Copies: `reward += bonus` in the candidate's code must not change the world's record.
            info[WORLD_REWARD] = step.reward.clone()
            after = view if final is None else final
            found = shape(before, actions, after, step.reward.clone(), _terminal(step))
            reward, info["reward_parts"] = shaped(found, step.reward)
        if step.truncated is not None and final is not None:
            info["truncated"] = step.truncated
            info["final_obs"] = self._peek(final, step.truncated & step.done)
        if self.perception.remembers and bool((begun := self._starts.after(step)).any()):
            self._observer.reset(view, begun)
        return self._seen(view), reward, step.done, info

    def _seen(self, view: View) -> dict[str, Tensor]:
        obs, mask = observed_with_mask(self._observer, view, self._num_actions)
        payload = {"obs": obs} if mask is None else {"obs": obs, "mask": mask}
        if DONE in view:
            payload["done"] = view[DONE]
        self._view = view
        return payload

    def _peek(self, view: View, cut: Tensor) -> Tensor:
        """Return the observations of episodes cut short, without a trace in what is remembered."""
        if not bool(cut.any()):
            return torch.zeros((self.num_envs, *self._shape), device=self.device)
        return observed(copy.deepcopy(self._observer), view)


def _copy(view: View) -> View:
    return {name: value.clone() for name, value in view.items()}


def _terminal(step: WorldStep) -> Tensor:
    """Return which episodes ended for good, bool `[N]`, a copy."""
    return step.done.clone() if step.truncated is None else step.done & ~step.truncated
