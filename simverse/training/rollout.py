"""Collecting transitions: `T` slots of `N` sub-environments stepped in lockstep."""

from dataclasses import dataclass, replace
from typing import Any, Literal, Self, get_args

import torch
from torch import Tensor, nn
from torch.nn.functional import log_softmax

from simverse.core.checks import StepResult, check_observation, check_policy_output, check_step
from simverse.core.legal import greedy_actions, legal_actions, legal_logits
from simverse.errors import EnvironmentContractError, PolicyError, SimverseError
from simverse.training.config import PPOConfig
from simverse.training.gae import compute_gae, successor_values
from simverse.training.loss import Batch
from simverse.training.masks import MaskRecorder
from simverse.training.reward_parts import PartRecorder, RewardParts

Precision = Literal["fp32", "bf16"]
"""`bf16` runs the policy under autocast; losses, returns and weights stay float32."""


class ActorCritic:
    """A policy whose output is float32 and of the right shape, else `PolicyError`."""

    def __init__(self, policy: nn.Module, num_actions: int, precision: Precision = "fp32") -> None:
        if precision not in get_args(Precision):
            raise ValueError(f"precision must be one of {get_args(Precision)}, got {precision!r}")
        self.policy = policy
        self.num_actions = num_actions
        self.precision = precision

    def __call__(self, obs: Tensor) -> tuple[Tensor, Tensor]:
        """Return the logits `[B, n]` and values `[B]` for `obs [B, C, H, W]`."""
        if self.precision == "bf16":
            with torch.autocast(obs.device.type, dtype=torch.bfloat16):
                output = self.policy(obs)
        else:
            output = self.policy(obs)
        logits, values = check_policy_output(output, obs.shape[0], self.num_actions)
        return logits.float(), values.float()


