"""Seeds are followed in order, whatever finishes first; what the caller stops leaves no trace."""

import statistics
from pathlib import Path
from typing import Any

import pytest

from framework import CandidateError, EvaluationStoppedError, Referee
from referee.events import CheckpointReached, SeedDone
from referee.seeds import PUBLIC_KEY, derive_seed
from tests.candidates import write_candidate

from .conftest import evaluate, request_for


class Follower:
    """Answers the evaluator's questions, and remembers them."""

    def __init__(self, enough: int = 10**6) -> None:
        self.enough = enough
        self.seeds: list[int] = []
        self.values: list[float] = []
        self.checkpoints: list[tuple[int, int]] = []

    def __call__(self, event: CheckpointReached | SeedDone) -> bool:
        if isinstance(event, CheckpointReached):
            assert not self.seeds
            self.checkpoints.append((event.episode, len(event.curve)))
            return self.enough > 0
        self.seeds.append(event.seed)
        self.values = list(event.returns)
        return len(self.seeds) < self.enough


MORE = (7, 8, 9, 10)


@pytest.mark.parametrize("workers", [1, 2, 4])
@pytest.mark.parametrize("enough", [1, 2, 3, 6])
def test_what_is_used_does_not_depend_on_the_workers(
    tmp_path: Path, referee: Referee, workers: int, enough: int
) -> None:
    """Seeds are followed in order; later ones, finished or not, leave no trace."""
    write_candidate(tmp_path)
    whole = evaluate(referee, tmp_path, seeds=(101, 138, *MORE))
    follower = Follower(enough)
    request = request_for(tmp_path, more_seeds=MORE, workers=workers)
    result = referee.evaluate(request, should_continue=follower)
    order = [101, 138, *MORE][:enough]
    assert follower.seeds == order
    used = [*result.seed_results, *result.more_results]
    assert [seed.seed for seed in used] == order
    assert [seed.eval_return for seed in used] == [
        seed.eval_return for seed in whole.seed_results[:enough]
    ]
    assert follower.values == [seed.full_return for seed in whole.seed_results[:enough]]
    assert result.score == statistics.fmean(seed.eval_return for seed in used[:2])
    assert result.seed_count == min(enough, 2)


@pytest.mark.parametrize("workers", [1, 2])
def test_checkpoints_show_the_first_seeds_curve(
    tmp_path: Path, referee: Referee, workers: int
) -> None:
    """Once it has got so far, cut to that length, before any seed is shown."""
    write_candidate(tmp_path)
    follower = Follower()
    request = request_for(tmp_path, train_episodes=6, checkpoints=(2, 4), workers=workers)
    referee.evaluate(request, should_continue=follower)
    assert follower.checkpoints == [(2, 2), (4, 4)]


def test_enough_before_the_first_seed_is_an_answer(tmp_path: Path, referee: Referee) -> None:
    """Stopped at a checkpoint there is nothing to report, and no process is left."""
    write_candidate(tmp_path)
    with pytest.raises(EvaluationStoppedError):
        referee.evaluate(request_for(tmp_path, checkpoints=(1,)), should_continue=Follower(0))
    assert evaluate(referee, tmp_path).seed_count == 2


CHANGES_WITH_THE_SEED: dict[str, tuple[dict[str, Any], str]] = {
    "horizon": ({"overrides": '{"max_steps": 20 if ODD else 200}'}, "the horizon differs"),
    "shape": ({"env": ("(1, 1, 2)", "(1, 1, 2 + ODD)")}, "the observations' shape differs"),
    "actions": ({"env": ("Discrete(2)", "Discrete(2 + ODD)")}, "the number of actions differs"),
}


@pytest.mark.parametrize("follow", [False, True])
@pytest.mark.parametrize(
    ("change", "says"), CHANGES_WITH_THE_SEED.values(), ids=CHANGES_WITH_THE_SEED
)
def test_all_seeds_have_the_same_task(
    tmp_path: Path, referee: Referee, change: dict[str, Any], says: str, follow: bool
) -> None:
    """One horizon, one shape and one number of actions are reported: those of every seed."""
    odds = {derive_seed(PUBLIC_KEY, 138, phase) for phase in ("policy", "evaluate-import")}
    odd = f"ODD = int(torch.initial_seed() in {odds})\n"
    write_candidate(tmp_path, **change)
    for name in ("env.py", "train.py"):
        text = (tmp_path / name).read_text().replace("import torch\n", f"import torch\n{odd}", 1)
        text = text.replace("1, 1, 2, gen", "*self.observation_space.shape, gen")
        (tmp_path / name).write_text(text)
    with pytest.raises(CandidateError) as caught:
        referee.evaluate(request_for(tmp_path), should_continue=Follower() if follow else None)
    assert caught.value.kind == "rejected"
    assert says in caught.value.reason


@pytest.mark.parametrize("workers", [1, 4])
def test_a_failure_counts_in_its_turn(tmp_path: Path, referee: Referee, workers: int) -> None:
    """A seed that crashes before its turn does not end what is enough without it."""
    more = (1000,)
    seed = derive_seed(PUBLIC_KEY, *more, "policy")
    crash = f"if torch.initial_seed() == {seed}:\n        1 / 0\n    c, h, w ="
    write_candidate(tmp_path, train=("c, h, w =", crash))
    follower = Follower(2)
    request = request_for(tmp_path, more_seeds=more, workers=workers)
    assert referee.evaluate(request, should_continue=follower).seed_count == 2
    with pytest.raises(CandidateError) as caught:
        referee.evaluate(request, should_continue=Follower())
    assert (caught.value.kind, caught.value.seed) == ("crash", 1000)
