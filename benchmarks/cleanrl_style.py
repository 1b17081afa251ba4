"""A plain single-file PPO for CartPole-v1, a reference: `python -m benchmarks.cleanrl_style`.

Written here, with CleanRL's published settings (`ppo.py`: lr `--lr` annealed to 0, gamma 0.99,
lambda 0.95, 4 epochs, 4 minibatches, clip 0.2 for policy and value, entropy 0.01, value 0.5,
gradient norm 0.5) and its structure: gymnasium's `SyncVectorEnv`, `Categorical`, one minibatch of
an unfused Adam at a time. Stops when the last 100 episodes' mean reaches 475; prints one JSON line.
"""

import argparse
import json
import math
import time
from collections import deque

import gymnasium as gym
import numpy as np
import torch
from torch import nn
from torch.distributions import Categorical

NUM_ENVS, NUM_STEPS, EPOCHS, MINIBATCHES = 32, 128, 4, 4
GAMMA, LAMBDA, CLIP, ENTROPY, VALUE, NORM = 0.99, 0.95, 0.2, 0.01, 0.5, 0.5
SOLVED = 475.0


def layer(inputs: int, outputs: int, gain: float = math.sqrt(2)) -> nn.Linear:
    """Return an orthogonally initialised layer."""
    linear = nn.Linear(inputs, outputs)
    nn.init.orthogonal_(linear.weight, gain)
    nn.init.constant_(linear.bias, 0.0)
    return linear


class Agent(nn.Module):
    """Two 64-64 tanh networks."""

    def __init__(self) -> None:
        super().__init__()
        self.critic = nn.Sequential(
            layer(4, 64), nn.Tanh(), layer(64, 64), nn.Tanh(), layer(64, 1, 1.0)
        )
        self.actor = nn.Sequential(
            layer(4, 64), nn.Tanh(), layer(64, 64), nn.Tanh(), layer(64, 2, 0.01)
        )

    def act(
        self, obs: torch.Tensor, action: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, ...]:
        """Return action, its log-probability, the entropy and the value."""
        distribution = Categorical(logits=self.actor(obs))
        if action is None:
            action = distribution.sample()
        return action, distribution.log_prob(action), distribution.entropy(), self.critic(obs)


def run(total_steps: int, seed: int, lr: float) -> dict[str, float]:
    """Train until solved or out of steps; return steps, seconds and the last mean return."""
    torch.manual_seed(seed)
    envs = gym.vector.SyncVectorEnv(
        [
            lambda: gym.wrappers.RecordEpisodeStatistics(gym.make("CartPole-v1"))
            for _ in range(NUM_ENVS)
        ],
        autoreset_mode=gym.vector.AutoresetMode.SAME_STEP,
    )
    agent = Agent()
    optimizer = torch.optim.Adam(agent.parameters(), lr=lr, eps=1e-5)
    obs = torch.zeros((NUM_STEPS, NUM_ENVS, 4))
    actions, logprobs, rewards, dones, values = (
        torch.zeros((NUM_STEPS, NUM_ENVS)) for _ in range(5)
    )
    finished: deque[float] = deque(maxlen=100)
    batch = NUM_ENVS * NUM_STEPS
    updates = total_steps // batch
    started_s, started_cpu_s = time.perf_counter(), time.process_time()
    next_obs = torch.Tensor(envs.reset(seed=seed)[0])
    next_done = torch.zeros(NUM_ENVS)
    for done_updates in range(updates):
        optimizer.param_groups[0]["lr"] = (1.0 - done_updates / updates) * lr
        for step in range(NUM_STEPS):
            obs[step], dones[step] = next_obs, next_done
            with torch.no_grad():
                action, logprob, _, value = agent.act(next_obs)
                values[step] = value.flatten()
            actions[step], logprobs[step] = action, logprob
            new_obs, reward, terminations, truncations, infos = envs.step(action.numpy())
            rewards[step] = torch.tensor(reward).view(-1)
            next_obs = torch.Tensor(new_obs)
            next_done = torch.Tensor(np.logical_or(terminations, truncations))
            episode = infos.get("final_info", {}).get("episode")
            if episode is not None:
                finished.extend(episode["r"][infos["final_info"]["_episode"]].tolist())
        if len(finished) == 100 and sum(finished) / 100 >= SOLVED:
            break
        with torch.no_grad():
            next_value = agent.critic(next_obs).reshape(1, -1)
            advantages = torch.zeros_like(rewards)
            last = 0
            for step in reversed(range(NUM_STEPS)):
                going_on = 1.0 - (next_done if step == NUM_STEPS - 1 else dones[step + 1])
                following = next_value if step == NUM_STEPS - 1 else values[step + 1]
                delta = rewards[step] + GAMMA * following * going_on - values[step]
                advantages[step] = last = delta + GAMMA * LAMBDA * going_on * last
            returns = advantages + values
        columns = [obs.reshape((-1, 4))] + [
            tensor.reshape(-1) for tensor in (logprobs, actions, advantages, returns, values)
        ]
        order = np.arange(batch)
        for _ in range(EPOCHS):
            np.random.shuffle(order)  # noqa: NPY002 - as its model
            for start in range(0, batch, batch // MINIBATCHES):
                rows = order[start : start + batch // MINIBATCHES]
                b_obs, b_logprobs, b_actions, b_advantages, b_returns, b_values = (
                    column[rows] for column in columns
                )
                _, newlogprob, entropy, newvalue = agent.act(b_obs, b_actions.long())
                logratio = newlogprob - b_logprobs
                ratio = logratio.exp()
                with torch.no_grad():
                    _ = ((ratio - 1) - logratio).mean()
                    _ = ((ratio - 1.0).abs() > CLIP).float().mean().item()
                b_advantages = (b_advantages - b_advantages.mean()) / (b_advantages.std() + 1e-8)
                policy_loss = torch.max(
                    -b_advantages * ratio, -b_advantages * torch.clamp(ratio, 1 - CLIP, 1 + CLIP)
                ).mean()
                newvalue = newvalue.view(-1)
                unclipped = (newvalue - b_returns) ** 2
                kept = b_values + torch.clamp(newvalue - b_values, -CLIP, CLIP)
                value_loss = 0.5 * torch.max(unclipped, (kept - b_returns) ** 2).mean()
                loss = policy_loss - ENTROPY * entropy.mean() + value_loss * VALUE
                optimizer.zero_grad()
                loss.backward()
                nn.utils.clip_grad_norm_(agent.parameters(), NORM)
                optimizer.step()
    steps = (done_updates + 1) * batch
    seconds, cpu_s = time.perf_counter() - started_s, time.process_time() - started_cpu_s
    mean = sum(finished) / max(1, len(finished))
    return {
        "steps": steps,
        "seconds": seconds,
        "cpu_s": cpu_s,
        "mean_return": mean,
        "solved": mean >= SOLVED,
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--total-steps", type=int, default=500_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--lr", type=float, default=2.5e-4)
    args = parser.parse_args()
    torch.set_num_threads(1)
    print(json.dumps(run(args.total_steps, args.seed, args.lr)))
