"""Whole prompts at three moments of a run, as files: read them when they change.

`python -m tests.proposals.test_golden` writes them anew.
"""

import tempfile
from itertools import pairwise
from pathlib import Path

import pytest

from benchmarks.prompt.__main__ import common
from benchmarks.prompt.simulated import SimulatedRun
from orchestrator.core.records import Files
from orchestrator.proposals.brief import Brief
from orchestrator.proposals.prompt import as_markdown, build_messages

FOLDER = Path(__file__).parent / "golden"
CONTEXT_TOKENS = 64_000
MOMENTS = {"first": 1, "after-a-crash": 4, "after-fifty": 50}
PROGRAM = """\
# Program: skirmish

Four units fight three. **Fixed:** damage, ranges, success (every enemy down). **Yours:** what the
policy sees, the policy, PPO's settings. Rewards stay within [-1, 1] a step."""
FILES = Files(
    '''\
"""A skirmish on a grid with cover."""

from simverse.core.env import SimEnv

GRENADE_DAMAGE = 0.4  # fixed
VERDICT_REWARD = 0.5


class SkirmishEnv(SimEnv):
    """`num_envs` skirmishes at once."""


def create_env(config, *, num_envs=None, device="cpu", dtype=None):
    """Return the environment."""
    return SkirmishEnv(config, num_envs=num_envs, device=device, dtype=dtype)
''',
    '''\
"""The policy and the PPO settings."""

from torch import nn

LEARNING_RATE = 3e-4
HIDDEN_DIM = 32
TRAINING_EPOCHS = 4
UPDATES_PER_EPISODE = 1
MINIBATCH_SIZE = 128
GAMMA = 0.99
GAE_LAMBDA = 0.95
CLIP_EPSILON = 0.2
ENTROPY_COEF = 0.02


def build_policy(obs_space, action_space):
    """Return an untrained policy."""
    return nn.Linear(HIDDEN_DIM, action_space.n)


def training_overrides(*, num_envs, max_steps, device):
    """Return the PPO settings that differ from the defaults."""
    return {"lr": LEARNING_RATE, "gamma": GAMMA, "entropy_coef": ENTROPY_COEF}
''',
)
WORLD = {
    "world.py": '''\
"""A skirmish on a grid with cover: the task, which no candidate can touch."""

from simverse.core.world import World

GRENADE_DAMAGE = 0.4


class Skirmish(World):
    """`num_envs` skirmishes at once."""

    max_steps = 40
    reward_bound = 1.0


def create_world(config, *, num_envs=None, device="cpu", dtype=None):
    """Return the world."""
    return Skirmish(config, num_envs=num_envs, device=device, dtype=dtype)
'''
}
WORLD_MOMENTS = {"world-first": 1, "world-after-six": 7}
WORLD_PROGRAM = """\
# Program: skirmish

Four units fight three. **Fixed:** task/world.py, with damage, reward and success (every enemy
down). **Yours:** what the policy sees of the view, shaping, the policy, PPO's settings."""
WORLD_FILES = Files(
    '''\
"""What the policy sees of a skirmish, and what training pays."""

import gymnasium as gym

VERDICT_REWARD = 0.5


class Observer:
    """The last two views of the units."""

    def __init__(self):
        self.last = None

    def reset(self, view, mask):
        """Forget the units of `mask`."""

    def __call__(self, view):
        """Return observations `[N, 1, 7, 4]`."""
        return view["units"][:, None]


def observation_space(view_spaces):
    """Return the space of `Observer`'s observations."""
    return gym.spaces.Box(-1, 1, (1, *view_spaces["units"].shape))


def shape_reward(before, actions, after, reward, done):
    """Return what training pays: the world's reward, and less for units lost."""
    lost = (before["units"] - after["units"]).sum(dim=(1, 2))
    return {"damage": -0.1 * lost, "verdict": VERDICT_REWARD * reward}
''',
    FILES.train,
)


def simulated(
    files: Files = FILES, program: str = PROGRAM, count: int = max(MOMENTS.values()), **more: object
) -> list[Brief]:
    """Return the briefs of a run, one after each of its experiments."""
    with tempfile.TemporaryDirectory() as folder:
        run = SimulatedRun(Path(folder), files, program, **more)
        briefs = [run.brief()]
        while len(briefs) < count:
            run.step()
            briefs.append(run.brief())
    return briefs


def in_world() -> list[Brief]:
    """Return those of a run in a world of the user's own."""
    return simulated(WORLD_FILES, WORLD_PROGRAM, max(WORLD_MOMENTS.values()), world=WORLD)


@pytest.fixture(scope="module")
def briefs() -> list[Brief]:
    return simulated()


def prompt(brief: Brief) -> str:
    return as_markdown(build_messages(brief, context_tokens=CONTEXT_TOKENS)) + "\n"


@pytest.mark.parametrize("name", MOMENTS)
def test_prompts_are_as_they_were_read(briefs: list[Brief], name: str) -> None:
    """A change of a prompt is a change of these files, which somebody reads as an agent would."""
    assert prompt(briefs[MOMENTS[name] - 1]) == (FOLDER / f"{name}.md").read_text()


def test_prompts_in_a_world_are_as_they_were_read() -> None:
    """Likewise; and nothing in them is true in the open mode alone."""
    briefs = in_world()
    for name, n in WORLD_MOMENTS.items():
        text = prompt(briefs[n - 1])
        assert text == (FOLDER / f"{name}.md").read_text()
        for words in (
            "both environments",
            "another task",
            "as measured",
            "not compared",
            "no task",
            'info["reward_parts"]',
            "observation dict",
            "games the score",
        ):
            assert words not in text


def test_a_brief_is_gathered_alike_after_a_restart(tmp_path: Path) -> None:
    """What was gathered as experiments ended is what a daemon reads that starts later."""
    run = SimulatedRun(tmp_path, FILES, PROGRAM)
    for _ in range(20):
        run.step()
    before = prompt(run.brief())
    run.restart()
    assert prompt(run.brief()) == before


def test_consecutive_prompts_begin_alike(briefs: list[Brief]) -> None:
    """Over thirty experiments most of each prompt is the beginning of the next one."""
    texts = [prompt(brief) for brief in briefs[-31:]]
    kept = [common(one, two) / len(two) for one, two in pairwise(texts)]
    assert sum(kept) / len(kept) > 0.7
    assert sum(share > 0.75 for share in kept) >= 25


def main() -> None:
    """Write the files."""
    for moments, found in ((MOMENTS, simulated()), (WORLD_MOMENTS, in_world())):
        for name, n in moments.items():
            (FOLDER / f"{name}.md").write_text(prompt(found[n - 1]))


if __name__ == "__main__":
    main()
