"""Lead and proof in whole runs: real git and ledger, through every move and a restart after it."""

import json
import re
from collections.abc import Callable
from typing import Any

import pytest

from orchestrator.core.evaluations import Evaluation, EvaluationEnded, Purpose
from orchestrator.core.experiments import Experiment, MoveKind
from orchestrator.core.records import Status
from orchestrator.core.reviews import Opinion, Review
from orchestrator.engine.engine import Engine
from orchestrator.judging.candidate_evidence import FRESH
from orchestrator.judging.reference import audit_seeds, reference_seeds
from orchestrator.planning.state import RunState, replay
from orchestrator.store.branch import LEAD_REFS, obstacle_to
from orchestrator.store.git import GitStore
from tests.conftest import git
from tests.engine.conftest import LEAD_RULES, TAG, Lab
from tests.engine.test_lanes import LADDER, TellingAgent, replied, turns
from tests.engine.test_reviewing import until
from tests.engine.test_rulers import change
from tests.fakes import StubEvaluator, StubReviewer, reply

UNPROVEN = LEAD_RULES | {"min_effect": 100.0}
"""Rules by which nothing is ever proven: the lead stays a lead."""
EARNED = Review(Opinion.EARNED, "better play", "stub")
GAMING = Review(Opinion.GAMING, "a bonus", "stub")


def led(lab: Lab, *candidates: str, judge: dict[str, Any] = UNPROVEN, **more: Any) -> Engine:
    """Run a script of train.py files to its end."""
    engine = lab.engine([reply(train) for train in candidates], judge=judge, **more)
    engine.run()
    return engine


def experiment(lab: Lab, n: int) -> Experiment:
    found = lab.ledger.experiment(n)
    assert found is not None
    return found


def rows(lab: Lab) -> list[str]:
    """Return the statuses in `results.tsv`."""
    table = (lab.root / "results.tsv").read_text().splitlines()[1:]
    return [line.split("\t")[7] for line in table]


def replayed(lab: Lab) -> RunState:
    return replay(lab.ledger.endings(TAG), lab.ledger.moves(TAG), started_after=0)


def is_consistent(lab: Lab, engine: Engine) -> None:
    """The ledger tells the state in memory; refs and rows say the same, after a restart too."""
    live = engine.run_record.state
    has_led = any(e.took_lead for e in lab.ledger.experiments(TAG))
    assert replayed(lab) == live
    for _ in range(2):
        state = replayed(lab)
        assert lab.tip() == (state.incumbent and state.incumbent.commit)
        assert lab.lead() == (state.lead.commit if state.lead and has_led else None)
        assert rows(lab) == [e.status.value for e in lab.ledger.endings(TAG)]
        assert [e.n for e in lab.ledger.experiments(TAG) if e.status is Status.LEAD] == [
            step.n for step in state.leads
        ]
        again = lab.engine([], judge=UNPROVEN)
        again.run_record.catch_up()
        assert again.run_record.state.leads == live.leads
        assert again.run_record.state.incumbent == live.incumbent
        assert again.run_record.state.by_status == live.by_status


# -- the lead --------------------------------------------------------------------------------------


def test_a_challenger_takes_the_lead(lab: Lab) -> None:
    """Its commit stands on the lead's, what comes next starts from it, and the branch stays."""
    one, two = lab.train(SCORE=1.0), lab.train(SCORE=2.0)
    engine = led(lab, one, two, lab.train(SCORE=-1.0))
    assert lab.statuses() == ["baseline", "lead", "lead", "discard"]
    first, second, third, fourth = lab.ledger.experiments(TAG)
    assert lab.tip() == first.commit
    assert lab.lead() == third.commit
    assert [second.parent, third.parent, fourth.parent] == [
        first.commit, second.commit, third.commit,
    ]  # fmt: skip
    assert lab.file_at(lab.lead()) == two
    assert [brief.files.train for brief in lab.briefs] == [lab.files.train, one, two, two]
    assert [e.verdict["incumbent"] for e in (second, third, fourth)] == [1, 2, 3]
    assert not any(e.proven_at for e in lab.ledger.experiments(TAG))
    is_consistent(lab, engine)


