"""Which policies are trained fused: what they do decides, not what they are called."""

import random

import pytest
import torch
from gymnasium import spaces
from torch import nn
from torch.nn import functional as F  # noqa: N812 - as candidates write it
from torch.nn.utils import parametrizations

from simverse.core.distributions import Categorical
from simverse.policies import SimplePolicy
from simverse.policies.simple import Tanh
from simverse.training.config import PPOConfig
from simverse.training.fused import fused_learner
from simverse.training.fused_reader import recognise
from simverse.training.fused_structure import NotRecognisedError

SHAPE, INPUTS, ACTIONS, WIDTH = (2, 3, 3), 18, 3, 8
CONFIG = PPOConfig(batch_size=8, buffer_size=32, max_steps=4)
COUNTS = {"calls": 0}


class Base(nn.Module):
    """One trunk, two heads; a subclass says what else happens."""

    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(
            nn.Flatten(), nn.Linear(INPUTS, WIDTH), nn.Tanh(), nn.Linear(WIDTH, WIDTH), nn.ReLU()
        )
        self.actor = nn.Linear(WIDTH, ACTIONS)
        self.critic = nn.Linear(WIDTH, 1)

    def forward(self, obs):
        """Return logits and value."""
        features = self.body(obs)
        return self.actor(features), self.critic(features)


class TwoTrunks(nn.Module):
    def __init__(self):
        super().__init__()
        self.pi = nn.Sequential(nn.Linear(INPUTS, WIDTH), nn.SiLU(), nn.Linear(WIDTH, ACTIONS))
        self.v = nn.Sequential(nn.Linear(INPUTS, WIDTH), nn.Tanh(), nn.Linear(WIDTH, 1))

    def forward(self, obs):
        x = obs.view(obs.shape[0], -1)
        return self.pi(x), self.v(x)


class Functional(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(INPUTS, WIDTH), nn.Linear(WIDTH, WIDTH, bias=False)])
        self.pi, self.v = nn.Linear(WIDTH, ACTIONS), nn.Linear(WIDTH, 1)

    def forward(self, obs):
        x = torch.flatten(obs, start_dim=1)
        for layer in self.layers:
            x = F.silu(layer(x))
        logits, value = self.pi(x), self.v(x)
        return logits, value


class Trunk(nn.Module):
    def __init__(self):
        super().__init__()
        self.one, self.two = nn.Linear(INPUTS, WIDTH), nn.Linear(WIDTH, WIDTH)
        self.act = Tanh()

    def forward(self, x):
        x = self.act(self.one(x))
        return torch.relu(self.two(x))


class Nested(nn.Module):
    def __init__(self):
        super().__init__()
        self.trunk, self.hidden = Trunk(), nn.Linear(WIDTH, WIDTH)
        self.pi, self.v = nn.Linear(WIDTH, ACTIONS), nn.Linear(WIDTH, 1)

    def forward(self, obs):
        x = self.trunk(obs.reshape(len(obs), -1))
        return self.pi(x), self.v(self.hidden(x).tanh())


class Heads(nn.Module):
    def __init__(self):
        super().__init__()
        self.pi, self.v = nn.Linear(INPUTS, ACTIONS), nn.Linear(INPUTS, 1, bias=False)

    def forward(self, obs):
        flat = obs.flatten(1)
        return self.pi(flat), self.v(flat)


def simple():
    return SimplePolicy(spaces.Box(0, 1, SHAPE), spaces.Discrete(ACTIONS), hidden=WIDTH)


class More(Base):
    """Takes what may be left out, and does without."""

    def forward(self, obs, features=None):
        if features is not None:
            obs = obs + features
        seen = self.body(obs)
        return self.actor(seen), self.critic(seen)


KNOWN = [Base, TwoTrunks, Functional, Nested, Heads, More, simple]


