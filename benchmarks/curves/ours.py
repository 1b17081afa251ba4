"""simverse's PPO on one of the tasks: `python -m benchmarks.curves.ours --task CartPole-v1`."""

from typing import Any

import gymnasium
import numpy as np
import torch

from benchmarks.curves.course import Course, main
from benchmarks.curves.tasks import (
    CLIP,
    GRADIENT_NORM,
    HIDDEN,
    NORMALIZED_CLIP,
    POINTS,
    VALUE_LOSS,
)
from simverse.core.distributions import action_distribution
from simverse.envs import make
from simverse.envs.gym_spaces import observation_layout
from simverse.policies import SimplePolicy
from simverse.training.ppo import PPOConfig, train
from simverse.training.utils import keep_freed_memory, warm_up
from simverse.wrappers.normalize import NormalizeObservation, NormalizeReward


def settings(course: Course) -> PPOConfig:
    """Return the task's settings as ours are named."""
    task = course.task
    return PPOConfig(
        lr=task.lr,
        anneal_lr=task.anneal,
        training_epochs=task.epochs,
        batch_size=task.batch_size,
        buffer_size=task.num_envs * task.num_steps,
        clip_epsilon=CLIP,
        gamma=task.gamma,
        gae_lambda=task.gae_lambda,
        entropy_coef=task.entropy,
        value_coef=2 * VALUE_LOSS,  # of half the mean squared error
        max_grad_norm=GRADIENT_NORM,
        max_steps=course.steps_a_point // task.num_envs,
    )


def run(course: Course) -> dict[str, Any]:
    """Train; a rollout goes from one point of the curve to the next."""
    task = course.task
    torch.manual_seed(course.seed)
    env: Any = make(task.gym_name, num_envs=task.num_envs, seed=course.seed)
    shown: NormalizeObservation | None = None
    if task.normalize:
        shown = NormalizeObservation(env, clip=NORMALIZED_CLIP)
        env = NormalizeReward(shown, gamma=task.gamma, clip=NORMALIZED_CLIP)
    policy = SimplePolicy(env.observation_space, env.action_space, hidden=HIDDEN)
    actions = action_distribution(env.action_space, policy)
    single = task.make(flat=False)
    space: gymnasium.Space[Any] = single.observation_space
    first_action = int(getattr(single.action_space, "start", 0))
    layout = observation_layout(space, scale=None if task.scale == 1.0 else task.scale)

    @torch.no_grad()
    def act(obs: np.ndarray) -> np.ndarray:
        seen = layout.pack(obs).float()
        outputs, _ = policy(seen if shown is None else shown.normalize(seen))
        return actions.for_env(actions.mode(outputs)).numpy() + first_action

    keep_freed_memory()
    warm_up()  # the others build their optimiser before the clock starts too
    with course.clock():
        train(
            env, policy, settings(course), episodes=POINTS, seed=course.seed,
            on_episode=lambda _: course.point(act),
        )  # fmt: skip
    return course.result(act)


if __name__ == "__main__":
    main(run, flat=False)
