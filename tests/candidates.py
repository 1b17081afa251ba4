"""Candidates for tests of the evaluator: a tiny task, and ways to break it.

The task: one observation of zeros; action 1 pays `PAY`, action 0 nothing, for `HORIZON` steps.
"""

from pathlib import Path

ENV = """\
import gymnasium as gym
import torch
from simverse.core.env import SimEnv

PAY = 0.5
END = 5


class Tiny(SimEnv):
    def __init__(self, config, num_envs, device, dtype):
        super().__init__(device=device, dtype=dtype)
        self.num_envs = self._resolve_num_envs(num_envs, config)
        self.num_agents = 1
        self.config = config
        self.max_steps = config.max_steps
        self.generator = torch.Generator().manual_seed(int(config.seed))
        self.register_buffer("steps", torch.zeros(self.num_envs, dtype=torch.int64))
        self.register_buffer("done", torch.zeros(self.num_envs, dtype=torch.bool))

    action_space = gym.spaces.Discrete(2)
    observation_space = gym.spaces.Box(-1, 1, (1, 1, 2))

    def observe(self):
        return torch.rand(self.num_envs, 1, 1, 2, generator=self.generator)

    def reset(self):
        self._reset_episode_state()
        return {"obs": self.observe(), "done": self.done.clone()}

    def step(self, actions):
        actions = self._normalize_single_agent_actions(actions)
        reward = PAY * (actions == 1).to(self.dtype)
        self.steps += 1
        self.done |= self.steps >= END
        info = {"success": (actions == 1) & self.done, "episode_return": torch.full((self.num_envs,), 1e6)}
        return {"obs": self.observe(), "done": self.done.clone()}, reward, self.done.clone(), info


def create_env(config, *, num_envs=None, device="cpu", dtype=torch.float32):
    return Tiny(config, num_envs, device, dtype)
"""

RECURRENT = (
    "def forward(self, obs):",
    "def initial_state(self, batch):\n        return torch.zeros(batch, 1)\n\n    "
    "def forward(self, obs, state):",
)
"""What makes the policy below recurrent."""

TRAIN = """\
import torch
from torch import nn


class Policy(nn.Module):
    def __init__(self, size, actions):
        super().__init__()
        self.body = nn.Sequential(nn.Flatten(), nn.Linear(size, 16), nn.Tanh())
        self.logits, self.value = nn.Linear(16, actions), nn.Linear(16, 1)

    def forward(self, obs):
        hidden = self.body(obs)
        return self.logits(hidden), self.value(hidden)


def build_policy(obs_space, action_space):
    c, h, w = obs_space.shape
    return Policy(c * h * w, action_space.n)


def training_overrides(*, num_envs, max_steps, device):
    return {"lr": 0.01}
"""


WORLD = """\
import gymnasium as gym
import torch
from simverse.core.world import World

PAY = 0.5
END = 5


class TinyWorld(World):
    def __init__(self, config, num_envs, device, dtype):
        super().__init__(device=device, dtype=dtype)
        self.num_envs = num_envs
        self.max_steps = END
        self.action_space = gym.spaces.Discrete(2)
        self.generator = torch.Generator().manual_seed(int(config.seed))

    def look(self):
        return {"noise": torch.rand(self.num_envs, 2, generator=self.generator)}

    def reset(self):
        self.steps = 0
        return self.look()

    def step(self, actions):
        self.steps += 1
        reward = PAY * (actions == 1).to(self.dtype)
        done = torch.full((self.num_envs,), self.steps >= END)
        return self.look(), reward, done, {"success": (actions == 1) & done}


def create_world(config, *, num_envs=None, device="cpu", dtype=torch.float32):
    return TinyWorld(config, num_envs or config.num_envs, device, dtype)
"""
"""The same task as a world of the user's own."""

OBSERVING = """\
import gymnasium as gym


def observation_space(view_spaces):
    return gym.spaces.Box(0, 1, (1, 1, 2))


def observe(view):
    return view["noise"][:, None, None, :]
"""
"""An `env.py` for it."""


def write_candidate(
    folder: Path,
    *,
    env: tuple[str, str] | None = None,
    train: tuple[str, str] | None = None,
    overrides: str | None = None,
) -> Path:
    """Write the candidate, with one text replaced in either file; return its folder."""
    texts = {"env.py": ENV, "train.py": TRAIN}
    if overrides is not None:
        train = ('return {"lr": 0.01}', f"return {overrides}")
    for name, change in (("env.py", env), ("train.py", train)):
        if change is not None:
            assert change[0] in texts[name], change[0]
            texts[name] = texts[name].replace(*change)
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in texts.items():
        (folder / name).write_text(text)
    return folder
