"""Two plays of the same actions, compared slot by slot; every number is set by hand."""

import numpy as np
import pytest

from referee.courses import MAX_COURSE_BYTES, Course, Differences, common_ratio, compare_courses
from referee.messages import Step

SHAPE = (1, 1, 1)


def course(
    rewards: list[list[float]],
    *,
    obs: list[list[float]] | None = None,
    done: list[list[int]] | None = None,
    success: list[list[int]] | None = None,
    shape: tuple[int, ...] = SHAPE,
) -> Course:
    """Return a play of `T` steps of two slots; `obs` has one row more."""
    steps = len(rewards)
    seen = np.zeros((steps + 1, 2)) if obs is None else np.array(obs)
    ends = np.zeros((steps, 2)) if done is None else np.array(done)
    solved = np.zeros((steps, 2)) if success is None else np.array(success)
    made = Course(2, shape, seen[0].astype(np.float32).tobytes())
    for step in range(steps):
        made.record(
            Step(
                np.array(rewards[step], float), ends[step].astype(bool), solved[step].astype(bool),
                seen[step + 1].astype(np.float32).tobytes(),
            )
        )  # fmt: skip
    return made


def flags(found: Differences) -> dict[str, list[bool]]:
    names = ("observations", "rewards", "ends", "successes")
    return {name: getattr(found, name).tolist() for name in names}


NAMES = ("observations", "rewards", "ends", "successes")
SAME = {name: [False, False] for name in NAMES}


def test_what_follows_an_end_is_not_compared() -> None:
    """Neither rewards nor successes, nor the observation with which the next episode begins."""
    a = course(
        [[1, 1], [2, 5], [3, 6]], done=[[0, 1], [0, 0], [0, 1]], obs=[[0, 0], [1, 1], [2, 7], [3, 8]],
        success=[[0, 0], [0, 1], [0, 0]],
    )  # fmt: skip
    b = course([[1, 1], [2, 0], [3, 0]], done=[[0, 1], [0, 0], [0, 0]], obs=[[0, 0], [1, 2], [2, 2], [3, 2]])  # fmt: skip
    assert flags(compare_courses(a, b, 3)) == SAME
    assert compare_courses(a, b, 3).challenger_rewards.tolist() == [1, 1, 2, 3]


def test_an_end_in_either_is_the_last_step_compared() -> None:
    """It differs there, and what each does after it does not count."""
    a = course([[0, 0], [9, 0]], done=[[1, 0], [0, 0]])
    b = course([[0, 0], [0, 0]])
    assert flags(compare_courses(a, b, 2)) == SAME | {"ends": [True, False]}
    assert flags(compare_courses(b, a, 2)) == SAME | {"ends": [True, False]}


def test_observations_differ_from_the_first_to_the_last_that_is_acted_on() -> None:
    """The first of all counts too; another shape differs in every slot."""
    a = course([[0, 0]], obs=[[0, 1], [0, 0]])
    b = course([[0, 0]], obs=[[0, 0], [0, 0]])
    assert flags(compare_courses(a, b, 1)) == SAME | {"observations": [False, True]}
    c = course([[0, 0]], shape=(1, 1, 2), obs=[[0, 0], [0, 0]])
    assert flags(compare_courses(c, b, 1)) == SAME | {"observations": [True, True]}


@pytest.mark.parametrize(("other", "differs"), [(0.500004, False), (0.50001, True), (-0.5, True)])
def test_rewards_differ_beyond_rounding(other: float, differs: bool) -> None:
    """By more than a hundred-thousandth of them and a millionth."""
    a, b = course([[other, 0]]), course([[0.5, 0]])
    assert flags(compare_courses(a, b, 1)) == SAME | {"rewards": [differs, False]}


def test_successes_differ_by_the_first_of_each_episode() -> None:
    """How long a success stays set does not matter; when it is first set does."""
    a = course([[0, 0]] * 3, success=[[0, 0], [1, 1], [1, 0]])
    b = course([[0, 0]] * 3, success=[[0, 1], [1, 0], [0, 0]])
    assert flags(compare_courses(a, b, 3)) == SAME | {"successes": [False, True]}


def test_an_episode_that_could_not_be_followed_to_its_end_counts_as_another() -> None:
    """The play stopped before the horizon, in a slot that has not ended in either."""
    a = course([[0, 0]] * 2, done=[[1, 0], [0, 0]])
    b = course([[0, 0]] * 2, done=[[1, 0], [0, 0]])
    assert flags(compare_courses(a, b, 2)) == SAME
    assert flags(compare_courses(a, b, 3)) == SAME | {"ends": [False, True]}


def test_a_course_is_kept_within_its_bound() -> None:
    """Later steps are left out, not kept in part."""
    wide = 2**20
    made = Course(wide, SHAPE, bytes(4 * wide))
    step = Step(np.zeros(wide), np.zeros(wide, bool), np.zeros(wide, bool), bytes(4 * wide))
    for _ in range(6):
        made.record(step)
    kept = MAX_COURSE_BYTES // (14 * wide)
    assert made.steps == kept < 6
    assert made.rewards.shape == made.done.shape == made.success.shape == (kept, wide)
    assert made.digests.shape == (kept + 1, wide)


def ratio(new: list[float], old: list[float]) -> float | None:
    a, b = (course([[value, value] for value in values]) for values in (new, old))
    return common_ratio([compare_courses(a, b, len(old))])


def test_a_ratio_fits_all_steps() -> None:
    """The common factor, of either sign; none for an offset, a constant, zeros or few steps."""
    old = [0.1, -0.2, 0.0, 0.5] * 4
    assert ratio([3 * value for value in old], old) == pytest.approx(3)
    assert ratio([-value for value in old], old) == pytest.approx(-1)
    assert ratio([0.0] * 16, old) == 0.0
    assert ratio([value + 0.1 for value in old], old) is None
    assert ratio([0.3] * 16, [0.1] * 16) is None
    assert ratio(old, [0.0] * 16) is None
    assert ratio([0.3, 0.6], [0.1, 0.2]) is None
