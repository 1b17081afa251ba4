"""What goes into an evaluation, what comes out, and how it can fail. Pure records."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from referee.seeds import PUBLIC_KEY

MAX_TRAIN_EPISODES = 1000
MAX_EVAL_EPISODES = 100
MIN_TRAIN_EPISODES = 2
DEFAULT_MAX_STEPS = 20
MAX_HORIZON = 100_000
MAX_CANDIDATE_CHARS = 1_000_000
"""Longest candidate, all of its files together."""


class CandidateError(Exception):
    """The candidate is at fault. `kind` is `invalid`, `crash` or `rejected`."""

    def __init__(
        self,
        kind: str,
        reason: str,
        *,
        details: str = "",
        score: float | None = None,
        told: str = "",
    ) -> None:
        super().__init__(reason)
        self.seed: int | None = None
        """The seed it failed on."""
        self.kind = kind
        self.reason = reason
        self.details = details
        """Traceback and output of the worker, bounded; untrusted text."""
        self.score = score
        """Its score, if it was disqualified after scoring. It does not count."""
        self.told = told or f"the candidate's code was at fault ({kind})"
        """The reason without anything that a worker could choose freely."""
        self.withheld = ""
        """What `withhold` took out of reason and details, for people alone."""

    def withhold(self) -> None:
        """Leave only what can't carry a secret: no text, number or output of a worker.

        The environments of an evaluation know its seeds. The next candidate's author reads why this
        one failed, and the next candidate is evaluated with the same seeds.
        """
        self.withheld = "\n".join(filter(None, [self.reason, self.details]))
        self.reason = f"in evaluation: {self.told}"
        self.details = ""


class EvaluationStoppedError(Exception):
    """The caller stopped the evaluation before its first seed was finished."""


@dataclass(frozen=True, kw_only=True)
class EvaluationRequest:
    """One evaluation. Raises `ValueError` for a budget beyond the caps."""

    candidate_dir: Path
    train_episodes: int = 12
    eval_episodes: int = 8
    seeds: tuple[int, ...] = (101, 138)
    more_seeds: tuple[int, ...] = ()
    """Evaluated after `seeds`, one by one until the caller stops; they don't count."""
    checkpoints: tuple[int, ...] = ()
    """Training episodes, rising, at which the caller receives the first seed's learning curve."""
    num_envs: int = 32
    max_steps: int | None = None
    """Horizon in steps; None leaves it to the candidate's override, else `DEFAULT_MAX_STEPS`."""
    lr: float = 3e-4
    device: str = "cpu"
    reward_bound: float = 10.0
    """Largest magnitude of a single step's reward."""
    precision: str = "fp32"
    path: str = "fused"
    """What trains policies: `fused` arithmetic where it knows them, or `torch` in any case. Scores
    of the two differ by rounding, which training makes larger."""
    workers: int | None = None
    """Seeds trained side by side; None: one per core, on a GPU one per scored seed. Never changes
    a score."""
    memory_mb: int | None = None
    """Most private memory in MiB of a worker and all it starts."""
    cpu_s: int | None = None
    """Most processor seconds of one worker process."""
    key: bytes = PUBLIC_KEY
    measured: Mapping[int, str] = field(default_factory=dict)
    """What `SeedDone.resume` was for seeds that an earlier evaluation has measured."""
    compare_with: Mapping[str, str] | None = None
    """The incumbent's `env.py` and `train.py`, whose environment is compared with the candidate's
    on each seed. It changes no score."""
    keep_dir: Path | None = None
    """Folder into which the trained weights of the scored seeds are written; None keeps none."""
    is_watched: bool = False
    """Whether all counted episodes are filmed, drawn by the environment or world itself, and the
    films of these seeds written there too. Scores are the same, unless drawing changes what is
    drawn."""
    world: Mapping[str, str] | None = None
    """The modules of the user's own world by file name; None for the open mode, where the
    candidate's environment is the task. With a world there is nothing to compare."""

    def __post_init__(self) -> None:
        _require(
            MIN_TRAIN_EPISODES <= self.train_episodes <= MAX_TRAIN_EPISODES,
            f"train_episodes must be {MIN_TRAIN_EPISODES} to {MAX_TRAIN_EPISODES}, "
            f"not {self.train_episodes}",
        )
        _require(
            1 <= self.eval_episodes <= MAX_EVAL_EPISODES,
            f"eval_episodes must be 1 to {MAX_EVAL_EPISODES}, not {self.eval_episodes}",
        )
        _require(len(self.seeds) >= 1, "seed_count must be at least 1")
        order = self.all_seeds
        _require(len(set(order)) == len(order), f"seeds repeat: {list(order)}")
        _require(self.num_envs >= 1, f"num_envs must be at least 1, not {self.num_envs}")
        _require(
            self.max_steps is None or 1 <= self.max_steps <= MAX_HORIZON,
            f"max_steps must be 1 to {MAX_HORIZON}, not {self.max_steps}",
        )
        _require(
            math.isfinite(self.reward_bound) and self.reward_bound > 0,
            f"reward_bound must be a positive number, not {self.reward_bound}",
        )
        _require(
            self.precision in {"fp32", "bf16"},
            f"precision must be 'fp32' or 'bf16', not {self.precision!r}",
        )
        _require(
            self.path in {"fused", "torch"},
            f"path must be 'fused' or 'torch', not {self.path!r}",
        )
        _require(
            self.workers is None or self.workers >= 1,
            f"workers must be at least 1, not {self.workers}",
        )
        _require(
            self.compare_with is None or _is_candidate(self.compare_with),
            "compare_with must map env.py and train.py to texts of at most "
            f"{MAX_CANDIDATE_CHARS:,} characters in all",
        )

    @property
    def all_seeds(self) -> tuple[int, ...]:
        """The seeds in the order of their evaluation."""
        return (*self.seeds, *self.more_seeds)


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise ValueError(message)


