"""The messages by which an environment or a world is asked to draw itself, both ends.

Asked only while films of all counted episodes are recorded, which no score is taken from. What a
worker can't draw is left out: the film then shows observations alone.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from referee.messages import text
from referee.records import CandidateError
from referee.wire import receive, shown
from sandbox import Channel

ASK = "layers"
"""`head["do"]` of the request."""
MAX_LAYERS = 32
MAX_SIDE = 256
MAX_NUMBERS = 2**18
MAX_NAME_CHARS = 40


@dataclass(frozen=True)
class Layers:
    """One step's layers of some slots."""

    names: tuple[str, ...]
    grids: np.ndarray
    """float32 `[slots, L, H, W]`."""


class LayersOf:
    """Asks one worker for layers, until it says that it has none."""

    def __init__(self, channel: Channel) -> None:
        """Prepare to ask over a channel."""
        self._channel = channel
        self._has_some = True
        self.problem = ""
        """Why it can't draw; empty if it can, or has no `render_layers` at all."""

    def of(self, slots: Sequence[int]) -> Layers | None:
        """Return the layers of these slots now.

        Raises:
            CandidateError: the worker has failed, or its answer is not legal.
        """
        if not self._has_some or not slots:
            return None
        self._channel.send({"do": ASK, "slots": list(slots)})
        most = 4 * MAX_NUMBERS * len(slots)
        head, payload = receive(self._channel, "layers", payload_bytes=range(most + 1))
        names = head.get("names")
        if not names:
            self._has_some = False
            self.problem = text(head, "problem", 300) if "problem" in head else ""
            return None
        return _checked(names, head.get("shape"), payload, len(slots))


def _checked(names: object, shape: object, payload: bytes, count: int) -> Layers:
    if not isinstance(names, list) or not 0 < len(names) <= MAX_LAYERS:
        raise CandidateError("rejected", f"the worker's layers are called {shown(names)}")
    if not all(isinstance(name, str) and 0 < len(name) <= MAX_NAME_CHARS for name in names):
        raise CandidateError("rejected", "the worker's layers have no proper names")
    if not isinstance(shape, list) or len(shape) != 2 or not all(map(_is_side, shape)):
        raise CandidateError("rejected", f"the worker's layers are {shown(shape)}")
    full = (count, len(names), *shape)
    if len(payload) != 4 * math.prod(full):
        raise CandidateError("rejected", f"the worker's layers have {len(payload)} bytes")
    return Layers(tuple(names), np.frombuffer(payload, np.float32).reshape(full))


def _is_side(size: object) -> bool:
    return type(size) is int and 0 < size <= MAX_SIDE


def answer(channel: Channel, env: Any, slots: Sequence[int]) -> None:
    """Send an environment's or a world's layers of some slots, or none. Imports torch."""
    from simverse.core.layers import has_layers, layers_of

    if not has_layers(env):
        channel.send({"kind": "layers", "names": []})
        return
    try:
        names, grids = _stacked([layers_of(env, slot) for slot in slots])
    except Exception as error:  # noqa: BLE001 - whatever its code raises: it is only not drawn
        problem = f"{type(error).__name__}: {error}"[:300]
        channel.send({"kind": "layers", "names": [], "problem": problem})
        return
    head = {"kind": "layers", "names": names, "shape": list(grids.shape[2:])}
    channel.send(head, np.ascontiguousarray(grids).tobytes())


def _stacked(drawn: Sequence[tuple[list[str], Any]]) -> tuple[list[str], np.ndarray]:
    names = drawn[0][0]
    if any(own != names for own, _ in drawn):
        raise ValueError("the layers' names differ between sub-environments")
    return names, np.stack([grids.numpy() for _, grids in drawn])
