"""What a candidate changed of the incumbent's environment, measured with real workers."""

import json
from pathlib import Path
from typing import Any

import pytest

from framework import EvaluationRequest, EvaluationResult, Referee
from referee.events import SeedDone
from referee.records import MAX_CANDIDATE_CHARS, RulerComparison
from tests.candidates import ENV, TRAIN, write_candidate
from tests.referee.conftest import evaluate, request_for, strip
from tests.referee.test_service import ask

FIXED = (
    "        return self.logits(hidden), self.value(hidden)",
    "        return self.logits(hidden).detach(), self.value(torch.zeros_like(hidden))",
)
"""A policy that training doesn't change: it acts alike whatever the rewards are."""
EPISODES = 16
"""Eight slots with random and eight with greedy actions."""
REWARD = "PAY * (actions == 1).to(self.dtype)"
SUCCESS = "(actions == 1) & self.done"
PLANE = ("(1, 1, 2))", "(1, 1, 3))")
DRAWN = "torch.rand(self.num_envs, 1, 1, 2, generator=self.generator)"
WITH_PLANE = f"torch.cat(({DRAWN}, torch.zeros(self.num_envs, 1, 1, 1)), dim=3)"


def incumbent(*changes: tuple[str, str]) -> dict[str, str]:
    """Return the incumbent's files: the tiny task, changed."""
    env = ENV
    for old, new in changes:
        assert old in env, old
        env = env.replace(old, new)
    return {"env.py": env, "train.py": TRAIN}


def candidate(folder: Path, *changes: tuple[str, str]) -> Path:
    """Write a challenger with the fixed policy and the tiny task, changed."""
    write_candidate(folder, train=FIXED)
    (folder / "env.py").write_text(incumbent(*changes)["env.py"])
    return folder


def compare(
    referee: Referee, folder: Path, other: dict[str, str], **changes: Any
) -> tuple[EvaluationResult, list[RulerComparison]]:
    result = evaluate(referee, folder, compare_with=other, **changes)
    found = [seed.compared for seed in result.seed_results]
    assert None not in found
    return result, [one for one in found if one is not None]


def counts(found: RulerComparison) -> tuple[int, int, int, int]:
    assert found.episodes == EPISODES
    return found.observations, found.rewards, found.ends, found.successes


def test_its_own_environment_differs_in_nothing(tmp_path: Path, referee: Referee) -> None:
    """Whatever is said in comments; what it earns there is its own return, to the bit."""
    folder = candidate(tmp_path / "c")
    result, found = compare(referee, folder, incumbent(("PAY = 0.5", "PAY = 0.5  # fair")))
    for seed, one in zip(result.seed_results, found, strict=True):
        assert counts(one) == (0, 0, 0, 0)
        assert one.reward_ratio == 1.0
        assert one.return_there == seed.full_return
        assert one.solve_rate_there == seed.evidence_solve_rate


def test_several_batches_are_all_compared(tmp_path: Path, referee: Referee) -> None:
    """The greedy actions of every scored batch, and the random ones of the first."""
    folder = candidate(tmp_path / "c")
    result, found = compare(referee, folder, incumbent(), eval_episodes=20, seeds=(101,))
    assert found[0].episodes == 8 + 24
    assert found[0].return_there == result.seed_results[0].full_return


def test_a_score_is_the_same_with_a_comparison(tmp_path: Path, referee: Referee) -> None:
    """To the bit, with all that is reported beside it, audits included."""
    folder = write_candidate(tmp_path / "c")
    changes: dict[str, Any] = {"seeds": (101, 138, 7), "eval_episodes": 12}
    alone = strip(evaluate(referee, folder, **changes))
    for other in (incumbent(("PAY = 0.5", "PAY = 0.1")), incumbent(("self.steps += 1", "1 / 0"))):
        compared = strip(evaluate(referee, folder, compare_with=other, **changes))
        for seed in compared["seed_results"]:
            assert seed.pop("compared")
            seed["compared"] = None
        assert compared == alone


