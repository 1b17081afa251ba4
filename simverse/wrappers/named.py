"""Wrappers by name, the ones that a policy needs to be played with, and what they have learnt.

A name is `normalize_observations`, `normalize_rewards` or `frame_stack=K`; the first two may have
a number too, the size that results are clipped to.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from simverse.arguments import did_you_mean
from simverse.wrappers.base import Wrapper
from simverse.wrappers.frame_stack import FRAME_STACK, FrameStack
from simverse.wrappers.normalize import (
    CLIP,
    NORMALIZE_OBSERVATIONS,
    NormalizeObservation,
    NormalizeReward,
)

NORMALIZE_REWARDS = "normalize_rewards"
NAMES = (NORMALIZE_REWARDS, NORMALIZE_OBSERVATIONS, FRAME_STACK)
MAX_FRAMES = 256


def wrap(env: Any, names: Sequence[str], *, gamma: float = 0.99) -> Any:
    """Return an environment with these wrappers, the innermost first.

    `gamma` is the discount of training, for rewards. Raises `ValueError` for a name that is unknown
    or comes twice, and for a number that is none or out of bounds.
    """
    kinds = [text.partition("=")[0] for text in names]
    if twice := next((kind for kind in kinds if kinds.count(kind) > 1), None):
        raise ValueError(f"the wrapper {twice!r:.60} comes twice")
    for text in names:
        name, equals, number = text.partition("=")
        if name == FRAME_STACK:
            count = int(number) if number.isdecimal() and len(number) < 4 else 0
            if not 1 <= count <= MAX_FRAMES:
                raise ValueError(f"{text!r:.60}: 1 to {MAX_FRAMES} frames can be stacked")
            env = FrameStack(env, count)
        elif name in NAMES:
            clip = _number(text, number) if equals else CLIP
            env = (
                NormalizeReward(env, gamma=gamma, clip=clip)
                if name == NORMALIZE_REWARDS
                else NormalizeObservation(env, clip=clip)
            )
        else:
            known = ", ".join(NAMES)
            raise ValueError(f"no wrapper {name!r:.60}; known: {known}{did_you_mean(name, NAMES)}")
    return env


def wrappers_of(env: Any) -> list[Wrapper]:
    """Return the wrappers around an environment, the innermost first."""
    found = []
    while isinstance(env, Wrapper):
        found.append(env)
        env = env.env
    return found[::-1]


def held_out(env: Any, like: Any) -> Any:
    """Return an environment wrapped as another is, to play what is trained there.

    Statistics are shared, and not changed by what is played; rewards are not scaled.
    """
    for wrapper in wrappers_of(like):
        env = wrapper.again(env)
    return env.eval() if isinstance(env, Wrapper) else env


def names_of(env: Any) -> tuple[str, ...]:
    """Return the names of the wrappers that a policy of this environment needs."""
    texts = (wrapper.text for wrapper in wrappers_of(env))
    return tuple(text for text in texts if text is not None)


def statistics_of(env: Any) -> dict[str, Tensor]:
    """Return the running statistics of observations, by the place of their wrapper in `names_of`.

    They are the wrappers' own tensors.
    """
    needed = [wrapper for wrapper in wrappers_of(env) if wrapper.text is not None]
    return {
        f"{place}.{name}": value
        for place, wrapper in enumerate(needed)
        if isinstance(wrapper, NormalizeObservation)
        for name, value in wrapper.statistics.state_dict().items()
    }


def load_statistics(env: Any, statistics: Mapping[str, Tensor]) -> None:
    """Give an environment's wrappers what others have learnt; `ValueError` if it does not fit."""
    own = statistics_of(env)
    shapes, wanted = ({name: tuple(v.shape) for name, v in x.items()} for x in (statistics, own))
    if shapes != wanted:
        raise ValueError(f"the statistics are {shapes}, here they are {wanted}")
    for name, value in own.items():
        value.copy_(statistics[name])


def _number(text: str, number: str) -> float:
    try:
        return float(number)
    except ValueError:
        raise ValueError(f"{text!r:.60} has no number after its =") from None
