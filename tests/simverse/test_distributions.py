"""Action distributions against `torch.distributions`, and learning with each of them."""

from types import SimpleNamespace

import pytest
import torch
from gymnasium import spaces
from torch import distributions as reference
from torch import nn

from simverse.checkpoint import CheckpointError, load, restore
from simverse.cli_parts import save_policy
from simverse.core.distributions import (
    Categorical,
    DiagonalGaussian,
    MultiCategorical,
    SquashedGaussian,
    action_distribution,
)
from simverse.errors import EnvironmentContractError, PolicyError
from simverse.play import greedy, play, uniform
from simverse.policies import RandomPolicy, SimplePolicy
from simverse.replay import record
from simverse.testing import ConformanceError, check_env
from simverse.training.actor_critic import ActorCritic
from simverse.training.loss import Batch, loss_terms
from simverse.training.multi_agent import TeamEnv
from simverse.training.ppo import train
from simverse.training.rollout import Collector
from tests.simverse.fakes import Bandit, config

LOW, HIGH = torch.tensor([-1.0, 0.0, -3.0]), torch.tensor([1.0, 4.0, 2.0])
BOX = spaces.Box(LOW.numpy(), HIGH.numpy())
NVEC = (3, 2, 4)
COUNT = 64


def random_outputs(distribution, dtype=torch.float64):
    """Return outputs `[COUNT, w]` and actions sampled from others."""
    generator = torch.Generator().manual_seed(7)

    def normal():
        return torch.randn(COUNT, distribution.width, generator=generator, dtype=dtype)

    old = normal()
    actions = distribution.sample(old, distribution.noise(old, generator))
    return normal(), old, actions


def independent_categoricals(outputs):
    return [reference.Categorical(logits=part) for part in outputs.split(NVEC, dim=1)]


def multi_reference(outputs, actions):
    parts = independent_categoricals(outputs)
    taken = zip(parts, actions.unbind(1), strict=True)
    return sum(p.log_prob(a) for p, a in taken), sum(p.entropy() for p in parts)


def gaussian_reference(outputs, actions):
    mean, log_std = outputs.chunk(2, dim=1)
    normal = reference.Independent(reference.Normal(mean, log_std.exp()), 1)
    return normal.log_prob(actions), normal.entropy()


def squashed_reference(outputs, actions):
    mean, log_std = outputs.chunk(2, dim=1)
    scale, middle = (HIGH - LOW) / 2, (HIGH + LOW) / 2
    squash = [
        reference.TanhTransform(cache_size=1),
        reference.AffineTransform(middle.double(), scale.double(), cache_size=1),
    ]
    normal = reference.Normal(mean, log_std.exp())
    squashed = reference.Independent(reference.TransformedDistribution(normal, squash), 1)
    # The cache makes the inverse exact.
    in_box = squash[1](squash[0](actions))
    log_prob = squashed.log_prob(in_box)
    return log_prob, -log_prob


HEADS = {
    "multi": (MultiCategorical(NVEC), multi_reference),
    "gaussian": (DiagonalGaussian(LOW, HIGH), gaussian_reference),
    "squashed": (SquashedGaussian(LOW, HIGH), squashed_reference),
}


@pytest.mark.parametrize("name", HEADS)
def test_log_probabilities_and_entropy_are_torch_s(name):
    """Of sampled actions, in single and double precision."""
    distribution, expected = HEADS[name]
    for dtype, tolerance in ((torch.float64, 1e-10), (torch.float32, 1e-5)):
        outputs, _, actions = random_outputs(distribution, dtype)
        found = distribution.evaluate(outputs, actions)
        wanted = expected(
            outputs.double(), actions.double() if actions.is_floating_point() else actions
        )
        for ours, theirs in zip(found, wanted, strict=True):
            torch.testing.assert_close(ours.double(), theirs, rtol=tolerance, atol=tolerance)
        torch.testing.assert_close(distribution.log_prob(outputs, actions), found[0])


