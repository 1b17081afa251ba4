"""One experiment; and the loop: one after another until there is a reason to stop.

    plan -> propose -> check -> evaluate -> judge -> record

Every step records what it is about to do before it does it: a reply is in the ledger before it is
read, the verdict and both files before a ref moves. So a restart finishes the experiment that was
in hand, or knows that it never began.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

from orchestrator import edits
from orchestrator.config import Config
from orchestrator.decide import (
    Finish,
    RunBaseline,
    RunChallenge,
    RunState,
    is_comparable,
    may_repair,
    next_step,
    replay,
)
from orchestrator.errors import (
    AgentBlockedError,
    AgentFinishedError,
    ConflictError,
    EditError,
    EvaluatorError,
    StopRequestedError,
    UserError,
)
from orchestrator.journal import Journal, foreign_rows, own_description
from orchestrator.judge import Evidence, judge
from orchestrator.ledger import Ledger, OpenExperiment, Request, Run, evaluation_fields
from orchestrator.ports import Agent, Evaluator, Host, Store
from orchestrator.prompt import Brief, as_markdown, build_messages
from orchestrator.records import (
    Attempt,
    Evaluation,
    Experiment,
    Files,
    Phase,
    Proposal,
    Reply,
    Rung,
    Seconds,
    Status,
)
from orchestrator.text import clean, one_line

EXPERIMENT_REFS = "refs/autorl/experiments"
HISTORY_SHOWN = 300
STOPPED_BY_USER = "stopped by the user"
BASELINE_AGENT = "none"
"""Nobody proposes a baseline: it is the accepted candidate, evaluated again."""
_PAUSED_POLL_S = 0.5


class Surroundings(Host, Protocol):
    """The host, and how the loop tells it what is going on."""

    def show(self, phase: Phase, **facts: object) -> None:
        """Show what the daemon is doing (`status`)."""

    def log(self, event: str, level: str = "info", **facts: object) -> None:
        """Write one line to the log."""

    def now(self) -> str:
        """Return the time as ISO 8601 in UTC."""


@dataclass
class _Trial:
    """The experiment in hand."""

    rung: Rung
    is_baseline: bool
    before: Files
    began: float
    n: int | None = None
    agent: str = ""
    files: Files | None = None
    fingerprint: str | None = None
    description: str = ""
    rationale: str = ""
    attempts: list[Attempt] = field(default_factory=list)
    crashes: int = 0
    agent_s: float = 0.0
    evaluator_s: float = 0.0
    created_at: str = ""


class Loop:
    """A run: its state, and the one way to change it."""

    def __init__(
        self,
        *,
        run: Run,
        config: Config,
        workspace: Path,
        baseline: Files,
        ledger: Ledger,
        store: Store,
        agent: Agent,
        evaluator: Evaluator,
        host: Surroundings,
    ) -> None:
        self._run = run
        self._config = config
        self._workspace = workspace
        self._baseline_files = baseline
        self._ledger = ledger
        self._store = store
        self._agent = agent
        self._evaluator = evaluator
        self._host = host
        self._journal = Journal(workspace)
        self._branch = f"refs/heads/autorl/{run.tag}"
        self._began = time.monotonic()
        self._counted_seconds = 0.0
        self._paused = run.pause_reason
        self.state: RunState = replay(ledger.experiments(run.tag), ledger.accepts(run.tag))

    # The loop.

    def run(self) -> str:
        """Run until there is a reason to stop; return it. It is also in the ledger."""
        self._show_state()
        try:
            self._recover()
            reason = None
            while reason is None:
                reason = self.turn()
        except StopRequestedError as error:
            reason = str(error)
            self._abandon(reason)
        finally:
            self._count_seconds()
        self._ledger.set_stop_reason(self._run.tag, reason)
        return reason

    def turn(self) -> str | None:
        """Do one thing: a request, a wait while paused, or one experiment. Return why to stop."""
        for request in self._ledger.requests():
            if (reason := self._obey(request)) is not None:
                return reason
        if self._paused:
            self._host.show(Phase.PAUSED, reason=self._paused)
            self._host.wait("", _PAUSED_POLL_S)
            return None
        self._host.show(Phase.PLANNING, reason="")
        step = next_step(self.state, self._config.budget, self._config.limits, hours=self._hours())
        try:
            match step:
                case Finish(reason):
                    return reason
                case RunBaseline(rung, why):
                    self._baseline(rung, why)
                case RunChallenge(rung):
                    self._challenge(rung)
        except AgentFinishedError as error:
            return str(error)
        except (AgentBlockedError, ConflictError, EvaluatorError) as error:
            kind = "conflict: " if isinstance(error, ConflictError) else ""
            self._abandon(str(error))
            self._pause(f"{kind}{error}")
        return None

    # One experiment.

    def _baseline(self, rung: Rung, why: str) -> None:
        """Evaluate the accepted candidate at a rung; from then on it is what others must beat."""
        files = self._incumbent_files()
        trial = self._trial(rung, is_baseline=True, before=files)
        trial.agent, trial.files, trial.description = BASELINE_AGENT, files, why
        self._begin(trial)
        try:
            trial.fingerprint = edits.fingerprint(files)
            evaluation = self._evaluate(trial)
        except EditError as error:
            evaluation = Evaluation(Status.INVALID, reason=str(error))
        status = evaluation.status or Status.BASELINE
        reason = evaluation.reason or f"baseline at {rung}: {evaluation.score:.4f}"
        self._record(trial, evaluation, status, reason)

    def _challenge(self, rung: Rung, opened: OpenExperiment | None = None) -> None:
        """Have the agent propose, evaluate, and let the judge decide; failures may be repaired."""
        trial = self._trial(rung, is_baseline=False, before=self._incumbent_files())
        pending = self._reopen(trial, opened) if opened else None
        while True:
            reply = pending or self._propose(trial)
            pending = None
            evaluation = self._try(trial, reply)
            if evaluation.status is None or not self._repairable(trial, evaluation):
                break
        status, reason = self._judge(trial, evaluation)
        self._record(trial, evaluation, status, reason)

    def _propose(self, trial: _Trial) -> Reply:
        """Ask the agent; the reply is in the ledger before anybody reads it."""
        self._show(Phase.PROPOSING, trial)
        brief = self._brief(trial)
        started = time.monotonic()
        reply = self._agent.propose(brief, self._host)
        trial.agent_s += time.monotonic() - started
        with self._ledger.transaction():
            if trial.n is None:
                self._begin(trial)
            assert trial.n is not None
            k = len(trial.attempts) + 1
            self._ledger.save_reply(trial.n, k, reply)
        suffix = f".repair-{k - 1}" if k > 1 else ""
        messages = build_messages(brief, context_tokens=self._config.agent.context_tokens)
        self._journal.write(trial.n, f"prompt{suffix}.md", as_markdown(messages))
        self._journal.write(trial.n, f"reply{suffix}.md", reply.text)
        return reply

    def _try(self, trial: _Trial, reply: Reply) -> Evaluation:
        """Check a reply and evaluate what it proposes; a failure is an `Evaluation` too."""
        self._show(Phase.CHECKING, trial)
        try:
            proposal = edits.read_reply(reply, trial.before)
            self._adopt(trial, proposal)
        except EditError as error:
            evaluation = Evaluation(Status.INVALID, reason=f"{error.code}: {error}")
        else:
            evaluation = self._evaluate(trial)
        if evaluation.status is not None:
            error_text = "\n".join(filter(None, [evaluation.reason, evaluation.details]))
            trial.attempts.append(Attempt(reply.text, error_text))
            trial.crashes += evaluation.status is Status.CRASH
            assert trial.n is not None
            self._ledger.save_error(trial.n, len(trial.attempts), error_text)
        return evaluation

    def _adopt(self, trial: _Trial, proposal: Proposal) -> None:
        """Take a proposal as the experiment's, unless the same code was tried at this rung."""
        trial.files = proposal.files
        trial.description = one_line(proposal.description)
        trial.rationale = clean(proposal.rationale, 4000)
        trial.fingerprint = edits.fingerprint(proposal.files)
        earlier = self._ledger.tried_before(self._run.tag, trial.fingerprint, trial.rung)
        if earlier is not None and earlier != trial.n:
            raise EditError(
                "duplicate", f"the same code was already tried in experiment #{earlier}"
            )

    def _evaluate(self, trial: _Trial) -> Evaluation:
        assert trial.files is not None
        self._show(Phase.EVALUATING, trial)
        self._host.log(
            "evaluating", experiment=trial.n, rung=str(trial.rung), description=trial.description
        )
        started = time.monotonic()
        try:
            return self._evaluator.evaluate(
                trial.files, trial.rung, str(trial.n), self._host, self._progress(trial)
            )
        except StopRequestedError as stop:
            self._record(trial, Evaluation(Status.ABORTED), Status.ABORTED, str(stop))
            raise
        except EvaluatorError as error:
            self._record(trial, Evaluation(Status.ABORTED), Status.ABORTED, str(error))
            raise
        finally:
            trial.evaluator_s += time.monotonic() - started

    def _repairable(self, trial: _Trial, evaluation: Evaluation) -> bool:
        return may_repair(
            evaluation.status,
            failures=len(trial.attempts),
            crashes=trial.crashes,
            max_repairs=self._config.agent.max_repairs,
        ) and self._agent.can_repair(self._brief(trial))

    def _judge(self, trial: _Trial, evaluation: Evaluation) -> tuple[Status, str]:
        self._show(Phase.JUDGING, trial)
        if evaluation.status is not None:
            return evaluation.status, evaluation.reason
        assert is_comparable(evaluation, self.state, trial.rung)
        incumbent = self.state.incumbent
        assert incumbent is not None
        assert incumbent.score is not None
        assert evaluation.score is not None
        verdict = judge(
            Evidence(incumbent.score, incumbent.scores_by_seed),
            Evidence(evaluation.score, evaluation.scores_by_seed),
            min_effect=self._config.judge.min_effect,
        )
        return verdict.status, verdict.reason

    def _record(self, trial: _Trial, evaluation: Evaluation, status: Status, reason: str) -> None:
        """Write commit, then ledger (one transaction), then refs, log and journal."""
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
            parent=self._tip(),
            score=evaluation.score if scored else None,
            **evaluation_fields(evaluation),
            reason=reason,
            tokens=tokens,
            cost_usd=cost,
            created_at=trial.created_at,
            finished_at=self._host.now(),
        )
        experiment = replace(experiment, commit=self._commit(trial, experiment))
        spent_s = time.monotonic() - trial.began
        seconds = Seconds(
            agent=round(trial.agent_s, 4),
            evaluator=round(trial.evaluator_s, 4),
            overhead=round(max(0.0, spent_s - trial.agent_s - trial.evaluator_s), 4),
        )
        experiment = replace(experiment, seconds=seconds)
        old_tip = self._store_tip()
        with self._ledger.transaction():
            self._ledger.finish(experiment, trial.files, trial.fingerprint)
            self._count_seconds()
        self.state = self.state.after(experiment)
        self._journal.finish(experiment, trial.before, trial.files)
        self._show_state()
        self._host.log("experiment finished", **_log_facts(experiment))
        self._point(experiment, old_tip)

    # Git follows the ledger.

    def _commit(self, trial: _Trial, experiment: Experiment) -> str | None:
        if trial.files is None:
            return None
        if trial.is_baseline and self.state.incumbent:
            return self._tip()
        return self._store.commit(
            self._tip(), trial.files, commit_message(experiment), experiment.created_at
        )

    def _point(self, experiment: Experiment, old_tip: str | None) -> None:
        if experiment.commit is None:
            return
        if self.state.incumbent and self._tip() == experiment.commit:
            self._store.move(self._branch, experiment.commit, old_tip)
        ref = f"{EXPERIMENT_REFS}/{experiment.n}"
        self._store.move(ref, experiment.commit, self._store.read(ref))

    def _tip(self) -> str:
        """Return the commit of the incumbent; before there is one, the run's parent."""
        tip = self.state.incumbent and self.state.incumbent.commit
        return tip or self._run.parent

    def _store_tip(self) -> str | None:
        """Return where we left the branch: None before the first accepted commit."""
        return self._tip() if self.state.incumbent else None

    def _sync_refs(self) -> None:
        """Move the branch to where the ledger says, if it is where we ever left it."""
        if self.state.incumbent is None:
            return
        (last,) = self._ledger.recent(self._run.tag, 1)
        if last.commit:
            ref = f"{EXPERIMENT_REFS}/{last.n}"
            self._store.move(ref, last.commit, self._store.read(ref))
        at = self._store.read(self._branch)
        ours = {None, last.parent, last.commit, self._tip()}
        self._store.move(self._branch, self._tip(), at if at in ours else self._tip())

    # Requests, pauses, restarts.

    def _recover(self) -> None:
        """Finish what a killed daemon left: go on from a recorded reply, else record an abort."""
        try:
            self._sync_refs()
        except ConflictError as error:
            self._pause(f"conflict: {error}")
        for opened in self._ledger.open_experiments(self._run.tag):
            can_resume = opened.rung == self.state.rung and not self._paused
            if not opened.is_baseline and can_resume and self._ledger.replies(opened.n):
                self._host.log("experiment resumed", experiment=opened.n)
                self._challenge(opened.rung, opened)
        self._abandon("the daemon was killed during this experiment")

    def _abandon(self, reason: str) -> None:
        """Record every experiment that was begun and not finished as aborted."""
        for opened in self._ledger.open_experiments(self._run.tag):
            trial = self._trial(
                opened.rung, is_baseline=opened.is_baseline, before=self._incumbent_files()
            )
            trial.n, trial.agent, trial.created_at = opened.n, opened.agent, opened.created_at
            self._record(trial, Evaluation(Status.ABORTED), Status.ABORTED, reason)

    def _reopen(self, trial: _Trial, opened: OpenExperiment) -> Reply | None:
        """Take up a killed experiment: its failed attempts, and the reply not yet dealt with."""
        trial.n, trial.agent, trial.created_at = opened.n, opened.agent, opened.created_at
        for reply, error in self._ledger.replies(opened.n):
            if error is None:
                return reply
            trial.attempts.append(Attempt(reply.text, error))
        return None

    def _obey(self, request: Request) -> str | None:
        """Do what a person asked; return a reason to stop."""
        self._ledger.drop_requests(request.kind, up_to=request.id)
        match request.kind:
            case "stop":
                return STOPPED_BY_USER
            case "pause":
                self._pause("paused by the user")
            case "resume":
                self._resume()
            case "accept":
                self._accept(int(request.argument or 0))
        return None

    def _accept(self, n: int) -> None:
        try:
            accept(self._ledger, self._store, self._run, n, self._host.now())
        except (UserError, ConflictError) as error:
            self._host.log("accept refused", "warning", experiment=n, reason=str(error))
            return
        self.state = self.state.after_accept(self._ledger.accepts(self._run.tag)[-1])
        self._host.log("accepted by the user", experiment=n)
        self._show_state()

    def _pause(self, reason: str) -> None:
        self._paused = one_line(reason, 500)
        self._ledger.set_pause_reason(self._run.tag, self._paused)
        self._host.show(Phase.PAUSED, reason=self._paused)
        self._host.log("paused", "warning", reason=self._paused)

    def _resume(self) -> None:
        self._paused = None
        self._ledger.set_pause_reason(self._run.tag, None)
        self._host.log("resumed")
        try:
            self._sync_refs()
        except ConflictError as error:
            self._pause(f"conflict: {error}")

    # Helpers.

    def _trial(self, rung: Rung, *, is_baseline: bool, before: Files) -> _Trial:
        return _Trial(
            rung,
            is_baseline,
            before,
            time.monotonic(),
            agent=self._agent.name,
            created_at=self._host.now(),
        )

    def _begin(self, trial: _Trial) -> None:
        trial.n = self._ledger.begin(
            self._run.tag,
            is_baseline=trial.is_baseline,
            rung=trial.rung,
            agent=trial.agent,
            parent=self._tip(),
            when=trial.created_at,
        )
        self._journal.begin(trial.n)

    def _incumbent_files(self) -> Files:
        if self.state.incumbent is None:
            return self._baseline_files
        files = self._ledger.files(self.state.incumbent.n)
        assert files is not None
        return files

    def _brief(self, trial: _Trial) -> Brief:
        incumbent = self.state.incumbent
        recent = self._ledger.recent(self._run.tag, HISTORY_SHOWN)
        own = {own_description(experiment) for experiment in recent}
        foreign = foreign_rows(self._workspace / "results.tsv", own)
        if len(recent) == HISTORY_SHOWN:  # older rows of ours are not in `own`
            foreign = [row for row in foreign if not row["description"].startswith("#")]
        return Brief(
            ordinal=self._ledger.counted_proposals(self._run.tag) + 1,
            program=(self._workspace / "program.md").read_text(encoding="utf-8", errors="replace"),
            files=trial.before,
            rung=trial.rung,
            incumbent=incumbent.n if incumbent else 0,
            history=recent,
            foreign=[" | ".join(row.values()) for row in foreign],
            notes=self._ledger.notes(),
            attempts=tuple(trial.attempts),
            task_max_steps=self._config.task.max_steps,
        )

    def _progress(self, trial: _Trial) -> Callable[[Any], None]:
        total = trial.rung.train_episodes * self._config.evaluator.seed_count
        done = 0

        def report(event: Any) -> None:
            nonlocal done
            if event.get("event") == "episode":
                done += 1
                self._host.show(Phase.EVALUATING, progress={"done": done, "total": total})

        return report

    def _show(self, phase: Phase, trial: _Trial) -> None:
        self._host.show(
            phase,
            experiment=trial.n,
            agent=trial.agent,
            description=trial.description,
            trial_rung=trial.rung._asdict(),
            progress=None,
        )

    def _show_state(self) -> None:
        state = self.state
        self._host.show(
            Phase.PLANNING,
            rung=state.rung._asdict() if state.rung else None,
            best_score=state.incumbent.score if state.incumbent else None,
            incumbent=state.incumbent.n if state.incumbent else None,
        )

    def _hours(self) -> float:
        return (self._run.seconds + time.monotonic() - self._began) / 3600

    def _count_seconds(self) -> None:
        running = time.monotonic() - self._began
        self._ledger.add_seconds(self._run.tag, running - self._counted_seconds)
        self._counted_seconds = running


