"""What tests of the loop share: a workspace with real git and ledger around it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from orchestrator.agents.scripted import ScriptedAgent
from orchestrator.config.schema import Config
from orchestrator.engine.fittings import Fittings
from orchestrator.engine.loop import Loop
from orchestrator.engine.ports import Agent
from orchestrator.store.branch import Branch
from orchestrator.store.git import GitStore
from orchestrator.store.ledger import Ledger, Run
from orchestrator.store.workspace import Workspace
from tests.conftest import git
from tests.fakes import QuietHost, StubEvaluator, write_script

TAG = "t"


class Bench:
    """A workspace with everything a loop needs."""

    def __init__(self, workspace: Workspace, tmp_path: Path) -> None:
        self.root = workspace.root
        self.script = tmp_path / "script"
        self.files = workspace.candidate()
        self.store = GitStore(self.root)
        self.ledger = Ledger(tmp_path / "ledger.sqlite")
        self.evaluator = StubEvaluator()
        self.host = QuietHost()
        self.head = self.store.head()

    def train(self, **constants: object) -> str:
        """Return the baseline's train.py with other constants."""
        lines = [
            f'{k} = "{v}"' if isinstance(v, str) else f"{k} = {v}" for k, v in constants.items()
        ]
        return "\n".join(lines) + "\n" + self.files.train.removeprefix("SCORE = 0.0\n")

    def loop(
        self,
        replies: Sequence[str] = (),
        proposer: Agent | None = None,
        **sections: dict[str, Any],
    ) -> Loop:
        """Return a loop over a script, with some of the config set."""
        write_script(self.script, replies)
        # What is judged is not the matter here: `test_sound_loop.py` has the other rule.
        config = Config.model_validate({"judge": {"rule": "naive"}} | sections)
        if self.ledger.run(TAG) is None:
            self.ledger.create_run(Run(TAG, self.head, {}, self.host.now()))
        run = self.ledger.run(TAG)
        assert run is not None
        return Loop(
            Fittings(
                run=run,
                config=config,
                workspace=self.root,
                baseline=self.files,
                ledger=self.ledger,
                branch=Branch(run, self.ledger, self.store),
                agent=proposer or ScriptedAgent(self.script),
                evaluator=self.evaluator,
                host=self.host,
            )
        )

    def statuses(self) -> list[str]:
        """Return the statuses of all experiments in order."""
        return [experiment.status.value for experiment in self.ledger.experiments(TAG)]

    def tip(self) -> str | None:
        """Return where the branch is."""
        return self.store.read(f"refs/heads/autorl/{TAG}")

    def file_at(self, commit: str | None, path: str = "candidate/train.py") -> str:
        """Return a file at a commit, as git has it."""
        return git(self.root, "show", f"{commit}:{path}") + "\n"


@pytest.fixture
def bench(stubbed: Workspace, tmp_path: Path) -> Bench:
    return Bench(stubbed, tmp_path)
