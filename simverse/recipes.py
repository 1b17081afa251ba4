"""Short recipes: a first look at an environment."""

from typing import Any

import gymnasium

from simverse.policies.random import RandomPolicy


def quicktrain(
    env_id: str = "CartPole-v1",
    episodes: int = 5,
    max_steps: int = 200,
    render: bool = False,
    policy_cls: type[Any] = RandomPolicy,
) -> dict[str, Any]:
    """Play episodes of a Gymnasium environment, at random unless told otherwise; nothing learns.

    Args:
        env_id: its id.
        episodes: how many.
        max_steps: most steps of one.
        render: whether a window shows them.
        policy_cls: called with the action space; its `act(obs)` returns an action.

    Returns:
        `env_id`, `episodes`, `mean_reward` and `max_reward`, the last two of an episode's return
        (0 without an episode).
    """
    env = gymnasium.make(env_id, render_mode="human" if render else None)
    try:
        policy = policy_cls(env.action_space)
        returns = [_play(env, policy, max_steps) for _ in range(episodes)]
    finally:
        env.close()
    return {
        "env_id": env_id,
        "episodes": episodes,
        "mean_reward": sum(returns) / len(returns) if returns else 0.0,
        "max_reward": max(returns, default=0.0),
    }


def _play(env: Any, policy: Any, max_steps: int) -> float:
    obs, _ = env.reset()
    total = 0.0
    for _ in range(max_steps):
        obs, reward, terminated, truncated, _ = env.step(policy.act(obs))
        total += float(reward)
        if terminated or truncated:
            break
    return total
