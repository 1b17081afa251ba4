"""Git follows the ledger: the branch and the experiments' refs, in real repositories."""

from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from orchestrator.core.errors import ConflictError, UserError
from orchestrator.core.experiments import Experiment, LeadMove, MoveKind
from orchestrator.core.records import Files, Status
from orchestrator.planning.state import RunState, replay
from orchestrator.store.branch import EXPERIMENT_REFS, LEAD_REFS, Branch
from orchestrator.store.git import GitStore
from orchestrator.store.ledger import Ledger
from orchestrator.store.runs import Run
from tests.conftest import git
from tests.store.conftest import RUNG, WHEN

TAG = "t"
REF = f"refs/heads/autorl/{TAG}"
LEAD_REF = f"{LEAD_REFS}/{TAG}"


@dataclass
class Place:
    """A repository with a ledger beside it, and what an engine does with both at an ending."""

    root: Path
    ledger: Ledger
    tag: str = TAG

    @property
    def branch(self) -> Branch:
        """The run's branch, with nothing remembered of an earlier one."""
        run = self.ledger.run(self.tag)
        assert run is not None
        return Branch(run, self.ledger, GitStore(self.root))

    def state(self) -> RunState:
        """Return the run's state as the ledger has it."""
        return replay(self.ledger.endings(self.tag), self.ledger.moves(self.tag))

    def tip(self) -> str | None:
        """Return the incumbent's commit as the ledger has it."""
        state = self.state()
        return state.incumbent and state.incumbent.commit

    def begin(self, *, is_baseline: bool = False) -> int:
        return self.ledger.begin(
            self.tag, is_baseline=is_baseline, rung=RUNG, agent="a", parent=self.parent(), when=WHEN
        )

    def parent(self) -> str:
        run = self.ledger.run(self.tag)
        assert run is not None
        return self.tip() or run.parent

    def end(self, n: int, status: Status, *, follows: bool = True) -> Experiment:
        """Record an experiment's end, on top of the incumbent of now."""
        files = Files("env = 1\n", f"train = {n}\n")
        old_tip, parent, verdict = self.tip(), self.parent(), dict[str, object]()
        if status is Status.LEAD:
            lead = self.state().lead
            assert lead is not None
            parent, verdict = lead.commit, {"lead": True}
        experiment = Experiment(
            n, self.tag, status is Status.BASELINE, status, RUNG, "a", f"idea {n}", score=n / 4,
            parent=parent, created_at=WHEN, verdict=verdict,
        )  # fmt: skip
        commit = self.branch.commit(experiment, files, parent)
        recorded = self.ledger.finish(replace(experiment, commit=commit), files, None)
        if follows:
            self.branch.follow(recorded, old_tip, self.tip())
        return recorded

    def run(self, *statuses: Status) -> list[Experiment]:
        """Run a baseline and then experiments of these statuses, one after the other."""
        done = [self.end(self.begin(is_baseline=True), Status.BASELINE)]
        return done + [self.end(self.begin(), status) for status in statuses]

    def move(self, kind: MoveKind, n: int) -> None:
        """Record a move of the lead in the ledger alone, with what became of the steps."""
        before = self.state()
        self.ledger.move_lead(self.tag, LeadMove(kind, n, 0, "because", created_at=WHEN))
        after = self.state()
        if kind is MoveKind.PROMOTION:
            proven = [step.n for step in before.leads if step not in after.leads]
            self.ledger.settle_leads(proven, Status.KEEP, WHEN)
        self.ledger.leave_leads(self.tag, [step.n for step in after.leads])

    def at(self, ref: str = REF) -> str | None:
        return GitStore(self.root).read(ref)

    def lose_everything(self) -> None:
        """Take every ref and object that was made since the first commit, as a power cut may."""
        made = git(self.root, "rev-list", "--objects", "--all", "^main").splitlines()
        for ref in git(self.root, "for-each-ref", "--format=%(refname)").splitlines():
            if ref != "refs/heads/main":
                git(self.root, "update-ref", "-d", ref)
        for name in (line.split()[0] for line in made):
            (self.root / ".git" / "objects" / name[:2] / name[2:]).unlink(missing_ok=True)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    root = tmp_path / "repository"
    (root / "candidate").mkdir(parents=True)
    (root / "candidate" / "env.py").write_text("env = 0\n")
    git(root, "init", "--quiet", "--initial-branch=main")
    git(root, "add", "--all")
    git(root, "commit", "--quiet", "--message", "first")
    ledger = Ledger(tmp_path / "ledger.sqlite")
    ledger.create_run(Run(TAG, GitStore(root).head(), {}, WHEN))
    return Place(root, ledger)


