"""What a training costs as it grows: what is superlinear is found, and a small measurement runs."""

from pathlib import Path

import pytest

from benchmarks.scaling import Point, draw, faults, step_us, table


def points(sweep: str, **costs: float) -> list[Point]:
    return [Point(sweep, "fused", int(x[1:]), [cost]) for x, cost in costs.items()]


@pytest.mark.parametrize(
    ("found", "is_fault"),
    [
        (points("sub-environments", n32=10.0, n64=8.0, n128=8.5), False),
        (points("sub-environments", n32=10.0, n64=8.0, n128=16.0), True),
        (points("width", w64=10.0, w128=38.0), False),
        (points("width", w64=10.0, w128=80.0), True),
        (points("seeds", s1=1.0, s2=2.1, s8=9.0), False),
        (points("seeds", s1=1.0, s2=2.1, s8=20.0), True),
    ],
)
def test_what_grows_faster_than_the_work_is_found(found: list[Point], is_fault: bool) -> None:
    """With room for noise, whatever the steps between two sizes."""
    assert bool(faults(found)) == is_fault


@pytest.mark.parametrize("path", ["fused", "torch"])
def test_a_step_costs_something(path: str) -> None:
    """Measured on a real training."""
    assert 0.1 < step_us(64, 16, path, "cpu") < 1e5


def test_points_are_shown(tmp_path: Path) -> None:
    """As a table with units, and as a picture."""
    found = points("width", w64=10.0, w128=38.0) + points("seeds", s1=1.0, s2=2.0)
    assert "| width | fused | 128 | 38 µs a step (38 to 38) |" in table(found)
    draw(found, tmp_path / "scaling.png")
    assert (tmp_path / "scaling.png").stat().st_size > 10_000
