"""The plain way to evaluate a candidate, which the evaluator's speed and learning are held against.

Written from the description of the public implementation, none of its code: a fresh process, two
torch threads, one seed after the other, `Categorical`, transitions in lists, autograd through the
whole loss, one unfused Adam, and evaluation of one environment at a time. The same PPO as
`simverse.training.ppo` (same defaults, same number of environment steps and of updates), so that
only time may differ: `python -m benchmarks.reference CANDIDATE_DIR`. Prints one JSON object.
"""

import argparse
import importlib
import json
import math
import statistics
import sys
import time
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import nn
from torch.distributions import Categorical

from simverse.core.config import EnvConfig

NUM_ENVS = 32
THREADS = 2
Transition = dict[str, torch.Tensor]


def settings_of(train: ModuleType, num_envs: int, max_steps: int | None) -> dict[str, Any]:
    """Return every PPO setting: the contract's defaults under the candidate's overrides."""
    overrides = train.training_overrides(num_envs=num_envs, max_steps=max_steps or 20, device="cpu")
    horizon = max_steps or overrides.get("max_steps", 20)
    defaults = {
        "lr": 3e-4,
        "training_epochs": 2,
        "batch_size": max(32, 4 * num_envs),
        "buffer_size": max(num_envs * horizon, 256),
        "clip_epsilon": 0.2,
        "gamma": 0.99,
        "gae_lambda": 0.95,
        "entropy_coef": 0.01,
        "max_grad_norm": 0.5,
        "normalize_advantages": True,
    }
    return defaults | overrides | {"max_steps": horizon}


def collect(
    env: Any, policy: nn.Module, obs: torch.Tensor, steps: int
) -> tuple[list[Transition], torch.Tensor, list[float]]:
    """Step the environment; return the transitions, the last observation and mean rewards."""
    transitions, rewards = [], []
    for _ in range(steps):
        with torch.no_grad():
            logits, value = policy(obs)
            distribution = Categorical(logits=logits)
            action = distribution.sample()
            log_prob = distribution.log_prob(action)
            payload, reward, done, _info = env.step(action)
        transitions.append(
            {
                "obs": obs.clone(),
                "action": action,
                "log_prob": log_prob,
                "value": value.squeeze(-1),
                "reward": reward.reshape(-1).clone(),
                "done": done.clone(),
            }
        )
        rewards.append(reward.mean().item())
        obs = payload["obs"].clone()
    return transitions, obs, rewards


def advantages_of(
    transitions: list[Transition], last_value: torch.Tensor, settings: dict[str, Any]
) -> list[torch.Tensor]:
    """Return each step's generalised advantage estimates (Schulman et al. 2016)."""
    gamma, lam = settings["gamma"], settings["gae_lambda"]
    advantages, running, following = [], torch.zeros_like(last_value), last_value
    for step in reversed(transitions):
        going_on = 1.0 - step["done"].float()
        delta = step["reward"] + gamma * following * going_on - step["value"]
        running = delta + gamma * lam * going_on * running
        advantages.append(running)
        following = step["value"]
    return advantages[::-1]


def update(
    policy: nn.Module,
    optimizer: torch.optim.Optimizer,
    transitions: list[Transition],
    last_obs: torch.Tensor,
    settings: dict[str, Any],
) -> None:
    """Run the epochs of minibatch updates on one segment."""
    with torch.no_grad():
        last_value = policy(last_obs)[1].squeeze(-1)
    advantages = torch.stack(advantages_of(transitions, last_value, settings)).flatten()
    columns = {
        name: torch.stack([step[name] for step in transitions]).flatten(0, 1)
        for name in transitions[0]
    }
    returns = advantages + columns["value"]
    if settings["normalize_advantages"]:
        advantages = (advantages - advantages.mean()) / (advantages.std() + 1e-8)
    count = len(advantages)
    for _ in range(settings["training_epochs"]):
        minibatches = torch.randperm(count).tensor_split(math.ceil(count / settings["batch_size"]))
        for rows in minibatches:
            logits, values = policy(columns["obs"][rows])
            distribution = Categorical(logits=logits)
            ratio = (
                distribution.log_prob(columns["action"][rows]) - columns["log_prob"][rows]
            ).exp()
            clipped = ratio.clamp(1 - settings["clip_epsilon"], 1 + settings["clip_epsilon"])
            policy_loss = -torch.min(ratio * advantages[rows], clipped * advantages[rows]).mean()
            value_loss = 0.5 * nn.functional.mse_loss(values.squeeze(-1), returns[rows])
            entropy = distribution.entropy().mean()
            loss = policy_loss + 0.5 * value_loss - settings["entropy_coef"] * entropy
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(policy.parameters(), settings["max_grad_norm"])
            optimizer.step()
            _ = policy_loss.item(), value_loss.item(), entropy.item()


