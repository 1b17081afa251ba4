"""The world's worker: makes fresh batches of the user's world and steps them on request.

Imports torch. It holds no code of a candidate's: what it says is the user's own word.
"""

from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from referee import layers, messages, world_messages
from referee.candidate_code import (
    close,
    make_world,
    place_world,
    seed_everything,
    without_gradients,
)
from referee.generators import move_on
from referee.gpus import show_gpus
from referee.messages import WorldJob
from referee.wire import receive_request
from referee.world_messages import WorldFacts
from sandbox import Channel
from simverse.core.checks import num_actions
from simverse.core.views import View, ViewLayout
from simverse.core.world import EpisodeStarts, World, check_world_step
from simverse.worlds.workspace import load_world


def serve_world(channel: Channel) -> None:
    """Create and step worlds until the referee closes the channel."""
    job = messages.receive_job(channel, WorldJob)
    show_gpus(job.device)
    seed_everything(job.torch_seed, job.device)
    create = load_world(place_world(job.files))
    batch, world = cast("_Batch", None), cast("Any", None)
    quiet = without_gradients(job.files)
    while (request := receive_request(channel)) is not None:
        head, payload = request
        if head["do"] == "create":
            with quiet():
                if world is not None:
                    close(world)
                seed_everything(head["torch_seed"], job.device)
                world = make_world(
                    create,
                    num_envs=job.num_envs,
                    max_steps=job.max_steps,
                    seed=head["env_seed"],
                    device=job.device,
                )
                move_on(world, int(head["secret"], 16))
                batch = _Batch(world)
                obs = batch.start()
            world_messages.send_world_reset(channel, obs, batch.facts)
        elif head["do"] == layers.ASK:
            with quiet():
                layers.answer(channel, world, head["slots"])
        else:
            actions = np.frombuffer(payload, dtype=np.int64).copy()
            with quiet():
                arrays = batch.step(torch.from_numpy(actions).to(job.device))
            messages.send_step(channel, arrays)


class _Batch:
    """One batch of sub-environments, and its views as they cross to the policy."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._count = int(world.num_envs)
        self._starts = EpisodeStarts()
        self._first: View = world.reset()
        self._layout = ViewLayout.of(self._first, self._count)

    @property
    def facts(self) -> WorldFacts:
        """What the world is."""
        bound = getattr(self._world, "reward_bound", None)
        name = str(getattr(self._world, "name", type(self._world).__name__))
        describe = getattr(self._world, "describe", None)
        return WorldFacts(
            name=name[:200],
            description=(str(describe()) if callable(describe) else name)[:2000],
            max_steps=int(self._world.max_steps),
            num_actions=num_actions(self._world),
            view=self._layout.describe(),
            reward_bound=None if bound is None else float(bound),
        )

    def start(self) -> np.ndarray:
        """Return the first views."""
        self._starts.reset(self._first)
        begun = torch.ones(self._count, dtype=torch.bool)
        return self._pack(self._first, begun.to(next(iter(self._first.values())).device))

    def step(self, actions: Tensor) -> tuple[np.ndarray, ...]:
        """Return rewards, done, success and views, in the dtypes of `messages`."""
        step = check_world_step(self._world.step(actions), self._layout, self._count)
        return (
            step.reward.detach().cpu().to(torch.float64).numpy(),
            step.done.cpu().numpy().astype(np.uint8),
            step.success.cpu().numpy().astype(np.uint8),
            self._pack(step.view, self._starts.after(step)),
        )

    def _pack(self, view: View, begun: Tensor) -> np.ndarray:
        packed = self._layout.pack(view, begun)[:, :, None, None]
        return np.ascontiguousarray(packed.cpu().numpy())
