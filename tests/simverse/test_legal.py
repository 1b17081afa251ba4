"""Masks of legal actions: in sampling, in the loss and its gradient, in greedy play."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn.functional import log_softmax, one_hot

from simverse.core.categorical import action_log_probs
from simverse.core.env import SimEnv
from simverse.core.legal import greedy_actions, legal_actions, legal_logits
from simverse.core.world import World
from simverse.errors import EnvironmentContractError
from simverse.play import greedy, play, uniform
from simverse.replay import record
from simverse.testing import check_env
from simverse.training.loss import Batch, loss_gradient, loss_terms
from simverse.training.ppo import train
from simverse.training.rollout import ActorCritic, Collector
from simverse.worlds.observed import ObservedWorld
from simverse.worlds.perception import Perception
from tests.simverse.fakes import CountingWorld, config

N, CELLS, ACTIONS = 16, 8, 12


class Locks(World):
    """A row of locks, each with a key of its own among 12, that the view shows among one other.

    The right key opens the lock and pays 1/8; any other pays nothing; one that is not shown breaks
    the world. An episode is over after 8 keys.
    """

    def __init__(self, num_envs=N, *, frozen=False, seed=0):
        super().__init__()
        self.num_envs, self.max_steps, self.frozen = num_envs, CELLS, frozen
        self.action_space = SimpleNamespace(n=ACTIONS)
        self.generator = torch.Generator().manual_seed(seed)
        self.register_buffer("legal", torch.zeros(num_envs, ACTIONS, dtype=torch.bool))
        self.register_buffer("key", torch.zeros(num_envs, dtype=torch.int64))
        self.register_buffer("steps", torch.zeros(num_envs, dtype=torch.int64))
        self.illegal = 0

    def view(self):
        view = {"key": self.key, "legal": self.legal}
        return view | ({"done": self.steps >= CELLS} if self.frozen else {})

    def draw(self):
        keys = torch.rand(self.num_envs, ACTIONS, generator=self.generator).argsort(dim=1)
        self.key.copy_(keys[:, 0])
        self.legal.zero_().scatter_(1, keys[:, :2], True)
        if self.frozen:
            self.legal[self.steps >= CELLS] = False

    def reset(self):
        self.steps.zero_()
        self.draw()
        return self.view()

    def step(self, actions):
        over = (self.steps >= CELLS) & self.frozen
        self.illegal += int((~self.legal[torch.arange(self.num_envs), actions] & ~over).sum())
        reward = torch.where(over, 0.0, (actions == self.key) / CELLS)
        self.steps += 1
        done = self.steps >= CELLS
        if not self.frozen:
            self.steps.masked_fill_(done, 0)
        self.draw()
        return self.view(), reward, done, {"success": done & (reward > 0)}


def hot(view):
    """Observe the key, and say what is legal."""
    return one_hot(view["key"], ACTIONS).float().view(-1, 1, 1, ACTIONS), view["legal"]


def observed(world, observe=hot):
    """Return a world seen by `observe`."""
    space = SimpleNamespace(shape=(1, 1, ACTIONS))
    module: Any = SimpleNamespace(observation_space=lambda spaces: space, observe=observe)
    return ObservedWorld(world, Perception.of(module))


class Linear(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Linear(ACTIONS, ACTIONS + 1)

    def forward(self, obs):
        out = self.body(obs.flatten(1))
        return out[:, :-1], out[:, -1:]


def collector(env, policy=None, slots=CELLS, seed=0):
    """Return a collector that has begun a rollout."""
    made = Collector(
        env,
        ActorCritic(policy or Linear(), ACTIONS),
        slots=slots,
        generator=torch.Generator().manual_seed(seed),
        device=torch.device("cpu"),
    )
    made.begin()
    return made


# -- what is a mask ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "found",
    [None, 3, torch.ones(2, 3), torch.ones(2).bool(), torch.ones(2, 4).bool(), [[True] * 3] * 2],
)
def test_other_things_by_the_name_are_left_alone(found):
    """An environment's own `mask` of another kind is no mask of legal actions."""
    assert legal_actions(found, None, 2, 3) is None


