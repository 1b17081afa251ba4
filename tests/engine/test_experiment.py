"""An experiment's rules, each by what it asks for next: no engine, ledger, clock or process."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Generic, TypeVar

import pytest

from orchestrator.config.schema import JudgeConfig
from orchestrator.core.errors import EvaluatorError
from orchestrator.core.evaluations import (
    CheckpointReached,
    Evaluation,
    Purpose,
    Report,
    SeedResult,
)
from orchestrator.core.experiments import Experiment
from orchestrator.core.records import Attempt, Files, Reply, Rung, Status
from orchestrator.core.reviews import NoReview
from orchestrator.engine.commands import (
    Answer,
    AskReviewer,
    Command,
    EndEvaluation,
    IsLead,
    Measure,
    Propose,
    ReadCurves,
    ReadLead,
    ReserveCode,
    SaveFailure,
    SaveSeed,
    Script,
)
from orchestrator.engine.experiment import challenge
from orchestrator.engine.measuring import baseline, measure_candidate
from orchestrator.engine.outcome import Outcome, Rules
from orchestrator.judging.candidate_evidence import CandidateEvidence, SearchEvidence
from orchestrator.judging.flag_rules import ScoredCandidate
from orchestrator.judging.gains import NO_SPREAD, Spread
from orchestrator.judging.reference import default_seeds, reference_seeds
from orchestrator.judging.rules import JudgingRules
from orchestrator.proposals.candidate_code import fingerprint
from tests.fakes import reply

T = TypeVar("T")
NONDETERMINISTIC = "nondeterministic"

LOW, HIGH = Rung(12, 8), Rung(32, 8)
DEFAULT = (101, 138)
ENV = "def create_env(config):\n    pass\n"
REQUIRED = "def build_policy():\n    pass\n\n\ndef training_overrides():\n    pass\n"
NAIVE = Rules(JudgingRules(JudgeConfig(rule="naive"), 2), 2, (NONDETERMINISTIC,))
SOUND = replace(NAIVE, judging=JudgingRules(JudgeConfig(), 2))


def train(x: int) -> str:
    return f"X = {x}\n{REQUIRED}"


BEFORE = Files(ENV, train(0))


def evidence(
    scored_by: int = 1, value: float = 0.0, scored: ScoredCandidate | None = None
) -> CandidateEvidence:
    """Return a lead that earns the same on every seed."""
    fresh = (
        SeedResult(seed, value, purpose=Purpose.REFERENCE) for seed in reference_seeds(scored_by, 2)
    )
    return CandidateEvidence(
        scored_by, scored_by, tuple(SeedResult(seed, value) for seed in DEFAULT), tuple(fresh),
        scores_by_seed=dict.fromkeys(DEFAULT, value), scored=scored,
    )  # fmt: skip


def led_by(lead: CandidateEvidence, spread: Spread = NO_SPREAD) -> SearchEvidence:
    """Return what is known where this one leads, and is published."""
    return SearchEvidence(lead, lead, spread=spread)


def answer(text: str, failure: Evaluation | None = None) -> Answer:
    return Answer(7, Reply(text), failure)


def report(
    value: float, seeds: Sequence[int] = DEFAULT, *, more: Sequence[int] = (), **facts: Any
) -> Evaluation:
    scores = dict.fromkeys(seeds, value)
    results = tuple(SeedResult(seed, value) for seed in (*seeds, *more))
    return Evaluation(
        None, score=value, scores_by_seed=scores, max_steps=20, seeds=results, **facts
    )


CRASH = Evaluation(Status.CRASH, reason="boom", details="Traceback")


class Stepped(Generic[T]):
    """An experiment that a test steps by hand."""

    def __init__(self, script: Script[T]) -> None:
        self._script = script
        self._ended: list[T] = []
        self.command: Command[Any] | None = None
        self.asked: list[Command[Any]] = []
        self.send(None)

    def send(self, result: object) -> Command[Any] | None:
        """Send a command's result; return the next command, None at the end."""
        try:
            self.command = self._script.send(result)
            self.asked.append(self.command)
        except StopIteration as ended:
            self.command = None
            self._ended.append(ended.value)
        return self.command

    @property
    def result(self) -> T:
        """What the experiment has returned."""
        (result,) = self._ended
        return result

    # Stretches of the way that most tests are not about.

    def propose(self, x: int) -> Command[Any] | None:
        """Answer with a candidate of its own, whose code nobody else has."""
        assert isinstance(self.command, Propose)
        assert isinstance(self.send(answer(reply(train(x)))), ReserveCode)
        return self.send(None)

    def measured(self, value: float) -> Command[Any] | None:
        """Give the next seed's result; the lead is still the same."""
        assert isinstance(self.command, Measure)
        assert isinstance(self.send(SeedResult(self.command.seed, value)), IsLead)
        return self.send(True)

    def measure_until_verdict(self, value: float) -> EndEvaluation:
        """Give the same result on every seed until no more are asked for."""
        while isinstance(self.command, Measure):
            self.measured(value)
        assert isinstance(self.command, EndEvaluation)
        return self.command

    def reviewed_by_nobody(self) -> None:
        """Let it be final: nobody reviews, and the lead is still the same."""
        assert isinstance(self.command, IsLead)
        assert isinstance(self.send(True), AskReviewer)
        assert isinstance(self.send(NoReview("")), IsLead)
        assert self.send(True) is None


