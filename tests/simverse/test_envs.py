import gymnasium
import numpy as np
import pytest
import torch

from simverse.core.config import EnvConfig
from simverse.envs import cartpole, grid_goal


def balance(obs):
    """Return a hand-written controller's pushes `[N]` that keep the pole up."""
    _, velocity, angle, spin = obs.flatten(1).T
    return (angle + 0.5 * spin + 0.05 * velocity > 0).long()


# -- CartPole ------------------------------------------------------------------------------------


def test_cartpole_is_gymnasium_s():
    """From the same states, under the same actions, every step equals gymnasium's CartPole-v1."""
    rng = np.random.default_rng(0)
    steps = 0
    for start in rng.uniform(-0.05, 0.05, size=(20, 4)):
        theirs = gymnasium.make("CartPole-v1").unwrapped
        theirs.reset()
        theirs.state = tuple(start)
        ours = cartpole.create_env(EnvConfig(num_envs=1, max_steps=500))
        ours.reset()
        ours.state.copy_(torch.tensor(start).unsqueeze(1))
        done = False
        while not done:
            action = int(rng.integers(2))
            their_obs, their_reward, done, *_ = theirs.step(action)
            _, reward, our_done, info = ours.step(torch.tensor([action]))
            np.testing.assert_allclose(info["final_obs"].flatten().numpy(), their_obs, rtol=1e-6)
            assert (reward.item(), our_done.item()) == (their_reward, done)
            steps += 1
    assert steps > 200


def test_cartpole_cuts_an_episode_at_500_steps():
    """A pole kept up for 500 steps is truncated, successful, and shown before the reset."""
    env = cartpole.create_env(EnvConfig(num_envs=2, max_steps=500, seed=1))
    obs = env.reset()
    for step in range(1, 501):
        obs, _, done, info = env.step(balance(obs["obs"]))
        assert done.tolist() == [step == 500] * 2
    assert info["truncated"].tolist() == info["success"].tolist() == [True, True]
    assert not torch.equal(info["final_obs"], obs["obs"])
    assert env.elapsed.tolist() == [0, 0]


def test_a_fallen_pole_is_terminal():
    """A pole that falls ends the episode without success or truncation and starts upright again."""
    env = cartpole.create_env(EnvConfig(num_envs=1, max_steps=500))
    env.reset()
    done = torch.tensor([False])
    while not done.item():
        obs, _, done, info = env.step(torch.tensor([1]))
    assert not info["truncated"].item()
    assert not info["success"].item()
    assert info["final_obs"].flatten()[2].abs().item() > cartpole.ANGLE_LIMIT
    assert obs["obs"].abs().max().item() <= 0.05


def test_a_pole_that_falls_in_its_last_step_has_fallen():
    """Falling in step 500 is terminal: neither a success nor to be bootstrapped from."""
    env = cartpole.create_env(EnvConfig(num_envs=1, max_steps=500))
    env.reset()
    env.elapsed.fill_(499)
    env.state[2] = 2 * cartpole.ANGLE_LIMIT
    _, _, done, info = env.step(torch.tensor([0]))
    assert (done.item(), info["truncated"].item(), info["success"].item()) == (True, False, False)


def test_cartpole_starts_like_gymnasium_s():
    """Starts are uniform on +-0.05 in all four numbers."""
    obs = cartpole.create_env(EnvConfig(num_envs=4000, max_steps=500)).reset()["obs"].flatten(1)
    assert obs.shape == (4000, 4)
    assert obs.abs().max().item() <= 0.05
    assert obs.std(dim=0).tolist() == pytest.approx([0.1 / 12**0.5] * 4, rel=0.05)


# -- grid goal -----------------------------------------------------------------------------------


def toward(obs):
    """Return the moves `[N]` of a walker that goes straight to its goal."""
    walker, goal = (obs[:, plane].flatten(1).argmax(dim=1) for plane in (0, 1))
    down, right = goal // 5 - walker // 5, goal % 5 - walker % 5
    sideways = torch.where(right > 0, 3, 2)
    return torch.where(down > 0, 1, torch.where(down < 0, 0, sideways))


def test_grid_goal_can_be_solved():
    """Walking straight to the goal succeeds everywhere, for 1 less 0.02 a step."""
    env = grid_goal.create_env(EnvConfig(num_envs=64, max_steps=20, seed=2))
    obs = env.reset()
    distance = sum((env.walker - env.goal).abs().T)
    assert distance.min().item() >= 1
    total, success = torch.zeros(64), torch.zeros(64).bool()
    for _ in range(8):
        obs, reward, done, info = env.step(toward(obs["obs"]))
        total += reward
        success |= info["success"]
    assert success.all()
    assert done.all()
    torch.testing.assert_close(total, 1 - 0.02 * distance)


def test_grid_goal_freezes():
    """A finished walker stays where it is, done and without reward, until reset."""
    env = grid_goal.create_env(EnvConfig(num_envs=1, max_steps=2))
    env.reset()
    env.walker.copy_(torch.tensor([[0, 0]]))
    env.goal.copy_(torch.tensor([[4, 4]]))
    walls = [env.step(torch.tensor([move])) for move in (0, 2)]  # up and left, into the corner
    assert [float(step[1]) for step in walls] == pytest.approx([-0.02, -0.02])
    assert env.walker.tolist() == [[0, 0]]
    obs, reward, done, info = env.step(torch.tensor([1]))
    assert env.walker.tolist() == [[0, 0]]
    assert (reward.item(), done.item(), obs["done"].item(), info["success"].item()) == (
        0.0,
        True,
        True,
        False,
    )
    assert not env.reset()["done"].item()


def test_grid_goal_draws_every_pair_of_cells():
    """Starts and goals are uniform over pairs of different cells."""
    env = grid_goal.create_env(EnvConfig(num_envs=60_000, max_steps=20))
    env.reset()
    start = env.walker[:, 0] * 5 + env.walker[:, 1]
    goal = env.goal[:, 0] * 5 + env.goal[:, 1]
    counts = torch.bincount(start * 25 + goal, minlength=625).view(25, 25)
    assert counts.diagonal().sum().item() == 0
    others = counts[~torch.eye(25, dtype=torch.bool)]
    assert others.min().item() > 50  # 100 expected, deviation 10
    assert others.max().item() < 150
