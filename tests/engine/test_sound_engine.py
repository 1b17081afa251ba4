"""The sound rule in the loop: fresh seeds, evidence and verdicts, with real git and ledger."""

import json
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from orchestrator.core.evaluations import FRESH_SEEDS, Evaluation, Purpose, Report, SeedResult
from orchestrator.core.experiments import Experiment, MoveKind
from orchestrator.core.records import Rung, Status
from orchestrator.engine.engine import Engine
from orchestrator.judging.reference import reference_seeds
from orchestrator.reporting.show import show_lines
from orchestrator.store.branch import Branch
from orchestrator.store.ledger import Ledger
from tests.engine.conftest import CHEAP, LEAD_RULES, TAG, Lab
from tests.fakes import StubEvaluator, reply

LOW, HIGH = Rung(12, 8), Rung(32, 8)


def sound(lab: Lab, replies: Sequence[str], **sections: object) -> Engine:
    rules = LEAD_RULES | dict(sections.pop("judge", {}))  # type: ignore[call-overload]
    return lab.engine(replies, judge=rules, **sections)  # type: ignore[arg-type]


def experiments(lab: Lab) -> list[Experiment]:
    return list(lab.ledger.experiments(TAG))


def roles(lab: Lab, n: int) -> list[str]:
    return [seed.purpose for seed in lab.ledger.evidence(n)]


def test_the_lead_is_measured_before_anybody_is_judged(lab: Lab) -> None:
    """Twice at first, then a seed more for each challenger, and anew where another one leads."""
    worse = [reply(lab.train(SCORE=-1.0 - i)) for i in range(3)]
    often = {"cheap": CHEAP | {"lead_every": 1}}
    sound(lab, [*worse, reply(lab.train(SCORE=1.0))], judge=often).run()
    assert lab.statuses() == ["baseline", "discard", "discard", "discard", "keep"]
    asked = [seed for key, seed in lab.evaluator.told if key == "1-reference"]
    assert asked[:5] == list(reference_seeds(1, 5))
    told = [key for key, _ in lab.evaluator.told]
    assert told.index("5") == 2 + 5 + 3  # after default seeds, fresh ones, and three losers
    assert told[12:14] == ["5-reference"] * 2


def test_what_is_published_rests_on_fresh_seeds_and_reports_none_of_them(lab: Lab) -> None:
    """Seeds that chose it, proved it, judge others by it, and report it: without overlap."""
    replies = [reply(lab.train(SCORE=score)) for score in (1.0, 0.5)]
    sound(lab, replies, limits={"experiments": 2}).run()
    kept = experiments(lab)[1]
    assert kept.status is Status.KEEP
    proof = [Purpose.REFERENCE] * 2 + [Purpose.TRIAL] * 2
    later = [Purpose.REFERENCE] * 2 + [Purpose.AUDIT] * 12
    assert roles(lab, kept.n) == [Purpose.SCREEN] * 2 + proof + later
    seeds = [seed.seed for seed in lab.ledger.evidence(kept.n)]
    assert len(set(seeds)) == len(seeds)
    assert set(kept.scores_by_seed) == {101, 138}
    assert kept.reason.startswith("takes the lead: +1.0000 ± 0.0000 over 2 seeds")
    assert (kept.verdict["incumbent"], kept.verdict["reference_seeds"]) == (1, 4)
    assert kept.verdict["evaluations"] == 2
    (move,) = lab.ledger.lead_moves(TAG)
    assert (move.kind, move.n, move.seeds) == (MoveKind.PROMOTION, kept.n, 4)
    assert move.reason == "proven against #1: +1.0000 ± 0.0000 over 4 and 4 fresh seeds"
    assert kept.proven_at == move.created_at


def test_a_loser_costs_one_seed(lab: Lab) -> None:
    """Where the first one is enough to drop it."""
    sound(lab, [reply(lab.train(SCORE=-1.0))]).run()
    lost = experiments(lab)[1]
    assert lost.status is Status.DISCARD
    assert roles(lab, lost.n) == [Purpose.SCREEN]
    assert (lost.score, list(lost.scores_by_seed)) == (None, [101])
    assert lost.verdict["stage"] == "seeds"
    assert lost.verdict["estimate"] == -1.0


