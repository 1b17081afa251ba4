import pytest
import torch

from simverse.core.config import EnvConfig
from simverse.envs import battle_grid
from simverse.envs.battle_grid import SIZE
from simverse.play import uniform

UP, RIGHT, DOWN, LEFT, ATTACK = range(5)


def battle(ours, theirs, *, leaders=2, health=None, max_steps=60):
    """Return one battle with units on these cells (row, column), unit 0's turn."""
    env = battle_grid.create_env(EnvConfig(num_envs=1, max_steps=max_steps, num_agents=leaders))
    env.reset()
    env.place.copy_(torch.tensor([[ours, theirs]]))
    if health is not None:
        env.health.copy_(torch.tensor([health]))
    return env


FAR_APART = [(0, 0), (2, 0), (4, 0)], [(0, 5), (2, 5), (4, 5)]


def test_units_act_in_turn():
    """Each step moves one unit of each team, the next living one; walls stop it."""
    env = battle(*FAR_APART, health=[[1.0, 0.0, 1.0], [1.0, 1.0, 1.0]])
    env.step(torch.tensor([[RIGHT, RIGHT]]))  # the right team's view is mirrored: towards us
    assert env.place[0, :, 0].tolist() == [[0, 1], [0, 4]]
    env.step(torch.tensor([[LEFT, DOWN]]))  # our unit 1 has fallen: unit 2 it is
    assert env.place[0, 0].tolist() == [[0, 1], [2, 0], [4, 0]]
    assert env.place[0, 1, 1].tolist() == [3, 5]


def test_a_blow_takes_half_a_unit():
    """A blow in reach takes half a unit's health, for a twelfth of reward either way."""
    env = battle([(0, 0), (5, 0), (5, 0)], [(0, 2), (5, 5), (5, 5)])
    _, reward, done, _ = env.step(torch.tensor([[ATTACK, UP]]))
    assert env.health[0].tolist() == [[1.0, 1.0, 1.0], [0.5, 1.0, 1.0]]
    assert reward[0].tolist() == pytest.approx([0.5 * 0.5 / 3, -0.5 * 0.5 / 3])
    assert not done.item()


def test_out_of_reach_nothing_happens():
    """An attack on nobody within two steps is a wasted turn."""
    env = battle([(0, 0), (5, 0), (5, 0)], [(0, 3), (5, 5), (5, 5)])
    _, reward, _, _ = env.step(torch.tensor([[ATTACK, ATTACK]]))
    assert reward.tolist() == [[0.0, 0.0]]
    assert env.health.min().item() == 1.0


def test_the_weakest_in_reach_is_struck():
    """Of the opponents in reach the weakest is struck, the fallen never."""
    env = battle(
        [(2, 2), (5, 0), (5, 0)],
        [(2, 3), (2, 4), (2, 1)],
        health=[[1.0, 1.0, 1.0], [1.0, 0.5, 0.0]],
    )
    env.step(torch.tensor([[ATTACK, UP]]))
    assert env.health[0, 1].tolist() == [1.0, 0.0, 0.0]


def test_both_strike_in_the_same_step():
    """Blows land together: the last two units can fall to each other, which is a tie."""
    env = battle([(0, 0)] * 3, [(0, 1)] * 3, health=[[0.5, 0.0, 0.0], [0.5, 0.0, 0.0]])
    _, reward, done, info = env.step(torch.tensor([[ATTACK, ATTACK]]))
    assert reward.tolist() == [[0.0, 0.0]]
    assert (done.item(), info["winner"].item(), info["success"].item()) == (True, 2, False)


@pytest.mark.parametrize("leaders", [1, 2])
def test_the_last_blow_wins(leaders):
    """CandidateEvidence alone is the victory, worth 0.5 beside the damage, and success."""
    env = battle(
        [(0, 0)] * 3, [(0, 1)] * 3, leaders=leaders, health=[[1.0, 1.0, 1.0], [0.5, 0.0, 0.0]]
    )
    orders = torch.tensor([[ATTACK, UP]]) if leaders == 2 else torch.tensor([ATTACK])
    _, reward, done, info = env.step(orders)
    damage = 0.5 * 0.5 / 3
    taken = 0.0 if leaders == 2 else damage  # the script strikes back
    assert reward.flatten()[0].item() == pytest.approx(0.5 + damage - taken)
    assert (done.item(), info["winner"].item(), info["success"].item()) == (True, 0, True)
    assert not info["truncated"].item()


def test_the_script_walks_and_strikes():
    """The script's unit comes nearer until somebody is in reach, then attacks."""
    env = battle([(0, 0), (0, 0), (0, 0)], [(0, 4), (5, 5), (5, 5)], leaders=1)
    env.step(torch.tensor([UP]))
    assert env.place[0, 1, 0].tolist() == [0, 3]
    env.steps.fill_(0)  # unit 0 again
    env.step(torch.tensor([RIGHT]))
    env.steps.fill_(0)
    env.step(torch.tensor([UP]))
    assert env.health[0, 0].min().item() == 0.5


def test_the_teams_mirror_each_other():
    """A mirrored position looks the same to both leaders, and stays so under the same orders."""
    env = battle(*FAR_APART)
    act = uniform(5, 3)
    for _ in range(40):
        obs = env.step(act(torch.zeros(1)).repeat(2).view(1, 2))[0]["local_obs"][0]
        torch.testing.assert_close(obs[0], obs[1])


def test_two_leaders_play_for_the_same_pie():
    """With two leaders the rewards add up to nothing in every step."""
    env = battle_grid.create_env(EnvConfig(num_envs=64, max_steps=60, num_agents=2, seed=5))
    env.reset()
    act, ended = uniform(5, 7), 0
    for _ in range(200):
        _, reward, done, _ = env.step(act(torch.zeros(128)).view(64, 2))
        torch.testing.assert_close(reward.sum(dim=1), torch.zeros(64))
        assert reward.abs().max().item() <= 1.0
        ended += int(done.sum())
    assert ended > 64


def test_observation_of_a_known_state():
    """Turn, own and others' health and reach are where they should be."""
    env = battle([(0, 0), (1, 1), (1, 1)], [(5, 5), (3, 3), (3, 3)], leaders=1)
    env.health[0, 1, 2] = 0.5
    obs = env._observe()[0]
    assert obs[0].nonzero().tolist() == [[0, 0]]
    assert obs[1, 1, 1].item() == pytest.approx(2 / 3)
    assert obs[2, 3, 3].item() == pytest.approx(1.5 / 3)
    assert obs[3].sum().item() == 0.0
    env.place[0, 1, 1] = torch.tensor([1, 1])
    assert env._observe()[0, 3].sum().item() == SIZE * SIZE


def test_three_leaders_are_refused():
    """There are two teams."""
    with pytest.raises(ValueError, match="1 or 2 leaders, got num_agents=3"):
        battle_grid.create_env(EnvConfig(num_envs=1, num_agents=3))