def train(
    env: Any, policy: nn.Module, settings: dict[str, Any], episodes: int
) -> tuple[list[float], int]:
    """Train in place; return each episode's mean reward per step, and the environment steps."""
    optimizer = torch.optim.Adam(policy.parameters(), lr=settings["lr"], eps=1e-5)
    longest = min(settings["max_steps"], max(1, settings["buffer_size"] // env.num_envs))
    history, env_steps = [], 0
    for _ in range(episodes):
        obs, left, rewards = env.reset()["obs"].clone(), settings["max_steps"], []
        while left > 0:
            steps = min(left, longest)
            transitions, obs, segment = collect(env, policy, obs, steps)
            update(policy, optimizer, transitions, obs, settings)
            left -= steps
            env_steps += steps * env.num_envs
            rewards.extend(segment)
        history.append(sum(rewards))
    return history, env_steps


def play(make_env: Any, policy: nn.Module, *, episodes: int, max_steps: int) -> list[float]:
    """Return the returns of greedy episodes, played one environment at a time."""
    returns = []
    for episode in range(episodes):
        env = make_env(num_envs=1, seed=episode)
        obs, total = env.reset()["obs"], 0.0
        for _ in range(max_steps):
            with torch.no_grad():
                logits, _value = policy(obs)
                payload, reward, done, _info = env.step(logits.argmax(dim=-1))
            total += float(reward.sum())
            obs = payload["obs"]
            if bool(done.item()):
                break
        returns.append(total)
    return returns


def load(candidate_dir: Path) -> tuple[ModuleType, ModuleType]:
    """Import the candidate's `env.py` and `train.py`."""
    for name in ("candidate", "candidate.env", "candidate.train"):
        sys.modules.pop(name, None)
    package = ModuleType("candidate")
    package.__path__ = [str(candidate_dir)]
    sys.modules["candidate"] = package
    return importlib.import_module("candidate.env"), importlib.import_module("candidate.train")


def evaluate(args: argparse.Namespace) -> dict[str, Any]:
    """Train and score every seed in turn."""
    env_module, train_module = load(args.candidate_dir)
    settings = settings_of(train_module, NUM_ENVS, args.max_steps)
    horizon = settings["max_steps"]
    scores, train_s, env_steps = [], 0.0, 0
    for seed in args.seeds:

        def make_env(*, num_envs: int, seed: int) -> Any:
            config = EnvConfig(num_envs=num_envs, max_steps=horizon, seed=seed)
            return env_module.create_env(config, num_envs=num_envs, device="cpu")

        torch.manual_seed(seed)
        env = make_env(num_envs=NUM_ENVS, seed=seed)
        policy = train_module.build_policy(env.observation_space, env.action_space)
        play(make_env, policy, episodes=args.eval_episodes, max_steps=horizon)  # untrained
        started_s = time.perf_counter()
        _, steps = train(env, policy, settings, args.train_episodes)
        train_s += time.perf_counter() - started_s
        env_steps += steps
        returns = play(make_env, policy, episodes=args.eval_episodes, max_steps=horizon)
        scores.append(statistics.fmean(returns))
    return {"scores": scores, "train_s": train_s, "env_steps": env_steps}


def main() -> None:
    """Evaluate once and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("candidate_dir", type=Path)
    parser.add_argument("--train-episodes", type=int, default=12)
    parser.add_argument("--eval-episodes", type=int, default=8)
    parser.add_argument("--max-steps", type=int)
    parser.add_argument("--seeds", type=int, nargs="+", default=[101, 138])
    parser.add_argument("--threads", type=int, default=THREADS)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    print(json.dumps(evaluate(args)))


if __name__ == "__main__":
    main()
