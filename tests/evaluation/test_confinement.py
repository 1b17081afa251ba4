"""Which confinement a run gets."""

import pytest

from orchestrator.config.schema import Config
from orchestrator.core.errors import CommandFailedError
from orchestrator.evaluation.confinement import choose_tier, examination


def test_a_fault_of_the_probe_is_not_cured_by_less_confinement(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Where the probe could not run, the start fails, and nobody is told to switch it off."""
    monkeypatch.setattr("tempfile.tempdir", "/nowhere")
    examination.cache_clear()
    try:
        with pytest.raises(CommandFailedError, match="could not be tested") as caught:
            choose_tier(Config())
    finally:
        examination.cache_clear()
    assert "sandbox: off" not in str(caught.value)
