"""What tests of the engine share: a workspace with real git and ledger around it."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from orchestrator.agents.inline import InlineAgent
from orchestrator.agents.scripted import ScriptedAgent
from orchestrator.config.schema import Config
from orchestrator.core.records import Reply
from orchestrator.engine.dependencies import Dependencies
from orchestrator.engine.engine import Engine
from orchestrator.engine.ports import Agent, NobodyReviews, Reload, Reviewer, no_reload
from orchestrator.proposals.brief import Brief
from orchestrator.proposals.prompt import as_markdown, build_messages
from orchestrator.store.branch import LEAD_REFS, Branch
from orchestrator.store.git import GitStore
from orchestrator.store.ledger import Ledger
from orchestrator.store.runs import Run
from orchestrator.store.workspace import Workspace
from tests.conftest import git
from tests.fakes import QuietMonitor, StubEvaluator, write_script

TAG = "t"
CHEAP = {
    "seeds": 3, "drop": [0.3], "adopt": 0.5, "lead_every": 10, "lead_seeds": 16, "proof_share": 1.0,
}  # fmt: skip
LEAD_RULES: dict[str, Any] = {
    "rule": "sound", "proposals": "cheap", "max_evaluations": 4, "reference_first": 4,
    "cheap": CHEAP,
}  # fmt: skip
"""Lead and proof, with a trial of one look and nothing that depends on the time things take."""


class RecordingAgent(ScriptedAgent):
    """A scripted agent that keeps what it was told."""

    def __init__(self, folder: Path, briefs: list[Brief]) -> None:
        super().__init__(folder)
        self._briefs = briefs

    def propose(self, brief: Brief) -> Reply | None:
        """Note the brief, and answer it."""
        self._briefs.append(brief)
        return super().propose(brief)


class Lab:
    """A workspace with everything an engine needs."""

    def __init__(self, workspace: Workspace, tmp_path: Path) -> None:
        self.root = workspace.root
        self.script = tmp_path / "script"
        self.files = workspace.candidate()
        self.store = GitStore(self.root)
        self.ledger = Ledger(tmp_path / "ledger.sqlite")
        self.evaluator = StubEvaluator()
        self.monitor = QuietMonitor()
        self.head = self.store.head()
        self.briefs: list[Brief] = []

    def train(self, **constants: object) -> str:
        """Return the baseline's train.py with other constants."""
        lines = [
            f'{k} = "{v}"' if isinstance(v, str) else f"{k} = {v}" for k, v in constants.items()
        ]
        return "\n".join(lines) + "\n" + re.sub(r"\A(?:[A-Z_]+ = .*\n)+", "", self.files.train)

    def run(self) -> Run:
        """Return the run's row, made as needed."""
        if self.ledger.run(TAG) is None:
            self.ledger.create_run(Run(TAG, self.head, {}, self.monitor.now()))
        run = self.ledger.run(TAG)
        assert run is not None
        return run

    def branch(self) -> Branch:
        """Return the run's branch."""
        return Branch(self.run(), self.ledger, self.store)

    def engine(
        self,
        replies: Sequence[str] = (),
        proposer: Agent | None = None,
        lanes: int = 1,
        reload: Reload = no_reload,
        reviewer: Reviewer | None = None,
        **sections: dict[str, Any],
    ) -> Engine:
        """Return an engine over a script, with some of the config set."""
        write_script(self.script, replies)
        # What is judged is not the matter here: `test_sound_engine.py` and `test_leads.py` have the other rule.
        config = Config.model_validate({"judge": {"rule": "naive"}} | sections)
        self.evaluator.on_stop = self.monitor.end_now
        return Engine(
            Dependencies(
                run=self.run(),
                config=config,
                workspace=self.root,
                baseline=self.files,
                lanes=lanes,
                ledger=self.ledger,
                branch=self.branch(),
                agent=proposer or InlineAgent(RecordingAgent(self.script, self.briefs)),
                evaluator=self.evaluator,
                monitor=self.monitor,
                reload=reload,
                reviewer=reviewer or NobodyReviews(),
            )
        )

    def until(self, engine: Engine, count: int) -> None:
        """Step an engine until so many experiments have ended."""
        for _ in range(10_000):
            if len(self.statuses()) >= count:
                return
            assert engine.turn() is None
        raise AssertionError(f"only {self.statuses()}")

    def until_paused(self, engine: Engine) -> str:
        """Step an engine until it is paused and nothing is in flight; return why."""
        for _ in range(10_000):
            if engine.run_record.paused and not engine.lanes:
                engine.turn()
                run = self.run()
                assert run.pause_reason is not None
                return run.pause_reason
            assert engine.turn() is None
        raise AssertionError("it was never paused")

    def prompt(self, k: int) -> str:
        """Return the chat that the k-th question to the agent makes."""
        return as_markdown(build_messages(self.briefs[k], context_tokens=64_000))

    def statuses(self) -> list[str]:
        """Return the statuses of all experiments in order."""
        return [experiment.status.value for experiment in self.ledger.experiments(TAG)]

    def tip(self) -> str | None:
        """Return where the branch is."""
        return self.store.read(f"refs/heads/autorl/{TAG}")

    def lead(self) -> str | None:
        """Return where the lead's ref is."""
        return self.store.read(f"{LEAD_REFS}/{TAG}")

    def file_at(self, commit: str | None, path: str = "candidate/train.py") -> str:
        """Return a file at a commit, as git has it."""
        return git(self.root, "show", f"{commit}:{path}") + "\n"


@pytest.fixture
def lab(stubbed: Workspace, tmp_path: Path) -> Lab:
    return Lab(stubbed, tmp_path)
