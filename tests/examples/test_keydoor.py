"""Key and door, worked out by hand on the floor drawn here.

. . . # . . .        A agent   K key
. . . # . . .        D door    G goal
. . . # . . .
. A K D . G .
. . . # . . .
. . . # . . .
. . . # . . .
"""

from typing import Any

import pytest
import torch
from torch import Tensor

from .helpers import env_module, make_env, play_episodes, random_policy

keydoor = env_module("keydoor")
UP, RIGHT, DOWN, LEFT = keydoor.UP, keydoor.RIGHT, keydoor.DOWN, keydoor.LEFT


@pytest.fixture
def env() -> Any:
    """One sub-environment on the floor drawn above."""
    env = make_env("keydoor", num_envs=1)
    env.walls.fill_(value=True)
    env.walls[:, 1:-1, 1:-1] = False
    env.walls[:, :, 4] = True
    env.walls[:, 4, 4] = False
    place(env, agent=(3, 1), key=(3, 2), door=(3, 3), goal=(3, 5))
    return env


def place(env: Any, **positions: tuple[int, int]) -> None:
    for name, position in positions.items():
        getattr(env, name).copy_(torch.tensor([position]))


def go(env: Any, *moves: int) -> list[float]:
    return [round(env.step(torch.tensor([move]))[1].item(), 6) for move in moves]


def where(env: Any) -> tuple[int, int]:
    row, column = env.agent[0].tolist()
    return row, column


@pytest.mark.parametrize(
    ("start", "move"),
    [
        ((0, 2), RIGHT),
        ((0, 0), UP),
        ((0, 0), LEFT),
        ((6, 6), DOWN),
        ((6, 6), RIGHT),
        ((6, 4), LEFT),
    ],
)
def test_walls_stop_a_move(env: Any, start: tuple[int, int], move: int) -> None:
    """Neither the inner wall nor the floor's edge can be entered; trying costs the step."""
    place(env, agent=start)
    assert go(env, move) == [-0.01]
    assert where(env) == start


def test_the_door_is_locked_without_the_key(env: Any) -> None:
    """Without the key the door stops a move, from either side."""
    for start, move in (((3, 2), RIGHT), ((3, 4), LEFT)):
        place(env, agent=start, key=(0, 0))
        go(env, move)
        assert where(env) == start
    assert not env.door_open


def test_stepping_onto_the_key_picks_it_up(env: Any) -> None:
    """The key pays once: 0.1, and 0.05 for the cell, less 0.01 for the step."""
    assert go(env, RIGHT) == [0.14]
    assert env.has_key
    assert go(env, LEFT, RIGHT) == [-0.06, 0.04]  # from here on it is the door that matters


def test_the_key_opens_the_door(env: Any) -> None:
    """With the key in hand, stepping into the door opens it for good."""
    assert go(env, RIGHT, RIGHT) == [0.14, 0.14]
    assert where(env) == (3, 3)
    assert env.door_open
    assert go(env, LEFT, RIGHT) == [-0.06, 0.04]  # and is worth no more the second time


def test_reaching_the_goal_is_success_and_starts_anew(env: Any) -> None:
    """The goal pays 0.9; the observation returned is already that of the next floor."""
    rewards = go(env, RIGHT, RIGHT, RIGHT)
    _, reward, done, info = env.step(torch.tensor([RIGHT]))
    assert rewards == [0.14, 0.14, 0.04]
    assert reward.item() == pytest.approx(0.94)
    assert done.item()
    assert info["success"].item()
    assert env.steps.item() == 0
    assert not env.has_key
    assert not env.door_open


def test_going_back_and_forth_earns_nothing(env: Any) -> None:
    """What progress pays, regress takes back: only the steps' cost is left."""
    place(env, agent=(3, 0), key=(0, 2))
    assert sum(go(env, UP, DOWN, RIGHT, LEFT)) == pytest.approx(-0.04)


def test_time_runs_out_without_success(env: Any) -> None:
    """At the horizon the episode is done, and has not succeeded."""
    for step in range(1, 41):
        _, _, done, info = env.step(torch.tensor([LEFT]))
        assert done.item() == (step == 40)
        assert not info["success"].item()


def test_the_view_shows_walls_and_a_compass(env: Any) -> None:
    """Near things lie where they are; far ones on the view's edge, in their direction."""
    place(env, agent=(0, 0), key=(0, 1), goal=(3, 5))
    walls, key, door, goal = env._observe()[0].tolist()
    assert walls == [[1, 1, 1], [1, 0, 0], [1, 0, 0]]
    assert key == [[0, 0, 0], [0, 0, 1], [0, 0, 0]]
    assert door == [[0, 0, 0], [0, 0, 0], [0, 0, 1]]
    assert goal == [[0, 0, 0], [0, 0, 0], [0, 0, 1]]


def test_what_is_taken_or_opened_leaves_the_view(env: Any) -> None:
    """The key's channel is empty once it is picked up, the door's once it is opened."""
    go(env, RIGHT)
    assert not env._observe()[0, keydoor.KEY].any()
    assert env._observe()[0, keydoor.DOOR].any()
    go(env, RIGHT)
    assert not env._observe()[0, keydoor.DOOR].any()


def test_success_is_true_exactly_when_the_goal_is_entered() -> None:
    """In random play, success is a move onto the goal and nothing else is."""
    env = make_env("keydoor", num_envs=256, seed=1)
    act, successes = random_policy(env), 0
    obs = env.reset()["obs"]
    for _ in range(400):
        actions = act(obs)
        entered = (env.agent + env.moves[actions] == env.goal).all(dim=1)
        payload, _, _, info = env.step(actions)
        obs = payload["obs"]
        # The goal is never a wall, and its room is closed while the door is.
        assert torch.equal(info["success"], entered)
        successes += int(entered.sum())
    assert successes > 20


def test_every_floor_can_be_solved_within_the_horizon() -> None:
    """Walking straight to key, door and goal succeeds on each of 2,000 floors."""
    env = make_env("keydoor", num_envs=2000, seed=2)
    returns, succeeded = play_episodes(env, lambda _obs: shortest_way(env))
    assert succeeded.all()
    assert 1.4 < returns.mean() < 1.7


def shortest_way(env: Any) -> Tensor:
    """Moves along the wall before crossing it, and across it first from within the door."""
    row, column = (env.door + keydoor.RADIUS).unbind(dim=1)
    upright = ~env.walls[env.env_index, row, column + 1]
    rows, columns = (env._objective() - env.agent).unbind(dim=1)
    vertical = torch.where(rows < 0, UP, DOWN)
    horizontal = torch.where(columns < 0, LEFT, RIGHT)
    rows_first = upright ^ env.door_open
    by_rows = torch.where(rows != 0, vertical, horizontal)
    by_columns = torch.where(columns != 0, horizontal, vertical)
    return torch.where(rows_first, by_rows, by_columns)
