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


def simulated() -> list[Brief]:
    """Return the briefs of a run, one after each of its experiments."""
    with tempfile.TemporaryDirectory() as folder:
        run = SimulatedRun(Path(folder), FILES, PROGRAM)
        briefs = [run.brief()]
        while len(briefs) < max(MOMENTS.values()):
            run.step()
            briefs.append(run.brief())
    return briefs


@pytest.fixture(scope="module")
def briefs() -> list[Brief]:
    return simulated()


def prompt(brief: Brief) -> str:
    return as_markdown(build_messages(brief, context_tokens=CONTEXT_TOKENS)) + "\n"


@pytest.mark.parametrize("name", MOMENTS)
def test_prompts_are_as_they_were_read(briefs: list[Brief], name: str) -> None:
    """A change of a prompt is a change of these files, which somebody reads as an agent would."""
    assert prompt(briefs[MOMENTS[name] - 1]) == (FOLDER / f"{name}.md").read_text()


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
    found = simulated()
    for name, n in MOMENTS.items():
        (FOLDER / f"{name}.md").write_text(prompt(found[n - 1]))


if __name__ == "__main__":
    main()