def begun(rules: Rules = NAIVE) -> Stepped[Outcome]:
    return Stepped(challenge(LOW, BEFORE, rules))


def evaluating(
    rules: Rules = NAIVE, lead: CandidateEvidence | None = None, spread: Spread = NO_SPREAD
) -> Stepped[Outcome]:
    """Return a challenge that asks for its first seed."""
    script = begun(rules)
    assert script.propose(1) == ReadLead(LOW)
    assert isinstance(script.send(led_by(lead or evidence(), spread)), Measure)
    return script


# -- from a reply to a keep ------------------------------------------------------------------------


def test_the_way_of_a_keep() -> None:
    """Reply, claim of the code, lead, seed after seed, report, review, and a last look."""
    script = begun()
    assert script.command == Propose()
    text = reply(train(1), description="a bold idea")
    files = Files(ENV, train(1))
    claim = ReserveCode(LOW, fingerprint(files), files, "a bold idea", "because")
    assert script.send(answer(text)) == claim
    assert script.send(None) == ReadLead(LOW)
    measure = script.send(led_by(evidence(value=0.5)))
    assert isinstance(measure, Measure)
    assert (measure.files, measure.plan.rung, measure.plan.order) == (files, LOW, DEFAULT)
    assert measure.seed == 101
    assert script.send(SeedResult(101, 0.7)) == IsLead(1)
    assert script.send(True) == Measure(files, measure.plan, 138)
    assert script.send(SeedResult(138, 0.9)) == IsLead(1)
    assert script.send(True) == EndEvaluation(files, measure.plan, 2)
    scores = replace(report(0.8), scores_by_seed={101: 0.7, 138: 0.9})
    assert script.send(scores) == IsLead(1)
    script.reviewed_by_nobody()
    kept = script.result
    assert kept.status is Status.KEEP
    assert kept.candidate is not None
    assert kept.candidate.files == files
    assert kept.candidate.fingerprint == fingerprint(files)
    assert (kept.candidate.description, kept.candidate.rationale) == ("a bold idea", "because")
    assert kept.lead == evidence(value=0.5)
    verdict = kept.evaluation.verdict
    assert verdict is not None
    assert verdict.gain == pytest.approx(0.3)


@pytest.mark.parametrize("value", [0.5, 0.4])
def test_no_better_score_is_discarded(value: float) -> None:
    """An equal one too; what it scored is recorded."""
    script = evaluating(lead=evidence(value=0.5))
    script.measure_until_verdict(value)
    script.send(report(value))
    script.send(True)
    assert script.result.status is Status.DISCARD
    assert script.result.evaluation.score == value