def assert_refs_are_the_ledgers(place: Place) -> None:
    assert place.at(f"refs/heads/autorl/{place.tag}") == place.tip()
    for experiment in place.ledger.experiments(place.tag):
        assert place.at(f"{EXPERIMENT_REFS}/{experiment.n}") == experiment.commit
    assert git(place.root, "fsck", "--strict", "--no-dangling") == ""


def test_a_commit_is_a_function_of_the_ledger(place: Place) -> None:
    """Message, parent and files, in the form that they always had."""
    (experiment,) = place.run()
    shown = git(place.root, "log", "-1", "--format=%P%n%B", str(experiment.commit))
    assert shown == (
        f"{git(place.root, 'rev-parse', 'main')}\nautorl #1: idea 1\n\n"
        "baseline at 12/8: score 0.250000"
    )
    assert git(place.root, "show", f"{experiment.commit}:candidate/train.py") == "train = 1"


def test_the_branch_moves_to_what_is_kept_alone(place: Place) -> None:
    """A discarded candidate has its ref and its commit beside the branch."""
    baseline, discarded, kept = place.run(Status.DISCARD, Status.KEEP)
    assert_refs_are_the_ledgers(place)
    assert place.at() == kept.commit
    assert discarded.parent == kept.parent == baseline.commit


def test_a_keep_stands_on_the_incumbent_of_its_ending(place: Place) -> None:
    """Two experiments begun on one incumbent and both kept: the branch holds the one and the other."""
    place.run()
    slow, quick = place.begin(), place.begin()
    first = place.end(quick, Status.KEEP)
    second = place.end(slow, Status.KEEP)
    assert second.parent == first.commit
    assert place.at() == place.tip() == second.commit
    assert git(place.root, "rev-list", "--count", f"main..{REF}") == "3"


def test_a_baseline_of_an_incumbent_has_its_commit(place: Place) -> None:
    """The candidate is the same, so there is nothing to commit; its ref is there all the same."""
    (first,) = place.run()
    again = place.end(place.begin(is_baseline=True), Status.BASELINE)
    assert again.commit == first.commit == place.at()
    assert_refs_are_the_ledgers(place)


def test_only_a_move_minds_that_the_branch_is_checked_out(place: Place, tmp_path: Path) -> None:
    """Somebody looks at the incumbent: a baseline of it leaves the branch where it is, a keep not."""
    (first,) = place.run()
    git(place.root, "worktree", "add", "--quiet", str(tmp_path / "look"), f"autorl/{TAG}")
    place.end(place.begin(is_baseline=True), Status.BASELINE)
    with pytest.raises(ConflictError, match="is checked out in"):
        place.end(place.begin(), Status.KEEP)
    assert place.at() == first.commit
    git(place.root, "worktree", "remove", str(tmp_path / "look"))
    place.branch.sync(place.tip())
    assert_refs_are_the_ledgers(place)


def test_a_second_first_baseline_is_committed(place: Place) -> None:
    """Where the first baseline failed there is no incumbent yet, and the next one has a commit."""
    failed = place.end(place.begin(is_baseline=True), Status.CRASH)
    (first,) = place.run()
    assert failed.commit != first.commit == place.at()
    assert failed.parent == first.parent == git(place.root, "rev-parse", "main")


def test_refs_that_a_kill_left_behind_are_moved_on(place: Place) -> None:
    """Killed between the ledger and git, several times over: the next start catches up."""
    place.run()
    slow, quick = place.begin(), place.begin()
    for n in (quick, slow):
        place.end(n, Status.KEEP, follows=False)
    place.end(place.begin(), Status.DISCARD, follows=False)
    place.branch.sync(place.tip())
    assert_refs_are_the_ledgers(place)


def test_a_branch_that_somebody_moved_is_left_alone(place: Place) -> None:
    """Neither a start nor an override moves what is not where we left it."""
    place.run(Status.DISCARD)
    theirs = git(place.root, "commit-tree", "main^{tree}", "-m", "theirs")
    git(place.root, "update-ref", REF, theirs)
    with pytest.raises(ConflictError):
        place.branch.sync(place.tip())
    with pytest.raises(ConflictError):
        place.branch.accept(2, WHEN)
    assert place.at() == theirs
    assert place.ledger.accepts(TAG) == []


