"""One experiment, from the proposal to its row in the ledger.

    propose -> check -> evaluate -> judge (and veto) -> record

A reply is in the ledger before anybody reads it; the verdict and both files are there, in one
transaction, before anything else learns of them. So a restart can finish an experiment, or knows
that it never began.
"""

import contextlib
import math
import re
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from orchestrator.core.errors import (
    AgentBlockedError,
    EditError,
    EvaluatorError,
    StopRequestedError,
)
from orchestrator.core.evaluations import Evaluation, Verdict
from orchestrator.core.experiments import Experiment, Seconds
from orchestrator.core.records import Attempt, Files, Phase, Proposal, Reply, Rung, Status
from orchestrator.core.text import clean, one_line
from orchestrator.engine.assay import Assay, Case
from orchestrator.engine.fittings import Fittings
from orchestrator.judging import flag_rules as integrity
from orchestrator.judging.incumbent import IncumbentEvidence, learning_failure
from orchestrator.judging.sequential_test import judge_naively
from orchestrator.planning.planner import MeasureIncumbent, is_comparable, may_repair
from orchestrator.planning.state import RunState
from orchestrator.proposals import reply as edits
from orchestrator.proposals.brief import Brief
from orchestrator.proposals.candidate_code import fingerprint
from orchestrator.proposals.prompt import as_markdown, build_messages
from orchestrator.store.experiment_folder import ExperimentFolders
from orchestrator.store.ledger import OpenExperiment
from orchestrator.store.results_tsv import ForeignRows

HISTORY_SHOWN = 300
HISTORY_STEP = 25
_OWN_ROW = re.compile(r"#\d+ ")
BASELINE_AGENT = "none"
"""Nobody proposes a baseline: it is the accepted candidate, evaluated again."""


@dataclass
class _Trial:
    """The experiment in hand."""

    state: RunState
    rung: Rung
    is_baseline: bool
    before: Files
    agent: str
    created_at: str
    began: float = field(default_factory=time.monotonic)
    n: int | None = None
    begun_at: str | None = None
    """The incumbent's commit when it was begun, if that was before a restart."""
    known: IncumbentEvidence | None = None
    """The incumbent's reference; None where nothing is judged."""
    files: Files | None = None
    fingerprint: str | None = None
    description: str = ""
    rationale: str = ""
    attempts: list[Attempt] = field(default_factory=list)
    evaluated: set[str] = field(default_factory=set)
    """Fingerprints of the code this experiment has evaluated."""
    crashes: int = 0
    crash: Evaluation | None = None
    agent_s: float = 0.0
    evaluator_s: float = 0.0

    def failed(self, reply: Reply, evaluation: Evaluation) -> None:
        """Take note of an attempt that failed."""
        error = "\n".join(filter(None, [evaluation.reason, evaluation.details]))
        self.attempts.append(Attempt(reply.text, error))
        if evaluation.status is Status.CRASH:
            self.crashes += 1
            self.crash = evaluation


