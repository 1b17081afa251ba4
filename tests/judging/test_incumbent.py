"""The evidence on the incumbent, and the design of the test against it."""

import pytest

from orchestrator.config.schema import JudgeConfig
from orchestrator.core.evaluations import Report, SeedResult
from orchestrator.judging.flag_rules import ScoredCandidate
from orchestrator.judging.incumbent import (
    UNMEASURED,
    IncumbentEvidence,
    challenge_design,
    incumbent_evidence,
    learning_failure,
)
from orchestrator.judging.reference import SeedCorrelation, reference_seeds
from orchestrator.judging.rules import JudgingRules

RULES = JudgingRules(JudgeConfig(max_evaluations=16), 2)


def test_evidence_is_of_the_incumbent() -> None:
    """Seeds that failed count as tried; a short reference borrows the spread of earlier ones."""
    rows = {
        1: [SeedResult(1, 0.0), SeedResult(2, 2.0)],
        4: [SeedResult(3, 10.0, 0.5), SeedResult(4, 12.0, 1.0), SeedResult(5, None)],
    }
    evidence = incumbent_evidence(rows, 4, [SeedResult(101, 9.0)])
    assert evidence.returns == (10.0, 12.0)
    assert evidence.tried == 3
    assert evidence.sd == pytest.approx(2**0.5)
    assert evidence.solve_rate == 0.75
    assert evidence.by_seed == {3: 10.0, 4: 12.0, 101: 9.0}
    assert evidence.degrees_of_freedom == 1
    assert incumbent_evidence(rows, 9) == IncumbentEvidence(
        sd=evidence.sd, degrees_of_freedom=1, scored_by=9
    )


def test_the_correlation_is_that_of_all_challengers() -> None:
    """Of challengers on seeds of any reference; what confirmed them elsewhere says nothing."""
    reference = [SeedResult(seed, float(seed % 4)) for seed in range(16)]
    alike = [(n, seed, 5.0 + seed % 4) for n in (7, 8) for seed in range(8 * (n - 7), 8 * n - 48)]
    evidence = incumbent_evidence({1: reference}, 1, (), [*alike, (6, 99, 3.0), (6, 98, 1.0)])
    assert evidence.correlation == SeedCorrelation(1.0, 14)


def test_a_challenge_pairs_the_seeds() -> None:
    """The incumbent's return on each seed that it was measured on, in the challenger's order."""
    rows = [SeedResult(seed, seed / 2) for seed in reference_seeds(3, 10)]
    evidence = incumbent_evidence({3: rows}, 3, [SeedResult(101, 0.25), SeedResult(138, 0.5)])
    design = challenge_design(evidence, 9, RULES)
    assert design.seeds == (101, 138)
    assert len(design.more_seeds) == 14
    measured = design.more_seeds[:10]
    assert design.incumbent.paired == (0.25, 0.5, *(seed / 2 for seed in measured), *[None] * 4)


def test_a_challenger_is_spared_seeds_on_which_the_incumbent_failed() -> None:
    """What is the seed's fault is not the challenger's."""
    seeds = reference_seeds(3, 40)
    rows = [SeedResult(seed, None if seed == seeds[2] else 1.0) for seed in seeds[:10]]
    design = challenge_design(incumbent_evidence({3: rows}, 3), 9, RULES)
    assert len(design.more_seeds) == 14
    assert set(design.more_seeds) == set(seeds[:15]) - {seeds[2]}


def test_evidence_holds_what_its_experiment_recorded() -> None:
    """The scores that the naive rule compares, and what flags are raised beside."""
    scored = ScoredCandidate(0.5, 40, Report(), "env", ("nondeterministic",))
    evidence = incumbent_evidence({}, 3, scores_by_seed={101: 0.5}, scored=scored)
    assert (evidence.scores_by_seed, evidence.scored) == ({101: 0.5}, scored)
    assert evidence.scored_by == 3
    assert incumbent_evidence({}, 3).scored is None


def test_incumbents_are_told_apart_by_the_experiment_that_scored_them() -> None:
    """A reference that has grown is of the same incumbent."""
    few, more = (
        incumbent_evidence({3: [SeedResult(seed, 0.5) for seed in reference_seeds(3, count)]}, 3)
        for count in (8, 9)
    )
    assert not few.is_other_than(more)
    assert few.is_other_than(incumbent_evidence({}, 4))
    assert few.is_other_than(UNMEASURED)


@pytest.mark.parametrize(
    ("below", "above", "fails"),
    [((1.0, 0.1), (0.05, 0.1), True), ((1.0, 0.1), (0.2, 0.1), False),
     ((0.05, 0.1), (0.05, 0.1), False)],
)  # fmt: skip
def test_learning_fails_only_where_it_worked_below(
    below: tuple[float, float], above: tuple[float, float], fails: bool
) -> None:
    """More than random actions earn, below and not above; one that never learnt may climb."""
    names = ("mean_eval_return", "random_return")
    reports = [Report(dict(zip(names, side, strict=True))) for side in (below, above)]
    assert bool(learning_failure(*reports)) is fails
    assert learning_failure(Report(), reports[1]) is None
