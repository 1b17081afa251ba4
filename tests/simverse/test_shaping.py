"""Potential-based shaping (Ng, Harada & Russell 1999) leaves what is optimal as it is."""

import pytest
import torch

from benchmarks.worlds_shaping import (
    GAMMA,
    GOAL,
    HORIZON,
    MOVES,
    SIZE,
    START,
    SparseGrid,
    interval,
    learn,
    observe,
    potential,
    seen,
    shape_reward,
    table,
)
from simverse.core.checks import WORLD_REWARD
from simverse.core.config import EnvConfig
from simverse.play import play
from simverse.testing import check_world
from tests.simverse.fakes import CountingWorld
from tests.simverse.test_observed_world import observed

STATES, ACTIONS = SIZE * SIZE, len(MOVES)
CELLS = torch.tensor([[row, column] for row in range(SIZE) for column in range(SIZE)])


def phi(view):
    """Return any function of a view, `[N]`."""
    return torch.sin(1.0 + view["count"].float())


def shaped_by_phi(before, actions, after, reward, done):
    ahead = torch.where(done, 0.0, GAMMA * phi(after))
    return {"world": reward, "potential": ahead - phi(before)}


def difference(world, steps=5):
    """Return the discounted sum of what shaping adds in the first episodes, `[N]`."""
    env = observed(world, shape_reward=shaped_by_phi)
    env.reset()
    running, total = torch.ones(2).bool(), torch.zeros(2)
    for step in range(steps):
        _, reward, done, info = env.step(torch.zeros(2).long())
        gap = GAMMA**step * (reward - info[WORLD_REWARD])
        total += torch.where(running, gap, 0.0)
        running &= ~done
    return total


@pytest.mark.parametrize("ending", ["reset", "frozen", "void"])
def test_what_is_added_telescopes(ending):
    """`gamma * phi(after) - phi(before)`, 0 after an end, adds up to `-phi(first)`."""
    first = phi({"count": torch.zeros(2)})
    found = difference(CountingWorld([2, 5], ending))
    assert found.tolist() == pytest.approx((-first).tolist(), abs=1e-6)


@pytest.mark.parametrize("ending", ["reset", "frozen", "void"])
def test_what_is_added_to_a_cut_episode_keeps_its_last_potential(ending):
    """The potential of the final view remains, as values bootstrap from it."""
    first, final = phi({"count": torch.zeros(2)}), phi({"count": torch.tensor([2, 5])})
    found = difference(CountingWorld([2, 5], ending, cut=True))
    expected = GAMMA ** torch.tensor([2.0, 5.0]) * final - first
    assert found.tolist() == pytest.approx(expected.tolist(), abs=1e-6)


def action_values(shape=None):
    """Return the optimal `Q [S, n]` of what training sees, exactly, by value iteration.

    The model is read off one step of every action in every cell; that step ends at a horizon of
    1, so that what is not over is cut short and shows where it led.
    """
    starts = CELLS.repeat_interleave(ACTIONS, dim=0)
    env = seen(SparseGrid(EnvConfig(), starts=starts, max_steps=1), shape)
    env.reset()
    _, reward, done, info = env.step(torch.arange(ACTIONS).repeat(STATES))
    assert bool(done.all())
    following = info["final_obs"].flatten(1).argmax(dim=1).view(STATES, ACTIONS)
    lives_on = info["truncated"].view(STATES, ACTIONS).double()
    rewards = reward.double().view(STATES, ACTIONS)
    values = torch.zeros(STATES, dtype=torch.float64)
    for _ in range(3_000):
        best = (rewards + GAMMA * lives_on * values[following]).amax(dim=1)
        if float((best - values).abs().max()) < 1e-13:
            return rewards + GAMMA * lives_on * best[following]
        values = best
    raise AssertionError("value iteration does not converge")


def score(q):
    """Return the greedy policy's mean return of the world's own reward, and its mean length."""
    rows = torch.arange(START)
    env = seen(SparseGrid(EnvConfig(), starts=torch.cartesian_prod(rows, rows)))
    played = play(env, lambda obs: q[obs.flatten(1).argmax(dim=1)].argmax(dim=1), max_steps=HORIZON)
    return float(played.returns.mean()), float(played.lengths.double().mean())


def test_shaping_leaves_the_optimal_policy_alone():
    """Exactly: `Q` is shifted by the potential of the state, so that no action gains on another."""
    plain, shaped = action_values(), action_values(shape_reward)
    shift = potential({"cell": CELLS}).double().unsqueeze(1)
    is_goal = (torch.tensor(GOAL) == CELLS).all(dim=1)
    torch.testing.assert_close((plain - shift)[~is_goal], shaped[~is_goal], rtol=0.0, atol=1e-6)
    assert score(plain) == score(shaped)
    assert score(plain)[0] == 1.0
    # The straight way: 14 steps from the middle of the start; the wall is in nobody's way.
    assert score(plain)[1] == 14.0


def test_other_bonuses_change_what_is_optimal():
    """Paid for nearness, and not for its change, the optimal policy stays away from the goal."""

    def near(before, actions, after, reward, done):
        return reward + 0.1 * torch.where(done, 0.0, potential(after))

    assert score(action_values(near))[0] < score(action_values())[0]


def test_the_sparse_grid_keeps_its_contract():
    """As a world, with the wall and the border in the way."""
    report = check_world(SparseGrid)
    assert (report.max_steps, report.notes, report.fields) == (HORIZON, (), "cell int64 [2]")
    starts = torch.tensor([[0, 0], [3, 4], [8, 7]])
    world = SparseGrid(EnvConfig(), starts=starts)
    world.reset()
    view, reward, done, info = world.step(torch.tensor([0, 2, 1]))
    assert view["cell"].tolist() == [[0, 0], [3, 4], [8, 7]]  # border, wall, and a fresh episode
    assert info["final_view"]["cell"].tolist() == [[0, 0], [3, 4], [8, 8]]
    assert (reward.tolist(), done.tolist()) == ([0.0, 0.0, 1.0], [False, False, True])
    assert observe(view)[1, 0, 3, 4] == 1.0


def test_shaping_learns_sooner():
    """Two seeds of the benchmark; `python -m benchmarks.worlds_shaping` measures sixteen."""
    found = {arm: [learn(arm, seed, 12) for seed in (0, 1)] for arm in ("world", "shaped")}
    for plain, shaped in zip(found["world"], found["shaped"], strict=True):
        assert shaped.sooner <= plain.sooner
        assert shaped.area > plain.area
    assert min(run.score for run in found["shaped"]) > 0.9
    assert len(table(found)) == 5


def test_intervals_are_student_s():
    """The 95 % interval of 16 values, by hand: the quantile at 15 degrees of freedom is 2.1314."""
    found = interval([float(value) for value in range(16)])
    half = 2.1314 * (68 / 3) ** 0.5 / 4
    assert found == pytest.approx((7.5, 7.5 - half, 7.5 + half), abs=1e-3)
    assert interval([1.0]) == (1.0, float("-inf"), float("inf"))