def test_the_naive_rule_judges_by_the_scores_of_the_report() -> None:
    """A seed's result is over all episodes that were played, its score over those that count."""
    script = evaluating(lead=evidence(value=0.5))
    script.measure_until_verdict(0.6)
    script.send(report(0.4))
    script.send(True)
    assert script.result.status is Status.DISCARD


def test_a_loser_is_discarded_after_its_first_seed() -> None:
    """It costs no other."""
    script = evaluating(SOUND)
    end = script.measure_until_verdict(-1.0)
    assert end.seeds == DEFAULT[:1]
    script.send(report(-1.0, DEFAULT[:1]))
    script.send(True)
    verdict = script.result.evaluation.verdict
    assert verdict is not None
    assert (script.result.status, verdict.stage) == (Status.DISCARD, "seeds")


@pytest.mark.parametrize(("value", "seeds"), [(9.0, 2), (1.0, 3)])
def test_what_takes_the_lead_is_measured_on_the_seeds_of_all(value: float, seeds: int) -> None:
    """A large gain shows on the default seeds; a small one takes the rest of the challenger's."""
    script = evaluating(SOUND, spread=Spread(1.0, 8.0))
    end = script.measure_until_verdict(value)
    assert end.plan.order == default_seeds(3)
    assert len(end.seeds) == seeds
    script.send(report(value, more=end.seeds[2:]))
    script.reviewed_by_nobody()
    verdict = script.result.evaluation.verdict
    assert verdict is not None
    assert (script.result.status, verdict.stage) == (Status.LEAD, "seeds")
    assert (verdict.gain, verdict.evaluations) == (value, seeds)
    assert verdict.estimate is not None
    assert 0 < verdict.estimate < value


# -- replies that fail, and repairs ----------------------------------------------------------------


def test_an_unusable_reply_is_recorded_and_may_be_repaired() -> None:
    """The next question quotes it with what is wrong; its failure is recorded first."""
    script = begun()
    failure = script.send(answer("nothing"))
    assert isinstance(failure, SaveFailure)
    assert (failure.attempt, failure.failure.status) == (1, Status.INVALID)
    assert failure.failure.reason.startswith("no_edit: ")
    assert script.send(None) == Propose((Attempt("nothing", failure.failure.reason),))
    assert script.propose(1) == ReadLead(LOW)


@pytest.mark.parametrize("max_repairs", [0, 1, 3])
def test_there_are_so_many_repairs_and_no_more(max_repairs: int) -> None:
    """The experiment is invalid after the last of them, with the last reason."""
    script = begun(replace(NAIVE, max_repairs=max_repairs))
    asked = 0
    while isinstance(script.command, Propose):
        assert len(script.command.attempts) == asked
        assert isinstance(script.send(answer(f"nothing {asked}")), SaveFailure)
        script.send(None)
        asked += 1
    assert asked == max_repairs + 1
    assert script.result.status is Status.INVALID
    assert script.result.reason.startswith("no_edit: ")
    assert script.result.candidate is None


def test_an_unusable_reply_keeps_the_description_of_the_first_one() -> None:
    """What was tried is known although no candidate came of it."""
    script = begun(replace(NAIVE, max_repairs=1))
    for text in ("description: a bold idea\n", "description: less bold\n"):
        script.send(answer(text))
        script.send(None)
    assert script.result.description == "a bold idea"


def test_an_agent_without_an_answer_ends_the_experiment() -> None:
    """Nothing is recorded of a reply that there never was."""
    script = begun()
    assert script.send(None) is None
    assert (script.result.status, script.result.reason) == (
        Status.INVALID, "the agent had no answer",
    )  # fmt: skip


def test_an_agent_without_another_answer_leaves_the_failure() -> None:
    """The experiment ends as its last reply did."""
    script = evaluating()
    script.send(CRASH)
    script.send(None)
    assert isinstance(script.command, Propose)
    assert script.send(None) is None
    assert (script.result.status, script.result.reason) == (Status.CRASH, "boom")
    assert script.result.evaluation.details == "Traceback"


