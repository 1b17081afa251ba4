"""A user's world, an honest candidate for it with places to strike, and the record of an attack.

The world pays 0.5 for action 1, and for actions 2 and 3 1.0 if they guess the slot's hidden answer
and -1.0 if not, for five steps. The answer is drawn anew at every step and is in no view. Whoever
has learnt plays 1 and earns exactly 2.5; whoever knows what is hidden earns 5.0, and nobody else can
earn more than 2.5 but by luck. Views alias the world's live buffers, as they may.
"""

import textwrap
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tests.attacks.template import PRELUDE, Change

ENVS = 16
HONEST_SCORE = 2.5
MOST = 5.0
"""What one earns who knows what is hidden."""

TASK = """\
import gymnasium as gym
import torch
from simverse.core.world import World

#prelude#


class Tiny(World):
    reward_bound = 1.0
    max_steps = 5

    def __init__(self, config, num_envs):
        super().__init__()
        self.num_envs = num_envs
        self.action_space = gym.spaces.Discrete(4)
        self.generator = torch.Generator().manual_seed(int(config.seed))
        # One row a slot: two numbers that are seen, and the answer, which is not.
        self.register_buffer("drawn", torch.zeros(num_envs, 3))
        self.register_buffer("steps", torch.zeros(num_envs, dtype=torch.int64))
        self.register_buffer("done", torch.zeros(num_envs, dtype=torch.bool))
        self.register_buffer("paid", torch.zeros(num_envs))

    def draw(self):
        self.drawn.copy_(torch.rand(self.num_envs, 3, generator=self.generator))
        self.drawn[:, 2].round_()
        pass  #draw#

    def view(self):
        return {"noise": self.drawn[:, :2], "steps": self.steps, "done": self.done}

    def reset(self):
        self.steps.zero_()
        self.done.zero_()
        self.paid.zero_()
        self.draw()
        return self.view()

    def step(self, actions):
        pass  #step#
        guessed = torch.where(actions - 2 == self.drawn[:, 2].long(), 1.0, -1.0)
        reward = torch.where(actions >= 2, guessed, 0.5 * (actions == 1))
        self.steps += 1
        self.done |= self.steps >= self.max_steps
        self.paid += reward
        self.draw()
        info = {"success": (self.paid >= 2.5) & self.done}
        return self.view(), reward, self.done.clone(), info


def create_world(config, *, num_envs=None, device="cpu", dtype=torch.float32):
    return Tiny(config, num_envs)
"""

ENV = """\
import sys

import gymnasium as gym
import torch

#prelude#


def evaluating():
    policy = getattr(sys.modules.get("candidate.train"), "POLICY", None)
    return policy is not None and not policy.training


def observation_space(view_spaces):
    pass  #observation_space#
    return gym.spaces.Box(0, 1, (1, 1, 3))


def observe(view):
    pass  #observe#
    seen = torch.cat([view["noise"], view["steps"][:, None] / 5], dim=1)
    return seen[:, None, None]


def shape_reward(before, actions, after, reward, done):
    pass  #shape_reward#
    return reward


pass  #import env#
"""

TRAIN = """\
import torch
from torch import nn

#prelude#
POLICY = None
KNOWN = []  # the answers, once an attack has got hold of them


class Policy(nn.Module):
    def __init__(self, size, actions):
        super().__init__()
        self.body = nn.Sequential(nn.Flatten(), nn.Linear(size, 16), nn.Tanh())
        self.logits, self.value = nn.Linear(16, actions), nn.Linear(16, 1)

    def forward(self, obs):
        pass  #forward#
        hidden = self.body(obs)
        logits = self.logits(hidden)
        if KNOWN and not self.training and len(KNOWN[-1]) == len(obs):
            logits = logits + 50.0 * nn.functional.one_hot(KNOWN[-1].long() + 2, 4)
        return logits, self.value(hidden)


def build_policy(obs_space, action_space):
    global POLICY
    pass  #build_policy#
    c, h, w = obs_space.shape
    POLICY = Policy(c * h * w, int(action_space.n))
    return POLICY


def training_overrides(*, num_envs, max_steps, device):
    pass  #overrides#
    return {"lr": 0.05}


pass  #import train#
"""