def test_what_disappoints_goes_back_to_the_former_lead(lab: Lab) -> None:
    """It earned more on the seeds that chose it alone; the next proposal starts from the former."""
    one = lab.train(SCORE=1.0)
    engine = led(lab, one, lab.train(SCORE=2.0, FRESH=-3.0), lab.train(SCORE=1.5))
    assert lab.statuses() == ["baseline", "lead", "discard", "lead"]
    _, second, third, fourth = lab.ledger.experiments(TAG)
    (move,) = lab.ledger.lead_moves(TAG)
    assert (move.kind, move.n, move.after_ended, move.seeds) == (MoveKind.ROLLBACK, 2, 3, 2)
    assert re.fullmatch(
        r"the lead disappointed: -2\.0000 ± \S+ against #2, over 2 fresh seeds", move.reason
    )
    assert third.took_lead
    assert fourth.parent == second.commit
    assert fourth.verdict["incumbent"] == 2
    assert lab.briefs[2].files.train == one
    assert "lead went back" in [event for event, _ in lab.monitor.events]
    is_consistent(lab, engine)


@pytest.mark.parametrize(
    ("constants", "why"),
    [
        ({"FRESH": -3.0}, "the lead disappointed: -2.0000"),
        ({"FAILS_ON": 0}, "the lead failed on a fresh seed"),
    ],
)
def test_without_a_former_lead_it_goes_back_to_the_published_candidate(
    lab: Lab, constants: dict[str, object], why: str
) -> None:
    """The lead's ref is where the branch is, and what comes next starts from there."""
    engine = led(lab, lab.train(SCORE=1.0, **constants), lab.train(SCORE=-1.0))
    assert lab.statuses() == ["baseline", "discard", "discard"]
    first, second, third = lab.ledger.experiments(TAG)
    (move,) = lab.ledger.lead_moves(TAG)
    assert (move.kind, move.n) == (MoveKind.ROLLBACK, 1)
    assert move.reason.startswith(why)
    assert second.took_lead
    assert third.parent == first.commit
    assert lab.lead() == first.commit == lab.tip()
    assert lab.store.read("refs/autorl/experiments/2") == second.commit
    is_consistent(lab, engine)


def test_a_fallen_solve_rate_ends_a_lead(lab: Lab) -> None:
    """Whatever it earns: here it was good on the seeds that chose it alone."""

    class Unsolved(StubEvaluator):
        def _result(self, seed, value, files, what):  # type: ignore[no-untyped-def]
            told = super()._result(seed, value, files, what)
            is_lead = "SCORE = 1.0" in files.train and seed > 1000
            return type(told)(**(vars(told) | ({"solve_rate": 0.0} if is_lead else {})))

    lab.evaluator = Unsolved()
    engine = led(lab, lab.train(SCORE=1.0))
    (move,) = lab.ledger.lead_moves(TAG)
    assert move.reason.startswith("the lead's solve rate fell from 50%")
    assert lab.statuses() == ["baseline", "discard"]
    is_consistent(lab, engine)


# -- the proof -------------------------------------------------------------------------------------


def test_a_promotion_moves_the_branch_along_the_leads(lab: Lab) -> None:
    """Every step is a keep then, with the time of its proof, in the table too."""
    engine = led(lab, lab.train(SCORE=1.0), lab.train(SCORE=2.0))
    assert lab.statuses() == ["baseline", "lead", "lead"]
    engine = led(lab, judge=LEAD_RULES)
    assert lab.statuses() == ["baseline", "keep", "keep"]
    first, second, third = lab.ledger.experiments(TAG)
    (move,) = lab.ledger.lead_moves(TAG)
    assert (move.kind, move.n, move.seeds, move.gain) == (MoveKind.PROMOTION, 3, 4, 2.0)
    assert move.reason == "proven against #1: +2.0000 ± 0.0000 over 4 and 4 fresh seeds"
    assert (first.proven_at, second.proven_at, third.proven_at) == (
        None, move.created_at, move.created_at,
    )  # fmt: skip
    branch = git(lab.root, "rev-list", "--reverse", f"{lab.head}..autorl/{TAG}").split()
    assert branch == [first.commit, second.commit, third.commit]
    assert lab.lead() == third.commit
    state = engine.run_record.state
    assert (state.keeps_at_rung, state.without_keep) == (2, 0)
    assert state.incumbent is not None
    assert state.incumbent.is_proven
    assert ("lead proven", 3) in [(e, f.get("experiment")) for e, f in lab.monitor.events]
    is_consistent(lab, engine)


