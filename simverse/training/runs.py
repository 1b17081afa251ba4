"""Whole runs in one call: policies, trainer and simulator put together.

IPPO is independent PPO (de Witt et al. 2020, "Is independent learning all you need in the StarCraft
multi-agent challenge?"), MAPPO has a centralised critic (Yu et al. 2021, "The surprising
effectiveness of PPO in cooperative multi-agent games").
"""

import contextlib
from collections.abc import Callable, Mapping
from typing import Any, Literal

from torch import nn

from simverse.core.simulator import AgentFactory, Simulator
from simverse.policies.critic import CentralizedCritic
from simverse.training.loggers import DEFAULT_WANDB_PROJECT
from simverse.training.ppo import PPOTrainer
from simverse.training.utils import PolicySpec, adam, compile_policy_models

PolicyFactory = Callable[[Any, Any], nn.Module]
"""`policy_factory(observation_space, action_space)`."""
CriticFactory = Callable[[Any], nn.Module]
"""`critic_factory(state_space)`."""
_ARGUMENTS = (
    "episodes", "training_epochs", "clip_epsilon", "gamma", "gae_lambda", "batch_size",
    "buffer_size", "device", "dtype",
)  # fmt: skip
"""Entries of `training_config` that are arguments of `PPOTrainer`."""


def run_ppo_training(
    *,
    env: Any,
    training_config: Mapping[str, Any],
    agent_factory: AgentFactory,
    policy_factory: PolicyFactory,
    title: str,
    run_name: str = "ppo-training",
    episode_save_dir: str | None = None,
    use_wandb: bool = False,
    use_compile: bool = False,
    project_name: str = DEFAULT_WANDB_PROJECT,
    policy_name_prefix: str = "agent",
    variant: Literal["ippo", "mappo"] = "ippo",
    centralized_critic_factory: CriticFactory | None = None,
) -> list[nn.Module]:
    """Train one policy an agent; return them, in the order of agents.

    Args:
        env: an environment with `num_agents` agents.
        training_config: as `build_ppo_training_config` returns it; `critic_lr` may be beside it.
        agent_factory: makes the agents, `agent_factory(agent_id, policy, env)`.
        policy_factory: makes a policy, `policy_factory(observation_space, action_space)`.
        title: names the run where it is shown.
        run_name: its name in W&B.
        episode_save_dir: folder of `replay.json`, the latest training episode; None for none.
        use_wandb: whether to log to Weights & Biases.
        use_compile: whether policies go through `torch.compile`, which is done on CUDA alone.
        project_name: its project in W&B.
        policy_name_prefix: of the policies' names in `env.config.policies`, where it can be set.
        variant: `ippo`, each policy's own critic, or `mappo`, one of the whole state.
        centralized_critic_factory: makes that critic, by default `CentralizedCritic`.

    Raises:
        ValueError: an unknown variant, or what `PPOTrainer` refuses.
    """
    if variant not in {"ippo", "mappo"}:
        raise ValueError(f"variant must be 'ippo' or 'mappo', got {variant!r}")
    settings = dict(training_config)
    spaces = env.observation_space, env.action_space
    specs = [
        PolicySpec(f"{policy_name_prefix}_{agent}", policy_factory(*spaces))
        for agent in range(int(settings["num_agents"]))
    ]
    _tell(env, specs)
    policies = compile_policy_models(
        specs, use_compile=use_compile, device=str(settings.get("device", "cpu"))
    )
    critic, optimizer = None, None
    if variant == "mappo":
        critic = (centralized_critic_factory or CentralizedCritic)(_state_space(env))
        critic.to(settings.get("device", "cpu"))
        if "critic_lr" in settings:
            optimizer = adam(critic, lr=float(settings["critic_lr"]))
    trainer = PPOTrainer(
        centralized_critic=critic,
        centralized_critic_optimizer=optimizer,
        config=settings,
        project_name=project_name,
        run_name=run_name,
        episode_save_dir=episode_save_dir,
        use_wandb=use_wandb,
        **{name: settings[name] for name in _ARGUMENTS if name in settings},
    )
    Simulator(env, len(policies), policies, trainer, agent_factory).train(title=title)
    return policies


def run_ippo_training(*, run_name: str = "ippo-training", **arguments: Any) -> list[nn.Module]:
    """Train independent learners: `run_ppo_training` with `variant="ippo"`."""
    return run_ppo_training(run_name=run_name, **arguments, variant="ippo")


def run_mappo_training(*, run_name: str = "mappo-training", **arguments: Any) -> list[nn.Module]:
    """Train with a centralised critic: `run_ppo_training` with `variant="mappo"`."""
    return run_ppo_training(run_name=run_name, **arguments, variant="mappo")


def _tell(env: Any, specs: list[PolicySpec]) -> None:
    """Put the policies where environments of the public library look for them."""
    with contextlib.suppress(AttributeError):  # no config, or a frozen one
        env.config.policies = specs


def _state_space(env: Any) -> Any:
    """Return the space of what the whole state is seen as."""
    space = env.observation_space
    return space["obs"] if hasattr(space, "spaces") else space


__all__ = ["run_ippo_training", "run_mappo_training", "run_ppo_training"]
