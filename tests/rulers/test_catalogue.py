"""The forty proposals: complete, applicable, and described as what they are."""

from collections import Counter
from collections.abc import Iterator
from types import ModuleType
from typing import Any, NamedTuple

import pytest
import torch

from orchestrator.core.records import Files
from orchestrator.proposals.candidate_code import fingerprint
from orchestrator.proposals.reply import read_reply
from simverse.core.config import EnvConfig
from tests.rulers.case import FOLDER, Case, before, edited
from tests.rulers.catalogue import CASES

HORIZON, ENVS, STEPS = 40, 128, 60
BOUND = 1.0
EVERY_CASE = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
WORLD = {"observation", "reward", "dynamics", "success", "horizon"}
"""What can only be changed in env.py."""
COURSE = {"dynamics", "success", "horizon"}
"""What lets the same actions lead elsewhere, or end elsewhere."""


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Threads that wait for each other make small tensors slow on a busy machine."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def test_the_catalogue_names_every_reply() -> None:
    """Each file of the folders has one case, and each case a file."""
    found = sorted(f"{path.parent.name}/{path.stem}" for path in FOLDER.glob("*/*.md"))
    assert sorted(case.name for case in CASES) == found


def test_each_example_has_ten_of_either_intent_and_every_kind_once() -> None:
    """Twenty proposals an example; no kind is told twice in one."""
    assert Counter((case.example, case.honest) for case in CASES) == {
        (example, honest): 10 for example in ("squad", "keydoor") for honest in (True, False)
    }
    assert len({(case.example, case.kind) for case in CASES}) == len(CASES)


def test_no_two_proposals_make_the_same_candidate() -> None:
    """But for the two that undo another one, which make the example again."""
    made = Counter(fingerprint(edited(case)) for case in CASES if case.base is None)
    assert len(made) == sum(case.base is None for case in CASES)


@EVERY_CASE
def test_a_reply_applies(case: Case) -> None:
    """It is read as an agent's reply is, and says what it tries and why."""
    proposal = read_reply(case.reply, before(case))
    assert proposal.description != "(no description)"
    assert proposal.rationale


@EVERY_CASE
def test_a_case_says_which_files_change(case: Case) -> None:
    """Policy and training change in train.py, everything else in env.py."""
    old, new = before(case), edited(case)
    assert (old.env != new.env) == bool(WORLD & set(case.changes))
    assert (old.train != new.train) == bool({"policy", "training"} & set(case.changes))
    assert len(case.changes) == len(set(case.changes)) > 0


class Play(NamedTuple):
    """A rollout of random actions: observations, rewards, and the course (done and success)."""

    obs: torch.Tensor
    rewards: torch.Tensor
    course: torch.Tensor


def play(files: Files, seed: int = 3) -> Play:
    """Play the same random actions from the same seed as every other call does."""
    module = ModuleType("env_under_test")
    exec(compile(files.env, "candidate/env.py", "exec"), module.__dict__)
    config = EnvConfig(num_envs=ENVS, max_steps=HORIZON, seed=seed)
    return Play(*map(torch.stack, zip(*_steps(module.create_env(config)), strict=True)))


def _steps(env: Any) -> Iterator[tuple[torch.Tensor, ...]]:
    generator = torch.Generator().manual_seed(5)
    env.reset()
    for _ in range(STEPS):
        actions = torch.randint(env.action_space.n, (ENVS,), generator=generator)
        obs, reward, done, info = env.step(actions)
        yield obs["obs"].clone(), reward, torch.stack((done, info["success"]))


def same(one: torch.Tensor, other: torch.Tensor) -> bool:
    return one.shape == other.shape and torch.equal(one, other)


@pytest.mark.parametrize(
    "case", [case for case in CASES if WORLD & set(case.changes)], ids=lambda case: case.name
)
def test_a_case_says_what_play_shows(case: Case) -> None:
    """The same random actions lead elsewhere, are paid otherwise or look otherwise: as it says."""
    old, new = play(before(case)), play(edited(case))
    changes = set(case.changes)
    assert new.rewards.abs().max() <= BOUND
    assert same(old.course, new.course) == (not COURSE & changes)
    if not COURSE & changes:
        assert same(old.rewards, new.rewards) == ("reward" not in changes)
        assert same(old.obs, new.obs) == ("observation" not in changes)
