"""The end of an experiment: flags, a horizon that the report tells, and a review."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from orchestrator.core.evaluations import Evaluation, Report, SeedResult
from orchestrator.core.records import Files, Status
from orchestrator.core.reviews import NoReview, Opinion, Review
from orchestrator.engine.commands import (
    AskReviewer,
    EndEvaluation,
    IsLead,
    Measure,
    ReadLead,
    ReserveCode,
)
from orchestrator.engine.outcome import Outcome, Rules
from orchestrator.engine.record import _verdict_document
from orchestrator.judging.candidate_evidence import CandidateEvidence
from orchestrator.judging.flag_rules import ScoredCandidate
from tests.engine.test_experiment import (
    BEFORE,
    ENV,
    NAIVE,
    SOUND,
    Stepped,
    answer,
    begun,
    evidence,
    led_by,
    report,
    train,
)
from tests.fakes import reply, ruler_comparison

NEW_ENV = "X = 1\n" + ENV
NOBODY = NoReview("")
EARNED = Review(Opinion.EARNED, "the brief asks for it", "m")


def lead(**changes: Any) -> CandidateEvidence:
    """Return one whose files and report are known."""
    facts = {"mean_solve_rate": 0.5, "mean_episode_length": 8.0}
    known = evidence(value=0.5, scored=ScoredCandidate(0.5, 20, Report(facts), ENV))
    chosen_by = tuple(replace(result, solve_rate=0.5) for result in known.chosen_by)
    return replace(replace(known, files=BEFORE, chosen_by=chosen_by), **changes)


def until_reviewed(
    changes: str = "",
    *,
    there: float = 0.9,
    told: Evaluation | None = None,
    rules: Rules = NAIVE,
    against: CandidateEvidence | None = None,
) -> Stepped[Outcome]:
    """Step a challenger that earns more to the reviewer, or to its end."""
    script = begun(rules)
    env = NEW_ENV if changes else None
    assert isinstance(script.send(answer(reply(train(1), env))), ReserveCode)
    assert isinstance(script.send(None), ReadLead)
    script.send(led_by(against or lead()))
    while isinstance(script.command, Measure):
        compared = ruler_comparison(changes, there=there) if changes else None
        script.send(SeedResult(script.command.seed, 0.9, 0.75, compared=compared))
        script.send(True)
    assert isinstance(script.command, EndEvaluation)
    facts = {"mean_solve_rate": 0.75, "mean_episode_length": 6.0}
    assert isinstance(script.send(told or report(0.9, report=Report(facts))), IsLead)
    script.send(True)
    return script


def ended(script: Stepped[Outcome], review: Review | NoReview) -> Outcome:
    """Give a review; the lead is still the same."""
    assert isinstance(script.command, AskReviewer)
    assert script.send(review) == IsLead(1)
    assert script.send(True) is None
    return script.result


# -- what the reviewer is shown --------------------------------------------------------------------


def test_a_reviewer_is_shown_both_candidates_and_what_was_measured() -> None:
    """A line for each fact; what is not known is said to be unknown."""
    script = until_reviewed("observation reward")
    assert isinstance(script.command, AskReviewer)
    request = script.command.request
    assert (request.before, request.after) == (BEFORE, Files(NEW_ENV, train(1)))
    assert (request.description, request.rationale) == ("a change", "because")
    assert request.changed == ("observation", "reward")
    assert not request.is_other_task
    assert request.facts[1:7] == (
        "score on the 2 default seeds, which chose both: 0.5000 -> 0.9000",
        "solve rate there: 50% -> 75%",
        "solve rate over all seeds measured: 50% -> unknown",
        "episode length there, in steps: 8.0 -> 6.0",
        "the new candidate's flags: none",
        "the lead's flags: none",
    )
    assert request.facts[7:] == (
        "measured: observation: differs in 128 of 128 episodes played with the same actions",
        "measured: reward: differs in 128 of 128 episodes played with the same actions",
        "measured to be equal: ends, successes, in all 128 episodes played in both",
    )


def test_an_unchanged_environment_is_said_to_be_one() -> None:
    """Nothing was compared: the code is the same."""
    script = until_reviewed()
    assert isinstance(script.command, AskReviewer)
    assert script.command.request.facts[-1] == (
        "nothing was compared: the environment's code is the same"
    )


def test_a_first_task_is_reviewed_too() -> None:
    """It moves the branch."""
    canvas = lead(is_task=False)
    script = until_reviewed(against=canvas)
    assert isinstance(script.command, AskReviewer)
    request = script.command.request
    assert request.is_first_task
    assert request.facts[0].startswith("measured: nothing")
    assert request.facts[1].startswith("score on the 2 default seeds: 0.9000")
    assert request.facts[-1] == "the new candidate's flags: none"
    assert script.send(NOBODY) == IsLead(1, is_task=False)
    script.send(True)
    assert script.result.status is Status.KEEP


def test_what_decided_is_said_first() -> None:
    """The gain with its error, not the score that chose the lead; of another task its verdict."""
    script = until_reviewed(rules=SOUND)
    assert isinstance(script.command, AskReviewer)
    assert script.command.request.facts[0] == (
        "gain over the lead so far: +0.4000 ± 0.0000 over 2 seeds (± is the standard error)"
    )
    script = until_reviewed("dynamics", rules=SOUND)
    assert isinstance(script.command, AskReviewer)
    assert script.command.request.facts[0] == (
        "verdict: another task (dynamics changed): no lower solve rate over 3 seeds"
    )


# -- what follows from a review --------------------------------------------------------------------


@pytest.mark.parametrize("review", [NOBODY, NoReview("it timed out"), EARNED,
                                    Review(Opinion.UNSURE, "hm", "m")])  # fmt: skip
def test_a_keep_waits_for_no_review(review: Review | NoReview) -> None:
    """Without one, or with an unsure one, it is kept; what was said is recorded."""
    outcome = ended(until_reviewed(), review)
    assert (outcome.status, outcome.review) == (Status.KEEP, review)
    assert outcome.reason.startswith("kept: +0.4000")


def test_what_would_take_the_lead_waits_for_no_review_either() -> None:
    """It is recorded as a lead, not as a keep; a veto keeps it from the lead."""
    outcome = ended(until_reviewed(rules=SOUND), NOBODY)
    assert (outcome.status, outcome.opens_epoch) == (Status.LEAD, False)
    assert outcome.reason.startswith("takes the lead: +0.4000")
    assert _verdict_document(outcome)["lead"] is True
    vetoed = ended(until_reviewed(rules=SOUND), Review(Opinion.GAMING, "it stalls", "m"))
    assert vetoed.status is Status.REJECTED
    assert "lead" not in _verdict_document(vetoed)


@pytest.mark.parametrize("opinion", [Opinion.GAMING, Opinion.OFF_LIMITS])
def test_a_veto_rejects_with_the_reviewers_reason(opinion: Opinion) -> None:
    """For people and the agent; a configuration without that veto keeps it."""
    review = Review(opinion, "it pays for stalling", "openai:m")
    outcome = ended(until_reviewed(), review)
    assert outcome.status is Status.REJECTED
    assert outcome.reason.startswith(
        f"vetoed by the reviewer openai:m, {opinion.value}: it pays for stalling"
    )
    rules = replace(NAIVE, review_veto=())
    assert ended(until_reviewed(rules=rules), review).status is Status.KEEP


def test_another_lead_meanwhile_begins_the_test_anew() -> None:
    """The review was of a change to another candidate."""
    script = until_reviewed()
    script.send(EARNED)
    assert isinstance(script.send(False), ReadLead)


def test_another_task_opens_an_epoch_with_the_reviewers_consent() -> None:
    """With that alone."""
    outcome = ended(until_reviewed("dynamics"), EARNED)
    assert (outcome.status, outcome.opens_epoch) == (Status.KEEP, True)
    assert outcome.reason == (
        "kept, and opens a new epoch: another task (dynamics changed): no lower solve rate over "
        "2 seeds; the reviewer: the brief asks for it"
    )


@pytest.mark.parametrize(
    ("review", "why"),
    [(NOBODY, "no reviewer is configured"), (NoReview("it timed out"), "no review: it timed out"),
     (Review(Opinion.UNSURE, "hm", "m"), "the reviewer is not sure: hm")],
)  # fmt: skip
def test_another_task_without_consent_is_discarded(review: Review | NoReview, why: str) -> None:
    """Its reason names a person's way."""
    outcome = ended(until_reviewed("success"), review)
    assert (outcome.status, outcome.opens_epoch) == (Status.DISCARD, False)
    assert outcome.reason.endswith(
        f"it needs a reviewer's consent ({why}), or yours: `autorl-daemon accept 7`"
    )
    verdict = outcome.evaluation.verdict
    assert verdict is not None
    assert verdict.status is Status.DISCARD


