"""Replays read: documents checked, and their frames decoded. No torch."""

import math
from collections.abc import Sequence
from typing import Any

from simverse.errors import SimverseError
from simverse.replay_document import REWARD_DIGITS, SCHEMA, VERSION, Frame

_KEYS: dict[str, type | tuple[type, ...]] = {
    "schema": str,
    "version": int,
    "env": str,
    "description": str,
    "channels": (list, type(None)),
    "observation_shape": list,
    "num_actions": int,
    "horizon": int,
    "seed": (int, type(None)),
    "steps": list,
    "last_frame": (dict, type(None)),
    "return": (int, float),
    "success": bool,
}
_OPTIONAL: dict[str, type | tuple[type, ...]] = {"view": str, "layers": dict}
_LAYER_KEYS: dict[str, type | tuple[type, ...]] = {"names": list, "shape": list, "frames": list}
_STEP_KEYS: dict[str, type | tuple[type, ...]] = {
    "frame": dict,
    "action": int,
    "reward": (int, float),
    "done": bool,
    "success": bool,
}


class ReplayError(SimverseError):
    """The document is no replay; `problems` says why, one line each."""

    def __init__(self, problems: list[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(problems))


# -- frames --------------------------------------------------------------------------------------


def decoded(encoded: Sequence[Frame], size: int) -> list[list[float]]:
    """Return the values of frames of a valid replay, `size` numbers each."""
    values, found = None, []
    for frame in encoded:
        values = _decode(frame, values, size)
        found.append(values)
    return found


def _decode(frame: Frame, before: list[float] | None, size: int) -> list[float]:
    """Return a frame's values; `ValueError` if it is not well formed."""
    if not isinstance(frame, dict) or len(frame) != 1:
        raise ValueError("a frame has one of all, runs and changes")
    ((form, numbers),) = frame.items()
    if not isinstance(numbers, list) or not all(_is_number(number) for number in numbers):
        raise ValueError(f"{form} is not a list of numbers")
    if form == "all":
        values = numbers
    elif form == "runs":
        counts = numbers[1::2]
        if len(numbers) % 2 or not all(_is_index(n, size + 1) and n > 0 for n in counts):
            raise ValueError("runs are not pairs of value and count")
        runs = zip(numbers[::2], counts, strict=True)
        values = [value for value, run in runs for _ in range(int(run))]
    elif form == "changes" and before is not None:
        indices = numbers[::2]
        if len(numbers) % 2 or not all(_is_index(n, size) for n in indices):
            raise ValueError("changes are not pairs of index and value")
        values = list(before)
        for index, value in zip(indices, numbers[1::2], strict=True):
            values[int(index)] = value
    else:
        raise ValueError(f"{form!r} is no form of a frame here")
    if len(values) != size:
        raise ValueError(f"{len(values)} values instead of {size}")
    return values


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _is_index(value: float, limit: int) -> bool:
    return isinstance(value, int) and 0 <= value < limit


# -- checking ------------------------------------------------------------------------------------


def check_replay(document: Any) -> None:
    """Raise `ReplayError` with everything that is wrong with a document, if anything is."""
    if not isinstance(document, dict) or document.get("schema") != SCHEMA:
        raise ReplayError([f"the schema is not {SCHEMA!r}"])
    if document.get("version") != VERSION:
        raise ReplayError(
            [f"version {document.get('version')!r}; this program reads version {VERSION}"]
        )
    keys = _KEYS | {key: kind for key, kind in _OPTIONAL.items() if key in document}
    problems = _key_problems("the document", document, keys) or _declared_problems(document)
    if not problems:
        for number, step in enumerate(document["steps"]):
            problems += _key_problems(f"step {number}", step, _STEP_KEYS)
    problems = problems or _episode_problems(document) or _layer_problems(document)
    if problems:
        raise ReplayError(problems)


def _key_problems(what: str, found: Any, keys: dict[str, type | tuple[type, ...]]) -> list[str]:
    if not isinstance(found, dict):
        return [f"{what} is not an object"]
    problems = [f"{what} has no {key!r}" for key in keys if key not in found]
    problems += [f"{what} has an unknown key {key!r}" for key in found if key not in keys]
    for key, kind in keys.items():
        value = found.get(key)
        # JSON's true is an int to Python.
        confused = isinstance(value, bool) and kind is not bool
        if key in found and (confused or not isinstance(value, kind)):
            problems.append(f"{what}: {key!r} has the wrong type ({type(value).__name__})")
    return problems


def _declared_problems(document: dict[str, Any]) -> list[str]:
    shape, channels = document["observation_shape"], document["channels"]
    problems = []
    if len(shape) != 3 or not all(isinstance(size, int) and size > 0 for size in shape):
        problems.append(f"'observation_shape' must be [C, H, W], got {shape}")
    elif channels is not None and len(channels) != shape[0]:
        problems.append(f"{len(channels)} channels named, {shape[0]} there")
    if not 1 <= len(document["steps"]) <= document["horizon"]:
        problems.append(f"{len(document['steps'])} steps at a horizon of {document['horizon']}")
    return problems


def _episode_problems(document: dict[str, Any]) -> list[str]:
    steps = document["steps"]
    problems = [
        f"step {number}: action {step['action']} of {document['num_actions']}"
        for number, step in enumerate(steps)
        if not 0 <= step["action"] < document["num_actions"]
    ]
    problems += [
        f"step {n} is done, but not the last" for n, s in enumerate(steps[:-1]) if s["done"]
    ]
    total = math.fsum(step["reward"] for step in steps)
    if not math.isclose(total, document["return"], abs_tol=10**-REWARD_DIGITS * 2):
        problems.append(f"the rewards add up to {total:g}, 'return' is {document['return']:g}")
    if document["success"] != any(step["success"] for step in steps):
        problems.append("'success' is not what the steps say")
    encoded = [(f"step {number}", step["frame"]) for number, step in enumerate(steps)]
    if document["last_frame"] is not None:
        encoded.append(("the last frame", document["last_frame"]))
    return problems + _frame_problems(encoded, math.prod(document["observation_shape"]))


def _layer_problems(document: dict[str, Any]) -> list[str]:
    layers = document.get("layers")
    if layers is None:
        return []
    if problems := _key_problems("the layers", layers, _LAYER_KEYS):
        return problems
    names, shape, encoded = layers["names"], layers["shape"], layers["frames"]
    if len(shape) != 3 or not all(isinstance(size, int) and size > 0 for size in shape):
        return [f"the layers' 'shape' must be [L, H, W], got {shape}"]
    if len(names) != shape[0] or not all(isinstance(name, str) for name in names):
        return [f"the layers' 'names' are not {shape[0]} texts"]
    if len(encoded) != len(document["steps"]):
        return [f"layers of {len(encoded)} steps, and there are {len(document['steps'])}"]
    named = [(f"the layers of step {number}", frame) for number, frame in enumerate(encoded)]
    return _frame_problems(named, math.prod(shape))


def _frame_problems(encoded: list[tuple[str, Any]], size: int) -> list[str]:
    values = None
    for where, frame in encoded:
        try:
            values = _decode(frame, values, size)
        except ValueError as error:
            return [f"{where}: {error}"]
    return []
