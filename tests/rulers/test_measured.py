"""What the evaluator measures of each proposal is what its reviewer says that it changes."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from framework import EvaluationRequest, Referee
from tests.rulers.case import Case, before, edited
from tests.rulers.catalogue import CASES
from tests.rulers.test_catalogue import COURSE

OF_THE_WORLD = [case for case in CASES if before(case).env != edited(case).env]


@pytest.fixture(scope="module")
def referee() -> Iterator[Referee]:
    with Referee() as referee:
        yield referee


@pytest.mark.parametrize("case", OF_THE_WORLD, ids=lambda case: case.name)
def test_what_is_measured_is_what_was_changed(case: Case, referee: Referee, tmp_path: Path) -> None:
    """Of one seed at a small budget; where the course differs, all else does as a consequence."""
    old, new = before(case), edited(case)
    (tmp_path / "env.py").write_text(new.env)
    (tmp_path / "train.py").write_text(new.train)
    request = EvaluationRequest(
        candidate_dir=tmp_path, seeds=(101,), max_steps=40, reward_bound=1.0,
        compare_with={"env.py": old.env, "train.py": old.train},
    )  # fmt: skip
    (seed,) = referee.evaluate(request).seed_results
    found = seed.compared
    assert found is not None
    assert bool(found.ends or found.successes) == bool(COURSE & set(case.changes))
    if COURSE & set(case.changes):
        return
    assert bool(found.observations) == ("observation" in case.changes)
    assert bool(found.rewards) == ("reward" in case.changes)
    if "reward" not in case.changes:
        assert found.return_there == seed.full_return
    assert found.solve_rate_there == seed.evidence_solve_rate