def test_without_an_incumbent_there_is_no_branch(place: Place) -> None:
    """A failed baseline has a ref of its own and nothing else."""
    place.end(place.begin(is_baseline=True), Status.CRASH)
    place.branch.sync(place.tip())
    assert place.at() is None
    assert place.at(f"{EXPERIMENT_REFS}/1") is not None


def test_lost_commits_come_back_in_the_order_of_endings(place: Place) -> None:
    """Keeps on keeps of higher numbers, overrides between them, a baseline of an incumbent."""
    place.run(Status.DISCARD)
    slow, quick, last = place.begin(), place.begin(), place.begin()
    place.end(quick, Status.KEEP)
    place.branch.accept(2, WHEN)
    place.branch.accept(quick, WHEN)
    place.end(last, Status.KEEP)
    place.end(place.begin(is_baseline=True), Status.BASELINE)
    place.end(slow, Status.KEEP)
    refs = git(place.root, "for-each-ref")
    place.lose_everything()
    place.branch.sync(place.tip())
    assert git(place.root, "for-each-ref") == refs
    assert_refs_are_the_ledgers(place)


def test_an_override_after_another_runs_ending_comes_back(place: Place) -> None:
    """The ending that it followed is none of its own run's."""
    place.run(Status.DISCARD)
    place.ledger.create_run(Run("u", GitStore(place.root).head(), {}, WHEN))
    other = replace(place, tag="u")
    other.run(Status.KEEP)
    place.branch.accept(2, WHEN)
    refs = git(place.root, "for-each-ref")
    place.lose_everything()
    for run in (place, other):
        run.branch.sync(run.tip())
    assert git(place.root, "for-each-ref") == refs


def test_a_commit_that_cant_be_made_again_is_a_conflict(place: Place) -> None:
    """What differs in a bit is not put in its place."""
    place.run()
    place.lose_everything()
    place.ledger._write("UPDATE experiments SET description = ? WHERE n = 1", ("another",))
    with pytest.raises(ConflictError, match="can't be made again"):
        place.branch.sync(place.tip())
    assert place.at() is None


def test_an_override_is_a_commit_on_the_incumbent(place: Place) -> None:
    """And it is refused where there is nothing to accept."""
    _, discarded = place.run(Status.DISCARD)
    for n, told in ((1, "is the incumbent already"), (9, "no finished experiment 9")):
        with pytest.raises(UserError, match=told):
            place.branch.accept(n, WHEN)
    before = place.tip()
    commit = place.branch.accept(discarded.n, WHEN)
    assert commit == place.at() == place.tip()
    shown = git(place.root, "log", "-1", "--format=%P %s", commit)
    assert shown == f"{before} autorl #2 accepted by a human: idea 2"


def test_a_number_that_another_workspace_has_used_is_no_conflict(place: Place) -> None:
    """Two workspaces of one repository: each keeps its experiment under a ref of its own."""
    theirs = git(place.root, "commit-tree", "main^{tree}", "-m", "theirs")
    git(place.root, "update-ref", f"{EXPERIMENT_REFS}/1", theirs)
    (baseline,) = place.run()
    place.branch.sync(place.tip())
    assert place.at(f"{EXPERIMENT_REFS}/1") == theirs
    assert place.at(f"{EXPERIMENT_REFS}/1-{TAG}") == baseline.commit


# -- leads -----------------------------------------------------------------------------------------


def test_leads_stand_on_each_other_and_move_no_branch(place: Place) -> None:
    """Each has its commit on the lead before it, and the ref that every experiment has."""
    baseline, first, second = place.run(Status.LEAD, Status.LEAD)
    assert (first.parent, second.parent) == (baseline.commit, first.commit)
    assert place.at() == baseline.commit
    assert_refs_are_the_ledgers(place)


def test_a_promotion_is_a_fast_forward(place: Place) -> None:
    """The branch moves along the lead's commits, all of them."""
    baseline, first, second, _ = place.run(Status.LEAD, Status.LEAD, Status.DISCARD)
    place.move(MoveKind.PROMOTION, second.n)
    assert baseline.commit is not None
    assert second.commit is not None
    place.branch.publish(baseline.commit, second.commit)
    assert_refs_are_the_ledgers(place)
    commits = git(place.root, "rev-list", "--reverse", f"main..{REF}").split()
    assert commits == [baseline.commit, first.commit, second.commit]


