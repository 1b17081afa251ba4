"""Challengers that change the ruler, baselines that are no task, and reviews, in whole runs."""

import json
import re

import pytest

from orchestrator.core.experiments import Experiment
from orchestrator.core.records import Files, Status
from orchestrator.judging.candidate_evidence import FRESH
from orchestrator.judging.rulers import environment_id
from tests.engine.conftest import LEAD_RULES, TAG, Lab
from tests.fakes import StubEvaluator, reply

SOUND = LEAD_RULES
NAIVE = {"rule": "naive"}
RULES = pytest.mark.parametrize("judge", [SOUND, NAIVE], ids=["sound", "naive"])


COUNTED = {"observation": "observations", "reward": "rewards", "dynamics": "ends",
           "success": "successes"}  # fmt: skip


def change(lab: Lab, changes: str, there: float | None = None, **constants: object) -> str:
    """Return a reply with another environment, in which these things differ in every episode."""
    found: dict[str, float] = {COUNTED[name]: 64 for name in changes.split()}
    if there is not None:
        found["return_there"] = there
    train = f"COMPARED = {json.dumps(found)}\n{lab.train(**constants)}"
    return reply(train, f"X = 1\n{lab.files.env}")


def experiments(lab: Lab) -> list[Experiment]:
    return list(lab.ledger.experiments(TAG))


def run(lab: Lab, judge: dict[str, object], *replies: str, **sections: object) -> list[Experiment]:
    lab.engine(replies, judge=judge, **sections).run()  # type: ignore[arg-type]
    return experiments(lab)


# -- the ruler -------------------------------------------------------------------------------------


@RULES
def test_an_added_observation_is_judged_as_ever(lab: Lab, judge: dict[str, object]) -> None:
    """It is no change of the reward, whatever else is in the diff; and it is recorded."""
    (_, kept) = run(lab, judge, change(lab, "observation", -9.0, SCORE=1.0))
    assert kept.status is Status.KEEP
    assert kept.verdict["changed"] == ["observation"]
    assert kept.flags == ()


@RULES
def test_three_times_the_shaping_is_no_gain(lab: Lab, judge: dict[str, object]) -> None:
    """By the lead's reward it earns what the lead does, and it solves no more."""
    (_, discarded) = run(lab, judge, change(lab, "reward", 0.0, SCORE=3.0))
    assert discarded.status is Status.DISCARD
    assert "return by the former reward +0.0000" in discarded.reason
    assert discarded.scores_by_seed[101] == 3.0


@RULES
def test_a_bonus_for_stalling_fails(lab: Lab, judge: dict[str, object]) -> None:
    """Its own return rose; by the incumbent's reward it earns less, and it solves less."""
    (_, discarded) = run(lab, judge, change(lab, "reward", -0.5, SCORE=9.0, SOLVED=0.1))
    assert discarded.status is Status.DISCARD


@RULES
def test_taking_a_bonus_out_can_pass_on_the_solve_rate(lab: Lab, judge: dict[str, object]) -> None:
    """It earns less by both rewards, and solves more: so the bonus was no help."""
    (_, kept) = run(lab, judge, change(lab, "reward", -0.5, SCORE=-0.5, SOLVED=0.9))
    assert kept.status is Status.KEEP
    assert kept.verdict["quantity"] == "solve rate"
    assert re.match("(kept|takes the lead), with another reward: solve rate \\+0.4000", kept.reason)


@RULES
def test_a_higher_return_never_pays_for_a_lower_solve_rate(
    lab: Lab, judge: dict[str, object]
) -> None:
    """Not even where nothing of the environment changed."""
    (_, discarded) = run(lab, judge, reply(lab.train(SCORE=9.0, SOLVED=0.0)))
    assert discarded.status is Status.DISCARD
    assert discarded.reason.startswith("discarded: solve rate fell from 50% to 0%, in spite of +9")


@RULES
@pytest.mark.parametrize("what", ["dynamics", "success"])
def test_another_task_is_never_kept_by_itself(
    lab: Lab, judge: dict[str, object], what: str
) -> None:
    """Whatever it earns; its reason says how a person can take it all the same."""
    (_, discarded) = run(lab, judge, change(lab, what, SCORE=9.0, SOLVED=1.0))
    assert discarded.status is Status.DISCARD
    assert discarded.reason.startswith(f"discarded: another task ({what} changed): no lower solve")
    assert discarded.reason.endswith("or yours: `autorl-daemon accept 2`")
    assert discarded.verdict["changed"] == [what]
    assert discarded.verdict["epoch"] is False