def test_a_crash_is_forgiven_once() -> None:
    """Its traceback is quoted, and the repair is evaluated."""
    script = evaluating()
    assert script.send(CRASH) == SaveFailure(1, CRASH)
    again = script.send(None)
    assert again == Propose((Attempt(reply(train(1)), "boom\nTraceback"),))
    assert script.propose(2) == ReadLead(LOW)
    script.send(led_by(evidence()))
    script.measure_until_verdict(1.0)
    script.send(report(1.0))
    script.reviewed_by_nobody()
    assert script.result.status is Status.KEEP
    assert script.result.candidate is not None
    assert script.result.candidate.files == Files(ENV, train(2))


def test_a_second_crash_is_not_forgiven() -> None:
    """Whatever `agent.max_repairs` says."""
    script = evaluating(replace(NAIVE, max_repairs=9))
    script.send(CRASH)
    script.send(None)
    script.propose(2)
    script.send(led_by(evidence()))
    assert script.send(CRASH) == SaveFailure(2, CRASH)
    assert script.send(None) is None
    assert script.result.status is Status.CRASH


@pytest.mark.parametrize("status", [Status.TIMEOUT, Status.REJECTED])
def test_what_else_fails_in_the_evaluator_is_not_repaired(status: Status) -> None:
    """It has cost an evaluation, and there is no traceback to learn from."""
    script = evaluating()
    failed = Evaluation(status, reason="why")
    assert script.send(failed) == SaveFailure(1, failed)
    assert script.send(None) is None
    assert (script.result.status, script.result.reason) == (status, "why")


@pytest.mark.parametrize("spoilt", ["nothing", reply(train(9))])
def test_a_spoilt_repair_leaves_the_crash(spoilt: str) -> None:
    """Its files and traceback say more than a reply without an edit, or with another's code."""
    script = evaluating(replace(NAIVE, max_repairs=1))
    script.send(CRASH)
    script.send(None)
    if isinstance(script.send(answer(spoilt)), ReserveCode):
        script.send(3)
    failure = script.command
    assert isinstance(failure, SaveFailure)
    assert failure.failure.status is Status.INVALID
    assert script.send(None) is None
    outcome = script.result
    assert (outcome.status, outcome.reason) == (Status.CRASH, "boom")
    crashed, spoilt_too = outcome.evaluation.details.split("\n\nOther replies")
    assert crashed == "Traceback"
    assert failure.failure.reason in spoilt_too
    assert outcome.candidate is not None
    assert outcome.candidate.files == Files(ENV, train(1))


def test_code_that_another_experiment_has_is_not_evaluated() -> None:
    """Open or finished: the failure names it, and the agent may answer with something else."""
    script = begun()
    assert isinstance(script.send(answer(reply(train(1)))), ReserveCode)
    failure = script.send(5)
    assert isinstance(failure, SaveFailure)
    assert failure.failure.reason.startswith("duplicate: ")
    assert "#5" in failure.failure.reason
    assert isinstance(script.send(None), Propose)
    assert script.propose(2) == ReadLead(LOW)


def test_code_that_has_just_failed_is_not_evaluated_again() -> None:
    """A repair that changes comments alone is no repair; the code is not claimed anew."""
    script = evaluating()
    script.send(CRASH)
    script.send(None)
    failure = script.send(answer(reply("# mended\n" + train(1))))
    assert isinstance(failure, SaveFailure)
    assert failure.failure.reason.startswith("unchanged: ")


def test_the_leads_own_code_is_no_proposal() -> None:
    """It is refused before anything is claimed."""
    failure = begun().send(answer(reply(train(0))))
    assert isinstance(failure, SaveFailure)
    assert failure.failure.reason.startswith("unchanged: ")