@pytest.mark.parametrize("does_publish", [True, False])
def test_a_branch_that_somebody_moved_is_not_published_over(
    place: Place, does_publish: bool
) -> None:
    """Neither at once nor by the next start."""
    baseline, lead = place.run(Status.LEAD)
    assert baseline.commit is not None
    assert lead.commit is not None
    theirs = git(place.root, "commit-tree", "main^{tree}", "-m", "theirs")
    git(place.root, "update-ref", REF, theirs)
    place.move(MoveKind.PROMOTION, lead.n)
    with pytest.raises(ConflictError):
        if does_publish:
            place.branch.publish(baseline.commit, lead.commit)
        else:
            place.branch.sync(place.tip())
    assert place.at() == theirs


def test_a_promotion_that_a_kill_kept_from_git_is_made_up_for(place: Place) -> None:
    """The ledger has it; the next start moves the branch."""
    _, lead = place.run(Status.LEAD)
    place.move(MoveKind.PROMOTION, lead.n)
    place.branch.sync(place.tip())
    assert place.at() == lead.commit
    assert_refs_are_the_ledgers(place)


def test_the_ref_of_the_lead_points_where_it_is_told(place: Place) -> None:
    """Also where somebody moved it: it is there to be looked at."""
    baseline, first, second = place.run(Status.LEAD, Status.LEAD)
    assert place.at(LEAD_REF) is None
    commits = [first.commit, second.commit, second.commit, first.commit]
    for commit in commits:
        assert commit is not None
        place.branch.point_at_lead(commit, is_published=False)
        assert place.at(LEAD_REF) == commit
    git(place.root, "update-ref", LEAD_REF, git(place.root, "rev-parse", "main"))
    for _ in range(2):
        assert baseline.commit is not None
        place.branch.point_at_lead(baseline.commit, is_published=True)
        assert place.at(LEAD_REF) == baseline.commit


def test_the_ref_of_the_lead_begins_with_the_first_lead(place: Place) -> None:
    """A run that has had none has no such ref; it is not removed once there is none any more."""
    baseline, lead = place.run(Status.LEAD)
    assert baseline.commit is not None
    assert lead.commit is not None
    place.branch.point_at_lead(baseline.commit, is_published=True)
    assert place.at(LEAD_REF) is None
    place.branch.point_at_lead(lead.commit, is_published=False)
    place.branch.point_at_lead(baseline.commit, is_published=True)
    assert place.at(LEAD_REF) == baseline.commit


def test_lost_commits_of_leads_come_back_whatever_became_of_them(place: Place) -> None:
    """To the bit: proven, left behind, and leading still; overrides and baselines between them."""
    place.run(Status.LEAD, Status.LEAD)
    place.move(MoveKind.PROMOTION, 3)
    _, left = (place.end(place.begin(), Status.LEAD) for _ in range(2))
    place.move(MoveKind.ROLLBACK, 4)
    place.end(place.begin(), Status.DISCARD)
    place.end(place.begin(), Status.LEAD)
    statuses = [experiment.status for experiment in place.ledger.experiments(TAG)]
    keep, discard, lead = Status.KEEP, Status.DISCARD, Status.LEAD
    assert statuses == [Status.BASELINE, keep, keep, lead, discard, discard, lead]
    place.branch.sync(place.tip())
    refs = git(place.root, "for-each-ref")
    place.lose_everything()
    place.branch.sync(place.tip())
    assert git(place.root, "for-each-ref") == refs
    assert place.at(f"{EXPERIMENT_REFS}/{left.n}") == left.commit
    assert_refs_are_the_ledgers(place)


def test_an_override_leaves_all_leads_behind(place: Place) -> None:
    """What a person accepts is published and lead; a lead may be what they accept."""
    baseline, *leads = place.run(Status.LEAD, Status.LEAD)
    commit = place.branch.accept(leads[0].n, WHEN)
    assert commit == place.at() == place.tip()
    assert git(place.root, "rev-parse", f"{commit}^") == baseline.commit
    assert place.state().leads == ()
    statuses = [experiment.status for experiment in place.ledger.experiments(TAG)]
    assert statuses == [Status.BASELINE, Status.DISCARD, Status.DISCARD]


def test_what_is_published_is_no_lead_to_accept(place: Place) -> None:
    """Once a lead is proven there is nothing to override; its steps before may be accepted."""
    _, first, second = place.run(Status.LEAD, Status.LEAD)
    place.move(MoveKind.PROMOTION, second.n)
    place.branch.sync(place.tip())
    with pytest.raises(UserError, match="is the incumbent already"):
        place.branch.accept(second.n, WHEN)
    assert place.branch.accept(first.n, WHEN) == place.tip()
