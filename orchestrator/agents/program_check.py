"""Which coding agents are installed, and does the configured one work? For `start` and `doctor`."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path

from orchestrator.agents.command_line import CommandLineAgent
from orchestrator.agents.endpoint_check import EndpointState
from orchestrator.agents.openai_errors import TransientError
from orchestrator.agents.programs.known import KNOWN, program_of
from orchestrator.agents.workplace import Workplace
from orchestrator.config.endpoints import AgentConfig
from orchestrator.core.errors import AgentBlockedError, UserError
from orchestrator.core.text import one_line

_VERSION_S = 20.0


def installed(environment: Mapping[str, str] = os.environ) -> dict[str, str | None]:
    """Return the version of every known program, None for those that are not installed."""
    return {name: _version(name, environment) for name in KNOWN}


def check_program(config: AgentConfig, workplace: Workplace, *, with_turn: bool) -> EndpointState:
    """Start the configured program as a turn would: for its version, and for one word.

    Args:
        config: the agent's configuration.
        workplace: where programs work.
        with_turn: whether it is asked for a word too, which takes time and may cost something.
    """
    try:
        agent = CommandLineAgent(config, workplace)
        version = agent.version()
        word = agent.answer_once() if with_turn else ""
    except (UserError, AgentBlockedError) as error:
        return EndpointState("bad", str(error))
    except TransientError as error:
        return EndpointState("note", f"{agent.name}: {error}; the run waits for it")
    except (OSError, MemoryError) as error:
        return EndpointState("note", f"{agent.name} can't be tried: {error}")
    says = [" ".join(filter(None, [agent.name, version])), agent.confinement, word]
    missing = "" if word else agent.missing_key
    return EndpointState("note" if missing else "ok", ", ".join(filter(None, [*says, missing])))


def _version(name: str, environment: Mapping[str, str]) -> str | None:
    search = environment.get("PATH", os.defpath)
    path = shutil.which(name, path=search)
    if path is None:
        return None
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as home:
        try:
            done = subprocess.run(
                [path, "--version"],
                env={"PATH": search, "HOME": home, "TERM": "dumb"},
                cwd=Path(home),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=_VERSION_S,
                start_new_session=True,
                check=False,
            )
        except (OSError, subprocess.SubprocessError) as error:
            return f"(does not start: {one_line(str(error), 100)})"
    text = (done.stdout + b"\n" + done.stderr).decode(errors="replace")
    return program_of(name).version(text) or "(of a version that it does not tell)"
