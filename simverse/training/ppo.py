"""Proximal policy optimisation (Schulman et al. 2017) for one policy."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, fields
from importlib import import_module
from typing import Any

import torch
from torch import nn

from simverse.core.agent import SimAgent
from simverse.core.env import SimEnv
from simverse.core.recurrence import is_recurrent
from simverse.core.simulator import horizon_of
from simverse.core.trainer import Trainer
from simverse.training.actor_critic import Precision
from simverse.training.config import PPOConfig
from simverse.training.features import FeatureEnv, FeaturelessCritic, FeaturePolicy, has_parts
from simverse.training.learners import make_learner
from simverse.training.loggers import DEFAULT_WANDB_PROJECT
from simverse.training.logging import training_logger
from simverse.training.multi_agent import JointOptimizer, TeamEnv, TeamPolicy
from simverse.training.recurrent import RecurrentCollector
from simverse.training.rollout import Collector
from simverse.training.session import Keeper, Session
from simverse.training.stats import EpisodeStats, TrainingPath, TrainingStats
from simverse.training.tally import Tally
from simverse.training.utils import Annealing, adam

__all__ = ["EpisodeStats", "PPOConfig", "PPOTrainer", "train"]

_DTYPES = frozenset({torch.float32, torch.bfloat16, torch.float16})


def train(
    env: Any,
    policy: nn.Module,
    config: PPOConfig,
    *,
    episodes: int,
    seed: int,
    device: str | torch.device = "cpu",
    on_episode: Callable[[EpisodeStats], None] | None = None,
    optimizer: torch.optim.Optimizer | None = None,
    precision: Precision = "fp32",
    masked: bool = True,
    checkpoints: Keeper | None = None,
    path: TrainingPath = "fused",
) -> list[EpisodeStats]:
    """Train `policy` in place and return one record per episode.

    An *episode* is one rollout of all `env.num_envs` sub-environments from `env.reset()` up to
    `config.max_steps`, then the updates. A rollout of more than `config.buffer_size` transitions is
    trained on in segments, each with its own update, bootstrapping from its last observation.

    `policy` maps `obs [B, C, H, W]` to `(logits [B, n], value [B, 1])`; for actions other than
    `Discrete` see `simverse.core.distributions`, for a policy with a state
    `simverse.core.recurrence`. `seed` alone decides the actions sampled and the order of
    minibatches: a generator of our own draws them, so that code drawing from the global one cannot
    disturb them. `on_episode` is called with each record as it is made. `optimizer` defaults to
    Adam with `config.lr`; one passed in keeps its own step size. `masked` heeds masks of legal
    actions in the observation dicts. `checkpoints` (`simverse.training.checkpoints`) keeps the
    training in a file and continues from it: the records are then those of the episodes that were
    left. `path` is `torch` to keep a policy that could be trained fused
    (`simverse.training.fused`) from being so; none is with an optimiser passed in.

    Raises `PolicyError` and `EnvironmentContractError` when one of the two breaks its contract.
    """
    device = torch.device(device)
    policy.to(device).train()
    generator = torch.Generator(device=device).manual_seed(seed)
    learner = make_learner(env, policy, config, optimizer, precision=precision, path=path)
    actor_critic, optim = learner.actor_critic, learner.optimizer
    segments = segment_lengths(config, int(env.num_envs))
    collector = (RecurrentCollector if is_recurrent(policy) else Collector)(
        env, actor_critic, slots=segments[0], generator=generator, device=device, masked=masked
    )
    annealing = Annealing(optim, episodes * len(segments)) if config.anneal_lr else None
    session = Session(env, policy, optim, generator, annealing, config, seed, episodes)
    done = 0 if checkpoints is None else checkpoints.begin(session)
    history = []
    for episode in range(done, episodes):
        started_s = time.perf_counter()
        tally = Tally(collector.num_envs, device)
        collector.begin()
        for slots in segments:
            rollout = collector.collect(slots)
            tally.add_rollout(rollout)
            batch = rollout.batch(config)
            tally.add_critic(rollout, batch)
            if annealing is not None:
                annealing.step()
            tally.add_update(*learner.update(batch, generator))
            if collector.finished:
                break
        stats = tally.stats(episode, learner.path, seconds=time.perf_counter() - started_s)
        history.append(stats)
        if on_episode is not None:
            on_episode(stats)
        if checkpoints is not None:
            checkpoints.keep(stats)
    return history


def segment_lengths(config: PPOConfig, num_envs: int) -> list[int]:
    """Return how many slots each segment of a rollout has: whole ones, then what is left."""
    longest = min(config.max_steps, max(1, config.buffer_size // num_envs))
    whole, rest = divmod(config.max_steps, longest)
    return [longest] * whole + [rest] * (rest > 0)


def _policy_of(agent: SimAgent) -> nn.Module:
    policy = agent.get_policy()
    if policy is None:
        raise ValueError(f"agent {agent.name!r} has no policy to train")
    return policy


class PPOTrainer(Trainer):
    """`train` behind the public simverse's constructor, its arguments in that order.

    `config` may hold any field of `PPOConfig` that has no argument here (`lr`, `entropy_coef`,
    `max_steps` and so on); its other entries are not looked at, except `seed`, whose default is
    drawn from torch's global generator. Arguments win over `config`. `stats` is filled as training
    goes on. Several agents are trained as `simverse.training.multi_agent` says: each with its own
    policy or one that they share, and with `centralized_critic` if given (MAPPO). `optimizers` go
    by agent, `optimizer` is everybody's; without either it is Adam. Observations with `features`
    are given to the policies as `simverse.training.features` says.

    `episode_save_dir` is a folder for `replay.json`, the latest training episode of one
    sub-environment. `dtype` may be the environment's own: policies, losses and what is kept of a
    rollout are float32 whatever it is. Nothing else is written unless `save_checkpoint` is called.

    Raises `ValueError` for both kinds of optimiser, or a dtype of more than 32 bits.
    """

    def __init__(  # noqa: PLR0917 - the public library's
        self,
        optimizer: torch.optim.Optimizer | None = None,
        optimizers: Mapping[int, torch.optim.Optimizer] | None = None,
        centralized_critic: nn.Module | None = None,
        centralized_critic_optimizer: torch.optim.Optimizer | None = None,
        episodes: int = 1,
        training_epochs: int = 4,
        clip_epsilon: float = 0.2,
        gamma: float = 0.99,
        gae_lambda: float = 0.95,
        stats: TrainingStats | None = None,
        config: Mapping[str, Any] | None = None,
        project_name: str | None = None,
        run_name: str | None = None,
        episode_save_dir: str | None = None,
        device: str | torch.device = "cpu",
        batch_size: int = 32,
        buffer_size: int = 10_000,
        dtype: torch.dtype = torch.float32,
        use_wandb: bool = False,
    ) -> None:
        if optimizer is not None and optimizers:
            raise ValueError("optimizer is everybody's and optimizers go by agent: give one alone")
        if dtype not in _DTYPES:
            raise ValueError(f"policies are trained in float32, not {dtype}")
        self.optimizer = optimizer
        self.optimizers = dict(optimizers or {})
        self.centralized_critic = centralized_critic
        self.centralized_critic_optimizer = centralized_critic_optimizer
        self.episodes = episodes
        self.training_epochs = training_epochs
        self.clip_epsilon = clip_epsilon
        self.gamma = gamma
        self.gae_lambda = gae_lambda
        self.stats = stats if stats is not None else TrainingStats()
        self.config = dict(config or {})
        self.project_name = project_name
        self.run_name = run_name
        self.episode_save_dir = episode_save_dir
        self.device = device
        self.batch_size = batch_size
        self.buffer_size = buffer_size
        self.dtype = dtype
        self.use_wandb = use_wandb

    def train(self, env: SimEnv, agents: Sequence[SimAgent], title: str = "Training") -> None:
        """Train the agents' policies in place.

        The horizon is `config["max_steps"]`, else the environment's. Raises `ValueError` for an
        agent without a policy, another number of agents than the environment has, or a missing
        horizon.
        """
        policies = [_policy_of(agent) for agent in agents]
        if len(agents) != env.num_agents:
            raise ValueError(f"the environment has {env.num_agents} agents, got {len(agents)}")
        config = self._ppo_config(env)
        self.env = env
        self.stats.set_env_count(int(env.num_envs))
        task, policy, optimizer = self._task(env, policies, config)
        report = self._wandb_report(config, title) if self.use_wandb else None

        def on_episode(episode: EpisodeStats) -> None:
            self.stats.record(episode, num_agents=len(agents))
            training_logger.end_episode(
                episode.episode + 1,
                total_reward=episode.mean_return,
                avg_reward=episode.mean_return / episode.mean_length,
                steps=episode.mean_length,
            )
            if report is not None:
                report(episode)

        training_logger.header(title)
        training_logger.start_training(self.episodes)
        train(
            task,
            policy,
            config,
            episodes=self.episodes,
            seed=self._seed(),
            device=self.device,
            on_episode=on_episode,
            optimizer=optimizer,
        )
        training_logger.finish()

    def _task(self, env: SimEnv, policies: list[nn.Module], config: PPOConfig) -> tuple[Any, ...]:
        """Return the environment, policy and optimiser (None for Adam) of a single agent's PPO."""
        task: Any = env
        if self.episode_save_dir is not None:
            from simverse.training.recording import RecordedEnv

            task = RecordedEnv(task, self.episode_save_dir, max_steps=config.max_steps)
        joined = None
        if has_parts(env.observation_space):
            task = joined = FeatureEnv(task)
        if len(policies) == 1 and self.centralized_critic is None:
            policy = policies[0] if joined is None else FeaturePolicy(policies[0], joined)
            return task, policy, self.optimizer or self.optimizers.get(0)
        optimizer = self._joint(policies, config)
        critic = self.centralized_critic
        task = TeamEnv(task, len(policies), with_state=critic is not None)
        if joined is not None:
            # Agents that share a policy share what it is wrapped in.
            wrapped = {id(policy): FeaturePolicy(policy, joined) for policy in policies}
            policies = [wrapped[id(policy)] for policy in policies]
            critic = None if critic is None else FeaturelessCritic(critic, joined)
        return task, TeamPolicy(policies, task.layout, critic), optimizer

    def _joint(self, policies: Sequence[nn.Module], config: PPOConfig) -> Any:
        """Return the optimisers given and, for policies without one, Adam; None if none is given.

        A shared policy's is that of its first agent.
        """
        given = (self.optimizer, self.centralized_critic_optimizer)
        if not self.optimizers and given == (None, None):
            return None
        first = {id(policy): agent for agent, policy in reversed(list(enumerate(policies)))}
        chosen = [
            self.optimizers.get(agent) or adam(policies[agent].to(self.device), lr=config.lr)
            for agent in sorted(first.values())
            if self.optimizer is None
        ]
        if self.optimizer is not None:
            chosen.append(self.optimizer)
        if self.centralized_critic is not None:
            critic = self.centralized_critic.to(self.device)
            chosen.append(self.centralized_critic_optimizer or adam(critic, lr=config.lr))
        return JointOptimizer(chosen)

    def _ppo_config(self, env: SimEnv) -> PPOConfig:
        known = {field.name for field in fields(PPOConfig)}
        settings = {key: value for key, value in self.config.items() if key in known} | {
            "training_epochs": self.training_epochs,
            "clip_epsilon": self.clip_epsilon,
            "gamma": self.gamma,
            "gae_lambda": self.gae_lambda,
            "batch_size": self.batch_size,
            "buffer_size": self.buffer_size,
        }
        settings.setdefault("max_steps", horizon_of(env))
        if settings["max_steps"] is None:
            raise ValueError("config['max_steps'] is missing, and the environment has no max_steps")
        return PPOConfig(**settings)

    def _seed(self) -> int:
        seed = self.config.get("seed")
        return int(torch.randint(2**31, ()) if seed is None else seed)

    def _wandb_report(self, config: PPOConfig, title: str) -> Callable[[EpisodeStats], None]:
        wandb = import_module("wandb")
        run = wandb.init(
            project=self.project_name or DEFAULT_WANDB_PROJECT,
            name=self.run_name or title,
            config=asdict(config),
        )
        return lambda episode: run.log(asdict(episode), step=episode.episode)
