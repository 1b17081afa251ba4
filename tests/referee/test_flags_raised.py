"""Flags with real workers: each is raised by a small dishonest candidate, and not by the honest one."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from framework import CandidateError, EvaluationRequest, EvaluationResult, Referee
from tests.candidates import write_candidate

REWARD = "PAY * (actions == 1).to(self.dtype)"
SUCCESS = "(actions == 1) & self.done"
IDLE = (
    "from concurrent.futures import ThreadPoolExecutor\n"
    "POOL = ThreadPoolExecutor(4)\nassert list(POOL.map(abs, [-1, 2])) == [1, 2]\n"
)
THREAD = """
import threading

def burn():
    while True:
        torch.ones(200, 200) @ torch.ones(200, 200)

threading.Thread(target=burn, daemon=True).start()
"""
CHILD = """
import os

if not os.fork():
    while True:
        pass
"""


@pytest.fixture(scope="module")
def referee() -> Iterator[Referee]:
    with Referee() as referee:
        yield referee


def evaluate(referee: Referee, folder: Path, **changes: Any) -> EvaluationResult:
    known = {"train_episodes": 20, "eval_episodes": 8, "num_envs": 16, "reward_bound": 1.0}
    return referee.evaluate(EvaluationRequest(candidate_dir=folder, **(known | changes)))


def names(result: EvaluationResult) -> list[str]:
    return [flag.partition(":")[0] for flag in result.flags]


def test_an_honest_candidate_raises_no_flag(tmp_path: Path, referee: Referee) -> None:
    """Whether it has learnt or not; what random actions earn is reported beside the score."""
    folder = write_candidate(tmp_path / "c")
    learnt = evaluate(referee, folder)
    assert (learnt.flags, learnt.score) == ((), pytest.approx(2.5))
    assert 1.0 < learnt.random_return < 1.5
    for seed in learnt.seed_results:
        assert len(seed.random_returns) == 16
        assert seed.random_full_length == 0.0
        assert seed.evidence_solve_rate == 1.0
        assert seed.evidence_episode_length == 5.0
    assert evaluate(referee, folder, train_episodes=2).flags == ()


@pytest.mark.parametrize(
    ("change", "flag"),
    [
        ({"env": (REWARD, "torch.full((self.num_envs,), 0.5)")}, "policy-independent reward"),
        ({"env": (REWARD, "self.steps.to(self.dtype) / 10")}, "policy-independent reward"),
        ({"env": (REWARD, "(self.steps == 0).to(self.dtype)")}, "policy-independent reward"),
        ({"env": (REWARD, "torch.rand(self.num_envs)")}, "policy-independent reward"),
        (
            {"env": (REWARD, f"{REWARD} + __import__('time').perf_counter_ns() % 97 / 970")},
            "nondeterministic",
        ),
        (
            {"env": (REWARD, f"{REWARD} + __import__('os').urandom(1)[0] / 1000")},
            "nondeterministic",
        ),
        (
            {"env": ("=self.generator)", "=self.generator) + __import__('os').urandom(1)[0] % 2")},
            "nondeterministic",
        ),
        ({"env": ("manual_seed(int(config.seed))", "manual_seed(7)")}, "identical starts"),
        ({"env": (SUCCESS, "torch.ones_like(self.done)")}, "success contradicts reward"),
        ({"env": (SUCCESS, "(actions == 0) & self.done")}, "success contradicts reward"),
        ({"train": ("import torch\n", "import torch\ntorch.set_num_threads(4)\n")},
         "budget exceeded"),
        *(({"train": (place, f"import time; time.sleep(2.5); {place}")}, "budget exceeded")
          for place in ("import torch\n", "return {", "c, h, w =")),
    ],
    ids=[
        "constant", "timer", "start", "drawn", "clock", "unseeded", "shown", "fixed", "always", "failure",
        "torch threads", "slow import", "slow overrides", "slow build",
    ],
)  # fmt: skip
def test_a_dishonest_candidate_raises_its_flag(
    tmp_path: Path, referee: Referee, change: dict[str, Any], flag: str
) -> None:
    """One flag by its exact name, and no other."""
    folder = write_candidate(tmp_path / "c", **change)
    assert names(evaluate(referee, folder)) == [flag]


def test_no_slot_can_count_on_being_left_out(tmp_path: Path, referee: Referee) -> None:
    """In a wide batch rewards are recorded of some slots alone, and a slot knows its number."""
    paid = "torch.where(torch.arange(self.num_envs) < 64, 1 - PAY * (actions == 0), 1)"
    folder = write_candidate(tmp_path / "c", env=(REWARD, paid))
    assert names(evaluate(referee, folder, num_envs=512)) == ["policy-independent reward"]


@pytest.mark.parametrize("burner", [THREAD, CHILD], ids=["thread", "child"])
def test_what_computes_beside_the_training_is_flagged(
    tmp_path: Path, referee: Referee, burner: str
) -> None:
    """A thread or a child that computes meanwhile is known by the processor time it takes."""
    folder = write_candidate(tmp_path / "c", train=("import torch\n", f"import torch\n{burner}"))
    (flag,) = evaluate(referee, folder, train_episodes=300).flags
    assert flag.startswith("budget exceeded: ")
    assert "in other threads and processes" in flag


def test_threads_that_wait_are_no_flag(tmp_path: Path, referee: Referee) -> None:
    """A pool of threads for odd jobs is an honest candidate's right."""
    folder = write_candidate(tmp_path / "c", train=("import torch\n", f"import torch\n{IDLE}"))
    assert names(evaluate(referee, folder)) == []