@pytest.mark.parametrize("name", HEADS)
def test_loss_and_gradient_are_autograd_s_of_torch_s_distributions(name):
    """Clipped surrogate, value loss and entropy bonus written out on `torch.distributions`."""
    distribution, expected = HEADS[name]
    settings = config(entropy_coef=0.3, value_coef=0.7)
    outputs, old, actions = random_outputs(distribution)
    generator = torch.Generator().manual_seed(8)
    advantages, returns, values = torch.randn(3, COUNT, generator=generator).double()
    old_log_probs = expected(old, actions)[0]
    outputs.requires_grad_()
    values.requires_grad_()

    log_probs, entropy = expected(outputs, actions)
    ratio = (log_probs - old_log_probs).exp()
    clipped = ratio.clamp(0.8, 1.2)
    wanted = (
        -torch.minimum(ratio * advantages, clipped * advantages).mean()
        + 0.7 * 0.5 * (values - returns).square().mean()
        - 0.3 * entropy.mean()
    )
    batch = Batch(torch.zeros(COUNT, 1, 1, 1), actions, old_log_probs, advantages, returns)
    loss = loss_terms(outputs, values, batch, settings, distribution).loss(settings)
    assert loss.item() == pytest.approx(wanted.item(), rel=1e-9)
    gradients = torch.autograd.grad(loss, (outputs, values))
    for ours, theirs in zip(gradients, torch.autograd.grad(wanted, (outputs, values)), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-7, atol=1e-9)
        assert ours.abs().max() > 1e-3
    assert (ratio.detach() != clipped.detach()).any()


def test_a_far_squashed_action_has_a_finite_density():
    """Where tanh is 1 to the last bit, the logarithm of its slope is still right."""
    distribution = SquashedGaussian(-torch.ones(1), torch.ones(1))
    outputs, far = torch.tensor([[0.0, 2.0]]), torch.tensor([[30.0]])
    slope = 2 * (torch.tensor(2.0).log() - 30.0)
    normal = reference.Normal(0.0, torch.tensor(2.0).exp()).log_prob(far[0, 0])
    assert distribution.log_prob(outputs, far).item() == pytest.approx(float(normal - slope))


@pytest.mark.parametrize("name", ["gaussian", "squashed"])
def test_samples_have_the_mean_and_spread_asked_for(name):
    """20,000 samples, within four standard errors; the greedy action is the mean."""
    distribution, _ = HEADS[name]
    mean, log_std = torch.tensor([0.5, -1.0, 2.0]), torch.tensor([-1.0, 0.0, 0.5])
    outputs = torch.cat((mean, log_std)).expand(20_000, -1)
    drawn = distribution.sample(
        outputs, distribution.noise(outputs, torch.Generator().manual_seed(0))
    )
    error = log_std.exp() / 20_000**0.5
    assert ((drawn.mean(0) - mean).abs() < 4 * error).all()
    assert ((drawn.std(0) - log_std.exp()).abs() < 4 * error).all()
    torch.testing.assert_close(distribution.mode(outputs[0]), mean)


def test_samples_of_each_component_follow_its_softmax():
    """20,000 samples, within four standard errors; the greedy action is each component's best."""
    distribution = MultiCategorical((2, 3))
    logits = torch.tensor([0.0, 1.0, 2.0, 0.0, -torch.inf])
    outputs = logits.expand(20_000, -1)
    drawn = distribution.sample(
        outputs, distribution.noise(outputs, torch.Generator().manual_seed(0))
    )
    for column, part in zip(drawn.unbind(1), logits.split((2, 3)), strict=True):
        shares = torch.bincount(column, minlength=len(part)) / 20_000
        expected = part.softmax(0)
        assert ((shares - expected).abs() <= 4 * (expected * (1 - expected) / 20_000).sqrt()).all()
    assert distribution.mode(logits).tolist() == [1, 0]


def test_actions_reach_the_environment_inside_the_box():
    """Clipped, or squashed and scaled: the middle of the box at 0, its bounds far out."""
    far = torch.tensor([[-99.0, 0.0, 99.0]])
    assert DiagonalGaussian(LOW, HIGH).for_env(far).tolist() == [[-1.0, 0.0, 2.0]]
    squashed = SquashedGaussian(LOW, HIGH).for_env
    assert squashed(far).tolist() == [[-1.0, 2.0, 2.0]]
    inside = squashed(torch.tensor([[0.3, -0.2, 1.0]]))
    expected = LOW + (torch.tensor([0.3, -0.2, 1.0]).tanh() + 1) / 2 * (HIGH - LOW)
    torch.testing.assert_close(inside[0], expected)