@pytest.mark.parametrize(
    "change",
    [[PLANE, (DRAWN, WITH_PLANE)], [(DRAWN, f"-{DRAWN}")]],
    ids=["another shape", "other values"],
)
def test_a_changed_observation_is_that_alone(
    tmp_path: Path, referee: Referee, change: list[tuple[str, str]]
) -> None:
    """The actions earn the same in the incumbent's environment."""
    result, found = compare(referee, candidate(tmp_path / "c", *change), incumbent())
    for seed, one in zip(result.seed_results, found, strict=True):
        assert counts(one) == (EPISODES, 0, 0, 0)
        assert one.reward_ratio == 1.0
        assert one.return_there == seed.full_return


def test_a_scaled_reward_is_known_by_its_ratio(tmp_path: Path, referee: Referee) -> None:
    """What the policy earns by the incumbent's reward is what the unscaled evaluation says."""
    other = incumbent(("PAY = 0.5", "PAY = 0.25"))
    scaled = candidate(tmp_path / "c", ("PAY = 0.5", "PAY = 0.75"))
    unscaled = evaluate(referee, candidate(tmp_path / "old", ("PAY = 0.5", "PAY = 0.25")))
    result, found = compare(referee, scaled, other)
    assert result.score == pytest.approx(3 * unscaled.score)
    for seed, one in zip(unscaled.seed_results, found, strict=True):
        assert counts(one)[0::2] == (0, 0)
        assert 0 < one.rewards <= EPISODES
        assert one.reward_ratio == pytest.approx(3)
        assert one.return_there == seed.full_return > 0
        assert one.solve_rate_there == seed.evidence_solve_rate


def test_another_reward_has_no_ratio(tmp_path: Path, referee: Referee) -> None:
    """A bonus for existing is no scale."""
    folder = candidate(tmp_path / "c", (REWARD, f"{REWARD} + 0.1"))
    _, found = compare(referee, folder, incumbent())
    for one in found:
        assert counts(one) == (0, EPISODES, 0, 0)
        assert one.reward_ratio is None


def test_rounding_is_no_change(tmp_path: Path, referee: Referee) -> None:
    """The same sum in another order."""
    folder = candidate(tmp_path / "c", (REWARD, f"({REWARD} + 0.3) - 0.3"))
    _, found = compare(referee, folder, incumbent())
    assert [counts(one) for one in found] == [(0, 0, 0, 0)] * 2


@pytest.mark.parametrize("end", [4, 7])
def test_changed_dynamics_show_in_the_ends(tmp_path: Path, referee: Referee, end: int) -> None:
    """Shorter or longer: every episode ends at another step."""
    folder = candidate(tmp_path / "c", ("END = 5", f"END = {end}"))
    _, found = compare(referee, folder, incumbent())
    assert [one.ends for one in found] == [EPISODES] * 2
    assert [one.observations for one in found] == [0, 0]  # until then


def test_a_loosened_success_shows_in_the_successes(tmp_path: Path, referee: Referee) -> None:
    """Where the same actions used to fail."""
    folder = candidate(tmp_path / "c", (SUCCESS, "self.done.clone()"))
    result, found = compare(referee, folder, incumbent())
    before = evaluate(referee, candidate(tmp_path / "old"))
    assert result.mean_solve_rate == 1.0
    for seed, one in zip(before.seed_results, found, strict=True):
        assert counts(one)[:3] == (0, 0, 0)
        assert 0 < one.successes < EPISODES
        assert one.solve_rate_there == seed.evidence_solve_rate


NOT_PLAYABLE: dict[str, list[tuple[str, str]]] = {
    "an import that fails": [("import torch\n", "import torch\n1 / 0\n")],
    "no environment": [("def create_env", "def make_env")],
    "a step that fails": [("self.steps += 1", "self.steps += 1; assert int(self.steps[0]) < 3")],
    "a death": [("self.steps += 1", "__import__('os')._exit(3)")],
    "another number of actions": [("Discrete(2)", "Discrete(3)")],
    "a reward out of bounds": [("PAY = 0.5", "PAY = 1.5")],
    "a reward that is none": [("PAY = 0.5", "PAY = float('nan')")],
    "a step of another form": [("reward, self.done.clone(), info", "reward, self.done.clone()")],
    "observations that are huge": [("(1, 1, 2))", "(1, 2000, 2000))"), (DRAWN, "torch.zeros(self.num_envs, 1, 2000, 2000)")],
}  # fmt: skip


