"""Running normalisation, against Gymnasium's own and by hand."""

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium.wrappers.utils import RunningMeanStd
from gymnasium.wrappers.vector import NormalizeObservation as GymObservation
from gymnasium.wrappers.vector import NormalizeReward as GymReward

from simverse.core.checks import WORLD_REWARD
from simverse.core.env import SimEnv
from simverse.play import greedy, play
from simverse.policies import SimplePolicy
from simverse.training.ppo import PPOConfig, train
from simverse.wrappers import NormalizeObservation, NormalizeReward, RunningStatistics
from tests.simverse.fakes import LinearCritic, ScriptedEnv, config
from tests.simverse.wandering import MODES, vectorised, wanderers

NOTHING = torch.zeros(3, dtype=torch.int64)
ENDLESS = ((10**6, False),) * 3
CUT = ((2, True), (3, True), (5, True))


def test_statistics_are_those_of_all_samples():
    """Batches of any size add up to the moments of everything, next to a weightless prior."""
    torch.manual_seed(0)
    samples = torch.randn(1000, 2, 3) * torch.tensor([1e-4, 1.0, 1e3]) + 50.0
    statistics = RunningStatistics((2, 3))
    for batch in samples.split([1, 0, 7, 392, 600]):
        statistics.update(batch)
    doubles = samples.double()
    torch.testing.assert_close(statistics.mean, doubles.mean(dim=0), rtol=1e-6, atol=0.0)
    prior = 1e-4 / 1000 * 50.0**2  # what a prior at 0 with weight 1e-4 adds at a mean of 50
    variance = doubles.var(dim=0, correction=0)
    torch.testing.assert_close(statistics.variance, variance, rtol=1e-5, atol=1.1 * prior)
    assert statistics.count.item() == pytest.approx(1000.0001)