@dataclass(frozen=True)
class Rollout:
    """`T` slots of `N` sub-environments; a slot is live unless its observation was marked done."""

    obs: Tensor
    """`[T + 1, N, C, H, W]` float32: what each slot saw, and what the last one led to."""
    logits: Tensor
    """`[T, N, n]` float32."""
    values: Tensor
    """`[T + 1, N]` float32."""
    actions: Tensor
    """`[T, N]` int64."""
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

    @classmethod
    def allocate(
        cls,
        slots: int,
        num_envs: int,
        obs_shape: tuple[int, ...],
        num_actions: int,
        device: torch.device,
    ) -> Self:
        """Return `slots` empty slots."""

        def zeros(*shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
            return torch.zeros(shape, dtype=dtype, device=device)

        return cls(
            obs=zeros(slots + 1, num_envs, *obs_shape),
            logits=zeros(slots, num_envs, num_actions),
            values=zeros(slots + 1, num_envs),
            actions=zeros(slots, num_envs, dtype=torch.int64),
            rewards=zeros(slots, num_envs),
            dones=zeros(slots, num_envs, dtype=torch.bool),
            live=zeros(slots, num_envs, dtype=torch.bool),
            success=zeros(slots, num_envs, dtype=torch.bool),
            final_values=zeros(slots, num_envs),
        )

    def first(self, slots: int) -> "Rollout":
        """Return the first `slots` slots, as views."""
        return Rollout(
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
        log_probs = log_softmax(legal_logits(self.logits, self.legal), dim=-1)
        taken = log_probs.gather(2, self.actions.unsqueeze(2)).squeeze(2)
        old_values = None if config.value_clip is None else values
        everything = Batch(
            self.obs[:-1], self.actions, taken, advantages, advantages + values, old_values,
            self.legal,
        ).each(lambda column: column.flatten(0, 1))  # fmt: skip
        live = self.live.flatten()
        batch = everything if bool(live.all()) else everything.rows(live.nonzero().squeeze(1))
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
        self.obs_shape = tuple(int(size) for size in env.observation_space.shape)
        if len(self.obs_shape) != 3:
            raise EnvironmentContractError(
                f"observation_space.shape must be (C, H, W), got {self.obs_shape}"
            )
        self.finished = False
        self._storage = Rollout.allocate(
            slots, self.num_envs, self.obs_shape, actor_critic.num_actions, device
        )
        self._parts = PartRecorder(slots, self.num_envs, device)
        self._masks = MaskRecorder(slots, self.num_envs, actor_critic.num_actions, device)
        self._world_rewards: Tensor | None = None
        self._next_live = torch.ones(self.num_envs, dtype=torch.bool, device=device)
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
        noise = self._gumbel_noise(slots)
        taken = 0
        while taken < slots and not self.finished:
            store.live[taken].copy_(self._next_live)
            logits, values = self.actor_critic(store.obs[taken])
            # The Gumbel-max trick: the argmax of logits plus such noise is a softmax sample.
            action = greedy_actions(logits + noise[taken], self._masks.at(taken))
            store.logits[taken].copy_(logits)
            store.values[taken].copy_(values)
            store.actions[taken].copy_(action)
            result = check_step(self.env.step(action), self.num_envs, self.obs_shape)
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
        rollout.values[taken].copy_(self.actor_critic(rollout.obs[taken])[1])
        _check_finite(rollout)
        return rollout

    def _gumbel_noise(self, slots: int) -> Tensor:
        noise = torch.empty_like(self._storage.logits[:slots])
        return noise.exponential_(generator=self.generator).log_().neg_()

    def _record(self, slot: int, result: StepResult) -> None:
        store = self._storage
        store.rewards[slot].copy_(result.reward)
        self._parts.record(slot, result.reward_parts)
        if result.world_reward is not None:
            if self._world_rewards is None:
                self._world_rewards = torch.zeros_like(store.rewards)
            self._world_rewards[slot].copy_(result.world_reward)
        store.dones[slot].copy_(result.done)
        if result.success is None:
            store.success[slot].fill_(False)
        else:
            store.success[slot].copy_(result.success)
        if result.truncated is not None and result.final_obs is not None:
            cut = (result.truncated & result.done).to(store.obs.device)
            if bool(cut.any()):
                # The whole batch, so that a policy sees one batch shape throughout.
                final_obs = result.final_obs.to(store.obs)
                values = self.actor_critic(final_obs)[1]
                store.final_values[slot].copy_(torch.where(cut, values, 0.0))
        self._observe(slot + 1, result.obs, result.marked, result.mask)

    def _observe(self, slot: int, obs: Tensor, marked: Tensor | None, mask: Any) -> None:
        """Copy an observation (it may alias a live buffer) and note which of it is live."""
        self._storage.obs[slot].copy_(obs)
        if mask is not None and not self._is_masked:
            mask = None
        if mask is not None:
            mask = legal_actions(mask, marked, self.num_envs, self.actor_critic.num_actions)
        self._masks.record(slot, mask)
        if marked is None:
            self._next_live.fill_(True)
            return
        torch.logical_not(marked.to(self._next_live.device), out=self._next_live)
        all_marked = bool(marked.all())
        # Once is what a batch that resets itself in step shows too; twice is frozen.
        self.finished = all_marked and self._all_marked
        self._all_marked = all_marked


def _check_finite(rollout: Rollout) -> None:
    """Raise for the first kind of number, causes before effects, that is not finite."""
    kinds: list[tuple[str, Tensor, type[SimverseError]]] = [
        ("the reward", rollout.rewards, EnvironmentContractError),
        ("the observation", rollout.obs, EnvironmentContractError),
        ("the policy's logits", rollout.logits, PolicyError),
        ("the policy's value", rollout.values, PolicyError),
        ("the policy's value of final_obs", rollout.final_values, PolicyError),
    ]
    if rollout.world_rewards is not None:
        kinds.insert(0, ("the world's reward", rollout.world_rewards, EnvironmentContractError))
    for name, tensor, error in kinds:
        # A sum is finite only if every term is, and costs a fraction of asking each.
        if bool(tensor.sum().isfinite()):
            continue
        wrong = (~tensor.isfinite()).nonzero()
        if len(wrong):
            slot, sub_env = wrong[0, :2].tolist()
            raise error(f"{name} is not finite at step {slot} of sub-environment {sub_env}")
