"""Finding the workspace that a command is about."""

import shutil
from pathlib import Path

import pytest

from orchestrator.core.errors import UserError
from orchestrator.store.workspace import Workspace, find_workspace


def test_a_workspace_is_found_from_below(
    starter: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The nearest parent with state, or with the files of one, is the workspace."""
    monkeypatch.chdir(starter.root / "candidate")
    assert find_workspace(None).root == starter.root


def test_no_workspace_is_one_clear_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither here nor above, nor where --workspace says."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="autorl-daemon init DIR"):
        find_workspace(None)
    with pytest.raises(UserError, match=r"holds no config\.yaml"):
        find_workspace(tmp_path)


def test_a_clone_without_state_is_a_workspace(
    starter: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its files tell; where only the state is left, that tells."""
    shutil.rmtree(starter.state)
    monkeypatch.chdir(starter.root / "candidate")
    assert find_workspace(None).root == starter.root
    starter.state.mkdir()
    starter.config.unlink()
    assert find_workspace(None).root == starter.root


@pytest.mark.parametrize("below", ["", "sub"])
def test_another_tools_config_is_no_workspace(
    starter: Workspace, monkeypatch: pytest.MonkeyPatch, below: str
) -> None:
    """Nothing is written into a stranger's folder; a workspace above it is still found."""
    site = starter.root / "site"
    (site / below).mkdir(parents=True)
    (site / "config.yaml").write_text("title: my hugo site\n")
    monkeypatch.chdir(site / below)
    assert find_workspace(None).root == starter.root
    shutil.rmtree(starter.state)
    starter.config.unlink()
    with pytest.raises(UserError, match="no workspace"):
        find_workspace(None)
