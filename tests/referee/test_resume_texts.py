"""What is written of a measured seed: read back to the bit, and by nobody else's request."""

import dataclasses
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from framework import EvaluationRequest
from referee.episodes import Rollout
from referee.flags import Observations, Work
from referee.messages import CandidateFacts
from referee.records import PartSummary, RulerComparison, SeedResult
from referee.resume import MAX_TEXT_CHARS, ResumeTexts
from referee.seed_run import MeasuredSeed

FILES = {"env.py": "ENV\n", "train.py": "TRAIN\n"}
REQUEST = EvaluationRequest(candidate_dir=Path("c"), key=b"a workspace's own")
GENERATOR = np.random.default_rng(1)


def rollout(steps: int, digest: int | None = None) -> Rollout:
    shape = (steps, 8)
    ends = GENERATOR.random(shape)
    later = GENERATOR.normal(size=(3, 8))
    return Rollout(GENERATOR.normal(size=shape), ends < 0.1, ends > 0.9, digest, later)


def measured_seed(seed: int = 101, **changes: Any) -> MeasuredSeed:
    """Return a measurement with everything that is hard to write: NaN, infinities, no steps."""
    random_play = rollout(3)
    random_play.rewards[0, :3] = np.nan, np.inf, -0.0
    result = SeedResult(
        seed=seed, eval_return=0.1 + 0.2, full_return=1e-300, solve_rate=1 / 3,
        untrained_solve_rate=0.0, episode_length=5.0, episode_returns=(0.1, 1e300),
        evidence_returns=(), evidence_solve_rate=1.0, evidence_episode_length=5.0,
        random_returns=(0.5, 2 / 3), random_solve_rate=0.0, random_full_length=0.0,
        random_lengths=(3, 5), random_solved=(True, False),
        train_returns=(0.1, -0.0), env_steps=2**40, train_s=0.25, peak_memory_mb=99.5,
        replay={"steps": [{"frame": {"all": [1, 0.5]}, "done": True}], "seed": None},
        compared=RulerComparison(
            episodes=16, observations=0, rewards=16, ends=1, successes=2, reward_ratio=1 / 3,
            return_there=0.1 + 0.2, solve_rate_there=1.0,
        ),
        learning={"entropy": (1.5, 0.1 + 0.2)},
        reward_parts={
            name: PartSummary(at=(1.0, 1 / 3), max=1.0, mean=2 / 3, min=1 / 3)
            for name in ("dtype", "shape", "goal")
        },
    )  # fmt: skip
    work = Work(
        env_steps=5, allowed_steps=5, threads=1, main_s=0.1, beside_s=0.0, build_s=0.2, train_s=0.3
    )
    observations = Observations(
        trained=rollout(5), replayed=rollout(2, digest=2**32 - 1), random=random_play,
        elsewhere=rollout(0, digest=7), returns=GENERATOR.normal(size=16),
        solved=np.ones(16, dtype=bool), exact=True, work=work, repeats=False,
        scored_returns=GENERATOR.normal(size=8), audited_returns=GENERATOR.normal(size=8),
    )  # fmt: skip
    fields: dict[str, Any] = {
        "facts": CandidateFacts(
            env_name="Täst \ud800\n", env_description='"', observation_shape=(1, 2, 3),
            num_actions=2, policy_parameters=9,
        ),
        "max_steps": 20, "result": result, "observations": observations, "fault": "a fault",
    }  # fmt: skip
    return MeasuredSeed(**fields | changes)


def write(seed: MeasuredSeed, **changes: Any) -> str:
    text = ResumeTexts(dataclasses.replace(REQUEST, **changes), FILES).write(seed, 1.5)
    assert text is not None
    return text


def read(text: str, seed: int = 101, files: dict[str, str] = FILES, **changes: Any) -> Any:
    """Return what is read for a seed, None if nothing is."""
    request = dataclasses.replace(REQUEST, measured={seed: text}, **changes)
    return ResumeTexts(request, files).read_all().get(seed)