def test_what_was_proven_is_measured_on_other_seeds(lab: Lab) -> None:
    """Those that proved it claim nothing: they chose it. A dozen do that decide nothing."""
    candidates = [lab.train(SCORE=1.0), lab.train(SCORE=0.5)]
    led(lab, *candidates, judge=LEAD_RULES, limits={"experiments": 2})
    fresh = lab.ledger.references(TAG)[2]
    claimed = {seed.seed for seed in fresh if seed.purpose is Purpose.AUDIT}
    assert claimed == set(audit_seeds(2, 12))
    proven = {seed.seed for seed in fresh} - claimed - set(reference_seeds(2, 2))
    assert len(proven) == 4
    assert proven == {seed.seed for seed in lab.ledger.references(TAG)[1]}


def test_what_is_no_better_is_not_proven_again_and_again(lab: Lab) -> None:
    """Once its last look is taken, the lead costs no more than a lead."""
    led(lab, lab.train(SCORE=1.0), *(lab.train(SCORE=-float(n)) for n in range(1, 6)))
    assert len(lab.ledger.references(TAG)[2]) == 4
    assert lab.ledger.lead_moves(TAG) == []


# -- what keeps something from the lead ------------------------------------------------------------


def test_what_would_take_the_lead_is_reviewed_first(lab: Lab) -> None:
    """Nothing leads before; the promotion asks nobody again."""
    reviewer = StubReviewer()
    engine = lab.engine([reply(lab.train(SCORE=1.0))], reviewer=reviewer, judge=LEAD_RULES)
    until(engine, lambda: reviewer.open)
    assert (lab.statuses(), lab.lead()) == (["baseline"], None)
    reviewer.answers = [EARNED]
    until(engine, lambda: len(lab.statuses()) == 2)
    assert lab.statuses() == ["baseline", "lead"]
    assert lab.lead() == experiment(lab, 2).commit
    engine.run()
    assert lab.statuses() == ["baseline", "keep"]
    assert len(reviewer.asked) == 1
    assert (experiment(lab, 2).review or {})["opinion"] == "earned"


def test_a_reviewers_veto_keeps_it_from_the_lead(lab: Lab) -> None:
    """It is rejected, and nothing moves."""
    engine = led(lab, lab.train(SCORE=1.0), reviewer=StubReviewer(GAMING))
    assert lab.statuses() == ["baseline", "rejected"]
    assert not experiment(lab, 2).took_lead
    is_consistent(lab, engine)


def test_a_vetoed_flag_keeps_it_from_the_lead(lab: Lab) -> None:
    """Unless the lead has it too."""
    engine = led(lab, lab.train(SCORE=9.0, FLAG="nondeterministic"), lab.train(SCORE=1.0))
    assert lab.statuses() == ["baseline", "rejected", "lead"]
    assert experiment(lab, 2).reason.startswith("vetoed for nondeterministic")
    is_consistent(lab, engine)


# -- several lanes ---------------------------------------------------------------------------------


def in_lanes(lab: Lab, agent: TellingAgent, **more: Any) -> Engine:
    lab.evaluator = StubEvaluator(slots=2)
    engine = lab.engine(proposer=agent, lanes=2, judge=UNPROVEN, **more)
    turns(engine)
    return engine


def test_the_lead_changes_while_another_is_judged(lab: Lab) -> None:
    """That one is compared with the new lead on the same seeds, and stands on it or falls."""
    agent = TellingAgent()
    engine = in_lanes(lab, agent)
    agent.news = [
        ("proposal-1", replied(lab, SCORE=2.0)), ("proposal-2", replied(lab, SCORE=1.0)),
    ]  # fmt: skip
    turns(engine)
    assert lab.statuses() == ["baseline", "lead", "discard"]
    assert experiment(lab, 3).verdict["incumbent"] == 2
    assert lab.evaluator.told.count(("3", 101)) == 1
    is_consistent(lab, engine)


def test_the_lead_goes_back_while_another_is_in_flight(lab: Lab) -> None:
    """Proposed on what led, judged against the published candidate, and committed on it."""
    agent = TellingAgent()
    engine = in_lanes(lab, agent)
    agent.news = [
        ("proposal-1", replied(lab, SCORE=2.0, FRESH=-5.0)),
        ("proposal-2", replied(lab, SCORE=1.0)),
    ]  # fmt: skip
    turns(engine)
    assert lab.statuses() == ["baseline", "discard", "lead"]
    assert experiment(lab, 3).verdict["incumbent"] == 1
    assert experiment(lab, 3).parent == experiment(lab, 1).commit
    is_consistent(lab, engine)