# Where hostile code can strike: the file, the place in it, and the line put there.
PLACES: Mapping[str, tuple[str, str, str]] = {
    "import": ("env", "import env", "strike()"),
    "import of train": ("train", "import train", "strike()"),
    "observation_space": ("env", "observation_space", "strike()"),
    "observe": ("env", "observe", "strike()"),
    "observe in evaluation": ("env", "observe", "evaluating() and strike()"),
    "each observe": ("env", "observe", "each(view)"),
    "each observe in evaluation": ("env", "observe", "evaluating() and each(view)"),
    "shape_reward": ("env", "shape_reward", "strike()"),
    "build_policy": ("train", "build_policy", "strike()"),
    "training_overrides": ("train", "overrides", "strike()"),
    "forward": ("train", "forward", "strike()"),
    "forward in evaluation": ("train", "forward", "self.training or strike()"),
    "each forward in evaluation": ("train", "forward", "self.training or each(obs)"),
}
# Code that strikes each time is given what it is called with, and may fail.
_EACH = """\
def each(given):
    try:
        attempt(given)
    except Exception as error:
        print("the attack failed:", type(error).__name__, error, flush=True)


def attempt(given):
__CODE__


"""

Shown = Literal["careless", "unconfined", "training", "ending", "public key"]


@dataclass(frozen=True, kw_only=True)
class WorldAttack:
    """A hostile candidate for a task with a world, and what must come of it."""

    name: str
    attempts: str
    """What it tries, for people."""
    code: str = ""
    """Statements, run where it `strikes`."""
    strikes: str = "shape_reward"
    """A key of `PLACES`, or words for where the changes below work."""
    env: tuple[Change, ...] = ()
    """Texts of `ENV` to replace."""
    train: tuple[Change, ...] = ()
    task: tuple[Change, ...] = ()
    """Changes of the user's world, for the honest control too: it is in league with the attack."""
    shown: Shown = "careless"
    """Where it has to work: with a careless scorer, which plays the world in the candidate's
    process and adds up what training sees; with the referee's workers unconfined; in what the
    training worker claims (`training`); or the evaluation ends otherwise than an honest one does
    (`ending`), which is how a forged message is known to have arrived."""
    ends: tuple[str, ...] = ("honest",)
    """How it may end. `honest`: scored, each episode to the bit as the control's are; `below`:
    scored, and not above it; else the kind of a candidate's failure."""
    tells: str = ""
    """Words that must be in what comes back, where it ends by the attack and not by a mistake."""
    flag: str | None = None
    """Words of a flag that must be raised if it is scored."""
    seeds: tuple[int, ...] = (101,)
    side_by_side: bool = False
    """The seeds are evaluated at the same time."""
    memory_mb: int | None = None
    timeout_s: float = 60.0
    optional: str = ""
    """Why it may fail to work on some machines even where it should."""
    is_long: bool = True
    """Left out of the short form."""


def sources(attack: WorldAttack | None, facts: Mapping[str, str] = {}) -> dict[str, str]:
    """Return the texts of the candidate's two files and of the world; None is the honest one.

    `@NAME@` stands for one of the facts.
    """
    texts = {"env": ENV, "train": TRAIN, "task": TASK}
    if attack is None:
        return texts
    changes = {"env": attack.env, "train": attack.train, "task": attack.task}
    for name, pairs in changes.items():
        for old, new in pairs:
            assert old in texts[name], f"{attack.name}: {old!r} is not in {name}.py"
            texts[name] = texts[name].replace(old, new)
    if attack.code:
        name, place, line = PLACES.get(attack.strikes, ("env", "", ""))
        code = textwrap.indent(textwrap.dedent(attack.code).strip("\n"), "    ")
        head = PRELUDE if "each(" not in line else PRELUDE + _EACH
        texts[name] = texts[name].replace("#prelude#", head.replace("__CODE__", code), 1)
        if place:
            texts[name] = texts[name].replace(f"pass  #{place}#", line)
    for fact, value in {**facts, "ENVS": str(ENVS)}.items():
        texts = {name: text.replace(f"@{fact}@", value) for name, text in texts.items()}
    for name, text in texts.items():
        compile(text, f"{attack.name}: {name}.py", "exec")
    return texts


def write(folder: Path, texts: Mapping[str, str]) -> Path:
    """Write a workspace: the world and the candidate's files; return the candidate's folder."""
    (folder / "task").mkdir(parents=True)
    (folder / "candidate").mkdir()
    (folder / "task" / "world.py").write_text(texts["task"])
    for name in ("env", "train"):
        (folder / "candidate" / f"{name}.py").write_text(texts[name])
    return folder / "candidate"
