import pytest
import torch

from simverse.envs import make
from simverse.envs.snake import SIZE, START_LENGTH, TARGET

UP, RIGHT, DOWN, LEFT = range(4)


def snake(cells, heading, food, *, length=None):
    """Return one snake lying on `cells` (row, column), head first."""
    env = make("snake", num_envs=1, max_steps=60, seed=0)
    env.reset()
    env.head.copy_(torch.tensor([cells[0]]))
    env.heading.fill_(heading)
    env.body.zero_()
    for number, (row, column) in enumerate(cells):
        env.body[0, row * SIZE + column] = len(cells) - number
    env.length.fill_(length or len(cells))
    env.food.fill_(food[0] * SIZE + food[1])
    return env


def move(env, action):
    """Return (reward, done, success) of a step."""
    _, reward, done, info = env.step(torch.tensor([action]))
    return round(reward.item(), 4), done.item(), info["success"].item()


def body(env):
    """Return the cells the snake lies on."""
    return {divmod(cell, SIZE) for cell in env.body[0].nonzero().flatten().tolist()}


def test_a_snake_moves_along():
    """The head steps on, the tail follows, and a step costs 0.01."""
    env = snake([(2, 2), (2, 1), (2, 0)], RIGHT, food=(5, 5))
    assert move(env, DOWN) == (-0.01, False, False)
    assert body(env) == {(3, 2), (2, 2), (2, 1)}


def test_food_is_worth_one_and_a_cell_of_length():
    """Eating brings 1, keeps the tail in place and puts food on a free cell."""
    env = snake([(2, 2), (2, 1), (2, 0)], RIGHT, food=(2, 3))
    assert move(env, RIGHT) == (1.0, False, False)
    assert body(env) == {(2, 3), (2, 2), (2, 1), (2, 0)}
    assert env.length.item() == 4
    assert divmod(env.food.item(), SIZE) not in body(env)


def test_walls_kill():
    """Leaving the field costs 1 and ends the episode, without truncation."""
    env = snake([(0, 2), (1, 2), (2, 2)], UP, food=(5, 5))
    _, reward, done, info = env.step(torch.tensor([UP]))
    assert (reward.item(), done.item()) == (-1.0, True)
    assert not info["truncated"].item()
    assert env.length.item() == START_LENGTH  # a new snake lies there


def test_the_body_kills():
    """Biting a cell that does not come free ends the episode."""
    ring = [(2, 2), (2, 3), (3, 3), (3, 2), (3, 1)]
    assert move(snake(ring, LEFT, food=(5, 5)), DOWN) == (-1.0, True, False)


def test_the_tail_s_cell_comes_free():
    """Stepping to where the tail was is safe."""
    ring = [(2, 2), (2, 3), (3, 3), (3, 2)]
    assert move(snake(ring, LEFT, food=(5, 5)), DOWN) == (-0.01, False, False)


def test_turning_back_goes_straight_on():
    """A snake cannot turn on its own neck."""
    env = snake([(2, 2), (2, 1), (2, 0)], RIGHT, food=(5, 5))
    assert move(env, LEFT) == (-0.01, False, False)
    assert env.head.tolist() == [[2, 3]]


def test_success_is_the_fifth_piece():
    """The fifth piece of food is the success, and the game goes on."""
    length = START_LENGTH + TARGET - 1
    cells = [(2, 2), (2, 1), (2, 0), (1, 0), (0, 0), (0, 1), (0, 2)]
    assert len(cells) == length
    env = snake(cells, RIGHT, food=(2, 3))
    assert move(env, RIGHT) == (1.0, False, True)


def test_a_full_field_ends_the_game():
    """A snake that fills the field is done, and not for lack of time."""
    order = [
        (row, column if row % 2 == 0 else SIZE - 1 - column)
        for row in range(SIZE)
        for column in range(SIZE)
    ]
    env = snake(order[1:], LEFT, food=order[0])
    _, reward, done, info = env.step(torch.tensor([LEFT]))
    assert (reward.item(), done.item(), info["truncated"].item()) == (1.0, True, False)


def test_starts_are_fair():
    """A new snake is three cells in a row with a free cell ahead, its food elsewhere."""
    env = make("snake", num_envs=2000, seed=1)
    env.reset()
    ahead = env.head + env.moves[env.heading]
    assert bool(((ahead >= 0) & (ahead < SIZE)).all())
    assert (env.body > 0).sum(dim=1).tolist() == [START_LENGTH] * 2000
    assert env.body.gather(1, env.food.unsqueeze(1)).max().item() == 0


def test_observation_of_a_known_state():
    """Head, body by the time until it comes free, and food are where they should be."""
    env = snake([(2, 2), (2, 1), (2, 0)], RIGHT, food=(5, 4))
    obs = env.step(torch.tensor([RIGHT]))[0]["obs"][0]
    assert obs[0].nonzero().tolist() == [[2, 3]]
    assert obs[1, 2].tolist() == pytest.approx([0.0, 1 / 3, 2 / 3, 0.0, 0.0, 0.0])
    assert obs[2].nonzero().tolist() == [[5, 4]]