def test_a_kill_in_the_middle_of_a_reference_repeats_no_seed(lab: Lab) -> None:
    """Each seed of the reference is recorded once it is known; a restart measures the others."""

    class Killed(StubEvaluator):
        def poll(self):  # type: ignore[no-untyped-def]
            events = super().poll()
            told = [seed for key, seed in self.told if key.endswith("-reference")]
            if len(told) == 2:
                raise KeyboardInterrupt
            return events

    lab.evaluator = Killed()
    with pytest.raises(KeyboardInterrupt):
        sound(lab, [reply(lab.train(SCORE=1.0))]).run()
    before = lab.ledger.references(TAG)[1]
    assert len(before) == 1
    lab.evaluator = StubEvaluator()
    sound(lab, [reply(lab.train(SCORE=1.0))]).run()
    after = lab.ledger.references(TAG)[1]
    assert after[:1] == before
    assert [seed.seed for seed in after] == list(reference_seeds(1, 4))
    assert ("1-reference", before[0].seed) not in lab.evaluator.told
    assert lab.statuses() == ["baseline", "keep"]


def test_a_fresh_seed_that_fails_is_left_out(lab: Lab) -> None:
    """It is recorded without a value, another takes its place, and the run goes on."""
    lab.files = type(lab.files)(lab.files.env, lab.train(SCORE=0.0, FAILS_ON=1))
    sound(lab, [reply(lab.train(SCORE=1.0))]).run()
    values = [seed.value for seed in lab.ledger.references(TAG)[1]]
    assert values == [0.0, None, *[0.0] * 3]
    assert lab.statuses() == ["baseline", "keep"]
    assert any(event == "a candidate failed on a fresh seed" for event, _ in lab.monitor.events)


def test_a_seed_that_was_measured_before_the_evaluator_died_stays(lab: Lab) -> None:
    """A fresh evaluator is asked for all of them again; what fails only then has a value already."""

    class Dies(StubEvaluator):
        def report(self, files, what, used):  # type: ignore[no-untyped-def]
            if what.seeds[0] < FRESH_SEEDS:
                return super().report(files, what, used)
            failed = (SeedResult(what.seeds[0], None),)
            return Evaluation(Status.CRASH, reason="told to fail", seeds=failed)

    lab.evaluator = Dies()
    sound(lab, [reply(lab.train(SCORE=1.0))]).run()
    assert [seed.value for seed in lab.ledger.references(TAG)[1]] == [0.0] * 4
    assert lab.statuses() == ["baseline", "keep"]


def test_a_fault_after_the_last_seed_of_a_reference_is_told_and_pauses_nothing(
    lab: Lab,
) -> None:
    """As a reward out of bounds in the random play after it: all its seeds are known."""

    class Faulty(StubEvaluator):
        def report(self, files, what, used):  # type: ignore[no-untyped-def]
            if what.seeds[0] < FRESH_SEEDS or len(lab.ledger.references(TAG)) > 1:
                return super().report(files, what, used)
            return Evaluation(Status.REJECTED, reason="a reward out of bounds")

    lab.evaluator = Faulty()
    sound(lab, [reply(lab.train(SCORE=1.0))]).run()
    assert lab.statuses() == ["baseline", "keep"]
    told = [
        f
        for e, f in lab.monitor.events
        if e == "the lead or the published candidate failed when it was measured"
    ]
    assert told[0]["reason"] == "a reward out of bounds"


def test_a_gain_without_noise_is_shown(lab: Lab) -> None:
    """Its statistic is infinite, which neither the ledger nor a reader has a number for."""
    lab.files = type(lab.files)(lab.files.env, lab.train(SCORE=0.0))
    sound(lab, [reply(lab.train(SCORE=1.0))]).run()
    kept = experiments(lab)[1]
    assert kept.verdict["statistic"] is None
    assert "Infinity" not in json.dumps(dict(kept.verdict))
    kept = replace(kept, report=Report({}))
    shown = "\n".join(show_lines(kept, lab.ledger.evidence(kept.n), Path("logs"), ""))
    assert "+1.0000" in shown
    assert not re.search(r"\b(inf|nan)\b", shown)


def test_a_failure_on_a_further_seed_is_the_experiments(lab: Lab) -> None:
    """A challenger that crashes after its default seeds has crashed."""
    lab.files = type(lab.files)(lab.files.env, lab.train(SCORE=0.0, NOISE=0.1))
    better = lab.train(SCORE=0.15, NOISE=0.1, FAILS_ON=175)
    sound(lab, [reply(better)], agent={"max_repairs": 0}).run()
    assert lab.statuses() == ["baseline", "crash"]
    assert ("2", 138) in lab.evaluator.told