def exact(value: Any) -> Any:
    """Return a value with every array and float written out, so that equal means to the bit."""
    if isinstance(value, np.ndarray):
        return value.dtype.str, value.shape, value.tobytes()
    if dataclasses.is_dataclass(value):
        return {f.name: exact(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, dict):
        return {name: exact(entry) for name, entry in value.items()}
    return type(value), repr(value)


def test_what_is_written_is_read_back_to_the_bit() -> None:
    """With NaN, infinities, negative zeros, empty arrays and any text."""
    for changes in ({}, {"fault": None}):
        seed = measured_seed(**changes)
        found = read(write(seed))
        assert exact(found.measured) == exact(seed)
        assert found.wall_s == 1.5
    alone = dataclasses.replace(measured_seed().observations, elsewhere=None)
    seed = measured_seed(observations=alone)
    assert exact(read(write(seed)).measured) == exact(seed)


def test_a_changed_or_cut_text_is_not_read() -> None:
    """Whatever was done to it: each character counts."""
    text = write(measured_seed())
    assert read(text) is not None
    generator = random.Random(2)
    for place in [*range(60), *generator.sample(range(len(text)), 200)]:
        other = "A" if text[place] != "A" else "B"
        assert read(text[:place] + other + text[place + 1 :]) is None
    for end in [0, 1, 4, 40, 44, 48, *generator.sample(range(len(text)), 50)]:
        assert read(text[:end]) is None
    for other in (text + "AAAA", text + "\n", text * 2, "ä" * 100, "\0", "{}", " " + text):
        assert read(other) is None


OTHERS: dict[str, Any] = {
    "train_episodes": 13, "eval_episodes": 9, "num_envs": 33, "max_steps": 20, "lr": 3.1e-4,
    "device": "cuda", "reward_bound": 9.0, "precision": "bf16", "path": "torch", "key": b"another's",
    "compare_with": FILES, "world": {"world.py": "another task"},
}  # fmt: skip
IRRELEVANT: dict[str, Any] = {
    "candidate_dir": Path("d"), "seeds": (5, 101), "more_seeds": (3,), "checkpoints": (2,),
    "workers": 1, "memory_mb": 2000, "cpu_s": 7, "keep_dir": Path("k"), "is_watched": True,
}  # fmt: skip


def test_each_field_of_a_request_is_depended_on_or_not() -> None:
    """A new field needs a decision."""
    names = {field.name for field in dataclasses.fields(EvaluationRequest)}
    assert names == OTHERS.keys() | IRRELEVANT.keys() | {"measured"}


@pytest.mark.parametrize("name", OTHERS)
def test_a_text_of_another_request_is_not_read(name: str) -> None:
    """The budget, the device and the key are part of what was measured."""
    text = write(measured_seed())
    assert read(text, **{name: OTHERS[name]}) is None
    assert read(write(measured_seed(), **{name: OTHERS[name]})) is None


@pytest.mark.parametrize("name", IRRELEVANT)
def test_what_changes_no_score_may_differ(name: str) -> None:
    """Other seeds beside it, fewer workers: the measurement is the same."""
    assert read(write(measured_seed()), **{name: IRRELEVANT[name]}) is not None


def test_a_text_of_another_candidate_or_seed_is_not_read() -> None:
    """Nor one whose files have changed names."""
    text = write(measured_seed())
    assert read(text, seed=138) is None
    assert read(text, files=FILES | {"env.py": "ENV \n"}) is None
    assert read(text, files=FILES | {"more.py": ""}) is None
    assert read(text, files={"env.py": "TRAIN\n", "train.py": "ENV\n"}) is None


def test_a_text_that_would_be_too_long_is_not_written() -> None:
    """Nor read: its seed is measured again."""
    ballast = random.Random(3).randbytes(MAX_TEXT_CHARS * 3 // 4).hex()
    result = dataclasses.replace(measured_seed().result, replay={"ballast": ballast})
    texts = ResumeTexts(REQUEST, FILES)
    assert texts.write(measured_seed(result=result), 0.0) is None
    assert read("A" * (MAX_TEXT_CHARS + 4)) is None