# -- climbs ----------------------------------------------------------------------------------------


def climbed(lab: Lab, evaluator: StubEvaluator, *more: str) -> tuple[Engine, list[Experiment]]:
    lab.evaluator = evaluator
    budget = {"ladder": LADDER, "min_keeps": None, "patience": 2}
    engine = led(lab, lab.train(SCORE=1.0), lab.train(SCORE=-1.0), *more, budget=budget)
    return engine, list(lab.ledger.experiments(TAG))


def test_a_climb_takes_the_lead_along(lab: Lab) -> None:
    """A baseline of each at the new budget; who comes next is judged by the lead's."""
    engine, ended = climbed(lab, StubEvaluator(), lab.train(SCORE=0.5), lab.train(SCORE=2.0))
    assert [(e.status.value, e.rung.train_episodes) for e in ended] == [
        ("baseline", 12), ("lead", 12), ("discard", 12), ("baseline", 32), ("baseline", 32),
        ("discard", 32), ("lead", 32),
    ]  # fmt: skip
    assert [e.commit for e in ended[3:5]] == [ended[0].commit, ended[1].commit]
    assert [e.verdict["incumbent"] for e in ended[5:]] == [5, 5]
    assert ended[6].parent == ended[1].commit
    state = engine.run_record.state
    assert state.baseline_score == 0.0
    assert [(step.n, step.scored_by) for step in state.leads] == [(2, 5), (7, 7)]
    is_consistent(lab, engine)


def test_a_lead_that_fails_at_the_new_budget_leads_no_more(lab: Lab) -> None:
    """The run goes on from the published candidate."""

    class Fails(StubEvaluator):
        def events(self, key, evaluation, measured):  # type: ignore[no-untyped-def]
            is_lead = "SCORE = 1.0" in evaluation.files.train
            if is_lead and evaluation.what.rung.train_episodes == 32:
                yield EvaluationEnded(Evaluation(Status.CRASH, reason="too much"))
            yield from super().events(key, evaluation, measured)

    engine, ended = climbed(lab, Fails(), lab.train(SCORE=0.5))
    assert [(e.status.value, e.rung.train_episodes) for e in ended] == [
        ("baseline", 12), ("discard", 12), ("discard", 12), ("baseline", 32), ("crash", 32),
        ("lead", 32),
    ]  # fmt: skip
    assert ended[5].verdict["incumbent"] == 4
    assert ended[5].parent == ended[0].commit
    is_consistent(lab, engine)


def test_a_lead_is_proven_at_the_new_budget(lab: Lab) -> None:
    """On seeds of that budget alone."""
    climbed(lab, StubEvaluator())
    budget = {"ladder": LADDER, "min_keeps": None, "patience": 2}
    engine = led(lab, judge=LEAD_RULES, budget=budget)
    (move,) = lab.ledger.lead_moves(TAG)
    assert (move.kind, move.n, move.gain) == (MoveKind.PROMOTION, 2, 1.0)
    assert lab.statuses() == ["baseline", "keep", "discard", "baseline", "baseline"]
    assert lab.tip() == experiment(lab, 2).commit
    is_consistent(lab, engine)


# -- people ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [1, 2, 3, 4])
def test_accept_makes_any_experiment_published_and_lead(lab: Lab, n: int) -> None:
    """The lead itself, a step to it, what was put aside, or what is published: nothing else leads."""
    led(lab, lab.train(SCORE=1.0), lab.train(SCORE=2.0), lab.train(SCORE=-1.0))
    assert lab.statuses() == ["baseline", "lead", "lead", "discard"]
    tip = lab.tip()
    lab.ledger.add_request("accept", str(n), "now")
    engine = led(lab)
    assert lab.statuses()[:4] == ["baseline", "discard", "discard", "discard"]
    assert git(lab.root, "rev-parse", f"autorl/{TAG}^") == tip
    files = lab.ledger.files(n)
    assert files is not None
    assert lab.file_at(lab.tip()) == files.train
    state = engine.run_record.state
    assert state.incumbent is not None
    assert (state.incumbent.n, state.leads, state.lead) == (n, (), state.incumbent)
    is_consistent(lab, engine)