class Bench:
    """Where experiments are made. Each public method records exactly one."""

    def __init__(self, fittings: Fittings, recorded: Callable[[Experiment], None]) -> None:
        """Set up; `recorded` is called with every experiment once it is in the ledger."""
        self._run = fittings.run
        self._config = fittings.config
        self._workspace = fittings.workspace
        self._baseline_files = fittings.baseline
        self._ledger = fittings.ledger
        self._branch = fittings.branch
        self._agent = fittings.agent
        self._evaluator = fittings.evaluator
        self._host = fittings.host
        self._assay = Assay(fittings)
        self._journal = ExperimentFolders(fittings.workspace)
        # Rows of ours, of this run and of others, begin with an experiment's number.
        self._foreign = ForeignRows(fittings.workspace / "results.tsv", _OWN_ROW.match)
        self._recorded = recorded
        # The recent past, as prompts show it; reading it anew each time would cost more and more.
        self._history = self._ledger.recent(self._run.tag, HISTORY_SHOWN)

    def baseline(
        self, state: RunState, rung: Rung, why: str, opened: OpenExperiment | None = None
    ) -> None:
        """Evaluate the accepted candidate at a rung; from then on it is what others must beat."""
        trial = self._trial(state, rung, is_baseline=True)
        if opened:  # its files are those it began with, whatever the working tree holds by now
            trial.n, trial.created_at = opened.n, opened.created_at
            trial.before = self._ledger.files(opened.n) or trial.before
        trial.agent, trial.files, trial.description = BASELINE_AGENT, trial.before, why
        if not opened:
            self._begin(trial)
        try:
            trial.fingerprint = fingerprint(trial.before)
            evaluation = self._learnt(trial, self._evaluate(trial))
        except EditError as error:
            evaluation = Evaluation(Status.INVALID, reason=str(error))
        status = evaluation.status or Status.BASELINE
        reason = evaluation.reason or f"baseline at {rung}: {evaluation.score:.4f}"
        self._record(trial, evaluation, status, reason)

    def measure(self, state: RunState, step: MeasureIncumbent) -> None:
        """Measure the incumbent on more seeds; each is recorded once it is known."""
        assert state.incumbent is not None
        files = self._ledger.files(state.incumbent.n)
        assert files is not None
        self._assay.measure(files, step)

    def challenge(
        self,
        state: RunState,
        rung: Rung,
        known: IncumbentEvidence | None = None,
        opened: OpenExperiment | None = None,
    ) -> None:
        """Have the agent propose, evaluate, and let the judge decide; failures may be repaired.

        Args:
            state: the run so far.
            rung: the budget.
            known: the incumbent's reference there; None judges by the default seeds alone.
            opened: the experiment to go on with, if one was begun.
        """
        trial = self._trial(state, rung, is_baseline=False)
        trial.known = known
        pending, evaluation = self._reopen(trial, opened) if opened else (None, None)
        while evaluation is None or self._repairable(trial, evaluation):
            reply = pending or self._propose(trial)
            pending = None
            evaluation = self._try(trial, reply)
        if evaluation.status is Status.INVALID and trial.crash is not None:
            evaluation = trial.crash  # its files and traceback say more than a spoilt repair
        if evaluation.status is None and trial.known is None:
            evaluation = self._judged_naively(trial, evaluation)
        evaluation = self._compared(trial, evaluation)
        status, reason = self._judge(trial, evaluation)
        self._record(trial, evaluation, status, reason)

    def abandon(self, state: RunState, opened: OpenExperiment, reason: str) -> None:
        """Record an experiment that was begun and can't be finished as aborted."""
        trial = self._trial(state, opened.rung, is_baseline=opened.is_baseline)
        trial.n, trial.agent, trial.created_at = opened.n, opened.agent, opened.created_at
        trial.files = self._ledger.files(opened.n)
        self._record(trial, Evaluation(Status.ABORTED), Status.ABORTED, reason)

    def catch_up(self) -> None:
        """Write what a kill between the ledger and the journal may have left out."""
        self._history = self._ledger.recent(self._run.tag, HISTORY_SHOWN)
        for shown in self._journal.missing(self._history):
            experiment, files = self._ledger.experiment(shown.n), self._ledger.files(shown.n)
            assert experiment is not None
            before = self._ledger.files_at(str(experiment.parent)) or files
            self._journal.finish(experiment, before, files)

    # The steps.

    def _propose(self, trial: _Trial) -> Reply:
        """Ask the agent; the reply is in the ledger before anybody reads it."""
        self._show(Phase.PROPOSING, trial)
        brief = self._brief(trial)
        started = time.monotonic()
        reply = self._agent.propose(brief, self._host)
        trial.agent_s += time.monotonic() - started
        k = len(trial.attempts) + 1
        with self._ledger.transaction():
            n = trial.n or self._begin(trial)
            self._ledger.save_reply(n, k, reply)
        suffix = f".repair-{k - 1}" if k > 1 else ""
        messages = build_messages(brief, context_tokens=self._config.agent.context_tokens)
        with contextlib.suppress(OSError):  # the ledger has the reply
            self._journal.write(n, f"prompt{suffix}.md", as_markdown(messages))
            self._journal.write(n, f"reply{suffix}.md", reply.text)
        return reply

    def _try(self, trial: _Trial, reply: Reply) -> Evaluation:
        """Check a reply and evaluate what it proposes; a failure is an `Evaluation` too."""
        self._show(Phase.CHECKING, trial)
        try:
            self._adopt(trial, edits.read_reply(reply, trial.before))
        except EditError as error:
            trial.description = trial.description or one_line(edits.describe(reply.text))
            evaluation = Evaluation(Status.INVALID, reason=f"{error.code}: {error}")
        else:
            evaluation = self._evaluate(trial)
        if evaluation.status is not None:
            trial.failed(reply, evaluation)
            assert trial.n is not None
            self._ledger.save_failure(trial.n, len(trial.attempts), evaluation)
        return evaluation

    def _adopt(self, trial: _Trial, proposal: Proposal) -> None:
        """Take a proposal as the experiment's, unless the same code was tried at this rung."""
        trial.files = proposal.files
        trial.description = one_line(proposal.description)
        trial.rationale = clean(proposal.rationale, 4000)
        trial.fingerprint = fingerprint(proposal.files)
        if trial.fingerprint in trial.evaluated:
            raise EditError("unchanged", "the same code has just failed; it was not changed")
        earlier = self._ledger.tried_before(self._run.tag, trial.fingerprint, trial.rung)
        if earlier is not None:
            raise EditError(
                "duplicate", f"the same code was tried already, in experiment #{earlier}"
            )

    def _evaluate(self, trial: _Trial) -> Evaluation:
        assert trial.files is not None
        assert trial.fingerprint is not None
        assert trial.n is not None
        trial.evaluated.add(trial.fingerprint)
        if known := self._ledger.evaluation(trial.n):  # a killed daemon got as far as this
            evaluation, trial.evaluator_s = known
            if evaluation.status is not None or self._still_holds(trial, evaluation):
                return evaluation
        self._show(Phase.EVALUATING, trial)
        self._host.log(
            "evaluating", experiment=trial.n, rung=str(trial.rung), description=trial.description
        )
        started = time.monotonic()
        try:
            evaluation = self._assay.evaluate(self._case(trial))
        except (StopRequestedError, EvaluatorError) as error:
            trial.evaluator_s += time.monotonic() - started
            self._record(trial, Evaluation(Status.ABORTED), Status.ABORTED, str(error))
            raise
        trial.evaluator_s += time.monotonic() - started
        if trial.is_baseline or evaluation.status is None:  # other failures: `save_failure`
            self._ledger.save_evaluation(trial.n, evaluation, trial.evaluator_s)
        return evaluation

    def _still_holds(self, trial: _Trial, evaluation: Evaluation) -> bool:
        """Was it judged by the rule and against the incumbent of now?"""
        by_same_rule = (evaluation.verdict is None) == (trial.known is None)
        begun_at = trial.begun_at
        return by_same_rule and begun_at in {None, self._branch.tip(trial.state)}

    def _case(self, trial: _Trial) -> Case:
        assert trial.n is not None
        assert trial.files is not None
        known = None if trial.is_baseline else trial.known
        return Case(trial.n, trial.rung, trial.files, known)

    def _learnt(self, trial: _Trial, evaluation: Evaluation) -> Evaluation:
        """Reject a baseline that should climb and learns nothing there."""
        below = self._incumbent(trial)
        if evaluation.status is not None or below is None or below.rung == trial.rung:
            return evaluation
        failure = learning_failure(below.metrics, evaluation.metrics)
        if failure is None:
            return evaluation
        reason = f"{failure}; the run stays at {below.rung}"
        return replace(evaluation, status=Status.REJECTED, reason=reason)

    def _repairable(self, trial: _Trial, evaluation: Evaluation) -> bool:
        return may_repair(
            evaluation.status,
            failures=len(trial.attempts),
            crashes=trial.crashes,
            max_repairs=self._config.agent.max_repairs,
        ) and self._agent.can_repair(self._brief(trial))

    def _compared(self, trial: _Trial, evaluation: Evaluation) -> Evaluation:
        """Add the flags that show beside the incumbent."""
        incumbent = self._incumbent(trial)
        if evaluation.status is not None or incumbent is None:
            return evaluation
        if evaluation.score is None:  # stopped early: there is nothing to compare
            return evaluation
        assert trial.files is not None
        challenger = integrity.Scored(
            evaluation.score, evaluation.max_steps, evaluation.metrics, trial.files.env
        )
        old = integrity.Scored(
            incumbent.score or 0.0, incumbent.max_steps, incumbent.metrics, trial.before.env
        )
        flags = (*evaluation.flags, *integrity.compare(old, challenger))
        return replace(evaluation, flags=flags)

    def _incumbent(self, trial: _Trial) -> Experiment | None:
        """Return the experiment that scored the incumbent at this rung."""
        incumbent = trial.state.incumbent
        if incumbent is None or incumbent.scored_by is None:
            return None
        return self._ledger.experiment(incumbent.scored_by)

    def _judge(self, trial: _Trial, evaluation: Evaluation) -> tuple[Status, str]:
        self._show(Phase.JUDGING, trial)
        if evaluation.status is not None:
            return evaluation.status, evaluation.reason
        verdict = evaluation.verdict
        assert verdict is not None
        if verdict.status is Status.KEEP:
            assert is_comparable(evaluation, trial.state, trial.rung)
            scored = self._incumbent(trial)
            vetoed_for = integrity.veto(
                evaluation.flags, scored.flags if scored else (), self._config.integrity.veto
            )
            if vetoed_for:
                gain = verdict.reason.removeprefix("kept: ")
                return Status.REJECTED, integrity.veto_reason(vetoed_for, gain)
        return verdict.status, verdict.reason

    def _judged_naively(self, trial: _Trial, evaluation: Evaluation) -> Evaluation:
        """Add the verdict of the public loop's rule."""
        incumbent, min_effect = trial.state.incumbent, self._config.judge.min_effect
        assert is_comparable(evaluation, trial.state, trial.rung)
        assert incumbent is not None
        assert not isinstance(min_effect, str)
        verdict = judge_naively(
            incumbent.scores_by_seed, evaluation.scores_by_seed, min_effect=min_effect
        )
        return replace(evaluation, verdict=verdict)

    def _record(self, trial: _Trial, evaluation: Evaluation, status: Status, reason: str) -> None:
        """Write the commit, then the ledger in one transaction; everything else follows."""
        assert trial.n is not None
        self._show(Phase.RECORDING, trial)
        tokens, cost = self._ledger.spent(trial.n)
        scored = status in {Status.BASELINE, Status.KEEP, Status.DISCARD}
        experiment = Experiment(
            n=trial.n,
            tag=self._run.tag,
            is_baseline=trial.is_baseline,
            status=status,
            rung=trial.rung,
            agent=trial.agent,
            description=trial.description,
            rationale=trial.rationale,
            parent=self._branch.tip(trial.state),
            score=evaluation.score if scored else None,
            scores_by_seed=evaluation.scores_by_seed if scored else {},
            max_steps=evaluation.max_steps,
            metrics=evaluation.metrics,
            flags=integrity.uncounted(evaluation, status),
            reason=reason,
            details=evaluation.details,
            verdict=_basis(trial, evaluation.verdict),
            tokens=tokens,
            cost_usd=cost,
            created_at=trial.created_at,
            finished_at=self._host.now(),
        )
        if trial.files:
            commit = self._branch.commit(experiment, trial.files, trial.state)
            experiment = replace(experiment, commit=commit)
        experiment = replace(experiment, seconds=_seconds(trial))
        if evaluation.replay and status in {Status.BASELINE, Status.KEEP}:
            # Before the ledger, which forgets it with the verdict.
            with contextlib.suppress(OSError):
                self._journal.write(experiment.n, "replay.json", evaluation.replay)
        self._ledger.finish(experiment, trial.files, trial.fingerprint, evaluation.evidence)
        try:
            self._journal.finish(experiment, trial.before, trial.files)
        except OSError as error:  # the ledger has it all; a full disk must not end the run
            self._host.log("journal not written", "warning", reason=str(error))
        solved = {"mean_solve_rate": experiment.metrics.get("mean_solve_rate")}
        self._history.append(replace(experiment, metrics=solved))
        if len(self._history) > HISTORY_SHOWN + HISTORY_STEP:
            # In steps, so that the prompt's front stays the same and a provider's cache holds.
            del self._history[:HISTORY_STEP]
        self._recorded(experiment)

    # Helpers.

    def _trial(self, state: RunState, rung: Rung, *, is_baseline: bool) -> _Trial:
        before = self._baseline_files
        if state.incumbent:
            files = self._ledger.files(state.incumbent.n)
            assert files is not None
            before = files
        return _Trial(state, rung, is_baseline, before, self._agent.name, self._host.now())

    def _begin(self, trial: _Trial) -> int:
        trial.n = self._ledger.begin(
            self._run.tag,
            is_baseline=trial.is_baseline,
            rung=trial.rung,
            agent=trial.agent,
            parent=self._branch.tip(trial.state),
            when=trial.created_at,
            files=trial.files,
        )
        self._journal.begin(trial.n)
        return trial.n

    def _reopen(
        self, trial: _Trial, opened: OpenExperiment
    ) -> tuple[Reply | None, Evaluation | None]:
        """Take up a killed experiment: the reply not yet dealt with, or else its last failure."""
        trial.n, trial.agent, trial.created_at = opened.n, opened.agent, opened.created_at
        trial.begun_at = opened.parent
        last = None
        for reply, last in self._ledger.replies(opened.n):
            if last is None:
                return reply, None
            trial.failed(reply, last)
            with contextlib.suppress(EditError):
                self._adopt(trial, edits.read_reply(reply, trial.before))
        return None, last

    def _brief(self, trial: _Trial) -> Brief:
        incumbent = trial.state.incumbent
        scored = self._incumbent(trial)
        return Brief(
            ordinal=self._ledger.counted_proposals(self._run.tag) + 1,
            program=self._program(),
            files=trial.before,
            rung=trial.rung,
            incumbent=incumbent.n if incumbent else 0,
            history=tuple(self._history),
            foreign=[" | ".join(row.values()) for row in self._foreign.read()],
            notes=self._ledger.notes(),
            attempts=tuple(trial.attempts),
            task_max_steps=self._config.task.max_steps,
            incumbent_flags=scored.flags if scored else (),
            veto=tuple(self._config.integrity.veto),
        )

    def _program(self) -> str:
        try:
            return (self._workspace / "program.md").read_text(encoding="utf-8", errors="replace")
        except OSError as error:
            raise AgentBlockedError(f"program.md can't be read ({error}): put it back") from None

    def _show(self, phase: Phase, trial: _Trial) -> None:
        self._host.show(
            phase,
            experiment=trial.n,
            agent=trial.agent,
            description=trial.description,
            progress=None,
        )


def _seconds(trial: _Trial) -> Seconds:
    spent_s = time.monotonic() - trial.began
    return Seconds(
        agent=round(trial.agent_s, 4),
        evaluator=round(trial.evaluator_s, 4),
        overhead=round(max(0.0, spent_s - trial.agent_s - trial.evaluator_s), 4),
    )


def _is_infinite(fact: object) -> bool:
    return isinstance(fact, float) and not math.isfinite(fact)


def _basis(trial: _Trial, verdict: Verdict | None) -> dict[str, Any]:
    """Return a verdict and where the returns of both sides are: in the evidence of these two."""
    if verdict is None:
        return {}
    incumbent = trial.state.incumbent
    return {
        # Infinite where there is no noise at all: JSON knows no infinity.
        **{name: None if _is_infinite(fact) else fact for name, fact in asdict(verdict).items()},
        "incumbent": incumbent.scored_by if incumbent else None,
        "reference_seeds": len(trial.known.returns) if trial.known else 0,
        "shared_luck": trial.known.correlation.conservative if trial.known else 0.0,
    }
