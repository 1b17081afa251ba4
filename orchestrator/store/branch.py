"""Git follows the ledger: the run's branch, the lead's ref, and a ref for every experiment.

The ledger is written first, refs after it; `sync` repairs them after a crash. A ref that another
program moved is never overwritten.
"""

from collections.abc import Mapping

from orchestrator.core.errors import ConflictError, UserError
from orchestrator.core.experiments import Accept, Experiment, LeadMove
from orchestrator.core.records import PUBLISHED, Files, Status
from orchestrator.core.text import clean, one_line
from orchestrator.planning.events import Event, in_order
from orchestrator.planning.state import RunState, replay
from orchestrator.store.git import GitStore
from orchestrator.store.ledger import Ledger
from orchestrator.store.runs import Run

EXPERIMENT_REFS = "refs/autorl/experiments"
LEAD_REFS = "refs/autorl/leads"
_LONGEST_TAG_BYTES = 200
"""A ref is a file, whose name has at most 255 bytes: a tag stands in it beside other words."""


def tag_fault(tag: str, store: GitStore) -> str | None:
    """Return why a run can't have this tag, None if it can."""
    name = one_line(tag, 60)
    if len(tag.encode(errors="replace")) > _LONGEST_TAG_BYTES:
        return f"--tag {name!r} is too long: at most {_LONGEST_TAG_BYTES} bytes"
    # Git accepts characters that a terminal obeys or nobody sees.
    is_plain = tag == one_line(tag) and tag.isprintable() and "/" not in tag and tag[:1] != "-"
    if not (tag.strip() and is_plain and store.is_valid_branch(f"autorl/{tag}")):
        return f"--tag {name!r} can't be a branch name: letters, digits, - and . are safe"
    return None


def obstacle_to(tag: str, store: GitStore) -> str | None:
    """Return which ref keeps git from making those of a run with this tag, None without one."""
    nested = (name for name in store.refs(EXPERIMENT_REFS) if name.count("/") > 3)
    other = (
        store.in_the_way_of(f"refs/heads/autorl/{tag}")
        or store.in_the_way_of(f"{EXPERIMENT_REFS}/0")
        or store.in_the_way_of(f"{LEAD_REFS}/{tag}")
        or next(nested, None)
    )
    if other is None:
        return None
    if other.startswith("refs/heads/"):
        branch = other.removeprefix("refs/heads/")
        return f"a branch named {branch} is in the way of autorl/{tag}: rename it (`git branch -m`)"
    ours = f"{LEAD_REFS}/{tag}" if other.startswith(LEAD_REFS) else f"{EXPERIMENT_REFS}/N"
    return f"a ref named {other} is in the way of {ours}: remove it (`git update-ref -d {other}`)"


class Branch:
    """The branch `autorl/<tag>` of one run."""

    def __init__(
        self, run: Run, ledger: Ledger, store: GitStore, world: Mapping[str, str] | None = None
    ) -> None:
        """Prepare; `world` has the modules of the user's own world, which commits carry too."""
        self._run = run
        self._ledger = ledger
        self._store = store
        self._world = {f"task/{name}": text for name, text in (world or {}).items()}
        self._ref = f"refs/heads/autorl/{run.tag}"
        self._lead_ref = f"{LEAD_REFS}/{run.tag}"

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
        # The world as it was played: the user need not have committed it.
        return self._store.commit(parent, files, message, experiment.created_at, self._world)

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

    def publish(self, old_tip: str, new_tip: str) -> None:
        """Move the branch along the lead's commits, once the lead is proven.

        Raises:
            ConflictError: somebody else moved the branch.
        """
        self._move(new_tip, old_tip)

    def point_at_lead(self, commit: str, *, is_published: bool) -> None:
        """Have the lead's ref say where the lead is.

        It is for people to look at: whatever it points to, it is set. It is never removed: a git
        command that is killed while it removes a ref leaves the user's `packed-refs` locked.

        Args:
            commit: the lead's.
            is_published: whether that is the published candidate; a ref that is not there yet is
                not made for it.

        Raises:
            ConflictError: another ref is in its way.
        """
        at = self._store.read(self._lead_ref)
        if at != commit and not (at is None and is_published):
            self._store.move(self._lead_ref, commit, at)

    def sync(self, tip: str | None) -> None:
        """Move the refs to where the ledger says, unless another program moved them.

        Args:
            tip: the published candidate's commit; None before there is one.

        Raises:
            ConflictError: somebody else moved the branch.
        """
        tag = self._run.tag
        experiments, moves = list(self._ledger.endings(tag)), self._ledger.moves(tag)
        self._restore_commits(list(in_order(experiments, moves)))
        refs = self._store.refs(EXPERIMENT_REFS)
        for experiment in experiments:
            ref = f"{EXPERIMENT_REFS}/{experiment.n}"
            if experiment.commit not in {None, refs.get(ref), refs.get(f"{ref}-{tag}")}:
                self._keep(experiment)
        if tip is None or (at := self._store.read(self._ref)) == tip:
            return
        ours = {None, *(move.commit for move in moves)}
        ours |= {e.commit for e in experiments if e.status in PUBLISHED}
        self._move(tip, at if at in ours else tip)

    def _keep(self, experiment: Experiment) -> None:
        """Make an experiment's ref. Raises `ConflictError`."""
        assert experiment.commit is not None
        ref = f"{EXPERIMENT_REFS}/{experiment.n}"
        try:
            self._store.move(ref, experiment.commit, None)
        except ConflictError:  # another workspace of this repository has used the number
            self._store.move(f"{ref}-{self._run.tag}", experiment.commit, None)

    def _restore_commits(self, events: list[Event]) -> None:
        """Write commits again that a power cut took, from the ledger's files.

        They are written in the order of endings and overrides, each after its parent.

        Raises:
            ConflictError: a commit can't be made again to the bit.
        """
        lost = self._store.missing(event.commit for event in events if event.commit)
        if not lost:
            return
        state = RunState()
        for event in events:
            if event.commit in lost and not isinstance(event, LeadMove):
                lost -= {self._written_again(event, self._tip(state))}
            state = state.after_event(event)
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
        state = replay(self._ledger.endings(tag), self._ledger.moves(tag))
        if state.incumbent is None:
            raise UserError("the run has no accepted baseline yet: wait for it")
        if state.incumbent.n == n and state.incumbent.is_task and not state.leads:
            raise UserError(f"experiment {n} is the incumbent already")
        tip = self._tip(state)
        if (at := self._store.read(self._ref)) != tip:
            raise ConflictError(f"{self._ref} is at {at}, not at the incumbent's {tip}")
        self._check_free()
        commit = self._commit_accepted(n, tip, when)
        with self._ledger.transaction():
            self._ledger.accept(tag, n, commit, when)
            self._ledger.settle_leads([step.n for step in state.leads], Status.DISCARD)
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


def commit_message(experiment: Experiment) -> str:
    """Return the commit message: description, status, score, reason."""
    score = "no score" if experiment.score is None else f"score {experiment.score:.6f}"
    # What became of a lead later is not in its commit, which a power cut may make us write again.
    status = Status.LEAD if experiment.took_lead else experiment.status
    parts = [
        f"autorl #{experiment.n}: {one_line(experiment.description, 72) or status}",
        clean(experiment.rationale, 4000).strip(),
        f"{status} at {experiment.rung}: {score}\n{one_line(experiment.reason, 500)}",
    ]
    return "\n\n".join(part for part in parts if part) + "\n"
