"""Advantages worked out by hand, with gamma 0.9 and lambda 0.8 (so their product is 0.72)."""

import pytest
import torch

from simverse.training.gae import compute_gae, successor_values


def advantages(rewards, values, bootstrap, dones, *, live=None, final_values=None, lam=0.8):
    """Return the advantages of one sub-environment as a list."""
    column = [torch.tensor(x, dtype=torch.float64).unsqueeze(1) for x in (rewards, values)]
    ends = torch.tensor(dones).bool().unsqueeze(1)
    alive = torch.ones_like(ends) if live is None else torch.tensor(live).bool().unsqueeze(1)
    final = torch.tensor(final_values or [0.0] * len(dones), dtype=torch.float64).unsqueeze(1)
    after = successor_values(column[1], torch.tensor([bootstrap]).double(), ends, final)
    return compute_gae(*column, after, ends, alive, gamma=0.9, lam=lam).flatten().tolist()


def test_terminal_episode():
    """A terminal step is worth its reward alone, whatever the critic says of what follows."""
    # deltas: 1 + 0.9 * 1 - 0.5 = 1.4; 2 + 0.9 * 1.5 - 1 = 2.35; 3 - 1.5 = 1.5
    # sums: 1.5; 2.35 + 0.72 * 1.5 = 3.43; 1.4 + 0.72 * 3.43 = 3.8696
    got = advantages([1.0, 2.0, 3.0], [0.5, 1.0, 1.5], 99.0, [0, 0, 1])
    assert got == pytest.approx([3.8696, 3.43, 1.5])


def test_unfinished_rollout_bootstraps():
    """A rollout cut off mid-episode counts the value of its last observation."""
    # deltas: 1.4; 2.35; 3 + 0.9 * 2 - 1.5 = 3.3
    # sums: 3.3; 2.35 + 0.72 * 3.3 = 4.726; 1.4 + 0.72 * 4.726 = 4.80272
    got = advantages([1.0, 2.0, 3.0], [0.5, 1.0, 1.5], 2.0, [0, 0, 0])
    assert got == pytest.approx([4.80272, 4.726, 3.3])


def test_episode_that_resets_itself():
    """The next episode in the same column gives nothing to the one before it."""
    # deltas: 1 - 0.5 = 0.5 (terminal); 2 + 0.9 * 1.5 - 1 = 2.35; 3 + 0.9 * 2 - 1.5 = 3.3
    got = advantages([1.0, 2.0, 3.0], [0.5, 1.0, 1.5], 2.0, [1, 0, 0])
    assert got == pytest.approx([0.5, 4.726, 3.3])


def test_frozen_environment_with_masked_slots():
    """Slots of a frozen sub-environment have no advantage and give none, however wild they are."""
    # deltas: 1 + 0.9 * 1 - 0.5 = 1.4; 2 - 1 = 1 (terminal)
    got = advantages(
        [1.0, 2.0, 50.0, 60.0], [0.5, 1.0, -70.0, 80.0], 90.0, [0, 1, 1, 1], live=[1, 1, 0, 0]
    )
    assert got == pytest.approx([1.4 + 0.72 * 1.0, 1.0, 0.0, 0.0])


def test_masked_slot_after_a_reset():
    """A masked first slot of the next episode lies outside both episodes' sums."""
    # deltas: 1 - 0.5 = 0.5 (terminal); masked; 3 + 0.9 * 2 - 1.5 = 3.3
    got = advantages([1.0, 50.0, 3.0], [0.5, -70.0, 1.5], 2.0, [1, 0, 0], live=[1, 0, 1])
    assert got == pytest.approx([0.5, 0.0, 3.3])


def test_masked_slot_without_done():
    """The sum stops before a masked slot even if no `done` announced it."""
    # delta 0: 1 + 0.9 * 2 - 0.5 = 2.3: the next observation's value, but none of its rewards
    got = advantages([1.0, 50.0, 3.0], [0.5, 2.0, 1.5], 2.0, [0, 0, 0], live=[1, 0, 1])
    assert got == pytest.approx([2.3, 0.0, 3.3])


def test_truncated_episode_bootstraps_from_its_final_observation():
    """An episode cut short counts the value of `final_obs`, not of the observation after it."""
    # deltas: 1 + 0.9 * 4 - 0.5 = 4.1; 3 + 0.9 * 2 - 1.5 = 3.3
    got = advantages([1.0, 3.0], [0.5, 1.5], 2.0, [1, 0], final_values=[4.0, 0.0])
    assert got == pytest.approx([4.1, 3.3])


def test_constant_critic_that_is_right():
    """A critic that knows the value of reward 1 for ever, 1 / (1 - gamma), leaves no advantage."""
    assert advantages([1.0] * 6, [10.0] * 6, 10.0, [0] * 6) == pytest.approx([0.0] * 6)


def test_constant_critic_with_a_known_reward():
    """With critic 0 and lambda 1 the advantage is the discounted return."""
    got = advantages([1.0] * 4, [0.0] * 4, 0.0, [0, 0, 0, 1], lam=1.0)
    assert got == pytest.approx([3.439, 2.71, 1.9, 1.0])


def test_lambda_zero_is_the_one_step_error():
    """With lambda 0 each advantage is its own temporal difference."""
    got = advantages([1.0, 2.0, 3.0], [0.5, 1.0, 1.5], 2.0, [0, 0, 0], lam=0.0)
    assert got == pytest.approx([1.4, 2.35, 3.3])


def test_columns_are_independent():
    """Sub-environments side by side get the advantages they would get alone."""
    rewards = torch.tensor([[1.0, 7.0], [2.0, -1.0]], dtype=torch.float64)
    values = torch.tensor([[0.5, 3.0], [1.0, 2.0]], dtype=torch.float64)
    dones = torch.tensor([[False, True], [False, False]])
    bootstrap = torch.tensor([1.5, 4.0], dtype=torch.float64)
    after = successor_values(values, bootstrap, dones, torch.zeros_like(values))
    live = torch.ones_like(dones)
    both = compute_gae(rewards, values, after, dones, live, gamma=0.9, lam=0.8)
    assert both[:, 0].tolist() == pytest.approx(advantages([1.0, 2.0], [0.5, 1.0], 1.5, [0, 0]))
    assert both[:, 1].tolist() == pytest.approx(advantages([7.0, -1.0], [3.0, 2.0], 4.0, [1, 0]))
