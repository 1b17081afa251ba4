"""Batched reinforcement-learning environments and PPO, small enough to read in one sitting.

Names are looked up on first use, so importing the package costs nothing.
"""

from importlib import import_module
from typing import Any

_HOME = {
    "CentralizedCritic": "simverse.policies",
    "EnvConfig": "simverse.core.config",
    "EvaluateEvery": "simverse.training.evaluation",
    "FlattenObservation": "simverse.wrappers",
    "FrameStack": "simverse.wrappers",
    "NamedPolicy": "simverse.policies",
    "NormalizeObservation": "simverse.wrappers",
    "NormalizeReward": "simverse.wrappers",
    "PPOConfig": "simverse.training.config",
    "PPOTrainer": "simverse.training.ppo",
    "RandomPolicy": "simverse.policies",
    "RecurrentPolicy": "simverse.policies",
    "SimAgent": "simverse.core.agent",
    "SimEnv": "simverse.core.env",
    "SimplePolicy": "simverse.policies",
    "Simulator": "simverse.core.simulator",
    "Trainer": "simverse.core.trainer",
    "TrainingCheckpoints": "simverse.training.checkpoints",
    "TrainingStats": "simverse.training.stats",
    "check_env": "simverse.testing",
    "make": "simverse.envs.registry",
    "quicktrain": "simverse.recipes",
}

__all__ = sorted(_HOME)  # noqa: PLE0605 - the table above is the list


# Environments of the public library that have a counterpart here, by how their names begin.
_GAMES = {
    "BattleGrid": "battle_grid",
    "Farmtila": "farming",
    "Gym": "gym:ID",
    "MazeRace": "maze_race",
    "Snake": "snake",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        hints = [
            f"; the games here have rules of their own: simverse.make({game!r})"
            for begin, game in _GAMES.items()
            if name.startswith(begin)
        ]
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}{''.join(hints)}")
    return getattr(import_module(_HOME[name]), name)