def test_a_running_episode_has_a_legal_action():
    """At least one; where the episode is over there may be none."""
    mask = torch.tensor([[True, False], [False, False]])
    assert legal_actions(mask, torch.tensor([False, True]), 2, 2) is mask
    for marked in (None, torch.tensor([True, False])):
        with pytest.raises(EnvironmentContractError, match="leaves sub-environment 1 no legal"):
            legal_actions(mask, marked, 2, 2)


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        (torch.ones(N, ACTIONS), f"must be bool [{N}, {ACTIONS}], got torch.float32 [{N}, "),
        (torch.ones(N, 3).bool(), f"must be bool [{N}, {ACTIONS}], got torch.bool [{N}, 3]"),
        ([True], f"must be bool [{N}, {ACTIONS}], got list"),
        (torch.zeros(N, ACTIONS).bool(), "leaves sub-environment 0 no legal action"),
    ],
)
def test_masks_of_observers_are_refused(mask, message):
    """With a world, what comes beside the observation is a mask of legal actions or an error."""
    env = observed(Locks(), lambda view: (hot(view)[0], mask))
    with pytest.raises(EnvironmentContractError) as caught:
        env.reset()
    assert message in str(caught.value)


def test_observers_may_leave_the_mask_out():
    """`(obs, None)` is as good as `obs`; a tuple of three is neither."""
    for result in (lambda view: hot(view)[0], lambda view: (hot(view)[0], None)):
        assert set(observed(Locks(), result).reset()) == {"obs"}
    with pytest.raises(EnvironmentContractError, match=r"or \(obs, mask\), got a tuple"):
        observed(Locks(), lambda view: (*hot(view), 1)).reset()


# -- sampling ------------------------------------------------------------------------------------


def test_illegal_actions_are_never_sampled():
    """Whatever the policy prefers, over a hundred thousand draws."""

    class Stubborn(Linear):
        def forward(self, obs):
            return -30.0 * obs.flatten(1) + torch.arange(ACTIONS), obs.new_zeros(len(obs), 1)

    for policy in (Linear(), Stubborn()):
        world = Locks(num_envs=128)
        running = collector(observed(world), policy, slots=400)
        rollout = running.collect(400)
        chosen = rollout.legal.gather(2, rollout.actions.unsqueeze(2))
        assert rollout.legal.shape == (400, 128, ACTIONS)
        assert bool(chosen.all())
        assert world.illegal == 0


def test_samples_follow_the_renormalised_probabilities():
    """Legal actions are as likely as the softmax over them alone says."""

    class Fixed(SimEnv):
        num_envs = 20_000
        action_space = SimpleNamespace(n=4)
        observation_space = SimpleNamespace(shape=(1, 1, 1))

        def reset(self):
            mask = torch.tensor([True, False, True, True]).expand(self.num_envs, 4)
            return {"obs": torch.zeros(self.num_envs, 1, 1, 1), "mask": mask}

        def step(self, actions):
            zero = torch.zeros(self.num_envs)
            return self.reset(), zero, zero.bool(), {}

    logits = torch.tensor([0.5, 9.0, -1.0, 1.5])

    class Constant(nn.Module):
        def forward(self, obs):
            return logits.expand(len(obs), 4), obs.new_zeros(len(obs), 1)

    env = Fixed()
    made = Collector(
        env, ActorCritic(Constant(), 4), slots=1, generator=torch.Generator().manual_seed(0),
        device=torch.device("cpu"),
    )  # fmt: skip
    made.begin()
    rollout = made.collect(1)
    shares = torch.bincount(rollout.actions.flatten(), minlength=4) / env.num_envs
    expected = logits[[0, 2, 3]].softmax(dim=0)
    assert shares[1] == 0.0
    assert shares[[0, 2, 3]].tolist() == pytest.approx(expected.tolist(), abs=0.015)
    # The loss is held against the same distribution.
    taken = rollout.batch(config(gae_lambda=0.0)).log_probs
    by_hand = torch.full((4,), -torch.inf).index_copy(0, torch.tensor([0, 2, 3]), expected.log())
    assert torch.allclose(taken, by_hand[rollout.actions.flatten()], atol=1e-6)


def test_segments_keep_their_masks():
    """The first slot of a segment has the mask of the observation that the last one led to."""
    world = Locks()
    running = collector(observed(world), slots=3)
    for _ in range(4):
        rollout = running.collect(3)
        assert bool(rollout.legal.gather(2, rollout.actions.unsqueeze(2)).all())
        assert (rollout.legal.sum(dim=2) == 2).all()
    assert world.illegal == 0


