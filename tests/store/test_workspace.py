"""Finding the workspace that a command is about."""

from pathlib import Path

import pytest

from orchestrator.core.errors import UserError
from orchestrator.store.workspace import Workspace, find_workspace


def test_a_workspace_is_found_from_below(
    starter: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The nearest parent with a config.yaml is the workspace."""
    monkeypatch.chdir(starter.root / "candidate")
    assert find_workspace(None).root == starter.root


def test_no_workspace_is_one_clear_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither here nor above, nor where --workspace says."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="autorl-daemon init DIR"):
        find_workspace(None)
    with pytest.raises(UserError, match=r"holds no config\.yaml"):
        find_workspace(tmp_path)
