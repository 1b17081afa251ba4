"""Planted gains with real training: challengers that are better by a known bonus."""

import contextlib
import select
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from benchmarks.judge.real_noops import RUNG, SEED_COUNT, evidence, nudged, trained
from orchestrator.config.loading import load_config
from orchestrator.config.schema import JudgeConfig
from orchestrator.core.errors import EvaluatorError
from orchestrator.core.evaluations import (
    CheckpointReached,
    EvaluationEnded,
    EvaluatorEvent,
    EvaluatorFailed,
    Measurement,
    SeedDone,
    SeedResult,
)
from orchestrator.core.records import Files, Status
from orchestrator.evaluation.local import LocalEvaluator
from orchestrator.judging.candidate_evidence import SearchEvidence
from orchestrator.judging.challenger_test import challenger_test
from orchestrator.judging.reference import default_seeds
from orchestrator.judging.rules import JudgingRules
from orchestrator.store.ledger import Ledger
from orchestrator.store.workspace import Workspace
from sandbox import Tier

_BONUS = """

# Planted by the benchmark: a bonus at an episode's first step, whatever the policy does.
_create_unplanted = create_env


def create_env(*args, **kwargs):
    env = _create_unplanted(*args, **kwargs)
    step, reset = env.step, env.reset
    first = torch.ones(env.num_envs, dtype=torch.bool)

    def planted_reset(*a, **k):
        first.fill_(True)
        return reset(*a, **k)

    def planted_step(actions):
        obs, reward, done, info = step(actions)
        bonus = {bonus!r} * first.to(reward.dtype)
        first.copy_(done.reshape(-1).bool())
        return obs, reward + bonus.reshape(reward.shape), done, info

    env.step, env.reset = planted_step, planted_reset
    return env
"""


@dataclass(frozen=True)
class Planted:
    """What came of challengers with a known gain."""

    example: str
    gain_sd: float
    """In standard deviations of the lead's seeds."""
    challengers: int
    led: int
    """Those that took the lead."""
    evaluations: float
    measured_sd: float
    """Mean gain over all their seeds, in the same unit: what the bonus really was worth."""
    stopped: int
    """Those that their learning curves would have stopped early."""


def plant(workspace: Workspace, example: str, count: int) -> Iterator[Planted]:
    """Judge challengers with a known gain against the baseline of the run of no-ops."""
    config = load_config(workspace.config, environment={})
    with Ledger(workspace.ledger) as ledger:
        key = ledger.key()
        search = evidence(ledger)
        known_curves = trained(ledger, default_seeds(1)[0])
    files = workspace.candidate()
    # The bonus may be larger than what a step may pay.
    bound = config.evaluator.model_copy(update={"reward_bound": 10.0})
    config = config.model_copy(update={"evaluator": bound})
    evaluator = LocalEvaluator(
        workspace.root, config, key=key, scratch=workspace.state / "planted", tier=Tier.NAMESPACES,
        slots=1,
    )  # fmt: skip
    sd, known = search.spread.sd, search.lead.known
    planting = _Planting(evaluator, config.judge, search, known_curves)
    with contextlib.closing(evaluator):
        for size in (1.0, 2.0):
            env = files.env + _BONUS.replace("{bonus!r}", repr(size * sd))
            rows = [
                planting.judged(Files(env, nudged(files.train, k)), 5000 + int(size) * 100 + k)
                for k in range(count // 2)
            ]
            seeds = [value for row in rows for value in row.returns]
            gain = (statistics.fmean(seeds) - statistics.fmean(known.values())) / sd
            yield Planted(
                example, size, len(rows), sum(row.led for row in rows),
                statistics.fmean(len(row.returns) for row in rows), gain,
                sum(row.stopped for row in rows),
            )  # fmt: skip


@dataclass(frozen=True)
class _Row:
    led: bool
    stopped: bool
    returns: tuple[float, ...]


@dataclass(frozen=True)
class _Planting:
    """Judges one challenger after the other against the same lead."""

    evaluator: LocalEvaluator
    numbers: JudgeConfig
    search: SearchEvidence
    trained: Sequence[SeedResult]
    """Candidates trained to the end on the first default seed, for stopping early."""

    def judged(self, files: Files, n: int) -> _Row:
        """Evaluate and judge experiment `n`; its curves are judged too, but not acted upon."""
        patient = self.numbers.model_copy(update={"early_stop": None})
        test = challenger_test(self.search, RUNG, JudgingRules(patient, SEED_COUNT))
        stopping = challenger_test(self.search, RUNG, JudgingRules(self.numbers, SEED_COUNT))
        stopped, verdict = False, None
        results: list[SeedResult] = []
        for event in self._events(files, stopping.plan, str(n)):
            match event:
                case CheckpointReached(curve=curve):
                    stopped |= stopping.judge_curve(curve, self.trained) is not None
                    self.evaluator.go_on(str(n), wanted=True)
                case SeedDone(result=result):
                    results.append(result)
                    verdict = test.verdict(results)
                    self.evaluator.go_on(str(n), wanted=verdict is None)
                case EvaluationEnded(evaluation=evaluation):
                    assert evaluation.status is None, evaluation.reason
        assert verdict is not None
        returns = tuple(result.value for result in results if result.value is not None)
        return _Row(verdict.status is Status.LEAD, stopped, returns)

    def _events(self, files: Files, plan: Measurement, key: str) -> Iterator[EvaluatorEvent]:
        """Evaluate, and yield what happens until it has ended."""
        self.evaluator.begin(key, files, plan)
        while True:
            select.select([*self.evaluator.descriptors()], [], [], self.evaluator.timeout_s())
            for _, event in self.evaluator.poll():
                if isinstance(event, EvaluatorFailed):
                    raise EvaluatorError(event.reason)
                yield event
                if isinstance(event, EvaluationEnded):
                    return