def test_a_failure_that_the_report_tells_ends_as_any_other() -> None:
    """As one found after the last seed: no verdict stands against it, and a crash is forgiven."""
    script = evaluating()
    script.measure_until_verdict(1.0)
    assert script.send(CRASH) == SaveFailure(1, CRASH)
    assert isinstance(script.send(None), Propose)
    script = evaluating()
    script.measure_until_verdict(1.0)
    script.send(Evaluation(Status.REJECTED, score=1.0, reason="a reward out of bounds"))
    assert script.send(None) is None
    assert script.result.status is Status.REJECTED
    assert script.result.evaluation.score == 1.0


# -- early stopping --------------------------------------------------------------------------------

CURVE = tuple(0.1 * episode for episode in range(12))
EARLIER = tuple(SeedResult(101, 1.1 + 0.01 * i, curve=CURVE) for i in range(8))


def test_a_hopeless_curve_ends_the_evaluation() -> None:
    """No seed is used: the report is of none, and the score that was predicted is recorded."""
    script = evaluating(SOUND)
    command = script.command
    assert isinstance(command, Measure)
    reached = CheckpointReached(101, (-50.0,) * command.plan.checkpoints[0])
    assert script.send(reached) == IsLead(1)
    assert script.send(True) == ReadCurves(LOW, 101, ENV)
    end = script.send(EARLIER)
    assert isinstance(end, EndEvaluation)
    assert end.seeds == ()
    script.send(Evaluation(None))
    script.send(True)
    verdict = script.result.evaluation.verdict
    assert verdict is not None
    assert (script.result.status, verdict.stage) == (Status.DISCARD, "curves")
    assert verdict.predicted_score is not None
    assert verdict.predicted_score < -40
    assert script.result.evaluation.flags == ()  # of what has no score nothing is compared


@pytest.mark.parametrize("earlier", [EARLIER, EARLIER[:7]])
def test_training_goes_on_where_there_is_hope(earlier: tuple[SeedResult, ...]) -> None:
    """A curve like those before it; or too few of them to tell."""
    script = evaluating(SOUND, evidence(value=1.0))
    first = script.command
    assert isinstance(first, Measure)
    episodes = first.plan.checkpoints[0]
    curve = CURVE[:episodes] if earlier == EARLIER else (-50.0,) * episodes
    script.send(CheckpointReached(101, curve))
    script.send(True)
    assert script.send(earlier) == first


# -- another lead meanwhile ------------------------------------------------------------------------


def test_the_test_begins_anew_against_a_new_lead() -> None:
    """In the middle of it, on the same seeds, which are the same for all challengers."""
    script = evaluating(SOUND, spread=Spread(1.0, 8.0))
    script.measured(1.0)
    script.measured(1.0)
    former = script.command
    assert isinstance(former, Measure)
    assert former.seed == default_seeds(3)[-1]
    assert script.send(SeedResult(former.seed, 1.0)) == IsLead(1)
    assert script.send(False) == ReadLead(LOW)
    measure = script.send(led_by(evidence(scored_by=5, value=0.2)))
    assert isinstance(measure, Measure)
    assert measure.seed == 101
    assert measure.plan == former.plan
    script.measure_until_verdict(1.0)
    script.send(report(1.0))
    assert script.command == IsLead(5)
    script.reviewed_by_nobody()
    assert script.result.lead is not None
    assert script.result.lead.scored_by == 5
    verdict = script.result.evaluation.verdict
    assert verdict is not None
    assert (script.result.status, verdict.gain) == (Status.LEAD, pytest.approx(0.8))


def test_nobody_beats_a_lead_that_is_none_any_more() -> None:
    """It changed while the report was awaited: the verdict was about another one."""
    script = evaluating(lead=evidence(value=0.5))
    script.measure_until_verdict(0.7)
    assert script.send(report(0.7)) == IsLead(1)
    assert script.send(False) == ReadLead(LOW)
    assert isinstance(script.send(led_by(evidence(scored_by=5, value=0.9))), Measure)
    script.measure_until_verdict(0.7)
    assert script.send(report(0.7)) == IsLead(5)
    script.send(True)
    assert script.result.status is Status.DISCARD


