"""Recurrent policies: what they remember, when they forget, and that memory is what is learnt."""

import math
from types import SimpleNamespace

import pytest
import torch
from gymnasium import spaces
from torch import nn

from simverse.core.distributions import action_distribution
from simverse.core.env import SimEnv
from simverse.core.recurrence import is_recurrent
from simverse.errors import PolicyError
from simverse.play import Player, greedy, play
from simverse.policies import RecurrentPolicy, SimplePolicy
from simverse.replay import record
from simverse.training.actor_critic import ActorCritic
from simverse.training.checkpoints import TrainingCheckpoints
from simverse.training.evaluation import EvaluateEvery
from simverse.training.features import FeaturePolicy
from simverse.training.multi_agent import Layout, TeamPolicy
from simverse.training.ppo import train
from simverse.training.recurrent import RecurrentCollector
from simverse.training.update import update
from simverse.training.utils import adam
from tests.simverse.fakes import ACTIONS, SHAPE, Bandit, ScriptedEnv, config

SPACES = SimpleNamespace(shape=SHAPE), spaces.Discrete(ACTIONS)


class Counter(nn.Module):
    """Counts the steps since its state began: its value is the count, this step included."""

    def __init__(self, change=None):
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(ACTIONS))
        self.change = change

    def initial_state(self, batch):
        return torch.zeros(batch, 1)

    def forward(self, obs, state):
        state = state + 1
        output = self.bias + 0 * state, state, state
        return output if self.change is None else self.change(*output)


def collector(env, policy, slots, seed=0):
    """Return a collector that has begun a rollout."""
    made = RecurrentCollector(
        env,
        ActorCritic(policy, action_distribution(env.action_space, policy)),
        slots=slots,
        generator=torch.Generator().manual_seed(seed),
        device=torch.device("cpu"),
    )
    made.begin()
    return made


# -- when it forgets -------------------------------------------------------------------------------


def test_the_state_begins_anew_with_each_episode():
    """After a done, in that sub-environment alone, and in the next segment too."""
    env = ScriptedEnv([[0.0, 0.0]] * 6, [[0, 0], [1, 0], [0, 0], [0, 1], [0, 0], [0, 0]])
    running = collector(env, Counter(), slots=4)
    first, second = running.collect(4).values.T.tolist(), running.collect(2).values.T.tolist()
    assert first == [[1, 2, 1, 2, 3], [1, 2, 3, 4, 1]]
    assert second == [[3, 4, 5], [1, 2, 3]]


def test_a_rollout_begins_anew():
    """Whatever was remembered at the end of the last one."""
    running = collector(ScriptedEnv([[0.0]] * 3, [[0]] * 3), Counter(), slots=3)
    for _ in range(2):
        running.begin()
        assert running.collect(3).values.flatten().tolist() == [1, 2, 3, 4]


def test_a_void_slot_is_forgotten():
    """An episode's last observation, shown once more before the reset, is no memory of the next."""
    env = ScriptedEnv([[0.0]] * 4, [[0], [1], [0], [0]], marked=[[0], [0], [1], [0], [0]])
    assert collector(env, Counter(), 4).collect(4).values.flatten().tolist() == [1, 2, 1, 1, 2]


def test_a_final_observation_is_seen_with_the_memory_of_its_episode():
    """Truncation bootstraps from the state before it begins anew; looking does not count."""
    env = ScriptedEnv([[0.0]] * 3, [[0], [1], [0]], truncated=[[0], [1], [0]])
    rollout = collector(env, Counter(), 3).collect(3)
    assert rollout.final_values.flatten().tolist() == [0, 3, 0]
    assert rollout.values.flatten().tolist() == [1, 2, 1, 2]


class Reference(nn.Module):
    """A policy whose logits are a sum of all it saw since its episode began."""

    def initial_state(self, batch):
        return torch.zeros(batch, 1), torch.ones(batch, 1)

    def forward(self, obs, state):
        total, same = state[0] + obs.flatten(1), state[1]
        return torch.cat((total, -total), dim=1), total, (total, same)


