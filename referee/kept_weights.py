"""The trained weights of a policy, as they leave its worker: asked for, sent, checked, written.

They cross before the policy sees anything of an evaluation, so that nothing of its seeds can be
hidden in them. They are for people and decide nothing: a policy whose weights can't be kept is
evaluated like any other. `simverse.weights` has the layout.
"""

import contextlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from referee.messages import text
from referee.wire import receive
from sandbox import Channel
from simverse import weights
from simverse.weights import MAX_BYTES, Weights, WeightsError

ASK = "weights"
"""`head["do"]` of the request."""


def ask(channel: Channel) -> Weights:
    """Return the weights of the trained policy.

    Raises:
        WeightsError: they can't be kept.
        CandidateError: the worker has failed, or sent another message.
    """
    channel.send({"do": ASK})
    head, data = receive(channel, "weights", payload_bytes=range(MAX_BYTES + 1))
    if "problem" in head:
        raise WeightsError(text(head, "problem", 300))
    return weights.check(head.get("tensors"), data)


def answer(channel: Channel, state: Mapping[str, Any]) -> None:
    """Send a policy's `state_dict`, or why that can't be."""
    try:
        entries = weights.entries_of(state)
        data = weights.data_of(state)
    except (WeightsError, RuntimeError, TypeError, NotImplementedError) as error:
        channel.send({"kind": "weights", "problem": str(error)})
    else:
        channel.send({"kind": "weights", "tensors": entries}, memoryview(data))


def write(folder: Path, seed: int, found: Weights | WeightsError) -> None:
    """Write a seed's weights below a folder, or why there are none. A full disk is no fault."""
    is_there = isinstance(found, Weights)
    path = folder / f"{seed}.safetensors" if is_there else folder / f"{seed}.no-weights"
    content = weights.dumps(found) if isinstance(found, Weights) else str(found).encode()
    with contextlib.suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
