"""What must hold after a kill and a restart, whatever the moment of the kill."""

import hashlib
import json
import re
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from orchestrator.core.diff import unified_diff
from orchestrator.core.evaluations import FRESH_SEEDS
from orchestrator.core.experiments import Accept, Experiment, LeadMove, MoveKind
from orchestrator.core.records import Files, Status
from orchestrator.planning.state import Event, RunState, in_order, replay
from orchestrator.store.branch import LEAD_REFS
from orchestrator.store.ledger import Ledger
from orchestrator.store.results_tsv import tsv_row
from tests.conftest import git
from tests.crash.scenarios import TAG, Place, Scenario, Script, script

_OURS = {"logs", ".autorl", "results.tsv"}
_SCORED = {Status.BASELINE, Status.KEEP, Status.LEAD, Status.DISCARD}
_EVALUATED = {"crash", "timeout", "rejected"}
_DEFAULT_SEEDS = {101, 138}
_SEEDS = """
SELECT train_sha256, evidence.train_episodes, seed FROM evidence JOIN experiments USING (n)
WHERE value NOT NULL AND (status NOT NULL OR role = 'reference' OR resume NOT NULL)"""
_REVIEWS = """
SELECT n, review FROM reviews WHERE json_extract(review, '$.opinion', '$.none') != '[null,null]'"""

Seed = tuple[str, int, int]
"""What was trained: the digest of train.py, the training episodes, the seed."""


@dataclass(frozen=True)
class Recorded:
    """What a ledger holds."""

    experiments: dict[int, Experiment]
    files: dict[int, Files | None]
    replies: dict[tuple[int, int], str]
    ordinals: dict[int, int | None]
    values: dict[int, dict[int, float]]
    """The return on each seed of each experiment."""
    seeds: frozenset[Seed]
    """Seeds that need not be trained again."""
    evaluations: int
    """Evaluations whose outcome is recorded."""
    moves: tuple[LeadMove | Accept, ...]
    """How the lead went back, or was proven."""
    reviews: dict[int, str]
    """What came of the review of each experiment that had one."""
    is_sound: bool
    """SQLite's own check."""
    is_done: bool
    """Nothing is open."""

    def outcome(self) -> list[tuple[Any, ...]]:
        """Return what an uninterrupted run with one lane must have led to as well."""
        return [
            (e.status, e.rung, e.score, e.scores_by_seed, e.description, self.files[n])
            for n, e in self.experiments.items()
            if e.status is not Status.ABORTED
        ]

    def endings(self) -> list[Experiment]:
        """Return the experiments in the order in which they ended."""
        return sorted(self.experiments.values(), key=lambda experiment: experiment.ended)

    def states(self) -> Iterator[tuple[RunState, Event]]:
        """Yield each ending and each move of the lead, and the state of the run before it."""
        state = RunState()
        for event in in_order(self.endings(), self.moves):
            yield state, event
            state = state.after_event(event)

    def state(self) -> RunState:
        """Return the state of the run."""
        return replay(self.endings(), self.moves)

    def said(self, n: int) -> tuple[str, ...]:
        """Return an experiment's replies."""
        return tuple(text for (of, _), text in sorted(self.replies.items()) if of == n)


_NOTHING = Recorded({}, {}, {}, {}, {}, frozenset(), 0, (), {}, is_sound=True, is_done=True)


def read_ledger(place: Place) -> Recorded:
    """Read a copy of the ledger, so that a journal left by a kill stays for the daemon."""
    with tempfile.TemporaryDirectory() as folder:
        for file in place.workspace.state.glob("ledger.sqlite*"):
            shutil.copy(file, folder)
        path = Path(folder) / "ledger.sqlite"
        if not path.exists():
            return _NOTHING
        with Ledger(path) as ledger:
            experiments = {e.n: e for e in ledger.experiments()}
            open_ones = [o.n for o in ledger.open_experiments(TAG)]
            files = {n: ledger.files(n) for n in experiments}
            values = {
                n: {result.seed: result.value for result in ledger.evidence(n)} for n in experiments
            }
            moves = tuple(ledger.moves(TAG))
            replies = {}
            evaluations = sum(ledger.saved_report(n) is not None for n in open_ones)
            evaluations += sum(
                e.status in _SCORED or (e.is_baseline and e.status in _EVALUATED)
                for e in experiments.values()
            )
            for n in [*experiments, *open_ones]:
                for k, (reply, failure) in enumerate(ledger.replies(n), 1):
                    replies[n, k] = reply.text
                    evaluations += failure is not None and failure.status in _EVALUATED
        with sqlite3.connect(path) as db:
            ordinals = dict(db.execute("SELECT n, ordinal FROM experiments").fetchall())
            seeds = frozenset(db.execute(_SEEDS).fetchall())
            reviews = dict(db.execute(_REVIEWS).fetchall())
            sound = db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
            sound = sound and not db.execute("PRAGMA foreign_key_check").fetchall()
        db.close()
        return Recorded(
            experiments, files, replies, ordinals, values, seeds, evaluations, moves, reviews,
            is_sound=sound, is_done=not open_ones,
        )  # fmt: skip


