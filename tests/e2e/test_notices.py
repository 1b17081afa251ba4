"""What a daemon tells people of a run, down to its last moment."""

import json
import sys
from pathlib import Path

import pytest

from orchestrator.store.workspace import Workspace
from tests.conftest import Cli
from tests.fakes import reply, write_script


@pytest.mark.long
def test_the_last_messages_outlive_the_work(stubbed: Workspace, cli: Cli, tmp_path: Path) -> None:
    """A run ends at once after its last experiment; what that one was worth is told all the same."""
    train = stubbed.candidate().train.removeprefix("SCORE = 0.0\n")
    write_script(tmp_path / "script", [reply(f"SCORE = 1.0\n{train}")])
    code = "import sys, time; time.sleep(1); open(sys.argv[1], 'a').write(sys.stdin.readline())"
    command = json.dumps([sys.executable, "-c", code, str(tmp_path / "told")])
    stubbed.config.write_text(
        f"agent: {{backend: scripted, scripted_dir: {tmp_path / 'script'}}}\n"
        "sandbox: off\nbudget: {ladder: [[12, 8]]}\njudge: {rule: naive}\n"
        f"limits: {{experiments: 1}}\nnotify: {{command: {command}}}\n"
    )
    done = cli("start", "--foreground", "--tag", "t", cwd=stubbed.root)
    assert done.returncode == 0, done.stderr
    told = sorted((tmp_path / "told").read_text().splitlines())
    assert told == ["t: #2 is published", "t: a limit is near", "t: stopped"]
