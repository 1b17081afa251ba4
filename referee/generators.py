"""A world's random generators, moved on to where no seed alone leads. Imports torch.

A seed has 31 bits, and torch's own generator on the CPU takes 32: whoever reads the world's source
and sees one number that it drew could try them all in minutes, and then knows all that is hidden.
So each generator is moved on by a secret number of draws before the first episode, which makes the
search some hundred thousand times as long; and what can take a longer seed gets one.
"""

import random
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import nn

_MOST_SKIPPED = 2**20


def move_on(world: nn.Module, secret: int) -> None:
    """Move on the generators that a world holds, and the global ones, by a number of draws.

    A part of the world that has `reseed(secret)`, as Gymnasium's environments have here, gets the
    secret itself.

    Args:
        world: a world that has not begun an episode.
        secret: 128 bits that nobody else knows.
    """
    count = secret % _MOST_SKIPPED
    for generator in (torch.default_generator, *_generators(world)):
        if isinstance(generator, torch.Generator):
            torch.rand(count, generator=generator, device=generator.device)
        elif isinstance(generator, random.Random):
            generator.getrandbits(32 * count)
        else:
            generator.random(count)
    random.getrandbits(32 * count + 1)
    np.random.random(count)  # noqa: NPY002 - a world may draw from the legacy global generator
    for part in world.modules():
        if callable(reseed := getattr(part, "reseed", None)):
            reseed(secret)


def _generators(world: nn.Module) -> Iterator[Any]:
    """Yield the generators among the attributes of a world and its parts, each once."""
    kinds = (torch.Generator, random.Random, np.random.Generator, np.random.RandomState)
    seen: set[int] = set()
    for part in world.modules():
        for value in vars(part).values():
            if isinstance(value, kinds) and id(value) not in seen:
                seen.add(id(value))
                yield value
