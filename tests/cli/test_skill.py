"""The skill for coding agents: every command in it is one that the program takes."""

import re
import shlex

import pytest
import yaml

from orchestrator.cli.main import make_parser
from orchestrator.config.schema import Config
from tests.conftest import REPOSITORY

SKILL = (REPOSITORY / "skills" / "autorl-daemon" / "SKILL.md").read_text(encoding="utf-8")
_, HEAD, BODY = SKILL.split("---\n", 2)
COMMANDS = sorted(
    {
        line.partition("#")[0].strip()
        for line in re.findall(r"autorl-daemon [^`\n|]+", BODY)
        if not line.startswith("autorl-daemon <")
    }
)


def test_the_head_is_what_agents_read() -> None:
    """The name of its folder, and when to use it, within the limits of agentskills.io."""
    head = yaml.safe_load(HEAD)
    assert head["name"] == "autorl-daemon"
    assert "Use when" in head["description"]
    assert len(head["description"]) <= 1024
    assert len(head["compatibility"]) <= 500


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_is_one_that_is_there(command: str) -> None:
    """With its options; a placeholder in capitals is a name or a number."""
    words = shlex.split(command.replace("show N", "show 1"))[1:]
    assert make_parser().parse_args(words).run


def test_there_are_commands() -> None:
    """The page is read as it is written."""
    assert len(COMMANDS) > 20


def test_the_configuration_is_one_that_is_read() -> None:
    """The block of YAML has keys and values that `config.yaml` may have."""
    (block,) = re.findall(r"```yaml\n(.*?)```", BODY, re.DOTALL)
    assert Config.model_validate(yaml.safe_load(block)).limits.experiments == 100
