"""The task: an environment of Gymnasium's. This file is yours alone; the agent can't change it.

The view has one field, `obs` `[N, C, H, W]`: a vector of d numbers is `(1, 1, d)`, an image
`(C, H, W)` with bytes divided by 255. Reward, success and horizon are the environment's own.
"""

from typing import Any

from simverse.core.world import World
from simverse.worlds import from_env

ENVIRONMENT = "gym:CartPole-v1"


def create_world(config: Any, **options: Any) -> World:
    """Build the world; `config` names its `seed`."""
    return from_env(ENVIRONMENT, config, **options)
