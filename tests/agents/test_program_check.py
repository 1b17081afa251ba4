"""Which programs are installed, and whether the configured one works."""

import sys
from pathlib import Path

import pytest

from orchestrator.agents.choice import workplace_in
from orchestrator.agents.program_check import check_program, installed
from orchestrator.agents.programs.known import KNOWN
from orchestrator.config.endpoints import AgentConfig, Backend
from orchestrator.config.schema import Config
from orchestrator.core.errors import UserError
from orchestrator.daemon.doctor import program, table
from orchestrator.daemon.program_start import installed_programs, program_notes

OK = "import sys\nprint('OK' if 'word OK' in sys.stdin.read() else 'what?')\n"


def config(root: Path, code: str = OK, **options: object) -> AgentConfig:
    (root / "agent.py").write_text(code)
    command = [sys.executable, "-I", "./agent.py"]
    return AgentConfig(**{"backend": "command", "command": command} | options)  # type: ignore[arg-type]


def test_a_word_is_asked_where_that_is_wanted(tmp_path: Path) -> None:
    """A start does not ask for one: it takes time, and may cost something."""
    (tmp_path / "asked").write_text("")
    counting = OK + f"open({str(tmp_path / 'asked')!r}, 'a').write('x')\n"
    agent = config(tmp_path, counting, sandbox="off")
    found = check_program(agent, workplace_in(tmp_path), with_turn=False)
    assert (found.state, found.says) == ("ok", "command, unconfined (agent.sandbox: off)")
    assert (tmp_path / "asked").read_text() == ""
    found = check_program(agent, workplace_in(tmp_path), with_turn=True)
    assert found.says.endswith("it answers 'OK' (tokens not told)")
    assert (tmp_path / "asked").read_text() == "x"
    assert list((tmp_path / ".autorl" / "agents").glob("turn-*")) == []


@pytest.mark.parametrize(
    ("code", "state", "says"),
    [
        ("", "note", "command: no answer: it said nothing; the run waits for it"),
        ("import sys; sys.exit('odd')", "note", "no answer: exit code 1 odd; the run waits"),
        ("import sys; sys.exit('HTTP 401: invalid api key')", "bad", "its key or login is refused"),
        ("import sys; print('no', file=sys.stderr); sys.exit(127)", "bad", "can't run: exit code"),
        ("import sys; sys.exit('too many requests')", "note", "too many requests; the run waits"),
    ],
)
def test_what_the_user_must_mend_is_bad(tmp_path: Path, code: str, state: str, says: str) -> None:
    """What may pass is a note."""
    found = check_program(config(tmp_path, code), workplace_in(tmp_path), with_turn=True)
    assert found.state == state
    assert says in found.says
    assert "\n" not in found.says


def test_doctor_has_a_line_for_it(tmp_path: Path) -> None:
    """And none where the agent is no program."""
    (line,) = table(program(Config(agent=config(tmp_path, sandbox="off")), tmp_path))[:1]
    assert line.startswith("ok    program    command, unconfined")
    assert program(Config(), tmp_path) == []
    refuses = config(tmp_path, "import sys; sys.exit('invalid api key')")
    assert table(program(Config(agent=refuses), tmp_path))[0].startswith("bad   program")


def test_a_start_refuses_a_program_that_is_not_there(tmp_path: Path) -> None:
    """Before anything runs."""
    assert program_notes(Config(), tmp_path) == []
    agent = config(tmp_path, command=["no-such-agent"])
    with pytest.raises(UserError, match="no-such-agent is not installed"):
        program_notes(Config(agent=agent), tmp_path)
    agent = config(tmp_path, command=["/no/such/agent"])  # no PATH is searched
    with pytest.raises(UserError, match="/no/such/agent does not exist: name another"):
        program_notes(Config(agent=agent), tmp_path)
    [line] = program_notes(Config(agent=config(tmp_path, sandbox="off")), tmp_path)
    assert line == "program: command, unconfined (agent.sandbox: off)"


def test_programs_that_are_not_installed_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """All that are known, in one line."""
    monkeypatch.setenv("PATH", "/nonexistent")
    assert installed() == dict.fromkeys(KNOWN)
    assert installed_programs() == (f"not installed: {', '.join(KNOWN)}" if KNOWN else "")


@pytest.mark.parametrize("name", KNOWN)
def test_a_known_program_tells_its_version(
    name: Backend, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that does not start is told apart from one that is missing."""
    file = tmp_path / name
    file.write_text("#!/bin/sh\necho 1.2.3\n")
    file.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    assert installed()[name] == "1.2.3"
    file.write_text("#!/nonexistent/sh\n")
    assert "does not start" in str(installed()[name])


def test_a_program_that_does_not_start_is_bad(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its version is asked for as a turn would be: in its confinement."""
    for name in KNOWN[:1]:
        file = tmp_path / name
        file.write_text("#!/bin/sh\necho broken >&2; exit 1\n")
        file.chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
        agent = AgentConfig(backend=name)  # type: ignore[arg-type]
        found = check_program(agent, workplace_in(tmp_path / "work"), with_turn=False)
        assert found.state == "bad"
        assert "tells no version: broken" in found.says


@pytest.mark.parametrize(
    ("options", "key", "state"),
    [
        ({}, "", "note"),
        ({}, "sk-x", "ok"),
        ({"home": "user"}, "", "ok"),
        ({"base_url": "http://127.0.0.1:8/v1"}, "", "ok"),
    ],
)
def test_a_program_without_a_key_or_a_login_is_noted(
    options: dict[str, str], key: str, state: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would fail in its first turn, and the line says what it lacks."""
    file = tmp_path / "codex"
    file.write_text("#!/bin/sh\necho codex-cli 0.171.0\n")
    file.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.delenv("CODEX_API_KEY", raising=False)
    monkeypatch.setenv("OPENAI_API_KEY", key)
    agent = AgentConfig.model_validate({"backend": "codex", **options})
    found = check_program(agent, workplace_in(tmp_path / "work"), with_turn=False)
    assert found.state == state
    lacks = "no key: set $CODEX_API_KEY or $OPENAI_API_KEY, or log in and set agent.home: user"
    assert (lacks in found.says) == (state == "note")
