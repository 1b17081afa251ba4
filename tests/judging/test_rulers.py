"""What a challenger changed: the same code or not, what was measured, and how it is said."""

from collections.abc import Sequence

import pytest

from orchestrator.core.evaluations import Measurement, RulerComparison, SeedResult
from orchestrator.core.records import Files, Rung
from orchestrator.judging.rulers import (
    changed,
    environment_id,
    is_other_task,
    is_usable,
    marked,
    same_environment,
    sentences,
)
from referee.candidate_files import environment_files
from tests.fakes import ruler_comparison

ENV = "STEP = 0.1\n\n\ndef create_env():\n    return STEP\n"
TRAIN = "LR = 0.1\n"


def compared(*changes: str, ratio: float | None = None) -> list[SeedResult]:
    """Return a seed's result for each text of changes."""
    comparisons = [ruler_comparison(each, ratio=ratio) for each in changes]
    return [SeedResult(n, 0.5, compared=each) for n, each in enumerate(comparisons)]


# -- the same code ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "env", [ENV, '"""A docstring."""\n' + ENV, ENV.replace("0.1", "0.10  # small"), ENV + "\n\n"]
)
def test_words_and_layout_are_no_change(env: str) -> None:
    """Nor is anything in train.py, on which this environment does not depend."""
    assert same_environment(Files(ENV, TRAIN), Files(env, "LR = 0.5\n"))


@pytest.mark.parametrize("env", [ENV.replace("0.1", "0.2"), ENV + "X = 1\n", "def broken(:\n"])
def test_other_code_may_be_another_environment(env: str) -> None:
    """It is measured then; code that does not parse is compared as text."""
    assert not same_environment(Files(ENV, TRAIN), Files(env, TRAIN))
    assert same_environment(Files(env, TRAIN), Files(env, TRAIN))


@pytest.mark.parametrize(
    "line",
    [
        "import train", "from train import LR", "from candidate import train",
        "from candidate.train import LR", "from . import train", "import candidate.train as t",
        "import importlib\nt = importlib.import_module('candidate.train')",
        "open('candidate/train.py')", "# what train.py says of it",
    ],
)  # fmt: skip
def test_an_environment_that_names_train_may_depend_on_it(line: str) -> None:
    """So a constant there may be part of the reward."""
    env = f"{line}\n{ENV}"
    assert not same_environment(Files(env, TRAIN), Files(env, "LR = 0.5\n"))
    assert same_environment(Files(env, TRAIN), Files(env, TRAIN + "# words\n"))
    assert environment_files({"env.py": env, "train.py": TRAIN})["train.py"] == TRAIN


@pytest.mark.parametrize(
    "line", ["from training import x", "restrain = 1", "trains = 'untrained'", "'tr' + 'ain'"]
)
def test_without_that_word_it_does_not_get_the_file(line: str) -> None:
    """The evaluator and the judge decide alike: what could read the file unseen has none."""
    env = f"{line}\n{ENV}"
    assert same_environment(Files(env, TRAIN), Files(env, "LR = 0.5\n"))
    assert "train.py" not in environment_files({"env.py": env, "train.py": TRAIN})


# -- what was measured -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("seeds", "expected"),
    [
        ((), ()),
        (("",), ()),
        (("observation",), ("observation",)),
        (("observation reward",), ("observation", "reward")),
        (("reward dynamics",), ("reward", "dynamics")),
        (("success",), ("success",)),
        (("dynamics success",), ("dynamics",)),  # successes differ because ends do
        (("", "reward", "observation"), ("observation", "reward")),  # the union over seeds
    ],
)
def test_what_differs_on_any_seed_has_changed(
    seeds: Sequence[str], expected: tuple[str, ...]
) -> None:
    """In a fixed order; seeds without a comparison say nothing."""
    results = [*compared(*seeds), SeedResult(99, 0.5)]
    assert changed(results) == expected
    assert changed(results, is_other_horizon=True) == (*expected, "horizon")
    assert is_other_task(expected) == bool({"dynamics", "success"} & {*expected})


def test_sentences_count_episodes() -> None:
    """And name the factor, where it is the same everywhere."""
    both = compared("reward", "observation reward", ratio=3.0)
    assert sentences(both, horizon="from 20 to 30 steps") == (
        "observation: differs in 64 of 128 episodes played with the same actions",
        "reward: differs in 128 of 128 episodes played with the same actions, all 3 times as large",
        "horizon: from 20 to 30 steps",
    )
    (line,) = sentences([*compared("reward", ratio=3.0), *compared("reward", ratio=2.0)])
    assert line.endswith("with the same actions")
    assert sentences(compared("")) == ()


# -- an incumbent that changed meanwhile -----------------------------------------------------------


def test_a_comparison_is_with_one_environment() -> None:
    """A seed that was compared with a former incumbent's serves no test against another one."""
    one, other = Files(ENV, TRAIN), Files(ENV + "X = 1\n", TRAIN)
    plan = Measurement(Rung(12, 8), (101,), compared_with=one)
    (plain,) = compared("reward")
    result = marked(plain, plan)
    assert result.compared is not None
    assert result.compared.environment == environment_id(one)
    assert is_usable(result, plan)
    against_other = Measurement(Rung(12, 8), (101,), compared_with=other)
    assert not is_usable(result, against_other)
    assert is_usable(result, Measurement(Rung(12, 8), (101,)))


def test_a_seed_that_was_to_be_compared_serves_an_evaluator_that_can_not() -> None:
    """One that was measured while no comparison was needed serves no test that needs one."""
    plan = Measurement(Rung(12, 8), (101,), compared_with=Files(ENV, TRAIN))
    bare = SeedResult(101, 0.5)
    assert is_usable(marked(bare, plan), plan)
    alone = Measurement(Rung(12, 8), (101,))
    assert marked(bare, alone) == bare
    assert not is_usable(bare, plan)
    assert is_usable(bare, alone)


def test_a_comparison_of_nothing_crashes_nothing() -> None:
    """No episode was played in both, say."""
    empty = RulerComparison(0, 0, 0, 0, 0, None, 0.0, 0.0)
    assert changed([SeedResult(1, 0.5, compared=empty)]) == ()