@pytest.mark.parametrize(
    ("space", "squashed", "expected"),
    [
        (spaces.Discrete(4), False, Categorical(4)),
        (SimpleNamespace(n=4), True, Categorical(4)),
        (spaces.MultiDiscrete([3, 2]), False, MultiCategorical((3, 2))),
        (spaces.Box(-1, 1, (2,)), False, DiagonalGaussian),
        (spaces.Box(-1, 1, (2,)), True, SquashedGaussian),
    ],
)
def test_the_space_decides(space, squashed, expected):
    """And for a box the policy's `squashed`."""
    found = action_distribution(space, SimpleNamespace(squashed=squashed))
    assert type(found) is expected if isinstance(expected, type) else found == expected


@pytest.mark.parametrize(
    ("space", "message"),
    [
        (spaces.MultiBinary(3), "got MultiBinary with .n 3"),
        (spaces.Text(3), "must be discrete .*MultiDiscrete .* Box .* got Text"),
        (spaces.MultiDiscrete([[2, 2], [2, 2]]), "nvec must be one row of whole numbers"),
        (spaces.Box(-1, 1, (2, 2)), r"shape \(d,\) .* flatten it"),
        (spaces.Box(0, 1, ()), r"shape \(d,\) .* flatten it"),
        (spaces.Box(-torch.inf, torch.inf, (2,)), "squashed policy needs .* finite bounds"),
    ],
)
def test_other_spaces_are_refused_in_one_line(space, message):
    """What is wrong, and what would do."""
    with pytest.raises(EnvironmentContractError, match=message) as caught:
        action_distribution(space, SimpleNamespace(squashed=True))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "space", [BOX, spaces.Box(-torch.inf, torch.inf, (2,)), spaces.MultiDiscrete(NVEC)]
)
def test_random_actions_are_the_space_s(space):
    """Those of `uniform`, and of an untrained policy's samples as the environment gets them."""
    drawn = uniform(action_distribution(space), seed=1)(torch.zeros(500, 1, 1, 1))
    assert all(row.numpy().astype(space.dtype) in space for row in drawn)
    assert (drawn.float().std(0) > 0.4).all()
    logits, _ = RandomPolicy(space)(torch.zeros(3, 1, 1, 1))
    assert logits.shape == (3, action_distribution(space).width)


# -- in a rollout ----------------------------------------------------------------------------------


def collect(env, policy, slots=4):
    """Return a rollout of a policy in an environment."""
    collector = Collector(
        env,
        ActorCritic(policy, action_distribution(env.action_space, policy)),
        slots=slots,
        generator=torch.Generator().manual_seed(0),
        device=torch.device("cpu"),
    )
    collector.begin()
    return collector.collect(slots)


@pytest.mark.parametrize("squashed", [False, True])
@pytest.mark.parametrize("space", [BOX, spaces.MultiDiscrete(NVEC)])
def test_what_a_rollout_holds(space, squashed):
    """The environment gets members of the space; log-probabilities are the policy's."""
    torch.manual_seed(0)
    env = Bandit(space, lambda cue, actions: actions.sum(dim=1).float())
    policy = SimplePolicy(env.observation_space, space, hidden=8, squashed=squashed)
    rollout = collect(env, policy)
    assert all(row.numpy().astype(space.dtype) in space for row in torch.cat(env.taken))
    assert env.taken[0].dtype == (torch.float32 if space is BOX else torch.int64)
    batch = rollout.batch(config())
    outputs, _ = policy(batch.obs)
    distribution = action_distribution(space, policy)
    torch.testing.assert_close(distribution.log_prob(outputs, batch.actions), batch.log_probs)


class Told(nn.Module):
    """A policy that returns what a test tells it, for every observation."""

    def __init__(self, outputs):
        super().__init__()
        self.outputs = nn.Parameter(torch.tensor(outputs))

    def forward(self, obs):
        return self.outputs.expand(len(obs), -1), torch.zeros(len(obs), 1)


INF, NAN = float("inf"), float("nan")