def test_what_is_published_and_leads_is_not_accepted_again(lab: Lab) -> None:
    """That would change nothing."""
    engine = led(lab)
    lab.ledger.add_request("accept", "1", "now")
    engine = led(lab)
    assert lab.ledger.accepts(TAG) == []
    is_consistent(lab, engine)


# -- another task ----------------------------------------------------------------------------------


def test_an_epoch_leaves_the_lead_behind(lab: Lab) -> None:
    """Its proof would be of another task. The new one stands on what is published."""
    replies = [reply(lab.train(SCORE=1.0)), change(lab, "dynamics", SCORE=0.5)]
    reviewer = StubReviewer(EARNED, EARNED)
    engine = lab.engine(replies, judge=UNPROVEN, reviewer=reviewer)
    engine.run()
    assert lab.statuses() == ["baseline", "discard", "keep"]
    first, second, third = lab.ledger.experiments(TAG)
    assert (second.took_lead, third.opens_epoch) == (True, True)
    assert third.verdict["incumbent"] == second.n
    assert third.parent == first.commit
    assert lab.tip() == third.commit
    is_consistent(lab, engine)


# -- kills -----------------------------------------------------------------------------------------


class DyingStore(GitStore):
    """A repository in which the daemon is killed when it moves one of the refs."""

    dies_at: Callable[[str], object] = staticmethod(lambda _: False)

    def move(self, ref: str, new: str, old: str | None) -> None:
        """Die, or move a ref."""
        if self.dies_at(ref):
            raise KeyboardInterrupt
        super().move(ref, new, old)


BRANCH, LEAD = f"refs/heads/autorl/{TAG}", f"{LEAD_REFS}/{TAG}"


@pytest.mark.parametrize(
    ("fresh", "judge", "dying", "expected"),
    [
        (0.0, UNPROVEN, (LEAD, 1), "lead"),
        (-5.0, UNPROVEN, (LEAD, 2), "discard"),
        (0.0, LEAD_RULES, (BRANCH, 2), "keep"),
    ],
    ids=["taking the lead", "going back", "being proven"],
)
def test_a_kill_at_a_move_is_made_good_for(
    lab: Lab, fresh: float, judge: dict[str, Any], dying: tuple[str, int], expected: str
) -> None:
    """The ledger has it, and refs and rows follow at the next start."""
    lab.store = store = DyingStore(lab.root)
    moved: list[str] = []

    def dies_at(name: str) -> bool:
        moved.append(name)
        return (name, moved.count(name)) == dying

    store.dies_at = dies_at  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        led(lab, lab.train(SCORE=1.0, FRESH=fresh), judge=judge)
    lab.store = GitStore(lab.root)
    lab.evaluator = StubEvaluator()
    engine = led(lab, judge=judge)
    assert lab.statuses() == ["baseline", expected]
    is_consistent(lab, engine)


def test_a_ref_in_the_way_of_the_leads_pauses_the_run(lab: Lab) -> None:
    """What was recorded stands, and a person is told what to do."""
    lab.engine().run()
    git(lab.root, "update-ref", f"{LEAD}/mine", "HEAD")
    assert f"{LEAD}/mine" in str(obstacle_to(TAG, lab.store))
    engine = lab.engine([reply(lab.train(SCORE=1.0))], judge=UNPROVEN)
    until(engine, lambda: engine.run_record.paused)
    assert f"{LEAD}/mine is in the way" in str(engine.run_record.paused)
    git(lab.root, "update-ref", "-d", f"{LEAD}/mine")
    lab.ledger.add_request("resume", None, "now")
    engine.run()
    assert lab.statuses() == ["baseline", "lead"]
    is_consistent(lab, engine)


def test_commits_of_leads_that_a_power_cut_took_are_written_again(lab: Lab) -> None:
    """Bit for bit, from the ledger, also where one of them was proven since."""
    led(lab, lab.train(SCORE=1.0), lab.train(SCORE=2.0))
    lost = [experiment(lab, n).commit for n in (2, 3)]
    for ref in git(lab.root, "for-each-ref", "--format=%(refname)", "refs/autorl").split():
        git(lab.root, "update-ref", "-d", ref)
    git(lab.root, "reflog", "expire", "--expire=now", "--all")
    git(lab.root, "gc", "--quiet", "--prune=now")
    assert lab.store.missing(str(commit) for commit in lost) == set(lost)
    engine = led(lab, judge=LEAD_RULES)
    assert lab.statuses() == ["baseline", "keep", "keep"]
    assert re.fullmatch("[0-9a-f]{40}", str(lab.tip()))
    assert lab.tip() == lost[1]
    is_consistent(lab, engine)