# -- horizons --------------------------------------------------------------------------------------


def of_horizon(steps: int, changes: str = "") -> Evaluation:
    told = report(0.9, report=Report({"mean_solve_rate": 0.75, "mean_episode_length": 6.0}))
    return replace(told, max_steps=steps)


@pytest.mark.parametrize("steps", [10, 30])
def test_another_horizon_is_another_task(steps: int) -> None:
    """Although the environment's code is the same: training_overrides sets it too."""
    script = until_reviewed(told=of_horizon(steps))
    assert isinstance(script.command, AskReviewer)
    assert script.command.request.is_other_task
    assert script.command.request.changed == ("horizon",)
    outcome = ended(script, EARNED)
    assert outcome.opens_epoch
    assert outcome.evaluation.flags == (f"horizon changed: from 20 to {steps} steps",)


def test_where_the_horizon_is_pinned_another_one_is_vetoed() -> None:
    """A reviewer is not asked."""
    rules = replace(NAIVE, veto=("horizon changed",), pins_horizon=True)
    script = until_reviewed(told=of_horizon(30), rules=rules)
    assert script.result.status is Status.REJECTED


def test_flags_of_older_evaluators_stand_where_nothing_was_compared() -> None:
    """Another horizon is vetoed then, as it was."""
    rules = replace(NAIVE, veto=("horizon changed",))
    script = until_reviewed(told=of_horizon(30), rules=rules, against=lead(files=None))
    assert script.result.status is Status.REJECTED


