"""The generators of a world are moved on by a secret, so that no seed alone leads to its draws."""

import random
from typing import Any

import numpy as np
import pytest
import torch

from referee.candidate_code import seed_everything
from referee.generators import move_on
from referee.seeds import PhaseSeeds
from simverse.core.config import EnvConfig
from simverse.worlds import from_env

SECRETS = (PhaseSeeds(b"one", 101).secret("evaluate"), PhaseSeeds(b"two", 101).secret("evaluate"))


class Part(torch.nn.Module):
    """Draws a few numbers from a generator of one kind."""

    def __init__(self, generator: Any) -> None:
        super().__init__()
        self.generator = generator

    def draws(self) -> list[float]:
        """Return what comes next."""
        if isinstance(self.generator, torch.Generator):
            return torch.rand(4, generator=self.generator).tolist()
        return [float(self.generator.random()) for _ in range(4)]


KINDS = {
    "torch": lambda: torch.Generator().manual_seed(5),
    "python": lambda: random.Random(5),
    "numpy": lambda: np.random.default_rng(5),
    "numpy, legacy": lambda: np.random.RandomState(5),
}


@pytest.mark.parametrize("kind", KINDS)
def test_another_secret_is_another_course_and_the_same_is_the_same(kind: str) -> None:
    """Of every kind of generator, also in a part of a world."""
    drawn = []
    for secret in (*SECRETS, SECRETS[0]):
        world = torch.nn.ModuleList([Part(KINDS[kind]())])
        move_on(world, secret)
        drawn.append(world[0].draws())
    assert drawn[0] == drawn[2]
    assert drawn[0] != drawn[1]
    assert Part(KINDS[kind]()).draws() not in drawn  # which the seed alone would lead to


def test_the_global_generators_are_moved_on_too() -> None:
    """A world may draw from them: they are seeded with as few bits."""
    drawn = []
    for secret in (*SECRETS, SECRETS[0]):
        seed_everything(5)
        move_on(torch.nn.Module(), secret)
        drawn.append((random.random(), float(np.random.random()), float(torch.rand(()))))  # noqa: NPY002
    assert drawn[0] == drawn[2]
    assert all(one != other for one, other in zip(drawn[0], drawn[1], strict=True))


def test_gymnasiums_environments_get_the_whole_secret() -> None:
    """They take seeds of any length, so nothing of them can be searched."""
    starts = []
    for secret in (*SECRETS, SECRETS[0]):
        world = from_env("gym:CartPole-v1", EnvConfig(num_envs=2, seed=5), num_envs=2)
        move_on(world, secret)
        starts.append(world.reset()["obs"])
    assert torch.equal(starts[0], starts[2])
    assert not torch.equal(starts[0], starts[1])


def test_a_shared_generator_is_moved_on_once() -> None:
    """Two parts may draw from one generator."""
    shared = torch.Generator().manual_seed(5)
    move_on(torch.nn.ModuleList([Part(shared), Part(shared)]), 3)
    alone = torch.Generator().manual_seed(5)
    move_on(Part(alone), 3)
    assert torch.rand(3, generator=shared).tolist() == torch.rand(3, generator=alone).tolist()


class Helper:
    """Holds a generator for a world."""

    def __init__(self) -> None:
        self.generator = torch.Generator().manual_seed(5)


@pytest.mark.parametrize("place", ["list", "dict", "object", "a list of objects"])
def test_generators_in_containers_and_objects_are_found(place: str) -> None:
    """A world may keep one for each purpose."""
    helper = Helper()
    world = Part(None)
    world.held = {
        "list": [helper.generator],
        "dict": {"walls": helper.generator},
        "object": helper,
        "a list of objects": [helper],
    }[place]
    move_on(world, 3)
    alone = torch.Generator().manual_seed(5)
    move_on(Part(alone), 3)
    expected = torch.rand(3, generator=alone).tolist()
    assert torch.rand(3, generator=helper.generator).tolist() == expected