@pytest.mark.parametrize("changes", NOT_PLAYABLE.values(), ids=NOT_PLAYABLE)
def test_an_incumbent_that_cannot_be_played_is_no_fault_of_the_challenger(
    tmp_path: Path, referee: Referee, changes: list[tuple[str, str]]
) -> None:
    """It has its score, and is compared with nothing: everything counts as different."""
    folder = candidate(tmp_path / "c")
    result, found = compare(referee, folder, incumbent(*changes))
    assert result.flags == evaluate(referee, folder).flags
    nothing = RulerComparison(
        episodes=EPISODES, observations=EPISODES, rewards=EPISODES, ends=EPISODES,
        successes=EPISODES, reward_ratio=None, return_there=0.0, solve_rate_there=0.0,
    )  # fmt: skip
    assert found == [nothing] * 2


def test_a_comparison_is_resumed_with_its_seed(tmp_path: Path, referee: Referee) -> None:
    """A measured seed keeps it, and is measured again for another incumbent."""
    folder = candidate(tmp_path / "c", ("PAY = 0.5", "PAY = 0.75"))
    other = incumbent(("PAY = 0.5", "PAY = 0.25"))
    seen: list[SeedDone] = []

    def follow(event: Any) -> bool:
        seen.append(event)
        return True

    request = request_for(folder, compare_with=other)
    whole = referee.evaluate(request, should_continue=follow)
    assert [done.compared for done in seen] == [seed.compared for seed in whole.seed_results]
    assert seen[0].resume is not None
    measured = {101: seen[0].resume}
    seen.clear()
    again = referee.evaluate(
        request_for(folder, compare_with=other, measured=measured), should_continue=follow
    )
    assert [done.seed for done in seen] == [138]
    assert strip(again) == strip(whole)
    seen.clear()
    referee.evaluate(
        request_for(folder, compare_with=incumbent(), measured=measured), should_continue=follow
    )
    assert [done.seed for done in seen] == [101, 138]


@pytest.mark.parametrize(
    "other",
    [
        {}, {"env.py": ENV}, {"env.py": ENV, "train.py": 1}, incumbent() | {"more.py": ""},
        {"env.py": "x" * MAX_CANDIDATE_CHARS, "train.py": "y"}, [ENV, TRAIN], "env.py",
    ],
)  # fmt: skip
def test_two_texts_of_bounded_length_are_compared_with(other: Any) -> None:
    """Anything else is a faulty request."""
    with pytest.raises(ValueError, match="compare_with"):
        EvaluationRequest(candidate_dir=Path("c"), compare_with=other)


def test_the_service_compares_on_request(tmp_path: Path) -> None:
    """In the events, in the results, and never unasked."""
    folder = candidate(tmp_path / "c", ("PAY = 0.5", "PAY = 0.75"))
    request = {
        "candidate_dir": str(folder), "seeds": [101], "more_seeds": [7], "key": "00", "num_envs": 4,
        "train_episodes": 2, "eval_episodes": 1, "follow": True,
    }  # fmt: skip
    asked = request | {"compare_with": incumbent()}
    lines = [json.dumps(asked), '{"go_on": true}', '{"go_on": true}']
    lines += [json.dumps(request), '{"go_on": false}', json.dumps(asked | {"compare_with": []})]
    serving, first, second, result, alone, unasked, refused = (
        event for event in ask(lines) if event["event"] != "episode"
    )
    assert serving["compares"] is True
    told = [first["compared"], second["compared"]]
    (scored,), (more,) = (result["result"][name] for name in ("seed_results", "more_results"))
    assert told == [scored["compared"], more["compared"]]
    assert all(one["episodes"] == 8 for one in told)
    assert alone["compared"] is None
    assert unasked["result"]["seed_results"][0]["compared"] is None
    assert refused["event"] == "refused"
