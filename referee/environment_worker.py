"""The environment worker: makes fresh batches of environments and steps or plays them on request.

Imports torch. It runs candidate code: the referee believes no message further than it can check.
"""

import zlib
from types import ModuleType
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from referee import layers, messages
from referee.candidate_code import (
    close,
    create_env,
    load_candidate,
    place,
    seed_everything,
    without_gradients,
)
from referee.gpus import show_gpus
from referee.messages import EnvironmentJob
from referee.wire import receive_request
from sandbox import Channel
from simverse.core.checks import check_observation, check_step, num_actions


def serve_environment(channel: Channel) -> None:
    """Create, step and play environments until the referee closes the channel."""
    job = messages.receive_job(channel, EnvironmentJob)
    show_gpus(job.device)
    seed_everything(job.torch_seed, job.device)
    module = load_candidate(place(job.files), "env")
    quiet, env = without_gradients(job.files), cast("Any", None)
    while (request := receive_request(channel)) is not None:
        head, payload = request
        if head["do"] == "create":
            with quiet():
                if env is not None:
                    close(env)
                seed_everything(head["torch_seed"], job.device)
                env = _create(module, job, head["env_seed"])
                shape = tuple(env.observation_space.shape)
                obs = _array(check_observation(env.reset(), job.num_envs, shape)[0])
            messages.send_reset(channel, obs, num_actions(env))
            continue
        if head["do"] == layers.ASK:
            with quiet():
                layers.answer(channel, env, head["slots"])
            continue
        actions = np.frombuffer(payload, dtype=np.int64).reshape(-1, job.num_envs)
        if head["do"] == "play":
            with quiet():
                columns, digest = _play(env, actions, job.device, digest=head["digest"])
            messages.send_play(channel, columns, digest)
        else:
            with quiet():
                arrays = _step(env, actions[0], job.device)
            messages.send_step(channel, arrays)


def _create(module: ModuleType, job: EnvironmentJob, seed: int) -> Any:
    return create_env(
        module, num_envs=job.num_envs, max_steps=job.max_steps, seed=seed, device=job.device
    )


def _play(
    env: Any, actions: np.ndarray, device: str, *, digest: bool
) -> tuple[list[np.ndarray], int]:
    """Step through actions `[T, N]` until every sub-environment has ended once.

    Returns rewards, done and success, zeros after the last step taken, and a checksum of all
    observations (0 without).
    """
    columns = [np.zeros(actions.shape, dtype) for dtype in (np.float64, np.uint8, np.uint8)]
    ended = np.zeros(actions.shape[1], dtype=bool)
    checksum = 0
    for step, row in enumerate(actions):
        *values, obs = _step(env, row, device)
        for column, value in zip(columns, values, strict=True):
            column[step] = value
        if digest:
            checksum = zlib.crc32(obs.data, checksum)
        ended |= values[1].astype(bool)
        if ended.all():
            break
    return columns, checksum


def _step(env: Any, actions: np.ndarray, device: str) -> tuple[np.ndarray, ...]:
    """Return rewards, done, success and observations, in the dtypes of `messages`."""
    result = env.step(torch.from_numpy(actions.copy()).to(device))
    step = check_step(result, len(actions), tuple(env.observation_space.shape))
    success = torch.zeros_like(step.done) if step.success is None else step.success
    return (
        step.reward.detach().cpu().to(torch.float64).numpy(),
        step.done.cpu().numpy().astype(np.uint8),
        success.cpu().numpy().astype(np.uint8),
        _array(step.obs),
    )


def _array(obs: Tensor) -> np.ndarray:
    """Return observations `[N, C, H, W]` as contiguous float32."""
    return np.ascontiguousarray(obs.detach().cpu().to(torch.float32).numpy())