def test_another_task_that_is_solved_less_costs_no_fresh_seed(lab: Lab) -> None:
    """Its default seeds tell."""
    (_, discarded) = run(lab, SOUND, change(lab, "dynamics", SCORE=9.0, SOLVED=0.0))
    assert discarded.reason == (
        "discarded: another task (dynamics changed), and the solve rate fell from 50% to 0%"
    )
    assert [seed.seed for seed in lab.ledger.evidence(2)] == [101, 138]


@RULES
def test_an_older_evaluator_compares_nothing(lab: Lab, judge: dict[str, object]) -> None:
    """Then returns are compared as before, and the flags of the reports stand."""
    lab.evaluator.compares = False
    (_, kept) = run(lab, judge, change(lab, "reward", 0.0, SCORE=9.0))
    assert kept.status is Status.KEEP
    assert kept.verdict["changed"] == []


def test_what_was_compared_is_recorded_with_each_seed(lab: Lab) -> None:
    """It is part of the evidence of the verdict."""
    run(lab, SOUND, change(lab, "reward", -1.0, SCORE=-1.0))
    compared = [seed.compared for seed in lab.ledger.evidence(2)]
    assert [one and (one.episodes, one.rewards) for one in compared] == [(64, 64)]


def test_the_same_code_may_be_judged_against_another_incumbent(lab: Lab) -> None:
    """Undoing a change is a proposal like any other; repeating one is not."""
    first, second = lab.train(SCORE=1.0), lab.train(SCORE=2.0)
    run(lab, NAIVE, reply(first), reply(second), reply(first), reply(first))
    assert lab.statuses() == ["baseline", "keep", "keep", "discard", "invalid"]
    assert experiments(lab)[-1].reason.endswith("in experiment #4")


# -- no task yet -----------------------------------------------------------------------------------


def empty_start(lab: Lab) -> None:
    """Have the run start from a canvas."""
    lab.files = Files(lab.files.env, lab.train(SCORE=0.0, EMPTY=1))


@RULES
def test_the_first_task_becomes_the_baseline_whatever_its_return(
    lab: Lab, judge: dict[str, object]
) -> None:
    """A canvas that earns 0 is none to beat, and no reference is spent on it."""
    empty_start(lab)
    rows = run(lab, judge, reply(lab.train(SCORE=-0.5)), reply(lab.train(SCORE=-0.4)))
    assert [row.status.value for row in rows] == ["baseline", "keep", "keep"]
    assert rows[0].flags == ("no task: every episode earns 0, trained or at random",)
    assert rows[1].reason.startswith("becomes the baseline")
    assert lab.ledger.reference(1, rows[0].rung) == []
    assert lab.tip() == rows[2].commit


def test_a_flagged_baseline_is_no_incumbent(lab: Lab) -> None:
    """Nor does a challenger become the baseline that carries a vetoed flag, its own or the same."""
    flag = "identical starts"
    lab.files = Files(lab.files.env, lab.train(SCORE=9.0, FLAG=flag))
    rows = run(
        lab, NAIVE, reply(lab.train(SCORE=10.0, FLAG=flag)), reply(lab.train(SCORE=11.0, EMPTY=1)),
        reply(lab.train(SCORE=1.0)),
    )  # fmt: skip
    assert [row.status.value for row in rows] == ["baseline", "rejected", "discard", "keep"]
    assert "no task: it is flagged identical starts" in rows[0].flags
    assert rows[2].reason.startswith("discarded: no task to improve on either")


def test_until_then_the_agent_edits_the_latest_valid_attempt(lab: Lab) -> None:
    """A crash is one, an invalid reply is none; what is committed stands on the canvas."""
    empty_start(lab)
    crash = lab.train(DO="crash")
    rows = run(
        lab, NAIVE, reply(crash), "nothing", reply(lab.train(SCORE=1.0)), agent={"max_repairs": 0}
    )
    assert [row.status.value for row in rows] == ["baseline", "crash", "invalid", "keep"]
    assert [brief.files.train for brief in lab.briefs] == [
        lab.files.train, crash, crash, lab.train(SCORE=1.0),
    ]  # fmt: skip
    assert {row.parent for row in rows[1:]} == {rows[0].commit}


def test_a_restart_shows_the_same_attempt(lab: Lab) -> None:
    """Search and replace blocks of a reply are of the files it was shown."""
    empty_start(lab)
    crash = lab.train(DO="crash")
    edit = (
        "description: mended\n\ncandidate/train.py\n```python\n<<<<<<< SEARCH\n"
        'DO = "crash"\n=======\nDO = "stop"\n>>>>>>> REPLACE\n```\n'
    )
    replies = [reply(crash), edit]
    settings = {"agent": {"max_repairs": 0}}
    engine = lab.engine(replies, **settings)  # type: ignore[arg-type]
    lab.until(engine, 2)
    lab.evaluator.on_stop = lambda: None
    for _ in range(100):
        if lab.ledger.open_experiments(TAG) and lab.ledger.files(3):
            break
        engine.turn()
    (opened,) = lab.ledger.open_experiments(TAG)
    assert opened.edits == 2
    lab.evaluator = type(lab.evaluator)()
    again = lab.engine(replies, **settings)  # type: ignore[arg-type]
    lab.evaluator.on_stop = lambda: None
    again.run()
    assert lab.statuses() == ["baseline", "crash", "keep"]


