"""What a candidate comes to: seeds are evaluated, in order, until the judge has heard enough."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from orchestrator.core.errors import EvaluatorError
from orchestrator.core.evaluations import Evaluation, Measurement, SeedResult
from orchestrator.core.records import Files, Phase, Rung
from orchestrator.core.text import one_line
from orchestrator.engine.fittings import Fittings
from orchestrator.engine.ports import Watch
from orchestrator.judging.challenger_test import Hearing
from orchestrator.judging.early_stopping import LearningCurve
from orchestrator.judging.incumbent import IncumbentEvidence, challenge
from orchestrator.judging.reference import default_seeds
from orchestrator.planning.planner import MeasureIncumbent
from orchestrator.store.seed_results import REFERENCE


@dataclass(frozen=True)
class Case:
    """One candidate to be evaluated, and whom it must beat."""

    n: int
    rung: Rung
    files: Files
    known: IncumbentEvidence | None
    """The incumbent's reference; None where the default seeds are all that is asked for."""


class Assay:
    """Calls the evaluator for the run, and follows it."""

    def __init__(self, fittings: Fittings) -> None:
        self._run = fittings.run
        self._config = fittings.config
        self._ledger = fittings.ledger
        self._evaluator = fittings.evaluator
        self._host = fittings.host
        self._seeds = default_seeds(fittings.config.evaluator.seed_count)

    def evaluate(self, case: Case) -> Evaluation:
        """Evaluate a candidate; where there is a reference, until the judge has a verdict.

        Raises:
            EvaluatorError, StopRequestedError: see the port.
        """
        hearing = self._hearing(case)
        if hearing is None:
            what = Measurement(case.rung, self._seeds)
            return self._call(case, what, self._watch(case, None))
        what = hearing.measurement(case.rung)
        evaluation = self._call(case, what, self._watch(case, hearing))
        if evaluation.status is None:
            evaluation = replace(evaluation, verdict=hearing.verdict)
        return evaluation

    def measure(self, files: Files, step: MeasureIncumbent) -> None:
        """Measure the incumbent; each seed is in the ledger once it is known.

        Raises:
            EvaluatorError, StopRequestedError: see the port.
        """
        began = time.monotonic()
        left = list(step.seeds)
        done, total = 0, step.rung.train_episodes * len(left)
        what = "measuring the incumbent on fresh seeds"
        self._host.show(Phase.EVALUATING, experiment=step.n, description=what, progress=None)

        def watch(event: Mapping[str, Any]) -> bool:
            nonlocal began, done
            if event["event"] == "episode":
                done += 1
                self._host.show(Phase.EVALUATING, progress={"done": done, "total": total})
            elif event["event"] == "seed" and event["seed"] in left:
                left.remove(event["seed"])
                now = time.monotonic()
                known = SeedResult(
                    event["seed"], event["value"], event["solve_rate"], tuple(event["curve"]),
                    seconds=round(now - began, 4), role=REFERENCE,
                )  # fmt: skip
                began = now
                self._ledger.save_evidence(step.n, step.rung, known)
            return True

        first = len(self._seeds)  # each further seed has a time limit of its own
        measurement = Measurement(
            step.rung, step.seeds[:first], more_seeds=step.seeds[first:], follow=True
        )
        folder = f"{step.n}-reference"
        evaluation = self._evaluator.evaluate(files, measurement, folder, self._host, watch)
        if evaluation.status is not None:
            if left and not evaluation.evidence:  # a dead evaluator, a clock: not its doing
                raise EvaluatorError(f"the incumbent could not be measured: {evaluation.reason}")
            if not evaluation.evidence:  # a fault found after the last seed, as in random play
                self._host.log(
                    "the incumbent was measured, and found at fault", "warning", experiment=step.n,
                    reason=one_line(evaluation.reason, 500),
                )  # fmt: skip
            spent_s = round(time.monotonic() - began, 4)
            for seed in evaluation.evidence:  # the others get their turn without this one
                if seed.seed not in left:
                    continue  # it was measured before the evaluator died, and stays so
                left.remove(seed.seed)
                self._ledger.save_evidence(
                    step.n, step.rung, replace(seed, seconds=spent_s, role=REFERENCE)
                )
                self._host.log(
                    "the incumbent failed on a fresh seed", "warning", experiment=step.n,
                    seed=seed.seed, reason=one_line(evaluation.reason, 500),
                )  # fmt: skip
        self._host.log(
            "incumbent measured", experiment=step.n, rung=str(step.rung),
            seeds=len(step.seeds) - len(left),
        )  # fmt: skip

    def _call(self, case: Case, what: Measurement, watch: Watch) -> Evaluation:
        return self._evaluator.evaluate(case.files, what, str(case.n), self._host, watch)

    def _hearing(self, case: Case) -> Hearing | None:
        """Return the hearing in which the challenger's seeds are judged one by one."""
        known = case.known
        if known is None:
            return None
        rules = self._config.judge
        curves = [] if rules.early_stop is None else self._courses(case.rung)
        met = challenge(known, case.n, rules, len(self._seeds))
        return Hearing(met, rules, curves)

    def _courses(self, rung: Rung) -> list[LearningCurve]:
        """Return how candidates have learnt at a rung, for stopping early."""
        return [
            LearningCurve(seed.curve, seed.value)
            for seed in self._ledger.curves(self._run.tag, rung, self._seeds[0])
            if seed.value is not None
        ]

    def _watch(self, case: Case, hearing: Hearing | None) -> Watch:
        """Return what follows an evaluation: it shows the progress and asks the judge."""
        seeds = len(self._seeds)
        done, total = 0, case.rung.train_episodes * seeds

        def watch(event: Mapping[str, Any]) -> bool:
            nonlocal done, total
            if event["event"] == "episode":
                done += 1
                progress = {"done": min(done, total), "total": total}
                self._host.show(Phase.EVALUATING, progress=progress)
            if hearing is None or event["event"] not in {"seed", "checkpoint"}:
                return True
            goes_on = hearing.goes_on(event)
            used = len(event.get("returns", ()))
            if goes_on and used:
                total = case.rung.train_episodes * hearing.seeds_until_next_look(used)
                if used == seeds:
                    self._host.log("passed the screen", experiment=case.n)
            return goes_on

        return watch
