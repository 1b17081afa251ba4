"""Default seeds, and the keyed hash."""

import pytest

from referee.seeds import PhaseSeeds, default_seeds, derive_seed


def test_default_seeds_are_101_138_175() -> None:
    """Seeds step by 37 from 101."""
    assert default_seeds(3) == (101, 138, 175)


def test_no_seed_is_no_evaluation() -> None:
    """A count below 1 is refused by name."""
    with pytest.raises(ValueError, match="seed_count must be at least 1, not 0"):
        default_seeds(0)


def test_seeds_can_not_be_guessed_without_the_key() -> None:
    """A seed's derivation depends on key, seed, phase and batch, and fits numpy's generator."""
    base = derive_seed(b"key", 101, "evaluate", 0)
    assert 0 <= base < 2**31
    others = {
        derive_seed(b"other", 101, "evaluate", 0),
        derive_seed(b"key", 138, "evaluate", 0),
        derive_seed(b"key", 101, "train", 0),
        derive_seed(b"key", 101, "evaluate", 1),
    }
    assert len(others | {base}) == 5


def test_derived_seeds_never_change() -> None:
    """Recorded with version 0.1: another hash would give all candidates other environments."""
    assert derive_seed(b"key", 101, "evaluate", 2) == 462914158
    assert PhaseSeeds(b"key", 101).of("evaluate", 2) == 462914158
