import pytest
import torch

from simverse.envs import make
from simverse.envs.farming import FERTILE_STEPS, POOR_STEPS, SIZE, TARGET

UP, RIGHT, DOWN, LEFT, WORK = range(5)


def farm(*, fertile=True, at=(0, 0)):
    """Return one bare farm, all of one soil."""
    env = make("farming", num_envs=1, max_steps=60, seed=0)
    env.reset()
    env.need.fill_(FERTILE_STEPS if fertile else POOR_STEPS)
    env.farmer.copy_(torch.tensor([at]))
    return env


def act(env, *actions):
    """Return the rewards of some steps."""
    return [round(env.step(torch.tensor([action]))[1].item(), 4) for action in actions]


@pytest.mark.parametrize(("fertile", "steps"), [(True, FERTILE_STEPS), (False, POOR_STEPS)])
def test_a_crop_takes_its_time(fertile, steps):
    """A crop can be reaped after as many steps as its soil needs, and not a step before."""
    env = farm(fertile=fertile)
    rewards = act(env, *[WORK] * (steps + 1))
    assert rewards[0] == pytest.approx(0.01)  # sown
    assert rewards[1:steps] == pytest.approx([-0.01] * (steps - 1))
    assert rewards[steps] == pytest.approx(0.29)
    assert env.harvests.item() == 1
    assert env.age[0, 0].item() == -1


def test_walls_stop_the_farmer():
    """The farmer stays on the plots."""
    env = farm(at=(0, 0))
    assert act(env, UP, LEFT) == [-0.01, -0.01]
    assert env.farmer.tolist() == [[0, 0]]
    act(env, DOWN, RIGHT)
    assert env.farmer.tolist() == [[1, 1]]


def test_a_ripe_crop_keeps():
    """Ripe crops wait for the farmer, shown as fully grown."""
    env = farm()
    act(env, WORK, RIGHT, *[UP] * 30)
    obs = env.step(torch.tensor([UP]))[0]["obs"][0]
    assert (obs[2, 0, 0].item(), obs[3, 0, 0].item()) == (1.0, 1.0)
    assert obs[3].sum().item() == 1.0
    assert act(env, LEFT, WORK) == [-0.01, 0.29]


def test_success_is_the_sixth_harvest():
    """The sixth harvest is the success, and the season goes on."""
    env = farm()
    env.harvests.fill_(TARGET - 1)
    env.age[0, 0] = FERTILE_STEPS
    _, _, done, info = env.step(torch.tensor([WORK]))
    assert info["success"].item()
    assert not done.item()


def test_plots_are_fertile_with_their_chance():
    """Two plots in five are fertile, and farmers start anywhere."""
    env = make("farming", num_envs=4000, seed=2)
    obs = env.reset()["obs"]
    assert obs[:, 1].mean().item() == pytest.approx(0.4, abs=0.01)
    starts = torch.bincount(env.farmer[:, 0] * SIZE + env.farmer[:, 1], minlength=SIZE**2)
    assert starts.min().item() > 100  # 160 expected, deviation 12
    assert obs[:, 2:].sum().item() == 0.0