@pytest.mark.parametrize("make", KNOWN)
def test_known_policies_are_recognised(make):
    """However the same few operations are written, and whatever the class is called."""
    torch.manual_seed(0)
    policy = make()
    outputs = recognise(policy, INPUTS, ACTIONS)
    assert (outputs.logits.width, outputs.values.width) == (ACTIONS, 1)
    assert fused_learner(policy, SHAPE, Categorical(ACTIONS), CONFIG) is not None


class OtherwiseOne(Base):
    def forward(self, obs, power=1):
        seen = self.body(obs)
        return self.actor(seen), self.critic(seen)


class WithFeatures(SimplePolicy):
    def __init__(self):
        box = spaces.Box(0, 1, SHAPE)
        parts = spaces.Dict({"obs": box, "features": box})
        super().__init__(parts, spaces.Discrete(ACTIONS), hidden=WIDTH)


class Scaled(Base):
    def forward(self, obs):
        features = self.body(obs / 255)
        return self.actor(features), self.critic(features)


class Residual(Base):
    def forward(self, obs):
        features = self.body(obs)
        features = features + features
        return self.actor(features), self.critic(features)


class Counting(Base):
    def forward(self, obs):
        self.calls = getattr(self, "calls", 0) + 1
        features = self.body(obs)
        return self.actor(features), self.critic(features)


class CountingElsewhere(Base):
    def forward(self, obs):
        COUNTS["calls"] += 1
        features = self.body(obs)
        return self.actor(features), self.critic(features)


class Conditional(Base):
    def forward(self, obs):
        features = self.body(obs)
        if obs.mean() > 100.0:
            features = features * 2
        return self.actor(features), self.critic(features)


class InTraining(Base):
    def forward(self, obs):
        features = self.body(obs)
        return self.actor(features), self.critic(features) if self.training else features[:, :1]


class Random(Base):
    def forward(self, obs):
        features = self.body(obs)
        random.random()
        return self.actor(features), self.critic(features)


class Detached(Base):
    def forward(self, obs):
        features = self.body(obs)
        return self.actor(features), self.critic(features.detach())


class WithoutGradient(Base):
    def forward(self, obs):
        with torch.no_grad():
            features = self.body(obs)
        return self.actor(features), self.critic(features)


class Decorated(Base):
    @torch.no_grad()
    def forward(self, obs):
        features = self.body(obs)
        return self.actor(features), self.critic(features)


class Property(Base):
    @property
    def actor(self):
        random.random()
        return self._modules["actor"]

    @actor.setter
    def actor(self, value):
        self._modules["actor"] = value


class CalledOtherwise(Base):
    def __call__(self, obs):
        logits, values = super().__call__(obs)
        return logits * 1.0, values


class BeforeActivation(Base):
    def __init__(self):
        super().__init__()
        self.first = nn.Linear(INPUTS, WIDTH)

    def forward(self, obs):
        raw = self.first(obs.flatten(1))
        features = torch.tanh(raw)
        return self.actor(features), self.critic(raw)


class Twice(Base):
    def forward(self, obs):
        features = torch.tanh(self.body(obs))
        return self.actor(features), self.critic(features)


def with_layer(layer):
    policy = Base()
    policy.body.append(layer)
    return policy


def hooked(register):
    policy = Base()
    register(policy)
    return policy


def shared():
    policy = Base()
    policy.body[3].weight = policy.actor.weight = nn.Parameter(torch.zeros(WIDTH, WIDTH))
    return policy


def frozen():
    policy = Base()
    policy.actor.weight.requires_grad_(False)
    return policy


def unused():
    policy = Base()
    policy.extra = nn.Linear(2, 2)
    return policy


def overridden():
    policy = Base()
    policy.forward = lambda obs: (policy.actor(policy.body(obs)), policy.critic(policy.body(obs)))
    return policy


def normalised():
    policy = Base()
    parametrizations.spectral_norm(policy.actor)
    return policy


def recompiled():
    """A class whose source is not what runs."""
    scope = {}
    exec(
        "def forward(self, obs):\n    f = self.body(obs) * 2\n    return self.actor(f), self.critic(f)",
        scope,
    )
    scope["forward"].__code__ = scope["forward"].__code__.replace(
        co_filename=__file__, co_firstlineno=Base.forward.__code__.co_firstlineno
    )
    return type("Recompiled", (Base,), {"forward": scope["forward"]})()