def trained(place: Place) -> list[tuple[int, Seed]]:
    """Return each seed that an evaluator has trained, with the pid of its daemon."""
    rows = [line.split() for line in place.seeds.read_text().splitlines()]
    return [(int(pid), (digest, int(count), int(seed))) for pid, digest, count, seed in rows]


def of_the_user(place: Place) -> dict[str, str]:
    """Hash what is the user's: the work tree but for our files, HEAD, index, config, branches."""
    root = place.root
    files = [
        path
        for path in root.rglob("*")
        if path.is_file() and path.relative_to(root).parts[0] not in _OURS | {".git"}
    ]
    files += [root / ".git" / name for name in ("HEAD", "index", "config", "refs/heads/main")]
    return {str(p.relative_to(root)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


def violations(
    scenario: Scenario,
    place: Place,
    before: Sequence[Recorded],
    expected: list[tuple[Any, ...]] | None,
) -> Iterator[str]:
    """Yield what is wrong with a workspace whose run has come to its end.

    Args:
        scenario: what was proposed, and what may become of it.
        place: the workspace.
        before: what was recorded at each kill.
        expected: `outcome()` of an uninterrupted run; None where that is not the only one.
    """
    after = read_ledger(place)
    if not after.is_sound:
        yield "SQLite finds the ledger damaged"
    if not after.is_done:
        yield "an experiment is open"
    if list(after.experiments) != list(range(1, len(after.experiments) + 1)):
        yield f"numbers are {list(after.experiments)}"
    for past in before:
        yield from _changes(past, after)
    if expected is not None and after.outcome() != expected:
        yield f"the outcome is {after.outcome()}, uninterrupted it is {expected}"
    yield from _proposal_violations(scenario, script(scenario, place), after)
    yield from _judging_violations(after)
    yield from _move_violations(after)
    yield from _git_violations(place, after)
    yield from _journal_violations(place, after)


def _changes(before: Recorded, after: Recorded) -> Iterator[str]:
    """Yield what was recorded once and is something else now."""
    for n, experiment in before.experiments.items():
        now = expected = after.experiments.get(n)
        if now is not None and experiment.status is Status.LEAD:  # it may be proven, or left behind
            expected = replace(now, status=Status.LEAD, proven_at=None)
        if expected != experiment or after.files.get(n) != before.files[n]:
            yield f"experiment {n} was recorded and is now {now}"
    if after.moves[: len(before.moves)] != before.moves:
        yield f"{before.moves} were recorded, and are now {after.moves}"
    for key, text in before.replies.items():
        if after.replies.get(key) != text:
            yield f"reply {key} was recorded and is lost"
    for n, review in before.reviews.items():
        now = after.reviews.get(n)
        is_open = n not in before.experiments
        if is_open and now is not None and _about(now) != _about(review):
            continue  # another lane's keep has moved the lead, and the change is another one now
        if now != review:
            yield f"the review of {n} was recorded as {review} and is now {now}"


def _about(review: str) -> object:
    return json.loads(review)["about"]


def _proposal_violations(scenario: Scenario, texts: Script, after: Recorded) -> Iterator[str]:
    """Yield which proposals did not count exactly once, or ended as they can't."""
    counted = [
        e for e in after.experiments.values() if not e.is_baseline and e.status != Status.ABORTED
    ]
    ordinals = sorted(after.ordinals[e.n] or 0 for e in counted)
    if ordinals != list(range(1, len(texts) + 1)):
        yield f"{len(texts)} proposals, and their ordinals are {ordinals}"
    if len({after.said(e.n)[:1] for e in counted}) < len(counted):
        yield "a reply was recorded for two experiments"
    for experiment in counted:
        said = after.said(experiment.n)
        number = next((i for i, known in enumerate(texts) if known[:1] == said[:1]), None)
        if number is None or said != texts[number][: len(said)]:
            yield f"the replies of {experiment.n} are {said}"
        elif experiment.status not in scenario.script[number].ends:
            yield f"proposal {number + 1} ended as {experiment.status}: {experiment.reason}"
    judged = [
        (after.files[e.n], e.verdict.get("incumbent")) for e in counted if e.status in _SCORED
    ]
    if any(judged.count(one) > 1 for one in judged):
        yield "the same code was judged twice against the same lead"


def _judging_violations(after: Recorded) -> Iterator[str]:
    """Yield which verdicts were not against the lead of their time, on their own results."""
    for state, experiment in after.states():
        if not isinstance(experiment, Experiment):
            continue
        n, score, lead = experiment.n, experiment.score, state.lead
        own, fresh = (_constant(after.files[n], name) for name in ("SCORE", "FRESH"))
        for seed, value in after.values[n].items():
            if value != own + fresh * (seed >= FRESH_SEEDS):
                yield f"experiment {n} scores {own}, and its seeds are {after.values[n]}"
        if score is not None and (score != own or set(experiment.scores_by_seed) != _DEFAULT_SEEDS):
            yield f"experiment {n} scores {own}, recorded are {experiment.scores_by_seed}"
        if not experiment.verdict:
            continue
        assert lead is not None
        assert lead.score is not None
        if experiment.verdict["incumbent"] != lead.scored_by:
            yield f"{n} was judged against {experiment.verdict['incumbent']}, not {lead}"
        if (own > lead.score) != experiment.took_lead:
            yield f"{n} ({own}) is a {experiment.status} against {lead}"
        if experiment.took_lead and experiment.parent != lead.commit:
            yield f"the parent of {n} is {experiment.parent}, not {lead.commit}"


def _move_violations(after: Recorded) -> Iterator[str]:
    """Yield what was proven without being better, or went back without being worse."""
    proven: set[int] = set()
    for state, move in after.states():
        if not isinstance(move, LeadMove):
            continue
        assert state.lead is not None
        assert state.incumbent is not None
        own, there, published = (
            _constant(after.files[n], "SCORE") + _constant(after.files[n], "FRESH")
            for n in (state.lead.n, move.n, state.incumbent.n)
        )
        if move.kind is MoveKind.PROMOTION:
            proven |= {step.n for step in state.leads}
            if move.n != state.lead.n or own <= published:
                yield f"{move} of {own} against {published}"
        elif own >= there:
            yield f"{move} from {own} to {there}"
    leads = {step.n for step in after.state().leads}
    for n, experiment in after.experiments.items():
        if not experiment.took_lead:
            continue
        is_proven = n in proven
        became = Status.LEAD if n in leads else Status.KEEP if is_proven else Status.DISCARD
        if experiment.status is not became or (experiment.proven_at is not None) != is_proven:
            yield f"{n} is {experiment.status}, {experiment.proven_at}, and has become {became}"


def _constant(files: Files | None, name: str) -> float:
    found = re.search(f"^{name} = (.+)$", files.train, re.MULTILINE) if files else None
    return float(found[1]) if found else 0.0


def _git_violations(place: Place, after: Recorded) -> Iterator[str]:
    root = place.root
    if found := git(root, "fsck", "--strict", "--no-dangling"):
        yield f"git fsck: {found}"
    if locks := [str(p.relative_to(root)) for p in (root / ".git").rglob("*.lock")]:
        yield f"stale locks: {locks}"
    listing = git(root, "for-each-ref", "--format=%(refname) %(objectname)", "refs/autorl",
                  "refs/heads/autorl").splitlines()  # fmt: skip
    refs = dict(line.split() for line in listing)
    wanted = {
        f"refs/autorl/experiments/{n}": str(e.commit)
        for n, e in after.experiments.items()
        if after.files[n] is not None
    }
    states = [state.after_event(event) for state, event in after.states()]
    tips = [(state.incumbent.n, state.incumbent.commit) for state in states if state.incumbent]
    last, wanted[f"refs/heads/autorl/{TAG}"] = tips[-1]
    tip_of = {f"refs/heads/autorl/{TAG}": last}
    lead = after.state().lead
    if lead and any(e.took_lead for e in after.experiments.values()):
        wanted[f"{LEAD_REFS}/{TAG}"] = lead.commit
        tip_of[f"{LEAD_REFS}/{TAG}"] = lead.n
    if refs != wanted:
        yield f"refs are {refs}, the ledger says {wanted}"
    for ref, commit in refs.items():
        n = tip_of[ref] if ref in tip_of else int(ref.rpartition("/")[2])
        files = after.files.get(n)
        for path, text in files.by_path().items() if files else ():
            if git(root, "show", f"{commit}:{path}") != text.strip():
                yield f"{path} at {ref} is not the ledger's"
    line = list(_published(after))
    grown = git(root, "rev-list", "--reverse", "--parents", f"main..autorl/{TAG}").splitlines()
    start = git(root, "rev-parse", "main")
    if grown != [f"{commit} {old}" for old, commit in zip([start, *line], line, strict=False)]:
        yield f"the branch is {grown}, what was published is {line}"


def _published(after: Recorded) -> Iterator[str]:
    """Yield the commits of the branch: a promotion adds all steps that led to it."""
    for state, event in after.states():
        now = state.after_event(event).incumbent
        if isinstance(event, LeadMove):
            if event.kind is MoveKind.PROMOTION:
                yield from (step.commit for step in state.leads)
        elif now is not None and (state.incumbent is None or now.commit != state.incumbent.commit):
            yield now.commit


def _journal_violations(place: Place, after: Recorded) -> Iterator[str]:
    rows = (place.root / "results.tsv").read_text().splitlines()[1:]
    if rows != [tsv_row(experiment) for experiment in after.endings()]:
        yield f"results.tsv holds {rows}"
    by_commit = {e.commit: n for n, e in after.experiments.items() if e.commit}
    for n, files in after.files.items():
        if files is None:
            continue
        parent = after.files[by_commit.get(str(after.experiments[n].parent), n)] or files
        patch = place.workspace.logs / "experiments" / str(n) / "patch.diff"
        if not patch.exists() or patch.read_text() != "".join(unified_diff(parent, files)):
            yield f"the patch of {n} is not its change"
    for line in place.workspace.daemon_log.read_text().splitlines():
        try:
            json.loads(line)
        except ValueError:
            yield f"the log holds {line!r}"
