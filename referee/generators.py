"""A world's random generators, moved on to where no seed alone leads. Imports torch.

A seed has 31 bits, and torch's own generator on the CPU takes 32: whoever reads the world's source
and sees one number that it drew could try them all in minutes, and then knows all that is hidden.
So each generator is moved on by a secret number of draws before the first episode, which makes the
search some hundred thousand times as long; and what can take a longer seed gets one.
"""

import random
from collections.abc import Iterator
from types import FunctionType, ModuleType
from typing import Any

import numpy as np
import torch
from torch import nn

_MOST_SKIPPED = 2**20
_KINDS = (torch.Generator, random.Random, np.random.Generator, np.random.RandomState)
_LEAVES = (torch.Tensor, nn.Module, np.ndarray, type, ModuleType, FunctionType)
_DEPTH = 3
"""Containers in containers that are looked through."""


def move_on(world: nn.Module, secret: int) -> None:
    """Move on the generators that a world holds, and the global ones, by a number of draws.

    A part of the world that has `reseed(secret)`, as Gymnasium's environments have here, gets the
    secret itself.

    Args:
        world: a world that has not begun an episode.
        secret: 128 bits that nobody else knows.
    """
    count = secret % _MOST_SKIPPED
    everywhere = [torch.default_generator, *torch.cuda.default_generators]
    for generator in (*everywhere, *_generators(world)):
        if isinstance(generator, torch.Generator) and generator.device.type != "cpu":
            # On a GPU a draw of many numbers is one step of the generator, and seeds have 64 bits.
            generator.manual_seed(secret >> 65)
        elif isinstance(generator, torch.Generator):
            torch.rand(count, generator=generator)
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
    """Yield the generators in a world, its parts, their containers and plain objects, each once."""
    seen: set[int] = set()
    waiting: list[tuple[Any, int]] = [(vars(part), _DEPTH) for part in world.modules()]
    while waiting:
        value, depth = waiting.pop()
        if id(value) in seen:
            continue
        seen.add(id(value))
        if isinstance(value, _KINDS):
            yield value
        elif depth and isinstance(value, dict):
            waiting += [(each, depth - 1) for each in value.values()]
        elif depth and isinstance(value, list | tuple | set | frozenset):
            waiting += [(each, depth - 1) for each in value]
        elif depth and not isinstance(value, _LEAVES) and hasattr(value, "__dict__"):
            waiting.append((vars(value), depth))
