"""Stable-Baselines3's PPO on one of the tasks: `python -m benchmarks.curves.sb3 --task ...`."""

from typing import Any

import numpy as np
import stable_baselines3
from stable_baselines3 import PPO
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.vec_env import DummyVecEnv, VecEnv, VecNormalize

from benchmarks.curves.course import Act, Course, main
from benchmarks.curves.tasks import (
    CLIP,
    GRADIENT_NORM,
    HIDDEN,
    NORMALIZED_CLIP,
    VALUE_LOSS,
)


class Points(BaseCallback):
    """Adds a point to the curve after every so many updates."""

    def __init__(self, course: Course, act: Act) -> None:
        super().__init__()
        self.course, self.act, self.rollouts = course, act, 0

    def _on_step(self) -> bool:
        return True

    def _on_rollout_start(self) -> None:
        """After the update of the rollout before."""
        if self.rollouts and self.rollouts % self.course.updates_a_point == 0:
            self.course.point(self.act)
        self.rollouts += 1


def run(course: Course) -> dict[str, Any]:
    """Train."""
    task = course.task
    env: VecEnv = DummyVecEnv([task.make] * task.num_envs)
    shown = None
    if task.normalize:
        env = shown = VecNormalize(
            env, clip_obs=NORMALIZED_CLIP, clip_reward=NORMALIZED_CLIP, gamma=task.gamma
        )
    model = PPO(
        "MlpPolicy",
        env,
        n_steps=task.num_steps,
        batch_size=task.batch_size,
        n_epochs=task.epochs,
        learning_rate=(lambda left: task.lr * left) if task.anneal else task.lr,
        gamma=task.gamma,
        gae_lambda=task.gae_lambda,
        clip_range=CLIP,
        ent_coef=task.entropy,
        vf_coef=VALUE_LOSS,
        max_grad_norm=GRADIENT_NORM,
        policy_kwargs={"net_arch": [HIDDEN, HIDDEN]},
        seed=course.seed,
        device="cpu",
    )

    def act(obs: np.ndarray) -> np.ndarray:
        seen = obs if shown is None else shown.normalize_obs(obs)
        return model.predict(seen, deterministic=True)[0]

    with course.clock():
        model.learn(course.steps, callback=Points(course, act))
        course.point(act)
    return course.result(act, version=f"Stable-Baselines3 {stable_baselines3.__version__}")


if __name__ == "__main__":
    main(run)
