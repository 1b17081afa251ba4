"""Git follows the ledger: the run's branch, and a ref for every experiment.

The ledger is written first, refs after it; what a crash leaves behind, `sync` catches up with. A
ref that somebody else moved is never overwritten.
"""

from orchestrator.core.errors import ConflictError, UserError
from orchestrator.core.experiments import Experiment
from orchestrator.core.records import Files, Status
from orchestrator.core.text import clean, one_line
from orchestrator.engine.ports import Store
from orchestrator.planning.state import RunState, replay
from orchestrator.store.ledger import Ledger, Run

EXPERIMENT_REFS = "refs/autorl/experiments"
_ACCEPTED = {Status.BASELINE, Status.KEEP}


class Branch:
    """The branch `autorl/<tag>` of one run."""

    def __init__(self, run: Run, ledger: Ledger, store: Store) -> None:
        self._run = run
        self._ledger = ledger
        self._store = store
        self._ref = f"refs/heads/autorl/{run.tag}"

    def tip(self, state: RunState) -> str:
        """Return the incumbent's commit; before there is one, the run's parent."""
        return (state.incumbent and state.incumbent.commit) or self._run.parent

    def commit(self, experiment: Experiment, files: Files, state: RunState) -> str:
        """Write an experiment's commit, on top of the incumbent's; no ref moves yet."""
        if experiment.is_baseline and state.incumbent:
            return self.tip(state)
        message = commit_message(experiment)
        return self._store.commit(self.tip(state), files, message, experiment.created_at)

    def follow(self, experiment: Experiment, before: RunState, after: RunState) -> None:
        """Move the refs after an experiment was recorded. Raises `ConflictError`."""
        if experiment.commit is None:
            return
        if after.incumbent and self.tip(after) == experiment.commit != self.tip(before):
            self._move(experiment.commit, self.tip(before) if before.incumbent else None)
        self._keep(experiment)

    def sync(self, state: RunState) -> None:
        """Bring the refs to where the ledger says, if they are where we ever left them.

        Raises:
            ConflictError: somebody else moved the branch.
        """
        self._restore_commits()
        refs = self._store.refs(EXPERIMENT_REFS)
        for experiment in self._ledger.experiments(self._run.tag):
            ref = f"{EXPERIMENT_REFS}/{experiment.n}"
            if experiment.commit not in {None, refs.get(ref), refs.get(f"{ref}-{self._run.tag}")}:
                self._keep(experiment)
        if state.incumbent is None:
            return
        at, tip = self._store.read(self._ref), self.tip(state)
        if at == tip:
            return
        tag = self._run.tag
        ours = {None, *(accept.commit for accept in self._ledger.accepts(tag))}
        ours |= {e.commit for e in self._ledger.experiments(tag) if e.status in _ACCEPTED}
        self._move(tip, at if at in ours else tip)

    def _keep(self, experiment: Experiment) -> None:
        """Make an experiment's ref. Raises `ConflictError`."""
        assert experiment.commit is not None
        ref = f"{EXPERIMENT_REFS}/{experiment.n}"
        try:
            self._store.move(ref, experiment.commit, None)
        except ConflictError:  # another workspace of this repository has used the number
            self._store.move(f"{ref}-{self._run.tag}", experiment.commit, None)

    def _restore_commits(self) -> None:
        """Write commits again that a power cut took, from the ledger's files, oldest first.

        Raises:
            ConflictError: one can't be made again to the bit.
        """
        tag = self._run.tag
        experiments, accepts = list(self._ledger.experiments(tag)), self._ledger.accepts(tag)
        known = {e.commit for e in experiments} | {accept.commit for accept in accepts}
        lost = self._store.missing(commit for commit in known if commit)
        for experiment in experiments if lost else ():
            if experiment.commit in lost and (files := self._ledger.files(experiment.n)):
                message = commit_message(experiment)
                parent, when = experiment.parent or self._run.parent, experiment.created_at
                lost.discard(self._store.commit(parent, files, message, when))
            for accept in accepts:
                if accept.commit in lost and accept.after_n == experiment.n:
                    earlier = accepts[: accepts.index(accept)]
                    past = replay((e for e in experiments if e.n <= experiment.n), earlier)
                    lost.discard(self._commit_accepted(accept.n, past, accept.created_at))
        if lost:
            raise ConflictError(
                f"commits of autorl/{tag} are gone from the repository and can't be made again "
                f"({', '.join(sorted(lost))}): begin a new run with --tag"
            )

    def accept(self, n: int, when: str) -> str:
        """Make experiment `n` the incumbent by a human's word; return its new commit.

        Raises:
            UserError: there is no such experiment with files in this run.
            ConflictError: somebody else moved the run's branch.
        """
        tag = self._run.tag
        experiment, files = self._ledger.experiment(n), self._ledger.files(n)
        if experiment is None or experiment.tag != tag:
            raise UserError(
                f"run {tag} has no finished experiment {n}: see `autorl-daemon results`"
            )
        if files is None:
            raise UserError(f"experiment {n} holds no candidate (its reply was not usable)")
        state = replay(self._ledger.experiments(tag), self._ledger.accepts(tag))
        if state.incumbent is None:
            raise UserError("the run has no accepted baseline yet: wait for it")
        if state.incumbent.n == n:
            raise UserError(f"experiment {n} is the incumbent already")
        if (at := self._store.read(self._ref)) != self.tip(state):
            raise ConflictError(f"{self._ref} is at {at}, not at the incumbent's {self.tip(state)}")
        commit = self._commit_accepted(n, state, when)
        self._ledger.accept(tag, n, commit, when)
        self._move(commit, self.tip(state))
        return commit

    def _commit_accepted(self, n: int, state: RunState, when: str) -> str:
        """Write the commit of a human's override, on top of the incumbent's."""
        experiment, files = self._ledger.experiment(n), self._ledger.files(n)
        assert experiment is not None
        assert files is not None
        message = f"autorl #{n} accepted by a human: {one_line(experiment.description, 72)}\n"
        return self._store.commit(self.tip(state), files, message, when)

    def _move(self, new: str, old: str | None) -> None:
        """Move the branch, unless somebody has it checked out and would see it move."""
        if folder := self._store.checked_out_in(self._ref):
            raise ConflictError(
                f"autorl/{self._run.tag} is checked out in {folder}: `git switch` to another "
                "branch there, then `autorl-daemon resume`"
            )
        self._store.move(self._ref, new, old)


def commit_message(experiment: Experiment) -> str:
    """Return the commit message: what was tried, and what came of it."""
    score = "no score" if experiment.score is None else f"score {experiment.score:.6f}"
    parts = [
        f"autorl #{experiment.n}: {one_line(experiment.description, 72) or experiment.status}",
        clean(experiment.rationale, 4000).strip(),
        f"{experiment.status} at {experiment.rung}: {score}\n{one_line(experiment.reason, 500)}",
    ]
    return "\n\n".join(part for part in parts if part) + "\n"