def test_nothing_leaks_over_an_episode_s_end():
    """What was seen before an end changes nothing after it; what was seen after a begin does."""

    def totals(first):
        env = ScriptedEnv([[0.0]] * 4, [[0], [1], [0], [0]])
        env.reset = lambda: {"obs": torch.full((1, *SHAPE), first)}
        return collector(env, Reference(), 4).collect(4).values.flatten().tolist()

    assert totals(0.0) == [0, 1, 2, 5, 9]
    assert totals(9.0) == [9, 10, 2, 5, 9]


# -- running sequences again -----------------------------------------------------------------------


def scripted(steps=7, count=5, seed=0):
    """Return an environment with episodes of all lengths, some frozen for a while, and noise."""

    class Noisy(ScriptedEnv):
        def _payload(self):
            payload = super()._payload()
            return payload | {"obs": torch.randn(payload["obs"].shape, generator=self.generator)}

    generator = torch.Generator().manual_seed(seed)
    dones = torch.rand(steps, count, generator=generator) < 0.3
    marked = torch.cat((torch.zeros(1, count).bool(), dones))
    marked[:, ::2] = False
    env = Noisy(torch.rand(steps, count).tolist(), dones.tolist(), marked=marked.tolist())
    env.generator = generator
    return env


@pytest.mark.parametrize("cell", ["gru", "lstm"])
def test_a_segment_run_again_gives_what_it_gave(cell):
    """Logits and values of every live slot, resets in the middle, whichever group it is in."""
    torch.manual_seed(0)
    policy = RecurrentPolicy(*SPACES, hidden=8, cell=cell)
    nn.init.normal_(policy.actor.weight)
    running = collector(scripted(), policy, slots=4)
    for slots in (4, 3):
        rollout = running.collect(slots)
        assert rollout.dones.any()
        assert not rollout.live.all()
        batch = rollout.batch(config())
        dealt = []
        for rows, part in batch.sequences.deal(2, torch.Generator().manual_seed(slots)):
            logits, values = part.run(running.actor_critic)
            dealt += rows.tolist()
            for ours, theirs in (
                (logits, rollout.logits[rollout.live][rows]),
                (values, rollout.values[:-1][rollout.live][rows]),
                (part.obs[part.live], batch.obs[rows]),
            ):
                torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-6)
        assert sorted(dealt) == list(range(len(batch.actions)))
        assert rollout.logits.std() > 0.05


def test_the_gradient_flows_back_to_the_first_slot():
    """But not over an episode's end."""
    torch.manual_seed(0)
    policy = RecurrentPolicy(*SPACES, hidden=8)
    env = ScriptedEnv([[0.0, 0.0]] * 3, [[0, 1], [0, 0], [0, 0]])
    rollout = collector(env, policy, 3).collect(3)
    sequences = rollout.batch(config()).sequences
    seen = sequences.obs.clone().requires_grad_()
    part = type(sequences)(seen, sequences.begins, sequences.live, sequences.state)
    _, values = part.run(ActorCritic(policy, ACTIONS))
    (gradient,) = torch.autograd.grad(values.view(3, 2)[2].sum(), seen)
    reached = gradient.flatten(2).abs().sum(dim=2) > 0
    assert reached.tolist() == [[True, False], [True, True], [True, True]]


def test_a_sub_environment_without_a_live_slot_is_left_out():
    """Its sequence would be a minibatch of nothing."""
    marked = [[0, 1]] * 4
    env = ScriptedEnv([[1.0, 1.0]] * 3, [[0, 1]] * 3, marked=marked)
    policy = RecurrentPolicy(*SPACES, hidden=4)
    rollout = collector(env, policy, 3).collect(3)
    settings = config(batch_size=1, training_epochs=2)
    steps, report = update(
        ActorCritic(policy, ACTIONS),
        adam(policy, lr=1e-3),
        rollout.batch(settings),
        settings,
        torch.Generator().manual_seed(0),
    )
    assert steps == 2
    assert all(map(math.isfinite, report))


