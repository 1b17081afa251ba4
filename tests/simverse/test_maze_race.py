import pytest
import torch

from simverse.core.config import EnvConfig
from simverse.envs import maze_race
from simverse.envs.maze_race import FAR, RADIUS, ROOMS, SIDE, SIZE

UP, RIGHT, DOWN, LEFT = range(4)


def maze(picture, *, racers=1, max_steps=40):
    """Return one maze from 7 lines: `#` wall, `G` goal, `S` start."""
    env = maze_race.create_env(EnvConfig(num_envs=1, max_steps=max_steps, num_agents=racers))
    env.reset()
    lines = picture.split()
    walls = torch.tensor([[cell == "#" for cell in line] for line in lines])
    env.walls.copy_(torch.nn.functional.pad(walls, (RADIUS,) * 4, value=True).unsqueeze(0))
    for letter, buffer in (("G", env.goal), ("S", env.racer)):
        row = next(number for number, line in enumerate(lines) if letter in line)
        buffer.copy_(torch.tensor([row, lines[row].index(letter)]) + RADIUS)
    env.distance.copy_(maze_race.distances(env.walls, env.goal))
    env.trail.zero_()
    env._leave_trail()
    return env


CORRIDOR = """
S..#...
##.#.#.
...#.#.
.###.#.
.....#.
######.
......G
"""


def test_distances_follow_the_maze():
    """A distance is the steps past the walls; what is cut off is far."""
    env = maze(CORRIDOR)
    field = env.distance[0, RADIUS:-RADIUS, RADIUS:-RADIUS]
    assert field[6, 6].item() == 0
    assert field[0, 6].item() == 6
    assert field[0, 0].item() == 24
    assert field[1, 0].item() == FAR


def test_rewards_of_a_step():
    """A wall stops; a step nearer is worth 0.02 and one farther costs as much; each costs 0.01."""
    env = maze(CORRIDOR)
    rewards = [env.step(torch.tensor([move]))[1].item() for move in (DOWN, RIGHT, LEFT)]
    assert rewards == pytest.approx([-0.01, 0.01, -0.03])


def walk(env, moves):
    """Take some steps, return the last one."""
    return [env.step(torch.tensor([move])) for move in moves][-1]


def test_arriving_ends_the_race():
    """The goal brings 0.8 and success; from then on nothing moves and nothing is earned."""
    env = maze(CORRIDOR)
    env.racer.copy_(torch.tensor([[[6 + RADIUS, 5 + RADIUS]]]))
    obs, reward, done, info = walk(env, [RIGHT])
    assert reward.item() == pytest.approx(0.8 + 0.02 - 0.01)
    assert (done.item(), info["success"].item(), info["truncated"].item()) == (True, True, False)
    assert info["winner"].tolist() == [0]
    obs, reward, done, info = walk(env, [LEFT])
    assert (reward.item(), done.item(), obs["done"].item()) == (0.0, True, True)
    assert env.racer.tolist() == [[[6 + RADIUS, 6 + RADIUS]]]
    assert not env.reset()["done"].item()


def test_time_runs_out():
    """At the horizon an episode is truncated, once, without success."""
    env = maze(CORRIDOR, max_steps=2)
    steps = [env.step(torch.tensor([UP])) for _ in range(3)]
    assert [step[3]["truncated"].item() for step in steps] == [False, True, False]
    assert not steps[-1][3]["success"].item()
    assert steps[-1][3]["winner"].tolist() == [-1]


def test_the_view():
    """The racer sees walls, its trail and the goal's direction around itself."""
    env = maze(CORRIDOR)
    obs = walk(env, [RIGHT, RIGHT])[0]["obs"][0]  # at (0, 2)
    assert obs[0].tolist() == [
        [1, 1, 1, 1, 1],
        [1, 1, 1, 1, 1],
        [0, 0, 0, 1, 0],
        [1, 1, 0, 1, 0],
        [0, 0, 0, 1, 0],
    ]
    assert obs[1].nonzero().tolist() == [[4, 4]]
    assert obs[2].nonzero().tolist() == [[2, 0], [2, 1], [2, 2]]
    assert obs[3].sum().item() == 0


def test_the_faster_racer_wins():
    """With two racers the first at the goal gains 0.8, the beaten one loses as much."""
    env = maze(CORRIDOR, racers=2)
    env.racer[0, 1] = torch.tensor([6 + RADIUS, 5 + RADIUS])
    obs, reward, done, info = env.step(torch.tensor([[RIGHT, RIGHT]]))
    assert obs["local_obs"].shape == (1, 2, 4, 5, 5)
    assert torch.equal(obs["obs"], torch.cat((obs["local_obs"][:, 0], obs["local_obs"][:, 1]), 1))
    assert env.observation_space.shape == (8, 5, 5)
    assert reward.tolist() == [pytest.approx([0.02 - 0.01 - 0.8, 0.02 - 0.01 + 0.8])]
    assert (done.tolist(), info["winner"].tolist(), info["success"].tolist()) == (
        [True],
        [1],
        [False],
    )


def test_arriving_together_is_a_tie():
    """Both at the goal in one step win together."""
    env = maze(CORRIDOR, racers=2)
    env.racer[0, :] = torch.tensor([6 + RADIUS, 5 + RADIUS])
    _, reward, _, info = env.step(torch.tensor([[RIGHT, RIGHT]]))
    assert reward.tolist() == [pytest.approx([0.81, 0.81])]
    assert (info["winner"].tolist(), info["success"].tolist()) == ([2], [True])


def test_racers_see_each_other():
    """Each racer's view has itself in the middle and the other where it stands."""
    env = maze(CORRIDOR, racers=2)
    obs = env.step(torch.tensor([[RIGHT, UP]]))[0]["local_obs"][0]
    assert obs[0, 3].nonzero().tolist() == [[2, 1]]
    assert obs[1, 3].nonzero().tolist() == [[2, 3]]
    assert obs[0, 2].nonzero().tolist() == [[2, 1], [2, 2]]


def test_every_maze_can_be_solved():
    """Every room is open and leads to the goal; goal and start are different rooms."""
    env = maze_race.create_env(EnvConfig(num_envs=500, max_steps=40, seed=3))
    env.reset()
    rooms = env.distance[:, RADIUS:-RADIUS:2, RADIUS:-RADIUS:2]
    assert rooms.shape == (500, ROOMS, ROOMS)
    assert rooms.max().item() < SIZE * SIZE
    assert not (env.racer[:, 0] == env.goal).all(dim=1).any()
    assert len({tuple(walls.flatten().tolist()) for walls in env.walls}) > 490
    assert env.walls.shape == (500, SIDE, SIDE)


def test_three_racers_are_refused():
    """There is room for one racer or two."""
    with pytest.raises(ValueError, match="1 or 2 racers, got num_agents=3"):
        maze_race.create_env(EnvConfig(num_envs=1, num_agents=3))
