import pytest
import torch

from simverse.errors import EnvironmentContractError, PolicyError
from simverse.training.rollout import ActorCritic, Collector, normalized
from tests.simverse.fakes import ACTIONS, LinearCritic, ScriptedEnv, config


def collector(env, policy=None, slots=None, seed=0):
    """Return a collector that has begun a rollout."""
    made = Collector(
        env,
        ActorCritic(policy or LinearCritic(), ACTIONS),
        slots=slots or len(env.rewards),
        generator=torch.Generator().manual_seed(seed),
        device=torch.device("cpu"),
    )
    made.begin()
    return made


def test_live_buffers_are_copied():
    """Each slot keeps what it saw, though the environment returns one buffer it writes over."""
    env = ScriptedEnv([[0.0]] * 3, [[0]] * 3)
    rollout = collector(env).collect(3)
    assert rollout.obs.flatten().tolist() == [0.0, 1.0, 2.0, 3.0]


def test_actions_are_recorded_as_sampled():
    """An environment that writes into the actions it is given does not change the record."""

    class Scribbler(ScriptedEnv):
        def step(self, actions):
            result = super().step(actions)
            actions.fill_(-7)
            return result

    env = Scribbler([[0.0, 0.0]] * 3, [[0, 0]] * 3)
    rollout = collector(env).collect(3)
    assert torch.equal(rollout.actions, torch.stack(env.actions))
    assert set(rollout.actions.flatten().tolist()) <= {0, 1}


def test_every_slot_is_live_without_a_done_entry():
    """Without `done` in the observation, slots after an episode's end are trained on."""
    env = ScriptedEnv([[1.0]] * 3, [[1], [0], [1]])
    assert collector(env).collect(3).live.flatten().tolist() == [True, True, True]


def test_slot_after_a_marked_observation_is_not_live():
    """A `done` entry voids the sub-environment's next slot, and only that."""
    env = ScriptedEnv(
        [[1.0, 1.0]] * 3, [[1, 0], [0, 0], [0, 0]], marked=[[0, 0], [1, 0], [0, 0], [0, 0]]
    )
    live = collector(env).collect(3).live
    assert live.tolist() == [[True, True], [False, True], [True, True]]


def test_frozen_batch_ends_the_rollout():
    """A batch marked done in two observations running is frozen: no more steps are taken."""
    marked = [[0, 0], [1, 0], [1, 1], [1, 1], [1, 1], [1, 1]]
    env = ScriptedEnv([[1.0, 1.0]] * 5, marked[1:], marked=marked)
    running = collector(env)
    rollout = running.collect(5)
    assert running.finished
    assert env.taken == 3
    assert rollout.live.tolist() == [[True, True], [False, True], [False, False]]


def test_batch_that_resets_itself_goes_on():
    """A whole batch marked done once, then running again, is not taken for a frozen one."""
    env = ScriptedEnv(
        [[1.0, 1.0]] * 4,
        [[0, 0], [1, 1], [0, 0], [0, 0]],
        marked=[[0, 0], [0, 0], [1, 1], [0, 0], [0, 0]],
    )
    running = collector(env)
    assert len(running.collect(4).rewards) == 4
    assert not running.finished


def test_begin_forgets_that_the_last_rollout_froze():
    """A rollout after a frozen one starts live again."""
    marked = [[0], [1], [1], [1]]
    running = collector(ScriptedEnv([[1.0]] * 3, marked[1:], marked=marked))
    running.collect(3)
    running.begin()
    assert not running.finished
    assert running.collect(1).live.tolist() == [[True]]


def test_begin_gives_an_environment_that_reset_does_not_free_a_step():
    """Marks seen before `begin` do not count: even a stuck batch is stepped once to tell."""
    running = collector(ScriptedEnv([[1.0]] * 3, [[1]] * 3, marked=[[1]] * 4))
    for _ in range(2):
        assert len(running.collect(3).rewards) == 1
        assert running.finished
        running.begin()


def test_segments_join():
    """A segment starts at what the last one led to, marks included."""
    env = ScriptedEnv([[1.0]] * 4, [[0], [1], [0], [0]], marked=[[0], [0], [1], [0], [0]])
    running = collector(env, slots=2)
    first = running.collect(2)
    assert first.obs.flatten().tolist() == [0.0, 1.0, 2.0]
    second = running.collect(2)
    assert second.obs.flatten().tolist() == [2.0, 3.0, 4.0]
    assert second.live.flatten().tolist() == [False, True]


def test_unfinished_rollout_bootstraps_from_its_last_observation():
    """The target of the last slot holds the critic's value of what it led to."""
    env = ScriptedEnv([[1.0]] * 2, [[0]] * 2)
    batch = collector(env, LinearCritic(scale=10.0)).collect(2).batch(config(gae_lambda=0.0))
    # Values are 0, 10, 20 at the three observations; gamma is 0.9.
    assert batch.returns.tolist() == pytest.approx([1.0 + 9.0, 1.0 + 18.0])