# -- the record ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("review", "expected"),
    [(EARNED, {"opinion": "earned", "reason": "the brief asks for it", "by": "m"}),
     (NoReview("it timed out"), {"none": "it timed out"}), (NOBODY, None)],
)  # fmt: skip
def test_the_record_says_what_changed_and_who_agreed(
    review: Review | NoReview, expected: object
) -> None:
    """An unreviewed keep is only named where a reviewer is configured."""
    document = _verdict_document(ended(until_reviewed("observation reward"), review))
    assert document["changed"] == ["observation", "reward"]
    assert document["epoch"] is False
    assert document.get("review") == expected
    assert "is_other_task" not in document
    assert "not_compared" not in document


def test_the_record_says_where_nothing_was_compared() -> None:
    """Of a first task, and where no environments were played; not where they are the same code."""
    canvas = until_reviewed(against=lead(is_task=False))
    canvas.send(NOBODY)
    canvas.send(True)
    assert _verdict_document(canvas.result)["not_compared"] == "there was no task before it"
    same = ended(until_reviewed(), NOBODY)
    assert "not_compared" not in _verdict_document(same)
    assert same.candidate is not None
    other = replace(same, candidate=replace(same.candidate, files=Files(NEW_ENV, train(1))))
    assert "both environments" in _verdict_document(other)["not_compared"]


def test_a_restart_gets_the_same_review() -> None:
    """The coroutine is run again on recorded results."""
    one, other = until_reviewed("dynamics"), until_reviewed("dynamics")
    assert one.asked == other.asked
    assert ended(one, EARNED) == ended(other, EARNED)


def compared(results: Sequence[SeedResult]) -> list[bool]:
    return [result.compared is not None for result in results]


def test_comparisons_of_the_verdict_are_recorded_with_the_seeds() -> None:
    """Whatever the evaluator's report holds of them."""
    outcome = ended(until_reviewed("reward"), NOBODY)
    assert compared(outcome.evaluation.seeds) == [True, True]
