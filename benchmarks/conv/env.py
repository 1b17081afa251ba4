"""Walk to a goal on a 5 x 5 grid: cheap to step, so that the convolutions are what takes time."""

from simverse.envs.grid_goal import create_env

__all__ = ["create_env"]