def test_done_does_not_bootstrap():
    """Done is terminal: the target is the reward alone."""
    env = ScriptedEnv([[1.0]] * 2, [[0], [1]])
    batch = collector(env, LinearCritic(scale=10.0)).collect(2).batch(config(gae_lambda=0.0))
    assert batch.returns.tolist() == pytest.approx([10.0, 1.0])


def test_truncation_bootstraps_from_final_obs():
    """Where `truncated` says so, done counts the critic's value of `final_obs`."""
    env = ScriptedEnv([[1.0, 1.0]], [[1, 1]], truncated=[[1, 0]], final_obs=7.0)
    batch = collector(env, LinearCritic(scale=10.0)).collect(1).batch(config())
    assert batch.returns.tolist() == pytest.approx([1.0 + 0.9 * 70.0, 1.0])


def test_truncated_without_done_means_nothing():
    """A sub-environment that is not done goes on, whatever `truncated` says."""
    env = ScriptedEnv([[1.0]], [[0]], truncated=[[1]], final_obs=7.0)
    batch = collector(env, LinearCritic(scale=10.0)).collect(1).batch(config())
    assert batch.returns.tolist() == pytest.approx([1.0 + 0.9 * 10.0])


def test_truncation_is_forgotten_by_the_next_segment():
    """A final observation's value does not linger in the storage that segments share."""
    env = ScriptedEnv([[1.0]] * 2, [[1], [1]], truncated=[[1], [0]], final_obs=7.0)
    running = collector(env, LinearCritic(scale=10.0), slots=1)
    assert running.collect(1).batch(config()).returns.tolist() == pytest.approx([64.0])
    assert running.collect(1).batch(config()).returns.tolist() == pytest.approx([1.0])


def test_batch_leaves_masked_slots_out():
    """Only live transitions are trained on, each with its own observation and action."""
    marked = [[0, 0], [1, 0], [1, 0], [1, 0]]
    env = ScriptedEnv([[1.0, 2.0], [50.0, 3.0], [60.0, 4.0]], marked[1:], marked=marked)
    rollout = collector(env).collect(3)
    batch = rollout.batch(config(gae_lambda=0.0))
    assert batch.obs.flatten().tolist() == [0.0, 0.0, 1.0, 2.0]
    assert batch.advantages.tolist() == pytest.approx([1.0, 2.0, 3.0, 4.0])
    assert batch.actions.tolist() == rollout.actions[rollout.live].tolist()


def test_normalisation_ignores_masked_slots():
    """What a frozen sub-environment does cannot shift or scale the others' advantages."""
    marked = [[0, 0], [1, 0], [1, 0], [1, 0]]

    def advantages(garbage):
        rewards = [[1.0, 2.0], [garbage, 3.0], [garbage, 4.0]]
        env = ScriptedEnv(rewards, marked[1:], marked=marked)
        return collector(env).collect(3).batch(config(normalize_advantages=True)).advantages

    assert torch.equal(advantages(0.0), advantages(1e6))
    assert advantages(0.0).mean().item() == pytest.approx(0.0, abs=1e-6)
    assert advantages(0.0).std().item() == pytest.approx(1.0, abs=1e-6)


def test_normalisation_leaves_a_single_transition_alone():
    """One advantage has no deviation to divide by."""
    assert normalized(torch.tensor([3.0])).tolist() == [3.0]


def test_normalising_advantages_leaves_returns_alone():
    """The critic's targets are the same with and without normalised advantages."""
    env = ScriptedEnv([[100.0], [300.0]], [[0], [1]])
    rollout = collector(env).collect(2)
    plain, scaled = (rollout.batch(config(normalize_advantages=flag)) for flag in (False, True))
    assert plain.returns.tolist() == pytest.approx([100.0 + 0.72 * 300.0, 300.0])
    assert torch.equal(scaled.returns, plain.returns)


def test_actions_are_sampled_from_the_softmax():
    """Actions come up as often as the policy's probabilities say, within four deviations."""
    policy = LinearCritic()
    policy.logits.data = torch.tensor([0.0, 1.0])
    env = ScriptedEnv([[0.0] * 1000] * 10, [[0] * 1000] * 10)
    share = collector(env, policy).collect(10).actions.double().mean().item()
    expected = torch.tensor([0.0, 1.0]).softmax(0)[1].item()
    assert share == pytest.approx(expected, abs=4 * (expected * (1 - expected) / 10_000) ** 0.5)