def test_the_naive_rule_has_no_lead(lab: Lab) -> None:
    """The higher score is kept at once, and nothing is measured besides."""
    engine = led(lab, lab.train(SCORE=1.0), judge={"rule": "naive"})
    assert lab.statuses() == ["baseline", "keep"]
    assert lab.ledger.references(TAG) == {}
    assert not experiment(lab, 2).took_lead
    is_consistent(lab, engine)


# -- what a person asks of it ----------------------------------------------------------------------


def test_a_pruned_step_and_all_after_it_lead_no_more(lab: Lab) -> None:
    """The lead is the step before it, the agent is told why, and a restart knows it too."""
    scores = (1.0, 2.0, 3.0, 1.5)
    engine = lab.engine([reply(lab.train(SCORE=score)) for score in scores], judge=UNPROVEN)
    lab.until(engine, 4)
    assert lab.statuses() == ["baseline", "lead", "lead", "lead"]
    lab.ledger.add_request("prune", json.dumps({"n": 3, "why": "it farms the bonus"}), "now")
    engine.run()
    assert lab.statuses() == ["baseline", "lead", "discard", "discard", "lead"]
    (move,) = lab.ledger.lead_moves(TAG)
    assert (move.kind, move.n) == (MoveKind.ROLLBACK, 2)
    assert move.reason == "#3 pruned by a human: it farms the bonus"
    assert experiment(lab, 5).parent == experiment(lab, 2).commit
    assert "it farms the bonus" in str(lab.briefs[-1])
    assert lab.ledger.requests() == []
    is_consistent(lab, engine)


def test_what_does_not_lead_is_not_pruned(lab: Lab) -> None:
    """By the time a request is read its experiment may lead no more: a warning, and no move."""
    led(lab, lab.train(SCORE=1.0), lab.train(SCORE=-1.0))
    for n in (1, 3, 99):
        lab.ledger.add_request("prune", json.dumps({"n": n, "why": ""}), "now")
    engine = led(lab)
    assert lab.statuses() == ["baseline", "lead", "discard"]
    assert not lab.ledger.lead_moves(TAG)
    assert [event for event, _ in lab.monitor.events].count("nothing to prune") == 3
    assert lab.ledger.requests() == []
    is_consistent(lab, engine)


@pytest.mark.parametrize("n", [1, 2])
def test_a_candidate_is_measured_on_as_many_more_seeds_as_a_person_asks_for(
    lab: Lab, n: int
) -> None:
    """The lead or the published one; once, though the daemon is started again half-way."""
    led(lab, lab.train(SCORE=1.0))
    before = fresh(lab, n)
    lab.ledger.add_request("measure", json.dumps({"n": n, "more": 9}), "now")
    engine = lab.engine([], judge=UNPROVEN)
    while fresh(lab, n) < before + 4:
        assert engine.turn() is None
    assert len(lab.ledger.requests()) == 1
    lab.evaluator = StubEvaluator()
    engine = led(lab)
    assert fresh(lab, n) == before + 9
    assert lab.ledger.requests() == []
    is_consistent(lab, engine)


def test_nothing_else_is_measured(lab: Lab) -> None:
    """A discarded candidate has no seeds that decide anything."""
    led(lab, lab.train(SCORE=-1.0))
    lab.ledger.add_request("measure", json.dumps({"n": 2, "more": 4}), "now")
    led(lab)
    assert "nothing to measure" in [event for event, _ in lab.monitor.events]
    assert lab.ledger.requests() == []


def test_the_naive_rule_measures_nothing_more(lab: Lab) -> None:
    """The request does not wait for ever."""
    engine = lab.engine([reply(lab.train(SCORE=1.0))])
    lab.until(engine, 2)
    lab.ledger.add_request("measure", json.dumps({"n": 2, "more": 4}), "now")
    engine.run()
    assert "nothing to measure" in [event for event, _ in lab.monitor.events]
    assert lab.ledger.requests() == []


def fresh(lab: Lab, n: int) -> int:
    """Return how many seeds that decide something a candidate has been measured on."""
    return sum(result.purpose in FRESH for result in lab.ledger.references(TAG).get(n, []))
