"""Drives the real programs through the adapter, each against a model that plays a script."""

import os
from collections.abc import Sequence
from pathlib import Path

import pytest

from orchestrator.agents.command_line import CommandLineAgent
from orchestrator.agents.programs.known import program_of
from orchestrator.agents.programs.program import Output, Program, Said
from orchestrator.agents.workplace import Workplace
from orchestrator.config.endpoints import AgentConfig
from orchestrator.core.records import Files, Rung
from orchestrator.proposals.agent_events import Replied
from orchestrator.proposals.brief import Brief
from tests.fakes import WaitingContext
from tests.real_agents.moves import Edit, Hang, Move, Read, Refuse, Run, Say, as_reply
from tests.real_agents.server import ModelServer
from tests.real_agents.wires import WIRES

VARIABLE = "AUTORL_REAL_AGENTS"
# Read before any test hides the developer's own settings.
FOLDER = os.environ.get(VARIABLE)
NAMES = ("codex", "claude", "opencode", "gemini", "qwen", "aider")
KEY = "sk-of-the-tests-0123456789"
MODELS = {"claude": "claude-sonnet-5", "gemini": "gemini-2.5-pro", "codex": "gpt-5.5"}
ENV = "def create_env(config, *, num_envs=None, device='cpu', dtype=None):\n    return None\n"
TRAIN = """\
WIDTH = 64


def build_policy(obs_space, action_space):
    return None


def training_overrides(*, num_envs, max_steps, device):
    return {}
"""
FILES = Files(ENV, TRAIN)
BRIEF = Brief(ordinal=1, program="Find the key.\n", files=FILES, rung=Rung(12, 8), lead=1)
TRAIN_PY = "candidate/train.py"
WIDER = TRAIN.replace("64", "128")
EDIT = Edit(TRAIN_PY, "WIDTH = 64", "WIDTH = 128")
SAID = Say("description: a wider network\nrationale: it was too narrow")
WHOLE: Sequence[Move] = (Read(TRAIN_PY), EDIT, Run("./check"), SAID)
"""What an agent does in a turn."""


def missing(name: str) -> str:
    """Return why a program can't be driven here; empty if it can."""
    if FOLDER is None:
        return f"${VARIABLE} names no folder of `python -m tests.real_agents.install`"
    there = any(os.access(Path(place) / name, os.X_OK) for place in search().split(":")[:2])
    return "" if there else f"{name} is not in ${VARIABLE}"


def search() -> str:
    """Return the PATH on which the programs are."""
    folder = Path(FOLDER or "")
    return f"{folder / 'node_modules' / '.bin'}:{folder / 'aider' / 'bin'}:{os.defpath}"


EACH = pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=pytest.mark.skipif(bool(missing(name)), reason=missing(name)))
        for name in NAMES
    ],
)


class Recorded:
    """A program whose output is kept."""

    def __init__(self, program: Program) -> None:
        self._program = program
        self.name, self.streams = program.name, program.streams
        self.needs, self.login = program.needs, program.login
        self.call, self.version = program.call, program.version
        self.lines: list[bytes] = []
        self.codes: list[int | None] = []

    def output(self) -> "RecordedOutput":
        return RecordedOutput(self, self._program.output())


class RecordedOutput:
    """One call's output, kept."""

    def __init__(self, recorded: Recorded, output: Output) -> None:
        self._recorded, self._output = recorded, output

    def feed(self, line: bytes) -> None:
        self._recorded.lines.append(line)
        self._output.feed(line)

    @property
    def is_over(self) -> bool:
        return self._output.is_over

    def said(self, exit_code: int | None, stderr: str) -> Said:
        self._recorded.codes.append(exit_code)
        return self._output.said(exit_code, stderr)


class Endpoint:
    """A model's server for a program, and the configuration that points it there."""

    def __init__(self, name: str, script: Sequence[Move]) -> None:
        if name == "aider":  # it has no tools: a reply is the edit and what it says of it
            script = _in_one(script)
        self.server = ModelServer(WIRES[name], script)
        self.config: dict[str, object] = {
            "backend": name,
            "model": MODELS.get(name, "m1"),
            "base_url": self.server.url + ("" if name in {"claude", "gemini"} else "/v1"),
            "api_key_env": "TEST_KEY",
            "timeout_s": 120.0,
        }
        if name == "aider":
            self.config["args"] = ["--edit-format", "diff"]  # for unknown models: whole files


class RealAgent:
    """A real program in a workspace, at a model's server."""

    def __init__(self, name: str, root: Path, script: Sequence[Move], **options: object) -> None:
        endpoint = Endpoint(name, script)
        self.server, self.root, self.context = endpoint.server, root, WaitingContext()
        config = AgentConfig(**(endpoint.config | options))  # type: ignore[arg-type]
        workplace = Workplace(str(root), str(root / ".autorl"), str(root / "logs" / "experiments"))
        environment = {"PATH": search(), "TEST_KEY": KEY}
        self.program = Recorded(program_of(name))
        self.agent = CommandLineAgent(config, workplace, environment, program=self.program)

    def propose(self, brief: Brief = BRIEF) -> Replied:
        """Have it make a proposal."""
        answer = self.agent.propose(brief, self.context)
        assert isinstance(answer, Replied)
        return answer

    def left(self) -> list[Path]:
        """Return the folders of turns that are left."""
        return list((self.root / ".autorl" / "agents").glob("turn-*"))


def _in_one(script: Sequence[Move]) -> list[Move]:
    """Return a script as one reply, for a program that offers no tools."""
    edits = [move for move in script if isinstance(move, Edit)]
    said = [move for move in script if isinstance(move, Say)]
    others = [move for move in script if isinstance(move, Refuse | Hang)]
    if not edits:
        return [*others, *said]
    return [*others, *(as_reply(edit, said[0].text if said else "") for edit in edits)]
