"""Quantiles of Student's t, against published tables."""

import pytest

from orchestrator.judging.student_t import t_quantile


@pytest.mark.parametrize(
    ("probability", "degrees_of_freedom", "value"),
    [
        (0.975, 1, 12.706),
        (0.975, 2, 4.303),
        (0.975, 3, 3.182),
        (0.975, 4, 2.776),
        (0.975, 10, 2.228),
        (0.975, 30, 2.042),
        (0.99, 15, 2.602),
        (0.95, 63, 1.669),
    ],
)
def test_quantiles_of_student(probability: float, degrees_of_freedom: int, value: float) -> None:
    """As the published tables have them."""
    assert t_quantile(probability, degrees_of_freedom) == pytest.approx(value, rel=0.01)