def test_a_checkpoint_is_judged_against_the_lead_of_now() -> None:
    """What was hopeless against the former one may not be against the new one."""
    script = evaluating(SOUND)
    command = script.command
    assert isinstance(command, Measure)
    script.send(CheckpointReached(101, (-50.0,) * command.plan.checkpoints[0]))
    assert script.send(False) == ReadLead(LOW)


def test_a_failure_is_one_whoever_leads() -> None:
    """Nothing is compared, so nobody asks."""
    script = evaluating()
    assert script.send(CRASH) == SaveFailure(1, CRASH)


# -- vetoes ----------------------------------------------------------------------------------------


def judged_with(
    value: float, flags: tuple[str, ...], rules: Rules = NAIVE, excused: tuple[str, ...] = ()
) -> Outcome:
    scored = ScoredCandidate(0.0, 20, Report(), ENV, excused)
    script = evaluating(rules, evidence(scored=scored))
    script.measure_until_verdict(value)
    script.send(report(value, flags=flags))
    if isinstance(script.send(True), AskReviewer):
        script.send(NoReview(""))
        script.send(True)
    return script.result


def test_a_flag_vetoes_a_keep() -> None:
    """It is rejected with the number and the cure; it is not repaired."""
    vetoed = judged_with(9.0, (f"{NONDETERMINISTIC}: at step 3",))
    assert vetoed.status is Status.REJECTED
    assert vetoed.reason.startswith(f"vetoed for {NONDETERMINISTIC}, in spite of +9.0000")
    assert vetoed.evaluation.score == 9.0


def test_what_no_veto_names_is_kept() -> None:
    """With an empty list, for a flag that is not on it, or for one that the lead has too."""
    flag = (NONDETERMINISTIC,)
    assert judged_with(9.0, flag, replace(NAIVE, veto=())).status is Status.KEEP
    assert judged_with(9.0, ("identical starts",)).status is Status.KEEP
    assert judged_with(9.0, flag, excused=flag).status is Status.KEEP


def test_a_discard_needs_no_veto() -> None:
    """It is put aside with its flags and its score."""
    assert judged_with(-1.0, (NONDETERMINISTIC,)).status is Status.DISCARD


@pytest.mark.parametrize("horizon", [30, 10])
def test_another_horizon_than_the_leads_is_flagged(horizon: int) -> None:
    """Shorter or longer; the flags of the comparison are raised here, and may veto."""
    rules = replace(NAIVE, veto=("horizon changed",))
    scored = ScoredCandidate(0.0, horizon, Report(), ENV)
    script = evaluating(rules, evidence(scored=scored))
    script.measure_until_verdict(1.0)
    script.send(report(1.0))
    script.send(True)
    assert script.result.evaluation.flags == (f"horizon changed: from {horizon} to 20 steps",)
    assert script.result.status is Status.REJECTED


# -- restarts --------------------------------------------------------------------------------------


def test_a_restart_asks_for_the_same_and_ends_the_same() -> None:
    """The coroutine is run again on recorded results: commands and outcome are those there were."""
    results: list[object] = [
        answer("nothing"), None,
        answer(reply(train(1))), None, led_by(evidence()), CRASH, None,
        answer(reply(train(2))), None, led_by(evidence()),
        *(x for seed in DEFAULT for x in (SeedResult(seed, 1.0), True)), report(1.0), False,
        led_by(evidence(5)), *(x for seed in DEFAULT for x in (SeedResult(seed, 1.0), True)),
        report(1.0), True, NoReview(""), True,
    ]  # fmt: skip
    one, other = begun(), begun()
    for script in (one, other):
        for result in results:
            script.send(result)
    assert one.result.status is Status.KEEP
    assert other.result == one.result
    assert other.asked == one.asked


def test_a_restart_does_not_evaluate_what_is_known_to_fail() -> None:
    """A recorded failure comes with its reply: the code is claimed, and not evaluated again.

    Nor is the failure recorded again, which would forget what a repair has measured since.
    """
    script = begun()
    assert isinstance(script.send(answer(reply(train(1)), CRASH)), ReserveCode)
    assert script.send(None) == Propose((Attempt(reply(train(1)), "boom\nTraceback"),))
    script.send(answer(reply(train(2)), CRASH))
    assert script.send(None) is None  # one crash is forgiven, before and after a restart together
    assert script.result.status is Status.CRASH


