"""The messages about the user's own world, both ends; see `referee.messages`.

A world's views cross as one array float32 `[N, K, 1, 1]` (`simverse.core.views`), in the place of
an environment's observations.
"""

import dataclasses
import math
from dataclasses import dataclass

import numpy as np

from referee.messages import Weights, checked_actions, checked_shape, text
from referee.records import MAX_HORIZON, CandidateError
from referee.wire import count as whole
from referee.wire import number, receive, shown
from sandbox import Channel
from sandbox.channel import MAX_PAYLOAD_BYTES


def send_world_create(channel: Channel, env_seed: int, torch_seed: int, secret: int) -> None:
    """Request a fresh batch; `secret` moves the world's generators on (`referee.generators`)."""
    head = {"do": "create", "env_seed": env_seed, "torch_seed": torch_seed}
    channel.send({**head, "secret": f"{secret:x}"})


def send_act_on_views(
    channel: Channel,
    weights: Weights,
    num_envs: int,
    num_actions: int,
    views: bytes,
    *,
    first: bool,
) -> None:
    """Request greedy actions for a world's packed views `[N, K, 1, 1]`.

    `first` says that a batch begins: the policy's worker observes it with a new observer.
    """
    shape = [num_envs, len(views) // (4 * num_envs), 1, 1]
    head = {"do": "act", "weights": weights, "shape": shape, "num_actions": num_actions}
    channel.send({**head, "first": first}, views)


@dataclass(frozen=True, kw_only=True)
class WorldFacts:
    """What the user's world is, by its own word."""

    name: str
    description: str
    max_steps: int
    """The horizon."""
    num_actions: int
    view: str
    """The view's fields, in one line (`ViewLayout.describe`)."""
    reward_bound: float | None


def send_world_reset(channel: Channel, views: np.ndarray, facts: WorldFacts) -> None:
    """Answer with a fresh batch's first views, packed, `[N, K, 1, 1]`, and what the world is."""
    head = {"kind": "reset", "shape": list(views.shape), **dataclasses.asdict(facts)}
    channel.send(head, views.tobytes())


def receive_world_reset(channel: Channel, num_envs: int) -> tuple[WorldFacts, bytes]:
    """Receive the first views of a world's fresh batch, whatever their size, and its facts."""
    sizes = range(MAX_PAYLOAD_BYTES + 1)
    head, views = receive(channel, "reset", payload_bytes=sizes)
    shape = head.get("shape")
    if not isinstance(shape, list) or shape[:1] != [num_envs]:
        raise CandidateError("rejected", f"the world's views are {shown(shape)}")
    if len(views) != 4 * num_envs * math.prod(checked_shape(shape[1:], num_envs)):
        raise CandidateError("rejected", f"the world's views have {len(views)} bytes")
    bound = head.get("reward_bound")
    facts = WorldFacts(
        name=text(head, "name", 200),
        description=text(head, "description", 2000),
        max_steps=whole(head.get("max_steps"), "max_steps", least=1, most=MAX_HORIZON),
        num_actions=checked_actions(head),
        view=text(head, "view", 10_000),
        reward_bound=None if bound is None else number(bound, "reward_bound"),
    )
    return facts, views
