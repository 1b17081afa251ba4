"""Collecting transitions: `T` slots of `N` sub-environments stepped in lockstep."""

from dataclasses import dataclass, replace
from typing import Any, Self

import torch
from torch import Tensor

from simverse.core.checks import StepResult, check_observation, check_step, observation_shape
from simverse.core.distributions import ActionDistribution
from simverse.core.recurrence import State
from simverse.errors import EnvironmentContractError, PolicyError
from simverse.training.actor_critic import ActorCritic
from simverse.training.config import PPOConfig
from simverse.training.finite import require_finite, require_usable
from simverse.training.gae import compute_gae, successor_values
from simverse.training.loss import Batch
from simverse.training.masks import MaskRecorder
from simverse.training.reward_parts import PartRecorder, RewardParts
from simverse.training.sequences import Sequences
from simverse.training.slots import Slots


@dataclass(frozen=True)
class Rollout:
    """`T` slots of `N` sub-environments; a slot is live unless its observation was marked done."""

    obs: Tensor
    """`[T + 1, N, C, H, W]` float32: what each slot saw, and what the last one led to."""
    distribution: ActionDistribution
    """What the logits describe."""
    logits: Tensor
    """`[T, N, n]` float32, or what else the distribution takes."""
    values: Tensor
    """`[T + 1, N]` float32."""
    actions: Tensor
    """`[T, N, *shape]` of the distribution's shape and dtype: `[T, N]` int64 if there is one of
    `n` to choose; a Gaussian's before they are brought into the box."""
    rewards: Tensor
    """`[T, N]` float32."""
    dones: Tensor
    """`[T, N]` bool."""
    live: Tensor
    """`[T, N]` bool."""
    success: Tensor
    """`[T, N]` bool."""
    final_values: Tensor
    """`[T, N]` float32: the critic at `final_obs` where an episode was cut short, 0 elsewhere."""
    reward_parts: RewardParts | None = None
    """What the environment says that the rewards are made of, if it does."""
    world_rewards: Tensor | None = None
    """`[T, N]` float32: what the world pays, where the rewards are shaped ones."""
    legal: Tensor | None = None
    """`[T, N, n]` bool: the actions that were legal; None where all of them are."""
    state: State | None = None
    """`[N, ...]`: a recurrent policy's before the first slot."""

    @classmethod
    def allocate(
        cls,
        slots: int,
        num_envs: int,
        obs_shape: tuple[int, ...],
        distribution: ActionDistribution,
        device: torch.device,
    ) -> Self:
        """Return `slots` empty slots."""

        def zeros(*shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
            return torch.zeros(shape, dtype=dtype, device=device)

        return cls(
            obs=zeros(slots + 1, num_envs, *obs_shape),
            distribution=distribution,
            logits=zeros(slots, num_envs, distribution.width),
            values=zeros(slots + 1, num_envs),
            actions=zeros(slots, num_envs, *distribution.shape, dtype=distribution.dtype),
            rewards=zeros(slots, num_envs),
            dones=zeros(slots, num_envs, dtype=torch.bool),
            live=zeros(slots, num_envs, dtype=torch.bool),
            success=zeros(slots, num_envs, dtype=torch.bool),
            final_values=zeros(slots, num_envs),
        )

    def first(self, slots: int) -> "Rollout":
        """Return the first `slots` slots, as views."""
        return replace(
            self,
            obs=self.obs[: slots + 1],
            logits=self.logits[:slots],
            values=self.values[: slots + 1],
            actions=self.actions[:slots],
            rewards=self.rewards[:slots],
            dones=self.dones[:slots],
            live=self.live[:slots],
            success=self.success[:slots],
            final_values=self.final_values[:slots],
        )

    def batch(self, config: PPOConfig) -> Batch:
        """Return the live transitions with their advantages and the critic's targets."""
        values = self.values[:-1]
        advantages = compute_gae(
            self.rewards,
            values,
            successor_values(values, self.values[-1], self.dones, self.final_values),
            self.dones,
            self.live,
            gamma=config.gamma,
            lam=config.gae_lambda,
        )
        taken = self.distribution.log_prob(self.logits, self.actions, self.legal)
        old_values = None if config.value_clip is None else values
        everything = Batch(
            self.obs[:-1], self.actions, taken, advantages, advantages + values, old_values,
            self.legal,
        ).each(lambda column: column.flatten(0, 1))  # fmt: skip
        live = self.live.flatten()
        batch = everything if bool(live.all()) else everything.rows(live.nonzero().squeeze(1))
        if self.state is not None:
            sequences = Sequences.of(self.obs[:-1], self.dones, self.live, self.state)
            batch = batch._replace(sequences=sequences)
        if config.normalize_advantages:
            return batch._replace(advantages=normalized(batch.advantages))
        return batch


def normalized(advantages: Tensor) -> Tensor:
    """Return advantages `[M]` shifted and scaled to mean 0 and deviation 1; a lone one as it is."""
    if advantages.numel() < 2:
        return advantages
    deviation, mean = torch.std_mean(advantages)
    return (advantages - mean) / (deviation + 1e-8)


class Collector:
    """Steps an environment with a policy's sampled actions and records what happens.

    A rollout begins with `begin` and is collected in one or more segments; `finished` says that
    stepping on would only wait for `reset`.
    """

    def __init__(
        self,
        env: Any,
        actor_critic: ActorCritic,
        *,
        slots: int,
        generator: torch.Generator,
        device: torch.device,
        masked: bool = True,
    ) -> None:
        """Prepare; `masked` says whether masks of legal actions are heeded."""
        self.env = env
        self._is_masked = masked
        self.actor_critic = actor_critic
        self.generator = generator
        self.num_envs = int(env.num_envs)
        self.obs_shape = observation_shape(env)
        self.finished = False
        self._storage = Rollout.allocate(
            slots, self.num_envs, self.obs_shape, actor_critic.distribution, device
        )
        self._slots = Slots(self._storage)
        self._parts = PartRecorder(slots, self.num_envs, device)
        width = actor_critic.distribution.width
        self._masks = MaskRecorder(slots, self.num_envs, width, device)
        self._world_rewards: Tensor | None = None
        self._next_live: Tensor | None = None
        """`[N]` bool: which of the latest observation is live; None if all of it is."""
        self._all_marked = False
        self._latest = 0  # the slot whose observation has not been acted on

    @torch.no_grad()
    def begin(self) -> None:
        """Reset the environment and take its first observation."""
        payload = self.env.reset()
        obs, marked = check_observation(payload, self.num_envs, self.obs_shape)
        self.finished = self._all_marked = False
        self._latest = 0
        self._observe(0, obs, marked, payload.get("mask"))

    # Not inference_mode: environments update their buffers in place, and would be left with
    # tensors that no later code may touch.
    @torch.no_grad()
    def collect(self, slots: int) -> Rollout:
        """Go on for `slots` steps, or until `finished`; the result is overwritten by the next call.

        Raises `PolicyError` or `EnvironmentContractError`.
        """
        store = self._storage
        store.final_values.zero_()
        store.obs[0].copy_(store.obs[self._latest])
        self._masks.begin_with(self._latest)
        distribution = self.actor_critic.distribution
        noise = distribution.noise(store.logits[:slots], self.generator).unbind()
        taken = 0
        while taken < slots and not self.finished:
            slot = self._slots[taken]
            if self._next_live is None:
                slot.live.fill_(True)
            else:
                slot.live.copy_(self._next_live)
            logits, values = self._act(slot.obs)
            action = distribution.sample(logits, noise[taken], self._masks.at(taken))
            slot.logits.copy_(logits)
            slot.values.copy_(values)
            slot.actions.copy_(action)
            result = self.env.step(distribution.for_env(action))
            result = check_step(result, self.num_envs, self.obs_shape)
            self._record(taken, result)
            taken += 1
        self._latest = taken
        worlds = self._world_rewards
        rollout = replace(
            store.first(taken),
            reward_parts=self._parts.first(taken),
            world_rewards=None if worlds is None else worlds[:taken],
            legal=self._masks.first(taken),
        )
        rollout.values[taken].copy_(self._value(rollout.obs[taken]))
        return replace(rollout, legal=_checked(rollout))

    def _act(self, obs: Tensor) -> tuple[Tensor, Tensor]:
        """Return the policy's outputs `[N, w]` and values `[N]` where it is about to act."""
        return self.actor_critic(obs)

    def _value(self, obs: Tensor) -> Tensor:
        """Return the values `[N]` of observations on which it will not act."""
        return self.actor_critic(obs)[1]

    def _record(self, number: int, result: StepResult) -> None:
        store, slot = self._storage, self._slots[number]
        slot.rewards.copy_(result.reward)
        self._parts.record(number, result.reward_parts)
        if result.world_reward is not None:
            if self._world_rewards is None:
                self._world_rewards = torch.zeros_like(store.rewards)
            self._world_rewards[number].copy_(result.world_reward)
        slot.dones.copy_(result.done)
        if result.success is None:
            slot.success.fill_(False)
        else:
            slot.success.copy_(result.success)
        if result.truncated is not None and result.final_obs is not None:
            cut = (result.truncated & result.done).to(store.obs.device)
            if bool(cut.any()):
                # The whole batch, so that a policy sees one batch shape throughout.
                final_obs = result.final_obs.to(store.obs)
                values = self._value(final_obs)
                store.final_values[number].copy_(torch.where(cut, values, 0.0))
        self._observe(number + 1, result.obs, result.marked, result.mask)

    def _observe(self, slot: int, obs: Tensor, marked: Tensor | None, mask: Any) -> None:
        """Copy an observation (it may alias a live buffer) and note which of it is live."""
        self._storage.obs[slot].copy_(obs)
        if mask is not None and not self._is_masked:
            mask = None
        if mask is not None:
            mask = self.actor_critic.distribution.mask(mask, marked, self.num_envs)
        self._masks.record(slot, mask)
        if marked is None:
            self._next_live = None
            return
        self._next_live = ~marked.to(self._storage.live.device)
        all_marked = bool(marked.all())
        # Once is what a batch that resets itself in step shows too; twice is frozen.
        self.finished = all_marked and self._all_marked
        self._all_marked = all_marked


def _checked(rollout: Rollout) -> Tensor | None:
    """Return which actions were legal, by the policy too.

    Raises for the first kind of number, causes before effects, that is not finite.
    """
    distribution, legal = rollout.distribution, rollout.legal
    if distribution.dtype.is_floating_point:  # else an action can't be any other
        # An observation that is not finite is not the policy's fault.
        seen = rollout.obs[:-1].flatten(2).isfinite().all(dim=2, keepdim=True)
        actions = torch.where(seen, rollout.actions, 0.0)
        require_finite("the policy's action", actions, PolicyError)
    if rollout.world_rewards is not None:
        require_finite("the world's reward", rollout.world_rewards, EnvironmentContractError)
    require_finite("the reward", rollout.rewards, EnvironmentContractError)
    require_finite("the observation", rollout.obs, EnvironmentContractError)
    legal = require_usable(distribution, rollout.logits, legal)
    require_finite("the policy's value", rollout.values, PolicyError)
    require_finite("the policy's value of final_obs", rollout.final_values, PolicyError)
    return legal