def _is_candidate(files: object) -> bool:
    return (
        isinstance(files, Mapping)
        and set(files) == {"env.py", "train.py"}
        and all(isinstance(text, str) for text in files.values())
        and sum(map(len, files.values())) <= MAX_CANDIDATE_CHARS
    )


@dataclass(frozen=True, kw_only=True)
class RulerComparison:
    """What differs between the candidate's environment and the incumbent's, on one seed.

    The same actions were played in both from the same seeds: the random ones, and the greedy ones
    of every scored batch. Counts are of episodes, compared up to their first `done` in either.
    If the incumbent's environment can't be played with them (another number of actions, an
    exception, a reward out of bounds), nothing is comparable: all counts are `episodes`,
    `reward_ratio` is None, and what was earned and solved there is 0.
    """

    episodes: int
    observations: int
    """Episodes with an observation that differs; all if the shapes do."""
    rewards: int
    """Those with a reward that differs by more than rounding."""
    ends: int
    """Those that end at another step, or could not be compared to their end."""
    successes: int
    """Those that succeed first at another step, or in one environment alone."""
    reward_ratio: float | None
    """The candidate's rewards as a multiple of the incumbent's, if one factor fits all steps."""
    return_there: float
    """Mean return of the scored batches' greedy actions in the incumbent's environment."""
    solve_rate_there: float


@dataclass(frozen=True, kw_only=True)
class PartSummary:
    """One part of the reward over a training."""

    at: tuple[float, ...]
    """The mean in each tenth of the training episodes."""
    max: float
    mean: float
    min: float


@dataclass(frozen=True, kw_only=True)
class SeedResult:
    """The result of training and evaluating on one seed, as the referee measured it."""

    seed: int
    eval_return: float
    """Mean return over the episodes that count for the score."""
    full_return: float
    """Mean return over all evaluated episodes: the same quantity with less noise, for the test."""
    solve_rate: float
    untrained_solve_rate: float
    episode_length: float
    """Mean length in steps of the episodes that count."""
    episode_returns: tuple[float, ...]
    evidence_returns: tuple[float, ...]
    """Returns of the evaluated episodes that do not count for the score."""
    evidence_solve_rate: float
    """Solve rate over all evaluated episodes, including those that do not count."""
    evidence_episode_length: float
    random_returns: tuple[float, ...]
    """Returns of random actions from starts of the evaluation, at most
    `episodes.MAX_RECORDED_SLOTS`: they compare the rewards of two candidates' environments."""
    random_solve_rate: float
    random_full_length: float
    """Share of these episodes that ran to the horizon."""
    random_lengths: tuple[int, ...]
    """Length in steps of each of them."""
    random_solved: tuple[bool, ...]
    """Whether each of them succeeded."""
    train_returns: tuple[float, ...]
    """Mean return of each training episode, as the training worker reports it."""
    env_steps: int
    """Steps of single sub-environments in training."""
    train_s: float
    peak_memory_mb: float
    replay: Mapping[str, Any]
    """The first episode that counts, to watch (`simverse.replay_document`)."""
    compared: RulerComparison | None = None
    """With the incumbent's environment; None if that was not asked for."""
    learning: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    """Statistics of the training, by name: the mean in each tenth of its episodes. The training
    worker's own account, like `train_returns` and the reward's parts."""
    reward_parts: Mapping[str, PartSummary] = field(default_factory=dict)
    """What `info["reward_parts"]` added up to in a training episode, by name."""
    path: str = "torch"
    """What trained the policy, `fused` or `torch`, as the training worker reports it."""


@dataclass(frozen=True, kw_only=True)
class EvaluationResult:
    """An evaluation: the score, and what is reported beside it and never scored."""

    env_name: str
    env_description: str
    score: float
    mean_eval_return: float
    mean_solve_rate: float
    mean_train_return: float
    learning_gain: float
    headroom_bonus: float
    stability: float
    complexity_penalty: float
    mean_episode_length: float
    random_return: float
    """Mean return of random actions."""
    episode_return_std: float
    """Population standard deviation of single episodes' returns, over all seeds."""
    observation_shape: tuple[int, ...]
    num_actions: int
    policy_parameters: int
    max_steps: int
    num_envs: int
    train_episodes: int
    eval_episodes: int
    seed_count: int
    seeds: tuple[int, ...]
    seed_results: tuple[SeedResult, ...]
    more_results: tuple[SeedResult, ...]
    """Those of `more_seeds` that were evaluated; no number above depends on them."""
    device: str
    precision: str
    env_steps: int
    wall_s: float
    steps_per_s: float
    """Training steps of single sub-environments per second of wall time, all seeds together."""
    peak_memory_mb: float
    threads: int
    torch_version: str
    flags: tuple[str, ...]
    view: str = ""
    """The fields of the views of the user's own world, where there is one."""
    path: str = "torch"
    """What trained the policies of the scored seeds: `fused` or `torch`."""
    numpy_version: str = ""
