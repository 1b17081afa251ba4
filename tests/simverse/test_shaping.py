"""Potential-based shaping (Ng, Harada & Russell 1999) leaves what is optimal as it is."""

import pytest
import torch

from simverse.worlds.observed import ObservedWorld
from simverse.worlds.perception import Perception
from tests.simverse.fakes import CountingWorld
from tests.simverse.test_observed_world import counted, module

GAMMA = 0.9


def potential(view):
    """Return any function of a view's state, `[N]`."""
    return torch.sin(1.0 + view["count"].float())


@pytest.mark.parametrize("ending", ["reset", "frozen", "void"])
def test_shaped_returns_differ_by_the_first_potential_alone(ending):
    """`gamma * phi(after) - phi(before)`, 0 after an end, adds up to `-phi(first)`."""

    def shape_reward(before, actions, after, reward, done):
        ahead = torch.where(done, 0.0, GAMMA * potential(after))
        return {"world": reward, "potential": ahead - potential(before)}

    env = ObservedWorld(
        CountingWorld([2, 5], ending),
        Perception.of(module(observe=counted, shape_reward=shape_reward)),
    )
    env.reset()
    running, difference = torch.ones(2).bool(), torch.zeros(2)
    for step in range(5):
        _, reward, done, info = env.step(torch.zeros(2).long())
        gap = GAMMA**step * (reward - info["world_reward"])
        difference += torch.where(running, gap, 0.0)
        running &= ~done
    first = potential({"count": torch.zeros(2)})
    assert difference.tolist() == pytest.approx((-first).tolist(), abs=1e-6)
