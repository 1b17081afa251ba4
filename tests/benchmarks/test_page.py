"""What a page costs a run, in its shortest form."""

from benchmarks.page import overhead_ms


def test_a_run_with_viewers_is_measured_as_one_without() -> None:
    """Both end, and each experiment took some milliseconds; how many is for a quiet machine."""
    assert 0 < overhead_ms(4, 0) < 2000
    assert 0 < overhead_ms(4, 2) < 2000
