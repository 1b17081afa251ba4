"""Batched reinforcement-learning environments and PPO, small enough to read in one sitting.

Names are looked up on first use, so importing the package costs nothing.
"""

from typing import Any

from simverse.lookup import looked_up

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


_look_up = looked_up(__name__, _HOME)


def __getattr__(name: str) -> Any:
    try:
        return _look_up(name)
    except AttributeError as error:
        game = next((game for begin, game in _GAMES.items() if name.startswith(begin)), None)
        if game is None or name in _HOME:
            raise
        hint = f"; the games here have rules of their own: simverse.make({game!r})"
        raise AttributeError(f"{error}{hint}") from None
