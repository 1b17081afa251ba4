"""The document of a replay, without torch: a process that holds none can write one too.

A frame is an observation `[C, H, W]`, flattened row by row, in whichever form is shortest:

===========  =================================================================
`all`        every value
`runs`       value, how often it repeats, value, how often, …
`changes`    index, new value, index, new value, … against the frame before
===========  =================================================================

Whole numbers are integers; others are rounded to `DIGITS` decimals.
"""

import json
import math
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from typing import Any

SCHEMA = "simverse.replay"
VERSION = 1
DIGITS = 3
REWARD_DIGITS = 6

Frame = dict[str, list[float]]


def build(
    *,
    env: str,
    description: str,
    channels: Sequence[str] | None,
    observation_shape: Sequence[int],
    num_actions: int,
    horizon: int,
    seed: int | None,
    frames: Sequence[list[float] | None],
    steps: Sequence[dict[str, Any]],
    last_frame: list[float] | None,
    view: str | None = None,
    layers: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Return one episode as a document.

    Args:
        env: name of the environment.
        description: one line on it.
        channels: names of the observation's channels, or None.
        observation_shape: `(C, H, W)`.
        num_actions: size of the action space.
        horizon: most steps an episode may take.
        seed: what the environment was made with, or None.
        frames: what was seen before each step, as `values` gives it; None for a blank one.
        steps: what `step` gives, one for each frame.
        last_frame: what the last step led to, None if a reset has already replaced it.
        view: the fields of a frame where it is a world's view, flattened one after the other.
        layers: how the environment or world draws itself before each step, as `layers` gives it.
    """
    size = math.prod(observation_shape)
    encoded = list(_encode([*frames, last_frame] if last_frame is not None else frames, size))
    of_a_world = {} if view is None else {"view": view}
    drawn = {} if layers is None else {"layers": layers}
    return {
        "schema": SCHEMA,
        "version": VERSION,
        "env": env,
        "description": description,
        "channels": None if channels is None else list(channels),
        "observation_shape": list(observation_shape),
        **of_a_world,
        **drawn,
        "num_actions": num_actions,
        "horizon": horizon,
        "seed": seed,
        "steps": [{"frame": frame, **step} for frame, step in zip(encoded, steps, strict=False)],
        "last_frame": None if last_frame is None else encoded[-1],
        "return": rounded(math.fsum(step["reward"] for step in steps), REWARD_DIGITS),
        "success": any(step["success"] for step in steps),
    }


def layers(
    names: Sequence[str], shape: Sequence[int], frames: Sequence[list[float] | None]
) -> dict[str, Any]:
    """Return named grids, drawn before each step.

    Args:
        names: of the grids, the lowest first.
        shape: `(L, H, W)`.
        frames: the grids before each step, as `values` gives them; None for a blank one.
    """
    encoded = list(_encode(frames, math.prod(shape)))
    return {"names": list(names), "shape": list(shape), "frames": encoded}


def step(*, action: int, reward: float, done: bool, success: bool) -> dict[str, Any]:
    """Return one step of a document, without its frame."""
    return {
        "action": action,
        "reward": rounded(reward, REWARD_DIGITS),
        "done": done,
        "success": success,
    }


def values(observation: Iterable[float]) -> list[float]:
    """Return a flattened observation's values as they are written."""
    return [rounded(value, DIGITS) for value in observation]


def rounded(value: float, digits: int) -> float:
    """Return a number rounded, and as an integer if it is whole; JSON has no NaN: that is 0."""
    if not math.isfinite(value):
        return 0
    number = round(value, digits)
    return int(number) if number == int(number) else number


def dumps(document: dict[str, Any]) -> str:
    """Return a replay as JSON without spaces."""
    return json.dumps(document, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def _encode(frames: Sequence[list[float] | None], size: int) -> Iterator[Frame]:
    before: list[float] | None = None
    for now in frames:
        if now is None:
            before = None
            yield {"runs": [0, size]}
            continue
        forms: list[Frame] = [{"all": now}, {"runs": _runs(now)}]
        if before is not None:
            forms.append({"changes": _changes(before, now)})
        yield min(forms, key=lambda form: len(dumps(form)))
        before = now


def _runs(numbers: list[float]) -> list[float]:
    return [number for value, run in groupby(numbers) for number in (value, len(list(run)))]


def _changes(before: list[float], now: list[float]) -> list[float]:
    pairs = zip(before, now, strict=True)
    return [n for index, (old, new) in enumerate(pairs) if old != new for n in (index, new)]
