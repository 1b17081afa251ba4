"""A scorer that is careless with a world: it plays it in the candidate's process.

It adds up the reward that training sees. It is what attacks on worlds are first shown to fool, as
`naive` is for candidates that are a task of their own; `naive` runs it in a process of its own.
"""

import importlib
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

_MAX_STEPS = 30
_ENVS = 16
_EPISODES = 12


def score(folder: str) -> dict[str, Any]:
    """Train and score one candidate in this process."""
    import torch

    from simverse.core.config import EnvConfig
    from simverse.training.config import PPOConfig
    from simverse.training.ppo import train
    from simverse.worlds.observed import ObservedWorld
    from simverse.worlds.perception import Perception

    torch.manual_seed(1)
    candidate = Path(folder)
    train_module = _module("candidate", candidate, "train")
    overrides = train_module.training_overrides(num_envs=_ENVS, max_steps=5, device="cpu")
    task = _module("task", candidate.parent / "task", "world")

    def create(seed: int) -> Any:
        config = EnvConfig(num_envs=_ENVS, max_steps=5, seed=seed)
        return task.create_world(config, num_envs=_ENVS, device="cpu", dtype=torch.float32)

    world = create(7)
    perception = Perception.of(_module("candidate", candidate, "env"))
    env = ObservedWorld(world, perception)
    policy = train_module.build_policy(env.observation_space, env.action_space)
    config = PPOConfig(batch_size=64, buffer_size=256, **{**overrides, "max_steps": 5})
    train(env, policy, config, episodes=_EPISODES, seed=3)
    policy.eval()
    with torch.no_grad():
        returns, solved = _evaluate(ObservedWorld(create(8), perception), policy)
    return {"score": float(returns.float().mean()), "solved": float(solved.float().mean())}


def _module(package: str, folder: Path, name: str) -> ModuleType:
    """Import a module of a package from any folder, if a candidate has not seen to it before."""
    if package not in sys.modules:
        made = ModuleType(package)
        made.__path__ = [str(folder)]
        sys.modules[package] = made
    return importlib.import_module(f"{package}.{name}")


def _evaluate(env: Any, policy: Any) -> tuple[Any, Any]:
    import torch

    obs, rewards = env.reset()["obs"], []
    solved = torch.zeros(_ENVS, dtype=torch.bool)
    for _ in range(_MAX_STEPS):
        payload, reward, done, info = env.step(policy(obs)[0].argmax(-1))
        rewards.append(reward.clone())
        solved |= info["success"]
        obs = payload["obs"]
        if done.all():
            break
    return sum(rewards), solved
