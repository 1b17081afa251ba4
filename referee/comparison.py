"""What a candidate changed of the incumbent's environment, measured: the same actions in both.

Each play of the candidate's environment is repeated in a fresh worker that holds the incumbent's,
from the same seeds. The candidate is never at fault for what happens there.
"""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from referee.courses import Course, Differences, common_ratio, compare_courses
from referee.environment import OpenWorker, UnknownEnvironment, reward_fault
from referee.episodes import BatchRecorder, EpisodeTotals
from referee.messages import EnvironmentJob
from referee.records import CandidateError, RulerComparison


@dataclass(frozen=True)
class Play:
    """One batch that was played in the candidate's environment, with its course."""

    env_seed: int
    torch_seed: int
    recorder: BatchRecorder
    is_greedy: bool
    """Whether the trained policy chose the actions."""


@dataclass(frozen=True)
class _Repeated:
    """The same batch in the incumbent's environment."""

    totals: EpisodeTotals
    differences: Differences
    is_greedy: bool


class IncumbentEnvironment:
    """The incumbent's environment, to be played with the candidate's actions."""

    def __init__(
        self,
        open_worker: OpenWorker,
        job: EnvironmentJob,
        *,
        num_actions: int,
        horizon: int,
        reward_bound: float,
    ) -> None:
        """Prepare; `num_actions` and `horizon` are the candidate's."""
        self._open_worker = open_worker
        self._job = job
        self._num_actions = num_actions
        self._horizon = horizon
        self._reward_bound = reward_bound

    def compare(self, plays: Sequence[Play]) -> RulerComparison:
        """Repeat all plays and count the episodes that differ."""
        episodes = self._job.num_envs * len(plays)
        repeated = []
        for play in plays:
            one = self._repeat_or_none(play)
            if one is None:
                return _incomparable(episodes)
            repeated.append(one)
        differences = [one.differences for one in repeated]
        there = EpisodeTotals.concatenate(one.totals for one in repeated if one.is_greedy)
        return RulerComparison(
            episodes=episodes,
            observations=sum(int(each.observations.sum()) for each in differences),
            rewards=sum(int(each.rewards.sum()) for each in differences),
            ends=sum(int(each.ends.sum()) for each in differences),
            successes=sum(int(each.successes.sum()) for each in differences),
            reward_ratio=common_ratio(differences),
            return_there=statistics.fmean(there.returns.tolist()),
            solve_rate_there=statistics.fmean(there.solved.tolist()),
        )

    def _repeat_or_none(self, play: Play) -> _Repeated | None:
        """Return the repeated play, None if it can't be played to its end."""
        try:
            return self._repeat(play)
        except CandidateError:  # the incumbent's environment, under actions that are not its own
            return None

    def _repeat(self, play: Play) -> _Repeated | None:
        challenger = play.recorder.course
        assert challenger is not None
        count = self._job.num_envs
        with self._open_worker() as channel:
            environment = UnknownEnvironment(channel, self._job)
            batch = environment.create(play.env_seed, play.torch_seed)
            if batch.num_actions != self._num_actions:
                return None
            course = Course(count, batch.observation_shape, batch.obs)
            totals, running = EpisodeTotals.zeros(count), np.ones(count, dtype=bool)
            for index in range(play.recorder.steps):
                actions = play.recorder.actions(index)
                if actions is None or not running.any():
                    break
                step = environment.step(actions)
                if reward_fault(step.reward, running, self._reward_bound):
                    return None
                course.record(step)
                totals.add(running, step)
                running &= ~step.done
        differences = compare_courses(challenger, course, self._horizon)
        return _Repeated(totals, differences, play.is_greedy)


def _incomparable(episodes: int) -> RulerComparison:
    """Return the record of an environment that can't be played: everything differs."""
    return RulerComparison(
        episodes=episodes,
        observations=episodes,
        rewards=episodes,
        ends=episodes,
        successes=episodes,
        reward_ratio=None,
        return_there=0.0,
        solve_rate_there=0.0,
    )