def test_nothing_is_kept_without_masks():
    """A rollout has masks only where an observation has had one."""
    env = observed(Locks(), lambda view: hot(view)[0])
    rollout = collector(env).collect(CELLS)
    assert rollout.legal is None
    assert rollout.batch(config()).legal is None


def test_a_mask_may_come_and_go():
    """Where an observation has none, all actions are legal."""
    calls = []

    def observe(view):
        calls.append(1)
        return hot(view) if len(calls) % 2 == 0 else hot(view)[0]

    rollout = collector(observed(Locks(), observe)).collect(4)
    assert rollout.legal.sum(dim=2)[:, 0].tolist() == [ACTIONS, 2, ACTIONS, 2]


def test_frozen_episodes_need_no_legal_action():
    """They are not trained on, so that the loss stays finite."""
    world = Locks(frozen=True)
    running = collector(observed(world), slots=12)
    rollout = running.collect(12)
    assert running.finished
    batch = rollout.batch(config(max_steps=12))
    assert len(batch.actions) == CELLS * N
    assert bool(batch.legal.any(dim=1).all())
    assert bool(batch.log_probs.isfinite().all())
    assert world.illegal == 0


def test_a_final_view_needs_no_legal_action():
    """Nothing is done there: it is only worth something."""

    def observe(view):
        return view["count"].float().view(-1, 1, 1, 1), (view["count"] < 2)[:, None].expand(-1, 2)

    space = SimpleNamespace(shape=(1, 1, 1))
    module: Any = SimpleNamespace(observation_space=lambda spaces: space, observe=observe)
    env = ObservedWorld(CountingWorld([2, 2], cut=True), Perception.of(module))
    env.reset()
    infos = [env.step(torch.zeros(2).long())[3] for _ in range(2)]
    assert infos[1]["final_obs"].flatten().tolist() == [2.0, 2.0]


# -- the loss ------------------------------------------------------------------------------------


def masked_batch(dtype, count=64, actions=5):
    """Return logits, values and a batch of which many actions are illegal, one row has one left."""
    generator = torch.Generator().manual_seed(5)

    def normal(*shape):
        return torch.randn(shape, generator=generator, dtype=dtype)

    legal = torch.rand(count, actions, generator=generator) < 0.4
    legal[torch.arange(count), torch.randint(actions, (count,), generator=generator)] = True
    legal[0] = one_hot(torch.tensor(2), actions).bool()
    taken = greedy_actions(torch.rand(count, actions, generator=generator), legal)
    old_logits = legal_logits(normal(count, actions), legal)
    old = action_log_probs(log_softmax(old_logits, dim=-1), taken)
    batch = Batch(normal(count, 1, 1, 1), taken, old, normal(count), 5 * normal(count), legal=legal)
    logits = (3 * normal(count, actions)).requires_grad_()
    return logits, normal(count).requires_grad_(), batch


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 1e-6)])
@pytest.mark.parametrize("value_clip", [None, 0.2])
def test_closed_form_gradient_is_autograd_s_under_a_mask(dtype, tolerance, value_clip):
    """With and without entropy; finite everywhere, and 0 where an action is illegal."""
    for entropy_coef in (0.0, 0.3):
        settings = config(entropy_coef=entropy_coef, value_coef=0.7, value_clip=value_clip)
        logits, values, batch = masked_batch(dtype)
        if value_clip is not None:
            batch = batch._replace(values=torch.zeros_like(values.detach()))
        loss_terms(logits, values, batch, settings).loss(settings).backward()
        at_logits, at_values = loss_gradient(logits, values, batch, settings)
        torch.testing.assert_close(at_logits, logits.grad, rtol=0.0, atol=tolerance)
        torch.testing.assert_close(at_values, values.grad, rtol=0.0, atol=tolerance)
        assert bool(at_logits.isfinite().all())
        assert at_logits[~batch.legal].abs().max() == 0.0
        assert logits.grad[~batch.legal].abs().max() == 0.0


def test_the_loss_is_that_of_the_legal_actions_alone():
    """Entropy and ratio are those of a policy that has no other actions."""
    logits, values, batch = masked_batch(torch.float64)
    terms = loss_terms(logits, values, batch, config())
    for row in range(len(batch.actions)):
        legal = batch.legal[row].nonzero().squeeze(1)
        alone = log_softmax(logits[row, legal], dim=0)
        assert terms.entropy[row].item() == pytest.approx(
            -(alone.exp() * alone).sum().item(), abs=1e-12
        )
    assert terms.entropy[0].item() == 0.0
    assert bool(torch.stack(terms).isfinite().all())


