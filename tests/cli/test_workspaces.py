"""The commands that make a workspace or look at one."""

from pathlib import Path

from orchestrator.store.workspace import Workspace
from tests.cli.conftest import Call


def test_an_unknown_example_is_refused(tmp_path: Path, call: Call) -> None:
    """`init` and `demo` name the examples there are."""
    call("init", "w", "--example", "chess", cwd=tmp_path).refuses("unknown example 'chess'")
    assert not (tmp_path / "w").exists()


def test_doctor_finds_what_is_wrong(stubbed: Workspace, call: Call) -> None:
    """All well is exit 0; a workspace that can't start is exit 1 and named."""
    assert call("doctor", cwd=stubbed.root).code == 0
    stubbed.program.unlink()
    done = call("doctor", cwd=stubbed.root)
    assert done.code == 1
    assert "program.md is missing" in done.stdout
