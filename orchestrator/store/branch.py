"""Git follows the ledger: the run's branch, and a ref for every experiment.

The ledger is written first, refs after it; `sync` repairs them after a crash. A ref that another
program moved is never overwritten.
"""

from collections.abc import Iterable

from orchestrator.core.errors import ConflictError, UserError
from orchestrator.core.experiments import Accept, Experiment
from orchestrator.core.records import Files, Status
from orchestrator.core.text import clean, one_line
from orchestrator.planning.state import RunState, replay
from orchestrator.store.git import GitStore
from orchestrator.store.ledger import Ledger
from orchestrator.store.runs import Run

EXPERIMENT_REFS = "refs/autorl/experiments"
_ACCEPTED = {Status.BASELINE, Status.KEEP}


class Branch:
    """The branch `autorl/<tag>` of one run."""

    def __init__(self, run: Run, ledger: Ledger, store: GitStore) -> None:
        self._run = run
        self._ledger = ledger
        self._store = store
        self._ref = f"refs/heads/autorl/{run.tag}"

    def commit(self, experiment: Experiment, files: Files, parent: str) -> str:
        """Write an experiment's commit; no ref moves yet.

        Args:
            experiment: its row, from which the commit message is made.
            files: its candidate.
            parent: the incumbent's commit; before there is an incumbent, the run's parent.

        Returns:
            The commit's hash. A baseline of an incumbent has the incumbent's own commit.
        """
        if experiment.is_baseline and parent != self._run.parent:
            return parent
        message = commit_message(experiment)
        return self._store.commit(parent, files, message, experiment.created_at)

    def follow(self, experiment: Experiment, old_tip: str | None, new_tip: str | None) -> None:
        """Move the refs once an experiment is recorded.

        Args:
            experiment: the one that ended.
            old_tip: the incumbent's commit before it; None if there was no incumbent.
            new_tip: the incumbent's commit after it.

        Raises:
            ConflictError: somebody else moved the branch.
        """
        if experiment.commit is None:
            return
        if new_tip == experiment.commit != old_tip:
            self._move(experiment.commit, old_tip)
        self._keep(experiment)

    def sync(self, tip: str | None) -> None:
        """Move the refs to where the ledger says, unless another program moved them.

        Args:
            tip: the incumbent's commit; None before there is an incumbent.

        Raises:
            ConflictError: somebody else moved the branch.
        """
        tag = self._run.tag
        experiments, accepts = list(self._ledger.endings(tag)), self._ledger.accepts(tag)
        self._restore_commits(experiments, accepts)
        refs = self._store.refs(EXPERIMENT_REFS)
        for experiment in experiments:
            ref = f"{EXPERIMENT_REFS}/{experiment.n}"
            if experiment.commit not in {None, refs.get(ref), refs.get(f"{ref}-{tag}")}:
                self._keep(experiment)
        if tip is None or (at := self._store.read(self._ref)) == tip:
            return
        ours = {None, *(accept.commit for accept in accepts)}
        ours |= {e.commit for e in experiments if e.status in _ACCEPTED}
        self._move(tip, at if at in ours else tip)

    def _keep(self, experiment: Experiment) -> None:
        """Make an experiment's ref. Raises `ConflictError`."""
        assert experiment.commit is not None
        ref = f"{EXPERIMENT_REFS}/{experiment.n}"
        try:
            self._store.move(ref, experiment.commit, None)
        except ConflictError:  # another workspace of this repository has used the number
            self._store.move(f"{ref}-{self._run.tag}", experiment.commit, None)

    def _restore_commits(self, experiments: list[Experiment], accepts: list[Accept]) -> None:
        """Write commits again that a power cut took, from the ledger's files.

        They are written in the order of endings and overrides, each after its parent.

        Raises:
            ConflictError: a commit can't be made again to the bit.
        """
        events = _in_order(experiments, accepts)
        lost = self._store.missing(event.commit for event in events if event.commit)
        if not lost:
            return
        state = RunState()
        for event in events:
            if event.commit in lost:
                lost -= {self._written_again(event, self._tip(state))}
            state = state.after_accept(event) if isinstance(event, Accept) else state.after(event)
        if lost:
            raise ConflictError(
                f"commits of autorl/{self._run.tag} are gone from the repository and can't be made "
                f"again ({', '.join(sorted(lost))}): begin a new run with --tag"
            )

    def _written_again(self, event: Experiment | Accept, tip: str) -> str | None:
        """Write a commit again; return its hash, None if its files are not in the ledger."""
        if isinstance(event, Accept):
            return self._commit_accepted(event.n, tip, event.created_at)
        files = self._ledger.files(event.n)
        parent = event.parent or self._run.parent
        if files is None or parent == event.commit:  # an incumbent's baseline wrote no commit
            return None
        return self.commit(event, files, parent)

    def accept(self, n: int, when: str) -> str:
        """Make experiment `n` the incumbent, by a user's override; return its new commit.

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
        state = replay(self._ledger.endings(tag), self._ledger.accepts(tag))
        if state.incumbent is None:
            raise UserError("the run has no accepted baseline yet: wait for it")
        if state.incumbent.n == n:
            raise UserError(f"experiment {n} is the incumbent already")
        tip = self._tip(state)
        if (at := self._store.read(self._ref)) != tip:
            raise ConflictError(f"{self._ref} is at {at}, not at the incumbent's {tip}")
        self._check_free()
        commit = self._commit_accepted(n, tip, when)
        self._ledger.accept(tag, n, commit, when)
        self._move(commit, tip)
        return commit

    def _tip(self, state: RunState) -> str:
        """Return the incumbent's commit; before there is one, the run's parent."""
        return (state.incumbent and state.incumbent.commit) or self._run.parent

    def _commit_accepted(self, n: int, tip: str, when: str) -> str:
        """Write the commit of a user's override; its parent is the incumbent's commit."""
        experiment, files = self._ledger.experiment(n), self._ledger.files(n)
        assert experiment is not None
        assert files is not None
        message = f"autorl #{n} accepted by a human: {one_line(experiment.description, 72)}\n"
        return self._store.commit(tip, files, message, when)

    def _move(self, new: str, old: str | None) -> None:
        """Move the branch, unless a work tree has it checked out."""
        self._check_free()
        self._store.move(self._ref, new, old)

    def _check_free(self) -> None:
        if folder := self._store.checked_out_in(self._ref):
            raise ConflictError(
                f"autorl/{self._run.tag} is checked out in {folder}: `git switch` to another "
                "branch there, then `autorl-daemon resume`"
            )


def _in_order(
    experiments: Iterable[Experiment], accepts: Iterable[Accept]
) -> list[Experiment | Accept]:
    """Return endings and overrides in the order in which they happened."""
    events: list[Experiment | Accept] = [*experiments, *accepts]
    # A stable sort: overrides after the same ending stay as they are.
    return sorted(
        events, key=lambda e: (e.after_ended, 1) if isinstance(e, Accept) else (e.ended, 0)
    )


def commit_message(experiment: Experiment) -> str:
    """Return the commit message: description, status, score, reason."""
    score = "no score" if experiment.score is None else f"score {experiment.score:.6f}"
    parts = [
        f"autorl #{experiment.n}: {one_line(experiment.description, 72) or experiment.status}",
        clean(experiment.rationale, 4000).strip(),
        f"{experiment.status} at {experiment.rung}: {score}\n{one_line(experiment.reason, 500)}",
    ]
    return "\n\n".join(part for part in parts if part) + "\n"
