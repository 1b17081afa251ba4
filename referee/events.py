"""What an evaluation reports while it is running. Pure records."""

from dataclasses import dataclass

from referee.records import RulerComparison


@dataclass(frozen=True, kw_only=True)
class EpisodeDone:
    """One training episode of one seed, as the training worker reports it."""

    seed: int
    episode: int
    """From 1 to `episodes`."""
    episodes: int
    mean_return: float
    solve_rate: float
    env_steps: int


@dataclass(frozen=True, kw_only=True)
class CheckpointReached:
    """The first seed has trained for a checkpoint's number of episodes."""

    episode: int
    curve: tuple[float, ...]
    """Mean return of each training episode so far."""


@dataclass(frozen=True, kw_only=True)
class SeedDone:
    """One more seed, in order, has been trained and evaluated."""

    seed: int
    value: float
    """`SeedResult.full_return`."""
    solve_rate: float
    curve: tuple[float, ...]
    returns: tuple[float, ...]
    """The values of all seeds so far, in order."""
    policy_parameters: int
    observation_shape: tuple[int, ...]
    compared: RulerComparison | None
    """`SeedResult.compared`."""
    resume: str | None
    """What a later evaluation needs to take this seed as measured; None if it would be too long."""
