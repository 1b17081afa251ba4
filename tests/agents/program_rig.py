"""Small programs in place of coding agents, and what they are run with."""

import json
import os
import sys
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from orchestrator.agents.bubblewrap import examine
from orchestrator.agents.command_line import CommandLineAgent
from orchestrator.agents.process import ProcessAgent
from orchestrator.agents.programs.program import Call, Place, Said
from orchestrator.agents.workplace import Workplace
from orchestrator.config.endpoints import AgentConfig
from orchestrator.core.errors import EditError
from orchestrator.core.records import Files, Proposal, Rung, Tokens
from orchestrator.proposals.agent_events import Replied
from orchestrator.proposals.brief import Brief
from orchestrator.proposals.reply import read_reply
from tests.fakes import WaitingContext

MARK = "PROGRAM_MARK"
PATIENCE_S = 20.0
ENV = "def create_env(config, *, num_envs=None, device='cpu', dtype=None):\n    return None\n"
TRAIN = """\
LR = 1e-3


def build_policy(obs_space, action_space):
    return None


def training_overrides(*, num_envs, max_steps, device):
    return {"lr": LR}
"""
FILES = Files(ENV, TRAIN)
BRIEF = Brief(ordinal=1, program="Find the key.\n", files=FILES, rung=Rung(12, 8), lead=1)
EDIT = """\
import json, os, pathlib, signal, subprocess, sys, time
train = pathlib.Path("candidate/train.py")
train.write_text(train.read_text().replace("LR = 1e-3", "LR = 2e-3"))
"""
EDITED = replace(FILES, train=TRAIN.replace("1e-3", "2e-3"))
HANG = "import json, os, pathlib, signal, subprocess, sys, time\n{}\ntime.sleep(600)\n"

CONFINED = pytest.param(
    "auto",
    marks=pytest.mark.skipif(not examine().is_on, reason=examine().says),
)
BOTH = pytest.mark.parametrize("sandbox", ["off", CONFINED])
"""Without a confinement, and with bubblewrap where it works."""


class JsonProgram:
    """A program that streams JSON, one object a line, whose keys are those of `Said`."""

    name = "json"
    streams = True
    needs = ("JSON_KEY",)
    login = (".json",)

    def __init__(self, script: Path) -> None:
        self._script = script

    def call(self, config: AgentConfig, place: Place, environment: Mapping[str, str]) -> Call:
        key = {name: environment[name] for name in self.needs if name in environment}
        seen = {"CONFINED": str(place.is_confined), "OWN": str(place.has_own_home)}
        argv = (sys.executable, "-I", str(self._script), *config.args)
        return Call(argv, key | seen, settings={".json/settings": "quiet = true\n"})

    def output(self) -> "JsonOutput":
        return JsonOutput()

    def version(self, text: str) -> str | None:
        return text.rsplit(maxsplit=1)[-1] if text.split() else None


class JsonOutput:
    """Reads it."""

    is_over = False

    def __init__(self) -> None:
        self.facts: dict[str, object] = {}
        self.longest = self.lines = 0

    def feed(self, line: bytes) -> None:
        self.lines += 1
        self.longest = max(self.longest, len(line))
        if line.startswith(b"{") and len(line) < 10_000:
            self.facts |= json.loads(line)
            self.is_over = bool(self.facts.get("over"))

    def said(self, exit_code: int | None, stderr: str) -> Said:
        facts = {key: value for key, value in self.facts.items() if key != "over"}
        if tokens := facts.get("tokens"):
            facts["tokens"] = Tokens(**tokens)  # type: ignore[arg-type]
        return Said(**facts)  # type: ignore[arg-type]


class Rig:
    """A workspace, and a program that is a script of the test's."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.script = root / "agent.py"
        self.workplace = Workplace(
            str(root), str(root / ".autorl"), str(root / "logs" / "experiments")
        )
        self.context = WaitingContext()

    def agent(self, code: str, *, streams: bool = False, **options: Any) -> CommandLineAgent:
        """Return an agent that runs this code."""
        self.script.write_text(code)
        command = [sys.executable, "-I", "./agent.py"]
        env = [name for name in (MARK,) if name in os.environ]
        options = {"backend": "command", "command": command, "env": env} | options
        config = AgentConfig(**options)
        program = JsonProgram(self.script) if streams else None
        return CommandLineAgent(config, self.workplace, program=program)

    def reply(
        self, code: str, brief: Brief = BRIEF, *, streams: bool = False, **options: Any
    ) -> Replied:
        """Run the code once as an agent."""
        agent = self.agent(code, streams=streams, **options)
        answer = agent.propose(brief, self.context)
        assert isinstance(answer, Replied)
        return answer

    def left(self) -> list[Path]:
        """Return the folders of turns that are left."""
        return list((self.root / ".autorl" / "agents").glob("turn-*"))


def proposed(replied: Replied, files: Files = FILES) -> Proposal:
    """Return what the daemon reads from a reply."""
    return read_reply(replied.reply, files)


def refused(replied: Replied, files: Files = FILES) -> str:
    """Return why the daemon can't use a reply."""
    with pytest.raises(EditError) as caught:
        read_reply(replied.reply, files)
    return f"{caught.value.code}: {caught.value}"


def marked(mark: str) -> list[int]:
    """Return the processes that have this mark in their environment: a program's, and its heirs."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            environment = (folder / "environ").read_bytes()
            state = (folder / "stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            continue
        if f"{MARK}={mark}".encode() in environment.split(b"\0") and state != "Z":
            found.append(int(folder.name))
    return found


def gone(mark: str) -> bool:
    """Is no marked process left, after a moment?"""
    deadline = time.monotonic() + PATIENCE_S
    while marked(mark) and time.monotonic() < deadline:
        time.sleep(0.02)
    return not marked(mark)


def in_process(rig: Rig, code: str, **options: Any) -> ProcessAgent:
    """Return a program's agent as the daemon has it: in a process of its own."""
    config = rig.agent(code, **options)._config
    return ProcessAgent(config, "command", workplace=rig.workplace)