# -- baselines -------------------------------------------------------------------------------------


def scored_baseline(above: Report, below: Experiment | None) -> Outcome:
    script = Stepped(baseline(HIGH, BEFORE, "why", below, NAIVE))
    for seed in DEFAULT:
        assert isinstance(script.command, Measure)
        assert (script.command.seed, script.command.plan.order) == (seed, DEFAULT)
        script.send(SeedResult(seed, 0.5))
    assert isinstance(script.command, EndEvaluation)
    assert script.command.seeds == DEFAULT
    assert script.send(report(0.5, report=above)) is None
    return script.result


def test_a_baseline_is_scored_on_the_default_seeds() -> None:
    """Nobody is asked about an incumbent: it is what others must beat."""
    outcome = scored_baseline(Report(), None)
    assert (outcome.status, outcome.reason) == (Status.BASELINE, "baseline at 32/8: 0.5000")
    assert outcome.candidate is not None
    assert (outcome.candidate.files, outcome.candidate.description) == (BEFORE, "why")


LEARNS = Report({"mean_eval_return": 1.0, "random_return": 0.1})
LEARNS_NOT = Report({"mean_eval_return": 0.1, "random_return": 0.1})


def below(told: Report) -> Experiment:
    return Experiment(1, "t", True, Status.BASELINE, LOW, "none", report=told)


def test_an_incumbent_that_does_not_learn_higher_up_does_not_climb() -> None:
    """It earns no more than random actions there, and did so below."""
    outcome = scored_baseline(LEARNS_NOT, below(LEARNS))
    assert outcome.status is Status.REJECTED
    assert "does not learn there" in outcome.reason
    assert outcome.reason.endswith("the run stays at 12/8")
    assert outcome.evaluation.status is Status.REJECTED


def test_an_incumbent_of_another_horizon_higher_up_does_not_climb() -> None:
    """The budget does not tell a candidate its horizon: it chose one by the seed."""
    outcome = scored_baseline(LEARNS, replace(below(LEARNS), max_steps=33))
    assert outcome.status is Status.REJECTED
    assert outcome.reason == ("the horizon differs between seeds: 33 and 20; the run stays at 12/8")


@pytest.mark.parametrize(
    ("above", "former"),
    [(LEARNS, below(LEARNS)), (LEARNS_NOT, below(LEARNS_NOT)), (LEARNS_NOT, None)],
)
def test_it_climbs_where_it_learns_or_never_did(above: Report, former: Experiment | None) -> None:
    """A first baseline may learn nothing: that is what the agent is for."""
    assert scored_baseline(above, former).status is Status.BASELINE


def test_a_baseline_that_fails_is_recorded_with_how() -> None:
    """It is not repaired: nobody proposed it."""
    script = Stepped(baseline(LOW, BEFORE, "why", None, NAIVE))
    assert script.send(CRASH) is None
    assert (script.result.status, script.result.reason) == (Status.CRASH, "boom")


def test_a_baseline_that_does_not_parse_costs_no_evaluation() -> None:
    """It is invalid at once, with its files."""
    broken = Files(ENV, "def broken(:\n")
    script = Stepped(baseline(LOW, broken, "why", None, NAIVE))
    assert script.asked == []
    assert script.result.status is Status.INVALID
    assert script.result.candidate is not None
    assert script.result.candidate.files == broken


# -- fresh seeds of the lead ----------------------------------------------------------------------

SEEDS = reference_seeds(1, 4)


def measuring(done: int) -> Stepped[Evaluation]:
    """Return a reference that has so many seeds."""
    script = Stepped(measure_candidate(LOW, BEFORE, SEEDS, SOUND))
    for seed in SEEDS[:done]:
        assert isinstance(script.command, Measure)
        assert script.command.seed == seed
        script.send(SeedResult(seed, 0.5))
    return script