@pytest.mark.parametrize(
    ("space", "outputs", "message"),
    [
        (spaces.Discrete(2), [-INF, -INF], "logits is not finite at step 0 of sub-environment 0"),
        (spaces.Discrete(2), [-INF, NAN], "logits is not finite"),
        (spaces.Discrete(2), [0.0, INF], "logits is not finite"),
        (spaces.MultiDiscrete([2, 2]), [0.0, 0.0, -INF, -INF], "logits is not finite"),
        (spaces.Box(-1, 1, (1,)), [NAN, 0.0], "action is not finite"),
        (spaces.Box(-1, 1, (1,)), [0.0, INF], "action is not finite"),
        (spaces.Box(-1, 1, (1,)), [0.0, -INF], "mean and log_std is not finite"),
        (spaces.Box(-1, 1, (1,)), [0.0], r"mean and log_std must be a tensor \[64, 2\], got"),
    ],
)
def test_outputs_from_which_nothing_can_be_drawn_are_refused(space, outputs, message):
    """A component without an action, NaN and plus infinity; shapes by their names."""
    env = Bandit(space, lambda cue, actions: actions.reshape(64, -1).sum(dim=1).float())
    with pytest.raises(PolicyError, match=message):
        collect(env, Told(outputs))


def test_the_policy_and_the_environment_may_not_rule_out_everything_together():
    """Each leaves an action, and both leave none."""

    class Masked(Bandit):
        def reset(self):
            return super().reset() | {"mask": torch.tensor([True, False]).expand(64, 2)}

    env = Masked(spaces.Discrete(2), lambda cue, actions: actions.float())
    with pytest.raises(PolicyError, match="logits is not finite"):
        collect(env, Told([-INF, 0.0]))
    rollout = collect(env, Told([0.0, 0.0]))
    assert rollout.actions.max() == 0
    assert rollout.legal[..., 1].any().item() is False


def test_logits_of_minus_infinity_change_nothing_but_those_actions():
    """Loss and gradient of a policy that rules an action out are those of one without it."""
    env = Bandit(spaces.Discrete(3), lambda cue, actions: actions.float())
    batch = collect(env, Told([0.5, -INF, 0.0])).batch(config())
    assert not batch.legal[:, 1].any()
    assert set(batch.actions.unique().tolist()) == {0, 2}
    policy = Told([0.5, -INF, 0.0])
    logits, values = policy(batch.obs)
    terms = loss_terms(logits, values.squeeze(1), batch, config(entropy_coef=0.1))
    terms.loss(config(entropy_coef=0.1)).backward()
    assert terms.approx_kl.abs().max() < 1e-6
    known = reference.Categorical(logits=torch.tensor([0.5, 0.0]))
    torch.testing.assert_close(terms.entropy, known.entropy().expand_as(terms.entropy))
    assert policy.outputs.grad[1] == 0
    assert (policy.outputs.grad[[0, 2]].abs() > 1e-3).all()


def test_a_mask_needs_a_legal_action_of_each_component():
    """One component without any is the environment's fault."""
    mask = torch.tensor([[True, True, False, False]])
    with pytest.raises(EnvironmentContractError, match="no legal action"):
        MultiCategorical((2, 2)).mask(mask, None, 1)
    assert MultiCategorical((1, 3)).mask(mask, None, 1) is mask


# -- learning --------------------------------------------------------------------------------------


def learned(env, policy, **settings):
    """Train a policy in one-step episodes; return its mean greedy reward."""
    chosen = {
        "max_steps": 8, "batch_size": 128, "buffer_size": 512, "lr": 1e-2, "training_epochs": 4,
        "normalize_advantages": True,
    } | settings  # fmt: skip
    episodes = chosen.pop("episodes", 12)
    train(env, policy, config(**chosen), episodes=episodes, seed=0)
    act = greedy(policy, action_distribution(env.action_space, policy))
    with torch.no_grad():
        return play(env, act, max_steps=1).returns.mean().item()