def test_observations_are_gymnasium_s():
    """Step by step to 1e-5 while statistics are learnt, and when they are frozen."""
    theirs = GymObservation(vectorised("NEXT_STEP", ENDLESS))
    ours = NormalizeObservation(wanderers("NEXT_STEP", ENDLESS), clip=np.inf)
    expected, _ = theirs.reset(seed=7)
    np.testing.assert_allclose(ours.reset()["obs"].view(3, 3), expected, rtol=1e-5, atol=1e-5)
    for step in range(60):
        if step == 40:
            theirs.update_running_mean = False
            ours.eval()
        expected, *_ = theirs.step(np.zeros(3, dtype=np.int64))
        shown = ours.step(NOTHING)[0]["obs"].view(3, 3)
        np.testing.assert_allclose(shown, expected, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(ours.statistics.mean.view(3), theirs.obs_rms.mean, rtol=1e-5)


@pytest.mark.parametrize("mode", MODES)
def test_ends_of_episodes_are_normalised_and_not_counted(mode):
    """What is acted on is counted, in every mode; `final_obs` goes by the same statistics."""
    raw, env = wanderers(mode), NormalizeObservation(wanderers(mode))
    reference = RunningMeanStd(shape=(3,))

    def expected(obs):
        scaled = (obs.view(3, 3).double().numpy() - reference.mean) / np.sqrt(reference.var + 1e-8)
        return np.clip(scaled, -10.0, 10.0)

    def compare(found, payload):
        obs = payload["obs"].view(3, 3).double().numpy()
        live = obs[~payload["done"].numpy()] if "done" in payload else obs
        if len(live):
            reference.update(live)
        np.testing.assert_allclose(found["obs"].view(3, 3), expected(payload["obs"]), atol=1e-5)

    compare(env.reset(), raw.reset())
    ends = 0
    for _ in range(40):
        found, _, done, info = env.step(NOTHING)
        payload, _, _, raw_info = raw.step(NOTHING)
        compare(found, payload)
        final = info["final_obs"].view(3, 3)
        np.testing.assert_allclose(final, expected(raw_info["final_obs"]), atol=1e-5)
        ends += int(done.sum())
    assert ends > 20
    assert env.statistics.count.item() == pytest.approx(reference.count)


def test_the_scale_of_frozen_sub_environments_is_not_learnt():
    """A sub-environment that waits for `reset` shows the same thing over and over: not counted."""
    env = NormalizeObservation(
        ScriptedEnv([[0.0, 0.0]] * 3, [[1, 0]] * 3, marked=[[0, 0], [1, 0], [1, 0], [1, 0]])
    )
    env.reset()
    for _ in range(3):
        env.step(NOTHING[:2])
    assert env.statistics.count.item() == pytest.approx(5.0001)
    assert env.statistics.mean.item() == pytest.approx((0 + 0 + 1 + 2 + 3) / 5, rel=1e-3)


def test_rewards_are_gymnasium_s():
    """Step by step to 1e-5, over cut episodes in a batch that resets itself."""
    theirs = GymReward(vectorised("SAME_STEP", CUT), gamma=0.9)
    ours = NormalizeReward(wanderers("SAME_STEP", CUT), gamma=0.9, clip=np.inf)
    theirs.reset(seed=7)
    ours.reset()
    for step in range(60):
        if step == 40:
            theirs.update_running_mean = False
            ours.eval()
        _, expected, *_ = theirs.step(np.zeros(3, dtype=np.int64))
        _, reward, _, _ = ours.step(NOTHING)
        np.testing.assert_allclose(reward, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("mode", MODES)
def test_a_return_begins_anew_with_its_episode(mode):
    """Ended or cut, with the last reward counted: `VecNormalize`'s rule, by hand in numpy.

    Gymnasium forgets what came before the last reward of an episode that ends for good.
    """
    raw, env = wanderers(mode), NormalizeReward(wanderers(mode), gamma=0.9)
    raw.reset()
    env.reset()
    reference, returns, void = RunningMeanStd(shape=()), np.zeros(3), np.zeros(3, dtype=bool)
    for _ in range(40):
        _, reward, _, info = env.step(NOTHING)
        payload, paid, done, _ = raw.step(NOTHING)
        returns[~void] = returns[~void] * 0.9 + paid.numpy()[~void]
        if not void.all():
            reference.update(returns[~void])
        returns[done.numpy()] = 0.0
        void = payload["done"].numpy() if "done" in payload else void
        expected = np.clip(paid.numpy() / np.sqrt(reference.var + 1e-8), -10.0, 10.0)
        np.testing.assert_allclose(reward, expected, rtol=1e-5, atol=1e-6)
        assert torch.equal(info[WORLD_REWARD], paid)


def test_returns_that_are_reported_are_the_task_s():
    """In training and in play, whatever the order of wrappers."""
    rewards = [[4.0, 1.0], [2.0, 3.0], [6.0, 5.0]]
    env = NormalizeObservation(NormalizeReward(ScriptedEnv(rewards, [[0, 0]] * 3)))
    (stats,) = train(env, LinearCritic(), config(max_steps=3), episodes=1, seed=0)
    assert stats.mean_return == 10.5
    assert stats.shaped_return is not None
    assert stats.shaped_return != 10.5
    played = play(env.eval(), greedy(LinearCritic(), 2), max_steps=3)
    assert played.returns.tolist() == [12.0, 9.0]


def test_shaped_rewards_are_scaled_and_the_world_s_is_kept():
    """What the world pays goes through as it is, beside a shaped reward that is normalised."""

    class Shaped(ScriptedEnv):
        def step(self, actions):
            payload, reward, done, info = super().step(actions)
            return payload, reward, done, info | {WORLD_REWARD: reward * 0 + 0.5}

    env = NormalizeReward(Shaped([[4.0], [2.0]], [[0], [0]]), clip=np.inf)
    env.reset()
    _, reward, _, info = env.step(NOTHING[:1])
    assert info[WORLD_REWARD].tolist() == [0.5]
    assert reward.item() == pytest.approx(4.0 / env.statistics.variance.sqrt().item(), rel=1e-4)


def test_statistics_are_saved_to_the_bit(tmp_path):
    """Another wrapper that loads them shows the same numbers, and learns on alike."""
    first = NormalizeReward(NormalizeObservation(wanderers("SAME_STEP")))
    first.reset()
    for _ in range(20):
        first.step(NOTHING)
    torch.save(first.env.statistics.state_dict(), tmp_path / "statistics.pt")
    loaded = torch.load(tmp_path / "statistics.pt", weights_only=True)
    assert {value.dtype for value in loaded.values()} == {torch.float64}
    pair = []
    for source in (first.env.statistics.state_dict(), loaded):
        env = NormalizeObservation(wanderers("SAME_STEP", seed=11))
        env.statistics.load_state_dict(source)
        env.reset()
        pair.append([env.step(NOTHING)[0]["obs"] for _ in range(5)])
    assert all(map(torch.equal, *pair))
    assert (pair[0][-1].abs() < 10.0).all()


def test_held_out_environments_share_the_statistics():
    """They follow those of training, and change nothing in evaluation mode."""
    training = NormalizeObservation(wanderers("SAME_STEP"))
    held_out = NormalizeObservation(
        wanderers("SAME_STEP", seed=11), statistics=training.statistics
    ).eval()
    training.reset()
    before = training.statistics.mean.clone()
    held_out.reset()
    held_out.step(NOTHING)
    assert torch.equal(training.statistics.mean, before)
    training.step(NOTHING)
    assert not torch.equal(held_out.statistics.mean, before)


def test_what_does_not_fit_is_refused():
    """Statistics of other observations, and discounts that let returns grow."""
    with pytest.raises(ValueError, match=r"of \(4,\), the observations of \(1, 1, 3\)"):
        NormalizeObservation(wanderers("SAME_STEP"), statistics=RunningStatistics((4,)))
    with pytest.raises(ValueError, match="gamma must be from 0 to 1"):
        NormalizeReward(wanderers("SAME_STEP"), gamma=1.1)


class BadlyScaled(SimEnv):
    """Shows a large number that means nothing and a tiny one whose sign is the action that pays."""

    action_space = gymnasium.spaces.Discrete(2)
    observation_space = gymnasium.spaces.Box(-np.inf, np.inf, shape=(1, 1, 2))

    def __init__(self, num_envs, seed):
        super().__init__()
        self.num_envs = num_envs
        self.generator = torch.Generator().manual_seed(seed)

    def reset(self):
        return {"obs": self._draw()}

    def step(self, actions):
        reward = (actions == self.wanted).float()
        return {"obs": self._draw()}, reward, torch.zeros(self.num_envs).bool(), {}

    def _draw(self):
        numbers = torch.randn(self.num_envs, 2, generator=self.generator)
        self.wanted = (numbers[:, 1] > 0).long()
        return (numbers * torch.tensor([3e3, 1e-3]) + torch.tensor([1e4, 0.0])).view(-1, 1, 1, 2)


@pytest.mark.system
def test_badly_scaled_observations_are_learnt_when_normalised():
    """The same training finds the rule with the wrapper, and is at chance without it."""
    scores = []
    for wrap in (
        lambda env, _: env,
        lambda env, found: NormalizeObservation(env, statistics=found),
    ):
        torch.manual_seed(0)
        found = RunningStatistics((1, 1, 2))
        env = wrap(BadlyScaled(32, seed=0), found)
        policy = SimplePolicy(env.observation_space, env.action_space, hidden=16)
        settings = PPOConfig.for_task(num_envs=32, max_steps=16, lr=3e-3, training_epochs=4)
        train(env, policy, settings, episodes=15, seed=0)
        held_out = wrap(BadlyScaled(64, seed=1), found).eval()
        played = play(held_out, greedy(policy, 2), max_steps=16)
        scores.append(float(played.returns.mean()) / 16)
    plain, normalised = scores
    assert normalised > 0.95
    assert plain < 0.65