def test_a_reference_measures_each_of_its_seeds() -> None:
    """All for the same purpose; further ones one after the other, with a time limit each."""
    script = measuring(4)
    end = script.command
    assert isinstance(end, EndEvaluation)
    assert (end.plan.seeds, end.plan.more_seeds) == (SEEDS[:2], SEEDS[2:])
    assert {end.plan.purpose_of(seed) for seed in SEEDS} == {Purpose.REFERENCE}
    assert end.seeds == SEEDS
    assert script.send(Evaluation(None)) is None
    assert script.result.status is None
    assert not [command for command in script.asked if isinstance(command, SaveSeed)]


@pytest.mark.parametrize("done", [2, 4])
def test_what_would_end_a_challenger_ends_a_lead(done: int) -> None:
    """A fault after its last seed, or an evaluator that died with it: no seed is named."""
    script = Stepped(measure_candidate(LOW, BEFORE, SEEDS, SOUND, is_lead=True))
    for seed in SEEDS[:done]:
        script.send(SeedResult(seed, 0.5))
    at = SEEDS[min(done, len(SEEDS) - 1)]
    recorded = SeedResult(at, None, purpose=Purpose.REFERENCE)
    assert script.send(replace(CRASH, seeds=())) == SaveSeed(LOW, recorded)
    assert script.send(None) is None


@pytest.mark.parametrize(("steps", "is_same"), [(20, True), (200, False)])
def test_a_lead_keeps_its_horizon_on_fresh_seeds(steps: int, is_same: bool) -> None:
    """Returns over another one are no sample of the quantity that it was judged by."""
    script = Stepped(measure_candidate(LOW, BEFORE, SEEDS, SOUND, is_lead=True, max_steps=20))
    for seed in SEEDS:
        script.send(SeedResult(seed, 0.5))
    told = script.send(Evaluation(None, max_steps=steps))
    if not is_same:
        assert told == SaveSeed(LOW, SeedResult(SEEDS[-1], None, purpose=Purpose.REFERENCE))
        assert script.send(None) is None
        assert script.result.reason == "the horizon differs between seeds: 20 and 200"
    assert script.result.status is (None if is_same else Status.REJECTED)


@pytest.mark.parametrize("done", range(4))
def test_a_seed_on_which_the_lead_fails_is_recorded_without_a_value(done: int) -> None:
    """It is not measured again; those before it are recorded already, those after it wait."""
    script = measuring(done)
    results = (*(SeedResult(seed, 0.5) for seed in SEEDS[:done]), SeedResult(SEEDS[done], None))
    failed = replace(CRASH, seeds=results)
    recorded = SeedResult(SEEDS[done], None, purpose=Purpose.REFERENCE)
    assert script.send(failed) == SaveSeed(LOW, recorded)
    assert script.send(None) is None
    assert script.result == failed


@pytest.mark.parametrize("done", range(4))
def test_a_dead_evaluator_is_not_the_leads_fault(done: int) -> None:
    """No seed has failed: a person must look, and nothing is recorded against the lead."""
    script = measuring(done)
    with pytest.raises(EvaluatorError, match="could not be measured: killed"):
        script.send(Evaluation(Status.CRASH, reason="killed"))


@pytest.mark.parametrize("done", range(4))
def test_a_seed_on_which_the_lead_hangs_is_one_on_which_it_fails(done: int) -> None:
    """The run does not stop for it: the lead goes back."""
    script = measuring(done)
    hung = Evaluation(Status.TIMEOUT, reason="no result within 1800 s")
    recorded = SeedResult(SEEDS[done], None, purpose=Purpose.REFERENCE)
    assert script.send(hung) == SaveSeed(LOW, recorded)
    assert script.send(None) is None
    assert script.result == hung


def test_a_fault_after_the_last_seed_changes_nothing() -> None:
    """As a reward out of bounds in the random play after it: all its seeds are recorded."""
    script = measuring(4)
    fault = Evaluation(Status.REJECTED, reason="a reward out of bounds")
    assert script.send(fault) is None
    assert script.result == fault
