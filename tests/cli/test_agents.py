"""`agents`: which there are, which are configured, and which programs are installed."""

import json
from pathlib import Path
from typing import get_args

import pytest

from orchestrator.config.endpoints import PROGRAMS, Backend
from orchestrator.reporting.agents_table import BACKENDS
from orchestrator.store.workspace import Workspace
from tests.cli.conftest import Call


def test_every_backend_has_its_word() -> None:
    """All but `auto`, which chooses among them."""
    assert {"auto", *BACKENDS} == set(get_args(Backend))


@pytest.fixture
def programs(tmp_path: Path) -> Path:
    """A folder with the programs codex and my-agent, and nothing else."""
    folder = tmp_path / "programs"
    folder.mkdir()
    for name in ("codex", "my-agent"):
        (folder / name).write_text("#!/bin/sh\n")
        (folder / name).chmod(0o755)
    return folder


def rows(text: str) -> dict[str, dict[str, object]]:
    return {row["backend"]: row for row in json.loads(text)}


def test_without_a_workspace_the_list_is_general(
    tmp_path: Path, call: Call, programs: Path
) -> None:
    """What is on PATH, and that nothing is configured."""
    done = call("agents", cwd=tmp_path, PATH=str(programs))
    assert (done.code, done.stderr) == (0, "")
    assert f"  codex     OpenAI's Codex CLI: {programs}/codex\n" in done.stdout
    assert "  claude    Anthropic's Claude Code: not on PATH\n" in done.stdout
    assert "none is configured here" in done.stdout
    found = rows(call("agents", "--json", cwd=tmp_path, PATH=str(programs)).stdout)
    assert [name for name, row in found.items() if row["is_program"]] == list(PROGRAMS)
    assert found["codex"]["found"] == f"{programs}/codex"
    assert found["gemini"]["found"] is found["optuna"]["found"] is None
    assert not any(row["configured"] for row in found.values())


def test_what_is_configured_is_marked(stubbed: Workspace, call: Call, programs: Path) -> None:
    """One or several, by the names of the record; a command by its own program."""
    done = call("agents", cwd=stubbed.root)
    assert "* optuna    the embedded search" in done.stdout
    assert done.stdout.endswith("*: configured here, as optuna\n")
    stubbed.config.write_text(
        "agents: [{backend: command, command: [my-agent, --fast]}, {backend: optuna, name: tuner},"
        " {backend: openai, model: m, base_url: 'http://localhost/v1'}]\n"
    )
    found = rows(call("agents", "--json", cwd=stubbed.root, PATH=str(programs)).stdout)
    assert {name: row["configured"] for name, row in found.items() if row["configured"]} == {
        "command": ["command"], "optuna": ["tuner"], "openai": ["openai:m"],
    }  # fmt: skip
    assert found["command"]["found"] == f"{programs}/my-agent"


def test_a_wrong_configuration_does_not_hide_the_list(stubbed: Workspace, call: Call) -> None:
    """It is told on standard error; a workspace that is named and is none is refused."""
    stubbed.config.write_text("agent: {backend: codecs}\n")
    done = call("agents", cwd=stubbed.root)
    assert done.code == 0
    assert "config.yaml:1: agent.backend" in done.stderr
    assert "  codex " in done.stdout
    call("agents", "--workspace", "nowhere", cwd=stubbed.root).refuses("holds no config.yaml")
