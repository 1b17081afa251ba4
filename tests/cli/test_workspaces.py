"""The commands that make a workspace or look at one."""

from pathlib import Path

import pytest

from orchestrator.daemon.doctor import Finding, table
from orchestrator.store.workspace import Workspace
from tests.cli.conftest import Call
from tests.conftest import git


def test_an_unknown_example_is_refused(tmp_path: Path, call: Call) -> None:
    """`init` and `demo` name the examples there are."""
    call("init", "w", "--example", "chess", cwd=tmp_path).refuses("unknown example 'chess'")
    assert not (tmp_path / "w").exists()


@pytest.mark.system
def test_doctor_finds_what_is_wrong(stubbed: Workspace, call: Call) -> None:
    """All well is exit 0; a workspace that can't start is exit 1 and named; 80 columns suffice."""
    well = call("doctor", cwd=stubbed.root)
    assert well.code == 0
    assert max(map(len, well.stdout.splitlines())) <= 80
    stubbed.program.unlink()
    done = call("doctor", cwd=stubbed.root)
    assert done.code == 1
    assert "program.md is missing" in done.stdout


@pytest.mark.system
def test_doctor_finds_a_run_that_can_not_be_resumed(ended: Workspace, call: Call) -> None:
    """A new run could begin, so all is well but for that."""
    done = call("doctor", cwd=ended.root)
    said = " ".join(done.stdout.split())
    assert "note resume the evaluator has changed since run t began" in said
    assert "evaluator.seed_count: None -> 2" in said
    assert done.code == 0


@pytest.mark.system
def test_doctor_tries_to_write(ended: Workspace, call: Call) -> None:
    """In each folder that a run writes to; what it tries leaves nothing behind."""
    before = sorted(ended.root.rglob("*"))
    assert call("doctor", cwd=ended.root).code == 0
    assert sorted(ended.root.rglob("*")) == before
    ended.logs.rmdir()
    ended.logs.touch()
    done = call("doctor", cwd=ended.root)
    assert done.code == 1
    assert "bad   disk       no file can be made in" in done.stdout


def test_the_table_of_doctor_fits_80_columns() -> None:
    """Long texts go on below, indented; a path that is longer than a line is broken."""
    found = [
        Finding("start", "bad", "two mistakes:\n  one\n  " + "long " * 30),
        Finding("disk", "ok", "/a" * 100),
    ]
    lines = table(found)
    assert max(map(len, lines)) <= 80
    assert lines[0] == "bad   start      two mistakes:"
    assert lines[1] == " " * 19 + "one"
    assert lines[3].startswith(" " * 19 + "long")
    assert "".join(line[17:] for line in lines[-4:]).endswith("/a" * 100)


@pytest.mark.parametrize("exists", [False, True])
def test_init_below_another_repository_must_be_meant(
    tmp_path: Path, call: Call, exists: bool
) -> None:
    """It names the repository and the option; where git ignores the folder, nobody minds."""
    git(tmp_path, "init", "--quiet")
    if exists:
        (tmp_path / "w").mkdir()
    call("init", "w", cwd=tmp_path).refuses("--nested")
    assert not any((tmp_path / "w").glob("*"))
    assert call("init", "--nested", "w", cwd=tmp_path).code == 0
    assert git(tmp_path / "w", "rev-parse", "--show-toplevel") == str(tmp_path / "w")
    (tmp_path / ".gitignore").write_text("/v/\n")
    assert call("init", "v", cwd=tmp_path).code == 0


def test_init_in_a_checkout_is_no_nesting(tmp_path: Path, call: Call) -> None:
    """A folder of the repository that holds files becomes a workspace of that repository."""
    git(tmp_path, "init", "--quiet")
    (tmp_path / "w").mkdir()
    (tmp_path / "w" / "x").write_text("theirs")
    git(tmp_path, "add", "--all")
    git(tmp_path, "commit", "--quiet", "--message", "theirs")
    assert call("init", "w", cwd=tmp_path).code == 0