@pytest.mark.system
@pytest.mark.parametrize("squashed", [False, True])
def test_a_gaussian_learns_to_aim(squashed):
    """Greedy shots end close to where two cues say, within a box that is not centred."""
    torch.manual_seed(0)
    space = spaces.Box(torch.tensor([-1.0, 0.0]).numpy(), torch.tensor([1.0, 4.0]).numpy())

    def pay(cue, actions):
        wanted = torch.stack((0.5 * cue[:, 0], 2 + cue[:, 1]), dim=1)
        return -(actions - wanted).square().sum(dim=1)

    env = Bandit(space, pay, cues=2)
    policy = SimplePolicy(env.observation_space, space, hidden=32, squashed=squashed)
    before = policy.log_std.detach().clone()
    assert learned(env, policy) > -0.03  # untrained: below -0.4
    assert (policy.log_std < before).all()


@pytest.mark.system
def test_components_learn_their_own_cues():
    """Each of two components pays for the sign, or the third, that its own cue lies in."""
    torch.manual_seed(0)
    space = spaces.MultiDiscrete([2, 3])

    def pay(cue, actions):
        wanted = torch.stack((cue[:, 0] > 0, (cue[:, 1] * 1.5 + 1.5).floor()), dim=1)
        return (actions == wanted).float().mean(dim=1)

    env = Bandit(space, pay, cues=2)
    policy = SimplePolicy(env.observation_space, space, hidden=32)
    assert learned(env, policy) > 0.85  # at random: 0.42


@pytest.mark.system
@pytest.mark.parametrize("fastpath", [True, False])
def test_a_policy_that_rules_actions_out_learns(fastpath):
    """Logits of minus infinity for all actions but two; which of the two pays is learnt."""

    class Choosy(SimplePolicy):
        def forward(self, obs):
            logits, value = super().forward(obs)
            first = (obs.flatten(1)[:, :1] > 0) * 3
            allowed = (torch.arange(6) - first) % 6 < 2
            return logits.masked_fill(~allowed, -torch.inf), value

    torch.manual_seed(0)
    space = spaces.Discrete(6)

    def pay(cue, actions):
        wanted = (cue[:, 0] > 0) * 3 + (cue[:, 1] > 0)
        return (actions == wanted).float()

    env = Bandit(space, pay, cues=2)
    policy = Choosy(env.observation_space, space, hidden=32)
    assert learned(env, policy, torch_fastpath=fastpath) > 0.9
    firsts = torch.cat(env.taken) % 3
    assert firsts.max() == 1


# -- elsewhere -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("space", "told"),
    [
        (BOX, "actions of 3 numbers from -3 to 4"),
        (spaces.MultiDiscrete([3, 2]), "3 x 2 actions"),
    ],
)
def test_the_conformance_check_plays_any_space(space, told):
    """A candidate's actions must be discrete, an environment's need not."""

    def create_env(setup, *, num_envs, device, dtype):
        return Bandit(space, lambda cue, actions: cue[:, 0] * 0.5, num_envs=num_envs)

    report = check_env(create_env)
    assert (report.actions, report.num_actions) == (told, None)
    with pytest.raises(ConformanceError, match="action_space must be discrete"):
        check_env(create_env, is_candidate=True)


def test_several_agents_need_discrete_actions():
    """Said before anything is trained."""
    env = Bandit(BOX, lambda cue, actions: cue[:, 0])
    with pytest.raises(EnvironmentContractError, match="several agents: action_space must be disc"):
        TeamEnv(env, 2, with_state=False)


def test_a_policy_for_a_box_is_kept_in_a_checkpoint(tmp_path):
    """Its weights come back; those of another space do not fit. A replay has no place for it."""
    env = Bandit(BOX, lambda cue, actions: cue[:, 0])
    policy = SimplePolicy(env.observation_space, BOX, hidden=4)
    with torch.no_grad():
        policy.log_std.fill_(-1.5)
    save_policy(
        tmp_path / "p.pt", SimpleNamespace(name="x"), env, policy, config(), episodes=1, seed=0
    )
    again = SimplePolicy(env.observation_space, BOX, hidden=4)
    restore(again, load(tmp_path / "p.pt"), env)
    assert again.log_std.tolist() == [-1.5] * 3
    other = Bandit(spaces.Discrete(3), lambda cue, actions: cue[:, 0])
    with pytest.raises(CheckpointError, match=r"6 actions; here they are .* and 3"):
        restore(again, load(tmp_path / "p.pt"), other)
    with pytest.raises(EnvironmentContractError, match="must be discrete"):
        record(env, policy, max_steps=1)
