"""Every hostile candidate does its damage unconfined, and none when confined."""

from collections.abc import Iterator

import pytest

from tests.attacks.catalogue import ATTACKS
from tests.attacks.template import Attack
from tests.attacks.trial import Trial


@pytest.fixture(scope="module")
def trial() -> Iterator[Trial]:
    with Trial() as trial:
        yield trial


def _case(attack: Attack) -> object:
    marks = [pytest.mark.long_form] if attack.is_long else []
    return pytest.param(attack, id=attack.name, marks=marks)


@pytest.mark.parametrize("attack", [_case(attack) for attack in ATTACKS])
def test_an_attack_does_its_damage_only_unconfined(trial: Trial, attack: Attack) -> None:
    """The unconfined copy suffers, or the test is vacuous; confined, every promise holds."""
    suffered = trial.unconfined(attack)
    verdict = trial.confined(attack)
    assert not verdict.violations, verdict.violations
    if attack.shows not in suffered and attack.optional:
        pytest.skip(f"confined it is harmless, but unconfined too: {attack.optional}")
    assert attack.shows in suffered, f"no {attack.shows} damage to the unconfined copy: {suffered}"
