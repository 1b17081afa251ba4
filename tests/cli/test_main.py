"""The program in processes of its own: exit codes, and what goes to which stream."""

import json
from pathlib import Path

import pytest

from orchestrator.store.workspace import Workspace
from tests.cli.conftest import Call
from tests.conftest import Cli


@pytest.mark.parametrize(
    "arguments", [[], ["fly"], ["show", "x"], ["start", "--max-experiments", "0"]]
)
def test_usage_errors_exit_2(tmp_path: Path, call: Call, arguments: list[str]) -> None:
    """What the parser refuses is exit 2, like all bad input."""
    done = call(*arguments, cwd=tmp_path)
    assert done.code == 2
    assert done.stdout == ""


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["results", "--json"], 0),
        (["show", "4", "--json"], 0),
        (["status", "--json"], 3),
    ],
)
def test_standard_output_is_one_document(
    ended: Workspace, cli: Cli, arguments: list[str], code: int
) -> None:
    """With `--json`; what is said beside it goes to standard error, and nothing need be."""
    done = cli(*arguments, cwd=ended.root)
    assert json.loads(done.stdout)
    assert (done.returncode, done.stderr) == (code, "")


@pytest.mark.parametrize(
    ("arguments", "code"), [(["fly"], 2), (["results"], 2), (["stop"], 3), (["--version"], 0)]
)
def test_the_process_exits_with_the_commands_code(
    stubbed: Workspace, cli: Cli, arguments: list[str], code: int
) -> None:
    """Usage and the user's errors, not running, done."""
    done = cli(*arguments, cwd=stubbed.root)
    assert done.returncode == code
    assert "Traceback" not in done.stderr
    assert (done.stdout == "") == (code != 0)