@pytest.mark.parametrize("space", [spaces.MultiDiscrete([2, 3]), spaces.Box(-1, 1, (2,))])
def test_other_actions_and_both_precisions(space):
    """A state beside means, and beside the logits of components; bf16 keeps the state's dtype."""
    env = Bandit(space, lambda cue, actions: actions.float().sum(dim=1), num_envs=4)
    for precision in ("fp32", "bf16"):
        policy = RecurrentPolicy(env.observation_space, space, hidden=4, squashed=True)
        before = policy.actor.weight.detach().clone()
        train(env, policy, config(max_steps=2), episodes=1, seed=0, precision=precision)
        assert not torch.equal(before, policy.actor.weight)


# -- what is recurrent, and what is refused --------------------------------------------------------


class OfItsOwn(nn.Module):
    """A method by the name, and a forward that takes observations alone."""

    def initial_state(self, batch):
        return torch.zeros(batch)

    def forward(self, obs):
        return obs


def test_what_is_recurrent():
    """`initial_state` and a forward that takes a state; not one of the two."""
    assert is_recurrent(RecurrentPolicy(*SPACES))
    assert is_recurrent(Counter())
    assert not is_recurrent(SimplePolicy(*SPACES))
    assert not is_recurrent(OfItsOwn())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda logits, value, state: (logits, value),
            r"return \(logits, value, state\), got \(a tensor",
        ),
        (
            lambda logits, value, state: (logits, value, state[:, 0]),
            r"state must stay a tensor \[1, 1\], got a tensor \[1\]",
        ),
        (lambda logits, value, state: (logits, value, (state,)), r"got \(a tensor \[1, 1\]\)"),
        (lambda logits, value, state: (logits[:, :1], value, state), r"logits must be a tensor"),
    ],
)
def test_wrong_outputs_are_named(change, message):
    """In training and in play."""
    env = ScriptedEnv([[0.0]], [[0]])
    policy = Counter(change)
    with pytest.raises(PolicyError, match=message):
        collector(env, policy, 1).collect(1)
    with pytest.raises(PolicyError, match=message):
        play(env, greedy(policy, ACTIONS), max_steps=1)


def test_an_initial_state_of_another_size_is_named():
    """It has one row for each episode."""
    policy = Counter()
    policy.initial_state = lambda batch: torch.zeros(1, batch + 1)
    with pytest.raises(PolicyError, match=r"initial_state\(2\) must return a tensor \[2, ...\]"):
        collector(ScriptedEnv([[0.0, 0.0]], [[0, 0]]), policy, 1)


def test_where_memory_is_refused():
    """In one line each: an unknown cell, teams, features."""
    with pytest.raises(ValueError, match="'gru' or 'lstm', got 'rnn'"):
        RecurrentPolicy(*SPACES, cell="rnn")
    policy = RecurrentPolicy(*SPACES)
    with pytest.raises(PolicyError, match="several agents: recurrent policies"):
        TeamPolicy([policy] * 2, Layout(2, SHAPE, None))
    with pytest.raises(PolicyError, match="no Dict space, no 'features'"):
        FeaturePolicy(policy, SimpleNamespace(seen=SHAPE, count=1))


# -- memory ----------------------------------------------------------------------------------------


