"""The real programs, each through one whole experiment of a real daemon."""

import json

from orchestrator.store.workspace import Workspace
from tests.conftest import Cli, git
from tests.real_agents.moves import Edit, Read, Say
from tests.real_agents.rig import EACH, KEY, TRAIN_PY, Endpoint, search

RUN_S = 200.0
SCRIPT = [
    Read(TRAIN_PY),
    Edit(TRAIN_PY, "SCORE = 0.0", "SCORE = 1.0"),
    Say("description: a better score\nrationale: one is more than nothing"),
]


@EACH
def test_one_experiment(name: str, stubbed: Workspace, cli: Cli) -> None:
    """From the prompt to the commit: its edit is evaluated, and recorded as its proposal."""
    endpoint = Endpoint(name, SCRIPT)
    settings = json.dumps(endpoint.config)
    ran = cli(
        "start", "--foreground", "--tag", "t", "--max-experiments", "1", "--set", "engine.lanes=1",
        "--set", "review.enabled=off", "--set", f"agent={settings}",
        cwd=stubbed.root, timeout_s=RUN_S, PATH=search(), TEST_KEY=KEY,
    )  # fmt: skip
    endpoint.server.close()
    assert ran.returncode == 0, ran.stdout + ran.stderr
    rows = json.loads(cli("results", "--json", cwd=stubbed.root).stdout)
    assert [row["agent"].partition(":")[0] for row in rows[1:]] == [name]
    assert [row["description"] for row in rows[1:]] == ["a better score"]
    row = rows[1]
    assert row["score"] > 0.9
    commit = git(stubbed.root, "show", f"{row['commit']}:candidate/train.py")
    assert commit.startswith("SCORE = 1.0")
    assert list((stubbed.root / ".autorl" / "agents").glob("turn-*")) == []
    assert KEY not in "".join(
        file.read_text(errors="replace") for file in (stubbed.root / "logs").rglob("*.*")
    )