def accept(ledger: Ledger, store: Store, run: Run, n: int, when: str) -> str:
    """Make experiment `n` the incumbent by a human's word; return its new commit.

    Raises:
        UserError: there is no such experiment with files in this run.
        ConflictError: somebody else moved the run's branch.
    """
    experiment, files = ledger.experiment(n), ledger.files(n)
    if experiment is None or experiment.tag != run.tag:
        raise UserError(
            f"run {run.tag} has no finished experiment {n}: see `autorl-daemon results`"
        )
    if files is None:
        raise UserError(f"experiment {n} holds no candidate (its reply was not usable)")
    incumbent = replay(ledger.experiments(run.tag), ledger.accepts(run.tag)).incumbent
    if incumbent is None:
        raise UserError("the run has no accepted baseline yet: wait for it")
    branch = f"refs/heads/autorl/{run.tag}"
    if (at := store.read(branch)) != incumbent.commit:
        raise ConflictError(f"{branch} is at {at}, not at the incumbent's {incumbent.commit}")
    message = f"autorl #{n} accepted by a human: {experiment.description}\n"
    commit = store.commit(incumbent.commit, files, message, when)
    ledger.accept(run.tag, n, commit, when)
    store.move(branch, commit, incumbent.commit)
    return commit


def commit_message(experiment: Experiment) -> str:
    """Return the commit message: what was tried, and what came of it."""
    score = "no score" if experiment.score is None else f"score {experiment.score:.6f}"
    parts = [
        f"autorl #{experiment.n}: {one_line(experiment.description, 72) or experiment.status}",
        clean(experiment.rationale, 4000).strip(),
        f"{experiment.status} at {experiment.rung}: {score}\n{one_line(experiment.reason, 500)}",
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _log_facts(experiment: Experiment) -> dict[str, Any]:
    return {
        "experiment": experiment.n,
        "status": experiment.status.value,
        "score": experiment.score,
        "rung": str(experiment.rung),
        "agent": experiment.agent,
        "description": experiment.description,
        "reason": one_line(experiment.reason, 500),
        "commit": experiment.commit,
        "evaluator_s": experiment.seconds.evaluator,
        "agent_s": experiment.seconds.agent,
        "overhead_s": experiment.seconds.overhead,
    }