class Recall(SimEnv):
    """A cue is shown at the first of four steps; the last action pays if it is the cue's."""

    LENGTH = 4

    def __init__(self, num_envs=64, seed=0):
        super().__init__()
        self.num_envs, self.max_steps = num_envs, self.LENGTH
        self.generator = torch.Generator().manual_seed(seed)

    @property
    def action_space(self):
        return spaces.Discrete(2)

    @property
    def observation_space(self):
        return SimpleNamespace(shape=(1, 1, 2))

    def reset(self):
        self.cue = torch.randint(2, (self.num_envs,), generator=self.generator)
        self.steps = 0
        return self.payload()

    def payload(self):
        shown = 2.0 * self.cue - 1 if self.steps == 0 else torch.zeros(self.num_envs)
        clock = torch.full((self.num_envs,), self.steps / self.LENGTH)
        return {"obs": torch.stack((shown, clock), dim=1).view(-1, 1, 1, 2)}

    def step(self, actions):
        self.steps += 1
        over = torch.full((self.num_envs,), self.steps == self.LENGTH)
        right = over & (actions == self.cue)
        payload = self.reset() if self.steps == self.LENGTH else self.payload()
        return payload, right.float(), over, {"success": right}


def recalled(policy):
    """Train a policy; return the share of 256 fresh greedy episodes in which it recalls the cue."""
    settings = config(
        max_steps=2 * Recall.LENGTH, batch_size=128, lr=1e-2, training_epochs=4, gamma=0.95,
        gae_lambda=0.95,
    )  # fmt: skip
    train(Recall(), policy, settings, episodes=12, seed=0)
    fresh = Recall(256, seed=1)
    with torch.no_grad():
        return play(fresh, greedy(policy, 2), max_steps=Recall.LENGTH).returns.mean().item()


@pytest.mark.system
@pytest.mark.parametrize("cell", ["gru", "lstm"])
def test_a_cue_is_remembered(cell):
    """A recurrent policy recalls what it saw three steps ago."""
    torch.manual_seed(0)
    env = Recall()
    policy = RecurrentPolicy(env.observation_space, env.action_space, hidden=16, cell=cell)
    assert recalled(policy) > 0.95
    document = record(Recall(1, seed=3), policy, max_steps=Recall.LENGTH)
    assert document["return"] == 1.0


@pytest.mark.parametrize("space", [spaces.Discrete(2), spaces.Box(-1, 1, (2,))])
def test_training_is_evaluated_kept_and_continued(tmp_path, space):
    """Half a training and then the rest is the whole one, whatever the actions."""

    class Scripted(ScriptedEnv):
        action_space = space

    def trained(episodes, name):
        torch.manual_seed(0)
        env, fresh = (Scripted([[1.0, 0.5]] * 4, [[0, 1], [0, 0], [1, 0], [0, 0]]) for _ in "ab")
        policy = RecurrentPolicy(env.observation_space, space, hidden=4)
        evaluate = EvaluateEvery(fresh, policy, every=1, episodes=2, max_steps=4)
        file = TrainingCheckpoints(tmp_path / name)
        train(
            env, policy, config(), episodes=episodes, seed=0, on_episode=evaluate, checkpoints=file
        )
        return [value.tolist() for value in policy.state_dict().values()]

    trained(1, "half")
    assert trained(2, "half") == trained(2, "whole")


@pytest.mark.system
def test_without_memory_a_cue_is_not_recalled():
    """A feed-forward policy guesses."""
    torch.manual_seed(0)
    env = Recall()
    assert recalled(SimplePolicy(env.observation_space, env.action_space, hidden=16)) < 0.65


def test_greedy_play_forgets_as_training_does():
    """A player's states are those of a collector that takes the same actions."""
    states = []

    class Watched(Counter):
        def forward(self, obs, state):
            output = super().forward(obs, state)
            states.append(output[2].flatten().tolist())
            return output

    env = ScriptedEnv([[0.0]] * 4, [[0], [1], [0], [0]], marked=[[0], [0], [1], [0], [0]])
    player = Player(env, greedy(Watched(), ACTIONS))
    for _ in range(2):
        player.reset()
        for _ in range(4):
            player.step()
    assert states == [[1], [2], [1], [1]] * 2