def test_stored_log_probabilities_are_the_policy_s():
    """The batch's log-probability of each action is that of the policy that took it."""
    policy = LinearCritic()
    policy.logits.data = torch.tensor([0.0, 1.0])
    batch = collector(ScriptedEnv([[0.0] * 8], [[0] * 8]), policy).collect(1).batch(config())
    expected = torch.tensor([0.0, 1.0]).log_softmax(0)[batch.actions]
    torch.testing.assert_close(batch.log_probs, expected)


def test_tensors_made_during_a_rollout_stay_usable():
    """An environment may write in place, later, to a tensor it made while stepping."""

    class Maker(ScriptedEnv):
        def step(self, actions):
            self.made = self.live_obs + 1
            return super().step(actions)

    env = Maker([[0.0]], [[0]])
    collector(env).collect(1)
    env.made.add_(1)  # raises on a tensor made under inference_mode
    assert env.made.flatten().tolist() == [2.0]


def result_with(**changes):
    """Return an environment class that puts `changes` into each step's result."""

    class Faulty(ScriptedEnv):
        def step(self, actions):
            obs, reward, done, info = super().step(actions)
            step = {"obs": obs, "reward": reward, "done": done, "info": info} | changes
            return step["obs"], step["reward"], step["done"], step["info"]

    return Faulty([[0.0, 0.0]], [[0, 0]])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"reward": torch.zeros(3)}, r"reward must be a tensor \[2\] or \[2, 1\], got .*\[3\]"),
        ({"reward": torch.zeros(2, 2)}, r"reward must be .* got a tensor \[2, 2\]"),
        ({"reward": 1.0}, r"reward must be .* got a float"),
        ({"reward": torch.zeros(2, dtype=torch.bool)}, r"reward must be a number, got torch.bool"),
        ({"reward": torch.tensor([0.0, float("nan")])}, r"reward is not finite at step 0 of .* 1"),
        ({"done": torch.zeros(2)}, r"done must be bool, got torch.float32"),
        ({"done": torch.zeros(2, 1).bool()}, r"done must be a tensor \[2\], got a tensor \[2, 1\]"),
        ({"obs": {"obs": torch.zeros(2, 1, 1)}}, r"obs must be a tensor \[2, 1, 1, 1\], got .*"),
        ({"obs": torch.zeros(2, 1, 1, 1)}, r"observation dict with 'obs', got a tensor"),
        ({"obs": {"obs": torch.full((2, 1, 1, 1), float("inf"))}}, r"observation is not finite"),
        ({"info": None}, r"info must be a dict"),
        ({"info": {"success": torch.ones(2)}}, r"info\['success'\] must be bool"),
        ({"info": {"success": torch.ones(1).bool()}}, r"info\['success'\] must be a tensor \[2\]"),
        ({"info": {"truncated": torch.ones(2).bool()}}, r"needs info\['final_obs'\]"),
    ],
)
def test_environment_faults_are_named(changes, message):
    """What an environment gets wrong is an EnvironmentContractError that says what it is."""
    with pytest.raises(EnvironmentContractError, match=message):
        collector(result_with(**changes)).collect(1)


def test_reward_may_have_a_second_axis():
    """Rewards `[N, 1]` are taken as `[N]`."""
    rollout = collector(result_with(reward=torch.tensor([[1.0], [2.0]]))).collect(1)
    assert rollout.rewards.tolist() == [[1.0, 2.0]]


class Faulty(LinearCritic):
    """A policy whose output a function changes."""

    def __init__(self, change):
        super().__init__()
        self.change = change

    def forward(self, obs):
        return self.change(*super().forward(obs))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda logits, value: logits, r"must return \(logits, value\), got a tensor \[2, 2\]"),
        (
            lambda logits, value: (logits[:, :1], value),
            r"logits must be .*\[2, 2\], got .*\[2, 1\]",
        ),
        (
            lambda logits, value: (logits, value.squeeze(1)),
            r"value must be .*\[2, 1\], got .*\[2\]",
        ),
        (lambda logits, value: (logits * float("nan"), value), r"logits is not finite at step 0"),
        (lambda logits, value: (logits + float("inf"), value), r"logits is not finite"),
        (lambda logits, value: (logits, value * float("nan")), r"value is not finite at step 0"),
    ],
)
def test_policy_faults_are_named(change, message):
    """What a policy gets wrong is a PolicyError that says what it is."""
    with pytest.raises(PolicyError, match=message):
        collector(ScriptedEnv([[0.0, 0.0]], [[0, 0]]), Faulty(change)).collect(1)


def test_unknown_precision_is_refused():
    """Only the two precisions there are can be asked for."""
    with pytest.raises(ValueError, match="fp16"):
        ActorCritic(LinearCritic(), ACTIONS, "fp16")