def test_batches_keep_their_columns_apart():
    """A batch with masks and no old values is not taken for one with values and no masks."""
    _, _, batch = masked_batch(torch.float32, count=7)
    order = torch.arange(6, -1, -1)
    turned = batch.rows(order)
    assert turned.values is None
    assert torch.equal(turned.legal, batch.legal[order])
    parts = list(turned.split(3))
    assert [len(part.actions) for part in parts] == [3, 2, 2]
    assert torch.equal(torch.cat([part.legal for part in parts]), turned.legal)
    assert all(part.values is None for part in parts)


# -- play ----------------------------------------------------------------------------------------


def test_greedy_play_is_legal():
    """The most likely of the legal actions, also beside an infinite score."""
    scores = torch.tensor([[5.0, 1.0, 0.0], [torch.inf, -2.0, -1.0]])
    mask = torch.tensor([[False, True, True]] * 2)
    assert greedy_actions(scores, mask).tolist() == [1, 2]
    assert greedy_actions(scores).tolist() == [0, 0]


@pytest.mark.parametrize("frozen", [False, True])
def test_played_episodes_are_legal(frozen):
    """Greedy or random, in numbers and in replays."""
    for act in (greedy(Linear(), ACTIONS), uniform(ACTIONS, seed=1)):
        world = Locks(frozen=frozen)
        played = play(observed(world), act, max_steps=CELLS + 2)
        assert world.illegal == 0
        assert played.lengths.tolist() == [CELLS] * N
    world = Locks(frozen=frozen)
    document = record(observed(world), Linear(), max_steps=CELLS)
    assert (world.illegal, len(document["steps"])) == (0, CELLS)


def test_random_legal_actions_are_all_played():
    """Each about as often as the others."""
    mask = torch.tensor([True, False, True, False]).expand(4000, 4)
    actions = uniform(4, seed=0)(torch.zeros(4000, 1, 1, 1), mask)
    assert torch.bincount(actions, minlength=4).tolist() == pytest.approx(
        [2000, 0, 2000, 0], abs=150
    )


# -- training ------------------------------------------------------------------------------------


@pytest.mark.parametrize("settings", [{}, {"torch_fastpath": False}, {"value_clip": 0.2}])
def test_ppo_learns_where_most_actions_are_illegal(settings):
    """Two of twelve keys are legal: from half of the return to nearly all of it; never a breach."""
    torch.manual_seed(0)
    world, policy = Locks(), Linear()
    history = train(
        observed(world),
        policy,
        config(max_steps=CELLS, lr=0.03, training_epochs=4, batch_size=32, gamma=0.5, **settings),
        episodes=25,
        seed=0,
    )
    assert world.illegal == 0
    assert history[0].mean_return < 0.7
    assert history[0].entropy < torch.tensor(2.0).log() + 1e-6
    assert history[-1].mean_return > 0.9
    fresh = Locks(seed=99)
    assert play(observed(fresh), greedy(policy, ACTIONS), max_steps=CELLS).returns.mean() > 0.95
    assert fresh.illegal == 0


def test_both_gradients_train_alike():
    """The closed form and autograd give the same weights to rounding."""
    weights = []
    for fast in (True, False):
        torch.manual_seed(0)
        policy = Linear()
        settings = config(max_steps=CELLS, batch_size=32, torch_fastpath=fast)
        train(observed(Locks()), policy, settings, episodes=3, seed=0)
        weights.append(policy.body.weight.detach().clone())
    torch.testing.assert_close(*weights, rtol=0.0, atol=1e-5)


def test_check_env_notes_a_mask_of_another_kind():
    """So that its author learns that nothing is masked."""

    class Odd(ObservedWorld):
        def _seen(self, view):
            return super()._seen(view) | {"mask": torch.ones(self.num_envs, ACTIONS)}

    def create_env(config, *, num_envs, **options):
        made = observed(Locks(num_envs, seed=config.seed))
        made.__class__ = Odd
        return made

    (note,) = [note for note in check_env(create_env).notes if "mask" in note]
    assert note.startswith(
        "the observation's 'mask' is not used: the mask of legal actions must be"
    )