def test_a_person_makes_anything_a_task(lab: Lab) -> None:
    """Also the baseline itself: from then on others are compared with it."""
    empty_start(lab)
    lab.engine([]).run()
    lab.ledger.add_request("accept", "1", "now")
    run(lab, SOUND, reply(lab.train(SCORE=-1.0)))
    assert lab.statuses() == ["baseline", "discard"]
    assert len(lab.ledger.reference(1, experiments(lab)[0].rung)) == 2
    assert lab.tip() != experiments(lab)[0].commit


# -- climbing out of nothing -----------------------------------------------------------------------


def test_a_run_climbs_where_nothing_is_learnt(lab: Lab) -> None:
    """After so many scored experiments, and whatever the baseline learns above."""
    lab.files = Files(lab.files.env, lab.train(SCORE=0.0, SOLVED=0.0))
    losers = [reply(lab.train(SCORE=-x, SOLVED=0.0)) for x in (1.0, 2.0, 3.0)]
    budget = {"ladder": [[12, 8], [32, 8]], "patience_unlearnt": 3}
    rows = run(lab, NAIVE, *losers, budget=budget)
    assert [(row.status.value, str(row.rung)) for row in rows] == [
        ("baseline", "12/8"), *[("discard", "12/8")] * 3, ("baseline", "32/8"),
    ]  # fmt: skip
    assert rows[-1].description == (
        "nothing was solved or learnt in 3 experiments at the budget below "
        "(budget.patience_unlearnt)"
    )


def test_a_run_stays_where_something_is_solved(lab: Lab) -> None:
    """By any of them, kept or not."""
    lab.files = Files(lab.files.env, lab.train(SCORE=0.0, SOLVED=0.0))
    losers = [reply(lab.train(SCORE=-x, SOLVED=0.1 * (x == 2.0))) for x in (1.0, 2.0, 3.0)]
    budget = {"ladder": [[12, 8], [32, 8]], "patience_unlearnt": 3}
    rows = run(lab, NAIVE, *losers, budget=budget)
    assert {str(row.rung) for row in rows} == {"12/8"}


# -- another incumbent meanwhile -------------------------------------------------------------------


def test_what_was_compared_with_a_former_lead_is_measured_anew(lab: Lab) -> None:
    """A comparison with an environment that is none to be compared with any more says nothing."""
    replies = [
        change(lab, "observation", SCORE=1.0),
        change(lab, "reward", 9.0, SCORE=0.5).replace("X = 1", "X = 2"),
    ]
    lab.evaluator = StubEvaluator(slots=2)
    lab.engine(replies, lanes=2, judge=SOUND).run()
    first, second = experiments(lab)[1:]
    assert (first.status, second.status) == (Status.LEAD, Status.LEAD)
    assert second.verdict["incumbent"] == first.n
    known = [seed for seed in lab.ledger.evidence(second.n) if seed.compared]
    files = lab.ledger.files(first.n)
    assert files is not None
    keys = {seed.compared.environment for seed in known if seed.purpose not in FRESH}  # type: ignore[union-attr]
    assert keys == {environment_id(files)}
    # Its own fresh seeds are for its proof, against the published candidate.
    keys = {seed.compared.environment for seed in known if seed.purpose in FRESH}  # type: ignore[union-attr]
    assert keys == {environment_id(lab.files)}
    told = [seed for key, seed in lab.evaluator.told if key == str(second.n)]
    assert told.count(101) == 2


def test_what_met_no_task_first_is_compared_with_the_task_that_came_meanwhile(lab: Lab) -> None:
    """Two first tasks at once: the second is measured anew, by both rulers, against the first."""
    empty_start(lab)
    replies = [
        change(lab, "", SCORE=0.5),
        change(lab, "reward", -1.0, SCORE=9.0).replace("X = 1", "X = 2"),
    ]
    lab.evaluator = StubEvaluator(slots=2)
    lab.engine(replies, lanes=2, judge=SOUND).run()
    first, second = experiments(lab)[1:]
    assert (first.status, second.status) == (Status.KEEP, Status.DISCARD)
    assert second.verdict["incumbent"] == first.n
    assert second.verdict["changed"] == ["reward"]