def test_noise_is_not_published_and_a_gain_is(lab: Lab) -> None:
    """What is no better may take the lead, and is never proven; what is better by four spreads is."""
    lab.files = type(lab.files)(lab.files.env, lab.train(SCORE=0.0, NOISE=0.1))
    lucky = [reply(lab.train(SCORE=0.0, NOISE=0.1, LUCK=0.0, X=i)) for i in range(20)]
    better = reply(lab.train(SCORE=0.4, NOISE=0.1))
    looks = {"max_evaluations": 24, "reference_first": 8}
    sound(lab, [*lucky, better], judge=looks, budget={"patience": 100}).run()
    ended = experiments(lab)
    assert any(e.took_lead for e in ended[1:-1])
    (proof,) = [move for move in lab.ledger.lead_moves(TAG) if move.kind is MoveKind.PROMOTION]
    assert proof.n == ended[-1].n
    assert proof.gain == pytest.approx(0.4, abs=0.15)


def test_a_hopeless_curve_ends_the_evaluation(lab: Lab) -> None:
    """Once eight candidates were trained to the end, one far below their curves is stopped."""
    replies = [reply(lab.train(SCORE=-0.01 * i)) for i in range(1, 9)]
    replies.append(reply(lab.train(SCORE=-50.0)))
    sound(lab, replies).run()
    last = experiments(lab)[-1]
    assert (last.status, last.score) == (Status.DISCARD, None)
    assert last.verdict["stage"] == "curves"
    assert roles(lab, last.n) == []


def test_an_early_stop_is_no_score_after_a_restart_either(lab: Lab) -> None:
    """The report on one of two default seeds is asked for anew; their mean is still unknown."""
    lab.files = type(lab.files)(lab.files.env, lab.train(SCORE=0.0, NOISE=0.1))
    hopeless = reply(lab.train(SCORE=-5.0, NOISE=0.1))

    class Killed(StubEvaluator):
        def go_on(self, key, *, wanted):  # type: ignore[no-untyped-def]
            if not wanted and "SCORE = -5.0" in self._open[key].files.train:
                raise KeyboardInterrupt
            super().go_on(key, wanted=wanted)

    lab.evaluator = Killed()
    with pytest.raises(KeyboardInterrupt):
        sound(lab, [hopeless]).run()
    lab.evaluator = StubEvaluator()
    sound(lab, [hopeless]).run()
    last = experiments(lab)[-1]
    assert (last.status, last.verdict["stage"]) == (Status.DISCARD, "seeds")
    assert roles(lab, last.n) == [Purpose.SCREEN]
    assert (last.score, list(last.scores_by_seed)) == (None, [101])
    assert [seed for key, seed in lab.evaluator.told if not key.endswith("-reference")] == []


def test_a_climb_that_learns_nothing_stays(lab: Lab) -> None:
    """An incumbent that earns no more than random actions at the next rung does not climb."""

    class Forgets(StubEvaluator):
        def facts(self, files, what):  # type: ignore[no-untyped-def]
            forgets = what.rung == HIGH
            return {"mean_eval_return": 0.0 if forgets else 1.0, "random_return": 0.1}

    lab.evaluator = Forgets()
    replies = [reply(lab.train(SCORE=1.0)), reply(lab.train(SCORE=0.5))]
    ladder = [list(LOW), list(HIGH)]
    sound(lab, replies, budget={"ladder": ladder, "min_keeps": 1}).run()
    rows = [(e.status.value, e.rung) for e in experiments(lab)]
    assert rows == [
        ("baseline", LOW), ("keep", LOW), ("rejected", HIGH), ("discard", LOW),
    ]  # fmt: skip
    assert "does not learn there" in experiments(lab)[2].reason


def test_a_verdict_against_another_incumbent_is_given_anew(lab: Lab, tmp_path: Path) -> None:
    """A recorded report does not outlive an override: the challenger meets the new incumbent."""
    sound(lab, [reply(lab.train(SCORE=-1.0))]).run()
    run = lab.ledger.run(TAG)
    assert run is not None

    class Dies(Ledger):
        def finish(self, *arguments, **more):  # type: ignore[no-untyped-def]
            raise KeyboardInterrupt

    lab.ledger = Dies(tmp_path / "ledger.sqlite")  # killed between two records of it
    with pytest.raises(KeyboardInterrupt):
        sound(lab, [reply(lab.train(SCORE=-1.0)), reply(lab.train(SCORE=0.5))]).run()
    lab.ledger = Ledger(tmp_path / "ledger.sqlite")
    known = lab.ledger.saved_report(3)
    assert known is not None
    assert known[0].score == 0.5
    Branch(run, lab.ledger, lab.store).accept(2, lab.monitor.now())
    sound(lab, []).run()
    third = experiments(lab)[2]
    assert third.status is Status.KEEP  # 0.5 against the accepted -1.0, measured anew
    assert third.verdict["gain"] == pytest.approx(1.5)
