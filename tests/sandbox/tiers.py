"""Which tiers this system has; a test of one that is missing is skipped, but not in CI."""

import functools
import os

import pytest

from sandbox import Tier
from sandbox.probe import Examination, examine


@functools.cache
def examined(tier: Tier) -> Examination:
    """Return what the probe found under one tier."""
    return examine((tier,))


def skip_without(tier: Tier) -> None:
    """Skip the test, with the kernel's reason, where the tier can't be set up."""
    if tier is not Tier.OFF and examined(tier).tier is None:
        reason = "; ".join(examined(tier).refused)
        if os.environ.get("TESTS_MUST_NOT_SKIP"):
            pytest.fail(f"CI must have it: {reason}")
        pytest.skip(reason)
