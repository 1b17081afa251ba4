"""From the seeds' results to the evaluation's: the score and what is reported beside it. Pure."""

import importlib.metadata
import statistics
from collections.abc import Sequence

from referee.flags import find_flags
from referee.records import EvaluationRequest, EvaluationResult
from referee.seed_run import MeasuredSeed


def summarise(
    request: EvaluationRequest, seeds: Sequence[MeasuredSeed], wall_s: float
) -> EvaluationResult:
    """Return the evaluation's result.

    Args:
        request: what was evaluated.
        seeds: those that were used, in the order of `request.all_seeds`.
        wall_s: how long the evaluation took.
    """
    results = [seed.result for seed in seeds]
    scored, more = results[: len(request.seeds)], results[len(request.seeds) :]
    facts = seeds[0].facts
    returns = [seed.eval_return for seed in scored]
    score = statistics.fmean(returns)
    env_steps = sum(seed.env_steps for seed in results)
    return EvaluationResult(
        env_name=facts.env_name,
        env_description=facts.env_description,
        observation_shape=facts.observation_shape,
        num_actions=facts.num_actions,
        policy_parameters=facts.policy_parameters,
        score=score,
        mean_eval_return=score,
        mean_solve_rate=statistics.fmean(s.solve_rate for s in scored),
        mean_train_return=statistics.fmean(_last_window(s.train_returns) for s in scored),
        learning_gain=statistics.fmean(
            _last_window(s.train_returns) - _first_window(s.train_returns) for s in scored
        ),
        headroom_bonus=statistics.fmean(
            max(0.0, 1.0 - s.untrained_solve_rate) * s.solve_rate for s in scored
        ),
        stability=min(1.0, max(0.0, 1.0 - statistics.pstdev(returns) / (abs(score) + 1.0))),
        complexity_penalty=_complexity(facts.observation_shape, facts.num_actions),
        mean_episode_length=statistics.fmean(s.episode_length for s in scored),
        random_return=statistics.fmean(r for s in scored for r in s.random_returns),
        episode_return_std=statistics.pstdev([r for s in scored for r in s.episode_returns]),
        max_steps=seeds[0].max_steps,
        num_envs=request.num_envs,
        train_episodes=request.train_episodes,
        eval_episodes=request.eval_episodes,
        seed_count=len(scored),
        seeds=tuple(seed.seed for seed in scored),
        seed_results=tuple(scored),
        more_results=tuple(more),
        device=request.device,
        precision=request.precision,
        env_steps=env_steps,
        wall_s=wall_s,
        steps_per_s=env_steps / wall_s,
        peak_memory_mb=max(s.peak_memory_mb for s in results),
        threads=1,
        view=seeds[0].view,
        torch_version=importlib.metadata.version("torch"),
        numpy_version=importlib.metadata.version("numpy"),
        path="fused" if all(seed.path == "fused" for seed in scored) else "torch",
        flags=tuple(
            find_flags([seed.observations for seed in seeds], has_world=request.world is not None)
        ),
    )


def _window(count: int) -> int:
    return max(2, count // 3)


def _last_window(values: Sequence[float]) -> float:
    return statistics.fmean(values[-_window(len(values)) :])


def _first_window(values: Sequence[float]) -> float:
    return statistics.fmean(values[: _window(len(values))])


def _complexity(observation_shape: Sequence[int], num_actions: int) -> float:
    channels, height, width = observation_shape
    return (
        0.08 * max(0, height * width - 25)
        + 0.40 * max(0, channels - 6)
        + 1.5 * max(0, num_actions - 5)
    )