def counted_by(code: str) -> dict[str, tuple[str, str]]:
    """A candidate that pays the bound while `code` says 1, to be counted from one making on."""
    return {
        "env": (
            "def create_env(config, *, num_envs=None",
            f"{code}\n\ndef create_env(config, *, num_envs=None",
        )
    }


COUNTERS = {
    "module": "MADE = []\ndef count():\n    MADE.append(1)\n    return len(MADE)\n",
    "file": (
        "from pathlib import Path\n"
        "def count():\n"
        "    with Path('made').open('a') as file:\n"
        "        file.write('.')\n"
        "    return len(Path('made').read_text())\n"
    ),
}


@pytest.mark.parametrize("counter", COUNTERS)
def test_no_environment_is_made_twice_in_one_worker(
    tmp_path: Path, referee: Referee, counter: str
) -> None:
    """What pays for nothing in its first making, wherever it counts, pays random actions as well."""
    folder = write_candidate(tmp_path / "c", **counted_by(COUNTERS[counter]))
    text = (folder / "env.py").read_text()
    text = text.replace(
        "    return Tiny(", "    global MADE_NOW\n    MADE_NOW = count()\n    return Tiny("
    )
    text = text.replace(REWARD, f"({REWARD}) if MADE_NOW > 1 else torch.ones(self.num_envs)")
    (folder / "env.py").write_text(text)
    result = evaluate(referee, folder, eval_episodes=40)
    assert result.score == pytest.approx(5.0)
    assert names(result) == ["policy-independent reward"]


def test_a_reward_out_of_bounds_under_random_actions_is_rejected_with_its_number(
    tmp_path: Path, referee: Referee
) -> None:
    """The policy never meets it, random actions do: disqualified, and the score is told beside."""
    folder = write_candidate(
        tmp_path / "c",
        env=(REWARD, f"{REWARD} - 5.0 * (actions == 0)"),
        train=("return self.logits(hidden)", "return self.logits(hidden) + torch.tensor([0, 9.0])"),
    )
    with pytest.raises(CandidateError) as caught:
        evaluate(referee, folder)
    assert caught.value.kind == "rejected"
    assert caught.value.reason.endswith("(evaluator.reward_bound), with random actions")
    assert caught.value.score == pytest.approx(2.5)


def test_luck_after_the_recorded_steps_is_nondeterministic(
    tmp_path: Path, referee: Referee
) -> None:
    """Episodes that end elsewhere in the replay, sooner or later than the steps it has."""
    ends = "torch.tensor(list(__import__('os').urandom(8))) * 2 + 1001"
    folder = write_candidate(tmp_path / "c", env=("END = 5", f"END = {ends}"))
    text = (folder / "env.py").read_text()
    (folder / "env.py").write_text(text.replace(REWARD, f"({REWARD}) * (self.steps >= 1000)"))
    result = evaluate(referee, folder, train_episodes=2, num_envs=8, max_steps=1600, seeds=(101,))
    assert "nondeterministic" in names(result)


@pytest.mark.parametrize("since", [0, 1000])
def test_a_long_horizon_is_followed_to_its_end(
    tmp_path: Path, referee: Referee, since: int
) -> None:
    """A constant reward is known, also one that begins after the steps recorded one by one."""
    folder = write_candidate(tmp_path / "c", env=("END = 5", "END = 1200"))
    text = (folder / "env.py").read_text()
    text = text.replace(REWARD, f"0.5 * (self.steps >= {since}).to(self.dtype)")
    (folder / "env.py").write_text(text)
    result = evaluate(
        referee, folder, train_episodes=2, num_envs=2, eval_episodes=1, max_steps=1200, seeds=(101,)
    )
    assert names(result) == ["policy-independent reward"]
    assert result.score == result.random_return == pytest.approx(0.5 * (1200 - since))