ODD = {
    "another argument that is given": OtherwiseOne,
    "features": WithFeatures,
    "scaled observation": Scaled,
    "an operator": Residual,
    "a counter": Counting,
    "a counter elsewhere": CountingElsewhere,
    "a condition on the data": Conditional,
    "training and evaluation differ": InTraining,
    "randomness": Random,
    "detached": Detached,
    "no gradient": WithoutGradient,
    "a decorator": Decorated,
    "a property": Property,
    "another way to be called": CalledOtherwise,
    "a value from before its activation": BeforeActivation,
    "two activations": Twice,
    "dropout": lambda: with_layer(nn.Dropout(0.0)),
    "normalisation": lambda: with_layer(nn.LayerNorm(WIDTH)),
    "a buffer": lambda: with_layer(nn.BatchNorm1d(WIDTH)),
    "another activation": lambda: with_layer(nn.GELU()),
    "a hook": lambda: hooked(lambda p: p.register_forward_hook(lambda *_: None)),
    "a hook before": lambda: hooked(lambda p: p.body[1].register_forward_pre_hook(lambda *_: None)),
    "a hook of gradients": lambda: hooked(
        lambda p: p.body[1].register_full_backward_hook(lambda *_: None)
    ),
    "a hook of a parameter": lambda: hooked(
        lambda p: p.actor.weight.register_hook(lambda g: g * 2)
    ),
    "shared weights": shared,
    "frozen weights": frozen,
    "weights that are not used": unused,
    "a forward of its own": overridden,
    "a parametrised layer": normalised,
    "double precision": lambda: Base().double(),
    "source that is not what runs": recompiled,
}


@pytest.mark.parametrize("make", ODD.values(), ids=ODD)
def test_others_are_left_to_torch(make):
    """Whatever is not understood entirely."""
    policy = make()
    with pytest.raises(NotRecognisedError):
        recognise(policy, INPUTS, ACTIONS)
    assert fused_learner(policy, SHAPE, Categorical(ACTIONS), CONFIG) is None


def test_large_policies_are_left_to_torch():
    """For those the arithmetic takes the time."""
    policy = Base()
    policy.body[1], policy.body[3] = nn.Linear(INPUTS, 1024), nn.Linear(1024, WIDTH)
    assert fused_learner(policy, SHAPE, Categorical(ACTIONS), CONFIG) is not None
    policy.body[3], policy.body[1] = nn.Linear(65_536, WIDTH), nn.Linear(INPUTS, 65_536)
    recognise(policy, INPUTS, ACTIONS)
    assert fused_learner(policy, SHAPE, Categorical(ACTIONS), CONFIG) is None


def test_hooks_of_all_modules_are_heeded():
    """One may be registered for whatever is called."""
    hook = nn.modules.module.register_module_forward_hook(lambda *_: None)
    try:
        with pytest.raises(NotRecognisedError):
            recognise(Base(), INPUTS, ACTIONS)
    finally:
        hook.remove()
    recognise(Base(), INPUTS, ACTIONS)


def test_nothing_is_drawn_to_find_out():
    """Neither recognising nor comparing with torch moves a generator."""
    policy = Base()
    torch.manual_seed(3)
    before = torch.get_rng_state()
    assert fused_learner(policy, SHAPE, Categorical(ACTIONS), CONFIG) is not None
    assert torch.equal(torch.get_rng_state(), before)


def test_a_structure_must_give_what_torch_gives():
    """A policy that is read wrongly, through a function put in another's place, is found out."""

    class Patched(Base):
        pass

    original = nn.Linear.forward
    nn.Linear.forward = lambda self, x: original(self, x) * 2
    try:
        assert fused_learner(Patched(), SHAPE, Categorical(ACTIONS), CONFIG) is None
    finally:
        nn.Linear.forward = original
